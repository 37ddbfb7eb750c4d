// One session of the list.

import { graphql, useFragment } from "react-relay";

import type { SessionRow_session$key } from "./__generated__/SessionRow_session.graphql.ts";

export function SessionRow({ session }: { session: SessionRow_session$key }) {
  const data = useFragment(
    graphql`
      fragment SessionRow_session on Session {
        id
        sessionId
        name
        messageCount
        projectName
        updatedAt
      }
    `,
    session,
  );
  return (
    <article data-session={data.sessionId}>
      <a href={`/sessions/${encodeURIComponent(data.sessionId)}`}>{data.name}</a> {data.projectName}{" "}
      <span data-count>{data.messageCount}</span>
    </article>
  );
}
