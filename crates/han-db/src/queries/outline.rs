//! The outline of a session: its turns and compactions, each with the tokens up to the next one. And the size of its
//! context over time.

use std::collections::BTreeMap;
use std::sync::Arc;

use han_transcript::MessageKind;
use han_transcript::fold::TokenTotals;
use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::{Message, MessagePosition};
use crate::page::{MessageCursor, Page, PageRequest};
use crate::queries::ingest::prepare::project_line;
use crate::queries::messages::{self, MessageList, session_number};
use crate::{DbError, ScopedTx};

/// How many lines are read at a time to find entries among them.
const READ: usize = 200;

/// The kinds of lines that may be entries.
const KINDS: [MessageKind; 3] = [MessageKind::RegularUser, MessageKind::CommandUser, MessageKind::System];

/// What an entry of the outline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutlineKind {
    /// A prompt that a person typed.
    Prompt,
    /// A command that a person typed.
    Command,
    /// A compaction of the context.
    Compaction,
}

/// An entry of the outline.
#[derive(Clone, Debug)]
pub struct OutlineEntry {
    /// What it is.
    pub kind: OutlineKind,
    /// Its message.
    pub message: Arc<Message>,
    /// The tokens of the answers from this entry up to the next one, by model, including subagents. As in totals, only
    /// answers that count for this session.
    pub tokens: BTreeMap<String, TokenTotals>,
}

/// A page of a session's outline, oldest first. The outline of a subagent has no entries.
///
/// # Errors
/// If a body cannot be opened; [`DbError::TooMuch`] if the budget of the transaction does not cover the lines of one
/// entry and of those up to the next one.
pub async fn page(
    tx: &ScopedTx,
    session_id: &SessionId,
    request: &PageRequest<MessageCursor>,
) -> Result<Page<OutlineEntry>, DbError> {
    // One more than the page: its time ends the tokens of the last entry.
    let (mut entries, is_end) = entries(tx, session_id, request.after.as_ref(), request.first + 1).await?;
    let next = if entries.len() > request.first || !is_end { entries.pop() } else { None };
    let Some(first) = entries.first() else {
        // The only entry that the budget covers must not be left out, or the next page would find the same.
        return match next {
            Some(_) => Err(tx.budget().await.passed()),
            None => Ok(Page { rows: entries, has_next: false }),
        };
    };
    let end = next.as_ref().map_or(i64::MAX, |next| next.message.at);
    let tokens = answers(tx, session_id, first.message.at, end).await?;
    for answer in tokens {
        let after = entries.partition_point(|entry| entry.message.at <= answer.at);
        if let Some(entry) = after.checked_sub(1).and_then(|index| entries.get_mut(index)) {
            let sum = entry.tokens.entry(answer.model.clone()).or_default();
            *sum = answer.added_to(sum);
        }
    }
    Ok(Page { rows: entries, has_next: next.is_some() })
}

/// Up to `wanted` entries after a position, and whether they reach the end of the session.
async fn entries(
    tx: &ScopedTx,
    session_id: &SessionId,
    after: Option<&MessageCursor>,
    wanted: usize,
) -> Result<(Vec<OutlineEntry>, bool), DbError> {
    let list = MessageList::default();
    let mut after = after.cloned();
    let mut found = Vec::new();
    loop {
        let (mut source, mut values) = messages::source(tx, session_id, &list, MessagePosition::List);
        let kinds = KINDS.map(|kind| kind.code().to_string()).join(", ");
        source.push_str(&format!(" AND messages.kind IN ({kinds})"));
        if let Some(after) = &after {
            source.push_str(&messages::beside_cursor(">", after, &session_number(2), &mut values));
        }
        let rows = messages::rows(tx, &source, values, messages::OLDEST_FIRST, Some(READ)).await?;
        let is_last = rows.len() < READ;
        let (opened, remain) = match messages::open_affordable(tx, rows).await {
            // What was found before is a page of its own.
            Err(DbError::TooMuch { .. }) if !found.is_empty() => return Ok((found, false)),
            opened => opened?,
        };
        let Some(last) = opened.last().map(Message::cursor) else { return Ok((found, true)) };
        for message in opened {
            let Some(kind) = kind(&message) else { continue };
            found.push(OutlineEntry { kind, message: Arc::new(message), tokens: BTreeMap::new() });
            if found.len() == wanted {
                return Ok((found, false));
            }
        }
        if is_last && !remain {
            return Ok((found, true));
        }
        after = Some(last);
    }
}

/// What a line is in the outline. A line that cannot be opened is nothing.
fn kind(message: &Message) -> Option<OutlineKind> {
    let body = message.body.as_deref()?;
    let record = project_line(message.key.session_id.as_str(), message.key.transcript.as_str(), body);
    match record.kind {
        // The summary after a compaction belongs to it.
        _ if record.compaction.is_some_and(|compaction| !compaction.continuation) => {
            Some(OutlineKind::Compaction)
        }
        MessageKind::CommandUser if record.turn => Some(OutlineKind::Command),
        _ if record.turn => Some(OutlineKind::Prompt),
        _ => None,
    }
}

#[derive(FromQueryResult)]
struct AnswerRow {
    at: i64,
    model: String,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
}

impl AnswerRow {
    fn added_to(&self, sum: &TokenTotals) -> TokenTotals {
        TokenTotals {
            input: sum.input + self.input_tokens,
            output: sum.output + self.output_tokens,
            cache_read: sum.cache_read + self.cache_read_tokens,
            cache_creation_5m: sum.cache_creation_5m + self.cache_creation_5m_tokens,
            cache_creation_1h: sum.cache_creation_1h + self.cache_creation_1h_tokens,
        }
    }
}

/// The answers that count for a session, with times from `from` to `to` (exclusive).
async fn answers(
    tx: &ScopedTx,
    session_id: &SessionId,
    from: i64,
    to: i64,
) -> Result<Vec<AnswerRow>, DbError> {
    let sql = format!(
        "SELECT at, model, input_tokens, output_tokens, cache_read_tokens, cache_creation_5m_tokens, \
           cache_creation_1h_tokens FROM answer_copies \
         WHERE team = $1 AND session = {} AND owner AND at >= $3 AND at < $4",
        session_number(2)
    );
    tx.all(&sql, [tx.team(), session_id.as_str().into(), from.into(), to.into()]).await
}

/// The size of the context when an answer began: the tokens that the model read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct ContextSize {
    /// The time of the answer, in milliseconds since the epoch.
    pub at: i64,
    /// Input tokens, cached or not.
    pub tokens: i64,
}

/// The context of a session over time, oldest first, without its subagents, which have contexts of their own: at most
/// `points` sizes. Of neighbouring answers, the largest one is kept.
pub async fn context_sizes(
    tx: &ScopedTx,
    session_id: &SessionId,
    points: usize,
) -> Result<Vec<ContextSize>, DbError> {
    // An answer belongs to the list if its first line does.
    let sql = format!(
        "SELECT c.at, c.input_tokens + c.cache_read_tokens + c.cache_creation_5m_tokens + c.cache_creation_1h_tokens \
           AS tokens FROM answer_copies c \
         WHERE c.team = $1 AND c.session = {} AND EXISTS (SELECT 1 FROM messages m WHERE m.team = $1 \
           AND m.session = c.session AND {} AND m.at = c.at AND m.line = c.line) \
         ORDER BY c.at, c.line",
        session_number(2),
        MessagePosition::List.is("m.place")
    );
    let sizes: Vec<ContextSize> = tx.all(&sql, [tx.team(), session_id.as_str().into()]).await?;
    let width = sizes.len().div_ceil(points.max(1)).max(1);
    let largest = sizes.chunks(width).filter_map(|sizes| sizes.iter().max_by_key(|size| size.tokens));
    Ok(largest.copied().collect())
}
