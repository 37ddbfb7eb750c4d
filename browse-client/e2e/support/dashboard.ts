// What the tests of the dashboard share: sizes of windows, screenshots, the rules of accessibility, and tests with tabs.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { test } from "node:test";

import type { BrowserContext, Page } from "playwright-core";

import { Tab } from "./browser.ts";
import type { Server } from "./server.ts";

export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 800 };

/** A test with several pages takes longer than a usual one on a busy machine. */
const TIMEOUT_MS = 180_000;

/** Where the screenshots go. */
const artifacts = resolve(process.env.HAN_ARTIFACTS ?? resolve(import.meta.dirname, "../../artifacts"));
await mkdir(artifacts, { recursive: true });

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Takes a screenshot of what is in sight. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: resolve(artifacts, `${name}.png`) });
}

/**
 * Waits until the page is drawn in a new theme and size. A list measures its new rows after they were drawn, and moves
 * them: axe would take the background of one place for the text of another.
 */
async function isStill(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const look = () =>
      [...document.querySelectorAll("body *")].map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        const { color, backgroundColor } = getComputedStyle(element);
        return [x, y, width, height, color, backgroundColor].join();
      });
    let [before, frames] = ["", 0];
    while (frames < 5) {
      await new Promise(requestAnimationFrame);
      const now = look().join(";");
      frames = now === before ? frames + 1 : 0;
      before = now;
    }
  });
}

/** The WCAG 2.2 A and AA rules that the page breaks, and where. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: axe adds itself to the window
    const found = await (window as any).axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    });
    return found.violations.flatMap(
      (rule: { id: string; nodes: { html: string; failureSummary: string }[] }) =>
        rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`),
    );
  });
}

/** Checks the rules, and takes a screenshot, in both themes and two widths. */
export async function inspect(page: Page, name: string): Promise<void> {
  const found: string[] = [];
  // Browsers draw the tab in front only.
  await page.bringToFront();
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const [width, viewport] of Object.entries({ wide: WIDE, phone: PHONE })) {
      await page.setViewportSize(viewport);
      await isStill(page);
      await screenshot(page, `${name}-${colorScheme}-${width}`);
      found.push(...(await violations(page)).map((violation) => `${colorScheme}, ${width}: ${violation}`));
    }
  }
  await page.setViewportSize(WIDE);
  assert.deepEqual(found, [], name);
}

export type BrowserTest = (
  name: string,
  body: (open: (path: string) => Promise<Tab>) => Promise<void>,
) => void;

/** Declares tests with tabs of their own, whose scripts must not fail, and which must stay on the server's own origin. */
export function browserTests(of: () => { context: BrowserContext; server: Server }): BrowserTest {
  return (name, body) => {
    test(name, { timeout: TIMEOUT_MS }, async () => {
      const { context, server } = of();
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
  };
}
