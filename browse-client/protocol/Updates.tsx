// `memoryUpdated`, which every page of the published client holds. `useUpdates` counts its events of type SESSION: the
// dashboard fetches its figures again for each.

import { useMemo, useState, useSyncExternalStore } from "react";
import { graphql, useSubscription } from "react-relay";
import type { GraphQLSubscriptionConfig } from "relay-runtime";

import type { UpdatesSubscription } from "./__generated__/UpdatesSubscription.graphql.ts";

const listeners = new Set<() => void>();
let sessionUpdates = 0;

/** How many events of type SESSION arrived since the page was loaded. */
export function useUpdates(): number {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => sessionUpdates,
  );
}

export function Updates() {
  const [last, setLast] = useState("none");
  useSubscription(
    useMemo<GraphQLSubscriptionConfig<UpdatesSubscription>>(
      () => ({
        subscription: graphql`
          subscription UpdatesSubscription {
            memoryUpdated {
              type
              action
              path
              timestamp
            }
          }
        `,
        variables: {},
        onNext: (response) => {
          const update = response?.memoryUpdated;
          if (update?.type !== "SESSION") return;
          sessionUpdates += 1;
          for (const listener of listeners) listener();
          setLast(`${update.type} ${update.action}`);
        },
      }),
      [],
    ),
  );
  return <p data-last-update>{last}</p>;
}
