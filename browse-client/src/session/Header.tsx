// What a session is, and its figures.

import { Button as AriaButton, Dialog, DialogTrigger, Popover } from "react-aria-components";
import { graphql, useFragment } from "react-relay";

import { Badge, type Tone } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
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
import { BranchIcon, SessionsIcon } from "../ui/icons.tsx";
import { safeUrl } from "../ui/links.ts";
import { Unknown } from "../ui/Unknown.tsx";
import type { Header_session$data, Header_session$key } from "./__generated__/Header_session.graphql.ts";

const STATES: Record<string, { tone: Tone; title: string }> = {
  active: { tone: "green", title: "A line arrived within the last ten minutes" },
  idle: { tone: "neutral", title: "No line for ten minutes, and no recorded end" },
  completed: { tone: "violet", title: "The agent recorded the end of the session" },
};

export function Header({
  session,
  onOutline,
  onCost,
}: {
  session: Header_session$key;
  /** Shows or hides the outline on narrow screens; null where there is none. */
  onOutline: (() => void) | null;
  onCost: () => void;
}) {
  const data = useFragment(
    graphql`
      fragment Header_session on Session {
        sessionId
        name
        summary
        status
        projectName
        projectPath
        gitBranch
        prNumber
        prUrl
        harness
        version
        worktreeName
        teamName
        startedAt
        updatedAt
        duration
        turnCount
        messageCount
        lineCount
        damagedLineCount
        clockAheadSeconds
        purgedAt
        compactionCount
        inputTokens
        outputTokens
        cacheReadTokens
        cacheCreationTokens
        estimatedCostUsd
        unpricedTokens
        unpricedAnswers
        models
        owner {
          id
          name
          email
        }
      }
    `,
    session,
  );
  const now = useNow();
  const state = STATES[data.status];
  const pullRequest = safeUrl(data.prUrl ?? undefined);
  const tokens = data.inputTokens + data.outputTokens + data.cacheReadTokens + data.cacheCreationTokens;
  const person = data.owner?.name ?? data.owner?.email;
  return (
    <header className="session-header">
      <div className="session-title">
        {onOutline && (
          <span className="outline-toggle">
            <Button small look="quiet" onPress={onOutline} aria-label="Prompts of this session">
              <SessionsIcon />
            </Button>
          </span>
        )}
        <h1 className="truncate" title={data.summary ?? data.name}>
          {visible(data.name)}
        </h1>
        <Badge tone={state?.tone ?? "neutral"} {...(state && { title: state.title })}>
          {data.status}
        </Badge>
        {data.teamName && (
          <Badge tone="accent" title="The agent team that it works in">
            {data.teamName}
          </Badge>
        )}
        {data.damagedLineCount > 0 && (
          <Badge
            tone="amber"
            title="Lines with records that are cut off, several records, or padding. Every complete record is shown."
          >
            {number(data.damagedLineCount)} damaged {data.damagedLineCount === 1 ? "line" : "lines"}
          </Badge>
        )}
        {data.purgedAt != null && (
          <Badge
            title={`Purged on ${fullTime(data.purgedAt)}: the team keeps content for a limited time. The figures include it.`}
          >
            content purged
          </Badge>
        )}
        {data.clockAheadSeconds != null && (
          <Badge
            tone="amber"
            title="Lines were dated ahead of the server's clock. They are shown at the time of the next line, or of arrival."
          >
            clock {duration(data.clockAheadSeconds)} ahead
          </Badge>
        )}
      </div>
      <div className="session-meta">
        <span className="session-facts">
          <span className="truncate">{person ?? <Unknown reason="the person who pushed it has left" />}</span>
          {data.projectName && (
            <span className="truncate" title={data.projectPath}>
              {data.projectName}
            </span>
          )}
          {data.gitBranch && (
            <span className="session-branch" title={`Branch ${data.gitBranch}`}>
              <BranchIcon />
              <code className="truncate">{visible(data.gitBranch)}</code>
            </span>
          )}
          {data.prNumber !== null &&
            data.prNumber !== undefined &&
            (pullRequest ? (
              <a href={pullRequest} target="_blank" rel="noopener noreferrer">
                #{data.prNumber}
              </a>
            ) : (
              <span>#{data.prNumber}</span>
            ))}
          {data.models.length > 0 && (
            <span title={data.models.join(", ")}>
              {data.models[0]}
              {data.models.length > 1 ? ` +${data.models.length - 1}` : ""}
            </span>
          )}
          <span title={fullTime(data.updatedAt)}>{ago(data.updatedAt, now)}</span>
        </span>
        <dl className="session-figures">
          <Figure name="Duration">
            {data.duration === null || data.duration === undefined ? (
              <Unknown reason="no line has a time" />
            ) : (
              <span title={`${number(data.duration)} seconds between the first line and the last`}>
                {duration(data.duration)}
              </span>
            )}
          </Figure>
          <Figure name="Turns">
            <span data-figure="turns">{number(data.turnCount)}</span>
          </Figure>
          <Figure name="Messages">
            <span data-figure="messages">{number(data.messageCount)}</span>
          </Figure>
          <Figure name="Tokens">
            <span
              data-figure="tokens"
              title={`${number(tokens)} tokens, of which ${number(data.cacheReadTokens)} read from the cache`}
            >
              {compact(tokens)}
            </span>
          </Figure>
          <Figure name="Cost">
            <Cost data={data} onCost={onCost} />
          </Figure>
        </dl>
      </div>
    </header>
  );
}

function Figure({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** The cost, and where the number comes from. */
function Cost({ data, onCost }: { data: Header_session$data; onCost: () => void }) {
  const cost = data.estimatedCostUsd ?? null;
  const rows: [string, number][] = [
    ["Input", data.inputTokens],
    ["Output", data.outputTokens],
    ["Read from the cache", data.cacheReadTokens],
    ["Written to the cache", data.cacheCreationTokens],
  ];
  return (
    <DialogTrigger>
      <AriaButton className="cost-button" data-figure="cost">
        {cost === null ? <Unknown reason="no answer of this session has a price" /> : money(cost)}
        {cost !== null && data.unpricedAnswers > 0 ? "+" : ""}
      </AriaButton>
      <Popover className="popover cost-popover" placement="bottom end">
        <Dialog aria-label="Where the cost comes from" className="cost-dialog">
          {({ close }) => (
            <>
              <h2>{cost === null ? "Unknown cost" : `${exactMoney(cost)} at list prices`}</h2>
              <table>
                <tbody>
                  {rows.map(([name, tokens]) => (
                    <tr key={name}>
                      <th scope="row">{name}</th>
                      <td className="number">{number(tokens)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <p>
                Tokens of this session and its subagents, and searches on the web, at the list price of each
                answer. Each answer counts once. It is not an invoice.
              </p>
              {data.unpricedAnswers > 0 && (
                <p className="cost-unpriced">
                  Not included: {unpricedText(data.unpricedAnswers, data.unpricedTokens)}.
                </p>
              )}
              <Button
                small
                onPress={() => {
                  close();
                  onCost();
                }}
              >
                Cost of each turn
              </Button>
            </>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
