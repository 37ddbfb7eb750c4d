// What a page shows in place of content that does not exist.

import type { ReactNode } from "react";

/** `children` says what to do. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <section className="empty">
      <h2>{title}</h2>
      {children}
    </section>
  );
}
