/**
 * @generated SignedSource<<11dfc52382bbd1e00a03f99ba961dda8>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
export type ToolCategory = "FILE" | "MCP" | "OTHER" | "SEARCH" | "SHELL" | "TASK" | "WEB" | "%future added value";
import type { FragmentRefs } from "relay-runtime";
export type MessageItem_block$data = {
  readonly __typename: "ImageBlock";
  readonly bytes: number;
  readonly height: number | null | undefined;
  readonly mediaType: string;
  readonly width: number | null | undefined;
} | {
  readonly __typename: "TextBlock";
  readonly bytes: number;
  readonly length: number;
  readonly text: string;
} | {
  readonly __typename: "ThinkingBlock";
  readonly preview: string;
} | {
  readonly __typename: "ToolResultBlock";
  readonly bytes: number;
  readonly hasImage: boolean;
  readonly isError: boolean;
  readonly isLong: boolean;
  readonly preview: string;
  readonly toolCallId: string;
} | {
  readonly __typename: "ToolUseBlock";
  readonly argument: string | null | undefined;
  readonly category: ToolCategory;
  readonly displayName: string;
  readonly inputBytes: number;
  readonly linesAdded: number | null | undefined;
  readonly linesRemoved: number | null | undefined;
  readonly name: string;
  readonly result: {
    readonly bytes: number;
    readonly durationMs: number | null | undefined;
    readonly hasImage: boolean;
    readonly isError: boolean;
    readonly isLong: boolean;
    readonly preview: string;
  } | null | undefined;
  readonly startedAgent: string | null | undefined;
  readonly toolCallId: string;
} | {
  // This will never be '%other', but we need some
  // value in case none of the concrete values match.
  readonly __typename: "%other";
};
export type MessageItem_block$key = {
  readonly " $data"?: MessageItem_block$data;
  readonly " $fragmentSpreads": FragmentRefs<"MessageItem_block">;
};

const node: ReaderFragment = (function(){
var v0 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "bytes",
  "storageKey": null
},
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "preview",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "toolCallId",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "isError",
  "storageKey": null
},
v4 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "isLong",
  "storageKey": null
},
v5 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "hasImage",
  "storageKey": null
};
return {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": {
    "mask": false
  },
  "name": "MessageItem_block",
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
          "args": [
            {
              "kind": "Literal",
              "name": "limit",
              "value": 12000
            }
          ],
          "kind": "ScalarField",
          "name": "text",
          "storageKey": "text(limit:12000)"
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "length",
          "storageKey": null
        },
        (v0/*:: as any*/)
      ],
      "type": "TextBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v1/*:: as any*/)
      ],
      "type": "ThinkingBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v2/*:: as any*/),
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
          "name": "displayName",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "category",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "argument",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "inputBytes",
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
          "alias": "startedAgent",
          "args": null,
          "kind": "ScalarField",
          "name": "agentId",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "concreteType": "ToolResultBlock",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": [
            (v3/*:: as any*/),
            (v1/*:: as any*/),
            (v4/*:: as any*/),
            (v0/*:: as any*/),
            (v5/*:: as any*/),
            {
              "alias": null,
              "args": null,
              "kind": "ScalarField",
              "name": "durationMs",
              "storageKey": null
            }
          ],
          "storageKey": null
        }
      ],
      "type": "ToolUseBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v2/*:: as any*/),
        (v1/*:: as any*/),
        (v3/*:: as any*/),
        (v4/*:: as any*/),
        (v0/*:: as any*/),
        (v5/*:: as any*/)
      ],
      "type": "ToolResultBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "mediaType",
          "storageKey": null
        },
        (v0/*:: as any*/),
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
    }
  ],
  "type": "ContentBlock",
  "abstractKey": "__isContentBlock"
};
})();

(node as any).hash = "25efe31377516fd0b902deb8ccf80091";

export default node;
