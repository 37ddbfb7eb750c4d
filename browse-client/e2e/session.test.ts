// The Session page in a real browser, against a real server on each database.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";

import type { Browser, BrowserContext, Page } from "playwright-core";

import { launch, pingOften, Tab } from "./support/browser.ts";
import { databases, Server } from "./support/server.ts";
import {
  GrowingSession,
  hanEvent,
  type Line,
  prompt,
  realTranscripts,
  recentSamples,
  toolResult,
  toolUse,
} from "./support/transcripts.ts";

/** Where the screenshots go. */
const artifacts = resolve(process.env.HAN_ARTIFACTS ?? resolve(import.meta.dirname, "../artifacts"));

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const WIDE = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 800 };

/** A sample session with a subagent, an image or a file change. */
const SAMPLE = "5b1f0c52-7c1e-4b58-9d0a-3f6f3f1f9a01";

/** The number of messages of the long session, and of those that arrive while it is open. */
const MANY = 20_000;

/** An answer with any content blocks. */
function answer(content: object[]): Line {
  const line = prompt("");
  const id = randomUUID();
  const usage = { input_tokens: 10, cache_read_input_tokens: 1_000, output_tokens: 20 };
  const message = { id: `msg_${id}`, role: "assistant", model: "claude-opus-4-6", content, usage };
  return { ...line, type: "assistant", requestId: `req_${id}`, message };
}

const says = (text: string) => answer([{ type: "text", text }]);

/** An image of 32 × 32 pixels. */
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mMwCThCU8QwasGoBaMWjFowasGoBaMWjFowasGoBaMWDBULAJ4fIEzhjOufAAAAAElFTkSuQmCC";

/** The five longest tasks of the main thread of the page that logged `mark`, in milliseconds. */
function tasksOf(trace: Buffer, mark: string): { wall: number[]; processor: number[] } {
  const { traceEvents } = JSON.parse(trace.toString()) as {
    // biome-ignore lint/suspicious/noExplicitAny: the arguments depend on the event
    traceEvents: { name: string; pid: number; tid: number; dur?: number; tdur?: number; args?: any }[];
  };
  const marked = traceEvents.find(({ name, args }) => name === "TimeStamp" && args?.data?.message === mark);
  assert.ok(marked, "the trace has no mark of the page");
  const tasks = traceEvents.filter(
    ({ name, pid, tid, dur }) =>
      /RunTask/.test(name) && pid === marked.pid && tid === marked.tid && dur !== undefined,
  );
  assert.ok(tasks.length > 100, `the trace has ${tasks.length} tasks`);
  const longest = (times: (number | undefined)[]) =>
    times
      .map((time) => Math.round((time ?? 0) / 1_000))
      .sort((a, b) => b - a)
      .slice(0, 5);
  return { wall: longest(tasks.map(({ dur }) => dur)), processor: longest(tasks.map(({ tdur }) => tdur)) };
}

for (const database of databases) {
  describe(`session page on ${database}`, () => {
    let browser: Browser;
    let server: Server;
    /** Signed in as `ana`. */
    let context: BrowserContext;

    before(async () => {
      browser = await launch();
      server = await Server.start(database, process.env.HAN_TEST_CLIENT_DIR);
      const samples = await recentSamples();
      await server.push(samples);
      await rm(samples, { recursive: true });
      context = await browser.newContext({ viewport: WIDE });
      await pingOften(context);
      await Tab.signIn(context, await server.loginLink());
      await mkdir(artifacts, { recursive: true });
    });

    after(async () => {
      await browser?.close();
      await server?.close();
    });

    /** A test with tabs of its own, whose scripts must not fail, and which must stay on the server's own origin. */
    function browserTest(name: string, body: (open: (path: string) => Promise<Tab>) => Promise<void>): void {
      test(name, { timeout: 180_000 }, async () => {
        const tabs: Tab[] = [];
        const elsewhere: string[] = [];
        try {
          await body(async (path) => {
            const tab = await Tab.open(context, server.url + path);
            tab.page.on("request", (request) => {
              const { protocol, origin } = new URL(request.url());
              if (protocol.startsWith("http") && origin !== server.url) elsewhere.push(request.url());
            });
            tabs.push(tab);
            return tab;
          });
          assert.deepEqual(
            tabs.flatMap((tab) => tab.errors),
            [],
          );
          assert.deepEqual(elsewhere, []);
        } finally {
          for (const { page } of tabs) await page.close();
        }
      });
    }

    async function graphql(query: string, variables: object = {}) {
      const response = await context.request.post(`${server.url}/graphql`, {
        headers: { Origin: server.url },
        data: { query, variables },
      });
      return (await response.json()).data;
    }

    /** The listed messages of a session that say something, with their types. */
    async function listed(session: string): Promise<Map<string, string>> {
      const found = new Map<string, string>();
      let after: string | null = null;
      for (;;) {
        const query = `query($id: String!, $after: String) { session(id: $id) { messages(first: 500, after: $after) {
          pageInfo { hasNextPage endCursor } edges { node { __typename id searchText
            ... on AssistantMessage { contentBlocks { __typename } } } } } } }`;
        const data = await graphql(query, { id: session, after });
        const { edges, pageInfo } = data.session.messages;
        for (const { node } of edges) {
          const isText = node.contentBlocks?.every(
            ({ __typename }: { __typename: string }) => __typename === "TextBlock",
          );
          if (!(isText && !node.searchText?.trim())) found.set(node.id, node.__typename);
        }
        if (!pageInfo.hasNextPage) return found;
        after = pageInfo.endCursor;
      }
    }

    /** Scrolls from the beginning to the end, opening every group; returns the messages that were shown. */
    async function walk(page: Page): Promise<Map<string, string>> {
      await page.locator(".messages-row").first().waitFor();
      return new Map(
        await page.evaluate(async () => {
          const scroller = document.querySelector(".messages-scroll");
          if (!scroller) throw new Error("there is no list");
          const seen = new Map<string, string>();
          const frame = () => new Promise(requestAnimationFrame);
          // Groups that are opened, and pages that are loaded, move what is below: so down, and up again.
          for (const by of [0.4, -0.4]) {
            let still = 0;
            while (still < 60) {
              for (const closed of scroller.querySelectorAll<HTMLElement>(
                ".entry-group > [aria-expanded=false]",
              ))
                closed.click();
              await frame();
              for (const row of scroller.querySelectorAll<HTMLElement>("[data-message]"))
                seen.set(row.dataset.message ?? "", row.dataset.type ?? "");
              const before = scroller.scrollTop;
              scroller.scrollTop += by * scroller.clientHeight;
              await frame();
              await frame();
              // Pages that are being loaded make the list longer.
              still = scroller.scrollTop === before ? still + 1 : 0;
            }
          }
          return [...seen];
        }),
      );
    }

    async function expectAll(page: Page, session: string): Promise<Map<string, string>> {
      const [wanted, shown] = [await listed(session), await walk(page)];
      const missing = [...wanted].filter(([id, type]) => shown.get(id) !== type);
      assert.deepEqual(missing, [], `${missing.length} of ${wanted.size} messages are not shown`);
      return wanted;
    }

    browserTest("a session shows its header, its outline and its conversation", async (open) => {
      const { page } = await open(`/sessions/${SAMPLE}`);
      await page.locator(".messages-row").first().waitFor();
      const { session } = await graphql(
        `{ session(id: "${SAMPLE}") { name turnCount messageCount gitBranch } }`,
      );
      assert.equal(await page.locator("h1").innerText(), session.name);
      assert.equal(await page.locator("[data-figure=turns]").innerText(), String(session.turnCount));
      assert.equal(await page.locator("[data-figure=messages]").innerText(), String(session.messageCount));
      await page.locator(".outline li[data-kind=prompt]").nth(0).waitFor();
      await page.locator("[data-figure=cost]").click();
      await page
        .getByRole("dialog", { name: "Where the cost comes from" })
        .getByText("at list prices")
        .waitFor();
      await page.keyboard.press("Escape");
    });

    browserTest("every message of the samples is shown", async (open) => {
      const { page } = await open(`/sessions/${SAMPLE}`);
      const shown = await expectAll(page, SAMPLE);
      assert.ok(shown.size > 10);
    });

    test("every message of real transcripts is shown", { timeout: 240_000 }, async () => {
      const real = realTranscripts();
      if (!real) {
        console.log("SKIPPED: HAN_TEST_TRANSCRIPTS names no directory of real transcripts");
        return;
      }
      await server.push(real);
      const data = await graphql("{ sessions(first: 100) { edges { node { sessionId projectPath } } } }");
      const sessions = data.sessions.edges
        .map(({ node }: { node: { sessionId: string; projectPath: string } }) => node)
        .filter(({ projectPath }: { projectPath: string }) => projectPath.includes("spotter"));
      assert.ok(sessions.length > 0);
      const types = new Set<string>();
      for (const { sessionId } of sessions) {
        const { page, errors } = await Tab.open(context, `${server.url}/sessions/${sessionId}`);
        for (const type of (await expectAll(page, sessionId)).values()) types.add(type);
        assert.deepEqual(errors, []);
        await page.close();
      }
      console.log(`types of messages in real transcripts: ${[...types].sort().join(", ")}`);
    });

    browserTest("every type of message and of block has its row", async (open) => {
      const session = new GrowingSession(server);
      const line = (more: object): Line => ({ ...prompt(""), ...more });
      const user = (content: unknown, more: object = {}) =>
        line({ type: "user", message: { role: "user", content }, ...more });
      const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PNG } };
      await session.push([
        user([{ type: "text", text: "Look at this" }, image]),
        answer([
          { type: "thinking", thinking: "I look at it", signature: "s" },
          { type: "text", text: "I see" },
          {
            type: "tool_use",
            id: "all-1",
            name: "Edit",
            input: { file_path: "/a", old_string: "x", new_string: "y" },
          },
          { type: "new_block", value: 1 },
        ]),
        toolResult("all-1", "edited"),
        user("<command-name>/model</command-name><command-args>opus</command-args>"),
        user("[Request interrupted by user]"),
        user("a reminder", { isMeta: true }),
        line({ type: "summary", summary: "What was done", leafUuid: randomUUID() }),
        user("This session is being continued", { isCompactSummary: true }),
        line({ type: "system", subtype: "compact_boundary", content: "Conversation compacted" }),
        line({ type: "system", subtype: "api_error", level: "error", content: "Overloaded" }),
        line({ type: "file-history-snapshot", messageId: "m", snapshot: { trackedFileBackups: {} } }),
        line({ type: "queue-operation", operation: "enqueue", content: "later" }),
        line({ type: "something-new", value: 1 }),
      ]);
      const events = [
        hanEvent("hook_run", { hook_run_id: "run", plugin: "p", hook: "lint", directory: "." }),
        hanEvent("hook_check_state", { hook_type: "Stop", hooks_count: 2 }),
        hanEvent("hook_reference", { plugin: "p", file_path: "README.md", reason: "first", success: true }),
        hanEvent("hook_validation", {
          plugin: "p",
          hook: "test",
          directory: ".",
          success: false,
          output: "no",
        }),
        hanEvent("hook_validation_cache", { plugin: "p", hook: "test", directory: ".", files: { a: "1" } }),
        hanEvent("hook_script", { plugin: "p", command: "make", output: "ok", success: true, exit_code: 0 }),
        hanEvent("hook_datetime", { plugin: "p", datetime: "2026-01-01" }),
        hanEvent("hook_file_change", { tool_name: "Edit", file_path: "/a" }),
        hanEvent("mcp_tool_call", { call_id: "mcp", tool: "find", server: "db", input: { q: 1 } }),
        hanEvent("exposed_tool_call", { call_id: "exp", tool: "run", server: "db", input: {} }),
        hanEvent("memory_query", { question: "Where?", route: "team", result_count: 1 }),
        hanEvent("memory_learn", { domain: "trees", scope: "project", paths: ["a"] }),
        hanEvent("sentiment_analysis", { message_id: "m", sentiment_score: 1, sentiment_level: "positive" }),
      ];
      await session.push(events, "han");
      const { page } = await open(`/sessions/${session.id}`);
      const wanted = await expectAll(page, session.id);
      const types = new Set(wanted.values());
      const { __schema } = await graphql("{ __schema { types { name interfaces { name } } } }");
      const nested = [
        "ToolResultUserMessage",
        "HookResultMessage",
        "McpToolResultMessage",
        "ExposedToolResultMessage",
      ];
      const all = __schema.types
        .filter(({ interfaces }: { interfaces: { name: string }[] | null }) =>
          interfaces?.some(({ name }) => name === "Message"),
        )
        .map(({ name }: { name: string }) => name)
        .filter((name: string) => !nested.includes(name));
      assert.deepEqual(
        all.filter((name: string) => !types.has(name)),
        [],
        "types without a line in this test",
      );
      await page.locator(".entry[data-kind=prompt] img").waitFor();
    });

    browserTest("a call opens with its input, its difference and its result", async (open) => {
      const session = new GrowingSession(server);
      const edit = { file_path: "/home/dev/orchard/a.rs", old_string: "one\ntwo", new_string: "one\nthree" };
      await session.push([
        prompt("Change it"),
        toolUse("edit", "Edit", edit),
        toolResult("edit", "The file was updated"),
        says("Now the command"),
        toolUse("bash", "Bash", { command: "make test" }),
        toolResult("bash", `\x1b[31mFAILED\x1b[0m ${"line\n".repeat(60)}`),
      ]);
      const { page } = await open(`/sessions/${session.id}`);
      await page.locator("[data-call=edit] .entry-line").click();
      await page.locator("[data-call=edit] tr[data-kind=removed]", { hasText: "two" }).waitFor();
      await page.locator("[data-call=edit] tr[data-kind=added]", { hasText: "three" }).waitFor();
      await page.locator("[data-call=edit] .output", { hasText: "The file was updated" }).waitFor();
      assert.equal(await page.locator("[data-call=edit] .entry-changes").innerText(), "+1 −1");
      assert.equal(await page.locator("[data-call=edit] .entry-argument").innerText(), "a.rs");
      await page.locator("[data-call=bash] .entry-line").click();
      await page.locator("[data-call=bash] .ansi-red", { hasText: "FAILED" }).waitFor();
      const result = page.locator("[data-call=bash] .output").last();
      const height = (await result.boundingBox())?.height ?? 0;
      assert.ok(height < 320, `a long result scrolls by itself: ${height}`);
      await result.getByRole("button", { name: "Show all" }).click();
      await page.waitForFunction(
        (before) =>
          (document.querySelector("[data-call=bash] pre[data-whole]")?.clientHeight ?? 0) > before * 2,
        height,
      );
      await page.locator(".messages-scroll").evaluate((list) => {
        list.scrollTop = 0;
      });
      const first = page.locator(".entry[data-kind=prompt]").first();
      await first.hover();
      await first.getByRole("button", { name: "Raw" }).click();
      await page.locator("[data-raw] .output", { hasText: '"type": "user"' }).waitFor();
    });

    browserTest("a subagent is a thread in its call", async (open) => {
      const { page } = await open(`/sessions/${SAMPLE}`);
      const call = page.locator(".entry[data-kind=call]", { hasText: "Agent" }).first();
      await call.locator(".entry-line").first().click();
      const thread = page.locator("[data-subagent]");
      await thread.locator("[data-message]").first().waitFor();
      assert.match(await thread.locator(".subagent-count").innerText(), /^\d+ messages?$/);
    });

    browserTest("files, tasks, cost and lines have tabs in the URL", async (open) => {
      const { page } = await open(`/sessions/${SAMPLE}?tab=files`);
      await page.locator(".file-entry").first().waitFor();
      await page.locator(".edit .diff tr[data-kind=added]").first().waitFor();
      await page.getByRole("tab", { name: "Cost" }).click();
      await page.locator(".turns tbody tr").first().waitFor();
      assert.equal(new URL(page.url()).searchParams.get("tab"), "cost");
      await page.getByRole("tab", { name: "Tasks" }).click();
      await page.locator(".task, .empty").first().waitFor();
      await page.getByRole("tab", { name: "Raw lines" }).click();
      await page.locator(".raw-row button").first().click();
      await page.locator(".raw .output").first().waitFor();
      await page.goBack();
      await page.locator(".task, .empty").first().waitFor();
    });

    browserTest("a link opens its message, in a long session and nested in a call", async (open) => {
      const session = new GrowingSession(server);
      const lines = Array.from({ length: 400 }, (_, n) =>
        n % 10 === 0 ? prompt(`prompt ${n}`) : says(`answer ${n}`),
      );
      lines[201] = toolUse("linked", "Bash", { command: "ls" });
      const result = toolResult("linked", "a result to link to");
      lines.push(result);
      await session.push(lines);
      const wanted = lines[150]?.uuid ?? "";
      const link = (uuid: string) => `/messages/${encodeURIComponent(`${session.id}~main~${uuid}`)}`;
      const { page } = await open(link(wanted));
      const selected = page.locator(".entry[data-selected]");
      await selected.getByText("prompt 150").waitFor();
      assert.ok(page.url().includes(`/sessions/${session.id}?message=`), page.url());
      assert.ok(await selected.evaluate((row) => row.getBoundingClientRect().top < innerHeight));
      await page.locator(".outline [aria-current]", { hasText: "prompt 150" }).waitFor();
      await page.reload();
      await page.locator(".entry[data-selected]").getByText("prompt 150").waitFor();

      // j and k move, and the URL follows.
      await page.keyboard.press("j");
      await page.locator(".entry[data-selected]").getByText("answer 151").waitFor();
      await page.waitForFunction(
        (uuid) => decodeURIComponent(location.search).includes(uuid),
        lines[151]?.uuid ?? "",
      );
      await page.keyboard.press("]");
      await page.locator(".entry[data-selected]").getByText("prompt 160").waitFor();

      // Another tab does not lose the place.
      await page.getByRole("tab", { name: "Cost" }).click();
      await page.locator(".turns tbody tr").first().waitFor();
      await page.getByRole("tab", { name: "Conversation" }).click();
      await page.locator(".messages-row").getByText("prompt 160", { exact: true }).waitFor();

      const other = await open(link(result.uuid));
      await other.page.locator(".entry[data-selected] [data-call=linked]").waitFor();
      const missing = await open(`/sessions/${session.id}?message=Message%3Anone`);
      await missing.page.locator(".messages-row").first().waitFor();
    });

    browserTest("the search within a session walks through its hits", async (open) => {
      const session = new GrowingSession(server);
      const lines = Array.from({ length: 300 }, (_, n) =>
        says(n % 100 === 50 ? `a pomegranate ${n}` : `answer ${n}`),
      );
      await session.push([prompt("Find the fruit"), ...lines]);
      const indexed = async () =>
        (await graphql('{ searchMessages(query: "pomegranate") { linesToIndex } }')).searchMessages
          .linesToIndex === 0;
      for (let tries = 0; !(await indexed()); tries++)
        assert.ok(tries < 1_000, "the index does not catch up");
      const { page } = await open(`/sessions/${session.id}`);
      await page.locator(".messages-row").first().waitFor();
      await page.keyboard.press("f");
      await page.keyboard.type("pomegranate");
      await page.keyboard.press("Enter");
      await page.getByText("1 of 3").waitFor();
      await page.locator(".entry[data-selected]").getByText("a pomegranate 50").waitFor();
      await page.keyboard.press("Enter");
      await page.locator(".entry[data-selected]").getByText("a pomegranate 150").waitFor();
      await page.reload();
      await page.getByText("2 of 3").waitFor();
      await page.locator(".entry[data-selected]").getByText("a pomegranate 150").waitFor();
    });

    browserTest("an open session grows, follows at its end, and counts elsewhere", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("Grow"), ...Array.from({ length: 80 }, (_, n) => says(`leaf ${n}`))]);
      const tab = await open(`/sessions/${session.id}`);
      const { page } = tab;
      // An active session opens at its end.
      await page.getByText("leaf 79", { exact: true }).waitFor();
      await tab.subscribed(["sessionMessageAdded", "nodeUpdated"]);
      await session.push([says("a new leaf")]);
      await page.getByText("a new leaf").waitFor();
      await page.waitForFunction(
        () => document.querySelector("[data-figure=messages]")?.textContent === "82",
      );
      await page.waitForFunction(() => {
        const list = document.querySelector(".messages-scroll");
        return list !== null && list.scrollHeight - list.scrollTop - list.clientHeight < 60;
      });

      const read = page.getByText("leaf 10", { exact: true });
      await page.locator(".messages-scroll").evaluate((list) => {
        list.scrollTop = 0;
      });
      await read.waitFor();
      const top = (await read.boundingBox())?.y;
      await session.push([says("unseen 1"), prompt("A second prompt"), says("unseen 2")]);
      const button = page.getByRole("button", { name: "3 new" });
      await button.waitFor();
      assert.equal((await read.boundingBox())?.y, top, "nothing moves");
      await page.locator(".outline li", { hasText: "A second prompt" }).waitFor();
      await button.click();
      await page.getByText("unseen 2").waitFor();
      await button.waitFor({ state: "detached" });
    });

    browserTest("a late result fills its call in place", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("Run it"), toolUse("late", "Bash", { command: "sleep" })]);
      const tab = await open(`/sessions/${session.id}`);
      const call = tab.page.locator("[data-call=late]");
      await call.and(tab.page.locator("[data-outcome=running]")).waitFor();
      await call.locator(".entry-line").click();
      await call.getByText("No result yet").waitFor();
      await tab.subscribed(["sessionMessageAdded"]);
      await session.push([toolResult("late", "it is done")]);
      await call.and(tab.page.locator("[data-outcome=passed]")).waitFor();
      await call.locator(".output", { hasText: "it is done" }).waitFor();
      assert.equal(await call.count(), 1);
    });

    browserTest("an open session catches up after the server was restarted", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("Before"), says("first")]);
      const tab = await open(`/sessions/${session.id}`);
      await tab.page.getByText("first", { exact: true }).waitFor();
      await tab.subscribed(["sessionMessageAdded"]);
      await server.stop();
      await tab.page
        .getByText("Reconnecting")
        .or(tab.page.locator(".connection:not([data-state=live])"))
        .first()
        .waitFor();
      assert.ok(await tab.page.getByText("first", { exact: true }).isVisible(), "the last data stay");
      await server.serve();
      await session.push([says("second")]);
      await tab.page.getByText("second", { exact: true }).waitFor({ timeout: 30_000 });
    });

    browserTest("hostile content is text: no script runs and nothing is requested", async (open) => {
      const session = new GrowingSession(server);
      const elsewhere = "http://127.0.0.1:9";
      const hostile = [
        `<img src="${elsewhere}/a.png" onerror="window.hacked=1">`,
        `<script>window.hacked=1</script>`,
        `<svg onload="window.hacked=1"><image href="${elsewhere}/b.png"/></svg>`,
        `![picture](${elsewhere}/c.png)`,
        `[run](javascript:window.hacked=1) [data](data:text/html,<script>1</script>) [safe](https://example.com/)`,
        `<iframe src="${elsewhere}"></iframe><style>@import "${elsewhere}/d.css"</style>`,
        `\x1b]8;;${elsewhere}\x07link\x1b]8;;\x07`,
      ].join("\n\n");
      const svg = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`).toString(
        "base64",
      );
      await session.push([
        prompt(hostile),
        says(hostile),
        answer([{ type: "thinking", thinking: hostile }]),
        toolUse("hostile", hostile, { command: hostile, [hostile]: hostile }),
        toolResult("hostile", hostile),
        {
          ...prompt(""),
          message: {
            role: "user",
            content: [
              { type: "image", source: { type: "base64", media_type: "image/svg+xml", data: svg } },
              { type: "text", text: "an image" },
            ],
          },
        },
        { ...prompt(""), type: "system", subtype: hostile, content: hostile },
      ]);
      const { page } = await open(`/sessions/${session.id}`);
      await walk(page);
      for (const at of ["start", "end"]) {
        await page.evaluate(async (at) => {
          const scroller = document.querySelector(".messages-scroll");
          if (!scroller) throw new Error("there is no list");
          scroller.scrollTop = at === "start" ? 0 : scroller.scrollHeight;
          for (let frame = 0; frame < 10; frame++) await new Promise(requestAnimationFrame);
          for (const closed of scroller.querySelectorAll<HTMLElement>(
            ".entry > * .entry-line[aria-expanded=false]",
          ))
            closed.click();
          for (const closed of scroller.querySelectorAll<HTMLElement>(
            ".entry > .entry-line[aria-expanded=false]",
          ))
            closed.click();
        }, at);
      }
      await page.locator(".entry-detail .output").first().waitFor();
      await page.locator(".entry[data-kind=answer] a[href='https://example.com/']").waitFor();
      const found = await page.evaluate(() => ({
        hacked: "hacked" in window,
        elements: document.querySelectorAll(
          ".messages-scroll :is(script, iframe, style, object, embed, form)",
        ).length,
        images: [...document.querySelectorAll<HTMLImageElement>(".messages-scroll img")].map(
          ({ src }) => src,
        ),
        links: [...document.querySelectorAll<HTMLAnchorElement>(".messages-scroll a")]
          .filter(({ origin }) => origin !== location.origin)
          .map(({ href, rel }) => [href, rel]),
      }));
      assert.deepEqual([found.hacked, found.elements, found.images], [false, 0, []]);
      for (const [href, rel] of found.links) {
        assert.match(href ?? "", /^https?:/);
        assert.match(rel ?? "", /noopener/);
      }
    });

    browserTest("a message of another team, or of none, is not found", async (open) => {
      const { page } = await open(`/sessions/${randomUUID()}`);
      await page.getByRole("heading", { name: "There is no such session" }).waitFor();
    });

    test("a session of 20,000 messages stays fast and small", { timeout: 300_000 }, async () => {
      const id = randomUUID();
      const directory = await mkdtemp(join(tmpdir(), "han-long-"));
      const lines: Line[] = [];
      for (let n = 0; lines.length < MANY; n++) {
        lines.push(prompt(`Prompt ${n}: what is left to do in the orchard?`));
        lines.push(
          says(`Answer ${n}.\n\n- **one** thing\n- \`two\` things\n\n\`\`\`rust\nfn main() {}\n\`\`\``),
        );
        for (let call = 0; call < 6; call++)
          lines.push(toolUse(`c${n}-${call}`, "Bash", { command: `make part-${call}` }));
      }
      const text = lines.slice(0, MANY).map((line) => JSON.stringify({ ...line, sessionId: id }));
      await mkdir(join(directory, "-home-dev-orchard"), { recursive: true });
      await writeFile(join(directory, "-home-dev-orchard", `${id}.jsonl`), `${text.join("\n")}\n`);
      await server.push(directory);
      await rm(directory, { recursive: true });

      const tab = await Tab.open(context, `${server.url}/health`);
      const { page } = tab;
      const responded = page.waitForResponse(
        (response) => response.request().postData()?.includes("operationsPageQuery") ?? false,
        { timeout: 60_000 },
      );
      await page.goto(`${server.url}/sessions/${id}`);
      await (await responded).finished();
      const received = Date.now();
      await page.locator(".messages-row").first().waitFor();
      const first = Date.now() - received;

      await page.locator(".outline li").first().waitFor();
      const run = randomUUID();
      await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline", "__metadata"] });
      const { nodes, frames } = await page.evaluate(async (run) => {
        const scroller = document.querySelector(".messages-scroll");
        if (!scroller) throw new Error("there is no list");
        const frame = () => new Promise<number>(requestAnimationFrame);
        const frames: number[] = [];
        let nodes = 0;
        console.timeStamp(run);
        let last = await frame();
        for (let step = 0; step < 600; step++) {
          scroller.scrollTop += step < 450 ? -240 : 240;
          const now = await frame();
          frames.push(now - last);
          last = now;
          nodes = Math.max(nodes, document.querySelectorAll("*").length);
        }
        frames.sort((a, b) => a - b);
        const at = (share: number) => Math.round(frames[Math.floor(share * (frames.length - 1))] ?? 0);
        return { nodes, frames: { median: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1) } };
      }, run);
      const { wall, processor } = tasksOf(await browser.stopTracing(), run);
      console.log(
        `${database}: first content ${first} ms after the response; scrolling: ${nodes} nodes, ` +
          `frames ${JSON.stringify(frames)} ms; longest tasks ${wall} ms, of the processor's time ${processor} ms`,
      );
      assert.ok(first < 1_000, `first content after ${first} ms`);
      assert.ok(nodes < 4_000, `${nodes} nodes`);
      // Other work of the machine interrupts tasks, so that they last longer; their own time is what counts.
      assert.ok((processor[0] ?? 0) <= 50, `a task of ${processor[0]} ms while scrolling`);

      // As many again arrive while the end is read.
      await page.keyboard.press("G");
      await page.waitForFunction(() => {
        const list = document.querySelector(".messages-scroll");
        const isEnd = list && list.scrollHeight - list.scrollTop - list.clientHeight < 48;
        return isEnd && !document.querySelector(".to-end");
      });
      await tab.subscribed(["sessionMessageAdded"]);
      const session = new GrowingSession(server, {}, { id, lines: MANY });
      const before = await page.evaluate(() => document.querySelectorAll("*").length);
      for (let n = 0; n < MANY; n += 500) {
        await session.push(Array.from({ length: 500 }, (_, at) => says(`live ${n + at}`)));
      }
      await page.getByText(`live ${MANY - 1}`, { exact: true }).waitFor({ timeout: 60_000 });
      const after = await page.evaluate(() => document.querySelectorAll("*").length);
      console.log(`${database}: ${before} nodes before, ${after} after ${MANY} more messages`);
      assert.ok(after < 4_000, `${after} nodes`);
      await page.close();
    });

    for (const theme of ["light", "dark"] as const) {
      browserTest(`the ${theme} theme has no accessibility violations`, async (open) => {
        const real = realTranscripts();
        const session = real ? "258c7280-ae70-4798-800f-63464d01a85d" : SAMPLE;
        for (const [name, path, ready] of [
          ["session", `/sessions/${session}`, ".messages-row"],
          ["session-files", `/sessions/${session}?tab=files`, ".edit .diff"],
          ["session-cost", `/sessions/${session}?tab=cost`, ".turns"],
          ["session-tasks", `/sessions/${SAMPLE}?tab=tasks`, ".task, .empty"],
          ["session-raw", `/sessions/${session}?tab=raw`, ".raw-row"],
        ] as const) {
          const { page } = await open(path);
          await page.emulateMedia({ colorScheme: theme });
          await page.locator(ready).first().waitFor();
          if (name === "session") {
            await page.locator(".entry-group > .entry-line").nth(1).click();
            await page.locator(".entry[data-kind=call] .entry-line").first().click();
            await page.locator(".entry-detail .output, .entry-detail .diff, .fields").first().waitFor();
          }
          await page.evaluate(axe);
          const violations = await page.evaluate(async () => {
            // @ts-expect-error: axe is a global of the page
            const { violations } = await window.axe.run({
              runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
            });
            return violations.map(({ id, nodes }: { id: string; nodes: { html: string }[] }) => [
              id,
              nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)),
            ]);
          });
          assert.deepEqual(violations, [], name);
          await page.screenshot({ path: join(artifacts, `${name}-${theme}-wide.png`) });
          await page.setViewportSize(PHONE);
          await page.screenshot({ path: join(artifacts, `${name}-${theme}-phone.png`) });
        }
      });
    }
  });
}
