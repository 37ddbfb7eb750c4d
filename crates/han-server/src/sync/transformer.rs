//! Turns a batch as sent into a batch to store: checks its names, parses and projects each line, and seals its body.
//! CPU-bound: no I/O, no database.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use han_crypto::FieldContext;
use han_db::keys::TeamKeys;
use han_db::queries::ingest::{Batch, Line};
use han_transcript::line_text;
use han_transcript::record::{LineContext, project};
use han_types::sync::{BatchError, BatchErrorCode, LineErrorCode, RejectedLine, SessionMetadata};
use han_types::{Entropy, MessageKey, SessionId, Timestamp, TranscriptName};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::sync::request::PushedBatch;

/// The longest text of a session's metadata, in bytes.
const MAX_METADATA_BYTES: usize = 4096;

/// The largest line number: JavaScript represents integers exactly up to it.
const MAX_OFFSET: u64 = 1 << 53;

/// What the batches of a push share.
#[derive(Clone)]
pub(crate) struct Transformer {
    pub(crate) keys: Arc<TeamKeys>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Whether the content of the team is sealed.
    pub(crate) seals: bool,
    pub(crate) max_line_bytes: usize,
    pub(crate) max_lines: usize,
}

/// A batch to store, and its lines that cannot be stored, numbered from the start of the batch.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) batch: Batch,
    pub(crate) rejected: Vec<RejectedLine>,
}

/// Why a batch could not be prepared.
#[derive(Debug)]
pub(crate) enum Unprepared {
    /// The client must change something.
    Refused(BatchError),
    /// A fault of the server, for its log.
    Failed(PrepareError),
}

/// A fault of the server while it prepares a batch.
#[derive(Debug, Error)]
pub(crate) enum PrepareError {
    #[error("sealing failed: {0}")]
    Seal(#[from] han_crypto::CryptoError),
    #[error("a line is not UTF-8, although its body was checked: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
}

impl From<PrepareError> for Unprepared {
    fn from(error: PrepareError) -> Self {
        Self::Failed(error)
    }
}

impl Transformer {
    pub(crate) fn prepare(&self, pushed: PushedBatch) -> Result<Prepared, Unprepared> {
        let (session_id, transcript) = self.check(&pushed).map_err(Unprepared::Refused)?;
        let mut rejected = Vec::new();
        let mut lines = Vec::with_capacity(pushed.lines.len());
        let mut key = MessageKey { session_id, transcript, uuid: String::new() };
        for (index, raw) in (0u64..).zip(&pushed.lines) {
            match self.line(index, text_of(raw)?, &mut key)? {
                Ok(line) => lines.push(line),
                Err((code, message)) => rejected.push(RejectedLine { line: index, code, message }),
            }
        }
        let count = pushed.lines.len() as u64;
        let last_is_stored = lines.last().is_some_and(|line: &Line| line.index + 1 == count);
        let last_line_hash = match pushed.lines.last() {
            Some(last) if last_is_stored => Some(sha256_hex(&line_text(text_of(last)?))),
            _ => None,
        };
        Ok(Prepared {
            batch: Batch {
                session_id: key.session_id,
                transcript: key.transcript,
                offset: pushed.offset,
                consumed: pushed.count as u64,
                metadata: pushed.metadata,
                lines,
                last_line_hash,
            },
            rejected,
        })
    }

    fn check(&self, pushed: &PushedBatch) -> Result<(SessionId, TranscriptName), BatchError> {
        let session_id = pushed.session_id.parse().map_err(invalid)?;
        let transcript = match &pushed.transcript {
            Some(name) => name.parse().map_err(invalid)?,
            None => TranscriptName::default(),
        };
        if pushed.offset.is_some_and(|offset| offset > MAX_OFFSET) {
            return Err(invalid(format!("offset must be at most {MAX_OFFSET}: it is the number of a line")));
        }
        check_metadata(&pushed.metadata)?;
        if pushed.count > self.max_lines {
            return Err(BatchError {
                code: BatchErrorCode::TooManyLines,
                message: format!(
                    "the batch has {} lines and may have at most {} (HAN_MAX_LINES_PER_BATCH): split it",
                    pushed.count, self.max_lines
                ),
                offset: None,
            });
        }
        Ok((session_id, transcript))
    }

    /// One line to store, or the reason why it is rejected.
    fn line(
        &self,
        index: u64,
        raw: &str,
        key: &mut MessageKey,
    ) -> Result<Result<Line, (LineErrorCode, String)>, PrepareError> {
        if raw.len() > self.max_line_bytes {
            let message = format!(
                "the line has {} bytes and may have at most {} (HAN_MAX_LINE_BYTES): it is not stored",
                raw.len(),
                self.max_line_bytes
            );
            return Ok(Err((LineErrorCode::TooLarge, message)));
        }
        if !raw.starts_with(['{', '"']) {
            let message = "a line must be a JSON object; send any other line as a JSON string".to_owned();
            return Ok(Err((LineErrorCode::Malformed, message)));
        }
        let text = line_text(raw);
        if text.contains('\n') {
            let message =
                "a line must not contain a line feed: send each line of the file as its own message";
            return Ok(Err((LineErrorCode::Malformed, message.to_owned())));
        }
        let at = LineContext { session_id: key.session_id.as_str(), transcript: key.transcript.as_str() };
        let record = project(&text, &at);
        key.uuid.clone_from(&record.uuid);
        let row_id = key.row_id();
        let context = FieldContext { table: "messages", row_id: &row_id, column: "body" };
        let (body, sealed) = self.keys.seal(self.seals, context, raw, &*self.entropy)?;
        Ok(Ok(Line { index, record, body, sealed, bytes: raw.len() as u64 }))
    }
}

/// The text of a line. `body::text` has checked the whole body.
fn text_of(line: &Bytes) -> Result<&str, PrepareError> {
    Ok(std::str::from_utf8(line)?)
}

fn check_metadata(metadata: &SessionMetadata) -> Result<(), BatchError> {
    let SessionMetadata { agent, project_path, git_remote, git_branch, ended_at } = metadata;
    for (name, value) in [
        ("agent", agent),
        ("project_path", project_path),
        ("git_remote", git_remote),
        ("git_branch", git_branch),
        ("ended_at", ended_at),
    ] {
        if let Some(text) = value
            && text.len() > MAX_METADATA_BYTES
        {
            return Err(invalid(format!(
                "metadata.{name} has {} bytes and may have at most {MAX_METADATA_BYTES}: shorten it",
                text.len()
            )));
        }
    }
    if ended_at.as_ref().is_some_and(|text| Timestamp::parse_rfc3339(text).is_none()) {
        return Err(invalid("metadata.ended_at must be an RFC 3339 time, such as 2026-02-11T20:36:45.618Z"));
    }
    Ok(())
}

fn invalid(message: impl ToString) -> BatchError {
    BatchError { code: BatchErrorCode::Invalid, message: message.to_string(), offset: None }
}

fn sha256_hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
