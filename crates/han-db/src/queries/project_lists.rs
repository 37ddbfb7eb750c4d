//! Lists of projects and repositories, with their number of sessions and latest activity.

use sea_orm::{FromQueryResult, Value};

use crate::entities::{Project, Repo};
use crate::queries::filter::Filter;
use crate::queries::projects;
use crate::{DbError, ScopedTx};

/// The activity in a project or a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// The number of sessions.
    pub sessions: i64,
    /// The time of the latest line, in milliseconds since the epoch.
    pub last_activity_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct ActivityRow {
    id: String,
    sessions: i64,
    last_activity_at: Option<i64>,
}

impl ActivityRow {
    fn split(self) -> (String, Activity) {
        (self.id, Activity { sessions: self.sessions, last_activity_at: self.last_activity_at })
    }
}

/// The activity of projects by id; omits projects without a session.
pub async fn activity_by_projects(tx: &ScopedTx, ids: &[String]) -> Result<Vec<(String, Activity)>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT project_id AS id, count(*) AS sessions, max(last_activity_at) AS last_activity_at FROM sessions \
         WHERE team = $1 AND {} GROUP BY project_id",
        dialect.is_any("project_id", 2)
    );
    let rows: Vec<ActivityRow> = tx.all(&sql, [tx.team(), dialect.list(ids)]).await?;
    Ok(rows.into_iter().map(ActivityRow::split).collect())
}

/// The activity of repositories by id; omits repositories without a session.
pub async fn activity_by_repos(tx: &ScopedTx, ids: &[String]) -> Result<Vec<(String, Activity)>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT p.repo_id AS id, count(*) AS sessions, max(s.last_activity_at) AS last_activity_at FROM projects p \
         JOIN sessions s ON s.team = p.team AND s.project_id = p.id \
         WHERE p.team = $1 AND {} GROUP BY p.repo_id",
        dialect.is_any("p.repo_id", 2)
    );
    let rows: Vec<ActivityRow> = tx.all(&sql, [tx.team(), dialect.list(ids)]).await?;
    Ok(rows.into_iter().map(ActivityRow::split).collect())
}

/// The team's projects that meet a condition, by latest activity, newest first; at most `first`.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn recent_projects(
    tx: &ScopedTx,
    filter: Option<&Filter>,
    first: usize,
) -> Result<Vec<(Project, Activity)>, DbError> {
    let (condition, values) = condition(tx, filter);
    let sql = format!(
        "SELECT projects.id, count(s.number) AS sessions, max(s.last_activity_at) AS last_activity_at FROM projects \
         LEFT JOIN sessions s ON s.team = projects.team AND s.project_id = projects.id \
         WHERE projects.team = $1{condition} GROUP BY projects.id \
         ORDER BY COALESCE(max(s.last_activity_at), 0) DESC, projects.id LIMIT {first}"
    );
    let rows: Vec<ActivityRow> = tx.all(&sql, values).await?;
    let listed: Vec<(String, Activity)> = rows.into_iter().map(ActivityRow::split).collect();
    let ids: Vec<String> = listed.iter().map(|(id, _)| id.clone()).collect();
    let found = projects::by_ids(tx, &ids).await?;
    Ok(in_order(listed, found, |project| &project.id))
}

/// The team's repositories that meet a condition, by latest activity, newest first; at most `first`.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn recent_repos(
    tx: &ScopedTx,
    filter: Option<&Filter>,
    first: usize,
) -> Result<Vec<(Repo, Activity)>, DbError> {
    let (condition, values) = condition(tx, filter);
    let sql = format!(
        "SELECT repos.id, count(s.number) AS sessions, max(s.last_activity_at) AS last_activity_at FROM repos \
         LEFT JOIN projects p ON p.team = repos.team AND p.repo_id = repos.id \
         LEFT JOIN sessions s ON s.team = p.team AND s.project_id = p.id \
         WHERE repos.team = $1{condition} GROUP BY repos.id \
         ORDER BY COALESCE(max(s.last_activity_at), 0) DESC, repos.id LIMIT {first}"
    );
    let rows: Vec<ActivityRow> = tx.all(&sql, values).await?;
    let listed: Vec<(String, Activity)> = rows.into_iter().map(ActivityRow::split).collect();
    let ids: Vec<String> = listed.iter().map(|(id, _)| id.clone()).collect();
    let found = projects::repos_by_ids(tx, &ids).await?;
    Ok(in_order(listed, found, |repo| &repo.id))
}

/// The ids of the projects of repositories, as pairs of (repository, project).
pub async fn projects_of_repos(tx: &ScopedTx, repos: &[String]) -> Result<Vec<(String, String)>, DbError> {
    #[derive(FromQueryResult)]
    struct Pair {
        repo_id: String,
        id: String,
    }
    if repos.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT repo_id, id FROM projects WHERE team = $1 AND {} ORDER BY repo_id, id",
        dialect.is_any("repo_id", 2)
    );
    let rows: Vec<Pair> = tx.all(&sql, [tx.team(), dialect.list(repos)]).await?;
    Ok(rows.into_iter().map(|pair| (pair.repo_id, pair.id)).collect())
}

/// The SQL after the condition on the team, and the values of both.
fn condition(tx: &ScopedTx, filter: Option<&Filter>) -> (String, Vec<Value>) {
    let mut values = vec![tx.team()];
    let condition = filter.map(|filter| format!(" AND ({})", filter.to_sql(tx.dialect(), &mut values)));
    (condition.unwrap_or_default(), values)
}

fn in_order<T>(
    listed: Vec<(String, Activity)>,
    found: Vec<T>,
    id: impl Fn(&T) -> &String,
) -> Vec<(T, Activity)> {
    let mut found: std::collections::HashMap<String, T> =
        found.into_iter().map(|item| (id(&item).clone(), item)).collect();
    listed.into_iter().filter_map(|(id, activity)| Some((found.remove(&id)?, activity))).collect()
}
