// The network of the published client: queries by POST with its Accept header, subscriptions over graphql-ws. The
// browser's cookie is the only credential: there is no Authorization header and no connection_init payload.

import { type Client, createClient } from "graphql-ws";
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

const PATH = "/graphql";

/** The client asks for incremental delivery (`@defer`) and accepts plain JSON. */
const ACCEPT = "multipart/mixed;deferSpec=20220824,application/json";

const fetchOperation: FetchFunction = async (request, variables) => {
  const response = await fetch(PATH, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: ACCEPT },
    body: JSON.stringify({ query: request.text, variables }),
  });
  return (await response.json()) as GraphQLResponse;
};

/**
 * Opens the socket of all subscriptions. `reconnected` runs when a later connection is accepted: events between the
 * connections are lost, so what is shown must be fetched again.
 */
export function openSocket(reconnected: () => void): Client {
  return createClient({
    url: location.origin.replace(/^http/, "ws") + PATH,
    retryAttempts: 5,
    shouldRetry: () => true,
    // A pong follows everything that was subscribed to before its ping, so the tests know when to push.
    keepAlive: 250,
    on: { connected: (_socket, _payload, wasRetry) => wasRetry && reconnected() },
  });
}

export function createEnvironment(socket: Client): Environment {
  const subscribe: SubscribeFunction = (request, variables) =>
    Observable.create<GraphQLResponse>((sink) =>
      socket.subscribe(
        { query: request.text ?? "", variables },
        {
          next: (result) => sink.next(result as GraphQLResponse),
          error: (error) => sink.error(error instanceof Error ? error : new Error(JSON.stringify(error))),
          complete: () => sink.complete(),
        },
      ),
    );
  return new Environment({
    network: Network.create(fetchOperation, subscribe),
    store: new Store(new RecordSource()),
  });
}
