//! Turns a batch as sent into a batch of `han_db::queries::ingest`, which projects and seals: checks its names and
//! limits, and rejects lines that cannot be stored. CPU-bound: no I/O, no database.

use han_db::DbError;
use han_db::queries::ingest::{Batch, Preparer, ReceivedBatch, ReceivedLine};
use han_transcript::line_text;
use han_types::sync::{BatchError, BatchErrorCode, LineErrorCode, RejectedLine, SessionMetadata};
use han_types::{SessionId, Timestamp, TranscriptName};
use thiserror::Error;

use crate::sync::request::PushedBatch;

/// The longest text of a session's metadata, in bytes.
const MAX_METADATA_BYTES: usize = 4096;

/// The largest line number: JavaScript represents integers exactly up to it.
const MAX_OFFSET: u64 = 1 << 53;

/// What the batches of a push share.
#[derive(Clone)]
pub(crate) struct Transformer {
    pub(crate) preparer: Preparer,
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
    #[error(transparent)]
    Ingest(#[from] DbError),
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
        for (index, line) in (0u64..).zip(&pushed.lines) {
            let text = std::str::from_utf8(line).map_err(PrepareError::NotUtf8)?;
            match self.check_line(text) {
                Ok(()) => lines.push(ReceivedLine { index, text }),
                Err((code, message)) => rejected.push(RejectedLine { line: index, code, message }),
            }
        }
        let received = ReceivedBatch {
            session_id,
            transcript,
            offset: pushed.offset,
            consumed: pushed.count as u64,
            metadata: pushed.metadata,
            lines,
        };
        let batch = self.preparer.prepare(received).map_err(PrepareError::Ingest)?;
        Ok(Prepared { batch, rejected })
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

    /// Checks a line; the error is the reason why it is rejected.
    fn check_line(&self, line: &str) -> Result<(), (LineErrorCode, String)> {
        if line.len() > self.max_line_bytes {
            let message = format!(
                "the line has {} bytes and may have at most {} (HAN_MAX_LINE_BYTES): it is not stored",
                line.len(),
                self.max_line_bytes
            );
            return Err((LineErrorCode::TooLarge, message));
        }
        if !line.starts_with(['{', '"']) {
            let message = "a line must be a JSON object; send any other line as a JSON string".to_owned();
            return Err((LineErrorCode::Malformed, message));
        }
        if line_text(line).contains('\n') {
            let message =
                "a line must not contain a line feed: send each line of the file as its own message";
            return Err((LineErrorCode::Malformed, message.to_owned()));
        }
        Ok(())
    }
}

fn check_metadata(metadata: &SessionMetadata) -> Result<(), BatchError> {
    let SessionMetadata {
        agent,
        project_path,
        main_worktree,
        git_remote,
        git_branch,
        ended_at,
        file_created_at,
        fork_depth: _,
    } = metadata;
    for (name, value) in [
        ("agent", agent),
        ("project_path", project_path),
        ("main_worktree", main_worktree),
        ("git_remote", git_remote),
        ("git_branch", git_branch),
        ("ended_at", ended_at),
        ("file_created_at", file_created_at),
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
    for (name, time) in [("ended_at", ended_at), ("file_created_at", file_created_at)] {
        if time.as_ref().is_some_and(|text| Timestamp::parse_rfc3339(text).is_none()) {
            return Err(invalid(format!(
                "metadata.{name} must be an RFC 3339 time, such as 2026-02-11T20:36:45.618Z"
            )));
        }
    }
    Ok(())
}

fn invalid(message: impl ToString) -> BatchError {
    BatchError { code: BatchErrorCode::Invalid, message: message.to_string(), offset: None }
}
