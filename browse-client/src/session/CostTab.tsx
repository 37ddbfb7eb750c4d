// What each turn cost, and how large the context was.

import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { graphql, useRelayEnvironment } from "react-relay";
import { Link } from "react-router";

import { messagePath } from "../messages/messageId.ts";
import { Button } from "../ui/Button.tsx";
import { Empty } from "../ui/Empty.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { compact, fullTime, number, time } from "../ui/format.ts";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import type { CostTabQuery$rawResponse } from "./__generated__/CostTabQuery.graphql.ts";
import { TurnCost } from "./Outline.tsx";
import type { OutlineStore } from "./OutlineStore.ts";
import { ask } from "./operations.ts";
import { type OutlineEntry, titleOf, turnsOf } from "./outline.ts";

const query = graphql`
  query CostTabQuery($id: String!) @raw_response_type {
    session(id: $id) {
      id
      contextSizes(first: 400) {
        at
        tokens
      }
    }
  }
`;

type Size = { at: string; tokens: number };

const SHOWN = 200;

export default function CostTab({
  session,
  outline,
  revision,
}: {
  session: string;
  outline: OutlineStore;
  revision: number;
}) {
  const environment = useRelayEnvironment();
  const { entries, isComplete, error } = useSyncExternalStore(outline.subscribe, outline.getSnapshot);
  const [sizes, setSizes] = useState<readonly Size[] | null>(null);
  // `revision` is a reason to load again.
  useEffect(() => {
    let isCurrent = true;
    ask<CostTabQuery$rawResponse>(environment, query, { id: session }).then(
      ({ session: found }) => isCurrent && setSizes(found?.contextSizes ?? []),
      // The table has its own data; the chart stays as it was.
      () => isCurrent && setSizes((before) => before ?? []),
    );
    return () => {
      isCurrent = false;
    };
  }, [environment, session, revision]);
  const turns = useMemo(() => turnsOf(entries).filter(({ entry }) => entry.kind !== "COMPACTION"), [entries]);
  const [shown, setShown] = useState(SHOWN);

  if (error && entries.length === 0)
    return <ErrorState what="The cost" error={error} onRetry={() => outline.reload()} />;
  if (entries.length === 0 && !isComplete) {
    return (
      <div className="tab-loading">
        <Loading what="the cost" />
        <Skeleton height="180px" />
        <Skeleton height="24px" />
        <Skeleton height="24px" />
      </div>
    );
  }
  if (entries.length === 0) {
    return (
      <Empty title="No turns yet">
        <p>The tokens and the cost of each prompt appear here.</p>
      </Empty>
    );
  }
  const cuts = entries.filter(({ kind }) => kind === "COMPACTION");
  return (
    <div className="cost">
      <section>
        <h2>Context</h2>
        <p className="cost-note">
          Tokens that the model read with each answer, without subagents. Lines mark compactions.
        </p>
        {sizes === null ? (
          <Skeleton height="180px" />
        ) : sizes.length > 1 ? (
          <ContextChart sizes={sizes} cuts={cuts} />
        ) : (
          <p className="empty-result">Too few answers to draw.</p>
        )}
      </section>
      <section>
        <h2>Turns</h2>
        <p className="cost-note cost-legend">
          <span data-part="cache-read">Cache read</span>
          <span data-part="cache-written">Cache written</span>
          <span data-part="input">Input</span>
          <span data-part="output">Output</span>
        </p>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll a wide table */}
        <div className="table-scroll" tabIndex={0} role="region" aria-label="Tokens and cost of each turn">
          <table className="turns">
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Prompt</th>
                <th scope="col" className="number">
                  Input
                </th>
                <th scope="col" className="number">
                  Output
                </th>
                <th scope="col" className="number">
                  Cache read
                </th>
                <th scope="col" className="number">
                  Cache written
                </th>
                <th scope="col">Share</th>
                <th scope="col" className="number">
                  Cost
                </th>
              </tr>
            </thead>
            <tbody>
              {turns.slice(0, shown).map((turn) => (
                <TurnRow
                  key={turn.entry.messageId}
                  turn={turn}
                  largest={Math.max(...turns.map(({ tokens }) => tokens), 1)}
                />
              ))}
            </tbody>
          </table>
        </div>
        {turns.length > shown && (
          <Button onPress={() => setShown(shown + SHOWN)}>Show more of {number(turns.length)} turns</Button>
        )}
        {!isComplete && <p className="cost-note">More turns are being loaded.</p>}
      </section>
    </div>
  );
}

function TurnRow({ turn, largest }: { turn: ReturnType<typeof turnsOf>[number]; largest: number }) {
  const { entry } = turn;
  const parts: [string, number][] = [
    ["cache-read", entry.cacheReadTokens],
    ["cache-written", entry.cacheCreationTokens],
    ["input", entry.inputTokens],
    ["output", entry.outputTokens],
  ];
  return (
    <tr>
      <td>
        <time dateTime={entry.timestamp} title={fullTime(entry.timestamp)}>
          {time(entry.timestamp)}
        </time>
      </td>
      <td className="turn-title">
        <Link className="truncate" to={messagePath(entry.messageId)}>
          {titleOf(entry)}
        </Link>
      </td>
      <Tokens value={entry.inputTokens} />
      <Tokens value={entry.outputTokens} />
      <Tokens value={entry.cacheReadTokens} />
      <Tokens value={entry.cacheCreationTokens} />
      <td>
        <span className="turn-bar" aria-hidden="true">
          {parts.map(([name, tokens]) => (
            <span key={name} data-part={name} style={{ width: `${(100 * tokens) / largest}%` }} />
          ))}
        </span>
      </td>
      <td className="number">
        <TurnCost costUsd={turn.costUsd} unpriced={turn.unpricedTokens} />
      </td>
    </tr>
  );
}

function Tokens({ value }: { value: number }) {
  return (
    <td className="number" title={number(value)}>
      {compact(value)}
    </td>
  );
}

const WIDTH = 960;
const HEIGHT = 180;
const LEFT = 48;
const BOTTOM = 20;
const TOP = 8;

/** The context over time. Answers have equal distances: the hours without work are not drawn. */
function ContextChart({ sizes, cuts }: { sizes: readonly Size[]; cuts: readonly OutlineEntry[] }) {
  const largest = Math.max(...sizes.map(({ tokens }) => tokens), 1);
  const step = (WIDTH - LEFT) / Math.max(1, sizes.length - 1);
  const x = (at: number) => LEFT + at * step;
  const y = (tokens: number) => HEIGHT - BOTTOM - (tokens / largest) * (HEIGHT - BOTTOM - TOP);
  const line = sizes.map(
    ({ tokens }, at) => `${at === 0 ? "M" : "L"}${x(at).toFixed(1)},${y(tokens).toFixed(1)}`,
  );
  const area = `${line.join("")}L${x(sizes.length - 1).toFixed(1)},${y(0)}L${LEFT},${y(0)}Z`;
  const cutsAt = cuts.map(({ messageId, timestamp }) => {
    const next = sizes.findIndex(({ at }) => at >= timestamp);
    return { messageId, at: (next < 0 ? sizes.length : next) - 0.5 };
  });
  const first = sizes[0]?.at ?? "";
  const last = sizes.at(-1)?.at ?? "";
  const text = `The context over time: at most ${number(largest)} tokens, ${cuts.length} compactions`;
  return (
    <svg className="context-chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={text}>
      {[0, 0.5, 1].map((share) => (
        <g key={share}>
          <line className="chart-grid" x1={LEFT} x2={WIDTH} y1={y(share * largest)} y2={y(share * largest)} />
          <text className="chart-text" x={LEFT - 6} y={y(share * largest) + 4} textAnchor="end">
            {compact(share * largest)}
          </text>
        </g>
      ))}
      <path className="chart-area" d={area} />
      <path className="chart-line" d={line.join("")} />
      {cutsAt.map(({ messageId, at }) => (
        <line key={messageId} className="chart-cut" x1={x(at)} x2={x(at)} y1={TOP} y2={HEIGHT - BOTTOM} />
      ))}
      <text className="chart-text" x={LEFT} y={HEIGHT - 4}>
        {time(first)}
      </text>
      <text className="chart-text" x={WIDTH} y={HEIGHT - 4} textAnchor="end">
        {time(last)}
      </text>
    </svg>
  );
}
