// The thread of a subagent, inside of the call that started it.

import { useEffect, useMemo, useState } from "react";
import { useRelayEnvironment } from "react-relay";

import { Button } from "../ui/Button.tsx";
import { number } from "../ui/format.ts";
import { Skeleton } from "../ui/Skeleton.tsx";
import { useConversationContext } from "./context.ts";
import { groupKey, partsOf, rowsOf } from "./items.ts";
import { askPage, type Message } from "./operations.ts";
import { Failed, RowView } from "./Rows.tsx";
import { addNewer, type Loaded } from "./window.ts";

const PAGE = 40;

/** How many of the last messages are fetched again: their results may be late. */
const TAIL = 20;

/** The loaded messages of a thread: a part of it that moves on as more is wanted. */
const MAX = 200;

export function Subagent({ agentId }: { agentId: string }) {
  const { session, isOpen, revision } = useConversationContext();
  const environment = useRelayEnvironment();
  const [thread, setThread] = useState<Loaded<Message> | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const [isLoading, setLoading] = useState(false);

  // The first page; and while the end is shown, the last messages and what came after them, whenever the session changes.
  // `revision` and `attempt` are reasons to ask again.
  useEffect(() => {
    let isCurrent = true;
    if (thread?.hasNewer) return;
    const known = thread?.entries ?? [];
    const before = known[known.length - 1 - TAIL];
    askPage(
      environment,
      session,
      before ? { last: PAGE, before: before.cursor } : { last: PAGE },
      agentId,
    ).then(
      (page) => {
        if (!isCurrent || !page) return;
        setError(null);
        const kept = before ? known.slice(0, known.indexOf(before) + 1) : [];
        setThread(
          addNewer({ ...page, entries: kept, hasOlder: thread?.hasOlder ?? page.hasOlder }, page, MAX),
        );
      },
      (failure: unknown) => isCurrent && setError(failure),
    );
    return () => {
      isCurrent = false;
    };
  }, [environment, session, agentId, revision, attempt]);

  const more = async () => {
    const last = thread?.entries.at(-1);
    if (!thread || !last) return;
    setLoading(true);
    try {
      const page = await askPage(environment, session, { last: PAGE, before: last.cursor }, agentId);
      if (page) setThread(addNewer(thread, page, MAX));
    } catch (failure) {
      setError(failure);
    } finally {
      setLoading(false);
    }
  };

  const rows = useMemo(() => {
    const parts = (thread?.entries ?? []).flatMap(({ message }) => partsOf(message));
    return rowsOf(parts, (group) => group.some((part) => isOpen(groupKey(part))));
  }, [thread, isOpen]);

  if (error) return <Failed what="The subagent" error={error} retry={() => setAttempt(attempt + 1)} />;
  if (!thread) return <Skeleton height="96px" />;
  return (
    <section className="subagent" aria-label={`Subagent ${agentId}`} data-subagent={agentId}>
      <p className="subagent-head">
        <span>Subagent</span> <code>{agentId}</code>
        <span className="subagent-count">
          {number(thread.total)} {thread.total === 1 ? "message" : "messages"}
        </span>
      </p>
      {rows.map((row) => (
        <RowView key={row.key} row={row} />
      ))}
      {thread.hasNewer && (
        <Button small isDisabled={isLoading} onPress={more}>
          Show more of {number(thread.total)} messages
        </Button>
      )}
    </section>
  );
}
