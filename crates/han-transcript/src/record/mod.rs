//! What one line means to the write path: its key, its place, and the rows it projects to. What a person reads
//! is made in `view`.
//!
//! Everything here is safe for a clear column: no control characters, bounded lengths. Ids are taken whole or
//! not at all; names, paths and prose are cut. Of one line at most [`MAX_ITEMS`] items of each sort are taken.

mod changes;
mod hooks;
mod project;
mod pull_request;
mod sentiment;
mod tasks;
mod usage;

use han_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kind::MessageKind;
use crate::tool::ToolCategory;

pub use changes::{FileAction, FileChangeRecord};
pub use hooks::HookRecord;
pub use project::{LINE_NAMESPACE, MAX_CANONICAL, project};
pub use pull_request::PullRequest;
pub use sentiment::SentimentRecord;
pub use tasks::{
    NativeTaskEvent, NativeTaskRecord, TaskEvent, TaskOutcome, TaskRecord, TodoRecord, TodoStatus,
};
pub use usage::{MAX_TOKENS, Usage};

/// The most items of one sort (tool uses, results, changes, tasks, to-dos) that one line projects to.
pub const MAX_ITEMS: usize = 1000;

/// Where a line stands.
#[derive(Clone, Copy, Debug)]
pub struct LineContext<'a> {
    /// The session's id.
    pub session_id: &'a str,
    /// The transcript file's name: `main`, `han`, or a subagent's.
    pub transcript: &'a str,
}

/// What one line means to the write path.
#[derive(Clone, Debug, PartialEq)]
pub struct LineRecord {
    /// The line's own uuid, taken as it stands if it is a string of 1 to 128 characters, none of them a control
    /// character; else derived from its content (see [`LINE_NAMESPACE`]).
    pub uuid: String,
    /// Whether `uuid` is the line's own.
    pub own_uuid: bool,
    /// The line it follows.
    pub parent_uuid: Option<String>,
    /// Which message it becomes.
    pub kind: MessageKind,
    /// Its `type`, at most 64 characters; empty where it has none.
    pub line_type: String,
    /// Its `subtype`; for a Han event the event's name.
    pub subtype: Option<String>,
    /// Its `message.role`.
    pub role: Option<String>,
    /// Where its time comes from.
    pub time: TimeSource,
    /// The subagent that wrote it.
    pub agent_id: Option<String>,
    /// Whether it belongs to a subagent's conversation.
    pub is_sidechain: bool,
    /// Whether the harness put it there.
    pub is_meta: bool,
    /// Whether it sums up the conversation before a compaction.
    pub is_compact_summary: bool,
    /// Whether it never stands in the message list, because it nests under what it answers.
    pub nests: bool,
    /// Whether it is a `progress` line.
    pub is_progress: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// What the answer cost in tokens.
    pub usage: Option<Usage>,
    /// The tools it uses.
    pub tool_uses: Vec<ToolUse>,
    /// The types of the subagents that its tool uses start (`Task`, `Agent`), one for each; empty where the input names
    /// none.
    pub subagents: Vec<String>,
    /// The first tool it uses, the tool of an MCP or exposed call or result, or another Han event's name.
    pub tool_name: Option<String>,
    /// What it answers.
    pub results: Vec<ResultRecord>,
    /// The subagent a `progress` line reports on, under the tool use that started it. It is known here before
    /// the tool use's result names it.
    pub agent_start: Option<AgentStart>,
    /// The hook that ran or ended.
    pub hook: Option<HookRecord>,
    /// Whether a person typed it: a prompt or a command of the main conversation. What the harness writes in a
    /// person's name (command output, notices of background tasks) is no turn.
    pub turn: bool,
    /// The compaction it marks.
    pub compaction: Option<Compaction>,
    /// The whole to-do list, where it writes one (`TodoWrite`).
    pub todos: Option<Vec<TodoRecord>>,
    /// Events of Han's tasks.
    pub tasks: Vec<TaskRecord>,
    /// Events of the agent's own tasks (`TaskCreate`, `TaskUpdate`).
    pub native_tasks: Vec<NativeTaskRecord>,
    /// The files its tool uses set out to change.
    pub file_changes: Vec<FileChangeRecord>,
    /// What it offers as the session's summary.
    pub summary: Option<SummaryRecord>,
    /// The branch it was written on.
    pub git_branch: Option<String>,
    /// The directory it was written in.
    pub cwd: Option<String>,
    /// The agent's version.
    pub version: Option<String>,
    /// The session's short name.
    pub slug: Option<String>,
    /// The pull request it opened or names.
    pub pull_request: Option<PullRequest>,
    /// A mood that Han read from a prompt.
    pub sentiment: Option<SentimentRecord>,
}

/// Where a line's time comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The line says so itself (`timestamp`, or a file history snapshot's `snapshot.timestamp`).
    Own(Timestamp),
    /// It is that of the line with this uuid (a summary's `leafUuid`).
    Leaf(String),
    /// It is that of the line before it in its file.
    LineBefore,
}

/// A tool use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// What its result names, within the session.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// What sort of tool that is.
    pub category: ToolCategory,
}

/// What sort of thing a result answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResultKind {
    /// A `tool_use` block.
    Tool,
    /// `mcp_tool_call`.
    Mcp,
    /// `exposed_tool_call`.
    Exposed,
    /// `hook_run`.
    Hook,
}

impl ResultKind {
    /// The name that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Mcp => "mcp",
            Self::Exposed => "exposed",
            Self::Hook => "hook",
        }
    }
}

/// A result, to be paired with what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRecord {
    /// What sort of call it answers.
    pub kind: ResultKind,
    /// The call it answers. Only a hook's result may lack one: it then answers the hook's next open run
    /// before it in the session. Results of other kinds that name no call are left out.
    pub call_id: Option<String>,
    /// Whether the call went well, where the result says so; a tool result is a success unless it says
    /// `is_error`.
    pub success: Option<bool>,
    /// How long the call took.
    pub duration_ms: Option<i64>,
    /// The subagent that the call started.
    pub starts_agent: Option<String>,
    /// What a file tool says it did to its file. It corrects [`FileChangeRecord::action`], which a `Write`
    /// cannot know beforehand.
    pub file_action: Option<FileAction>,
}

/// A subagent and the tool use that started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentStart {
    /// The tool use.
    pub call_id: String,
    /// The subagent.
    pub agent_id: String,
}

/// Why a conversation was compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompactionTrigger {
    /// The context was full.
    Auto,
    /// A person asked for it.
    Manual,
    /// The line does not say.
    Unknown,
}

impl CompactionTrigger {
    /// The name that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Unknown => "unknown",
        }
    }
}

/// A compaction. One leaves two lines: its boundary (`continuation` false), and the summary that the
/// conversation goes on from (`continuation` true). Count the boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Why it happened.
    pub trigger: CompactionTrigger,
    /// Whether this is the summary rather than the boundary.
    pub continuation: bool,
}

/// Where a summary comes from. A summary line beats a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SummarySource {
    /// A turn; the session's first one counts.
    FirstPrompt,
    /// A `summary` line; the last one counts.
    SummaryLine,
}

/// What a line offers as the session's summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRecord {
    /// One line of at most 500 characters.
    pub text: String,
    /// Where it comes from.
    pub source: SummarySource,
}
