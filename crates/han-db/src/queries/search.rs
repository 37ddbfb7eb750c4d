//! Search in messages. Blind terms find candidates; each candidate is opened and checked before it is a hit.
//! han-transcript (`words`) defines words and queries. A background job fills the index after lines are stored.
//!
//! A term is 64 bits of the keyed hash of a word under the team's search key. Two words with the same term cause a
//! needless check, but no wrong hit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use han_crypto::BlindKey;
use han_transcript::line_text;
use han_transcript::view::search_text;
use han_transcript::words::{Query, words};
use han_types::{MessageKey, Scope, SessionId, TeamId};
use sea_orm::{FromQueryResult, Value};

use crate::entities::{Message, MessagePosition};
use crate::error::blocking;
use crate::line_id::LineId;
use crate::page::{Cursor, PageRequest};
use crate::queries::messages::{self, unique};
use crate::queries::segments::Segments;
use crate::search_sql::{self, Terms};
use crate::segments::SegmentKey;
use crate::stored::{CountRow, message_key, stored, stored_id};
use crate::{Db, DbError, ScopedTx};

/// The maximum different words in one row of the index: PostgreSQL's tsvector is limited to a megabyte, and a term
/// takes 16 bytes plus 4 for its entry.
const PART_WORDS: usize = 40_000;

/// The maximum lines, and their bytes, that one transaction indexes. A single line may be larger.
const INDEX_LINES: i64 = 500;
const INDEX_BYTES: i64 = 2 << 20;

/// The number of candidates that are opened first, the factor for each further round if they do not fill the page, and
/// the maximum for one page.
const CANDIDATES: usize = 50;
const GROWTH: usize = 4;
const MAX_CANDIDATES: usize = 2_000;

/// The term of a word.
fn term(key: &BlindKey, word: &str) -> String {
    let mut term = key.blind_id("", "search", word.as_bytes());
    term.truncate(16);
    term
}

/// What to search.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// Only this session.
    pub session_id: Option<String>,
    /// Only sessions of this project.
    pub project_id: Option<String>,
    /// Only sessions that this user pushed.
    pub user_id: Option<String>,
    /// Only messages from this time on, in milliseconds since the epoch.
    pub from: Option<i64>,
    /// Only messages before this time, in milliseconds since the epoch.
    pub to: Option<i64>,
}

/// A position among hits, newest first: (time, session, transcript, uuid).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HitCursor {
    at: i64,
    session_id: String,
    transcript: String,
    uuid: String,
}

impl Cursor for HitCursor {
    fn encode(&self) -> String {
        let Self { at, session_id, transcript, uuid } = self;
        format!("{at}_{}_{}_{session_id}{transcript}{uuid}", session_id.len(), transcript.len())
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '_');
        let (at, session, transcript, names) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if names.contains('\0') {
            return None;
        }
        let (session_id, names) = names.split_at_checked(session.parse().ok()?)?;
        let (transcript, uuid) = names.split_at_checked(transcript.parse().ok()?)?;
        let owned = str::to_owned;
        Some(Self {
            at: at.parse().ok()?,
            session_id: owned(session_id),
            transcript: owned(transcript),
            uuid: owned(uuid),
        })
    }
}

/// A message that meets a query.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The message.
    pub message: Arc<Message>,
    /// Its text that was searched.
    pub text: String,
    /// The byte range of the first match in `text`.
    pub at: Range<usize>,
    /// Its position among all hits.
    pub cursor: HitCursor,
}

/// A page of hits, newest first.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// The hits.
    pub hits: Vec<Hit>,
    /// Where the next page continues; `None` at the end. A page with fewer hits than requested, or none, may still have
    /// a next one: for example, if the words of a phrase are common and the phrase is rare.
    pub next: Option<HitCursor>,
    /// The number of messages with the terms of the query that cannot be opened: whether they match is unknown.
    pub unreadable: usize,
}

#[derive(FromQueryResult)]
struct Candidate {
    session_id: String,
    transcript: String,
    uuid: String,
    at: i64,
}

impl Candidate {
    fn cursor(&self) -> HitCursor {
        HitCursor {
            at: self.at,
            session_id: self.session_id.clone(),
            transcript: self.transcript.clone(),
            uuid: self.uuid.clone(),
        }
    }

    fn key(&self) -> Result<MessageKey, DbError> {
        message_key("search_terms", &self.session_id, &self.transcript, &self.uuid)
    }
}

/// The indexed messages of the team that match a query, newest first. A line that cannot be opened is not a hit, but is
/// counted.
///
/// # Errors
/// [`DbError::TooMuch`] if the budget of the transaction does not cover a single line.
pub async fn search(
    tx: &ScopedTx,
    query: &Query,
    within: &Within,
    request: &PageRequest<HitCursor>,
) -> Result<Hits, DbError> {
    let Some(key) = tx.key_store().search_key(tx).await? else { return Ok(Hits::default()) };
    let terms: Vec<String> = query.words().map(|word| term(&key, word)).collect();
    let query = Arc::new(query.clone());
    let mut found = Hits { next: request.after.clone(), ..Hits::default() };
    let (mut looked_at, mut at_once) = (0, CANDIDATES.max(request.first));
    loop {
        let candidates = candidates(tx, &terms, within, found.next.as_ref(), at_once).await?;
        let keys = candidates.iter().map(Candidate::key).collect::<Result<Vec<_>, _>>()?;
        let messages = match messages::by_keys(tx, &keys).await {
            Ok(messages) => messages,
            // Large lines are opened one by one, within the budget of the transaction.
            Err(DbError::TooMuch { .. }) if at_once > 1 => {
                at_once = 1;
                continue;
            }
            Err(DbError::TooMuch { .. }) if looked_at > 0 => return Ok(found),
            Err(error) => return Err(error),
        };
        let (mut hits, unreadable) = look(messages, Arc::clone(&query)).await?;
        for (candidate, key) in candidates.iter().zip(&keys) {
            found.next = Some(candidate.cursor());
            found.unreadable += usize::from(unreadable.contains(key));
            if let Some((message, text, at)) = hits.remove(key) {
                found.hits.push(Hit { message, text, at, cursor: candidate.cursor() });
                if found.hits.len() == request.first {
                    return Ok(found);
                }
            }
        }
        looked_at += candidates.len();
        if candidates.len() < at_once {
            found.next = None;
            return Ok(found);
        }
        if looked_at >= MAX_CANDIDATES {
            return Ok(found);
        }
        if at_once > 1 {
            at_once = (at_once * GROWTH).min(MAX_CANDIDATES - looked_at);
        }
    }
}

type Looked = HashMap<MessageKey, (Arc<Message>, String, Range<usize>)>;

/// The messages that match the query and those that cannot be opened. Runs off the async threads.
async fn look(messages: Vec<Message>, query: Arc<Query>) -> Result<(Looked, HashSet<MessageKey>), DbError> {
    let work = move || {
        let (mut meet, mut unreadable) = (HashMap::new(), HashSet::new());
        for message in messages {
            let Some(body) = message.body.as_deref() else {
                unreadable.insert(message.key);
                continue;
            };
            let text = search_text(&line_text(body), usize::MAX);
            if let Some(at) = query.find(&text) {
                meet.insert(message.key.clone(), (Arc::new(message), text, at));
            }
        }
        (meet, unreadable)
    };
    blocking("looking through lines", work).await
}

async fn candidates(
    tx: &ScopedTx,
    terms: &[String],
    within: &Within,
    after: Option<&HitCursor>,
    limit: usize,
) -> Result<Vec<Candidate>, DbError> {
    let text = |value: Option<&String>| Value::from(value.cloned());
    let mut values: Vec<Value> = vec![
        text(within.session_id.as_ref()),
        text(within.project_id.as_ref()),
        text(within.user_id.as_ref()),
        within.from.into(),
        within.to.into(),
        after.map(|after| after.at).into(),
        text(after.map(|after| &after.session_id)),
        text(after.map(|after| &after.transcript)),
        text(after.map(|after| &after.uuid)),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    let sql = search_sql::candidates(tx.dialect(), tx.team(), terms, &mut values);
    tx.all(&sql, values).await
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
         uuid, uuid_text, row_number() OVER (PARTITION BY session ORDER BY at, transcript, line, uuid) - 1 AS n \
         FROM messages WHERE team = $1 AND place = $2 \
         AND session IN (SELECT number FROM sessions WHERE team = $1 AND {})) AS list \
         JOIN sessions s ON s.team = $1 AND s.number = list.session \
         JOIN transcripts f ON f.team = $1 AND f.session = list.session AND f.number = list.transcript WHERE {}",
        dialect.is_any("session_id", 3),
        dialect.is_any_bytes("list.uuid", 4),
    );
    let uuids: BTreeSet<[u8; 16]> = keys.iter().map(|key| LineId::of(&key.uuid).bytes).collect();
    let values = [
        tx.team(),
        MessagePosition::List.code().into(),
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

/// The number of entries of the team's log that are not indexed yet, so that a search cannot find their lines.
pub async fn lag(tx: &ScopedTx) -> Result<i64, DbError> {
    let sql = "SELECT CAST(COALESCE(SUM(sessions.next_ordinal - COALESCE(search_state.indexed_ordinal, 0)), 0) AS bigint) \
               AS n FROM sessions LEFT JOIN search_state ON search_state.team = sessions.team \
               AND search_state.session = sessions.number WHERE sessions.team = $1";
    Ok(tx.one::<CountRow, _>(sql, [tx.team()]).await?.map_or(0, |row| row.n))
}

/// A session with lines to index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    /// Its team.
    pub team_id: TeamId,
    /// The session.
    pub session_id: SessionId,
}

#[derive(FromQueryResult)]
struct DueRow {
    team_id: String,
    session_id: String,
}

/// Sessions of all teams with lines to index, in order, after `after`, at most `limit`.
pub async fn due(db: &Db, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, DbError> {
    let tx = db.read_system("search.due").await?;
    let sql = format!(
        "SELECT teams.id AS team_id, sessions.session_id FROM sessions JOIN teams ON teams.number = sessions.team \
         LEFT JOIN search_state ON search_state.team = sessions.team AND search_state.session = sessions.number \
         WHERE sessions.next_ordinal > COALESCE(search_state.indexed_ordinal, 0) \
         AND (teams.id, sessions.session_id) > ($1, $2) ORDER BY teams.id, sessions.session_id LIMIT {limit}"
    );
    let from = after.map_or(("", ""), |due| (due.team_id.as_str(), due.session_id.as_str()));
    let rows: Vec<DueRow> = tx.all(&sql, [from.0.into(), from.1.into()]).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Due {
                team_id: stored(&row.team_id, "sessions", "team_id", &row.session_id)?,
                session_id: stored_id(&row.session_id, "sessions", "session_id")?,
            })
        })
        .collect()
}

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    next_ordinal: i64,
    indexed_ordinal: i64,
}

#[derive(FromQueryResult)]
struct LineRow {
    ordinal: i32,
    at: i64,
    transcript: i16,
    first_ordinal: Option<i32>,
}

/// A line to index. Its text is `None` if its segment cannot be opened.
struct Line {
    ordinal: i32,
    at: i64,
    text: Option<String>,
}

/// Indexes the next lines of a session; returns whether these were the last. Lines are read and opened before the
/// transaction that writes their terms. The transaction changes nothing if another replica was faster: one that indexed
/// the same lines, started a reindex, or deleted the session.
pub async fn index(db: &Db, due: &Due) -> Result<bool, DbError> {
    let keys = db.keys().team(db, &due.team_id).await?;
    let team = db.team_number(&due.team_id).await?;
    let key = db.keys().make_search_key(db, &due.team_id).await?;
    let reads = db.read_system("search.lines").await?;
    let sql = "SELECT s.number, s.next_ordinal, COALESCE(i.indexed_ordinal, 0) AS indexed_ordinal FROM sessions s \
               LEFT JOIN search_state i ON i.team = s.team AND i.session = s.number \
               WHERE s.team = $1 AND s.session_id = $2";
    let values = [team.into(), due.session_id.as_str().into()];
    let Some(session) = reads.one::<SessionRow, _>(sql, values).await? else { return Ok(true) };
    let reader = Segments { tx: &reads, team_id: &due.team_id, team, keys: &keys };
    let (lines, indexed) = next_lines(&reader, &session).await?;
    drop(reads);
    if indexed == session.indexed_ordinal {
        return Ok(true);
    }
    let rows = &make_terms(key.key, lines).await?;
    let ours: &[Value; 2] = &[team.into(), i64::from(session.number).into()];
    let version = key.version;
    let done = indexed == session.next_ordinal;
    db.write_system("search.index", |tx| async move {
        let (hold, lock) = (tx.dialect().for_key_share(), tx.dialect().for_update());
        // Locked until the terms are committed, so that a concurrent deletion of the session also deletes the terms.
        let exists =
            format!("SELECT CAST(1 AS bigint) AS n FROM sessions WHERE team = $1 AND number = $2{hold}");
        if tx.one::<CountRow, _>(&exists, ours.clone()).await?.is_none() {
            return Ok(true);
        }
        let insert = "INSERT INTO search_state (team, session) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(insert, ours.clone()).await?;
        let state =
            format!("SELECT indexed_ordinal AS n FROM search_state WHERE team = $1 AND session = $2{lock}");
        let state = tx.one::<CountRow, _>(&state, ours.clone()).await?;
        if state.map_or(0, |row| row.n) != session.indexed_ordinal
            || tx.key_store().hold_search_key(&tx, &due.team_id).await? != Some(version)
        {
            return Ok(false);
        }
        search_sql::insert_terms(&tx, ours, rows).await?;
        let update = "UPDATE search_state SET indexed_ordinal = $3 WHERE team = $1 AND session = $2";
        let [team, session] = ours.clone();
        tx.execute(update, [team, session, indexed.into()]).await?;
        Ok(done)
    })
    .await
}

/// The next lines of a session to index, and the ordinal up to which the session is indexed with them.
async fn next_lines(reader: &Segments<'_>, session: &SessionRow) -> Result<(Vec<Line>, i64), DbError> {
    let sql = "WITH next AS (SELECT ordinal, at, transcript, bytes FROM messages \
         WHERE team = $1 AND session = $2 AND ordinal >= $3 ORDER BY ordinal LIMIT $4), \
         sized AS (SELECT ordinal, at, transcript, \
         SUM(bytes) OVER (ORDER BY ordinal ROWS UNBOUNDED PRECEDING) - bytes AS before FROM next) \
         SELECT ordinal, at, transcript, (SELECT MAX(g.first_ordinal) FROM segments g WHERE g.team = $1 \
         AND g.session = $2 AND g.transcript = sized.transcript AND g.first_ordinal <= sized.ordinal) AS first_ordinal \
         FROM sized WHERE before < $5 ORDER BY ordinal";
    let values = [
        reader.team.into(),
        i64::from(session.number).into(),
        session.indexed_ordinal.into(),
        INDEX_LINES.into(),
        INDEX_BYTES.into(),
    ];
    let rows: Vec<LineRow> = reader.tx.all(sql, values).await?;
    let key = |row: &LineRow| {
        let first_ordinal = row.first_ordinal?;
        Some(SegmentKey { session: session.number, transcript: row.transcript, first_ordinal })
    };
    let keys: Vec<SegmentKey> = rows.iter().filter_map(key).collect();
    let opened = reader.open(&keys).await?;
    let text = |row: &LineRow| {
        let segment = opened.get(&key(row)?)?.as_ref().ok()?;
        String::from_utf8(segment.get(row.ordinal.into())?.text.to_vec()).ok()
    };
    let lines: Vec<Line> =
        rows.iter().map(|row| Line { ordinal: row.ordinal, at: row.at, text: text(row) }).collect();
    // Entries of the log that are no messages have no terms: behind the last message there is nothing to index.
    let more = "SELECT ordinal AS n FROM messages WHERE team = $1 AND session = $2 AND ordinal > $3 LIMIT 1";
    let last = lines.last().map(|line| i64::from(line.ordinal));
    let Some(last) = last else { return Ok((lines, session.next_ordinal)) };
    let values = [reader.team.into(), i64::from(session.number).into(), last.into()];
    let more = !reader.tx.rows(more, values).await?.is_empty();
    Ok((lines, if more { last + 1 } else { session.next_ordinal }))
}

/// The terms of lines. Runs off the async threads. A line that cannot be opened has no terms.
async fn make_terms(key: BlindKey, lines: Vec<Line>) -> Result<Vec<Terms>, DbError> {
    let work = move || {
        let mut rows = Vec::new();
        for line in lines {
            let Some(text) = line.text else { continue };
            let text = search_text(&line_text(&text), usize::MAX);
            let words: BTreeSet<String> = words(&text).into_iter().map(|word| word.text).collect();
            let terms: Vec<String> = words.iter().map(|word| term(&key, word)).collect();
            let parts = terms.chunks(PART_WORDS);
            let count = i64::try_from(parts.len()).unwrap_or(i64::MAX);
            rows.extend((0..).zip(parts).map(|(part, terms)| Terms {
                ordinal: line.ordinal.into(),
                at: line.at,
                part,
                parts: count,
                terms: terms.join(" "),
            }));
        }
        rows
    };
    blocking("indexing lines", work).await
}

/// Deletes the team's index and its search key. The job then indexes all lines again under a new key. Until that is
/// done, searches find only the lines that are indexed.
pub async fn reindex(scope: &Scope, db: &Db) -> Result<(), DbError> {
    db.write_system_for(scope, "search.reindex", |tx| async move {
        // First the key: a concurrent indexing transaction holds a lock on it, so this waits for that transaction.
        tx.key_store().replace_search_key(&tx, tx.team_id()).await?;
        for table in ["search_state", "search_terms"] {
            tx.execute(&format!("DELETE FROM {table} WHERE team = $1"), [tx.team_number().into()]).await?;
        }
        Ok(())
    })
    .await
}
