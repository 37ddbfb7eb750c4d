// What each turn cost, and how large the context was.

import { useMemo, useState, useSyncExternalStore } from "react";
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
import { useOneAtATime } from "./oneAtATime.ts";
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
  useOneAtATime(async () => {
    try {
      const { session: found } = await ask<CostTabQuery$rawResponse>(environment, query, { id: session });
      setSizes(found?.contextSizes ?? []);
    } catch {
      // The table has its own data; the chart stays as it was.
      setSizes((before) => before ?? []);
    }
  }, [revision]);
  const turns = useMemo(() => turnsOf(entries).filter(({ entry }) => entry.kind !== "COMPACTION"), [entries]);
  const largest = useMemo(() => turns.reduce((most, { tokens }) => Math.max(most, tokens), 1), [turns]);
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
                <TurnRow key={turn.entry.messageId} turn={turn} largest={largest} />
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
    ["cache-read", turn.cacheReadTokens],
    ["cache-written", turn.cacheCreationTokens],
    ["input", turn.inputTokens],
    ["output", turn.outputTokens],
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
      <Tokens value={turn.inputTokens} />
      <Tokens value={turn.outputTokens} />
      <Tokens value={turn.cacheReadTokens} />
      <Tokens value={turn.cacheCreationTokens} />
      <td>
        <span className="turn-bar" aria-hidden="true">
          {parts.map(([name, tokens]) => (
            <span key={name} data-part={name} style={{ width: `${(100 * tokens) / largest}%` }} />
          ))}
        </span>
      </td>
      <td className="number">
        <TurnCost turn={turn} />
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

/** The units of the drawing, which is stretched to the size of the page. */
const WIDTH = 1_000;
const HEIGHT = 100;

/** The context over time. Answers have equal distances: the hours without work are not drawn. */
function ContextChart({ sizes, cuts }: { sizes: readonly Size[]; cuts: readonly OutlineEntry[] }) {
  const largest = Math.max(...sizes.map(({ tokens }) => tokens), 1);
  const step = WIDTH / Math.max(1, sizes.length - 1);
  const y = (tokens: number) => HEIGHT - (tokens / largest) * HEIGHT;
  const line = sizes.map(
    ({ tokens }, at) => `${at === 0 ? "M" : "L"}${(at * step).toFixed(1)},${y(tokens).toFixed(1)}`,
  );
  const area = `${line.join("")}L${WIDTH},${HEIGHT}L0,${HEIGHT}Z`;
  const cutsAt = cuts.map(({ messageId, timestamp }) => {
    const next = sizes.findIndex(({ at }) => at >= timestamp);
    return { messageId, x: ((next < 0 ? sizes.length : next) - 0.5) * step };
  });
  const text = `The context over time: at most ${number(largest)} tokens, ${cuts.length} compactions`;
  return (
    <div className="context-chart" role="img" aria-label={text}>
      {[1, 0.5, 0].map((share) => (
        <span key={share} className="chart-text chart-tokens" style={{ top: `${100 - 100 * share}%` }}>
          {compact(share * largest)}
        </span>
      ))}
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {[0, 0.5, 1].map((share) => (
          <line
            key={share}
            className="chart-grid"
            x1={0}
            x2={WIDTH}
            y1={share * HEIGHT}
            y2={share * HEIGHT}
          />
        ))}
        <path className="chart-area" d={area} />
        <path className="chart-line" d={line.join("")} />
        {cutsAt.map(({ messageId, x }) => (
          <line key={messageId} className="chart-cut" x1={x} x2={x} y1={0} y2={HEIGHT} />
        ))}
      </svg>
      {[sizes[0], sizes.at(-1)].map((size, at) => (
        <time
          // The first and the last.
          key={at}
          className="chart-text chart-time"
          dateTime={size?.at}
          title={size && fullTime(size.at)}
        >
          {size && time(size.at)}
        </time>
      ))}
    </div>
  );
}
