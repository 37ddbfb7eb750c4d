// Where a message's link leads: to its session, with the message selected (`?message=`).

import { graphql, useLazyLoadQuery } from "react-relay";
import { Link, Navigate, useParams } from "react-router";

import { useFetchKey } from "../app/ErrorBoundary.tsx";
import { Empty } from "../ui/Empty.tsx";
import type { MessageLinkQuery } from "./__generated__/MessageLinkQuery.graphql.ts";
import { sessionOf } from "./messageId.ts";

/** The path has the part of the id after `Message:`. */
export default function MessageLink() {
  const { id = "" } = useParams();
  const { message } = useLazyLoadQuery<MessageLinkQuery>(
    graphql`
      query MessageLinkQuery($id: String!) {
        message(id: $id) {
          id
        }
      }
    `,
    { id },
    { fetchKey: useFetchKey() },
  );
  const session = message && sessionOf(message.id);
  if (!message || !session) {
    return (
      <Empty title="There is no such message">
        <p>
          It may have been deleted with its session, or it belongs to another team.{" "}
          <Link to="/sessions">All sessions</Link>
        </p>
      </Empty>
    );
  }
  const params = new URLSearchParams({ message: message.id });
  return (
    <Navigate to={{ pathname: `/sessions/${encodeURIComponent(session)}`, search: `?${params}` }} replace />
  );
}
