// A filter that is in effect, with a button that removes it.

import type { ReactNode } from "react";

import { CloseIcon } from "./icons.tsx";

/** `name` names the filter in the button's label. */
export function Chip({
  name,
  children,
  onRemove,
}: {
  name: string;
  children: ReactNode;
  onRemove: () => void;
}) {
  return (
    <span className="chip">
      <span className="chip-name">{name}</span>
      <span className="truncate">{children}</span>
      <button type="button" aria-label={`Remove the filter ${name}`} onClick={onRemove}>
        <CloseIcon />
      </button>
    </span>
  );
}
