// Keeps the end of a growing list in sight.

import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef } from "react";

/** How near the end counts as the end. */
export const END_PX = 48;

/** How long the effect of an action, such as a row that opens, may take. */
const SETTLED_MS = 400;

/** The options of a virtualizer whose end this keeps in sight: it must not do so itself, also for rows that are opened. */
export const UNPINNED = { followOnAppend: false, scrollEndThreshold: Number.NEGATIVE_INFINITY } as const;

export function isAtEnd({ scrollHeight, scrollTop, clientHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight <= END_PX;
}

/**
 * A list whose end is in sight is scrolled to its end whenever it grows, but not because the user opens a row. The
 * virtualizer could follow what is appended, but loses the end when many messages arrive at once: it keeps its place by
 * rows that are still there, and knows the height of new rows only after they were drawn.
 *
 * `size` is the height of the list, `hasEnd` says whether its end is loaded. Call `onScroll` when it was scrolled,
 * `onAction` when the user did something else in it, and `pin` when it was scrolled to its end on demand. `onSettled` is
 * called when the effect of an action can be seen.
 */
export function usePinnedEnd(
  scroller: RefObject<HTMLElement | null>,
  size: number,
  hasEnd: boolean,
  onSettled: () => void,
) {
  const settled = useRef(onSettled);
  useEffect(() => {
    settled.current = onSettled;
  });
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const isPinned = useRef(false);
  const pin = useCallback(() => {
    isPinned.current = true;
  }, []);
  const onScroll = useCallback(() => {
    if (scroller.current) isPinned.current = isAtEnd(scroller.current);
  }, [scroller]);
  const onAction = useCallback(() => {
    isPinned.current = false;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      onScroll();
      settled.current();
    }, SETTLED_MS);
  }, [onScroll]);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element && isPinned.current && hasEnd) element.scrollTop = element.scrollHeight;
  }, [scroller, size, hasEnd]);
  return { pin, onScroll, onAction };
}
