//! Projects one line to what ingest stores: its key, its position, and rows. Not here: what a client displays (`view`).
//!
//! Every text here is valid for a plaintext column: no control characters, bounded length. Ids are never truncated;
//! names, paths and prose are. One line projects to at most [`MAX_ITEMS`] items of each sort.

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
pub use project::{LINE_NAMESPACE, LineProjection, OMITTED_LINE, project, project_all, uuid_of_bytes};
pub use pull_request::PullRequest;
pub use sentiment::SentimentRecord;
pub use tasks::{
    NativeTaskEvent, NativeTaskRecord, TaskEvent, TaskOutcome, TaskRecord, TodoRecord, TodoStatus,
};
pub use usage::{ANSWER_NAMESPACE, MAX_TOKENS, Terms, Usage, most_written};

/// The maximum number of items of one sort (tool uses, results, changes, tasks, to-dos) per line.
pub const MAX_ITEMS: usize = 1000;

/// The session and file of a line.
#[derive(Clone, Copy, Debug)]
pub struct LineContext<'a> {
    /// The session's id.
    pub session_id: &'a str,
    /// The transcript file's name: `main`, `han`, or a subagent's.
    pub transcript: &'a str,
}

/// What ingest stores about one line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineRecord {
    /// Its position among the records of its line; 0 unless the line is damaged.
    pub position: usize,
    /// The line's own uuid, unchanged, if it is a string of 1 to 128 characters without control characters; else a
    /// uuid derived from its content (see [`LINE_NAMESPACE`]).
    pub uuid: String,
    /// Whether `uuid` is the line's own.
    pub own_uuid: bool,
    /// The uuid of the line that it follows.
    pub parent_uuid: Option<String>,
    /// Its message type.
    pub kind: MessageKind,
    /// Its `type`, at most 64 characters; empty if it has none.
    pub line_type: String,
    /// Its `subtype`; for a Han event, the event's name.
    pub subtype: Option<String>,
    /// Its `message.role`.
    pub role: Option<String>,
    /// The source of its time.
    pub time: TimeSource,
    /// The subagent that wrote it.
    pub agent_id: Option<String>,
    /// Whether it belongs to a subagent's conversation.
    pub is_sidechain: bool,
    /// Whether the harness wrote it.
    pub is_meta: bool,
    /// Whether it summarizes the conversation before a compaction.
    pub is_compact_summary: bool,
    /// Whether it is not listed on its own: it nests under the call or hook run that it answers, or it is an answer
    /// that displays nothing ([`view::MessageView::is_blank`](crate::view::MessageView::is_blank)).
    pub nests: bool,
    /// Whether it is a `progress` line.
    pub is_progress: bool,
    /// The model that answered.
    pub model: Option<String>,
    /// Identifies the answer that the line is part of among those near it: the beginning of the answer's key.
    pub answer: Option<i32>,
    /// The token counters of the answer.
    pub usage: Option<Usage>,
    /// The token counters of other models inside the answer, which are not in `usage`.
    pub other_usage: Vec<Usage>,
    /// The tools it uses.
    pub tool_uses: Vec<ToolUse>,
    /// The types of the subagents that its tool uses start (`Task`, `Agent`), one per tool use; empty text if the input
    /// names no type.
    pub subagents: Vec<String>,
    /// The subagents that its tool uses start, by the prompts that they receive.
    pub subagent_calls: Vec<SubagentCall>,
    /// Identifies the prompt of a subagent that it is ([`SubagentCall::prompt`]).
    pub prompt: Option<[u8; 16]>,
    /// The first tool that it uses, the tool of an MCP or exposed call or result, or the name of any other Han event
    /// (`other` for one that this version does not know), and [`OMITTED_LINE`] for such a marker.
    pub tool_name: Option<String>,
    /// The id of the call that it is, if it is an MCP or exposed call.
    pub call_id: Option<String>,
    /// The results that it contains.
    pub results: Vec<ResultRecord>,
    /// The subagent that a `progress` line reports on, with the tool use that started it. Progress lines arrive before
    /// the tool use's result, which also names the subagent.
    pub agent_start: Option<AgentStart>,
    /// The hook that started or ended.
    pub hook: Option<HookRecord>,
    /// Whether a person typed it: a prompt or a command of the main conversation. `user` lines that the harness writes
    /// (command output, notices of background tasks) are no turns.
    pub turn: bool,
    /// The compaction that it records.
    pub compaction: Option<Compaction>,
    /// The complete to-do list, if it writes one (`TodoWrite`).
    pub todos: Option<Vec<TodoRecord>>,
    /// Events of Han's tasks.
    pub tasks: Vec<TaskRecord>,
    /// Events of the agent's own tasks (`TaskCreate`, `TaskUpdate`).
    pub native_tasks: Vec<NativeTaskRecord>,
    /// The file changes that its tool uses request.
    pub file_changes: Vec<FileChangeRecord>,
    /// Its candidate for the session's summary.
    pub summary: Option<SummaryRecord>,
    /// The title that it gives the session.
    pub title: Option<TitleRecord>,
    /// The branch it was written on.
    pub git_branch: Option<String>,
    /// The worktree that the session entered with it.
    pub worktree: Option<String>,
    /// The directory it was written in.
    pub cwd: Option<String>,
    /// The agent's version.
    pub version: Option<String>,
    /// The session's short name.
    pub slug: Option<String>,
    /// The agent team that the session works in.
    pub team_name: Option<String>,
    /// The pull request that it opened or names.
    pub pull_request: Option<PullRequest>,
    /// The sentiment of a prompt.
    pub sentiment: Option<SentimentRecord>,
}

impl LineRecord {
    /// All its token counters: those of the answer, and those of other models inside it.
    pub fn usages(&self) -> impl Iterator<Item = &Usage> {
        self.usage.iter().chain(&self.other_usage)
    }

    /// The calls that it makes, with the ids that their results name. Hook runs are in `hook`.
    pub fn calls(&self) -> impl Iterator<Item = (ResultKind, &str)> {
        let kind = match self.kind {
            MessageKind::ExposedToolCall => ResultKind::Exposed,
            _ => ResultKind::Mcp,
        };
        let uses = self.tool_uses.iter().map(|tool| (ResultKind::Tool, tool.call_id.as_str()));
        uses.chain(self.call_id.iter().map(move |call_id| (kind, call_id.as_str())))
    }
}

/// The source of a line's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The line itself (`timestamp`, or `snapshot.timestamp` of a file history snapshot).
    Own(Timestamp),
    /// The line with this uuid (a summary's `leafUuid`).
    Leaf(String),
    /// The preceding line of its file.
    LineBefore,
}

/// A tool use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// The id that its result names, unique within the session.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// The tool's category.
    pub category: ToolCategory,
}

/// The kind of call that a result answers.
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
    /// The stored name.
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

/// A result, to be paired with its call or hook run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRecord {
    /// The kind of call that it answers.
    pub kind: ResultKind,
    /// The call that it answers. Only a hook's result may have none: it then answers the earliest preceding run of the
    /// hook without a result. Results of other kinds that name no call are dropped.
    pub call_id: Option<String>,
    /// Whether the call succeeded, if the result states it; a tool result is a success unless `is_error` is set.
    pub success: Option<bool>,
    /// The call's duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// The subagent that the call started.
    pub starts_agent: Option<String>,
    /// The file action that the tool's result reports. It corrects [`FileChangeRecord::action`], which the input of a
    /// `Write` does not determine.
    pub file_action: Option<FileAction>,
    /// The number of searches on the web that the tool made. They are billed, and are in no answer's counters.
    pub web_searches: Option<i64>,
}

/// A tool use that starts a subagent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubagentCall {
    /// The tool use.
    pub call_id: String,
    /// Identifies the subagent's prompt: the UUIDv5 of its text in [`LINE_NAMESPACE`], trimmed and without what the harness
    /// inserts.
    pub prompt: [u8; 16],
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
    /// A person requested it.
    Manual,
    /// The line does not state it.
    Unknown,
}

impl CompactionTrigger {
    /// The stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Unknown => "unknown",
        }
    }
}

/// A compaction. Each writes two lines: its boundary (`continuation` is false) and the summary from which the
/// conversation continues (`continuation` is true). To count compactions, count boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Why it happened.
    pub trigger: CompactionTrigger,
    /// Whether this is the summary rather than the boundary.
    pub continuation: bool,
}

/// The source of a session's summary. A summary line takes precedence over a prompt, and a prompt over a command: many
/// sessions begin with `/clear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SummarySource {
    /// A slash command; the session's first one is used.
    FirstCommand,
    /// Another turn; the session's first one is used.
    FirstPrompt,
    /// A `summary` line; the last one is used.
    SummaryLine,
}

/// A line's candidate for the session's summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRecord {
    /// One line of at most 500 characters.
    pub text: String,
    /// Where it comes from.
    pub source: SummarySource,
}

/// The source of a session's title, in ascending order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitleSource {
    /// Any of these of another session: a fork repeats the titles of the session that it was forked from.
    Copied,
    /// `ai-title`: the agent named the session.
    Agent,
    /// `agent-name`: the name of the agent that works in the session.
    AgentName,
    /// `custom-title`: a person named the session.
    Person,
}

/// A title that a line gives the session. The last one of the source with the highest precedence is the session's title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TitleRecord {
    /// One line of at most 500 characters.
    pub text: String,
    /// Where it comes from.
    pub source: TitleSource,
}
