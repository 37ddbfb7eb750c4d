//! From the received lines of a batch to a batch to store: projects each line and seals it. CPU-bound, no database:
//! everything here runs before the transaction and off the async threads.

use std::fmt::Write as _;
use std::sync::Arc;

use han_crypto::FieldContext;
use han_transcript::line_text;
use han_transcript::record::{LineContext, LineRecord, project};
use han_types::sync::SessionMetadata;
use han_types::{MessageKey, Scope, SessionId, TranscriptName};
use sha2::{Digest as _, Sha256};

use crate::keys::TeamKeys;
use crate::{Db, DbError};

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

/// A batch to store: its lines are projected and sealed.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) session_id: SessionId,
    pub(super) transcript: TranscriptName,
    pub(super) offset: Option<u64>,
    pub(super) consumed: u64,
    pub(super) metadata: SessionMetadata,
    pub(super) lines: Vec<BatchLine>,
    /// SHA-256 of the bytes of the batch's last line, in lowercase hexadecimal, if that line is stored.
    pub(super) last_line_hash: Option<String>,
    /// Whether the content of the team is sealed.
    pub(super) seals: bool,
}

/// A line to store.
#[derive(Clone, Debug)]
pub(super) struct BatchLine {
    /// Its position in the batch.
    pub index: u64,
    /// The records projected from it.
    pub record: LineRecord,
    /// The line as it was received, sealed if `sealed`.
    pub body: String,
    /// Whether `body` is sealed.
    pub sealed: bool,
    /// The size of the line as it was received, in bytes.
    pub bytes: u64,
}

/// Prepares the batches of one team. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Preparer {
    db: Db,
    keys: Arc<TeamKeys>,
    seals: bool,
}

impl Preparer {
    /// For batches of the scope's team. `seals` says whether the content of the team is sealed.
    ///
    /// # Errors
    /// [`DbError::KeyMissing`] if the team has no keys, [`DbError::Crypto`] if they cannot be opened.
    pub async fn new(scope: &Scope, db: &Db, seals: bool) -> Result<Self, DbError> {
        Ok(Self { db: db.clone(), keys: db.keys().team(db, scope.team_id()).await?, seals })
    }

    /// Projects and seals the lines of a batch. CPU-bound: call it off the async threads.
    ///
    /// # Errors
    /// [`DbError::Crypto`] if a line cannot be sealed.
    pub fn prepare(&self, received: ReceivedBatch<'_>) -> Result<Batch, DbError> {
        let ReceivedBatch { session_id, transcript, offset, consumed, metadata, lines: received } = received;
        let mut key = MessageKey { session_id, transcript, uuid: String::new() };
        let mut lines = Vec::with_capacity(received.len());
        for line in &received {
            lines.push(self.line(line, &mut key)?);
        }
        let last = received.last().filter(|last| last.index + 1 == consumed);
        Ok(Batch {
            session_id: key.session_id,
            transcript: key.transcript,
            offset,
            consumed,
            metadata,
            lines,
            last_line_hash: last.map(|last| sha256_hex(&line_text(last.text))),
            seals: self.seals,
        })
    }

    fn line(&self, line: &ReceivedLine<'_>, key: &mut MessageKey) -> Result<BatchLine, DbError> {
        let record = project_line(key.session_id.as_str(), key.transcript.as_str(), line.text);
        key.uuid.clone_from(&record.uuid);
        let row_id = key.row_id();
        let (body, sealed) =
            self.keys.seal(self.seals, body_context(&row_id), line.text, self.db.entropy())?;
        Ok(BatchLine { index: line.index, record, body, sealed, bytes: line.text.len() as u64 })
    }
}

/// The records of a line, from its unsealed body.
pub(crate) fn project_line(session_id: &str, transcript: &str, body: &str) -> LineRecord {
    project(&line_text(body), &LineContext { session_id, transcript })
}

/// The context of the sealed text of a line; the row id is that of its [`MessageKey`].
pub(crate) fn body_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "messages", row_id, column: "body" }
}

fn sha256_hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
