/**
 * @generated SignedSource<<e8e4f8053e99aee2d8f5bb1a587ec46b>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type MessageRow_message$data = {
  readonly __typename: string;
  readonly callId?: string | null | undefined;
  readonly contentBlocks?: ReadonlyArray<{
    readonly __typename: "ToolUseBlock";
    readonly name: string;
    readonly result: {
      readonly content: string;
      readonly isError: boolean;
    } | null | undefined;
    readonly toolCallId: string;
  } | {
    // This will never be '%other', but we need some
    // value in case none of the concrete values match.
    readonly __typename: "%other";
  }>;
  readonly exposedResult?: {
    readonly success: boolean | null | undefined;
  } | null | undefined;
  readonly hookResult?: {
    readonly success: boolean | null | undefined;
  } | null | undefined;
  readonly hookRunId?: string | null | undefined;
  readonly id: string;
  readonly mcpResult?: {
    readonly success: boolean | null | undefined;
  } | null | undefined;
  readonly searchText: string | null | undefined;
  readonly timestamp: string;
  readonly uuid: string;
  readonly " $fragmentType": "MessageRow_message";
};
export type MessageRow_message$key = {
  readonly " $data"?: MessageRow_message$data;
  readonly " $fragmentSpreads": FragmentRefs<"MessageRow_message">;
};

import MessageRowRefetchQuery_graphql from './MessageRowRefetchQuery.graphql';

const node: ReaderFragment = (function(){
var v0 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "__typename",
  "storageKey": null
},
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "callId",
  "storageKey": null
},
v2 = [
  {
    "alias": null,
    "args": null,
    "kind": "ScalarField",
    "name": "success",
    "storageKey": null
  }
];
return {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": {
    "refetch": {
      "connection": null,
      "fragmentPathInResult": [
        "node"
      ],
      "operation": MessageRowRefetchQuery_graphql,
      "identifierInfo": {
        "identifierField": "id",
        "identifierQueryVariableName": "id"
      }
    }
  },
  "name": "MessageRow_message",
  "selections": [
    (v0/*:: as any*/),
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "id",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "uuid",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "timestamp",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "searchText",
      "storageKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "concreteType": null,
          "kind": "LinkedField",
          "name": "contentBlocks",
          "plural": true,
          "selections": [
            (v0/*:: as any*/),
            {
              "kind": "InlineFragment",
              "selections": [
                {
                  "alias": null,
                  "args": null,
                  "kind": "ScalarField",
                  "name": "toolCallId",
                  "storageKey": null
                },
                {
                  "alias": null,
                  "args": null,
                  "kind": "ScalarField",
                  "name": "name",
                  "storageKey": null
                },
                {
                  "alias": null,
                  "args": null,
                  "concreteType": "ToolResultBlock",
                  "kind": "LinkedField",
                  "name": "result",
                  "plural": false,
                  "selections": [
                    {
                      "alias": null,
                      "args": null,
                      "kind": "ScalarField",
                      "name": "content",
                      "storageKey": null
                    },
                    {
                      "alias": null,
                      "args": null,
                      "kind": "ScalarField",
                      "name": "isError",
                      "storageKey": null
                    }
                  ],
                  "storageKey": null
                }
              ],
              "type": "ToolUseBlock",
              "abstractKey": null
            }
          ],
          "storageKey": null
        }
      ],
      "type": "AssistantMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v1/*:: as any*/),
        {
          "alias": "mcpResult",
          "args": null,
          "concreteType": "McpToolResult",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": (v2/*:: as any*/),
          "storageKey": null
        }
      ],
      "type": "McpToolCallMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v1/*:: as any*/),
        {
          "alias": "exposedResult",
          "args": null,
          "concreteType": "ExposedToolResult",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": (v2/*:: as any*/),
          "storageKey": null
        }
      ],
      "type": "ExposedToolCallMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "hookRunId",
          "storageKey": null
        },
        {
          "alias": "hookResult",
          "args": null,
          "concreteType": "HookResult",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": (v2/*:: as any*/),
          "storageKey": null
        }
      ],
      "type": "HookRunMessage",
      "abstractKey": null
    }
  ],
  "type": "Message",
  "abstractKey": "__isMessage"
};
})();

(node as any).hash = "41ffa1ef85d7abba95e292a1542af6a4";

export default node;
