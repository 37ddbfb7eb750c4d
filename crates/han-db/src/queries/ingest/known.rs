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
//! Segments are opened one after another and not kept: of each entry that matters, its hash and its uuid are.

use std::collections::{BTreeSet, HashMap, HashSet};

use han_crypto::to_hex;
use han_transcript::line_text;
use han_transcript::record::{LineContext, LineRecord, OMITTED_LINE, uuid_of_bytes};
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
    /// New messages: the position of the line, and the message's id.
    pub messages: Vec<(usize, LineId)>,
    /// Messages that get another line: the ordinal of the present one, and the position of the new one.
    pub revisions: Vec<(i64, usize)>,
    /// Messages whose line has another number now.
    pub moves: Vec<Move>,
    /// The ordinals of messages that are markers of omitted lines, which arrived now.
    pub filled: Vec<i64>,
    /// Whether the batch only replaces markers of omitted lines.
    pub only_fills: bool,
}

impl Plan {
    /// All lines are new messages.
    pub(super) fn all_new(placed: &[Placed<'_>]) -> Self {
        let messages = placed.iter().enumerate().map(|(position, placed)| (position, placed.line.id.clone()));
        Self { entries: (0..placed.len()).collect(), messages: messages.collect(), ..Self::default() }
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
    uuid: [u8; 16],
    /// The line that a client omitted because it was too large, if this is its marker.
    omitted: Option<OmittedLine>,
    /// The ordinals of all entries of its line with its uuid.
    same: Vec<i64>,
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
    /// Stored, with this ordinal.
    Stored(i64),
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
    bytes: i32,
}

impl KnownRow {
    fn known(&self) -> Result<([u8; 16], Known), DbError> {
        let malformed = || DbError::malformed("messages", "uuid", self.ordinal);
        let uuid = <[u8; 16]>::try_from(self.uuid.as_slice()).map_err(|_| malformed())?;
        let known = Known {
            at: Position::Stored(self.ordinal.into()),
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
            self.read_entries(&HashSet::new(), &lines, &mut HashMap::new(), &mut newest).await?;
        }
        let hashes: Vec<Hash> = self.placed.iter().map(|placed| hash(placed.line.text.as_bytes())).collect();
        let is_duplicate = |position: usize| {
            newest
                .get(&self.placed[position].physical)
                .is_some_and(|entry: &Entry| entry.hash == hashes[position])
        };
        let fresh: Vec<usize> = (0..self.placed.len()).filter(|position| !is_duplicate(*position)).collect();
        let mut known = self.known(&fresh).await?;
        let seconds = self.seconds(&fresh, &newest, &mut known).await?;

        // Of the messages that lines compete with: their bytes, and the newest entries at their lines.
        let ordinals: HashSet<i64> = known
            .values()
            .filter_map(|known| match known.at {
                Position::Stored(ordinal) => Some(ordinal),
                _ => None,
            })
            .collect();
        let lines: HashSet<i64> =
            known.values().map(|known| known.line).filter(|line| !newest.contains_key(line)).collect();
        let mut by_ordinal = HashMap::new();
        if !ordinals.is_empty() {
            self.read_entries(&ordinals, &lines, &mut by_ordinal, &mut newest).await?;
        }
        for known in known.values_mut() {
            if let Position::Stored(ordinal) = known.at {
                known.hash = by_ordinal.get(&ordinal).copied();
            }
        }
        Ok(self.decide(&fresh, &hashes, known, &newest, &seconds))
    }

    fn decide(
        &self,
        fresh: &[usize],
        hashes: &[Hash],
        mut known: HashMap<[u8; 16], Known>,
        newest: &HashMap<i64, Entry>,
        seconds: &HashMap<i64, LineId>,
    ) -> Plan {
        let mut plan = Plan { only_fills: !fresh.is_empty(), ..Plan::default() };
        // What the file has at a line after this batch.
        let lines: HashMap<i64, ([u8; 16], Hash)> = fresh
            .iter()
            .map(|&position| {
                let placed = &self.placed[position];
                (placed.physical, (placed.line.id.bytes, hashes[position]))
            })
            .collect();
        let at_line = |line: i64| {
            lines.get(&line).copied().or_else(|| newest.get(&line).map(|entry| (entry.uuid, entry.hash)))
        };
        // Whether a line of the file is still the one that a message came from.
        let holds = |id: [u8; 16], message: &Known| {
            at_line(message.line).is_some_and(|(uuid, hash)| uuid == id || Some(hash) == message.hash)
        };
        for &position in fresh {
            let placed = &self.placed[position];
            let before = newest.get(&placed.physical);
            let filled =
                before.filter(|before| before.omitted.as_ref().is_some_and(|line| line.is(placed.line)));
            let fills = filled.is_some();
            plan.filled.extend(filled.map(|marker| marker.ordinal));
            let mut id = placed.line.id.clone();
            if let Some(message) = known.get(&id.bytes)
                && message.line != placed.physical
                && message.hash != Some(hashes[position])
            {
                let of_bytes = self.id_of_bytes(placed);
                if known.contains_key(&of_bytes.bytes) {
                    id = of_bytes;
                } else if holds(id.bytes, message) {
                    id = seconds.get(&placed.physical).cloned().unwrap_or(of_bytes);
                }
            }
            let bytes = placed.line.text.len();
            let Some(message) = known.get_mut(&id.bytes) else {
                let at = Position::New(plan.messages.len());
                let line = placed.physical;
                known.insert(id.bytes, Known { at, line, bytes, hash: Some(hashes[position]) });
                plan.messages.push((position, id));
                plan.entries.push(position);
                plan.only_fills &= fills;
                continue;
            };
            let is_repeat = message.hash == Some(hashes[position]);
            if is_repeat && !self.has_offset {
                continue;
            }
            plan.entries.push(position);
            plan.only_fills &= fills;
            if is_repeat && message.line != placed.physical {
                // The file ends after this batch, as far as is known.
                let left = message.line >= self.end || !holds(id.bytes, message);
                if let (true, Position::Stored(ordinal)) = (left, message.at) {
                    plan.moves.push(Move { ordinal, from: message.line, to: placed.physical });
                    message.line = placed.physical;
                }
                continue;
            }
            // Of entries of one message, the most complete one counts.
            if bytes < message.bytes {
                continue;
            }
            match message.at {
                Position::New(index) => plan.messages[index].0 = position,
                Position::Revised(index) => plan.revisions[index].1 = position,
                Position::Stored(ordinal) => {
                    message.at = Position::Revised(plan.revisions.len());
                    plan.revisions.push((ordinal, position));
                }
            }
            (message.line, message.bytes, message.hash) = (placed.physical, bytes, Some(hashes[position]));
        }
        // A message that moved and then was revised has its line from the revision.
        let revised: HashSet<i64> = plan.revisions.iter().map(|(ordinal, _)| *ordinal).collect();
        plan.moves.retain(|moved| !revised.contains(&moved.ordinal));
        plan
    }

    /// The id of a line whose uuid another line of the file has.
    fn id_of_bytes(&self, placed: &Placed<'_>) -> LineId {
        let at = LineContext {
            session_id: self.file.session_id.as_str(),
            transcript: self.file.transcript.as_str(),
        };
        LineId::of(&uuid_of_bytes(&line_text(&placed.line.text), &at))
    }

    /// The messages with the ids that these lines have, or would get as the second of their uuid.
    async fn known(&self, fresh: &[usize]) -> Result<HashMap<[u8; 16], Known>, DbError> {
        let own: BTreeSet<[u8; 16]> =
            fresh.iter().map(|position| self.placed[*position].line.id.bytes).collect();
        let mut known = self.messages(&own).await?;
        let mut seen = HashSet::new();
        let second: BTreeSet<[u8; 16]> = fresh
            .iter()
            .map(|position| &self.placed[*position])
            .filter(|placed| {
                let uuid = placed.line.id.bytes;
                !seen.insert(uuid) || known.contains_key(&uuid)
            })
            .map(|placed| self.id_of_bytes(placed).bytes)
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
            "uuid, ordinal, line, bytes",
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

    /// The ids of second messages, by the lines of the batch that they are at. Adds these messages to `known`.
    async fn seconds(
        &self,
        fresh: &[usize],
        newest: &HashMap<i64, Entry>,
        known: &mut HashMap<[u8; 16], Known>,
    ) -> Result<HashMap<i64, LineId>, DbError> {
        let revised = fresh.iter().filter_map(|position| {
            let placed = &self.placed[*position];
            let before = newest.get(&placed.physical).filter(|before| before.uuid == placed.line.id.bytes)?;
            Some((placed.physical, before))
        });
        let lines: HashMap<i64, i64> = revised
            .filter(|(line, before)| known.get(&before.uuid).is_some_and(|message| message.line != *line))
            .flat_map(|(line, before)| before.same.iter().map(move |ordinal| (*ordinal, line)))
            .collect();
        if lines.is_empty() {
            return Ok(HashMap::new());
        }
        let dialect = self.tx.dialect();
        let sql = dialect.find_each(
            &[dialect.numbers_from("wanted", 3)],
            "messages",
            "uuid, ordinal, line, bytes",
            "team = $1 AND session = $2 AND ordinal = wanted.n",
        );
        let values =
            [self.tx.team(), i64::from(self.file.session).into(), dialect.number_list(lines.keys().copied())];
        let mut seconds = HashMap::new();
        for row in self.tx.all::<KnownRow, _>(&sql, values).await? {
            let (bytes, message) = row.known()?;
            let own =
                lines.get(&row.ordinal.into()).and_then(|line| newest.get(line)).map(|entry| entry.uuid);
            if own != Some(bytes) {
                // Such an id is a UUID, which has no other text.
                seconds.insert(message.line, LineId { bytes, text: None });
                known.entry(bytes).or_insert(message);
            }
        }
        Ok(seconds)
    }

    /// Reads the entries with these ordinals, and the newest entry of each of these lines. Reads again what a merge of
    /// segments replaced meanwhile.
    async fn read_entries(
        &self,
        ordinals: &HashSet<i64>,
        lines: &HashSet<i64>,
        by_ordinal: &mut HashMap<i64, Hash>,
        newest: &mut HashMap<i64, Entry>,
    ) -> Result<(), DbError> {
        let File { session_id, transcript, .. } = self.file;
        // By ordinal, so that a later entry of a line replaces an earlier one.
        let mut visit = |segment: &Segment| {
            for entry in segment.entries() {
                if ordinals.contains(&entry.ordinal) {
                    by_ordinal.insert(entry.ordinal, hash(entry.text));
                }
                if lines.contains(&entry.line) {
                    let text = String::from_utf8_lossy(entry.text);
                    let record = project_line(session_id.as_str(), transcript.as_str(), &text);
                    let uuid = LineId::of(&record.uuid).bytes;
                    let before = newest.remove(&entry.line).filter(|before| before.uuid == uuid);
                    let mut same = before.map(|before| before.same).unwrap_or_default();
                    same.push(entry.ordinal);
                    let entry_of_line = Entry {
                        ordinal: entry.ordinal,
                        hash: hash(entry.text),
                        uuid,
                        omitted: OmittedLine::of(&record, &text),
                        same,
                    };
                    newest.insert(entry.line, entry_of_line);
                }
            }
        };
        let segments = self.tx.segments()?;
        loop {
            let keys = segments.holding(self.file, ordinals.iter().copied(), lines.iter().copied()).await?;
            if segments.visit(&keys, &mut visit).await? {
                return Ok(());
            }
        }
    }
}
