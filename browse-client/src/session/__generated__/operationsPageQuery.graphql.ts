/**
 * @generated SignedSource<<ad06e165029d3af5a4fc237d3a74e2e8>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type ToolCategory = "FILE" | "MCP" | "OTHER" | "SEARCH" | "SHELL" | "TASK" | "WEB" | "%future added value";
export type operationsPageQuery$variables = {
  after?: string | null | undefined;
  agentId?: string | null | undefined;
  around?: string | null | undefined;
  before?: string | null | undefined;
  first?: number | null | undefined;
  id: string;
  last?: number | null | undefined;
};
export type operationsPageQuery$data = {
  readonly session: {
    readonly id: string;
    readonly messages: {
      readonly edges: ReadonlyArray<{
        readonly cursor: string;
        readonly messageIndex: number | null | undefined;
        readonly node: {
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
      }>;
      readonly pageInfo: {
        readonly hasNextPage: boolean;
        readonly hasPreviousPage: boolean;
      };
      readonly totalCount: number;
    };
  } | null | undefined;
};
export type operationsPageQuery$rawResponse = {
  readonly session: {
    readonly id: string;
    readonly messages: {
      readonly edges: ReadonlyArray<{
        readonly cursor: string;
        readonly messageIndex: number | null | undefined;
        readonly node: {
          readonly __typename: "AssistantMessage";
          readonly __isMessage: "AssistantMessage";
          readonly agentId: string | null | undefined;
          readonly cachedTokens: number | null | undefined;
          readonly contentBlocks: ReadonlyArray<{
            readonly __typename: "ImageBlock";
            readonly __isContentBlock: "ImageBlock";
            readonly bytes: number;
            readonly height: number | null | undefined;
            readonly mediaType: string;
            readonly width: number | null | undefined;
          } | {
            readonly __typename: "TextBlock";
            readonly __isContentBlock: "TextBlock";
            readonly bytes: number;
            readonly length: number;
            readonly text: string;
          } | {
            readonly __typename: "ThinkingBlock";
            readonly __isContentBlock: "ThinkingBlock";
            readonly preview: string;
          } | {
            readonly __typename: "ToolResultBlock";
            readonly __isContentBlock: "ToolResultBlock";
            readonly bytes: number;
            readonly hasImage: boolean;
            readonly isError: boolean;
            readonly isLong: boolean;
            readonly preview: string;
            readonly toolCallId: string;
          } | {
            readonly __typename: "ToolUseBlock";
            readonly __isContentBlock: "ToolUseBlock";
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
            readonly __typename: string;
            readonly __isContentBlock: string;
          }>;
          readonly id: string;
          readonly inputTokens: number | null | undefined;
          readonly model: string | null | undefined;
          readonly outputTokens: number | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "CommandUserMessage";
          readonly __isMessage: "CommandUserMessage";
          readonly agentId: string | null | undefined;
          readonly commandName: string | null | undefined;
          readonly contentBlocks: ReadonlyArray<{
            readonly __typename: "ImageBlock";
            readonly __isContentBlock: "ImageBlock";
            readonly bytes: number;
            readonly height: number | null | undefined;
            readonly mediaType: string;
            readonly width: number | null | undefined;
          } | {
            readonly __typename: "TextBlock";
            readonly __isContentBlock: "TextBlock";
            readonly bytes: number;
            readonly length: number;
            readonly text: string;
          } | {
            readonly __typename: "ThinkingBlock";
            readonly __isContentBlock: "ThinkingBlock";
            readonly preview: string;
          } | {
            readonly __typename: "ToolResultBlock";
            readonly __isContentBlock: "ToolResultBlock";
            readonly bytes: number;
            readonly hasImage: boolean;
            readonly isError: boolean;
            readonly isLong: boolean;
            readonly preview: string;
            readonly toolCallId: string;
          } | {
            readonly __typename: "ToolUseBlock";
            readonly __isContentBlock: "ToolUseBlock";
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
            readonly __typename: string;
            readonly __isContentBlock: string;
          }>;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "ExposedToolCallMessage";
          readonly __isMessage: "ExposedToolCallMessage";
          readonly agentId: string | null | undefined;
          readonly exposedResult: {
            readonly durationMs: number | null | undefined;
            readonly id: string;
            readonly success: boolean | null | undefined;
          } | null | undefined;
          readonly id: string;
          readonly prefixedName: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly server: string | null | undefined;
          readonly timestamp: string;
          readonly tool: string | null | undefined;
        } | {
          readonly __typename: "ExposedToolResultMessage";
          readonly __isMessage: "ExposedToolResultMessage";
          readonly agentId: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly server: string | null | undefined;
          readonly success: boolean | null | undefined;
          readonly timestamp: string;
          readonly tool: string | null | undefined;
        } | {
          readonly __typename: "FileHistorySnapshotMessage";
          readonly __isMessage: "FileHistorySnapshotMessage";
          readonly agentId: string | null | undefined;
          readonly fileCount: number;
          readonly id: string;
          readonly isSnapshotUpdate: boolean;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookCheckStateMessage";
          readonly __isMessage: "HookCheckStateMessage";
          readonly agentId: string | null | undefined;
          readonly hookType: string | null | undefined;
          readonly hooksCount: number | null | undefined;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookDatetimeMessage";
          readonly __isMessage: "HookDatetimeMessage";
          readonly agentId: string | null | undefined;
          readonly datetime: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookFileChangeMessage";
          readonly __isMessage: "HookFileChangeMessage";
          readonly agentId: string | null | undefined;
          readonly changeToolName: string | null | undefined;
          readonly filePath: string | null | undefined;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookReferenceMessage";
          readonly __isMessage: "HookReferenceMessage";
          readonly agentId: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly filePath: string | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly reason: string | null | undefined;
          readonly searchText: string | null | undefined;
          readonly success: boolean | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookResultMessage";
          readonly __isMessage: "HookResultMessage";
          readonly agentId: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly exitCode: number | null | undefined;
          readonly hook: string | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly success: boolean | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookRunMessage";
          readonly __isMessage: "HookRunMessage";
          readonly agentId: string | null | undefined;
          readonly cached: boolean;
          readonly directory: string | null | undefined;
          readonly hook: string | null | undefined;
          readonly hookResult: {
            readonly durationMs: number | null | undefined;
            readonly exitCode: number | null | undefined;
            readonly id: string;
            readonly success: boolean | null | undefined;
          } | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookScriptMessage";
          readonly __isMessage: "HookScriptMessage";
          readonly agentId: string | null | undefined;
          readonly command: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly exitCode: number | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly success: boolean | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookValidationCacheMessage";
          readonly __isMessage: "HookValidationCacheMessage";
          readonly agentId: string | null | undefined;
          readonly fileCount: number;
          readonly hook: string | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "HookValidationMessage";
          readonly __isMessage: "HookValidationMessage";
          readonly agentId: string | null | undefined;
          readonly cached: boolean;
          readonly directory: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly exitCode: number | null | undefined;
          readonly hook: string | null | undefined;
          readonly id: string;
          readonly plugin: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly success: boolean | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "InterruptUserMessage";
          readonly __isMessage: "InterruptUserMessage";
          readonly agentId: string | null | undefined;
          readonly contentBlocks: ReadonlyArray<{
            readonly __typename: "ImageBlock";
            readonly __isContentBlock: "ImageBlock";
            readonly bytes: number;
            readonly height: number | null | undefined;
            readonly mediaType: string;
            readonly width: number | null | undefined;
          } | {
            readonly __typename: "TextBlock";
            readonly __isContentBlock: "TextBlock";
            readonly bytes: number;
            readonly length: number;
            readonly text: string;
          } | {
            readonly __typename: "ThinkingBlock";
            readonly __isContentBlock: "ThinkingBlock";
            readonly preview: string;
          } | {
            readonly __typename: "ToolResultBlock";
            readonly __isContentBlock: "ToolResultBlock";
            readonly bytes: number;
            readonly hasImage: boolean;
            readonly isError: boolean;
            readonly isLong: boolean;
            readonly preview: string;
            readonly toolCallId: string;
          } | {
            readonly __typename: "ToolUseBlock";
            readonly __isContentBlock: "ToolUseBlock";
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
            readonly __typename: string;
            readonly __isContentBlock: string;
          }>;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "McpToolCallMessage";
          readonly __isMessage: "McpToolCallMessage";
          readonly agentId: string | null | undefined;
          readonly id: string;
          readonly mcpResult: {
            readonly durationMs: number | null | undefined;
            readonly id: string;
            readonly success: boolean | null | undefined;
          } | null | undefined;
          readonly prefixedName: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly server: string | null | undefined;
          readonly timestamp: string;
          readonly tool: string | null | undefined;
        } | {
          readonly __typename: "McpToolResultMessage";
          readonly __isMessage: "McpToolResultMessage";
          readonly agentId: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly server: string | null | undefined;
          readonly success: boolean | null | undefined;
          readonly timestamp: string;
          readonly tool: string | null | undefined;
        } | {
          readonly __typename: "MemoryLearnMessage";
          readonly __isMessage: "MemoryLearnMessage";
          readonly agentId: string | null | undefined;
          readonly domain: string | null | undefined;
          readonly id: string;
          readonly paths: ReadonlyArray<string>;
          readonly rawBytes: number;
          readonly scope: string | null | undefined;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "MemoryQueryMessage";
          readonly __isMessage: "MemoryQueryMessage";
          readonly agentId: string | null | undefined;
          readonly durationMs: number | null | undefined;
          readonly id: string;
          readonly question: string | null | undefined;
          readonly rawBytes: number;
          readonly resultCount: number | null | undefined;
          readonly route: string | null | undefined;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "MetaUserMessage";
          readonly __isMessage: "MetaUserMessage";
          readonly agentId: string | null | undefined;
          readonly contentBlocks: ReadonlyArray<{
            readonly __typename: "ImageBlock";
            readonly __isContentBlock: "ImageBlock";
            readonly bytes: number;
            readonly height: number | null | undefined;
            readonly mediaType: string;
            readonly width: number | null | undefined;
          } | {
            readonly __typename: "TextBlock";
            readonly __isContentBlock: "TextBlock";
            readonly bytes: number;
            readonly length: number;
            readonly text: string;
          } | {
            readonly __typename: "ThinkingBlock";
            readonly __isContentBlock: "ThinkingBlock";
            readonly preview: string;
          } | {
            readonly __typename: "ToolResultBlock";
            readonly __isContentBlock: "ToolResultBlock";
            readonly bytes: number;
            readonly hasImage: boolean;
            readonly isError: boolean;
            readonly isLong: boolean;
            readonly preview: string;
            readonly toolCallId: string;
          } | {
            readonly __typename: "ToolUseBlock";
            readonly __isContentBlock: "ToolUseBlock";
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
            readonly __typename: string;
            readonly __isContentBlock: string;
          }>;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "QueueOperationMessage";
          readonly __isMessage: "QueueOperationMessage";
          readonly agentId: string | null | undefined;
          readonly id: string;
          readonly operation: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "RegularUserMessage";
          readonly __isMessage: "RegularUserMessage";
          readonly agentId: string | null | undefined;
          readonly contentBlocks: ReadonlyArray<{
            readonly __typename: "ImageBlock";
            readonly __isContentBlock: "ImageBlock";
            readonly bytes: number;
            readonly height: number | null | undefined;
            readonly mediaType: string;
            readonly width: number | null | undefined;
          } | {
            readonly __typename: "TextBlock";
            readonly __isContentBlock: "TextBlock";
            readonly bytes: number;
            readonly length: number;
            readonly text: string;
          } | {
            readonly __typename: "ThinkingBlock";
            readonly __isContentBlock: "ThinkingBlock";
            readonly preview: string;
          } | {
            readonly __typename: "ToolResultBlock";
            readonly __isContentBlock: "ToolResultBlock";
            readonly bytes: number;
            readonly hasImage: boolean;
            readonly isError: boolean;
            readonly isLong: boolean;
            readonly preview: string;
            readonly toolCallId: string;
          } | {
            readonly __typename: "ToolUseBlock";
            readonly __isContentBlock: "ToolUseBlock";
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
            readonly __typename: string;
            readonly __isContentBlock: string;
          }>;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "SentimentAnalysisMessage";
          readonly __isMessage: "SentimentAnalysisMessage";
          readonly agentId: string | null | undefined;
          readonly frustrationLevel: string | null | undefined;
          readonly frustrationScore: number | null | undefined;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly sentimentLevel: string | null | undefined;
          readonly sentimentScore: number | null | undefined;
          readonly signals: ReadonlyArray<string>;
          readonly timestamp: string;
        } | {
          readonly __typename: "SummaryMessage";
          readonly __isMessage: "SummaryMessage";
          readonly agentId: string | null | undefined;
          readonly id: string;
          readonly isCompactSummary: boolean;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "SystemMessage";
          readonly __isMessage: "SystemMessage";
          readonly agentId: string | null | undefined;
          readonly id: string;
          readonly level: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly subtype: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "ToolResultUserMessage";
          readonly __isMessage: "ToolResultUserMessage";
          readonly agentId: string | null | undefined;
          readonly contentBlocks: ReadonlyArray<{
            readonly __typename: "ImageBlock";
            readonly __isContentBlock: "ImageBlock";
            readonly bytes: number;
            readonly height: number | null | undefined;
            readonly mediaType: string;
            readonly width: number | null | undefined;
          } | {
            readonly __typename: "TextBlock";
            readonly __isContentBlock: "TextBlock";
            readonly bytes: number;
            readonly length: number;
            readonly text: string;
          } | {
            readonly __typename: "ThinkingBlock";
            readonly __isContentBlock: "ThinkingBlock";
            readonly preview: string;
          } | {
            readonly __typename: "ToolResultBlock";
            readonly __isContentBlock: "ToolResultBlock";
            readonly bytes: number;
            readonly hasImage: boolean;
            readonly isError: boolean;
            readonly isLong: boolean;
            readonly preview: string;
            readonly toolCallId: string;
          } | {
            readonly __typename: "ToolUseBlock";
            readonly __isContentBlock: "ToolUseBlock";
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
            readonly __typename: string;
            readonly __isContentBlock: string;
          }>;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: "UnknownEventMessage";
          readonly __isMessage: "UnknownEventMessage";
          readonly agentId: string | null | undefined;
          readonly eventType: string | null | undefined;
          readonly id: string;
          readonly messageType: string | null | undefined;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        } | {
          readonly __typename: string;
          readonly __isMessage: string;
          readonly agentId: string | null | undefined;
          readonly id: string;
          readonly rawBytes: number;
          readonly searchText: string | null | undefined;
          readonly timestamp: string;
        };
      }>;
      readonly pageInfo: {
        readonly hasNextPage: boolean;
        readonly hasPreviousPage: boolean;
      };
      readonly totalCount: number;
    };
  } | null | undefined;
};
export type operationsPageQuery = {
  rawResponse: operationsPageQuery$rawResponse;
  response: operationsPageQuery$data;
  variables: operationsPageQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "after"
},
v1 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "agentId"
},
v2 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "around"
},
v3 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "before"
},
v4 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "first"
},
v5 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "id"
},
v6 = {
  "defaultValue": null,
  "kind": "LocalArgument",
  "name": "last"
},
v7 = [
  {
    "kind": "Variable",
    "name": "id",
    "variableName": "id"
  }
],
v8 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v9 = [
  {
    "kind": "Variable",
    "name": "after",
    "variableName": "after"
  },
  {
    "kind": "Variable",
    "name": "agentId",
    "variableName": "agentId"
  },
  {
    "kind": "Variable",
    "name": "around",
    "variableName": "around"
  },
  {
    "kind": "Variable",
    "name": "before",
    "variableName": "before"
  },
  {
    "kind": "Variable",
    "name": "first",
    "variableName": "first"
  },
  {
    "kind": "Variable",
    "name": "last",
    "variableName": "last"
  }
],
v10 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "totalCount",
  "storageKey": null
},
v11 = {
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
      "name": "hasNextPage",
      "storageKey": null
    },
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "hasPreviousPage",
      "storageKey": null
    }
  ],
  "storageKey": null
},
v12 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "cursor",
  "storageKey": null
},
v13 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "messageIndex",
  "storageKey": null
},
v14 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "__typename",
  "storageKey": null
},
v15 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "timestamp",
  "storageKey": null
},
v16 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "searchText",
  "storageKey": null
},
v17 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "agentId",
  "storageKey": null
},
v18 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "rawBytes",
  "storageKey": null
},
v19 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "model",
  "storageKey": null
},
v20 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "inputTokens",
  "storageKey": null
},
v21 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "outputTokens",
  "storageKey": null
},
v22 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "cachedTokens",
  "storageKey": null
},
v23 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "bytes",
  "storageKey": null
},
v24 = {
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
    (v23/*:: as any*/)
  ],
  "type": "TextBlock",
  "abstractKey": null
},
v25 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "preview",
  "storageKey": null
},
v26 = {
  "kind": "InlineFragment",
  "selections": [
    (v25/*:: as any*/)
  ],
  "type": "ThinkingBlock",
  "abstractKey": null
},
v27 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "toolCallId",
  "storageKey": null
},
v28 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "isError",
  "storageKey": null
},
v29 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "isLong",
  "storageKey": null
},
v30 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "hasImage",
  "storageKey": null
},
v31 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "durationMs",
  "storageKey": null
},
v32 = {
  "kind": "InlineFragment",
  "selections": [
    (v27/*:: as any*/),
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
        (v28/*:: as any*/),
        (v25/*:: as any*/),
        (v29/*:: as any*/),
        (v23/*:: as any*/),
        (v30/*:: as any*/),
        (v31/*:: as any*/)
      ],
      "storageKey": null
    }
  ],
  "type": "ToolUseBlock",
  "abstractKey": null
},
v33 = {
  "kind": "InlineFragment",
  "selections": [
    (v27/*:: as any*/),
    (v25/*:: as any*/),
    (v28/*:: as any*/),
    (v29/*:: as any*/),
    (v23/*:: as any*/),
    (v30/*:: as any*/)
  ],
  "type": "ToolResultBlock",
  "abstractKey": null
},
v34 = {
  "kind": "InlineFragment",
  "selections": [
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "mediaType",
      "storageKey": null
    },
    (v23/*:: as any*/),
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
},
v35 = {
  "alias": null,
  "args": null,
  "concreteType": null,
  "kind": "LinkedField",
  "name": "contentBlocks",
  "plural": true,
  "selections": [
    (v14/*:: as any*/),
    (v24/*:: as any*/),
    (v26/*:: as any*/),
    (v32/*:: as any*/),
    (v33/*:: as any*/),
    (v34/*:: as any*/)
  ],
  "storageKey": null
},
v36 = [
  (v35/*:: as any*/)
],
v37 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "commandName",
  "storageKey": null
},
v38 = {
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
v39 = {
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
v40 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "fileCount",
  "storageKey": null
},
v41 = {
  "kind": "InlineFragment",
  "selections": [
    (v40/*:: as any*/),
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
v42 = {
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
v43 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "hook",
  "storageKey": null
},
v44 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "plugin",
  "storageKey": null
},
v45 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "directory",
  "storageKey": null
},
v46 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "cached",
  "storageKey": null
},
v47 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "success",
  "storageKey": null
},
v48 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "exitCode",
  "storageKey": null
},
v49 = {
  "kind": "InlineFragment",
  "selections": [
    (v43/*:: as any*/),
    (v44/*:: as any*/),
    (v45/*:: as any*/),
    (v46/*:: as any*/),
    {
      "alias": "hookResult",
      "args": null,
      "concreteType": "HookResult",
      "kind": "LinkedField",
      "name": "result",
      "plural": false,
      "selections": [
        (v8/*:: as any*/),
        (v47/*:: as any*/),
        (v31/*:: as any*/),
        (v48/*:: as any*/)
      ],
      "storageKey": null
    }
  ],
  "type": "HookRunMessage",
  "abstractKey": null
},
v50 = {
  "kind": "InlineFragment",
  "selections": [
    (v43/*:: as any*/),
    (v44/*:: as any*/),
    (v47/*:: as any*/),
    (v31/*:: as any*/),
    (v48/*:: as any*/)
  ],
  "type": "HookResultMessage",
  "abstractKey": null
},
v51 = {
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
v52 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "filePath",
  "storageKey": null
},
v53 = {
  "kind": "InlineFragment",
  "selections": [
    (v44/*:: as any*/),
    (v52/*:: as any*/),
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "reason",
      "storageKey": null
    },
    (v47/*:: as any*/),
    (v31/*:: as any*/)
  ],
  "type": "HookReferenceMessage",
  "abstractKey": null
},
v54 = {
  "kind": "InlineFragment",
  "selections": [
    (v43/*:: as any*/),
    (v44/*:: as any*/),
    (v45/*:: as any*/),
    (v46/*:: as any*/),
    (v47/*:: as any*/),
    (v31/*:: as any*/),
    (v48/*:: as any*/)
  ],
  "type": "HookValidationMessage",
  "abstractKey": null
},
v55 = {
  "kind": "InlineFragment",
  "selections": [
    (v43/*:: as any*/),
    (v44/*:: as any*/),
    (v40/*:: as any*/)
  ],
  "type": "HookValidationCacheMessage",
  "abstractKey": null
},
v56 = {
  "kind": "InlineFragment",
  "selections": [
    (v44/*:: as any*/),
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "command",
      "storageKey": null
    },
    (v47/*:: as any*/),
    (v31/*:: as any*/),
    (v48/*:: as any*/)
  ],
  "type": "HookScriptMessage",
  "abstractKey": null
},
v57 = {
  "kind": "InlineFragment",
  "selections": [
    (v44/*:: as any*/),
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "datetime",
      "storageKey": null
    },
    (v31/*:: as any*/)
  ],
  "type": "HookDatetimeMessage",
  "abstractKey": null
},
v58 = {
  "kind": "InlineFragment",
  "selections": [
    {
      "alias": null,
      "args": null,
      "kind": "ScalarField",
      "name": "changeToolName",
      "storageKey": null
    },
    (v52/*:: as any*/)
  ],
  "type": "HookFileChangeMessage",
  "abstractKey": null
},
v59 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "tool",
  "storageKey": null
},
v60 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "server",
  "storageKey": null
},
v61 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "prefixedName",
  "storageKey": null
},
v62 = [
  (v8/*:: as any*/),
  (v47/*:: as any*/),
  (v31/*:: as any*/)
],
v63 = {
  "kind": "InlineFragment",
  "selections": [
    (v59/*:: as any*/),
    (v60/*:: as any*/),
    (v61/*:: as any*/),
    {
      "alias": "mcpResult",
      "args": null,
      "concreteType": "McpToolResult",
      "kind": "LinkedField",
      "name": "result",
      "plural": false,
      "selections": (v62/*:: as any*/),
      "storageKey": null
    }
  ],
  "type": "McpToolCallMessage",
  "abstractKey": null
},
v64 = [
  (v59/*:: as any*/),
  (v60/*:: as any*/),
  (v47/*:: as any*/),
  (v31/*:: as any*/)
],
v65 = {
  "kind": "InlineFragment",
  "selections": (v64/*:: as any*/),
  "type": "McpToolResultMessage",
  "abstractKey": null
},
v66 = {
  "kind": "InlineFragment",
  "selections": [
    (v59/*:: as any*/),
    (v60/*:: as any*/),
    (v61/*:: as any*/),
    {
      "alias": "exposedResult",
      "args": null,
      "concreteType": "ExposedToolResult",
      "kind": "LinkedField",
      "name": "result",
      "plural": false,
      "selections": (v62/*:: as any*/),
      "storageKey": null
    }
  ],
  "type": "ExposedToolCallMessage",
  "abstractKey": null
},
v67 = {
  "kind": "InlineFragment",
  "selections": (v64/*:: as any*/),
  "type": "ExposedToolResultMessage",
  "abstractKey": null
},
v68 = {
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
    (v31/*:: as any*/)
  ],
  "type": "MemoryQueryMessage",
  "abstractKey": null
},
v69 = {
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
v70 = {
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
v71 = {
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
},
v72 = {
  "alias": null,
  "args": null,
  "concreteType": null,
  "kind": "LinkedField",
  "name": "contentBlocks",
  "plural": true,
  "selections": [
    (v14/*:: as any*/),
    {
      "kind": "TypeDiscriminator",
      "abstractKey": "__isContentBlock"
    },
    (v24/*:: as any*/),
    (v26/*:: as any*/),
    (v32/*:: as any*/),
    (v33/*:: as any*/),
    (v34/*:: as any*/)
  ],
  "storageKey": null
},
v73 = [
  (v72/*:: as any*/)
];
return {
  "fragment": {
    "argumentDefinitions": [
      (v0/*:: as any*/),
      (v1/*:: as any*/),
      (v2/*:: as any*/),
      (v3/*:: as any*/),
      (v4/*:: as any*/),
      (v5/*:: as any*/),
      (v6/*:: as any*/)
    ],
    "kind": "Fragment",
    "metadata": null,
    "name": "operationsPageQuery",
    "selections": [
      {
        "alias": null,
        "args": (v7/*:: as any*/),
        "concreteType": "Session",
        "kind": "LinkedField",
        "name": "session",
        "plural": false,
        "selections": [
          (v8/*:: as any*/),
          {
            "alias": null,
            "args": (v9/*:: as any*/),
            "concreteType": "MessageConnection",
            "kind": "LinkedField",
            "name": "messages",
            "plural": false,
            "selections": [
              (v10/*:: as any*/),
              (v11/*:: as any*/),
              {
                "alias": null,
                "args": null,
                "concreteType": "MessageEdge",
                "kind": "LinkedField",
                "name": "edges",
                "plural": true,
                "selections": [
                  (v12/*:: as any*/),
                  (v13/*:: as any*/),
                  {
                    "alias": null,
                    "args": null,
                    "concreteType": null,
                    "kind": "LinkedField",
                    "name": "node",
                    "plural": false,
                    "selections": [
                      (v14/*:: as any*/),
                      (v8/*:: as any*/),
                      (v15/*:: as any*/),
                      (v16/*:: as any*/),
                      (v17/*:: as any*/),
                      (v18/*:: as any*/),
                      {
                        "kind": "InlineFragment",
                        "selections": [
                          (v19/*:: as any*/),
                          (v20/*:: as any*/),
                          (v21/*:: as any*/),
                          (v22/*:: as any*/),
                          (v35/*:: as any*/)
                        ],
                        "type": "AssistantMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v36/*:: as any*/),
                        "type": "RegularUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": [
                          (v37/*:: as any*/),
                          (v35/*:: as any*/)
                        ],
                        "type": "CommandUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v36/*:: as any*/),
                        "type": "InterruptUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v36/*:: as any*/),
                        "type": "MetaUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v36/*:: as any*/),
                        "type": "ToolResultUserMessage",
                        "abstractKey": null
                      },
                      (v38/*:: as any*/),
                      (v39/*:: as any*/),
                      (v41/*:: as any*/),
                      (v42/*:: as any*/),
                      (v49/*:: as any*/),
                      (v50/*:: as any*/),
                      (v51/*:: as any*/),
                      (v53/*:: as any*/),
                      (v54/*:: as any*/),
                      (v55/*:: as any*/),
                      (v56/*:: as any*/),
                      (v57/*:: as any*/),
                      (v58/*:: as any*/),
                      (v63/*:: as any*/),
                      (v65/*:: as any*/),
                      (v66/*:: as any*/),
                      (v67/*:: as any*/),
                      (v68/*:: as any*/),
                      (v69/*:: as any*/),
                      (v70/*:: as any*/),
                      (v71/*:: as any*/)
                    ],
                    "storageKey": null
                  }
                ],
                "storageKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "storageKey": null
      }
    ],
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [
      (v5/*:: as any*/),
      (v4/*:: as any*/),
      (v0/*:: as any*/),
      (v6/*:: as any*/),
      (v3/*:: as any*/),
      (v2/*:: as any*/),
      (v1/*:: as any*/)
    ],
    "kind": "Operation",
    "name": "operationsPageQuery",
    "selections": [
      {
        "alias": null,
        "args": (v7/*:: as any*/),
        "concreteType": "Session",
        "kind": "LinkedField",
        "name": "session",
        "plural": false,
        "selections": [
          (v8/*:: as any*/),
          {
            "alias": null,
            "args": (v9/*:: as any*/),
            "concreteType": "MessageConnection",
            "kind": "LinkedField",
            "name": "messages",
            "plural": false,
            "selections": [
              (v10/*:: as any*/),
              (v11/*:: as any*/),
              {
                "alias": null,
                "args": null,
                "concreteType": "MessageEdge",
                "kind": "LinkedField",
                "name": "edges",
                "plural": true,
                "selections": [
                  (v12/*:: as any*/),
                  (v13/*:: as any*/),
                  {
                    "alias": null,
                    "args": null,
                    "concreteType": null,
                    "kind": "LinkedField",
                    "name": "node",
                    "plural": false,
                    "selections": [
                      (v14/*:: as any*/),
                      {
                        "kind": "TypeDiscriminator",
                        "abstractKey": "__isMessage"
                      },
                      (v8/*:: as any*/),
                      (v15/*:: as any*/),
                      (v16/*:: as any*/),
                      (v17/*:: as any*/),
                      (v18/*:: as any*/),
                      {
                        "kind": "InlineFragment",
                        "selections": [
                          (v19/*:: as any*/),
                          (v20/*:: as any*/),
                          (v21/*:: as any*/),
                          (v22/*:: as any*/),
                          (v72/*:: as any*/)
                        ],
                        "type": "AssistantMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v73/*:: as any*/),
                        "type": "RegularUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": [
                          (v37/*:: as any*/),
                          (v72/*:: as any*/)
                        ],
                        "type": "CommandUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v73/*:: as any*/),
                        "type": "InterruptUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v73/*:: as any*/),
                        "type": "MetaUserMessage",
                        "abstractKey": null
                      },
                      {
                        "kind": "InlineFragment",
                        "selections": (v73/*:: as any*/),
                        "type": "ToolResultUserMessage",
                        "abstractKey": null
                      },
                      (v38/*:: as any*/),
                      (v39/*:: as any*/),
                      (v41/*:: as any*/),
                      (v42/*:: as any*/),
                      (v49/*:: as any*/),
                      (v50/*:: as any*/),
                      (v51/*:: as any*/),
                      (v53/*:: as any*/),
                      (v54/*:: as any*/),
                      (v55/*:: as any*/),
                      (v56/*:: as any*/),
                      (v57/*:: as any*/),
                      (v58/*:: as any*/),
                      (v63/*:: as any*/),
                      (v65/*:: as any*/),
                      (v66/*:: as any*/),
                      (v67/*:: as any*/),
                      (v68/*:: as any*/),
                      (v69/*:: as any*/),
                      (v70/*:: as any*/),
                      (v71/*:: as any*/)
                    ],
                    "storageKey": null
                  }
                ],
                "storageKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "storageKey": null
      }
    ]
  },
  "params": {
    "cacheID": "ad93f607e78290841a934caf42396bc2",
    "id": null,
    "metadata": {},
    "name": "operationsPageQuery",
    "operationKind": "query",
    "text": "query operationsPageQuery(\n  $id: String!\n  $first: Int\n  $after: String\n  $last: Int\n  $before: String\n  $around: ID\n  $agentId: String\n) {\n  session(id: $id) {\n    id\n    messages(first: $first, after: $after, last: $last, before: $before, around: $around, agentId: $agentId) {\n      totalCount\n      pageInfo {\n        hasNextPage\n        hasPreviousPage\n      }\n      edges {\n        cursor\n        messageIndex\n        node {\n          __typename\n          __isMessage: __typename\n          id\n          timestamp\n          searchText\n          agentId\n          rawBytes\n          ... on AssistantMessage {\n            model\n            inputTokens\n            outputTokens\n            cachedTokens\n            contentBlocks {\n              __typename\n              __isContentBlock: __typename\n              ... on TextBlock {\n                text(limit: 12000)\n                length\n                bytes\n              }\n              ... on ThinkingBlock {\n                preview\n              }\n              ... on ToolUseBlock {\n                toolCallId\n                name\n                displayName\n                category\n                argument\n                inputBytes\n                linesAdded\n                linesRemoved\n                startedAgent: agentId\n                result {\n                  isError\n                  preview\n                  isLong\n                  bytes\n                  hasImage\n                  durationMs\n                }\n              }\n              ... on ToolResultBlock {\n                toolCallId\n                preview\n                isError\n                isLong\n                bytes\n                hasImage\n              }\n              ... on ImageBlock {\n                mediaType\n                bytes\n                width\n                height\n              }\n            }\n          }\n          ... on RegularUserMessage {\n            contentBlocks {\n              __typename\n              __isContentBlock: __typename\n              ... on TextBlock {\n                text(limit: 12000)\n                length\n                bytes\n              }\n              ... on ThinkingBlock {\n                preview\n              }\n              ... on ToolUseBlock {\n                toolCallId\n                name\n                displayName\n                category\n                argument\n                inputBytes\n                linesAdded\n                linesRemoved\n                startedAgent: agentId\n                result {\n                  isError\n                  preview\n                  isLong\n                  bytes\n                  hasImage\n                  durationMs\n                }\n              }\n              ... on ToolResultBlock {\n                toolCallId\n                preview\n                isError\n                isLong\n                bytes\n                hasImage\n              }\n              ... on ImageBlock {\n                mediaType\n                bytes\n                width\n                height\n              }\n            }\n          }\n          ... on CommandUserMessage {\n            commandName\n            contentBlocks {\n              __typename\n              __isContentBlock: __typename\n              ... on TextBlock {\n                text(limit: 12000)\n                length\n                bytes\n              }\n              ... on ThinkingBlock {\n                preview\n              }\n              ... on ToolUseBlock {\n                toolCallId\n                name\n                displayName\n                category\n                argument\n                inputBytes\n                linesAdded\n                linesRemoved\n                startedAgent: agentId\n                result {\n                  isError\n                  preview\n                  isLong\n                  bytes\n                  hasImage\n                  durationMs\n                }\n              }\n              ... on ToolResultBlock {\n                toolCallId\n                preview\n                isError\n                isLong\n                bytes\n                hasImage\n              }\n              ... on ImageBlock {\n                mediaType\n                bytes\n                width\n                height\n              }\n            }\n          }\n          ... on InterruptUserMessage {\n            contentBlocks {\n              __typename\n              __isContentBlock: __typename\n              ... on TextBlock {\n                text(limit: 12000)\n                length\n                bytes\n              }\n              ... on ThinkingBlock {\n                preview\n              }\n              ... on ToolUseBlock {\n                toolCallId\n                name\n                displayName\n                category\n                argument\n                inputBytes\n                linesAdded\n                linesRemoved\n                startedAgent: agentId\n                result {\n                  isError\n                  preview\n                  isLong\n                  bytes\n                  hasImage\n                  durationMs\n                }\n              }\n              ... on ToolResultBlock {\n                toolCallId\n                preview\n                isError\n                isLong\n                bytes\n                hasImage\n              }\n              ... on ImageBlock {\n                mediaType\n                bytes\n                width\n                height\n              }\n            }\n          }\n          ... on MetaUserMessage {\n            contentBlocks {\n              __typename\n              __isContentBlock: __typename\n              ... on TextBlock {\n                text(limit: 12000)\n                length\n                bytes\n              }\n              ... on ThinkingBlock {\n                preview\n              }\n              ... on ToolUseBlock {\n                toolCallId\n                name\n                displayName\n                category\n                argument\n                inputBytes\n                linesAdded\n                linesRemoved\n                startedAgent: agentId\n                result {\n                  isError\n                  preview\n                  isLong\n                  bytes\n                  hasImage\n                  durationMs\n                }\n              }\n              ... on ToolResultBlock {\n                toolCallId\n                preview\n                isError\n                isLong\n                bytes\n                hasImage\n              }\n              ... on ImageBlock {\n                mediaType\n                bytes\n                width\n                height\n              }\n            }\n          }\n          ... on ToolResultUserMessage {\n            contentBlocks {\n              __typename\n              __isContentBlock: __typename\n              ... on TextBlock {\n                text(limit: 12000)\n                length\n                bytes\n              }\n              ... on ThinkingBlock {\n                preview\n              }\n              ... on ToolUseBlock {\n                toolCallId\n                name\n                displayName\n                category\n                argument\n                inputBytes\n                linesAdded\n                linesRemoved\n                startedAgent: agentId\n                result {\n                  isError\n                  preview\n                  isLong\n                  bytes\n                  hasImage\n                  durationMs\n                }\n              }\n              ... on ToolResultBlock {\n                toolCallId\n                preview\n                isError\n                isLong\n                bytes\n                hasImage\n              }\n              ... on ImageBlock {\n                mediaType\n                bytes\n                width\n                height\n              }\n            }\n          }\n          ... on SummaryMessage {\n            isCompactSummary\n          }\n          ... on SystemMessage {\n            subtype\n            level\n          }\n          ... on FileHistorySnapshotMessage {\n            fileCount\n            isSnapshotUpdate\n          }\n          ... on QueueOperationMessage {\n            operation\n          }\n          ... on HookRunMessage {\n            hook\n            plugin\n            directory\n            cached\n            hookResult: result {\n              id\n              success\n              durationMs\n              exitCode\n            }\n          }\n          ... on HookResultMessage {\n            hook\n            plugin\n            success\n            durationMs\n            exitCode\n          }\n          ... on HookCheckStateMessage {\n            hookType\n            hooksCount\n          }\n          ... on HookReferenceMessage {\n            plugin\n            filePath\n            reason\n            success\n            durationMs\n          }\n          ... on HookValidationMessage {\n            hook\n            plugin\n            directory\n            cached\n            success\n            durationMs\n            exitCode\n          }\n          ... on HookValidationCacheMessage {\n            hook\n            plugin\n            fileCount\n          }\n          ... on HookScriptMessage {\n            plugin\n            command\n            success\n            durationMs\n            exitCode\n          }\n          ... on HookDatetimeMessage {\n            plugin\n            datetime\n            durationMs\n          }\n          ... on HookFileChangeMessage {\n            changeToolName\n            filePath\n          }\n          ... on McpToolCallMessage {\n            tool\n            server\n            prefixedName\n            mcpResult: result {\n              id\n              success\n              durationMs\n            }\n          }\n          ... on McpToolResultMessage {\n            tool\n            server\n            success\n            durationMs\n          }\n          ... on ExposedToolCallMessage {\n            tool\n            server\n            prefixedName\n            exposedResult: result {\n              id\n              success\n              durationMs\n            }\n          }\n          ... on ExposedToolResultMessage {\n            tool\n            server\n            success\n            durationMs\n          }\n          ... on MemoryQueryMessage {\n            question\n            route\n            resultCount\n            durationMs\n          }\n          ... on MemoryLearnMessage {\n            domain\n            scope\n            paths\n          }\n          ... on SentimentAnalysisMessage {\n            sentimentScore\n            sentimentLevel\n            frustrationScore\n            frustrationLevel\n            signals\n          }\n          ... on UnknownEventMessage {\n            messageType\n            eventType\n          }\n        }\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "ed88e0bc4606d1b2431b1eb93ea905ff";

export default node;
