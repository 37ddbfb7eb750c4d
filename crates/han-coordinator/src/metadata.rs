//! What a session's lines say of the place it ran in. Reads two fields and is never surprised by the rest.

use han_types::sync::SessionMetadata;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::git;
use crate::lines::{Content, Line};

/// Longer paths and branches are not real, and would cost a session its place at the server.
const MAX_VALUE_BYTES: usize = 4096;

/// The agent whose files these are.
const AGENT: &str = "claude-code";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek<'a> {
    #[serde(borrow)]
    cwd: Option<&'a RawValue>,
    #[serde(borrow)]
    git_branch: Option<&'a RawValue>,
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
}

/// What nothing is known of yet.
pub(crate) fn unknown() -> SessionMetadata {
    SessionMetadata { agent: Some(AGENT.to_owned()), ..SessionMetadata::default() }
}

/// Learns from a line: the first working directory (and with it the remote) and the latest branch.
pub(crate) fn learn(metadata: &mut SessionMetadata, line: &Line) {
    let Content::Object(text) = &line.content else { return };
    // Most bytes of a transcript are in lines that say nothing new; looking is cheaper than parsing.
    if !text.contains("\"gitBranch\"") && (metadata.project_path.is_some() || !text.contains("\"cwd\"")) {
        return;
    }
    let Ok(peek) = serde_json::from_str::<Peek<'_>>(text) else { return };
    if let Some(branch) = short_text(peek.git_branch) {
        metadata.git_branch = Some(branch);
    }
    if metadata.project_path.is_none()
        && let Some(cwd) = short_text(peek.cwd)
    {
        metadata.git_remote = git::remote_of(&cwd);
        metadata.project_path = Some(cwd);
    }
}

/// The session a line says it belongs to.
pub(crate) fn session_of(line: &Line) -> Option<String> {
    let Content::Object(text) = &line.content else { return None };
    short_text(serde_json::from_str::<Peek<'_>>(text).ok()?.session_id)
}

fn short_text(raw: Option<&RawValue>) -> Option<String> {
    let text = serde_json::from_str::<String>(raw?.get()).ok()?;
    (!text.is_empty() && text.len() <= MAX_VALUE_BYTES && !text.chars().any(char::is_control)).then_some(text)
}
