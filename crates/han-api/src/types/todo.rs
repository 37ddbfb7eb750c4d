//! To-dos: the latest list that a session's agent wrote.

use async_graphql::{Enum, ID, SimpleObject};
use han_db::entities;
use han_transcript::record;
use han_types::id_parts;

/// The status of a to-do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub enum TodoStatus {
    /// Not started.
    Pending,
    /// In progress.
    InProgress,
    /// Completed.
    Completed,
}

impl From<record::TodoStatus> for TodoStatus {
    fn from(status: record::TodoStatus) -> Self {
        match status {
            record::TodoStatus::Pending => Self::Pending,
            record::TodoStatus::InProgress => Self::InProgress,
            record::TodoStatus::Completed => Self::Completed,
        }
    }
}

/// A to-do.
#[derive(Clone, Debug, SimpleObject)]
pub struct Todo {
    /// The global id, `Todo:<session>~<index in the list>`.
    id: ID,
    /// What to do.
    content: String,
    /// The description while in progress, such as `Running the tests`.
    active_form: Option<String>,
    /// Its status.
    pub(crate) status: TodoStatus,
}

impl Todo {
    /// The to-dos of a session, in the order of its list.
    pub(crate) fn list(todos: &entities::Todos) -> Vec<Self> {
        let todo = |(at, todo): (usize, &record::TodoRecord)| Self {
            id: ID(format!("Todo:{}", id_parts::join(&[&todos.session_id, &at.to_string()]))),
            content: todo.content.clone(),
            active_form: todo.active_form.clone(),
            status: todo.status.into(),
        };
        todos.items.iter().enumerate().map(todo).collect()
    }
}

/// A to-do in a list.
#[derive(Clone, Debug, SimpleObject)]
pub struct TodoEdge {
    /// The to-do.
    node: Todo,
}

/// All to-dos of a session, in the order of the list.
#[derive(Clone, Debug, SimpleObject)]
pub struct TodoConnection {
    /// The to-dos.
    edges: Vec<TodoEdge>,
    /// The number of to-dos.
    total_count: i64,
}

impl TodoConnection {
    pub(crate) fn new(todos: Vec<Todo>) -> Self {
        let total_count = i64::try_from(todos.len()).unwrap_or(i64::MAX);
        Self { edges: todos.into_iter().map(|node| TodoEdge { node }).collect(), total_count }
    }
}

/// The number of to-dos per status.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct TodoCounts {
    /// Not started.
    pending: i64,
    /// In progress.
    in_progress: i64,
    /// Completed.
    completed: i64,
    /// All to-dos.
    total: i64,
}

impl From<entities::TodoCounts> for TodoCounts {
    fn from(counts: entities::TodoCounts) -> Self {
        let entities::TodoCounts { pending, in_progress, completed } = counts;
        Self { pending, in_progress, completed, total: pending + in_progress + completed }
    }
}
