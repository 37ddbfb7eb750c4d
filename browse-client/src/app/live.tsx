// The subscription that every page holds. It keeps the socket open, reports that events were missed, and tells pages
// that some session of the team has changed.

import { useEffect, useEffectEvent, useMemo } from "react";
import { graphql, useSubscription } from "react-relay";
import type { GraphQLSubscriptionConfig } from "relay-runtime";

import type { liveSubscription } from "./__generated__/liveSubscription.graphql.ts";
import { connectionEvents } from "./connection.ts";

type Action = "created" | "updated" | "deleted";

const listeners = new Set<(action: Action) => void>();

/** Calls `changed` when a session of the team was added, changed or deleted. */
export function useSessionChanges(changed: (action: Action) => void): void {
  const run = useEffectEvent(changed);
  useEffect(() => {
    const listener = (action: Action) => run(action);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
}

export function LiveUpdates() {
  useSubscription(
    useMemo<GraphQLSubscriptionConfig<liveSubscription>>(
      () => ({
        subscription: graphql`
          subscription liveSubscription {
            memoryUpdated {
              type
              action
            }
          }
        `,
        variables: {},
        onNext: (response) => {
          const update = response?.memoryUpdated;
          if (update?.action === "resync") connectionEvents.missed();
          else if (update?.type === "SESSION")
            for (const listener of listeners) listener(update.action as Action);
        },
        // environment.ts reports what became of the socket. A user without a team may not subscribe.
        onError: () => {},
      }),
      [],
    ),
  );
  return null;
}
