// Keeps the end of a growing list in sight.

import { type RefObject, useCallback, useEffect, useEffectEvent, useLayoutEffect, useRef } from "react";

/** How near the end counts as the end. */
const END_PX = 48;

/** The options of a virtualizer whose end this keeps in sight: it must not do so itself, also for rows that are opened. */
export const UNPINNED = { followOnAppend: false, scrollEndThreshold: Number.NEGATIVE_INFINITY } as const;

export function isAtEnd({ scrollHeight, scrollTop, clientHeight }: HTMLElement): boolean {
  return scrollHeight - scrollTop - clientHeight <= END_PX;
}

/**
 * After `pin`, the list is scrolled to its end whenever it grows, until the user scrolls away from it (`onScroll`) or does
 * something else (`onAction`), such as opening a row. The virtualizer could follow what is appended, but it lost the end
 * when many messages arrived at once, and it also follows a row that the user opens.
 *
 * `size` is the height of the list, `hasEnd` says whether its end is loaded. `onSize` is called when the list has another
 * height, with its end in sight if it is pinned.
 */
export function usePinnedEnd(
  scroller: RefObject<HTMLElement | null>,
  size: number,
  hasEnd: boolean,
  onSize: () => void,
) {
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
  const sized = useEffectEvent(onSize);
  useEffect(() => sized(), [size]);
  return { pin, onScroll, onAction };
}
