//! Changes that tools made to files, and the hooks that have validated the files since.

use std::sync::Arc;

use async_graphql::{ComplexObject, Enum, SimpleObject};
use han_db::entities;
use han_db::page::{Cursor as _, Page};
use han_db::queries::file_changes::{self, Validation};
use han_transcript::record::FileAction;
use han_types::{SessionId, Timestamp, id_parts};
use tokio::sync::OnceCell;

use crate::connection::connection;
use crate::context::Op;
use crate::error::{ApiError, Result};
use crate::loaders::HooksOf;

/// The kind of a file change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub enum FileChangeAction {
    /// The file was created.
    Created,
    /// The content of the file changed.
    Modified,
    /// The file was deleted.
    Deleted,
}

impl From<FileAction> for FileChangeAction {
    fn from(action: FileAction) -> Self {
        match action {
            FileAction::Created => Self::Created,
            FileAction::Modified => Self::Modified,
            FileAction::Deleted => Self::Deleted,
        }
    }
}

/// A page of file changes. Their validations are computed together, when the first one is requested.
#[derive(Debug)]
pub(crate) struct Changes {
    op: Op,
    session_id: SessionId,
    page: Arc<Page<entities::FileChange>>,
    validations: OnceCell<Vec<Validation>>,
}

impl Changes {
    async fn validation(&self, at: usize) -> Result<Option<&Validation>> {
        let work = || async {
            let hooks =
                self.op.loader().load_one(HooksOf(self.session_id.clone())).await?.unwrap_or_default();
            Ok::<_, ApiError>(file_changes::validations(&self.page.rows, &hooks))
        };
        Ok(self.validations.get_or_try_init(work).await?.get(at))
    }
}

/// A change that a tool made to a file.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct FileChange {
    /// The global id, `FileChange:<session>~<transcript>~<number>~<uuid>`.
    id: String,
    /// The path of the file on the developer's machine.
    file_path: String,
    /// The kind of change.
    action: FileChangeAction,
    /// The tool.
    tool_name: String,
    /// The number of lines that the new text has more often than the old one.
    lines_added: i64,
    /// The number of lines that the old text has more often than the new one.
    lines_removed: i64,
    /// When the change was made, RFC 3339 in UTC.
    recorded_at: String,
    #[graphql(skip)]
    at: usize,
    #[graphql(skip)]
    changes: Arc<Changes>,
}

/// A hook that validates files. docs/METRICS.md says which hooks count.
#[derive(Clone, Debug, SimpleObject)]
pub struct FileValidation {
    /// The hook.
    hook_name: String,
    /// Its plugin.
    plugin_name: Option<String>,
    /// When it first passed after the change, RFC 3339 in UTC; null if it has not.
    validated_at: Option<String>,
}

#[ComplexObject]
impl FileChange {
    /// Whether at least one hook has passed after the change and none is missing.
    async fn is_validated(&self) -> Result<bool> {
        let validation = self.changes.validation(self.at).await?;
        Ok(validation.is_some_and(|found| !found.passed.is_empty() && found.missing.is_empty()))
    }

    /// The hooks of the session that passed after the change, on a directory above the file or on everything.
    async fn validations(&self) -> Result<Vec<FileValidation>> {
        let found = self.changes.validation(self.at).await?;
        let passed = found.into_iter().flat_map(|found| &found.passed);
        Ok(passed
            .map(|(check, at)| FileValidation {
                hook_name: check.hook.clone(),
                plugin_name: check.plugin.clone(),
                validated_at: Some(Timestamp(*at).to_rfc3339()),
            })
            .collect())
    }

    /// The hooks of the session that validate the file and have not passed since the change.
    async fn missing_validations(&self) -> Result<Vec<FileValidation>> {
        let found = self.changes.validation(self.at).await?;
        let missing = found.into_iter().flat_map(|found| &found.missing);
        Ok(missing
            .map(|check| FileValidation {
                hook_name: check.hook.clone(),
                plugin_name: check.plugin.clone(),
                validated_at: None,
            })
            .collect())
    }
}

/// A file change in a list.
#[derive(Clone, Debug, SimpleObject)]
pub struct FileChangeEdge {
    /// Its cursor.
    pub(crate) cursor: String,
    /// The change.
    node: FileChange,
}

connection!(
    /// A page of file changes.
    FileChangeConnection of FileChangeEdge
);

impl FileChangeEdge {
    /// The edges of a page.
    pub(crate) fn page(op: &Op, session_id: SessionId, page: Arc<Page<entities::FileChange>>) -> Vec<Self> {
        let (op, validations) = (Op::clone(op), OnceCell::new());
        let changes = Arc::new(Changes { op, session_id, page, validations });
        let edge = |(at, row): (usize, &entities::FileChange)| {
            let entities::FileChangeKey { line, n } = &row.cursor;
            let node = FileChange {
                id: format!(
                    "FileChange:{}",
                    id_parts::join(&[&row.session_id, &line.transcript, &n.to_string(), &row.uuid])
                ),
                file_path: row.path.clone(),
                action: row.action.into(),
                tool_name: row.tool_name.clone(),
                lines_added: row.lines_added,
                lines_removed: row.lines_removed,
                recorded_at: Timestamp(line.at).to_rfc3339(),
                at,
                changes: Arc::clone(&changes),
            };
            Self { cursor: row.cursor.encode(), node }
        };
        changes.page.rows.iter().enumerate().map(edge).collect()
    }
}
