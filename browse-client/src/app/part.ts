// Parts of the dashboard that are loaded when they are needed.

import { type ComponentType, lazy } from "react";

import { PageLoadError } from "./errors.ts";

// biome-ignore lint/suspicious/noExplicitAny: as in React's own types of `lazy`
type Component = ComponentType<any>;

/** How long what is shown first has to fetch its own data before other parts are loaded. */
const IDLE_AFTER_MS = 2_000;

/** A component in a script of its own. Its failure is one that a new load of the dashboard repairs. */
export function part<T extends Component>(load: () => Promise<{ default: T }>) {
  return lazy(() =>
    load().catch((cause) => {
      throw new PageLoadError(cause);
    }),
  );
}

/**
 * Loads scripts shortly after what is shown first: so what they contain opens at once, and also while the server cannot
 * be reached. Returns a function that ends the wait.
 */
export function loadSoon(loads: readonly (() => Promise<unknown>)[]): () => void {
  const timer = setTimeout(() => {
    // A failure is reported when the part is opened.
    for (const load of loads) load().catch(() => {});
  }, IDLE_AFTER_MS);
  return () => clearTimeout(timer);
}
