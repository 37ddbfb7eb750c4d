/**
 * @generated SignedSource<<39247e9ab5a43ada9d8d55675fe06acf>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type liveSubscription$variables = Record<PropertyKey, never>;
export type liveSubscription$data = {
  readonly memoryUpdated: {
    readonly action: string;
    readonly type: string;
  };
};
export type liveSubscription = {
  response: liveSubscription$data;
  variables: liveSubscription$variables;
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
    "name": "liveSubscription",
    "selections": (v0/*:: as any*/),
    "type": "SubscriptionRoot",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "liveSubscription",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "8e6aaa85652c372adb0b76055d06a0ab",
    "id": null,
    "metadata": {},
    "name": "liveSubscription",
    "operationKind": "subscription",
    "text": "subscription liveSubscription {\n  memoryUpdated {\n    type\n    action\n  }\n}\n"
  }
};
})();

(node as any).hash = "292f5dce2bf55e6ed6e73d1aa601204a";

export default node;
