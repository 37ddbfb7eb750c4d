//! The sync protocol's wire types, version 1: what `POST /api/sync/sessions` and `GET /api/sync/status` say.
//! docs/SYNC.md tells the whole protocol.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body of `POST /api/sync/sessions`.
///
/// Lines borrow from the body and stay the bytes that arrived. `team_id` may stand after `sessions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushRequest<'a> {
    /// The team to push to; must be the credential's own. Without it, the credential's team is meant.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub team_id: Option<Cow<'a, str>>,
    /// One entry for each piece of a transcript file.
    #[serde(borrow)]
    pub sessions: Vec<PushBatch<'a>>,
}

/// Consecutive lines of one transcript file of one session.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushBatch<'a> {
    /// The session, as its developer's machine names it.
    #[serde(borrow)]
    pub session_id: Cow<'a, str>,
    /// What is known of the session besides its lines.
    #[serde(default)]
    pub metadata: SessionMetadata,
    /// Which file: `main` (default), `han`, or a subagent file's stem.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub transcript: Option<Cow<'a, str>>,
    /// The 0-based physical line of the first message. Without it the lines are appended unchecked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The lines: JSON objects as they stand in the file; a line that is not one travels as a JSON string.
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
}

/// What a developer's machine knows of a session besides its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionMetadata {
    /// The coding agent (`claude-code`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The directory the agent worked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_path: Option<String>,
    /// The repository's remote, as git names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_remote: Option<String>,
    /// The branch that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_branch: Option<String>,
    /// When the session ended, RFC 3339, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// The answer to `POST /api/sync/sessions`: one result for each batch, in the order they came.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResponse {
    /// One result a batch.
    pub sessions: Vec<PushResult>,
}

/// What became of one batch. A batch is stored as a whole or, with `error`, not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResult {
    /// The session, as the batch named it.
    pub session_id: String,
    /// The file, as the batch named it.
    pub transcript: String,
    /// Lines that are stored now and were not before.
    pub stored: u64,
    /// Lines that had been stored already.
    pub duplicates: u64,
    /// Lines that cannot be stored. They count as consumed.
    pub rejected: Vec<RejectedLine>,
    /// The line after this batch's last one.
    pub next_offset: u64,
    /// Why nothing of this batch was stored.
    pub error: Option<BatchError>,
}

/// A line that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedLine {
    /// Its 0-based physical line in the file.
    pub line: u64,
    /// Why, for programs.
    pub code: LineErrorCode,
    /// Why, and what to do, for people.
    pub message: String,
}

/// Why a line cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineErrorCode {
    /// It is larger than the server's limit for a line.
    TooLarge,
    /// It is neither a JSON object nor a JSON string, or spans several lines.
    Malformed,
}

/// Why a batch was not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    /// Why, for programs.
    pub code: BatchErrorCode,
    /// Why, and what to do, for people.
    pub message: String,
    /// For `gap`: the line to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Why a batch was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchErrorCode {
    /// The offset lies behind what is stored: go back to `offset`.
    Gap,
    /// Another member of the team pushed this session id first.
    SessionOwned,
    /// The session was deleted, and stays deleted.
    Gone,
    /// The session id, the transcript's name, or the metadata is malformed or over its limit.
    Invalid,
    /// The plan's sessions of this month are used up.
    PlanLimit,
    /// The batch holds more lines than one transaction may carry.
    TooManyLines,
    /// The server failed over this very batch, and would again: its log says why.
    Failed,
    /// The server could not store it; nothing is lost where the client tries again.
    Unavailable,
}

/// The answer to `GET /api/sync/status`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The team it speaks of.
    pub team_id: String,
    /// Every transcript of the sessions that the asking person pushed.
    pub transcripts: Vec<TranscriptStatus>,
}

/// How far one transcript file has been taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptStatus {
    /// The session.
    pub session_id: String,
    /// The file.
    pub transcript: String,
    /// The next line to push.
    pub offset: u64,
    /// SHA-256 of the bytes of the line before `offset`, in lowercase hexadecimal, where it was stored. A client
    /// whose line differs (a rewritten or truncated file) starts again at 0.
    pub last_line_hash: Option<String>,
}
