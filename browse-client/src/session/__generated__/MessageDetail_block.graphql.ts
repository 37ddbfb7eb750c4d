/**
 * @generated SignedSource<<e01ba3e82e0c460e89ab2ba22160a7f7>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
import type { FragmentRefs } from "relay-runtime";
export type MessageDetail_block$data = {
  readonly __typename: "ImageBlock";
  readonly bytes: number;
  readonly dataUrl: string;
  readonly height: number | null | undefined;
  readonly mediaType: string;
  readonly width: number | null | undefined;
} | {
  readonly __typename: "TextBlock";
  readonly text: string;
} | {
  readonly __typename: "ThinkingBlock";
  readonly thinking: string;
} | {
  readonly __typename: "ToolResultBlock";
  readonly content: string;
  readonly images: ReadonlyArray<{
    readonly bytes: number;
    readonly dataUrl: string;
    readonly height: number | null | undefined;
    readonly mediaType: string;
    readonly width: number | null | undefined;
  }>;
} | {
  readonly __typename: "ToolUseBlock";
  readonly hunks: ReadonlyArray<{
    readonly lines: ReadonlyArray<string>;
    readonly newStart: number;
    readonly oldStart: number;
  }> | null | undefined;
  readonly input: string;
  readonly result: {
    readonly content: string;
    readonly images: ReadonlyArray<{
      readonly bytes: number;
      readonly dataUrl: string;
      readonly height: number | null | undefined;
      readonly mediaType: string;
      readonly width: number | null | undefined;
    }>;
  } | null | undefined;
  readonly toolCallId: string;
} | {
  // This will never be '%other', but we need some
  // value in case none of the concrete values match.
  readonly __typename: "%other";
};
export type MessageDetail_block$key = {
  readonly " $data"?: MessageDetail_block$data;
  readonly " $fragmentSpreads": FragmentRefs<"MessageDetail_block">;
};

const node: ReaderFragment = (function(){
var v0 = [
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
v1 = [
  {
    "alias": null,
    "args": null,
    "kind": "ScalarField",
    "name": "content",
    "storageKey": null
  },
  {
    "alias": null,
    "args": null,
    "concreteType": "ImageBlock",
    "kind": "LinkedField",
    "name": "images",
    "plural": true,
    "selections": (v0/*:: as any*/),
    "storageKey": null
  }
];
return {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": {
    "mask": false
  },
  "name": "MessageDetail_block",
  "selections": [
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "__typename",
      "storageKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "text",
          "storageKey": null
        }
      ],
      "type": "TextBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "thinking",
          "storageKey": null
        }
      ],
      "type": "ThinkingBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "toolCallId",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "input",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "concreteType": "FileHunk",
          "kind": "LinkedField",
          "name": "hunks",
          "plural": true,
          "selections": [
            {
              "alias": null,
              "args": null,
              "kind": "ScalarField",
              "name": "oldStart",
              "storageKey": null
            },
            {
              "alias": null,
              "args": null,
              "kind": "ScalarField",
              "name": "newStart",
              "storageKey": null
            },
            {
              "alias": null,
              "args": null,
              "kind": "ScalarField",
              "name": "lines",
              "storageKey": null
            }
          ],
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "concreteType": "ToolResultBlock",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": (v1/*:: as any*/),
          "storageKey": null
        }
      ],
      "type": "ToolUseBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v1/*:: as any*/),
      "type": "ToolResultBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v0/*:: as any*/),
      "type": "ImageBlock",
      "abstractKey": null
    }
  ],
  "type": "ContentBlock",
  "abstractKey": "__isContentBlock"
};
})();

(node as any).hash = "8cf0392cd9e0f64445d3589b511b5789";

export default node;
