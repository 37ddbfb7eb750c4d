/**
 * @generated SignedSource<<3a29c79b3b7e5843eb907f1796772e61>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type EmptyListKeyMutation$variables = {
  team: string;
};
export type EmptyListKeyMutation$data = {
  readonly createApiKey: {
    readonly secret: string;
  } | null | undefined;
};
export type EmptyListKeyMutation = {
  response: EmptyListKeyMutation$data;
  variables: EmptyListKeyMutation$variables;
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
        "name": "name",
        "value": "first push"
      },
      {
        "kind": "Literal",
        "name": "scopes",
        "value": [
          "sync:write"
        ]
      },
      {
        "kind": "Variable",
        "name": "teamId",
        "variableName": "team"
      }
    ],
    "concreteType": "NewApiKey",
    "kind": "LinkedField",
    "name": "createApiKey",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "secret",
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
    "name": "EmptyListKeyMutation",
    "selections": (v1/*:: as any*/),
    "type": "MutationRoot",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "EmptyListKeyMutation",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "4dc629b6fc623d74762ad0a8759a82ad",
    "id": null,
    "metadata": {},
    "name": "EmptyListKeyMutation",
    "operationKind": "mutation",
    "text": "mutation EmptyListKeyMutation(\n  $team: ID!\n) {\n  createApiKey(teamId: $team, name: \"first push\", scopes: [\"sync:write\"]) {\n    secret\n  }\n}\n"
  }
};
})();

(node as any).hash = "19412f900b4b6ea41720720e257a6181";

export default node;
