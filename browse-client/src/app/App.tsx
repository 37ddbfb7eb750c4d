// The routes. Pages that are not needed at first are loaded when they are opened.

import { lazy } from "react";
import { Navigate, Route, Routes } from "react-router";

import { NotFound } from "./NotFound.tsx";
import { Shell } from "./Shell.tsx";

const SessionsPage = lazy(() => import("../sessions/SessionsPage.tsx"));
const SessionPage = lazy(() => import("../session/SessionPage.tsx"));
const SearchPage = lazy(() => import("../search/SearchPage.tsx"));
const MessageLink = lazy(() => import("../messages/MessageLink.tsx"));

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
