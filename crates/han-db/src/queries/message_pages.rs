//! The same page of messages for many sessions, in one statement. `messages` reads the page of one session.

use std::cmp::Reverse;
use std::collections::HashMap;

use han_types::{MessageKey, SessionId};
use sea_orm::{FromQueryResult, Value};

use crate::dialect::FirstOfEach;
use crate::entities::{Message, MessagePosition};
use crate::page::{MessageCursor, Page, PageRequest};
use crate::queries::messages::{self, MessageList};
use crate::stored::message_key;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct KeyRow {
    session_id: String,
    transcript: String,
    uuid: String,
    line: i64,
    at: i64,
}

/// A page of the messages of each session, newest first, by session; omits sessions without messages.
///
/// # Errors
/// If a body cannot be opened; [`DbError::TooMuch`] if they exceed the budget of the transaction.
pub async fn pages(
    tx: &ScopedTx,
    sessions: &[SessionId],
    list: &MessageList,
    request: &PageRequest<MessageCursor>,
) -> Result<HashMap<String, Page<Message>>, DbError> {
    if sessions.is_empty() {
        return Ok(HashMap::new());
    }
    let mut rows = Vec::new();
    for place in list.places() {
        rows.extend(rows_of(tx, sessions, list, place, request).await?);
    }
    rows.sort_by(|a: &KeyRow, b| {
        (b.at, &b.transcript, b.line, &b.uuid).cmp(&(a.at, &a.transcript, a.line, &a.uuid))
    });
    let pages = Page::cut_each(rows, |row| &row.session_id, request.first);
    // Only the messages of the pages are opened, all of them at once.
    let keys: Vec<MessageKey> =
        pages.values().flat_map(|page| &page.rows).map(key).collect::<Result<_, _>>()?;
    let mut found: HashMap<String, Vec<Message>> = HashMap::new();
    for message in messages::by_keys(tx, &keys).await? {
        found.entry(message.key.session_id.to_string()).or_default().push(message);
    }
    let opened = pages.into_iter().map(|(session, page)| {
        let mut rows = found.remove(&session).unwrap_or_default();
        rows.sort_by_cached_key(|message| Reverse(message.cursor()));
        (session, Page { rows, has_next: page.has_next })
    });
    Ok(opened.collect())
}

async fn rows_of(
    tx: &ScopedTx,
    sessions: &[SessionId],
    list: &MessageList,
    place: MessagePosition,
    request: &PageRequest<MessageCursor>,
) -> Result<Vec<KeyRow>, DbError> {
    let (mut condition, mut values) = condition(tx, sessions, "= wanted.id", list, place);
    if let Some(after) = &request.after {
        let n = values.len();
        condition.push_str(&format!(
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
    let rows = FirstOfEach {
        table: "messages",
        columns: "messages.session_id, messages.transcript, messages.uuid, messages.line, messages.at",
        condition: &condition,
        order: "messages.at DESC, messages.transcript DESC, messages.line DESC, messages.uuid DESC",
        limit: request.first + 1,
    };
    tx.all(&tx.dialect().first_of_each(2, &rows), values).await
}

fn key(row: &KeyRow) -> Result<MessageKey, DbError> {
    message_key("messages", &row.session_id, &row.transcript, &row.uuid)
}

#[derive(FromQueryResult)]
struct ListCountRow {
    session_id: String,
    n: i64,
}

/// The number of messages in the same list of several sessions, by session; omits sessions without messages.
pub async fn counts(
    tx: &ScopedTx,
    sessions: &[SessionId],
    list: &MessageList,
) -> Result<HashMap<String, i64>, DbError> {
    let mut totals = HashMap::new();
    if sessions.is_empty() {
        return Ok(totals);
    }
    let is_any = tx.dialect().is_any("", 2);
    for place in list.places() {
        let (condition, values) = condition(tx, sessions, &is_any, list, place);
        let sql = format!(
            "SELECT messages.session_id, count(*) AS n FROM messages WHERE {condition} GROUP BY messages.session_id"
        );
        for row in tx.all::<ListCountRow, _>(&sql, values).await? {
            *totals.entry(row.session_id).or_default() += row.n;
        }
    }
    Ok(totals)
}

fn condition(
    tx: &ScopedTx,
    sessions: &[SessionId],
    is_wanted: &str,
    list: &MessageList,
    place: MessagePosition,
) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tx.team(), tx.dialect().list(sessions), place.code().into()];
    let mut sql =
        format!("messages.team_id = $1 AND messages.session_id {is_wanted} AND messages.place = $3");
    messages::narrow(tx, list, &mut sql, &mut values);
    (sql, values)
}
