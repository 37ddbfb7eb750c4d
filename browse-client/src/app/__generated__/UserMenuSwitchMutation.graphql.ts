/**
 * @generated SignedSource<<deac20a714a95a70087517c924b1209d>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type UserMenuSwitchMutation$variables = {
  team: string;
};
export type UserMenuSwitchMutation$data = {
  readonly switchTeam: {
    readonly id: string;
  } | null | undefined;
};
export type UserMenuSwitchMutation = {
  response: UserMenuSwitchMutation$data;
  variables: UserMenuSwitchMutation$variables;
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
        "kind": "Variable",
        "name": "teamId",
        "variableName": "team"
      }
    ],
    "concreteType": "Team",
    "kind": "LinkedField",
    "name": "switchTeam",
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
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "UserMenuSwitchMutation",
    "selections": (v1/*:: as any*/),
    "type": "MutationRoot",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "UserMenuSwitchMutation",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "c0f100c2229ef7176f516e97468989b7",
    "id": null,
    "metadata": {},
    "name": "UserMenuSwitchMutation",
    "operationKind": "mutation",
    "text": "mutation UserMenuSwitchMutation(\n  $team: ID!\n) {\n  switchTeam(teamId: $team) {\n    id\n  }\n}\n"
  }
};
})();

(node as any).hash = "ee68659f97db54c189b13c8d856b6bd1";

export default node;
