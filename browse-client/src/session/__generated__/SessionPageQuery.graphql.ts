/**
 * @generated SignedSource<<141cd2e99e4d68e32678beda82d39734>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type SessionPageQuery$variables = {
  id: string;
};
export type SessionPageQuery$data = {
  readonly session: {
    readonly gitBranch: string | null | undefined;
    readonly id: string;
    readonly messageCount: number;
    readonly name: string;
    readonly projectName: string;
  } | null | undefined;
};
export type SessionPageQuery = {
  response: SessionPageQuery$data;
  variables: SessionPageQuery$variables;
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
        "args": null,
        "kind": "ScalarField",
        "name": "name",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "projectName",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "gitBranch",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "messageCount",
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
    "name": "SessionPageQuery",
    "selections": (v1/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "SessionPageQuery",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "b5d3ef345d045208c2365c5e18402ce0",
    "id": null,
    "metadata": {},
    "name": "SessionPageQuery",
    "operationKind": "query",
    "text": "query SessionPageQuery(\n  $id: String!\n) {\n  session(id: $id) {\n    id\n    name\n    projectName\n    gitBranch\n    messageCount\n  }\n}\n"
  }
};
})();

(node as any).hash = "74d09fef03c0b8dd370c4f698abce5af";

export default node;
