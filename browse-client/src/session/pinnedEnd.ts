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
 * After `pin`, the list is scrolled to its end whenever it grows, until the user scrolls away from it (`onScroll`,
 * `onWheel`) or does something else (`unpin`), such as opening a row. The virtualizer could follow what is appended,
 * but it lost the end when many messages arrived at once, and it also follows a row that the user opens.
 *
 * `rows` are those that the virtualizer `list` draws, `hasEnd` says whether its end is loaded. `onDrawn` is called when the
 * list has changed, with its end in sight if it is pinned.
 */
export function usePinnedEnd(
  scroller: RefObject<HTMLElement | null>,
  list: { getTotalSize: () => number },
  rows: unknown,
  hasEnd: boolean,
  onDrawn: () => void,
) {
  const isPinned = useRef(false);
  // The height that is drawn; the virtualizer may know another one already.
  const size = list.getTotalSize();
  const pin = useCallback(() => {
    isPinned.current = true;
    if (scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
  }, [scroller]);
  const onScroll = useEffectEvent(() => {
    if (!scroller.current) return;
    if (isAtEnd(scroller.current)) isPinned.current = true;
    // The virtualizer scrolls too: when rows turn out to be higher or lower than estimated, or are dropped at the start.
    // It draws the list again then, which restores the end. Only a scroll without that is the user's.
    else if (list.getTotalSize() === size) isPinned.current = false;
  });
  const unpin = useCallback(() => {
    isPinned.current = false;
  }, []);
  const onWheel = useCallback((event: { deltaY: number }) => {
    if (event.deltaY < 0) isPinned.current = false;
  }, []);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element && isPinned.current && hasEnd) element.scrollTop = element.scrollHeight;
  }, [scroller, size, rows, hasEnd]);
  const drawn = useEffectEvent(onDrawn);
  useEffect(() => drawn(), [size, rows]);
  return { pin, unpin, onScroll, onWheel };
}
