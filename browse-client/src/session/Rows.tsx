// The rows of a conversation: one component for each kind of part. Everything that a transcript says is shown as text.

import { memo, type ReactNode, useMemo, useState } from "react";
import { Link } from "react-router";

import { messagePath } from "../messages/messageId.ts";
import { Button } from "../ui/Button.tsx";
import { milliseconds, number, time } from "../ui/format.ts";
import { ChevronIcon } from "../ui/icons.tsx";
import { Skeleton } from "../ui/Skeleton.tsx";
import { withoutAnsi } from "./ansi.ts";
import { useConversationContext } from "./context.ts";
import { type BlockDetail, type Detail, type Image, useDetail, useDetails, useLoaded } from "./details.ts";
import { editsOf } from "./diff.ts";
import { type Call, type Group, groupLabel, type Outcome, type Part, type Row, toolsOf } from "./items.ts";
import { Subagent } from "./Subagent.tsx";
import { CopyButton, Difference, OnDemand, Output, Prose, pretty } from "./Text.tsx";

/** Contents that are larger are loaded on demand only. */
const LARGE = 256 * 1_024;

export const RowView = memo(function RowView({ row }: { row: Row }) {
  return row.type === "group" ? <GroupRow row={row} /> : <PartRow part={row.part} inGroup={row.inGroup} />;
});

function GroupRow({ row }: { row: Group }) {
  const { toggleGroup, selected } = useConversationContext();
  return (
    <div
      className="entry entry-group"
      data-row={row.key}
      data-failed={row.failed > 0 || undefined}
      data-selected={selected === row.key || undefined}
      tabIndex={-1}
    >
      <button
        type="button"
        className="entry-line"
        aria-expanded={row.isOpen}
        onClick={() => toggleGroup(row)}
      >
        <Chevron />
        <span className="group-label">{groupLabel(row)}</span>
        {row.failed > 0 && <OutcomeMark outcome="failed" />}
        {row.failed === 0 && row.running > 0 && <OutcomeMark outcome="running" />}
        <span className="truncate group-tools">{toolsOf(row.parts)}</span>
        {row.durationMs > 0 && (
          <span className="entry-duration" title="Sum of the calls">
            {milliseconds(row.durationMs)}
          </span>
        )}
      </button>
    </div>
  );
}

function PartRow({ part, inGroup }: { part: Part; inGroup: boolean }) {
  const { selected, select, wanted } = useConversationContext();
  const [isRaw, setRaw] = useState(false);
  const { message } = part;
  // The line of a subagent is selected, and not the call that shows it.
  const isSelected = wanted ? wanted.message === message.id : selected === part.key;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: j and k select with the keyboard
    <article
      className="entry"
      data-kind={part.kind}
      data-row={part.key}
      data-message={message.id}
      data-type={message.__typename}
      data-selected={isSelected || undefined}
      data-in-group={inGroup || undefined}
      tabIndex={-1}
      aria-label={`${NAMES[part.kind]}, ${time(message.timestamp)}`}
      onClick={(event) => {
        // A click that marks text or presses a control is no selection.
        if (event.target instanceof Element && event.target.closest("a, button, input")) return;
        if (!getSelection()?.isCollapsed) return;
        select(part.key, message.id);
      }}
    >
      <PartContent part={part} />
      {isRaw && <RawLine id={message.id} size={message.rawBytes} />}
      <div className="entry-actions">
        <Link
          to={messagePath(message.id)}
          className="entry-time"
          title={`Link to this message, ${message.timestamp}`}
        >
          {time(message.timestamp)}
        </Link>
        <button type="button" className="text-button" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
          Raw
        </button>
        <CopyPart part={part} />
      </div>
    </article>
  );
}

const NAMES: Record<Part["kind"], string> = {
  prompt: "Prompt",
  answer: "Answer",
  thinking: "Thinking",
  call: "Call",
  image: "Image",
  notice: "Notice",
  interrupt: "Interruption",
  compaction: "Compaction",
};

function PartContent({ part }: { part: Part }) {
  switch (part.kind) {
    case "prompt":
      return <Prompt part={part} />;
    case "answer":
      return <LongText part={part} />;
    case "thinking":
      return <Thinking part={part} />;
    case "call":
      return <CallLine part={part} />;
    case "image":
      return <MessageImage part={part} at={part.block} />;
    case "notice":
      return <NoticeLine part={part} />;
    case "interrupt":
      return <p className="interrupt-text">{withoutAnsi(part.text) || "Interrupted by the user"}</p>;
    case "compaction":
      return <Compaction part={part} />;
  }
}

type Of<Kind extends Part["kind"]> = Extract<Part, { kind: Kind }>;

function Prompt({ part }: { part: Of<"prompt"> }) {
  return (
    <div className="prompt-body">
      {part.command && <code className="prompt-command">{withoutAnsi(part.command)}</code>}
      {part.text !== "" && <LongText part={part} plain />}
      {part.images.map((at) => (
        <MessageImage key={at} part={part} at={at} />
      ))}
    </div>
  );
}

/** A text of which a very long one is cut until the rest is wanted. */
function LongText({ part, plain = false }: { part: Of<"prompt"> | Of<"answer">; plain?: boolean }) {
  const [isWanted, setWanted] = useState(false);
  const { value, isLoading } = useDetail(part.message.id, "text", isWanted);
  // JavaScript counts surrogate pairs twice, the server once.
  const isCut = part.length > [...part.text].length && part.length > 12_000;
  const blocks = value?.contentBlocks ?? [];
  const whole =
    part.kind === "answer" ? blocks[part.block]?.text : blocks.map(({ text }) => text ?? "").join("\n\n");
  const text = isWanted && whole ? whole : part.text;
  return (
    <>
      {plain || text.length > 60_000 ? (
        <p className="prose-plain">{withoutAnsi(text)}</p>
      ) : (
        <Prose text={text} />
      )}
      {isCut && !(isWanted && whole) && (
        <p className="on-demand">
          {number(part.length)} characters
          <Button small isDisabled={isLoading} onPress={() => setWanted(true)}>
            Load all
          </Button>
        </p>
      )}
    </>
  );
}

function Chevron() {
  return (
    <span className="chevron">
      <ChevronIcon />
    </span>
  );
}

function Thinking({ part }: { part: Of<"thinking"> }) {
  const { isOpen, toggle } = useConversationContext();
  const open = isOpen(part.key);
  const { value, error, retry } = useDetail(part.message.id, "text", open);
  const text = value?.contentBlocks?.[part.block]?.thinking;
  return (
    <>
      <button type="button" className="entry-line" aria-expanded={open} onClick={() => toggle(part.key)}>
        <Chevron />
        <span className="entry-name">Thinking</span>
        {!open && <span className="truncate entry-argument">{withoutAnsi(part.text)}</span>}
      </button>
      {open && (
        <div className="entry-detail">
          {error ? <Failed what="The thinking" error={error} retry={retry} /> : null}
          {text !== undefined && (
            <p className="prose-plain thinking-text">
              {withoutAnsi(text) || "This thinking is encrypted by the model."}
            </p>
          )}
          {text === undefined && !error && <Skeleton height="48px" />}
        </div>
      )}
    </>
  );
}

const OUTCOMES: Record<Outcome, string> = {
  passed: "",
  failed: "failed",
  running: "running",
  unknown: "no outcome",
};

function OutcomeMark({ outcome }: { outcome: Outcome }) {
  const text = OUTCOMES[outcome];
  if (!text) return <span className="visually-hidden">passed</span>;
  return (
    <span className="outcome" data-outcome={outcome}>
      {text}
    </span>
  );
}

function CallLine({ part }: { part: Of<"call"> }) {
  const { isOpen, toggle } = useConversationContext();
  const open = isOpen(part.key);
  const { call } = part;
  return (
    <div className="call-body" data-outcome={call.outcome} data-call={call.callId ?? undefined}>
      <button type="button" className="entry-line" aria-expanded={open} onClick={() => toggle(part.key)}>
        <Chevron />
        <span className="entry-name">{withoutAnsi(call.name)}</span>
        <Argument call={call} />
        {(call.added !== null || call.removed !== null) && (
          <span className="entry-changes">
            <span className="added">+{number(call.added ?? 0)}</span>{" "}
            <span className="removed">−{number(call.removed ?? 0)}</span>
          </span>
        )}
        <OutcomeMark outcome={call.outcome} />
        {call.durationMs !== null && <span className="entry-duration">{milliseconds(call.durationMs)}</span>}
      </button>
      {open && (
        <div className="entry-detail">
          {call.agentId && <Subagent agentId={call.agentId} />}
          <CallDetail part={part} />
        </div>
      )}
    </div>
  );
}

/** A path in the session's directory begins there. A path is cut before its last part, anything else at its end. */
function Argument({ call }: { call: Call }) {
  const { folder } = useConversationContext();
  const { argument } = call;
  const path =
    folder !== "" && argument.startsWith(`${folder}/`) ? argument.slice(folder.length + 1) : argument;
  const [, above, name] = /^(\S*\/)(\S+)$/.exec(path) ?? [];
  if (above === undefined || call.tool === "Bash") {
    return (
      <span className="truncate entry-argument" title={argument}>
        {withoutAnsi(path)}
      </span>
    );
  }
  return (
    <span className="entry-argument entry-path" title={argument}>
      <span className="truncate path-folder">{withoutAnsi(above)}</span>
      <span className="truncate path-name">{withoutAnsi(name ?? "")}</span>
    </span>
  );
}

function CallDetail({ part }: { part: Of<"call"> }) {
  const { call, message } = part;
  const size = call.callId ? call.inputBytes + call.resultBytes : message.rawBytes;
  const [isWanted, setWanted] = useState(size <= LARGE);
  // A late result changes these.
  const version = `${call.outcome} ${call.resultBytes}`;
  const { value, error, retry } = useDetail(message.id, version, isWanted);
  if (!isWanted) return <OnDemand what="Input and result" size={size} onLoad={() => setWanted(true)} />;
  if (error) return <Failed what="The call" error={error} retry={retry} />;
  if (!value) return <Skeleton height="64px" />;
  return call.callId ? (
    <ToolDetail call={call} block={value.contentBlocks?.[part.block]} />
  ) : (
    <EventDetail detail={value} />
  );
}

function ToolDetail({ call, block }: { call: Call; block: BlockDetail | undefined }) {
  const input = block?.input ?? "{}";
  const edits = useMemo(() => editsOf(call.tool, input), [call.tool, input]);
  const result = block?.result;
  return (
    <>
      {edits.length > 0 ? (
        <Difference edits={edits} parts={block?.hunks} />
      ) : (
        <Input tool={call.tool} json={input} />
      )}
      {result ? (
        <>
          {result.content !== "" && (
            <Output
              text={result.content}
              label="Result"
              {...(call.outcome === "failed" && { tone: "red" })}
            />
          )}
          {result.images.map((image, at) => (
            // The images of a result never change their places.
            <ImageView key={at} image={image} />
          ))}
          {result.content === "" && result.images.length === 0 && (
            <p className="empty-result">Empty result</p>
          )}
        </>
      ) : (
        <p className="empty-result">No result yet</p>
      )}
    </>
  );
}

/** The input of a call. A command is shown as it was run; anything else by its fields. */
function Input({ tool, json }: { tool: string; json: string }) {
  let fields: [string, unknown][] = [];
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed))
      fields = Object.entries(parsed);
  } catch {
    return <Output text={json} label="Input" />;
  }
  if (fields.length === 0) return null;
  const text = (value: unknown) => (typeof value === "string" ? value : pretty(JSON.stringify(value)));
  const command = tool === "Bash" ? fields.find(([name]) => name === "command") : undefined;
  if (command && typeof command[1] === "string") {
    return <Output text={`$ ${command[1]}`} label="Command" />;
  }
  return (
    <dl className="fields">
      {fields.slice(0, 50).map(([name, value]) => {
        const shown = text(value);
        return (
          <div key={name}>
            <dt>{withoutAnsi(name)}</dt>
            <dd>
              {shown.length > 200 || shown.includes("\n") ? (
                <Output text={shown} label={name} />
              ) : (
                withoutAnsi(shown)
              )}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

/** What Han's events and other messages have besides their line. */
function EventDetail({ detail }: { detail: Detail }) {
  const result = detail.hookResult ?? null;
  const returned = detail.mcpResult ?? detail.exposedResult ?? null;
  const texts: [string, string | null | undefined, boolean][] = [
    ["Input", detail.callInput ? pretty(detail.callInput) : null, false],
    ["Text", detail.content, false],
    ["Output", detail.output ?? result?.output, false],
    ["Result", returned?.result, false],
    ["Error", detail.error ?? result?.error ?? returned?.error, true],
  ];
  const shown = texts.filter(([, text]) => text);
  if (shown.length === 0) {
    const blocks = (detail.contentBlocks ?? []).map((block) => block.text ?? block.content ?? "");
    const text = blocks.join("\n\n");
    return text ? <Output text={text} label="Text" /> : <p className="empty-result">Nothing more</p>;
  }
  return (
    <>
      {shown.map(([label, text, isError]) => (
        <Output key={label} text={text ?? ""} label={label} {...(isError && { tone: "red" })} />
      ))}
    </>
  );
}

function NoticeLine({ part }: { part: Of<"notice"> }) {
  const { isOpen, toggle } = useConversationContext();
  const open = part.detail && isOpen(part.key);
  const { label, text, tone } = part.notice;
  const content = (
    <>
      <span className="entry-name">{label}</span>
      <span className="truncate entry-argument">{withoutAnsi(text)}</span>
    </>
  );
  if (!part.detail) {
    return (
      <div className="entry-line" data-tone={tone}>
        <span className="chevron" />
        {content}
      </div>
    );
  }
  return (
    <>
      <button
        type="button"
        className="entry-line"
        data-tone={tone}
        aria-expanded={open}
        onClick={() => toggle(part.key)}
      >
        <Chevron />
        {content}
      </button>
      {open && <Contents id={part.message.id} size={part.message.rawBytes} />}
    </>
  );
}

function Compaction({ part }: { part: Of<"compaction"> }) {
  const { isOpen, toggle } = useConversationContext();
  const open = part.detail && isOpen(part.key);
  return (
    <>
      <div className="cut">
        {part.detail ? (
          <button type="button" className="text-button" aria-expanded={open} onClick={() => toggle(part.key)}>
            {part.text}
          </button>
        ) : (
          <span>{part.text}</span>
        )}
      </div>
      {open && <Contents id={part.message.id} size={part.message.rawBytes} />}
    </>
  );
}

/** The contents of a message that is not a tool use. */
function Contents({ id, size }: { id: string; size: number }) {
  const [isWanted, setWanted] = useState(size <= LARGE);
  const { value, error, retry } = useDetail(id, "text", isWanted);
  return (
    <div className="entry-detail">
      {!isWanted && <OnDemand what="Text" size={size} onLoad={() => setWanted(true)} />}
      {error ? <Failed what="The text" error={error} retry={retry} /> : null}
      {isWanted && !value && !error && <Skeleton height="48px" />}
      {value && <EventDetail detail={value} />}
    </div>
  );
}

/** The formats that are shown. Anything else is a label. */
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/** The largest size of an image in the page. */
const MAX_WIDTH = 560;
const MAX_HEIGHT = 400;

/** The size in which an image is shown. */
function shownSize(width: number | null | undefined, height: number | null | undefined) {
  if (!width || !height) return { width: 240, height: 160 };
  const scale = Math.min(1, MAX_WIDTH / width, MAX_HEIGHT / height);
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** An image of a message. Its place has its final size before it is loaded. */
function MessageImage({ part, at }: { part: Part; at: number }) {
  const { message } = part;
  const block = "contentBlocks" in message ? message.contentBlocks[at] : undefined;
  const info = block?.__typename === "ImageBlock" ? block : null;
  const [isWanted, setWanted] = useState((info?.bytes ?? 0) <= LARGE);
  const { value, error, retry } = useDetail(message.id, "text", isWanted && info !== null);
  if (!info) return null;
  if (!SHOWN.has(info.mediaType)) return <p className="image-label">Image ({info.mediaType}), not shown</p>;
  const size = shownSize(info.width, info.height);
  const loaded = value?.contentBlocks?.[at];
  return (
    <figure className="image" style={{ width: size.width, height: size.height }}>
      {error ? (
        <Failed what="The image" error={error} retry={retry} />
      ) : loaded?.dataUrl ? (
        <img src={loaded.dataUrl} alt="Attached to this message" {...size} />
      ) : isWanted ? (
        <Skeleton height="100%" />
      ) : (
        <OnDemand what="Image" size={info.bytes} onLoad={() => setWanted(true)} />
      )}
    </figure>
  );
}

function ImageView({ image }: { image: Image }) {
  if (!SHOWN.has(image.mediaType)) return <p className="image-label">Image ({image.mediaType}), not shown</p>;
  const size = shownSize(image.width, image.height);
  return (
    <figure className="image" style={{ width: size.width, height: size.height }}>
      <img src={image.dataUrl} alt="Returned by the tool" {...size} />
    </figure>
  );
}

/** The line of a message exactly as in its file. */
export function RawLine({ id, size }: { id: string; size: number }) {
  const details = useDetails();
  const [isWanted, setWanted] = useState(size <= LARGE);
  const { value, error, retry } = useLoaded(isWanted ? () => details.raw(id) : null, id);
  return (
    <div className="raw" data-raw={id}>
      {!isWanted && <OnDemand what="Raw line" size={size} onLoad={() => setWanted(true)} />}
      {error ? <Failed what="The line" error={error} retry={retry} /> : null}
      {isWanted && value === null && !error && <Skeleton height="48px" />}
      {value !== null && <Output text={pretty(value)} label="Raw line" />}
    </div>
  );
}

function CopyPart({ part }: { part: Part }) {
  const details = useDetails();
  const copied = async (): Promise<string> => {
    const detail = await details.get(part.message.id, "text");
    const block = detail?.contentBlocks?.[part.block];
    const texts = (detail?.contentBlocks ?? []).map(({ text }) => text ?? "");
    return block?.text ?? block?.thinking ?? block?.input ?? (texts.join("\n\n") || (detail?.content ?? ""));
  };
  return <CopyButton text={copied} what={NAMES[part.kind].toLowerCase()} />;
}

export function Failed({
  what,
  error,
  retry,
}: {
  what: string;
  error: unknown;
  retry: () => void;
}): ReactNode {
  return (
    <p className="failed" role="alert">
      {what} could not be loaded: {error instanceof Error ? error.message : String(error)}{" "}
      <Button small onPress={retry}>
        Try again
      </Button>
    </p>
  );
}
