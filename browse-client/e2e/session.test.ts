// The Session page in a real browser, against a real server on each database.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import type { Browser, BrowserContext, Page, WebSocketRoute } from "playwright-core";

import { launch, pingOften, Tab } from "./support/browser.ts";
import { browserTests, inspect, WIDE } from "./support/dashboard.ts";
import { MANY, readLongSession } from "./support/longSession.ts";
import { databases, Server } from "./support/server.ts";
import {
  answer,
  GrowingSession,
  hanEvent,
  type Line,
  prompt,
  realTranscripts,
  recentSamples,
  says,
  toolResult,
  toolUse,
} from "./support/transcripts.ts";

/** A sample session with a subagent, an image or a file change. */
const SAMPLE = "5b1f0c52-7c1e-4b58-9d0a-3f6f3f1f9a01";

/** An image of 32 × 32 pixels. */
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mMwCThCU8QwasGoBaMWjFowasGoBaMWjFowasGoBaMWDBULAJ4fIEzhjOufAAAAAElFTkSuQmCC";

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
    });

    after(async () => {
      await browser?.close();
      await server?.close();
    });

    const browserTest = browserTests(() => ({ context, server }));

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
      await other.page
        .locator(".entry[data-selected] [data-call=linked] .output", { hasText: "a result to link to" })
        .waitFor();
      const missing = await open(`/sessions/${session.id}?message=Message%3Anone`);
      await missing.page.locator(".messages-row").first().waitFor();
    });

    browserTest("a link to a nested result, or to a subagent's line, opens what shows it", async (open) => {
      const session = new GrowingSession(server);
      const results = [
        hanEvent("hook_result", {
          hook_run_id: "nested-run",
          plugin: "p",
          hook: "lint",
          directory: ".",
          success: false,
          output: "the hook says no",
        }),
        hanEvent("mcp_tool_result", {
          call_id: "nested-mcp",
          tool: "find",
          success: true,
          result: "it is found",
        }),
        hanEvent("exposed_tool_result", {
          call_id: "nested-exp",
          tool: "run",
          success: true,
          result: "it has run",
        }),
      ];
      await session.push([
        prompt("Call everything"),
        ...Array.from({ length: 90 }, (_, n) => says(`before ${n}`)),
      ]);
      await session.push(
        [
          hanEvent("hook_run", { hook_run_id: "nested-run", plugin: "p", hook: "lint", directory: "." }),
          hanEvent("mcp_tool_call", { call_id: "nested-mcp", tool: "find", server: "db", input: { q: 1 } }),
          hanEvent("exposed_tool_call", { call_id: "nested-exp", tool: "run", server: "db", input: {} }),
        ],
        "han",
      );
      await session.push(Array.from({ length: 90 }, (_, n) => says(`after ${n}`)));
      await session.push(results, "han");
      for (const [at, text] of ["the hook says no", "it is found", "it has run"].entries()) {
        const id = `${session.id}~han~${results[at]?.uuid}`;
        const { page } = await open(`/messages/${encodeURIComponent(id)}`);
        await page.locator(".entry[data-selected] .output", { hasText: text }).waitFor();
      }

      // The sample has a subagent; its own address, and that of a line in the middle of its thread.
      const { session: sample } = await graphql(
        `{ session(id: "${SAMPLE}") { messages(first: 200) { edges { node {
          ... on AssistantMessage { contentBlocks { ... on ToolUseBlock { agentId } } } } } } } }`,
      );
      const agent = sample.messages.edges
        .flatMap(({ node }: { node: { contentBlocks?: { agentId?: string }[] } }) => node.contentBlocks ?? [])
        .find(({ agentId }: { agentId?: string }) => agentId)?.agentId;
      const data = await graphql(
        `{ session(id: "${SAMPLE}") { messages(first: 100, agentId: "${agent}") { edges { node { id } } } } }`,
      );
      const lines: { node: { id: string } }[] = data.session.messages.edges;
      const line = lines[Math.floor(lines.length / 2)]?.node.id ?? "";
      const { page } = await open(`/messages/${encodeURIComponent(line.slice("Message:".length))}`);
      const selected = page.locator(
        `[data-subagent="${agent}"] .entry[data-selected][data-message="${line}"]`,
      );
      await selected.waitFor();
      assert.equal(await page.locator(".entry[data-selected]").count(), 1);
      await page.waitForFunction((id) => {
        const place = document.querySelector(`[data-message="${id}"]`)?.getBoundingClientRect();
        return place && place.top >= 0 && place.bottom <= innerHeight;
      }, line);
      const other = await open(`/sessions/agent-${agent}`);
      await other.page.waitForURL(`**/sessions/${SAMPLE}?message=*`);
      await other.page.locator(`[data-subagent="${agent}"] .entry[data-selected]`).waitFor();
    });

    browserTest("an edit has the numbers of the file's lines, as its result reports them", async (open) => {
      const session = new GrowingSession(server);
      const edit = { file_path: "/home/dev/orchard/a.rs", old_string: "two", new_string: "three" };
      const structuredPatch = [
        { oldStart: 40, oldLines: 3, newStart: 41, newLines: 3, lines: [" one", "-two", "+three", " four"] },
        { oldStart: 90, oldLines: 1, newStart: 91, newLines: 1, lines: ["-two", "+three"] },
      ];
      await session.push([
        prompt("Change it"),
        toolUse("reported", "Edit", edit),
        toolResult("reported", "updated", { structuredPatch }),
        says("And without a report"),
        toolUse("silent", "Edit", edit),
        toolResult("silent", "updated"),
      ]);
      const { page } = await open(`/sessions/${session.id}`);
      const lines = async (call: string) => {
        await page.locator(`[data-call=${call}] .entry-line`).click();
        await page.locator(`[data-call=${call}] .diff`).waitFor();
        const rows = await page.locator(`[data-call=${call}] .diff tr`).allInnerTexts();
        return rows.map((row) => row.replace(/\s+/g, " ").trim());
      };
      assert.deepEqual(await lines("reported"), [
        "41 one",
        "41 − two",
        "42 + three",
        "43 four",
        "47 unchanged lines",
        "90 − two",
        "91 + three",
      ]);
      assert.deepEqual(await lines("silent"), ["− two", "+ three"]);
      await page.getByRole("tab", { name: "Files" }).click();
      await page.locator(".edit .diff-number", { hasText: "91" }).waitFor();
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

    browserTest(
      "a row that is opened at the end keeps its place, and what arrives then is counted",
      async (open) => {
        const session = new GrowingSession(server);
        await session.push([
          prompt("Open the last row"),
          ...Array.from({ length: 60 }, (_, n) => says(`leaf ${n}`)),
          toolUse("last", "Bash", { command: "make" }),
          toolResult("last", "line\n".repeat(200)),
        ]);
        const tab = await open(`/sessions/${session.id}`);
        const { page } = tab;
        const line = page.locator("[data-call=last] .entry-line");
        await line.waitFor();
        await tab.subscribed(["sessionMessageAdded"]);
        const place = async () => (await line.boundingBox())?.y;
        const before = await place();
        await line.click();
        await page.locator("[data-call=last] .output", { hasText: "line" }).waitFor();
        assert.equal(await place(), before);
        // The conversation stays loaded while another tab of the page is shown.
        await session.push([says("one more")]);
        await page.getByRole("button", { name: "1 new" }).waitFor();
        assert.equal(await place(), before);
        await page.getByRole("tab", { name: "Cost" }).click();
        await page.locator(".turns tbody tr").first().waitFor();
        await page.route("**/graphql", (route) => route.abort());
        await page.getByRole("tab", { name: "Conversation" }).click();
        await page.locator("[data-call=last]").waitFor();
      },
    );

    browserTest("a list that fits into the window follows when it grows out of it", async (open) => {
      const session = new GrowingSession(server);
      const past = new Date(Date.now() - 86_400_000).toISOString();
      await session.push([{ ...prompt("A short one of yesterday"), timestamp: past }]);
      const tab = await open(`/sessions/${session.id}`);
      const { page } = tab;
      await page.locator(".messages-row").first().waitFor();
      await tab.subscribed(["sessionMessageAdded"]);
      for (let n = 0; n < 60; n++) await session.push([says(`leaf ${n}`)]);
      await page.getByText("leaf 59", { exact: true }).waitFor();
      await page.waitForFunction(() => {
        const list = document.querySelector(".messages-scroll");
        return list !== null && list.scrollHeight - list.scrollTop - list.clientHeight < 60;
      });
    });

    browserTest(
      "a page of older messages that comes late neither leaves a gap nor loses the end",
      async (open) => {
        const session = new GrowingSession(server);
        await session.push(Array.from({ length: 300 }, (_, n) => says(`leaf ${n}`)));
        const tab = await open("/health");
        const { page } = tab;
        const held: (() => void)[] = [];
        await page.route("**/graphql", async (route) => {
          const isOlder = /"after":"/.test(route.request().postData() ?? "");
          if (isOlder) await new Promise<void>((release) => held.push(release));
          await route.continue();
        });
        await page.goto(`${server.url}/sessions/${session.id}`);
        await page.getByText("leaf 299", { exact: true }).waitFor();
        await tab.subscribed(["sessionMessageAdded"]);
        const list = page.locator(".messages-scroll");
        await list.hover();
        while (held.length === 0) {
          await page.mouse.wheel(0, -1_000);
          await page.evaluate(() => new Promise(requestAnimationFrame));
        }
        await page.keyboard.press("G");
        // So many that nothing of what was loaded stays.
        for (let n = 300; n < 900; n += 100)
          await session.push(Array.from({ length: 100 }, (_, at) => says(`leaf ${n + at}`)));
        await page.getByText("leaf 899", { exact: true }).waitFor();
        for (const release of held) release();
        await session.push([says("leaf 900")]);
        await page.getByText("leaf 900", { exact: true }).waitFor();
        const shown = await list.evaluate(async (list) => {
          const seen = new Set<number>();
          for (let still = 0; still < 30 && !seen.has(500); ) {
            for (const row of list.querySelectorAll(".messages-row")) {
              const leaf = /leaf (\d+)\d\d:\d\d/.exec(row.textContent ?? "");
              if (leaf) seen.add(Number(leaf[1]));
            }
            const before = list.scrollTop;
            list.scrollTop -= list.clientHeight / 2;
            await new Promise(requestAnimationFrame);
            still = list.scrollTop === before ? still + 1 : 0;
          }
          return [...seen].sort((a, b) => a - b);
        });
        const first = shown[0] ?? 0;
        assert.ok(first <= 500, `the first is ${first}`);
        assert.deepEqual(
          shown,
          Array.from({ length: 901 - first }, (_, at) => first + at),
        );
      },
    );

    browserTest("calls that form one group are loaded on demand, at either end", async (open) => {
      const session = new GrowingSession(server);
      const before = [prompt("Run them all")];
      const calls = Array.from({ length: 620 }, (_, n) =>
        toolUse(`call-${n}`, "Bash", { command: `run ${n}` }),
      );
      await session.push([...before, ...calls]);
      const { page, requests } = await open(`/sessions/${session.id}`);
      const pages = () => requests.filter((one) => /"(?:after|before)":"/.test(one.postData() ?? "")).length;
      const list = page.locator(".messages-scroll");
      await list.getByText("500 calls, 500 running").waitFor();
      const untilFull = pages();
      const isThere = list.getByText("Run them all");
      const older = page.getByRole("button", { name: "Older messages" });
      // A click while a page is fetched asks for nothing.
      while (!(await isThere.isVisible())) await older.click({ timeout: 1_000 }).catch(() => {});
      await list.getByText("499 calls, 499 running").waitFor();
      await page.getByRole("button", { name: "Newer messages" }).click();
      await list.getByText("500 calls, 500 running").waitFor();
      // Three pages of older messages, one of newer ones.
      assert.equal(pages() - untilFull, 4);
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

    test("an open session catches up after RESYNC, and goes on live", async () => {
      const session = new GrowingSession(server);
      await session.push([prompt("Before"), says("first")]);
      const tab = await Tab.open(context, `${server.url}/health`);
      const { page } = tab;
      // The server ends the subscriptions of a client that falls behind. Here a proxy does so, as the server would: it
      // keeps back a message, and then reports the loss.
      const subscriptions = new Map<string, string>();
      let toPage: WebSocketRoute | undefined;
      let isBehind = false;
      await page.routeWebSocket(/graphql/, (socket) => {
        toPage = socket;
        const upstream = socket.connectToServer();
        socket.onMessage((text) => {
          const { type, id, payload } = JSON.parse(String(text));
          if (type === "subscribe") subscriptions.set(id, payload.query);
          upstream.send(text);
        });
        upstream.onMessage((text) => {
          const { type, id } = JSON.parse(String(text));
          const isOne = /sessionMessageAdded|nodeUpdated/.test(subscriptions.get(id) ?? "");
          if (!(isBehind && type === "next" && isOne)) socket.send(text);
        });
      });
      await page.goto(`${server.url}/sessions/${session.id}`);
      await page.getByText("first", { exact: true }).waitFor();
      await tab.subscribed(["sessionMessageAdded", "nodeUpdated"]);
      isBehind = true;
      await session.push([says("missed")]);
      const before = tab.frames.length;
      const errors = [{ message: "some events were lost", extensions: { code: "RESYNC" } }];
      for (const [id, query] of [...subscriptions]) {
        if (!/sessionMessageAdded|nodeUpdated/.test(query)) continue;
        toPage?.send(JSON.stringify({ type: "error", id, payload: errors }));
      }
      await page.getByText("missed", { exact: true }).waitFor();
      await page.waitForFunction(() => document.querySelector("[data-figure=messages]")?.textContent === "3");
      isBehind = false;
      await tab.subscribed(["sessionMessageAdded", "nodeUpdated"], before);
      await session.push([says("live again")]);
      await page.getByText("live again", { exact: true }).waitFor();
      await page.waitForFunction(() => document.querySelector("[data-figure=messages]")?.textContent === "4");
      assert.deepEqual(tab.errors, []);
      await page.close();
    });

    browserTest("a session whose content was purged says so", async (open) => {
      const session = new GrowingSession(server);
      await session.push([prompt("How long is this kept?"), says("for long")]);
      const id = (await graphql("{ activeTeam { teamId } }")).activeTeam.teamId;
      const retention =
        "mutation($id: String!, $days: Int) { setRetention(teamId: $id, days: $days) { retentionDays } }";
      const { setRetention } = await graphql(retention, { id, days: 1 });
      assert.equal(setRetention.retentionDays, 1);
      const tab = await open(`/sessions/${session.id}`);
      await tab.page.getByText("for long", { exact: true }).waitFor();
      await server.stop();
      // As if its last line had arrived two days ago, and the job were due.
      await server.execute(
        `UPDATE sessions SET synced_at = synced_at - 172800000 WHERE session_id = '${session.id}'; UPDATE jobs SET due_at = 0`,
      );
      await server.serve();
      await tab.page.getByText("content purged", { exact: true }).waitFor();
      await tab.page.reload();
      await tab.page.getByText("The content of this session was purged").waitFor();
      assert.equal(await tab.page.locator("[data-figure=messages]").textContent(), "2");
      await graphql(retention, { id, days: null });
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
        "rm \u202etxt.exe\u202c",
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
      // No text changes the direction of another.
      const text = await page.evaluate(() => document.body.textContent ?? "");
      assert.match(text, /rm \[U\+202E\]txt\.exe/);
      assert.doesNotMatch(text, /[\u202a-\u202e\u2066-\u2069]/);
      for (const [href, rel] of found.links) {
        assert.match(href ?? "", /^https?:/);
        assert.match(rel ?? "", /noopener/);
      }
    });

    browserTest("a message of another team, or of none, is not found", async (open) => {
      const { page } = await open(`/sessions/${randomUUID()}`);
      await page.getByRole("heading", { name: "There is no such session" }).waitFor();
    });

    test("the page of 20,000 messages keeps its size, also while as many arrive", {
      timeout: 300_000,
    }, async () => {
      const { nodes, heaps, ...times } = await readLongSession(browser, context, server);
      console.log(`${database}, ${MANY} messages: ${JSON.stringify({ nodes, heaps, ...times })}`);
      assert.ok(nodes.scrolling < 4_000 && nodes.after < 4_000, JSON.stringify(nodes));
      const [first = 0, ...later] = heaps;
      // The page holds 500 of them. All 20,000 as objects would need several times as much.
      assert.ok(Math.max(...later) < first + 8 * 1_048_576, `bytes of the heap: ${heaps}`);
    });

    browserTest("no view of a session has accessibility violations, in either theme", async (open) => {
      const real = realTranscripts();
      if (real) await server.push(real);
      const session = real ? "258c7280-ae70-4798-800f-63464d01a85d" : SAMPLE;
      for (const [name, path, ready] of [
        ["session", `/sessions/${session}`, ".messages-row"],
        ["session-files", `/sessions/${session}?tab=files`, ".edit .diff"],
        ["session-cost", `/sessions/${session}?tab=cost`, ".turns"],
        ["session-tasks", `/sessions/${SAMPLE}?tab=tasks`, ".task, .empty"],
        ["session-raw", `/sessions/${session}?tab=raw`, ".raw-row"],
      ] as const) {
        const { page } = await open(path);
        await page.locator(ready).first().waitFor();
        if (name === "session") {
          await page.locator(".entry-group > .entry-line").nth(1).click();
          await page.locator(".entry[data-kind=call] .entry-line").first().click();
          await page.locator(".entry-detail .output, .entry-detail .diff, .fields").first().waitFor();
        }
        await inspect(page, `${name}-${database}`);
      }
    });
  });
}
