//! Merging small segments: live pushes write segments of a few lines, which compress badly and cost a row each. A merge
//! opens neighbours, joins them, makes their search terms and seals the result, all outside a transaction; then one short
//! transaction replaces exactly the rows that were read, or does nothing (`segments::lock`).
//!
//! Search terms are made from the text, under the team's search key: the merged lines are found before and after. If the
//! search key was replaced since, nothing is merged.
//!
//! A merge changes no line, no ordinal and no message: readers see the same before and after, and subscribers are not
//! notified. It neither locks nor writes the session's row. A deletion wins over it. It may end at any point and goes on
//! later with what is left.

use std::sync::Arc;

use han_types::{SessionId, TeamId};
use sea_orm::{FromQueryResult, Value};

use crate::cpu;
use crate::keys::SearchKey;
use crate::queries::search::{self, TermMaker, Terms};
use crate::queries::segments::{self, File, NewSegment, ReadSegment, Segments, StoredSegment};
use crate::segments::{Entry, SEGMENT_BYTES, SegmentBuilder, SegmentKey};
use crate::stored::{stored, stored_id};
use crate::{Db, DbError};

/// Segments with fewer bytes are merged: half of what a segment holds. The index `segments_small` has the same number.
const SMALL: i64 = 131_072;
const _: () = assert!(SMALL as usize == SEGMENT_BYTES / 2);

/// A session that is pushed to is consolidated once a file has this many small segments, so that each line is written a few
/// times only.
const FEW: i64 = 16;

/// A session with small segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fragmented {
    /// Its team.
    pub team_id: TeamId,
    /// The session.
    pub session_id: SessionId,
}

#[derive(FromQueryResult)]
struct FragmentedRow {
    team_id: String,
    session_id: String,
}

/// Sessions of all teams with small segments to merge: those that were last pushed to in `idle` (from and to, in
/// milliseconds since the epoch), and those that have many. In order, after `after`, at most `limit`.
pub async fn fragmented(
    db: &Db,
    idle: (i64, i64),
    after: Option<&Fragmented>,
    limit: usize,
) -> Result<Vec<Fragmented>, DbError> {
    let tx = db.read_system("consolidation.list").await?;
    let sql = format!(
        "SELECT t.id AS team_id, s.session_id FROM (SELECT DISTINCT team, session FROM (SELECT team, session, transcript, \
         count(*) AS n FROM segments WHERE bytes < {SMALL} GROUP BY team, session, transcript) AS files WHERE n > 1) \
         AS small JOIN sessions s ON s.team = small.team AND s.number = small.session \
         JOIN teams t ON t.number = small.team \
         WHERE (s.synced_at >= $1 AND s.synced_at < $2 OR EXISTS (SELECT 1 FROM segments g WHERE g.team = small.team \
         AND g.session = small.session AND g.bytes < {SMALL} GROUP BY g.transcript HAVING count(*) >= {FEW})) \
         AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete') \
         AND (t.id, s.session_id) > ($3, $4) ORDER BY t.id, s.session_id LIMIT {limit}"
    );
    let from = after.map_or(("", ""), |after| (after.team_id.as_str(), after.session_id.as_str()));
    let values: [Value; 4] = [idle.0.into(), idle.1.into(), from.0.into(), from.1.into()];
    let rows: Vec<FragmentedRow> = tx.all(&sql, values).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Fragmented {
                team_id: stored(&row.team_id, "teams", "id", &row.session_id)?,
                session_id: stored_id(&row.session_id, "sessions", "session_id")?,
            })
        })
        .collect()
}

#[derive(FromQueryResult)]
struct SegmentRow {
    session: i32,
    transcript: i16,
    name: String,
    first_ordinal: i32,
    bytes: i32,
    sealed: bool,
}

/// Merges the small segments of a session; returns the numbers of segments that were merged, and of those that they became.
///
/// # Errors
/// If a segment cannot be opened. Merges that were made before remain.
pub async fn consolidate(db: &Db, session: &Fragmented) -> Result<(usize, usize), DbError> {
    let keys = db.keys().team(db, &session.team_id).await?;
    let team = db.team_number(&session.team_id).await?;
    let reads = db.read_system("consolidation.segments").await?;
    let sql = "SELECT g.session, g.transcript, f.name, g.first_ordinal, g.bytes, g.sealed FROM segments g \
               JOIN transcripts f ON f.team = g.team AND f.session = g.session AND f.number = g.transcript \
               WHERE g.team = $1 AND g.session = (SELECT number FROM sessions WHERE team = $1 AND session_id = $2) \
               ORDER BY g.transcript, g.first_ordinal";
    let values: [Value; 2] = [team.into(), session.session_id.as_str().into()];
    let rows: Vec<SegmentRow> = reads.all(sql, values).await?;
    drop(reads);
    let (mut merged, mut into) = (0, 0);
    for group in groups(&rows) {
        let [first, ..] = group else { continue };
        let file = File {
            session_id: session.session_id.clone(),
            transcript: stored(&first.name, "transcripts", "name", &session.session_id)?,
            session: first.session,
            number: first.transcript,
        };
        let wanted: Vec<SegmentKey> = group
            .iter()
            .map(|row| SegmentKey {
                session: row.session,
                transcript: row.transcript,
                first_ordinal: row.first_ordinal,
            })
            .collect();
        let reads = db.read_system("consolidation.read").await?;
        let segments = Segments { tx: &reads, team_id: &session.team_id, team, keys: &keys };
        let read = segments.read(&wanted).await?;
        drop(reads);
        let search_key = db.keys().find_search_key(db, &session.team_id).await?;
        let version = search_key.as_ref().map(|key| key.version);
        let Some(Merged { old, new, terms }) = join(read, wanted.len(), search_key).await? else { continue };
        let new = &segments::seal(&keys, db.entropy(), first.sealed, &file, new)?;
        let (old, file, keys, terms) = (&old, &file, &keys, &terms);
        let replaced = db
            .write_system("consolidation.merge", |tx| async move {
                let segments = Segments { tx: &tx, team_id: &session.team_id, team, keys };
                let Some(locked) = segments.lock(file, old).await? else { return Ok(false) };
                // After the segments are locked nothing indexes them: without a key they have no terms.
                if tx.key_store().hold_search_key(&tx, &session.team_id).await? != version {
                    return Ok(false);
                }
                segments.replace(file, locked, new.clone()).await?;
                search::insert_terms(&tx, &[team.into(), i64::from(file.session).into()], terms).await?;
                Ok(true)
            })
            .await?;
        if replaced {
            merged += old.len();
            into += new.len();
        }
    }
    Ok((merged, into))
}

/// Neighbours that fit into one segment: at least two, at least one of them small.
fn groups(rows: &[SegmentRow]) -> Vec<&[SegmentRow]> {
    let mut groups = Vec::new();
    let mut from = 0;
    while from < rows.len() {
        let mut bytes = 0;
        let first = &rows[from];
        let fits = rows[from..].iter().take_while(|row| {
            bytes += i64::from(row.bytes);
            row.transcript == first.transcript
                && row.sealed == first.sealed
                && i64::from(row.bytes) < SMALL
                && bytes <= SEGMENT_BYTES as i64
        });
        let len = fits.count().max(1);
        if len > 1 {
            groups.push(&rows[from..from + len]);
        }
        from += len;
    }
    groups
}

/// Segments that were read, and those that they become.
pub(super) struct Merged {
    pub old: Vec<StoredSegment>,
    pub new: Vec<NewSegment>,
    /// The search terms of the new ones.
    pub terms: Vec<Terms>,
}

/// Joins the entries of segments; `None` if one of them is gone.
async fn join(
    read: Vec<ReadSegment>,
    expected: usize,
    search_key: Option<SearchKey>,
) -> Result<Option<Merged>, DbError> {
    if read.len() != expected {
        return Ok(None);
    }
    let work = move || join_now(read, search_key.as_ref());
    cpu::run("merging segments", work).await?.map(Some)
}

/// Joins the entries of segments of one file, at once.
///
/// # Errors
/// If one of them cannot be opened.
pub(super) fn join_now(read: Vec<ReadSegment>, search_key: Option<&SearchKey>) -> Result<Merged, DbError> {
    let (mut old, mut opened, mut transcript) = (Vec::new(), Vec::new(), 0);
    for segment in read {
        old.push(segment.stored);
        opened.push(segment.opened?);
        transcript = segment.key.transcript;
    }
    let mut order: Vec<usize> = (0..old.len()).collect();
    order.sort_by_key(|index| old[*index].extent.first_ordinal);
    let entries = || order.iter().flat_map(|index| Arc::as_ref(&opened[*index]).entries());
    let mut builder = SegmentBuilder::new();
    for Entry { ordinal, line, text } in entries() {
        builder.push(Entry { ordinal, line, text })?;
    }
    let first_at = old.iter().map(|segment| segment.first_at).min().unwrap_or_default();
    let last_at = old.iter().map(|segment| segment.last_at).max().unwrap_or_default();
    let encoded = builder.finish()?;
    let new = encoded.map(|encoded| NewSegment::new(&encoded, first_at, last_at));
    let terms = search_key.zip(new.as_ref()).and_then(|(key, new)| {
        let lines = entries().map(|entry| entry.text);
        TermMaker::new(&key.key).row(transcript, new.extent.first_ordinal, (first_at, last_at), lines)
    });
    Ok(Merged { old, new: new.into_iter().collect(), terms: terms.into_iter().collect() })
}
