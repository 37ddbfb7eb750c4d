//! A transcript file as physical lines, and what of each line travels. Streams: never holds more than one line, and
//! of a line over the limit only its length and hash. Knows nothing of requests.

use std::borrow::Cow;
use std::io::{self, BufRead, Seek, SeekFrom};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// One complete physical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 0-based, counting empty lines too: the protocol's offset.
    pub number: u64,
    /// Where its first byte lies in the file.
    pub position: u64,
    /// What it holds, without its newline.
    pub content: Content,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JSON object and nothing around it: travels as these very bytes.
    Object(String),
    /// Any other text (empty, garbage, an array, blanks or a carriage return around an object): travels as a JSON
    /// string.
    Text(String),
    /// It was not UTF-8, which JSON must be (RFC 8259, section 8.1). What could not be read became U+FFFD.
    Lossy(String),
    /// Longer than the limit: travels as a placeholder that names it.
    TooLong {
        /// Its length in the file.
        bytes: u64,
        /// SHA-256 of its bytes in the file, lowercase hexadecimal.
        sha256: String,
    },
}

impl Content {
    fn of(raw: Vec<u8>) -> Self {
        match String::from_utf8(raw) {
            Ok(text) if is_bare_object(&text) => Self::Object(text),
            Ok(text) => Self::Text(text),
            Err(error) => Self::Lossy(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        }
    }

    /// The text the server keeps if it keeps the line; hashes speak of it.
    #[must_use]
    pub fn kept(&self) -> Cow<'_, str> {
        match self {
            Self::Object(text) | Self::Text(text) | Self::Lossy(text) => Cow::Borrowed(text),
            Self::TooLong { bytes, sha256 } => Cow::Owned(format!(
                "{{\"type\":\"han_omitted_line\",\"bytes\":{bytes},\"sha256\":\"{sha256}\"}}"
            )),
        }
    }

    /// The JSON value that stands in a request's `messages`.
    #[must_use]
    pub fn wire(&self) -> Cow<'_, str> {
        match self {
            Self::Object(_) | Self::TooLong { .. } => self.kept(),
            Self::Text(text) | Self::Lossy(text) => {
                Cow::Owned(serde_json::Value::from(text.as_str()).to_string())
            }
        }
    }

    /// The protocol's `last_line_hash` of this line: SHA-256 of what the server keeps, lowercase hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(self.kept().as_bytes()))
    }
}

/// Whether the text is one JSON object from its first byte to its last. [`RawValue`] is checked without recursion,
/// so no depth of nesting overflows the stack.
fn is_bare_object(text: &str) -> bool {
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Reads a file's complete lines, one at a time, from wherever it is told to.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    number: u64,
    position: u64,
}

impl<R: BufRead + Seek> LineReader<R> {
    /// Reads from `input`, which stands at its beginning.
    pub fn new(input: R) -> Self {
        Self { input, number: 0, position: 0 }
    }

    /// The number of the line that comes next.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where the line that comes next begins, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes to a place that [`Self::number`] and [`Self::position`] have named.
    ///
    /// # Errors
    /// Those of seeking.
    pub fn seek(&mut self, number: u64, position: u64) -> io::Result<()> {
        self.input.seek(SeekFrom::Start(position))?;
        (self.number, self.position) = (number, position);
        Ok(())
    }

    /// Whether what follows is the beginning of a line (as opposed to nothing).
    ///
    /// # Errors
    /// Those of reading.
    pub fn stands_before_half_a_line(&mut self) -> io::Result<bool> {
        Ok(!self.input.fill_buf()?.is_empty())
    }

    /// The next complete line, or `None` at the end. A line longer than `max_bytes` is read but not kept.
    ///
    /// The agent may be writing while this reads, so a last line without a newline counts as complete only if it is
    /// a whole JSON object (of which no beginning is one, too). Otherwise it is left for the next time.
    ///
    /// # Errors
    /// Those of reading.
    pub fn next_line(&mut self, max_bytes: u64) -> io::Result<Option<Line>> {
        let mut raw = Vec::new();
        let mut hasher = Sha256::new();
        let mut bytes = 0_u64;
        let mut consumed = 0_u64;
        let mut ended = false;
        while !ended {
            let chunk = match self.input.fill_buf() {
                Ok([]) => break,
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let newline = chunk.iter().position(|&byte| byte == b'\n');
            let piece = &chunk[..newline.unwrap_or(chunk.len())];
            let used = piece.len() + usize::from(newline.is_some());
            bytes += piece.len() as u64;
            if bytes <= max_bytes {
                raw.extend_from_slice(piece);
            } else {
                // What was collected so far joins the hash once, and its memory is given back.
                hasher.update(std::mem::take(&mut raw));
                hasher.update(piece);
            }
            ended = newline.is_some();
            consumed += used as u64;
            self.input.consume(used);
        }
        let content = if bytes > max_bytes {
            Content::TooLong { bytes, sha256: format!("{:x}", hasher.finalize()) }
        } else {
            Content::of(raw)
        };
        if !ended && !matches!(content, Content::Object(_)) {
            self.seek(self.number, self.position)?;
            return Ok(None);
        }
        let line = Line { number: self.number, position: self.position, content };
        self.number += 1;
        self.position += consumed;
        Ok(Some(line))
    }
}
