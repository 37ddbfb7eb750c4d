// The benchmark of the dashboard: script/lib/browser-tests --bench. Times of a shared machine vary, so no test asserts
// them; docs/benchmarks.md has those of an idle one.

import { launch, pingOften, Tab } from "./support/browser.ts";
import { WIDE } from "./support/dashboard.ts";
import { type Figures, MANY, readLongSession } from "./support/longSession.ts";
import { Server } from "./support/server.ts";

const RUNS = 3;

const runs: Figures[] = [];
for (let run = 0; run < RUNS; run++) {
  const browser = await launch();
  const server = await Server.start("SQLite");
  const context = await browser.newContext({ viewport: WIDE });
  await pingOften(context);
  await Tab.signIn(context, await server.loginLink());
  runs.push(await readLongSession(browser, context, server));
  await browser.close();
  await server.close();
}

const megabytes = (bytes: number) => (bytes / 1_048_576).toFixed(1);
const row = (name: string, of: (figures: Figures) => string | number) =>
  console.log(`| ${name} | ${runs.map(of).join(" | ")} |`);
console.log(`| ${MANY} messages | ${runs.map((_, at) => `run ${at + 1}`).join(" | ")} |`);
console.log(`| --- ${"| --- ".repeat(RUNS)}|`);
row("first content after the response, ms", ({ firstContent }) => firstContent);
row("frames while scrolling, median / p95 / p99 / longest, ms", ({ frames }) =>
  Object.values(frames).join(" / "),
);
row("longest tasks, elapsed, ms", ({ tasks }) => tasks.elapsed.join(", "));
row("longest tasks, processor time, ms", ({ tasks }) => tasks.processor.join(", "));
row("tasks above 50 ms / all", ({ tasks }) => `${tasks.over50} / ${tasks.all}`);
row("elements, scrolling / at the end", ({ nodes }) => `${nodes.scrolling} / ${nodes.after}`);
row("heap before, and after each fifth of the arriving messages, MiB", ({ heaps }) =>
  heaps.map(megabytes).join(", "),
);
for (const { longest } of runs)
  console.log(`in the longest task: ${longest.map(([name, ms]) => `${name} ${ms} ms`).join(", ")}`);
const worst = Math.max(...runs.map(({ tasks }) => tasks.elapsed[0] ?? 0));
console.log(`longest task while scrolling: ${worst} ms (goal: at most 50 ms)`);
