//! Reads a transcript file as physical lines and converts each to the JSON that is sent. Keeps at most one line in
//! memory, and only length and hash of a line over the limit. Not here: requests.

use std::borrow::Cow;
use std::io::{self, BufRead, Seek, SeekFrom};

use han_transcript::split::{is_complete, record_texts};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// One complete physical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// Its 0-based number, which is the protocol's offset. Empty lines count.
    pub number: u64,
    /// The position of its first byte in the file.
    pub position: u64,
    /// Its content without the line feed.
    pub content: Content,
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JSON object without surrounding white space: sent unchanged.
    Object(String),
    /// Any other text (empty, no JSON, an array, white space or a carriage return around an object): sent as a JSON
    /// string.
    Text(String),
    /// The line is not UTF-8, as JSON must be (RFC 8259, section 8.1). Invalid bytes were replaced by U+FFFD.
    Lossy(String),
    /// The line exceeds the limit: sent as a placeholder with its length and hash.
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

    /// The text that the server stores, over which hashes are computed.
    #[must_use]
    pub fn kept(&self) -> Cow<'_, str> {
        match self {
            Self::Object(text) | Self::Text(text) | Self::Lossy(text) => Cow::Borrowed(text),
            Self::TooLong { bytes, sha256 } => Cow::Owned(format!(
                "{{\"type\":\"han_omitted_line\",\"bytes\":{bytes},\"sha256\":\"{sha256}\"}}"
            )),
        }
    }

    /// The texts of its records. A damaged line may have several; a line that was not read completely has none.
    pub(crate) fn records(&self) -> Vec<&str> {
        match self {
            Self::Object(text) => vec![text],
            Self::Text(text) | Self::Lossy(text) => record_texts(text),
            Self::TooLong { .. } => Vec::new(),
        }
    }

    /// Whether it is a complete line although no line feed ends it.
    fn is_complete(&self) -> bool {
        match self {
            Self::Object(_) => true,
            Self::Text(text) | Self::Lossy(text) => is_complete(text),
            Self::TooLong { .. } => false,
        }
    }

    /// The JSON value in a request's `messages`.
    #[must_use]
    pub fn wire(&self) -> Cow<'_, str> {
        match self {
            Self::Object(_) | Self::TooLong { .. } => self.kept(),
            Self::Text(text) | Self::Lossy(text) => {
                Cow::Owned(serde_json::Value::from(text.as_str()).to_string())
            }
        }
    }

    /// The protocol's `last_line_hash` of this line: SHA-256 of the stored text, lowercase hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(self.kept().as_bytes()))
    }
}

/// Whether the text is exactly one JSON object. [`RawValue`] is validated without recursion, so deep nesting does not
/// overflow the stack.
fn is_bare_object(text: &str) -> bool {
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Reads a file's complete lines one at a time, with random access.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    number: u64,
    position: u64,
    /// The hash of the bytes before the line feed that precedes `position`; `None` if they were not all read.
    prefix: Option<Sha256>,
}

/// A place in a file, to which its [`LineReader`] can return.
#[derive(Clone, Debug)]
pub struct Mark {
    number: u64,
    position: u64,
    prefix: Option<Sha256>,
}

impl Mark {
    /// The number of lines before this place.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.number
    }

    /// SHA-256 of the bytes up to the end of the last of these lines, without its line feed, in lowercase hexadecimal. (A
    /// line feed may follow a last line later and changes nothing.) `None` after a jump over lines.
    #[must_use]
    pub fn sha256(&self) -> Option<String> {
        self.prefix.clone().map(|prefix| format!("{:x}", prefix.finalize()))
    }
}

impl<R: BufRead + Seek> LineReader<R> {
    /// Reads from `input`, which is at its beginning.
    pub fn new(input: R) -> Self {
        Self { input, number: 0, position: 0, prefix: Some(Sha256::new()) }
    }

    /// The number of the next line.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The position of the next line, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes to a line whose number and position [`Self::number`] and [`Self::position`] returned.
    ///
    /// # Errors
    /// If seeking fails.
    pub fn seek(&mut self, number: u64, position: u64) -> io::Result<()> {
        let prefix = (position == 0).then(Sha256::new);
        self.return_to(Mark { number, position, prefix })
    }

    /// The place before the next line.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { number: self.number, position: self.position, prefix: self.prefix.clone() }
    }

    /// Goes to a place that [`Self::mark`] returned.
    ///
    /// # Errors
    /// If seeking fails.
    pub fn return_to(&mut self, mark: Mark) -> io::Result<()> {
        self.input.seek(SeekFrom::Start(mark.position))?;
        (self.number, self.position, self.prefix) = (mark.number, mark.position, mark.prefix);
        Ok(())
    }

    /// Whether more bytes follow, which are an incomplete line after [`Self::next_line`] returned `None`.
    ///
    /// # Errors
    /// If reading fails.
    pub fn has_partial_line(&mut self) -> io::Result<bool> {
        Ok(!self.input.fill_buf()?.is_empty())
    }

    /// The next complete line, or `None` at the end. Of a line longer than `max_bytes`, only length and hash are kept.
    ///
    /// The agent may write at the same time. So a last line without a line feed is complete only if it has a record and
    /// does not end inside an object, because no prefix of an object is an object. Otherwise it is left for the next call.
    ///
    /// # Errors
    /// If reading fails.
    pub fn next_line(&mut self, max_bytes: u64) -> io::Result<Option<FileLine>> {
        let mut raw = Vec::new();
        let mut hasher = Sha256::new();
        let mut bytes = 0_u64;
        let mut consumed = 0_u64;
        let mut ended = false;
        let mut prefix = self.prefix.clone();
        if let Some(prefix) = prefix.as_mut().filter(|_| self.number > 0) {
            prefix.update(b"\n");
        }
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
            if let Some(prefix) = &mut prefix {
                prefix.update(piece);
            }
            if bytes <= max_bytes {
                raw.extend_from_slice(piece);
            } else {
                // Hash the bytes that were collected so far, and free their memory.
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
        if !ended && !content.is_complete() {
            self.return_to(self.mark())?;
            return Ok(None);
        }
        let line = FileLine { number: self.number, position: self.position, content };
        self.number += 1;
        self.position += consumed;
        self.prefix = prefix;
        Ok(Some(line))
    }
}
