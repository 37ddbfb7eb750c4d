/**
 * @generated SignedSource<<20bf65587515138be52c1e4e3575a9f8>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type PartialAloneQuery$variables = Record<PropertyKey, never>;
export type PartialAloneQuery$data = {
  readonly activity: {
    readonly totalMessages: number;
  } | null | undefined;
};
export type PartialAloneQuery = {
  response: PartialAloneQuery$data;
  variables: PartialAloneQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
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
  }
];
return {
  "fragment": {
    "argumentDefinitions": [],
    "kind": "Fragment",
    "metadata": null,
    "name": "PartialAloneQuery",
    "selections": (v0/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "PartialAloneQuery",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "a5ab0d4c425e7676f1f497195b7dd0b0",
    "id": null,
    "metadata": {},
    "name": "PartialAloneQuery",
    "operationKind": "query",
    "text": "query PartialAloneQuery {\n  activity(days: 0) {\n    totalMessages\n  }\n}\n"
  }
};
})();

(node as any).hash = "bb9d5223c04b757cd975d74a85a3f9e2";

export default node;
