/**
 * @generated SignedSource<<d4dd304ffc93f5a9c37576a969629296>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type FilterMenuTeamQuery$variables = Record<PropertyKey, never>;
export type FilterMenuTeamQuery$data = {
  readonly activeTeam: {
    readonly id: string;
  } | null | undefined;
};
export type FilterMenuTeamQuery = {
  response: FilterMenuTeamQuery$data;
  variables: FilterMenuTeamQuery$variables;
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
    "name": "FilterMenuTeamQuery",
    "selections": (v0/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "FilterMenuTeamQuery",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "124ad147f620624a4f58929f664c54b9",
    "id": null,
    "metadata": {},
    "name": "FilterMenuTeamQuery",
    "operationKind": "query",
    "text": "query FilterMenuTeamQuery {\n  activeTeam {\n    id\n  }\n}\n"
  }
};
})();

(node as any).hash = "4c4ccc9b8da2961ad58951818d8835eb";

export default node;
