// Which addresses of a transcript may become links.

/** The address if it is absolute and has a harmless scheme. Relative ones would lead into the dashboard. */
export function safeUrl(text: string | undefined): string | null {
  if (!text) return null;
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
