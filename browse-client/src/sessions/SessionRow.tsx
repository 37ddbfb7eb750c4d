// One session of the list, on two lines, with its figures in columns. It updates in place while it is visible.

import { type MouseEvent, useEffect, useMemo, useState } from "react";
import { graphql, useFragment, useSubscription } from "react-relay";
import { Link } from "react-router";
import type { GraphQLSubscriptionConfig } from "relay-runtime";

import { Badge } from "../ui/Badge.tsx";
import { visible } from "../ui/bidi.ts";
import {
  ago,
  compact,
  duration,
  exactMoney,
  fullTime,
  money,
  number,
  unpricedText,
  useNow,
} from "../ui/format.ts";
import { ChevronIcon } from "../ui/icons.tsx";
import { safeUrl } from "../ui/links.ts";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import { Unknown } from "../ui/Unknown.tsx";
import type {
  SessionRow_session$data,
  SessionRow_session$key,
} from "./__generated__/SessionRow_session.graphql.ts";
import type { SessionRowSubscription } from "./__generated__/SessionRowSubscription.graphql.ts";

/** A session whose last line is not older than this is being worked on. */
const LIVE_MS = 2 * 60_000;

/** Rows that are only scrolled past are not followed. */
const FOLLOW_AFTER_MS = 400;

export function SessionRow({
  session,
  forks,
  isFork,
  isFolded,
  isOpen,
  onToggle,
  onOpen,
}: {
  session: SessionRow_session$key;
  /** The number of sessions that are folded under it. */
  forks: number;
  isFork: boolean;
  /** Whether it is below the session that it is folded under. */
  isFolded: boolean;
  isOpen: boolean;
  onToggle: () => void;
  onOpen: (path: string) => void;
}) {
  const data = useFragment(
    graphql`
      fragment SessionRow_session on Session {
        id
        sessionId
        name
        summary
        projectName
        projectPath
        gitBranch
        models
        harness
        updatedAt
        duration
        turnCount
        fileChangeCount
        linesAdded
        linesRemoved
        inputTokens
        outputTokens
        cacheReadTokens
        cacheCreationTokens
        estimatedCostUsd
        unpricedTokens
        unpricedAnswers
        prNumber
        prUrl
        teamName
        owner {
          id
          name
        }
      }
    `,
    session,
  );
  const now = useNow();
  const [follows, setFollows] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setFollows(true), FOLLOW_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  // The agent's short name is two or three random words.
  const title = data.summary || data.name;
  const path = `/sessions/${encodeURIComponent(data.sessionId)}`;
  // The address is from the transcript.
  const pullRequest = safeUrl(data.prUrl ?? undefined);
  const isLive = now.getTime() - new Date(data.updatedAt).getTime() < LIVE_MS;
  // A click anywhere in the row opens it, as the link does. Text that is being selected, and controls, are left alone.
  const open = (event: MouseEvent) => {
    const isControl = event.target instanceof Element && event.target.closest("a, button");
    if (isControl || getSelection()?.type === "Range") return;
    if (event.metaKey || event.ctrlKey) window.open(path);
    else onOpen(path);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the link in the first cell is for the keyboard
    <div className="cells" role="presentation" onClick={open} data-folded={isFolded || undefined}>
      {follows && <Follow id={data.id} />}
      <div role="cell" className="cell-main">
        <span className="live" data-live={isLive || undefined} title={isLive ? "Active now" : undefined}>
          {isLive && <span className="visually-hidden">Active now: </span>}
        </span>
        <div className="lines">
          <div className="line-1">
            <Link to={path} className="truncate" title={title}>
              {visible(title)}
            </Link>
            {forks > 0 && (
              <button type="button" className="forks" aria-expanded={isOpen} onClick={onToggle}>
                <ChevronIcon />
                {number(forks)} {forks === 1 ? "fork" : "forks"}
              </button>
            )}
            {isFork && <Badge title="It repeats the beginning of another session">Fork</Badge>}
            {pullRequest && (
              <a className="pr" href={pullRequest} target="_blank" rel="noopener noreferrer">
                <Badge tone="violet" title={pullRequest}>
                  PR{data.prNumber != null && ` #${data.prNumber}`}
                </Badge>
              </a>
            )}
            {data.teamName && (
              <Badge tone="accent" title="The agent team that it works in">
                {data.teamName}
              </Badge>
            )}
          </div>
          <div className="line-2 truncate">
            <span>{data.owner?.name ?? <Unknown reason="the person has left the server" />}</span>
            {data.projectName && <span title={data.projectPath}>{data.projectName}</span>}
            {data.gitBranch && <code title="Branch">{visible(data.gitBranch)}</code>}
            {data.models[0] && (
              <span title={data.models.join(", ")}>
                {modelName(data.models[0])}
                {data.models.length > 1 && ` +${data.models.length - 1}`}
              </span>
            )}
          </div>
        </div>
      </div>
      <div role="cell" className="number cell-turns">
        {number(data.turnCount)}
      </div>
      <div role="cell" className="number cell-files" title={files(data)}>
        {data.fileChangeCount === 0 ? (
          <span className="none">0</span>
        ) : (
          <>
            <span className="added">+{compact(data.linesAdded)}</span>{" "}
            <span className="removed">−{compact(data.linesRemoved)}</span>
          </>
        )}
      </div>
      <div role="cell" className="number cell-tokens" title={tokens(data)}>
        {total(data) === 0 ? <span className="none">0</span> : compact(total(data))}
      </div>
      <div role="cell" className="number cell-cost">
        <Cost session={data} />
      </div>
      <div role="cell" className="number cell-duration">
        {data.duration == null ? <Unknown reason="no line of it has a time" /> : duration(data.duration)}
      </div>
      <div role="cell" className="number cell-activity">
        <time dateTime={data.updatedAt} title={fullTime(data.updatedAt)}>
          {ago(data.updatedAt, now)}
        </time>
      </div>
    </div>
  );
}

/** Receives the changes of one session. Relay writes them into the record that the row shows. */
function Follow({ id }: { id: string }) {
  useSubscription(
    useMemo<GraphQLSubscriptionConfig<SessionRowSubscription>>(
      () => ({
        subscription: graphql`
          subscription SessionRowSubscription($id: ID!) {
            nodeUpdated(id: $id) {
              node {
                id
                ...SessionRow_session @alias(as: "row")
              }
            }
          }
        `,
        variables: { id },
        // The connection state shows that the socket was lost, and the row is fetched again with the next one.
        onError: () => {},
      }),
      [id],
    ),
  );
  return null;
}

/** `claude-opus-4-6` without the vendor's prefix and the date. */
function modelName(model: string): string {
  return model.replace(/^claude-/, "").replace(/-20\d{6}$/, "");
}

function total(session: SessionRow_session$data): number {
  return session.inputTokens + session.outputTokens + session.cacheReadTokens + session.cacheCreationTokens;
}

function tokens(session: SessionRow_session$data): string {
  return [
    `${number(total(session))} tokens`,
    `input ${number(session.inputTokens)}`,
    `output ${number(session.outputTokens)}`,
    `read from the cache ${number(session.cacheReadTokens)}`,
    `written to the cache ${number(session.cacheCreationTokens)}`,
  ].join("\n");
}

function files({ fileChangeCount, linesAdded, linesRemoved }: SessionRow_session$data): string {
  const changes = `${number(fileChangeCount)} ${fileChangeCount === 1 ? "change" : "changes"} of files`;
  return `${changes}\n${number(linesAdded)} lines added, ${number(linesRemoved)} removed`;
}

function Cost({ session }: { session: SessionRow_session$data }) {
  const { estimatedCostUsd: cost, unpricedTokens, unpricedAnswers: unpriced } = session;
  if (cost == null) return <Unknown reason="none of its answers has a price" />;
  const missing = unpriced > 0 ? `\nwithout ${unpricedText(unpriced, unpricedTokens)}` : "";
  return (
    <span title={`${exactMoney(cost)} at list prices${missing}`}>
      {money(cost)}
      {unpriced > 0 && "+"}
    </span>
  );
}

/** The headings of the columns. */
export function Columns() {
  return (
    <div role="rowgroup" className="columns">
      <div role="row" className="cells">
        <div role="columnheader" className="cell-main">
          Session
        </div>
        <div role="columnheader" className="number cell-turns">
          Turns
        </div>
        <div role="columnheader" className="number cell-files">
          Files +/−
        </div>
        <div role="columnheader" className="number cell-tokens">
          Tokens
        </div>
        <div role="columnheader" className="number cell-cost">
          Cost
        </div>
        <div role="columnheader" className="number cell-duration">
          Duration
        </div>
        <div role="columnheader" className="number cell-activity">
          Active
        </div>
      </div>
    </div>
  );
}

/** The list while it is being loaded. */
export function ListSkeleton() {
  return (
    <div className="list">
      <Loading what="sessions" />
      <div className="columns" aria-hidden="true">
        <div className="cells" />
      </div>
      <div aria-hidden="true">
        {Array.from({ length: 12 }, (_, row) => (
          <div key={row} className="row skeleton-row">
            <div className="cells">
              <div className="cell-main">
                <div className="lines">
                  <Skeleton width={`${55 - (row % 4) * 8}%`} />
                  <Skeleton width={`${30 + (row % 3) * 5}%`} height="10px" />
                </div>
              </div>
              <div className="cell-activity">
                <Skeleton />
              </div>
            </div>
          </div>
        ))}
      </div>
    </div>
  );
}
