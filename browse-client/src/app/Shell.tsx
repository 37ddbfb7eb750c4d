// What surrounds every page: the top bar and the navigation.

import { Suspense, useRef } from "react";
import { NavLink, Outlet, useLocation, useNavigate } from "react-router";
import { SignInAgain } from "../ui/ErrorState.tsx";
import { SearchIcon, SessionsIcon } from "../ui/icons.tsx";
import { ConnectionState, StaleNotice } from "./ConnectionState.tsx";
import { useConnection } from "./connection.ts";
import { ErrorBoundary } from "./ErrorBoundary.tsx";
import { KeyHelp } from "./KeyHelp.tsx";
import { type Shortcut, useShortcuts } from "./keyboard.ts";
import { LiveUpdates } from "./live.tsx";
import { SearchField, type SearchFieldHandle } from "./SearchField.tsx";
import { UserMenu } from "./UserMenu.tsx";

export function Shell() {
  const { pathname } = useLocation();
  const navigate = useNavigate();
  const search = useRef<SearchFieldHandle>(null);
  const { state } = useConnection();
  const shortcuts: Shortcut[] = [
    { keys: "/", label: "Search", group: "Everywhere", run: () => search.current?.focus() },
    { keys: "g s", label: "Go to Sessions", group: "Everywhere", run: () => navigate("/sessions") },
    { keys: "g f", label: "Go to Search", group: "Everywhere", run: () => navigate("/search") },
  ];
  useShortcuts(shortcuts);
  return (
    <div className="shell">
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <header className="top">
        <NavLink to="/sessions" className="brand">
          Han Teams
        </NavLink>
        <SearchField ref={search} />
        <div className="top-end">
          <ConnectionState />
          <KeyHelp />
          <UserMenu />
        </div>
      </header>
      <nav className="nav" aria-label="Pages">
        <NavLink to="/sessions">
          <SessionsIcon />
          <span>Sessions</span>
        </NavLink>
        <NavLink to="/search">
          <SearchIcon />
          <span>Search</span>
        </NavLink>
      </nav>
      <main id="page" className="page" tabIndex={-1}>
        <ErrorBoundary key={pathname} what="This page">
          {state === "ended" ? (
            <SignInAgain />
          ) : (
            <Suspense fallback={null}>
              <Outlet />
            </Suspense>
          )}
        </ErrorBoundary>
      </main>
      <StaleNotice />
      {/* Outside of the pages, so that the socket stays open between them. */}
      <LiveUpdates />
    </div>
  );
}
