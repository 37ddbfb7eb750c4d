// Long texts: code, results, lines. The first part is shown, the rest on demand, so that no text makes the page slow.

import { lazy, memo, Suspense, useMemo, useState } from "react";
import { Button } from "../ui/Button.tsx";
import { visible } from "../ui/bidi.ts";
import { bytes, number } from "../ui/format.ts";
import { CheckIcon, CopyIcon } from "../ui/icons.tsx";
import { ansi } from "./ansi.ts";
import { type DiffLine, diff, type Edit, type FileHunk, type Gap, hunks, patched } from "./diff.ts";

const Plain = memo(function Plain({ text }: { text: string }) {
  return <p className="prose-plain">{text}</p>;
});

/** Without its script, which a break may have kept away, the text is shown as it is. */
const Markdown = lazy(() => import("./Markdown.tsx").catch(() => ({ default: Plain })));

/** Characters that are shown at first, and with each further step. */
const PART = 24_000;

/** The text of an answer. Until the Markdown code is loaded it is shown as it is. */
export const Prose = memo(function Prose({ text }: { text: string }) {
  const shown = visible(text);
  return (
    <div className="prose">
      <Suspense fallback={<Plain text={shown} />}>
        <Markdown text={shown} />
      </Suspense>
    </div>
  );
});

/** What a command printed, or any other plain text. It scrolls by itself until all of it is wanted. */
export function Output({ text, label, tone }: { text: string; label: string; tone?: "red" }) {
  const [shown, setShown] = useState(PART);
  const [isWhole, setWhole] = useState(false);
  const part = text.length > shown ? text.slice(0, shown) : text;
  const lines = text.split("\n", 400).length;
  const isTall = lines > 14 || text.length > 1_400;
  return (
    <div className="output" data-tone={tone}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll it */}
      <pre tabIndex={0} role="group" aria-label={label} data-whole={isWhole || undefined}>
        {ansi(part).map(({ text, style }, at) =>
          style === null ? (
            text
          ) : (
            // The pieces of a text never change their places.
            <span key={at} className={style}>
              {text}
            </span>
          ),
        )}
      </pre>
      <div className="output-bar">
        {isTall && (
          <Button small look="quiet" onPress={() => setWhole(!isWhole)}>
            {isWhole ? "Show less" : "Show all"}
          </Button>
        )}
        {part.length < text.length && (
          <Button small look="quiet" onPress={() => setShown(shown * 4)}>
            Load more of {number(text.length)} characters
          </Button>
        )}
        <CopyButton text={text} what={label} />
      </div>
    </div>
  );
}

/** A notice in place of something large, with a button that loads it. */
export function OnDemand({ what, size, onLoad }: { what: string; size: number; onLoad: () => void }) {
  return (
    <p className="on-demand">
      {what}, {bytes(size)}
      <Button small onPress={onLoad}>
        Load
      </Button>
    </p>
  );
}

export function CopyButton({ text, what }: { text: string | (() => Promise<string>); what: string }) {
  const [done, setDone] = useState<"copied" | "failed" | null>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : await text());
      setDone("copied");
    } catch {
      setDone("failed");
    }
  };
  const label = done === "copied" ? "Copied" : done === "failed" ? "Copying failed" : `Copy ${what}`;
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      onClick={copy}
      onBlur={() => setDone(null)}
    >
      {done === "copied" ? <CheckIcon /> : <CopyIcon />}
    </button>
  );
}

const SIGNS = { added: "+", removed: "−", same: " " } as const;

/** What a call changed in a file: as its result reports it, else as its input describes it. */
export function Difference({
  edits,
  parts,
}: {
  edits: readonly Edit[];
  parts: readonly FileHunk[] | null | undefined;
}) {
  if (parts && parts.length > 0) return <PatchView parts={parts} />;
  return edits.map((edit, at) => (
    // The edits of a call never change their places.
    <EditView key={at} edit={edit} />
  ));
}

/** An edit as a unified difference, computed from the old and the new text. */
const EditView = memo(function EditView({ edit }: { edit: Edit }) {
  const [isWhole, setWhole] = useState(false);
  const all = useMemo(() => diff(edit.before, edit.after), [edit]);
  const shown = useMemo(() => (isWhole ? all : hunks(all)), [all, isWhole]);
  return <DiffView shown={shown} isNumbered={edit.isWhole} onWhole={() => setWhole(true)} />;
});

/** What the result of an edit reports, with the numbers of the file's lines. */
const PatchView = memo(function PatchView({ parts }: { parts: readonly FileHunk[] }) {
  const shown = useMemo(() => patched(parts), [parts]);
  return <DiffView shown={shown} isNumbered />;
});

/** `onWhole` shows the unchanged lines, where they are known. */
function DiffView({
  shown,
  isNumbered,
  onWhole,
}: {
  shown: readonly (DiffLine | Gap)[];
  isNumbered: boolean;
  onWhole?: () => void;
}) {
  const [limit, setLimit] = useState(200);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll it
    <div className="diff" role="group" aria-label="Difference" tabIndex={0}>
      <table>
        <tbody>
          {shown.slice(0, limit).map((line, at) =>
            line.kind === "gap" ? (
              // The lines of an edit never change their places.
              <tr key={at} className="diff-gap">
                <td colSpan={3}>
                  {onWhole ? (
                    <button type="button" onClick={onWhole}>
                      {gapLabel(line)}
                    </button>
                  ) : (
                    <span>{gapLabel(line)}</span>
                  )}
                </td>
              </tr>
            ) : (
              // The lines of an edit never change their places.
              <tr key={at} data-kind={line.kind}>
                <td className="diff-number">{isNumbered ? (line.after ?? line.before) : null}</td>
                <td className="diff-sign">{SIGNS[line.kind]}</td>
                <td className="diff-text">{visible(line.text)}</td>
              </tr>
            ),
          )}
        </tbody>
      </table>
      {shown.length > limit && (
        <Button small look="quiet" onPress={() => setLimit(limit * 4)}>
          Show more of {number(shown.length)} lines
        </Button>
      )}
    </div>
  );
}

function gapLabel({ lines }: Gap): string {
  if (lines === null) return "Other lines";
  return `${number(lines)} unchanged ${lines === 1 ? "line" : "lines"}`;
}

/** JSON with line breaks, if it is JSON and not too long. */
export function pretty(json: string): string {
  if (json.length > 200_000) return json;
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
