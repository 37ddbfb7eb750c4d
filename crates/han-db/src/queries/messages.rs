//! Reading messages: a page of a list, messages by key, messages by ordinal.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use han_types::{MessageKey, SessionId, TranscriptName};
use sea_orm::{FromQueryResult, Value};

use crate::entities::{Message, MessagePosition};
use crate::line_id::LineId;
use crate::page::{MessageCursor, Page, PageRequest};
use crate::queries::filter::Filter;
use crate::queries::segments::Opened;
use crate::segments::SegmentKey;
use crate::stored::{CountRow, message_key};
use crate::tx::{Budget, Tx};
use crate::{DbError, ScopedTx};

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

/// A row of `messages`, with the segment that holds its line.
#[derive(FromQueryResult)]
pub(crate) struct MessageRow {
    session_id: String,
    name: String,
    session: i32,
    transcript: i16,
    ordinal: i32,
    line: i32,
    part: i16,
    at: i64,
    place: i16,
    bytes: i32,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    agent_id: Option<String>,
    /// The segment with the greatest first ordinal not above the message's, if there is one.
    first_ordinal: Option<i32>,
    last_ordinal: Option<i32>,
    segment_bytes: Option<i32>,
}

/// Newest first, the order of lists.
pub(crate) const NEWEST_FIRST: &str =
    "messages.at DESC, messages.transcript DESC, messages.line DESC, messages.part DESC, messages.uuid DESC";
pub(crate) const OLDEST_FIRST: &str =
    "messages.at, messages.transcript, messages.line, messages.part, messages.uuid";

/// What is selected of `messages`.
const COLUMNS: &str = "messages.session, messages.transcript, messages.ordinal, messages.line, messages.part, \
    messages.at, messages.place, messages.bytes, messages.uuid, messages.uuid_text, messages.agent_id";

/// The files of the messages in `listed`, with their texts: looked up once for each file, not for each message, and one by
/// one, whatever the planner expects.
const FILES: &str = "files AS MATERIALIZED (SELECT d.session, d.transcript AS number, \
    (SELECT s.session_id FROM sessions s WHERE s.team = $1 AND s.number = d.session) AS session_id, \
    (SELECT t.name FROM transcripts t WHERE t.team = $1 AND t.session = d.session AND t.number = d.transcript) AS name \
    FROM (SELECT DISTINCT session, transcript FROM listed) AS d)";
const LISTED_WITH_FILES: &str =
    "listed AS messages JOIN files f ON f.session = messages.session AND f.number = messages.transcript";

/// The rows of `messages` that `source` (a `FROM` clause with its condition; the team is `$1`) selects, in `order`.
/// Their lines are not read.
pub(crate) async fn rows(
    tx: &Tx,
    source: &str,
    values: Vec<Value>,
    order: &str,
    limit: Option<usize>,
) -> Result<Vec<MessageRow>, DbError> {
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    let sql = format!(
        "WITH listed AS MATERIALIZED (SELECT {COLUMNS} FROM {source} ORDER BY {order}{limit}), {FILES} \
         SELECT f.session_id, f.name, messages.*, g.first_ordinal, g.last_ordinal, g.bytes AS segment_bytes \
         FROM {LISTED_WITH_FILES} {} ORDER BY {order}",
        tx.dialect().segment_of_message()
    );
    tx.all(&sql, values).await
}

/// The most bytes of lines on one page, unless it is a single line. Reading a line takes several copies of it, so a
/// page of pictures would otherwise exceed what a caller may hold, however often it is requested again.
const PAGE_BYTES: i64 = 6 << 20;

/// Takes the first rows whose lines have [`PAGE_BYTES`]; returns whether rows remain.
fn shorten(rows: &mut Vec<MessageRow>) -> bool {
    let mut bytes = 0i64;
    let fits = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(row.bytes.into());
        bytes <= PAGE_BYTES
    });
    let count = fits.count().max(1);
    let left_out = rows.len() > count;
    rows.truncate(count);
    left_out
}

/// Takes the first rows that the budget covers; returns whether rows remain. A segment costs its bytes when it is opened.
/// A line of a segment that was opened before costs the bytes of the line, so that a line that is selected often is
/// counted often.
///
/// # Errors
/// [`DbError::TooMuch`] if the budget does not cover the first row.
fn afford(tx: &ScopedTx, rows: &mut Vec<MessageRow>, budget: &mut Budget) -> Result<bool, DbError> {
    let mut opens = HashSet::new();
    let mut bytes = 0usize;
    let fits = |row: &MessageRow| {
        let opened = row.segment().is_none_or(|key| tx.opened().get(&key).is_some());
        let cost = match row.segment() {
            Some(key) if !opened && opens.insert(key) => row.segment_bytes.unwrap_or_default(),
            _ if opened => row.bytes,
            _ => 0,
        };
        bytes = bytes.saturating_add(usize::try_from(cost).unwrap_or_default());
        (bytes <= budget.left()).then_some(bytes)
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

/// Opens the first of the rows, as many as the budget covers; returns whether rows remain.
///
/// # Errors
/// As [`page`].
pub(crate) async fn open_affordable(
    tx: &ScopedTx,
    mut rows: Vec<MessageRow>,
) -> Result<(Vec<Message>, bool), DbError> {
    let shortened = shorten(&mut rows);
    let mut budget = tx.budget().await;
    let remain = afford(tx, &mut rows, &mut budget)? || shortened;
    Ok((open(tx, rows).await?, remain))
}

/// As [`afford`], but an error if rows remain.
fn all_or_none(tx: &ScopedTx, rows: &mut Vec<MessageRow>, budget: &mut Budget) -> Result<(), DbError> {
    if afford(tx, rows, budget)? { Err(budget.passed()) } else { Ok(()) }
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
    let mut rows = Vec::new();
    for place in list.places() {
        rows.extend(rows_of(tx, session_id, list, place, request).await?);
    }
    rows.sort_by(|a: &MessageRow, b| b.place_in_list().cmp(&a.place_in_list()));
    opened_page(tx, rows, request.first).await
}

/// The messages of a session's list that come next before a position, which are newer; without one, the oldest. Newest
/// first, as in the list, but it is cut at its newest end. `has_next` says whether newer messages remain.
///
/// # Errors
/// As [`page`].
pub async fn newer(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    before: Option<&MessageCursor>,
    last: usize,
) -> Result<Page<Message>, DbError> {
    let mut found = Vec::new();
    for place in list.places() {
        let (mut source, mut values) = source(tx, session_id, list, place);
        if let Some(before) = before {
            source.push_str(&beside_cursor(">", before, &session_number(2), &mut values));
        }
        found.extend(rows(tx, &source, values, OLDEST_FIRST, Some(last + 1)).await?);
    }
    found.sort_by(|a: &MessageRow, b| a.place_in_list().cmp(&b.place_in_list()));
    let mut page = opened_page(tx, found, last).await?;
    page.rows.reverse();
    Ok(page)
}

/// A page from rows of which one more than its size was requested. It is shorter if the budget does not cover its
/// lines.
async fn opened_page(tx: &ScopedTx, rows: Vec<MessageRow>, size: usize) -> Result<Page<Message>, DbError> {
    let page = Page::cut(rows, size);
    let (rows, shortened) = open_affordable(tx, page.rows).await?;
    Ok(Page { rows, has_next: page.has_next || shortened })
}

async fn rows_of(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    place: MessagePosition,
    request: &PageRequest<MessageCursor>,
) -> Result<Vec<MessageRow>, DbError> {
    let (mut source, mut values) = source(tx, session_id, list, place);
    if let Some(after) = &request.after {
        source.push_str(&after_cursor(after, &session_number(2), &mut values));
    }
    rows(tx, &source, values, NEWEST_FIRST, Some(request.first + 1)).await
}

/// The condition that a message comes after the cursor in the order of lists. `session` is the SQL of the session's number.
/// It must not depend on the message: otherwise the database cannot look for the position in an index, and reads the whole
/// session.
pub(crate) fn after_cursor(after: &MessageCursor, session: &str, values: &mut Vec<Value>) -> String {
    beside_cursor("<", after, session, values)
}

/// As [`after_cursor`], for older (`<`) or newer (`>`) messages.
pub(crate) fn beside_cursor(
    order: &str,
    after: &MessageCursor,
    session: &str,
    values: &mut Vec<Value>,
) -> String {
    let n = values.len();
    values.extend([
        after.at.into(),
        after.transcript.as_str().into(),
        after.line.into(),
        after.part.into(),
        LineId::value(&after.uuid),
    ]);
    format!(
        " AND (messages.at, messages.transcript, messages.line, messages.part, messages.uuid) {order} (${}, \
         (SELECT number FROM transcripts WHERE team = $1 AND session = {session} AND name = ${}), ${}, ${}, ${})",
        n + 1,
        n + 2,
        n + 3,
        n + 4,
        n + 5
    )
}

/// The number of the session whose id is parameter `$n`.
pub(crate) fn session_number(n: usize) -> String {
    format!("(SELECT number FROM sessions WHERE team = $1 AND session_id = ${n})")
}

pub(crate) fn source(
    tx: &ScopedTx,
    session_id: &SessionId,
    list: &MessageList,
    place: MessagePosition,
) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tx.team(), session_id.as_str().into()];
    let mut sql = format!(
        "messages WHERE messages.team = $1 AND messages.session = {} AND {}",
        session_number(2),
        place.is("messages.place")
    );
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
        let (source, values) = source(tx, session_id, list, place);
        let sql = format!("SELECT count(*) AS n FROM {source}");
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
    // Three lists instead of a list of triples; the wanted ones are selected below.
    let source = format!(
        "sessions wanted JOIN transcripts file ON file.team = $1 AND file.session = wanted.number AND {} \
         JOIN messages ON messages.team = $1 AND messages.session = file.session \
         AND messages.transcript = file.number AND {} WHERE wanted.team = $1 AND {}",
        dialect.is_any("file.name", 3),
        dialect.is_any_bytes("messages.uuid", 4),
        dialect.is_any("wanted.session_id", 2),
    );
    let wanted: HashSet<(&str, &str, &str)> =
        keys.iter().map(|k| (k.session_id.as_str(), k.transcript.as_str(), k.uuid.as_str())).collect();
    let uuids: BTreeSet<[u8; 16]> = keys.iter().map(|k| LineId::of(&k.uuid).bytes).collect();
    let values = vec![
        tx.team(),
        dialect.list(unique(keys.iter().map(|k| k.session_id.as_str()))),
        dialect.list(unique(keys.iter().map(|k| k.transcript.as_str()))),
        dialect.byte_list(uuids),
    ];
    let mut rows = rows(tx, &source, values, "messages.ordinal, messages.session", None).await?;
    rows.retain(|row| {
        wanted.contains(&(row.session_id.as_str(), row.name.as_str(), row.uuid_text().as_str()))
    });
    let mut budget = tx.budget().await;
    all_or_none(tx, &mut rows, &mut budget)?;
    open(tx, rows).await
}

/// Each text once, in order, so that repeated texts do not enlarge a statement's parameter.
pub(crate) fn unique<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// The messages of `source` (a `FROM` clause; the team is `$1`) that meet a condition, in no order, and without their
/// segments: [`MessageRow::with_line`] takes their lines from elsewhere.
pub(crate) async fn unlocated(
    tx: &Tx,
    source: &str,
    condition: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<MessageRow>, DbError> {
    let sql = format!(
        "WITH listed AS MATERIALIZED (SELECT {COLUMNS} FROM {source} WHERE {condition}), {FILES} \
         SELECT f.session_id, f.name, messages.*, CAST(NULL AS int) AS first_ordinal, \
           CAST(NULL AS int) AS last_ordinal, CAST(NULL AS int) AS segment_bytes FROM {LISTED_WITH_FILES}"
    );
    tx.all(&sql, values).await
}

/// All messages that meet a condition on `messages`, oldest first.
pub(crate) async fn whole(
    tx: &ScopedTx,
    condition: &str,
    values: Vec<Value>,
) -> Result<Vec<Message>, DbError> {
    let source = format!("messages WHERE {condition}");
    let mut rows = rows(tx, &source, values, OLDEST_FIRST, None).await?;
    let mut budget = tx.budget().await;
    all_or_none(tx, &mut rows, &mut budget)?;
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
    let values = vec![tx.team(), session_id.as_str().into(), from.into(), to.into()];
    let condition = format!(
        "messages.team = $1 AND messages.session = {} AND messages.ordinal >= $3 AND messages.ordinal < $4 \
         AND {}",
        session_number(2),
        MessagePosition::List.is("messages.place")
    );
    let messages = whole(tx, &condition, values).await?;
    let Some(first) = messages.first().map(Message::cursor) else {
        return Ok(Vec::new());
    };
    // New messages are nearly always at the end of a list, so few follow the first one: counting from the end costs the
    // same in long and short sessions.
    let behind = behind(tx, session_id, &first).await?;
    let total = tx
        .one::<CountRow, _>(
            "SELECT message_count AS n FROM sessions WHERE team = $1 AND session_id = $2",
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
    name: String,
    line: i32,
    part: i16,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
}

/// The positions of the listed messages after `first`, oldest first.
async fn behind(
    tx: &ScopedTx,
    session_id: &SessionId,
    first: &MessageCursor,
) -> Result<Vec<MessageCursor>, DbError> {
    let sql = format!(
        "SELECT messages.at, f.name, messages.line, messages.part, messages.uuid, messages.uuid_text FROM messages \
         JOIN transcripts f ON f.team = $1 AND f.session = messages.session AND f.number = messages.transcript \
         WHERE messages.team = $1 AND messages.session = {} AND {} AND messages.at >= $3 \
         ORDER BY {OLDEST_FIRST}",
        session_number(2),
        MessagePosition::List.is("messages.place")
    );
    let values = [tx.team(), session_id.as_str().into(), first.at.into()];
    let rows: Vec<CursorRow> = tx.all(&sql, values).await?;
    let cursors = rows.into_iter().map(|row| MessageCursor {
        at: row.at,
        transcript: row.name,
        line: row.line.into(),
        part: row.part.into(),
        uuid: LineId::to_text(&row.uuid, row.uuid_text),
    });
    Ok(cursors.filter(|cursor| cursor > first).collect())
}

/// A line of a file as it is now.
#[derive(Clone, PartialEq, Eq)]
pub struct FileLine {
    /// Its 0-based number.
    pub line: i64,
    /// The line, byte for byte.
    pub text: String,
}

impl std::fmt::Debug for FileLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLine")
            .field("line", &self.line)
            .field("len", &self.text.len())
            .finish_non_exhaustive()
    }
}

#[derive(FromQueryResult)]
struct SegmentRow {
    session: i32,
    transcript: i16,
    first_ordinal: i32,
    bytes: i32,
    min_line: i32,
}

/// The lines of one file from line `from` on, in their order: for export. Of each line below the file's next offset, the
/// newest entry of the log. Returns at most `limit` lines, fewer if their segments exceed the budget of the transaction,
/// and none only at the end. A line that was rejected is left out.
///
/// # Errors
/// If a segment cannot be opened; [`DbError::TooMuch`] if the budget of the transaction does not cover the segments that
/// hold a single line.
pub async fn lines(
    tx: &ScopedTx,
    session_id: &SessionId,
    transcript: &TranscriptName,
    from: i64,
    limit: usize,
) -> Result<Vec<FileLine>, DbError> {
    let sql = format!(
        "SELECT g.session, g.transcript, g.first_ordinal, g.bytes, g.min_line FROM segments g JOIN transcripts f \
         ON f.team = $1 AND f.session = g.session AND f.number = g.transcript \
         WHERE g.team = $1 AND g.session = {} AND f.name = $3 AND g.max_line >= $4 AND g.min_line < f.next_offset \
         ORDER BY g.min_line, g.first_ordinal",
        session_number(2)
    );
    let values = vec![tx.team(), session_id.as_str().into(), transcript.as_str().into(), from.into()];
    let segments: Vec<SegmentRow> = tx.all(&sql, values.clone()).await?;
    let next_offset = format!(
        "SELECT next_offset AS n FROM transcripts WHERE team = $1 AND session = {} AND name = $3",
        session_number(2)
    );
    let end = tx.one::<CountRow, _>(&next_offset, values.into_iter().take(3)).await?.map_or(0, |row| row.n);
    // Segments in the order of their least line. The lines before the least line of the next one are complete.
    let mut budget = tx.budget().await;
    let mut newest: BTreeMap<i64, (i64, String)> = BTreeMap::new();
    let mut complete = end;
    for (index, row) in segments.iter().enumerate() {
        let done = newest.range(..i64::from(row.min_line)).count();
        if done >= limit {
            complete = row.min_line.into();
            break;
        }
        let key =
            SegmentKey { session: row.session, transcript: row.transcript, first_ordinal: row.first_ordinal };
        let bytes = usize::try_from(row.bytes).unwrap_or_default();
        if tx.opened().get(&key).is_none() && budget.take(bytes).is_err() {
            if done == 0 || index == 0 {
                return Err(budget.passed());
            }
            complete = row.min_line.into();
            break;
        }
        let opened = tx.segments()?.open(&[key]).await?;
        for segment in opened.into_values() {
            for entry in segment?.entries().filter(|entry| entry.line >= from && entry.line < end) {
                let known = newest.get(&entry.line);
                if known.is_none_or(|(ordinal, _)| *ordinal < entry.ordinal) {
                    newest.insert(entry.line, (entry.ordinal, text(entry.text, session_id)?));
                }
            }
        }
    }
    let lines = newest.into_iter().take_while(|(line, _)| *line < complete).take(limit);
    Ok(lines.map(|(line, (_, text))| FileLine { line, text }).collect())
}

/// The text of an entry of the log. Ingest accepts only UTF-8.
fn text(bytes: &[u8], row: impl std::fmt::Display) -> Result<String, DbError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DbError::malformed("segments", "body", row))?;
    Ok(text.to_owned())
}

/// Opens the lines of rows.
///
/// # Errors
/// If the log has no entry for a row. A line whose segment cannot be opened has no body: it must not hide the others.
pub(crate) async fn open(tx: &ScopedTx, rows: Vec<MessageRow>) -> Result<Vec<Message>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<SegmentKey> = rows.iter().filter_map(MessageRow::segment).collect();
    let opened = tx.segments()?.open(&keys).await?;
    rows.into_iter().map(|row| row.open(&opened)).collect()
}

impl MessageRow {
    fn place_in_list(&self) -> (i64, i16, i32, i16, &[u8]) {
        (self.at, self.transcript, self.line, self.part, &self.uuid)
    }

    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// Its session's number, and the ordinal of the entry that holds it.
    pub(crate) fn entry(&self) -> (i32, i64) {
        (self.session, i64::from(self.ordinal) - i64::from(self.part))
    }

    /// Its position among the records of its line.
    pub(crate) fn part(&self) -> usize {
        usize::try_from(self.part).unwrap_or_default()
    }

    /// Its text ids.
    pub(crate) fn key(&self) -> Result<MessageKey, DbError> {
        message_key("messages", &self.session_id, &self.name, &self.uuid_text())
    }

    fn uuid_text(&self) -> String {
        LineId::to_text(&self.uuid, self.uuid_text.clone())
    }

    /// The segment that holds its line, unless the log has none.
    pub(crate) fn segment(&self) -> Option<SegmentKey> {
        let first_ordinal = self.first_ordinal?;
        self.last_ordinal.filter(|last| self.entry().1 <= i64::from(*last))?;
        Some(SegmentKey { session: self.session, transcript: self.transcript, first_ordinal })
    }

    /// Its line.
    ///
    /// # Errors
    /// If the log has no entry with its ordinal.
    pub(crate) fn line<'s>(
        &self,
        opened: &'s HashMap<SegmentKey, Opened>,
    ) -> Result<Option<&'s [u8]>, DbError> {
        let missing = || DbError::RowMissing {
            table: "segments",
            row: format!("{}/{}/{}", self.session_id, self.name, self.ordinal),
        };
        match opened.get(&self.segment().ok_or_else(missing)?).ok_or_else(missing)? {
            Ok(segment) => Ok(Some(segment.get(self.entry().1).ok_or_else(missing)?.text)),
            // Logged when it was opened.
            Err(_) => Ok(None),
        }
    }

    fn open(self, opened: &HashMap<SegmentKey, Opened>) -> Result<Message, DbError> {
        let row_id = || self.key().map(|key| key.row_id());
        let body = match self.line(opened)? {
            Some(bytes) => Some(text(bytes, row_id()?)?),
            None => None,
        };
        self.with_line(body)
    }

    /// The message, given its line; `None` if that cannot be opened.
    pub(crate) fn with_line(self, body: Option<String>) -> Result<Message, DbError> {
        let key = self.key()?;
        Ok(Message {
            key,
            ordinal: self.ordinal.into(),
            line: self.line.into(),
            part: self.part.into(),
            at: self.at,
            agent_id: self.agent_id,
            listed: i64::from(self.place) == MessagePosition::List.code(),
            body,
        })
    }
}

#[derive(FromQueryResult)]
struct IndexRow {
    session_id: String,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    n: i64,
}

/// The index of messages in their sessions' lists: the number of older listed messages. Omits messages that are in no
/// list.
pub async fn list_indexes(tx: &ScopedTx, keys: &[MessageKey]) -> Result<HashMap<MessageKey, i64>, DbError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let dialect = tx.dialect();
    // One pass over each session's list, regardless of its number of hits.
    let sql = format!(
        "SELECT s.session_id, f.name AS transcript, list.uuid, list.uuid_text, list.n FROM (SELECT session, transcript, \
         uuid, uuid_text, row_number() OVER (PARTITION BY session ORDER BY at, transcript, line, part, uuid) - 1 AS n \
         FROM messages WHERE team = $1 AND {} \
         AND session IN (SELECT number FROM sessions WHERE team = $1 AND {})) AS list \
         JOIN sessions s ON s.team = $1 AND s.number = list.session \
         JOIN transcripts f ON f.team = $1 AND f.session = list.session AND f.number = list.transcript WHERE {}",
        MessagePosition::List.is("place"),
        dialect.is_any("session_id", 2),
        dialect.is_any_bytes("list.uuid", 3),
    );
    let uuids: BTreeSet<[u8; 16]> = keys.iter().map(|key| LineId::of(&key.uuid).bytes).collect();
    let values = [
        tx.team(),
        dialect.list(unique(keys.iter().map(|key| key.session_id.as_str()))),
        dialect.byte_list(uuids),
    ];
    let rows: Vec<IndexRow> = tx.all(&sql, values).await?;
    rows.into_iter()
        .map(|row| {
            let uuid = LineId::to_text(&row.uuid, row.uuid_text);
            Ok((message_key("messages", &row.session_id, &row.transcript, &uuid)?, row.n))
        })
        .collect()
}
