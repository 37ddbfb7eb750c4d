//! Reading messages: a page of a list, messages by key, messages by ordinal.

use std::sync::Arc;

use han_types::{MessageKey, SessionId, TranscriptName};
use sea_orm::{FromQueryResult, Value};

use crate::entities::{Message, MessagePosition};
use crate::error::blocking;
use crate::keys::TeamKeys;
use crate::page::{MessageCursor, Page, PageRequest};
use crate::queries::filter::Filter;
use crate::queries::ingest::prepare::body_context;
use crate::stored::{CountRow, message_key};
use crate::tx::Budget;
use crate::{DbError, ScopedTx};

/// Above this many bytes, sealed bodies are opened off the async threads.
const INLINE_BYTES: usize = 256 << 10;

/// A list of a session's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessageList {
    /// Whether progress lines are included.
    pub include_progress: bool,
    /// The lines of one subagent instead of the session's own list.
    pub agent_id: Option<String>,
    /// Only messages that meet this condition.
    pub filter: Option<Filter>,
}

impl MessageList {
    pub(crate) fn places(&self) -> Vec<MessagePosition> {
        match (self.agent_id.is_some(), self.include_progress) {
            (false, false) => vec![MessagePosition::List],
            (false, true) => vec![MessagePosition::List, MessagePosition::Progress],
            (true, false) => vec![MessagePosition::Subagent],
            (true, true) => vec![MessagePosition::Subagent, MessagePosition::SubagentProgress],
        }
    }
}

#[derive(FromQueryResult)]
pub(crate) struct MessageRow {
    session_id: String,
    transcript: String,
    uuid: String,
    ordinal: i64,
    line: i64,
    at: i64,
    place: i64,
    parent_uuid: Option<String>,
    agent_id: Option<String>,
    bytes: i64,
    sealed: bool,
    /// `None` if all bodies together would exceed the budget.
    body: Option<String>,
}

const COLUMNS: &str =
    "session_id, transcript, uuid, ordinal, line, at, place, parent_uuid, agent_id, bytes, sealed";

/// Newest first, the order of lists.
const NEWEST_FIRST: &str = "at DESC, transcript DESC, line DESC, uuid DESC";
const OLDEST_FIRST: &str = "at, transcript, line, uuid";

/// Reads the messages that meet a condition, in `order`. Only the bodies of the first ones, with at most `bytes`
/// together, are read.
async fn read(
    tx: &ScopedTx,
    condition: &str,
    mut values: Vec<Value>,
    order: &str,
    limit: Option<usize>,
    bytes: usize,
) -> Result<Vec<MessageRow>, DbError> {
    // A parameter, because the budget differs from page to page and a statement is prepared once.
    values.push(i64::try_from(bytes).unwrap_or(i64::MAX).into());
    let bytes = values.len();
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    let sql = format!(
        "WITH listed AS (SELECT team_id, {COLUMNS} FROM messages WHERE {condition} ORDER BY {order}{limit}), \
         sized AS (SELECT team_id, {COLUMNS}, SUM(bytes) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS so_far \
         FROM listed) \
         SELECT {COLUMNS}, CASE WHEN so_far <= ${bytes} THEN (SELECT messages.body FROM messages \
         WHERE messages.team_id = sized.team_id AND messages.session_id = sized.session_id \
         AND messages.transcript = sized.transcript AND messages.uuid = sized.uuid) END AS body \
         FROM sized ORDER BY {order}"
    );
    tx.all(&sql, values).await
}

/// Takes the first rows that the budget covers; returns whether rows remain.
///
/// # Errors
/// [`DbError::TooMuch`] if the budget does not cover the first row.
fn afford(rows: &mut Vec<MessageRow>, budget: &mut Budget) -> Result<bool, DbError> {
    let mut bytes = 0usize;
    let fits = |row: &MessageRow| {
        bytes = bytes.saturating_add(usize::try_from(row.bytes).unwrap_or_default());
        (row.body.is_some() && bytes <= budget.left()).then_some(bytes)
    };
    let affordable: Vec<usize> = rows.iter().map_while(fits).collect();
    if affordable.is_empty() && !rows.is_empty() {
        return Err(budget.passed());
    }
    budget.take(affordable.last().copied().unwrap_or_default())?;
    let left_out = rows.len() > affordable.len();
    rows.truncate(affordable.len());
    Ok(left_out)
}

/// As [`afford`], but an error if rows remain.
fn all_or_none(rows: &mut Vec<MessageRow>, budget: &mut Budget) -> Result<(), DbError> {
    if afford(rows, budget)? { Err(budget.passed()) } else { Ok(()) }
}

/// A page of a session's messages, newest first: ordered by time, then file, then line. It is shorter than requested if
/// its lines exceed the budget of the transaction; the next page continues there.
///
/// # Errors
/// If a body cannot be opened; [`DbError::TooMuch`] if the budget of the transaction does not cover a single line.
pub async fn page(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    request: &PageRequest<MessageCursor>,
) -> Result<Page<Message>, DbError> {
    // One position at a time, so that each read walks the index; a list of two is merged here.
    let mut budget = tx.budget().await;
    let mut rows = Vec::new();
    for place in list.places() {
        rows.extend(rows_of(tx, session_id, list, place, request, budget.left()).await?);
    }
    rows.sort_by(|a: &MessageRow, b| b.place_in_list().cmp(&a.place_in_list()));
    let mut page = Page::cut(rows, request.first);
    let shortened = afford(&mut page.rows, &mut budget)?;
    drop(budget);
    Ok(Page { rows: open(tx, page.rows).await?, has_next: page.has_next || shortened })
}

async fn rows_of(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    place: MessagePosition,
    request: &PageRequest<MessageCursor>,
    bytes: usize,
) -> Result<Vec<MessageRow>, DbError> {
    let (mut sql, mut values) = condition(tx, session_id, list, place);
    if let Some(after) = &request.after {
        let n = values.len();
        sql.push_str(&format!(
            " AND (messages.at, messages.transcript, messages.line, messages.uuid) < (${}, ${}, ${}, ${})",
            n + 1,
            n + 2,
            n + 3,
            n + 4
        ));
        values.extend([
            after.at.into(),
            after.transcript.as_str().into(),
            after.line.into(),
            after.uuid.as_str().into(),
        ]);
    }
    read(tx, &sql, values, NEWEST_FIRST, Some(request.first + 1), bytes).await
}

fn condition(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    place: MessagePosition,
) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tx.team(), session_id.as_str().into(), place.code().into()];
    let mut sql = "messages.team_id = $1 AND messages.session_id = $2 AND messages.place = $3".to_owned();
    narrow(tx, list, &mut sql, &mut values);
    (sql, values)
}

/// Adds the conditions of a list other than its sessions and positions.
pub(crate) fn narrow(tx: &ScopedTx, list: &MessageList, sql: &mut String, values: &mut Vec<Value>) {
    if let Some(agent) = &list.agent_id {
        values.push(agent.replace('\0', "").into());
        sql.push_str(&format!(" AND messages.agent_id = ${}", values.len()));
    }
    if let Some(filter) = &list.filter {
        let filter = filter.to_sql(tx.dialect(), values);
        sql.push_str(&format!(" AND ({filter})"));
    }
}

/// The number of messages in a list. For the session's own list, use the counter of the session instead.
pub async fn count(tx: &ScopedTx, session_id: &SessionId, list: &MessageList) -> Result<i64, DbError> {
    let mut total = 0;
    for place in list.places() {
        let (sql, values) = condition(tx, session_id, list, place);
        let sql = format!("SELECT count(*) AS n FROM messages WHERE {sql}");
        total += tx.one::<CountRow, _>(&sql, values).await?.map_or(0, |row| row.n);
    }
    Ok(total)
}

/// Messages by key; omits keys that do not exist.
///
/// # Errors
/// If a body cannot be opened; [`DbError::TooMuch`] if they exceed the budget of the transaction.
pub async fn by_keys(tx: &ScopedTx, keys: &[MessageKey]) -> Result<Vec<Message>, DbError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    // Two lists instead of a list of pairs; the pairs are selected below.
    let condition = format!(
        "messages.team_id = $1 AND {} AND {} AND {}",
        dialect.is_any("messages.session_id", 2),
        dialect.is_any("messages.transcript", 3),
        dialect.is_any("messages.uuid", 4),
    );
    let wanted: std::collections::HashSet<(&str, &str, &str)> =
        keys.iter().map(|k| (k.session_id.as_str(), k.transcript.as_str(), k.uuid.as_str())).collect();
    let values = vec![
        tx.team(),
        dialect.list(unique(keys.iter().map(|k| k.session_id.as_str()))),
        dialect.list(unique(keys.iter().map(|k| k.transcript.as_str()))),
        dialect.list(
            unique(keys.iter().map(|k| k.uuid.as_str())).into_iter().filter(|uuid| !uuid.contains('\0')),
        ),
    ];
    let mut budget = tx.budget().await;
    let mut rows = read(tx, &condition, values, "ordinal", None, budget.left()).await?;
    rows.retain(|r| wanted.contains(&(r.session_id.as_str(), r.transcript.as_str(), r.uuid.as_str())));
    all_or_none(&mut rows, &mut budget)?;
    drop(budget);
    open(tx, rows).await
}

/// Each text once, in order, so that repeated texts do not enlarge a statement's parameter.
pub(crate) fn unique<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// All messages that meet a condition, oldest first.
pub(crate) async fn whole(
    tx: &ScopedTx,
    condition: &str,
    values: Vec<Value>,
) -> Result<Vec<Message>, DbError> {
    let mut budget = tx.budget().await;
    let mut rows = read(tx, condition, values, OLDEST_FIRST, None, budget.left()).await?;
    all_or_none(&mut rows, &mut budget)?;
    drop(budget);
    open(tx, rows).await
}

/// A message of a session's list, and its index in it: 0 for the oldest.
#[derive(Clone, Debug)]
pub struct IndexedMessage {
    /// The message, shared by all subscribers.
    pub message: Arc<Message>,
    /// The number of listed messages before it.
    pub index: i64,
}

/// The listed messages of a session with ordinals from `from` to `to` (exclusive), oldest first.
///
/// # Errors
/// If a body cannot be opened; [`DbError::TooMuch`] if they exceed the budget of the transaction.
pub async fn taken_in(
    tx: &ScopedTx,
    session_id: &SessionId,
    from: i64,
    to: i64,
) -> Result<Vec<IndexedMessage>, DbError> {
    let values = vec![
        tx.team(),
        session_id.as_str().into(),
        from.into(),
        to.into(),
        MessagePosition::List.code().into(),
    ];
    let condition = "messages.team_id = $1 AND messages.session_id = $2 AND messages.ordinal >= $3 \
                     AND messages.ordinal < $4 AND messages.place = $5";
    let messages = whole(tx, condition, values).await?;
    let Some(first) = messages.first().map(Message::cursor) else {
        return Ok(Vec::new());
    };
    // New messages are nearly always at the end of a list, so few follow the first one: counting from the end costs the
    // same in long and short sessions.
    let behind = behind(tx, session_id, &first).await?;
    let total = tx
        .one::<CountRow, _>(
            "SELECT message_count AS n FROM sessions WHERE team_id = $1 AND session_id = $2",
            [tx.team(), session_id.as_str().into()],
        )
        .await?
        .map_or(0, |row| row.n);
    let indexed = messages.into_iter().map(|message| {
        let after = behind.len() - behind.partition_point(|key| *key <= message.cursor());
        let index = total - 1 - i64::try_from(after).unwrap_or_default();
        IndexedMessage { index, message: Arc::new(message) }
    });
    Ok(indexed.collect())
}

#[derive(FromQueryResult)]
struct CursorRow {
    at: i64,
    transcript: String,
    line: i64,
    uuid: String,
}

/// The positions of the listed messages after `first`, oldest first.
async fn behind(
    tx: &ScopedTx,
    session_id: &SessionId,
    first: &MessageCursor,
) -> Result<Vec<MessageCursor>, DbError> {
    let rows: Vec<CursorRow> = tx
        .all(
            "SELECT at, transcript, line, uuid FROM messages WHERE team_id = $1 AND session_id = $2 AND place = $3 \
             AND (at, transcript, line, uuid) > ($4, $5, $6, $7) ORDER BY at, transcript, line, uuid",
            [
                tx.team(),
                session_id.as_str().into(),
                MessagePosition::List.code().into(),
                first.at.into(),
                first.transcript.as_str().into(),
                first.line.into(),
                first.uuid.as_str().into(),
            ],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| MessageCursor { at: row.at, transcript: row.transcript, line: row.line, uuid: row.uuid })
        .collect())
}

/// The lines of one file in physical order, from line `from` on, at most `limit`: for export. Returns fewer if they
/// exceed the budget of the transaction, and none only at the end.
///
/// # Errors
/// If a body cannot be opened; [`DbError::TooMuch`] if the budget of the transaction does not cover a single line.
pub async fn lines(
    tx: &ScopedTx,
    session_id: &SessionId,
    transcript: &TranscriptName,
    from: i64,
    limit: usize,
) -> Result<Vec<Message>, DbError> {
    let condition = "messages.team_id = $1 AND messages.session_id = $2 AND messages.transcript = $3 \
                     AND messages.line >= $4";
    let values = vec![tx.team(), session_id.as_str().into(), transcript.as_str().into(), from.into()];
    let mut budget = tx.budget().await;
    let mut rows = read(tx, condition, values, "line, ordinal", Some(limit), budget.left()).await?;
    afford(&mut rows, &mut budget)?;
    drop(budget);
    open(tx, rows).await
}

/// Opens rows with the team's keys.
pub(crate) async fn open(tx: &ScopedTx, rows: Vec<MessageRow>) -> Result<Vec<Message>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys = tx.keys_for(rows.iter().map(|r| (r.sealed, r.body.as_deref().unwrap_or_default()))).await?;
    if rows.iter().filter_map(|row| Some(row.body.as_ref()?.len())).sum::<usize>() <= INLINE_BYTES {
        return rows.into_iter().map(|row| row.open(&keys)).collect();
    }
    let work = move || rows.into_iter().map(|row| row.open(&keys)).collect();
    blocking("opening sealed messages", work).await?
}

impl MessageRow {
    fn place_in_list(&self) -> (i64, &str, i64, &str) {
        (self.at, &self.transcript, self.line, &self.uuid)
    }

    fn key(&self) -> Result<MessageKey, DbError> {
        message_key("messages", &self.session_id, &self.transcript, &self.uuid)
    }

    fn open(self, keys: &TeamKeys) -> Result<Message, DbError> {
        let key = self.key()?;
        let row_id = key.row_id();
        let stored = self.body.ok_or_else(|| DbError::malformed("messages", "body", &row_id))?;
        // One line that cannot be opened must not hide the others.
        let body = keys
            .open(self.sealed, body_context(&row_id), stored)
            .inspect_err(|error| tracing::error!(%error, message = row_id, "a line cannot be opened"))
            .ok();
        Ok(Message {
            key,
            ordinal: self.ordinal,
            line: self.line,
            at: self.at,
            parent_uuid: self.parent_uuid,
            agent_id: self.agent_id,
            listed: self.place == MessagePosition::List.code(),
            body,
        })
    }
}
