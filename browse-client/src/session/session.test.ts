// The pure functions of the Session page.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { safeUrl } from "../ui/links.ts";
import { ansi, withoutAnsi } from "./ansi.ts";
import { diff, editsOf, hunks, patched } from "./diff.ts";
import { type Change, filesOf, messageOf, treeOf } from "./files.ts";
import { groupLabel, type Part, partsOf, type Row, rowsOf, toolsOf } from "./items.ts";
import type { Message } from "./operations.ts";
import { entryAt, type OutlineEntry, titleOf, turnsOf } from "./outline.ts";
import { addNewer, addOlder, EMPTY, type Entry, type Loaded, receive } from "./window.ts";

describe("ANSI", () => {
  test("colours and weights become classes", () => {
    assert.deepEqual(ansi("\x1b[1;31mred\x1b[0m plain \x1b[38;5;28mgreen\x1b[39m"), [
      { text: "red", style: "ansi-red ansi-bold" },
      { text: " plain ", style: null },
      { text: "green", style: "ansi-green" },
    ]);
    assert.deepEqual(ansi("\x1b[38;2;255;0;0mx\x1b[48;2;1;2;31my"), [{ text: "xy", style: "ansi-red" }]);
  });

  test("everything that is no text is removed", () => {
    const hostile =
      "a\x1b]0;title\x07b\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\c\x1b[2J\x1b[10;10Hd\x1b(Be\x00\x07f";
    assert.equal(withoutAnsi(hostile), "ablinkcdef");
    assert.equal(withoutAnsi("an unfinished \x1b[3"), "an unfinished ");
    assert.equal(withoutAnsi("an unfinished \x1b]8;;https://evil.example"), "an unfinished ");
  });

  test("characters that change the direction of text are labels", () => {
    assert.equal(withoutAnsi("rm \u202etxt.exe\u2069"), "rm [U+202E]txt.exe[U+2069]");
  });

  test("a line that was written over shows what was written last", () => {
    assert.equal(withoutAnsi("10 %\r50 %\r100 %\ndone\r\n"), "100 %\ndone\n");
  });
});

describe("differences", () => {
  test("lines have numbers in their own text", () => {
    assert.deepEqual(diff("a\nb\nc", "a\nx\nc\nd"), [
      { kind: "same", text: "a", before: 1, after: 1 },
      { kind: "removed", text: "b", before: 2, after: null },
      { kind: "added", text: "x", before: null, after: 2 },
      { kind: "same", text: "c", before: 3, after: 3 },
      { kind: "added", text: "d", before: null, after: 4 },
    ]);
  });

  test("unchanged lines far from a change are a gap", () => {
    const before = Array.from({ length: 20 }, (_, n) => `line ${n}`);
    const after = before.with(10, "changed");
    const shown = hunks(diff(before.join("\n"), after.join("\n")));
    assert.deepEqual(shown[0], { kind: "gap", lines: 7 });
    assert.deepEqual(shown.at(-1), { kind: "gap", lines: 6 });
    assert.equal(shown.length, 10);
  });

  test("what a result reports has the numbers of the file's lines", () => {
    assert.deepEqual(
      patched([
        { oldStart: 5, newStart: 6, lines: [" a", "-b", "+c", "\\ No newline at end of file"] },
        { oldStart: 9, newStart: 9, lines: ["+d"] },
        { oldStart: 2, newStart: 2, lines: ["", "x"] },
      ]),
      [
        { kind: "same", text: "a", before: 5, after: 6 },
        { kind: "removed", text: "b", before: 6, after: null },
        { kind: "added", text: "c", before: null, after: 7 },
        { kind: "gap", lines: 2 },
        { kind: "added", text: "d", before: null, after: 9 },
        { kind: "gap", lines: null },
      ],
    );
    assert.deepEqual(patched([]), []);
  });

  test("the edits of a tool come from its input", () => {
    const input = JSON.stringify({ file_path: "/a", edits: [{ old_string: "x", new_string: "y" }, null] });
    assert.deepEqual(editsOf("MultiEdit", input), [
      { path: "/a", before: "x", after: "y", isWhole: false },
      { path: "/a", before: "", after: "", isWhole: false },
    ]);
    for (const input of ["", "[]", "null", '"text"', "{"])
      assert.deepEqual(editsOf("Edit", input).slice(1), []);
    assert.deepEqual(editsOf("Bash", "{}"), []);
  });
});

/** An entry of a list of numbers. */
const entry = (index: number): Entry<number> => ({
  id: `m${index}`,
  cursor: `c${index}`,
  index,
  message: index,
});

const loaded = (from: number, to: number, total: number): Loaded<number> => ({
  entries: Array.from({ length: to - from }, (_, at) => entry(from + at)),
  hasOlder: from > 0,
  hasNewer: to < total,
  total,
});

const indexes = ({ entries }: Loaded<number>) => entries.map(({ index }) => index);

describe("the loaded part of a list", () => {
  test("a page at one end drops messages at the other", () => {
    const older = addOlder(loaded(10, 20, 20), loaded(4, 10, 20), entry(10).id, { limit: 12 });
    assert.deepEqual([indexes(older)[0], indexes(older).at(-1)], [4, 15]);
    assert.deepEqual([older.hasOlder, older.hasNewer], [true, true]);
    const newer = addNewer(older, loaded(14, 20, 20), entry(15).id, 12);
    assert.deepEqual([indexes(newer)[0], indexes(newer).at(-1)], [8, 19]);
    assert.deepEqual([newer.hasOlder, newer.hasNewer], [true, false]);
  });

  test("older messages are dropped while the end is read", () => {
    const { entries, ...rest } = addOlder(loaded(10, 20, 20), loaded(4, 10, 19), entry(10).id, {
      limit: 12,
      keep: "newest",
    });
    assert.deepEqual([entries[0]?.index, entries.at(-1)?.index], [8, 19]);
    assert.deepEqual(rest, { hasOlder: true, hasNewer: false, total: 20 });
  });

  test("a page that no longer borders on what is loaded is ignored", () => {
    const moved = loaded(12, 20, 20);
    assert.equal(addOlder(moved, loaded(4, 10, 20), entry(10).id), moved);
    assert.equal(addNewer(loaded(5, 9, 20), loaded(12, 20, 20), entry(11).id).entries.length, 4);
  });

  test("new messages are added at the end, and only if the end is loaded", () => {
    const atEnd = receive(loaded(0, 5, 5), [entry(5), entry(6)]);
    assert.deepEqual([indexes(atEnd.loaded), atEnd.added], [[0, 1, 2, 3, 4, 5, 6], 2]);
    const elsewhere = receive(loaded(0, 5, 50), [entry(50)]);
    assert.deepEqual([elsewhere.loaded.entries.length, elsewhere.loaded.total, elsewhere.added], [5, 51, 1]);
    assert.deepEqual(indexes(receive(EMPTY as Loaded<number>, [entry(0)]).loaded), [0]);
  });

  test("a late result replaces its message and is not new", () => {
    const late = { ...entry(3), message: 33 };
    const { loaded: after, added } = receive(loaded(0, 5, 5), [late]);
    assert.deepEqual([after.entries[3]?.message, after.entries.length, added], [33, 5, 0]);
    const { loaded: other, added: none } = receive(loaded(10, 15, 20), [entry(2)]);
    assert.deepEqual([indexes(other), other.total, none], [[10, 11, 12, 13, 14], 20, 0]);
  });

  test("a message that arrives late is put into its place", () => {
    const { loaded: after } = receive(loaded(0, 3, 3), [{ ...entry(1), id: "late" }]);
    assert.deepEqual(
      after.entries.map(({ id, index }) => [id, index]),
      [
        ["m0", 0],
        ["late", 1],
        ["m1", 2],
        ["m2", 3],
      ],
    );
  });

  test("any number of arriving messages keeps a bounded part", () => {
    let state = loaded(0, 10, 10);
    for (let at = 10; at < 2_000; at += 10) {
      const arrived = Array.from({ length: 10 }, (_, n) => entry(at + n));
      state = receive(state, arrived, 50).loaded;
    }
    assert.equal(state.entries.length, 50);
    assert.deepEqual([state.total, state.hasOlder, state.hasNewer], [2_000, true, false]);
    assert.equal(state.entries.at(-1)?.index, 1_999);
  });
});

/** A message of a type, with fields as the server sends them. */
function message(typename: string, fields: object = {}): Message {
  const common = {
    id: `Message:s~main~${typename}`,
    timestamp: "2026-01-01T00:00:00.000Z",
    searchText: "words",
  };
  return { __typename: typename, ...common, agentId: null, rawBytes: 10, ...fields } as unknown as Message;
}

function call(id: string, isError: boolean | null, more: object = {}): Message {
  const result = isError === null ? null : { isError, preview: "", isLong: false, bytes: 0, hasImage: false };
  const block = {
    __typename: "ToolUseBlock",
    toolCallId: id,
    name: "Bash",
    displayName: "Bash",
    argument: "ls",
  };
  return message("AssistantMessage", {
    id: `Message:s~main~${id}`,
    contentBlocks: [{ ...block, inputBytes: 2, startedAgent: null, result, ...more }],
  });
}

const text = (words: string) => [
  { __typename: "TextBlock", text: words, length: words.length, bytes: words.length },
];

describe("messages as rows", () => {
  const parts = (messages: Message[]): Part[] => messages.flatMap(partsOf);
  const kinds = (rows: Row[]) => rows.map((row) => (row.type === "group" ? groupLabel(row) : row.part.kind));

  test("consecutive calls form a group that says how many failed", () => {
    const rows = rowsOf(
      parts([
        message("RegularUserMessage", { contentBlocks: text("Build it") }),
        call("a", false),
        call("b", true),
        message("FileHistorySnapshotMessage", { fileCount: 1, isSnapshotUpdate: false }),
        call("c", null),
        message("AssistantMessage", { id: "Message:s~main~done", contentBlocks: text("Done") }),
      ]),
      () => false,
    );
    assert.deepEqual(kinds(rows), ["prompt", "3 calls, 1 failed, 1 running", "answer"]);
    const group = rows[1];
    assert.ok(group?.type === "group");
    assert.equal(toolsOf(group.parts), "Bash ×3");
  });

  test("an open group is followed by its parts", () => {
    const rows = rowsOf(parts([call("a", false), call("b", true), call("c", false)]), () => true);
    assert.deepEqual(kinds(rows), ["3 calls, 1 failed", "call", "call", "call"]);
    assert.ok(rows.slice(1).every((row) => row.type === "part" && row.inGroup));
  });

  test("a call alone, and one that started a subagent, are no group", () => {
    const agent = call("agent", false, { startedAgent: "a1" });
    assert.deepEqual(kinds(rowsOf(parts([call("a", false), agent, call("b", false)]), () => false)), [
      "call",
      "call",
      "call",
    ]);
  });

  test("what the harness writes for the user is no prompt", () => {
    const harness = { contentBlocks: text("<local-command-stdout>ok</local-command-stdout>") };
    const [part] = partsOf(message("RegularUserMessage", harness));
    assert.ok(part?.kind === "notice" && part.notice.text === "ok");
  });

  test("a type of a newer schema has a labelled line", () => {
    const [part] = partsOf(message("SomethingNewMessage"));
    assert.ok(part?.kind === "notice");
    assert.deepEqual([part.notice.label, part.notice.text], ["Something new", "words"]);
    const [block] = partsOf(message("AssistantMessage", { contentBlocks: [{ __typename: "NewBlock" }] }));
    assert.ok(block?.kind === "notice" && block.notice.text === "NewBlock");
  });
});

describe("the outline", () => {
  const entryOf = (
    kind: string,
    index: number | null,
    costUsd: number | null = 1,
    words = "words",
  ): OutlineEntry =>
    ({
      kind,
      messageId: `m${index}`,
      messageIndex: index,
      timestamp: "2026-01-01T00:00:00.000Z",
      inputTokens: 1,
      outputTokens: 2,
      cacheReadTokens: 3,
      cacheCreationTokens: 4,
      costUsd,
      unpricedTokens: 0,
      unpricedAnswers: 0,
      message: { __typename: "RegularUserMessage", id: `m${index}`, searchText: words },
    }) as unknown as OutlineEntry;

  test("a message belongs to the last entry before it", () => {
    const entries = [
      entryOf("PROMPT", 3),
      entryOf("PROMPT", 10),
      entryOf("COMPACTION", null),
      entryOf("PROMPT", 20),
    ];
    assert.deepEqual(
      [0, 3, 9, 10, 19, 20, 99].map((index) => entryAt(entries, index)),
      [-1, 0, 0, 1, 1, 3, 3],
    );
  });

  test("a turn has the tokens and the cost of what follows its compactions", () => {
    const [turn] = turnsOf([
      entryOf("PROMPT", 0),
      entryOf("COMPACTION", 1, 2),
      entryOf("COMPACTION", 2, null),
    ]);
    assert.deepEqual([turn?.tokens, turn?.costUsd], [30, 3]);
    const { inputTokens, outputTokens, cacheReadTokens, cacheCreationTokens } = turn ?? {};
    assert.deepEqual([inputTokens, outputTokens, cacheReadTokens, cacheCreationTokens], [3, 6, 9, 12]);
    const [unknown] = turnsOf([entryOf("PROMPT", 0, null)]);
    assert.equal(unknown?.costUsd, null);
  });

  test("titles are the first words, without tags", () => {
    assert.equal(titleOf(entryOf("PROMPT", 0, 1, "  <b>Fix</b>\n the press ")), "Fix the press");
    assert.equal(titleOf(entryOf("PROMPT", 0, 1, "")), "Prompt without text");
  });
});

describe("changed files", () => {
  const change = (filePath: string, linesAdded: number, n = 0): Change => ({
    id: `FileChange:s~main~${n}~u`,
    filePath,
    action: "modified",
    toolName: "Edit",
    linesAdded,
    linesRemoved: 1,
    recordedAt: "2026-01-01T00:00:00.000Z",
  });

  test("folders with one folder are joined, and sums are of all inside", () => {
    const tree = treeOf([
      change("/home/dev/a/x.rs", 1),
      change("/home/dev/b.rs", 2),
      change("/home/dev/a/x.rs", 4),
    ]);
    assert.deepEqual([tree.name, tree.added, tree.removed], ["/home/dev", 7, 3]);
    assert.deepEqual(
      filesOf(tree).map(({ path, changes, added }) => [path, changes.length, added]),
      [
        ["/home/dev/a/x.rs", 2, 5],
        ["/home/dev/b.rs", 1, 2],
      ],
    );
  });

  test("a change names its message", () => {
    assert.deepEqual(messageOf("FileChange:s~agent-1~2~u-1"), { message: "Message:s~agent-1~u-1", at: 2 });
    assert.equal(messageOf("FileChange:s"), null);
  });
});

test("only harmless absolute addresses become links", () => {
  assert.equal(safeUrl("https://example.com/a"), "https://example.com/a");
  assert.equal(safeUrl("mailto:ana@example.com"), "mailto:ana@example.com");
  for (const bad of [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "/sessions",
    "//evil",
    "file:///etc",
    "",
  ])
    assert.equal(safeUrl(bad), null, bad);
});
