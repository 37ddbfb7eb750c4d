// The words of a query in a text, found by the rules of docs/SEARCH.md, which are those of the index
// (crates/han-transcript/src/words.rs). The examples in crates/han-transcript/tests/words.json are tests of both.

const MARK = /\p{M}/u;
const LETTER = /[\p{Alphabetic}\p{N}]/u;
/** Scripts without spaces between words, and Hangul. */
const UNSEGMENTED =
  /[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}\ua960-\ua97f\uac00-\ud7ff]/u;
/** Accents of the European scripts. */
const ACCENT = /[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f]/;
const CYRILLIC = /[\u0400-\u052f\u1c80-\u1c8f\ua640-\ua69f]/;
/** Points of Hebrew and Arabic, symbols around a character, and variants of its form. */
const IGNORED =
  /[\u0591-\u05c7]|[\u0610-\u061a]|[\u064b-\u0652]|[\u0656-\u065f]|\u0670|[\u06d6-\u06ed]|[\u08d3-\u08ff]|[\u20d0-\u20ff]|\p{Me}|[\u180b-\u180f]|[\ufe00-\ufe0f]|[\u{e0100}-\u{e01ef}]/u;
const MAX_MARKS = 8;
const SPECIAL: Record<string, string> = { ß: "ss", ς: "σ", "\u0640": "" };

/** A part of a text. */
export type Part = { text: string; isMatch: boolean };

/** A letter with its marks, and its place in the text. */
type Letter = { letter: string; marks: string[]; isUnsegmented: boolean; start: number; end: number };

type Word = { word: string; start: number; end: number };

const spelled = ({ letter, marks }: Letter) => letter + marks.join("");

/** The normalized characters of a character. */
function fold(character: string): string[] {
  const lowercase = [...character.normalize("NFKD")].map((part) => part.toLowerCase());
  return [...lowercase.join("")].flatMap((part) => [...(SPECIAL[part] ?? part)]);
}

/** Whether a mark makes no other letter of the letter that it follows. */
function isIgnored(letter: string, mark: string): boolean {
  if (!ACCENT.test(mark)) return IGNORED.test(mark);
  if (letter === "е") return /[\u0300\u0301\u0308]/.test(mark);
  if (/[аиоуыэюяі]/.test(letter)) return /[\u0300\u0301]/.test(mark);
  return !CYRILLIC.test(letter);
}

/** The Hangul syllable of two parts of one. */
function composed(first: string, second: string): string | null {
  const syllable = (first + second).normalize("NFC");
  return /^[\uac00-\ud7a3]$/.test(syllable) ? syllable : null;
}

/** The letters of a text; null between two that another character separates. */
function letters(text: string): (Letter | null)[] {
  const found: (Letter | null)[] = [];
  let end = 0;
  for (const character of text) {
    const start = end;
    end += character.length;
    for (const part of fold(character)) {
      const last = found.at(-1);
      if (MARK.test(part)) {
        if (!last) continue;
        last.end = end;
        if (last.marks.length < MAX_MARKS && !isIgnored(last.letter, part)) {
          const after = last.marks.findIndex((mark) => mark > part);
          last.marks.splice(after < 0 ? last.marks.length : after, 0, part);
        }
        continue;
      }
      if (!LETTER.test(part)) {
        found.push(null);
        continue;
      }
      const syllable = last?.marks.length === 0 ? composed(last.letter, part) : null;
      if (last && syllable) {
        last.letter = syllable;
        last.end = end;
      } else {
        found.push({ letter: part, marks: [], isUnsegmented: UNSEGMENTED.test(part), start, end });
      }
    }
  }
  return found;
}

/**
 * The words of a text. Of a run in a script without spaces: each two adjacent characters, and each character; the words of a
 * query are the pairs, or the only character.
 */
function words(text: string, isQuery: boolean): Word[] {
  const found: Word[] = [];
  let run: Letter[] = [];
  const add = (of: Letter[]) => {
    const [first, last] = [of[0], of.at(-1)];
    if (first && last) found.push({ word: of.map(spelled).join(""), start: first.start, end: last.end });
  };
  const finish = () => {
    const isWhole = run.length < 2 || !run[0]?.isUnsegmented;
    if (isWhole) add(run);
    for (const [at, letter] of isWhole ? [] : run.entries()) {
      if (!isQuery) add([letter]);
      if (at + 1 < run.length) add(run.slice(at, at + 2));
    }
    run = [];
  };
  for (const letter of letters(text)) {
    if (!letter || letter.isUnsegmented !== run[0]?.isUnsegmented) finish();
    if (letter) run.push(letter);
  }
  finish();
  return found;
}

/** Cuts a text into parts that are words of the query, and the others between them. */
export function highlight(text: string, query: string): Part[] {
  const wanted = new Set(words(query, true).map(({ word }) => word));
  const parts: Part[] = [];
  let at = 0;
  for (const { word, start, end } of words(text, false)) {
    if (!wanted.has(word)) continue;
    const last = parts.at(-1);
    if (start > at) {
      parts.push({ text: text.slice(at, start), isMatch: false });
    } else if (start < at && last) {
      // Pairs of characters overlap.
      last.text += text.slice(at, Math.max(at, end));
      at = Math.max(at, end);
      continue;
    }
    parts.push({ text: text.slice(start, end), isMatch: true });
    at = end;
  }
  if (at < text.length) parts.push({ text: text.slice(at), isMatch: false });
  return parts;
}
