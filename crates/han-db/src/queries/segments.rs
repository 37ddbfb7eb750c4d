//! The table `segments`: the log of physical lines. Writes segments, replaces them, and opens the ones that hold given
//! lines. `crate::segments` is the format of their content.
//!
//! All writes go through [`Segments::insert`] and [`Segments::replace`] (docs/ARCHITECTURE.md). A segment is never changed:
//! a merge, a conversion between plaintext and sealed, or a redaction reads, merges and seals outside, and then replaces
//! exactly the rows that it read.

use std::collections::HashMap;
use std::sync::Arc;

use han_crypto::Packed;
use han_types::{Entropy, SessionId, TeamId, TranscriptName};
use sea_orm::{FromQueryResult, Value};

use crate::bulk_insert::{BulkInsert, Column};
use crate::cpu;
use crate::keys::{SegmentColumns, TeamKeys};
use crate::segments::{self, Encoded, Extent, Segment, SegmentKey};
use crate::team_numbers::TeamNumber;
use crate::tx::Tx;
use crate::{DbError, ScopedTx};

/// Above this many bytes of content, segments are opened off the async threads.
const INLINE_BYTES: i64 = 64 << 10;

/// The most bytes of bodies in one statement of an insert; a longer body has its own statement.
const STATEMENT_BYTES: usize = 1 << 20;

/// Segments that are read at once while a session is read from beginning to end, and their bytes. A single segment may
/// be larger.
const AT_ONCE: i64 = 64;
const BYTES_AT_ONCE: i64 = 4 << 20;

/// The file that segments belong to: its ids and its numbers.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub session_id: SessionId,
    pub transcript: TranscriptName,
    pub session: i32,
    pub number: i16,
}

/// A segment to write. The numbers of `extent` are final.
#[derive(Clone, Debug)]
pub(crate) struct NewSegment {
    pub extent: Extent,
    /// The times of its earliest and its latest line, in milliseconds since the epoch.
    pub first_at: i64,
    pub last_at: i64,
    pub content: Packed,
}

impl NewSegment {
    /// A segment with this content and these times.
    pub(crate) fn new(encoded: &Encoded, first_at: i64, last_at: i64) -> Self {
        Self { extent: encoded.extent, first_at, last_at, content: Packed::new(&encoded.content) }
    }
}

/// A stored segment that is to be replaced, as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSegment {
    pub extent: Extent,
    pub first_at: i64,
    pub last_at: i64,
    pub sealed: bool,
    nonce: Option<Vec<u8>>,
}

/// The segments of a team, in a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Segments<'a> {
    pub tx: &'a Tx,
    pub team_id: &'a TeamId,
    pub team: TeamNumber,
    pub keys: &'a Arc<TeamKeys>,
}

/// A segment with its columns as they are stored.
#[derive(Clone)]
pub(crate) struct SealedSegment {
    extent: Extent,
    first_at: i64,
    last_at: i64,
    bytes: usize,
    sealed: bool,
    columns: SegmentColumns,
}

/// Seals segments of a file, if `seals` says so.
///
/// # Errors
/// If the team has no key to seal with.
pub(crate) fn seal(
    keys: &TeamKeys,
    entropy: &dyn Entropy,
    seals: bool,
    file: &File,
    new: Vec<NewSegment>,
) -> Result<Vec<SealedSegment>, DbError> {
    let seal = |segment: NewSegment| {
        let NewSegment { extent, first_at, last_at, content } = segment;
        let row_id = segments::row_id(&file.session_id, &file.transcript, &extent);
        let bytes = content.content_len();
        let columns = keys.seal_segment(seals, segments::context(&row_id), content, entropy)?;
        Ok(SealedSegment { extent, first_at, last_at, bytes, sealed: seals, columns })
    };
    new.into_iter().map(seal).collect()
}

impl ScopedTx {
    /// The team's segments.
    ///
    /// # Errors
    /// As [`ScopedTx::keys`].
    pub(crate) fn segments(&self) -> Result<Segments<'_>, DbError> {
        Ok(Segments { tx: self, team_id: self.team_id(), team: self.team_number(), keys: self.keys()? })
    }
}

impl Segments<'_> {
    /// Writes new segments. They must not overlap with others of their file.
    pub(crate) async fn insert(&self, file: &File, new: Vec<SealedSegment>) -> Result<(), DbError> {
        for insert in self.inserts(file, new) {
            insert.run(self.tx).await?;
        }
        Ok(())
    }

    /// The inserts that write new segments, as [`Segments::insert`], in this order.
    pub(crate) fn inserts(&self, file: &File, mut new: Vec<SealedSegment>) -> Vec<BulkInsert<'static>> {
        let mut inserts = Vec::new();
        while !new.is_empty() {
            let mut bytes = 0;
            let fits = new.iter().take_while(|segment| {
                bytes += segment.columns.body.len();
                bytes <= STATEMENT_BYTES
            });
            let rest = new.split_off(fits.count().max(1));
            inserts.extend(self.inserts_of_rows(file, std::mem::replace(&mut new, rest)));
        }
        inserts
    }

    fn inserts_of_rows(&self, file: &File, rows: Vec<SealedSegment>) -> Vec<BulkInsert<'static>> {
        let ints = |value: &dyn Fn(&SealedSegment) -> i64| -> Vec<i64> { rows.iter().map(value).collect() };
        let sealed: Vec<bool> = rows.iter().map(|row| row.sealed).collect();
        let any_sealed = sealed.contains(&true);
        let mut columns = vec![
            Column::Int("first_ordinal", ints(&|row| row.extent.first_ordinal)),
            Column::Int("last_ordinal", ints(&|row| row.extent.last_ordinal)),
            Column::Int("min_line", ints(&|row| row.extent.min_line)),
            Column::Int("max_line", ints(&|row| row.extent.max_line)),
            Column::Int("lines", ints(&|row| row.extent.lines)),
            Column::Int("bytes", ints(&|row| i64::try_from(row.bytes).unwrap_or(i64::MAX))),
            Column::Int("first_at", ints(&|row| row.first_at)),
            Column::Int("last_at", ints(&|row| row.last_at)),
            Column::Bool("sealed", sealed),
        ];
        let first_ordinals = ints(&|row| row.extent.first_ordinal);
        let (mut nonces, mut wrapped, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for SealedSegment { columns, .. } in rows {
            nonces.push(columns.nonce);
            wrapped.push(columns.wrapped_dek);
            bodies.push(columns.body);
        }
        columns.push(Column::Bytes("body", bodies));
        let mut keys =
            vec![Column::NullableBytes("nonce", nonces), Column::NullableBytes("wrapped_dek", wrapped)];
        // PostgreSQL stores the keys in the same row, SQLite in a table of their own.
        let own_table = self.tx.dialect().segment_key_table();
        if own_table.is_none() {
            columns.append(&mut keys);
        }
        let write = |table, columns| BulkInsert {
            table,
            constants: vec![
                ("team", self.team.into()),
                ("session", i64::from(file.session).into()),
                ("transcript", i64::from(file.number).into()),
            ],
            columns,
            on_conflict: "",
            returning: "",
        };
        let mut inserts = vec![write("segments", columns)];
        if let Some(table) = own_table.filter(|_| any_sealed) {
            keys.insert(0, Column::Int("first_ordinal", first_ordinals));
            inserts.push(write(table, keys));
        }
        inserts
    }

    /// Locks segments of a file that are to be replaced. `None` if one of them was replaced or deleted since it was read.
    ///
    /// Keep the transaction short: read, merge and [`seal`] before it. It does not lock the session's row: a deletion
    /// of the session deletes its segments, and then this finds none of them.
    pub(crate) async fn lock<'o>(
        &self,
        file: &File,
        old: &'o [StoredSegment],
    ) -> Result<Option<Locked<'o>>, DbError> {
        let number = i64::from(file.number);
        let wanted =
            old.iter().map(|segment| [number, segment.extent.first_ordinal, segment.extent.last_ordinal]);
        let lock = self.tx.dialect().for_update();
        let rows: Vec<ReplacedRow> = self.lock_rows(file.session, wanted, lock).await?;
        let mut locked: HashMap<i64, ReplacedRow> =
            rows.into_iter().map(|row| (row.first_ordinal.into(), row)).collect();
        let unchanged = old.iter().all(|segment| {
            let row = locked.remove(&segment.extent.first_ordinal);
            row.is_some_and(|row| row.nonce == segment.nonce && row.sealed == segment.sealed)
        });
        Ok(unchanged.then_some(Locked(old)))
    }

    /// Keeps segments of a session (each its file's number, its first and its last ordinal) from being replaced or deleted
    /// until the transaction ends; says whether all of them still exist.
    pub(crate) async fn hold(
        &self,
        session: i32,
        segments: impl ExactSizeIterator<Item = [i64; 3]>,
    ) -> Result<bool, DbError> {
        let expected = segments.len();
        let held = self.lock_rows(session, segments, self.tx.dialect().for_key_share()).await?;
        Ok(held.len() == expected)
    }

    async fn lock_rows(
        &self,
        session: i32,
        wanted: impl Iterator<Item = [i64; 3]>,
        lock: &str,
    ) -> Result<Vec<ReplacedRow>, DbError> {
        let dialect = self.tx.dialect();
        let (keys, join) = dialect.segment_keys();
        let columns = ["transcript", "first_ordinal", "last_ordinal"];
        let (wanted, values) = dialect.number_rows(3, columns, wanted);
        // In the order of their key, so that two transactions do not wait for each other.
        let sql = format!(
            "SELECT g.first_ordinal, {keys}, g.sealed FROM {wanted} JOIN segments g ON g.team = $1 AND g.session = $2 \
             AND g.transcript = wanted.transcript AND g.first_ordinal = wanted.first_ordinal \
             AND g.last_ordinal = wanted.last_ordinal{join} ORDER BY g.transcript, g.first_ordinal{lock}"
        );
        let session: [Value; 2] = [self.team.into(), i64::from(session).into()];
        self.tx.all(&sql, session.into_iter().chain(values)).await
    }

    fn file_values(&self, file: &File) -> [Value; 3] {
        [self.team.into(), i64::from(file.session).into(), i64::from(file.number).into()]
    }

    /// Replaces segments of a file by `new`, which holds the same lines. Their search terms go with them.
    pub(crate) async fn replace(
        &self,
        file: &File,
        old: Locked<'_>,
        new: Vec<SealedSegment>,
    ) -> Result<(), DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "DELETE FROM segments WHERE team = $1 AND session = $2 AND transcript = $3 AND {}",
            dialect.is_any("first_ordinal", 4)
        );
        let first = dialect.number_list(old.0.iter().map(|segment| segment.extent.first_ordinal));
        self.tx.execute(&sql, self.file_values(file).into_iter().chain([first])).await?;
        self.insert(file, new).await
    }
}

/// Segments as they were read, locked by a transaction until it ends.
pub(crate) struct Locked<'o>(&'o [StoredSegment]);

#[derive(FromQueryResult)]
struct ReplacedRow {
    first_ordinal: i32,
    nonce: Option<Vec<u8>>,
    sealed: bool,
}

#[derive(FromQueryResult)]
struct SegmentRow {
    session_id: String,
    name: String,
    session: i32,
    transcript: i16,
    first_ordinal: i32,
    last_ordinal: i32,
    min_line: i32,
    max_line: i32,
    lines: i32,
    bytes: i32,
    first_at: i64,
    last_at: i64,
    sealed: bool,
    nonce: Option<Vec<u8>>,
    wrapped_dek: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl SegmentRow {
    fn key(&self) -> SegmentKey {
        SegmentKey { session: self.session, transcript: self.transcript, first_ordinal: self.first_ordinal }
    }

    fn extent(&self) -> Extent {
        Extent {
            first_ordinal: self.first_ordinal.into(),
            last_ordinal: self.last_ordinal.into(),
            min_line: self.min_line.into(),
            max_line: self.max_line.into(),
            lines: self.lines.into(),
        }
    }

    fn row_id(&self) -> String {
        // As `segments::row_id`, from texts that need no validation to be compared with the AAD.
        format!("{}/{}/{}/{}", self.session_id, self.name, self.first_ordinal, self.last_ordinal)
    }

    fn open(self, keys: &TeamKeys) -> Result<Segment, DbError> {
        let (row_id, extent) = (self.row_id(), self.extent());
        let bytes = usize::try_from(self.bytes).unwrap_or_default();
        let columns = SegmentColumns { nonce: self.nonce, wrapped_dek: self.wrapped_dek, body: self.body };
        let content = keys.open_segment(self.sealed, segments::context(&row_id), columns, bytes)?;
        Segment::decode(&row_id, content, &extent)
    }
}

/// The columns of a [`SegmentRow`] and the tables that they come from, after `FROM segments g`.
fn source(tx: &Tx) -> (String, String) {
    let (keys, join) = tx.dialect().segment_keys();
    let columns = format!(
        "s.session_id, f.name, g.session, g.transcript, g.first_ordinal, g.last_ordinal, g.min_line, g.max_line, \
         g.lines, g.bytes, g.first_at, g.last_at, g.sealed, {keys}, g.body"
    );
    let joins = format!(
        "JOIN sessions s ON s.team = g.team AND s.number = g.session \
         JOIN transcripts f ON f.team = g.team AND f.session = g.session AND f.number = g.transcript{join}"
    );
    (columns, joins)
}

/// A segment, or why it cannot be opened: one that cannot be opened must not hide the others.
pub(crate) type Opened = Result<Arc<Segment>, DbError>;

/// A segment that was read.
pub(crate) struct ReadSegment {
    pub key: SegmentKey,
    pub stored: StoredSegment,
    pub opened: Opened,
}

impl Segments<'_> {
    /// Opens the segments with these keys. Those that the transaction opened before are not read again. Omits keys that
    /// do not exist.
    pub(crate) async fn open(&self, wanted: &[SegmentKey]) -> Result<HashMap<SegmentKey, Opened>, DbError> {
        let mut found: HashMap<SegmentKey, Opened> = HashMap::new();
        let mut missing = Vec::new();
        for key in wanted {
            match self.tx.opened().get(key) {
                Some(segment) => drop(found.insert(*key, Ok(segment))),
                None => missing.push(*key),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(found);
        }
        let rows = self.rows_of(&missing).await?;
        for read in self.open_rows(rows).await? {
            if let Ok(segment) = &read.opened {
                self.tx.opened().put(read.key, segment);
            }
            found.insert(read.key, read.opened);
        }
        Ok(found)
    }

    async fn rows_of(&self, keys: &[SegmentKey]) -> Result<Vec<SegmentRow>, DbError> {
        let (columns, joins) = source(self.tx);
        let (wanted, values) = self.tx.dialect().number_rows(
            2,
            ["session", "transcript", "first_ordinal"],
            keys.iter().map(|key| [key.session.into(), key.transcript.into(), key.first_ordinal.into()]),
        );
        let found = self.tx.dialect().joined_each(
            &wanted,
            "segments",
            "g",
            "g.team = $1 AND g.session = wanted.session AND g.transcript = wanted.transcript \
             AND g.first_ordinal = wanted.first_ordinal",
        );
        let sql = format!("SELECT {columns} FROM {found} {joins}");
        self.tx.all(&sql, std::iter::once(self.team.into()).chain(values)).await
    }

    /// The next segments of a session that hold entries after `after` (the number of a file and an ordinal), by file and
    /// ordinal: a few at a time, so that a session of any size is read in bounded memory. Empty at the end. They are not
    /// kept. Segments may be merged meanwhile, so the first one may begin with entries that were read before.
    pub(crate) async fn next(
        &self,
        session: i32,
        after: Option<(i16, i64)>,
    ) -> Result<Vec<ReadSegment>, DbError> {
        let (columns, joins) = source(self.tx);
        let (transcript, ordinal) = after.unwrap_or((-1, -1));
        let sql = format!(
            "WITH next AS (SELECT transcript, first_ordinal, bytes FROM segments WHERE team = $1 AND session = $2 \
             AND transcript >= $3 AND (transcript > $3 OR last_ordinal > $4) \
             ORDER BY transcript, first_ordinal LIMIT {AT_ONCE}), \
             sized AS (SELECT transcript, first_ordinal, SUM(bytes) OVER (ORDER BY transcript, first_ordinal \
             ROWS UNBOUNDED PRECEDING) - bytes AS before FROM next) \
             SELECT {columns} FROM sized JOIN segments g ON g.team = $1 AND g.session = $2 \
             AND g.transcript = sized.transcript AND g.first_ordinal = sized.first_ordinal {joins} \
             WHERE sized.before < {BYTES_AT_ONCE} ORDER BY g.transcript, g.first_ordinal"
        );
        let values: [Value; 4] =
            [self.team.into(), i64::from(session).into(), i64::from(transcript).into(), ordinal.into()];
        let rows = self.tx.all(&sql, values).await?;
        self.open_rows(rows).await
    }

    /// The keys of a file's segments that hold one of these ordinals, or a line with one of these numbers, by ordinal.
    pub(crate) async fn holding(
        &self,
        file: &File,
        ordinals: impl Iterator<Item = i64>,
        lines: impl Iterator<Item = i64>,
    ) -> Result<Vec<SegmentKey>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT g.first_ordinal FROM segments g WHERE g.team = $1 AND g.session = $2 AND g.transcript = $3 \
             AND (EXISTS (SELECT 1 FROM {} WHERE o.n BETWEEN g.first_ordinal AND g.last_ordinal) \
             OR EXISTS (SELECT 1 FROM {} WHERE l.n BETWEEN g.min_line AND g.max_line)) ORDER BY g.first_ordinal",
            dialect.numbers_from("o", 4),
            dialect.numbers_from("l", 5)
        );
        let values = [
            self.team.into(),
            i64::from(file.session).into(),
            i64::from(file.number).into(),
            dialect.number_list(ordinals),
            dialect.number_list(lines),
        ];
        let rows: Vec<FirstRow> = self.tx.all(&sql, values).await?;
        let key = |row: FirstRow| SegmentKey {
            session: file.session,
            transcript: file.number,
            first_ordinal: row.first_ordinal,
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Opens segments one after another and passes each to `visit`, in the order of `keys`. They are not kept, so this
    /// takes bounded memory whatever their number. Returns whether all exist: a merge may have replaced one since its key
    /// was read.
    pub(crate) async fn visit(
        &self,
        keys: &[SegmentKey],
        mut visit: impl FnMut(&Segment),
    ) -> Result<bool, DbError> {
        for key in keys {
            let Some(read) = self.read(std::slice::from_ref(key)).await?.pop() else { return Ok(false) };
            visit(&*read.opened?);
        }
        Ok(true)
    }

    /// Opens segments without keeping them. Omits keys that do not exist.
    pub(crate) async fn read(&self, keys: &[SegmentKey]) -> Result<Vec<ReadSegment>, DbError> {
        let rows = self.rows_of(keys).await?;
        self.open_rows(rows).await
    }

    /// Decrypts, decompresses and decodes segments; off the async threads if they are large.
    async fn open_rows(&self, rows: Vec<SegmentRow>) -> Result<Vec<ReadSegment>, DbError> {
        let versions = rows.iter().filter_map(|row| {
            row.wrapped_dek.as_deref().and_then(|wrapped| han_crypto::wrapped_dek_key_id(wrapped).ok())
        });
        let keys = self.tx.keys_holding(self.team_id, self.keys, versions).await?;
        let inline = rows.iter().map(|row| i64::from(row.bytes)).sum::<i64>() <= INLINE_BYTES;
        let work = move || rows.into_iter().map(|row| row.read(&keys)).collect();
        if inline { Ok(work()) } else { cpu::run_queued("opening segments", work).await }
    }
}

#[derive(FromQueryResult)]
struct FirstRow {
    first_ordinal: i32,
}

impl SegmentRow {
    fn read(self, keys: &TeamKeys) -> ReadSegment {
        let (key, row_id) = (self.key(), self.row_id());
        let stored = StoredSegment {
            extent: self.extent(),
            first_at: self.first_at,
            last_at: self.last_at,
            sealed: self.sealed,
            nonce: self.nonce.clone(),
        };
        let opened = self.open(keys).map(Arc::new).inspect_err(|error| {
            tracing::error!(%error, segment = row_id, "a segment cannot be opened");
        });
        ReadSegment { key, stored, opened }
    }
}
