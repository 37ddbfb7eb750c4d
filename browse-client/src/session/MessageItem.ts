// What a list shows of each type of message. Long texts are cut, and inputs, results and images are left out: their
// sizes are loaded first, and they themselves on demand (MessageDetail.ts).

import { graphql } from "react-relay";

/** The fragment that pages and the subscription share. It lists every type of message and of block. */
export const messageItem = graphql`
  fragment MessageItem_message on Message @relay(mask: false) {
    __typename
    id
    timestamp
    searchText
    agentId
    rawBytes
    ... on AssistantMessage {
      model
      inputTokens
      outputTokens
      cachedTokens
      contentBlocks {
        ...MessageItem_block @relay(mask: false)
      }
    }
    ... on RegularUserMessage {
      contentBlocks {
        ...MessageItem_block @relay(mask: false)
      }
    }
    ... on CommandUserMessage {
      commandName
      contentBlocks {
        ...MessageItem_block @relay(mask: false)
      }
    }
    ... on InterruptUserMessage {
      contentBlocks {
        ...MessageItem_block @relay(mask: false)
      }
    }
    ... on MetaUserMessage {
      contentBlocks {
        ...MessageItem_block @relay(mask: false)
      }
    }
    ... on ToolResultUserMessage {
      contentBlocks {
        ...MessageItem_block @relay(mask: false)
      }
    }
    ... on SummaryMessage {
      isCompactSummary
    }
    ... on SystemMessage {
      subtype
      level
    }
    ... on FileHistorySnapshotMessage {
      fileCount
      isSnapshotUpdate
    }
    ... on QueueOperationMessage {
      operation
    }
    ... on HookRunMessage {
      hook
      plugin
      directory
      cached
      hookResult: result {
        id
        success
        durationMs
        exitCode
      }
    }
    ... on HookResultMessage {
      hook
      plugin
      success
      durationMs
      exitCode
    }
    ... on HookCheckStateMessage {
      hookType
      hooksCount
    }
    ... on HookReferenceMessage {
      plugin
      filePath
      reason
      success
      durationMs
    }
    ... on HookValidationMessage {
      hook
      plugin
      directory
      cached
      success
      durationMs
      exitCode
    }
    ... on HookValidationCacheMessage {
      hook
      plugin
      fileCount
    }
    ... on HookScriptMessage {
      plugin
      command
      success
      durationMs
      exitCode
    }
    ... on HookDatetimeMessage {
      plugin
      datetime
      durationMs
    }
    ... on HookFileChangeMessage {
      changeToolName
      filePath
    }
    ... on McpToolCallMessage {
      tool
      server
      prefixedName
      mcpResult: result {
        id
        success
        durationMs
      }
    }
    ... on McpToolResultMessage {
      tool
      server
      success
      durationMs
    }
    ... on ExposedToolCallMessage {
      tool
      server
      prefixedName
      exposedResult: result {
        id
        success
        durationMs
      }
    }
    ... on ExposedToolResultMessage {
      tool
      server
      success
      durationMs
    }
    ... on MemoryQueryMessage {
      question
      route
      resultCount
      durationMs
    }
    ... on MemoryLearnMessage {
      domain
      scope
      paths
    }
    ... on SentimentAnalysisMessage {
      sentimentScore
      sentimentLevel
      frustrationScore
      frustrationLevel
      signals
    }
    ... on UnknownEventMessage {
      messageType
      eventType
    }
  }
`;

export const messageBlock = graphql`
  fragment MessageItem_block on ContentBlock @relay(mask: false) {
    __typename
    ... on TextBlock {
      text(limit: 12000)
      length
      bytes
    }
    ... on ThinkingBlock {
      preview
    }
    ... on ToolUseBlock {
      toolCallId
      name
      displayName
      category
      argument
      inputBytes
      linesAdded
      linesRemoved
      startedAgent: agentId
      result {
        isError
        preview
        isLong
        bytes
        hasImage
        durationMs
      }
    }
    ... on ToolResultBlock {
      toolCallId
      preview
      isError
      isLong
      bytes
      hasImage
    }
    ... on ImageBlock {
      mediaType
      bytes
      width
      height
    }
  }
`;
