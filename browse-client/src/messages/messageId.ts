// The ids of messages, `Message:<session>~<transcript>~<uuid>` (docs/CLIENTS.md).

/** The raw id of a message's session. */
export function sessionOf(message: string): string | null {
  const [, session] = /^Message:([^~]+)~/.exec(message) ?? [];
  return session ? decodeURIComponent(session) : null;
}

/** The path of a message's link. */
export function messagePath(message: string): string {
  return `/messages/${encodeURIComponent(message.replace(/^Message:/, ""))}`;
}
