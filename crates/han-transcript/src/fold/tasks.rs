//! Derives tasks from their events. Events of failed calls do not count. A task that a call starts has the call's id
//! until the call's result names the task.

use std::collections::{BTreeMap, BTreeSet};

use han_types::Timestamp;

use super::LinePosition;
use crate::record::{NativeTaskEvent, NativeTaskRecord, TaskEvent, TaskOutcome, TaskRecord};

/// The status of a task of Han.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskStatus {
    /// Started, not ended.
    #[default]
    Active,
    /// Completed.
    Completed,
    /// Abandoned.
    Failed,
}

impl TaskStatus {
    /// The GraphQL name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// A task of Han.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Its id, or the id of the call that started it until a result names the task.
    pub task_id: String,
    /// What to do.
    pub description: Option<String>,
    /// `implementation`, `fix`, `refactor`, `research`, or another word.
    pub task_type: Option<String>,
    /// `trivial`, `simple`, `moderate` or `complex`.
    pub complexity: Option<String>,
    /// Its status after its last event.
    pub status: TaskStatus,
    /// Its outcome.
    pub outcome: Option<TaskOutcome>,
    /// The agent's confidence in the outcome, from 0 to 1.
    pub confidence: Option<f64>,
    /// The last note or, if it was abandoned, the reason.
    pub notes: Option<String>,
    /// The time of its first event.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// A task of the agent itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeTask {
    /// Its id, or the id of the call that created it until a result names the task.
    pub task_id: String,
    /// Its title; empty if only updates are known.
    pub subject: String,
    /// What to do.
    pub description: Option<String>,
    /// The title in the present continuous (`Running the tests`).
    pub active_form: Option<String>,
    /// `pending`, `in_progress`, `completed`, `deleted`, or any other text of the agent.
    pub status: String,
    /// The assignee.
    pub owner: Option<String>,
    /// Tasks that wait for it.
    pub blocks: BTreeSet<String>,
    /// Tasks that it waits for.
    pub blocked_by: BTreeSet<String>,
    /// The time of its first event.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was completed, if it is completed.
    pub completed_at: Option<Timestamp>,
}

/// One event: its position, its call, the task that it names, and its content.
type Event<'a, E> = (&'a LinePosition, Option<&'a str>, Option<&'a str>, &'a E);

/// Drops the events of failed calls and groups the others by task, sorted by position.
fn by_task<'a, E>(
    mut events: Vec<Event<'a, E>>,
    failed: &BTreeSet<String>,
    names: fn(&E) -> bool,
) -> BTreeMap<&'a str, Vec<(&'a LinePosition, &'a E)>> {
    events.retain(|(_, call_id, ..)| call_id.is_none_or(|call| !failed.contains(call)));
    events.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    let named: BTreeMap<&str, &str> =
        events.iter().filter(|event| names(event.3)).filter_map(|event| Some((event.1?, event.2?))).collect();
    let mut tasks = BTreeMap::<_, Vec<_>>::new();
    for (position, call_id, task_id, event) in events {
        let by_call = || call_id.map(|call| *named.get(call).unwrap_or(&call));
        if let Some(id) = task_id.or_else(by_call)
            && !names(event)
        {
            tasks.entry(id).or_default().push((position, event));
        }
    }
    tasks
}

/// Han's tasks, ordered by start time. `failed` has the ids of failed calls.
#[must_use]
pub fn tasks(events: &[(LinePosition, TaskRecord)], failed: &BTreeSet<String>) -> Vec<Task> {
    let events = events.iter().map(|(position, record)| {
        (position, record.call_id.as_deref(), record.task_id.as_deref(), &record.event)
    });
    let tasks = by_task(events.collect(), failed, |event| matches!(event, TaskEvent::Named));
    let mut tasks: Vec<_> = tasks.into_iter().map(|(id, events)| task(id, &events)).collect();
    tasks.sort_by(|a, b| (a.started_at, &a.task_id).cmp(&(b.started_at, &b.task_id)));
    tasks
}

fn task(id: &str, events: &[(&LinePosition, &TaskEvent)]) -> Task {
    let started_at = events.first().map_or_else(Timestamp::default, |(position, _)| position.time);
    let mut task = Task { task_id: id.to_owned(), started_at, ..Task::default() };
    for (position, event) in events {
        match event {
            // The tool use, Han's record of it, and Han's own event all report the same start.
            TaskEvent::Started { description, task_type, complexity } => {
                set(&mut task.description, description);
                set(&mut task.task_type, task_type);
                set(&mut task.complexity, complexity);
            }
            TaskEvent::Updated { notes, .. } => set(&mut task.notes, notes),
            TaskEvent::Completed { outcome, confidence, notes } => {
                task.status = TaskStatus::Completed;
                task.outcome = *outcome;
                set(&mut task.confidence, confidence);
                set(&mut task.notes, notes);
                task.completed_at = Some(position.time);
            }
            TaskEvent::Failed { reason, confidence, notes } => {
                task.status = TaskStatus::Failed;
                task.outcome = Some(TaskOutcome::Failure);
                set(&mut task.confidence, confidence);
                set(&mut task.notes, notes);
                set(&mut task.notes, reason);
                task.completed_at = Some(position.time);
            }
            TaskEvent::Named => {}
        }
    }
    task
}

/// The agent's own tasks, ordered by creation time. `failed` has the ids of failed calls.
#[must_use]
pub fn native_tasks(
    events: &[(LinePosition, NativeTaskRecord)],
    failed: &BTreeSet<String>,
) -> Vec<NativeTask> {
    let events = events.iter().map(|(position, record)| {
        (position, Some(record.call_id.as_str()), record.task_id.as_deref(), &record.event)
    });
    let tasks = by_task(events.collect(), failed, |event| matches!(event, NativeTaskEvent::Named));
    let mut tasks: Vec<_> = tasks.into_iter().map(|(id, events)| native_task(id, &events)).collect();
    tasks.sort_by(|a, b| (a.created_at, &a.task_id).cmp(&(b.created_at, &b.task_id)));
    tasks
}

fn native_task(id: &str, events: &[(&LinePosition, &NativeTaskEvent)]) -> NativeTask {
    let created_at = events.first().map_or_else(Timestamp::default, |(position, _)| position.time);
    let mut task = NativeTask {
        task_id: id.to_owned(),
        status: "pending".to_owned(),
        created_at,
        updated_at: created_at,
        ..NativeTask::default()
    };
    let mut named = None;
    for (position, event) in events {
        match event {
            NativeTaskEvent::Created { subject, description, active_form } => {
                set(&mut named, subject);
                set(&mut task.description, description);
                set(&mut task.active_form, active_form);
            }
            NativeTaskEvent::Updated {
                status,
                subject,
                description,
                active_form,
                owner,
                add_blocks,
                add_blocked_by,
            } => {
                set(&mut named, subject);
                set(&mut task.description, description);
                set(&mut task.active_form, active_form);
                set(&mut task.owner, owner);
                task.blocks.extend(add_blocks.iter().cloned());
                task.blocked_by.extend(add_blocked_by.iter().cloned());
                if let Some(status) = status {
                    task.status.clone_from(status);
                    task.completed_at = (status == "completed").then_some(position.time);
                }
            }
            NativeTaskEvent::Named => {}
        }
        task.updated_at = position.time;
    }
    task.subject = named.unwrap_or_default();
    task
}

/// Overwrites `known` if `given` has a value.
fn set<T: Clone>(known: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        known.clone_from(given);
    }
}
