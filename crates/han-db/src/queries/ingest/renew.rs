//! Projects the messages of a session again from its log: their kinds, their positions, the times of those that have none of
//! their own, and what they say about the session. For `rebuild`, and for a batch with the time of lines that were stored
//! before it. What is derived from messages follows (`rederive`).
//!
//! The log is not changed. A damaged line whose records were not known when it was stored has one ordinal, but needs one for
//! each record. Its bytes are appended as another entry of the same line number, and its messages point there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use han_transcript::line_text;
use han_transcript::record::{LineContext, LineProjection, LineRecord, TimeSource, uuid_of_bytes};
use han_transcript::split::MAX_RECORDS;
use han_types::{SessionId, TranscriptName};
use sea_orm::{FromQueryResult, Value};

use super::prepare::{pack, project_line};
use super::{merge_record, own_time, place};
use crate::bulk_insert::{BulkInsert, Column};
use crate::cpu;
use crate::entities::{MessagePosition, SessionDetails};
use crate::keys::TeamKeys;
use crate::line_id::LineId;
use crate::page::MessageCursor;
use crate::queries::segments::{self, File, NewSegment, ReadSegment};
use crate::segments::{Entry, Segment};
use crate::stored::stored;
use crate::{DbError, ScopedTx};

/// A session whose messages are projected again. Its row is locked.
pub(crate) struct Renew<'a> {
    pub tx: &'a ScopedTx,
    pub keys: &'a Arc<TeamKeys>,
    pub seals: bool,
    pub session_id: &'a str,
    pub number: i32,
    /// A file whose lines before this ordinal have no time but that of their arrival.
    pub untimed: Option<(i16, i64)>,
    /// The ordinal of the next line in its log; `None` if no line is to be appended again.
    pub next_ordinal: Option<i64>,
}

/// What changed about the session.
pub(crate) struct Renewed {
    /// What is sealed of it.
    pub details: SessionDetails,
    /// The ordinal of the next line in its log, if lines were to be appended.
    pub next_ordinal: Option<i64>,
    /// The time of its latest message, purged ones included.
    pub last_activity_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct FileRow {
    number: i16,
    name: String,
}

#[derive(FromQueryResult)]
struct LastRow {
    at: Option<i64>,
}

#[derive(FromQueryResult)]
struct UuidRow {
    uuid: Vec<u8>,
}

#[derive(FromQueryResult)]
struct OrderRow {
    ordinal: i32,
    at: i64,
}

#[derive(FromQueryResult)]
struct LeafRow {
    uuid: Vec<u8>,
    ordinal: i32,
    at: i64,
}

/// What a pass over the log finds.
struct Pass {
    details: SessionDetails,
    regrown: BTreeMap<i16, Vec<Regrown>>,
    times: BTreeMap<i16, FileTimes>,
}

/// The times of the messages of a file.
#[derive(Default)]
struct FileTimes {
    /// Those that messages have of their own, in no order.
    own: Vec<i64>,
    untimed: Vec<Untimed>,
}

/// A message without a time of its own.
struct Untimed {
    ordinal: i64,
    /// The time that is stored.
    at: i64,
    /// The uuid of the line that it names.
    leaf: Option<[u8; 16]>,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
struct MessageRow {
    ordinal: i32,
    part: i16,
    at: i64,
    place: i16,
    kind: i16,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    agent_id: Option<String>,
    tool_name: Option<String>,
    model: Option<String>,
}

impl MessageRow {
    fn entry(&self) -> i64 {
        i64::from(self.ordinal) - i64::from(self.part)
    }
}

/// An entry of the log, projected.
struct ProjectedEntry {
    ordinal: i64,
    line: i64,
    bytes: usize,
    records: Vec<LineRecord>,
    /// The uuid of the whole line, which it had if its record was not found.
    of_bytes: LineId,
}

/// A damaged line whose entry has too few ordinals.
struct Regrown {
    line: i64,
    text: Vec<u8>,
    /// The message that points to the entry.
    row: MessageRow,
    records: Vec<LineRecord>,
    at: i64,
}

impl Renew<'_> {
    /// Projects all messages again.
    ///
    /// # Errors
    /// If a segment cannot be opened.
    pub(crate) async fn run(&self, details: SessionDetails) -> Result<Renewed, DbError> {
        let session: [Value; 2] = [self.tx.team(), i64::from(self.number).into()];
        let files: Vec<FileRow> = self
            .tx
            .all("SELECT number, name FROM transcripts WHERE team = $1 AND session = $2", session.clone())
            .await?;
        let files: HashMap<i16, String> = files.into_iter().map(|row| (row.number, row.name)).collect();
        let mut pass = self.pass(&files, details.clone()).await?;
        let mut next_ordinal = self.next_ordinal;
        let mut regrown = BTreeSet::new();
        if let Some(next_ordinal) = &mut next_ordinal {
            for (number, lines) in std::mem::take(&mut pass.regrown) {
                let name = files.get(&number).map(String::as_str).unwrap_or_default();
                self.regrow(number, name, lines, next_ordinal).await?;
                regrown.insert(number);
            }
        }
        if !regrown.is_empty() {
            pass = self.pass(&files, details.clone()).await?;
        }
        if self.settle(&mut pass.times, &regrown).await? {
            // The order of lines decides what they say about the session, and it is another one now.
            pass = self.pass(&files, details).await?;
        }
        let last = "SELECT MAX(at) AS at FROM (SELECT at FROM messages WHERE team = $1 AND session = $2 UNION ALL \
                    SELECT last_activity_at FROM purged_sessions WHERE team = $1 AND session = $2) AS times";
        let last_activity_at = self.tx.one::<LastRow, _>(last, session).await?.and_then(|row| row.at);
        Ok(Renewed { details: pass.details, next_ordinal, last_activity_at })
    }

    async fn pass(&self, files: &HashMap<i16, String>, details: SessionDetails) -> Result<Pass, DbError> {
        let mut pass =
            Pass { details: details.without_lines(), regrown: BTreeMap::new(), times: BTreeMap::new() };
        let (mut after, mut before) = (None, None);
        loop {
            let segments = self.tx.segments()?.next(self.number, after).await?;
            if segments.is_empty() {
                return Ok(pass);
            }
            for read in segments {
                let (transcript, last) = (read.key.transcript, read.stored.extent.last_ordinal);
                if after.is_none_or(|(before, _)| before != transcript) {
                    before = None;
                }
                let missing = || DbError::RowMissing {
                    table: "transcripts",
                    row: format!("{}/{transcript}", self.session_id),
                };
                let name = files.get(&transcript).ok_or_else(missing)?;
                self.segment(read, name, &mut before, &mut pass).await?;
                after = Some((transcript, last));
            }
        }
    }

    /// Renews the messages of a segment. `before` is the time of the entry before it in its file.
    async fn segment(
        &self,
        read: ReadSegment,
        name: &str,
        before: &mut Option<i64>,
        pass: &mut Pass,
    ) -> Result<(), DbError> {
        let ReadSegment { key, stored, opened } = read;
        let segment = opened?;
        let sql = format!(
            "SELECT ordinal, part, at, place, kind, uuid, uuid_text, agent_id, tool_name, model FROM messages \
             WHERE team = $1 AND session = $2 AND ordinal BETWEEN $3 AND $4 + {MAX_RECORDS} \
             AND ordinal - part BETWEEN $3 AND $4 AND transcript = $5 ORDER BY ordinal"
        );
        let extent = stored.extent;
        let values = [
            self.tx.team(),
            i64::from(self.number).into(),
            extent.first_ordinal.into(),
            extent.last_ordinal.into(),
            i64::from(key.transcript).into(),
        ];
        let mut rows: HashMap<i64, Vec<MessageRow>> = HashMap::new();
        for row in self.tx.all::<MessageRow, _>(&sql, values).await? {
            rows.entry(row.entry()).or_default().push(row);
        }
        let entries = self.project(Arc::clone(&segment), name).await?;
        let transcript: TranscriptName = stored_name(name, self.session_id)?;
        let now = self.tx.clock().now().0;
        let is_skewed = pass.details.clock_ahead_ms.is_some();
        let times = pass.times.entry(key.transcript).or_default();
        let mut extent_at: Option<(i64, i64)> = None;
        for entry in &entries {
            let known = rows.remove(&entry.ordinal).unwrap_or_default();
            for (part, record) in (0..).zip(&entry.records) {
                let place = place(&transcript, record);
                let row = known.iter().find(|row| row.part == part);
                // A time that was in the future when the line arrived is not believed later either.
                let is_believed = |at: &i64| !is_skewed || row.is_none_or(|row| row.at >= *at);
                let own = own_time(record, now).filter(is_believed);
                let at = own.or(row.map(|row| row.at)).or(*before).unwrap_or_default();
                *before = Some(at);
                let (first, last) = extent_at.unwrap_or((at, at));
                extent_at = Some((first.min(at), last.max(at)));
                let cursor = MessageCursor {
                    at,
                    transcript: name.to_owned(),
                    line: entry.line,
                    part: part.into(),
                    uuid: String::new(),
                };
                merge_record(&mut pass.details, &cursor, place, record);
                let Some(row) = row else { continue };
                self.row(row, entry, record, place, at, key.transcript, &transcript).await?;
                let leaf = match &record.time {
                    TimeSource::Leaf(uuid) => Some(LineId::of(uuid).bytes),
                    _ => None,
                };
                match own {
                    Some(at) => times.own.push(at),
                    None => times.untimed.push(Untimed { ordinal: row.ordinal.into(), at, leaf }),
                }
            }
            if let [row] = &known[..]
                && row.part == 0
                && entry.records.len() > 1
            {
                let text = segment.get(entry.ordinal).map(|entry| entry.text.to_vec()).unwrap_or_default();
                pass.regrown.entry(key.transcript).or_default().push(Regrown {
                    line: entry.line,
                    text,
                    row: row.clone(),
                    records: entry.records.clone(),
                    at: before.unwrap_or(row.at),
                });
            }
        }
        if let Some((first, last)) = extent_at.filter(|at| *at != (stored.first_at, stored.last_at)) {
            let sql = "UPDATE segments SET first_at = $5, last_at = $6 WHERE team = $1 AND session = $2 \
                       AND transcript = $3 AND first_ordinal = $4";
            let values = [
                self.tx.team(),
                i64::from(self.number).into(),
                i64::from(key.transcript).into(),
                extent.first_ordinal.into(),
                first.into(),
                last.into(),
            ];
            self.tx.execute(sql, values).await?;
        }
        Ok(())
    }

    /// Gives messages without a time of their own the time of the line that they name, of a line before them, or of a line
    /// after them; returns whether any changed. A time that a line of the file has stays: it is that of the line before it
    /// when it arrived. In the files `regrown`, the line before it may be one that was not known then.
    async fn settle(
        &self,
        files: &mut BTreeMap<i16, FileTimes>,
        regrown: &BTreeSet<i16>,
    ) -> Result<bool, DbError> {
        let started_at = files.values().flat_map(|times| &times.own).copied().min();
        let mut changes: Vec<[i64; 2]> = Vec::new();
        for (number, times) in files {
            times.own.sort_unstable();
            let is_known = |at: &i64| times.own.binary_search(at).is_ok();
            let untimed = self.untimed.filter(|(file, _)| file == number).map_or(0, |(_, ordinal)| ordinal);
            let bound = if regrown.contains(number) { i64::MAX } else { untimed };
            let is_open = |line: &&Untimed| line.ordinal < bound || !is_known(&line.at);
            let mut new: HashMap<i64, i64> = HashMap::new();
            if times.own.is_empty() {
                // Earlier versions kept the time of arrival here.
                let sql = "UPDATE transcripts SET last_line_at = NULL WHERE team = $1 AND session = $2 AND number = $3 \
                           AND last_line_at IS NOT NULL";
                let values = [self.tx.team(), i64::from(self.number).into(), i64::from(*number).into()];
                self.tx.execute(sql, values).await?;
                let lines = times.untimed.iter().map(|line| line.ordinal);
                new.extend(lines.filter_map(|ordinal| Some((ordinal, started_at?))));
            } else if times.untimed.iter().any(|line| is_open(&line)) {
                let open: BTreeSet<i64> =
                    times.untimed.iter().filter(is_open).map(|line| line.ordinal).collect();
                let untimed: BTreeSet<i64> = times.untimed.iter().map(|line| line.ordinal).collect();
                new = self.times_beside(*number, &open, &untimed).await?;
            }
            let named: HashMap<i64, [u8; 16]> =
                times.untimed.iter().filter_map(|line| Some((line.ordinal, line.leaf?))).collect();
            if !named.is_empty() {
                let leaves = self.leaves(*number, named.values()).await?;
                for (ordinal, leaf) in &named {
                    if let Some(leaf) =
                        leaves.get(&leaf[..]).filter(|leaf| !named.contains_key(&leaf.ordinal.into()))
                    {
                        let at = new.get(&leaf.ordinal.into()).copied().unwrap_or(leaf.at);
                        new.insert(*ordinal, at);
                    }
                }
            }
            let changed = times.untimed.iter().filter_map(|line| Some((line, *new.get(&line.ordinal)?)));
            changes.extend(changed.filter(|(line, at)| line.at != *at).map(|(line, at)| [line.ordinal, at]));
        }
        if changes.is_empty() {
            return Ok(false);
        }
        let (wanted, rows) =
            self.tx.dialect().number_rows(3, ["changed_ordinal", "new_at"], changes.into_iter());
        let sql = format!(
            "UPDATE messages SET at = new_at FROM {wanted} WHERE team = $1 AND session = $2 \
             AND ordinal = changed_ordinal"
        );
        let session: [Value; 2] = [self.tx.team(), i64::from(self.number).into()];
        self.tx.execute(&sql, session.into_iter().chain(rows)).await?;
        Ok(true)
    }

    /// The times of the nearest lines with a time, for the messages `open` of a file: before them, or else after them.
    async fn times_beside(
        &self,
        file: i16,
        open: &BTreeSet<i64>,
        untimed: &BTreeSet<i64>,
    ) -> Result<HashMap<i64, i64>, DbError> {
        let sql = "SELECT ordinal, at FROM messages WHERE team = $1 AND session = $2 AND transcript = $3 \
                   ORDER BY line, part, ordinal";
        let values = [self.tx.team(), i64::from(self.number).into(), i64::from(file).into()];
        let (mut times, mut before, mut first) = (HashMap::new(), None, Vec::new());
        for OrderRow { ordinal, at } in self.tx.all::<OrderRow, _>(sql, values).await? {
            let ordinal = i64::from(ordinal);
            if !untimed.contains(&ordinal) {
                times.extend(first.drain(..).map(|ordinal| (ordinal, at)));
                before = Some(at);
            } else if open.contains(&ordinal) {
                match before {
                    Some(at) => {
                        times.insert(ordinal, at);
                    }
                    None => first.push(ordinal),
                }
            }
        }
        Ok(times)
    }

    /// The messages of a file with these uuids, by them.
    async fn leaves(
        &self,
        file: i16,
        uuids: impl Iterator<Item = &[u8; 16]>,
    ) -> Result<HashMap<Vec<u8>, LeafRow>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT uuid, ordinal, at FROM messages WHERE team = $1 AND session = $2 AND transcript = $3 AND {}",
            dialect.is_any_bytes("uuid", 4)
        );
        let values = [
            self.tx.team(),
            i64::from(self.number).into(),
            i64::from(file).into(),
            dialect.byte_list(uuids.collect::<BTreeSet<_>>()),
        ];
        let rows: Vec<LeafRow> = self.tx.all(&sql, values).await?;
        Ok(rows.into_iter().map(|row| (row.uuid.clone(), row)).collect())
    }

    /// Projects the entries of a segment. CPU-bound, so it runs off the async threads.
    async fn project(&self, segment: Arc<Segment>, name: &str) -> Result<Vec<ProjectedEntry>, DbError> {
        let (session, name) = (self.session_id.to_owned(), name.to_owned());
        let work = move || {
            let at = LineContext { session_id: &session, transcript: &name };
            let entry = |entry: Entry<'_>| {
                let text = String::from_utf8_lossy(entry.text);
                let LineProjection { records, .. } = project_line(&session, &name, &text);
                ProjectedEntry {
                    ordinal: entry.ordinal,
                    line: entry.line,
                    bytes: entry.text.len(),
                    of_bytes: LineId::of(&uuid_of_bytes(&line_text(&text), &at)),
                    records,
                }
            };
            segment.entries().map(entry).collect()
        };
        cpu::run("projecting a session again", work).await
    }

    /// Writes a message, if it changed.
    #[expect(clippy::too_many_arguments, reason = "each is a column or identifies the row")]
    async fn row(
        &self,
        row: &MessageRow,
        entry: &ProjectedEntry,
        record: &LineRecord,
        place: MessagePosition,
        at: i64,
        number: i16,
        transcript: &TranscriptName,
    ) -> Result<(), DbError> {
        let agent_id = record.agent_id.as_deref().or(transcript.agent_id()).map(str::to_owned);
        let mut new = MessageRow {
            at,
            place: i16::try_from(place.code()).unwrap_or_default(),
            kind: record.kind.code(),
            // Lines of subagents in the session's own file have an id that is derived from other lines.
            agent_id: agent_id.or_else(|| row.agent_id.clone()),
            tool_name: record.tool_name.clone(),
            model: record.model.clone(),
            ..row.clone()
        };
        let own = LineId::of(&record.uuid);
        if row.uuid == entry.of_bytes.bytes
            && own != entry.of_bytes
            && self.known(number, [own.bytes]).await?.is_empty()
        {
            (new.uuid, new.uuid_text) = (own.bytes.to_vec(), own.text);
        }
        if new == *row {
            return Ok(());
        }
        let sql = "UPDATE messages SET at = $4, place = $5, kind = $6, uuid = $7, uuid_text = $8, agent_id = $9, \
                   tool_name = $10, model = $11, bytes = $12 WHERE team = $1 AND session = $2 AND ordinal = $3";
        let values = [
            self.tx.team(),
            i64::from(self.number).into(),
            i64::from(row.ordinal).into(),
            new.at.into(),
            i64::from(new.place).into(),
            i64::from(new.kind).into(),
            new.uuid.into(),
            new.uuid_text.into(),
            new.agent_id.into(),
            new.tool_name.into(),
            new.model.into(),
            i64::try_from(entry.bytes).unwrap_or(i64::MAX).into(),
        ];
        self.tx.execute(sql, values).await?;
        Ok(())
    }

    /// Which of these uuids messages of a file have.
    async fn known(
        &self,
        transcript: i16,
        uuids: impl IntoIterator<Item = [u8; 16]>,
    ) -> Result<BTreeSet<Vec<u8>>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT uuid FROM messages WHERE team = $1 AND session = $2 AND transcript = $3 AND {}",
            dialect.is_any_bytes("uuid", 4)
        );
        let values = [
            self.tx.team(),
            i64::from(self.number).into(),
            i64::from(transcript).into(),
            dialect.byte_list(uuids),
        ];
        let rows: Vec<UuidRow> = self.tx.all(&sql, values).await?;
        Ok(rows.into_iter().map(|row| row.uuid).collect())
    }

    /// Appends lines of a file with an ordinal for each of their records. Lines whose other records are all known stay.
    async fn regrow(
        &self,
        number: i16,
        name: &str,
        lines: Vec<Regrown>,
        next_ordinal: &mut i64,
    ) -> Result<(), DbError> {
        let transcript: TranscriptName = stored_name(name, self.session_id)?;
        let session_id: SessionId = stored(self.session_id, "sessions", "session_id", self.session_id)?;
        let file = File { session_id, transcript, session: self.number, number };
        for line in lines {
            let ids: Vec<LineId> = line.records.iter().map(|record| LineId::of(&record.uuid)).collect();
            let mut known = self.known(number, ids.iter().skip(1).map(|id| id.bytes)).await?;
            let new: Vec<(i64, &LineRecord, &LineId)> = (0..)
                .zip(&line.records)
                .zip(&ids)
                .skip(1)
                .filter(|(_, id)| known.insert(id.bytes.to_vec()))
                .map(|((part, record), id)| (part, record, id))
                .collect();
            if new.is_empty() {
                continue;
            }
            let ordinal = *next_ordinal;
            *next_ordinal += i64::try_from(line.records.len()).unwrap_or(i64::MAX);
            let packed = pack(std::iter::once(Entry { ordinal, line: line.line, text: &line.text }))?;
            let segment = packed.into_iter().map(|packed| NewSegment {
                extent: packed.extent,
                first_at: line.at,
                last_at: line.at,
                content: packed.content,
            });
            let sealed = segments::seal(self.keys, self.tx.entropy(), self.seals, &file, segment.collect())?;
            self.tx.segments()?.insert(&file, sealed).await?;
            let sql = "UPDATE messages SET ordinal = $4 WHERE team = $1 AND session = $2 AND ordinal = $3";
            let values = [
                self.tx.team(),
                i64::from(self.number).into(),
                i64::from(line.row.ordinal).into(),
                ordinal.into(),
            ];
            self.tx.execute(sql, values).await?;
            self.insert(&file, &line, ordinal, &new).await?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        file: &File,
        line: &Regrown,
        ordinal: i64,
        new: &[(i64, &LineRecord, &LineId)],
    ) -> Result<(), DbError> {
        let from_agent = file.transcript.agent_id();
        let now = self.tx.clock().now().0;
        let at = |record: &LineRecord| own_time(record, now).unwrap_or(line.at);
        let bytes = i64::try_from(line.text.len()).unwrap_or(i64::MAX);
        let insert = BulkInsert {
            table: "messages",
            constants: vec![
                ("team", self.tx.team()),
                ("session", i64::from(self.number).into()),
                ("transcript", i64::from(file.number).into()),
                ("line", line.line.into()),
                ("bytes", bytes.into()),
            ],
            columns: vec![
                Column::Int("ordinal", new.iter().map(|(part, ..)| ordinal + part).collect()),
                Column::Int("part", new.iter().map(|(part, ..)| *part).collect()),
                Column::Key("uuid", new.iter().map(|(.., id)| id.bytes).collect()),
                Column::NullableStr("uuid_text", new.iter().map(|(.., id)| id.text.as_deref()).collect()),
                Column::Int("at", new.iter().map(|(_, record, _)| at(record)).collect()),
                Column::Int(
                    "place",
                    new.iter().map(|(_, record, _)| place(&file.transcript, record).code()).collect(),
                ),
                Column::Int("kind", new.iter().map(|(_, record, _)| record.kind.code().into()).collect()),
                Column::NullableStr(
                    "agent_id",
                    new.iter().map(|(_, record, _)| record.agent_id.as_deref().or(from_agent)).collect(),
                ),
                Column::NullableStr(
                    "tool_name",
                    new.iter().map(|(_, record, _)| record.tool_name.as_deref()).collect(),
                ),
                Column::NullableStr(
                    "model",
                    new.iter().map(|(_, record, _)| record.model.as_deref()).collect(),
                ),
            ],
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }
}

fn stored_name(name: &str, row: &str) -> Result<TranscriptName, DbError> {
    stored(name, "transcripts", "name", row)
}
