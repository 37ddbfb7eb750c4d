//! Reading projects and repositories.

use han_crypto::FieldContext;
use sea_orm::FromQueryResult;

use crate::entities::{Project, Repo};
use crate::queries::sessions::or_unreadable;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct ProjectRow {
    id: String,
    repo_id: Option<String>,
    details: String,
    sealed: bool,
    created_at: i64,
}

#[derive(FromQueryResult)]
struct RepoRow {
    id: String,
    details: String,
    sealed: bool,
    created_at: i64,
}

/// Projects by id; omits ids that are not the team's.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn by_ids(tx: &ScopedTx, ids: &[String]) -> Result<Vec<Project>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT id, repo_id, details, sealed, created_at FROM projects WHERE team = $1 AND {}",
        dialect.is_any("id", 2)
    );
    let rows = tx.all::<ProjectRow, _>(&sql, [tx.team(), dialect.list(ids)]).await?;
    let keys = tx.keys_for(rows.iter().map(|r| (r.sealed, r.details.as_str()))).await?;
    rows.into_iter()
        .map(|row| {
            let opened = keys.open(row.sealed, project_context(&row.id), row.details);
            let opened = opened.map_err(DbError::from).and_then(|json| {
                serde_json::from_str(&json).map_err(|_| DbError::malformed("projects", "details", &row.id))
            });
            let (details, readable) = or_unreadable("projects.details", &row.id, opened)?;
            Ok(Project { details, readable, id: row.id, repo_id: row.repo_id, created_at: row.created_at })
        })
        .collect()
}

/// Repositories by id; omits ids that are not the team's.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn repos_by_ids(tx: &ScopedTx, ids: &[String]) -> Result<Vec<Repo>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT id, details, sealed, created_at FROM repos WHERE team = $1 AND {}",
        dialect.is_any("id", 2)
    );
    let rows = tx.all::<RepoRow, _>(&sql, [tx.team(), dialect.list(ids)]).await?;
    let keys = tx.keys_for(rows.iter().map(|r| (r.sealed, r.details.as_str()))).await?;
    rows.into_iter()
        .map(|row| {
            let opened = keys.open(row.sealed, repo_context(&row.id), row.details);
            let opened = opened.map_err(DbError::from).and_then(|json| {
                serde_json::from_str(&json).map_err(|_| DbError::malformed("repos", "details", &row.id))
            });
            let (details, readable) = or_unreadable("repos.details", &row.id, opened)?;
            Ok(Repo { details, readable, id: row.id, created_at: row.created_at })
        })
        .collect()
}

/// The context of a project's sealed column.
pub(crate) fn project_context(id: &str) -> FieldContext<'_> {
    FieldContext { table: "projects", row_id: id, column: "details" }
}

/// The context of a repository's sealed column.
pub(crate) fn repo_context(id: &str) -> FieldContext<'_> {
    FieldContext { table: "repos", row_id: id, column: "details" }
}
