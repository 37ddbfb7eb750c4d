// Characters that change the direction of the text behind them (Unicode Standard Annex 9). Transcripts are hostile input:
// with these characters a command or a path looks like another one.

/** Embeddings, overrides and isolates. Marks that change nothing but neighbouring white space are left alone. */
const DIRECTION = /[\u202a-\u202e\u2066-\u2069]/g;

/** The text with these characters as labels: `[U+202E]`. */
export function visible(text: string): string {
  return text.replace(DIRECTION, (character) => `[U+${character.charCodeAt(0).toString(16).toUpperCase()}]`);
}
