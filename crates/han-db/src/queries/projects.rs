//! Reading projects and repositories.

use han_crypto::FieldContext;
use han_transcript::project_path::ProjectPath;
use sea_orm::FromQueryResult;

use crate::entities::{Project, ProjectDetails, Repo, RepoDetails, SessionDetails};
use crate::keys::TeamKeys;
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

/// The project of a session, inserted if it is new; `None` if the session's directory is not known. Spellings of one
/// directory are one project, and so are the worktrees of a repository.
///
/// # Errors
/// If the team has no key to seal with.
pub(crate) async fn of_session(
    tx: &ScopedTx,
    keys: &TeamKeys,
    seals: bool,
    details: &SessionDetails,
) -> Result<Option<String>, DbError> {
    let Some(directory) = details.main_worktree.as_ref().or(details.project_path.as_ref()) else {
        return Ok(None);
    };
    let path = ProjectPath::of(directory).map_or_else(|| directory.clone(), |path| path.key);
    let id = keys.project_id(&path)?;
    let now = tx.clock().now().0;
    let repo_id = match &details.git_remote {
        Some(remote) => {
            let repo_id = keys.repo_id(remote)?;
            let json = serde_json::json!(RepoDetails { remote: remote.clone() }).to_string();
            let (stored, sealed) = keys.seal(seals, repo_context(repo_id.as_str()), &json, tx.entropy())?;
            tx.execute(
                "INSERT INTO repos (team, id, details, sealed, created_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (team, id) DO NOTHING",
                [tx.team(), repo_id.as_str().into(), stored.into(), sealed.into(), now.into()],
            )
            .await?;
            Some(repo_id.to_string())
        }
        None => None,
    };
    let json = serde_json::json!(ProjectDetails { path }).to_string();
    let (stored, sealed) = keys.seal(seals, project_context(id.as_str()), &json, tx.entropy())?;
    tx.execute(
        "INSERT INTO projects (team, id, repo_id, details, sealed, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team, id) DO NOTHING",
        [tx.team(), id.as_str().into(), repo_id.clone().into(), stored.into(), sealed.into(), now.into()],
    )
    .await?;
    // A separate statement: an upsert would lock the project's row even without a change, and the first batches of
    // its sessions would wait for each other.
    if repo_id.is_some() {
        tx.execute(
            "UPDATE projects SET repo_id = $3 WHERE team = $1 AND id = $2 AND repo_id IS NULL",
            [tx.team(), id.as_str().into(), repo_id.into()],
        )
        .await?;
    }
    Ok(Some(id.to_string()))
}

/// Deletes the projects that no session has, and that no session will have again: their ids are those of other spellings
/// of their directories.
///
/// # Errors
/// If a sealed column cannot be opened.
pub(crate) async fn delete_replaced(tx: &ScopedTx) -> Result<(), DbError> {
    let sql = "SELECT id, repo_id, details, sealed, created_at FROM projects WHERE team = $1 AND NOT EXISTS \
               (SELECT 1 FROM sessions WHERE sessions.team = projects.team AND sessions.project_id = projects.id)";
    let rows: Vec<ProjectRow> = tx.all(sql, [tx.team()]).await?;
    let keys = tx.keys_for(rows.iter().map(|row| (row.sealed, row.details.as_str()))).await?;
    for project in rows {
        let project = project.open(&keys)?;
        let path = &project.details.path;
        let current = ProjectPath::of(path).map_or_else(|| path.clone(), |path| path.key);
        if project.readable && keys.project_id(&current)?.as_str() != project.id {
            let sql = "DELETE FROM projects WHERE team = $1 AND id = $2";
            tx.execute(sql, [tx.team(), project.id.into()]).await?;
        }
    }
    Ok(())
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
    rows.into_iter().map(|row| row.open(&keys)).collect()
}

impl ProjectRow {
    fn open(self, keys: &TeamKeys) -> Result<Project, DbError> {
        let opened = keys.open(self.sealed, project_context(&self.id), self.details);
        let opened = opened.map_err(DbError::from).and_then(|json| {
            serde_json::from_str(&json).map_err(|_| DbError::malformed("projects", "details", &self.id))
        });
        let (details, readable) = or_unreadable("projects.details", &self.id, opened)?;
        Ok(Project { details, readable, id: self.id, repo_id: self.repo_id, created_at: self.created_at })
    }
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
