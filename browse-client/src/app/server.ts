// What the server says about itself. The page never guesses it from its address.

import { useSyncExternalStore } from "react";

import { setServerTime } from "../ui/format.ts";

export type Mode = "team" | "local";

let mode: Mode | null = null;
const listeners = new Set<() => void>();

/** Asks the server once; it does not change while a page is open. */
export async function askServer(): Promise<void> {
  try {
    const response = await fetch("/health");
    // The clock of this machine may be wrong, and people see how long ago something was.
    setServerTime(new Date(response.headers.get("date") ?? Number.NaN));
    const body = await response.json();
    if (body.mode === "team" || body.mode === "local") mode = body.mode;
    for (const listener of listeners) listener();
  } catch {
    // The connection state already shows that the server cannot be reached. What depends on the mode stays hidden.
  }
}

/** The server's mode; null until it has answered. */
export function useMode(): Mode | null {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => mode,
  );
}
