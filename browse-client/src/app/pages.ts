// The pages, each a script of its own. The first one is loaded with the application, the others shortly after it.

import { loadSoon, part } from "./part.ts";

const sessions = () => import("../sessions/SessionsPage.tsx");
const session = () => import("../session/SessionPage.tsx");
const search = () => import("../search/SearchPage.tsx");
const message = () => import("../messages/MessageLink.tsx");

export const SessionsPage = part(sessions);
export const SessionPage = part(session);
export const SearchPage = part(search);
export const MessageLink = part(message);

export function loadOtherPages(): void {
  loadSoon([sessions, session, search, message]);
}
