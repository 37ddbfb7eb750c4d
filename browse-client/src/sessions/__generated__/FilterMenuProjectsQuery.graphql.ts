/**
 * @generated SignedSource<<35b7bb52b3d8fa5f5b2e2b2a75ad87eb>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type FilterMenuProjectsQuery$variables = Record<PropertyKey, never>;
export type FilterMenuProjectsQuery$data = {
  readonly projects: ReadonlyArray<{
    readonly name: string;
    readonly path: string;
    readonly projectId: string;
  }>;
  readonly repos: ReadonlyArray<{
    readonly name: string;
    readonly repoId: string;
  }>;
};
export type FilterMenuProjectsQuery = {
  response: FilterMenuProjectsQuery$data;
  variables: FilterMenuProjectsQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "kind": "Literal",
    "name": "first",
    "value": 500
  }
],
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "projectId",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "name",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "path",
  "storageKey": null
},
v4 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "repoId",
  "storageKey": null
},
v5 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
};
return {
  "fragment": {
    "argumentDefinitions": [],
    "kind": "Fragment",
    "metadata": null,
    "name": "FilterMenuProjectsQuery",
    "selections": [
      {
        "alias": null,
        "args": (v0/*:: as any*/),
        "concreteType": "Project",
        "kind": "LinkedField",
        "name": "projects",
        "plural": true,
        "selections": [
          (v1/*:: as any*/),
          (v2/*:: as any*/),
          (v3/*:: as any*/)
        ],
        "storageKey": "projects(first:500)"
      },
      {
        "alias": null,
        "args": (v0/*:: as any*/),
        "concreteType": "Repo",
        "kind": "LinkedField",
        "name": "repos",
        "plural": true,
        "selections": [
          (v4/*:: as any*/),
          (v2/*:: as any*/)
        ],
        "storageKey": "repos(first:500)"
      }
    ],
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "FilterMenuProjectsQuery",
    "selections": [
      {
        "alias": null,
        "args": (v0/*:: as any*/),
        "concreteType": "Project",
        "kind": "LinkedField",
        "name": "projects",
        "plural": true,
        "selections": [
          (v1/*:: as any*/),
          (v2/*:: as any*/),
          (v3/*:: as any*/),
          (v5/*:: as any*/)
        ],
        "storageKey": "projects(first:500)"
      },
      {
        "alias": null,
        "args": (v0/*:: as any*/),
        "concreteType": "Repo",
        "kind": "LinkedField",
        "name": "repos",
        "plural": true,
        "selections": [
          (v4/*:: as any*/),
          (v2/*:: as any*/),
          (v5/*:: as any*/)
        ],
        "storageKey": "repos(first:500)"
      }
    ]
  },
  "params": {
    "cacheID": "f9bd57d69c776a2c41266fb2abb44cbe",
    "id": null,
    "metadata": {},
    "name": "FilterMenuProjectsQuery",
    "operationKind": "query",
    "text": "query FilterMenuProjectsQuery {\n  projects(first: 500) {\n    projectId\n    name\n    path\n    id\n  }\n  repos(first: 500) {\n    repoId\n    name\n    id\n  }\n}\n"
  }
};
})();

(node as any).hash = "fefdae264610916ca5351aedbfd36ccf";

export default node;
