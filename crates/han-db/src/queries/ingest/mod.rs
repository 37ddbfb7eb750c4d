//! Ingest: stores a batch of one transcript file of one session in one transaction. Only this module projects and seals
//! lines.
//!
//! The transaction locks the session's row first, so batches of one session are serialized across processes. It then
//! appends the lines. A conflict on the primary key, not a read, identifies lines that are already stored. Only new
//! lines count in totals, rollups and change events, so a batch that is sent twice changes nothing.
//!
//! `prepare` projects and seals lines before the transaction. `derive` (with `tasks` and `usage`) writes the data
//! derived from lines, `rollup_delta` what they add to rollups, and `rederive` repeats both from stored lines.

pub(crate) mod derive;
pub(crate) mod prepare;
pub(crate) mod rederive;
pub(crate) mod rollup_delta;
pub(crate) mod tasks;
mod usage;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use han_crypto::FieldContext;
use han_transcript::record::{LineRecord, TimeSource};
use han_types::sync::{BatchError, BatchErrorCode, TranscriptStatus};
use han_types::{Scope, Timestamp, new_row_id};
use sea_orm::{FromQueryResult, QueryResult};

use crate::bulk_insert::{BulkInsert, Column};
use crate::entities::{MessagePosition, ProjectDetails, RepoDetails, SessionDetails, Stamped};
use crate::keys::TeamKeys;
use crate::page::MessageCursor;
use crate::queries::projects::{project_context, repo_context};
use crate::queries::sessions::{details_context, open_details};
use crate::{Db, DbError, ScopedTx};

use derive::{Derive, NewLine};
use prepare::BatchLine;
use rollup_delta::{RollupDelta, RollupKey};

pub use prepare::{Batch, Preparer, ReceivedBatch, ReceivedLine};

/// The maximum bytes of lines in one statement; a longer line has its own statement. A batch keeps each line in memory
/// once, sealed. The copies that the driver makes of it live as long as the statement, so this bounds them.
const STATEMENT_BYTES: usize = 1 << 20;

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
    let batch = &batch;
    let attempt = |expects| {
        db.write_or_refuse(scope, "ingest.store", move |tx| async move {
            let write = Write { tx: &tx, keys: tx.keys()?, expects, batch, now: tx.clock().now().0 };
            match write.run().await {
                Ok(outcome) => Ok(Ok(outcome)),
                Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
                Err(Stop::Failed(error)) => Err(error),
            }
        })
    };
    let outcome = match attempt(Expects::NewLines).await {
        Err(error) if error.is_duplicate() => attempt(Expects::Duplicates).await,
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

#[derive(FromQueryResult)]
struct SessionRow {
    user_id: String,
    project_id: Option<String>,
    metadata: String,
    sealed: bool,
    started_at: Option<i64>,
    last_activity_at: Option<i64>,
    next_ordinal: i64,
    revision: i64,
}

#[derive(FromQueryResult)]
struct TranscriptRow {
    next_offset: i64,
    last_line_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Uuid {
    uuid: String,
}

#[derive(FromQueryResult)]
struct UuidTime {
    uuid: String,
    at: i64,
}

/// A line with the values that are determined in the transaction.
struct Placed<'a> {
    line: &'a BatchLine,
    physical: i64,
    at: i64,
    place: MessagePosition,
    agent_id: Option<String>,
}

impl Placed<'_> {
    fn new_line<'a>(&'a self, transcript: &'a str) -> NewLine<'a> {
        NewLine { record: &self.line.record, transcript, line: self.physical, at: self.at, place: self.place }
    }
}

/// What the transaction expects of a batch. A batch that continues at the end of its file has only new lines, unless
/// the file repeats a line: then the transaction fails, and runs again with a check of every line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    NewLines,
    Duplicates,
}

struct Write<'a> {
    tx: &'a ScopedTx,
    keys: &'a Arc<TeamKeys>,
    expects: Expects,
    batch: &'a Batch,
    now: i64,
}

impl Write<'_> {
    async fn run(&self) -> Result<Outcome, Stop> {
        let session = self.lock_session().await?;
        let transcript = self.lock_transcript().await?;
        let first_line = self.first_line(&transcript)?;
        let end = first_line + int(self.batch.consumed);

        let (placed, last_at) = self.place(first_line, &transcript).await?;
        let goes_on = self.batch.offset.is_some() && first_line == transcript.next_offset;
        let all_new = goes_on && self.expects == Expects::NewLines;
        let stored = self.insert_messages(&placed, session.next_ordinal, all_new).await?;
        let new: Vec<&Placed<'_>> =
            placed.iter().zip(&stored).filter(|(_, stored)| **stored).map(|(line, _)| line).collect();

        let mut details = open_details(self.keys, self.session(), session.sealed, session.metadata.clone())?;
        let before = details.clone();
        self.merge_metadata(&mut details);
        merge_lines(&mut details, &new);
        let project_id = self.project(&session, &details).await?;
        let derive = self.derive();
        let lines: Vec<NewLine<'_>> = new.iter().map(|placed| placed.new_line(self.transcript())).collect();
        let delta = derive.run(&lines, session.started_at).await?;
        self.update_transcript(&transcript, first_line, end, last_at, !new.is_empty()).await?;
        let changed = !new.is_empty() || details != before || project_id != session.project_id;
        if changed {
            self.update_session(&session, &details, project_id.as_deref(), &new, placed.len(), &delta)
                .await?;
        }
        // Last, because many sessions share these rows and lock them until they commit.
        self.add_delta(&derive, &session, project_id.as_deref(), delta).await?;

        let stored = new.len() as u64;
        Ok(Outcome::Stored {
            stored,
            duplicates: placed.len() as u64 - stored,
            first_line: u64::try_from(first_line).unwrap_or_default(),
            next_offset: u64::try_from(end).unwrap_or_default(),
        })
    }

    fn team(&self) -> &str {
        self.tx.team_id().as_str()
    }

    fn session(&self) -> &str {
        self.batch.session_id.as_str()
    }

    fn transcript(&self) -> &str {
        self.batch.transcript.as_str()
    }

    /// Inserts the session's row, or locks it.
    async fn lock_session(&self) -> Result<SessionRow, Stop> {
        let empty = self.seal_details(&SessionDetails::default())?;
        let row = self
            .tx
            .one::<SessionRow, _>(
                "INSERT INTO sessions (team_id, session_id, id, user_id, metadata, sealed, last_activity_at, \
                   created_at, synced_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                 ON CONFLICT (team_id, session_id) DO UPDATE SET synced_at = excluded.synced_at \
                 RETURNING user_id, project_id, metadata, sealed, started_at, last_activity_at, next_ordinal, revision",
                [
                    self.team().into(),
                    self.session().into(),
                    new_row_id(self.tx.clock(), self.tx.entropy()).into(),
                    self.tx.scope().user_id().as_str().into(),
                    empty.0.into(),
                    empty.1.into(),
                    self.now.into(),
                    self.now.into(),
                    self.now.into(),
                ],
            )
            .await?
            .ok_or_else(|| DbError::RowMissing { table: "sessions", row: self.session().to_owned() })?;
        if row.user_id != self.tx.scope().user_id().as_str() {
            return Err(refuse(
                BatchErrorCode::SessionOwned,
                "another member of the team pushed this session id first; only they can add to it",
                None,
            ));
        }
        // Checked after the row is locked, so that a concurrent deletion is visible.
        if row.next_ordinal == 0 && self.was_deleted().await? {
            let message = "this session was deleted from the team; it is not stored again";
            return Err(refuse(BatchErrorCode::Gone, message, None));
        }
        Ok(row)
    }

    async fn was_deleted(&self) -> Result<bool, DbError> {
        let sql = "SELECT session_id FROM deleted_sessions WHERE team_id = $1 AND session_id = $2";
        Ok(!self.tx.rows(sql, [self.team().into(), self.session().into()]).await?.is_empty())
    }

    async fn lock_transcript(&self) -> Result<TranscriptRow, DbError> {
        let row = self
            .tx
            .one::<TranscriptRow, _>(
                "INSERT INTO transcripts (team_id, session_id, transcript, next_offset, sealed) \
                 VALUES ($1, $2, $3, 0, $4) \
                 ON CONFLICT (team_id, session_id, transcript) DO UPDATE SET next_offset = transcripts.next_offset \
                 RETURNING next_offset, last_line_at",
                [self.team().into(), self.session().into(), self.transcript().into(), false.into()],
            )
            .await?;
        let row_id = || format!("{}/{}", self.session(), self.transcript());
        row.ok_or_else(|| DbError::RowMissing { table: "transcripts", row: row_id() })
    }

    /// The physical line of the batch's first line.
    fn first_line(&self, transcript: &TranscriptRow) -> Result<i64, Stop> {
        let Some(offset) = self.batch.offset else {
            return Ok(transcript.next_offset);
        };
        let limit = i64::MAX as u64 - self.batch.consumed;
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

    /// Determines the time and the position of each line; also returns the time of the last one.
    async fn place(
        &self,
        first_line: i64,
        transcript: &TranscriptRow,
    ) -> Result<(Vec<Placed<'_>>, Option<i64>), DbError> {
        let leaves = self.leaves().await?;
        // A batch that repeats lines does not follow the last stored line.
        let mut before = transcript.last_line_at.filter(|_| first_line == transcript.next_offset);
        // Lines before the first one with a time get that time. If no line has a time, they get the time of arrival.
        let ahead = self.batch.lines.iter().find_map(|line| match line.record.time {
            TimeSource::Own(at) => Some(at.0),
            _ => None,
        });
        let untimed = ahead.unwrap_or(self.now);
        let from_agent = self.transcript().strip_prefix("agent-");
        let mut placed = Vec::with_capacity(self.batch.lines.len());
        for line in &self.batch.lines {
            let record = &line.record;
            let at = match &record.time {
                TimeSource::Own(at) => at.0,
                TimeSource::Leaf(uuid) => leaves.get(uuid.as_str()).copied().or(before).unwrap_or(untimed),
                TimeSource::LineBefore => before.unwrap_or(untimed),
            };
            before = Some(at);
            let agent_id = record.agent_id.clone().or_else(|| from_agent.map(str::to_owned));
            let listed = self.batch.transcript.is_listed() && !record.is_sidechain;
            let place = match (record.nests, listed, record.is_progress) {
                (true, ..) => MessagePosition::Nested,
                (_, true, false) => MessagePosition::List,
                (_, true, true) => MessagePosition::Progress,
                (_, false, false) => MessagePosition::Subagent,
                (_, false, true) => MessagePosition::SubagentProgress,
            };
            placed.push(Placed { line, physical: first_line + int(line.index), at, place, agent_id });
        }
        Ok((placed, before))
    }

    /// The times of the lines that summaries name as their leaves, from this batch or from the database.
    async fn leaves(&self) -> Result<HashMap<String, i64>, DbError> {
        let mut wanted: HashSet<&str> = self
            .batch
            .lines
            .iter()
            .filter_map(|line| match &line.record.time {
                TimeSource::Leaf(uuid) => Some(uuid.as_str()),
                _ => None,
            })
            .collect();
        let mut found = HashMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        for line in &self.batch.lines {
            if let TimeSource::Own(at) = line.record.time
                && wanted.remove(line.record.uuid.as_str())
            {
                found.insert(line.record.uuid.clone(), at.0);
            }
        }
        if !wanted.is_empty() {
            let dialect = self.tx.dialect();
            let sql = format!(
                "SELECT uuid, at FROM messages WHERE team_id = $1 AND session_id = $2 AND transcript = $3 AND {}",
                dialect.is_any("uuid", 4)
            );
            let values =
                [self.team().into(), self.session().into(), self.transcript().into(), dialect.list(wanted)];
            let rows: Vec<UuidTime> = self.tx.all(&sql, values).await?;
            found.extend(rows.into_iter().map(|row| (row.uuid, row.at)));
        }
        Ok(found)
    }

    /// Appends the lines; returns for each whether it is new. With `all_new`, a line that is not new is an error
    /// ([`DbError::is_duplicate`]).
    async fn insert_messages(
        &self,
        placed: &[Placed<'_>],
        next_ordinal: i64,
        all_new: bool,
    ) -> Result<Vec<bool>, DbError> {
        // A statement must not contain a key twice; of identical lines, the first counts.
        let mut seen = HashSet::new();
        let once: Vec<bool> = placed.iter().map(|p| seen.insert(p.line.record.uuid.as_str())).collect();
        let rows: Vec<(i64, &Placed<'_>)> = (next_ordinal..)
            .zip(placed.iter().zip(&once).filter(|(_, once)| **once).map(|(placed, _)| placed))
            .collect();
        let mut new = HashSet::new();
        for rows in statements(&rows) {
            for row in self.insert_rows(rows, all_new).await? {
                new.insert(Uuid::from_query_result(&row, "")?.uuid);
            }
        }
        if all_new {
            return Ok(once);
        }
        Ok(placed.iter().zip(once).map(|(p, once)| once && new.contains(&p.line.record.uuid)).collect())
    }

    /// Runs one statement; returns the uuids of the new rows, unless all must be new.
    async fn insert_rows(
        &self,
        rows: &[(i64, &Placed<'_>)],
        all_new: bool,
    ) -> Result<Vec<QueryResult>, DbError> {
        let texts = |value: &dyn Fn(&LineRecord) -> String| -> Vec<String> {
            rows.iter().map(|(_, p)| value(&p.line.record)).collect()
        };
        let nullable = |value: &dyn Fn(&LineRecord) -> Option<String>| -> Vec<Option<String>> {
            rows.iter().map(|(_, p)| value(&p.line.record)).collect()
        };
        let ints = |value: &dyn Fn(i64, &Placed<'_>) -> i64| -> Vec<i64> {
            rows.iter().map(|(ordinal, p)| value(*ordinal, p)).collect()
        };
        let insert = BulkInsert {
            table: "messages",
            constants: vec![
                ("team_id", self.team().into()),
                ("session_id", self.session().into()),
                ("transcript", self.transcript().into()),
            ],
            columns: vec![
                Column::Text("uuid", texts(&|r| r.uuid.clone())),
                Column::Int("ordinal", ints(&|ordinal, _| ordinal)),
                Column::Int("line", ints(&|_, p| p.physical)),
                Column::Int("at", ints(&|_, p| p.at)),
                Column::Int("place", ints(&|_, p| p.place.code())),
                Column::Text("kind", texts(&|r| r.kind.as_str().to_owned())),
                Column::Text("line_type", texts(&|r| r.line_type.clone())),
                Column::NullableText("role", nullable(&|r| r.role.clone())),
                Column::NullableText("parent_uuid", nullable(&|r| r.parent_uuid.clone())),
                Column::NullableText("agent_id", rows.iter().map(|(_, p)| p.agent_id.clone()).collect()),
                Column::NullableText("tool_name", nullable(&|r| r.tool_name.clone())),
                Column::NullableText("model", nullable(&|r| r.model.clone())),
                Column::Int("bytes", ints(&|_, p| int(p.line.bytes))),
                Column::Bool("sealed", rows.iter().map(|(_, p)| p.line.sealed).collect()),
                Column::Text("body", rows.iter().map(|(_, p)| p.line.body.clone()).collect()),
            ],
            on_conflict: if all_new { "" } else { "(team_id, session_id, transcript, uuid) DO NOTHING" },
            returning: if all_new { "" } else { "uuid" },
        };
        insert.run(self.tx).await
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
        put(&mut details.git_remote, &given.git_remote);
        put(&mut details.pushed_branch, &given.git_branch);
        if let Some(ended) = given.ended_at.as_deref().and_then(Timestamp::parse_rfc3339) {
            details.ended_at = Some(ended.0);
        }
    }

    /// The session's project, inserted if it is new: from the path in the metadata, otherwise from the first path in a
    /// line. A session never changes its project.
    async fn project(
        &self,
        session: &SessionRow,
        details: &SessionDetails,
    ) -> Result<Option<String>, DbError> {
        let (None, Some(path)) = (&session.project_id, &details.project_path) else {
            return Ok(session.project_id.clone());
        };
        let id = self.keys.project_id(path)?;
        let repo_id = match &details.git_remote {
            Some(remote) => {
                let repo_id = self.keys.repo_id(remote)?;
                let json = serde_json::json!(RepoDetails { remote: remote.clone() }).to_string();
                let (stored, sealed) = self.keys.seal(
                    self.batch.seals,
                    repo_context(repo_id.as_str()),
                    &json,
                    self.tx.entropy(),
                )?;
                self.tx
                    .execute(
                        "INSERT INTO repos (team_id, id, details, sealed, created_at) VALUES ($1, $2, $3, $4, $5) \
                         ON CONFLICT (team_id, id) DO NOTHING",
                        [
                            self.team().into(),
                            repo_id.as_str().into(),
                            stored.into(),
                            sealed.into(),
                            self.now.into(),
                        ],
                    )
                    .await?;
                Some(repo_id.to_string())
            }
            None => None,
        };
        let json = serde_json::json!(ProjectDetails { path: path.clone() }).to_string();
        let (stored, sealed) =
            self.keys.seal(self.batch.seals, project_context(id.as_str()), &json, self.tx.entropy())?;
        self.tx
            .execute(
                "INSERT INTO projects (team_id, id, repo_id, details, sealed, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team_id, id) DO NOTHING",
                [
                    self.team().into(),
                    id.as_str().into(),
                    repo_id.clone().into(),
                    stored.into(),
                    sealed.into(),
                    self.now.into(),
                ],
            )
            .await?;
        // A separate statement: an upsert would lock the project's row even without a change, and the first batches of
        // its sessions would wait for each other.
        if repo_id.is_some() {
            self.tx
                .execute(
                    "UPDATE projects SET repo_id = $3 WHERE team_id = $1 AND id = $2 AND repo_id IS NULL",
                    [self.team().into(), id.as_str().into(), repo_id.into()],
                )
                .await?;
        }
        Ok(Some(id.to_string()))
    }

    async fn update_transcript(
        &self,
        transcript: &TranscriptRow,
        first_line: i64,
        end: i64,
        last_at: Option<i64>,
        any_new: bool,
    ) -> Result<(), DbError> {
        // A batch of known lines is a retry and does not move the offset back. A batch with new lines at an earlier
        // offset is from a rewritten file: the file continues from there.
        let moves = end > transcript.next_offset || any_new;
        if !moves || first_line == end {
            return Ok(());
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
        self.tx
            .execute(
                "UPDATE transcripts SET next_offset = $4, last_line_hash = $5, sealed = $6, last_line_at = $7 \
                 WHERE team_id = $1 AND session_id = $2 AND transcript = $3",
                [
                    self.team().into(),
                    self.session().into(),
                    self.transcript().into(),
                    end.into(),
                    hash.into(),
                    sealed.into(),
                    last_at.into(),
                ],
            )
            .await?;
        Ok(())
    }

    fn seal_details(&self, details: &SessionDetails) -> Result<(String, bool), DbError> {
        let json = serde_json::json!(details).to_string();
        Ok(self.keys.seal(self.batch.seals, details_context(self.session()), &json, self.tx.entropy())?)
    }

    async fn update_session(
        &self,
        session: &SessionRow,
        details: &SessionDetails,
        project_id: Option<&str>,
        new: &[&Placed<'_>],
        lines: usize,
        delta: &RollupDelta,
    ) -> Result<(), DbError> {
        let (metadata, sealed) = self.seal_details(details)?;
        let times = new.iter().map(|placed| placed.at);
        let started = times.clone().chain(session.started_at).min();
        // Before the first line, this is the time of the push.
        let was_push_time = session.started_at.is_none();
        let last = times.chain(session.last_activity_at.filter(|_| !was_push_time)).max();
        let delta = delta.session_delta();
        self.tx
            .execute(
                "UPDATE sessions SET metadata = $3, sealed = $4, project_id = $5, started_at = $6, \
                   last_activity_at = COALESCE($7, last_activity_at), line_count = line_count + $8, \
                   message_count = message_count + $9, turn_count = turn_count + $10, \
                   compaction_count = compaction_count + $11, input_tokens = input_tokens + $12, \
                   output_tokens = output_tokens + $13, cache_read_tokens = cache_read_tokens + $14, \
                   cache_creation_5m_tokens = cache_creation_5m_tokens + $15, \
                   cache_creation_1h_tokens = cache_creation_1h_tokens + $16, \
                   next_ordinal = next_ordinal + $17, revision = $18, tool_use_count = tool_use_count + $19, \
                   file_change_count = file_change_count + $20, lines_added = lines_added + $21, \
                   lines_removed = lines_removed + $22, task_count = task_count + $23, \
                   task_done_count = task_done_count + $24, sentiment_count = sentiment_count + $25, \
                   sentiment_sum = sentiment_sum + $26 \
                 WHERE team_id = $1 AND session_id = $2",
                [
                    self.team().into(),
                    self.session().into(),
                    metadata.into(),
                    sealed.into(),
                    project_id.into(),
                    started.into(),
                    last.into(),
                    (new.len() as i64).into(),
                    delta.messages.into(),
                    delta.turns.into(),
                    delta.compactions.into(),
                    delta.tokens.input.into(),
                    delta.tokens.output.into(),
                    delta.tokens.cache_read.into(),
                    delta.tokens.cache_creation_5m.into(),
                    delta.tokens.cache_creation_1h.into(),
                    (lines as i64).into(),
                    (session.revision + 1).into(),
                    delta.tool_uses.into(),
                    delta.file_changes.into(),
                    delta.lines_added.into(),
                    delta.lines_removed.into(),
                    delta.tasks.into(),
                    delta.tasks_done.into(),
                    delta.sentiments.into(),
                    delta.sentiment_sum.into(),
                ],
            )
            .await?;
        Ok(())
    }

    fn derive(&self) -> Derive<'_> {
        Derive { tx: self.tx, keys: self.keys, seals: self.batch.seals, session: self.session() }
    }

    /// Adds the delta to the rollups of the session's project. If the project was unknown before this batch, everything
    /// that was counted without a project moves to it.
    async fn add_delta(
        &self,
        derive: &Derive<'_>,
        session: &SessionRow,
        project_id: Option<&str>,
        delta: RollupDelta,
    ) -> Result<(), DbError> {
        let key = RollupKey { user: self.tx.scope().user_id().as_str(), session: self.session() };
        let moves = project_id.is_some() && session.project_id.is_none() && session.started_at.is_some();
        if !moves {
            return key.add(self.tx, &[(project_id.unwrap_or_default(), &delta)]).await;
        }
        let whole = derive.rederive().await?.delta;
        let mut left = delta;
        left.add(-1, &whole);
        key.add(self.tx, &[("", &left), (project_id.unwrap_or_default(), &whole)]).await
    }
}

/// Splits rows into statements.
fn statements<'a, 'b>(
    mut rows: &'a [(i64, &'b Placed<'b>)],
) -> impl Iterator<Item = &'a [(i64, &'b Placed<'b>)]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rows.iter().take_while(|(_, placed)| {
            bytes += placed.line.body.len();
            bytes <= STATEMENT_BYTES
        });
        let (statement, rest) = rows.split_at(fits.count().max(1).min(rows.len()));
        rows = rest;
        (!statement.is_empty()).then_some(statement)
    })
}

/// Refuses the batch, which rolls its transaction back.
fn refuse(code: BatchErrorCode, message: &str, offset: Option<u64>) -> Stop {
    Stop::Refused(BatchError { code, message: message.to_owned(), offset })
}

/// A count as a signed integer. No count here comes near the limit.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The context of a transcript's sealed column.
fn hash_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "transcripts", row_id, column: "last_line_hash" }
}

fn merge_lines(details: &mut SessionDetails, new: &[&Placed<'_>]) {
    for placed in new {
        let record = &placed.line.record;
        let at = MessageCursor {
            at: placed.at,
            transcript: String::new(),
            line: placed.physical,
            uuid: String::new(),
        };
        // A subagent's lines describe its own task, not the session.
        if placed.place == MessagePosition::Subagent || placed.place == MessagePosition::SubagentProgress {
            continue;
        }
        if let Some(summary) = &record.summary {
            details.offer_summary(&at, summary.clone());
        }
        let last = |slot: &mut Option<Stamped<String>>, value: &Option<String>| {
            if let Some(value) = value {
                Stamped::keep_last(slot, Stamped::new(&at, value.clone()));
            }
        };
        last(&mut details.git_branch, &record.git_branch);
        last(&mut details.version, &record.version);
        last(&mut details.slug, &record.slug);
        last(&mut details.team_name, &record.team_name);
        if let Some(pr) = &record.pull_request {
            let value = (Some(pr.number), pr.url.clone());
            Stamped::keep_last(&mut details.pull_request, Stamped::new(&at, value));
        }
        if let Some(cwd) = &record.cwd {
            Stamped::keep_first(&mut details.first_cwd, Stamped::new(&at, cwd.clone()));
        }
    }
    if details.project_path.is_none() {
        details.project_path = details.first_cwd.as_ref().map(|stamped| stamped.value.clone());
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

/// The next offset and the last line of each transcript that the user pushed.
///
/// # Errors
/// If a hash cannot be opened.
pub async fn status(scope: &Scope, db: &Db) -> Result<Vec<TranscriptStatus>, DbError> {
    let tx = db.read(scope, "ingest.status").await?;
    let rows: Vec<StatusRow> = tx
        .all(
            "SELECT t.session_id, t.transcript, t.next_offset, t.last_line_hash, t.sealed \
             FROM transcripts t JOIN sessions s ON s.team_id = t.team_id AND s.session_id = t.session_id \
             WHERE t.team_id = $1 AND s.user_id = $2 ORDER BY t.session_id, t.transcript",
            [tx.team(), scope.user_id().as_str().into()],
        )
        .await?;
    let stored = rows.iter().map(|row| (row.sealed, row.last_line_hash.as_deref().unwrap_or_default()));
    let keys = tx.keys_for(stored).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = format!("{}/{}", row.session_id, row.transcript);
            let hash = row.last_line_hash.map(|hash| keys.open(row.sealed, hash_context(&row_id), hash));
            Ok(TranscriptStatus {
                session_id: row.session_id,
                transcript: row.transcript,
                offset: u64::try_from(row.next_offset).unwrap_or_default(),
                last_line_hash: hash.transpose()?,
            })
        })
        .collect()
}
