//! What the log knows about the lines of a batch: which of them it holds, and what becomes of the others.
//!
//! * A line is a *duplicate* if the newest entry of its line number has the same bytes. It is not stored again.
//! * Any other line is stored as an entry of the log. Whether it is also a message depends on its uuid:
//!   * The uuid is new: it is a message.
//!   * The uuid's message has the same bytes at another line (a compaction appends history again): a *repeat*, which has
//!     an entry only. If the message's line holds it no longer, the message *moves* to the line of the repeat.
//!   * The uuid's message is at the same line, or its line is no longer in the file: a *revision*. The message points to
//!     the most complete entry: the longest one, of equally long ones the latest.
//!   * The uuid's message has other bytes at another line of the current file: a *second* message of the uuid, under a
//!     UUIDv5 of its bytes. It keeps that id when its line is revised, and a line with its first bytes is its repeat.
//!
//! A damaged line may have several records. It is one entry, and each of its records is a message with its own uuid and its
//! own bytes. White space around a record, and padding, do not distinguish it from another one.
//!
//! Segments are opened one after another and not kept: of each entry that matters, its hash and its uuids are.

use std::collections::{BTreeSet, HashMap, HashSet};

use han_crypto::to_hex;
use han_transcript::line_text;
use han_transcript::record::{LineContext, LineProjection, LineRecord, OMITTED_LINE, uuid_of_bytes};
use han_transcript::split::record_texts;
use sea_orm::FromQueryResult;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Placed;
use super::prepare::{BatchLine, project_line};
use crate::line_id::LineId;
use crate::queries::segments::File;
use crate::segments::Segment;
use crate::{DbError, ScopedTx};

/// What becomes of the lines of a batch.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The positions in the batch of the lines that are stored, in order.
    pub entries: Vec<usize>,
    /// New messages: the position of the record, and the message's id.
    pub messages: Vec<(usize, LineId)>,
    /// Messages that get another record: the ordinal of the present one, and the position of the new one.
    pub revisions: Vec<(i64, usize)>,
    /// Messages whose line has another number now.
    pub moves: Vec<Move>,
    /// The ordinals of messages that are markers of omitted lines, which arrived now.
    pub filled: Vec<i64>,
    /// Whether the batch only replaces markers of omitted lines.
    pub only_fills: bool,
    /// Whether lines of the batch were purged, and are therefore not stored.
    pub has_purged: bool,
}

impl Plan {
    /// The records of all `lines` lines are new messages.
    pub(super) fn all_new(lines: usize, placed: &[Placed<'_>]) -> Self {
        let messages =
            placed.iter().enumerate().map(|(position, placed)| (position, placed.record.id.clone()));
        Self { entries: (0..lines).collect(), messages: messages.collect(), ..Self::default() }
    }

    /// Whether messages change or disappear.
    pub(super) fn revises(&self) -> bool {
        !self.revisions.is_empty() || !self.filled.is_empty()
    }
}

/// A message that is at another line of its file now, unchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub ordinal: i64,
    pub from: i64,
    pub to: i64,
}

type Hash = [u8; 32];

fn hash(text: &[u8]) -> Hash {
    Sha256::digest(text).into()
}

/// An entry of the log.
#[derive(Clone, Debug)]
struct Entry {
    ordinal: i64,
    hash: Hash,
    records: Vec<EntryRecord>,
    damaged: bool,
    /// The line that a client omitted because it was too large, if this is its marker.
    omitted: Option<OmittedLine>,
}

impl Entry {
    fn record(&self, uuid: [u8; 16]) -> Option<&EntryRecord> {
        self.records.iter().find(|record| record.uuid == uuid)
    }
}

/// A record of an entry.
#[derive(Clone, Debug)]
struct EntryRecord {
    uuid: [u8; 16],
    own: Bytes,
    /// Its ordinal, and those of the same record in the entries of the line before.
    ordinals: Vec<i64>,
}

/// The bytes of a record, without what is around it in its line: a line that was read with another line ending, or was
/// repaired, has the same record.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    hash: Hash,
    len: usize,
}

impl Bytes {
    fn of(text: &str) -> Self {
        Self { hash: hash(text.as_bytes()), len: text.len() }
    }
}

/// The bytes of each record of a line, given as it was received.
fn bytes_of_records(body: &str) -> Vec<Bytes> {
    // An object is one record.
    if body.starts_with('{') {
        return vec![Bytes::of(body.trim_end())];
    }
    record_texts(&line_text(body)).into_iter().map(Bytes::of).collect()
}

/// What the marker of an omitted line says about it.
#[derive(Clone, Debug, Deserialize)]
struct OmittedLine {
    bytes: u64,
    /// In lowercase hexadecimal.
    sha256: String,
}

impl OmittedLine {
    fn of(record: &LineRecord, text: &str) -> Option<Self> {
        if record.line_type != OMITTED_LINE {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// Whether this is the line: its length and its SHA-256 are as the marker says.
    fn is(&self, line: &BatchLine) -> bool {
        let text = line_text(&line.text);
        self.bytes == text.len() as u64 && self.sha256 == to_hex(&hash(text.as_bytes()))
    }
}

/// The message of a uuid.
#[derive(Clone, Debug)]
struct Known {
    at: Position,
    line: i64,
    bytes: usize,
    hash: Option<Hash>,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// Stored, with this ordinal, at this position among the records of its line.
    Stored { ordinal: i64, part: i64 },
    /// The message with this position in [`Plan::messages`].
    New(usize),
    /// Revised by the line with this position in [`Plan::revisions`].
    Revised(usize),
}

#[derive(FromQueryResult)]
struct KnownRow {
    uuid: Vec<u8>,
    ordinal: i32,
    line: i32,
    part: i16,
    bytes: i32,
}

impl KnownRow {
    fn known(&self) -> Result<([u8; 16], Known), DbError> {
        let malformed = || DbError::malformed("messages", "uuid", self.ordinal);
        let uuid = <[u8; 16]>::try_from(self.uuid.as_slice()).map_err(|_| malformed())?;
        let known = Known {
            at: Position::Stored { ordinal: self.ordinal.into(), part: self.part.into() },
            line: self.line.into(),
            bytes: usize::try_from(self.bytes).unwrap_or_default(),
            hash: None,
        };
        Ok((uuid, known))
    }
}

/// Compares a batch with the log of its file.
pub(super) struct Comparison<'a> {
    pub tx: &'a ScopedTx,
    pub file: &'a File,
    pub placed: &'a [Placed<'a>],
    /// The number of lines of the batch.
    pub lines: usize,
    /// The physical line after the batch.
    pub end: i64,
    /// Whether the batch says where it begins. Otherwise its lines are appended, and a line is a duplicate if its uuid is
    /// known with the same bytes.
    pub has_offset: bool,
    /// Whether the log may hold lines with the numbers of the batch.
    pub overlaps: bool,
}

impl Comparison<'_> {
    pub(super) async fn plan(&self) -> Result<Plan, DbError> {
        let mut newest = HashMap::new();
        if self.overlaps {
            let lines: HashSet<i64> = self.placed.iter().map(|placed| placed.physical).collect();
            self.read_entries(&HashMap::new(), &lines, &mut HashMap::new(), &mut newest).await?;
        }
        let batch = self.batch_lines();
        let is_duplicate = |line: &BatchEntry<'_>| {
            newest.get(&line.physical).is_some_and(|entry: &Entry| entry.hash == line.hash)
        };
        let fresh: Vec<&BatchEntry<'_>> = batch.iter().filter(|line| !is_duplicate(line)).collect();
        let mut known = self.known(&fresh).await?;
        let seconds = self.seconds(&fresh, &newest, &mut known).await?;

        // Of the messages that lines compete with: their bytes, and the newest entries at their lines.
        let mut ordinals: HashMap<i64, HashSet<i64>> = HashMap::new();
        for known in known.values() {
            if let Position::Stored { ordinal, part } = known.at {
                ordinals.entry(ordinal - part).or_default().insert(part);
            }
        }
        let lines: HashSet<i64> =
            known.values().map(|known| known.line).filter(|line| !newest.contains_key(line)).collect();
        let mut by_ordinal = HashMap::new();
        if !ordinals.is_empty() {
            self.read_entries(&ordinals, &lines, &mut by_ordinal, &mut newest).await?;
        }
        for known in known.values_mut() {
            if let Position::Stored { ordinal, .. } = known.at
                && let Some(own) = by_ordinal.get(&ordinal)
            {
                (known.hash, known.bytes) = (Some(own.hash), own.len);
            }
        }
        Ok(self.decide(&fresh, known, &newest, &seconds))
    }

    /// The lines of the batch with their bytes.
    fn batch_lines(&self) -> Vec<BatchEntry<'_>> {
        let mut lines: Vec<BatchEntry<'_>> = Vec::with_capacity(self.lines);
        for (position, placed) in self.placed.iter().enumerate() {
            if lines.last().is_none_or(|line| line.index != placed.index) {
                let own = bytes_of_records(&placed.line.text);
                lines.push(BatchEntry {
                    index: placed.index,
                    physical: placed.physical,
                    line: placed.line,
                    hash: match own[..] {
                        [one] if one.len == placed.line.text.len() => one.hash,
                        _ => hash(placed.line.text.as_bytes()),
                    },
                    first: position,
                    own,
                });
            }
        }
        lines
    }

    fn decide(
        &self,
        fresh: &[&BatchEntry<'_>],
        mut known: HashMap<[u8; 16], Known>,
        newest: &HashMap<i64, Entry>,
        seconds: &HashMap<(i64, [u8; 16]), LineId>,
    ) -> Plan {
        let mut plan = Plan { only_fills: !fresh.is_empty(), ..Plan::default() };
        // What the file has at a line after this batch.
        let lines: HashMap<i64, &BatchEntry<'_>> = fresh.iter().map(|line| (line.physical, *line)).collect();
        // Whether a line of the file is still the one that a message came from.
        let holds = |id: [u8; 16], message: &Known| match lines.get(&message.line) {
            Some(line) => line
                .records()
                .any(|(position, own)| self.id(position) == id || Some(own.hash) == message.hash),
            None => newest.get(&message.line).is_some_and(|entry| {
                entry.records.iter().any(|record| record.uuid == id || Some(record.own.hash) == message.hash)
            }),
        };
        for line in fresh {
            let before = newest.get(&line.physical);
            let filled =
                before.filter(|before| before.omitted.as_ref().is_some_and(|omitted| omitted.is(line.line)));
            let fills = filled.is_some();
            plan.filled.extend(filled.map(|marker| marker.ordinal));
            // Without an offset, a line whose records are all known is a duplicate.
            let mut is_stored = self.has_offset;
            for (position, own) in line.records() {
                let mut id = self.placed[position].record.id.clone();
                if let Some(message) = known.get(&id.bytes)
                    && (message.line != line.physical || line.has_before(position, self.placed))
                    && message.hash != Some(own.hash)
                {
                    let of_bytes = self.id_of_bytes(position);
                    if known.contains_key(&of_bytes.bytes) {
                        id = of_bytes;
                    } else if holds(id.bytes, message) {
                        id = seconds.get(&(line.physical, id.bytes)).cloned().unwrap_or(of_bytes);
                    }
                }
                let Some(message) = known.get_mut(&id.bytes) else {
                    let at = Position::New(plan.messages.len());
                    let message = Known { at, line: line.physical, bytes: own.len, hash: Some(own.hash) };
                    known.insert(id.bytes, message);
                    plan.messages.push((position, id));
                    is_stored = true;
                    continue;
                };
                let is_repeat = message.hash == Some(own.hash);
                if is_repeat && !self.has_offset {
                    continue;
                }
                is_stored = true;
                if is_repeat && (message.line != line.physical || line.has_before(position, self.placed)) {
                    // The file ends after this batch, as far as is known.
                    let left = message.line >= self.end || !holds(id.bytes, message);
                    if let (true, Position::Stored { ordinal, .. }) = (left, message.at) {
                        plan.moves.push(Move { ordinal, from: message.line, to: line.physical });
                        message.line = line.physical;
                    }
                    continue;
                }
                // Of entries of one message, the most complete one counts. Another line ending is no revision.
                let is_damaged = line.line.damaged || before.is_some_and(|before| before.damaged);
                if own.len < message.bytes || (is_repeat && !is_damaged) {
                    continue;
                }
                match message.at {
                    Position::New(index) => plan.messages[index].0 = position,
                    Position::Revised(index) => plan.revisions[index].1 = position,
                    Position::Stored { ordinal, .. } => {
                        message.at = Position::Revised(plan.revisions.len());
                        plan.revisions.push((ordinal, position));
                    }
                }
                (message.line, message.bytes, message.hash) = (line.physical, own.len, Some(own.hash));
            }
            if is_stored {
                plan.entries.push(line.index);
                plan.only_fills &= fills;
            }
        }
        // A message that moved and then was revised has its line from the revision.
        let revised: HashSet<i64> = plan.revisions.iter().map(|(ordinal, _)| *ordinal).collect();
        plan.moves.retain(|moved| !revised.contains(&moved.ordinal));
        plan
    }

    /// The id of a record by its own uuid.
    fn id(&self, position: usize) -> [u8; 16] {
        self.placed[position].record.id.bytes
    }

    /// The id of a record whose uuid another record of the file has.
    fn id_of_bytes(&self, position: usize) -> LineId {
        let at = LineContext {
            session_id: self.file.session_id.as_str(),
            transcript: self.file.transcript.as_str(),
        };
        let placed = &self.placed[position];
        let line = line_text(&placed.line.text);
        let texts = record_texts(&line);
        let text = usize::try_from(placed.part).ok().and_then(|part| texts.get(part)).copied();
        LineId::of(&uuid_of_bytes(text.unwrap_or(&line), &at))
    }

    /// The messages with the ids that these lines' records have, or would get as the second of their uuid.
    async fn known(&self, fresh: &[&BatchEntry<'_>]) -> Result<HashMap<[u8; 16], Known>, DbError> {
        let positions = || fresh.iter().flat_map(|line| line.records()).map(|(position, _)| position);
        let own: BTreeSet<[u8; 16]> = positions().map(|position| self.id(position)).collect();
        let mut known = self.messages(&own).await?;
        let mut seen = HashSet::new();
        let second: BTreeSet<[u8; 16]> = positions()
            .filter(|position| {
                let uuid = self.id(*position);
                !seen.insert(uuid) || known.contains_key(&uuid)
            })
            .map(|position| self.id_of_bytes(position).bytes)
            .collect();
        if !second.is_empty() {
            known.extend(self.messages(&second).await?);
        }
        Ok(known)
    }

    async fn messages(&self, uuids: &BTreeSet<[u8; 16]>) -> Result<HashMap<[u8; 16], Known>, DbError> {
        let dialect = self.tx.dialect();
        let sql = dialect.find_each(
            &[dialect.bytes_from("wanted", 4)],
            "messages",
            "uuid, ordinal, line, part, bytes",
            "team = $1 AND session = $2 AND transcript = $3 AND uuid = wanted.key",
        );
        let values = [
            self.tx.team(),
            i64::from(self.file.session).into(),
            i64::from(self.file.number).into(),
            dialect.byte_list(uuids),
        ];
        let rows: Vec<KnownRow> = self.tx.all(&sql, values).await?;
        rows.iter().map(KnownRow::known).collect()
    }

    /// The ids of second messages, by the lines of the batch that they are at and the uuids of their records. Adds these
    /// messages to `known`.
    async fn seconds(
        &self,
        fresh: &[&BatchEntry<'_>],
        newest: &HashMap<i64, Entry>,
        known: &mut HashMap<[u8; 16], Known>,
    ) -> Result<HashMap<(i64, [u8; 16]), LineId>, DbError> {
        // By the ordinals that the record had at its line.
        let mut lines: HashMap<i64, (i64, [u8; 16])> = HashMap::new();
        for line in fresh {
            let Some(before) = newest.get(&line.physical) else { continue };
            for record in line.records().filter_map(|(position, _)| before.record(self.id(position))) {
                if known.get(&record.uuid).is_some_and(|message| message.line != line.physical) {
                    let of_record = (line.physical, record.uuid);
                    lines.extend(record.ordinals.iter().map(|ordinal| (*ordinal, of_record)));
                }
            }
        }
        if lines.is_empty() {
            return Ok(HashMap::new());
        }
        let dialect = self.tx.dialect();
        let sql = dialect.find_each(
            &[dialect.numbers_from("wanted", 3)],
            "messages",
            "uuid, ordinal, line, part, bytes",
            "team = $1 AND session = $2 AND ordinal = wanted.n",
        );
        let values =
            [self.tx.team(), i64::from(self.file.session).into(), dialect.number_list(lines.keys().copied())];
        let mut seconds = HashMap::new();
        for row in self.tx.all::<KnownRow, _>(&sql, values).await? {
            let (bytes, message) = row.known()?;
            if let Some((line, uuid)) = lines.get(&row.ordinal.into())
                && *uuid != bytes
            {
                // Such an id is a UUID, which has no other text.
                seconds.insert((*line, *uuid), LineId { bytes, text: None });
                known.entry(bytes).or_insert(message);
            }
        }
        Ok(seconds)
    }

    /// Reads the records at these positions of the entries with these ordinals, and the newest entry of each of these lines.
    /// Reads again what a merge of segments replaced meanwhile.
    async fn read_entries(
        &self,
        ordinals: &HashMap<i64, HashSet<i64>>,
        lines: &HashSet<i64>,
        by_ordinal: &mut HashMap<i64, Bytes>,
        newest: &mut HashMap<i64, Entry>,
    ) -> Result<(), DbError> {
        let File { session_id, transcript, .. } = self.file;
        // By ordinal, so that a later entry of a line replaces an earlier one.
        let mut visit = |segment: &Segment| {
            for entry in segment.entries() {
                let (parts, is_newest) = (ordinals.get(&entry.ordinal), lines.contains(&entry.line));
                if parts.is_none() && !is_newest {
                    continue;
                }
                let text = String::from_utf8_lossy(entry.text);
                let own = bytes_of_records(&text);
                for part in parts.into_iter().flatten() {
                    let record = usize::try_from(*part).ok().and_then(|part| own.get(part));
                    by_ordinal.extend(record.map(|record| (entry.ordinal + part, *record)));
                }
                if is_newest {
                    let projected = project_line(session_id.as_str(), transcript.as_str(), &text);
                    let damaged = projected.is_damaged();
                    let LineProjection { records, .. } = projected;
                    let before = newest.remove(&entry.line);
                    let omitted = records.first().and_then(|record| OmittedLine::of(record, &text));
                    let record = |((part, record), own): ((i64, LineRecord), Bytes)| {
                        let uuid = LineId::of(&record.uuid).bytes;
                        let before = before.as_ref().and_then(|before| before.record(uuid));
                        let mut ordinals = before.map(|before| before.ordinals.clone()).unwrap_or_default();
                        ordinals.push(entry.ordinal + part);
                        EntryRecord { uuid, own, ordinals }
                    };
                    let entry_of_line = Entry {
                        ordinal: entry.ordinal,
                        hash: hash(entry.text),
                        records: (0..).zip(records).zip(own).map(record).collect(),
                        damaged,
                        omitted,
                    };
                    newest.insert(entry.line, entry_of_line);
                }
            }
        };
        let segments = self.tx.segments()?;
        loop {
            let (ordinals, lines) = (ordinals.keys().copied(), lines.iter().copied());
            let keys = segments.holding(self.file, ordinals, lines).await?;
            if segments.visit(&keys, &mut visit).await? {
                return Ok(());
            }
        }
    }
}

/// A line of the batch with its bytes.
struct BatchEntry<'a> {
    /// Its position among the batch's lines.
    index: usize,
    physical: i64,
    line: &'a BatchLine,
    hash: Hash,
    /// The position of its first record.
    first: usize,
    /// The bytes of its records.
    own: Vec<Bytes>,
}

impl BatchEntry<'_> {
    /// The position and the bytes of each record.
    fn records(&self) -> impl Iterator<Item = (usize, Bytes)> {
        (self.first..).zip(self.own.iter().copied())
    }

    /// Whether a record of the line before this one has the same uuid.
    fn has_before(&self, position: usize, placed: &[Placed<'_>]) -> bool {
        let id = placed[position].record.id.bytes;
        placed[self.first..position].iter().any(|before| before.record.id.bytes == id)
    }
}
