//! Finds the complete JSON objects of a damaged line: several records on one line, a record after a truncated one,
//! padding around a record. Not here: the meaning of a record.
//!
//! An undamaged line is one object. In a damaged one, a record must be distinguished from an object that is a part of a
//! record of which the beginning, the end or both are missing:
//!
//! * An object directly at the beginning of the line or after a record (NUL, white space and byte order marks do not count)
//!   is a record. After anything else, it is one only if it has a `type` and a field that records have (`RECORD_FIELDS`).
//! * A part of a record is in a place where JSON has values: `:`, `,` or `[` precedes it, or what precedes it is missing;
//!   and `,`, `]` or `}` follows, or the line ends. An object elsewhere is not a part.
//! * Records that commas and brackets separate look like such parts. What follows the last of them decides: a field's name
//!   means that all of them are parts, and so do brackets that close what began before the damage. Otherwise they are
//!   records.
//! * An object at the end of a record that was cut off, in a field that has objects like records (`FIELDS_WITH_PARTS`), is
//!   a record only if it names a session and the record names no other one, or is of a type that names none. The objects
//!   in such fields name none. A record names its session at its end, so a cut often removes that.
//!
//! A text inside a record cannot be mistaken for a record, because the quotes in it are escaped.

use std::ops::{ControlFlow, Range};

use memchr::{memchr, memchr2, memmem};

use crate::json::{self, Object};
use crate::line::ParsedLine;

/// The maximum number of records of a short line. A longer one may have one for each [`RECORD_BYTES`] of it: a file whose
/// lines end with carriage returns only is one line. More are counted in [`Rest::beyond_limit`].
pub const MAX_RECORDS: usize = 1000;

/// Real records have more bytes than this. The rows that a hostile line makes are therefore few beside its size.
const RECORD_BYTES: usize = 128;

/// Objects deeper than this are not found after damage. Real records are less than 30 levels deep.
const MAX_DEPTH: usize = 1024;

/// Fields that records have, but no content block, message or tool result.
const RECORD_FIELDS: [&str; 6] =
    ["sessionId", "session_id", "uuid", "timestamp", "leafUuid", "isSnapshotUpdate"];

/// Fields of a record whose objects may have the fields of a record, spelled in JSON: a `progress` line repeats lines of a
/// subagent, and an attachment or the result of a tool may have any field.
const FIELDS_WITH_PARTS: [&[u8]; 4] = [b"\"data\"", b"\"attachment\"", b"\"toolUseResult\"", b"\"snapshot\""];

/// The byte order mark U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The pieces of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The byte range of each complete JSON object that is a record, in order.
    pub records: Vec<Range<usize>>,
    /// What is left.
    pub rest: Rest,
    /// Whether the line ends inside an object, which more text may complete.
    pub is_open: bool,
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
    /// Complete records after the most that a line may have ([`MAX_RECORDS`]).
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
    Splitter::new(line).run()
}

/// Whether a line is complete although no line feed ends it: it has a record, and does not end inside an object. The
/// beginning of a record is never complete.
#[must_use]
pub fn is_complete(line: &str) -> bool {
    let pieces = split(line);
    !pieces.is_open && !pieces.records.is_empty()
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
    let Pieces { records, rest, .. } = split(line);
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

/// What the bytes since the last record say about an object after them.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    /// There are only padding, commas and brackets. The object is not in a record that was cut off.
    Boundary,
    /// The same, but the beginning of a record may be missing: there is NUL, or the line begins with commas or closing
    /// brackets.
    Doubt,
    /// There is other text.
    Damage,
}

/// Objects with the fields of records, with nothing but padding, commas and brackets between them, all of which are either
/// records or parts of a record that was cut off.
struct Chain {
    objects: Vec<Range<usize>>,
    /// What precedes the first one. With `Damage`, the first one is where JSON has a value.
    context: Context,
    /// Whether brackets close after the last one.
    closes: bool,
    /// Whether a comma follows the last one and those brackets.
    continues: bool,
}

/// What follows a chain.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The name of a field.
    Key,
    /// An object that is not complete.
    Cut,
    /// Anything else.
    Other,
}

struct Splitter<'a> {
    line: &'a str,
    bytes: &'a [u8],
    pieces: Pieces,
    /// The end of the last record.
    counted: usize,
    context: Context,
    /// Whether there are commas or brackets since the last record.
    is_separated: bool,
    chain: Option<Chain>,
}

impl<'a> Splitter<'a> {
    fn new(line: &'a str) -> Self {
        Self {
            line,
            bytes: line.as_bytes(),
            pieces: Pieces::default(),
            counted: 0,
            context: Context::Boundary,
            is_separated: false,
            chain: None,
        }
    }

    fn run(mut self) -> Pieces {
        let mut scanner = Scanner::default();
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            if let Some((padding, length)) = padding(self.rest(at)) {
                if padding == Padding::Nul && self.context == Context::Boundary && self.chain.is_none() {
                    self.context = Context::Doubt;
                }
                at += length;
                continue;
            }
            let is_clean = self.chain.is_some() || self.context != Context::Damage;
            at = match byte {
                b'{' if is_clean && self.next_byte(at + 1) == Some(b'{') => {
                    self.is_separated = true;
                    at + 1
                }
                b'{' => match scanner.object(self.bytes, at) {
                    Scan::Complete { end } => {
                        self.object(at..end);
                        end
                    }
                    Scan::Broken { stop, closed, may_be_part } => {
                        let is_record = |closed: &Range<usize>| {
                            self.is_like_record(closed.clone())
                                && (!may_be_part || self.is_of_session(closed.clone(), at..closed.start))
                        };
                        let closed = closed.filter(is_record);
                        self.broken(at, stop, closed)
                    }
                },
                b',' | b'[' | b']' | b'}' if is_clean => {
                    self.separator(byte);
                    at + 1
                }
                _ => {
                    let is_key = byte == b'"' && self.is_key(at);
                    self.end_chain(if is_key { End::Key } else { End::Other });
                    self.context = Context::Damage;
                    memchr2(b'{', 0, self.rest(at)).map_or(self.bytes.len(), |next| at + next)
                }
            };
        }
        self.end_chain(End::Other);
        self.count_rest(self.bytes.len());
        self.pieces
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// The next byte that is no padding.
    fn next_byte(&self, mut at: usize) -> Option<u8> {
        while let Some((_, length)) = padding(self.rest(at)) {
            at += length;
        }
        self.bytes.get(at).copied()
    }

    /// Whether a complete object has the fields of a record.
    fn is_like_record(&self, at: Range<usize>) -> bool {
        let text = json::without_lone_surrogates(self.line.get(at).unwrap_or_default());
        Object::parse(&text).is_some_and(|object| {
            object.text("type").is_some() && RECORD_FIELDS.iter().any(|name| object.raw(name).is_some())
        })
    }

    /// Whether an object names a session, and the text before it names no other one; or is of a type that names none: a
    /// summary or a snapshot of files.
    fn is_of_session(&self, at: Range<usize>, before: Range<usize>) -> bool {
        let (object, before) =
            (self.line.get(at).unwrap_or_default(), self.bytes.get(before).unwrap_or_default());
        let text = json::without_lone_surrogates(object);
        Object::parse(&text).is_some_and(|object| match object.raw("sessionId") {
            Some(session) => {
                memmem::find(before, session.get().as_bytes()).is_some()
                    || memmem::find(before, b"\"sessionId\"").is_none()
            }
            None => ["leafUuid", "isSnapshotUpdate"].iter().any(|name| object.raw(name).is_some()),
        })
    }

    /// Whether an object here is not a part of a larger one, because it is where JSON has no value.
    fn is_apart(&self, at: usize) -> bool {
        let mut before = self.bytes.get(..at).unwrap_or_default();
        loop {
            before = match before {
                [rest @ .., last] if is_white_space(char::from(*last)) => rest,
                // A part of the line is missing here.
                [.., 0] | [] => return false,
                _ if before.ends_with(BYTE_ORDER_MARK) => &before[..before.len() - BYTE_ORDER_MARK.len()],
                [.., b',' | b'['] => return false,
                [name @ .., b':'] => return !matches!(name.trim_ascii_end(), [] | [.., b'"' | 0]),
                _ => return true,
            };
        }
    }

    /// Whether the name of a field is here, after a comma.
    fn is_key(&self, at: usize) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.continues)
            && string_end(self.bytes, at + 1).is_ok_and(|end| self.next_byte(end) == Some(b':'))
    }

    /// A complete object.
    fn object(&mut self, at: Range<usize>) {
        let is_joined = matches!(self.next_byte(at.end), Some(b',' | b']' | b'}'));
        if self.chain.as_ref().is_some_and(|chain| chain.closes && !chain.continues) {
            self.end_chain(End::Other);
        }
        let is_plain =
            self.chain.is_none() && self.context != Context::Damage && !self.is_separated && !is_joined;
        let is_like_record = is_plain || self.is_like_record(at.clone());
        if let Some(chain) = &mut self.chain {
            // Another object neither belongs to the chain nor ends it.
            if is_like_record {
                chain.objects.push(at);
                (chain.closes, chain.continues) = (false, false);
                if !is_joined {
                    self.end_chain(End::Other);
                }
            }
            return;
        }
        if !is_like_record {
            self.is_separated = true;
        } else if !is_joined || (self.context == Context::Damage && self.is_apart(at.start)) {
            self.record(at);
        } else {
            let context = self.context;
            self.chain = Some(Chain { objects: vec![at], context, closes: false, continues: false });
        }
    }

    /// An object that is not complete. `closed` is a record at its end. Returns the position to continue at.
    fn broken(&mut self, at: usize, stop: usize, closed: Option<Range<usize>>) -> usize {
        self.pieces.is_open |= stop == self.bytes.len();
        self.end_chain(End::Cut);
        self.context = Context::Damage;
        match closed {
            Some(closed) => {
                let end = closed.end;
                self.record(closed);
                end
            }
            // A record that follows a text cut in the middle ends that text with its first quote. So its `{"` is
            // directly before the place where the syntax breaks.
            None => (at + 1).max(stop.saturating_sub(2)),
        }
    }

    /// A comma or a bracket between records.
    fn separator(&mut self, byte: u8) {
        self.is_separated = true;
        match &mut self.chain {
            Some(chain) => {
                chain.closes |= matches!(byte, b']' | b'}');
                chain.continues = byte == b',' || (byte == b'[' && chain.continues);
            }
            None if byte != b'[' && self.counted == 0 => self.context = Context::Doubt,
            None => {}
        }
    }

    fn end_chain(&mut self, end: End) {
        let Some(chain) = self.chain.take() else { return };
        let are_records = match chain.context {
            _ if end == End::Key => false,
            Context::Boundary => true,
            Context::Doubt => !chain.closes,
            Context::Damage => !chain.closes && end != End::Cut,
        };
        if are_records {
            chain.objects.into_iter().for_each(|object| self.record(object));
            self.is_separated = true;
        } else {
            self.context = Context::Damage;
        }
    }

    fn record(&mut self, at: Range<usize>) {
        self.count_rest(at.start);
        self.counted = at.end;
        self.context = Context::Boundary;
        self.is_separated = false;
        if self.pieces.records.len() < MAX_RECORDS.max(self.bytes.len() / RECORD_BYTES) {
            self.pieces.records.push(at);
        } else {
            self.pieces.rest.beyond_limit.add(at.len());
        }
    }

    /// Counts the bytes between the last record and `end`.
    fn count_rest(&mut self, end: usize) {
        let mut at = self.counted;
        let rest = &mut self.pieces.rest;
        while let Some(bytes) = self.bytes.get(at..end).filter(|bytes| !bytes.is_empty()) {
            let (kind, length) = match padding(bytes) {
                Some((Padding::Nul, length)) => (&mut rest.nul, length),
                Some((Padding::WhiteSpace, length)) => (&mut rest.white_space, length),
                Some((Padding::ByteOrderMark, length)) => (&mut rest.byte_order_marks, length),
                None => {
                    let kind = if bytes.starts_with(b"{") { &mut rest.cut_records } else { &mut rest.text };
                    (kind, memchr(0, bytes).unwrap_or(bytes.len()))
                }
            };
            kind.add(length);
            at += length;
        }
    }
}

/// What is around records without being a part of one.
#[derive(Clone, Copy, PartialEq)]
enum Padding {
    Nul,
    WhiteSpace,
    ByteOrderMark,
}

/// The padding at the beginning of `bytes`, and its length.
fn padding(bytes: &[u8]) -> Option<(Padding, usize)> {
    let run = |wanted: fn(&u8) -> bool| bytes.iter().take_while(|byte| wanted(byte)).count();
    match bytes.first()? {
        0 => Some((Padding::Nul, run(|byte| *byte == 0))),
        b' ' | b'\t' | b'\r' | b'\n' => {
            Some((Padding::WhiteSpace, run(|byte| is_white_space(char::from(*byte)))))
        }
        _ if bytes.starts_with(BYTE_ORDER_MARK) => Some((Padding::ByteOrderMark, BYTE_ORDER_MARK.len())),
        _ => None,
    }
}

/// The result of scanning an object.
enum Scan {
    /// The object is complete and ends before `end`.
    Complete { end: usize },
    /// The syntax breaks at `stop`, or the text ends there. `closed` is an object inside that ends directly before, or before
    /// a comma there. `may_be_part` is set if that is in one of [`FIELDS_WITH_PARTS`].
    Broken { stop: usize, closed: Option<Range<usize>>, may_be_part: bool },
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
    /// The name of the field of the outermost object that is being read, with its quotes.
    field: Range<usize>,
}

impl Scanner {
    /// Scans the object that begins at `start`.
    fn object(&mut self, bytes: &[u8], start: usize) -> Scan {
        self.levels.clear();
        self.starts.clear();
        self.field = 0..0;
        let mut expected = Expected::Value;
        let (mut closed, mut closed_before_comma) = (None, None);
        let mut at = start;
        loop {
            let Some(&byte) = bytes.get(at) else { return self.broken(bytes, at, closed) };
            if is_white_space(char::from(byte)) {
                at += 1;
                continue;
            }
            let (inside, inside_before_comma) = (closed.take(), closed_before_comma.take());
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
                    closed_before_comma = inside;
                    expected = if is_object { Expected::Key } else { Expected::Value };
                    Ok(at + 1)
                }
                (b':', Expected::Colon) => {
                    expected = Expected::Value;
                    Ok(at + 1)
                }
                (b'"', Expected::Key | Expected::KeyOrEnd) => {
                    expected = Expected::Colon;
                    let end = string_end(bytes, at + 1);
                    if let (Ok(end), 1) = (end, self.levels.len()) {
                        self.field = at..end;
                    }
                    end
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
                _ => return self.broken(bytes, at, inside.or(inside_before_comma)),
            };
            at = match step {
                Ok(next) => next,
                Err(stop) => return self.broken(bytes, stop, None),
            };
            if self.levels.is_empty() {
                return Scan::Complete { end: at };
            }
        }
    }

    fn broken(&self, bytes: &[u8], stop: usize, closed: Option<Range<usize>>) -> Scan {
        let field = bytes.get(self.field.clone()).unwrap_or_default();
        Scan::Broken { stop, closed, may_be_part: FIELDS_WITH_PARTS.contains(&field) }
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
