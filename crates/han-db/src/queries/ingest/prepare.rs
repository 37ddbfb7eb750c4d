//! From the received lines of a batch to a batch to store: projects each line, and packs the lines to segments.
//! CPU-bound, no database: everything here runs before the transaction and off the async threads. Segments are packed on
//! the assumption that all lines are new; the transaction moves them to their ordinals and seals them.

use std::ops::Range;

use han_crypto::{Packed, to_hex};
use han_transcript::line_text;
use han_transcript::record::{LineContext, LineProjection, LineRecord, project_all};
use han_types::sync::SessionMetadata;
use han_types::{Policy, SessionId, Timestamp, TranscriptName};
use sha2::{Digest as _, Sha256};

use crate::DbError;
use crate::line_id::LineId;
use crate::segments::{Encoded, Entry, Extent, SegmentBuilder};

/// Consecutive lines of one file, as they were received. The caller has checked names, limits and lines.
#[derive(Clone, Debug)]
pub struct ReceivedBatch<'a> {
    /// The session.
    pub session_id: SessionId,
    /// The file.
    pub transcript: TranscriptName,
    /// The 0-based physical line of the first line; without it the batch is appended unchecked.
    pub offset: Option<u64>,
    /// How many lines the batch consumes, including rejected lines.
    pub consumed: u64,
    /// The session's metadata.
    pub metadata: SessionMetadata,
    /// The lines to store, in order.
    pub lines: Vec<ReceivedLine<'a>>,
}

/// A line to store, as it was received.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedLine<'a> {
    /// Its position in the batch.
    pub index: u64,
    /// Its JSON: an object, or a string that contains a line that is no object.
    pub text: &'a str,
}

/// A batch to store: its lines are projected and packed.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) session_id: SessionId,
    pub(super) transcript: TranscriptName,
    pub(super) offset: Option<u64>,
    pub(super) consumed: u64,
    pub(super) metadata: SessionMetadata,
    pub(super) lines: Vec<BatchLine>,
    pub(super) segments: Vec<PackedLines>,
    /// SHA-256 of the bytes of the batch's last line, in lowercase hexadecimal, if that line is stored.
    pub(super) last_line_hash: Option<String>,
    /// Whether the content of the team is sealed.
    pub(super) seals: bool,
    /// When it arrived, if that is not now.
    pub(super) arrived_at: Option<Timestamp>,
}

impl Batch {
    /// The batch, as if it had arrived at this time: that of an import. Its session counts in no month, and no limit of the
    /// plan applies to it.
    #[must_use]
    pub fn arrived_at(self, at: Timestamp) -> Self {
        Self { arrived_at: Some(at), ..self }
    }
}

/// A line to store.
#[derive(Clone)]
pub(super) struct BatchLine {
    /// Its position in the batch.
    pub index: u64,
    /// The records projected from it, at least one; several only if it is damaged.
    pub records: Vec<BatchRecord>,
    /// Whether it is anything but one complete record and white space.
    pub damaged: bool,
    /// The line as it was received. Only a batch with lines that are known, or may be, reads it.
    pub text: Box<str>,
}

impl BatchLine {
    /// How many ordinals its entry takes: one for each record.
    pub(super) fn ordinals(&self) -> i64 {
        i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }
}

/// A record of a line to store.
#[derive(Clone, Debug)]
pub(super) struct BatchRecord {
    /// What is projected from it.
    pub record: LineRecord,
    /// The stored form of its uuid.
    pub id: LineId,
}

impl std::fmt::Debug for BatchLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchLine")
            .field("index", &self.index)
            .field("len", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// Consecutive lines of a batch, packed. Their ordinals are those that they would have in a session without lines, their
/// line numbers those in the batch.
#[derive(Clone, Debug)]
pub(super) struct PackedLines {
    pub content: Packed,
    pub extent: Extent,
    /// The positions of its lines.
    pub lines: Range<usize>,
}

/// Prepares batches.
#[derive(Clone, Copy, Debug)]
pub struct Preparer {
    seals: bool,
}

impl Preparer {
    /// For batches of a team with this policy, which says whether content is sealed.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { seals: policy.seals_content() }
    }

    /// Projects and packs the lines of a batch. CPU-bound: call it off the async threads.
    ///
    /// # Errors
    /// Never in practice: if the lines' numbers overflow.
    pub fn prepare(&self, received: ReceivedBatch<'_>) -> Result<Batch, DbError> {
        let ReceivedBatch { session_id, transcript, offset, consumed, metadata, lines: received } = received;
        let line = |line: &ReceivedLine<'_>| {
            let projected = project_line(session_id.as_str(), transcript.as_str(), line.text);
            let damaged = projected.is_damaged();
            let record = |record: LineRecord| BatchRecord { id: LineId::of(&record.uuid), record };
            BatchLine {
                index: line.index,
                records: projected.records.into_iter().map(record).collect(),
                damaged,
                text: line.text.into(),
            }
        };
        let lines: Vec<BatchLine> = received.iter().map(line).collect();
        let segments = pack(ordinals(0, lines.iter()).zip(&received).map(|(ordinal, line)| Entry {
            ordinal,
            line: i64::try_from(line.index).unwrap_or(i64::MAX),
            text: line.text.as_bytes(),
        }))?;
        let last = received.last().filter(|last| last.index + 1 == consumed);
        Ok(Batch {
            segments,
            session_id,
            transcript,
            offset,
            consumed,
            metadata,
            lines,
            last_line_hash: last.map(|last| to_hex(&Sha256::digest(line_text(last.text).as_bytes()))),
            seals: self.seals,
            arrived_at: None,
        })
    }
}

/// Packs lines to segments of bounded size.
///
/// # Errors
/// If a number overflows, or ordinals do not increase.
pub(super) fn pack<'a>(lines: impl Iterator<Item = Entry<'a>>) -> Result<Vec<PackedLines>, DbError> {
    let mut packed = Vec::new();
    let mut builder = SegmentBuilder::new();
    let mut first = 0;
    let mut finish = |builder: SegmentBuilder<'a>, end: usize| -> Result<(), DbError> {
        if let Some(Encoded { content, extent }) = builder.finish()? {
            packed.push(PackedLines { content: Packed::new(&content), extent, lines: first..end });
            first = end;
        }
        Ok(())
    };
    let mut end = 0;
    for line in lines {
        if !builder.has_room_for(line.text.len()) {
            finish(std::mem::take(&mut builder), end)?;
        }
        builder.push(line)?;
        end += 1;
    }
    finish(builder, end)?;
    Ok(packed)
}

/// The ordinals of the entries of lines, the first of which is `first`. The records of a line take the ordinals from its
/// entry's on.
pub(super) fn ordinals<'l>(
    first: i64,
    lines: impl Iterator<Item = &'l BatchLine>,
) -> impl Iterator<Item = i64> {
    lines.scan(first, |next, line| {
        let ordinal = *next;
        *next = next.saturating_add(line.ordinals());
        Some(ordinal)
    })
}

/// What a line projects to, from its body.
pub(crate) fn project_line(session_id: &str, transcript: &str, body: &str) -> LineProjection {
    project_all(&line_text(body), &LineContext { session_id, transcript })
}

/// The record at a position of a line, from the line's body. A line whose body is not available has an empty one.
pub(crate) fn project_record(session_id: &str, transcript: &str, body: &str, part: i64) -> LineRecord {
    let mut records = project_line(session_id, transcript, body).records;
    let part = usize::try_from(part).unwrap_or_default().min(records.len().saturating_sub(1));
    records.swap_remove(part)
}
