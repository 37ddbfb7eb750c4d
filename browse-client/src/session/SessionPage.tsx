// One session: its header.

import { graphql, useLazyLoadQuery } from "react-relay";
import { useParams } from "react-router";

import { useFetchKey } from "../app/ErrorBoundary.tsx";
import { useTitle } from "../app/title.ts";
import { Empty } from "../ui/Empty.tsx";
import type { SessionPageQuery } from "./__generated__/SessionPageQuery.graphql.ts";

export default function SessionPage() {
  const { id = "" } = useParams();
  const { session } = useLazyLoadQuery<SessionPageQuery>(
    graphql`
      query SessionPageQuery($id: String!) {
        session(id: $id) {
          id
          name
          projectName
          gitBranch
          messageCount
        }
      }
    `,
    { id },
    { fetchKey: useFetchKey(), fetchPolicy: "store-and-network" },
  );
  useTitle(session?.name ?? null);
  if (!session) {
    return (
      <Empty title="There is no such session">
        <p>It may have been deleted, or it belongs to another team.</p>
      </Empty>
    );
  }
  return (
    <header>
      <h1>{session.name}</h1>
      <p>
        {session.projectName} {session.gitBranch}
      </p>
    </header>
  );
}
