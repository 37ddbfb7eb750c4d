/**
 * @generated SignedSource<<d223cd0885b4d961774fe129454fe7cd>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type MessageDetailRawQuery$variables = {
  id: string;
};
export type MessageDetailRawQuery$data = {
  readonly message: {
    readonly id: string;
    readonly rawJson: string | null | undefined;
  } | null | undefined;
};
export type MessageDetailRawQuery$rawResponse = {
  readonly message: {
    readonly __typename: string;
    readonly id: string;
    readonly rawJson: string | null | undefined;
  } | null | undefined;
};
export type MessageDetailRawQuery = {
  rawResponse: MessageDetailRawQuery$rawResponse;
  response: MessageDetailRawQuery$data;
  variables: MessageDetailRawQuery$variables;
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
    "kind": "Variable",
    "name": "id",
    "variableName": "id"
  }
],
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "rawJson",
  "storageKey": null
};
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "MessageDetailRawQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "message",
        "plural": false,
        "selections": [
          (v2/*:: as any*/),
          (v3/*:: as any*/)
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
    "name": "MessageDetailRawQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "message",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "__typename",
            "storageKey": null
          },
          (v2/*:: as any*/),
          (v3/*:: as any*/)
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "c38b1463aac9992fe533b90b4eec966d",
    "id": null,
    "metadata": {},
    "name": "MessageDetailRawQuery",
    "operationKind": "query",
    "text": "query MessageDetailRawQuery(\n  $id: String!\n) {\n  message(id: $id) {\n    __typename\n    id\n    rawJson\n  }\n}\n"
  }
};
})();

(node as any).hash = "bff088fb2c94ae09fd90ad4010669a6c";

export default node;
