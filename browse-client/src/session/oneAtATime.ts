// Loads that follow a session that grows.

import { useEffect, useEffectEvent, useRef } from "react";

/**
 * Runs `load` at once, and again when one of `reasons` has changed. A change during a run begins one more run after it,
 * so that a session that grows faster than it can be loaded is shown all the same.
 */
export function useOneAtATime(load: () => Promise<void>, reasons: readonly unknown[]): void {
  const run = useEffectEvent(load);
  const state = useRef({ isRunning: false, isAgain: false });
  useEffect(() => {
    const now = state.current;
    now.isAgain = true;
    if (now.isRunning) return;
    now.isRunning = true;
    const runs = async () => {
      while (now.isAgain) {
        now.isAgain = false;
        await run();
      }
      now.isRunning = false;
    };
    void runs();
  }, reasons);
}
