// The dashboard that han-server contains, in a real browser, against a real server on each database. The server is empty
// at first, so the tests of one database run in their order.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import type { Browser, BrowserContext, Locator, Page, WebSocketRoute } from "playwright-core";

import { launch, pingOften, Tab } from "./support/browser.ts";
import { browserTests, inspect, WIDE } from "./support/dashboard.ts";
import { databases, Server } from "./support/server.ts";
import {
  GrowingSession,
  type Line,
  prompt,
  recentSamples,
  toolResult,
  toolUse,
} from "./support/transcripts.ts";

/** The most bytes of compressed scripts that the first page loads. */
const SCRIPT_LIMIT = 300 * 1024;

/** A prompt and an answer with a call of a tool, as one of a session's turns. */
function turn(text: string): Line[] {
  const id = randomUUID();
  return [prompt(text), toolUse(id, "Bash", { command: "make" }), toolResult(id, "done")];
}

for (const database of databases) {
  describe(`dashboard on ${database}`, () => {
    let browser: Browser;
    let server: Server;
    /** Signed in as `ana`. */
    let context: BrowserContext;

    before(async () => {
      browser = await launch();
      server = await Server.start(database);
      context = await browser.newContext({ viewport: WIDE });
      await pingOften(context);
    });

    after(async () => {
      await browser?.close();
      await server?.close();
    });

    const browserTest = browserTests(() => ({ context, server }));

    /** Checks and pictures of this database. */
    const inspected = (page: Page, name: string) => inspect(page, `${name}-${database}`);

    const row = (page: Page, text: string): Locator => page.getByRole("row").filter({ hasText: text });

    /** The titles of the sessions on the page, from top to bottom. */
    const titles = (page: Page) => page.locator(".row .line-1 > a:first-child").allInnerTexts();

    /** The list of sessions, ready for what is pushed from now on. */
    async function openList(open: (path: string) => Promise<Tab>, path = "/sessions"): Promise<Tab> {
      const tab = await open(path);
      await tab.subscribed(["memoryUpdated"]);
      return tab;
    }

    browserTest("a browser without a session signs in by link and returns", async (open) => {
      const { page } = await open("/sessions?q=apples");
      await page.waitForURL("**/auth/sign-in?**");
      await inspected(page, "sign-in");
      const link = await Tab.open(context, await server.loginLink());
      await inspected(link.page, "sign-in-link");
      await link.page.getByRole("button", { name: "Sign in" }).click();
      await link.page.waitForURL("**/sessions?q=apples");
      assert.deepEqual(link.errors, []);
      await link.page.close();
    });

    browserTest("the empty page turns into the list, and figures grow in place", async (open) => {
      const tab = await openList(open, "/");
      const { page } = tab;
      await page.waitForURL("**/sessions");
      await page.getByText(`han-coordinator login --server ${server.url}`).waitFor();
      await page.getByText("han-coordinator push ~/.claude/projects").waitFor();
      await inspected(page, "first-session");
      let loads = 0;
      page.on("load", () => {
        loads += 1;
      });

      const session = new GrowingSession(server);
      await session.push(turn("Count the apples"));
      const counted = row(page, "Count the apples");
      await counted.waitFor();
      assert.equal(await counted.locator(".cell-turns").innerText(), "1");
      await counted.getByTitle("Active now").waitFor();
      await tab.subscribed(["nodeUpdated"]);
      await session.push(turn("Count the pears"));
      await counted.locator(".cell-turns", { hasText: "2" }).waitFor();
      await session.push(turn("Count the plums"));
      await counted.locator(".cell-turns", { hasText: "3" }).waitFor();
      assert.equal(loads, 0);
    });

    browserTest("the first page loads few scripts, and no style in its markup", async (open) => {
      const tab = await openList(open);
      await tab.shows(".row a");
      const { bytes, inline } = await tab.page.evaluate(() => ({
        bytes: (performance.getEntriesByType("resource") as PerformanceResourceTiming[])
          // The scripts of the other pages follow two seconds later.
          .filter(({ name, startTime }) => name.endsWith(".js") && startTime < 2_000)
          .reduce((sum, entry) => sum + entry.encodedBodySize, 0),
        inline: document.querySelectorAll("style, script:not([src])").length,
      }));
      assert.ok(bytes > 100_000 && bytes <= SCRIPT_LIMIT, `${bytes} bytes of scripts`);
      assert.equal(inline, 0);
    });

    browserTest("new sessions wait behind a button and move nothing", async (open) => {
      const tab = await openList(open);
      const { page } = tab;
      await tab.shows(".row a");
      await page.locator(".row").first().hover();
      const before = await titles(page);
      await new GrowingSession(server).push(turn("Press the cider"));
      await new GrowingSession(server).push(turn("Fill the bottles"));
      const button = page.getByRole("button", { name: "2 new" });
      await button.waitFor();
      assert.deepEqual(await titles(page), before);
      await button.click();
      await row(page, "Press the cider").waitFor();
      assert.deepEqual(await titles(page), ["Fill the bottles", "Press the cider", ...before]);
      await button.waitFor({ state: "detached" });
    });

    browserTest(
      "a session that becomes active again keeps its place until the list is refreshed",
      async (open) => {
        const past = new Date(Date.now() - 3 * 86_400_000).toISOString();
        const session = new GrowingSession(server);
        await session.push([{ ...prompt("Graft the old tree"), timestamp: past }]);
        const tab = await openList(open);
        const { page } = tab;
        const grafted = row(page, "Graft the old tree");
        await grafted.waitFor();
        await tab.subscribed(["nodeUpdated"]);
        await page.locator(".row").first().hover();
        const lines = () => page.locator(".row .line-1 > a:first-child, .day-row h2").allInnerTexts();
        const before = await lines();
        assert.equal(before.at(-1), "Graft the old tree");
        assert.equal(before.filter((line) => line === "Today").length, 1);
        await session.push([prompt("Graft it again")]);
        await grafted.locator(".cell-turns", { hasText: "2" }).waitFor();
        await grafted.getByTitle("Active now").waitFor();
        assert.deepEqual(await lines(), before);
        await page.keyboard.press("r");
        await page.waitForFunction(() =>
          document.querySelector(".row .line-1 > a")?.textContent?.startsWith("Graft the old tree"),
        );
        assert.deepEqual((await lines()).slice(0, 2), ["Today", "Graft the old tree"]);
      },
    );

    browserTest("filters are in the URL, and back removes them", async (open) => {
      const samples = await recentSamples();
      await server.push(samples);
      await rm(samples, { recursive: true });
      await new GrowingSession(server, { project_path: "/home/dev/cellar" }).push(turn("Cool the cellar"));
      const { page } = await openList(open);
      await row(page, "Cool the cellar").waitFor();
      const all = await titles(page);

      await page.getByRole("button", { name: "Filter" }).click();
      await inspected(page, "filters");
      await page.getByRole("option", { name: "Project" }).click();
      await page.getByRole("searchbox", { name: "Find: Project" }).fill("cell");
      await page.getByRole("option", { name: "cellar" }).click();
      await row(page, "Press the cider").waitFor({ state: "detached" });
      assert.deepEqual(await titles(page), ["Cool the cellar"]);
      assert.match(new URL(page.url()).search, /^\?project=prj_[0-9a-f]+$/);
      await page.getByRole("button", { name: "Remove the filter Project" }).waitFor();

      // The link opens this view in another tab.
      const other = await open(new URL(page.url()).pathname + new URL(page.url()).search);
      await row(other.page, "Cool the cellar").waitFor();
      assert.deepEqual(await titles(other.page), ["Cool the cellar"]);

      await page.goBack();
      await row(page, "Press the cider").waitFor();
      assert.deepEqual(await titles(page), all);

      await page.getByRole("searchbox", { name: "Filter by" }).fill("cider");
      await row(page, "Cool the cellar").waitFor({ state: "detached" });
      assert.deepEqual(await titles(page), ["Press the cider"]);
      assert.equal(new URL(page.url()).search, "?q=cider");
      await page.getByRole("searchbox", { name: "Filter by" }).fill("no such session");
      await page.getByRole("heading", { name: "No session matches" }).waitFor();
      await inspected(page, "nothing-matches");
      await page.getByRole("button", { name: "Remove all" }).click();
      await row(page, "Cool the cellar").waitFor();
    });

    browserTest("a model, a person and a period limit the list", async (open) => {
      const none = "?since=2001-01-01&until=2001-01-02";
      const { page } = await openList(open, `/sessions${none}`);
      await page.getByRole("heading", { name: "No session matches" }).waitFor();
      await page.goto(`${server.url}/sessions?model=claude-opus-4-6&since=2001-01-01`);
      await row(page, "Press the cider").waitFor();
      await page.goto(`${server.url}/sessions?model=none`);
      await page.getByRole("heading", { name: "No session matches" }).waitFor();
      await page.goto(`${server.url}/sessions`);
      await page.getByRole("button", { name: "Filter" }).click();
      await page.getByRole("option", { name: "Person" }).click();
      await page.getByRole("option", { name: "ana" }).click();
      await page.waitForURL(/\?person=/);
      await row(page, "Press the cider").waitFor();
    });

    browserTest("forks fold under the session in which they began", async (open) => {
      const begun = turn("Prune the trees");
      await new GrowingSession(server).push(begun);
      await new GrowingSession(server).push([...begun, ...turn("Prune the hedge, too")]);
      const { page } = await openList(open);
      const button = page.getByRole("button", { name: "1 fork" });
      await button.waitFor();
      const origin = row(page, "Prune the trees");
      assert.equal(await origin.count(), 1);
      await button.click();
      await page.locator(".row .badge", { hasText: "Fork" }).waitFor();
      assert.equal(await origin.count(), 2);
      await inspected(page, "sessions");
      await origin.first().getByRole("link").focus();
      await page.keyboard.press("o");
      await page.locator(".row .badge", { hasText: "Fork" }).waitFor({ state: "detached" });
    });

    browserTest("the keyboard walks through the list and opens a session", async (open) => {
      const { page } = await openList(open);
      await row(page, "Cool the cellar").waitFor();
      const focused = () => page.evaluate(() => document.activeElement?.textContent);
      const all = await titles(page);
      await page.keyboard.press("j");
      await page.waitForFunction((title) => document.activeElement?.textContent === title, all[0]);
      await page.keyboard.press("j");
      await page.waitForFunction((title) => document.activeElement?.textContent === title, all[1]);
      await page.keyboard.press("k");
      await page.waitForFunction((title) => document.activeElement?.textContent === title, all[0]);
      const opened = await focused();
      await page.keyboard.press("Enter");
      await page.waitForURL("**/sessions/*");
      await page.getByRole("heading", { level: 1 }).waitFor();
      assert.ok(opened);
      await page.goBack();
      await row(page, "Cool the cellar").waitFor();
      assert.deepEqual(await titles(page), all);
      await page.keyboard.press("?");
      await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
      await inspected(page, "keys");
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await page.keyboard.press("g");
      await page.keyboard.press("f");
      await page.waitForURL("**/search");
      await page.keyboard.press("g");
      await page.keyboard.press("s");
      await page.waitForURL("**/sessions");
    });

    browserTest("a search shows its words in context and leads to the message", async (open) => {
      const session = new GrowingSession(server);
      const hit = prompt("The Élan vital of QUINCES is marked, whatever its case");
      await session.push([prompt("About something else"), hit, prompt("And a last line")]);
      const { page } = await openList(open);
      await page.keyboard.press("/");
      await page.keyboard.type("quinces elan");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/search?q=quinces+elan");
      const found = page.getByRole("link", { name: "Prompt The Élan vital" });
      const again = page.getByRole("button", { name: "Search again" });
      const nothing = page.getByRole("heading", { name: "No message matches" });
      // New lines are indexed in the background; until then the page says that it may be incomplete.
      for (let attempt = 0; attempt < 50; attempt++) {
        await found.or(again).or(nothing).first().waitFor();
        if (await found.count()) break;
        await ((await again.count()) ? again.click() : page.reload());
      }
      assert.deepEqual(await found.locator("mark").allInnerTexts(), ["Élan", "QUINCES"]);
      await inspected(page, "search");
      await page.keyboard.press("j");
      await page.keyboard.press("Enter");
      await page.waitForURL(`**/sessions/${session.id}?**`);
      const { searchParams } = new URL(page.url());
      assert.equal(searchParams.get("message"), `Message:${session.id}~main~${hit.uuid}`);
      await page.goBack();
      await found.waitFor();
    });

    browserTest("three hits of a session are shown, and the others on demand", async (open) => {
      const session = new GrowingSession(server);
      await session.push(
        ["one", "two", "three", "four", "five"].map((n) => prompt(`Medlars of basket ${n}`)),
      );
      const { page } = await open("/search?q=medlars");
      const hits = page.locator(".hit");
      for (let attempt = 0; attempt < 50; attempt++) {
        await page.locator(".results .summary").waitFor();
        if (await page.getByRole("button", { name: "Show 2 more" }).count()) break;
        await page.reload();
      }
      assert.equal(await hits.count(), 3);
      await page.getByRole("button", { name: "Show 2 more" }).click();
      assert.equal(await hits.count(), 5);
      await page.goto(`${server.url}/search`);
      await page.getByRole("heading", { name: "Search the messages" }).waitFor();
      await inspected(page, "search-help");
    });

    browserTest("a message's link leads to its session", async (open) => {
      const session = new GrowingSession(server);
      const linked = prompt("The line of the link");
      await session.push([linked]);
      const id = `${session.id}~main~${linked.uuid}`;
      const { page } = await open(`/messages/${encodeURIComponent(id)}`);
      await page.waitForURL(`**/sessions/${session.id}?**`);
      assert.equal(new URL(page.url()).searchParams.get("message"), `Message:${id}`);
      await page.goto(`${server.url}/messages/none`);
      await page.getByRole("heading", { name: "There is no such message" }).waitFor();
      await page.goto(`${server.url}/sessions/none`);
      await page.getByText("There is no such session").waitFor();
      await page.goto(`${server.url}/no/such/page`);
      await page.getByRole("heading", { name: "There is no such page" }).waitFor();
    });

    browserTest("the page catches up by itself after the server was restarted", async (open) => {
      const session = new GrowingSession(server);
      await session.push(turn("Survive a restart"));
      const tab = await openList(open);
      const { page } = tab;
      const counted = row(page, "Survive a restart");
      await counted.locator(".cell-turns", { hasText: "1" }).waitFor();
      await page.locator(".row").first().hover();
      await server.stop();
      await page.getByText("The server cannot be reached.").waitFor();
      await page.getByText(/^Offline since/).waitFor();
      assert.equal(await counted.count(), 1, "the last data stay");
      await page.getByRole("link", { name: "Search", exact: true }).click();
      await page.getByRole("heading", { name: "Search the messages" }).waitFor();
      await page.getByRole("link", { name: "Sessions", exact: true }).click();
      await counted.waitFor();
      await inspected(page, "offline");
      await server.serve();
      await session.push(turn("Go on after it"));
      await new GrowingSession(server).push(turn("Begin after it"));
      await page.getByText("Live", { exact: true }).waitFor();
      await counted.locator(".cell-turns", { hasText: "2" }).waitFor();
      await page.getByRole("button", { name: "1 new" }).waitFor();
    });

    test("the page comes back after the server closed the socket of a suspended client", async () => {
      const tab = await Tab.open(context, `${server.url}/auth/sign-in`);
      const { page } = tab;
      const sockets: WebSocketRoute[] = [];
      await page.routeWebSocket(/graphql/, (socket) => {
        sockets.push(socket);
        socket.connectToServer();
      });
      await page.goto(`${server.url}/sessions`);
      const live = page.getByText("Live", { exact: true });
      await live.waitFor();
      await row(page, "Cool the cellar").waitFor();
      await page.locator(".row").first().hover();
      await sockets[0]?.close({ code: 1008, reason: "too slow" });
      await live.waitFor({ state: "detached" });
      await new GrowingSession(server).push(turn("Wake up again"));
      await live.waitFor();
      await page.getByRole("button", { name: "1 new" }).waitFor();
      assert.deepEqual(tab.errors, []);
      await page.close();
    });

    browserTest("a failure names the request and can be tried again", async (open) => {
      const { page } = await openList(open);
      await page.route("**/graphql", (route) =>
        route.fulfill({
          status: 503,
          headers: { "x-request-id": "of-the-test" },
          contentType: "application/problem+json",
          body: JSON.stringify({ title: "unavailable", detail: "the database cannot be reached" }),
        }),
      );
      await page.getByRole("link", { name: "Search", exact: true }).click();
      await page.goto(`${server.url}/search?q=anything`);
      await page.getByText("The database cannot be reached.").waitFor();
      await page.getByText("of-the-test").first().waitFor();
      await inspected(page, "error");
      await page.unroute("**/graphql");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.locator(".results .summary").waitFor();
    });

    browserTest("a page whose script is gone offers to load the dashboard again", async (open) => {
      const { page } = await openList(open);
      // As after an update of the server: the names have other hashes.
      await page.route("**/assets/SearchPage-*.js", (route) => route.fulfill({ status: 404 }));
      await page.reload();
      await page.getByRole("link", { name: "Search", exact: true }).click();
      await page.getByText("A part of the dashboard could not be loaded.").waitFor();
      await page.unroute("**/assets/SearchPage-*.js");
      await page.getByRole("button", { name: "Load again" }).click();
      await page.getByRole("heading", { name: "Search the messages" }).waitFor();
    });

    browserTest("a program is approved on the page of the device sign-in", async (open) => {
      const response = await fetch(`${server.url}/auth/device/code`, {
        method: "POST",
        body: new URLSearchParams({ client_id: "tests" }),
      });
      const { verification_uri_complete: url } = await response.json();
      const { page } = await open(url.slice(server.url.length));
      await page.getByRole("heading", { name: "Approve this program?" }).waitFor();
      await inspected(page, "device");
      await page.getByRole("button", { name: "Approve" }).click();
      await page.getByRole("heading", { name: "Approved" }).waitFor();
      await page.goto(`${server.url}/auth/device`);
      await inspected(page, "device-code");
    });

    browserTest("the theme is chosen in the menu and kept", async (open) => {
      const { page } = await openList(open);
      const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await page.emulateMedia({ colorScheme: "light" });
      const light = await background();
      await page.getByRole("button", { name: "Menu of ana" }).click();
      await inspected(page, "menu");
      await page.getByRole("menuitemradio", { name: "Dark" }).click();
      await page.reload();
      await row(page, "Cool the cellar").waitFor();
      assert.notEqual(await background(), light);
    });

    browserTest("the theme is that of all tabs, and ages follow the server's clock", async (open) => {
      const other = await openList(open);
      await row(other.page, "Cool the cellar").waitFor();
      const { page } = await open("/auth/sign-in");
      // A machine whose clock is two days ahead.
      await page.addInitScript(() => {
        const now = Date.now;
        Date.now = () => now() + 2 * 86_400_000;
      });
      await new GrowingSession(server).push(turn("Wind up the clock"));
      await page.goto(`${server.url}/sessions`);
      await row(page, "Wind up the clock").getByTitle("Active now").waitFor();
      await page.getByRole("button", { name: "Menu of ana" }).click();
      await page.getByRole("menuitemradio", { name: "Light" }).click();
      await other.page.waitForFunction(() => document.documentElement.dataset.theme === "light");
    });

    browserTest("queries and addresses that make no sense are explained", async (open) => {
      const { page } = await open("/search?q=%22***%22");
      await page.getByText("It contains no word").waitFor();
      assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0);
      await page.goto(`${server.url}/sessions?since=9999-12-31&until=2026-02-31`);
      await row(page, "Cool the cellar").waitFor();
    });

    browserTest("the menu switches to another team, whose list is its own", async (open) => {
      await server.command(
        "key",
        "create",
        "--user",
        "ana",
        "--team",
        "vineyard",
        "--create",
        "--name",
        "tests",
      );
      const { page } = await openList(open);
      await row(page, "Cool the cellar").waitFor();
      for (const [team, shows] of [
        ["vineyard", page.getByText("The sessions of vineyard appear here")],
        ["orchard", row(page, "Cool the cellar")],
      ] as const) {
        await page.getByRole("button", { name: "Menu of ana" }).click();
        await page.getByRole("menuitemradio", { name: team }).click();
        await shows.waitFor();
      }
    });

    test("a user without a team sees how to join one", async () => {
      await server.command(
        "key",
        "create",
        "--user",
        "bob",
        "--team",
        "orchard",
        "--create",
        "--name",
        "tests",
      );
      const bobs = await browser.newContext({ viewport: WIDE });
      await Tab.signIn(bobs, await server.loginLink("bob"));
      const ask = async (query: string) => {
        const response = await bobs.request.post(`${server.url}/graphql`, {
          headers: { Origin: server.url },
          data: { query },
        });
        return (await response.json()).data;
      };
      const { activeTeam } = await ask("{ activeTeam { id } }");
      await ask(`mutation { leaveTeam(teamId: "${activeTeam.id}") }`);
      const { page, errors } = await Tab.open(bobs, server.url);
      await page.getByRole("heading", { name: "You are in no team yet" }).waitFor();
      await inspected(page, "no-team");
      assert.equal(await page.getByText("Offline").count(), 0);
      assert.deepEqual(errors, []);
      await bobs.close();
    });

    browserTest("signing out ends the session everywhere", async (open) => {
      const other = await openList(open);
      const { page } = await openList(open);
      await page.getByRole("button", { name: "Menu of ana" }).click();
      await page.getByRole("menuitem", { name: "Sign out" }).click();
      await page.waitForURL("**/auth/sign-in?signed_out=1");
      await page.getByRole("heading", { name: "You are signed out" }).waitFor();
      await other.page.getByRole("heading", { name: "You are signed out" }).waitFor();
      await other.page.getByRole("link", { name: "Sign in" }).click();
      await other.page.waitForURL("**/auth/sign-in?return_to=%2Fsessions");
      await page.goto(`${server.url}/sessions`);
      await page.waitForURL("**/auth/sign-in?return_to=%2Fsessions");
    });
  });
}
