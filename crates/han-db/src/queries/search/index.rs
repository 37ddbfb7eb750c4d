//! The index of search: how segments become terms, and which segments of a session have some.
//!
//! A term is 64 bits of the keyed hash of a word under the team's search key. Two words with the same term cause a
//! needless check, but no wrong hit.

use std::collections::HashMap;

use han_crypto::BlindKey;
use han_transcript::line_text;
use han_transcript::view::search_text;
use han_transcript::words::{self, each_word};
use han_types::{Scope, SessionId, TeamId};
use sea_orm::{FromQueryResult, Value};

use super::sql::insert_terms;
use crate::cpu;
use crate::queries::segments::{ReadSegment, Segments};
use crate::segments::SegmentKey;
use crate::stored::{CountRow, stored, stored_id};
use crate::{Db, DbError, ScopedTx};

/// The maximum segments, and their bytes, that one transaction indexes. A single segment may be larger.
const INDEX_SEGMENTS: usize = 256;
const INDEX_BYTES: i64 = 4 << 20;

/// Joins the state of a session's index, if it was made by the present rules for words.
fn current_state() -> String {
    format!(
        "LEFT JOIN search_state ON search_state.team = sessions.team AND search_state.session = sessions.number \
         AND search_state.words = {}",
        words::VERSION
    )
}

/// The number of entries of the team's log that are not indexed yet, so that a search cannot find their lines.
pub async fn lag(tx: &ScopedTx) -> Result<i64, DbError> {
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(sessions.next_ordinal - COALESCE(search_state.indexed_ordinal, 0)), 0) AS bigint) \
         AS n FROM sessions {} WHERE sessions.team = $1",
        current_state()
    );
    Ok(tx.one::<CountRow, _>(&sql, [tx.team()]).await?.map_or(0, |row| row.n))
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
         {} WHERE sessions.next_ordinal > COALESCE(search_state.indexed_ordinal, 0) \
         AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = teams.id AND w.kind = 'delete') \
         AND (teams.id, sessions.session_id) > ($1, $2) ORDER BY teams.id, sessions.session_id LIMIT {limit}",
        current_state()
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
    words: Option<i16>,
}

#[derive(FromQueryResult)]
struct SegmentRow {
    transcript: i16,
    first_ordinal: i32,
    last_ordinal: i32,
    is_indexed: bool,
}

impl SegmentRow {
    /// Its file's number, its first and its last ordinal.
    fn extent(&self) -> [i64; 3] {
        [self.transcript.into(), self.first_ordinal.into(), self.last_ordinal.into()]
    }
}

/// Indexes the next segments of a session; returns whether these were the last. Segments are read and opened before the
/// transaction that writes their terms. The transaction changes nothing if something else was faster: another replica
/// indexed the same segments, they were merged, a reindex began, or the session was deleted. Terms that were made by other
/// rules for words are deleted first.
pub async fn index(db: &Db, due: &Due) -> Result<bool, DbError> {
    let keys = db.keys().team(db, &due.team_id).await?;
    let team = db.team_number(&due.team_id).await?;
    let key = db.keys().make_search_key(db, &due.team_id).await?;
    let reads = db.read_system("search.lines").await?;
    let sql = "SELECT s.number, s.next_ordinal, COALESCE(i.indexed_ordinal, 0) AS indexed_ordinal, i.words \
               FROM sessions s LEFT JOIN search_state i ON i.team = s.team AND i.session = s.number \
               WHERE s.team = $1 AND s.session_id = $2";
    let values = [team.into(), due.session_id.as_str().into()];
    let Some(session) = reads.one::<SessionRow, _>(sql, values).await? else { return Ok(true) };
    if session.words.is_some_and(|version| version != words::VERSION) {
        drop(reads);
        forget(db, &[team.into(), i64::from(session.number).into()]).await?;
        return Ok(false);
    }
    let reader = Segments { tx: &reads, team_id: &due.team_id, team, keys: &keys };
    let (segments, indexed) = next_segments(&reader, &session).await?;
    if indexed == session.indexed_ordinal {
        return Ok(true);
    }
    let segment_key = |row: &SegmentRow| SegmentKey {
        session: session.number,
        transcript: row.transcript,
        first_ordinal: row.first_ordinal,
    };
    let missing: Vec<SegmentRow> = segments.into_iter().filter(|row| !row.is_indexed).collect();
    let wanted: Vec<SegmentKey> = missing.iter().map(segment_key).collect();
    let read = reader.read(&wanted).await?;
    drop(reads);
    let version = key.version;
    let rows = cpu::run("indexing segments", move || terms_of_segments(&key.key, &read)).await?;
    let (rows, missing, keys) = (&rows, &missing, &keys);
    let ours: &[Value; 2] = &[team.into(), i64::from(session.number).into()];
    let done = indexed == session.next_ordinal;
    db.write_system("search.index", |tx| async move {
        // First the key, as in a reindex.
        if tx.key_store().hold_search_key(&tx, &due.team_id).await? != Some(version) {
            return Ok(false);
        }
        let (hold, lock) = (tx.dialect().for_key_share(), tx.dialect().for_update());
        // Locked until the terms are committed, so that a concurrent deletion of the session also deletes its state.
        let exists =
            format!("SELECT CAST(1 AS bigint) AS n FROM sessions WHERE team = $1 AND number = $2{hold}");
        if tx.one::<CountRow, _>(&exists, ours.clone()).await?.is_none() {
            return Ok(true);
        }
        let insert = format!(
            "INSERT INTO search_state (team, session, words) VALUES ($1, $2, {}) ON CONFLICT DO NOTHING",
            words::VERSION
        );
        tx.execute(&insert, ours.clone()).await?;
        let state = format!(
            "SELECT indexed_ordinal AS n FROM search_state WHERE team = $1 AND session = $2 AND words = {}{lock}",
            words::VERSION
        );
        let state = tx.one::<CountRow, _>(&state, ours.clone()).await?;
        let segments = Segments { tx: &tx, team_id: &due.team_id, team, keys };
        let extents = missing.iter().map(SegmentRow::extent);
        if state.map_or(0, |row| row.n) != session.indexed_ordinal
            || !segments.hold(session.number, extents).await?
        {
            return Ok(false);
        }
        insert_terms(&tx, ours, rows).await?;
        let update = "UPDATE search_state SET indexed_ordinal = $3 WHERE team = $1 AND session = $2";
        let [team, session] = ours.clone();
        tx.execute(update, [team, session, indexed.into()]).await?;
        Ok(done)
    })
    .await
}

/// Deletes a session's index.
async fn forget(db: &Db, session: &[Value; 2]) -> Result<(), DbError> {
    db.write_system("search.forget", |tx| async move {
        for table in ["search_state", "search_terms"] {
            let sql = format!("DELETE FROM {table} WHERE team = $1 AND session = $2");
            tx.execute(&sql, session.clone()).await?;
        }
        Ok(())
    })
    .await
}

/// The next segments of a session to index, and the ordinal up to which the session is indexed with them. Segments of
/// several files interleave: those that end before an indexed ordinal are indexed.
async fn next_segments(
    reader: &Segments<'_>,
    session: &SessionRow,
) -> Result<(Vec<SegmentRow>, i64), DbError> {
    let sql = format!(
        "WITH next AS (SELECT g.transcript, g.first_ordinal, g.last_ordinal, g.bytes, EXISTS (SELECT 1 FROM search_terms t \
           WHERE t.team = g.team AND t.session = g.session AND t.transcript = g.transcript \
           AND t.first_ordinal = g.first_ordinal) AS is_indexed \
           FROM segments g WHERE g.team = $1 AND g.session = $2 AND g.last_ordinal >= $3 \
           ORDER BY g.last_ordinal LIMIT {INDEX_SEGMENTS}), \
         sized AS (SELECT next.*, SUM(bytes) OVER (ORDER BY last_ordinal ROWS UNBOUNDED PRECEDING) - bytes AS before \
           FROM next) \
         SELECT transcript, first_ordinal, last_ordinal, is_indexed FROM sized WHERE before < {INDEX_BYTES} \
         ORDER BY last_ordinal"
    );
    let (team, number) = (Value::from(reader.team), Value::from(i64::from(session.number)));
    let values = [team.clone(), number.clone(), session.indexed_ordinal.into()];
    let rows: Vec<SegmentRow> = reader.tx.all(&sql, values).await?;
    let Some(last) = rows.last().map(|row| i64::from(row.last_ordinal)) else {
        return Ok((rows, session.next_ordinal));
    };
    let more = "SELECT last_ordinal AS n FROM segments WHERE team = $1 AND session = $2 AND last_ordinal > $3 LIMIT 1";
    let more = !reader.tx.rows(more, [team, number, last.into()]).await?.is_empty();
    Ok((rows, if more { last + 1 } else { session.next_ordinal }))
}

/// Terms of a segment, as a row of the index.
pub(crate) struct Terms {
    pub transcript: i16,
    pub first_ordinal: i64,
    pub first_at: i64,
    pub last_at: i64,
    /// In order, each once.
    pub terms: Vec<i64>,
}

/// The term of a word.
pub(super) fn term(key: &BlindKey, word: &str) -> i64 {
    key.blind_term("search", word.as_bytes())
}

/// Makes the terms of segments. A word of several of them is hashed once.
pub(crate) struct TermMaker<'k> {
    key: &'k BlindKey,
    /// The words so far, each with its term and the last segment that it occurred in.
    words: HashMap<String, (i64, usize)>,
    segments: usize,
}

impl<'k> TermMaker<'k> {
    pub(crate) fn new(key: &'k BlindKey) -> Self {
        Self { key, words: HashMap::new(), segments: 0 }
    }

    /// The row of a segment of the file with this number, with the times of its first and its last line; `None` if it has
    /// no words.
    pub(crate) fn row<'l>(
        &mut self,
        transcript: i16,
        first_ordinal: i64,
        (first_at, last_at): (i64, i64),
        lines: impl Iterator<Item = &'l [u8]>,
    ) -> Option<Terms> {
        let Self { key, words, segments } = self;
        *segments += 1;
        let mut terms: Vec<i64> = Vec::new();
        for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
            each_word(&search_text(&line_text(line), usize::MAX), |word, _| match words.get_mut(word) {
                Some((_, last)) if *last == *segments => {}
                Some((term, last)) => {
                    *last = *segments;
                    terms.push(*term);
                }
                None => {
                    let term = term(key, word);
                    terms.push(term);
                    words.insert(word.to_owned(), (term, *segments));
                }
            });
        }
        // PostgreSQL and the index sort what is not in order.
        terms.sort_unstable();
        terms.dedup();
        (!terms.is_empty()).then_some(Terms { transcript, first_ordinal, first_at, last_at, terms })
    }
}

/// The terms of segments. One that cannot be opened has none.
fn terms_of_segments(key: &BlindKey, segments: &[ReadSegment]) -> Vec<Terms> {
    let mut terms = TermMaker::new(key);
    let mut rows = Vec::new();
    for ReadSegment { key, stored, opened } in segments {
        if let Ok(segment) = opened {
            let (first, times) = (stored.extent.first_ordinal, (stored.first_at, stored.last_at));
            let lines = segment.entries().map(|entry| entry.text);
            rows.extend(terms.row(key.transcript, first, times, lines));
        }
    }
    rows
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
