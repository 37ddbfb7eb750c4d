// A short label of a state or kind.

import type { ReactNode } from "react";

export type Tone = "neutral" | "accent" | "green" | "amber" | "red" | "violet";

/** `title` explains the badge on hover. */
export function Badge({
  children,
  tone = "neutral",
  title,
}: {
  children: ReactNode;
  tone?: Tone;
  title?: string;
}) {
  return (
    <span className="badge" data-tone={tone} title={title}>
      {children}
    </span>
  );
}
