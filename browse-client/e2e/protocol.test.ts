// The protocol of the published client (docs/CLIENTS.md), spoken by the page in protocol/ in a real browser, against a
// real server on each database.

import assert from "node:assert/strict";
import { glob, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { after, before, describe, test } from "node:test";

import type { Browser, BrowserContext } from "playwright-core";

import { launch, Tab } from "./support/browser.ts";
import { databases, Server } from "./support/server.ts";
import {
  GrowingSession,
  hanEvent,
  prompt,
  realTranscripts,
  recentSamples,
  toolResult,
  toolUse,
} from "./support/transcripts.ts";

const built = resolve(import.meta.dirname, "../protocol/dist");

/** A sample session with a subagent, and that subagent. */
const SAMPLE = "5b1f0c52-7c1e-4b58-9d0a-3f6f3f1f9a01";
const SUBAGENT = "agent-a3f91c7";

for (const database of databases) {
  describe(database, () => {
    let browser: Browser;
    let server: Server;
    /** Signed in as `ana`. */
    let context: BrowserContext;

    before(async () => {
      browser = await launch();
      server = await Server.start(database, built);
      const samples = await recentSamples();
      await server.push(samples);
      await rm(samples, { recursive: true });
      const real = realTranscripts();
      if (real) await server.push(real);
      context = await browser.newContext();
      await Tab.signIn(context, await server.loginLink());
    });

    after(async () => {
      await browser?.close();
      await server?.close();
    });

    /** A test with tabs of its own on which no script may fail. */
    function browserTest(name: string, body: (open: (path: string) => Promise<Tab>) => Promise<void>): void {
      test(name, async () => {
        const tabs: Tab[] = [];
        try {
          await body(async (path) => {
            const tab = await Tab.open(context, server.url + path);
            tabs.push(tab);
            return tab;
          });
          assert.deepEqual(
            tabs.flatMap((tab) => tab.errors),
            [],
          );
        } finally {
          for (const { page } of tabs) await page.close();
        }
      });
    }

    /** The figures of a page that shows them. */
    async function figures(tab: Tab) {
      await tab.shows("[data-figures]");
      return JSON.parse(await tab.text("[data-figures]"));
    }

    /** A repository's id. */
    async function repoOf(name: string): Promise<string> {
      const response = await context.request.post(`${server.url}/graphql`, {
        headers: { Origin: server.url },
        data: { query: "{ repos { repoId name } }" },
      });
      const { data } = await response.json();
      return data.repos.find((repo: { name: string }) => repo.name === name).repoId;
    }

    /** Opens a session's page, ready for what is pushed from now on. */
    async function openSession(open: (path: string) => Promise<Tab>, id: string): Promise<Tab> {
      const tab = await open(`/sessions/${id}`);
      await tab.subscribed(["sessionMessageAdded", "memoryUpdated"]);
      return tab;
    }

    browserTest("the cookie of a login link is the only credential", async (open) => {
      const tab = await openSession(open, SAMPLE);
      await tab.shows("[data-message]");
      const cookies = (await context.cookies()).map(({ name, httpOnly, sameSite }) => ({
        name,
        httpOnly,
        sameSite,
      }));
      assert.deepEqual(cookies, [{ name: "han_session", httpOnly: true, sameSite: "Lax" }]);
      const [init] = tab.frames;
      assert.deepEqual(init, { sent: true, type: "connection_init" });
      // A slow tab may ping before the answer has arrived.
      const answers = tab.frames.filter(({ sent }) => !sent);
      assert.equal(answers[0]?.type, "connection_ack");
      assert.ok(tab.requests.length > 0);
      for (const request of tab.requests) {
        const headers = await request.allHeaders();
        assert.equal(headers.authorization, undefined);
        assert.equal(headers.accept, "multipart/mixed;deferSpec=20220824,application/json");
        assert.equal((await request.response())?.status(), 200);
      }
    });

    browserTest("an empty scope argument means none", async (open) => {
      const empty = await figures(await open("/"));
      const absent = await figures(await open("/unscoped"));
      assert.deepEqual(empty, absent);
      const { activity, metrics, dashboardAnalytics } = empty;
      assert.ok(activity.totalMessages > 0 && activity.totalSessions > 0);
      assert.ok(activity.tokenUsage.totalTokens > 0 && activity.dailyActivity.length > 0);
      assert.ok(metrics.totalTasks > 0);
      assert.ok(dashboardAnalytics.toolUsage.length > 0 && dashboardAnalytics.topSessions.length > 0);
      assert.ok(dashboardAnalytics.costAnalysis.estimatedCostUsd > 0);
    });

    browserTest("an empty project beside a repository leaves the repository's figures", async (open) => {
      const session = new GrowingSession(server, {
        project_path: "/home/dev/press",
        git_remote: "https://git.example.com/orchard/press.git",
      });
      await session.push([
        prompt("How full is the press?"),
        toolUse("press-1", "Bash", { command: "du -sh" }),
      ]);
      const repoId = await repoOf("press");
      const { activity, dashboardAnalytics } = await figures(await open(`/repos/${repoId}`));
      assert.equal(activity.totalSessions, 1);
      assert.equal(activity.totalMessages, 2);
      assert.deepEqual(dashboardAnalytics.toolUsage, [{ toolName: "Bash", count: 1 }]);
    });

    browserTest("a message's link opens the message", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("An id that needs escapes", "odd:uuid/1 %ü~"), prompt("A plain id")]);
      const { page } = await open(`/sessions/${session.id}`);
      for (const text of ["An id that needs escapes", "A plain id"]) {
        const row = page.locator("article", { hasText: text });
        const id = await row.getAttribute("data-message");
        assert.match(id ?? "", /^Message:[A-Za-z0-9._~%-]+$/);
        await row.getByRole("link").click();
        await page.waitForURL("**/messages/**");
        const shown = page.locator("article");
        await shown.waitFor();
        assert.equal(await shown.getAttribute("data-message"), id);
        assert.match(await shown.innerText(), new RegExp(text));
        await page.goBack();
      }
    });

    browserTest("a subagent's id opens its messages", async (open) => {
      const tab = await open(`/sessions/${SUBAGENT}`);
      await tab.shows("[data-message]");
      const ids = await tab.all("[data-message]", "data-message");
      assert.ok(ids.every((id) => id.includes(SUBAGENT)));
    });

    test("every message of a session is paged through once", async (t) => {
      const sessions = [SAMPLE];
      const real = realTranscripts();
      if (real) {
        for await (const file of glob("*/*.jsonl", { cwd: real })) {
          sessions.push(file.replace(/^.*\/|\.jsonl$/g, ""));
        }
      } else {
        t.diagnostic("SKIPPED: the real transcripts (set HAN_TEST_TRANSCRIPTS)");
      }
      for (const session of sessions) {
        const tab = await Tab.open(context, `${server.url}/sessions/${session}`);
        await tab.shows("[data-total]");
        const more = tab.page.locator("[data-more]");
        while (await more.count()) {
          const rows = await tab.page.locator("[data-message]").count();
          await more.click();
          await tab.page.waitForFunction(
            (before) => document.querySelectorAll("[data-message]").length > before,
            rows,
          );
        }
        const ids = await tab.all("[data-message]", "data-message");
        const [total] = await tab.all("[data-total]", "data-total");
        assert.equal(ids.length, Number(total), session);
        assert.equal(new Set(ids).size, ids.length, session);
        assert.deepEqual(tab.errors, []);
        await tab.page.close();
      }
    });

    browserTest("a new session and its messages arrive live", async (open) => {
      const list = await open("/sessions");
      const dashboard = await open("/");
      await list.subscribed(["sessionAdded", "memoryUpdated"]);
      await dashboard.subscribed(["memoryUpdated"]);
      const before = (await figures(dashboard)).activity.totalMessages;

      const session = new GrowingSession(server);
      await session.push([prompt("Count the apples")]);
      await list.shows(`[data-session="${session.id}"]`);
      await list.frame(
        "memoryUpdated of type SESSION",
        (frame) => !frame.sent && frame.payload?.data?.memoryUpdated?.type === "SESSION",
      );
      await dashboard.page.waitForFunction(
        (before) =>
          JSON.parse(document.querySelector("[data-figures]")?.textContent ?? "null")?.activity
            .totalMessages ===
          before + 1,
        before,
      );

      await list.page.locator(`[data-session="${session.id}"] a`).click();
      await list.page.waitForURL(`**/sessions/${session.id}`);
      const page = await openSession(open, session.id);
      await page.shows("article:has-text('Count the apples')");
      await session.push([prompt("Count the pears"), prompt("Count the plums")]);
      await page.shows("article:has-text('Count the plums')");
      const texts = await page.page.locator("article p").allInnerTexts();
      assert.deepEqual(texts, ["Count the plums", "Count the pears", "Count the apples"]);
      assert.deepEqual(
        page.received("sessionMessageAdded").map((event) => event.messageIndex),
        [1, 2],
      );
    });

    browserTest(
      "sessionAdded takes an empty project, and a repository's id in a project's place",
      async (open) => {
        const metadata = {
          project_path: "/home/dev/cellar",
          git_remote: "https://git.example.com/orchard/cellar.git",
        };
        await new GrowingSession(server, metadata).push([prompt("Is it cold enough?")]);
        const repoId = await repoOf("cellar");
        const tabs = [
          await open("/sessions"),
          await open(`/repos/${repoId}/sessions`),
          await open(`/repos/${encodeURIComponent(`Repo:${repoId}`)}/sessions`),
        ];
        for (const tab of tabs) await tab.subscribed(["sessionAdded"]);
        const elsewhere = new GrowingSession(server);
        await elsewhere.push([prompt("Is it ripe?")]);
        const within = new GrowingSession(server, metadata);
        await within.push([prompt("Is it dark enough?")]);
        const added = await Promise.all(
          tabs.map(async (tab) => {
            await tab.shows(`[data-session="${within.id}"]`);
            return tab.received("sessionAdded").map((event) => event.sessionId);
          }),
        );
        assert.deepEqual(added, [[elsewhere.id, within.id], [within.id], [within.id]]);
      },
    );

    browserTest("a late result sends its call again, once, and fills the row that is there", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("Test, search and look up")]);
      const tab = await openSession(open, session.id);

      const tool = toolUse("call-1", "Bash", { command: "make test" });
      const mcp = hanEvent("mcp_tool_call", { tool: "get_issue", arguments: {} });
      const exposed = hanEvent("exposed_tool_call", {
        server: "context7",
        tool: "search_docs",
        prefixed_name: "context7_search_docs",
        arguments: {},
      });
      const hook = hanEvent("hook_run", {
        plugin: "typescript",
        hook: "lint",
        hook_type: "Stop",
        directory: "/",
      });
      await session.push([tool]);
      await session.push([mcp, exposed, hook], "han");
      const calls = ["call-1", mcp.uuid, exposed.uuid, hook.uuid];
      for (const call of calls) await tab.shows(`[data-call="${call}"]:has-text("pending")`);
      const rows = await tab.all("[data-message]", "data-message");
      const sent = tab.received("sessionMessageAdded");
      assert.equal(sent.length, 4);

      await session.push([toolResult("call-1", "10 passed")]);
      await session.push(
        [
          hanEvent("mcp_tool_result", {
            tool: "get_issue",
            call_id: mcp.uuid,
            success: true,
            duration_ms: 7,
          }),
          hanEvent("exposed_tool_result", {
            tool: "search_docs",
            call_id: exposed.uuid,
            success: true,
            duration_ms: 8,
          }),
          hanEvent(
            "hook_result",
            { plugin: "typescript", hook: "lint", success: true },
            { hookRunId: hook.uuid },
          ),
        ],
        "han",
      );
      // Events come in the order of the pushes: after this one, nothing more of the results can come.
      await session.push([prompt("Thank you")]);
      await tab.shows("article:has-text('Thank you')");

      const again = tab.received("sessionMessageAdded").slice(4, -1);
      const ids = (events: { newMessageEdge: { node: { id: string } } }[]) =>
        events.map((event) => event.newMessageEdge.node.id);
      assert.deepEqual(ids(again), ids(sent));
      assert.deepEqual(
        again.map((event) => event.messageIndex),
        sent.map((event) => event.messageIndex),
      );
      const shown = await Promise.all(calls.map((call) => tab.text(`[data-call="${call}"]`)));
      assert.deepEqual(shown, ["10 passed", "true", "true", "true"]);
      assert.deepEqual((await tab.all("[data-message]", "data-message")).slice(1), rows);
    });

    browserTest("fetching a message again by node(id:) updates the same record", async (open) => {
      const session = new GrowingSession(server);
      await session.push([toolUse("call-2", "Bash", { command: "make" })]);
      const list = await open(`/sessions/${session.id}`);
      await list.shows("[data-message]");
      const [id = ""] = await list.all("[data-message]", "data-message");
      // The message's own page does not follow its session.
      const tab = await open(`/messages/${encodeURIComponent(id)}`);
      await tab.shows("[data-call]:has-text('pending')");
      await session.push([toolResult("call-2", "built")]);
      await tab.page.getByRole("button", { name: "again" }).click();
      await tab.shows("[data-call]:has-text('built')");
      const refetch = tab.requests.at(-1)?.postDataJSON();
      assert.match(refetch.query, /\bnode\(id: \$id\)/);
      assert.deepEqual(refetch.variables, { id });
      assert.deepEqual(await tab.all("[data-message]", "data-message"), [id]);
    });

    browserTest("an unknown id is null", async (open) => {
      const ids = [
        "nodes/Session:unknown",
        "nodes/Message:unknown~main~unknown",
        "nodes/Unknown:unknown",
        "sessions/unknown",
        "messages/unknown",
        "messages/unknown~main~unknown",
        `messages/${SAMPLE}`,
      ];
      const shown = await Promise.all(
        ids.map(async (path) => {
          const tab = await open(`/${path}`);
          await tab.shows("[data-node], [data-message], [role=alert]");
          return [path, await tab.text("[data-node], [data-message], [role=alert]")];
        }),
      );
      assert.deepEqual(
        shown,
        ids.map((path) => [path, "null"]),
      );
    });

    browserTest("a nullable field that fails is null, and those beside it arrive", async (open) => {
      const tab = await open(`/partial/${SAMPLE}`);
      await tab.shows("[data-alone], [role=alert]");
      assert.equal(await tab.page.getByRole("alert").count(), 0, "Relay must not throw");
      const shown = await Promise.all(
        ["root", "nested", "beside", "alone"].map((name) => tab.text(`[data-${name}]`)),
      );
      assert.deepEqual(shown, ["null", "null", SAMPLE, "null"]);
      for (const request of tab.requests) {
        const response = await request.response();
        assert.ok(response);
        const { errors } = await response.json();
        assert.ok(errors.length > 0, "the response names the error");
      }
    });

    test("a page without a session leads to the sign-in and back", async () => {
      const signedOut = await browser.newContext();
      try {
        const wanted = `/sessions/${SAMPLE}`;
        const { page } = await Tab.open(signedOut, server.url + wanted);
        assert.match(new URL(page.url()).pathname, /^\/auth\//);
        const graphql = await signedOut.request.post(`${server.url}/graphql`, {
          headers: { Origin: server.url },
          data: { query: "{ __typename }" },
        });
        assert.equal(graphql.status(), 401);
        assert.equal(await Tab.signIn(signedOut, await server.loginLink()), wanted);
      } finally {
        await signedOut.close();
      }
    });

    test("files with a content hash in their name are cached immutably", async () => {
      const immutable = "public, max-age=31536000, immutable";
      const seen = { assets: 0, hashed: 0, other: 0 };
      for await (const file of glob("**/*.*", { cwd: built })) {
        const response = await context.request.get(`${server.url}/${file}`);
        assert.equal(response.status(), 200, file);
        const caching = response.headers()["cache-control"] ?? "";
        if (file.startsWith("assets/")) {
          assert.equal(caching, immutable, file);
          seen.assets += 1;
        } else if (/-[\w-]{8}\.\w+$/.test(file)) {
          // Outside of `assets`, a hash may look too much like a word.
          assert.ok([immutable, "no-cache"].includes(caching), file);
          seen.hashed += 1;
        } else {
          assert.equal(caching, "no-cache", file);
          seen.other += 1;
        }
      }
      assert.ok(seen.assets > 0 && seen.hashed > 0 && seen.other > 1, JSON.stringify(seen));
    });

    test("/health answers to a client that probes it", async () => {
      const response = await context.request.get(`${server.url}/health`);
      assert.equal(response.status(), 200);
      const { status, version } = await response.json();
      assert.equal(status, "ok");
      assert.equal(typeof version, "string");
    });

    browserTest("the page catches up after the server was restarted", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("Before the restart")]);
      const tab = await openSession(open, session.id);
      await tab.shows("article:has-text('Before the restart')");
      await server.stop();
      // The page must not reconnect before the next line is stored: only fetching again can then show it.
      await context.setOffline(true);
      await server.serve();
      await session.push([prompt("While the page was away")]);
      await context.setOffline(false);
      await tab.shows("article:has-text('While the page was away')");
      assert.equal(await tab.page.locator("[data-message]").count(), 2);

      await tab.shows('[data-connection="2"]');
      const reconnected = tab.frames.findLastIndex((frame) => frame.type === "connection_ack");
      await tab.subscribed(["sessionMessageAdded"], reconnected);
      await session.push([prompt("After the restart")]);
      await tab.shows("article:has-text('After the restart')");
      assert.equal(await tab.page.locator("[data-message]").count(), 3);
    });
  });
}
