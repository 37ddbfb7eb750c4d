// The list of turns beside the conversation. It replaces the scroll bar of a long session.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useEffectEvent, useMemo, useRef } from "react";

import { compact, exactMoney, fullTime, money, number, time, unpricedText } from "../ui/format.ts";
import { Skeleton } from "../ui/Skeleton.tsx";
import { type OutlineEntry, type Turn, titleOf, turnsOf } from "./outline.ts";

const ROW = 48;
const SEPARATOR = 26;

export function Outline({
  entries,
  isComplete,
  current,
  onSelect,
}: {
  entries: readonly OutlineEntry[];
  isComplete: boolean;
  /** The index of the entry that is read now; -1 before the first one. */
  current: number;
  onSelect: (entry: OutlineEntry) => void;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const turns = useMemo(() => turnsOf(entries), [entries]);
  const list = useVirtualizer({
    count: turns.length,
    getScrollElement: () => scroller.current,
    estimateSize: (at) => (turns[at]?.entry.kind === "COMPACTION" ? SEPARATOR : ROW),
    getItemKey: (at) => turns[at]?.entry.messageId ?? at,
    overscan: 6,
    useFlushSync: false,
  });
  const items = list.getVirtualItems();
  const isInSight = useEffectEvent(() => {
    const { scrollOffset, scrollRect } = list;
    const row = items.find(({ index }) => index === current);
    if (!row || scrollOffset === null || scrollRect === null) return false;
    return row.start >= scrollOffset && row.end <= scrollOffset + scrollRect.height;
  });
  useEffect(() => {
    // To scroll measures the page, which takes time: only if it is needed.
    if (current >= 0 && !isInSight()) list.scrollToIndex(current, { align: "auto" });
  }, [current, list]);
  return (
    <nav className="outline" aria-label="Prompts of this session">
      <div className="outline-scroll" ref={scroller}>
        {turns.length === 0 && !isComplete && (
          <div className="outline-loading">
            {["80%", "60%", "70%", "50%"].map((width) => (
              <Skeleton key={width} width={width} height="14px" />
            ))}
          </div>
        )}
        {turns.length === 0 && isComplete && <p className="outline-empty">No prompts yet.</p>}
        <ol style={{ height: list.getTotalSize() }}>
          {items.map(({ index, start, size, key }) => {
            const turn = turns[index];
            if (!turn) return null;
            const { entry } = turn;
            const isSeparator = entry.kind === "COMPACTION";
            return (
              <li
                key={key}
                style={{ transform: `translateY(${start}px)`, height: size }}
                data-kind={entry.kind.toLowerCase()}
                aria-setsize={isComplete ? turns.length : -1}
                aria-posinset={index + 1}
              >
                <button
                  type="button"
                  aria-current={index === current ? "true" : undefined}
                  onClick={() => onSelect(entry)}
                >
                  {isSeparator ? (
                    <span className="outline-cut">{titleOf(entry)}</span>
                  ) : (
                    <>
                      <span className="outline-title">{titleOf(entry)}</span>
                      <span className="outline-figures">
                        <time dateTime={entry.timestamp} title={fullTime(entry.timestamp)}>
                          {time(entry.timestamp)}
                        </time>
                        <span title={`${number(turn.tokens)} tokens`}>{compact(turn.tokens)} tok</span>
                        <TurnCost turn={turn} />
                      </span>
                    </>
                  )}
                </button>
              </li>
            );
          })}
        </ol>
      </div>
    </nav>
  );
}

export function TurnCost({ turn }: { turn: Turn }) {
  const { costUsd, unpricedTokens, unpricedAnswers: unpriced } = turn;
  if (costUsd === null) return <span title="No answer of this turn has a price">–</span>;
  const note = unpriced > 0 ? `, without ${unpricedText(unpriced, unpricedTokens)}` : "";
  return (
    <span className="number" title={`${exactMoney(costUsd)} at list prices${note}`}>
      {money(costUsd)}
      {unpriced > 0 ? "+" : ""}
    </span>
  );
}
