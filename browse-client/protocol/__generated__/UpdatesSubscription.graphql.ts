/**
 * @generated SignedSource<<96b3c68147a0dac2b1d3a7f1e3ab6c62>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type UpdatesSubscription$variables = Record<PropertyKey, never>;
export type UpdatesSubscription$data = {
  readonly memoryUpdated: {
    readonly action: string;
    readonly path: string | null | undefined;
    readonly timestamp: string;
    readonly type: string;
  };
};
export type UpdatesSubscription = {
  response: UpdatesSubscription$data;
  variables: UpdatesSubscription$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "alias": null,
    "args": null,
    "concreteType": "MemoryUpdatedPayload",
    "kind": "LinkedField",
    "name": "memoryUpdated",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "type",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "action",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "path",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "timestamp",
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
    "name": "UpdatesSubscription",
    "selections": (v0/*:: as any*/),
    "type": "SubscriptionRoot",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "UpdatesSubscription",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "a97057a9805542cfc4c87e43dc5afd5c",
    "id": null,
    "metadata": {},
    "name": "UpdatesSubscription",
    "operationKind": "subscription",
    "text": "subscription UpdatesSubscription {\n  memoryUpdated {\n    type\n    action\n    path\n    timestamp\n  }\n}\n"
  }
};
})();

(node as any).hash = "43bc721e784deef8639db2850487d86a";

export default node;
