// Whether data arrives: a dot in the top bar, and a notice above the page when it has not for a while.

import { time } from "../ui/format.ts";
import { useConnection } from "./connection.ts";

const LABELS = {
  live: "Live",
  reconnecting: "Reconnecting",
  offline: "Offline",
  ended: "Signed out",
};

const TITLES = {
  live: "New data appears as it arrives.",
  reconnecting: "The connection was lost just now. It is being opened again.",
  offline: "The server cannot be reached. The page tries again every few seconds.",
  ended: "The sign-in has ended.",
};

export function ConnectionState() {
  const { state, since } = useConnection();
  if (state === "idle") return null;
  return (
    <span className="connection" data-state={state} title={TITLES[state]} role="status">
      <span className="dot" aria-hidden="true" />
      <span className="connection-label">
        {LABELS[state]}
        {state === "offline" && since && ` since ${time(since)}`}
      </span>
    </span>
  );
}

/** Says that what is shown is old. */
export function StaleNotice() {
  const { state, since } = useConnection();
  if (state !== "offline" || !since) return null;
  return (
    <p className="notice stale" data-tone="amber" role="status">
      The server cannot be reached. You see the data of {time(since)}; it is brought up to date as soon as the
      server answers. Pages that you have opened before still work.
    </p>
  );
}
