// Any object by `node(id:)`.

import { graphql, useLazyLoadQuery } from "react-relay";

import type { NodePageQuery } from "./__generated__/NodePageQuery.graphql.ts";

export default function NodePage({ id }: { id: string }) {
  const { node } = useLazyLoadQuery<NodePageQuery>(
    graphql`
      query NodePageQuery($id: ID!) {
        node(id: $id) {
          __typename
          id
        }
      }
    `,
    { id },
  );
  return <p data-node>{node ? `${node.__typename} ${node.id}` : String(node)}</p>;
}
