//! Tasks from their events. An event counts unless the result of its call says that the call failed; a task that
//! began through a call is known by the call until the result names it.

use std::collections::{BTreeMap, BTreeSet};

use han_types::Timestamp;

use super::Place;
use crate::record::{NativeTaskEvent, NativeTaskRecord, TaskEvent, TaskOutcome, TaskRecord};

/// Where one of Han's tasks stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskStatus {
    /// Begun and not ended.
    #[default]
    Active,
    /// Ended.
    Completed,
    /// Given up.
    Failed,
}

impl TaskStatus {
    /// The contract's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One of Han's tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Its id, or the id of the call that began it as long as no result names it.
    pub task_id: String,
    /// What is to be done.
    pub description: Option<String>,
    /// `implementation`, `fix`, `refactor`, `research`, or another word.
    pub task_type: Option<String>,
    /// `trivial`, `simple`, `moderate` or `complex`.
    pub complexity: Option<String>,
    /// Where it stands, as its last event says.
    pub status: TaskStatus,
    /// How it ended.
    pub outcome: Option<TaskOutcome>,
    /// How sure the agent is of that, from 0 to 1.
    pub confidence: Option<f64>,
    /// The last note or, where it was given up, the reason.
    pub notes: Option<String>,
    /// When it was first heard of.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// One of the agent's own tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeTask {
    /// Its id, or the id of the call that created it as long as no result names it.
    pub task_id: String,
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
    pub blocks: BTreeSet<String>,
    /// Tasks it waits for.
    pub blocked_by: BTreeSet<String>,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was completed, if that is where it stands.
    pub completed_at: Option<Timestamp>,
}

/// One event, in order: where it stands, its call, the task it names, and what happened.
type Event<'a, E> = (&'a Place, Option<&'a str>, Option<&'a str>, &'a E);

/// Sorts events by where they stand, drops those of failed calls, and says which task each belongs to.
fn by_task<'a, E>(
    mut events: Vec<Event<'a, E>>,
    failed: &BTreeSet<String>,
    names: fn(&E) -> bool,
) -> BTreeMap<&'a str, Vec<(&'a Place, &'a E)>> {
    events.retain(|(_, call_id, ..)| call_id.is_none_or(|call| !failed.contains(call)));
    events.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    let named: BTreeMap<&str, &str> =
        events.iter().filter(|event| names(event.3)).filter_map(|event| Some((event.1?, event.2?))).collect();
    let mut tasks = BTreeMap::<_, Vec<_>>::new();
    for (place, call_id, task_id, event) in events {
        let by_call = || call_id.map(|call| *named.get(call).unwrap_or(&call));
        if let Some(id) = task_id.or_else(by_call)
            && !names(event)
        {
            tasks.entry(id).or_default().push((place, event));
        }
    }
    tasks
}

/// Han's tasks, by when they began. `failed` are the calls whose results say they failed.
#[must_use]
pub fn tasks(events: &[(Place, TaskRecord)], failed: &BTreeSet<String>) -> Vec<Task> {
    let events = events
        .iter()
        .map(|(place, record)| (place, record.call_id.as_deref(), record.task_id.as_deref(), &record.event));
    let tasks = by_task(events.collect(), failed, |event| matches!(event, TaskEvent::Named));
    let mut tasks: Vec<_> = tasks.into_iter().map(|(id, events)| task(id, &events)).collect();
    tasks.sort_by(|a, b| (a.started_at, &a.task_id).cmp(&(b.started_at, &b.task_id)));
    tasks
}

fn task(id: &str, events: &[(&Place, &TaskEvent)]) -> Task {
    let started_at = events.first().map_or_else(Timestamp::default, |(place, _)| place.time);
    let mut task = Task { task_id: id.to_owned(), started_at, ..Task::default() };
    for (place, event) in events {
        match event {
            // The same beginning is told by the tool use, by Han's record of it, and by its own event.
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
                task.completed_at = Some(place.time);
            }
            TaskEvent::Failed { reason, confidence, notes } => {
                task.status = TaskStatus::Failed;
                task.outcome = Some(TaskOutcome::Failure);
                set(&mut task.confidence, confidence);
                set(&mut task.notes, notes);
                set(&mut task.notes, reason);
                task.completed_at = Some(place.time);
            }
            TaskEvent::Named => {}
        }
    }
    task
}

/// The agent's own tasks, by when they were created. `failed` are the calls whose results say they failed.
#[must_use]
pub fn native_tasks(events: &[(Place, NativeTaskRecord)], failed: &BTreeSet<String>) -> Vec<NativeTask> {
    let events = events.iter().map(|(place, record)| {
        (place, Some(record.call_id.as_str()), record.task_id.as_deref(), &record.event)
    });
    let tasks = by_task(events.collect(), failed, |event| matches!(event, NativeTaskEvent::Named));
    let mut tasks: Vec<_> = tasks.into_iter().map(|(id, events)| native_task(id, &events)).collect();
    tasks.sort_by(|a, b| (a.created_at, &a.task_id).cmp(&(b.created_at, &b.task_id)));
    tasks
}

fn native_task(id: &str, events: &[(&Place, &NativeTaskEvent)]) -> NativeTask {
    let created_at = events.first().map_or_else(Timestamp::default, |(place, _)| place.time);
    let mut task = NativeTask {
        task_id: id.to_owned(),
        status: "pending".to_owned(),
        created_at,
        updated_at: created_at,
        ..NativeTask::default()
    };
    let mut named = None;
    for (place, event) in events {
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
                    task.completed_at = (status == "completed").then_some(place.time);
                }
            }
            NativeTaskEvent::Named => {}
        }
        task.updated_at = place.time;
    }
    task.subject = named.unwrap_or_default();
    task
}

/// What is given replaces what was known.
fn set<T: Clone>(known: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        known.clone_from(given);
    }
}
