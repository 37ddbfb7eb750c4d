/**
 * @generated SignedSource<<e934a90b15583ee37a5126b3d5dd7b9a>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type EmptyListQuery$variables = Record<PropertyKey, never>;
export type EmptyListQuery$data = {
  readonly activeTeam: {
    readonly id: string;
    readonly name: string;
  } | null | undefined;
};
export type EmptyListQuery = {
  response: EmptyListQuery$data;
  variables: EmptyListQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "alias": null,
    "args": null,
    "concreteType": "Team",
    "kind": "LinkedField",
    "name": "activeTeam",
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
        "args": null,
        "kind": "ScalarField",
        "name": "name",
        "storageKey": null
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": [],
    "kind": "Fragment",
    "metadata": null,
    "name": "EmptyListQuery",
    "selections": (v0/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "EmptyListQuery",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "59c8b3b4c49799f06e5e2b832eb3e0bc",
    "id": null,
    "metadata": {},
    "name": "EmptyListQuery",
    "operationKind": "query",
    "text": "query EmptyListQuery {\n  activeTeam {\n    id\n    name\n  }\n}\n"
  }
};
})();

(node as any).hash = "64c419a5dd586fbc56ebdc51f6cb2eaf";

export default node;
