// How a page reads its data when it is opened.

import { useMemo } from "react";
import type { FetchPolicy } from "react-relay";

import { connectionState } from "./connection.ts";

/**
 * What is in the store is shown at once and fetched again; while the server cannot be reached, it is only shown, because
 * a request that fails would take it away. The answer stays the same until `page`, what the page shows, changes.
 */
export function useFetchPolicy(page: string): FetchPolicy {
  return useMemo(() => {
    const state = connectionState();
    return state === "offline" || state === "reconnecting" ? "store-or-network" : "store-and-network";
  }, [page]);
}
