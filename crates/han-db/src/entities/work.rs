//! What a session's lines say about the work: to-dos, file changes, hooks, sentiments, counters.

use han_transcript::fold::LinePosition;
use han_transcript::record::{FileAction, HookRecord, TodoRecord};

use crate::page::MessageCursor;

/// A session's latest to-do list, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Todos {
    /// The session.
    pub session_id: String,
    /// When it was written, in milliseconds since the epoch.
    pub at: i64,
    /// The list.
    pub items: Vec<TodoRecord>,
}

/// How many to-dos stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TodoCounts {
    /// Not begun.
    pub pending: i64,
    /// Being worked on.
    pub in_progress: i64,
    /// Done.
    pub completed: i64,
}

/// A change that a tool made to a file, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The session.
    pub session_id: String,
    /// The line that made it, as its place in the list of changes.
    pub cursor: FileChangeKey,
    /// The uuid of that line.
    pub uuid: String,
    /// The file.
    pub path: String,
    /// The tool.
    pub tool_name: String,
    /// What became of the file.
    pub action: FileAction,
    /// Lines that are in the new text and were not in the old one.
    pub lines_added: i64,
    /// Lines that were in the old text and are not in the new one.
    pub lines_removed: i64,
}

/// A place in a list of file changes: the line, and which of its changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileChangeKey {
    /// The line's place.
    pub line: MessageCursor,
    /// Which of the line's changes, from 0.
    pub n: i64,
}

/// A decrypted line about a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEvent {
    /// The session.
    pub session_id: String,
    /// The uuid of the line.
    pub uuid: String,
    /// The order in which the server stored it.
    pub ordinal: i64,
    /// The position of the line.
    pub place: LinePosition,
    /// Its content. A hook without a name has its event's (`hook_script`).
    pub hook: HookRecord,
}

/// A sentiment that Han read from a prompt, decrypted.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentiment {
    /// The session.
    pub session_id: String,
    /// The file of its line.
    pub transcript: String,
    /// The uuid of that line.
    pub uuid: String,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// The prompt's uuid.
    pub message_id: Option<String>,
    /// From about -5 to +5.
    pub sentiment: Option<f64>,
    /// From 0 to 10.
    pub frustration: Option<f64>,
    /// `positive`, `neutral`, `negative`, or `other`.
    pub sentiment_level: Option<String>,
    /// `low`, `moderate`, `high`, or `other`.
    pub frustration_level: Option<String>,
    /// What gave it away.
    pub signals: Vec<String>,
}

/// A session's counters beside its totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Uses of tools.
    pub tool_uses: i64,
    /// Changes of files that did not fail.
    pub file_changes: i64,
    /// Lines added by them.
    pub lines_added: i64,
    /// Lines removed by them.
    pub lines_removed: i64,
    /// Tasks begun, Han's and the agent's own.
    pub tasks: i64,
    /// Those that ended well.
    pub tasks_done: i64,
    /// Sentiments with a score.
    pub sentiments: i64,
    /// The sum of those scores, in thousandths.
    pub sentiment_sum: i64,
}
