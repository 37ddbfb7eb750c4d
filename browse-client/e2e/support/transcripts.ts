// Transcripts to push: the sample sessions as if they were of today, real ones, and sessions that grow line by line.

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, glob, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import type { Server } from "./server.ts";

const repository = resolve(import.meta.dirname, "../../..");

/** The directory of real transcripts, where there is one. */
export function realTranscripts(): string | undefined {
  const directory = process.env.HAN_TEST_TRANSCRIPTS ?? join(repository, "../shared/data/transcripts");
  return existsSync(join(directory, "projects")) ? join(directory, "projects") : undefined;
}

/** A copy of the sample sessions whose last line is an hour old: figures of the last days are not zero. */
export async function recentSamples(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "han-samples-"));
  await cp(join(repository, "examples/sample-sessions/projects"), directory, { recursive: true });
  const times = /"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"/g;
  const files = await Array.fromAsync(glob("**/*.jsonl", { cwd: directory }), async (name) => {
    const path = join(directory, name);
    return { path, text: await readFile(path, "utf8") };
  });
  const latest = Math.max(
    ...files.flatMap(({ text }) => [...text.matchAll(times)].map(([, at]) => Date.parse(at ?? ""))),
  );
  const shift = Date.now() - 3_600_000 - latest;
  for (const { path, text } of files) {
    const moved = text.replace(
      times,
      (_, at: string) => `"${new Date(Date.parse(at) + shift).toISOString()}"`,
    );
    await writeFile(path, moved);
  }
  return directory;
}

export type Line = Record<string, unknown> & { uuid: string };

let lastTime = 0;

/** Fields that every line has. Each line is later than the one before it. */
function common(uuid: string = randomUUID()): Line {
  lastTime = Math.max(Date.now(), lastTime + 1);
  return {
    uuid,
    timestamp: new Date(lastTime).toISOString(),
    cwd: "/home/dev/orchard",
    gitBranch: "main",
    version: "2.1.39",
  };
}

export function prompt(content: string, uuid?: string): Line {
  return { ...common(uuid), type: "user", message: { role: "user", content } };
}

/** An answer with any content blocks. */
export function answer(content: object[]): Line {
  const id = randomUUID();
  const usage = { input_tokens: 10, cache_read_input_tokens: 1_000, output_tokens: 20 };
  const message = { id: `msg_${id}`, role: "assistant", model: "claude-opus-4-6", content, usage };
  return { ...common(), type: "assistant", requestId: `req_${id}`, message };
}

/** An answer that only says something. */
export const says = (text: string): Line => answer([{ type: "text", text }]);

/** A tool use that no result answers yet. */
export function toolUse(id: string, name: string, input: object): Line {
  const usage = { input_tokens: 10, output_tokens: 20 };
  const content = [{ type: "tool_use", id, name, input }];
  const message = { id: `msg_${id}`, role: "assistant", model: "claude-opus-4-6", content, usage };
  return { ...common(), type: "assistant", requestId: `req_${id}`, message };
}

/** `structured` is what Claude Code writes beside the text of a result. */
export function toolResult(id: string, content: string, structured?: object): Line {
  return {
    ...common(),
    type: "user",
    ...(structured && { toolUseResult: structured }),
    message: { role: "user", content: [{ type: "tool_result", tool_use_id: id, content }] },
  };
}

/** One of Han's events, which are lines of the transcript `han`. */
export function hanEvent(eventType: string, data: object, more: object = {}): Line {
  return { ...common(), type: "han_event", eventType, data, ...more };
}

/** A session that a test writes. */
export class GrowingSession {
  readonly id: string;
  #server: Server;
  #metadata: object;
  #offsets = new Map<string, number>();

  /** `from` is a session that has lines already. */
  constructor(server: Server, metadata: object = {}, from: { id: string; lines: number } | null = null) {
    this.id = from?.id ?? randomUUID();
    if (from) this.#offsets.set("main", from.lines);
    this.#server = server;
    this.#metadata = { agent: "claude-code", project_path: "/home/dev/orchard", ...metadata };
  }

  /** Pushes lines. They are stored when this returns. */
  async push(lines: Line[], transcript = "main"): Promise<void> {
    const offset = this.#offsets.get(transcript) ?? 0;
    const messages = lines.map((line) => ({ ...line, sessionId: this.id }));
    const batch = { session_id: this.id, transcript, offset, messages, metadata: this.#metadata };
    const response = await fetch(`${this.#server.url}/api/sync/sessions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.#server.key}` },
      body: JSON.stringify({ sessions: [batch] }),
    });
    const text = await response.text();
    const stored = response.ok ? JSON.parse(text).sessions[0].stored : 0;
    if (stored !== lines.length) throw new Error(`${stored} of ${lines.length} lines were stored: ${text}`);
    this.#offsets.set(transcript, offset + lines.length);
  }
}
