/**
 * @generated SignedSource<<4861bda4434934d2783ccec7a98dbef7>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type operationsFindQuery$variables = {
  id: string;
  query: string;
};
export type operationsFindQuery$data = {
  readonly session: {
    readonly id: string;
    readonly searchMessages: ReadonlyArray<{
      readonly matchContext: string | null | undefined;
      readonly messageId: string | null | undefined;
      readonly messageIndex: number | null | undefined;
    }> | null | undefined;
  } | null | undefined;
};
export type operationsFindQuery$rawResponse = {
  readonly session: {
    readonly id: string;
    readonly searchMessages: ReadonlyArray<{
      readonly matchContext: string | null | undefined;
      readonly messageId: string | null | undefined;
      readonly messageIndex: number | null | undefined;
    }> | null | undefined;
  } | null | undefined;
};
export type operationsFindQuery = {
  rawResponse: operationsFindQuery$rawResponse;
  response: operationsFindQuery$data;
  variables: operationsFindQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "id"
  },
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "query"
  }
],
v1 = [
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
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "id",
        "storageKey": null
      },
      {
        "alias": null,
        "args": [
          {
            "kind": "Literal",
            "name": "limit",
            "value": 200
          },
          {
            "kind": "Variable",
            "name": "query",
            "variableName": "query"
          }
        ],
        "concreteType": "MessageSearchResult",
        "kind": "LinkedField",
        "name": "searchMessages",
        "plural": true,
        "selections": [
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
            "name": "matchContext",
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
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsFindQuery",
    "selections": (v1/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "operationsFindQuery",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "4d3e02fa1aff4f8a66f1a6ce7f5bc5ac",
    "id": null,
    "metadata": {},
    "name": "operationsFindQuery",
    "operationKind": "query",
    "text": "query operationsFindQuery(\n  $id: String!\n  $query: String!\n) {\n  session(id: $id) {\n    id\n    searchMessages(query: $query, limit: 200) {\n      messageId\n      messageIndex\n      matchContext\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "9e99e186c54766719251850a9e753a58";

export default node;
