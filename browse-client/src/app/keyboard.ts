// The registry of keyboard shortcuts. A component registers those that work while it is shown; the list of keys (`?`)
// shows what is registered.

import { useEffect, useEffectEvent, useSyncExternalStore } from "react";

export type Shortcut = {
  /** The key as in `KeyboardEvent.key`, or two keys that are typed one after the other: `g s`. */
  keys: string;
  /** What it does, for the list of keys. */
  label: string;
  /** The heading in the list of keys. */
  group: string;
  /** Returns false if the key means nothing now, so that the browser handles it. */
  run: () => unknown;
};

/** How long the second key of a pair may take. */
const PAIR_MS = 1_000;

let registered: readonly (readonly Shortcut[])[] = [];
const listeners = new Set<() => void>();
let first: { key: string; at: number } | null = null;

function change(next: readonly (readonly Shortcut[])[]): void {
  registered = next;
  for (const listener of listeners) listener();
}

/** Whether the key belongs to a field, or to a dialog or menu that is open above the page. */
function isElsewhere(event: KeyboardEvent): boolean {
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest("input, textarea, select, [contenteditable=true]")) return true;
  return target?.closest("[role=dialog], [role=menu], [role=listbox]") != null;
}

function find(keys: string): Shortcut | undefined {
  // The component that was shown last comes first: a page before the shell.
  for (const shortcuts of registered.toReversed()) {
    const found = shortcuts.find((shortcut) => shortcut.keys === keys);
    if (found) return found;
  }
  return undefined;
}

function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isElsewhere(event)) return;
  const pair = first && event.timeStamp - first.at < PAIR_MS ? find(`${first.key} ${event.key}`) : undefined;
  first = null;
  const shortcut = pair ?? find(event.key);
  if (shortcut) {
    if (shortcut.run() !== false) event.preventDefault();
  } else if (registered.flat().some(({ keys }) => keys.startsWith(`${event.key} `))) {
    first = { key: event.key, at: event.timeStamp };
  }
}

/** Listens to the keyboard for as long as the page is open. */
export function listenToKeyboard(): void {
  window.addEventListener("keydown", pressed);
}

/** Registers shortcuts while the calling component is shown. */
export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const run = useEffectEvent((keys: string) => shortcuts.find((one) => one.keys === keys)?.run());
  const described = JSON.stringify(shortcuts.map(({ keys, label, group }) => ({ keys, label, group })));
  useEffect(() => {
    const parsed = JSON.parse(described) as Omit<Shortcut, "run">[];
    const mine = parsed.map((one) => ({ ...one, run: () => run(one.keys) }));
    change([...registered, mine]);
    return () => change(registered.filter((other) => other !== mine));
  }, [described]);
}

/** All shortcuts that work now. */
export function useRegisteredShortcuts(): readonly Shortcut[] {
  const all = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => registered,
  );
  return all.flat();
}
