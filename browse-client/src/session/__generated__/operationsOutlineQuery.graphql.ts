/**
 * @generated SignedSource<<94beaf6434239f6b7523d3d393849a99>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type OutlineKind = "COMMAND" | "COMPACTION" | "PROMPT" | "%future added value";
export type operationsOutlineQuery$variables = {
  after?: string | null | undefined;
  first: number;
  id: string;
};
export type operationsOutlineQuery$data = {
  readonly session: {
    readonly id: string;
    readonly outline: {
      readonly endCursor: string | null | undefined;
      readonly entries: ReadonlyArray<{
        readonly cacheCreationTokens: number;
        readonly cacheReadTokens: number;
        readonly costUsd: number | null | undefined;
        readonly inputTokens: number;
        readonly kind: OutlineKind;
        readonly message: {
          readonly __typename: string;
          readonly commandName?: string | null | undefined;
          readonly id: string;
          readonly searchText: string | null | undefined;
        };
        readonly messageId: string;
        readonly messageIndex: number | null | undefined;
        readonly outputTokens: number;
        readonly timestamp: string;
        readonly unpricedAnswers: number;
        readonly unpricedTokens: number;
      }>;
      readonly hasNextPage: boolean;
    };
  } | null | undefined;
};
export type operationsOutlineQuery$rawResponse = {
  readonly session: {
    readonly id: string;
    readonly outline: {
      readonly endCursor: string | null | undefined;
      readonly entries: ReadonlyArray<{
        readonly cacheCreationTokens: number;
        readonly cacheReadTokens: number;
        readonly costUsd: number | null | undefined;
        readonly inputTokens: number;
        readonly kind: OutlineKind;
        readonly message: {
          readonly __typename: "CommandUserMessage";
          readonly commandName: string | null | undefined;
          readonly id: string;
          readonly searchText: string | null | undefined;
        } | {
          readonly __typename: string;
          readonly id: string;
          readonly searchText: string | null | undefined;
        };
        readonly messageId: string;
        readonly messageIndex: number | null | undefined;
        readonly outputTokens: number;
        readonly timestamp: string;
        readonly unpricedAnswers: number;
        readonly unpricedTokens: number;
      }>;
      readonly hasNextPage: boolean;
    };
  } | null | undefined;
};
export type operationsOutlineQuery = {
  rawResponse: operationsOutlineQuery$rawResponse;
  response: operationsOutlineQuery$data;
  variables: operationsOutlineQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "after"
},
v1 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "first"
},
v2 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "id"
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v4 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Variable",
        "name": "id",
        "variableName": "id"
      }
    ],
    "concreteType": "Session",
    "kind": "LinkedField",
    "name": "session",
    "plural": false,
    "selections": [
      (v3/*:: as any*/),
      {
        "alias": null,
        "args": [
          {
            "kind": "Variable",
            "name": "after",
            "variableName": "after"
          },
          {
            "kind": "Variable",
            "name": "first",
            "variableName": "first"
          }
        ],
        "concreteType": "OutlinePage",
        "kind": "LinkedField",
        "name": "outline",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "hasNextPage",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "endCursor",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "concreteType": "OutlineEntry",
            "kind": "LinkedField",
            "name": "entries",
            "plural": true,
            "selections": [
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "kind",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "messageId",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "messageIndex",
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
                "name": "inputTokens",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "outputTokens",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "cacheReadTokens",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "cacheCreationTokens",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "costUsd",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "unpricedTokens",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "unpricedAnswers",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "concreteType": null,
                "kind": "LinkedField",
                "name": "message",
                "plural": false,
                "selections": [
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "__typename",
                    "storageKey": null
                  },
                  (v3/*:: as any*/),
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
                        "kind": "ScalarField",
                        "name": "commandName",
                        "storageKey": null
                      }
                    ],
                    "type": "CommandUserMessage",
                    "abstractKey": null
                  }
                ],
                "storageKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "storageKey": null
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": [
      (v0/*:: as any*/),
      (v1/*:: as any*/),
      (v2/*:: as any*/)
    ],
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsOutlineQuery",
    "selections": (v4/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [
      (v2/*:: as any*/),
      (v1/*:: as any*/),
      (v0/*:: as any*/)
    ],
    "kind": "Operation",
    "name": "operationsOutlineQuery",
    "selections": (v4/*:: as any*/)
  },
  "params": {
    "cacheID": "6c72e34c9d3ba5c9646de04b0cb62985",
    "id": null,
    "metadata": {},
    "name": "operationsOutlineQuery",
    "operationKind": "query",
    "text": "query operationsOutlineQuery(\n  $id: String!\n  $first: Int!\n  $after: String\n) {\n  session(id: $id) {\n    id\n    outline(first: $first, after: $after) {\n      hasNextPage\n      endCursor\n      entries {\n        kind\n        messageId\n        messageIndex\n        timestamp\n        inputTokens\n        outputTokens\n        cacheReadTokens\n        cacheCreationTokens\n        costUsd\n        unpricedTokens\n        unpricedAnswers\n        message {\n          __typename\n          id\n          searchText\n          ... on CommandUserMessage {\n            commandName\n          }\n        }\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "ba032362acea3c3877a58c342d33d6f9";

export default node;
