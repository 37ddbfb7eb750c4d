// Where a message's link leads. The path has only the part of the id after `Message:`.

import { graphql, useLazyLoadQuery } from "react-relay";

import type { MessagePageQuery } from "./__generated__/MessagePageQuery.graphql.ts";
import { MessageRow } from "./MessageRow.tsx";

export default function MessagePage({ id }: { id: string }) {
  const { message } = useLazyLoadQuery<MessagePageQuery>(
    graphql`
      query MessagePageQuery($id: String!) {
        message(id: $id) {
          uuid
          timestamp
          ...MessageRow_message
        }
      }
    `,
    { id },
  );
  return message ? <MessageRow message={message} /> : <p data-node>{String(message)}</p>;
}
