//! Ingest: stores a batch of one transcript file of one session in one transaction. Only this module projects and seals
//! lines.
//!
//! The transaction locks the session's row first, so batches of one session are serialized across processes. It then
//! appends the lines to the log. A batch that continues at the end of its file compares nothing: a conflict on a key, not
//! a read, identifies uuids that are known, and then `known` determines what becomes of each line. Only messages that are
//! new count in totals, rollups and change events, so a batch that is sent twice changes nothing.
//!
//! `prepare` projects and packs lines before the transaction. `derive` (with `tasks` and `usage`) writes the data derived
//! from lines, `rollup_delta` what they add to rollups, and `rederive` repeats both from the log. `renew` repeats what this
//! module writes about messages and their session. Both run for a batch with the time of lines that were stored before it
//! (docs/adr/0031).

pub(crate) mod answers;
pub(crate) mod derive;
pub(crate) mod grain;
mod known;
pub(crate) mod prepare;
pub(crate) mod rederive;
pub(crate) mod renew;
pub(crate) mod rollup_delta;
mod sidechains;
pub(crate) mod tasks;
pub(crate) mod usage;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use han_crypto::FieldContext;
use han_transcript::record::{LineRecord, OMITTED_LINE, TimeSource};
use han_types::sync::{BatchError, BatchErrorCode, TranscriptStatus};
use han_types::{PlanRefusal, Scope, Timestamp, TranscriptName, new_row_id};
use sea_orm::{FromQueryResult, Value};

use crate::bulk_insert::{BulkInsert, Column, Update, Writes};
use crate::entities::{MessagePosition, SessionDetails, Stamped};
use crate::keys::TeamKeys;
use crate::line_id::LineId;
use crate::page::MessageCursor;
use crate::prices::Prices;
use crate::queries::deletion;
use crate::queries::plans::NewSession;
use crate::queries::projects;
use crate::queries::purged_sessions::{self, PurgedLines};
use crate::queries::segments::{self, File, NewSegment};
use crate::queries::sessions::{details_context, open_details};
use crate::segments::Entry;
use crate::stored::CountRow;
use crate::{Db, DbError, ScopedTx};

use answers::Answers;
use derive::{Derive, NewLine};
use known::{Comparison, Move, Plan};
use prepare::{BatchLine, BatchRecord, PackedLines, ordinals, pack};
use rederive::Rederived;
use renew::Renew;
use rollup_delta::{RollupDelta, RollupPart, SessionDelta, shard};

pub use prepare::{Batch, Preparer, ReceivedBatch, ReceivedLine};

/// The number of the file `main`, and of `han`: in the order of their names, because both are in one list.
const MAIN: i64 = 1;
const HAN: i64 = 0;

/// The most transcripts of a session: their numbers have 2 bytes.
const MAX_TRANSCRIPTS: i64 = i16::MAX as i64;

/// The most physical lines of a transcript, and entries of a session's log: their numbers have 4 bytes.
pub const MAX_LINES: i64 = i32::MAX as i64;

/// The result of storing a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole batch is stored.
    Stored {
        /// The number of new lines.
        stored: u64,
        /// The number of lines that were already stored.
        duplicates: u64,
        /// The physical line of the batch's first line.
        first_line: u64,
        /// The physical line after the batch's last one.
        next_offset: u64,
    },
    /// Nothing is stored.
    Refused(BatchError),
}

/// Stores a batch of the scope's team. When this returns, it is durable.
///
/// If this fails, nothing is stored, and the same batch may be sent again.
pub async fn store(scope: &Scope, db: &Db, batch: Batch) -> Result<Outcome, DbError> {
    let (batch, prices) = (&batch, &db.prices().await?);
    let attempt = |expects| {
        answers::with_locks(
            scope,
            db,
            "ingest.store",
            batch.session_id.as_str(),
            move |tx, locks| async move {
                let write = Write {
                    tx: &tx,
                    keys: tx.keys()?,
                    expects,
                    batch,
                    now: tx.clock().now().0,
                    arrived_at: batch.arrived_at.unwrap_or_else(|| tx.clock().now()).0,
                    locks: &locks,
                    prices,
                };
                match write.run().await {
                    Ok(outcome) => Ok(Ok(outcome)),
                    Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
                    Err(Stop::Failed(error)) => Err(error),
                }
            },
        )
    };
    let outcome = match attempt(Expects::NewUuids).await {
        Err(error) if error.is_duplicate() => attempt(Expects::KnownUuids).await,
        outcome => outcome,
    };
    match outcome? {
        Ok(outcome) => {
            db.commits().notify();
            Ok(outcome)
        }
        Err(refusal) => Ok(Outcome::Refused(refusal)),
    }
}

/// Why the transaction ends early. Both roll it back.
enum Stop {
    Refused(BatchError),
    Failed(DbError),
}

impl<E: Into<DbError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The columns of a [`SessionRow`].
const SESSION_COLUMNS: &str = "s.number, s.user_id, s.project_id, s.metadata, s.sealed, s.started_at, s.last_activity_at, \
     s.next_ordinal, s.revision, s.purged_at";

/// The columns of a [`TranscriptRow`].
const TRANSCRIPT_COLUMNS: &str =
    "t.number AS file, t.next_offset, t.end_line, t.purged_line, t.last_line_at, t.has_leaves";

/// A session whose row is locked.
struct Locked {
    session: SessionRow,
    /// Whether this transaction has inserted it.
    is_new: bool,
    /// Its file, if that has been read already.
    transcript: Option<TranscriptRow>,
}

/// The rows of a session and of its file.
#[derive(FromQueryResult)]
struct LockedRow {
    #[sea_orm(nested)]
    session: SessionRow,
    #[sea_orm(nested)]
    transcript: TranscriptRow,
}

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    user_id: String,
    project_id: Option<String>,
    metadata: String,
    sealed: bool,
    started_at: Option<i64>,
    last_activity_at: Option<i64>,
    next_ordinal: i64,
    revision: i64,
    purged_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct TranscriptRow {
    file: i16,
    next_offset: i64,
    end_line: i64,
    /// The lines before this one were purged.
    purged_line: i32,
    /// The time of the last line that has one of its own; `None` if none has.
    last_line_at: Option<i64>,
    has_leaves: bool,
}

#[derive(FromQueryResult)]
struct NumberRow {
    number: i16,
}

#[derive(FromQueryResult)]
struct UuidTime {
    uuid: Vec<u8>,
    at: i64,
}

/// A record with the values that are determined in the transaction.
struct Placed<'a> {
    line: &'a BatchLine,
    /// The position of its line among the batch's.
    index: usize,
    record: &'a BatchRecord,
    /// Its position among the records of its line.
    part: i64,
    physical: i64,
    at: i64,
    place: MessagePosition,
    agent_id: Option<&'a str>,
}

/// What a batch changes in the row of its session.
struct SessionChange<'a> {
    details: &'a SessionDetails,
    project_id: Option<&'a str>,
    started_at: Option<i64>,
    last_activity_at: Option<i64>,
    /// New entries of the log, and the ordinals that they take.
    entries: i64,
    ordinals: i64,
    delta: SessionDelta,
}

/// What the transaction expects of a batch. A batch that continues at the end of its file has only new uuids, unless the
/// file repeats one: then the transaction fails, and runs again with a comparison of every line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    NewUuids,
    KnownUuids,
}

struct Write<'a> {
    tx: &'a ScopedTx,
    keys: &'a Arc<TeamKeys>,
    expects: Expects,
    batch: &'a Batch,
    now: i64,
    /// When the batch arrived, or its session, if the batch is imported. Lines without any time get this time.
    arrived_at: i64,
    /// The sessions to lock.
    locks: &'a BTreeSet<String>,
    prices: &'a Prices,
}

impl Write<'_> {
    async fn run(&self) -> Result<Outcome, Stop> {
        let mut answers = Answers::lock(self.tx, self.locks, self.session()).await?;
        let Locked { session, is_new, transcript } = self.lock_session().await?;
        // An import moves sessions that exist.
        let counted = if is_new && self.batch.arrived_at.is_none() {
            Some(NewSession::check(self.tx, self.now).await?.map_err(over_plan)?)
        } else {
            None
        };
        answers.lock_rest(self.tx, self.locks, self.session()).await?;
        let transcript = match transcript {
            Some(transcript) => transcript,
            None => self.lock_transcript(session.number).await?,
        };
        let first_line = self.first_line(&transcript)?;
        let end = first_line.saturating_add(int(self.batch.consumed));
        let last_ordinal = session.next_ordinal + self.ordinals(0..self.batch.lines.len());
        if end > MAX_LINES || last_ordinal > MAX_LINES {
            let message = format!("a transcript, and a session, may have at most {MAX_LINES} lines");
            return Err(refuse(BatchErrorCode::Invalid, &message, None));
        }
        let file = File {
            session_id: self.batch.session_id.clone(),
            transcript: self.batch.transcript.clone(),
            session: session.number,
            number: transcript.file,
        };

        let purged = self.purged(&session, &transcript, first_line).await?;
        let Timed { mut placed, first_at, last_at } =
            self.place(first_line, &transcript, &file, session.started_at).await?;
        placed.retain(|placed| !purged.contains(&placed.index));
        let mut plan = self.plan(&placed, first_line, &transcript, &file).await?;
        plan.entries.retain(|line| !purged.contains(line));
        plan.has_purged = !purged.is_empty();

        let mut details = open_details(self.keys, self.session(), session.sealed, session.metadata.clone())?;
        let known_details = details.clone();
        self.merge_metadata(&mut details);
        let derive = self.derive(&session, &known_details, &answers);
        let dates = self.dates(first_at, &session, &transcript, &file, &plan, &placed).await?;
        // Where messages or the session's origin change, the session is derived again: before, to know what it added to the
        // rollups, and after.
        let origin = details.origin();
        let derives_again =
            plan.revises() || dates.is_some() || (origin != derive.origin && session.next_ordinal > 0);
        let before = if derives_again { Some(derive.rederive().await?.counted) } else { None };
        let derive = Derive { origin, ..derive };
        let mut moved = self.transcript_update(&transcript, first_line, end, last_at, &plan, &file)?;
        // Where lines get other times, the file's last one is written when these are known.
        let with_lines = if dates.is_none() { moved.take() } else { None };
        let ordinals =
            self.append(&placed, &plan, session.next_ordinal, first_line, &file, with_lines).await?;
        let shown =
            plan.messages.iter().map(|(position, _)| position).chain(plan.revisions.iter().map(|(_, at)| at));
        let times: Vec<i64> = shown.map(|position| placed[*position].at).collect();
        // Before the first message, this is the time of the push.
        let known = session.last_activity_at.filter(|_| session.started_at.is_some());
        let mut last_activity_at = times.iter().copied().chain(known).max();
        note_clock(&mut details, &placed, &plan, self.now);
        match &dates {
            None => merge_lines(&mut details, self.transcript(), &placed, &plan),
            Some(dates) => {
                let renewed = self.renew(&session, dates).run(details).await?;
                (details, last_activity_at) = (renewed.details, renewed.last_activity_at);
            }
        }
        if details.project_path.is_none() {
            details.project_path = details.first_cwd.as_ref().map(|stamped| stamped.value.clone());
        }
        let (delta, started_at) = match before {
            None => {
                let new = self.new_lines(&placed, &plan, &ordinals, &file);
                let started_at = times.iter().copied().chain(session.started_at).min();
                (derive.run(&new, session.started_at).await?, started_at)
            }
            Some(before) => {
                let Rederived { mut delta, started_at, .. } = derive.rederive().await?;
                delta.add(-1, &before);
                (delta, started_at)
            }
        };

        let project_id = self.project(&session, &details).await?;
        if let Some(moved) = moved {
            moved.run(self.tx).await?;
        }
        let mut updated = None;
        if !plan.entries.is_empty() || details != known_details || project_id != session.project_id {
            let change = SessionChange {
                details: &details,
                project_id: project_id.as_deref(),
                started_at,
                last_activity_at,
                entries: int(plan.entries.len() as u64),
                ordinals: self.ordinals(plan.entries.iter().copied()),
                delta: delta.session_delta(),
            };
            updated = Some(self.session_update(&session, change)?);
        }
        // Last, because many sessions share these rows and lock them until they commit.
        if let Some(counted) = counted {
            counted.count(self.tx, shard(self.session())).await?.map_err(over_plan)?;
        }
        self.add_delta(&derive, &session, project_id.as_deref(), delta, updated).await?;

        let stored = plan.entries.len() as u64;
        Ok(Outcome::Stored {
            stored,
            duplicates: self.batch.lines.len() as u64 - stored,
            first_line: u64::try_from(first_line).unwrap_or_default(),
            next_offset: u64::try_from(end).unwrap_or_default(),
        })
    }

    fn session(&self) -> &str {
        self.batch.session_id.as_str()
    }

    fn transcript(&self) -> &str {
        self.batch.transcript.as_str()
    }

    /// How many ordinals lines of the batch take, given by their positions.
    fn ordinals(&self, lines: impl Iterator<Item = usize>) -> i64 {
        lines.map(|line| self.batch.lines[line].ordinals()).sum()
    }

    /// Locks the session's row, or inserts it.
    async fn lock_session(&self) -> Result<Locked, Stop> {
        // Nearly always both rows exist: one statement locks them.
        let (row, transcript) = self.locked_with_transcript().await?.unzip();
        let (row, is_new) = match row {
            Some(row) => (Some(row), false),
            None => match self.locked_session().await? {
                Some(row) => (Some(row), false),
                None => {
                    let is_new = self.insert_session().await?;
                    (self.locked_session().await?, is_new)
                }
            },
        };
        let missing = || DbError::RowMissing { table: "sessions", row: self.session().to_owned() };
        let row = row.ok_or_else(missing)?;
        if row.user_id != self.tx.scope().user_id().as_str() {
            return Err(refuse(
                BatchErrorCode::SessionOwned,
                "another member of the team pushed this session id first; only they can add to it",
                None,
            ));
        }
        // Checked after the row is locked, so that a concurrent deletion is visible.
        if row.next_ordinal == 0 && deletion::was_deleted(self.tx, &self.batch.session_id).await? {
            let message = "this session was deleted from the team; it is not stored again";
            return Err(refuse(BatchErrorCode::Gone, message, None));
        }
        Ok(Locked { session: row, is_new, transcript })
    }

    async fn locked_session(&self) -> Result<Option<SessionRow>, DbError> {
        let lock = self.tx.dialect().for_update();
        let sql =
            format!("SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.team = $1 AND s.session_id = $2{lock}");
        self.tx.one(&sql, [self.tx.team(), self.session().into()]).await
    }

    /// Locks the rows of the session and of the file, if both exist. The file's row is locked as well, because PostgreSQL
    /// reads only locked rows again after it has waited.
    async fn locked_with_transcript(&self) -> Result<Option<(SessionRow, TranscriptRow)>, DbError> {
        let lock = self.tx.dialect().for_update();
        let sql = format!(
            "SELECT {SESSION_COLUMNS}, {TRANSCRIPT_COLUMNS} FROM sessions s \
             JOIN transcripts t ON t.team = s.team AND t.session = s.number AND t.name = $3 \
             WHERE s.team = $1 AND s.session_id = $2{lock}"
        );
        let values = [self.tx.team(), self.session().into(), self.transcript().into()];
        let row: Option<LockedRow> = self.tx.one(&sql, values).await?;
        Ok(row.map(|LockedRow { session, transcript }| (session, transcript)))
    }

    /// Another push may insert it at the same time; both then lock the same row. Says whether this one did.
    async fn insert_session(&self) -> Result<bool, DbError> {
        let (metadata, sealed) = self.seal_details(&SessionDetails::default())?;
        let inserted = self
            .tx
            .execute(
                "INSERT INTO sessions (team, session_id, id, user_id, metadata, sealed, last_activity_at, created_at, \
                   synced_at, price_revision) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (team, session_id) DO NOTHING",
                [
                    self.tx.team(),
                    self.session().into(),
                    new_row_id(self.tx.clock(), self.tx.entropy()).into(),
                    self.tx.scope().user_id().as_str().into(),
                    metadata.into(),
                    sealed.into(),
                    self.arrived_at.into(),
                    self.arrived_at.into(),
                    self.now.into(),
                    self.prices.revision.into(),
                ],
            )
            .await?;
        Ok(inserted > 0)
    }

    /// The file's row, which the lock on the session's row protects, or a new one.
    async fn lock_transcript(&self, session: i32) -> Result<TranscriptRow, Stop> {
        let select = &format!(
            "SELECT {TRANSCRIPT_COLUMNS} FROM transcripts t WHERE t.team = $1 AND t.session = $2 AND t.name = $3"
        );
        let key: [Value; 3] = [self.tx.team(), i64::from(session).into(), self.transcript().into()];
        if let Some(row) = self.tx.one(select, key.clone()).await? {
            return Ok(row);
        }
        let number = match self.transcript() {
            TranscriptName::HAN => HAN,
            TranscriptName::MAIN => MAIN,
            _ => self.next_number(session).await?,
        };
        let insert =
            "INSERT INTO transcripts (team, session, name, number, sealed) VALUES ($1, $2, $3, $4, $5)";
        self.tx.execute(insert, key.clone().into_iter().chain([number.into(), false.into()])).await?;
        let row_id = || format!("{}/{}", self.session(), self.transcript());
        let row = self.tx.one(select, key).await?;
        Ok(row.ok_or_else(|| DbError::RowMissing { table: "transcripts", row: row_id() })?)
    }

    /// The number of a subagent's file that is new.
    async fn next_number(&self, session: i32) -> Result<i64, Stop> {
        let sql = "SELECT CAST(COALESCE(MAX(number), 0) AS bigint) AS n FROM transcripts WHERE team = $1 AND session = $2";
        let last = self.tx.one::<CountRow, _>(sql, [self.tx.team(), i64::from(session).into()]).await?;
        let number = last.map_or(0, |row| row.n).max(MAIN) + 1;
        if number > MAX_TRANSCRIPTS {
            let message =
                format!("the session has {MAX_TRANSCRIPTS} transcripts, and no more can be added to it");
            return Err(refuse(BatchErrorCode::Invalid, &message, None));
        }
        Ok(number)
    }

    /// The physical line of the batch's first line.
    fn first_line(&self, transcript: &TranscriptRow) -> Result<i64, Stop> {
        let Some(offset) = self.batch.offset else {
            return Ok(transcript.next_offset);
        };
        let limit = (i64::MAX as u64).saturating_sub(self.batch.consumed);
        if offset > limit || int(offset) > transcript.next_offset {
            let stored = u64::try_from(transcript.next_offset).unwrap_or_default();
            return Err(refuse(
                BatchErrorCode::Gap,
                &format!(
                    "the batch begins at line {offset}, but line {stored} is the next one here; send from line {stored} on"
                ),
                Some(stored),
            ));
        }
        Ok(int(offset))
    }

    /// The positions of lines that were purged: they are not stored again. No uuid and no hash of them is known, but the
    /// time of the last one is. A line at a number that was purged, or without one, is later than that, or it was purged. A
    /// line without a time is what the line before it is.
    async fn purged(
        &self,
        session: &SessionRow,
        transcript: &TranscriptRow,
        first_line: i64,
    ) -> Result<HashSet<usize>, DbError> {
        let mut found = HashSet::new();
        let purged_line = i64::from(transcript.purged_line);
        if session.purged_at.is_none() || purged_line == 0 {
            return Ok(found);
        }
        let Some(PurgedLines { last_activity_at, .. }) =
            purged_sessions::find(self.tx, session.number.into()).await?
        else {
            return Ok(found);
        };
        let mut is_purged = true;
        for (position, line) in self.batch.lines.iter().enumerate() {
            if self.batch.offset.is_some() && first_line + int(line.index) >= purged_line {
                break;
            }
            let at = line.records.iter().filter_map(|record| own_time(&record.record, self.now)).max();
            is_purged = at.map_or(is_purged, |at| at <= last_activity_at);
            if is_purged {
                found.insert(position);
            }
        }
        Ok(found)
    }

    /// Determines the time and the position of each line. A line without a time of its own has that of the line that it
    /// names, else of the line before it in its file, else of the line after it. In a file without any time, lines have the
    /// time of the session's first line, or arrive first.
    async fn place(
        &self,
        first_line: i64,
        transcript: &TranscriptRow,
        file: &File,
        started_at: Option<i64>,
    ) -> Result<Timed<'_>, DbError> {
        let own: Vec<Option<i64>> = self.records().map(|record| own_time(&record.record, self.now)).collect();
        let mut before = if first_line == transcript.next_offset || transcript.last_line_at.is_none() {
            transcript.last_line_at
        } else if own.first().copied().flatten().is_none() {
            self.time_beside(first_line, file).await?
        } else {
            None
        };
        let following = following(&own);
        let untimed = started_at.unwrap_or(self.arrived_at);
        let times = own.iter().zip(following).map(|(own, following)| {
            before = own.or(before);
            before.or(following).unwrap_or(untimed)
        });
        let mut times: Vec<i64> = times.collect();
        self.name_times(&mut times, file).await?;
        let from_agent = self.batch.transcript.agent_id();
        let mut placed = Vec::with_capacity(own.len());
        for (index, line) in self.batch.lines.iter().enumerate() {
            for (part, batch_record) in (0..).zip(&line.records) {
                let record = &batch_record.record;
                placed.push(Placed {
                    line,
                    index,
                    record: batch_record,
                    part,
                    physical: first_line + int(line.index),
                    at: times[placed.len()],
                    place: place(&self.batch.transcript, record),
                    agent_id: record.agent_id.as_deref().or(from_agent),
                });
            }
        }
        Ok(Timed { placed, first_at: own.iter().copied().flatten().min(), last_at: before })
    }

    /// The records of all lines.
    fn records(&self) -> impl Iterator<Item = &BatchRecord> {
        self.batch.lines.iter().flat_map(|line| &line.records)
    }

    /// The time of the message before a line of a file with times, or else of the one that is at or after it. A summary has
    /// the time of another line.
    async fn time_beside(&self, line: i64, file: &File) -> Result<Option<i64>, DbError> {
        for (side, order) in [("line < $4", "line DESC, ordinal DESC"), ("line >= $4", "line, ordinal")] {
            let sql = format!(
                "SELECT uuid, at FROM messages WHERE team = $1 AND session = $2 AND transcript = $3 AND {side} \
                 AND NOT EXISTS (SELECT 1 FROM summary_leaves l WHERE l.team = messages.team \
                   AND l.session = messages.session AND l.transcript = messages.transcript \
                   AND l.ordinal = messages.ordinal) \
                 ORDER BY {order} LIMIT 1"
            );
            let values: [Value; 4] =
                [self.tx.team(), i64::from(file.session).into(), i64::from(file.number).into(), line.into()];
            if let Some(row) = self.tx.one::<UuidTime, _>(&sql, values).await? {
                return Ok(Some(row.at));
            }
        }
        Ok(None)
    }

    /// Gives summaries the times of the lines that they name, from this batch or from the database.
    async fn name_times(&self, times: &mut [i64], file: &File) -> Result<(), DbError> {
        let leaf = |record: &LineRecord| match &record.time {
            TimeSource::Leaf(uuid) => Some(LineId::of(uuid).bytes),
            _ => None,
        };
        let wanted: Vec<(usize, [u8; 16])> = self
            .records()
            .enumerate()
            .filter_map(|(position, record)| Some((position, leaf(&record.record)?)))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut missing: BTreeSet<[u8; 16]> = wanted.iter().map(|(_, leaf)| *leaf).collect();
        let mut found: HashMap<Vec<u8>, i64> = HashMap::new();
        for (BatchRecord { record, id }, at) in self.records().zip(times.iter()) {
            if leaf(record).is_none() && missing.remove(&id.bytes) {
                found.insert(id.bytes.to_vec(), *at);
            }
        }
        if !missing.is_empty() {
            let dialect = self.tx.dialect();
            let sql = format!(
                "SELECT uuid, at FROM messages WHERE team = $1 AND session = $2 AND transcript = $3 AND {}",
                dialect.is_any_bytes("uuid", 4)
            );
            let values = [
                self.tx.team(),
                i64::from(file.session).into(),
                i64::from(file.number).into(),
                dialect.byte_list(&missing),
            ];
            let rows: Vec<UuidTime> = self.tx.all(&sql, values).await?;
            found.extend(rows.into_iter().map(|row| (row.uuid, row.at)));
        }
        for (position, leaf) in wanted {
            if let Some(at) = found.get(&leaf[..]) {
                times[position] = *at;
            }
        }
        Ok(())
    }

    /// Whether lines that were stored before get another time by this batch: it has the first time of a file or of the
    /// session, or a line that a summary names.
    async fn dates(
        &self,
        first_at: Option<i64>,
        session: &SessionRow,
        transcript: &TranscriptRow,
        file: &File,
        plan: &Plan,
        placed: &[Placed<'_>],
    ) -> Result<Option<Dates>, DbError> {
        let key: [Value; 2] = [self.tx.team(), i64::from(session.number).into()];
        if let (Some(first_at), Some(started_at)) = (first_at, session.started_at)
            && (transcript.last_line_at.is_none() || first_at < started_at)
        {
            let sql = "SELECT number FROM transcripts WHERE team = $1 AND session = $2 AND last_line_at IS NULL \
                       AND end_line > 0";
            let untimed: Vec<NumberRow> = self.tx.all(sql, key.clone()).await?;
            if untimed.iter().any(|row| row.number == file.number) {
                return Ok(Some(Dates { untimed: Some((file.number, session.next_ordinal)) }));
            }
            let sql = "SELECT number FROM transcripts WHERE team = $1 AND session = $2 AND last_line_at IS NOT NULL LIMIT 1";
            let is_first = || async { self.tx.one::<NumberRow, _>(sql, key.clone()).await };
            if !untimed.is_empty() && (first_at < started_at || is_first().await?.is_none()) {
                return Ok(Some(Dates { untimed: None }));
            }
        }
        if transcript.has_leaves {
            let new = plan.messages.iter().map(|(_, id)| id.bytes);
            let revised = plan.revisions.iter().map(|(_, position)| placed[*position].record.id.bytes);
            let uuids: BTreeSet<[u8; 16]> = new.chain(revised).collect();
            let dialect = self.tx.dialect();
            let sql = dialect.find_each(
                &[dialect.bytes_from("wanted", 4)],
                "summary_leaves",
                "transcript AS number",
                "team = $1 AND session = $2 AND transcript = $3 AND leaf = wanted.key",
            );
            let values = key.into_iter().chain([i64::from(file.number).into(), dialect.byte_list(&uuids)]);
            if self.tx.one::<NumberRow, _>(&format!("{sql} LIMIT 1"), values).await?.is_some() {
                return Ok(Some(Dates { untimed: None }));
            }
        }
        Ok(None)
    }

    fn renew<'a>(&'a self, session: &SessionRow, dates: &Dates) -> Renew<'a> {
        Renew {
            tx: self.tx,
            keys: self.keys,
            seals: self.batch.seals,
            session_id: self.session(),
            number: session.number,
            untimed: dates.untimed,
            // The batch has taken ordinals that the session's row does not know yet.
            next_ordinal: None,
        }
    }

    /// What becomes of each line.
    async fn plan(
        &self,
        placed: &[Placed<'_>],
        first_line: i64,
        transcript: &TranscriptRow,
        file: &File,
    ) -> Result<Plan, DbError> {
        let has_offset = self.batch.offset.is_some();
        // After a file was truncated, the log holds lines behind its next offset.
        let overlaps = has_offset && first_line < transcript.end_line.max(transcript.next_offset);
        let mut uuids = HashSet::new();
        let lines = self.batch.lines.len();
        let distinct = placed.iter().all(|placed| uuids.insert(placed.record.id.bytes));
        if self.expects == Expects::NewUuids && !overlaps && distinct {
            return Ok(Plan::all_new(lines, placed));
        }
        let end = first_line.saturating_add(int(self.batch.consumed));
        Comparison { tx: self.tx, file, placed, lines, end, has_offset, overlaps }.plan().await
    }

    /// Writes entries of the log and messages, and runs the statement `with`, which reads neither; returns the ordinal of
    /// each stored record, by its position.
    async fn append(
        &self,
        placed: &[Placed<'_>],
        plan: &Plan,
        next_ordinal: i64,
        first_line: i64,
        file: &File,
        with: Option<Update>,
    ) -> Result<HashMap<usize, i64>, DbError> {
        let entries = || plan.entries.iter().map(|line| &self.batch.lines[*line]);
        let of_entries = || ordinals(next_ordinal, entries());
        let of_lines: HashMap<usize, i64> = plan.entries.iter().copied().zip(of_entries()).collect();
        let ordinals: HashMap<usize, i64> = placed
            .iter()
            .enumerate()
            .filter_map(|(position, placed)| Some((position, of_lines.get(&placed.index)? + placed.part)))
            .collect();
        let segments = if plan.entries.len() == self.batch.lines.len() {
            let moved = self.batch.segments.iter().map(|segment| {
                let extent = segment.extent.moved_by(next_ordinal, first_line)?;
                Ok(PackedLines { extent, ..segment.clone() })
            });
            moved.collect::<Result<_, DbError>>()?
        } else {
            pack(entries().zip(of_entries()).map(|(line, ordinal)| Entry {
                ordinal,
                line: first_line + int(line.index),
                text: line.text.as_bytes(),
            }))?
        };
        // Of lines, by their positions.
        let mut times: HashMap<usize, (i64, i64)> = HashMap::new();
        for placed in placed {
            let (first, last) = times.entry(placed.index).or_insert((placed.at, placed.at));
            (*first, *last) = ((*first).min(placed.at), (*last).max(placed.at));
        }
        let new = segments.into_iter().map(|segment| {
            let times = plan.entries[segment.lines].iter().filter_map(|line| times.get(line));
            NewSegment {
                extent: segment.extent,
                first_at: times.clone().map(|(first, _)| *first).min().unwrap_or_default(),
                last_at: times.map(|(_, last)| *last).max().unwrap_or_default(),
                content: segment.content,
            }
        });
        let sealed = segments::seal(self.keys, self.tx.entropy(), self.batch.seals, file, new.collect())?;
        for ordinal in &plan.filled {
            let sql = "DELETE FROM messages WHERE team = $1 AND session = $2 AND ordinal = $3";
            self.tx.execute(sql, [self.tx.team(), i64::from(file.session).into(), (*ordinal).into()]).await?;
        }
        let mut inserts = self.tx.segments()?.inserts(file, sealed);
        // The last segments of a large batch; all of another.
        let last = inserts.split_off(inserts.len().saturating_sub(1));
        for insert in inserts {
            insert.run(self.tx).await?;
        }
        let messages = self.messages_insert(placed, plan, &ordinals, file);
        let inserts = last.into_iter().chain([messages]).collect();
        Writes { update: with, inserts }.run(self.tx).await?;
        for (known, position) in &plan.revisions {
            self.revise(*known, ordinals[position], &placed[*position], file).await?;
        }
        self.move_messages(&plan.moves, file).await?;
        Ok(ordinals)
    }

    fn messages_insert<'p>(
        &self,
        placed: &'p [Placed<'p>],
        plan: &'p Plan,
        ordinals: &HashMap<usize, i64>,
        file: &File,
    ) -> BulkInsert<'p> {
        let rows: Vec<(i64, &'p Placed<'p>, &'p LineId)> =
            plan.messages.iter().map(|(position, id)| (ordinals[position], &placed[*position], id)).collect();
        let ints = |value: &dyn Fn(i64, &Placed<'_>) -> i64| -> Vec<i64> {
            rows.iter().map(|(ordinal, placed, _)| value(*ordinal, placed)).collect()
        };
        let texts = |value: fn(&'p Placed<'p>) -> Option<&'p str>| -> Vec<Option<&'p str>> {
            rows.iter().map(|(_, placed, _)| value(placed)).collect()
        };
        BulkInsert {
            table: "messages",
            constants: vec![
                ("team", self.tx.team()),
                ("session", i64::from(file.session).into()),
                ("transcript", i64::from(file.number).into()),
            ],
            columns: vec![
                Column::Int("ordinal", ints(&|ordinal, _| ordinal)),
                Column::Int("line", ints(&|_, placed| placed.physical)),
                Column::Int("part", ints(&|_, placed| placed.part)),
                Column::Key("uuid", rows.iter().map(|(_, _, id)| id.bytes).collect()),
                Column::NullableStr("uuid_text", rows.iter().map(|(_, _, id)| id.text.as_deref()).collect()),
                Column::Int("at", ints(&|_, placed| placed.at)),
                Column::Int("place", ints(&|_, placed| placed.place.code())),
                Column::Int("kind", ints(&|_, placed| placed.record.record.kind.code().into())),
                Column::Int("bytes", ints(&|_, placed| int(placed.line.text.len() as u64))),
                Column::NullableStr("agent_id", texts(|placed| placed.agent_id)),
                Column::NullableStr("tool_name", texts(|placed| placed.record.record.tool_name.as_deref())),
                Column::NullableStr("model", texts(|placed| placed.record.record.model.as_deref())),
            ],
            on_conflict: "",
            returning: "",
        }
    }

    /// Lets the message with the ordinal `known` point to another entry.
    async fn revise(
        &self,
        known: i64,
        ordinal: i64,
        placed: &Placed<'_>,
        file: &File,
    ) -> Result<(), DbError> {
        let record = &placed.record.record;
        let sql = "UPDATE messages SET ordinal = $4, line = $5, at = $6, place = $7, kind = $8, bytes = $9, agent_id = $10, \
                   tool_name = $11, model = $12, part = $13 WHERE team = $1 AND session = $2 AND ordinal = $3";
        let values = [
            self.tx.team(),
            i64::from(file.session).into(),
            known.into(),
            ordinal.into(),
            placed.physical.into(),
            placed.at.into(),
            placed.place.code().into(),
            i64::from(record.kind.code()).into(),
            int(placed.line.text.len() as u64).into(),
            placed.agent_id.into(),
            record.tool_name.clone().into(),
            record.model.clone().into(),
            placed.part.into(),
        ];
        self.tx.execute(sql, values).await?;
        Ok(())
    }

    /// Gives messages, and what is derived from them, the numbers of the lines that they are at now.
    async fn move_messages(&self, moves: &[Move], file: &File) -> Result<(), DbError> {
        if moves.is_empty() {
            return Ok(());
        }
        let rows = moves.iter().map(|moved| [moved.ordinal, moved.from, moved.to]);
        let (wanted, rows) =
            self.tx.dialect().number_rows(3, ["moved_ordinal", "from_line", "to_line"], rows);
        let session = [self.tx.team(), i64::from(file.session).into()];
        for table in ["messages", "file_changes", "hook_executions", "sentiments", "task_events"] {
            let sql = format!(
                "UPDATE {table} SET line = to_line FROM {wanted} WHERE team = $1 AND session = $2 \
                 AND ordinal = moved_ordinal"
            );
            self.tx.execute(&sql, session.clone().into_iter().chain(rows.clone())).await?;
        }
        // The line that wrote the list has no ordinal here.
        let name = 3 + rows.len();
        let sql = format!(
            "UPDATE todos SET line = to_line FROM {wanted} WHERE team = $1 AND session = $2 AND line = from_line \
             AND transcript = ${name}"
        );
        let name: Value = self.transcript().into();
        self.tx.execute(&sql, session.into_iter().chain(rows).chain([name])).await?;
        Ok(())
    }

    /// The lines that are new messages, for what is derived from them.
    fn new_lines<'p>(
        &'p self,
        placed: &'p [Placed<'_>],
        plan: &Plan,
        ordinals: &HashMap<usize, i64>,
        file: &File,
    ) -> Vec<NewLine<'p>> {
        let mut damaged = HashSet::new();
        let line = |(position, _): &(usize, LineId)| {
            let placed = &placed[*position];
            NewLine {
                record: &placed.record.record,
                ordinal: ordinals[position],
                transcript: self.transcript(),
                transcript_number: file.number.into(),
                line: placed.physical,
                at: placed.at,
                place: placed.place,
                // A line counts once.
                damaged: placed.line.damaged && damaged.insert(placed.index),
            }
        };
        plan.messages.iter().map(line).collect()
    }

    fn merge_metadata(&self, details: &mut SessionDetails) {
        let given = &self.batch.metadata;
        let put = |slot: &mut Option<String>, value: &Option<String>| {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                *slot = Some(value.clone());
            }
        };
        put(&mut details.agent, &given.agent);
        put(&mut details.project_path, &given.project_path);
        put(&mut details.main_worktree, &given.main_worktree);
        put(&mut details.git_remote, &given.git_remote);
        put(&mut details.pushed_branch, &given.git_branch);
        let time =
            |text: &Option<String>| text.as_deref().and_then(Timestamp::parse_rfc3339).map(|time| time.0);
        details.ended_at = time(&given.ended_at).or(details.ended_at);
        // The earliest one: an agent may replace the file, and a copy on another machine is younger.
        details.file_created_at =
            [time(&given.file_created_at), details.file_created_at].into_iter().flatten().min();
        details.fork_depth = given.fork_depth.or(details.fork_depth);
    }

    /// The session's project: from the path in the metadata, otherwise from the first path in a line. A session changes its
    /// project only in a rebuild.
    async fn project(
        &self,
        session: &SessionRow,
        details: &SessionDetails,
    ) -> Result<Option<String>, DbError> {
        if session.project_id.is_some() {
            return Ok(session.project_id.clone());
        }
        projects::of_session(self.tx, self.keys, self.batch.seals, details).await
    }

    /// The statement that moves the file's offset to the end of the batch.
    fn transcript_update(
        &self,
        transcript: &TranscriptRow,
        first_line: i64,
        end: i64,
        last_at: Option<i64>,
        plan: &Plan,
        file: &File,
    ) -> Result<Option<Update>, DbError> {
        // A batch of known lines is a retry and does not move the offset back, nor does one that only fills omitted
        // lines. Any other batch with new lines at an earlier offset is from a rewritten file: the file continues there. So
        // does one with purged lines, which look like those of a rewritten file: else a client that finds another last line
        // here would send its file again with every push.
        let moves =
            end > transcript.next_offset || (!plan.entries.is_empty() && !plan.only_fills) || plan.has_purged;
        let mut values: Vec<Value> =
            vec![self.tx.team(), i64::from(file.session).into(), i64::from(file.number).into()];
        if !moves || first_line == end {
            let (None, Some(at)) = (transcript.last_line_at, last_at) else { return Ok(None) };
            let sql =
                "UPDATE transcripts SET last_line_at = $4 WHERE team = $1 AND session = $2 AND number = $3";
            values.push(at.into());
            return Ok(Some(Update { sql: sql.into(), values }));
        }
        let row_id = format!("{}/{}", self.session(), self.transcript());
        let (hash, sealed) = match &self.batch.last_line_hash {
            Some(hash) => {
                let (stored, sealed) =
                    self.keys.seal(self.batch.seals, hash_context(&row_id), hash, self.tx.entropy())?;
                (Some(stored), sealed)
            }
            None => (None, false),
        };
        values.extend([
            end.into(),
            end.max(transcript.end_line).into(),
            hash.into(),
            sealed.into(),
            last_at.into(),
        ]);
        let sql = "UPDATE transcripts SET next_offset = $4, end_line = $5, last_line_hash = $6, sealed = $7, \
                     last_line_at = $8 WHERE team = $1 AND session = $2 AND number = $3";
        Ok(Some(Update { sql: sql.into(), values }))
    }

    fn seal_details(&self, details: &SessionDetails) -> Result<(String, bool), DbError> {
        let json = serde_json::json!(details).to_string();
        Ok(self.keys.seal(self.batch.seals, details_context(self.session()), &json, self.tx.entropy())?)
    }

    /// The statement that changes the session's row, which notifies its subscribers.
    fn session_update(&self, session: &SessionRow, change: SessionChange<'_>) -> Result<Update, DbError> {
        let (metadata, sealed) = self.seal_details(change.details)?;
        let delta = SessionDelta { lines: change.entries, ..change.delta };
        let sql = format!(
            "UPDATE sessions SET metadata = $3, sealed = $4, project_id = $5, started_at = $6, \
               last_activity_at = COALESCE($7, last_activity_at), next_ordinal = next_ordinal + $8, revision = $9, \
               synced_at = $10, price_revision = CASE WHEN price_revision > $11 THEN $11 ELSE price_revision END, {} \
             WHERE team = $1 AND number = $2",
            SessionDelta::add_sql(12)
        );
        let mut values: Vec<Value> = vec![
            self.tx.team(),
            i64::from(session.number).into(),
            metadata.into(),
            sealed.into(),
            change.project_id.into(),
            change.started_at.into(),
            change.last_activity_at.into(),
            change.ordinals.into(),
            (session.revision + 1).into(),
            self.now.into(),
            self.prices.revision.into(),
        ];
        values.extend(delta.values());
        Ok(Update { sql: sql.into(), values })
    }

    fn derive<'a>(
        &'a self,
        session: &SessionRow,
        details: &SessionDetails,
        answers: &'a Answers,
    ) -> Derive<'a> {
        Derive {
            tx: self.tx,
            keys: self.keys,
            seals: self.batch.seals,
            session: self.session(),
            number: session.number.into(),
            origin: details.origin(),
            answers,
            prices: self.prices,
        }
    }

    /// Adds the delta to the rollups of the session's project, and what changed for other sessions to theirs. If the
    /// project was unknown before this batch, everything that was counted without a project moves to it. Runs the statement
    /// `with` along with it.
    async fn add_delta(
        &self,
        derive: &Derive<'_>,
        session: &SessionRow,
        project_id: Option<&str>,
        delta: RollupDelta,
        with: Option<Update>,
    ) -> Result<(), DbError> {
        let part = |project: &str, delta| RollupPart {
            user_id: self.tx.scope().user_id().to_string(),
            session_id: self.session().to_owned(),
            project_id: project.to_owned(),
            delta,
        };
        let moves = project_id.is_some() && session.project_id.is_none() && session.started_at.is_some();
        let parts = if moves {
            let whole = derive.rederive().await?;
            let mut left = delta;
            left.add(-1, &whole.counted);
            vec![part("", left), part(project_id.unwrap_or_default(), whole.delta)]
        } else {
            vec![part(project_id.unwrap_or_default(), delta)]
        };
        derive.answers.write_rollups(self.tx, parts, with).await
    }
}

/// Refuses the batch, which rolls its transaction back.
fn refuse(code: BatchErrorCode, message: &str, offset: Option<u64>) -> Stop {
    Stop::Refused(BatchError { code, message: message.to_owned(), offset })
}

/// Refuses the batch of a session that the plan does not allow.
fn over_plan(refusal: PlanRefusal) -> Stop {
    refuse(BatchErrorCode::PlanLimit, &refusal.to_string(), None)
}

/// A count as a signed integer. No count here comes near the limit.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The context of a transcript's sealed column.
fn hash_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "transcripts", row_id, column: "last_line_hash" }
}

/// The records of a batch with their times.
struct Timed<'a> {
    placed: Vec<Placed<'a>>,
    /// The earliest time that a record has of its own.
    first_at: Option<i64>,
    /// The time of the last record that has one of its own, of those of the file so far.
    last_at: Option<i64>,
}

/// Which lines get another time than they were stored with.
struct Dates {
    /// A file that has no time so far, and the ordinal after its last line.
    untimed: Option<(i16, i64)>,
}

/// The time that a record has of its own. A time in the future is none: it comes from a wrong clock, and would put the
/// session before all others for as long as the clock was wrong.
fn own_time(record: &LineRecord, now: i64) -> Option<i64> {
    match record.time {
        TimeSource::Own(at) => Some(at.0).filter(|at| !is_future(*at, now)),
        _ => None,
    }
}

/// How far the clock of a developer's machine may be ahead of the server's: five minutes.
const CLOCK_TOLERANCE_MS: i64 = 5 * 60 * 1000;

fn is_future(at: i64, now: i64) -> bool {
    at > now.saturating_add(CLOCK_TOLERANCE_MS)
}

/// For each time, the next one that is known.
fn following(times: &[Option<i64>]) -> Vec<Option<i64>> {
    let mut next = None;
    let mut following: Vec<Option<i64>> = times
        .iter()
        .rev()
        .map(|time| {
            let after = next;
            next = time.or(next);
            after
        })
        .collect();
    following.reverse();
    following
}

/// Where a record of a file is listed.
fn place(transcript: &TranscriptName, record: &LineRecord) -> MessagePosition {
    let listed = transcript.is_listed() && !record.is_sidechain;
    match (record.nests, listed, record.is_progress) {
        (true, ..) => MessagePosition::Nested,
        (_, true, false) => MessagePosition::List,
        (_, true, true) => MessagePosition::Progress,
        (_, false, false) => MessagePosition::Subagent,
        (_, false, true) => MessagePosition::SubagentProgress,
    }
}

/// The records that are stored. Repeats of a line count, too: a title that is set, replaced, and set again is the last one.
fn stored_records<'p, 'a>(placed: &'p [Placed<'a>], plan: &Plan) -> impl Iterator<Item = &'p Placed<'a>> {
    let stored: HashSet<usize> = plan.entries.iter().copied().collect();
    placed.iter().filter(move |placed| stored.contains(&placed.index))
}

/// Adds how far lines were dated ahead.
fn note_clock(details: &mut SessionDetails, placed: &[Placed<'_>], plan: &Plan, now: i64) {
    for placed in stored_records(placed, plan) {
        if let TimeSource::Own(at) = placed.record.record.time
            && is_future(at.0, now)
        {
            details.clock_ahead_ms = details.clock_ahead_ms.max(Some(at.0 - now));
        }
    }
}

fn merge_lines(details: &mut SessionDetails, transcript: &str, placed: &[Placed<'_>], plan: &Plan) {
    for placed in stored_records(placed, plan) {
        let at = MessageCursor {
            at: placed.at,
            transcript: transcript.to_owned(),
            line: placed.physical,
            part: placed.part,
            uuid: String::new(),
        };
        merge_record(details, &at, placed.place, &placed.record.record);
    }
}

/// Adds what a record says about its session.
fn merge_record(
    details: &mut SessionDetails,
    at: &MessageCursor,
    place: MessagePosition,
    record: &LineRecord,
) {
    // A subagent's lines describe its own task, not the session.
    if place == MessagePosition::Subagent || place == MessagePosition::SubagentProgress {
        return;
    }
    if let Some(summary) = &record.summary {
        details.offer_summary(at, summary.clone());
    }
    if let Some(title) = &record.title {
        details.offer_title(at, title.clone());
    }
    let last = |slot: &mut Option<Stamped<String>>, value: &Option<String>| {
        if let Some(value) = value {
            Stamped::keep_last(slot, Stamped::new(at, value.clone()));
        }
    };
    last(&mut details.git_branch, &record.git_branch);
    last(&mut details.version, &record.version);
    last(&mut details.slug, &record.slug);
    last(&mut details.team_name, &record.team_name);
    last(&mut details.worktree, &record.worktree);
    if let Some(pr) = &record.pull_request {
        let value = (Some(pr.number), pr.url.clone());
        Stamped::keep_last(&mut details.pull_request, Stamped::new(at, value));
    }
    if let Some(cwd) = &record.cwd {
        Stamped::keep_first(&mut details.first_cwd, Stamped::new(at, cwd.clone()));
    }
}

#[derive(FromQueryResult)]
struct StatusRow {
    session_id: String,
    transcript: String,
    next_offset: i64,
    last_line_hash: Option<String>,
    sealed: bool,
}

/// The next offset, the last line, and the omitted lines of each transcript that the user pushed.
///
/// # Errors
/// If a hash cannot be opened.
pub async fn status(scope: &Scope, db: &Db) -> Result<Vec<TranscriptStatus>, DbError> {
    let tx = db.read(scope, "ingest.status").await?;
    let rows: Vec<StatusRow> = tx
        .all(
            "SELECT s.session_id, t.name AS transcript, t.next_offset, t.last_line_hash, t.sealed \
             FROM transcripts t JOIN sessions s ON s.team = t.team AND s.number = t.session \
             WHERE t.team = $1 AND s.user_id = $2 ORDER BY s.session_id, t.name",
            [tx.team(), scope.user_id().as_str().into()],
        )
        .await?;
    let stored = rows.iter().map(|row| (row.sealed, row.last_line_hash.as_deref().unwrap_or_default()));
    let keys = tx.keys_for(stored).await?;
    let mut omitted = omitted(&tx).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = format!("{}/{}", row.session_id, row.transcript);
            let hash = row.last_line_hash.map(|hash| keys.open(row.sealed, hash_context(&row_id), hash));
            Ok(TranscriptStatus {
                omitted: omitted
                    .remove(&(row.session_id.clone(), row.transcript.clone()))
                    .unwrap_or_default(),
                session_id: row.session_id,
                transcript: row.transcript,
                offset: u64::try_from(row.next_offset).unwrap_or_default(),
                last_line_hash: hash.transpose()?,
            })
        })
        .collect()
}

#[derive(FromQueryResult)]
struct OmittedRow {
    session_id: String,
    transcript: String,
    line: i32,
}

/// The lines that the user omitted, in order, by session and transcript.
async fn omitted(tx: &ScopedTx) -> Result<HashMap<(String, String), Vec<u64>>, DbError> {
    // A literal, because a partial index is used only for a condition that is known before the values of parameters.
    let sql = format!(
        "SELECT s.session_id, t.name AS transcript, m.line FROM messages m \
         JOIN sessions s ON s.team = m.team AND s.number = m.session \
         JOIN transcripts t ON t.team = m.team AND t.session = m.session AND t.number = m.transcript \
         WHERE m.team = $1 AND m.tool_name = '{OMITTED_LINE}' AND s.user_id = $2 \
         ORDER BY m.session, m.transcript, m.line"
    );
    let rows: Vec<OmittedRow> = tx.all(&sql, [tx.team(), tx.scope().user_id().as_str().into()]).await?;
    let mut omitted: HashMap<(String, String), Vec<u64>> = HashMap::new();
    for row in rows {
        let lines = omitted.entry((row.session_id, row.transcript)).or_default();
        lines.push(u64::try_from(row.line).unwrap_or_default());
    }
    Ok(omitted)
}
