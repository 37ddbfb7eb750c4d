// What a list leaves out of a message, loaded when it is opened.

import { graphql } from "react-relay";

/** Inputs, results, outputs and complete texts. */
export const messageDetailQuery = graphql`
  query MessageDetailQuery($id: String!) @raw_response_type {
    message(id: $id) {
      __typename
      id
      ... on AssistantMessage {
        contentBlocks {
          ...MessageDetail_block @relay(mask: false)
        }
      }
      ... on UserMessage {
        contentBlocks {
          ...MessageDetail_block @relay(mask: false)
        }
      }
      ... on SummaryMessage {
        content
      }
      ... on SystemMessage {
        content
      }
      ... on HookRunMessage {
        hookResult: result {
          output
          error
        }
      }
      ... on HookResultMessage {
        output
        error
      }
      ... on HookValidationMessage {
        output
        error
      }
      ... on HookScriptMessage {
        output
      }
      ... on McpToolCallMessage {
        callInput: input
        mcpResult: result {
          result
          error
        }
      }
      ... on McpToolResultMessage {
        output
        error
      }
      ... on ExposedToolCallMessage {
        callInput: input
        exposedResult: result {
          result
          error
        }
      }
      ... on ExposedToolResultMessage {
        output
        error
      }
    }
  }
`;

export const detailBlock = graphql`
  fragment MessageDetail_block on ContentBlock @relay(mask: false) {
    __typename
    ... on TextBlock {
      text
    }
    ... on ThinkingBlock {
      thinking
    }
    ... on ToolUseBlock {
      toolCallId
      input
      hunks {
        oldStart
        newStart
        lines
      }
      result {
        content
        images {
          ...MessageDetail_image @relay(mask: false)
        }
      }
    }
    ... on ToolResultBlock {
      content
      images {
        ...MessageDetail_image @relay(mask: false)
      }
    }
    ... on ImageBlock {
      mediaType
      dataUrl
      bytes
      width
      height
    }
  }
`;

export const detailImage = graphql`
  fragment MessageDetail_image on ImageBlock @relay(mask: false) {
    mediaType
    dataUrl
    bytes
    width
    height
  }
`;

/** The line as it is in its file. */
export const rawLineQuery = graphql`
  query MessageDetailRawQuery($id: String!) @raw_response_type {
    message(id: $id) {
      id
      rawJson
    }
  }
`;
