/**
 * @generated SignedSource<<859b4d82cc99eae987be4f63975db426>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type FiguresQuery$variables = {
  projectId?: string | null | undefined;
  repoId?: string | null | undefined;
};
export type FiguresQuery$data = {
  readonly activity: {
    readonly dailyActivity: ReadonlyArray<{
      readonly cachedTokens: number;
      readonly date: string;
      readonly filesChanged: number;
      readonly inputTokens: number;
      readonly linesAdded: number;
      readonly linesRemoved: number;
      readonly messageCount: number;
      readonly outputTokens: number;
      readonly sessionCount: number;
    }>;
    readonly dailyModelTokens: ReadonlyArray<{
      readonly date: string;
      readonly models: ReadonlyArray<{
        readonly displayName: string | null | undefined;
        readonly model: string | null | undefined;
        readonly tokens: number;
      }>;
      readonly totalTokens: number;
    }>;
    readonly firstSessionDate: string | null | undefined;
    readonly hourlyActivity: ReadonlyArray<{
      readonly hour: number;
      readonly messageCount: number;
      readonly sessionCount: number;
    }>;
    readonly modelUsage: ReadonlyArray<{
      readonly displayName: string | null | undefined;
      readonly model: string | null | undefined;
      readonly totalTokens: number;
    }>;
    readonly streakDays: number;
    readonly tokenUsage: {
      readonly estimatedCostUsd: number | null | undefined;
      readonly messageCount: number;
      readonly sessionCount: number;
      readonly totalCachedTokens: number;
      readonly totalInputTokens: number;
      readonly totalOutputTokens: number;
      readonly totalTokens: number;
    };
    readonly totalActiveDays: number;
    readonly totalMessages: number;
    readonly totalSessions: number;
  } | null | undefined;
  readonly dashboardAnalytics: {
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
  } | null | undefined;
  readonly metrics: {
    readonly averageConfidence: number | null | undefined;
    readonly calibrationScore: number | null | undefined;
    readonly completedTasks: number;
    readonly significantFrustrationRate: number | null | undefined;
    readonly significantFrustrations: number;
    readonly successRate: number | null | undefined;
    readonly totalTasks: number;
  } | null | undefined;
};
export type FiguresQuery = {
  response: FiguresQuery$data;
  variables: FiguresQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "projectId"
},
v1 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "repoId"
},
v2 = {
  "kind": "Variable",
  "name": "projectId",
  "variableName": "projectId"
},
v3 = {
  "kind": "Variable",
  "name": "repoId",
  "variableName": "repoId"
},
v4 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "date",
  "storageKey": null
},
v5 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "sessionCount",
  "storageKey": null
},
v6 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "messageCount",
  "storageKey": null
},
v7 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "totalTokens",
  "storageKey": null
},
v8 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "estimatedCostUsd",
  "storageKey": null
},
v9 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "model",
  "storageKey": null
},
v10 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "displayName",
  "storageKey": null
},
v11 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "count",
  "storageKey": null
},
v12 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "sessionId",
  "storageKey": null
},
v13 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "costUsd",
  "storageKey": null
},
v14 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Literal",
        "name": "days",
        "value": 730
      },
      (v2/*:: as any*/),
      (v3/*:: as any*/)
    ],
    "concreteType": "ActivityData",
    "kind": "LinkedField",
    "name": "activity",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "concreteType": "DailyActivity",
        "kind": "LinkedField",
        "name": "dailyActivity",
        "plural": true,
        "selections": [
          (v4/*:: as any*/),
          (v5/*:: as any*/),
          (v6/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "inputTokens",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "outputTokens",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "cachedTokens",
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
            "name": "filesChanged",
            "storageKey": null
          }
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "concreteType": "HourlyActivity",
        "kind": "LinkedField",
        "name": "hourlyActivity",
        "plural": true,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "hour",
            "storageKey": null
          },
          (v5/*:: as any*/),
          (v6/*:: as any*/)
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "concreteType": "TokenUsageStats",
        "kind": "LinkedField",
        "name": "tokenUsage",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "totalInputTokens",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "totalOutputTokens",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "totalCachedTokens",
            "storageKey": null
          },
          (v7/*:: as any*/),
          (v8/*:: as any*/),
          (v6/*:: as any*/),
          (v5/*:: as any*/)
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "concreteType": "DailyModelTokens",
        "kind": "LinkedField",
        "name": "dailyModelTokens",
        "plural": true,
        "selections": [
          (v4/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "concreteType": "ModelTokenEntry",
            "kind": "LinkedField",
            "name": "models",
            "plural": true,
            "selections": [
              (v9/*:: as any*/),
              (v10/*:: as any*/),
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "tokens",
                "storageKey": null
              }
            ],
            "storageKey": null
          },
          (v7/*:: as any*/)
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "concreteType": "ModelUsageStats",
        "kind": "LinkedField",
        "name": "modelUsage",
        "plural": true,
        "selections": [
          (v9/*:: as any*/),
          (v10/*:: as any*/),
          (v7/*:: as any*/)
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "streakDays",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "totalActiveDays",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "totalSessions",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "totalMessages",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "firstSessionDate",
        "storageKey": null
      }
    ],
    "storageKey": null
  },
  {
    "alias": null,
    "args": [
      {
        "kind": "Literal",
        "name": "period",
        "value": "MONTH"
      },
      (v2/*:: as any*/),
      (v3/*:: as any*/)
    ],
    "concreteType": "MetricsData",
    "kind": "LinkedField",
    "name": "metrics",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "totalTasks",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "completedTasks",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "successRate",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "averageConfidence",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "calibrationScore",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "significantFrustrations",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "significantFrustrationRate",
        "storageKey": null
      }
    ],
    "storageKey": null
  },
  {
    "alias": null,
    "args": [
      {
        "kind": "Literal",
        "name": "days",
        "value": 30
      },
      (v2/*:: as any*/),
      (v3/*:: as any*/)
    ],
    "concreteType": "DashboardAnalytics",
    "kind": "LinkedField",
    "name": "dashboardAnalytics",
    "plural": false,
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
          (v11/*:: as any*/)
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
          (v11/*:: as any*/)
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
          (v12/*:: as any*/),
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
          (v8/*:: as any*/),
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
              (v4/*:: as any*/),
              (v13/*:: as any*/),
              (v5/*:: as any*/)
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
              (v12/*:: as any*/),
              (v13/*:: as any*/),
              (v6/*:: as any*/)
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
    "name": "FiguresQuery",
    "selections": (v14/*:: as any*/),
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
    "name": "FiguresQuery",
    "selections": (v14/*:: as any*/)
  },
  "params": {
    "cacheID": "13f9b50c1b59a859be664dca0cb511da",
    "id": null,
    "metadata": {},
    "name": "FiguresQuery",
    "operationKind": "query",
    "text": "query FiguresQuery(\n  $repoId: String\n  $projectId: String\n) {\n  activity(days: 730, projectId: $projectId, repoId: $repoId) {\n    dailyActivity {\n      date\n      sessionCount\n      messageCount\n      inputTokens\n      outputTokens\n      cachedTokens\n      linesAdded\n      linesRemoved\n      filesChanged\n    }\n    hourlyActivity {\n      hour\n      sessionCount\n      messageCount\n    }\n    tokenUsage {\n      totalInputTokens\n      totalOutputTokens\n      totalCachedTokens\n      totalTokens\n      estimatedCostUsd\n      messageCount\n      sessionCount\n    }\n    dailyModelTokens {\n      date\n      models {\n        model\n        displayName\n        tokens\n      }\n      totalTokens\n    }\n    modelUsage {\n      model\n      displayName\n      totalTokens\n    }\n    streakDays\n    totalActiveDays\n    totalSessions\n    totalMessages\n    firstSessionDate\n  }\n  metrics(period: MONTH, projectId: $projectId, repoId: $repoId) {\n    totalTasks\n    completedTasks\n    successRate\n    averageConfidence\n    calibrationScore\n    significantFrustrations\n    significantFrustrationRate\n  }\n  dashboardAnalytics(days: 30, projectId: $projectId, repoId: $repoId) {\n    subagentUsage {\n      subagentType\n      count\n    }\n    compactionStats {\n      totalCompactions\n      sessionsWithCompactions\n      sessionsWithoutCompactions\n    }\n    toolUsage {\n      toolName\n      count\n    }\n    hookHealth {\n      hookName\n      totalRuns\n      passRate\n    }\n    topSessions {\n      sessionId\n      score\n      turnCount\n    }\n    costAnalysis {\n      estimatedCostUsd\n      cacheHitRate\n      costPerSession\n      dailyCostTrend {\n        date\n        costUsd\n        sessionCount\n      }\n      topSessionsByCost {\n        sessionId\n        costUsd\n        messageCount\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "941fff686cf9f8c6b1a63df030d29208";

export default node;
