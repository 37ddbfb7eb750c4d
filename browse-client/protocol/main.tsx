// A page that speaks the protocol of the published client (docs/CLIENTS.md) and shows what it received as plain text.
// It exists for the tests in e2e/ only. The operations have the shapes of the published client's.

import "./style.css";

import { Component, lazy, type ReactNode, StrictMode, Suspense, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { RelayEnvironmentProvider } from "react-relay";

import { createEnvironment, openSocket } from "./environment.ts";
import { Updates } from "./Updates.tsx";

const Figures = lazy(() => import("./Figures.tsx"));
const FiguresUnscoped = lazy(() => import("./FiguresUnscoped.tsx"));
const Sessions = lazy(() => import("./Sessions.tsx"));
const SessionPage = lazy(() => import("./SessionPage.tsx"));
const MessagePage = lazy(() => import("./MessagePage.tsx"));
const NodePage = lazy(() => import("./NodePage.tsx"));
const Partial = lazy(() => import("./Partial.tsx"));

function Route() {
  const [first = "", id = "", rest] = location.pathname.slice(1).split("/").map(decodeURIComponent);
  switch (first) {
    case "":
      return <Figures repoId="" />;
    case "unscoped":
      return <FiguresUnscoped />;
    case "repos":
      return rest === "sessions" ? <Sessions projectId={id} /> : <Figures repoId={id} />;
    case "sessions":
      return id ? <SessionPage id={id} /> : <Sessions projectId="" />;
    case "messages":
      return <MessagePage id={id} />;
    case "nodes":
      return <NodePage id={id} />;
    case "partial":
      return <Partial id={id} />;
    default:
      return <p>no such page</p>;
  }
}

/** Shows what a page threw, as `role="alert"`. */
class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    return this.state.error ? <p role="alert">{this.state.error.message}</p> : this.props.children;
  }
}

let reconnected = () => {};
const socket = openSocket(() => reconnected());

/**
 * Renders nothing until the server is healthy. After a reconnect it discards the store and mounts the page again, as
 * the published client does: that is how it catches up.
 */
function Gate() {
  const [healthy, setHealthy] = useState(false);
  const [connection, setConnection] = useState({ number: 1, environment: createEnvironment(socket) });
  useEffect(() => {
    reconnected = () =>
      setConnection(({ number }) => ({ number: number + 1, environment: createEnvironment(socket) }));
    fetch("/health").then((response) => setHealthy(response.ok));
  }, []);
  return healthy ? (
    <RelayEnvironmentProvider environment={connection.environment} key={connection.number}>
      <div data-connection={connection.number}>
        <Updates />
        <Boundary>
          <Suspense fallback={<p>loading</p>}>
            <Route />
          </Suspense>
        </Boundary>
      </div>
    </RelayEnvironmentProvider>
  ) : null;
}

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Gate />
    </StrictMode>,
  );
}
