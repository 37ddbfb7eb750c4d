// The theme: that of the system, unless the user chose one. The choice is kept in this browser.

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEY = "han.theme";
const listeners = new Set<() => void>();

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    // Browsers can forbid storage; the choice then holds until the page is closed.
    return "system";
  }
}

let theme: Theme = stored();

/** Applies the stored choice to the document. */
export function applyTheme(): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function setTheme(next: Theme): void {
  theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // See `stored`.
  }
  applyTheme();
  for (const listener of listeners) listener();
}

/** Follows a choice that is made in another tab. */
export function followOtherTabs(): void {
  window.addEventListener("storage", ({ key }) => {
    if (key !== KEY && key !== null) return;
    theme = stored();
    applyTheme();
    for (const listener of listeners) listener();
  });
}

export function useTheme(): Theme {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => theme,
  );
}
