// The conversation of a session: the outline, the list of messages, and the search within the session.

import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type RefObject,
  useCallback,
  useEffect,
  useEffectEvent,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { useRelayEnvironment } from "react-relay";

import { useCatchUp } from "../app/connection.ts";
import { useShortcuts } from "../app/keyboard.ts";
import { Button } from "../ui/Button.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { number } from "../ui/format.ts";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import type { ConversationStore, Target } from "./ConversationStore.ts";
import { ConversationContext, type ConversationContextValue } from "./context.ts";
import { Details, DetailsContext } from "./details.ts";
import { Find } from "./Find.tsx";
import { type Group, groupKey, type Part, partsCache, partsOf, type Row, rowsOf } from "./items.ts";
import { Outline } from "./Outline.tsx";
import type { OutlineStore } from "./OutlineStore.ts";
import { entryAt, type OutlineEntry } from "./outline.ts";
import { isAtEnd, UNPINNED, usePinnedEnd } from "./pinnedEnd.ts";
import { RowView } from "./Rows.tsx";
import { MAX_LOADED } from "./window.ts";

/** How near the edge of what is loaded the user must be for more to be loaded. */
const NEAR_ROWS = 25;

/** How long the target of a jump keeps its place while messages are loaded around it. */
const FOLLOW_MS = 1_500;

/** How many failed calls of a group are opened with it. */
const OPENED_FAILURES = 3;

const GROUP = "Session";

/** What a row is high before it is measured. */
function estimate(row: Row | undefined): number {
  if (!row || row.type === "group") return 34;
  switch (row.part.kind) {
    case "prompt":
      return 40 + 20 * Math.min(30, Math.ceil(row.part.text.length / 90));
    case "answer":
      return 24 + 20 * Math.min(60, Math.ceil(row.part.text.length / 90));
    case "image":
      return 200;
    default:
      return 32;
  }
}

export type ConversationProps = {
  session: string;
  store: ConversationStore;
  /** The directory that it worked in; empty if it is not known. */
  folder: string;
  /** Whether its content was deleted because of its age. */
  isPurged: boolean;
  /** The message of the URL. */
  message: string | null;
  /** Where a session without a message in the URL is opened. */
  start: "start" | "end";
  /** The message at the top of the list, kept while another tab is shown. */
  position: RefObject<string | null>;
  outline: OutlineStore;
  /** Grows when something in the session changed. */
  revision: number;
  onSelect: (message: string | null) => void;
  isOutlineOpen: boolean;
  closeOutline: () => void;
};

export function Conversation(props: ConversationProps) {
  const { store, message, start, position } = props;
  const environment = useRelayEnvironment();
  const [details] = useState(() => new Details(environment));
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot);
  const first = useEffectEvent(() => {
    const back = position.current;
    if (back) void store.show({ message: back, isReturn: true });
    else void store.show(message ? { message } : start);
  });
  useEffect(() => {
    store.listen();
    first();
    // What arrives while another tab is shown is new.
    return () => store.setAtEnd(false);
  }, [store]);

  // The list catches up itself once it is there.
  useCatchUp(() => {
    if (snapshot.phase === "loading") void store.refresh(null);
  });

  if (snapshot.phase === "loading") {
    if (snapshot.error)
      return <ErrorState what="The conversation" error={snapshot.error} onRetry={() => first()} />;
    return (
      <div className="conversation">
        <nav className="outline" aria-hidden="true" />
        <ConversationSkeleton />
      </div>
    );
  }
  return (
    <DetailsContext value={details}>
      <List {...props} />
    </DetailsContext>
  );
}

function List({
  session,
  folder,
  isPurged,
  position,
  message,
  outline,
  revision,
  onSelect,
  isOutlineOpen,
  closeOutline,
  store,
}: ConversationProps) {
  const { loaded, error, unseen, target } = useSyncExternalStore(store.subscribe, store.getSnapshot);
  const { entries: turns, isComplete } = useSyncExternalStore(outline.subscribe, outline.getSnapshot);
  const scroller = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(() => new Set());
  // The return from another tab selects what the URL names, and scrolls to where the user was.
  const [selected, setSelected] = useState<string | null>(() => {
    const named = loaded.entries.find(({ id }) => id === message);
    return (named && partsOf(named.message)[0]?.key) ?? null;
  });
  const [wanted, setWanted] = useState<ConversationContextValue["wanted"]>(null);
  const [current, setCurrent] = useState(-1);
  const [isEndShown, setEndShown] = useState(false);
  const [parts] = useState(() => partsCache());

  const rows = useMemo(
    () => rowsOf(parts(loaded.entries), (group) => group.some((part) => open.has(groupKey(part)))),
    [parts, loaded.entries, open],
  );
  const indexes = useMemo(
    () => new Map(loaded.entries.map(({ id, index }) => [id, index])),
    [loaded.entries],
  );

  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (at) => estimate(rows[at]),
    getItemKey: (at) => rows[at]?.key ?? at,
    overscan: 5,
    // What is read stays where it is when messages are added before it.
    anchorTo: "end",
    ...UNPINNED,
    paddingStart: 8,
    paddingEnd: 24,
  });
  const end = usePinnedEnd(scroller, list, rows, !loaded.hasNewer, () => look());
  const items = list.getVirtualItems();
  const firstShown = items[0]?.index ?? 0;
  const lastShown = items.at(-1)?.index ?? 0;

  // All loaded messages may form few rows: a long group of calls. Both edges are near then, and what is loaded at one is
  // dropped at the other. The user says which one.
  const isFewRows = loaded.entries.length >= MAX_LOADED && rows.length <= 2 * NEAR_ROWS;
  // Loads more as the user comes near the edge of what is loaded.
  useEffect(() => {
    if (isFewRows) return;
    if (firstShown < NEAR_ROWS) store.loadOlder();
    if (lastShown > rows.length - NEAR_ROWS) store.loadNewer();
  }, [store, isFewRows, firstShown, lastShown, rows.length, loaded.entries.length]);

  const messageOf = useCallback((row: Row | undefined) => {
    return row?.type === "group" ? (row.parts[0]?.message.id ?? null) : (row?.part.message.id ?? null);
  }, []);

  /** The row of a message, or of one of its parts; the group that it is in, if that is closed. */
  const place = useEffectEvent((id: string, part: string | undefined): number => {
    const isIt = (one: Part) => (part === undefined ? one.message.id === id : one.key === part);
    const at = rows.findIndex((row) => row.type === "part" && isIt(row.part));
    if (at >= 0) return at;
    return rows.findIndex((row) => row.type === "group" && row.parts.some(isIt));
  });

  // Scrolls to where the store says.
  const scrollTo = useEffectEvent(({ at }: Target) => {
    if (at === "end") {
      list.scrollToEnd();
      end.pin();
      return;
    }
    end.unpin();
    if (at === "start") {
      list.scrollToOffset(0);
      return;
    }
    const index = place(at.message, at.nested?.part);
    const row = rows[index];
    if (!row) return;
    if (at.isReturn) {
      list.scrollToIndex(index, { align: "start" });
      return;
    }
    const { nested } = at;
    if (nested) {
      setOpen((before) => (before.has(nested.part) ? before : new Set([...before, nested.part])));
    }
    setWanted(nested?.agentId ? { agentId: nested.agentId, message: nested.wanted } : null);
    if (row.type === "group") {
      const inside = row.parts.find((part) =>
        nested ? part.key === nested.part : part.message.id === at.message,
      );
      // The rows change with that, and the target is followed to its own row.
      setOpen((before) => new Set([...before, row.key, ...(inside?.kind === "call" ? [inside.key] : [])]));
      return;
    }
    setSelected(nested?.part ?? row.key);
    // A thread scrolls to its line itself.
    if (nested?.agentId) followed.current = null;
    list.scrollToIndex(index, {
      align: row.type === "part" && row.part.kind === "prompt" ? "start" : "center",
    });
  });
  // Messages that are loaded before the target move it. It is followed until the user does something.
  const followed = useRef<Target | null>(null);
  const release = useCallback(() => {
    followed.current = null;
  }, []);
  const act = useCallback(() => {
    release();
    end.unpin();
  }, [release, end.unpin]);
  useLayoutEffect(() => {
    // The list itself follows its end.
    followed.current = target?.at === "end" ? null : target;
    if (target) scrollTo(target);
    const timer = setTimeout(release, FOLLOW_MS);
    return () => clearTimeout(timer);
  }, [target, release]);
  // The rows say where the target is.
  useLayoutEffect(() => {
    if (followed.current) scrollTo(followed.current);
  }, [rows]);

  // Follows the URL: back, forward, and links within the page.
  const shown = useRef(message);
  useEffect(() => {
    if (message === shown.current) return;
    shown.current = message;
    if (message) void store.show({ message });
  }, [store, message]);

  // Which turn is read, and whether the end is in sight.
  const look = useEffectEvent(() => {
    const element = scroller.current;
    if (!element) return;
    const top = list.getVirtualItemForOffset(element.scrollTop + 40);
    const id = messageOf(top ? rows[top.index] : undefined);
    position.current = id;
    const index = id === null ? null : (indexes.get(id) ?? null);
    if (index !== null) setCurrent(entryAt(turns, index));
    const atEnd = isAtEnd(element) && !loaded.hasNewer;
    setEndShown(atEnd);
    store.setAtEnd(atEnd);
  });
  // Each of these may change what is in sight, as the rows do.
  useEffect(() => look(), [turns, loaded.hasNewer, firstShown, lastShown]);

  useCatchUp(() => {
    const middle = items[Math.floor(items.length / 2)];
    void store.refresh(messageOf(middle ? rows[middle.index] : undefined));
    outline.reload();
  });

  const select = useCallback(
    (key: string, id: string | null) => {
      setSelected(key);
      setWanted(null);
      shown.current = id;
      onSelect(id);
    },
    [onSelect],
  );
  const toggle = useCallback((key: string) => {
    setOpen((before) => {
      const next = new Set(before);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  }, []);
  const toggleGroup = useCallback((group: Group) => {
    setOpen((before) => {
      const next = new Set(before);
      if (group.isOpen) {
        for (const part of group.parts) next.delete(groupKey(part));
        return next;
      }
      next.add(group.key);
      const failed = group.parts.filter((part) => part.kind === "call" && part.call.outcome === "failed");
      for (const part of failed.slice(0, OPENED_FAILURES)) next.add(part.key);
      return next;
    });
  }, []);
  const isOpen = useCallback((key: string) => open.has(key), [open]);
  const context = useMemo<ConversationContextValue>(
    () => ({ session, folder, isOpen, toggle, toggleGroup, selected, select, wanted, revision }),
    [session, folder, isOpen, toggle, toggleGroup, selected, select, wanted, revision],
  );

  const move = (by: number) => {
    act();
    const at = rows.findIndex(({ key }) => key === selected);
    const top = list.getVirtualItemForOffset((scroller.current?.scrollTop ?? 0) + 8)?.index ?? 0;
    const next = at < 0 ? top : Math.max(0, Math.min(rows.length - 1, at + by));
    const row = rows[next];
    if (!row) return false;
    select(row.key, messageOf(row));
    list.scrollToIndex(next, { align: "auto" });
    focusRow(scroller.current, row.key);
    return true;
  };
  const toTurn = (by: number) => {
    const at = by > 0 ? current + 1 : current - (isAtTurn(turns[current]) ? 1 : 0);
    const entry = turns[Math.max(0, at)];
    if (!entry || at >= turns.length) return false;
    openTurn(entry);
    return true;
  };
  const isAtTurn = (entry: OutlineEntry | undefined) => {
    const top = list.getVirtualItemForOffset((scroller.current?.scrollTop ?? 0) + 40);
    return messageOf(top ? rows[top.index] : undefined) === entry?.messageId;
  };
  const openTurn = (entry: OutlineEntry) => {
    shown.current = entry.messageId;
    onSelect(entry.messageId);
    void store.show({ message: entry.messageId });
    closeOutline();
  };
  const openSelected = () => {
    act();
    const row = rows.find(({ key }) => key === selected);
    if (!row) return false;
    if (row.type === "group") toggleGroup(row);
    else if (isExpandable(row)) toggle(row.key);
    else return false;
    return true;
  };
  useShortcuts([
    { keys: "j", label: "Next", group: GROUP, run: () => move(1) },
    { keys: "k", label: "Previous", group: GROUP, run: () => move(-1) },
    { keys: "o", label: "Open or close", group: GROUP, run: openSelected },
    {
      keys: "Enter",
      label: "Open or close",
      group: GROUP,
      run: () => {
        // A control that has the focus handles the key itself.
        if (document.activeElement?.matches("a, button, summary")) return false;
        return openSelected();
      },
    },
    { keys: "[", label: "Previous prompt", group: GROUP, run: () => toTurn(-1) },
    { keys: "]", label: "Next prompt", group: GROUP, run: () => toTurn(1) },
    { keys: "G", label: "To the end", group: GROUP, run: () => void store.show("end") },
    {
      keys: "Escape",
      label: "Close",
      group: GROUP,
      run: () => {
        if (isOutlineOpen) {
          closeOutline();
          return true;
        }
        if (selected === null) return false;
        setSelected(null);
        setWanted(null);
        shown.current = null;
        onSelect(null);
        return true;
      },
    },
  ]);

  const isMoreOffered = isFewRows && (loaded.hasOlder || loaded.hasNewer);
  const isEndOffered = unseen > 0 || (!isEndShown && loaded.hasNewer);

  return (
    <div className="conversation" data-outline={isOutlineOpen || undefined}>
      {isOutlineOpen && (
        <button
          type="button"
          className="outline-backdrop"
          aria-label="Close the outline"
          onClick={closeOutline}
        />
      )}
      <Outline entries={turns} isComplete={isComplete} current={current} onSelect={openTurn} />
      <section className="messages" aria-label="Messages">
        <Find session={session} onShow={(id) => void store.show({ message: id })} />
        {error !== null && (
          <ErrorState what="More messages" error={error} onRetry={() => void store.refresh(null)} />
        )}
        {loaded.entries.length === 0 && (
          <p className="no-messages">
            {isPurged
              ? "The content of this session was purged: the team keeps content for a limited time."
              : "This session has no messages yet."}
          </p>
        )}
        <div
          className="messages-scroll"
          ref={scroller}
          onScroll={() => {
            end.onScroll();
            look();
          }}
          onWheel={(event) => {
            release();
            end.onWheel(event);
          }}
          onPointerDown={act}
          onKeyDown={act}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll the list
          tabIndex={0}
          aria-label="Messages"
          role="log"
          aria-live="off"
        >
          <ConversationContext value={context}>
            <div className="messages-size" style={{ height: list.getTotalSize() }}>
              {items.map(({ index, key, start }) => {
                const row = rows[index];
                return row ? (
                  <div
                    key={key}
                    className="messages-row"
                    ref={list.measureElement}
                    data-index={index}
                    style={{ transform: `translateY(${start}px)` }}
                  >
                    <RowView row={row} />
                  </div>
                ) : null;
              })}
            </div>
          </ConversationContext>
        </div>
        {(isMoreOffered || isEndOffered) && (
          <div className="to-end">
            {isMoreOffered && loaded.hasOlder && (
              <Button small look="plain" onPress={() => store.loadOlder("oldest")}>
                Older messages
              </Button>
            )}
            {isMoreOffered && loaded.hasNewer && (
              <Button small look="plain" onPress={() => store.loadNewer()}>
                Newer messages
              </Button>
            )}
            {isEndOffered && (
              <Button small look={unseen > 0 ? "primary" : "plain"} onPress={() => void store.show("end")}>
                {unseen > 0 ? `${number(unseen)} new` : "To the end"}
              </Button>
            )}
          </div>
        )}
      </section>
    </div>
  );
}

function isExpandable(row: Extract<Row, { type: "part" }>): boolean {
  const { part } = row;
  if (part.kind === "call" || part.kind === "thinking") return true;
  return (part.kind === "notice" || part.kind === "compaction") && part.detail;
}

/** Moves the focus to a row once it is drawn, so that screen readers read it. */
function focusRow(scroller: HTMLElement | null, key: string): void {
  requestAnimationFrame(() => {
    const row = scroller?.querySelector<HTMLElement>(`[data-row="${CSS.escape(key)}"]`);
    row?.focus({ preventScroll: true });
  });
}

function ConversationSkeleton() {
  return (
    <section className="messages conversation-skeleton">
      <Loading what="the conversation" />
      <Skeleton height="56px" />
      {["92%", "84%", "60%"].map((width) => (
        <Skeleton key={width} width={width} height="14px" />
      ))}
      {["70%", "55%", "64%", "40%"].map((width) => (
        <Skeleton key={width} width={width} height="22px" />
      ))}
      <Skeleton height="56px" />
    </section>
  );
}
