/**
 * @generated SignedSource<<f59a6f52640954134058d9b34ba0e463>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type operationsNestingQuery$variables = {
  id: string;
};
export type operationsNestingQuery$data = {
  readonly message: {
    readonly __typename: string;
    readonly agentId: string | null | undefined;
    readonly contentBlocks?: ReadonlyArray<{
      readonly __typename: "ToolResultBlock";
      readonly toolCallId: string;
    } | {
      // This will never be '%other', but we need some
      // value in case none of the concrete values match.
      readonly __typename: "%other";
    }>;
    readonly id: string;
  } | null | undefined;
};
export type operationsNestingQuery$rawResponse = {
  readonly message: {
    readonly __typename: string;
    readonly __isUserMessage?: string;
    readonly agentId: string | null | undefined;
    readonly contentBlocks?: ReadonlyArray<{
      readonly __typename: "ToolResultBlock";
      readonly toolCallId: string;
    } | {
      readonly __typename: string;
    }>;
    readonly id: string;
  } | null | undefined;
};
export type operationsNestingQuery = {
  rawResponse: operationsNestingQuery$rawResponse;
  response: operationsNestingQuery$data;
  variables: operationsNestingQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "id"
  }
],
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "__typename",
  "storageKey": null
},
v2 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Variable",
        "name": "id",
        "variableName": "id"
      }
    ],
    "concreteType": null,
    "kind": "LinkedField",
    "name": "message",
    "plural": false,
    "selections": [
      (v1/*:: as any*/),
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
        "name": "agentId",
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
              (v1/*:: as any*/),
              {
                "kind": "InlineFragment",
                "selections": [
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "toolCallId",
                    "storageKey": null
                  }
                ],
                "type": "ToolResultBlock",
                "abstractKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "type": "UserMessage",
        "abstractKey": "__isUserMessage"
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsNestingQuery",
    "selections": (v2/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "operationsNestingQuery",
    "selections": (v2/*:: as any*/)
  },
  "params": {
    "cacheID": "fece6e928536597341194c09e482dba6",
    "id": null,
    "metadata": {},
    "name": "operationsNestingQuery",
    "operationKind": "query",
    "text": "query operationsNestingQuery(\n  $id: String!\n) {\n  message(id: $id) {\n    __typename\n    id\n    agentId\n    ... on UserMessage {\n      __isUserMessage: __typename\n      contentBlocks {\n        __typename\n        ... on ToolResultBlock {\n          toolCallId\n        }\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "c1f56a619f264169964f921a57185545";

export default node;
