//! Builds the content of a segment from lines whose ordinals and line numbers are relative to any base.

use super::varint::{self, zigzag};
use super::{Entry, Extent, NOT_INCREASING, OVERFLOW, SEGMENT_BYTES, VERSION, being_written};
use crate::DbError;

/// Collects the lines of one segment. Borrows them until [`finish`](Self::finish) copies them once.
#[derive(Default)]
pub(crate) struct SegmentBuilder<'a> {
    entries: Vec<Entry<'a>>,
    table: usize,
    bytes: usize,
}

/// The content of a new segment.
pub(crate) struct Encoded {
    /// The content, to be packed. Its length is what the row declares as `bytes`.
    pub content: Vec<u8>,
    /// The numbers of its row, relative to the base that the lines were added with; see [`Extent::moved_by`].
    pub extent: Extent,
}

impl<'a> SegmentBuilder<'a> {
    /// A segment without lines.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether a line of `len` bytes belongs to this segment: it has no line yet, or stays within [`SEGMENT_BYTES`]
    /// with this one. If not, finish it and begin the next.
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        // An entry of the table rarely takes more than its length's number and a byte for each of the others.
        let more = varint::len(len as u64) + 2 + len;
        self.entries.is_empty() || self.size().saturating_add(more) <= SEGMENT_BYTES
    }

    /// The bytes of the table and of the lines so far.
    pub(crate) fn size(&self) -> usize {
        self.table + self.bytes
    }

    /// Appends a line. Its numbers are relative to a base that the caller chooses, the same for the whole segment.
    ///
    /// # Errors
    /// [`DbError::Segment`] if the ordinal is not greater than that of the line before, or a difference overflows.
    pub(crate) fn push(&mut self, entry: Entry<'a>) -> Result<(), DbError> {
        // The first line's number becomes known with the least one.
        let (delta, jump) = match self.entries.last() {
            Some(before) => differences(before, &entry)?,
            None => (0, 0),
        };
        // A transcript's file cannot have this line number, and the next one must be a number.
        if entry.line == i64::MAX {
            return Err(being_written(OVERFLOW));
        }
        let len = entry.text.len();
        self.table += varint::len(delta) + varint::len(zigzag(jump)) + varint::len(len as u64);
        self.bytes += len;
        self.entries.push(entry);
        Ok(())
    }

    /// The content of the segment; `None` if it has no line.
    ///
    /// # Errors
    /// [`DbError::Segment`] if a difference of line numbers overflows.
    pub(crate) fn finish(self) -> Result<Option<Encoded>, DbError> {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else { return Ok(None) };
        let lines = || self.entries.iter().map(|entry| entry.line);
        let (Some(min_line), Some(max_line)) = (lines().min(), lines().max()) else { return Ok(None) };
        let extent = Extent {
            first_ordinal: first.ordinal,
            last_ordinal: last.ordinal,
            min_line,
            max_line,
            lines: i64::try_from(self.entries.len()).map_err(|_| being_written(OVERFLOW))?,
        };

        // Room for the version, the count, and the first line's number.
        let mut content = Vec::with_capacity(21 + self.size());
        content.push(VERSION);
        varint::write(&mut content, self.entries.len() as u64);
        let mut before: Option<&Entry<'_>> = None;
        for entry in &self.entries {
            let (delta, jump) = match before {
                Some(before) => differences(before, entry)?,
                None => (0, entry.line.checked_sub(min_line).ok_or_else(|| being_written(OVERFLOW))?),
            };
            varint::write(&mut content, delta);
            varint::write(&mut content, zigzag(jump));
            varint::write(&mut content, entry.text.len() as u64);
            before = Some(entry);
        }
        for entry in &self.entries {
            content.extend_from_slice(entry.text);
        }
        Ok(Some(Encoded { content, extent }))
    }
}

/// The difference of two neighbours' ordinals, and the jump of their line numbers: 0 for consecutive lines.
fn differences(before: &Entry<'_>, entry: &Entry<'_>) -> Result<(u64, i64), DbError> {
    let delta = entry.ordinal.checked_sub(before.ordinal).ok_or_else(|| being_written(OVERFLOW))?;
    let delta = u64::try_from(delta).ok().filter(|delta| *delta > 0);
    let delta = delta.ok_or_else(|| being_written(NOT_INCREASING))?;
    let next_line = before.line.checked_add(1);
    let jump = next_line.and_then(|next| entry.line.checked_sub(next));
    Ok((delta, jump.ok_or_else(|| being_written(OVERFLOW))?))
}
