// A session of 20,000 messages in the browser: what its page needs to open, to scroll, and while as many arrive live.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Browser, BrowserContext } from "playwright-core";

import { Tab } from "./browser.ts";
import type { Server } from "./server.ts";
import { GrowingSession, type Line, prompt, says, toolUse } from "./transcripts.ts";

/** The number of messages of the session, and of those that arrive while it is open. */
export const MANY = 20_000;

/** How many times the heap is measured while messages arrive. */
const HEAPS = 5;

const BATCH = 500;

export type Figures = {
  /** From the response with the messages to the first of them in the page, in milliseconds. */
  firstContent: number;
  /** The times between the frames while scrolling, in milliseconds. */
  frames: { median: number; p95: number; p99: number; longest: number };
  /** The longest tasks of the main thread while scrolling, in milliseconds: elapsed, and of the processor. */
  tasks: { elapsed: number[]; processor: number[]; over50: number; all: number };
  /** What took most of the longest task: names of the browser's trace, and milliseconds. */
  longest: [string, number][];
  /** The most elements while scrolling, and those after all messages have arrived. */
  nodes: { scrolling: number; after: number };
  /** The bytes of the heap after a garbage collection: before anything arrives, and after each fifth. */
  heaps: number[];
};

function lines(): Line[] {
  const all: Line[] = [];
  for (let n = 0; all.length < MANY; n++) {
    all.push(prompt(`Prompt ${n}: what is left to do in the orchard?`));
    all.push(says(`Answer ${n}.\n\n- **one** thing\n- \`two\` things\n\n\`\`\`rust\nfn main() {}\n\`\`\``));
    for (let call = 0; call < 6; call++)
      all.push(toolUse(`c${n}-${call}`, "Bash", { command: `make part-${call}` }));
  }
  return all.slice(0, MANY);
}

/** Pushes the session as a developer's machine does; returns its id. */
async function pushLong(server: Server): Promise<string> {
  const id = randomUUID();
  const directory = await mkdtemp(join(tmpdir(), "han-long-"));
  const text = lines().map((line) => JSON.stringify({ ...line, sessionId: id }));
  await mkdir(join(directory, "-home-dev-orchard"), { recursive: true });
  await writeFile(join(directory, "-home-dev-orchard", `${id}.jsonl`), `${text.join("\n")}\n`);
  await server.push(directory);
  await rm(directory, { recursive: true });
  return id;
}

type TraceEvent = {
  name: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  tdur?: number;
  // biome-ignore lint/suspicious/noExplicitAny: the arguments depend on the event
  args?: any;
};

/** The tasks of the main thread of the page that logged `mark`. */
function tasksOf(trace: Buffer, mark: string): Pick<Figures, "tasks" | "longest"> {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const marked = traceEvents.find(({ name, args }) => name === "TimeStamp" && args?.data?.message === mark);
  assert.ok(marked, "the trace has no mark of the page");
  const own = traceEvents.filter(
    ({ pid, tid, dur }) => pid === marked.pid && tid === marked.tid && dur !== undefined,
  );
  const tasks = own.filter(({ name }) => /RunTask/.test(name));
  assert.ok(tasks.length > 100, `the trace has ${tasks.length} tasks`);
  const milliseconds = (time: number | undefined) => Math.round((time ?? 0) / 100) / 10;
  const longest = (times: (number | undefined)[]) =>
    times
      .map(milliseconds)
      .sort((a, b) => b - a)
      .slice(0, 5);
  const worst = tasks.reduce((most, task) => ((task.dur ?? 0) > (most.dur ?? 0) ? task : most));
  const inside = own.filter(
    (event) =>
      event !== worst && event.ts >= worst.ts && event.ts + (event.dur ?? 0) <= worst.ts + (worst.dur ?? 0),
  );
  const sums = new Map<string, number>();
  for (const { name, dur } of inside) sums.set(name, (sums.get(name) ?? 0) + (dur ?? 0));
  return {
    tasks: {
      elapsed: longest(tasks.map(({ dur }) => dur)),
      processor: longest(tasks.map(({ tdur }) => tdur)),
      over50: tasks.filter(({ dur }) => (dur ?? 0) > 50_000).length,
      all: tasks.length,
    },
    longest: [...sums]
      .map(([name, dur]): [string, number] => [name, milliseconds(dur)])
      .sort(([, a], [, b]) => b - a)
      .slice(0, 8),
  };
}

/** Opens the session in a new tab of a signed-in browser, scrolls through it, and lets it grow. */
export async function readLongSession(
  browser: Browser,
  context: BrowserContext,
  server: Server,
): Promise<Figures> {
  const id = await pushLong(server);
  const tab = await Tab.open(context, `${server.url}/health`);
  const { page } = tab;
  const inspector = await context.newCDPSession(page);
  const heap = async () => {
    await inspector.send("HeapProfiler.collectGarbage");
    const { usedSize } = await inspector.send("Runtime.getHeapUsage");
    return usedSize;
  };
  const responded = page.waitForResponse(
    (response) => response.request().postData()?.includes("operationsPageQuery") ?? false,
    { timeout: 60_000 },
  );
  await page.goto(`${server.url}/sessions/${id}`);
  await (await responded).finished();
  const received = Date.now();
  await page.locator(".messages-row").first().waitFor();
  const firstContent = Date.now() - received;

  await page.locator(".outline li").first().waitFor();
  const mark = randomUUID();
  await browser.startTracing(page, {
    categories: ["toplevel", "devtools.timeline", "v8", "__metadata"],
  });
  const scrolled = await page.evaluate(async (mark) => {
    const scroller = document.querySelector(".messages-scroll");
    if (!scroller) throw new Error("there is no list");
    const frame = () => new Promise<number>(requestAnimationFrame);
    const frames: number[] = [];
    let nodes = 0;
    console.timeStamp(mark);
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
  }, mark);
  const { tasks, longest } = tasksOf(await browser.stopTracing(), mark);

  // As many again arrive while the end is read.
  await page.keyboard.press("G");
  await page.waitForFunction(() => {
    const list = document.querySelector(".messages-scroll");
    const isEnd = list && list.scrollHeight - list.scrollTop - list.clientHeight < 48;
    return isEnd && !document.querySelector(".to-end");
  });
  await tab.subscribed(["sessionMessageAdded"]);
  const session = new GrowingSession(server, {}, { id, lines: MANY });
  const heaps = [await heap()];
  for (let n = 0; n < MANY; n += BATCH) {
    await session.push(Array.from({ length: BATCH }, (_, at) => says(`live ${n + at}`)));
    if ((n + BATCH) % (MANY / HEAPS) !== 0) continue;
    await page.getByText(`live ${n + BATCH - 1}`, { exact: true }).waitFor({ timeout: 60_000 });
    heaps.push(await heap());
  }
  const after = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.deepEqual(tab.errors, []);
  await page.close();
  return {
    firstContent,
    frames: scrolled.frames,
    tasks,
    longest,
    nodes: { scrolling: scrolled.nodes, after },
    heaps,
  };
}
