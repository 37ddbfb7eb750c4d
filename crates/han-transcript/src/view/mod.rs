//! What one line shows to a person: the message types of the GraphQL contract, with its field names. Ids, the
//! time of a line that has none of its own, and the line itself (`rawJson`) are the caller's.

mod blocks;
mod read;
mod results;
mod search;

use han_types::Timestamp;

use crate::kind::MessageKind;

pub use blocks::{
    Block, RESULT_PREVIEW_CHARS, RESULT_PREVIEW_LINES, THINKING_PREVIEW_CHARS, ToolResult, ToolUse,
};
pub use read::view;
pub use results::{CallResult, HookOutcome, ResultView, results};
pub use search::{HEAD_SEARCH_CHARS, search_text};

/// What every message has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The uuid of the line it follows.
    pub parent_id: Option<String>,
    /// What a search within the list looks at: the first [`HEAD_SEARCH_CHARS`] characters of its words.
    pub search_text: Option<String>,
    /// The line's own time.
    pub timestamp: Option<Timestamp>,
}

/// A line as one of the contract's message types.
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

/// An answer of the model, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssistantView {
    /// What every message has.
    pub head: Head,
    /// Its text blocks, one below the other.
    pub content: Option<String>,
    /// Its blocks.
    pub content_blocks: Vec<Block>,
    /// The model.
    pub model: Option<String>,
    /// Input tokens that no cache covered, as this line says. The lines of one answer repeat each other's
    /// counters: do not add them up.
    pub input_tokens: Option<i64>,
    /// Output tokens, as far as this line knows.
    pub output_tokens: Option<i64>,
    /// Input tokens read from the cache, as this line says.
    pub cached_tokens: Option<i64>,
    /// Whether it holds thinking.
    pub has_thinking: bool,
    /// Whether it uses a tool.
    pub has_tool_use: bool,
    /// Whether it uses tools and says nothing.
    pub is_tool_only: bool,
    /// How many thinking blocks it holds.
    pub thinking_count: i64,
    /// How many tools it uses.
    pub tool_use_count: i64,
}

/// Something a person, or the harness for them, says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserView {
    /// What every message has.
    pub head: Head,
    /// Its text.
    pub content: Option<String>,
    /// Its blocks; a plain text is one block.
    pub content_blocks: Vec<Block>,
}

/// A slash command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandUserView {
    /// What every user message has.
    pub user: UserView,
    /// The command, as it was typed: `/model`.
    pub command_name: Option<String>,
}

/// A text that stands for an earlier conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryView {
    /// What every message has.
    pub head: Head,
    /// The summary.
    pub content: Option<String>,
    /// Whether a compaction made it.
    pub is_compact_summary: bool,
}

/// A notice of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemView {
    /// What every message has.
    pub head: Head,
    /// What sort of notice.
    pub subtype: Option<String>,
    /// `info`, `suggestion`, …
    pub level: Option<String>,
    /// Its text.
    pub content: Option<String>,
    /// Whether it is for the harness rather than for a person.
    pub is_meta: bool,
}

/// A point that files can be taken back to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileHistorySnapshotView {
    /// What every message has.
    pub head: Head,
    /// The message it belongs to.
    pub message_id: Option<String>,
    /// How many files it holds.
    pub file_count: i64,
    /// Whether it changes an earlier one.
    pub is_snapshot_update: bool,
    /// When it was taken, RFC 3339.
    pub snapshot_timestamp: Option<String>,
}

/// A change to the queue of waiting prompts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOperationView {
    /// What every message has.
    pub head: Head,
    /// `enqueue`, `dequeue`, `remove`, …
    pub operation: Option<String>,
    /// The session whose queue it is.
    pub queue_session_id: Option<String>,
}

/// A hook that began to run. Its result is a line of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookRunView {
    /// What every message has.
    pub head: Head,
    /// The run's id, which its result names.
    pub hook_run_id: Option<String>,
    /// The plugin.
    pub plugin: Option<String>,
    /// The hook.
    pub hook: Option<String>,
    /// Where it runs.
    pub directory: Option<String>,
    /// Whether its outcome comes from a cache.
    pub cached: bool,
}

/// How a hook run, or a validation, ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookResultView {
    /// What every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The hook.
    pub hook: Option<String>,
    /// Where it ran.
    pub directory: Option<String>,
    /// Whether the outcome came from a cache.
    pub cached: bool,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether it went well.
    pub success: Option<bool>,
    /// What it wrote.
    pub output: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Which hooks a check found to be due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookCheckStateView {
    /// What every message has.
    pub head: Head,
    /// `Stop`, `SubagentStop`, …
    pub hook_type: Option<String>,
    /// What identifies the set of hooks.
    pub fingerprint: Option<String>,
    /// How many hooks are due.
    pub hooks_count: Option<i64>,
}

/// A document that a hook put before the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookReferenceView {
    /// What every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The document.
    pub file_path: Option<String>,
    /// Why it must be read first.
    pub reason: Option<String>,
    /// Whether it was found.
    pub success: Option<bool>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// The state of the files that a validation passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookValidationCacheView {
    /// What every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The hook.
    pub hook: Option<String>,
    /// Where it ran.
    pub directory: Option<String>,
    /// How many files it covers.
    pub file_count: i64,
}

/// A script that a hook ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookScriptView {
    /// What every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The command.
    pub command: Option<String>,
    /// What it wrote.
    pub output: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether it went well.
    pub success: Option<bool>,
}

/// A hook that told the agent the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookDatetimeView {
    /// What every message has.
    pub head: Head,
    /// The plugin.
    pub plugin: Option<String>,
    /// The time it told.
    pub datetime: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// A file change that Han recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookFileChangeView {
    /// What every message has.
    pub head: Head,
    /// The tool that made it.
    pub change_tool_name: Option<String>,
    /// The file.
    pub file_path: Option<String>,
    /// The session it was recorded for.
    pub recorded_session_id: Option<String>,
}

/// A call of an MCP tool, or of a tool that Han exposes from another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallView {
    /// What every message has.
    pub head: Head,
    /// What its result names.
    pub call_id: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The MCP server.
    pub server: Option<String>,
    /// The tool's name with its server before it.
    pub prefixed_name: Option<String>,
    /// The arguments, as JSON.
    pub input: Option<String>,
}

/// The result of such a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallResultView {
    /// What every message has.
    pub head: Head,
    /// The call it answers.
    pub call_id: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The MCP server.
    pub server: Option<String>,
    /// The tool's name with its server before it.
    pub prefixed_name: Option<String>,
    /// Whether it went well.
    pub success: Option<bool>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// What it returned: text, or JSON.
    pub output: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A question to the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryQueryView {
    /// What every message has.
    pub head: Head,
    /// The question.
    pub question: Option<String>,
    /// Where it was looked up: `personal`, `team`, `rules`.
    pub route: Option<String>,
    /// How many answers there were.
    pub result_count: Option<i64>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// Something the memory learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLearnView {
    /// What every message has.
    pub head: Head,
    /// What it is about.
    pub domain: Option<String>,
    /// Whom it is for: `project` or `user`.
    pub scope: Option<String>,
    /// The paths it applies to.
    pub paths: Vec<String>,
    /// Whether it was added to what was known, rather than replacing it.
    pub append: Option<bool>,
}

/// A mood that Han read from a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SentimentAnalysisView {
    /// What every message has.
    pub head: Head,
    /// The prompt's uuid.
    pub analyzed_message_id: Option<String>,
    /// From about -5 to +5.
    pub sentiment_score: Option<f64>,
    /// `positive`, `neutral` or `negative`.
    pub sentiment_level: Option<String>,
    /// From 0 to 10, where frustration was found.
    pub frustration_score: Option<f64>,
    /// `low`, `moderate` or `high`.
    pub frustration_level: Option<String>,
    /// What gave it away.
    pub signals: Vec<String>,
}

/// A line of no known kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownEventView {
    /// What every message has.
    pub head: Head,
    /// Its `type`.
    pub message_type: Option<String>,
    /// What sort of event within that type: a Han event's name, a `progress` line's `data.type`, a `subtype`.
    pub event_type: Option<String>,
}

macro_rules! each_view {
    ($($variant:ident),* $(,)?) => {
        impl MessageView {
            /// Which message type it is.
            #[must_use]
            pub fn kind(&self) -> MessageKind {
                match self {
                    Self::CommandUser(_) => MessageKind::CommandUser,
                    $(Self::$variant(_) => MessageKind::$variant,)*
                }
            }

            /// What every message has.
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
