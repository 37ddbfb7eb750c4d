// The routes.

import { Navigate, Route, Routes } from "react-router";

import { NotFound } from "./NotFound.tsx";
import { MessageLink, SearchPage, SessionPage, SessionsPage } from "./pages.ts";
import { Shell } from "./Shell.tsx";

export function App() {
  return (
    <Routes>
      <Route element={<Shell />}>
        <Route index element={<Navigate to="/sessions" replace />} />
        <Route path="sessions" element={<SessionsPage />} />
        <Route path="sessions/:id" element={<SessionPage />} />
        <Route path="search" element={<SearchPage />} />
        <Route path="messages/:id" element={<MessageLink />} />
        <Route path="*" element={<NotFound />} />
      </Route>
    </Routes>
  );
}
