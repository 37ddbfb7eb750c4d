//! Line types by which the agent keeps its own state beside the conversation, and what to display of them. All of them
//! are displayed as notices of the agent (`SystemMessage`): the line's type is the notice's subtype.
//!
//! docs/TRANSCRIPTS.md lists the types with their fields and versions.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, Object};
use crate::line::ParsedLine;
use crate::project_path::ProjectPath;
use crate::text::{MAX_NAME, label};

/// The types, each with the fields whose texts are displayed. A type without fields displays all its texts.
const NOTICES: [(&str, &[&str]); 34] = [
    ("agent-color", &["agentColor"]),
    ("agent-name", &["agentName"]),
    ("agent-setting", &["agentSetting"]),
    ("ai-title", &["aiTitle"]),
    ("artifact-autoreact-ledger", &[]),
    ("artifact-comment-monitor", &[]),
    ("atis-latch", &[]),
    ("attachment", &[]),
    ("attribution-snapshot", &[]),
    ("bridge-session", &["bridgeSessionId"]),
    ("content-replacement", &[]),
    ("continued-in", &["continuedInSessionId"]),
    ("cost-state", &[]),
    ("custom-title", &["customTitle"]),
    ("ended-by-model", &[]),
    ("file-history-delta", &[]),
    ("fork-context-ref", &[]),
    ("frame-link", &[]),
    ("history-suppression", &[]),
    ("isolation-latch", &[]),
    ("last-prompt", &["lastPrompt"]),
    ("marble-origami-commit", &["summary"]),
    ("marble-origami-reset", &[]),
    ("marble-origami-snapshot", &[]),
    ("mode", &["mode"]),
    ("observer-ref", &[]),
    ("permission-mode", &["permissionMode"]),
    ("pr-link", &["prUrl"]),
    ("relocated", &["relocatedCwd"]),
    ("result", &["result"]),
    ("speculation-accept", &[]),
    ("started", &["agentId"]),
    ("tag", &["tag"]),
    ("task-summary", &["summary"]),
];

/// The type of a line about the worktree that the session entered or left.
const WORKTREE: &str = "worktree-state";

/// Fields of a notice that only locate it.
const ENVELOPE: [&str; 21] = [
    "type",
    "subtype",
    "uuid",
    "parentUuid",
    "logicalParentUuid",
    "sessionId",
    "session_id",
    "messageId",
    "leafUuid",
    "agentId",
    "toolUseID",
    "timestamp",
    "cwd",
    "gitBranch",
    "version",
    "userType",
    "entrypoint",
    "slug",
    "level",
    "headers",
    "key",
];

/// The maximum depth at which a notice's texts are displayed.
const DEPTH: usize = 6;

/// Whether lines of this type are notices.
pub(crate) fn is_notice(line_type: &str) -> bool {
    line_type == WORKTREE || NOTICES.iter().any(|(known, _)| *known == line_type)
}

/// The subtype of a `system` line or another notice: for an attachment, the attachment's type.
pub(crate) fn subtype<'a>(line: &ParsedLine<'a>) -> Option<Cow<'a, str>> {
    match &*line.line_type {
        "system" => line.fields.text("subtype"),
        "attachment" => {
            let attachment = line.fields.object("attachment").unwrap_or_default();
            attachment.text("type").or(Some(Cow::Borrowed("attachment")))
        }
        _ => Some(line.line_type.clone()),
    }
}

/// The worktree that the session entered, if the line is about it: its name, else the last part of its path.
pub(crate) fn worktree_name(line: &ParsedLine<'_>) -> Option<String> {
    let worktree = worktree(line)?;
    let named = ["worktreeName", "name"].iter().find_map(|name| worktree.text(name));
    let named = named.and_then(|name| label(&name, MAX_NAME));
    named.or_else(|| {
        let path = worktree_path(&worktree).and_then(|path| ProjectPath::of(&path))?;
        label(&path.worktree.unwrap_or(path.name), MAX_NAME)
    })
}

/// The branch of the worktree that the session entered.
pub(crate) fn worktree_branch(line: &ParsedLine<'_>) -> Option<String> {
    let worktree = worktree(line)?;
    let branch = ["worktreeBranch", "branch"].iter().find_map(|name| worktree.text(name))?;
    label(&branch, MAX_NAME)
}

fn worktree<'a>(line: &ParsedLine<'a>) -> Option<Object<'a>> {
    (line.line_type == WORKTREE).then(|| line.fields.object("worktreeSession")).flatten()
}

fn worktree_path<'a>(worktree: &Object<'a>) -> Option<Cow<'a, str>> {
    ["worktreePath", "path"].iter().find_map(|name| worktree.text(name))
}

/// What is displayed of a `system` line or another notice.
pub(crate) fn text(line: &ParsedLine<'_>) -> Option<String> {
    let shown = match &*line.line_type {
        "system" => match line.fields.text("content") {
            Some(content) => untagged(&content).unwrap_or(&content).to_owned(),
            None if line.fields.text("subtype").as_deref() == Some("api_error") => api_error(&line.fields),
            None => texts(&line.fields, &ENVELOPE),
        },
        "attachment" => texts(&line.fields.object("attachment").unwrap_or_default(), &ENVELOPE),
        WORKTREE => match worktree(line) {
            Some(worktree) => worktree_path(&worktree)
                .or_else(|| worktree.text("worktreeName"))
                .map_or_else(|| texts(&worktree, &ENVELOPE), Cow::into_owned),
            None => "left the worktree".to_owned(),
        },
        line_type => {
            let fields =
                NOTICES.iter().find(|(known, _)| *known == line_type).map_or(&[][..], |(_, fields)| *fields);
            let mut shown = Vec::new();
            fields
                .iter()
                .filter_map(|name| line.fields.raw(name))
                .for_each(|raw| collect(raw, DEPTH, &mut shown));
            if shown.is_empty() { texts(&line.fields, &ENVELOPE) } else { shown.join("\n") }
        }
    };
    (!shown.trim().is_empty()).then_some(shown)
}

/// The output of a local command without its tag, if the text is one.
fn untagged(text: &str) -> Option<&str> {
    ["local-command-stdout", "local-command-stderr", "bash-stdout", "bash-stderr"].into_iter().find_map(
        |tag| {
            let inside = text.trim().strip_prefix(&format!("<{tag}>"))?;
            inside.strip_suffix(&format!("</{tag}>"))
        },
    )
}

/// The cause of an `api_error`: the status, the kind and message of the error that the API returned, or the reason why
/// the connection failed, and which attempt it was.
fn api_error(fields: &Object<'_>) -> String {
    let mut parts = Vec::new();
    let mut has_message = false;
    for name in ["error", "cause"] {
        let mut cause = fields.raw(name);
        // The API's own error is nested in the error of the agent's library: {"error": {"error": {"type", "message"}}}.
        for _ in 0..DEPTH {
            let Some(raw) = cause else { break };
            let error = json::object(raw).unwrap_or_default();
            let status = error.raw("status").filter(|raw| json::number(raw).is_some());
            parts.extend(status.map(|raw| raw.get().to_owned()));
            let texts = ["type", "code", "message"].iter().filter_map(|name| error.text(name));
            parts.extend(texts.chain(json::text(raw)).map(Cow::into_owned));
            let message = ["code", "message"].iter().find_map(|name| error.text(name));
            has_message |= message.or_else(|| json::text(raw)).is_some();
            cause = error.raw("error").or_else(|| error.raw("cause"));
        }
    }
    if !has_message {
        let causes = ["error", "cause"].iter().filter_map(|name| fields.raw(name));
        causes.for_each(|cause| collect(cause, DEPTH, &mut parts));
    }
    parts.retain(|part| part != "error");
    let mut known = std::collections::BTreeSet::new();
    parts.retain(|part| known.insert(part.clone()));
    let attempts =
        [fields.raw("retryAttempt"), fields.raw("maxRetries")].map(|raw| raw.and_then(json::number));
    if let [Some(attempt), Some(most)] = attempts {
        parts.push(format!("(attempt {attempt} of {most})"));
    }
    parts.join(" ")
}

/// All texts of an object, without the fields in `except`.
fn texts(object: &Object<'_>, except: &[&str]) -> String {
    let mut shown = Vec::new();
    let fields = object.fields().filter(|(name, _)| !except.contains(name));
    fields.for_each(|(_, raw)| collect(raw, DEPTH, &mut shown));
    shown.join("\n")
}

fn collect(raw: &RawValue, depth: usize, shown: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    if let Some(text) = json::text(raw) {
        if !text.trim().is_empty() {
            shown.push(text.into_owned());
        }
    } else if let Some(items) = json::list(raw) {
        items.into_iter().for_each(|item| collect(item, depth - 1, shown));
    } else if let Some(object) = json::object(raw) {
        let fields = object.fields().filter(|(name, _)| !ENVELOPE.contains(name));
        fields.for_each(|(_, raw)| collect(raw, depth - 1, shown));
    }
}
