//! The kinds of transcript lines: one per message type of the GraphQL schema.
//!
//! The position of a kind in [`MessageKind::ALL`] is stored with every message. So the list is append-only: a new kind
//! is added at its end, and none is moved or removed.

use std::fmt;
use std::str::FromStr;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A line's message type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MessageKind {
            $($(#[$doc])* $name,)*
        }

        impl MessageKind {
            /// Every kind. A kind's position is its stored code, so the list is append-only.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stored name: the GraphQL type's.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }

        impl FromStr for MessageKind {
            type Err = UnknownKind;

            fn from_str(s: &str) -> Result<Self, UnknownKind> {
                match s {
                    $($text => Ok(Self::$name),)*
                    _ => Err(UnknownKind),
                }
            }
        }
    };
}

kinds! {
    /// `assistant`: an answer of the model, or a part of it.
    Assistant = "AssistantMessage",
    /// `user`: a prompt, or any other line that no rule below matches.
    RegularUser = "RegularUserMessage",
    /// `user` with a `<command-name>`: a slash command.
    CommandUser = "CommandUserMessage",
    /// `user`: the notice that a person stopped the agent.
    InterruptUser = "InterruptUserMessage",
    /// `user` with `isMeta`: written by the harness.
    MetaUser = "MetaUserMessage",
    /// `user` that consists of tool results.
    ToolResultUser = "ToolResultUserMessage",
    /// `summary`, or a `user` line that summarizes an earlier conversation.
    Summary = "SummaryMessage",
    /// `system`.
    System = "SystemMessage",
    /// `file-history-snapshot`.
    FileHistorySnapshot = "FileHistorySnapshotMessage",
    /// `queue-operation`, or Han's event `queue_operation`.
    QueueOperation = "QueueOperationMessage",
    /// Han's event `hook_run`.
    HookRun = "HookRunMessage",
    /// Han's event `hook_result`.
    HookResult = "HookResultMessage",
    /// Han's event `hook_check_state`.
    HookCheckState = "HookCheckStateMessage",
    /// Han's event `hook_reference`.
    HookReference = "HookReferenceMessage",
    /// Han's event `hook_validation`.
    HookValidation = "HookValidationMessage",
    /// Han's event `hook_validation_cache`.
    HookValidationCache = "HookValidationCacheMessage",
    /// Han's event `hook_script`.
    HookScript = "HookScriptMessage",
    /// Han's event `hook_datetime`.
    HookDatetime = "HookDatetimeMessage",
    /// Han's event `hook_file_change`.
    HookFileChange = "HookFileChangeMessage",
    /// Han's event `mcp_tool_call`.
    McpToolCall = "McpToolCallMessage",
    /// Han's event `mcp_tool_result`.
    McpToolResult = "McpToolResultMessage",
    /// Han's event `exposed_tool_call`.
    ExposedToolCall = "ExposedToolCallMessage",
    /// Han's event `exposed_tool_result`.
    ExposedToolResult = "ExposedToolResultMessage",
    /// Han's event `memory_query`.
    MemoryQuery = "MemoryQueryMessage",
    /// Han's event `memory_learn`.
    MemoryLearn = "MemoryLearnMessage",
    /// Han's event `sentiment_analysis`.
    SentimentAnalysis = "SentimentAnalysisMessage",
    /// Everything else: unknown types, `progress`, and lines that are no JSON objects.
    UnknownEvent = "UnknownEventMessage",
}

/// A text that names no [`MessageKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message kind: expected a message type of the GraphQL schema, such as AssistantMessage")]
pub struct UnknownKind;

impl MessageKind {
    /// The stored code: the position in [`MessageKind::ALL`].
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The kind with a stored code; `None` if the code is of a newer version.
    #[must_use]
    pub fn of_code(code: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The kind of the Han event with that name.
    pub(crate) fn of_event(name: &str) -> Option<Self> {
        Some(match name {
            "hook_run" => Self::HookRun,
            "hook_result" => Self::HookResult,
            "hook_check_state" => Self::HookCheckState,
            "hook_reference" => Self::HookReference,
            "hook_validation" => Self::HookValidation,
            "hook_validation_cache" => Self::HookValidationCache,
            "hook_script" => Self::HookScript,
            "hook_datetime" => Self::HookDatetime,
            "hook_file_change" => Self::HookFileChange,
            "queue_operation" => Self::QueueOperation,
            "mcp_tool_call" => Self::McpToolCall,
            "mcp_tool_result" => Self::McpToolResult,
            "exposed_tool_call" => Self::ExposedToolCall,
            "exposed_tool_result" => Self::ExposedToolResult,
            "memory_query" => Self::MemoryQuery,
            "memory_learn" => Self::MemoryLearn,
            "sentiment_analysis" => Self::SentimentAnalysis,
            _ => return None,
        })
    }

    /// Whether such a line is not listed on its own but nested under the call or hook run that it answers.
    #[must_use]
    pub fn nests(self) -> bool {
        matches!(
            self,
            Self::ToolResultUser | Self::HookResult | Self::McpToolResult | Self::ExposedToolResult
        )
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::MessageKind;

    /// Codes are stored, so this list may only grow at its end.
    #[test]
    fn the_codes_of_kinds_never_change() {
        let names = [
            "AssistantMessage",
            "RegularUserMessage",
            "CommandUserMessage",
            "InterruptUserMessage",
            "MetaUserMessage",
            "ToolResultUserMessage",
            "SummaryMessage",
            "SystemMessage",
            "FileHistorySnapshotMessage",
            "QueueOperationMessage",
            "HookRunMessage",
            "HookResultMessage",
            "HookCheckStateMessage",
            "HookReferenceMessage",
            "HookValidationMessage",
            "HookValidationCacheMessage",
            "HookScriptMessage",
            "HookDatetimeMessage",
            "HookFileChangeMessage",
            "McpToolCallMessage",
            "McpToolResultMessage",
            "ExposedToolCallMessage",
            "ExposedToolResultMessage",
            "MemoryQueryMessage",
            "MemoryLearnMessage",
            "SentimentAnalysisMessage",
            "UnknownEventMessage",
        ];
        assert_eq!(MessageKind::ALL.len(), names.len());
        for (code, name) in (0..).zip(names) {
            let kind = MessageKind::of_code(code).unwrap();
            assert_eq!((kind.as_str(), kind.code()), (name, code));
        }
        assert_eq!((MessageKind::of_code(-1), MessageKind::of_code(i16::MAX)), (None, None));
    }
}
