/**
 * @generated SignedSource<<c0a4e0713e07b58f50fecccaa9e522ab>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type MessagePageQuery$variables = {
  id: string;
};
export type MessagePageQuery$data = {
  readonly message: {
    readonly timestamp: string;
    readonly uuid: string;
    readonly " $fragmentSpreads": FragmentRefs<"MessageRow_message">;
  } | null | undefined;
};
export type MessagePageQuery = {
  response: MessagePageQuery$data;
  variables: MessagePageQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "id"
  }
],
v1 = [
  {
    "kind": "Variable",
    "name": "id",
    "variableName": "id"
  }
],
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "uuid",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "timestamp",
  "storageKey": null
},
v4 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "__typename",
  "storageKey": null
},
v5 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "callId",
  "storageKey": null
},
v6 = [
  {
    "alias": null,
    "args": null,
    "kind": "ScalarField",
    "name": "success",
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "MessagePageQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "message",
        "plural": false,
        "selections": [
          (v2/*:: as any*/),
          (v3/*:: as any*/),
          {
            "args": null,
            "kind": "FragmentSpread",
            "name": "MessageRow_message"
          }
        ],
        "storageKey": null
      }
    ],
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "MessagePageQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "message",
        "plural": false,
        "selections": [
          (v4/*:: as any*/),
          (v2/*:: as any*/),
          (v3/*:: as any*/),
          {
            "kind": "TypeDiscriminator",
            "abstractKey": "__isMessage"
          },
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
                  (v4/*:: as any*/),
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
              (v5/*:: as any*/),
              {
                "alias": "mcpResult",
                "args": null,
                "concreteType": "McpToolResult",
                "kind": "LinkedField",
                "name": "result",
                "plural": false,
                "selections": (v6/*:: as any*/),
                "storageKey": null
              }
            ],
            "type": "McpToolCallMessage",
            "abstractKey": null
          },
          {
            "kind": "InlineFragment",
            "selections": [
              (v5/*:: as any*/),
              {
                "alias": "exposedResult",
                "args": null,
                "concreteType": "ExposedToolResult",
                "kind": "LinkedField",
                "name": "result",
                "plural": false,
                "selections": (v6/*:: as any*/),
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
                "selections": (v6/*:: as any*/),
                "storageKey": null
              }
            ],
            "type": "HookRunMessage",
            "abstractKey": null
          }
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "72565ae8395b56cd7c6de40689925d9c",
    "id": null,
    "metadata": {},
    "name": "MessagePageQuery",
    "operationKind": "query",
    "text": "query MessagePageQuery(\n  $id: String!\n) {\n  message(id: $id) {\n    __typename\n    uuid\n    timestamp\n    ...MessageRow_message\n    id\n  }\n}\n\nfragment MessageRow_message on Message {\n  __isMessage: __typename\n  __typename\n  id\n  uuid\n  timestamp\n  searchText\n  ... on AssistantMessage {\n    contentBlocks {\n      __typename\n      ... on ToolUseBlock {\n        toolCallId\n        name\n        result {\n          content\n          isError\n        }\n      }\n    }\n  }\n  ... on McpToolCallMessage {\n    callId\n    mcpResult: result {\n      success\n    }\n  }\n  ... on ExposedToolCallMessage {\n    callId\n    exposedResult: result {\n      success\n    }\n  }\n  ... on HookRunMessage {\n    hookRunId\n    hookResult: result {\n      success\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "1f5145c0769fc76932cf2307304aefbc";

export default node;
