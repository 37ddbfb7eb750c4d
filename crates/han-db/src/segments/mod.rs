//! The content of a segment: its lines, and each line's ordinal and physical line number. Pure functions, without the
//! database. `docs/SECURITY.md` specifies the format (section "The content of a segment").
//!
//! The numbers in the content are relative to those of the segment's row. So lines are encoded and compressed before
//! the session's row is locked, which is when their ordinals become known.

mod encode;
mod opened;
#[cfg(test)]
mod tests;
mod varint;

use han_crypto::FieldContext;
use han_types::{SessionId, TranscriptName};

use crate::DbError;

pub(crate) use encode::{Encoded, SegmentBuilder};
pub(crate) use opened::{OpenedSegments, SegmentKey};

/// The first byte of the content.
const VERSION: u8 = 1;

/// About how many bytes of content a segment holds at most. A longer line is a segment of its own.
pub(crate) const SEGMENT_BYTES: usize = 256 << 10;

/// The least bytes of an entry in the table: one for each of its three numbers.
const MIN_ENTRY: usize = 3;

/// The row id of a segment in the AAD, `session/transcript/first_ordinal/last_ordinal`.
pub(crate) fn row_id(session: &SessionId, transcript: &TranscriptName, extent: &Extent) -> String {
    format!("{session}/{transcript}/{}/{}", extent.first_ordinal, extent.last_ordinal)
}

/// The AAD's context of a segment, given its [`row_id`].
pub(crate) fn context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "segments", row_id, column: "body" }
}

/// The numbers that a segment's row has beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The ordinal of the first entry, which is the least.
    pub first_ordinal: i64,
    /// The ordinal of the last entry, which is the greatest.
    pub last_ordinal: i64,
    /// The least physical line number, which may belong to any entry.
    pub min_line: i64,
    /// The greatest physical line number, which may belong to any entry.
    pub max_line: i64,
    /// The number of entries.
    pub lines: i64,
}

impl Extent {
    /// The same extent, with `ordinals` added to its ordinals and `lines` to its line numbers.
    ///
    /// # Errors
    /// [`DbError::Segment`] if a number overflows.
    pub(crate) fn moved_by(&self, ordinals: i64, lines: i64) -> Result<Self, DbError> {
        let moved = || {
            Some(Self {
                first_ordinal: self.first_ordinal.checked_add(ordinals)?,
                last_ordinal: self.last_ordinal.checked_add(ordinals)?,
                min_line: self.min_line.checked_add(lines)?,
                max_line: self.max_line.checked_add(lines)?,
                lines: self.lines,
            })
        };
        moved().ok_or_else(|| being_written(OVERFLOW))
    }
}

/// One line of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Its ordinal in the session.
    pub ordinal: i64,
    /// Its number in the transcript's file, from 0.
    pub line: i64,
    /// Its bytes, without the line feed.
    pub text: &'a [u8],
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("ordinal", &self.ordinal)
            .field("line", &self.line)
            .field("len", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// The table of an opened segment says where an entry's bytes are.
struct Place {
    ordinal: i64,
    line: i64,
    /// The end of its bytes in the content. They begin where those of the entry before end.
    end: usize,
}

/// An opened segment. Owns the content; entries borrow their bytes from it. `Debug` prints no line.
pub(crate) struct Segment {
    content: Vec<u8>,
    /// Where the bytes of the first entry begin.
    start: usize,
    places: Vec<Place>,
}

impl Segment {
    /// Reads the content of a segment. `row` (the segment's row id) names it in errors, and `extent` has the numbers of
    /// its row. Memory: the content, and at most eight times its length for the table.
    ///
    /// # Errors
    /// [`DbError::Segment`] with the reason, if the content violates the format or contradicts `extent`.
    pub(crate) fn decode(row: &str, content: Vec<u8>, extent: &Extent) -> Result<Self, DbError> {
        let malformed = |reason| DbError::Segment { row: row.to_owned(), reason };
        let (start, places) = table(&content, extent).map_err(malformed)?;
        Ok(Self { content, start, places })
    }

    /// The number of entries; at least one.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The entries, in the order of their ordinals.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> + ExactSizeIterator {
        (0..self.places.len()).map(|index| self.entry(index))
    }

    /// The entry with this ordinal. A gap between ordinals is normal: `None`.
    pub(crate) fn get(&self, ordinal: i64) -> Option<Entry<'_>> {
        let index = self.places.binary_search_by_key(&ordinal, |place| place.ordinal).ok()?;
        Some(self.entry(index))
    }

    fn entry(&self, index: usize) -> Entry<'_> {
        let Place { ordinal, line, end } = self.places[index];
        let start = index.checked_sub(1).map_or(self.start, |before| self.places[before].end);
        Entry { ordinal, line, text: &self.content[start..end] }
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("lines", &self.len())
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

const OVERFLOW: &str = "a number is out of range";
const NOT_INCREASING: &str = "its ordinals do not increase";

/// The error for a segment that has no row yet.
fn being_written(reason: &'static str) -> DbError {
    DbError::Segment { row: "being written".to_owned(), reason }
}

/// Reads the table: where the bytes of the first entry begin, and the place of each entry.
fn table(content: &[u8], extent: &Extent) -> Result<(usize, Vec<Place>), &'static str> {
    let mut rest = content.strip_prefix(&[VERSION]).ok_or("its version is not 1")?;
    let count = varint::read(&mut rest)?;
    // The count is checked before memory is allocated for it.
    let count = usize::try_from(count).ok().filter(|count| *count <= rest.len() / MIN_ENTRY);
    let count = count.ok_or("it counts more entries than it has bytes for")?;
    if count == 0 {
        return Err("it has no entries");
    }
    if i64::try_from(count) != Ok(extent.lines) {
        return Err("its row counts another number of lines");
    }

    let mut places = Vec::<Place>::with_capacity(count);
    let (mut ordinal, mut next_line) = (extent.first_ordinal, extent.min_line);
    let (mut least, mut greatest) = (i64::MAX, i64::MIN);
    let mut bytes = 0_usize;
    for index in 0..count {
        let delta = varint::read(&mut rest)?;
        if index == 0 && delta != 0 {
            return Err("its first ordinal is not that of its row");
        }
        if index > 0 && delta == 0 {
            return Err(NOT_INCREASING);
        }
        ordinal = i64::try_from(delta).ok().and_then(|delta| ordinal.checked_add(delta)).ok_or(OVERFLOW)?;
        let jump = varint::unzigzag(varint::read(&mut rest)?);
        let line = next_line.checked_add(jump).ok_or(OVERFLOW)?;
        next_line = line.checked_add(1).ok_or(OVERFLOW)?;
        (least, greatest) = (least.min(line), greatest.max(line));
        let len = usize::try_from(varint::read(&mut rest)?).map_err(|_| OVERFLOW)?;
        bytes = bytes.checked_add(len).ok_or(OVERFLOW)?;
        places.push(Place { ordinal, line, end: bytes });
    }
    if bytes != rest.len() {
        return Err("the lengths of its lines do not add up to its bytes");
    }
    if ordinal != extent.last_ordinal {
        return Err("its row has another last ordinal");
    }
    if (least, greatest) != (extent.min_line, extent.max_line) {
        return Err("its row has other line numbers");
    }
    let start = content.len() - bytes;
    for place in &mut places {
        place.end += start;
    }
    Ok((start, places))
}
