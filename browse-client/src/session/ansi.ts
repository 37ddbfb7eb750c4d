// Output of commands with ANSI escape sequences (ECMA-48), as pieces of text with a style. Only colours and weights are
// shown; sequences that move the cursor, set titles or make links are removed. So output cannot leave its place.

import { visible } from "../ui/bidi.ts";

export type Piece = { text: string; style: string | null };

/** Everything that is no text: CSI, OSC and other string sequences, two-character escapes, and control characters other
 * than tab and newline. An unfinished sequence at the end is removed, too. */
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to find
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|\x1b[P\]X^_](?:[^\x07\x1b\x9c]|\x1b(?!\\))*(?:\x07|\x1b\\|\x9c|$)|(?:\x1b\[|\x9b)[0-?]*[ -/]*$|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

type Style = { colour: string | null; bold: boolean; dim: boolean; italic: boolean; underline: boolean };

const PLAIN: Style = { colour: null, bold: false, dim: false, italic: false, underline: false };

/** Of the 256 colours, the nearest of the eight; of the grey ramp, none. */
function indexed(index: number): string | null {
  if (index < 16) return COLOURS[index % 8] ?? null;
  if (index > 231) return null;
  const at = index - 16;
  return nearest(Math.floor(at / 36) * 51, (Math.floor(at / 6) % 6) * 51, (at % 6) * 51);
}

/** The colour that has the same strong components. Greys have none. */
function nearest(red: number, green: number, blue: number): string | null {
  const strongest = Math.max(red, green, blue);
  if (strongest - Math.min(red, green, blue) < 32) return null;
  const bit = (value: number, flag: number) => (value > strongest / 2 ? flag : 0);
  return COLOURS[bit(red, 1) | bit(green, 2) | bit(blue, 4)] ?? null;
}

/** Applies the parameters of one SGR sequence (`CSI … m`). */
function sgr(style: Style, parameters: string): Style {
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map(Number);
  const next = { ...style };
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    if (code === 0) Object.assign(next, PLAIN);
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97))
      next.colour = COLOURS[code % 10] ?? null;
    else if (code === 39) next.colour = null;
    else if (code === 38 || code === 48 || code === 58) {
      // 38;5;n and 38;2;r;g;b. Backgrounds are read, so that their numbers are not taken for codes, and not shown.
      const isIndexed = codes[at + 1] === 5;
      const [red = 0, green = 0, blue = 0] = codes.slice(at + 2);
      if (code === 38) next.colour = isIndexed ? indexed(red) : nearest(red, green, blue);
      at += isIndexed ? 2 : 4;
    }
  }
  return next;
}

function className({ colour, bold, dim, italic, underline }: Style): string | null {
  const names = [
    colour && `ansi-${colour}`,
    bold && "ansi-bold",
    dim && "ansi-dim",
    italic && "ansi-italic",
    underline && "ansi-underline",
  ].filter(Boolean);
  return names.length > 0 ? names.join(" ") : null;
}

/** A line that was written over with carriage returns shows what was written last, as a terminal does. */
function overwritten(text: string): string {
  if (!text.includes("\r")) return text;
  return text
    .split("\n")
    .map((line) => {
      const writes = line.split("\r").filter((write) => write !== "");
      return writes.at(-1) ?? "";
    })
    .join("\n");
}

/** The pieces of a text. Neighbouring pieces have different styles. */
export function ansi(source: string): Piece[] {
  const text = visible(overwritten(source));
  const pieces: Piece[] = [];
  let style = PLAIN;
  let from = 0;
  const push = (to: number) => {
    if (to <= from) return;
    const name = className(style);
    const last = pieces.at(-1);
    const piece = text.slice(from, to);
    if (last && last.style === name) last.text += piece;
    else pieces.push({ text: piece, style: name });
  };
  for (const match of text.matchAll(CONTROL)) {
    push(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m" && /^[\d;:]*$/.test(match[1] ?? "")) style = sgr(style, match[1] ?? "");
  }
  push(text.length);
  return pieces;
}

/** The text without its sequences. */
export function withoutAnsi(text: string): string {
  return ansi(text)
    .map((piece) => piece.text)
    .join("");
}
