/**
 * @generated SignedSource<<662e06d06d8fc9beaca25ebe2bcf3d3e>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type MessageDetail_image$data = {
  readonly bytes: number;
  readonly dataUrl: string;
  readonly height: number | null | undefined;
  readonly mediaType: string;
  readonly width: number | null | undefined;
};
export type MessageDetail_image$key = {
  readonly " $data"?: MessageDetail_image$data;
  readonly " $fragmentSpreads": FragmentRefs<"MessageDetail_image">;
};

const node: ReaderFragment = {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": {
    "mask": false
  },
  "name": "MessageDetail_image",
  "selections": [
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "mediaType",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "dataUrl",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "bytes",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "width",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "height",
      "storageKey": null
    }
  ],
  "type": "ImageBlock",
  "abstractKey": null
};

(node as any).hash = "f21bc79691d96594868b79b3f44bb153";

export default node;
