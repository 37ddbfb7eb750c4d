//! A session's to-dos: the latest list that its agent wrote.

use async_graphql::{Enum, ID, SimpleObject};
use han_db::entities;
use han_transcript::record;

/// Where a to-do stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Being worked on.
    InProgress,
    /// Done.
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
    /// The global id, `Todo:<session>:<place in the list>`.
    id: ID,
    /// What is to be done.
    content: String,
    /// The same as something being done: `Running the tests`.
    active_form: Option<String>,
    /// Where it stands.
    pub(crate) status: TodoStatus,
}

impl Todo {
    /// A session's list, in its order.
    pub(crate) fn list(todos: &entities::Todos) -> Vec<Self> {
        let todo = |(at, todo): (usize, &record::TodoRecord)| Self {
            id: ID(format!("Todo:{}:{at}", todos.session_id)),
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

/// A session's to-dos, all of them, in the order of the list.
#[derive(Clone, Debug, SimpleObject)]
pub struct TodoConnection {
    /// The to-dos.
    edges: Vec<TodoEdge>,
    /// How many they are.
    total_count: i64,
}

impl TodoConnection {
    pub(crate) fn new(todos: Vec<Todo>) -> Self {
        let total_count = i64::try_from(todos.len()).unwrap_or(i64::MAX);
        Self { edges: todos.into_iter().map(|node| TodoEdge { node }).collect(), total_count }
    }
}

/// How many to-dos stand where.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct TodoCounts {
    /// Not begun.
    pending: i64,
    /// Being worked on.
    in_progress: i64,
    /// Done.
    completed: i64,
    /// All of them.
    total: i64,
}

impl From<entities::TodoCounts> for TodoCounts {
    fn from(counts: entities::TodoCounts) -> Self {
        let entities::TodoCounts { pending, in_progress, completed } = counts;
        Self { pending, in_progress, completed, total: pending + in_progress + completed }
    }
}
