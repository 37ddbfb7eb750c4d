/**
 * @generated SignedSource<<930597efbc4282e99ce072052d55896f>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type CostTabQuery$variables = {
  id: string;
};
export type CostTabQuery$data = {
  readonly session: {
    readonly contextSizes: ReadonlyArray<{
      readonly at: string;
      readonly tokens: number;
    }>;
    readonly id: string;
  } | null | undefined;
};
export type CostTabQuery$rawResponse = {
  readonly session: {
    readonly contextSizes: ReadonlyArray<{
      readonly at: string;
      readonly tokens: number;
    }>;
    readonly id: string;
  } | null | undefined;
};
export type CostTabQuery = {
  rawResponse: CostTabQuery$rawResponse;
  response: CostTabQuery$data;
  variables: CostTabQuery$variables;
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
            "name": "first",
            "value": 400
          }
        ],
        "concreteType": "ContextSize",
        "kind": "LinkedField",
        "name": "contextSizes",
        "plural": true,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "at",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "tokens",
            "storageKey": null
          }
        ],
        "storageKey": "contextSizes(first:400)"
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
    "name": "CostTabQuery",
    "selections": (v1/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "CostTabQuery",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "4d77a46e1fd10807aac60f3457b8ac02",
    "id": null,
    "metadata": {},
    "name": "CostTabQuery",
    "operationKind": "query",
    "text": "query CostTabQuery(\n  $id: String!\n) {\n  session(id: $id) {\n    id\n    contextSizes(first: 400) {\n      at\n      tokens\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "dc8234884b9dfc965887ab8d5f0fc64f";

export default node;
