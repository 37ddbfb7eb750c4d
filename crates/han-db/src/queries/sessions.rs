//! Reading sessions: a page of a team's sessions, sessions by id, counts.

use std::collections::BTreeSet;

use han_crypto::FieldContext;
use han_types::SessionId;
use sea_orm::{FromQueryResult, Value};

use crate::entities::{Session, SessionDetails, Totals};
use crate::keys::TeamKeys;
use crate::page::{Page, PageRequest, SessionCursor};
use crate::queries::filter::Filter;
use crate::stored::{CountRow, stored_id};
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct SessionRow {
    id: String,
    session_id: String,
    user_id: String,
    project_id: Option<String>,
    metadata: String,
    sealed: bool,
    started_at: Option<i64>,
    last_activity_at: i64,
    line_count: i64,
    damaged_line_count: i64,
    message_count: i64,
    turn_count: i64,
    compaction_count: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
    created_at: i64,
    synced_at: i64,
    purged_at: Option<i64>,
}

const COLUMNS: &str = "sessions.id, sessions.session_id, sessions.user_id, sessions.project_id, sessions.metadata, \
     sessions.sealed, sessions.started_at, COALESCE(sessions.last_activity_at, sessions.created_at) AS last_activity_at, \
     sessions.line_count, sessions.damaged_line_count, sessions.message_count, sessions.turn_count, sessions.compaction_count, \
     sessions.input_tokens, sessions.output_tokens, sessions.cache_read_tokens, sessions.cache_creation_5m_tokens, \
     sessions.cache_creation_1h_tokens, sessions.created_at, sessions.synced_at, sessions.purged_at";

/// The length of the unit of `sessions.activity_minute`, in milliseconds. The column is generated (migration 19).
pub(crate) const ACTIVITY_MINUTE_MS: i64 = 60_000;

/// The order of lists of sessions: by latest activity, newest first. The minute, which an index has, comes first.
pub(crate) const NEWEST_FIRST: &str =
    "sessions.activity_minute DESC, sessions.last_activity_at DESC, sessions.session_id DESC";

/// A page of the team's sessions, by latest activity, newest first.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn page(
    tx: &ScopedTx,
    filter: Option<&Filter>,
    request: &PageRequest<SessionCursor>,
) -> Result<Page<Session>, DbError> {
    let (mut sql, mut values) = condition(tx, filter);
    if let Some(after) = &request.after {
        let n = values.len();
        sql.push_str(&format!(
            " AND sessions.activity_minute <= ${0} / {ACTIVITY_MINUTE_MS} \
             AND (sessions.last_activity_at, sessions.session_id) < (${0}, ${1})",
            n + 1,
            n + 2
        ));
        values.extend([after.at.into(), after.session_id.as_str().into()]);
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE {sql} ORDER BY {NEWEST_FIRST} LIMIT {}",
        request.first + 1
    );
    let page = Page::cut(tx.all::<SessionRow, _>(&sql, values).await?, request.first);
    Ok(Page { rows: open(tx, page.rows).await?, has_next: page.has_next })
}

fn condition(tx: &ScopedTx, filter: Option<&Filter>) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tx.team()];
    let mut sql = "sessions.team = $1".to_owned();
    if let Some(filter) = filter {
        let filter = filter.to_sql(tx.dialect(), &mut values);
        sql.push_str(&format!(" AND ({filter})"));
    }
    (sql, values)
}

/// The number of sessions that meet a condition.
pub async fn count(tx: &ScopedTx, filter: Option<&Filter>) -> Result<i64, DbError> {
    let (sql, values) = condition(tx, filter);
    let sql = format!("SELECT count(*) AS n FROM sessions WHERE {sql}");
    Ok(tx.one::<CountRow, _>(&sql, values).await?.map_or(0, |row| row.n))
}

/// Whether the team has a session with this id.
pub async fn exists(tx: &ScopedTx, id: &SessionId) -> Result<bool, DbError> {
    let sql = "SELECT count(*) AS n FROM sessions WHERE team = $1 AND session_id = $2";
    let found: Option<CountRow> = tx.one(sql, [tx.team(), id.as_str().into()]).await?;
    Ok(found.is_some_and(|row| row.n > 0))
}

/// A session of the team whose id is not among `known`, if there is one.
pub async fn other_than(tx: &ScopedTx, known: &BTreeSet<SessionId>) -> Result<Option<SessionId>, DbError> {
    first_id(tx, "sessions", |id| !known.contains(id)).await
}

/// The first session id of the team in a table that has one for each row, of those that meet the condition.
pub(crate) async fn first_id(
    tx: &ScopedTx,
    table: &'static str,
    condition: impl Fn(&SessionId) -> bool,
) -> Result<Option<SessionId>, DbError> {
    let sql = format!("SELECT session_id FROM {table} WHERE team = $1 ORDER BY session_id");
    for row in tx.rows(&sql, [tx.team()]).await? {
        let text: String = row.try_get("", "session_id")?;
        let id: SessionId = stored_id(&text, table, "session_id")?;
        if condition(&id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Sessions by id; omits ids that are not the team's.
///
/// # Errors
/// If a sealed column cannot be opened.
pub async fn by_ids(tx: &ScopedTx, ids: &[SessionId]) -> Result<Vec<Session>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE sessions.team = $1 AND {}",
        dialect.is_any("sessions.session_id", 2)
    );
    let rows = tx.all::<SessionRow, _>(&sql, [tx.team(), dialect.list(ids)]).await?;
    open(tx, rows).await
}

async fn open(tx: &ScopedTx, rows: Vec<SessionRow>) -> Result<Vec<Session>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys = tx.keys_for(rows.iter().map(|r| (r.sealed, r.metadata.as_str()))).await?;
    rows.into_iter().map(|row| row.open(&keys)).collect()
}

impl SessionRow {
    fn open(self, keys: &TeamKeys) -> Result<Session, DbError> {
        let opened = open_details(keys, &self.session_id, self.sealed, self.metadata);
        let (details, readable) = or_unreadable("sessions.metadata", &self.session_id, opened)?;
        Ok(Session {
            details,
            readable,
            id: self.id,
            session_id: self.session_id,
            user_id: self.user_id,
            project_id: self.project_id,
            started_at: self.started_at,
            last_activity_at: self.last_activity_at,
            totals: Totals {
                lines: self.line_count,
                damaged_lines: self.damaged_line_count,
                messages: self.message_count,
                turns: self.turn_count,
                compactions: self.compaction_count,
                input_tokens: self.input_tokens,
                output_tokens: self.output_tokens,
                cache_read_tokens: self.cache_read_tokens,
                cache_creation_5m_tokens: self.cache_creation_5m_tokens,
                cache_creation_1h_tokens: self.cache_creation_1h_tokens,
            },
            created_at: self.created_at,
            synced_at: self.synced_at,
            purged_at: self.purged_at,
        })
    }
}

/// The content of a sealed column. If it cannot be opened: nothing and `false`, because one row must not hide the
/// others.
pub(crate) fn or_unreadable<T: Default>(
    column: &'static str,
    row_id: &str,
    opened: Result<T, DbError>,
) -> Result<(T, bool), DbError> {
    match opened {
        Ok(value) => Ok((value, true)),
        Err(error @ (DbError::Crypto(_) | DbError::Malformed { .. })) => {
            tracing::error!(%error, column, row_id, "a sealed column cannot be opened");
            Ok((T::default(), false))
        }
        Err(error) => Err(error),
    }
}

/// The context of a session's sealed column.
pub(crate) fn details_context(session_id: &str) -> FieldContext<'_> {
    FieldContext { table: "sessions", row_id: session_id, column: "metadata" }
}

pub(crate) fn open_details(
    keys: &TeamKeys,
    session_id: &str,
    sealed: bool,
    stored: String,
) -> Result<SessionDetails, DbError> {
    let json = keys.open(sealed, details_context(session_id), stored)?;
    serde_json::from_str(&json).map_err(|_| DbError::malformed("sessions", "metadata", session_id))
}
