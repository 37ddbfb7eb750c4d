// A command to run in a terminal, with a button that copies it.

import { useState } from "react";

import { Button } from "../ui/Button.tsx";
import { CheckIcon, CopyIcon } from "../ui/icons.tsx";

export function Command({ text }: { text: string }) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
    } catch {
      // Browsers offer the clipboard to pages on https and localhost only.
      setState("failed");
    }
  };
  return (
    <span className="command">
      <code>{text}</code>
      <Button look="quiet" small aria-label="Copy the command" onPress={() => void copy()}>
        {state === "copied" ? <CheckIcon /> : <CopyIcon />}
      </Button>
      <span className="visually-hidden" role="status">
        {state === "copied" && "Copied"}
        {state === "failed" && "The browser does not allow copying here. Select the text instead."}
      </span>
    </span>
  );
}
