// What the rows of a conversation share.

import { createContext, use } from "react";

import type { Group } from "./items.ts";

export type ConversationContextValue = {
  session: string;
  /** The directory that the session worked in: paths in it are shown without it. */
  folder: string;
  /** Whether a row is open. */
  isOpen: (key: string) => boolean;
  toggle: (key: string) => void;
  toggleGroup: (group: Group) => void;
  selected: string | null;
  select: (key: string, message: string) => void;
  /** The line of a subagent that the URL names, which its thread shows. */
  wanted: { agentId: string; message: string } | null;
  /** Grows when something in the session changed: an open subagent fetches its end again. */
  revision: number;
};

export const ConversationContext = createContext<ConversationContextValue | null>(null);

export function useConversationContext(): ConversationContextValue {
  const value = use(ConversationContext);
  if (!value) throw new Error("a row is outside of a conversation");
  return value;
}
