// The list of sessions, grouped by day. The order changes only when the user asks for it: what arrives is counted in a
// button, and visible rows update in place.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState, useTransition } from "react";
import { fetchQuery, graphql, usePaginationFragment, useRelayEnvironment } from "react-relay";
import { useLocation, useNavigate } from "react-router";

import { useCatchUp } from "../app/connection.ts";
import { useShortcuts } from "../app/keyboard.ts";
import { useSessionChanges } from "../app/live.tsx";
import { Button } from "../ui/Button.tsx";
import { dayKey, dayLabel, number, useNow } from "../ui/format.ts";
import type {
  SessionList_query$data,
  SessionList_query$key,
} from "./__generated__/SessionList_query.graphql.ts";
import type { SessionListHeadQuery } from "./__generated__/SessionListHeadQuery.graphql.ts";
import type { SessionListPaginationQuery } from "./__generated__/SessionListPaginationQuery.graphql.ts";
import type { SessionListRowsQuery } from "./__generated__/SessionListRowsQuery.graphql.ts";
import type { SessionFilter } from "./__generated__/SessionsPageQuery.graphql.ts";
import { FirstSession, NothingMatches } from "./EmptyList.tsx";
import { type Filters, hasFilters, meets } from "./filters.ts";
import { Columns, SessionRow } from "./SessionRow.tsx";

type Session = SessionList_query$data["sessions"]["edges"][number]["node"];

/** A line of the list: the heading of a day, or a session. */
type Item =
  | { kind: "day"; key: string; label: string }
  | { kind: "session"; key: string; session: Session; forks: readonly Session[]; isFolded: boolean };

const ROW_HEIGHT = 44;
const DAY_HEIGHT = 36;

/** The most rows that one request may ask for. */
const MAX_ROWS = 500;

/** Changes that come within this time are looked up together. */
const GATHER_MS = 400;

/** Where a list was left, by the key of its entry in the browser's history. */
const left = new Map<string, { offset: number; open: ReadonlySet<string> }>();

export function SessionList({
  query,
  filters,
  filter,
  rows,
}: {
  query: SessionList_query$key;
  filters: Filters;
  filter: SessionFilter | null;
  rows: number;
}) {
  const { data, hasNext, isLoadingNext, loadNext, refetch } = usePaginationFragment<
    SessionListPaginationQuery,
    SessionList_query$key
  >(
    graphql`
      fragment SessionList_query on Query
      @argumentDefinitions(
        first: { type: "Int", defaultValue: 50 }
        after: { type: "String" }
        filter: { type: "SessionFilter" }
      )
      @refetchable(queryName: "SessionListPaginationQuery") {
        sessions(first: $first, after: $after, filter: $filter) @connection(key: "SessionList_sessions") {
          edges {
            node {
              id
              sessionId
              name
              summary
              projectName
              gitBranch
              harness
              updatedAt
              forkOf
              owner {
                name
              }
              ...SessionRow_session
            }
          }
          totalCount
        }
      }
    `,
    query,
  );
  const environment = useRelayEnvironment();
  const navigate = useNavigate();
  const { key: place } = useLocation();
  const now = useNow();
  const [isRefreshing, startRefreshing] = useTransition();
  const [open, setOpen] = useState<ReadonlySet<string>>(() => left.get(place)?.open ?? new Set());
  const [waiting, setWaiting] = useState(0);
  /** Whether the next page could not be loaded. It is not tried again by itself. */
  const [hasFailed, setHasFailed] = useState(false);
  const scroller = useRef<HTMLDivElement>(null);

  const { edges, totalCount } = data.sessions;
  const sessions = useMemo(
    () => edges.map(({ node }) => node).filter((session) => meets(session, filters)),
    [edges, filters],
  );
  const today = dayKey(now);
  // `today` is all that matters of the time: the headings change at midnight only.
  // A session that becomes active again keeps its place and its day until the list is fetched again.
  const [order, setOrder] = useState(0);
  const days = useMemo(() => new Map<string, string>(), [order]);
  const items = useMemo(
    () => arrange(sessions, open, days, new Date(`${today}T12:00:00`)),
    [sessions, open, days, today],
  );

  const virtualizer = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (items[index]?.kind === "day" ? DAY_HEIGHT : ROW_HEIGHT),
    getItemKey: (index) => items[index]?.key ?? index,
    overscan: 8,
    initialOffset: left.get(place)?.offset ?? 0,
  });
  const visible = virtualizer.getVirtualItems();

  // Leaving the page keeps the place for "back".
  const remember = useEffectEvent(() => left.set(place, { offset: virtualizer.scrollOffset ?? 0, open }));
  useEffect(() => () => void remember(), []);

  // Looks for sessions that the list does not have yet, and brings the values of visible rows up to date.
  const look = useCallback(() => {
    const shown = new Set(edges.map(({ node }) => node.id));
    return fetchQuery<SessionListHeadQuery>(
      environment,
      graphql`
        query SessionListHeadQuery($filter: SessionFilter) {
          sessions(first: 50, filter: $filter) {
            edges {
              node {
                id
                name
                summary
                projectName
                gitBranch
                harness
                owner {
                  name
                }
                ...SessionRow_session
              }
            }
          }
        }
      `,
      { filter },
      { fetchPolicy: "network-only" },
    ).subscribe({
      next: (head) => {
        const found = head.sessions.edges.filter(({ node }) => !shown.has(node.id) && meets(node, filters));
        setWaiting(found.length);
      },
      // The connection state shows that the server cannot be reached; the next change looks again.
      error: () => {},
    });
  }, [environment, edges, filter, filters]);

  const refresh = useCallback(() => {
    const first = Math.min(MAX_ROWS, Math.max(rows, edges.length));
    startRefreshing(() => {
      refetch(
        { first, filter },
        { fetchPolicy: "network-only", onComplete: () => setOrder((order) => order + 1) },
      );
    });
    setWaiting(0);
    scroller.current?.scrollTo({ top: 0 });
  }, [edges.length, filter, refetch, rows]);

  // Until the user looks at a list that began empty, its rows may move: the first push fills it.
  const fills = useRef(sessions.length === 0);
  useEffect(() => {
    const looks = ({ target }: Event) => {
      if (scroller.current?.contains(target as Node)) fills.current = false;
    };
    const events = ["pointermove", "focusin", "wheel"] as const;
    for (const event of events) document.addEventListener(event, looks, { passive: true });
    return () => {
      for (const event of events) document.removeEventListener(event, looks);
    };
  }, []);
  const gathering = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(gathering.current), []);
  useSessionChanges((action) => {
    if (action === "updated" && totalCount > 0) return;
    clearTimeout(gathering.current);
    gathering.current = setTimeout(sessions.length === 0 || fills.current ? refresh : look, GATHER_MS);
  });

  const refreshVisible = useEffectEvent(() => {
    const ids = visible.flatMap(({ index }) => {
      const item = items[index];
      return item?.kind === "session" ? [item.session.sessionId] : [];
    });
    if (ids.length === 0) return;
    fetchQuery<SessionListRowsQuery>(
      environment,
      graphql`
        query SessionListRowsQuery($first: Int!, $ids: [String!]!) {
          sessions(first: $first, filter: { sessionId: { _in: $ids } }) {
            edges {
              node {
                id
                ...SessionRow_session
              }
            }
          }
        }
      `,
      { first: ids.length, ids },
      { fetchPolicy: "network-only" },
    ).subscribe({ error: () => {} });
  });
  useCatchUp(() => {
    setHasFailed(false);
    if (sessions.length === 0) refresh();
    else {
      look();
      refreshVisible();
    }
  });
  // Rows that come from the store may be old.
  const lookOnce = useEffectEvent(() => {
    look();
    refreshVisible();
  });
  useEffect(() => {
    if (left.has(place)) lookOnce();
  }, [place]);

  // The next page, when the end comes into sight, or when filters of the page leave too few rows.
  const lastVisible = visible.at(-1)?.index ?? 0;
  const wantsMore = lastVisible >= items.length - 20;
  const loads = hasNext && wantsMore && !hasFailed && !isLoadingNext && !isRefreshing;
  useEffect(() => {
    if (loads) loadNext(rows, { onComplete: (error) => setHasFailed(error !== null) });
  }, [loads, loadNext, rows]);

  const focusRow = (step: 1 | -1) => {
    const rowOf = (element: Element | null) =>
      Number(element?.closest("[data-index]")?.getAttribute("data-index"));
    const focused = scroller.current?.contains(document.activeElement)
      ? rowOf(document.activeElement)
      : Number.NaN;
    const from = Number.isNaN(focused) ? (step > 0 ? -1 : items.length) : focused;
    for (let index = from + step; index >= 0 && index < items.length; index += step) {
      if (items[index]?.kind !== "session") continue;
      virtualizer.scrollToIndex(index, { align: "auto" });
      // The row may have to be rendered first.
      requestAnimationFrame(() =>
        requestAnimationFrame(() =>
          scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"] a`)?.focus(),
        ),
      );
      return;
    }
  };
  const toggle = (id: string) =>
    setOpen((open) => {
      const next = new Set(open);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  useShortcuts([
    { keys: "j", label: "Next session", group: "Sessions", run: () => focusRow(1) },
    { keys: "k", label: "Previous session", group: "Sessions", run: () => focusRow(-1) },
    {
      keys: "o",
      label: "Show or hide the forks of a session",
      group: "Sessions",
      run: () => {
        const row = document.activeElement?.closest<HTMLElement>("[data-session]");
        if (row?.dataset.session) toggle(row.dataset.session);
      },
    },
    { keys: "r", label: "Show new sessions", group: "Sessions", run: () => refresh() },
  ]);

  if (sessions.length === 0 && !hasNext) {
    return hasFilters(filters) ? <NothingMatches filters={filters} /> : <FirstSession />;
  }
  return (
    <div className="list-frame">
      <div className="list-status" role="status">
        {waiting > 0 && (
          <Button look="primary" small onPress={refresh}>
            {waiting >= 50 ? "50 or more new" : `${number(waiting)} new`}
          </Button>
        )}
      </div>
      <div className="list" ref={scroller} data-refreshing={isRefreshing || undefined}>
        <div role="table" aria-label="Sessions" aria-rowcount={totalCount}>
          <Columns />
          <div role="rowgroup" className="list-body" style={{ height: virtualizer.getTotalSize() }}>
            {visible.map(({ index, key, start, size }) => {
              const item = items[index];
              if (!item) return null;
              return (
                <div
                  key={key}
                  role="row"
                  className={item.kind === "day" ? "day-row" : "row"}
                  data-index={index}
                  data-session={item.kind === "session" ? item.session.id : undefined}
                  style={{ transform: `translateY(${start}px)`, height: size }}
                >
                  {item.kind === "day" ? (
                    <div role="rowheader">
                      <h2>{item.label}</h2>
                    </div>
                  ) : (
                    <SessionRow
                      session={item.session}
                      forks={item.forks.length}
                      isFork={item.session.forkOf != null}
                      isFolded={item.isFolded}
                      isOpen={open.has(item.session.id)}
                      onToggle={() => toggle(item.session.id)}
                      onOpen={(path) => navigate(path)}
                    />
                  )}
                </div>
              );
            })}
          </div>
        </div>
        <p className="list-end" role="status">
          {hasFailed ? (
            <Button small onPress={() => setHasFailed(false)}>
              More sessions could not be loaded. Try again
            </Button>
          ) : (
            progress(sessions.length, edges.length, totalCount, hasNext)
          )}
        </p>
      </div>
    </div>
  );
}

/** What the end of the list says: how many sessions it has, or how far the page has compared them with its filters. */
function progress(found: number, loaded: number, total: number, hasNext: boolean): string {
  if (!hasNext) return `${number(found)} ${found === 1 ? "session" : "sessions"}`;
  if (found === loaded) return "Loading more sessions";
  return `${number(found)} found in ${number(loaded)} of ${number(total)} sessions`;
}

/**
 * Puts forks under their origin, as far as both are loaded, and a heading before each day. `days` has the days of sessions
 * that were arranged before, by id; it receives those of others.
 */
function arrange(
  sessions: readonly Session[],
  open: ReadonlySet<string>,
  days: Map<string, string>,
  now: Date,
): Item[] {
  const byId = new Map(sessions.map((session) => [session.sessionId, session]));
  const originOf = (session: Session): Session => {
    const seen = new Set<string>();
    let origin = session;
    while (origin.forkOf && !seen.has(origin.sessionId)) {
      seen.add(origin.sessionId);
      const next = byId.get(origin.forkOf);
      if (!next) break;
      origin = next;
    }
    return origin;
  };
  const groups = Map.groupBy(sessions, (session) => originOf(session).id);
  const items: Item[] = [];
  let day = "";
  // A group is where its most recently active session is.
  for (const members of groups.values()) {
    const [latest] = members;
    if (!latest) continue;
    const origin = originOf(latest);
    const forks = members.filter((session) => session !== origin);
    const itsDay = days.get(latest.id) ?? dayKey(latest.updatedAt);
    days.set(latest.id, itsDay);
    // Days only go back. A later day in between means that the session became active after the list was fetched.
    if (!day || itsDay < day) {
      day = itsDay;
      items.push({ kind: "day", key: day, label: dayLabel(`${day}T12:00:00`, now) });
    }
    items.push({ kind: "session", key: origin.id, session: origin, forks, isFolded: false });
    if (!open.has(origin.id)) continue;
    for (const fork of forks) {
      items.push({ kind: "session", key: fork.id, session: fork, forks: [], isFolded: true });
    }
  }
  return items;
}
