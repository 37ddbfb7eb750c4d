//! Changes how the values of a team are sealed, in batches: re-wraps their DEKs with the active content key, or
//! converts between plaintext and sealed.
//!
//! It walks over all places that hold sealed values (the text columns of [`SEALED_COLUMNS`], then the segments) in
//! the order of their keys. Each batch compares before it writes: a row that a push changed meanwhile is left as it
//! is, and its table is walked over again in the next pass. A row that others have locked is left for the next pass
//! as well, so a batch waits for no push. Only a pass that began after every replica had forgotten the old key, and
//! that missed nothing, completes the work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use han_crypto::{sealed_key_id, wrapped_dek_key_id};
use han_types::{Entropy, TeamId};
use sea_orm::{FromQueryResult, QueryResult, Value};
use serde::{Deserialize, Serialize};

#[cfg(feature = "postgres")]
use crate::bulk_insert::Column;
use crate::cpu;
use crate::dialect::Dialect;
use crate::keys::TeamKeys;
use crate::queries::consolidation::{Merged, join_now};
use crate::queries::conversion::{PLAINTEXT, SEALED};
use crate::queries::replicas;
use crate::queries::sealed_columns::{Key, SEALED_COLUMNS, SealedColumn, sealed_column};
use crate::queries::segments::{self, File, ReadSegment, SealedSegment, Segments};
use crate::queries::team_work::{self, Advance, Work, WorkKind};
use crate::queries::{conversion::refuse_where_unsealed, search};
use crate::segments::{SegmentKey, context as segment_context};
#[cfg(feature = "postgres")]
use crate::stored::CountRow;
use crate::stored::{stored, stored_id};
use crate::team_numbers::TeamNumber;
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError};

/// The most segments that one transaction converts, and the bytes of their content. A single segment may be larger.
const SEGMENTS: usize = 64;
const SEGMENT_BYTES: i64 = 4 << 20;

/// The place after the columns.
const SEGMENTS_PLACE: &str = "segments";

/// What is done with each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Its DEK is wrapped with the active content key.
    Rewrap,
    /// It is sealed.
    Seal,
    /// It is stored as plaintext.
    Unseal,
}

impl Change {
    fn of(work: &Work) -> Result<Self, DbError> {
        match (work.kind, work.target.as_str()) {
            (WorkKind::Rotate, _) => Ok(Self::Rewrap),
            (WorkKind::Convert, SEALED) => Ok(Self::Seal),
            (WorkKind::Convert, PLAINTEXT) => Ok(Self::Unseal),
            _ => {
                Err(DbError::malformed("team_work", "target", format_args!("{}/{}", work.team_id, work.kind)))
            }
        }
    }

    /// Which rows it applies to.
    fn wants_sealed(self) -> bool {
        self != Self::Seal
    }

    /// What the column `sealed` says afterwards.
    fn leaves_sealed(self) -> bool {
        self != Self::Unseal
    }
}

/// Where the next batch begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The number of this pass, from 1.
    pass: u32,
    /// Whether every replica had forgotten the old key when the pass began.
    settled: bool,
    /// The places of this pass that are still to be walked over; the walk is in the first one.
    places: Vec<String>,
    /// The key of the last row of the first place that was seen.
    after: Option<Vec<serde_json::Value>>,
    /// The places that have rows which the pass could not change.
    missed: Vec<String>,
    /// How many values could not be opened. They are logged and left as they are.
    failed: u64,
}

impl Cursor {
    fn first(settled: bool) -> Self {
        let places = SEALED_COLUMNS.iter().map(|column| column.table).chain([SEGMENTS_PLACE]);
        let places = places.map(str::to_owned).collect();
        Self { pass: 1, settled, places, after: None, missed: Vec::new(), failed: 0 }
    }

    /// Ends the walk over the first place.
    fn next_place(&mut self) {
        self.places.remove(0);
        self.after = None;
    }

    fn miss(&mut self, place: &str) {
        if !self.missed.iter().any(|missed| missed == place) {
            self.missed.push(place.to_owned());
        }
    }
}

/// One batch of some work.
struct Batch<'a> {
    db: &'a Db,
    work: &'a Work,
    change: Change,
    team: TeamNumber,
    keys: Arc<TeamKeys>,
}

/// Does the next batch.
///
/// # Errors
/// [`DbError::KeyMissing`] if the team has no keys, [`DbError::Job`] if content is to be sealed that this server
/// refuses.
pub(crate) async fn advance(db: &Db, work: &Work) -> Result<Advance, DbError> {
    let change = Change::of(work)?;
    let mut keys = db.keys().team(db, &work.team_id).await?;
    if change == Change::Rewrap && keys.active_version().to_string() != work.target {
        // The key is newer than what this process holds, or it was replaced again since.
        keys = db.keys().load(db, &work.team_id).await?;
    }
    if change != Change::Rewrap {
        refuse_where_unsealed(db)?;
    }
    let team = db.team_number(&work.team_id).await?;
    let batch = Batch { db, work, change, team, keys };
    let mut cursor = match &work.cursor {
        Some(json) => serde_json::from_str(json).map_err(|_| {
            DbError::malformed("team_work", "cursor", format_args!("{}/{}", work.team_id, work.kind))
        })?,
        None => Cursor::first(batch.settled().await?),
    };
    loop {
        let Some(place) = cursor.places.first().cloned() else { return batch.end_pass(cursor).await };
        let written = match sealed_column(&place) {
            Some(column) => batch.texts(column, &mut cursor).await?,
            None if place == SEGMENTS_PLACE && change == Change::Rewrap => batch.wrapped(&mut cursor).await?,
            None if place == SEGMENTS_PLACE => batch.segments(&mut cursor).await?,
            // A column of another version of the program.
            None => Written::End,
        };
        match written {
            Written::Committed => return Ok(Advance::More),
            Written::End => cursor.next_place(),
        }
    }
}

/// What became of a batch.
enum Written {
    /// It is committed, or the work was done by someone else meanwhile.
    Committed,
    /// The place has no more rows.
    End,
}

/// Another process has moved the cursor.
struct Moved;

/// A row of a text column, as it is stored.
struct StoredText {
    keys: Vec<serde_json::Value>,
    row_id: String,
    stored: String,
    sealed: bool,
}

/// A row of a text column, and what becomes of it.
struct TextRow {
    keys: Vec<serde_json::Value>,
    old: String,
    new: String,
}

impl Batch<'_> {
    /// Whether no live replica uses an older key.
    async fn settled(&self) -> Result<bool, DbError> {
        let tx = self.db.read_system("team_work.settled").await?;
        replicas::all_reached(&tx, self.work.key_epoch).await
    }

    /// Completes the work, or begins the next pass.
    async fn end_pass(&self, cursor: Cursor) -> Result<Advance, DbError> {
        let Work { team_id, kind, target, .. } = self.work;
        if cursor.settled && cursor.missed.is_empty() {
            let finish = |tx: Arc<SystemTx>| async move { team_work::finish(&tx, self.work).await };
            if self.db.write_system("team_work.finish", finish).await? {
                tracing::info!(team = %team_id, %kind, target, rows = self.work.done, failed = cursor.failed,
                    "the work on a team is complete");
            }
            return Ok(Advance::Finished);
        }
        let settled = self.settled().await?;
        let mut next = Cursor { pass: cursor.pass + 1, failed: cursor.failed, ..Cursor::first(settled) };
        if cursor.settled {
            next.places = cursor.missed;
        } else if !settled {
            // Everything that may be done before the replicas have reached the epoch is done. The walk ends here until
            // then, with the cursor at its end.
            let at_end = Cursor { places: Vec::new(), after: None, ..cursor };
            self.commit_cursor(&at_end).await?;
            return Ok(Advance::Waiting);
        }
        let missed = cursor.settled;
        self.commit_cursor(&next).await?;
        // Others hold the rows that were missed: there is no hurry.
        Ok(if missed { Advance::Waiting } else { Advance::More })
    }

    async fn commit_cursor(&self, cursor: &Cursor) -> Result<(), DbError> {
        let json = json(cursor)?;
        if self.work.cursor.as_deref() == Some(&json) {
            return Ok(());
        }
        let json = json.as_str();
        self.db
            .write_system("team_work.cursor", |tx| async move {
                team_work::move_cursor(&tx, self.work, json, 0).await
            })
            .await?;
        Ok(())
    }

    /// A batch of a text column.
    async fn texts(&self, column: &'static SealedColumn, cursor: &mut Cursor) -> Result<Written, DbError> {
        let tx = self.db.read_system("team_work.texts").await?;
        let condition = if self.change.wants_sealed() { " AND x.sealed" } else { " AND NOT x.sealed" };
        let read =
            texts_page(&tx, column, condition, self.team, cursor.after.as_deref(), self.db.work_rows())
                .await?;
        drop(tx);
        let Some(last) = read.last() else { return Ok(Written::End) };
        cursor.after = Some(last.keys.clone());
        let (keys, change, db) = (Arc::clone(&self.keys), self.change, self.db.clone());
        let work = move || change_texts(&keys, change, column, read, db.entropy());
        let (changed, failed) = cpu::run("sealing values", work).await?;
        cursor.failed += failed;
        let changed = &changed;
        let at = &*cursor;
        let write = |tx: Arc<SystemTx>| async move {
            let n = self.write_texts(&tx, column, changed).await?;
            self.commit_batch(&tx, at.clone(), column.table, changed.len(), n).await
        };
        let _ = self.db.write_system_or_refuse("team_work.write_texts", write).await?;
        Ok(Written::Committed)
    }

    /// Moves the cursor in the batch's transaction. `n` of `wanted` rows were changed: the others belong to the next
    /// pass. Refuses, which rolls the batch back, if another process did it.
    async fn commit_batch(
        &self,
        tx: &SystemTx,
        mut cursor: Cursor,
        place: &str,
        wanted: usize,
        n: u64,
    ) -> Result<Result<(), Moved>, DbError> {
        if n < wanted as u64 {
            cursor.miss(place);
        }
        let moved = team_work::move_cursor(tx, self.work, &json(&cursor)?, n).await?;
        Ok(if moved { Ok(()) } else { Err(Moved) })
    }

    fn page_values(&self, cursor: &Cursor) -> Vec<Value> {
        let after = cursor.after.iter().flatten();
        std::iter::once(self.team.into()).chain(after.map(json_value)).collect()
    }

    /// Writes the rows that still have their old value and that nothing else has locked; returns their number.
    async fn write_texts(
        &self,
        tx: &SystemTx,
        column: &SealedColumn,
        rows: &[TextRow],
    ) -> Result<u64, DbError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let sealed = self.change.leaves_sealed();
        match tx.dialect() {
            #[cfg(not(feature = "postgres"))]
            Dialect::Postgres => Err(DbError::WithoutPostgres),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let mut columns = Vec::new();
                for (i, key) in column.keys.iter().enumerate() {
                    columns.push(match key {
                        Key::Int(name) => Column::Int(
                            name,
                            rows.iter().map(|row| row.keys[i].as_i64().unwrap_or_default()).collect(),
                        ),
                        Key::Text(name) => Column::Str(
                            name,
                            rows.iter().map(|row| row.keys[i].as_str().unwrap_or_default()).collect(),
                        ),
                    });
                }
                columns.push(Column::Str("old", rows.iter().map(|row| row.old.as_str()).collect()));
                columns.push(Column::Str("new", rows.iter().map(|row| row.new.as_str()).collect()));
                let sql = postgres_update(column);
                let done = tx.rows_of_columns(&sql, vec![self.team.into(), sealed.into()], &columns).await?;
                count(&done)
            }
            Dialect::Sqlite => {
                let SealedColumn { table, column: name, keys, .. } = column;
                let matches: Vec<String> =
                    keys.iter().zip(5..).map(|(key, n)| format!("{} = ${n}", key.name())).collect();
                let sql = format!(
                    "UPDATE {table} SET {name} = $3, sealed = $2 WHERE team = $1 AND {name} = $4 AND {}",
                    matches.join(" AND ")
                );
                let mut n = 0;
                for row in rows {
                    let values: [Value; 4] =
                        [self.team.into(), sealed.into(), row.new.as_str().into(), row.old.as_str().into()];
                    let keys = row.keys.iter().map(json_value);
                    n += tx.execute(&sql, values.into_iter().chain(keys)).await?;
                }
                Ok(n)
            }
        }
    }
}

/// What becomes of the rows of a page: those that change, and the number of those that cannot be opened.
fn change_texts(
    keys: &TeamKeys,
    change: Change,
    column: &SealedColumn,
    read: Vec<StoredText>,
    entropy: &dyn Entropy,
) -> (Vec<TextRow>, u64) {
    let (mut changed, mut failed) = (Vec::new(), 0);
    for StoredText { keys: row, row_id, stored: old, .. } in read {
        let context = column.context(&row_id);
        let new = match change {
            Change::Rewrap => keys.rewrap(context, &old, entropy),
            Change::Seal => keys.seal(true, context, &old, entropy).map(|(sealed, _)| Some(sealed)),
            Change::Unseal => keys.open(true, context, old.clone()).map(Some),
        };
        match new {
            Ok(Some(new)) => changed.push(TextRow { keys: row, old, new }),
            Ok(None) => {}
            Err(error) => {
                failed += 1;
                tracing::error!(%error, table = column.table, row = row_id, "a sealed value cannot be opened");
            }
        }
    }
    (changed, failed)
}

/// The next rows of a text column that meet a condition, in the order of their keys, after `after`.
async fn texts_page(
    tx: &Tx,
    column: &SealedColumn,
    condition: &str,
    team: TeamNumber,
    after: Option<&[serde_json::Value]>,
    limit: usize,
) -> Result<Vec<StoredText>, DbError> {
    let SealedColumn { table, column: name, keys, row_id } = column;
    let selected = keys.iter().enumerate().map(|(i, key)| match key {
        Key::Int(name) => format!("CAST(x.{name} AS bigint) AS k{i}"),
        Key::Text(name) => format!("x.{name} AS k{i}"),
    });
    let selected: Vec<String> = selected.collect();
    let names: Vec<String> = keys.iter().map(|key| format!("x.{}", key.name())).collect();
    let names = names.join(", ");
    let beyond = match after {
        Some(_) => format!(" AND ({names}) > ({})", parameters(2, keys.len())),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {}, {row_id} AS row_id, x.{name} AS stored, x.sealed FROM {table} x{} \
         WHERE x.team = $1 AND x.{name} IS NOT NULL{condition}{beyond} ORDER BY {names} LIMIT {limit}",
        selected.join(", "),
        column.join()
    );
    let values = std::iter::once(team.into()).chain(after.into_iter().flatten().map(json_value));
    let rows = tx.rows(&sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(StoredText {
                keys: key_values(column, row)?,
                row_id: row.try_get("", "row_id")?,
                stored: row.try_get("", "stored")?,
                sealed: row.try_get("", "sealed")?,
            })
        })
        .collect()
}

/// `$2, $3`: `n` parameters, from `$from` on.
fn parameters(from: usize, n: usize) -> String {
    let parameters: Vec<String> = (from..from + n).map(|n| format!("${n}")).collect();
    parameters.join(", ")
}

#[cfg(feature = "postgres")]
fn postgres_update(column: &SealedColumn) -> String {
    let SealedColumn { table, column: name, keys, .. } = column;
    let kinds = keys.iter().map(|key| match key {
        Key::Int(_) => "bigint",
        Key::Text(_) => "text",
    });
    let arrays: Vec<String> =
        kinds.chain(["text", "text"]).zip(3..).map(|(kind, n)| format!("${n}::{kind}[]")).collect();
    let names: Vec<String> = (0..keys.len()).map(|i| format!("k{i}")).collect();
    let matches = |of: &str| {
        let matches: Vec<String> =
            keys.iter().zip(&names).map(|(key, k)| format!("x.{} = {of}.{k}", key.name())).collect();
        matches.join(" AND ")
    };
    format!(
        "WITH n AS (SELECT * FROM UNNEST({}) AS n({}, old, new)), \
         held AS (SELECT n.* FROM n JOIN {table} AS x ON x.team = $1 AND {} AND x.{name} = n.old \
           FOR NO KEY UPDATE OF x SKIP LOCKED), \
         done AS (UPDATE {table} AS x SET {name} = held.new, sealed = $2 FROM held \
           WHERE x.team = $1 AND {} AND x.{name} = held.old RETURNING 1) \
         SELECT COUNT(*) AS n FROM done",
        arrays.join(", "),
        names.join(", "),
        matches("n"),
        matches("held")
    )
}

/// The number that a query returns as `n`.
#[cfg(feature = "postgres")]
fn count(rows: &[QueryResult]) -> Result<u64, DbError> {
    let row = rows.first().map(|row| CountRow::from_query_result(row, "")).transpose()?;
    Ok(row.map_or(0, |row| u64::try_from(row.n).unwrap_or_default()))
}

fn key_values(column: &SealedColumn, row: &QueryResult) -> Result<Vec<serde_json::Value>, DbError> {
    let value = |(i, key): (usize, &Key)| {
        let name = format!("k{i}");
        Ok(match key {
            Key::Int(_) => row.try_get::<i64>("", &name)?.into(),
            Key::Text(_) => row.try_get::<String>("", &name)?.into(),
        })
    };
    column.keys.iter().enumerate().map(value).collect()
}

fn json_value(value: &serde_json::Value) -> Value {
    match value.as_i64() {
        Some(number) => number.into(),
        None => value.as_str().unwrap_or_default().into(),
    }
}

fn json(cursor: &Cursor) -> Result<String, DbError> {
    serde_json::to_string(cursor).map_err(|_| DbError::malformed("team_work", "cursor", "being written"))
}

/// The ids of a file's session, and its name.
#[derive(FromQueryResult)]
struct FileRow {
    session: i32,
    transcript: i16,
    session_id: String,
    name: String,
}

/// The names of files, by session and transcript. Few files have many segments, so this costs less than a join for each.
type Names = HashMap<(i32, i16), (String, String)>;

/// What the number of a session is multiplied by, to make one number of it and that of a transcript.
const TRANSCRIPTS: i64 = 1 << 16;

async fn names(tx: &Tx, team: TeamNumber, rows: &[WrappedRow]) -> Result<Names, DbError> {
    let files: BTreeSet<i64> =
        rows.iter().map(|row| i64::from(row.session) * TRANSCRIPTS + i64::from(row.transcript)).collect();
    let sql = format!(
        "SELECT s.number AS session, f.number AS transcript, s.session_id, f.name FROM {} \
         JOIN sessions s ON s.team = $1 AND s.number = wanted.n / {TRANSCRIPTS} \
         JOIN transcripts f ON f.team = $1 AND f.session = s.number AND f.number = wanted.n % {TRANSCRIPTS}",
        tx.dialect().numbers_from("wanted", 2)
    );
    let found: Vec<FileRow> = tx.all(&sql, [team.into(), tx.dialect().number_list(files)]).await?;
    let named = |row: FileRow| ((row.session, row.transcript), (row.session_id, row.name));
    Ok(found.into_iter().map(named).collect())
}

#[derive(FromQueryResult)]
struct WrappedRow {
    session: i32,
    transcript: i16,
    first_ordinal: i32,
    last_ordinal: i32,
    wrapped_dek: Option<Vec<u8>>,
}

/// A segment whose DEK was wrapped again.
struct Rewrapped {
    session: i64,
    transcript: i64,
    first_ordinal: i64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Batch<'_> {
    /// The DEKs of a batch of segments. Their bodies are neither read nor written.
    async fn wrapped(&self, cursor: &mut Cursor) -> Result<Written, DbError> {
        let tx = self.db.read_system("team_work.wrapped").await?;
        let after = if cursor.after.is_some() {
            " AND (session, transcript, first_ordinal) > ($2, $3, $4)"
        } else {
            ""
        };
        let (own, outer, join) = match tx.dialect().segment_key_table() {
            None => (", wrapped_dek", "g.wrapped_dek", String::new()),
            Some(table) => (
                "",
                "k.wrapped_dek",
                format!(
                    " LEFT JOIN {table} k ON k.team = g.team AND k.session = g.session \
                     AND k.transcript = g.transcript AND k.first_ordinal = g.first_ordinal"
                ),
            ),
        };
        // The page first: a plan that joins before it limits would sort the whole team.
        let sql = format!(
            "SELECT g.session, g.transcript, g.first_ordinal, g.last_ordinal, {outer} FROM \
             (SELECT team, session, transcript, first_ordinal, last_ordinal{own} FROM segments WHERE team = $1 \
               AND sealed{after} ORDER BY session, transcript, first_ordinal LIMIT {}) AS g{join} \
             ORDER BY g.session, g.transcript, g.first_ordinal",
            self.db.work_rows()
        );
        let rows: Vec<WrappedRow> = tx.all(&sql, self.page_values(cursor)).await?;
        let names = names(&tx, self.team, &rows).await?;
        drop(tx);
        let Some(last) = rows.last() else { return Ok(Written::End) };
        cursor.after = Some(vec![last.session.into(), last.transcript.into(), last.first_ordinal.into()]);
        let (keys, db) = (Arc::clone(&self.keys), self.db.clone());
        let work = move || rewrap_segments(&keys, &names, rows, db.entropy());
        let (changed, failed) = cpu::run("re-wrapping keys", work).await?;
        cursor.failed += failed;
        let (changed, at) = (&changed, &*cursor);
        let write = |tx: Arc<SystemTx>| async move {
            let n = self.write_wrapped(&tx, changed).await?;
            self.commit_batch(&tx, at.clone(), SEGMENTS_PLACE, changed.len(), n).await
        };
        let _ = self.db.write_system_or_refuse("team_work.write_wrapped", write).await?;
        Ok(Written::Committed)
    }

    async fn write_wrapped(&self, tx: &SystemTx, rows: &[Rewrapped]) -> Result<u64, DbError> {
        if rows.is_empty() {
            return Ok(0);
        }
        match tx.dialect() {
            #[cfg(not(feature = "postgres"))]
            Dialect::Postgres => Err(DbError::WithoutPostgres),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let sql = "WITH done AS (UPDATE segments AS g SET wrapped_dek = n.new \
                     FROM UNNEST($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[]) \
                     AS n(session, transcript, first_ordinal, old, new) \
                     WHERE g.team = $1 AND g.session = n.session AND g.transcript = n.transcript \
                     AND g.first_ordinal = n.first_ordinal AND g.wrapped_dek = n.old RETURNING 1) \
                     SELECT COUNT(*) AS n FROM done";
                let columns = [
                    Column::Int("session", rows.iter().map(|row| row.session).collect()),
                    Column::Int("transcript", rows.iter().map(|row| row.transcript).collect()),
                    Column::Int("first_ordinal", rows.iter().map(|row| row.first_ordinal).collect()),
                    Column::Bytes("old", rows.iter().map(|row| row.old.clone()).collect()),
                    Column::Bytes("new", rows.iter().map(|row| row.new.clone()).collect()),
                ];
                count(&tx.rows_of_columns(sql, vec![self.team.into()], &columns).await?)
            }
            Dialect::Sqlite => {
                let sql = "UPDATE segment_keys SET wrapped_dek = $6 WHERE team = $1 AND session = $2 \
                           AND transcript = $3 AND first_ordinal = $4 AND wrapped_dek = $5";
                let mut n = 0;
                for row in rows {
                    let values = [
                        self.team.into(),
                        row.session.into(),
                        row.transcript.into(),
                        row.first_ordinal.into(),
                        row.old.clone().into(),
                        row.new.clone().into(),
                    ];
                    n += tx.execute(sql, values).await?;
                }
                Ok(n)
            }
        }
    }
}

fn rewrap_segments(
    keys: &TeamKeys,
    names: &Names,
    rows: Vec<WrappedRow>,
    entropy: &dyn Entropy,
) -> (Vec<Rewrapped>, u64) {
    let (mut changed, mut failed) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        // One without a file belongs to a session that is being deleted.
        let Some((session_id, name)) = names.get(&(row.session, row.transcript)) else { continue };
        let row_id = format!("{session_id}/{name}/{}/{}", row.first_ordinal, row.last_ordinal);
        let old = row.wrapped_dek.unwrap_or_default();
        match keys.rewrap_segment(segment_context(&row_id), &old, entropy) {
            Ok(Some(new)) => changed.push(Rewrapped {
                session: row.session.into(),
                transcript: row.transcript.into(),
                first_ordinal: row.first_ordinal.into(),
                old,
                new,
            }),
            Ok(None) => {}
            Err(error) => {
                failed += 1;
                tracing::error!(%error, segment = row_id, "the key of a segment cannot be opened");
            }
        }
    }
    (changed, failed)
}

#[derive(FromQueryResult)]
struct PlaceRow {
    session_id: String,
    name: String,
    session: i32,
    transcript: i16,
    first_ordinal: i32,
}

/// A segment in its new form.
struct Converted {
    file: File,
    merged: Merged,
    new: Vec<SealedSegment>,
}

impl Batch<'_> {
    /// Converts a batch of segments. Each is replaced by one with the same lines and ordinals; its search terms are
    /// made again from its text.
    async fn segments(&self, cursor: &mut Cursor) -> Result<Written, DbError> {
        let tx = self.db.read_system("team_work.segments").await?;
        let condition = if self.change.wants_sealed() { " AND sealed" } else { " AND NOT sealed" };
        let limit = self.db.work_rows().min(SEGMENTS);
        let rows = segments_page(&tx, condition, self.team, cursor.after.as_deref(), limit).await?;
        let Some(last) = rows.last() else { return Ok(Written::End) };
        cursor.after = Some(vec![last.session.into(), last.transcript.into(), last.first_ordinal.into()]);
        let mut files = BTreeMap::new();
        let mut wanted = Vec::new();
        for row in &rows {
            wanted.push(SegmentKey {
                session: row.session,
                transcript: row.transcript,
                first_ordinal: row.first_ordinal,
            });
            let file = File {
                session_id: stored_id(&row.session_id, "sessions", "session_id")?,
                transcript: stored(&row.name, "transcripts", "name", &row.session_id)?,
                session: row.session,
                number: row.transcript,
            };
            files.insert((row.session, row.transcript), file);
        }
        let reader = Segments { tx: &tx, team_id: &self.work.team_id, team: self.team, keys: &self.keys };
        let read = reader.read(&wanted).await?;
        drop(tx);
        let search_key = self.db.keys().find_search_key(self.db, &self.work.team_id).await?;
        let version = search_key.as_ref().map(|key| key.version);
        let (keys, db, seals) = (Arc::clone(&self.keys), self.db.clone(), self.change.leaves_sealed());
        let work = move || {
            let convert = |read: ReadSegment| {
                let file = files.get(&(read.key.session, read.key.transcript))?.clone();
                let converted = join_now(vec![read], search_key.as_ref()).and_then(|mut merged| {
                    let content = std::mem::take(&mut merged.new);
                    let new = segments::seal(&keys, db.entropy(), seals, &file, content)?;
                    Ok(Converted { file, merged, new })
                });
                // One that cannot be opened is logged where it is read.
                converted.ok()
            };
            read.into_iter().map(convert).collect::<Vec<_>>()
        };
        let converted = cpu::run("converting segments", work).await?;
        cursor.failed += converted.iter().filter(|converted| converted.is_none()).count() as u64;
        let converted: Vec<Converted> = converted.into_iter().flatten().collect();
        let (converted, at) = (&converted, &*cursor);
        let write = |tx: Arc<SystemTx>| async move {
            let mut n = 0;
            for segment in converted {
                if self.replace(&tx, segment, version).await? {
                    n += 1;
                }
            }
            self.commit_batch(&tx, at.clone(), SEGMENTS_PLACE, converted.len(), n).await
        };
        let _ = self.db.write_system_or_refuse("team_work.write_segments", write).await?;
        Ok(Written::Committed)
    }

    /// Replaces a segment, if it is as it was read and the search key is the one that its terms were made with.
    async fn replace(
        &self,
        tx: &SystemTx,
        segment: &Converted,
        version: Option<u32>,
    ) -> Result<bool, DbError> {
        let team_id = &self.work.team_id;
        let segments = Segments { tx, team_id, team: self.team, keys: &self.keys };
        let Converted { file, merged, new } = segment;
        let Some(locked) = segments.lock(file, &merged.old).await? else { return Ok(false) };
        if tx.key_store().hold_search_key(tx, team_id).await? != version {
            return Ok(false);
        }
        segments.replace(file, locked, new.clone()).await?;
        let place = [self.team.into(), i64::from(file.session).into()];
        search::insert_terms(tx, &place, &merged.terms).await?;
        Ok(true)
    }
}

/// The next segments of a team that meet a condition, by file and ordinal, after `after`.
async fn segments_page(
    tx: &Tx,
    condition: &str,
    team: TeamNumber,
    after: Option<&[serde_json::Value]>,
    limit: usize,
) -> Result<Vec<PlaceRow>, DbError> {
    let beyond = match after {
        Some(_) => " AND (session, transcript, first_ordinal) > ($2, $3, $4)",
        None => "",
    };
    let sql = format!(
        "WITH page AS (SELECT team, session, transcript, first_ordinal, bytes FROM segments WHERE team = $1\
           {condition}{beyond} ORDER BY session, transcript, first_ordinal LIMIT {limit}), \
         sized AS (SELECT page.*, SUM(bytes) OVER (ORDER BY session, transcript, first_ordinal \
           ROWS UNBOUNDED PRECEDING) - bytes AS before FROM page) \
         SELECT s.session_id, f.name, g.session, g.transcript, g.first_ordinal FROM sized g \
         JOIN sessions s ON s.team = g.team AND s.number = g.session \
         JOIN transcripts f ON f.team = g.team AND f.session = g.session AND f.number = g.transcript \
         WHERE g.before < {SEGMENT_BYTES} ORDER BY g.session, g.transcript, g.first_ordinal"
    );
    let values = std::iter::once(team.into()).chain(after.into_iter().flatten().map(json_value));
    tx.all(&sql, values).await
}

/// How many values of a team each version of its content key has sealed; plaintext values count as 0. It reads every
/// row of the team, and opens nothing.
///
/// # Errors
/// [`DbError::Crypto`] if a value that is marked as sealed does not have the format.
pub(crate) async fn versions(tx: &Tx, team: TeamNumber) -> Result<BTreeMap<u32, u64>, DbError> {
    let mut found = BTreeMap::new();
    for column in SEALED_COLUMNS {
        let SealedColumn { table, column: name, .. } = column;
        // The six characters after the version and the nonce have the key's version.
        let sql = format!(
            "SELECT MIN({name}) AS example, sealed, COUNT(*) AS n FROM {table} WHERE team = $1 AND {name} IS NOT NULL \
             GROUP BY sealed, CASE WHEN sealed THEN SUBSTR({name}, 21, 6) ELSE '' END"
        );
        for row in tx.rows(&sql, [team.into()]).await? {
            let example: String = row.try_get("", "example")?;
            let n = u64::try_from(row.try_get::<i64>("", "n")?).unwrap_or_default();
            let version = if row.try_get("", "sealed")? { sealed_key_id(&example)? } else { 0 };
            *found.entry(version).or_default() += n;
        }
    }
    let (keys, join) = tx.dialect().segment_keys();
    let wrapped = keys.rsplit(' ').next().unwrap_or("wrapped_dek");
    let head = format!("SUBSTR({wrapped}, 1, 4)");
    let sql =
        format!("SELECT {head} AS head, COUNT(*) AS n FROM segments g{join} WHERE g.team = $1 GROUP BY 1");
    for row in tx.rows(&sql, [team.into()]).await? {
        let head: Option<Vec<u8>> = row.try_get("", "head")?;
        let n = u64::try_from(row.try_get::<i64>("", "n")?).unwrap_or_default();
        let version = match head {
            Some(head) => {
                let mut whole = [0; 64];
                whole.iter_mut().zip(&head).for_each(|(to, from)| *to = *from);
                wrapped_dek_key_id(&whole)?
            }
            None => 0,
        };
        *found.entry(version).or_default() += n;
    }
    Ok(found)
}

/// Opens every value of a team. Returns the number of those that could be opened, and for each other one its row and
/// the reason.
pub(crate) async fn open_all(db: &Db, team_id: &TeamId) -> Result<(u64, Vec<(String, String)>), DbError> {
    let (team, keys) = (db.team_number(team_id).await?, db.keys().load(db, team_id).await?);
    let (mut opened, mut failures) = (0, Vec::new());
    for column in SEALED_COLUMNS {
        let mut after: Option<Vec<serde_json::Value>> = None;
        loop {
            let tx = db.read_system("team_keys.open_texts").await?;
            let page = texts_page(&tx, column, "", team, after.as_deref(), db.work_rows()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.keys.clone());
            for row in page {
                match keys.open(row.sealed, column.context(&row.row_id), row.stored) {
                    Ok(_) => opened += 1,
                    Err(error) => {
                        failures.push((format!("{} {}", column.table, row.row_id), error.to_string()))
                    }
                }
            }
        }
    }
    let mut after: Option<Vec<serde_json::Value>> = None;
    loop {
        let tx = db.read_system("team_keys.open_segments").await?;
        let page = segments_page(&tx, "", team, after.as_deref(), SEGMENTS).await?;
        let Some(last) = page.last() else { break };
        after = Some(vec![last.session.into(), last.transcript.into(), last.first_ordinal.into()]);
        let place = |row: &PlaceRow| SegmentKey {
            session: row.session,
            transcript: row.transcript,
            first_ordinal: row.first_ordinal,
        };
        let wanted: Vec<SegmentKey> = page.iter().map(place).collect();
        let reader = Segments { tx: &tx, team_id, team, keys: &keys };
        for read in reader.read(&wanted).await? {
            let row = page.iter().find(|row| place(row) == read.key);
            match read.opened {
                Ok(_) => opened += 1,
                Err(error) => {
                    let row = row.map_or_else(String::new, |row| {
                        format!("segments {}/{}/{}", row.session_id, row.name, row.first_ordinal)
                    });
                    failures.push((row, error.to_string()));
                }
            }
        }
    }
    Ok((opened, failures))
}
