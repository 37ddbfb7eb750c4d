/**
 * @generated SignedSource<<02fc7d59e480caa4c88ec594b9ce31e9>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type FilterMenuModelsQuery$variables = Record<PropertyKey, never>;
export type FilterMenuModelsQuery$data = {
  readonly activity: {
    readonly modelUsage: ReadonlyArray<{
      readonly displayName: string | null | undefined;
      readonly model: string | null | undefined;
    }>;
  } | null | undefined;
};
export type FilterMenuModelsQuery = {
  response: FilterMenuModelsQuery$data;
  variables: FilterMenuModelsQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Literal",
        "name": "days",
        "value": 365
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
        "concreteType": "ModelUsageStats",
        "kind": "LinkedField",
        "name": "modelUsage",
        "plural": true,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "model",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "displayName",
            "storageKey": null
          }
        ],
        "storageKey": null
      }
    ],
    "storageKey": "activity(days:365)"
  }
];
return {
  "fragment": {
    "argumentDefinitions": [],
    "kind": "Fragment",
    "metadata": null,
    "name": "FilterMenuModelsQuery",
    "selections": (v0/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "FilterMenuModelsQuery",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "2a9df38218b6727d189c460c2825163a",
    "id": null,
    "metadata": {},
    "name": "FilterMenuModelsQuery",
    "operationKind": "query",
    "text": "query FilterMenuModelsQuery {\n  activity(days: 365) {\n    modelUsage {\n      model\n      displayName\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "c25096220fa15a660dc574bb72bedc34";

export default node;
