/**
 * @generated SignedSource<<d984d4827951db342f2a9200e8ea95f0>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type Figures_activity$data = {
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
  readonly " $fragmentType": "Figures_activity";
};
export type Figures_activity$key = {
  readonly " $data"?: Figures_activity$data;
  readonly " $fragmentSpreads": FragmentRefs<"Figures_activity">;
};

const node: ReaderFragment = (function(){
var v0 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "date",
  "storageKey": null
},
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "sessionCount",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "messageCount",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "totalTokens",
  "storageKey": null
},
v4 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "model",
  "storageKey": null
},
v5 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "displayName",
  "storageKey": null
};
return {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": null,
  "name": "Figures_activity",
  "selections": [
    {
      "alias": null,
      "args": null,
      "concreteType": "DailyActivity",
      "kind": "LinkedField",
      "name": "dailyActivity",
      "plural": true,
      "selections": [
        (v0/*:: as any*/),
        (v1/*:: as any*/),
        (v2/*:: as any*/),
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
        (v1/*:: as any*/),
        (v2/*:: as any*/)
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
        (v3/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "estimatedCostUsd",
          "storageKey": null
        },
        (v2/*:: as any*/),
        (v1/*:: as any*/)
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
        (v0/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "concreteType": "ModelTokenEntry",
          "kind": "LinkedField",
          "name": "models",
          "plural": true,
          "selections": [
            (v4/*:: as any*/),
            (v5/*:: as any*/),
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
        (v3/*:: as any*/)
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
        (v4/*:: as any*/),
        (v5/*:: as any*/),
        (v3/*:: as any*/)
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
  "type": "ActivityData",
  "abstractKey": null
};
})();

(node as any).hash = "858797f7c6ffa7656a14a95cd07c3b3f";

export default node;
