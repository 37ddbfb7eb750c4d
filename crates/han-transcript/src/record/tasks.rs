//! Events of tasks and to-dos: the agent's own (`TaskCreate`, `TaskUpdate`, `TodoWrite`) and Han's (its MCP tools
//! `start_task`, `update_task`, `complete_task`, `fail_task`, and its events `task_start` and so on).
//!
//! The tool assigns a task's id, so only the result of the creating call contains it. Events therefore name the call,
//! the id, or both, and do not depend on each other: `fold` combines them in any order of arrival.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::changes::bounded;
use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::line::ParsedLine;
use crate::text::{MAX_NAME, MAX_PROSE, id, label, prose};

/// The largest result, in bytes, that is searched for a task's id. Such results are one sentence or one small object.
const MAX_NAMING_RESULT: usize = 8192;

/// The status of a to-do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not started. Unknown statuses count as pending.
    Pending,
    /// In progress.
    InProgress,
    /// Done.
    Completed,
}

impl TodoStatus {
    /// The GraphQL name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// A to-do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TodoRecord {
    /// What to do.
    pub content: String,
    /// The content in the present continuous (`Running the tests`).
    pub active_form: Option<String>,
    /// Its status.
    pub status: TodoStatus,
}

impl TodoRecord {
    /// The list in the input of `TodoWrite`.
    pub(super) fn list(input: &Object<'_>) -> Option<Vec<Self>> {
        let todo = |item: &RawValue| {
            let item = json::object(item)?;
            let status = match &*item.text("status").unwrap_or_default() {
                "in_progress" => TodoStatus::InProgress,
                "completed" => TodoStatus::Completed,
                _ => TodoStatus::Pending,
            };
            Some(Self { content: text(&item, "content")?, active_form: text(&item, "activeForm"), status })
        };
        Some(bounded(input.list("todos")?.into_iter().filter_map(todo)))
    }
}

/// An event of a task of the agent itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeTaskRecord {
    /// The tool use that it belongs to. If the call's result is a failure, the event did not happen.
    pub call_id: String,
    /// The task, if the event names it.
    pub task_id: Option<String>,
    /// The change.
    pub event: NativeTaskEvent,
}

/// A change to a task of the agent itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NativeTaskEvent {
    /// `TaskCreate`. The id comes with `Named`.
    Created {
        /// The title.
        subject: Option<String>,
        /// What to do.
        description: Option<String>,
        /// The title in the present continuous.
        active_form: Option<String>,
    },
    /// `TaskUpdate`: changes the given fields and keeps the others.
    Updated {
        /// The new status: `pending`, `in_progress`, `completed`, `deleted`, or any other text of the agent.
        status: Option<String>,
        /// The new title.
        subject: Option<String>,
        /// The new description.
        description: Option<String>,
        /// The new active form.
        active_form: Option<String>,
        /// The new assignee.
        owner: Option<String>,
        /// Additional tasks that wait for it.
        add_blocks: Vec<String>,
        /// Additional tasks that it waits for.
        add_blocked_by: Vec<String>,
    },
    /// The call's result names the task that it created.
    Named,
}

impl NativeTaskRecord {
    pub(super) fn of_tool_use(name: &str, call_id: &str, input: &Object<'_>) -> Option<Self> {
        let ids = |name| bounded(input.list(name).unwrap_or_default().into_iter().filter_map(task_id));
        let (task_id, event) = match name {
            "TaskCreate" => (
                None,
                NativeTaskEvent::Created {
                    subject: text(input, "subject"),
                    description: text(input, "description"),
                    active_form: text(input, "activeForm"),
                },
            ),
            "TaskUpdate" => (
                Some(input.either("task_id").and_then(task_id)?),
                NativeTaskEvent::Updated {
                    status: input.text("status").and_then(|status| label(&status, MAX_NAME)),
                    subject: text(input, "subject"),
                    description: text(input, "description"),
                    active_form: text(input, "activeForm"),
                    owner: input.text("owner").and_then(|owner| label(&owner, MAX_NAME)),
                    add_blocks: ids("addBlocks"),
                    add_blocked_by: ids("addBlockedBy"),
                },
            ),
            _ => return None,
        };
        Some(Self { call_id: call_id.to_owned(), task_id, event })
    }

    /// From a result: `toolUseResult.task.id`, or the sentence `Task #1 created…`.
    pub(super) fn of_result(call_id: &str, structured: Option<&Object<'_>>, text: &str) -> Option<Self> {
        let from_object = || task_id(structured?.object("task")?.raw("id")?);
        let from_sentence = || {
            let rest = text.trim_start().strip_prefix("Task #")?;
            let (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
            rest.trim_start().starts_with("created").then(|| id(number)).flatten()
        };
        let task_id = from_object().or_else(from_sentence)?;
        Some(Self { call_id: call_id.to_owned(), task_id: Some(task_id), event: NativeTaskEvent::Named })
    }
}

/// The outcome of a task of Han.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// The goal was reached.
    Success,
    /// The goal was reached in part.
    Partial,
    /// The goal was missed.
    Failure,
}

impl TaskOutcome {
    /// The stored name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failure => "failure",
        }
    }
}

impl FromStr for TaskOutcome {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "success" => Ok(Self::Success),
            "partial" => Ok(Self::Partial),
            "failure" => Ok(Self::Failure),
            _ => Err(()),
        }
    }
}

/// An event of a task of Han. At least one of `call_id` and `task_id` is present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The call that it belongs to. If the call's result is a failure, the event did not happen.
    pub call_id: Option<String>,
    /// The task, if the event names it.
    pub task_id: Option<String>,
    /// The change.
    pub event: TaskEvent,
}

/// A change to a task of Han.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEvent {
    /// It started. If a tool started it, `Named` has its id.
    Started {
        /// What to do.
        description: Option<String>,
        /// `implementation`, `fix`, `refactor`, `research`, or another word, in lower case.
        task_type: Option<String>,
        /// `trivial`, `simple`, `moderate` or `complex`.
        complexity: Option<String>,
    },
    /// It progressed.
    Updated {
        /// The status, one word.
        status: Option<String>,
        /// Notes.
        notes: Option<String>,
    },
    /// It was completed.
    Completed {
        /// The outcome.
        outcome: Option<TaskOutcome>,
        /// The agent's confidence in the outcome, from 0 to 1.
        confidence: Option<f64>,
        /// Notes.
        notes: Option<String>,
    },
    /// It was abandoned.
    Failed {
        /// The reason.
        reason: Option<String>,
        /// The agent's confidence in the outcome, from 0 to 1.
        confidence: Option<f64>,
        /// Notes.
        notes: Option<String>,
    },
    /// The call's result names the task that it started.
    Named,
}

impl TaskRecord {
    /// From a use of one of Han's task tools, called directly (`mcp__server__start_task`) or by Han
    /// (`start_task`).
    pub(super) fn of_tool_use(name: &str, call_id: &str, input: &Object<'_>) -> Option<Self> {
        let tool = if name.starts_with("mcp__") { name.rsplit("__").next()? } else { name };
        let event = TaskEvent::read(tool, |field| input.either(field))?;
        let task_id = input.either("task_id").and_then(task_id);
        // Without an id, only the start of a task can be assigned to its task later.
        (task_id.is_some() || matches!(event, TaskEvent::Started { .. })).then(|| Self {
            call_id: Some(call_id.to_owned()),
            task_id,
            event,
        })
    }

    /// From a result: an object with a `task_id`, or its JSON as text.
    pub(super) fn of_result(call_id: &str, structured: Option<&Object<'_>>, text: &str) -> Option<Self> {
        let named = |object: &Object<'_>| object.either("task_id").and_then(task_id);
        let from_text = || {
            let json = text.trim();
            json.starts_with('{').then(|| Object::parse(json)).flatten().as_ref().and_then(named)
        };
        let task_id = structured.and_then(named).or_else(from_text)?;
        Some(Self { call_id: Some(call_id.to_owned()), task_id: Some(task_id), event: TaskEvent::Named })
    }

    /// From one of Han's own events.
    pub(super) fn of_event(line: &ParsedLine<'_>) -> Option<Self> {
        match line.kind() {
            MessageKind::McpToolCall => {
                let tool = line.event_text("tool")?;
                let input = ["arguments", "input", "args"].iter().find_map(|name| line.event_raw(name));
                let input = input.and_then(json::object).unwrap_or_default();
                Self::of_tool_use(&tool, &line.call_id()?, &input)
            }
            MessageKind::McpToolResult => {
                let result = ["result", "output"].iter().find_map(|name| line.event_raw(name));
                let result = result.filter(|raw| raw.get().len() <= MAX_NAMING_RESULT)?;
                let text = small_result_text(result);
                Self::of_result(&line.call_id()?, json::object(result).as_ref(), &text)
            }
            MessageKind::UnknownEvent => {
                let event = TaskEvent::read(line.event.as_deref()?, |field| line.event_raw(field))?;
                let task_id = line.event_raw("task_id").and_then(task_id)?;
                Some(Self { call_id: None, task_id: Some(task_id), event })
            }
            _ => None,
        }
    }
}

impl TaskEvent {
    fn read<'a>(name: &str, field: impl Fn(&str) -> Option<&'a RawValue>) -> Option<Self> {
        let text = |name| field(name).and_then(json::text);
        let prose = |name| text(name).map(|text| prose(&text, MAX_PROSE)).filter(|text| !text.is_empty());
        let word = |name| text(name).and_then(|word| label(&word, MAX_NAME)).map(|word| word.to_lowercase());
        let confidence = || field("confidence").and_then(json::number).map(|n| n.clamp(0.0, 1.0));
        Some(match name {
            "start_task" | "task_start" => Self::Started {
                description: prose("description"),
                task_type: word("type").filter(|word| word != name).or_else(|| word("task_type")),
                complexity: word("estimated_complexity"),
            },
            "update_task" | "task_update" => Self::Updated { status: word("status"), notes: prose("notes") },
            "complete_task" | "task_complete" => Self::Completed {
                outcome: word("outcome").and_then(|word| word.parse().ok()),
                confidence: confidence(),
                notes: prose("notes"),
            },
            "fail_task" | "task_fail" => {
                Self::Failed { reason: prose("reason"), confidence: confidence(), notes: prose("notes") }
            }
            _ => return None,
        })
    }
}

/// The text of a small result: a string, or the text blocks of a list. Empty for large results.
pub(super) fn small_result_text(content: &RawValue) -> String {
    if content.get().len() > MAX_NAMING_RESULT {
        return String::new();
    }
    if let Some(text) = json::text(content) {
        return text.into_owned();
    }
    let blocks = json::list(content)
        .or_else(|| json::object(content).and_then(|object| object.list("content")))
        .unwrap_or_default();
    let texts = blocks.into_iter().filter_map(|block| json::object(block)?.text("text"));
    texts.collect::<Vec<_>>().join("\n")
}

/// A task's id: text, or a number as text.
fn task_id(raw: &RawValue) -> Option<String> {
    match json::text(raw) {
        Some(text) => id(&text),
        None => raw.get().bytes().all(|b| b.is_ascii_digit()).then(|| id(raw.get())).flatten(),
    }
}

fn text(object: &Object<'_>, name: &str) -> Option<String> {
    object.text(name).map(|text| prose(&text, MAX_PROSE)).filter(|text| !text.is_empty())
}
