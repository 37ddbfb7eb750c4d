// Nullable fields that fail: one at the root, one inside an object. The others must still arrive.

import { graphql, useLazyLoadQuery } from "react-relay";

import type { PartialAloneQuery } from "./__generated__/PartialAloneQuery.graphql.ts";
import type { PartialQuery } from "./__generated__/PartialQuery.graphql.ts";

export default function Partial({ id }: { id: string }) {
  const data = useLazyLoadQuery<PartialQuery>(
    graphql`
      query PartialQuery($id: ID!) {
        activity(days: 0) {
          totalMessages
        }
        node(id: $id) {
          id
          ... on Session {
            sessionId
            searchMessages(query: "?", limit: 20) {
              messageId
            }
          }
        }
      }
    `,
    { id: `Session:${id}` },
  );
  const alone = useLazyLoadQuery<PartialAloneQuery>(
    graphql`
      query PartialAloneQuery {
        activity(days: 0) {
          totalMessages
        }
      }
    `,
    {},
  );
  return (
    <dl>
      <dd data-root>{String(data.activity)}</dd>
      <dd data-nested>{String(data.node?.searchMessages)}</dd>
      <dd data-beside>{data.node?.sessionId}</dd>
      <dd data-alone>{String(alone.activity)}</dd>
    </dl>
  );
}
