//! Wire types of the sync protocol, version 1: the bodies of `POST /api/sync/sessions` and `GET /api/sync/status`.
//! docs/SYNC.md specifies the protocol.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body of `POST /api/sync/sessions`.
///
/// Lines borrow from the body, so their bytes are kept unchanged. `team_id` may come after `sessions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushRequest<'a> {
    /// The team to push to; it must be the credential's team, which is also the default.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub team_id: Option<Cow<'a, str>>,
    /// One entry per batch of lines.
    #[serde(borrow)]
    pub sessions: Vec<PushBatch<'a>>,
}

/// Consecutive lines of one transcript file of one session.
#[derive(Debug, Serialize, Deserialize)]
pub struct PushBatch<'a> {
    /// The session, as the developer's machine names it.
    #[serde(borrow)]
    pub session_id: Cow<'a, str>,
    /// The session's metadata.
    #[serde(default)]
    pub metadata: SessionMetadata,
    /// The file: `main` (default), `han`, or the stem of a subagent's file.
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    pub transcript: Option<Cow<'a, str>>,
    /// The 0-based physical line number of the first message. Without it, lines are appended unchecked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The lines: JSON objects exactly as in the file. A line that is no JSON object is sent as a JSON string.
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
}

/// What the developer's machine knows about a session besides its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionMetadata {
    /// The coding agent (`claude-code`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The directory the agent worked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_path: Option<String>,
    /// If that directory is in a linked worktree of a repository: the repository's main worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_worktree: Option<String>,
    /// The URL of the repository's remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_remote: Option<String>,
    /// The branch that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_branch: Option<String>,
    /// When the session ended (RFC 3339), if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When the session's main file was created (RFC 3339), if the file system knows. Of two sessions that repeat the same
    /// answers, it helps to find the one that wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_created_at: Option<String>,
    /// How often the session was forked from another one, if the agent says so: 0 for a session that is no fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_depth: Option<u16>,
}

/// The response of `POST /api/sync/sessions`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResponse {
    /// One result per batch, in the order of the request.
    pub sessions: Vec<PushResult>,
}

/// The result of one batch. A batch is stored completely or, if `error` is set, not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResult {
    /// The session, as named in the batch.
    pub session_id: String,
    /// The file, as named in the batch.
    pub transcript: String,
    /// How many lines this batch added.
    pub stored: u64,
    /// How many lines had been stored before.
    pub duplicates: u64,
    /// The lines that cannot be stored. They count as consumed.
    pub rejected: Vec<RejectedLine>,
    /// The line number after the batch's last line.
    pub next_offset: u64,
    /// Why the batch was not stored.
    pub error: Option<BatchError>,
}

/// A line that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedLine {
    /// Its 0-based physical line number in the file.
    pub line: u64,
    /// The machine-readable reason.
    pub code: LineErrorCode,
    /// The reason and the remedy, for people.
    pub message: String,
}

/// Why a line cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineErrorCode {
    /// The line exceeds the server's limit.
    TooLarge,
    /// The line is neither a JSON object nor a JSON string, or it contains a line break.
    Malformed,
}

/// Why a batch was not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    /// The machine-readable reason.
    pub code: BatchErrorCode,
    /// The reason and the remedy, for people.
    pub message: String,
    /// With `gap`: the line number to continue from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Why a batch was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchErrorCode {
    /// The batch's offset is greater than the next expected line: continue from `offset`.
    Gap,
    /// Another member of the team pushed this session id first.
    SessionOwned,
    /// The session was deleted and cannot be pushed again.
    Gone,
    /// The session id, the transcript's name, or the metadata is malformed or exceeds its limit.
    Invalid,
    /// The team has used up its plan's sessions for this month.
    PlanLimit,
    /// The batch has more lines than one transaction may store.
    TooManyLines,
    /// The server failed on this batch, and a retry would fail again: its log has the reason.
    Failed,
    /// The server cannot store the batch at the moment; the client should retry.
    Unavailable,
}

/// How many days before an API key expires clients begin to warn.
pub const EXPIRY_WARNING_DAYS: i64 = 14;

/// The API key of a request, if it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncKey {
    /// The name that its owner gave it.
    pub name: String,
    /// When it expires (RFC 3339).
    pub expires_at: String,
    /// How many days are left by the server's clock, the last one included.
    pub expires_in_days: i64,
}

/// The response of `GET /api/sync/status`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// The team.
    pub team_id: String,
    /// The team, as people name it. Earlier servers send neither this nor the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<SyncTeam>,
    /// The teams that the credential may push to, oldest membership first.
    #[serde(default)]
    pub teams: Vec<SyncTeam>,
    /// The server's limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<SyncLimits>,
    /// The API key of the request, if it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SyncKey>,
    /// Every transcript of the sessions that the caller has pushed.
    pub transcripts: Vec<TranscriptStatus>,
}

/// A team that a credential may push to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTeam {
    /// Its id.
    pub id: String,
    /// Its short name in addresses.
    pub slug: String,
    /// Its name.
    pub name: String,
}

/// The server's limits, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncLimits {
    /// Of a line.
    pub line_bytes: u64,
    /// Of a request as sent.
    pub body_bytes: u64,
    /// Of a request, decompressed.
    pub decompressed_bytes: u64,
}

/// How far one transcript file has been stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptStatus {
    /// The session.
    pub session_id: String,
    /// The file.
    pub transcript: String,
    /// The next line to push.
    pub offset: u64,
    /// SHA-256 of the bytes of the line before `offset`, in lowercase hexadecimal, if that line was stored. If the
    /// client's line differs (the file was rewritten or truncated), the client starts again at 0.
    pub last_line_hash: Option<String>,
    /// The lines that were too large, and in whose place a marker is stored, in order. A client sends such a line again once
    /// it fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<u64>,
}
