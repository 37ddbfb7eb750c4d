/**
 * @generated SignedSource<<b19d761cf50132f77cbcc9c5705479dc>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type FileChangeAction = "created" | "deleted" | "modified" | "%future added value";
export type FilesTabQuery$variables = {
  after?: string | null | undefined;
  id: string;
};
export type FilesTabQuery$data = {
  readonly session: {
    readonly fileChanges: {
      readonly edges: ReadonlyArray<{
        readonly node: {
          readonly action: FileChangeAction;
          readonly filePath: string;
          readonly id: string;
          readonly linesAdded: number;
          readonly linesRemoved: number;
          readonly recordedAt: string;
          readonly toolName: string;
        };
      }>;
      readonly pageInfo: {
        readonly endCursor: string | null | undefined;
        readonly hasNextPage: boolean;
      };
      readonly totalCount: number;
    };
    readonly id: string;
  } | null | undefined;
};
export type FilesTabQuery$rawResponse = {
  readonly session: {
    readonly fileChanges: {
      readonly edges: ReadonlyArray<{
        readonly node: {
          readonly action: FileChangeAction;
          readonly filePath: string;
          readonly id: string;
          readonly linesAdded: number;
          readonly linesRemoved: number;
          readonly recordedAt: string;
          readonly toolName: string;
        };
      }>;
      readonly pageInfo: {
        readonly endCursor: string | null | undefined;
        readonly hasNextPage: boolean;
      };
      readonly totalCount: number;
    };
    readonly id: string;
  } | null | undefined;
};
export type FilesTabQuery = {
  rawResponse: FilesTabQuery$rawResponse;
  response: FilesTabQuery$data;
  variables: FilesTabQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "after"
},
v1 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "id"
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v3 = [
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
      (v2/*:: as any*/),
      {
        "alias": null,
        "args": [
          {
            "kind": "Variable",
            "name": "after",
            "variableName": "after"
          },
          {
            "kind": "Literal",
            "name": "first",
            "value": 500
          }
        ],
        "concreteType": "FileChangeConnection",
        "kind": "LinkedField",
        "name": "fileChanges",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "totalCount",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "concreteType": "PageInfo",
            "kind": "LinkedField",
            "name": "pageInfo",
            "plural": false,
            "selections": [
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "hasNextPage",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "endCursor",
                "storageKey": null
              }
            ],
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "concreteType": "FileChangeEdge",
            "kind": "LinkedField",
            "name": "edges",
            "plural": true,
            "selections": [
              {
                "alias": null,
                "args": null,
                "concreteType": "FileChange",
                "kind": "LinkedField",
                "name": "node",
                "plural": false,
                "selections": [
                  (v2/*:: as any*/),
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "filePath",
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
                    "name": "toolName",
                    "storageKey": null
                  },
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "linesAdded",
                    "storageKey": null
                  },
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "linesRemoved",
                    "storageKey": null
                  },
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "recordedAt",
                    "storageKey": null
                  }
                ],
                "storageKey": null
              }
            ],
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
    "argumentDefinitions": [
      (v0/*:: as any*/),
      (v1/*:: as any*/)
    ],
    "kind": "Fragment",
    "metadata": null,
    "name": "FilesTabQuery",
    "selections": (v3/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [
      (v1/*:: as any*/),
      (v0/*:: as any*/)
    ],
    "kind": "Operation",
    "name": "FilesTabQuery",
    "selections": (v3/*:: as any*/)
  },
  "params": {
    "cacheID": "08daf36187babe3d22e980f1fefa0c7d",
    "id": null,
    "metadata": {},
    "name": "FilesTabQuery",
    "operationKind": "query",
    "text": "query FilesTabQuery(\n  $id: String!\n  $after: String\n) {\n  session(id: $id) {\n    id\n    fileChanges(first: 500, after: $after) {\n      totalCount\n      pageInfo {\n        hasNextPage\n        endCursor\n      }\n      edges {\n        node {\n          id\n          filePath\n          action\n          toolName\n          linesAdded\n          linesRemoved\n          recordedAt\n        }\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "24db751abb20d7e4f08870824bdbfdd5";

export default node;
