// The pages, each a script of its own. The first one is loaded with the application, the others shortly after it:
// so they open at once, and also while the server cannot be reached.

import { type ComponentType, lazy } from "react";

import { PageLoadError } from "./errors.ts";

type Load = () => Promise<{ default: ComponentType }>;

const loads: Load[] = [];

function page(load: Load) {
  loads.push(load);
  return lazy(() =>
    load().catch((cause) => {
      throw new PageLoadError(cause);
    }),
  );
}

export const SessionsPage = page(() => import("../sessions/SessionsPage.tsx"));
export const SessionPage = page(() => import("../session/SessionPage.tsx"));
export const SearchPage = page(() => import("../search/SearchPage.tsx"));
export const MessageLink = page(() => import("../messages/MessageLink.tsx"));

/** How long the first page has to fetch its own data before the other pages are loaded. */
const IDLE_AFTER_MS = 2_000;

export function loadOtherPages(): void {
  setTimeout(() => {
    // A failure is reported when the page is opened.
    for (const load of loads) load().catch(() => {});
  }, IDLE_AFTER_MS);
}
