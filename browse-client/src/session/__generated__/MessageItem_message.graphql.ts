/**
 * @generated SignedSource<<3386a8ff2c51a6f4a6e9b76cef504253>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ReaderFragment } from 'relay-runtime';
export type ToolCategory = "FILE" | "MCP" | "OTHER" | "SEARCH" | "SHELL" | "TASK" | "WEB" | "%future added value";
import type { FragmentRefs } from "relay-runtime";
export type MessageItem_message$data = {
  readonly __typename: string;
  readonly agentId: string | null | undefined;
  readonly cached?: boolean;
  readonly cachedTokens?: number | null | undefined;
  readonly changeToolName?: string | null | undefined;
  readonly command?: string | null | undefined;
  readonly commandName?: string | null | undefined;
  readonly contentBlocks?: ReadonlyArray<{
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
  }>;
  readonly datetime?: string | null | undefined;
  readonly directory?: string | null | undefined;
  readonly domain?: string | null | undefined;
  readonly durationMs?: number | null | undefined;
  readonly eventType?: string | null | undefined;
  readonly exitCode?: number | null | undefined;
  readonly exposedResult?: {
    readonly durationMs: number | null | undefined;
    readonly id: string;
    readonly success: boolean | null | undefined;
  } | null | undefined;
  readonly fileCount?: number;
  readonly filePath?: string | null | undefined;
  readonly frustrationLevel?: string | null | undefined;
  readonly frustrationScore?: number | null | undefined;
  readonly hook?: string | null | undefined;
  readonly hookResult?: {
    readonly durationMs: number | null | undefined;
    readonly exitCode: number | null | undefined;
    readonly id: string;
    readonly success: boolean | null | undefined;
  } | null | undefined;
  readonly hookType?: string | null | undefined;
  readonly hooksCount?: number | null | undefined;
  readonly id: string;
  readonly inputTokens?: number | null | undefined;
  readonly isCompactSummary?: boolean;
  readonly isSnapshotUpdate?: boolean;
  readonly level?: string | null | undefined;
  readonly mcpResult?: {
    readonly durationMs: number | null | undefined;
    readonly id: string;
    readonly success: boolean | null | undefined;
  } | null | undefined;
  readonly messageType?: string | null | undefined;
  readonly model?: string | null | undefined;
  readonly operation?: string | null | undefined;
  readonly outputTokens?: number | null | undefined;
  readonly paths?: ReadonlyArray<string>;
  readonly plugin?: string | null | undefined;
  readonly prefixedName?: string | null | undefined;
  readonly question?: string | null | undefined;
  readonly rawBytes: number;
  readonly reason?: string | null | undefined;
  readonly resultCount?: number | null | undefined;
  readonly route?: string | null | undefined;
  readonly scope?: string | null | undefined;
  readonly searchText: string | null | undefined;
  readonly sentimentLevel?: string | null | undefined;
  readonly sentimentScore?: number | null | undefined;
  readonly server?: string | null | undefined;
  readonly signals?: ReadonlyArray<string>;
  readonly subtype?: string | null | undefined;
  readonly success?: boolean | null | undefined;
  readonly timestamp: string;
  readonly tool?: string | null | undefined;
};
export type MessageItem_message$key = {
  readonly " $data"?: MessageItem_message$data;
  readonly " $fragmentSpreads": FragmentRefs<"MessageItem_message">;
};

const node: ReaderFragment = (function(){
var v0 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "__typename",
  "storageKey": null
},
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "bytes",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "preview",
  "storageKey": null
},
v4 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "toolCallId",
  "storageKey": null
},
v5 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "isError",
  "storageKey": null
},
v6 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "isLong",
  "storageKey": null
},
v7 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "hasImage",
  "storageKey": null
},
v8 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "durationMs",
  "storageKey": null
},
v9 = {
  "alias": null,
  "args": null,
  "concreteType": null,
  "kind": "LinkedField",
  "name": "contentBlocks",
  "plural": true,
  "selections": [
    (v0/*:: as any*/),
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
        (v2/*:: as any*/)
      ],
      "type": "TextBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v3/*:: as any*/)
      ],
      "type": "ThinkingBlock",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v4/*:: as any*/),
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
            (v5/*:: as any*/),
            (v3/*:: as any*/),
            (v6/*:: as any*/),
            (v2/*:: as any*/),
            (v7/*:: as any*/),
            (v8/*:: as any*/)
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
        (v4/*:: as any*/),
        (v3/*:: as any*/),
        (v5/*:: as any*/),
        (v6/*:: as any*/),
        (v2/*:: as any*/),
        (v7/*:: as any*/)
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
        (v2/*:: as any*/),
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
  "storageKey": null
},
v10 = [
  (v9/*:: as any*/)
],
v11 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "fileCount",
  "storageKey": null
},
v12 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "hook",
  "storageKey": null
},
v13 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "plugin",
  "storageKey": null
},
v14 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "directory",
  "storageKey": null
},
v15 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "cached",
  "storageKey": null
},
v16 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "success",
  "storageKey": null
},
v17 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "exitCode",
  "storageKey": null
},
v18 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "filePath",
  "storageKey": null
},
v19 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "tool",
  "storageKey": null
},
v20 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "server",
  "storageKey": null
},
v21 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "prefixedName",
  "storageKey": null
},
v22 = [
  (v1/*:: as any*/),
  (v16/*:: as any*/),
  (v8/*:: as any*/)
],
v23 = [
  (v19/*:: as any*/),
  (v20/*:: as any*/),
  (v16/*:: as any*/),
  (v8/*:: as any*/)
];
return {
  "argumentDefinitions": [],
  "kind": "Fragment",
  "metadata": {
    "mask": false
  },
  "name": "MessageItem_message",
  "selections": [
    (v0/*:: as any*/),
    (v1/*:: as any*/),
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "timestamp",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "searchText",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "agentId",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "rawBytes",
      "storageKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "model",
          "storageKey": null
        },
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
        (v9/*:: as any*/)
      ],
      "type": "AssistantMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v10/*:: as any*/),
      "type": "RegularUserMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "commandName",
          "storageKey": null
        },
        (v9/*:: as any*/)
      ],
      "type": "CommandUserMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v10/*:: as any*/),
      "type": "InterruptUserMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v10/*:: as any*/),
      "type": "MetaUserMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v10/*:: as any*/),
      "type": "ToolResultUserMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "isCompactSummary",
          "storageKey": null
        }
      ],
      "type": "SummaryMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "subtype",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "level",
          "storageKey": null
        }
      ],
      "type": "SystemMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v11/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "isSnapshotUpdate",
          "storageKey": null
        }
      ],
      "type": "FileHistorySnapshotMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "operation",
          "storageKey": null
        }
      ],
      "type": "QueueOperationMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v12/*:: as any*/),
        (v13/*:: as any*/),
        (v14/*:: as any*/),
        (v15/*:: as any*/),
        {
          "alias": "hookResult",
          "args": null,
          "concreteType": "HookResult",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": [
            (v1/*:: as any*/),
            (v16/*:: as any*/),
            (v8/*:: as any*/),
            (v17/*:: as any*/)
          ],
          "storageKey": null
        }
      ],
      "type": "HookRunMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v12/*:: as any*/),
        (v13/*:: as any*/),
        (v16/*:: as any*/),
        (v8/*:: as any*/),
        (v17/*:: as any*/)
      ],
      "type": "HookResultMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "hookType",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "hooksCount",
          "storageKey": null
        }
      ],
      "type": "HookCheckStateMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v13/*:: as any*/),
        (v18/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "reason",
          "storageKey": null
        },
        (v16/*:: as any*/),
        (v8/*:: as any*/)
      ],
      "type": "HookReferenceMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v12/*:: as any*/),
        (v13/*:: as any*/),
        (v14/*:: as any*/),
        (v15/*:: as any*/),
        (v16/*:: as any*/),
        (v8/*:: as any*/),
        (v17/*:: as any*/)
      ],
      "type": "HookValidationMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v12/*:: as any*/),
        (v13/*:: as any*/),
        (v11/*:: as any*/)
      ],
      "type": "HookValidationCacheMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v13/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "command",
          "storageKey": null
        },
        (v16/*:: as any*/),
        (v8/*:: as any*/),
        (v17/*:: as any*/)
      ],
      "type": "HookScriptMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v13/*:: as any*/),
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "datetime",
          "storageKey": null
        },
        (v8/*:: as any*/)
      ],
      "type": "HookDatetimeMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "changeToolName",
          "storageKey": null
        },
        (v18/*:: as any*/)
      ],
      "type": "HookFileChangeMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v19/*:: as any*/),
        (v20/*:: as any*/),
        (v21/*:: as any*/),
        {
          "alias": "mcpResult",
          "args": null,
          "concreteType": "McpToolResult",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": (v22/*:: as any*/),
          "storageKey": null
        }
      ],
      "type": "McpToolCallMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v23/*:: as any*/),
      "type": "McpToolResultMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        (v19/*:: as any*/),
        (v20/*:: as any*/),
        (v21/*:: as any*/),
        {
          "alias": "exposedResult",
          "args": null,
          "concreteType": "ExposedToolResult",
          "kind": "LinkedField",
          "name": "result",
          "plural": false,
          "selections": (v22/*:: as any*/),
          "storageKey": null
        }
      ],
      "type": "ExposedToolCallMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": (v23/*:: as any*/),
      "type": "ExposedToolResultMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "question",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "route",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "resultCount",
          "storageKey": null
        },
        (v8/*:: as any*/)
      ],
      "type": "MemoryQueryMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "domain",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "scope",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "paths",
          "storageKey": null
        }
      ],
      "type": "MemoryLearnMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "sentimentScore",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "sentimentLevel",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "frustrationScore",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "frustrationLevel",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "signals",
          "storageKey": null
        }
      ],
      "type": "SentimentAnalysisMessage",
      "abstractKey": null
    },
    {
      "kind": "InlineFragment",
      "selections": [
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "messageType",
          "storageKey": null
        },
        {
          "alias": null,
          "args": null,
          "kind": "ScalarField",
          "name": "eventType",
          "storageKey": null
        }
      ],
      "type": "UnknownEventMessage",
      "abstractKey": null
    }
  ],
  "type": "Message",
  "abstractKey": "__isMessage"
};
})();

(node as any).hash = "7a5e562484d85188e9761c7b38ce9e8b";

export default node;
