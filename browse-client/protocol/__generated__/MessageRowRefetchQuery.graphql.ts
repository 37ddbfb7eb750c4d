/**
 * @generated SignedSource<<5ea17dce0ea27e7218e0b799a908fbf0>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type MessageRowRefetchQuery$variables = {
  id: string;
};
export type MessageRowRefetchQuery$data = {
  readonly node: {
    readonly " $fragmentSpreads": FragmentRefs<"MessageRow_message">;
  } | null | undefined;
};
export type MessageRowRefetchQuery = {
  response: MessageRowRefetchQuery$data;
  variables: MessageRowRefetchQuery$variables;
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
  "name": "__typename",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "callId",
  "storageKey": null
},
v4 = [
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
    "name": "MessageRowRefetchQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "node",
        "plural": false,
        "selections": [
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
    "name": "MessageRowRefetchQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "node",
        "plural": false,
        "selections": [
          (v2/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "id",
            "storageKey": null
          },
          {
            "kind": "InlineFragment",
            "selections": [
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
                      (v2/*:: as any*/),
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
                  (v3/*:: as any*/),
                  {
                    "alias": "mcpResult",
                    "args": null,
                    "concreteType": "McpToolResult",
                    "kind": "LinkedField",
                    "name": "result",
                    "plural": false,
                    "selections": (v4/*:: as any*/),
                    "storageKey": null
                  }
                ],
                "type": "McpToolCallMessage",
                "abstractKey": null
              },
              {
                "kind": "InlineFragment",
                "selections": [
                  (v3/*:: as any*/),
                  {
                    "alias": "exposedResult",
                    "args": null,
                    "concreteType": "ExposedToolResult",
                    "kind": "LinkedField",
                    "name": "result",
                    "plural": false,
                    "selections": (v4/*:: as any*/),
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
                    "selections": (v4/*:: as any*/),
                    "storageKey": null
                  }
                ],
                "type": "HookRunMessage",
                "abstractKey": null
              }
            ],
            "type": "Message",
            "abstractKey": "__isMessage"
          }
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "05a8d1c614035a2dae7c43cc12d944af",
    "id": null,
    "metadata": {},
    "name": "MessageRowRefetchQuery",
    "operationKind": "query",
    "text": "query MessageRowRefetchQuery(\n  $id: ID!\n) {\n  node(id: $id) {\n    __typename\n    ...MessageRow_message\n    id\n  }\n}\n\nfragment MessageRow_message on Message {\n  __isMessage: __typename\n  __typename\n  id\n  uuid\n  timestamp\n  searchText\n  ... on AssistantMessage {\n    contentBlocks {\n      __typename\n      ... on ToolUseBlock {\n        toolCallId\n        name\n        result {\n          content\n          isError\n        }\n      }\n    }\n  }\n  ... on McpToolCallMessage {\n    callId\n    mcpResult: result {\n      success\n    }\n  }\n  ... on ExposedToolCallMessage {\n    callId\n    exposedResult: result {\n      success\n    }\n  }\n  ... on HookRunMessage {\n    hookRunId\n    hookResult: result {\n      success\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "41ffa1ef85d7abba95e292a1542af6a4";

export default node;
