//! The words of a line: what somebody searching would expect to find it by. Ids, paths of the harness and other
//! envelope fields are not among them.

use serde_json::value::RawValue;

use super::blocks::{is_tool_result, result_text};
use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::line::{Content, Line};

/// How many characters of its words a message carries in a list.
pub const HEAD_SEARCH_CHARS: usize = 2000;

/// How deep in a tool's input or an event's data words are looked for.
const DEPTH: usize = 8;

/// Fields that say where a Han event or an unknown line belongs, not what it says.
const ENVELOPE: [&str; 22] = [
    "type",
    "subtype",
    "event",
    "eventType",
    "event_type",
    "uuid",
    "parentUuid",
    "id",
    "call_id",
    "callId",
    "hookRunId",
    "hook_run_id",
    "sessionId",
    "session_id",
    "message_id",
    "agentId",
    "timestamp",
    "cwd",
    "gitBranch",
    "version",
    "userType",
    "slug",
];

/// The words of a line, at most `max` characters: its text, thinking, tool names, inputs and results, or the
/// texts of a Han event. Empty for `progress` lines, which repeat what other lines say.
#[must_use]
pub fn search_text(line: &str, max: usize) -> String {
    let text = json::without_lone_surrogates(line);
    words(&Line::read(&text), &text, max)
}

pub(super) fn words(line: &Line<'_>, text: &str, max: usize) -> String {
    let mut words = Words { out: String::new(), left: max };
    match line.kind() {
        MessageKind::Assistant
        | MessageKind::RegularUser
        | MessageKind::CommandUser
        | MessageKind::InterruptUser
        | MessageKind::MetaUser
        | MessageKind::ToolResultUser => words.content(&line.content),
        MessageKind::Summary => {
            words.content(&line.content);
            words.all(["summary"].iter().filter_map(|name| line.fields.raw(name)));
        }
        MessageKind::System | MessageKind::QueueOperation => {
            words.all(["subtype", "operation", "content"].iter().filter_map(|name| line.fields.raw(name)));
        }
        MessageKind::FileHistorySnapshot => {}
        MessageKind::UnknownEvent if &*line.line_type == "progress" => {}
        MessageKind::UnknownEvent if line.fields.is_empty() => words.push(text),
        _ => {
            words.said(&line.fields, "data");
            words.said(&line.data, "");
        }
    }
    words.out
}

struct Words {
    out: String,
    left: usize,
}

impl Words {
    fn push(&mut self, text: &str) {
        if self.left == 0 || text.trim().is_empty() {
            return;
        }
        if !self.out.is_empty() {
            self.out.push('\n');
            self.left -= 1;
        }
        let before = self.out.len();
        self.out.extend(text.chars().filter(|&c| c != '\0').take(self.left));
        self.left -= self.out.get(before..).map_or(0, |added| added.chars().count());
    }

    fn content(&mut self, content: &Content<'_>) {
        match content {
            Content::None => {}
            Content::Text(text) => self.push(text),
            Content::Blocks(parts) => {
                for part in parts {
                    let names: &[&str] = match &*part.kind {
                        "text" => &["text"],
                        "thinking" => &["thinking"],
                        "tool_use" | "server_tool_use" => &["name", "input"],
                        _ => &[],
                    };
                    self.all(names.iter().filter_map(|name| part.fields.raw(name)));
                    if let Some(result) = part.fields.raw("content").filter(|_| is_tool_result(&part.kind)) {
                        self.push(&result_text(result).0);
                    }
                }
            }
        }
    }

    /// What an event's or an unknown line's own fields say, apart from `except`.
    fn said(&mut self, object: &Object<'_>, except: &str) {
        let says = |(name, _): &(&str, &RawValue)| *name != except && !ENVELOPE.contains(name);
        self.all(object.fields().filter(says).map(|(_, value)| value));
    }

    fn all<'a>(&mut self, values: impl Iterator<Item = &'a RawValue>) {
        for value in values {
            self.value(value, DEPTH);
        }
    }

    /// The strings within a value. Base64 and its like are skipped: nobody searches for them.
    fn value(&mut self, raw: &RawValue, depth: usize) {
        if self.left == 0 || depth == 0 {
            return;
        }
        if let Some(text) = json::text(raw) {
            if !is_opaque(&text) {
                self.push(&text);
            }
        } else if let Some(items) = json::list(raw) {
            items.into_iter().for_each(|item| self.value(item, depth - 1));
        } else if let Some(object) = json::object(raw) {
            object.fields().for_each(|(_, value)| self.value(value, depth - 1));
        }
    }
}

/// A long run without any white space or punctuation of prose.
fn is_opaque(text: &str) -> bool {
    text.len() > 1000
        && text
            .bytes()
            .take(1000)
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_'))
}
