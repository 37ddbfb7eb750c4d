/**
 * @generated SignedSource<<2ff054e891fb96c617ac8ebfa1d861f3>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type Figures_metrics$data = {
  readonly averageConfidence: number | null | undefined;
  readonly calibrationScore: number | null | undefined;
  readonly completedTasks: number;
  readonly significantFrustrationRate: number | null | undefined;
  readonly significantFrustrations: number;
  readonly successRate: number | null | undefined;
  readonly totalTasks: number;
  readonly " $fragmentType": "Figures_metrics";
};
export type Figures_metrics$key = {
  readonly " $data"?: Figures_metrics$data;
  readonly " $fragmentSpreads": FragmentRefs<"Figures_metrics">;
};

const node: ReaderFragment = {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": null,
  "name": "Figures_metrics",
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
  "type": "MetricsData",
  "abstractKey": null
};

(node as any).hash = "8ae510cc69c5beb2274e89145c46f654";

export default node;
