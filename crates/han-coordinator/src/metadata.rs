//! Extracts a session's metadata from its lines: working directory, branch and session id. Ignores all other fields.

use std::path::Path;
use std::time::UNIX_EPOCH;

use han_transcript::text_fields;
use han_types::Timestamp;
use han_types::sync::SessionMetadata;

use crate::git;
use crate::lines::{Content, FileLine};

/// Longer values are ignored, because the server rejects the session's batches for them.
const MAX_VALUE_BYTES: usize = 4096;

/// The agent that writes these files.
const AGENT: &str = "claude-code";

/// Metadata before the first line is read. `main` is the session's own file.
pub(crate) fn initial(main: Option<&Path>) -> SessionMetadata {
    // Some file systems do not know it.
    let created = main.and_then(|path| path.metadata().ok()?.created().ok());
    let created = created.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let created = created.and_then(|since| i64::try_from(since.as_millis()).ok());
    SessionMetadata {
        agent: Some(AGENT.to_owned()),
        file_created_at: created.map(|millis| Timestamp(millis).to_rfc3339()),
        ..SessionMetadata::default()
    }
}

/// Updates the metadata from a line: the first working directory (with its remote and main worktree) and
/// the latest branch.
pub(crate) fn update_from(metadata: &mut SessionMetadata, line: &FileLine) {
    let (Content::Object(text) | Content::Text(text) | Content::Lossy(text)) = &line.content else { return };
    // Most bytes of a transcript are in lines without news; searching is faster than parsing.
    if text.contains("\"gitBranch\"") || (metadata.project_path.is_none() && text.contains("\"cwd\"")) {
        line.content.records().into_iter().for_each(|record| update_from_record(metadata, record));
    }
}

fn update_from_record(metadata: &mut SessionMetadata, record: &str) {
    let [branch, cwd] = text_fields(record, ["gitBranch", "cwd"]).map(short_text);
    if branch.is_some() {
        metadata.git_branch = branch;
    }
    if metadata.project_path.is_none()
        && let Some(cwd) = cwd
    {
        metadata.git_remote = git::remote_of(&cwd);
        metadata.main_worktree = git::main_worktree_of(&cwd);
        metadata.project_path = Some(cwd);
    }
}

/// The session id in a line.
pub(crate) fn session_of(line: &FileLine) -> Option<String> {
    let session = |record: &str| {
        let [session] = text_fields(record, ["sessionId"]);
        short_text(session)
    };
    line.content.records().into_iter().find_map(session)
}

fn short_text(text: Option<String>) -> Option<String> {
    text.filter(|text| {
        !text.is_empty() && text.len() <= MAX_VALUE_BYTES && !text.chars().any(char::is_control)
    })
}
