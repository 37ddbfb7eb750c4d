/**
 * @generated SignedSource<<e1e7e3bdc49f496c5162b82fa2c239f1>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type SessionFilter = {
  _and?: ReadonlyArray<SessionFilter> | null | undefined;
  _not?: SessionFilter | null | undefined;
  _or?: ReadonlyArray<SessionFilter> | null | undefined;
  compactionCount?: IntFilter | null | undefined;
  fileChangeCount?: IntFilter | null | undefined;
  messageCount?: IntFilter | null | undefined;
  model?: StringFilter | null | undefined;
  ownerId?: StringFilter | null | undefined;
  project?: ProjectFilter | null | undefined;
  projectId?: StringFilter | null | undefined;
  sessionId?: StringFilter | null | undefined;
  startedAt?: DateTimeFilter | null | undefined;
  turnCount?: IntFilter | null | undefined;
  updatedAt?: DateTimeFilter | null | undefined;
};
export type StringFilter = {
  _contains?: string | null | undefined;
  _eq?: string | null | undefined;
  _gt?: string | null | undefined;
  _gte?: string | null | undefined;
  _in?: ReadonlyArray<string> | null | undefined;
  _isNull?: boolean | null | undefined;
  _lt?: string | null | undefined;
  _lte?: string | null | undefined;
  _ne?: string | null | undefined;
  _notIn?: ReadonlyArray<string> | null | undefined;
};
export type DateTimeFilter = {
  _eq?: string | null | undefined;
  _gt?: string | null | undefined;
  _gte?: string | null | undefined;
  _isNull?: boolean | null | undefined;
  _lt?: string | null | undefined;
  _lte?: string | null | undefined;
  _ne?: string | null | undefined;
};
export type IntFilter = {
  _eq?: number | null | undefined;
  _gt?: number | null | undefined;
  _gte?: number | null | undefined;
  _isNull?: boolean | null | undefined;
  _lt?: number | null | undefined;
  _lte?: number | null | undefined;
  _ne?: number | null | undefined;
};
export type ProjectFilter = {
  _and?: ReadonlyArray<ProjectFilter> | null | undefined;
  _not?: ProjectFilter | null | undefined;
  _or?: ReadonlyArray<ProjectFilter> | null | undefined;
  projectId?: StringFilter | null | undefined;
  repo?: RepoFilter | null | undefined;
  repoId?: StringFilter | null | undefined;
  sessions?: SessionFilter | null | undefined;
};
export type RepoFilter = {
  _and?: ReadonlyArray<RepoFilter> | null | undefined;
  _not?: RepoFilter | null | undefined;
  _or?: ReadonlyArray<RepoFilter> | null | undefined;
  projects?: ProjectFilter | null | undefined;
  repoId?: StringFilter | null | undefined;
};
export type SessionsPaginationQuery$variables = {
  after?: string | null | undefined;
  filter?: SessionFilter | null | undefined;
  first?: number | null | undefined;
};
export type SessionsPaginationQuery$data = {
  readonly " $fragmentSpreads": FragmentRefs<"Sessions_query">;
};
export type SessionsPaginationQuery = {
  response: SessionsPaginationQuery$data;
  variables: SessionsPaginationQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "after"
  },
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "filter"
  },
  {
    "defaultValue": 50,
    "kind": "LocalArgument",
    "name": "first"
  }
],
v1 = [
  {
    "kind": "Variable",
    "name": "after",
    "variableName": "after"
  },
  {
    "kind": "Variable",
    "name": "filter",
    "variableName": "filter"
  },
  {
    "kind": "Variable",
    "name": "first",
    "variableName": "first"
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "SessionsPaginationQuery",
    "selections": [
      {
        "args": (v1/*:: as any*/),
        "kind": "FragmentSpread",
        "name": "Sessions_query"
      }
    ],
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "SessionsPaginationQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": "SessionConnection",
        "kind": "LinkedField",
        "name": "sessions",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "concreteType": "SessionEdge",
            "kind": "LinkedField",
            "name": "edges",
            "plural": true,
            "selections": [
              {
                "alias": null,
                "args": null,
                "concreteType": "Session",
                "kind": "LinkedField",
                "name": "node",
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
                    "name": "sessionId",
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
                    "name": "messageCount",
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
                    "name": "updatedAt",
                    "storageKey": null
                  },
                  {
                    "alias": null,
                    "args": null,
                    "kind": "ScalarField",
                    "name": "__typename",
                    "storageKey": null
                  }
                ],
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "cursor",
                "storageKey": null
              }
            ],
            "storageKey": null
          },
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
                "name": "endCursor",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "hasNextPage",
                "storageKey": null
              }
            ],
            "storageKey": null
          },
          {
            "kind": "ClientExtension",
            "selections": [
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "__id",
                "storageKey": null
              }
            ]
          }
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "filters": [
          "filter"
        ],
        "handle": "connection",
        "key": "Sessions_sessions",
        "kind": "LinkedHandle",
        "name": "sessions"
      }
    ]
  },
  "params": {
    "cacheID": "3569bb38110b32f1c60ccefd24c5793d",
    "id": null,
    "metadata": {},
    "name": "SessionsPaginationQuery",
    "operationKind": "query",
    "text": "query SessionsPaginationQuery(\n  $after: String\n  $filter: SessionFilter\n  $first: Int = 50\n) {\n  ...Sessions_query_G9cLv\n}\n\nfragment SessionRow_session on Session {\n  id\n  sessionId\n  name\n  messageCount\n  projectName\n  updatedAt\n}\n\nfragment Sessions_query_G9cLv on Query {\n  sessions(first: $first, after: $after, filter: $filter) {\n    edges {\n      node {\n        id\n        ...SessionRow_session\n        __typename\n      }\n      cursor\n    }\n    totalCount\n    pageInfo {\n      endCursor\n      hasNextPage\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "36c7c344581ee971e879614f1f822eab";

export default node;
