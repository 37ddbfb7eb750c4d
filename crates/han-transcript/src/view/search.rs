//! Extracts the searchable text of a line. Ids, paths of the harness and other envelope fields are excluded.

use std::ops::ControlFlow;

use serde_json::value::RawValue;

use super::blocks::{document_text, is_tool_result, result_text};
use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::line::{Content, ParsedLine};
use crate::notice;
use crate::split::each_record;

/// The maximum length of a message's searchable text in lists, in characters.
pub const HEAD_SEARCH_CHARS: usize = 2000;

/// The maximum depth within a tool's input or an event's data.
const DEPTH: usize = 8;

/// Fields that identify or locate a Han event or an unknown line; they are not searchable.
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

/// The searchable text of a line, at most `max` characters: its text, thinking, tool names, inputs and results, or the
/// texts of a Han event. Empty for `progress` lines, which repeat the content of other lines. A damaged line has the
/// texts of all its records.
#[must_use]
pub fn search_text(line: &str, max: usize) -> String {
    let mut collector = TextCollector { out: String::new(), left: max };
    each_record(line, |_, text, read| {
        collector.record(read, text);
        ControlFlow::Continue(())
    });
    collector.out
}

/// As [`search_text`], for the record at a position of a line.
#[must_use]
pub fn search_text_at(line: &str, position: usize, max: usize) -> String {
    let mut collector = TextCollector { out: String::new(), left: max };
    each_record(line, |found, text, read| {
        if found < position {
            return ControlFlow::Continue(());
        }
        collector.record(read, text);
        ControlFlow::Break(())
    });
    collector.out
}

/// The searchable text of one record.
pub(super) fn collect_text(record: &ParsedLine<'_>, text: &str, max: usize) -> String {
    let mut collector = TextCollector { out: String::new(), left: max };
    collector.record(record, text);
    collector.out
}

struct TextCollector {
    out: String,
    left: usize,
}

impl TextCollector {
    fn record(&mut self, line: &ParsedLine<'_>, text: &str) {
        match line.kind() {
            MessageKind::Assistant
            | MessageKind::RegularUser
            | MessageKind::CommandUser
            | MessageKind::InterruptUser
            | MessageKind::MetaUser
            | MessageKind::ToolResultUser => self.content(&line.content),
            MessageKind::Summary => {
                self.content(&line.content);
                self.all(["summary"].iter().filter_map(|name| line.fields.raw(name)));
            }
            MessageKind::System => {
                notice::subtype(line).iter().for_each(|subtype| self.push(subtype));
                notice::text(line).iter().filter(|text| !is_opaque(text)).for_each(|text| self.push(text));
            }
            MessageKind::QueueOperation => {
                self.all(["subtype", "operation", "content"].iter().filter_map(|name| line.fields.raw(name)));
            }
            MessageKind::FileHistorySnapshot => {}
            MessageKind::UnknownEvent if &*line.line_type == "progress" => {}
            MessageKind::UnknownEvent if line.fields.is_empty() => self.push(text),
            _ => {
                self.fields(&line.fields, "data");
                self.fields(&line.data, "");
            }
        }
    }

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
                        "document" => &["title", "context"],
                        _ => &[],
                    };
                    self.all(names.iter().filter_map(|name| part.fields.raw(name)));
                    if let Some(text) = document_text(&part.fields).filter(|_| part.kind == "document") {
                        self.push(&text);
                    }
                    if let Some(result) = part.fields.raw("content").filter(|_| is_tool_result(&part.kind)) {
                        self.push(&result_text(result).0);
                    }
                }
            }
        }
    }

    /// The texts in the fields of an event or of an unknown line, without the envelope and without `except`.
    fn fields(&mut self, object: &Object<'_>, except: &str) {
        let searchable = |(name, _): &(&str, &RawValue)| *name != except && !ENVELOPE.contains(name);
        self.all(object.fields().filter(searchable).map(|(_, value)| value));
    }

    fn all<'a>(&mut self, values: impl Iterator<Item = &'a RawValue>) {
        for value in values {
            self.value(value, DEPTH);
        }
    }

    /// The strings within a value, without base64 and similar data.
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

/// Whether the text is a long run without white space and punctuation, such as base64.
fn is_opaque(text: &str) -> bool {
    text.len() > 1000
        && text
            .bytes()
            .take(1000)
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_'))
}
