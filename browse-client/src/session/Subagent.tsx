// The thread of a subagent, inside of the call that started it. No subscription follows it: whenever the session has
// changed, an open thread that shows its end fetches its last messages again, at most once a second.

import { useEffect, useMemo, useRef, useState } from "react";
import { useRelayEnvironment } from "react-relay";

import { Button } from "../ui/Button.tsx";
import { number } from "../ui/format.ts";
import { Skeleton } from "../ui/Skeleton.tsx";
import { useConversationContext } from "./context.ts";
import { groupKey, partsOf, rowsOf } from "./items.ts";
import { useOneAtATime } from "./oneAtATime.ts";
import { askPage, type Message, type Place } from "./operations.ts";
import { Failed, RowView } from "./Rows.tsx";
import { addNewer, addOlder, type Loaded } from "./window.ts";

const PAGE = 40;

/** How many of the last messages are fetched again: their results may be late. */
const TAIL = 20;

/** The loaded messages of a thread: a part of it that moves on as more is wanted. */
const MAX = 200;

export function Subagent({ agentId }: { agentId: string }) {
  const { session, isOpen, wanted, revision } = useConversationContext();
  const environment = useRelayEnvironment();
  const [thread, setThread] = useState<Loaded<Message> | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const [isLoading, setLoading] = useState(false);
  const element = useRef<HTMLElement>(null);
  const line = wanted?.agentId === agentId ? wanted.message : null;

  /** The messages at a place; null if there are none or the request failed. */
  const ask = async (place: Place): Promise<Loaded<Message> | null> => {
    try {
      const page = await askPage(environment, session, place, agentId);
      setError(null);
      return page;
    } catch (failure) {
      setError(failure);
      return null;
    }
  };

  // The first page, or that of the line that is wanted; and while the end is shown, the last messages and what came
  // after them.
  useOneAtATime(async () => {
    const known = thread?.entries ?? [];
    if (line !== null && !known.some(({ id }) => id === line)) {
      const page = await ask({ first: PAGE, around: line });
      if (page && page.entries.length > 0) return setThread(page);
    }
    if (thread?.hasNewer) return;
    const before = known[known.length - 1 - TAIL];
    const page = await ask(before ? { last: PAGE, before: before.cursor } : { last: PAGE });
    if (!page) return;
    const kept = before ? known.slice(0, known.indexOf(before) + 1) : [];
    const tail = { ...page, entries: kept, hasOlder: thread?.hasOlder ?? page.hasOlder };
    setThread(addNewer(tail, page, before?.id, MAX));
  }, [revision, attempt, line]);

  const more = async (where: "older" | "newer") => {
    const edge = where === "older" ? thread?.entries[0] : thread?.entries.at(-1);
    if (!thread || !edge) return;
    setLoading(true);
    const page = await ask(
      where === "older" ? { first: PAGE, after: edge.cursor } : { last: PAGE, before: edge.cursor },
    );
    if (page && where === "older") setThread(addOlder(thread, page, edge.id, { limit: MAX }));
    else if (page) setThread(addNewer(thread, page, edge.id, MAX));
    setLoading(false);
  };

  const rows = useMemo(() => {
    const parts = (thread?.entries ?? []).flatMap(({ message }) => partsOf(message));
    return rowsOf(parts, (group) =>
      group.some((part) => isOpen(groupKey(part)) || (line !== null && part.message.id === line)),
    );
  }, [thread, isOpen, line]);

  // Scrolls to the line that is wanted, once.
  const shown = useRef<string | null>(null);
  useEffect(() => {
    if (line === null || shown.current === line) return;
    const row = element.current?.querySelector(`[data-message="${CSS.escape(line)}"]`);
    if (!row) return;
    shown.current = line;
    row.scrollIntoView({ block: "center" });
  }, [line, rows]);

  if (error && !thread)
    return <Failed what="The subagent" error={error} retry={() => setAttempt(attempt + 1)} />;
  if (!thread) return <Skeleton height="96px" />;
  return (
    <section className="subagent" aria-label={`Subagent ${agentId}`} data-subagent={agentId} ref={element}>
      <p className="subagent-head">
        <span>Subagent</span> <code>{agentId}</code>
        <span className="subagent-count">
          {number(thread.total)} {thread.total === 1 ? "message" : "messages"}
        </span>
      </p>
      {thread.hasOlder && (
        <Button small isDisabled={isLoading} onPress={() => void more("older")}>
          Show earlier messages
        </Button>
      )}
      {rows.map((row) => (
        <RowView key={row.key} row={row} />
      ))}
      {thread.hasNewer && (
        <Button small isDisabled={isLoading} onPress={() => void more("newer")}>
          Show more of {number(thread.total)} messages
        </Button>
      )}
      {error !== null && <Failed what="More messages" error={error} retry={() => setAttempt(attempt + 1)} />}
    </section>
  );
}
