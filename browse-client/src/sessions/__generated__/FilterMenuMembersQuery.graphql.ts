/**
 * @generated SignedSource<<1039a59dacb1d4bc9ccc080a1194b084>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type FilterMenuMembersQuery$variables = {
  team: string;
};
export type FilterMenuMembersQuery$data = {
  readonly teamMembers: ReadonlyArray<{
    readonly user: {
      readonly email: string | null | undefined;
      readonly id: string;
      readonly name: string | null | undefined;
    };
  }> | null | undefined;
};
export type FilterMenuMembersQuery = {
  response: FilterMenuMembersQuery$data;
  variables: FilterMenuMembersQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "team"
  }
],
v1 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Literal",
        "name": "first",
        "value": 500
      },
      {
        "kind": "Variable",
        "name": "teamId",
        "variableName": "team"
      }
    ],
    "concreteType": "TeamMember",
    "kind": "LinkedField",
    "name": "teamMembers",
    "plural": true,
    "selections": [
      {
        "alias": null,
        "args": null,
        "concreteType": "User",
        "kind": "LinkedField",
        "name": "user",
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
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "email",
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
    "name": "FilterMenuMembersQuery",
    "selections": (v1/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "FilterMenuMembersQuery",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "43b4e3eb51e5dd0daa534394426497df",
    "id": null,
    "metadata": {},
    "name": "FilterMenuMembersQuery",
    "operationKind": "query",
    "text": "query FilterMenuMembersQuery(\n  $team: ID!\n) {\n  teamMembers(teamId: $team, first: 500) {\n    user {\n      id\n      name\n      email\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "80b8d140a9cfc693a1710aca421599d7";

export default node;
