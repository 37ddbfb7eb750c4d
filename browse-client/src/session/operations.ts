// The operations of the conversation. Their responses do not go into Relay's store: the page holds a bounded number of
// messages itself (window.ts), and the store would keep every message that ever arrived.

import { graphql } from "react-relay";
import type { GraphQLTaggedNode, IEnvironment, Variables } from "relay-runtime";
import { getRequest } from "relay-runtime";
import { codeOf, type GraphQLError, RequestError, requestError } from "../app/errors.ts";
import type { operationsNestingQuery$rawResponse } from "./__generated__/operationsNestingQuery.graphql.ts";
import type { operationsPageQuery$rawResponse } from "./__generated__/operationsPageQuery.graphql.ts";
import type { Entry, Page } from "./window.ts";

/** The code of an error that says that a response, or the lines that it needs, are too large. */
const TOO_LARGE = "LIMIT_EXCEEDED";

/** A page of messages: after a cursor, before one, around a message, or at one end. */
export const pageQuery = graphql`
  query operationsPageQuery(
    $id: String!
    $first: Int
    $after: String
    $last: Int
    $before: String
    $around: ID
    $agentId: String
  ) @raw_response_type {
    session(id: $id) {
      id
      messages(
        first: $first
        after: $after
        last: $last
        before: $before
        around: $around
        agentId: $agentId
      ) {
        totalCount
        pageInfo {
          hasNextPage
          hasPreviousPage
        }
        edges {
          cursor
          messageIndex
          node {
            ...MessageItem_message @relay(mask: false)
          }
        }
      }
    }
  }
`;

export const messagesSubscription = graphql`
  subscription operationsMessagesSubscription($id: ID!) @raw_response_type {
    sessionMessageAdded(sessionId: $id) {
      messageIndex
      newMessageEdge {
        cursor
        node {
          ...MessageItem_message @relay(mask: false)
        }
      }
    }
  }
`;

export const outlineQuery = graphql`
  query operationsOutlineQuery($id: String!, $first: Int!, $after: String) @raw_response_type {
    session(id: $id) {
      id
      outline(first: $first, after: $after) {
        hasNextPage
        endCursor
        entries {
          kind
          messageId
          messageIndex
          timestamp
          inputTokens
          outputTokens
          cacheReadTokens
          cacheCreationTokens
          costUsd
          unpricedTokens
          unpricedAnswers
          message {
            __typename
            id
            searchText
            ... on CommandUserMessage {
              commandName
            }
          }
        }
      }
    }
  }
`;

/** What a message is nested in: the calls of its results, or its subagent. */
export const nestingQuery = graphql`
  query operationsNestingQuery($id: String!) @raw_response_type {
    message(id: $id) {
      __typename
      id
      agentId
      ... on UserMessage {
        contentBlocks {
          __typename
          ... on ToolResultBlock {
            toolCallId
          }
        }
      }
    }
  }
`;

export const findQuery = graphql`
  query operationsFindQuery($id: String!, $query: String!) @raw_response_type {
    session(id: $id) {
      id
      searchMessages(query: $query, limit: 200) {
        messageId
        messageIndex
        matchContext
      }
    }
  }
`;

type Connection = NonNullable<NonNullable<operationsPageQuery$rawResponse["session"]>["messages"]>;

/** Without the alternative that Relay adds for types of a newer schema, which would hide the fields of all others. */
type Known<T> = T extends { readonly __typename: infer Name }
  ? string extends Name
    ? never
    : {
        readonly [Field in keyof T]: T[Field] extends readonly (infer Item)[]
          ? Item extends { readonly __typename: string }
            ? readonly Known<Item>[]
            : T[Field]
          : T[Field];
      }
  : never;

/** A message as the list shows it. */
export type Message = Known<Connection["edges"][number]["node"]>;

/** Runs a query without keeping its response in the store. */
export async function ask<Response>(
  environment: IEnvironment,
  query: GraphQLTaggedNode,
  variables: Variables,
): Promise<Response> {
  const network = environment.getNetwork();
  const response = await network.execute(getRequest(query).params, variables, { force: true }).toPromise();
  const { data, errors } = response as { data?: unknown; errors?: GraphQLError[] };
  // What is missing was left out because of its size, and must not look like a result that has not arrived.
  if (codeOf(errors) === TOO_LARGE) throw requestError(errors ?? [], 200, null);
  return data as Response;
}

/** The call that shows a message: the key of its part, and the subagent that has the message in its thread. */
export type Nesting = { message: string; part: string; agentId: string | null };

/** The loaded call that shows a message: that of a result, or the tool use that started a subagent; null if none does. */
export async function shownBy(
  environment: IEnvironment,
  id: string,
  entries: readonly Entry<Message>[],
): Promise<Nesting | null> {
  // Runs of hooks, and calls that are messages, name the message of their result.
  for (const { message: other } of entries) {
    if (resultOf(other) === id) return { message: other.id, part: other.id, agentId: null };
  }
  const { message } = await ask<operationsNestingQuery$rawResponse>(environment, nestingQuery, { id });
  if (!message) return null;
  const calls = new Set<string>();
  if ("contentBlocks" in message) {
    for (const block of message.contentBlocks) if ("toolCallId" in block) calls.add(block.toolCallId);
  }
  for (const { message: other } of entries) {
    if (other.__typename !== "AssistantMessage") continue;
    for (const [at, block] of other.contentBlocks.entries()) {
      if (block.__typename !== "ToolUseBlock") continue;
      const part = `${other.id}/${at}`;
      if (calls.has(block.toolCallId)) return { message: other.id, part, agentId: null };
      if (message.agentId != null && block.startedAgent === message.agentId)
        return { message: other.id, part, agentId: message.agentId };
    }
  }
  return null;
}

/** The message of the result that is nested in a run or call. */
function resultOf(message: Message): string | undefined {
  switch (message.__typename) {
    case "HookRunMessage":
      return message.hookResult?.id;
    case "McpToolCallMessage":
      return message.mcpResult?.id;
    case "ExposedToolCallMessage":
      return message.exposedResult?.id;
    default:
      return undefined;
  }
}

export type Place =
  | { first: number; after?: string }
  | { last: number; before?: string }
  | { first: number; around: string };

/** The same place with half as many messages; null if that would be none. */
function halved(place: Place): Place | null {
  if ("last" in place) return place.last > 1 ? { ...place, last: Math.floor(place.last / 2) } : null;
  return place.first > 1 ? { ...place, first: Math.floor(place.first / 2) } : null;
}

/**
 * A page of a session, or of one of its subagents, oldest first; null if there is no such session. It is shorter if its
 * lines and their results, such as pictures, exceed what the server reads for one response.
 */
export async function askPage(
  environment: IEnvironment,
  session: string,
  place: Place,
  agentId?: string,
): Promise<Page<Message> | null> {
  const variables = { id: session, agentId: agentId ?? null, ...place };
  let response: operationsPageQuery$rawResponse;
  try {
    response = await ask<operationsPageQuery$rawResponse>(environment, pageQuery, variables);
  } catch (error) {
    const smaller = halved(place);
    if (smaller && error instanceof RequestError && error.code === TOO_LARGE) {
      return askPage(environment, session, smaller, agentId);
    }
    throw error;
  }
  const { session: found } = response;
  if (!found) return null;
  const { edges, pageInfo, totalCount } = found.messages;
  const entries = edges.map(({ cursor, messageIndex, node }) => ({
    id: node.id,
    cursor,
    index: messageIndex ?? null,
    message: node as Message,
  }));
  return {
    entries: entries.reverse(),
    hasOlder: pageInfo.hasNextPage,
    hasNewer: pageInfo.hasPreviousPage,
    total: totalCount,
  };
}
