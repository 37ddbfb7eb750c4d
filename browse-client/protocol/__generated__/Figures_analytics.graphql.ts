/**
 * @generated SignedSource<<dca84afd52ffbeedede26a25a1d5f27b>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type Figures_analytics$data = {
  readonly compactionStats: {
    readonly sessionsWithCompactions: number;
    readonly sessionsWithoutCompactions: number;
    readonly totalCompactions: number;
  };
  readonly costAnalysis: {
    readonly cacheHitRate: number | null | undefined;
    readonly costPerSession: number | null | undefined;
    readonly dailyCostTrend: ReadonlyArray<{
      readonly costUsd: number | null | undefined;
      readonly date: string;
      readonly sessionCount: number;
    }>;
    readonly estimatedCostUsd: number | null | undefined;
    readonly topSessionsByCost: ReadonlyArray<{
      readonly costUsd: number | null | undefined;
      readonly messageCount: number;
      readonly sessionId: string;
    }>;
  };
  readonly hookHealth: ReadonlyArray<{
    readonly hookName: string;
    readonly passRate: number | null | undefined;
    readonly totalRuns: number;
  }>;
  readonly subagentUsage: ReadonlyArray<{
    readonly count: number;
    readonly subagentType: string | null | undefined;
  }>;
  readonly toolUsage: ReadonlyArray<{
    readonly count: number;
    readonly toolName: string;
  }>;
  readonly topSessions: ReadonlyArray<{
    readonly score: number | null | undefined;
    readonly sessionId: string;
    readonly turnCount: number;
  }>;
  readonly " $fragmentType": "Figures_analytics";
};
export type Figures_analytics$key = {
  readonly " $data"?: Figures_analytics$data;
  readonly " $fragmentSpreads": FragmentRefs<"Figures_analytics">;
};

const node: ReaderFragment = (function(){
var v0 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "count",
  "storageKey": null
},
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "sessionId",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "costUsd",
  "storageKey": null
};
return {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": null,
  "name": "Figures_analytics",
  "selections": [
    {
      "alias": null,
      "args": null,
      "concreteType": "SubagentUsageStats",
      "kind": "LinkedField",
      "name": "subagentUsage",
      "plural": true,
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "subagentType",
          "storageKey": null
        },
        (v0/*:: as any*/)
      ],
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "concreteType": "CompactionStats",
      "kind": "LinkedField",
      "name": "compactionStats",
      "plural": false,
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "totalCompactions",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "sessionsWithCompactions",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "sessionsWithoutCompactions",
          "storageKey": null
        }
      ],
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "concreteType": "ToolUsageStats",
      "kind": "LinkedField",
      "name": "toolUsage",
      "plural": true,
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "toolName",
          "storageKey": null
        },
        (v0/*:: as any*/)
      ],
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "concreteType": "HookHealthStats",
      "kind": "LinkedField",
      "name": "hookHealth",
      "plural": true,
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "hookName",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "totalRuns",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "passRate",
          "storageKey": null
        }
      ],
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "concreteType": "SessionEffectiveness",
      "kind": "LinkedField",
      "name": "topSessions",
      "plural": true,
      "selections": [
        (v1/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "score",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "turnCount",
          "storageKey": null
        }
      ],
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "concreteType": "CostAnalysis",
      "kind": "LinkedField",
      "name": "costAnalysis",
      "plural": false,
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "estimatedCostUsd",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "cacheHitRate",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "costPerSession",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "concreteType": "DailyCost",
          "kind": "LinkedField",
          "name": "dailyCostTrend",
          "plural": true,
          "selections": [
            {
              "alias": null,
              "args": null,
              "kind": "ScalarField",
              "name": "date",
              "storageKey": null
            },
            (v2/*:: as any*/),
            {
              "alias": null,
              "args": null,
              "kind": "ScalarField",
              "name": "sessionCount",
              "storageKey": null
            }
          ],
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "concreteType": "SessionCost",
          "kind": "LinkedField",
          "name": "topSessionsByCost",
          "plural": true,
          "selections": [
            (v1/*:: as any*/),
            (v2/*:: as any*/),
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
      ],
      "storageKey": null
    }
  ],
  "type": "DashboardAnalytics",
  "abstractKey": null
};
})();

(node as any).hash = "539a07ba522a81a6560af72e79aab2aa";

export default node;
