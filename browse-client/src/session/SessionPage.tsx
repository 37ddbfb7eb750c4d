// One session: its header, and tabs for its conversation, files, tasks, cost and lines. The tab, the message that is
// read and the search are in the URL.

import "../styles/session.css";

import { Suspense, useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from "react";
import { graphql, useLazyLoadQuery, useRelayEnvironment, useSubscription } from "react-relay";
import { Link, Navigate, useParams, useSearchParams } from "react-router";
import { fetchQuery, type GraphQLSubscriptionConfig } from "relay-runtime";

import { useCatchUp } from "../app/connection.ts";
import { ErrorBoundary, useFetchKey } from "../app/ErrorBoundary.tsx";
import { loadSoon, part } from "../app/part.ts";
import { useTitle } from "../app/title.ts";
import { sessionOf } from "../messages/messageId.ts";
import { Empty } from "../ui/Empty.tsx";
import { number } from "../ui/format.ts";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import { type TabItem, Tabs } from "../ui/Tabs.tsx";
import SessionPageQueryNode, { type SessionPageQuery } from "./__generated__/SessionPageQuery.graphql.ts";
import type { SessionPageSubagentQuery } from "./__generated__/SessionPageSubagentQuery.graphql.ts";
import type { SessionPageSubscription } from "./__generated__/SessionPageSubscription.graphql.ts";
import { Conversation } from "./Conversation.tsx";
import { ConversationStore } from "./ConversationStore.ts";
import { Header } from "./Header.tsx";
import { OutlineStore } from "./OutlineStore.ts";

const files = () => import("./FilesTab.tsx");
const tasks = () => import("./TasksTab.tsx");
const cost = () => import("./CostTab.tsx");
const raw = () => import("./RawTab.tsx");
const FilesTab = part(files);
const TasksTab = part(tasks);
const CostTab = part(cost);
const RawTab = part(raw);

/** What the ids of subagents begin with (docs/CLIENTS.md). */
const SUBAGENT = "agent-";

const TABS = ["conversation", "files", "tasks", "cost", "raw"] as const;
/** Changes within this time are one: what is open fetches its data again once. */
const CHANGED_MS = 1_000;

type TabId = (typeof TABS)[number];

export default function SessionPage() {
  const { id = "" } = useParams();
  return (
    <Suspense fallback={<PageSkeleton />}>
      {id.startsWith(SUBAGENT) ? <SubagentLink id={id} /> : <Session key={id} id={id} />}
    </Suspense>
  );
}

/** A subagent is shown in its session, in the call that started it. Its messages name the session. */
function SubagentLink({ id }: { id: string }) {
  const { session } = useLazyLoadQuery<SessionPageSubagentQuery>(
    graphql`
      query SessionPageSubagentQuery($id: String!) {
        session(id: $id) {
          messages(last: 1) {
            edges {
              node {
                id
              }
            }
          }
        }
      }
    `,
    { id },
    { fetchKey: useFetchKey() },
  );
  const message = session?.messages.edges[0]?.node.id;
  const owner = message && sessionOf(message);
  if (!message || !owner) return <NoSession />;
  const params = new URLSearchParams({ message });
  return (
    <Navigate to={{ pathname: `/sessions/${encodeURIComponent(owner)}`, search: `?${params}` }} replace />
  );
}

function NoSession() {
  return (
    <Empty title="There is no such session">
      <p>
        It may have been deleted, or it belongs to another team. An admin of that team can invite you; you can
        change the team in the menu at the top right. <Link to="/sessions">All sessions</Link>
      </p>
    </Empty>
  );
}

function Session({ id }: { id: string }) {
  const environment = useRelayEnvironment();
  const { session } = useLazyLoadQuery<SessionPageQuery>(
    graphql`
      query SessionPageQuery($id: String!) {
        session(id: $id) {
          id
          sessionId
          name
          status
          projectPath
          fileChangeCount
          messageCount
          purgedAt
          ...Header_session
        }
      }
    `,
    { id },
    { fetchKey: useFetchKey(), fetchPolicy: "store-and-network" },
  );
  useTitle(session?.name ?? null);
  useCatchUp(() => {
    fetchQuery(environment, SessionPageQueryNode, { id }).subscribe({});
  });
  if (!session) return <NoSession />;
  return <SessionView id={id} session={session} />;
}

type Found = NonNullable<SessionPageQuery["response"]["session"]>;

function SessionView({ id, session }: { id: string; session: Found }) {
  const environment = useRelayEnvironment();
  const [params, setParams] = useSearchParams();
  const wanted = params.get("tab");
  const tab: TabId = TABS.find((one) => one === wanted) ?? "conversation";
  const message = params.get("message");
  const [outline] = useState(() => new OutlineStore(environment, id));
  // The conversation stays loaded while another tab is shown.
  const [conversation] = useState(() => new ConversationStore(environment, id, () => outline.changed()));
  useEffect(() => () => conversation.stop(), [conversation]);
  const [revision, setRevision] = useState(0);
  const [isOutlineOpen, setOutlineOpen] = useState(false);
  // Where it opens is decided once: a session that ends while it is read does not move.
  const [start] = useState<"start" | "end">(() => (session.status === "active" ? "end" : "start"));

  // Where the conversation is read, for the return from another tab.
  const position = useRef<string | null>(null);

  useEffect(() => {
    void outline.load();
    return () => outline.stop();
  }, [outline]);
  useEffect(() => loadSoon([files, tasks, cost, raw]), []);
  // What is open was loaded before the break, or could not be loaded.
  useCatchUp(() => setRevision((count) => count + 1));

  const changing = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(
    () => () => {
      clearTimeout(changing.current);
      changing.current = undefined;
    },
    [],
  );
  const changed = useEffectEvent(() => {
    outline.changed();
    changing.current ??= setTimeout(() => {
      changing.current = undefined;
      setRevision((count) => count + 1);
    }, CHANGED_MS);
  });
  useSubscription(
    useMemo<GraphQLSubscriptionConfig<SessionPageSubscription>>(
      () => ({
        subscription: graphql`
          subscription SessionPageSubscription($id: ID!) {
            nodeUpdated(id: $id) {
              node {
                id
                ... on Session @alias(as: "session") {
                  name
                  status
                  fileChangeCount
                  messageCount
                  purgedAt
                  ...Header_session
                }
              }
            }
          }
        `,
        variables: { id: session.id },
        onNext: () => changed(),
        onError: () => {},
      }),
      [session.id],
    ),
  );

  // The URL follows the selection with a delay: browsers limit how often it may change.
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const select = useCallback(
    (selected: string | null) => {
      clearTimeout(timer.current);
      timer.current = setTimeout(() => {
        setParams(
          () => {
            // The parameters of now: those of the last drawing may be older than another change.
            const after = new URLSearchParams(window.location.search);
            if (selected) after.set("message", selected);
            else after.delete("message");
            return after;
          },
          { replace: true },
        );
      }, 150);
    },
    [setParams],
  );
  const openTab = (next: string) => {
    setParams((before) => {
      const after = new URLSearchParams(before);
      if (next === "conversation") after.delete("tab");
      else after.set("tab", next);
      after.delete("path");
      return after;
    });
  };
  const closeOutline = useCallback(() => setOutlineOpen(false), []);

  const tabs: TabItem[] = [
    {
      id: "conversation",
      label: "Conversation",
      content: (
        <Conversation
          session={id}
          store={conversation}
          folder={session.projectPath}
          isPurged={session.purgedAt != null}
          message={message}
          start={start}
          position={position}
          outline={outline}
          revision={revision}
          onSelect={select}
          isOutlineOpen={isOutlineOpen}
          closeOutline={closeOutline}
        />
      ),
    },
    {
      id: "files",
      label: (
        <>
          Files
          {session.fileChangeCount > 0 && (
            <span className="tab-count">{number(session.fileChangeCount)}</span>
          )}
        </>
      ),
      content: lazily(<FilesTab session={id} revision={revision} />, "the files"),
    },
    {
      id: "tasks",
      label: "Tasks",
      content: lazily(<TasksTab session={id} revision={revision} />, "the tasks"),
    },
    {
      id: "cost",
      label: "Cost",
      content: lazily(<CostTab session={id} outline={outline} revision={revision} />, "the cost"),
    },
    {
      id: "raw",
      label: "Raw lines",
      content: lazily(<RawTab session={id} message={message} onSelect={select} />, "the lines"),
    },
  ];
  return (
    <div className="session">
      <Header
        session={session}
        onOutline={tab === "conversation" ? () => setOutlineOpen(!isOutlineOpen) : null}
        onCost={() => openTab("cost")}
      />
      <Tabs label="Views of this session" tabs={tabs} selected={tab} onSelect={openTab} />
    </div>
  );
}

function lazily(content: React.ReactNode, what: string) {
  return (
    <ErrorBoundary key={what} what={what.charAt(0).toUpperCase() + what.slice(1)}>
      <Suspense
        fallback={
          <div className="tab-loading">
            <Loading what={what} />
            {["a", "b", "c", "d", "e"].map((row) => (
              <Skeleton key={row} height="28px" />
            ))}
          </div>
        }
      >
        {content}
      </Suspense>
    </ErrorBoundary>
  );
}

function PageSkeleton() {
  return (
    <div className="session">
      <header className="session-header">
        <Loading what="the session" />
        <Skeleton width="320px" height="20px" />
        <Skeleton width="60%" height="16px" />
      </header>
    </div>
  );
}
