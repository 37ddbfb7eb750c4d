// One message: its link, its calls with their results, and a button that fetches it again by `node(id:)`.

import { graphql, useRefetchableFragment } from "react-relay";

import type { MessageRow_message$key } from "./__generated__/MessageRow_message.graphql.ts";
import type { MessageRowRefetchQuery } from "./__generated__/MessageRowRefetchQuery.graphql.ts";

export function MessageRow({ message }: { message: MessageRow_message$key }) {
  const [data, refetch] = useRefetchableFragment<MessageRowRefetchQuery, MessageRow_message$key>(
    graphql`
      fragment MessageRow_message on Message @refetchable(queryName: "MessageRowRefetchQuery") {
        __typename
        id
        uuid
        timestamp
        searchText
        ... on AssistantMessage {
          contentBlocks {
            __typename
            ... on ToolUseBlock {
              toolCallId
              name
              result {
                content
                isError
              }
            }
          }
        }
        ... on McpToolCallMessage {
          callId
          mcpResult: result {
            success
          }
        }
        ... on ExposedToolCallMessage {
          callId
          exposedResult: result {
            success
          }
        }
        ... on HookRunMessage {
          hookRunId
          hookResult: result {
            success
          }
        }
      }
    `,
    message,
  );
  // The published client cuts its links this way: what is after a second colon is lost.
  const link = data.id.split(":", 2)[1] ?? "";
  return (
    <article data-message={data.id} data-type={data.__typename}>
      <a href={`/messages/${encodeURIComponent(link)}`}>{data.__typename}</a>{" "}
      <button type="button" onClick={() => refetch({}, { fetchPolicy: "network-only" })}>
        again
      </button>
      <p>{data.searchText}</p>
      {data.contentBlocks?.map(
        (block) =>
          block.__typename === "ToolUseBlock" && (
            <Call key={block.toolCallId} id={block.toolCallId} result={block.result?.content} />
          ),
      )}
      {data.__typename === "McpToolCallMessage" && <Call id={data.callId} result={data.mcpResult?.success} />}
      {data.__typename === "ExposedToolCallMessage" && (
        <Call id={data.callId} result={data.exposedResult?.success} />
      )}
      {data.__typename === "HookRunMessage" && <Call id={data.hookRunId} result={data.hookResult?.success} />}
    </article>
  );
}

/** A call and its result: `pending` while there is none. */
function Call({
  id,
  result,
}: {
  id: string | null | undefined;
  result: string | boolean | null | undefined;
}) {
  return (
    <output data-call={id}>{result === null || result === undefined ? "pending" : String(result)}</output>
  );
}
