// The list of sessions, and the sessions that begin while it is open.

import { useMemo } from "react";
import { graphql, useLazyLoadQuery, usePaginationFragment, useSubscription } from "react-relay";
import type { GraphQLSubscriptionConfig } from "relay-runtime";

import type { Sessions_query$key } from "./__generated__/Sessions_query.graphql.ts";
import type { SessionsPaginationQuery } from "./__generated__/SessionsPaginationQuery.graphql.ts";
import type { SessionsQuery } from "./__generated__/SessionsQuery.graphql.ts";
import type { SessionsSubscription } from "./__generated__/SessionsSubscription.graphql.ts";
import { SessionRow } from "./SessionRow.tsx";

/** `projectId` is a project's id, a repository's id, or `""` for all. */
export default function Sessions({ projectId }: { projectId: string }) {
  const query = useLazyLoadQuery<SessionsQuery>(
    graphql`
      query SessionsQuery {
        ...Sessions_query
      }
    `,
    {},
  );
  const { data, hasNext, loadNext } = usePaginationFragment<SessionsPaginationQuery, Sessions_query$key>(
    graphql`
      fragment Sessions_query on Query
      @argumentDefinitions(
        first: { type: "Int", defaultValue: 50 }
        after: { type: "String" }
        filter: { type: "SessionFilter" }
      )
      @refetchable(queryName: "SessionsPaginationQuery") {
        sessions(first: $first, after: $after, filter: $filter) @connection(key: "Sessions_sessions") {
          __id
          edges {
            node {
              id
              ...SessionRow_session
            }
          }
          totalCount
        }
      }
    `,
    query,
  );
  const connection = data.sessions.__id;
  useSubscription(
    useMemo<GraphQLSubscriptionConfig<SessionsSubscription>>(
      () => ({
        subscription: graphql`
          subscription SessionsSubscription($projectId: ID, $connections: [ID!]!) {
            sessionAdded(projectId: $projectId) {
              sessionId
              projectId
              newSessionEdge @prependEdge(connections: $connections) {
                cursor
                node {
                  id
                  ...SessionRow_session
                }
              }
            }
          }
        `,
        variables: { projectId, connections: [connection] },
      }),
      [projectId, connection],
    ),
  );
  return (
    <>
      {data.sessions.edges.map(({ node }) => (
        <SessionRow key={node.id} session={node} />
      ))}
      {hasNext && (
        <button type="button" onClick={() => loadNext(50)}>
          more
        </button>
      )}
    </>
  );
}
