// The lines of a session as they are in its file, one row each. A line is loaded when it is opened.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useEffectEvent, useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";
import { useRelayEnvironment } from "react-relay";

import { useCatchUp } from "../app/connection.ts";
import { Button } from "../ui/Button.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { bytes, fullTime, number, time } from "../ui/format.ts";
import { ChevronIcon } from "../ui/icons.tsx";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import { withoutAnsi } from "./ansi.ts";
import { ConversationStore } from "./ConversationStore.ts";
import { isAtEnd, UNPINNED, usePinnedEnd } from "./pinnedEnd.ts";
import { RawLine } from "./Rows.tsx";

const NEAR_ROWS = 30;

export default function RawTab({
  session,
  message,
  onSelect,
}: {
  session: string;
  message: string | null;
  onSelect: (message: string | null) => void;
}) {
  const environment = useRelayEnvironment();
  const [store] = useState(() => new ConversationStore(environment, session, () => {}));
  const { loaded, phase, error, unseen, target } = useSyncExternalStore(store.subscribe, store.getSnapshot);
  const [open, setOpen] = useState<ReadonlySet<string>>(() => new Set(message ? [message] : []));
  const scroller = useRef<HTMLDivElement>(null);
  const first = useEffectEvent(() => void store.show(message ? { message } : "start"));
  useEffect(() => {
    store.listen();
    first();
    return () => store.stop();
  }, [store]);
  const { entries } = loaded;
  const list = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 30,
    getItemKey: (at) => entries[at]?.id ?? at,
    overscan: 10,
    anchorTo: "end",
    ...UNPINNED,
  });
  const look = () => {
    if (scroller.current) store.setAtEnd(isAtEnd(scroller.current) && !loaded.hasNewer);
  };
  const end = usePinnedEnd(scroller, list, entries, !loaded.hasNewer, look);
  const items = list.getVirtualItems();
  const firstShown = items[0]?.index ?? 0;
  const lastShown = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (firstShown < NEAR_ROWS) store.loadOlder();
    if (lastShown > entries.length - NEAR_ROWS) store.loadNewer();
  }, [store, firstShown, lastShown, entries.length]);
  const scrollTo = useEffectEvent((at: NonNullable<typeof target>["at"]) => {
    if (at === "end") {
      list.scrollToEnd();
      end.pin();
      return;
    }
    end.unpin();
    if (at === "start") list.scrollToOffset(0);
    else
      list.scrollToIndex(
        entries.findIndex(({ id }) => id === at.message),
        { align: "center" },
      );
  });
  useLayoutEffect(() => {
    if (target) scrollTo(target.at);
  }, [target]);
  useCatchUp(() => void store.refresh(entries[firstShown]?.id ?? null));

  if (phase === "loading") {
    if (error) return <ErrorState what="The lines" error={error} onRetry={() => first()} />;
    return (
      <div className="tab-loading">
        <Loading what="the lines" />
        {["a", "b", "c", "d", "e", "f"].map((row) => (
          <Skeleton key={row} height="22px" />
        ))}
      </div>
    );
  }
  return (
    <section className="raw-lines" aria-label="Raw lines">
      <div
        className="messages-scroll"
        ref={scroller}
        onScroll={() => {
          end.onScroll();
          look();
        }}
        onWheel={end.onWheel}
        onPointerDown={end.unpin}
        onKeyDown={end.unpin}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll the list
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Raw lines"
      >
        <div className="messages-size" style={{ height: list.getTotalSize() }}>
          {items.map(({ index, key, start }) => {
            const entry = entries[index];
            if (!entry) return null;
            const { message: line } = entry;
            const isOpen = open.has(entry.id);
            return (
              <div
                key={key}
                className="messages-row"
                ref={list.measureElement}
                data-index={index}
                style={{ transform: `translateY(${start}px)` }}
              >
                <div className="raw-row" data-message={entry.id}>
                  <button
                    type="button"
                    className="entry-line"
                    aria-expanded={isOpen}
                    onClick={() => {
                      setOpen((before) => {
                        const next = new Set(before);
                        if (!next.delete(entry.id)) next.add(entry.id);
                        return next;
                      });
                      onSelect(isOpen ? null : entry.id);
                    }}
                  >
                    <span className="chevron">
                      <ChevronIcon />
                    </span>
                    <span className="number raw-index">
                      {entry.index === null ? "–" : number(entry.index + 1)}
                    </span>
                    <time dateTime={line.timestamp} title={fullTime(line.timestamp)}>
                      {time(line.timestamp)}
                    </time>
                    <span className="entry-name">{line.__typename.replace(/Message$/, "")}</span>
                    <span className="truncate entry-argument">{withoutAnsi(line.searchText ?? "")}</span>
                    <span className="entry-duration">{bytes(line.rawBytes)}</span>
                  </button>
                  {isOpen && <RawLine id={entry.id} size={line.rawBytes} />}
                </div>
              </div>
            );
          })}
        </div>
      </div>
      {(unseen > 0 || loaded.hasNewer) && (
        <div className="to-end">
          <Button small look={unseen > 0 ? "primary" : "plain"} onPress={() => void store.show("end")}>
            {unseen > 0 ? `${number(unseen)} new` : "To the end"}
          </Button>
        </div>
      )}
    </section>
  );
}
