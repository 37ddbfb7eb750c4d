// The outline of a session: its pages are fetched one after another, and the last one again while the session grows.

import type { IEnvironment } from "relay-runtime";

import type { operationsOutlineQuery$rawResponse } from "./__generated__/operationsOutlineQuery.graphql.ts";
import { ask, outlineQuery } from "./operations.ts";
import type { OutlineEntry } from "./outline.ts";

type OutlinePage = { entries: readonly OutlineEntry[]; endCursor: string | null };

const PAGE = 100;

/** Changes within this time are one. */
const REFRESH_MS = 1_000;

export type OutlineSnapshot = { entries: readonly OutlineEntry[]; isComplete: boolean; error: unknown };

export class OutlineStore {
  #environment: IEnvironment;
  #session: string;
  #pages: OutlinePage[] = [];
  #listeners = new Set<() => void>();
  #snapshot: OutlineSnapshot = { entries: [], isComplete: false, error: null };
  #running = false;
  #again = false;
  #stopped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(environment: IEnvironment, session: string) {
    this.#environment = environment;
    this.#session = session;
  }

  getSnapshot = (): OutlineSnapshot => this.#snapshot;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #set(changes: Partial<OutlineSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...changes };
    for (const listener of this.#listeners) listener();
  }

  /** Fetches the pages that are missing, and the last one again. */
  async load(): Promise<void> {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#stopped = false;
    try {
      this.#pages.pop();
      for (;;) {
        const after = this.#pages.at(-1)?.endCursor ?? null;
        const variables = { id: this.#session, first: PAGE, after };
        const found = await ask<operationsOutlineQuery$rawResponse>(
          this.#environment,
          outlineQuery,
          variables,
        );
        if (this.#stopped) return;
        const page = found.session?.outline;
        if (!page) break;
        this.#pages.push({ entries: page.entries, endCursor: page.endCursor ?? null });
        const entries = this.#pages.flatMap((one) => one.entries);
        this.#set({ entries, isComplete: !page.hasNextPage, error: null });
        if (!page.hasNextPage) break;
      }
    } catch (error) {
      this.#set({ error });
    } finally {
      this.#running = false;
      if (this.#again && !this.#stopped) {
        this.#again = false;
        void this.load();
      }
    }
  }

  /** Fetches everything again. */
  reload(): void {
    this.#pages = [];
    void this.load();
  }

  /** Fetches the end again, soon: several changes within a short time are one. */
  changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.load();
    }, REFRESH_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
