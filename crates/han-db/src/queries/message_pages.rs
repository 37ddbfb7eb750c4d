//! The same page of messages for many sessions, in one statement. `messages` reads the page of one session.

use std::collections::HashMap;

use han_types::{MessageKey, SessionId};
use sea_orm::{FromQueryResult, Value};

use crate::dialect::FirstOfEach;
use crate::entities::{Message, MessagePosition};
use crate::line_id::LineId;
use crate::page::{MessageCursor, Page, PageRequest};
use crate::queries::messages::{self, MessageList};
use crate::stored::message_key;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct KeyRow {
    session_id: String,
    name: String,
    transcript: i16,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    line: i32,
    part: i16,
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
        let place = |row: &'_ KeyRow| (row.at, row.transcript, row.line, row.part);
        (place(b), &b.uuid).cmp(&(place(a), &a.uuid))
    });
    let pages = Page::cut_each(rows, |row| &row.session_id, request.first);
    // Only the messages of the pages are opened, all of them at once.
    let keys: Vec<MessageKey> =
        pages.values().flat_map(|page| &page.rows).map(key).collect::<Result<_, _>>()?;
    let mut found: HashMap<MessageKey, Message> = messages::by_keys(tx, &keys)
        .await?
        .into_iter()
        .map(|message| (message.key.clone(), message))
        .collect();
    let mut opened = HashMap::new();
    for (session, page) in pages {
        let mut rows = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            rows.extend(found.remove(&key(row)?));
        }
        opened.insert(session, Page { rows, has_next: page.has_next });
    }
    Ok(opened)
}

async fn rows_of(
    tx: &ScopedTx,
    sessions: &[SessionId],
    list: &MessageList,
    place: MessagePosition,
    request: &PageRequest<MessageCursor>,
) -> Result<Vec<KeyRow>, DbError> {
    let session = "(SELECT number FROM sessions WHERE team = $1 AND session_id = wanted.id)";
    let (mut condition, mut values) = condition(tx, sessions, &format!("= {session}"), list, place);
    if let Some(after) = &request.after {
        condition.push_str(&messages::after_cursor(after, session, &mut values));
    }
    let rows = FirstOfEach {
        table: "messages",
        columns: "wanted.id AS session_id, messages.session, messages.transcript, messages.uuid, messages.uuid_text, \
                  messages.line, messages.part, messages.at, (SELECT f.name FROM transcripts f WHERE f.team = messages.team \
                  AND f.session = messages.session AND f.number = messages.transcript) AS name",
        condition: &condition,
        order: messages::NEWEST_FIRST,
        limit: request.first + 1,
    };
    tx.all(&tx.dialect().first_of_each(2, &rows), values).await
}

fn key(row: &KeyRow) -> Result<MessageKey, DbError> {
    message_key("messages", &row.session_id, &row.name, &LineId::to_text(&row.uuid, row.uuid_text.clone()))
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
    let dialect = tx.dialect();
    let wanted =
        format!("IN (SELECT number FROM sessions WHERE team = $1 AND {})", dialect.is_any("session_id", 2));
    for place in list.places() {
        let (condition, values) = condition(tx, sessions, &wanted, list, place);
        let sql = format!(
            "SELECT s.session_id, counted.n FROM (SELECT messages.session, count(*) AS n FROM messages \
             WHERE {condition} GROUP BY messages.session) AS counted \
             JOIN sessions s ON s.team = $1 AND s.number = counted.session"
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
    let mut values: Vec<Value> = vec![tx.team(), tx.dialect().list(sessions)];
    let mut sql =
        format!("messages.team = $1 AND messages.session {is_wanted} AND {}", place.is("messages.place"));
    messages::narrow(tx, list, &mut sql, &mut values);
    (sql, values)
}
