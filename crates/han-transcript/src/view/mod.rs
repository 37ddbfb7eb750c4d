//! What one line displays: the message types of the GraphQL schema, with its field names. The caller supplies ids, the
//! time of a line without a timestamp, and the line itself (`rawJson`).

mod blocks;
mod image;
mod read;
mod results;
mod search;

use han_types::Timestamp;

use crate::kind::MessageKind;

pub use blocks::{
    Block, RESULT_PREVIEW_CHARS, RESULT_PREVIEW_LINES, THINKING_PREVIEW_CHARS, ToolResult, ToolUse,
};
pub use image::Image;
pub use read::{view, view_all, view_at};
pub use results::{CallResult, HookOutcome, Hunk, ResultView, hunks, results};
pub use search::{HEAD_SEARCH_CHARS, search_text, search_text_at};

/// The fields that every message has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The uuid of the line that it follows.
    pub parent_id: Option<String>,
    /// The text that a search within the list matches: the first [`HEAD_SEARCH_CHARS`] characters of its searchable
    /// text.
    pub search_text: Option<String>,
    /// The line's own time.
    pub timestamp: Option<Timestamp>,
}

/// A line as one of the message types of the GraphQL schema.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageView {
    /// `AssistantMessage`
    Assistant(AssistantView),
    /// `RegularUserMessage`
    RegularUser(UserView),
    /// `CommandUserMessage`
    CommandUser(CommandUserView),
    /// `InterruptUserMessage`
    InterruptUser(UserView),
    /// `MetaUserMessage`
    MetaUser(UserView),
    /// `ToolResultUserMessage`
    ToolResultUser(UserView),
    /// `SummaryMessage`
    Summary(SummaryView),
    /// `SystemMessage`
    System(SystemView),
    /// `FileHistorySnapshotMessage`
    FileHistorySnapshot(FileHistorySnapshotView),
    /// `QueueOperationMessage`
    QueueOperation(QueueOperationView),
    /// `HookRunMessage`
    HookRun(HookRunView),
    /// `HookResultMessage`
    HookResult(HookResultView),
    /// `HookCheckStateMessage`
    HookCheckState(HookCheckStateView),
    /// `HookReferenceMessage`
    HookReference(HookReferenceView),
    /// `HookValidationMessage`
    HookValidation(HookResultView),
    /// `HookValidationCacheMessage`
    HookValidationCache(HookValidationCacheView),
    /// `HookScriptMessage`
    HookScript(HookScriptView),
    /// `HookDatetimeMessage`
    HookDatetime(HookDatetimeView),
    /// `HookFileChangeMessage`
    HookFileChange(HookFileChangeView),
    /// `McpToolCallMessage`
    McpToolCall(ToolCallView),
    /// `McpToolResultMessage`
    McpToolResult(ToolCallResultView),
    /// `ExposedToolCallMessage`
    ExposedToolCall(ToolCallView),
    /// `ExposedToolResultMessage`
    ExposedToolResult(ToolCallResultView),
    /// `MemoryQueryMessage`
    MemoryQuery(MemoryQueryView),
    /// `MemoryLearnMessage`
    MemoryLearn(MemoryLearnView),
    /// `SentimentAnalysisMessage`
    SentimentAnalysis(SentimentAnalysisView),
    /// `UnknownEventMessage`
    UnknownEvent(UnknownEventView),
}

/// An answer of the model, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssistantView {
    /// The fields that every message has.
    pub head: Head,
    /// Its text blocks, joined by line feeds.
    pub content: Option<String>,
    /// Its content blocks.
    pub content_blocks: Vec<Block>,
    /// The model.
    pub model: Option<String>,
    /// Input tokens that were neither read from nor written to a cache. The lines of one answer repeat its counters: do
    /// not add them up.
    pub input_tokens: Option<i64>,
    /// Output tokens; partial in the first lines of an answer.
    pub output_tokens: Option<i64>,
    /// Input tokens read from the cache.
    pub cached_tokens: Option<i64>,
    /// Whether it has thinking blocks.
    pub has_thinking: bool,
    /// Whether it uses a tool.
    pub has_tool_use: bool,
    /// Whether it uses tools and has no text.
    pub is_tool_only: bool,
    /// The number of thinking blocks.
    pub thinking_count: i64,
    /// The number of tool uses.
    pub tool_use_count: i64,
}

/// A `user` line, written by a person or by the harness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserView {
    /// The fields that every message has.
    pub head: Head,
    /// Its text.
    pub content: Option<String>,
    /// Its content blocks; plain text is one block.
    pub content_blocks: Vec<Block>,
}

/// A slash command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandUserView {
    /// The fields that every user message has.
    pub user: UserView,
    /// The command as typed: `/model`.
    pub command_name: Option<String>,
}

/// A summary of an earlier conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryView {
    /// The fields that every message has.
    pub head: Head,
    /// The summary.
    pub content: Option<String>,
    /// Whether a compaction wrote it.
    pub is_compact_summary: bool,
}

/// A notice of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemView {
    /// The fields that every message has.
    pub head: Head,
    /// The kind of notice.
    pub subtype: Option<String>,
    /// `info`, `suggestion`, …
    pub level: Option<String>,
    /// Its text.
    pub content: Option<String>,
    /// Whether it is meant for the harness instead of a person.
    pub is_meta: bool,
}

/// A snapshot from which files can be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHistorySnapshotView {
    /// The fields that every message has.
    pub head: Head,
    /// The message it belongs to.
    pub message_id: Option<String>,
    /// The number of files in it.
    pub file_count: i64,
    /// Whether it updates an earlier snapshot.
    pub is_snapshot_update: bool,
    /// When it was taken, RFC 3339.
    pub snapshot_timestamp: Option<String>,
}

/// A change to the queue of waiting prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOperationView {
    /// The fields that every message has.
    pub head: Head,
    /// `enqueue`, `dequeue`, `remove`, …
    pub operation: Option<String>,
    /// The session that the queue belongs to.
    pub queue_session_id: Option<String>,
}

/// The start of a hook run. Its result is a separate line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookRunView {
    /// The fields that every message has.
    pub head: Head,
    /// The run's id, which its result names.
    pub hook_run_id: Option<String>,
    /// The plugin.
    pub plugin: Option<String>,
    /// The hook.
    pub hook: Option<String>,
    /// The directory in which it runs.
    pub directory: Option<String>,
    /// Whether its outcome comes from a cache.
    pub cached: bool,
}

/// The result of a hook run or of a validation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookResultView {
    /// The fields that every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The hook.
    pub hook: Option<String>,
    /// The directory in which it ran.
    pub directory: Option<String>,
    /// Whether the outcome came from a cache.
    pub cached: bool,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// Its output.
    pub output: Option<String>,
    /// The error message.
    pub error: Option<String>,
}

/// The result of a check for hooks that are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookCheckStateView {
    /// The fields that every message has.
    pub head: Head,
    /// `Stop`, `SubagentStop`, …
    pub hook_type: Option<String>,
    /// The fingerprint of the set of hooks.
    pub fingerprint: Option<String>,
    /// The number of hooks that are due.
    pub hooks_count: Option<i64>,
}

/// A document that a hook gave to the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookReferenceView {
    /// The fields that every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The document.
    pub file_path: Option<String>,
    /// Why the agent must read it first.
    pub reason: Option<String>,
    /// Whether it was found.
    pub success: Option<bool>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
}

/// The state of the files with which a validation passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookValidationCacheView {
    /// The fields that every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The hook.
    pub hook: Option<String>,
    /// The directory in which it ran.
    pub directory: Option<String>,
    /// The number of files that it covers.
    pub file_count: i64,
}

/// A script that a hook ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookScriptView {
    /// The fields that every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The command.
    pub command: Option<String>,
    /// Its output.
    pub output: Option<String>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether it succeeded.
    pub success: Option<bool>,
}

/// A hook that gave the agent the current time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookDatetimeView {
    /// The fields that every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The time.
    pub datetime: Option<String>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
}

/// A file change that Han recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookFileChangeView {
    /// The fields that every message has.
    pub head: Head,
    /// The tool that made it.
    pub change_tool_name: Option<String>,
    /// The file.
    pub file_path: Option<String>,
    /// The session that it was recorded for.
    pub recorded_session_id: Option<String>,
}

/// A call of an MCP tool, or of a tool that Han exposes from another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallView {
    /// The fields that every message has.
    pub head: Head,
    /// The id that its result names.
    pub call_id: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The MCP server.
    pub server: Option<String>,
    /// The tool's name, prefixed with its server.
    pub prefixed_name: Option<String>,
    /// The arguments, as JSON.
    pub input: Option<String>,
}

/// The result of such a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallResultView {
    /// The fields that every message has.
    pub head: Head,
    /// The call that it answers.
    pub call_id: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The MCP server.
    pub server: Option<String>,
    /// The tool's name, prefixed with its server.
    pub prefixed_name: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// The returned text or JSON.
    pub output: Option<String>,
    /// The error message.
    pub error: Option<String>,
}

/// A query to the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryQueryView {
    /// The fields that every message has.
    pub head: Head,
    /// The question.
    pub question: Option<String>,
    /// The source that was searched: `personal`, `team`, `rules`.
    pub route: Option<String>,
    /// The number of results.
    pub result_count: Option<i64>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
}

/// An entry that was added to the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLearnView {
    /// The fields that every message has.
    pub head: Head,
    /// Its topic.
    pub domain: Option<String>,
    /// Its audience: `project` or `user`.
    pub scope: Option<String>,
    /// The paths that it applies to.
    pub paths: Vec<String>,
    /// Whether it was appended to the existing entry instead of replacing it.
    pub append: Option<bool>,
}

/// The sentiment of a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentimentAnalysisView {
    /// The fields that every message has.
    pub head: Head,
    /// The prompt's uuid.
    pub analyzed_message_id: Option<String>,
    /// From about -5 to +5.
    pub sentiment_score: Option<f64>,
    /// `positive`, `neutral` or `negative`.
    pub sentiment_level: Option<String>,
    /// From 0 to 10, if frustration was found.
    pub frustration_score: Option<f64>,
    /// `low`, `moderate` or `high`.
    pub frustration_level: Option<String>,
    /// The signals in the text.
    pub signals: Vec<String>,
}

/// A line of no known kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownEventView {
    /// The fields that every message has.
    pub head: Head,
    /// Its `type`.
    pub message_type: Option<String>,
    /// The kind of event within that type: the name of a Han event, `data.type` of a `progress` line, or a `subtype`.
    pub event_type: Option<String>,
}

macro_rules! each_view {
    ($($variant:ident),* $(,)?) => {
        impl MessageView {
            /// Its message type.
            #[must_use]
            pub fn kind(&self) -> MessageKind {
                match self {
                    Self::CommandUser(_) => MessageKind::CommandUser,
                    $(Self::$variant(_) => MessageKind::$variant,)*
                }
            }

            /// Whether it is an answer that consists of thinking whose text is not recorded.
            #[must_use]
            pub fn is_blank(&self) -> bool {
                let is_empty = |block: &Block| matches!(block, Block::Thinking { thinking, preview, .. }
                    if thinking.trim().is_empty() && preview.is_empty());
                match self {
                    Self::Assistant(view) => {
                        !view.content_blocks.is_empty() && view.content_blocks.iter().all(is_empty)
                    }
                    _ => false,
                }
            }

            /// The fields that every message has.
            #[must_use]
            pub fn head(&self) -> &Head {
                match self {
                    Self::CommandUser(view) => &view.user.head,
                    $(Self::$variant(view) => &view.head,)*
                }
            }
        }
    };
}

each_view!(
    Assistant,
    RegularUser,
    InterruptUser,
    MetaUser,
    ToolResultUser,
    Summary,
    System,
    FileHistorySnapshot,
    QueueOperation,
    HookRun,
    HookResult,
    HookCheckState,
    HookReference,
    HookValidation,
    HookValidationCache,
    HookScript,
    HookDatetime,
    HookFileChange,
    McpToolCall,
    McpToolResult,
    ExposedToolCall,
    ExposedToolResult,
    MemoryQuery,
    MemoryLearn,
    SentimentAnalysis,
    UnknownEvent,
);
