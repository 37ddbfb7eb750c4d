// The messages of a session that are loaded: fetches pages, takes in what arrives live, and catches up after a break.
// It is outside of React, because messages arrive faster than the page is drawn.

import { type GraphQLResponse, getRequest, type IEnvironment } from "relay-runtime";
import type { operationsMessagesSubscription$rawResponse } from "./__generated__/operationsMessagesSubscription.graphql.ts";
import {
  askPage,
  type Message,
  messagesSubscription,
  type Nesting,
  type Place,
  shownBy,
} from "./operations.ts";
import {
  addNewer,
  addOlder,
  EMPTY,
  type Entry,
  type Loaded,
  MAX_LOADED,
  type Page,
  receive,
} from "./window.ts";

/** The size of a page. Larger ones take longer to draw than a frame may. */
const PAGE = 60;

/** Arrived messages are shown together, this often. */
const FLUSH_MS = 100;

/**
 * Where the list must be scrolled to, once. A return to where the user was selects nothing. `nested` is the message that
 * is wanted, if `message` has a call that shows it.
 */
export type Target = {
  at: "start" | "end" | { message: string; isReturn?: boolean; nested?: Nesting & { wanted: string } };
};

export type Snapshot = {
  loaded: Loaded<Message>;
  phase: "loading" | "ready" | "missing";
  error: unknown;
  /** New messages that are not loaded, because the user is elsewhere. */
  unseen: number;
  /** Changes when the list must be scrolled. */
  target: Target | null;
};

export class ConversationStore {
  #environment: IEnvironment;
  #session: string;
  #snapshot: Snapshot = { loaded: EMPTY, phase: "loading", error: null, unseen: 0, target: null };
  #listeners = new Set<() => void>();
  /** Grows with each jump: what an earlier place asked for is then ignored. */
  #place = 0;
  #older: Promise<void> | null = null;
  #newer: Promise<void> | null = null;
  /** The place that was asked for last. */
  #wanted: Target["at"] = "end";
  #arrived: Entry<Message>[] = [];
  /** For each page that is being fetched, what arrived since it was asked for: the page may lack it. */
  #during = new Set<Entry<Message>[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAtEnd = false;
  #onTurn: () => void;
  #subscription: { unsubscribe: () => void } | null = null;

  /** `onTurn` runs when a message arrived that may be in the outline. */
  constructor(environment: IEnvironment, session: string, onTurn: () => void) {
    this.#environment = environment;
    this.#session = session;
    this.#onTurn = onTurn;
  }

  getSnapshot = (): Snapshot => this.#snapshot;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #set(changes: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...changes };
    for (const listener of this.#listeners) listener();
  }

  /** Receives messages from now on, until `stop`. */
  listen(): void {
    if (this.#subscription) return;
    const { params } = getRequest(messagesSubscription);
    this.#subscription = this.#environment
      .getNetwork()
      .execute(params, { id: this.#session }, {})
      .subscribe({
        next: (response: GraphQLResponse) => {
          const { data } = response as { data?: operationsMessagesSubscription$rawResponse };
          const added = data?.sessionMessageAdded;
          if (!added?.newMessageEdge) return;
          const message = added.newMessageEdge.node as Message;
          const { cursor } = added.newMessageEdge;
          const entry = { id: message.id, cursor, index: added.messageIndex, message };
          this.#arrived.push(entry);
          for (const arrived of this.#during) {
            arrived.push(entry);
            // Older ones would be dropped.
            if (arrived.length > MAX_LOADED) arrived.shift();
          }
          this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
        },
        // The connection state says what became of the socket; the catch-up fetches what was missed.
        error: () => {},
      });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = null;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #flush(): void {
    this.#timer = undefined;
    if (this.#snapshot.phase === "loading") {
      // The page that is being fetched may have them or not: keep them until it is there.
      this.#timer = setTimeout(() => this.#flush(), FLUSH_MS);
      return;
    }
    const arrived = this.#arrived;
    this.#arrived = [];
    const { loaded, added } = receive(this.#snapshot.loaded, arrived);
    if (this.#isAtEnd && added > 0) this.#set({ loaded, unseen: 0, target: { at: "end" } });
    else this.#set({ loaded, unseen: this.#snapshot.unseen + added });
    if (arrived.some(({ message }) => TURNS.has(message.__typename))) this.#onTurn();
  }

  /** Says whether the user sees the end of the list: only then new messages are seen, and the list follows them. */
  setAtEnd(isAtEnd: boolean): void {
    this.#isAtEnd = isAtEnd;
    if (isAtEnd && this.#snapshot.unseen > 0) this.#set({ unseen: 0 });
  }

  async #fetch(place: Place, then: (page: Page<Message>) => Partial<Snapshot>): Promise<void> {
    const at = this.#place;
    const arrived: Entry<Message>[] = [];
    this.#during.add(arrived);
    try {
      const page = await askPage(this.#environment, this.#session, place);
      if (at !== this.#place) return;
      if (!page) {
        this.#set({ phase: "missing" });
        return;
      }
      const changes = then(page);
      if (changes.loaded) changes.loaded = receive(changes.loaded, arrived).loaded;
      this.#set({ phase: "ready", error: null, ...changes });
    } catch (error) {
      if (at === this.#place) this.#set({ error });
    } finally {
      this.#during.delete(arrived);
    }
  }

  /** Loads the messages at a place, and scrolls there. Does not load what is loaded. */
  async show(target: Target["at"]): Promise<void> {
    const { loaded, phase } = this.#snapshot;
    if (phase === "ready") {
      const isThere =
        target === "end"
          ? !loaded.hasNewer
          : target === "start"
            ? !loaded.hasOlder
            : loaded.entries.some(({ id }) => id === target.message);
      if (isThere) {
        this.#set({ target: { at: target } });
        return;
      }
    }
    this.#place += 1;
    this.#wanted = target;
    this.#older = this.#newer = null;
    const place: Place =
      target === "end"
        ? { first: PAGE }
        : target === "start"
          ? { last: PAGE }
          : { first: PAGE, around: target.message };
    let isFound = true;
    await this.#fetch(place, (page) => {
      // The list does not contain it: the message of another session, or a subagent's line that no call shows.
      isFound = typeof target !== "object" || page.entries.length > 0;
      if (!isFound) return {};
      return {
        loaded: page,
        unseen: target === "end" ? 0 : this.#snapshot.unseen,
        target: { at: target },
      };
    });
    if (!isFound) {
      this.#set({ phase: this.#snapshot.loaded.entries.length > 0 ? "ready" : "loading" });
      if (this.#snapshot.phase === "loading") await this.show("end");
      return;
    }
    await this.#showNesting(target);
  }

  /** A message that is nested in another one is shown there. */
  async #showNesting(target: Target["at"]): Promise<void> {
    const { loaded, target: current } = this.#snapshot;
    if (typeof target !== "object" || current?.at !== target) return;
    if (loaded.entries.some(({ id }) => id === target.message)) return;
    const shown = await shownBy(this.#environment, target.message, loaded.entries).catch(() => null);
    if (!shown || this.#snapshot.target?.at !== target) return;
    this.#set({ target: { at: { message: shown.message, nested: { ...shown, wanted: target.message } } } });
  }

  /** Loads older messages. Beyond the limit, those are dropped that the user does not read, or the newest on demand. */
  loadOlder(keep: "oldest" | "newest" = this.#isAtEnd ? "newest" : "oldest"): void {
    const { loaded } = this.#snapshot;
    const first = loaded.entries[0];
    if (this.#older || !loaded.hasOlder || !first) return;
    const asked = this.#fetch({ first: PAGE, after: first.cursor }, (page) => {
      // Who sees this page may ask for the next one at once.
      this.#older = null;
      return { loaded: addOlder(this.#snapshot.loaded, page, first.id, { keep }) };
    }).finally(() => {
      if (this.#older === asked) this.#older = null;
    });
    this.#older = asked;
  }

  loadNewer(): void {
    const { loaded } = this.#snapshot;
    const last = loaded.entries.at(-1);
    if (this.#newer || !loaded.hasNewer || !last) return;
    const asked = this.#fetch({ last: PAGE, before: last.cursor }, (page) => {
      this.#newer = null;
      return { loaded: addNewer(this.#snapshot.loaded, page, last.id) };
    }).finally(() => {
      if (this.#newer === asked) this.#newer = null;
    });
    this.#newer = asked;
  }

  /** Fetches what is loaded again, after events were missed. `around` is the message that must stay in its place. */
  async refresh(around: string | null): Promise<void> {
    const { loaded, phase } = this.#snapshot;
    if (phase === "loading") return this.show(this.#wanted);
    if (phase !== "ready") return;
    this.#place += 1;
    this.#older = this.#newer = null;
    const size = Math.min(MAX_LOADED, Math.max(PAGE, loaded.entries.length));
    const place: Place = loaded.hasNewer && around ? { first: size, around } : { first: size };
    await this.#fetch(place, (page) => {
      const added = Math.max(0, page.total - this.#snapshot.loaded.total);
      if (!this.#isAtEnd) return { loaded: page, unseen: this.#snapshot.unseen + added };
      // Maybe nothing of what was shown is loaded now: the list cannot keep its place by itself.
      return { loaded: page, unseen: 0, target: { at: "end" } };
    });
  }
}

/** The types of messages that may be in the outline. */
const TURNS = new Set<string>([
  "RegularUserMessage",
  "CommandUserMessage",
  "SummaryMessage",
  "SystemMessage",
]);
