// The hits of a search: the sessions in the order of their newest hit, with three hits each and a button for the rest.

import { useMemo, useRef, useState, useTransition } from "react";
import { fetchQuery, graphql, useLazyLoadQuery, useRelayEnvironment } from "react-relay";
import { Link } from "react-router";

import { useFetchKey } from "../app/ErrorBoundary.tsx";
import { useShortcuts } from "../app/keyboard.ts";
import { Button } from "../ui/Button.tsx";
import { visible } from "../ui/bidi.ts";
import { Empty } from "../ui/Empty.tsx";
import { ago, fullTime, number, useNow } from "../ui/format.ts";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import { Unknown } from "../ui/Unknown.tsx";
import type {
  SearchFilter,
  SearchResultsQuery,
  SearchResultsQuery$data,
} from "./__generated__/SearchResultsQuery.graphql.ts";
import { highlight } from "./highlight.ts";

type Page = SearchResultsQuery$data["searchMessages"];
type Hit = Page["edges"][number]["node"];
type Session = NonNullable<Hit["session"]>;

/** The hits that a session shows at first. */
const SHOWN = 3;
const PAGE = 50;

/** Who wrote a message, by its type. Other types are events of the harness. */
const ROLES: Record<string, string> = {
  RegularUserMessage: "Prompt",
  CommandUserMessage: "Command",
  AssistantMessage: "Answer",
  ToolResultUserMessage: "Result",
  McpToolCallMessage: "Tool",
  McpToolResultMessage: "Result",
  ExposedToolCallMessage: "Tool",
  ExposedToolResultMessage: "Result",
  SummaryMessage: "Summary",
  SystemMessage: "System",
};

const QUERY = graphql`
  query SearchResultsQuery($query: String!, $first: Int!, $after: String, $filter: SearchFilter) {
    searchMessages(query: $query, first: $first, after: $after, filter: $filter) {
      linesToIndex
      pageInfo {
        hasNextPage
        endCursor
      }
      edges {
        node {
          messageId
          matchContext
          message {
            __typename
            timestamp
            agentId
          }
          session {
            id
            sessionId
            name
            summary
            projectName
            gitBranch
            owner {
              name
            }
          }
        }
      }
    }
  }
`;

export function SearchResults({ text, filter }: { text: string; filter: SearchFilter }) {
  const environment = useRelayEnvironment();
  const [attempt, setAttempt] = useState(0);
  const [isSearchingAgain, searchAgain] = useTransition();
  const attempts = `${useFetchKey()} ${attempt}`;
  const variables = { query: text, first: PAGE, filter };
  const { searchMessages: newest } = useLazyLoadQuery<SearchResultsQuery>(QUERY, variables, {
    fetchKey: attempts,
    fetchPolicy: attempt === 0 ? "store-or-network" : "network-only",
  });
  // Relay's connections need fields that this list does not have, so older pages are kept here.
  const [older, setOlder] = useState<readonly Page[]>([]);
  const [loading, setLoading] = useState<"idle" | "loading" | "failed">("idle");
  const last = older.at(-1) ?? newest;
  const hasNext = last.pageInfo.hasNextPage;
  const loadNext = () => {
    setLoading("loading");
    fetchQuery<SearchResultsQuery>(environment, QUERY, {
      ...variables,
      after: last.pageInfo.endCursor,
    }).subscribe({
      next: (data) => {
        setOlder((pages) => [...pages, data.searchMessages]);
        setLoading("idle");
      },
      error: () => setLoading("failed"),
    });
  };
  const edges = useMemo(() => [newest, ...older].flatMap((page) => page.edges), [newest, older]);
  const { linesToIndex } = newest;
  const groups = useMemo(() => {
    const bySession = Map.groupBy(
      edges.map(({ node }) => node),
      ({ session }) => session?.id ?? "",
    );
    return [...bySession.values()].flatMap((hits) => {
      const session = hits[0]?.session;
      return session ? [{ session, hits }] : [];
    });
  }, [edges]);
  const page = useRef<HTMLDivElement>(null);
  const focusHit = (step: 1 | -1) => {
    const hits = [...(page.current?.querySelectorAll<HTMLElement>("a.hit") ?? [])];
    const focused = hits.indexOf(document.activeElement as HTMLElement);
    const next = focused < 0 ? (step > 0 ? 0 : hits.length - 1) : focused + step;
    hits[next]?.focus();
    hits[next]?.scrollIntoView({ block: "nearest" });
  };
  useShortcuts([
    { keys: "j", label: "Next hit", group: "Search", run: () => focusHit(1) },
    { keys: "k", label: "Previous hit", group: "Search", run: () => focusHit(-1) },
  ]);
  const again = () =>
    searchAgain(() => {
      setAttempt((attempt) => attempt + 1);
      setOlder([]);
    });
  return (
    <div className="list results" ref={page}>
      {linesToIndex > 0 && (
        <p className="notice lag" role="status">
          <span>
            {number(linesToIndex)} new {linesToIndex === 1 ? "line is" : "lines are"} not indexed yet and
            cannot be found.
          </span>
          <Button small onPress={again} isDisabled={isSearchingAgain}>
            Search again
          </Button>
        </p>
      )}
      <p className="summary" role="status">
        {summary(edges.length, groups.length, hasNext)}
      </p>
      {groups.map(({ session, hits }) => (
        <SessionHits key={session.id} session={session} hits={hits} text={text} />
      ))}
      {edges.length === 0 && !hasNext && (
        <Empty title="No message matches">
          <p>
            All words of a query must occur in one message, as whole words: <code>buil</code> does not find{" "}
            <code>build</code>. Try fewer words, or remove a filter.
          </p>
        </Empty>
      )}
      {hasNext && (
        <p className="list-end">
          {loading === "failed" && (
            <span className="failure" role="alert">
              The server cannot be reached.{" "}
            </span>
          )}
          <Button onPress={loadNext} isDisabled={loading === "loading"}>
            {loading === "loading" ? "Searching" : "Search older messages"}
          </Button>
        </p>
      )}
    </div>
  );
}

function summary(hits: number, sessions: number, hasNext: boolean): string {
  if (hits === 0) return hasNext ? "No hit among the newest messages" : "";
  const found = `${number(hits)}${hasNext ? "+" : ""} ${hits === 1 && !hasNext ? "message" : "messages"}`;
  return `${found} in ${number(sessions)} ${sessions === 1 ? "session" : "sessions"}, newest first`;
}

function SessionHits({ session, hits, text }: { session: Session; hits: readonly Hit[]; text: string }) {
  const [all, setAll] = useState(false);
  const shown = all ? hits : hits.slice(0, SHOWN);
  const hidden = hits.length - shown.length;
  const title = session.summary || session.name;
  return (
    <section className="session-hits" aria-label={title}>
      <header>
        <h2 className="truncate">
          <Link to={`/sessions/${encodeURIComponent(session.sessionId)}`}>{visible(title)}</Link>
        </h2>
        <p className="line-2 truncate">
          <span>{session.owner?.name ?? <Unknown reason="the person has left the server" />}</span>
          {session.projectName && <span>{session.projectName}</span>}
          {session.gitBranch && <code>{visible(session.gitBranch)}</code>}
        </p>
      </header>
      <ul>
        {shown.map((hit) => (
          <li key={hit.messageId}>
            <HitLink hit={hit} session={session} text={text} />
          </li>
        ))}
      </ul>
      {hidden > 0 && (
        <Button look="quiet" small onPress={() => setAll(true)}>
          Show {number(hidden)} more
        </Button>
      )}
    </section>
  );
}

/** Opens the message in its session. */
function HitLink({ hit, session, text }: { hit: Hit; session: Session; text: string }) {
  const now = useNow();
  const { __typename: type, timestamp, agentId } = hit.message;
  const params = new URLSearchParams({ message: hit.messageId });
  return (
    <Link
      className="hit"
      data-message={hit.messageId}
      to={{ pathname: `/sessions/${encodeURIComponent(session.sessionId)}`, search: `?${params}` }}
    >
      <span className="hit-role">
        {ROLES[type] ?? "Event"}
        {agentId && " of a subagent"}
      </span>
      <span className="hit-text">
        {highlight(hit.matchContext, text).map(({ text, isMatch }, part) =>
          isMatch ? <mark key={part}>{text}</mark> : visible(text),
        )}
      </span>
      <time dateTime={timestamp} title={fullTime(timestamp)}>
        {ago(timestamp, now)}
      </time>
    </Link>
  );
}

/** The results while they are being loaded. */
export function ResultsSkeleton() {
  return (
    <div className="list results">
      <Loading what="the results" />
      {["a", "b", "c", "d"].map((key) => (
        <div key={key} className="session-hits">
          <header>
            <Skeleton width="40%" />
          </header>
          <ul aria-hidden="true">
            {["1", "2", "3"].map((hit) => (
              <li key={hit} className="hit">
                <Skeleton width="48px" />
                <Skeleton width="80%" />
              </li>
            ))}
          </ul>
        </div>
      ))}
    </div>
  );
}
