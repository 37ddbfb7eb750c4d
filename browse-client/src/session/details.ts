// What a list leaves out of messages, loaded when it is opened. The last ones are kept, so that a row that is scrolled
// out of the page and back does not load again.

import { createContext, use, useEffect, useState } from "react";
import { useRelayEnvironment } from "react-relay";
import type { IEnvironment } from "relay-runtime";

import type { MessageDetailQuery$rawResponse } from "./__generated__/MessageDetailQuery.graphql.ts";
import type { MessageDetailRawQuery$rawResponse } from "./__generated__/MessageDetailRawQuery.graphql.ts";
import type { FileHunk } from "./diff.ts";
import { messageDetailQuery, rawLineQuery } from "./MessageDetail.ts";
import { ask } from "./operations.ts";

type RawDetail = NonNullable<MessageDetailQuery$rawResponse["message"]>;

export type Image = {
  mediaType: string;
  dataUrl: string;
  bytes: number;
  width: number | null | undefined;
  height: number | null | undefined;
};

/** The contents of a block, as far as its type has them. */
export type BlockDetail = {
  text?: string;
  thinking?: string;
  input?: string;
  /** The parts of a file that the call changed; null if its result cannot be read. */
  hunks?: readonly FileHunk[] | null;
  content?: string;
  result?: { content: string; images: readonly Image[] } | null;
  images?: readonly Image[];
  dataUrl?: string;
  mediaType?: string;
  bytes?: number;
  width?: number | null;
  height?: number | null;
};

/** The contents of a message, as far as its type has them. */
export type Detail = {
  contentBlocks?: readonly BlockDetail[];
  content?: string | null;
  output?: string | null;
  error?: string | null;
  callInput?: string | null;
  hookResult?: { output: string | null; error: string | null } | null;
  mcpResult?: { result: string | null; error: string | null } | null;
  exposedResult?: { result: string | null; error: string | null } | null;
};

const KEPT = 40;

export class Details {
  #environment: IEnvironment;
  #details = new Map<string, { version: unknown; value: Promise<Detail | null> }>();

  constructor(environment: IEnvironment) {
    this.#environment = environment;
  }

  /** The contents of a message. `version` changes when they may have changed: a late result. */
  get(id: string, version: unknown): Promise<Detail | null> {
    const known = this.#details.get(id);
    if (known && known.version === version) {
      // The most recently used one is last.
      this.#details.delete(id);
      this.#details.set(id, known);
      return known.value;
    }
    const asked = ask<{ message: RawDetail | null }>(this.#environment, messageDetailQuery, { id });
    const value = asked.then(({ message }) => message as unknown as Detail | null);
    const entry = { version, value };
    this.#details.set(id, entry);
    value.catch(() => this.#details.delete(id));
    for (const oldest of this.#details.keys()) {
      if (this.#details.size <= KEPT) break;
      this.#details.delete(oldest);
    }
    return value;
  }

  /** The line itself. It is not kept. */
  async raw(id: string): Promise<string | null> {
    const found = await ask<MessageDetailRawQuery$rawResponse>(this.#environment, rawLineQuery, { id });
    return found.message?.rawJson ?? null;
  }
}

export const DetailsContext = createContext<Details | null>(null);

export type Loading<T> = { value: T | null; error: unknown; isLoading: boolean; retry: () => void };

/** The state of something that is loaded while `load` is set. */
export function useLoaded<T>(load: (() => Promise<T>) | null, key: unknown): Loading<T> {
  const [state, setState] = useState<{ key: unknown; value: T | null; error: unknown } | null>(null);
  const [attempt, setAttempt] = useState(0);
  const isWanted = load !== null;
  // `key` says what `load` loads.
  useEffect(() => {
    if (!load) return;
    let isCurrent = true;
    load().then(
      (value) => isCurrent && setState({ key, value, error: null }),
      (error: unknown) => isCurrent && setState({ key, value: null, error }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key, isWanted, attempt]);
  // What was loaded before is shown until the newer one is there.
  return {
    value: state?.value ?? null,
    error: state?.error ?? null,
    isLoading: isWanted && state?.key !== key,
    retry: () => {
      setState(null);
      setAttempt((count) => count + 1);
    },
  };
}

/** The contents of a message, loaded while `isWanted`. */
export function useDetail(id: string, version: unknown, isWanted: boolean): Loading<Detail | null> {
  const details = useDetails();
  return useLoaded(isWanted ? () => details.get(id, version) : null, version);
}

export function useDetails(): Details {
  const details = use(DetailsContext);
  const environment = useRelayEnvironment();
  const [own] = useState(() => details ?? new Details(environment));
  return details ?? own;
}
