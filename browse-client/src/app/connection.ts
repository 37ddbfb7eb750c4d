// Whether the page receives live data, and since when not. One socket carries all subscriptions (environment.ts), so its
// state is that of the page.

import { useEffect, useEffectEvent, useSyncExternalStore } from "react";

export type Connection = {
  /**
   * `idle`: the page has subscribed to nothing. `live`: data arrives. `reconnecting`: the connection was lost just now.
   * `offline`: it has been lost for longer. `ended`: the server no longer accepts this sign-in.
   */
  state: "idle" | "live" | "reconnecting" | "offline" | "ended";
  /** When the last data could have arrived; null while live. */
  since: Date | null;
  /** Grows each time that events may have been missed: what is shown must be fetched again. */
  generation: number;
};

/** A break that is shorter than this is not worth a notice. */
const OFFLINE_AFTER_MS = 5_000;

let connection: Connection = { state: "idle", since: null, generation: 0 };
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

function set(changes: Partial<Connection>): void {
  connection = { ...connection, ...changes };
  for (const listener of listeners) listener();
}

export const connectionEvents = {
  /** A socket was accepted. `again`: another one was open before, and events between them are lost. */
  opened(again: boolean): void {
    clearTimeout(timer);
    set({ state: "live", since: null, generation: connection.generation + (again ? 1 : 0) });
  },
  /** The page closed the socket, because it has no subscription. */
  closed(): void {
    clearTimeout(timer);
    if (connection.state !== "ended") set({ state: "idle", since: null });
  },
  lost(): void {
    if (connection.state === "reconnecting" || connection.state === "offline") return;
    if (connection.state === "ended") return;
    set({ state: "reconnecting", since: new Date() });
    clearTimeout(timer);
    timer = setTimeout(() => set({ state: "offline" }), OFFLINE_AFTER_MS);
  },
  /** The server answered 401 or closed the socket because the credential ended. */
  ended(): void {
    clearTimeout(timer);
    set({ state: "ended", since: connection.since ?? new Date() });
  },
  /** The server reported that events of a subscription were lost. */
  missed(): void {
    set({ generation: connection.generation + 1 });
  },
};

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The state now, for decisions that should not follow it. */
export function connectionState(): Connection["state"] {
  return connection.state;
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => connection);
}

/** Calls `fetchAgain` each time that events may have been missed. */
export function useCatchUp(fetchAgain: () => void): void {
  const generation = useSyncExternalStore(subscribe, () => connection.generation);
  const run = useEffectEvent(fetchAgain);
  useEffect(() => {
    if (generation > 0) run();
  }, [generation]);
}
