// A session by `node(id:)`, its messages page by page, and the messages that arrive while it is open.

import { useMemo } from "react";
import { graphql, useLazyLoadQuery, usePaginationFragment, useSubscription } from "react-relay";
import type { GraphQLSubscriptionConfig } from "relay-runtime";

import type { SessionPage_session$key } from "./__generated__/SessionPage_session.graphql.ts";
import type { SessionPagePaginationQuery } from "./__generated__/SessionPagePaginationQuery.graphql.ts";
import type { SessionPageQuery } from "./__generated__/SessionPageQuery.graphql.ts";
import type { SessionPageSubscription } from "./__generated__/SessionPageSubscription.graphql.ts";
import { MessageRow } from "./MessageRow.tsx";

/** `id` is the part after `Session:`, as in the published client's paths. */
export default function SessionPage({ id }: { id: string }) {
  const { node } = useLazyLoadQuery<SessionPageQuery>(
    graphql`
      query SessionPageQuery($id: ID!) {
        node(id: $id) {
          id
          ... on Session @alias(as: "session") {
            name
            ...SessionPage_session
          }
        }
      }
    `,
    { id: `Session:${id}` },
  );
  return node?.session ? (
    <>
      <h1>{node.session.name}</h1>
      <Messages sessionId={id} session={node.session} />
    </>
  ) : (
    <p data-node>{String(node)}</p>
  );
}

function Messages({ sessionId, session }: { sessionId: string; session: SessionPage_session$key }) {
  const { data, hasNext, isLoadingNext, loadNext } = usePaginationFragment<
    SessionPagePaginationQuery,
    SessionPage_session$key
  >(
    graphql`
      fragment SessionPage_session on Session
      @argumentDefinitions(
        first: { type: "Int", defaultValue: 20 }
        after: { type: "String" }
        filter: {
          type: "MessageFilter"
          defaultValue: {
            _or: [
              { toolName: { _isNull: true } }
              {
                toolName: {
                  _notIn: ["hook_result", "mcp_tool_result", "exposed_tool_result", "sentiment_analysis"]
                }
              }
            ]
          }
        }
      )
      @refetchable(queryName: "SessionPagePaginationQuery") {
        messageCount
        messages(first: $first, after: $after, filter: $filter) @connection(key: "SessionPage_messages") {
          __id
          edges {
            cursor
            node {
              id
              ...MessageRow_message
            }
          }
          totalCount
        }
      }
    `,
    session,
  );
  const connection = data.messages.__id;
  useSubscription(
    useMemo<GraphQLSubscriptionConfig<SessionPageSubscription>>(
      () => ({
        subscription: graphql`
          subscription SessionPageSubscription($sessionId: ID!, $connections: [ID!]!) {
            sessionMessageAdded(sessionId: $sessionId) {
              sessionId
              messageIndex
              newMessageEdge @prependEdge(connections: $connections) {
                cursor
                node {
                  id
                  ...MessageRow_message
                }
              }
            }
          }
        `,
        variables: { sessionId, connections: [connection] },
      }),
      [sessionId, connection],
    ),
  );
  return (
    <>
      <p data-total={data.messages.totalCount} data-has-next={hasNext}>
        {data.messageCount} messages
      </p>
      {data.messages.edges.map(({ node }) => (
        <MessageRow key={node.id} message={node} />
      ))}
      {hasNext && (
        <button type="button" data-more disabled={isLoadingNext} onClick={() => loadNext(200)}>
          more
        </button>
      )}
    </>
  );
}
