// Keeps the end of a growing list in sight.

import { type RefObject, useCallback, useLayoutEffect, useRef } from "react";

/** How near the end counts as the end. */
export const END_PX = 48;

export function isAtEnd({ scrollHeight, scrollTop, clientHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight <= END_PX;
}

/**
 * A list whose end is in sight is scrolled to its end whenever it grows, until the user does something. The virtualizer
 * follows what is appended, too, but loses the end when many messages arrive at once: it keeps its place by rows that are
 * still there, and knows the height of new rows only after they were drawn.
 *
 * `size` is the height of the list, `hasEnd` says whether its end is loaded. Call `onScroll` when it was scrolled,
 * `onAction` when the user did something else in it, and `pin` when it was scrolled to its end on demand.
 */
export function usePinnedEnd(scroller: RefObject<HTMLElement | null>, size: number, hasEnd: boolean) {
  const isPinned = useRef(false);
  const pin = useCallback(() => {
    isPinned.current = true;
  }, []);
  const onScroll = useCallback(() => {
    if (scroller.current) isPinned.current = isAtEnd(scroller.current);
  }, [scroller]);
  const onAction = useCallback(() => {
    isPinned.current = false;
  }, []);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element && isPinned.current && hasEnd) element.scrollTop = element.scrollHeight;
  }, [scroller, size, hasEnd]);
  return { pin, onScroll, onAction };
}
