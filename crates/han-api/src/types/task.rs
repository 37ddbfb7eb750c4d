//! Tasks: Han's tasks, and the agent's own tasks.

use async_graphql::{Enum, ID, SimpleObject};
use han_db::entities;
use han_transcript::fold;
use han_types::{Timestamp, id_parts};

/// The status of one of Han's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TaskStatus {
    /// Started and not ended.
    Active,
    /// Completed.
    Completed,
    /// Failed or abandoned.
    Failed,
}

impl From<fold::TaskStatus> for TaskStatus {
    fn from(status: fold::TaskStatus) -> Self {
        match status {
            fold::TaskStatus::Active => Self::Active,
            fold::TaskStatus::Completed => Self::Completed,
            fold::TaskStatus::Failed => Self::Failed,
        }
    }
}

/// The type of one of Han's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TaskType {
    /// A new feature.
    Implementation,
    /// A bug fix.
    Fix,
    /// A refactoring.
    Refactor,
    /// Research.
    Research,
}

impl TaskType {
    /// The type with this name; `None` for any other word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "implementation" => Some(Self::Implementation),
            "fix" => Some(Self::Fix),
            "refactor" => Some(Self::Refactor),
            "research" => Some(Self::Research),
            _ => None,
        }
    }
}

/// The outcome of one of Han's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum TaskOutcome {
    /// The goal was reached.
    Success,
    /// The goal was reached in part.
    Partial,
    /// The goal was not reached.
    Failure,
}

/// One of Han's tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct Task {
    /// The global id, `Task:<session>~<task>`.
    id: ID,
    /// Its id within the session, or the id of the call that started it until a result names it.
    task_id: String,
    /// What to do; empty if it is not known.
    description: String,
    /// Its type; null for any other type.
    #[graphql(name = "type")]
    task_type: Option<TaskType>,
    /// Its status after its last event.
    status: TaskStatus,
    /// Its outcome: `success`, `partial` or `failure`.
    outcome: Option<String>,
    /// The agent's confidence in the outcome, from 0 to 1.
    confidence: Option<f64>,
    /// The last note or, if it was abandoned, the reason.
    notes: Option<String>,
    /// The time of its first event, RFC 3339 in UTC.
    started_at: String,
    /// When it ended, RFC 3339 in UTC.
    completed_at: Option<String>,
    /// The seconds from its first event to its end.
    duration_seconds: Option<i64>,
}

impl From<&entities::Task> for Task {
    fn from(row: &entities::Task) -> Self {
        let details = &row.details;
        Self {
            id: ID(format!("Task:{}", id_parts::join(&[&row.session_id, &row.task_id]))),
            task_id: row.task_id.clone(),
            description: details.description.clone().unwrap_or_default(),
            task_type: details.task_type.as_deref().and_then(TaskType::of_word),
            status: row.status.into(),
            outcome: row.outcome.map(|outcome| outcome.as_str().to_owned()),
            confidence: row.confidence,
            notes: details.notes.clone(),
            started_at: Timestamp(row.started_at).to_rfc3339(),
            completed_at: row.completed_at.map(|at| Timestamp(at).to_rfc3339()),
            duration_seconds: row.completed_at.map(|at| (at - row.started_at).max(0) / 1000),
        }
    }
}

/// One of Han's tasks in a list.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskEdge {
    /// The task.
    node: Task,
}

/// All of Han's tasks of a session, in the order of their start.
#[derive(Clone, Debug, SimpleObject)]
pub struct TaskConnection {
    /// The tasks.
    edges: Vec<TaskEdge>,
    /// The number of tasks.
    total_count: i64,
}

impl TaskConnection {
    pub(crate) fn new(tasks: Vec<Task>) -> Self {
        let total_count = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
        Self { edges: tasks.into_iter().map(|node| TaskEdge { node }).collect(), total_count }
    }
}

/// One of the agent's own tasks.
#[derive(Clone, Debug, SimpleObject)]
pub struct NativeTask {
    /// The global id, `NativeTask:<session>~<task>`.
    id: ID,
    /// Its session's id.
    session_id: String,
    /// Its id within the session, or the id of the call that created it until a result names it.
    task_id: String,
    /// The global id of the message that created it.
    message_id: String,
    /// Its title; empty if only updates are known.
    subject: String,
    /// What to do.
    description: Option<String>,
    /// The description while in progress.
    active_form: Option<String>,
    /// `pending`, `in_progress`, `completed`, or another word that the agent wrote.
    status: String,
    /// Who works on it.
    owner: Option<String>,
    /// The ids of tasks that it blocks.
    blocks: Vec<String>,
    /// The ids of tasks that block it.
    blocked_by: Vec<String>,
    /// The time of its first event, RFC 3339 in UTC.
    created_at: String,
    /// When it last changed, RFC 3339 in UTC.
    updated_at: String,
    /// When it was completed, if it is, RFC 3339 in UTC.
    completed_at: Option<String>,
}

impl NativeTask {
    /// A task that the agent has not deleted.
    pub(crate) fn of_row(row: &entities::NativeTask) -> Option<Self> {
        let details = &row.details;
        (details.status != "deleted").then(|| Self {
            id: ID(format!("NativeTask:{}", id_parts::join(&[&row.session_id, &row.task_id]))),
            session_id: row.session_id.clone(),
            task_id: row.task_id.clone(),
            message_id: format!("Message:{}", id_parts::join(&[&row.session_id, &row.transcript, &row.uuid])),
            subject: details.subject.clone(),
            description: details.description.clone(),
            active_form: details.active_form.clone(),
            status: details.status.clone(),
            owner: details.owner.clone(),
            blocks: details.blocks.clone(),
            blocked_by: details.blocked_by.clone(),
            created_at: Timestamp(row.created_at).to_rfc3339(),
            updated_at: Timestamp(row.updated_at).to_rfc3339(),
            completed_at: row.completed_at.map(|at| Timestamp(at).to_rfc3339()),
        })
    }
}
