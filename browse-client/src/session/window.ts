// The part of a session's list of messages that is loaded: consecutive messages, oldest first, at most a fixed number.
// A session may have any number of messages; the page holds this part and nothing else.

/** The most messages that are loaded. */
export const MAX_LOADED = 500;

export type Entry<M> = {
  id: string;
  cursor: string;
  /** The number of older messages in the list; null in lists that have no index. */
  index: number | null;
  message: M;
};

export type Loaded<M> = {
  entries: readonly Entry<M>[];
  hasOlder: boolean;
  hasNewer: boolean;
  /** All messages of the list. */
  total: number;
};

export type Page<M> = Loaded<M>;

export const EMPTY: Loaded<never> = { entries: [], hasOlder: false, hasNewer: false, total: 0 };

/**
 * Adds the page of messages older than `border`, the id of the first loaded message when the page was asked for. If
 * another one is the first by now, the page would leave a gap, and is ignored. Beyond the limit it keeps the oldest
 * messages, or the newest ones if the user reads those.
 */
export function addOlder<M>(
  loaded: Loaded<M>,
  page: Page<M>,
  border: string,
  { limit = MAX_LOADED, keep = "oldest" }: { limit?: number; keep?: "oldest" | "newest" } = {},
): Loaded<M> {
  if (loaded.entries[0]?.id !== border) return loaded;
  const known = new Set(loaded.entries.map(({ id }) => id));
  const entries = [...page.entries.filter(({ id }) => !known.has(id)), ...loaded.entries];
  const isOver = entries.length > limit;
  const keepsNewest = keep === "newest";
  return {
    entries: keepsNewest ? entries.slice(-limit) : entries.slice(0, limit),
    hasOlder: page.hasOlder || (isOver && keepsNewest),
    hasNewer: loaded.hasNewer || (isOver && !keepsNewest),
    total: Math.max(loaded.total, page.total),
  };
}

/**
 * Adds the page of messages newer than `border`, the id of the last loaded message when the page was asked for, and drops
 * the oldest ones beyond the limit. If another one is the last by now, the page is ignored. Without a border nothing was
 * loaded.
 */
export function addNewer<M>(
  loaded: Loaded<M>,
  page: Page<M>,
  border: string | undefined,
  limit = MAX_LOADED,
): Loaded<M> {
  if (loaded.entries.at(-1)?.id !== border) return loaded;
  const known = new Set(loaded.entries.map(({ id }) => id));
  const entries = [...loaded.entries, ...page.entries.filter(({ id }) => !known.has(id))];
  return {
    entries: entries.slice(-limit),
    hasOlder: loaded.hasOlder || entries.length > limit,
    hasNewer: page.hasNewer,
    total: page.total,
  };
}

/**
 * Takes in messages that arrived, each with its index. One that is loaded is replaced: a late result. One that belongs
 * behind the last loaded message is added if the end is loaded; otherwise it is counted only. Returns the number of new
 * messages.
 */
export function receive<M>(
  loaded: Loaded<M>,
  arrived: readonly Entry<M>[],
  limit = MAX_LOADED,
): { loaded: Loaded<M>; added: number } {
  const entries = [...loaded.entries];
  const places = new Map(entries.map(({ id }, at) => [id, at]));
  let { total, hasOlder } = loaded;
  let added = 0;
  for (const entry of arrived) {
    const at = places.get(entry.id);
    if (at !== undefined) {
      entries[at] = entry;
      continue;
    }
    const index = entry.index ?? total;
    // A late result of a message that is not loaded: the message is not new.
    if (index < total && !isBetween(entries, index, loaded)) continue;
    total = Math.max(total + 1, index + 1);
    added += 1;
    const last = entries.at(-1);
    if (last === undefined ? loaded.hasNewer || hasOlder : index > (last.index ?? -1) && loaded.hasNewer)
      continue;
    if (last === undefined || index > (last.index ?? -1)) {
      places.set(entry.id, entries.push(entry) - 1);
      continue;
    }
    const place = entries.findLastIndex((other) => (other.index ?? -1) < index) + 1;
    for (let behind = place; behind < entries.length; behind++) {
      const other = entries[behind];
      if (other && other.index !== null) entries[behind] = { ...other, index: other.index + 1 };
    }
    entries.splice(place, 0, entry);
    places.clear();
    for (const [where, { id }] of entries.entries()) places.set(id, where);
  }
  if (entries.length > limit) hasOlder = true;
  return {
    loaded: { entries: entries.slice(-limit), hasOlder, hasNewer: loaded.hasNewer, total },
    added,
  };
}

/** Whether a message with this index would be among the loaded ones, or behind the end. */
function isBetween<M>(entries: readonly Entry<M>[], index: number, { hasNewer }: Loaded<M>): boolean {
  const first = entries[0]?.index ?? null;
  const last = entries.at(-1)?.index ?? null;
  if (first === null || last === null) return false;
  return index > first && (index <= last || !hasNewer);
}
