// The words of a query in a text, found by the rules of docs/SEARCH.md: case, accents and compatibility forms do not
// matter, only whole words match, and each character of Chinese and Japanese is a word.

const WORDS = /[\p{L}\p{N}\p{M}]+/gu;
const OF_ONE_CHARACTER = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u;

/** A part of a text. */
export type Part = { text: string; isMatch: boolean };

function fold(word: string): string {
  return word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** The words of a text with their places. */
function* words(text: string): Generator<{ word: string; start: number; end: number }> {
  for (const { 0: run, index } of text.matchAll(WORDS)) {
    let start = index;
    let word = "";
    for (const character of run) {
      if (OF_ONE_CHARACTER.test(character)) {
        if (word) yield { word, start, end: start + word.length };
        start += word.length;
        yield { word: character, start, end: start + character.length };
        start += character.length;
        word = "";
      } else {
        word += character;
      }
    }
    if (word) yield { word, start, end: start + word.length };
  }
}

/** Cuts a text into parts that are words of the query, and the others between them. */
export function highlight(text: string, query: string): Part[] {
  const wanted = new Set([...words(query)].map(({ word }) => fold(word)));
  const parts: Part[] = [];
  let at = 0;
  for (const { word, start, end } of words(text)) {
    if (!wanted.has(fold(word))) continue;
    if (start > at) parts.push({ text: text.slice(at, start), isMatch: false });
    parts.push({ text: text.slice(start, end), isMatch: true });
    at = end;
  }
  if (at < text.length) parts.push({ text: text.slice(at), isMatch: false });
  return parts;
}
