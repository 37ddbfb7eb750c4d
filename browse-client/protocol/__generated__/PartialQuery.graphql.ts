/**
 * @generated SignedSource<<77b20738be55acb33b9e317e7f51fa7c>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type PartialQuery$variables = {
  id: string;
};
export type PartialQuery$data = {
  readonly activity: {
    readonly totalMessages: number;
  } | null | undefined;
  readonly node: {
    readonly id: string;
    readonly searchMessages?: ReadonlyArray<{
      readonly messageId: string | null | undefined;
    }> | null | undefined;
    readonly sessionId?: string;
  } | null | undefined;
};
export type PartialQuery = {
  response: PartialQuery$data;
  variables: PartialQuery$variables;
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
  "args": [
    {
      "kind": "Literal",
      "name": "days",
      "value": 0
    }
  ],
  "concreteType": "ActivityData",
  "kind": "LinkedField",
  "name": "activity",
  "plural": false,
  "selections": [
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "totalMessages",
      "storageKey": null
    }
  ],
  "storageKey": "activity(days:0)"
},
v2 = [
  {
    "kind": "Variable",
    "name": "id",
    "variableName": "id"
  }
],
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v4 = {
  "kind": "InlineFragment",
  "selections": [
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "sessionId",
      "storageKey": null
    },
    {
      "alias": null,
      "args": [
        {
          "kind": "Literal",
          "name": "limit",
          "value": 20
        },
        {
          "kind": "Literal",
          "name": "query",
          "value": "?"
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
        }
      ],
      "storageKey": "searchMessages(limit:20,query:\"?\")"
    }
  ],
  "type": "Session",
  "abstractKey": null
};
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "PartialQuery",
    "selections": [
      (v1/*:: as any*/),
      {
        "alias": null,
        "args": (v2/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "node",
        "plural": false,
        "selections": [
          (v3/*:: as any*/),
          (v4/*:: as any*/)
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
    "name": "PartialQuery",
    "selections": [
      (v1/*:: as any*/),
      {
        "alias": null,
        "args": (v2/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "node",
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
          (v4/*:: as any*/)
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "2e096603b7fbb9568ff75b341f92cb0c",
    "id": null,
    "metadata": {},
    "name": "PartialQuery",
    "operationKind": "query",
    "text": "query PartialQuery(\n  $id: ID!\n) {\n  activity(days: 0) {\n    totalMessages\n  }\n  node(id: $id) {\n    __typename\n    id\n    ... on Session {\n      sessionId\n      searchMessages(query: \"?\", limit: 20) {\n        messageId\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "31c2a717f0b762db833fd0bf96b261bc";

export default node;
