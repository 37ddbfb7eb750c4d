// The difference of two texts by lines, for edits of files.

import { diffArrays } from "diff";

export type DiffLine = {
  kind: "same" | "added" | "removed";
  text: string;
  /** The line's number in the old and in the new text, from 1; null where it is not part of it. */
  before: number | null;
  after: number | null;
};

/** Unchanged lines that are left out; `lines` is null if it is not known how many. */
export type Gap = { kind: "gap"; lines: number | null };

/** How many unchanged lines are shown beside a change. */
const CONTEXT = 3;

/** Texts with more lines, and more changes, are compared as a whole: comparing them takes too long. */
const MAX_LINES = 20_000;
const MAX_EDITS = 4_000;

function lines(text: string): string[] {
  if (text === "") return [];
  const found = text.split("\n");
  // A newline at the end ends the last line; it begins no other.
  if (found.at(-1) === "") found.pop();
  return found;
}

/** All lines of both texts, in order. */
export function diff(before: string, after: string): DiffLine[] {
  const [from, to] = [lines(before), lines(after)];
  const isLong = from.length + to.length > MAX_LINES;
  const parts = isLong ? undefined : diffArrays(from, to, { maxEditLength: MAX_EDITS });
  const changes = parts ?? [
    { value: from, added: false, removed: true },
    { value: to, added: true, removed: false },
  ];
  const all: DiffLine[] = [];
  let old = 0;
  let now = 0;
  for (const { value, added, removed } of changes) {
    for (const text of value) {
      if (added) all.push({ kind: "added", text, before: null, after: ++now });
      else if (removed) all.push({ kind: "removed", text, before: ++old, after: null });
      else all.push({ kind: "same", text, before: ++old, after: ++now });
    }
  }
  return all;
}

/** The changes with some lines around them. */
export function hunks(all: readonly DiffLine[]): (DiffLine | Gap)[] {
  const near = new Set<number>();
  for (const [at, line] of all.entries()) {
    if (line.kind === "same") continue;
    for (let beside = at - CONTEXT; beside <= at + CONTEXT; beside++) near.add(beside);
  }
  const shown: (DiffLine | Gap)[] = [];
  for (const [at, line] of all.entries()) {
    const last = shown.at(-1);
    if (near.has(at)) shown.push(line);
    else if (last?.kind === "gap" && last.lines !== null) last.lines += 1;
    else shown.push({ kind: "gap", lines: 1 });
  }
  return shown;
}

/** A part of a file that a tool changed, as its result reports it. The first character of a line says what became of it. */
export type FileHunk = {
  readonly oldStart: number;
  readonly newStart: number;
  readonly lines: readonly string[];
};

const KINDS: Record<string, DiffLine["kind"]> = { " ": "same", "+": "added", "-": "removed" };

/** What a result reports, with the numbers of the file's lines. Between its parts are lines that it does not have. */
export function patched(parts: readonly FileHunk[]): (DiffLine | Gap)[] {
  const shown: (DiffLine | Gap)[] = [];
  let end: number | null = null;
  for (const { oldStart, newStart, lines } of parts) {
    if (end !== null) shown.push({ kind: "gap", lines: oldStart > end ? oldStart - end : null });
    let [old, now] = [oldStart, newStart];
    for (const line of lines) {
      const kind = KINDS[line.charAt(0)];
      // `\\ No newline at end of file` is no line of it.
      if (!kind) continue;
      shown.push({
        kind,
        text: line.slice(1),
        before: kind === "added" ? null : old++,
        after: kind === "removed" ? null : now++,
      });
    }
    end = old;
  }
  return shown;
}

export type Edit = {
  path: string | null;
  before: string;
  after: string;
  /** Whether `after` is all of the file, so that its lines have the file's numbers. */
  isWhole: boolean;
};

const text = (value: unknown) => (typeof value === "string" ? value : "");

/** The edits that a tool's input describes; none for a tool that edits no file. */
export function editsOf(tool: string, json: string): Edit[] {
  let input: Record<string, unknown>;
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return [];
    input = parsed as Record<string, unknown>;
  } catch {
    return [];
  }
  const path = text(input.file_path ?? input.notebook_path) || null;
  switch (tool) {
    case "Write":
      return [{ path, before: "", after: text(input.content), isWhole: true }];
    case "Edit":
      return [{ path, before: text(input.old_string), after: text(input.new_string), isWhole: false }];
    case "NotebookEdit":
      return [{ path, before: text(input.old_source), after: text(input.new_source), isWhole: false }];
    case "MultiEdit":
      return (Array.isArray(input.edits) ? input.edits : []).map((edit: Record<string, unknown> | null) => ({
        path,
        before: text(edit?.old_string),
        after: text(edit?.new_string),
        isWhole: false,
      }));
    default:
      return [];
  }
}
