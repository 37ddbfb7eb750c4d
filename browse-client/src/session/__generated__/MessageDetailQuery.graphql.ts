/**
 * @generated SignedSource<<061a1d10aa949cb690e788c29e3dff31>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type MessageDetailQuery$variables = {
  id: string;
};
export type MessageDetailQuery$data = {
  readonly message: {
    readonly __typename: string;
    readonly callInput?: string | null | undefined;
    readonly content?: string | null | undefined;
    readonly contentBlocks?: ReadonlyArray<{
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
    }>;
    readonly error?: string | null | undefined;
    readonly exposedResult?: {
      readonly error: string | null | undefined;
      readonly result: string | null | undefined;
    } | null | undefined;
    readonly hookResult?: {
      readonly error: string | null | undefined;
      readonly output: string | null | undefined;
    } | null | undefined;
    readonly id: string;
    readonly mcpResult?: {
      readonly error: string | null | undefined;
      readonly result: string | null | undefined;
    } | null | undefined;
    readonly output?: string | null | undefined;
  } | null | undefined;
};
export type MessageDetailQuery$rawResponse = {
  readonly message: {
    readonly __typename: "AssistantMessage";
    readonly contentBlocks: ReadonlyArray<{
      readonly __typename: "ImageBlock";
      readonly __isContentBlock: "ImageBlock";
      readonly bytes: number;
      readonly dataUrl: string;
      readonly height: number | null | undefined;
      readonly mediaType: string;
      readonly width: number | null | undefined;
    } | {
      readonly __typename: "TextBlock";
      readonly __isContentBlock: "TextBlock";
      readonly text: string;
    } | {
      readonly __typename: "ThinkingBlock";
      readonly __isContentBlock: "ThinkingBlock";
      readonly thinking: string;
    } | {
      readonly __typename: "ToolResultBlock";
      readonly __isContentBlock: "ToolResultBlock";
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
      readonly __isContentBlock: "ToolUseBlock";
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
      readonly __typename: string;
      readonly __isContentBlock: string;
    }>;
    readonly id: string;
  } | {
    readonly __typename: "ExposedToolCallMessage";
    readonly callInput: string | null | undefined;
    readonly exposedResult: {
      readonly error: string | null | undefined;
      readonly result: string | null | undefined;
    } | null | undefined;
    readonly id: string;
  } | {
    readonly __typename: "ExposedToolResultMessage";
    readonly error: string | null | undefined;
    readonly id: string;
    readonly output: string | null | undefined;
  } | {
    readonly __typename: "HookResultMessage";
    readonly error: string | null | undefined;
    readonly id: string;
    readonly output: string | null | undefined;
  } | {
    readonly __typename: "HookRunMessage";
    readonly hookResult: {
      readonly error: string | null | undefined;
      readonly output: string | null | undefined;
    } | null | undefined;
    readonly id: string;
  } | {
    readonly __typename: "HookScriptMessage";
    readonly id: string;
    readonly output: string | null | undefined;
  } | {
    readonly __typename: "HookValidationMessage";
    readonly error: string | null | undefined;
    readonly id: string;
    readonly output: string | null | undefined;
  } | {
    readonly __typename: "McpToolCallMessage";
    readonly callInput: string | null | undefined;
    readonly id: string;
    readonly mcpResult: {
      readonly error: string | null | undefined;
      readonly result: string | null | undefined;
    } | null | undefined;
  } | {
    readonly __typename: "McpToolResultMessage";
    readonly error: string | null | undefined;
    readonly id: string;
    readonly output: string | null | undefined;
  } | {
    readonly __typename: "SummaryMessage";
    readonly content: string | null | undefined;
    readonly id: string;
  } | {
    readonly __typename: "SystemMessage";
    readonly content: string | null | undefined;
    readonly id: string;
  } | {
    readonly __typename: string;
    readonly __isUserMessage?: string;
    readonly contentBlocks?: ReadonlyArray<{
      readonly __typename: "ImageBlock";
      readonly __isContentBlock: "ImageBlock";
      readonly bytes: number;
      readonly dataUrl: string;
      readonly height: number | null | undefined;
      readonly mediaType: string;
      readonly width: number | null | undefined;
    } | {
      readonly __typename: "TextBlock";
      readonly __isContentBlock: "TextBlock";
      readonly text: string;
    } | {
      readonly __typename: "ThinkingBlock";
      readonly __isContentBlock: "ThinkingBlock";
      readonly thinking: string;
    } | {
      readonly __typename: "ToolResultBlock";
      readonly __isContentBlock: "ToolResultBlock";
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
      readonly __isContentBlock: "ToolUseBlock";
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
      readonly __typename: string;
      readonly __isContentBlock: string;
    }>;
    readonly id: string;
  } | null | undefined;
};
export type MessageDetailQuery = {
  rawResponse: MessageDetailQuery$rawResponse;
  response: MessageDetailQuery$data;
  variables: MessageDetailQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "id"
  }
],
v1 = [
  {
    "kind": "Variable",
    "name": "id",
    "variableName": "id"
  }
],
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "__typename",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v4 = {
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
v5 = {
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
v6 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "content",
  "storageKey": null
},
v7 = [
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
v8 = [
  (v6/*:: as any*/),
  {
    "alias": null,
    "args": null,
    "concreteType": "ImageBlock",
    "kind": "LinkedField",
    "name": "images",
    "plural": true,
    "selections": (v7/*:: as any*/),
    "storageKey": null
  }
],
v9 = {
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
      "selections": (v8/*:: as any*/),
      "storageKey": null
    }
  ],
  "type": "ToolUseBlock",
  "abstractKey": null
},
v10 = {
  "kind": "InlineFragment",
  "selections": (v8/*:: as any*/),
  "type": "ToolResultBlock",
  "abstractKey": null
},
v11 = {
  "kind": "InlineFragment",
  "selections": (v7/*:: as any*/),
  "type": "ImageBlock",
  "abstractKey": null
},
v12 = [
  {
    "alias": null,
    "args": null,
    "concreteType": null,
    "kind": "LinkedField",
    "name": "contentBlocks",
    "plural": true,
    "selections": [
      (v2/*:: as any*/),
      (v4/*:: as any*/),
      (v5/*:: as any*/),
      (v9/*:: as any*/),
      (v10/*:: as any*/),
      (v11/*:: as any*/)
    ],
    "storageKey": null
  }
],
v13 = [
  (v6/*:: as any*/)
],
v14 = {
  "kind": "InlineFragment",
  "selections": (v13/*:: as any*/),
  "type": "SummaryMessage",
  "abstractKey": null
},
v15 = {
  "kind": "InlineFragment",
  "selections": (v13/*:: as any*/),
  "type": "SystemMessage",
  "abstractKey": null
},
v16 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "output",
  "storageKey": null
},
v17 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "error",
  "storageKey": null
},
v18 = [
  (v16/*:: as any*/),
  (v17/*:: as any*/)
],
v19 = {
  "kind": "InlineFragment",
  "selections": [
    {
      "alias": "hookResult",
      "args": null,
      "concreteType": "HookResult",
      "kind": "LinkedField",
      "name": "result",
      "plural": false,
      "selections": (v18/*:: as any*/),
      "storageKey": null
    }
  ],
  "type": "HookRunMessage",
  "abstractKey": null
},
v20 = {
  "kind": "InlineFragment",
  "selections": (v18/*:: as any*/),
  "type": "HookResultMessage",
  "abstractKey": null
},
v21 = {
  "kind": "InlineFragment",
  "selections": (v18/*:: as any*/),
  "type": "HookValidationMessage",
  "abstractKey": null
},
v22 = {
  "kind": "InlineFragment",
  "selections": [
    (v16/*:: as any*/)
  ],
  "type": "HookScriptMessage",
  "abstractKey": null
},
v23 = {
  "alias": "callInput",
  "args": null,
  "kind": "ScalarField",
  "name": "input",
  "storageKey": null
},
v24 = [
  {
    "alias": null,
    "args": null,
    "kind": "ScalarField",
    "name": "result",
    "storageKey": null
  },
  (v17/*:: as any*/)
],
v25 = {
  "kind": "InlineFragment",
  "selections": [
    (v23/*:: as any*/),
    {
      "alias": "mcpResult",
      "args": null,
      "concreteType": "McpToolResult",
      "kind": "LinkedField",
      "name": "result",
      "plural": false,
      "selections": (v24/*:: as any*/),
      "storageKey": null
    }
  ],
  "type": "McpToolCallMessage",
  "abstractKey": null
},
v26 = {
  "kind": "InlineFragment",
  "selections": (v18/*:: as any*/),
  "type": "McpToolResultMessage",
  "abstractKey": null
},
v27 = {
  "kind": "InlineFragment",
  "selections": [
    (v23/*:: as any*/),
    {
      "alias": "exposedResult",
      "args": null,
      "concreteType": "ExposedToolResult",
      "kind": "LinkedField",
      "name": "result",
      "plural": false,
      "selections": (v24/*:: as any*/),
      "storageKey": null
    }
  ],
  "type": "ExposedToolCallMessage",
  "abstractKey": null
},
v28 = {
  "kind": "InlineFragment",
  "selections": (v18/*:: as any*/),
  "type": "ExposedToolResultMessage",
  "abstractKey": null
},
v29 = [
  {
    "alias": null,
    "args": null,
    "concreteType": null,
    "kind": "LinkedField",
    "name": "contentBlocks",
    "plural": true,
    "selections": [
      (v2/*:: as any*/),
      {
        "kind": "TypeDiscriminator",
        "abstractKey": "__isContentBlock"
      },
      (v4/*:: as any*/),
      (v5/*:: as any*/),
      (v9/*:: as any*/),
      (v10/*:: as any*/),
      (v11/*:: as any*/)
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "MessageDetailQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "message",
        "plural": false,
        "selections": [
          (v2/*:: as any*/),
          (v3/*:: as any*/),
          {
            "kind": "InlineFragment",
            "selections": (v12/*:: as any*/),
            "type": "AssistantMessage",
            "abstractKey": null
          },
          {
            "kind": "InlineFragment",
            "selections": (v12/*:: as any*/),
            "type": "UserMessage",
            "abstractKey": "__isUserMessage"
          },
          (v14/*:: as any*/),
          (v15/*:: as any*/),
          (v19/*:: as any*/),
          (v20/*:: as any*/),
          (v21/*:: as any*/),
          (v22/*:: as any*/),
          (v25/*:: as any*/),
          (v26/*:: as any*/),
          (v27/*:: as any*/),
          (v28/*:: as any*/)
        ],
        "storageKey": null
      }
    ],
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "MessageDetailQuery",
    "selections": [
      {
        "alias": null,
        "args": (v1/*:: as any*/),
        "concreteType": null,
        "kind": "LinkedField",
        "name": "message",
        "plural": false,
        "selections": [
          (v2/*:: as any*/),
          (v3/*:: as any*/),
          {
            "kind": "InlineFragment",
            "selections": (v29/*:: as any*/),
            "type": "AssistantMessage",
            "abstractKey": null
          },
          {
            "kind": "InlineFragment",
            "selections": (v29/*:: as any*/),
            "type": "UserMessage",
            "abstractKey": "__isUserMessage"
          },
          (v14/*:: as any*/),
          (v15/*:: as any*/),
          (v19/*:: as any*/),
          (v20/*:: as any*/),
          (v21/*:: as any*/),
          (v22/*:: as any*/),
          (v25/*:: as any*/),
          (v26/*:: as any*/),
          (v27/*:: as any*/),
          (v28/*:: as any*/)
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "906900ddf9a058ee2553a216fe0544b0",
    "id": null,
    "metadata": {},
    "name": "MessageDetailQuery",
    "operationKind": "query",
    "text": "query MessageDetailQuery(\n  $id: String!\n) {\n  message(id: $id) {\n    __typename\n    id\n    ... on AssistantMessage {\n      contentBlocks {\n        __typename\n        __isContentBlock: __typename\n        ... on TextBlock {\n          text\n        }\n        ... on ThinkingBlock {\n          thinking\n        }\n        ... on ToolUseBlock {\n          toolCallId\n          input\n          hunks {\n            oldStart\n            newStart\n            lines\n          }\n          result {\n            content\n            images {\n              mediaType\n              dataUrl\n              bytes\n              width\n              height\n            }\n          }\n        }\n        ... on ToolResultBlock {\n          content\n          images {\n            mediaType\n            dataUrl\n            bytes\n            width\n            height\n          }\n        }\n        ... on ImageBlock {\n          mediaType\n          dataUrl\n          bytes\n          width\n          height\n        }\n      }\n    }\n    ... on UserMessage {\n      __isUserMessage: __typename\n      contentBlocks {\n        __typename\n        __isContentBlock: __typename\n        ... on TextBlock {\n          text\n        }\n        ... on ThinkingBlock {\n          thinking\n        }\n        ... on ToolUseBlock {\n          toolCallId\n          input\n          hunks {\n            oldStart\n            newStart\n            lines\n          }\n          result {\n            content\n            images {\n              mediaType\n              dataUrl\n              bytes\n              width\n              height\n            }\n          }\n        }\n        ... on ToolResultBlock {\n          content\n          images {\n            mediaType\n            dataUrl\n            bytes\n            width\n            height\n          }\n        }\n        ... on ImageBlock {\n          mediaType\n          dataUrl\n          bytes\n          width\n          height\n        }\n      }\n    }\n    ... on SummaryMessage {\n      content\n    }\n    ... on SystemMessage {\n      content\n    }\n    ... on HookRunMessage {\n      hookResult: result {\n        output\n        error\n      }\n    }\n    ... on HookResultMessage {\n      output\n      error\n    }\n    ... on HookValidationMessage {\n      output\n      error\n    }\n    ... on HookScriptMessage {\n      output\n    }\n    ... on McpToolCallMessage {\n      callInput: input\n      mcpResult: result {\n        result\n        error\n      }\n    }\n    ... on McpToolResultMessage {\n      output\n      error\n    }\n    ... on ExposedToolCallMessage {\n      callInput: input\n      exposedResult: result {\n        result\n        error\n      }\n    }\n    ... on ExposedToolResultMessage {\n      output\n      error\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "2287a26d6b336064972685860ef83948";

export default node;
