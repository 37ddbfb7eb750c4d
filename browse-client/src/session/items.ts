// Messages as rows: which parts a message has, and which of them form a group. Pure, so that it can be tested alone.

import type { Message } from "./operations.ts";
import type { Entry } from "./window.ts";

type Block = NonNullable<Extract<Message, { __typename: "AssistantMessage" }>["contentBlocks"]>[number];

export type Outcome = "passed" | "failed" | "running" | "unknown";

/** A tool, MCP or exposed call, or a hook, in one line. */
export type Call = {
  name: string;
  /** Path, command or query. */
  argument: string;
  outcome: Outcome;
  durationMs: number | null;
  added: number | null;
  removed: number | null;
  /** The tool's own name, which says whether its input is an edit. */
  tool: string;
  /** The id of the tool use in its message; null for calls that are messages. */
  callId: string | null;
  inputBytes: number;
  resultBytes: number;
  /** The beginning of the result. */
  preview: string;
  hasImage: boolean;
  /** The subagent that it started. */
  agentId: string | null;
};

/** A quiet line about something that is neither said nor called. */
export type Notice = { label: string; text: string; tone: "neutral" | "amber" | "red" };

export type Part = { key: string; message: Message; block: number } & (
  | { kind: "prompt"; command: string | null; text: string; length: number; images: number[] }
  | { kind: "answer"; text: string; length: number }
  | { kind: "thinking"; text: string }
  | { kind: "call"; call: Call }
  | { kind: "image" }
  | { kind: "notice"; notice: Notice; detail: boolean }
  | { kind: "interrupt"; text: string }
  | { kind: "compaction"; text: string; detail: boolean }
);

/** `run` without a result is still running. */
function outcome(result: { readonly success?: boolean | null | undefined } | null | undefined): Outcome {
  if (!result) return "running";
  if (result.success === null || result.success === undefined) return "unknown";
  return result.success ? "passed" : "failed";
}

const NO_CALL = {
  argument: "",
  durationMs: null,
  added: null,
  removed: null,
  callId: null,
  inputBytes: 0,
  resultBytes: 0,
  preview: "",
  hasImage: false,
  agentId: null,
};

/** Text that the harness writes in the name of the user: output of commands, and notices of background tasks. */
const HARNESS = /^\s*<(local-command|bash-|task-notification|system-reminder|command-message)/;

/** The text between `<name>` and `</name>`. */
function tag(text: string, name: string): string | null {
  const from = text.indexOf(`<${name}>`);
  if (from < 0) return null;
  const start = from + name.length + 2;
  const end = text.indexOf(`</${name}>`, start);
  return text.slice(start, end < 0 ? undefined : end).trim();
}

/** Without the tags that the harness puts around texts. */
function untagged(text: string): string {
  return text.replace(/<\/?(local-command|bash|command|task|system)[a-z-]*>/g, "").trim();
}

function texts(blocks: readonly Block[]): { text: string; length: number } {
  let text = "";
  let length = 0;
  for (const block of blocks) {
    if (block.__typename !== "TextBlock") continue;
    text += `${text ? "\n\n" : ""}${block.text}`;
    length += block.length;
  }
  return { text, length };
}

function images(blocks: readonly Block[]): number[] {
  return [...blocks.keys()].filter((at) => blocks[at]?.__typename === "ImageBlock");
}

const join = (...parts: (string | number | null | undefined)[]) =>
  parts.filter((part) => part !== null && part !== undefined && part !== "").join(" · ");

/** `PascalCase` as words. */
function words(name: string): string {
  const spaced = name.replace(/Message$/, "").replace(/([a-z])([A-Z])/g, "$1 $2");
  return spaced.charAt(0) + spaced.slice(1).toLowerCase();
}

/** What a message shows, one part for each row. A type that is not known here has a generic line. */
export function partsOf(message: Message): Part[] {
  const base = { message, block: -1 };
  const { id } = message;
  const search = message.searchText ?? "";
  const notice = (label: string, text: string, more: Partial<Notice> & { detail?: boolean } = {}): Part[] => {
    const { detail = false, tone = "neutral" } = more;
    return [{ ...base, key: id, kind: "notice", notice: { label, text, tone }, detail }];
  };
  const call = (call: Partial<Call> & Pick<Call, "name" | "outcome">): Part[] => [
    { ...base, key: id, kind: "call", call: { ...NO_CALL, tool: "", ...call } },
  ];
  switch (message.__typename) {
    case "AssistantMessage": {
      // An answer of blank text only has no part: it says nothing, and there are many. Its line is among the raw lines.
      return message.contentBlocks.flatMap((block, at) => answerPart(message, block, at));
    }
    case "RegularUserMessage": {
      const { text, length } = texts(message.contentBlocks);
      if (HARNESS.test(text)) return notice("Harness", untagged(text), { detail: true });
      const pictures = images(message.contentBlocks);
      return [{ ...base, key: id, kind: "prompt", command: null, text, length, images: pictures }];
    }
    case "CommandUserMessage": {
      const { text, length } = texts(message.contentBlocks);
      const command = message.commandName ?? tag(text, "command-name");
      const shown = tag(text, "command-args") ?? untagged(text);
      return [{ ...base, key: id, kind: "prompt", command, text: shown, length, images: [] }];
    }
    case "InterruptUserMessage":
      return [{ ...base, key: id, kind: "interrupt", text: texts(message.contentBlocks).text }];
    case "MetaUserMessage":
      return notice("Inserted", untagged(texts(message.contentBlocks).text || search), { detail: true });
    case "ToolResultUserMessage":
      return notice("Result", search, { detail: true });
    case "SummaryMessage":
      if (message.isCompactSummary)
        return [
          { ...base, key: id, kind: "compaction", text: "Summary of the conversation so far", detail: true },
        ];
      return notice("Summary", search, { detail: true });
    case "SystemMessage":
      if (message.subtype === "compact_boundary")
        return [{ ...base, key: id, kind: "compaction", text: "Context compacted", detail: false }];
      return notice(
        message.subtype ? words(message.subtype.replaceAll("_", " ")) : "System",
        untagged(search),
        {
          detail: search !== "",
          tone: message.level === "error" || message.subtype === "api_error" ? "red" : "neutral",
        },
      );
    case "FileHistorySnapshotMessage": {
      const files = `${message.fileCount} ${message.fileCount === 1 ? "file" : "files"}`;
      return notice("Snapshot", join(files, message.isSnapshotUpdate ? "update" : null));
    }
    case "QueueOperationMessage":
      return notice("Queue", join(message.operation, search === message.operation ? null : search));
    case "HookRunMessage":
      return call({
        name: "Hook",
        argument: join(message.hook, message.plugin, message.directory),
        outcome: outcome(message.hookResult),
        durationMs: message.hookResult?.durationMs ?? null,
      });
    case "HookResultMessage":
    case "HookValidationMessage":
      return call({
        name: message.__typename === "HookResultMessage" ? "Hook result" : "Validation",
        argument: join(message.hook, message.plugin),
        outcome: outcome(message),
        durationMs: message.durationMs ?? null,
      });
    case "HookScriptMessage":
      return call({
        name: "Hook script",
        argument: message.command ?? message.plugin ?? "",
        outcome: outcome(message),
        durationMs: message.durationMs ?? null,
      });
    case "HookCheckStateMessage":
      return notice("Hooks due", join(message.hookType, message.hooksCount));
    case "HookReferenceMessage": {
      const tone = message.success === false ? "amber" : "neutral";
      return notice("Reference", join(message.filePath, message.reason), { tone });
    }
    case "HookValidationCacheMessage":
      return notice("Validation cache", join(message.hook, message.plugin, `${message.fileCount} files`));
    case "HookDatetimeMessage":
      return notice("Time", join(message.datetime, message.plugin));
    case "HookFileChangeMessage":
      return notice("File changed", join(message.filePath, message.changeToolName));
    case "McpToolCallMessage":
      return call({
        name: message.prefixedName ?? message.tool ?? "MCP tool",
        argument: search,
        outcome: outcome(message.mcpResult),
        durationMs: message.mcpResult?.durationMs ?? null,
      });
    case "ExposedToolCallMessage":
      return call({
        name: message.prefixedName ?? message.tool ?? "Exposed tool",
        argument: search,
        outcome: outcome(message.exposedResult),
        durationMs: message.exposedResult?.durationMs ?? null,
      });
    case "McpToolResultMessage":
    case "ExposedToolResultMessage":
      return call({
        name: "Result",
        argument: join(message.server, message.tool),
        outcome: outcome(message),
        durationMs: message.durationMs ?? null,
      });
    case "MemoryQueryMessage":
      return notice(
        "Memory query",
        join(message.question, message.route, `${message.resultCount ?? "–"} results`),
      );
    case "MemoryLearnMessage":
      return notice("Learned", join(message.domain, message.scope, message.paths?.join(", ")));
    case "SentimentAnalysisMessage":
      return notice("Sentiment", join(message.sentimentLevel, message.sentimentScore, ...message.signals));
    case "UnknownEventMessage": {
      if (message.eventType === "unreadable")
        return notice("Unreadable", "this line cannot be decrypted", { tone: "red" });
      const name = join(message.messageType, message.eventType) || "without a type";
      return notice("Unknown event", join(name, search));
    }
    default: {
      // A type of a newer schema.
      const { __typename } = message as { __typename: string };
      return notice(words(__typename), search);
    }
  }
}

function answerPart(message: Message, block: Block, at: number): Part[] {
  const base = { message, block: at, key: `${message.id}/${at}` };
  switch (block.__typename) {
    case "TextBlock":
      return block.text.trim() === ""
        ? []
        : [{ ...base, kind: "answer", text: block.text, length: block.length }];
    case "ThinkingBlock":
      return [{ ...base, kind: "thinking", text: block.preview }];
    case "ImageBlock":
      return [{ ...base, kind: "image" }];
    case "ToolUseBlock": {
      const { result } = block;
      const call: Call = {
        name: block.displayName || block.name || "Tool",
        argument: block.argument ?? "",
        outcome: result ? (result.isError ? "failed" : "passed") : "running",
        durationMs: result?.durationMs ?? null,
        added: block.linesAdded ?? null,
        removed: block.linesRemoved ?? null,
        tool: block.name,
        callId: block.toolCallId,
        inputBytes: block.inputBytes,
        resultBytes: result?.bytes ?? 0,
        preview: result?.preview ?? "",
        hasImage: result?.hasImage ?? false,
        agentId: block.startedAgent ?? null,
      };
      return [{ ...base, kind: "call", call }];
    }
    case "ToolResultBlock":
      return [
        {
          ...base,
          kind: "notice",
          notice: { label: "Result", text: block.preview, tone: block.isError ? "red" : "neutral" },
          detail: true,
        },
      ];
    default:
      return [
        {
          ...base,
          kind: "notice",
          notice: {
            label: "Unknown block",
            text: (block as { __typename: string }).__typename,
            tone: "neutral",
          },
          detail: false,
        },
      ];
  }
}

export type CallPart = Extract<Part, { kind: "call" }>;

export type Row =
  | { type: "part"; key: string; part: Part; inGroup: boolean }
  | {
      type: "group";
      key: string;
      isOpen: boolean;
      parts: readonly Part[];
      calls: number;
      failed: number;
      running: number;
      durationMs: number;
    };

export type Group = Extract<Row, { type: "group" }>;

/** Whether a part can be in a group: it is about work, not about what was said. */
function isQuiet(part: Part): boolean {
  return (
    part.kind === "thinking" || part.kind === "notice" || (part.kind === "call" && part.call.agentId === null)
  );
}

/** The key of a group that begins with a part. */
export function groupKey(part: Part | undefined): string {
  return `group ${part?.key}`;
}

/** A group has at least this many calls, or this many parts: fewer are shown by themselves. */
const SMALLEST_CALLS = 2;
const SMALLEST_PARTS = 4;

/**
 * The rows of parts. Consecutive calls, with the thinking and the notices between them, form a group. `isOpen` decides
 * by the keys of a group's parts, because its first and last part change as messages are loaded.
 */
export function rowsOf(parts: readonly Part[], isOpen: (parts: readonly Part[]) => boolean): Row[] {
  const rows: Row[] = [];
  let run: Part[] = [];
  const end = () => {
    const calls = run.filter((part): part is CallPart => part.kind === "call");
    if (run.length < SMALLEST_PARTS && (calls.length < SMALLEST_CALLS || run.length < 3)) {
      rows.push(...run.map((part): Row => ({ type: "part", key: part.key, part, inGroup: false })));
    } else {
      const open = isOpen(run);
      rows.push({
        type: "group",
        key: groupKey(run[0]),
        isOpen: open,
        parts: run,
        calls: calls.length,
        failed: calls.filter(({ call }) => call.outcome === "failed").length,
        running: calls.filter(({ call }) => call.outcome === "running").length,
        durationMs: calls.reduce((sum, { call }) => sum + (call.durationMs ?? 0), 0),
      });
      if (open) rows.push(...run.map((part): Row => ({ type: "part", key: part.key, part, inGroup: true })));
    }
    run = [];
  };
  for (const part of parts) {
    if (isQuiet(part)) {
      run.push(part);
    } else {
      end();
      rows.push({ type: "part", key: part.key, part, inGroup: false });
    }
  }
  end();
  return rows;
}

/** `14 calls, 2 failed`; for a group without calls, what it has. */
export function groupLabel(group: Group): string {
  const count = (n: number, one: string, more: string) => (n === 0 ? null : `${n} ${n === 1 ? one : more}`);
  const thinking = group.parts.filter(({ kind }) => kind === "thinking").length;
  const notices = group.parts.filter(({ kind }) => kind === "notice").length;
  if (group.calls === 0) {
    return [count(thinking, "thought", "thoughts"), count(notices, "notice", "notices")]
      .filter(Boolean)
      .join(", ");
  }
  return [
    count(group.calls, "call", "calls"),
    group.failed > 0 ? `${group.failed} failed` : null,
    group.running > 0 ? `${group.running} running` : null,
  ]
    .filter(Boolean)
    .join(", ");
}

/** The tools of a group, most used first: `Bash ×6, Read ×4`. */
export function toolsOf(parts: readonly Part[]): string {
  const counts = new Map<string, number>();
  for (const part of parts) {
    if (part.kind === "call") counts.set(part.call.name, (counts.get(part.call.name) ?? 0) + 1);
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([name, n]) => (n > 1 ? `${name} ×${n}` : name))
    .join(", ");
}

/** Remembers the parts of each message, so that a message that did not change keeps its parts. */
export function partsCache(): (entries: readonly Entry<Message>[]) => Part[] {
  let known = new Map<Message, Part[]>();
  return (entries) => {
    const next = new Map<Message, Part[]>();
    const all: Part[] = [];
    for (const { message } of entries) {
      const parts = known.get(message) ?? partsOf(message);
      next.set(message, parts);
      all.push(...parts);
    }
    known = next;
    return all;
  };
}
