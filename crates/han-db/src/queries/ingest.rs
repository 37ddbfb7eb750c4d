//! Taking lines in: one transaction for a batch of one transcript file of one session.
//!
//! The session's row is locked first, so batches of one session come one after another whatever process they come
//! to. Lines are then appended; what was stored already is told by the conflict, not by a read. Only lines that are
//! new count in totals, rollups and what subscribers hear, so that a batch sent twice changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use han_crypto::FieldContext;
use han_transcript::record::{LineRecord, TimeSource, Usage};
use han_types::sync::{BatchError, BatchErrorCode, SessionMetadata, TranscriptStatus};
use han_types::{Scope, SessionId, Timestamp, TranscriptName, new_row_id};
use sea_orm::FromQueryResult;

use crate::dialect::{BulkInsert, Column};
use crate::entities::{Place, ProjectDetails, RepoDetails, SessionDetails, Stamped};
use crate::keys::TeamKeys;
use crate::page::MessageCursor;
use crate::queries::projects::{project_context, repo_context};
use crate::queries::sessions::{details_context, open_details};
use crate::queries::tool_results::{AGENT, UNNAMED_HOOK};
use crate::{Db, DbError, Tx};

/// Over how many rows the writers of one hour's rollup are spread. Readers sum over them.
const ROLLUP_SHARDS: u64 = 8;

/// Consecutive lines of one file, projected and sealed.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The session.
    pub session_id: SessionId,
    /// The file.
    pub transcript: TranscriptName,
    /// The 0-based physical line of the first line; without it the batch is appended unchecked.
    pub offset: Option<u64>,
    /// How many lines the batch consumes, those that were rejected included.
    pub consumed: u64,
    /// What is known of the session besides its lines.
    pub metadata: SessionMetadata,
    /// The lines to store.
    pub lines: Vec<Line>,
    /// SHA-256 of the bytes of the batch's last line, in lowercase hexadecimal, where that line is stored.
    pub last_line_hash: Option<String>,
}

/// A line to store.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its position in the batch.
    pub index: u64,
    /// What it means.
    pub record: LineRecord,
    /// The line as it arrived, or that sealed.
    pub body: String,
    /// Whether `body` is sealed.
    pub sealed: bool,
    /// Size of the line as it arrived, in bytes.
    pub bytes: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in it is stored.
    Stored {
        /// Lines that were not there before.
        stored: u64,
        /// Lines that were.
        duplicates: u64,
        /// The physical line of the batch's first line.
        first_line: u64,
        /// The physical line after the batch's last one.
        next_offset: u64,
    },
    /// Nothing of it was stored.
    Refused(BatchError),
}

/// Stores a batch; when this returns, it is durable. `seals` says whether what is not yet sealed of it must be.
///
/// # Errors
/// Where the database fails; nothing is stored then, and the same batch may be sent again.
pub async fn store(scope: &Scope, db: &Db, seals: bool, batch: Batch) -> Result<Outcome, DbError> {
    let keys = db.keys().team(db, scope.team_id()).await?;
    let batch = &batch;
    let keys = &*keys;
    let outcome = db
        .run_tx("ingest.store", scope, |tx| async move {
            let write = Write { scope, db, tx: &tx, keys, seals, batch, now: db.clock().now().0 };
            write.run().await
        })
        .await;
    match outcome {
        Ok(outcome) => {
            db.commits().announce();
            Ok(outcome)
        }
        // Refusals roll the transaction back, so they travel as errors.
        Err(DbError::Refused(refusal)) => Ok(Outcome::Refused(*refusal)),
        Err(error) => Err(error),
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

/// A line with what only the transaction knows of it.
struct Placed<'a> {
    line: &'a Line,
    physical: i64,
    at: i64,
    place: Place,
    agent_id: Option<String>,
}

struct Write<'a> {
    scope: &'a Scope,
    db: &'a Db,
    tx: &'a Tx,
    keys: &'a TeamKeys,
    seals: bool,
    batch: &'a Batch,
    now: i64,
}

impl Write<'_> {
    async fn run(&self) -> Result<Outcome, DbError> {
        let session = self.lock_session().await?;
        let transcript = self.lock_transcript().await?;
        let first_line = self.first_line(&transcript)?;
        let end = first_line + int(self.batch.consumed);

        let (placed, last_at) = self.place(first_line, &transcript).await?;
        let stored = self.insert_messages(&placed, session.next_ordinal).await?;
        let new: Vec<&Placed<'_>> =
            placed.iter().zip(&stored).filter(|(_, stored)| **stored).map(|(line, _)| line).collect();

        let mut details = open_details(self.keys, self.session(), session.sealed, session.metadata.clone())?;
        let before = details.clone();
        self.merge_metadata(&mut details);
        merge_lines(&mut details, &new);
        let project_id = self.project(&session, &details).await?;
        self.insert_results(&new).await?;
        let usage = self.count_usage(&new).await?;
        self.update_transcript(&transcript, first_line, end, last_at, !new.is_empty()).await?;
        let changed = !new.is_empty() || details != before || project_id != session.project_id;
        if changed {
            self.update_session(&session, &details, project_id.as_deref(), &new, placed.len(), &usage)
                .await?;
        }
        // Last, because many sessions share these rows and hold them until their commit.
        self.update_rollups(&session, project_id.as_deref().unwrap_or_default(), &new, &usage).await?;

        let stored = new.len() as u64;
        Ok(Outcome::Stored {
            stored,
            duplicates: placed.len() as u64 - stored,
            first_line: u64::try_from(first_line).unwrap_or_default(),
            next_offset: u64::try_from(end).unwrap_or_default(),
        })
    }

    fn team(&self) -> &str {
        self.scope.team_id().as_str()
    }

    fn session(&self) -> &str {
        self.batch.session_id.as_str()
    }

    fn transcript(&self) -> &str {
        self.batch.transcript.as_str()
    }

    /// Makes the session's row, or takes its lock.
    async fn lock_session(&self) -> Result<SessionRow, DbError> {
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
                    new_row_id(self.db.clock(), self.db.entropy()).into(),
                    self.scope.user_id().as_str().into(),
                    empty.0.into(),
                    empty.1.into(),
                    self.now.into(),
                    self.now.into(),
                    self.now.into(),
                ],
            )
            .await?
            .ok_or_else(|| DbError::Missing("the session's row was not given back".to_owned()))?;
        if row.user_id != self.scope.user_id().as_str() {
            return Err(refuse(
                BatchErrorCode::SessionOwned,
                "another member of the team pushed this session id first; only they can add to it",
                None,
            ));
        }
        Ok(row)
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
        row.ok_or_else(|| DbError::Missing("the transcript's row was not given back".to_owned()))
    }

    /// The physical line of the batch's first line.
    fn first_line(&self, transcript: &TranscriptRow) -> Result<i64, DbError> {
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

    /// Gives each line its time and place, and the time of the last one.
    async fn place(
        &self,
        first_line: i64,
        transcript: &TranscriptRow,
    ) -> Result<(Vec<Placed<'_>>, Option<i64>), DbError> {
        let leaves = self.leaves().await?;
        // A batch that goes over lines again does not follow the last line that is stored.
        let mut before = transcript.last_line_at.filter(|_| first_line == transcript.next_offset);
        let from_agent = self.transcript().strip_prefix("agent-");
        let mut placed = Vec::with_capacity(self.batch.lines.len());
        for line in &self.batch.lines {
            let record = &line.record;
            let at = match &record.time {
                TimeSource::Own(at) => at.0,
                TimeSource::Leaf(uuid) => leaves.get(uuid.as_str()).copied().or(before).unwrap_or(self.now),
                TimeSource::LineBefore => before.unwrap_or(self.now),
            };
            before = Some(at);
            let agent_id = record.agent_id.clone().or_else(|| from_agent.map(str::to_owned));
            let listed = self.batch.transcript.is_listed() && !record.is_sidechain;
            let place = match (record.nests, listed, record.is_progress) {
                (true, ..) => Place::Nested,
                (_, true, false) => Place::List,
                (_, true, true) => Place::Progress,
                (_, false, false) => Place::Subagent,
                (_, false, true) => Place::SubagentProgress,
            };
            placed.push(Placed { line, physical: first_line + int(line.index), at, place, agent_id });
        }
        Ok((placed, before))
    }

    /// The times of the lines that summaries name as their leaves: in this batch, or stored before.
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

    /// Appends the lines; says for each whether it was new.
    async fn insert_messages(&self, placed: &[Placed<'_>], next_ordinal: i64) -> Result<Vec<bool>, DbError> {
        // One statement cannot meet the same key twice, and of identical lines the first counts.
        let mut seen = HashSet::new();
        let once: Vec<bool> = placed.iter().map(|p| seen.insert(p.line.record.uuid.as_str())).collect();
        let rows: Vec<(i64, &Placed<'_>)> = (next_ordinal..)
            .zip(placed.iter().zip(&once).filter(|(_, once)| **once).map(|(placed, _)| placed))
            .collect();
        let texts = |value: &dyn Fn(&LineRecord) -> Option<String>| -> Vec<String> {
            rows.iter().map(|(_, p)| value(&p.line.record).unwrap_or_default()).collect()
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
                Column::Text("uuid", texts(&|r| Some(r.uuid.clone()))),
                Column::Int("ordinal", ints(&|ordinal, _| ordinal)),
                Column::Int("line", ints(&|_, p| p.physical)),
                Column::Int("at", ints(&|_, p| p.at)),
                Column::Int("place", ints(&|_, p| p.place.code())),
                Column::Text("kind", texts(&|r| Some(r.kind.as_str().to_owned()))),
                Column::Text("line_type", texts(&|r| Some(r.line_type.clone()))),
                Column::NullableText("role", texts(&|r| r.role.clone())),
                Column::NullableText("parent_uuid", texts(&|r| r.parent_uuid.clone())),
                Column::NullableText(
                    "agent_id",
                    rows.iter().map(|(_, p)| p.agent_id.clone().unwrap_or_default()).collect(),
                ),
                Column::NullableText("tool_name", texts(&|r| r.tool_name.clone())),
                Column::NullableText("model", texts(&|r| r.model.clone())),
                Column::Int("bytes", ints(&|_, p| int(p.line.bytes))),
                Column::Bool("sealed", rows.iter().map(|(_, p)| p.line.sealed).collect()),
                Column::Text("body", rows.iter().map(|(_, p)| p.line.body.clone()).collect()),
            ],
            on_conflict: "(team_id, session_id, transcript, uuid) DO NOTHING",
            returning: "uuid",
        };
        let mut new = HashSet::new();
        for row in insert.run(self.tx).await? {
            new.insert(Uuid::from_query_result(&row, "")?.uuid);
        }
        Ok(placed.iter().zip(once).map(|(p, once)| once && new.contains(&p.line.record.uuid)).collect())
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

    /// The session's project, made where it is new. The path that the pushing machine names counts, else the first
    /// one that a line names. A session stays in the project it was first seen in, since its rollups are there.
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
                let (stored, sealed) =
                    self.keys.seal(self.seals, repo_context(repo_id.as_str()), &json, self.db.entropy())?;
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
            self.keys.seal(self.seals, project_context(id.as_str()), &json, self.db.entropy())?;
        self.tx
            .execute(
                "INSERT INTO projects (team_id, id, repo_id, details, sealed, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (team_id, id) DO UPDATE SET repo_id = excluded.repo_id \
                 WHERE excluded.repo_id IS NOT NULL AND projects.repo_id IS NULL",
                [
                    self.team().into(),
                    id.as_str().into(),
                    repo_id.into(),
                    stored.into(),
                    sealed.into(),
                    self.now.into(),
                ],
            )
            .await?;
        Ok(Some(id.to_string()))
    }

    /// Files what answers a call under that call.
    async fn insert_results(&self, new: &[&Placed<'_>]) -> Result<(), DbError> {
        // Keyed as the table is: one statement cannot meet the same key twice.
        let mut rows: BTreeMap<(String, String, String, String), [i64; 2]> = BTreeMap::new();
        let mut agents: HashMap<(String, String, String, String), String> = HashMap::new();
        for placed in new {
            let record = &placed.line.record;
            for result in &record.results {
                let hook = record.hook.as_ref().and_then(|hook| hook.hook_name.clone());
                let (kind, call_id) = match (&result.call_id, hook) {
                    (Some(id), _) => (result.kind.as_str(), id.clone()),
                    (None, Some(hook)) => (UNNAMED_HOOK, hook),
                    (None, None) => continue,
                };
                let key = (kind.to_owned(), call_id, self.transcript().to_owned(), record.uuid.clone());
                if let Some(agent) = &result.starts_agent {
                    agents.insert(key.clone(), agent.clone());
                }
                let success = result.success.map_or(i64::MIN, i64::from);
                rows.insert(key, [success, result.duration_ms.unwrap_or(i64::MIN)]);
            }
            if let Some(start) = &record.agent_start {
                let key = (AGENT.to_owned(), start.call_id.clone(), String::new(), start.agent_id.clone());
                agents.insert(key.clone(), start.agent_id.clone());
                rows.insert(key, [i64::MIN, i64::MIN]);
            }
        }
        let insert = BulkInsert {
            table: "tool_results",
            constants: vec![("team_id", self.team().into()), ("session_id", self.session().into())],
            columns: vec![
                Column::Text("kind", rows.keys().map(|k| k.0.clone()).collect()),
                Column::Text("call_id", rows.keys().map(|k| k.1.clone()).collect()),
                Column::Text("transcript", rows.keys().map(|k| k.2.clone()).collect()),
                Column::Text("uuid", rows.keys().map(|k| k.3.clone()).collect()),
                Column::NullableInt("success", rows.values().map(|v| v[0]).collect()),
                Column::NullableInt("duration_ms", rows.values().map(|v| v[1]).collect()),
                Column::NullableText(
                    "agent_id",
                    rows.keys().map(|k| agents.get(k).cloned().unwrap_or_default()).collect(),
                ),
            ],
            on_conflict: "(team_id, session_id, kind, call_id, transcript, uuid) DO NOTHING",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    async fn update_transcript(
        &self,
        transcript: &TranscriptRow,
        first_line: i64,
        end: i64,
        last_at: Option<i64>,
        any_new: bool,
    ) -> Result<(), DbError> {
        // A batch over lines that are all known is a retry and moves nothing back. One that brings new lines at an
        // earlier offset is a file that was rewritten: it goes on from there.
        let moves = end > transcript.next_offset || any_new;
        if !moves || first_line == end {
            return Ok(());
        }
        let row_id = format!("{}/{}", self.session(), self.transcript());
        let (hash, sealed) = match &self.batch.last_line_hash {
            Some(hash) => {
                let (stored, sealed) =
                    self.keys.seal(self.seals, hash_context(&row_id), hash, self.db.entropy())?;
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
        Ok(self.keys.seal(self.seals, details_context(self.session()), &json, self.db.entropy())?)
    }

    async fn update_session(
        &self,
        session: &SessionRow,
        details: &SessionDetails,
        project_id: Option<&str>,
        new: &[&Placed<'_>],
        lines: usize,
        usage: &[UsageChange],
    ) -> Result<(), DbError> {
        let (metadata, sealed) = self.seal_details(details)?;
        let times = new.iter().map(|placed| placed.at);
        let started = times.clone().chain(session.started_at).min();
        // Until the first line came, the time of the push stood in for it.
        let stood_in = session.started_at.is_none();
        let last = times.chain(session.last_activity_at.filter(|_| !stood_in)).max();
        let count = |of: &dyn Fn(&Placed<'_>) -> bool| -> i64 {
            new.iter().map(|placed| i64::from(of(placed))).sum()
        };
        let tokens = usage.iter().fold(Tokens::default(), |sum, change| sum + change.after - change.before);
        self.tx
            .execute(
                "UPDATE sessions SET metadata = $3, sealed = $4, project_id = $5, started_at = $6, \
                   last_activity_at = COALESCE($7, last_activity_at), line_count = line_count + $8, \
                   message_count = message_count + $9, turn_count = turn_count + $10, \
                   compaction_count = compaction_count + $11, input_tokens = input_tokens + $12, \
                   output_tokens = output_tokens + $13, cache_read_tokens = cache_read_tokens + $14, \
                   cache_creation_5m_tokens = cache_creation_5m_tokens + $15, \
                   cache_creation_1h_tokens = cache_creation_1h_tokens + $16, \
                   next_ordinal = next_ordinal + $17, revision = $18 \
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
                    count(&|p| p.place == Place::List).into(),
                    count(&|p| p.line.record.turn).into(),
                    count(&|p| p.line.record.compaction.is_some_and(|c| !c.continuation)).into(),
                    tokens.input.into(),
                    tokens.output.into(),
                    tokens.cache_read.into(),
                    tokens.cache_creation_5m.into(),
                    tokens.cache_creation_1h.into(),
                    (lines as i64).into(),
                    (session.revision + 1).into(),
                ],
            )
            .await?;
        Ok(())
    }
}

/// Refuses the batch, which rolls back what its transaction did so far.
fn refuse(code: BatchErrorCode, message: &str, offset: Option<u64>) -> DbError {
    DbError::Refused(Box::new(BatchError { code, message: message.to_owned(), offset }))
}

/// A count as the database has it; nothing that is counted here comes near its limit.
fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Where a transcript's sealed column belongs.
fn hash_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "transcripts", row_id, column: "last_line_hash" }
}

fn merge_lines(details: &mut SessionDetails, new: &[&Placed<'_>]) {
    for placed in new {
        let record = &placed.line.record;
        let at = MessageCursor { at: placed.at, transcript: String::new(), line: placed.physical };
        // A subagent's lines speak of its own task, not of the session's.
        if placed.place == Place::Subagent || placed.place == Place::SubagentProgress {
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

/// Token counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tokens {
    input: i64,
    output: i64,
    cache_read: i64,
    cache_creation_5m: i64,
    cache_creation_1h: i64,
}

impl Tokens {
    fn map(self, other: Self, f: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            input: f(self.input, other.input),
            output: f(self.output, other.output),
            cache_read: f(self.cache_read, other.cache_read),
            cache_creation_5m: f(self.cache_creation_5m, other.cache_creation_5m),
            cache_creation_1h: f(self.cache_creation_1h, other.cache_creation_1h),
        }
    }
}

impl std::ops::Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.map(other, i64::saturating_add)
    }
}

impl std::ops::Sub for Tokens {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.map(other, i64::saturating_sub)
    }
}

impl From<&Usage> for Tokens {
    fn from(usage: &Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_creation_5m: usage.cache_creation_5m,
            cache_creation_1h: usage.cache_creation_1h,
        }
    }
}

#[derive(FromQueryResult)]
struct UsageRow {
    message_id: String,
    session_id: String,
    model: String,
    at: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_creation_5m_tokens: i64,
    cache_creation_1h_tokens: i64,
}

/// What a batch changed in the usage of one `message.id`.
struct UsageChange {
    model: String,
    before_at: Option<i64>,
    before: Tokens,
    after_at: i64,
    after: Tokens,
}

impl Write<'_> {
    /// Counts tokens: each `message.id` once, with the largest of each counter that any of its lines shows, in the
    /// hour of its earliest line, for the session that stored it first.
    async fn count_usage(&self, new: &[&Placed<'_>]) -> Result<Vec<UsageChange>, DbError> {
        // Sorted by id: sessions that share ids (forks) then take their locks in one order.
        let mut seen: BTreeMap<&str, (String, i64, Tokens)> = BTreeMap::new();
        for placed in new {
            if let Some(usage) = &placed.line.record.usage {
                let tokens = Tokens::from(usage);
                seen.entry(usage.message_id.as_str())
                    .and_modify(|(_, at, sum)| {
                        *at = placed.at.min(*at);
                        *sum = sum.map(tokens, i64::max);
                    })
                    .or_insert_with(|| (usage.model.clone().unwrap_or_default(), placed.at, tokens));
            }
        }
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT message_id, session_id, model, at, input_tokens, output_tokens, cache_read_tokens, \
               cache_creation_5m_tokens, cache_creation_1h_tokens \
             FROM message_usage WHERE team_id = $1 AND {}",
            dialect.is_any("message_id", 2)
        );
        let rows: Vec<UsageRow> = self.tx.all(&sql, [self.team().into(), dialect.list(seen.keys())]).await?;
        let mut before: HashMap<String, UsageRow> =
            rows.into_iter().map(|row| (row.message_id.clone(), row)).collect();

        let mut changes = Vec::new();
        let mut ids = Vec::new();
        for (id, (model, at, tokens)) in seen {
            let change = match before.remove(id) {
                // A fork repeats what the session it comes from has counted.
                Some(row) if row.session_id != self.session() => continue,
                Some(row) => {
                    let old = row.tokens();
                    UsageChange {
                        model: row.model,
                        before_at: Some(row.at),
                        before: old,
                        after_at: at.min(row.at),
                        after: old.map(tokens, i64::max),
                    }
                }
                None => UsageChange {
                    model,
                    before_at: None,
                    before: Tokens::default(),
                    after_at: at,
                    after: tokens,
                },
            };
            if change.before_at != Some(change.after_at) || change.before != change.after {
                ids.push(id.to_owned());
                changes.push(change);
            }
        }
        let written = self.write_usage(&ids, &changes).await?;
        let kept = ids.iter().zip(changes).filter(|(id, _)| written.contains(id.as_str()));
        Ok(kept.map(|(_, change)| change).collect())
    }

    /// Writes usage rows; gives the ids that are this session's. One that another session stored a moment ago is
    /// not.
    async fn write_usage(&self, ids: &[String], changes: &[UsageChange]) -> Result<HashSet<String>, DbError> {
        let of = |value: &dyn Fn(&UsageChange) -> i64| -> Vec<i64> { changes.iter().map(value).collect() };
        let insert = BulkInsert {
            table: "message_usage",
            constants: vec![("team_id", self.team().into()), ("session_id", self.session().into())],
            columns: vec![
                Column::Text("message_id", ids.to_vec()),
                Column::Text("model", changes.iter().map(|c| c.model.clone()).collect()),
                Column::Int("at", of(&|c| c.after_at)),
                Column::Int("input_tokens", of(&|c| c.after.input)),
                Column::Int("output_tokens", of(&|c| c.after.output)),
                Column::Int("cache_read_tokens", of(&|c| c.after.cache_read)),
                Column::Int("cache_creation_5m_tokens", of(&|c| c.after.cache_creation_5m)),
                Column::Int("cache_creation_1h_tokens", of(&|c| c.after.cache_creation_1h)),
            ],
            on_conflict: "(team_id, message_id) DO UPDATE SET at = excluded.at, \
                 input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, \
                 cache_read_tokens = excluded.cache_read_tokens, \
                 cache_creation_5m_tokens = excluded.cache_creation_5m_tokens, \
                 cache_creation_1h_tokens = excluded.cache_creation_1h_tokens \
                 WHERE message_usage.session_id = excluded.session_id",
            returning: "message_id",
        };
        let rows = insert.run(self.tx).await?;
        rows.iter().map(|row| row.try_get("", "message_id").map_err(DbError::from)).collect()
    }

    /// Adds to the sums by (hour, user, project, model) from which dashboards are drawn.
    async fn update_rollups(
        &self,
        session: &SessionRow,
        project_id: &str,
        new: &[&Placed<'_>],
        usage: &[UsageChange],
    ) -> Result<(), DbError> {
        // Sorted by key, so that concurrent writers take their locks in one order.
        let mut sums: BTreeMap<(i64, String), Rollup> = BTreeMap::new();
        for placed in new {
            let sum = sums.entry((Timestamp(placed.at).hour(), String::new())).or_default();
            sum.messages += i64::from(placed.place == Place::List);
            sum.turns += i64::from(placed.line.record.turn);
        }
        for change in usage {
            if let Some(at) = change.before_at {
                let sum = sums.entry((Timestamp(at).hour(), change.model.clone())).or_default();
                sum.responses -= 1;
                sum.tokens = sum.tokens - change.before;
            }
            let sum = sums.entry((Timestamp(change.after_at).hour(), change.model.clone())).or_default();
            sum.responses += 1;
            sum.tokens = sum.tokens + change.after;
        }
        self.move_start(session, new, &mut sums);
        sums.retain(|_, sum| *sum != Rollup::default());
        let of = |value: &dyn Fn(&Rollup) -> i64| -> Vec<i64> { sums.values().map(value).collect() };
        let insert = BulkInsert {
            table: "rollups",
            constants: vec![
                ("team_id", self.team().into()),
                ("user_id", self.scope.user_id().as_str().into()),
                ("project_id", project_id.into()),
                ("shard", shard(self.session()).into()),
            ],
            columns: vec![
                Column::Int("hour", sums.keys().map(|key| key.0).collect()),
                Column::Text("model", sums.keys().map(|key| key.1.clone()).collect()),
                Column::Int("sessions", of(&|s| s.sessions)),
                Column::Int("messages", of(&|s| s.messages)),
                Column::Int("turns", of(&|s| s.turns)),
                Column::Int("responses", of(&|s| s.responses)),
                Column::Int("input_tokens", of(&|s| s.tokens.input)),
                Column::Int("output_tokens", of(&|s| s.tokens.output)),
                Column::Int("cache_read_tokens", of(&|s| s.tokens.cache_read)),
                Column::Int("cache_creation_5m_tokens", of(&|s| s.tokens.cache_creation_5m)),
                Column::Int("cache_creation_1h_tokens", of(&|s| s.tokens.cache_creation_1h)),
            ],
            on_conflict: "(team_id, hour, user_id, project_id, model, shard) DO UPDATE SET \
                 sessions = rollups.sessions + excluded.sessions, \
                 messages = rollups.messages + excluded.messages, \
                 turns = rollups.turns + excluded.turns, \
                 responses = rollups.responses + excluded.responses, \
                 input_tokens = rollups.input_tokens + excluded.input_tokens, \
                 output_tokens = rollups.output_tokens + excluded.output_tokens, \
                 cache_read_tokens = rollups.cache_read_tokens + excluded.cache_read_tokens, \
                 cache_creation_5m_tokens = rollups.cache_creation_5m_tokens + excluded.cache_creation_5m_tokens, \
                 cache_creation_1h_tokens = rollups.cache_creation_1h_tokens + excluded.cache_creation_1h_tokens",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// A session counts in the hour of its earliest line; an earlier line moves it.
    fn move_start(
        &self,
        session: &SessionRow,
        new: &[&Placed<'_>],
        sums: &mut BTreeMap<(i64, String), Rollup>,
    ) {
        let Some(earliest) = new.iter().map(|placed| placed.at).min() else { return };
        if session.started_at.is_some_and(|at| at <= earliest) {
            return;
        }
        if let Some(at) = session.started_at {
            sums.entry((Timestamp(at).hour(), String::new())).or_default().sessions -= 1;
        }
        sums.entry((Timestamp(earliest).hour(), String::new())).or_default().sessions += 1;
    }
}

/// What a batch adds to one row of rollups.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rollup {
    sessions: i64,
    messages: i64,
    turns: i64,
    responses: i64,
    tokens: Tokens,
}

impl UsageRow {
    fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_tokens,
            cache_creation_5m: self.cache_creation_5m_tokens,
            cache_creation_1h: self.cache_creation_1h_tokens,
        }
    }
}

/// Which of the rows of an hour a session's batches add to: FNV-1a of its id, the same in every process.
fn shard(session_id: &str) -> i64 {
    let hash = session_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    int(hash % ROLLUP_SHARDS)
}

#[derive(FromQueryResult)]
struct StatusRow {
    session_id: String,
    transcript: String,
    next_offset: i64,
    last_line_hash: Option<String>,
    sealed: bool,
}

/// How far each transcript that the asking person pushed has been taken in.
///
/// # Errors
/// Where the database fails or a hash cannot be opened.
pub async fn status(scope: &Scope, db: &Db) -> Result<Vec<TranscriptStatus>, DbError> {
    let tx = db.read(scope).await?;
    let rows: Vec<StatusRow> = tx
        .all(
            "SELECT t.session_id, t.transcript, t.next_offset, t.last_line_hash, t.sealed \
             FROM transcripts t JOIN sessions s ON s.team_id = t.team_id AND s.session_id = t.session_id \
             WHERE t.team_id = $1 AND s.user_id = $2 ORDER BY t.session_id, t.transcript",
            [scope.team_id().as_str().into(), scope.user_id().as_str().into()],
        )
        .await?;
    let stored = rows.iter().map(|row| (row.sealed, row.last_line_hash.as_deref().unwrap_or_default()));
    let keys = db.keys().team_for(db, scope.team_id(), stored).await?;
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
