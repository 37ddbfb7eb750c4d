// The outline of a session: its turns and compactions, and their figures. Pure.

import { visible } from "../ui/bidi.ts";
import type { operationsOutlineQuery$rawResponse } from "./__generated__/operationsOutlineQuery.graphql.ts";

type RawPage = NonNullable<operationsOutlineQuery$rawResponse["session"]>["outline"];
export type OutlineEntry = RawPage["entries"][number];

/** The first words of an entry. */
export function titleOf(entry: OutlineEntry): string {
  if (entry.kind === "COMPACTION") return "Context compacted";
  const { message } = entry;
  const command = "commandName" in message ? message.commandName : null;
  const text = visible(message.searchText ?? "").replace(/<[^>]*>/g, " ");
  const words = text.replace(/\s+/g, " ").trim();
  if (command) {
    const rest = words.replace(command, "").replace(command.replace(/^\//, ""), "").trim();
    return rest ? `${command} ${rest}` : command;
  }
  return words || "Prompt without text";
}

/** The entry that a message with this index belongs to: the last one that does not come after it. */
export function entryAt(entries: readonly OutlineEntry[], index: number): number {
  return entries.findLastIndex(({ messageIndex: at }) => at !== null && at !== undefined && at <= index);
}

export type Turn = {
  entry: OutlineEntry;
  /** All of the following together. */
  tokens: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheCreationTokens: number;
  costUsd: number | null;
  unpricedTokens: number;
  unpricedAnswers: number;
};

const tokensOf = (entry: OutlineEntry) =>
  entry.inputTokens + entry.outputTokens + entry.cacheReadTokens + entry.cacheCreationTokens;

/** The entries with their figures. What follows a compaction belongs to the turn that was compacted. */
export function turnsOf(entries: readonly OutlineEntry[]): Turn[] {
  const turns: Turn[] = [];
  let owner: Turn | undefined;
  for (const entry of entries) {
    const turn: Turn = {
      entry,
      tokens: tokensOf(entry),
      inputTokens: entry.inputTokens,
      outputTokens: entry.outputTokens,
      cacheReadTokens: entry.cacheReadTokens,
      cacheCreationTokens: entry.cacheCreationTokens,
      costUsd: entry.costUsd ?? null,
      unpricedTokens: entry.unpricedTokens,
      unpricedAnswers: entry.unpricedAnswers,
    };
    turns.push(turn);
    if (entry.kind !== "COMPACTION") owner = turn;
    if (owner === undefined || owner === turn) continue;
    owner.tokens += turn.tokens;
    owner.inputTokens += turn.inputTokens;
    owner.outputTokens += turn.outputTokens;
    owner.cacheReadTokens += turn.cacheReadTokens;
    owner.cacheCreationTokens += turn.cacheCreationTokens;
    owner.unpricedTokens += turn.unpricedTokens;
    owner.unpricedAnswers += turn.unpricedAnswers;
    if (turn.costUsd !== null) owner.costUsd = (owner.costUsd ?? 0) + turn.costUsd;
  }
  return turns;
}
