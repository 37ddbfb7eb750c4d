// The connection to the server that served this page: queries and mutations by POST, subscriptions on one socket. The
// browser's cookie is the only credential.

import { type Client, CloseCode, createClient } from "graphql-ws";
import {
  Environment,
  type FetchFunction,
  type GraphQLResponse,
  Network,
  Observable,
  RecordSource,
  Store,
  type SubscribeFunction,
} from "relay-runtime";

import { connectionEvents, connectionState } from "./connection.ts";
import { codeOf, RequestError, requestError } from "./errors.ts";

const PATH = "/graphql";

/** How long the socket may be silent before it is checked, and how long the server may take to answer that check. */
const KEEP_ALIVE_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;

/** The code with which this page closes the socket after its last subscription (RFC 6455, section 7.4.1). */
const NORMAL_CLOSURE = 1000;

/** The longest pause between two attempts to connect. */
const MAX_PAUSE_MS = 10_000;

const fetchOperation: FetchFunction = async (request, variables) => {
  let response: Response;
  try {
    response = await fetch(PATH, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query: request.text, variables }),
    });
  } catch {
    throw new RequestError("The server cannot be reached.", 0, null, null);
  }
  const requestId = response.headers.get("x-request-id");
  if (response.status === 401) connectionEvents.ended();
  const body = await response.json().catch(() => null);
  if (body?.data === undefined || body.data === null) {
    if (Array.isArray(body?.errors)) throw requestError(body.errors, response.status, requestId);
    const detail = body?.detail ?? body?.title ?? `The server answered ${response.status}.`;
    throw new RequestError(String(detail), response.status, null, requestId);
  }
  return body as GraphQLResponse;
};

/** Resolves after a pause that grows with the attempts, or at once when the browser is online again. */
function pause(attempt: number): Promise<void> {
  const longest = Math.min(MAX_PAUSE_MS, 500 * 2 ** attempt);
  // Not all clients of a restarted server at the same moment.
  const duration = longest / 2 + Math.random() * (longest / 2);
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, duration);
    window.addEventListener("online", done);
  });
}

function openSocket(): Client {
  /** Whether any socket was accepted, and whether the current one was. */
  let acceptedBefore = false;
  let accepted = false;
  let socket: WebSocket | undefined;
  let unanswered: ReturnType<typeof setTimeout> | undefined;
  return createClient({
    url: location.origin.replace(/^http/, "ws") + PATH,
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    retryWait: pause,
    keepAlive: KEEP_ALIVE_MS,
    on: {
      opened: (opened) => {
        socket = opened as WebSocket;
        accepted = false;
      },
      connected: () => {
        connectionEvents.opened(acceptedBefore);
        acceptedBefore = true;
        accepted = true;
      },
      ping: (received) => {
        if (received) return;
        unanswered = setTimeout(() => socket?.close(4408, "no pong"), PONG_TIMEOUT_MS);
      },
      pong: (received) => {
        if (received) clearTimeout(unanswered);
      },
      closed: (event) => {
        clearTimeout(unanswered);
        const { code } = event as CloseEvent;
        if (code === NORMAL_CLOSURE) return connectionEvents.closed();
        // An accepted socket is closed as forbidden when the membership changed: the next one has the new rights.
        const refused = code === CloseCode.Forbidden && !accepted;
        if (code === CloseCode.Unauthorized || refused) connectionEvents.ended();
        else connectionEvents.lost();
      },
    },
  });
}

function subscribeWith(socket: Client): SubscribeFunction {
  return (request, variables) =>
    Observable.create<GraphQLResponse>((sink) => {
      let stop = () => {};
      let stopped = false;
      // A subscription that fell behind ends with RESYNC: fetch again what is shown, and subscribe again.
      const start = () => {
        stop = socket.subscribe(
          { query: request.text ?? "", variables },
          {
            next: (result) => {
              if (codeOf(result.errors) !== "RESYNC") sink.next(result as GraphQLResponse);
            },
            error: (error) => {
              if (codeOf(error) === "RESYNC") {
                start();
                connectionEvents.missed();
              } else if (Array.isArray(error)) {
                sink.error(requestError(error, 200, null));
              } else if (connectionState() === "ended") {
                sink.error(new RequestError("The sign-in has ended.", 401, null, null));
              } else {
                // graphql-ws gives up after some close codes, such as that for a client that was suspended.
                void pause(0).then(() => {
                  if (!stopped) start();
                });
              }
            },
            complete: () => sink.complete(),
          },
        );
      };
      start();
      return () => {
        stopped = true;
        stop();
      };
    });
}

export function createEnvironment(): Environment {
  // The socket may have survived the break, but requests did not.
  window.addEventListener("online", () => connectionEvents.missed());
  return new Environment({
    network: Network.create(fetchOperation, subscribeWith(openSocket())),
    store: new Store(new RecordSource(), { gcReleaseBufferSize: 20 }),
  });
}
