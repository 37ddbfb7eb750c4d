//! Finds the complete JSON objects of a damaged line: several records on one line, a record after a truncated one,
//! padding around a record. Not here: the meaning of a record.
//!
//! An undamaged line is one object. Where a line is damaged, three rules separate a record from an object inside one:
//!
//! * At the beginning of the line and after a record, every complete object is a record unless `,`, `]` or `}` follows,
//!   which means that it is part of a larger one. If one follows, it is a record if it has a `type` and a field that only
//!   records have (`RECORD_FIELDS`).
//! * The same is true after NUL, but an object that `,`, `]` or `}` follows is no record.
//! * After other damage, it must have such fields, and none of these characters may follow.
//!
//! A text inside a record cannot be mistaken for a record, because the quotes in it are escaped.

use std::ops::{ControlFlow, Range};

use memchr::memchr2;

use crate::json::{self, Object};
use crate::line::ParsedLine;

/// The maximum number of records of a line. More are counted in [`Rest::beyond_limit`].
pub const MAX_RECORDS: usize = 1000;

/// Objects deeper than this are not found after damage. Real records are less than 30 levels deep.
const MAX_DEPTH: usize = 1024;

/// Fields that records have, but no content block, message or tool result.
const RECORD_FIELDS: [&str; 6] =
    ["sessionId", "session_id", "uuid", "timestamp", "leafUuid", "isSnapshotUpdate"];

/// The byte order mark U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The pieces of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The byte range of each complete JSON object that is a record, in order.
    pub records: Vec<Range<usize>>,
    /// What is left.
    pub rest: Rest,
}

/// The bytes of a line that belong to no record, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Runs of NUL.
    pub nul: Share,
    /// Byte order marks.
    pub byte_order_marks: Share,
    /// White space around records, such as the carriage return of a CRLF. It is no damage.
    pub white_space: Share,
    /// Parts that begin like a record (`{`) but are not a complete one.
    pub cut_records: Share,
    /// Other text.
    pub text: Share,
    /// Complete records after the first [`MAX_RECORDS`].
    pub beyond_limit: Share,
}

/// A kind's part of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The number of runs.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Share {
    fn add(&mut self, bytes: usize) {
        self.pieces += 1;
        self.bytes += bytes as u64;
    }
}

impl Rest {
    /// The bytes of all kinds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let kinds = [
            self.nul,
            self.byte_order_marks,
            self.white_space,
            self.cut_records,
            self.text,
            self.beyond_limit,
        ];
        kinds.iter().map(|share| share.bytes).sum()
    }

    /// Whether the line has anything but records and white space.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.bytes() > self.white_space.bytes
    }
}

/// The records of a line, and what is left. Takes time proportional to the line's length and does not recurse.
#[must_use]
pub fn split(line: &str) -> Pieces {
    let bytes = line.as_bytes();
    let mut splitter =
        Splitter { line, bytes, pieces: Pieces::default(), context: Context::Boundary, debris: None };
    splitter.run();
    splitter.pieces
}

/// The text of each record of a line, in the order of their positions
/// ([`LineRecord::position`](crate::record::LineRecord::position)). A line without a record is its only text.
#[must_use]
pub fn record_texts(line: &str) -> Vec<&str> {
    let mut texts = Vec::with_capacity(1);
    each_record(line, |_, text, _| {
        texts.push(text);
        ControlFlow::Continue(())
    });
    texts
}

/// Calls `visit` with each record of a line: its position among the records, its text, and the text parsed. A line
/// without a record is one record of unknown kind, whose text is the line.
pub(crate) fn each_record<'a>(
    line: &'a str,
    mut visit: impl FnMut(usize, &'a str, &ParsedLine<'_>) -> ControlFlow<()>,
) -> Rest {
    let text = json::without_lone_surrogates(line);
    // Nearly every line is one object, and its parser skips white space.
    if let Some(read) = ParsedLine::parse(&text) {
        // What identifies a record must not depend on the space around it.
        let record = line.trim_matches(is_white_space);
        let _ = visit(0, record, &read);
        let spaces = line.len() - record.len();
        let mut rest = Rest::default();
        if spaces > 0 {
            rest.white_space.add(spaces);
        }
        return rest;
    }
    let Pieces { records, rest } = split(line);
    let mut position = 0;
    for at in records {
        let record = line.get(at).unwrap_or_default();
        let text = json::without_lone_surrogates(record);
        let Some(read) = ParsedLine::parse(&text) else { continue };
        if visit(position, record, &read).is_break() {
            return rest;
        }
        position += 1;
    }
    if position == 0 {
        let _ = visit(0, line, &ParsedLine::default());
    }
    rest
}

/// The white space of JSON (RFC 8259, section 2).
fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// What precedes a position, which decides whether an object there is a record.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    /// The beginning of the line, or a record.
    Boundary,
    /// NUL after a boundary.
    Padding,
    /// Anything else.
    Damage,
}

struct Splitter<'a> {
    line: &'a str,
    bytes: &'a [u8],
    pieces: Pieces,
    context: Context,
    /// The beginning of the text before the current position that belongs to no record.
    debris: Option<usize>,
}

impl Splitter<'_> {
    fn run(&mut self) {
        let mut scanner = Scanner::default();
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            if let Some(length) = self.padding(at) {
                at += length;
                continue;
            }
            if byte != b'{' {
                self.damage(at);
                let next = self.bytes.get(at..).and_then(|rest| memchr2(b'{', 0, rest));
                at = next.map_or(self.bytes.len(), |next| at + next);
                continue;
            }
            at = match scanner.object(self.bytes, at) {
                Scan::Complete { end } => {
                    if self.is_record(at..end) {
                        self.record(at..end);
                    } else {
                        self.damage(at);
                    }
                    end
                }
                Scan::Broken { stop, closed } => {
                    self.damage(at);
                    match closed.filter(|closed| self.is_record(closed.clone())) {
                        Some(closed) => {
                            self.record(closed.clone());
                            closed.end
                        }
                        // A record that follows a text cut in the middle ends that text with its first quote. So its
                        // `{"` is directly before the place where the syntax breaks.
                        None => (at + 1).max(stop.saturating_sub(2)),
                    }
                }
            };
        }
        self.end_debris(self.bytes.len());
    }

    /// Counts the padding at a position. Returns its length.
    fn padding(&mut self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        let run = |wanted: fn(&u8) -> bool| rest.iter().take_while(|byte| wanted(byte)).count();
        let nul = run(|byte| *byte == 0);
        if nul > 0 {
            self.end_debris(at);
            self.pieces.rest.nul.add(nul);
            if self.context == Context::Boundary {
                self.context = Context::Padding;
            }
            return Some(nul);
        }
        let spaces = run(|byte| is_white_space(char::from(*byte)));
        if spaces > 0 {
            if self.debris.is_none() {
                self.pieces.rest.white_space.add(spaces);
            }
            return Some(spaces);
        }
        if self.debris.is_none() && rest.starts_with(BYTE_ORDER_MARK) {
            self.pieces.rest.byte_order_marks.add(BYTE_ORDER_MARK.len());
            return Some(BYTE_ORDER_MARK.len());
        }
        None
    }

    fn damage(&mut self, at: usize) {
        self.debris.get_or_insert(at);
        self.context = Context::Damage;
    }

    fn end_debris(&mut self, end: usize) {
        let Some(start) = self.debris.take() else { return };
        let rest = &mut self.pieces.rest;
        let kind = if self.bytes.get(start) == Some(&b'{') { &mut rest.cut_records } else { &mut rest.text };
        kind.add(end.saturating_sub(start));
    }

    fn record(&mut self, at: Range<usize>) {
        self.end_debris(at.start);
        self.context = Context::Boundary;
        if self.pieces.records.len() < MAX_RECORDS {
            self.pieces.records.push(at);
        } else {
            self.pieces.rest.beyond_limit.add(at.len());
        }
    }

    /// Whether the complete object in this range is a record.
    fn is_record(&self, at: Range<usize>) -> bool {
        let next = self.bytes.get(at.end..).unwrap_or_default();
        let next = next.iter().find(|byte| !is_white_space(char::from(**byte)));
        let is_part = matches!(next, Some(b',' | b']' | b'}'));
        match self.context {
            Context::Boundary => !is_part || self.has_record_fields(at),
            Context::Padding => !is_part,
            Context::Damage => !is_part && self.has_record_fields(at),
        }
    }

    fn has_record_fields(&self, at: Range<usize>) -> bool {
        let text = json::without_lone_surrogates(self.line.get(at).unwrap_or_default());
        Object::parse(&text).is_some_and(|object| {
            object.text("type").is_some() && RECORD_FIELDS.iter().any(|name| object.raw(name).is_some())
        })
    }
}

/// The result of scanning an object.
enum Scan {
    /// The object is complete and ends before `end`.
    Complete { end: usize },
    /// The syntax breaks at `stop`, or the text ends there. `closed` is an object inside that ends directly before.
    Broken { stop: usize, closed: Option<Range<usize>> },
}

/// What the grammar of JSON (RFC 8259) allows next.
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    Key,
    KeyOrEnd,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
}

/// Checks the syntax of JSON with a stack of its own.
#[derive(Default)]
struct Scanner {
    /// Whether each open level is an object; else, it is a list.
    levels: Vec<bool>,
    /// Where each of the first [`MAX_DEPTH`] open levels begins.
    starts: Vec<usize>,
}

impl Scanner {
    /// Scans the object that begins at `start`.
    fn object(&mut self, bytes: &[u8], start: usize) -> Scan {
        self.levels.clear();
        self.starts.clear();
        let mut expected = Expected::Value;
        let mut closed = None;
        let mut at = start;
        loop {
            let Some(&byte) = bytes.get(at) else { return Scan::Broken { stop: at, closed } };
            if is_white_space(char::from(byte)) {
                at += 1;
                continue;
            }
            let inside = closed.take();
            let is_object = self.levels.last().copied().unwrap_or(false);
            let step = match (byte, expected) {
                (b'{' | b'[', Expected::Value | Expected::ValueOrEnd) => {
                    self.open(byte == b'{', at);
                    expected = if byte == b'{' { Expected::KeyOrEnd } else { Expected::ValueOrEnd };
                    Ok(at + 1)
                }
                (b'}', Expected::KeyOrEnd | Expected::CommaOrEnd) if is_object => {
                    closed = self.close().map(|start| start..at + 1);
                    expected = Expected::CommaOrEnd;
                    Ok(at + 1)
                }
                (b']', Expected::ValueOrEnd | Expected::CommaOrEnd) if !is_object => {
                    self.close();
                    expected = Expected::CommaOrEnd;
                    Ok(at + 1)
                }
                (b',', Expected::CommaOrEnd) => {
                    expected = if is_object { Expected::Key } else { Expected::Value };
                    Ok(at + 1)
                }
                (b':', Expected::Colon) => {
                    expected = Expected::Value;
                    Ok(at + 1)
                }
                (b'"', Expected::Key | Expected::KeyOrEnd) => {
                    expected = Expected::Colon;
                    string_end(bytes, at + 1)
                }
                (b'"', Expected::Value | Expected::ValueOrEnd) => {
                    expected = Expected::CommaOrEnd;
                    string_end(bytes, at + 1)
                }
                (b't' | b'f' | b'n', Expected::Value | Expected::ValueOrEnd) => {
                    expected = Expected::CommaOrEnd;
                    literal_end(bytes, at)
                }
                (b'-' | b'0'..=b'9', Expected::Value | Expected::ValueOrEnd) => {
                    expected = Expected::CommaOrEnd;
                    number_end(bytes, at)
                }
                _ => return Scan::Broken { stop: at, closed: inside },
            };
            at = match step {
                Ok(next) => next,
                Err(stop) => return Scan::Broken { stop, closed: None },
            };
            if self.levels.is_empty() {
                return Scan::Complete { end: at };
            }
        }
    }

    fn open(&mut self, is_object: bool, at: usize) {
        if self.levels.len() < MAX_DEPTH {
            self.starts.push(at);
        }
        self.levels.push(is_object);
    }

    /// Closes the innermost level. Returns its beginning if it is known.
    fn close(&mut self) -> Option<usize> {
        self.levels.pop();
        if self.levels.len() < MAX_DEPTH { self.starts.pop() } else { None }
    }
}

/// The end of a string whose first character is at `at`, else where it breaks.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') => {
                    let digits =
                        bytes.iter().skip(at + 2).take(4).take_while(|byte| byte.is_ascii_hexdigit());
                    let digits = digits.count();
                    at += 2 + digits;
                    if digits < 4 {
                        return Err(at);
                    }
                }
                _ => return Err((at + 1).min(bytes.len())),
            },
            None | Some(0..=0x1f) => return Err(at),
            Some(_) => at += 1,
        }
    }
}

/// The end of `true`, `false` or `null` at `at`, else where it breaks.
fn literal_end(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    let wanted: &[u8] = match rest.first() {
        Some(b't') => b"true",
        Some(b'f') => b"false",
        _ => b"null",
    };
    let same = rest.iter().zip(wanted).take_while(|(byte, wanted)| byte == wanted).count();
    if same == wanted.len() { Ok(at + same) } else { Err(at + same) }
}

/// The end of the number at `at`, else where it breaks.
fn number_end(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let digits = |at: usize| {
        let count = bytes.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 { Err(at) } else { Ok(at + count) }
    };
    let first = at + usize::from(is(at, b"-"));
    let mut end = if is(first, b"0") { first + 1 } else { digits(first)? };
    if is(end, b".") {
        end = digits(end + 1)?;
    }
    if is(end, b"eE") {
        end = digits(end + 1 + usize::from(is(end + 1, b"+-")))?;
    }
    Ok(end)
}
