// Functions of the dashboard that only work on text: marked words, filters, formats.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { messagePath, sessionOf } from "../src/messages/messageId.ts";
import { highlight } from "../src/search/highlight.ts";
import { meets, readFilters, serverFilter } from "../src/sessions/filters.ts";
import { ago, bytes, dayLabel, duration, milliseconds, money } from "../src/ui/format.ts";

test("the words of a query are marked by the rules of the index", () => {
  const marked = (text: string, query: string) =>
    highlight(text, query)
      .map(({ text, isMatch }) => (isMatch ? `[${text}]` : text))
      .join("");
  // The index is tested on the same examples.
  const file = new URL("../../crates/han-transcript/tests/words.json", import.meta.url);
  const examples = JSON.parse(readFileSync(file, "utf8")) as [string, string, string | null][];
  for (const [text, query, expected] of examples)
    assert.equal(marked(text, query), expected ?? text, `${query} in ${text}`);
  assert.equal(marked("nothing", ""), "nothing");
  assert.equal(marked("", "word"), "");
});

test("filters of a URL that cannot be used are left out", () => {
  const filters = readFilters(
    new URLSearchParams("person=&since=2026-02-31x&until=2026-11-26&q=%20a%20&other=1"),
  );
  assert.deepEqual(filters, { until: "2026-11-26", q: "a" });
  for (const day of ["2026-02-31", "2026-13-01", "0000-01-01", "9999-12-31", "2026-1-1"])
    assert.deepEqual(readFilters(new URLSearchParams({ since: day })), {}, day);
  assert.deepEqual(serverFilter({}), null);
  const filter = serverFilter({ person: "p", repo: "r", model: "m", since: "2026-11-01", branch: "b" });
  assert.deepEqual(filter, {
    _and: [
      { ownerId: { _eq: "p" } },
      { project: { repoId: { _eq: "r" } } },
      { model: { _eq: "m" } },
      { updatedAt: { _gte: new Date(2026, 10, 1).toISOString() } },
    ],
  });
});

test("a text filter compares every word with what the row shows", () => {
  const session = {
    name: "brave-otter",
    summary: "Prune the trees",
    projectName: "orchard",
    gitBranch: "main",
    harness: "claude-code",
    owner: { name: "Ana" },
  };
  for (const [filters, expected] of [
    [{ q: "PRUNE orchard" }, true],
    [{ q: "prune ana main" }, true],
    [{ q: "prune hedge" }, false],
    [{ branch: "main", agent: "claude-code" }, true],
    [{ branch: "mai" }, false],
    [{ agent: "other" }, false],
  ] as const) {
    assert.equal(meets(session, filters), expected, JSON.stringify(filters));
  }
});

test("the path of a message leads back to its session", () => {
  const id = "Message:5b1f%20a~main~odd%3Auuid";
  assert.equal(sessionOf(id), "5b1f a");
  assert.equal(messagePath(id), "/messages/5b1f%2520a~main~odd%253Auuid");
  assert.equal(sessionOf("Message:none"), null);
});

test("figures are short", () => {
  assert.deepEqual([0, 59.6, 60, 3_599, 3_600, 90_000].map(duration), [
    "0 s",
    "1 min",
    "1 min",
    "1 h 00 min",
    "1 h 00 min",
    "1 d 1 h",
  ]);
  assert.deepEqual([4, 1_300, 61_000].map(milliseconds), ["4 ms", "1.3 s", "1 min"]);
  assert.deepEqual([0, 1_023, 1_536, 5 << 20].map(bytes), ["0 B", "1023 B", "1.5 KB", "5.0 MB"]);
  assert.deepEqual([0, 0.004, 1.005, 1_234.5].map(money), ["$0.00", "<$0.01", "$1.01", "$1,234.50"]);
});

test("times are relative to now, and days to today", () => {
  const now = new Date(2026, 10, 26, 14, 0);
  const before = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
  assert.deepEqual(
    [0, 5, 180].map((minutes) => ago(before(minutes), now)),
    ["now", "5 min", "3 h"],
  );
  assert.equal(ago(before(3 * 24 * 60), now), "23 Nov");
  assert.deepEqual(
    [0, 14 * 60 + 1, 3 * 24 * 60].map((minutes) => dayLabel(before(minutes), now)),
    ["Today", "Yesterday", "Monday 23 November"],
  );
});
