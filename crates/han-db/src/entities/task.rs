//! Tasks: Han's, and the agent's own.

use han_transcript::fold::TaskStatus;
use han_transcript::record::TaskOutcome;
use serde::{Deserialize, Serialize};

/// One of Han's tasks, opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its session.
    pub session_id: String,
    /// Its id within the session, or the id of the call that began it as long as no result names it.
    pub task_id: String,
    /// Its status.
    pub status: TaskStatus,
    /// How it ended.
    pub outcome: Option<TaskOutcome>,
    /// How sure the agent was of that, from 0 to 1.
    pub confidence: Option<f64>,
    /// When it was first mentioned, in milliseconds since the epoch.
    pub started_at: i64,
    /// When it ended, in milliseconds since the epoch.
    pub completed_at: Option<i64>,
    /// What is sealed of it.
    pub details: TaskDetails,
}

/// What is sealed of one of Han's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetails {
    /// What is to be done.
    pub description: Option<String>,
    /// `implementation`, `fix`, `refactor`, `research`, or another word.
    pub task_type: Option<String>,
    /// `trivial`, `simple`, `moderate` or `complex`.
    pub complexity: Option<String>,
    /// The last note or, where it was given up, the reason.
    pub notes: Option<String>,
}

/// One of the agent's own tasks, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeTask {
    /// Its session.
    pub session_id: String,
    /// Its id within the session, or the id of the call that created it as long as no result names it.
    pub task_id: String,
    /// The file of the line that created it.
    pub transcript: String,
    /// The uuid of the line that created it.
    pub uuid: String,
    /// When it was first mentioned, in milliseconds since the epoch.
    pub created_at: i64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_at: i64,
    /// When it was completed, if it is completed, in milliseconds since the epoch.
    pub completed_at: Option<i64>,
    /// What is sealed of it.
    pub details: NativeTaskDetails,
}

/// What is sealed of one of the agent's own tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeTaskDetails {
    /// What it is called; empty where only updates were seen.
    pub subject: String,
    /// What is to be done.
    pub description: Option<String>,
    /// The same as something being done.
    pub active_form: Option<String>,
    /// `pending`, `in_progress`, `completed`, `deleted`, or whatever the agent wrote.
    pub status: String,
    /// Who does it.
    pub owner: Option<String>,
    /// Tasks that wait for it.
    pub blocks: Vec<String>,
    /// Tasks it waits for.
    pub blocked_by: Vec<String>,
}
