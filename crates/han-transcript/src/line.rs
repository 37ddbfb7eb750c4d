//! Parses one transcript line as far as its kind requires. `record` and `view` both start here, so that they agree on
//! a line's kind.

use std::borrow::Cow;

use han_types::Timestamp;
use serde_json::value::RawValue;

use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::notice;
use crate::text;

/// The first words of the text that replaces the conversation before a compaction.
const CONTINUATION: &str = "This session is being continued from a previous conversation";
/// The beginning of a shell command that a person typed after `!`.
pub(crate) const BASH_INPUT: &str = "<bash-input>";
/// The first words of the agent's notice that a person stopped it (`…by user]`, `…by user for tool use]`).
const INTERRUPTION: &str = "[Request interrupted by user";
/// The tags at the beginning of `user` lines that the harness writes, not a person.
const HARNESS_TAGS: [&str; 5] =
    ["task-notification", "local-command-stdout", "local-command-stderr", "bash-stdout", "bash-stderr"];
/// The tags of messages that another agent or another session sent.
const MESSAGE_TAGS: [&str; 3] = ["teammate-message", "agent-message", "cross-session-message"];
/// The tags of texts that the harness inserts before or after what a person typed.
const INSERTED_TAGS: [&str; 10] = [
    "system-reminder",
    "local-command-caveat",
    "ide_opened_file",
    "ide_selection",
    "ide_diagnostics",
    "user-prompt-submit-hook",
    "post-tool-use-hook",
    "session-start-hook",
    "tick",
    "goal",
];
/// The types of content blocks that a person attaches to a prompt.
const ATTACHED: [&str; 5] = ["image", "document", "file", "audio", "video"];
/// The origins of what a person typed.
const PERSONS: [&str; 2] = ["human", "user"];
/// The first millisecond of 2020 in UTC. No coding agent wrote a transcript before.
const EARLIEST: Timestamp = Timestamp(1_577_836_800_000);

/// The line of a stored body.
///
/// A body is stored as the JSON value that was received. An object is the line itself. A line that is no JSON object
/// is sent as a JSON string, whose content is the line; lone surrogates in it become U+FFFD. Any other body is
/// returned unchanged.
#[must_use]
pub fn line_text(body: &str) -> Cow<'_, str> {
    if !body.trim_start().starts_with('"') {
        return Cow::Borrowed(body);
    }
    // An owned string, because the cleaned copy does not live long enough to borrow from it.
    serde_json::from_str::<String>(&json::without_lone_surrogates(body))
        .map_or(Cow::Borrowed(body), Cow::Owned)
}

/// The texts in a record's fields of these names. A field with another value is `None`, and so is each field of a text
/// that is no object. Of several fields with one name, the last counts, as for all readers of this crate.
#[must_use]
pub fn text_fields<const N: usize>(record: &str, names: [&str; N]) -> [Option<String>; N] {
    let clean = json::without_lone_surrogates(record);
    let object = Object::parse(&clean).unwrap_or_default();
    names.map(|name| object.text(name).map(Cow::into_owned))
}

/// A line's `message.content`.
#[derive(Debug, Default)]
pub(crate) enum Content<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Blocks(Vec<Part<'a>>),
}

/// One content block: its `type`, its fields, and its unchanged JSON.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) fields: Object<'a>,
    pub(crate) json: &'a str,
}

impl<'a> Content<'a> {
    fn read(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw else { return Self::None };
        if let Some(text) = json::text(raw) {
            return Self::Text(text);
        }
        let part = |item: &'a RawValue| {
            if item.get().starts_with('"') {
                return Some(Part {
                    kind: "text".into(),
                    fields: Object::of("text", item),
                    json: item.get(),
                });
            }
            let fields: Object<'a> = json::object(item)?;
            Some(Part { kind: fields.text("type").unwrap_or_default(), fields, json: item.get() })
        };
        match json::list(raw) {
            Some(items) => Self::Blocks(items.into_iter().filter_map(part).collect()),
            None => part(raw).map_or(Self::None, |part| Self::Blocks(vec![part])),
        }
    }

    /// The blocks, if it is a list of them.
    pub(crate) fn parts(&self) -> &[Part<'a>] {
        match self {
            Self::Blocks(parts) => parts,
            Self::None | Self::Text(_) => &[],
        }
    }

    /// The blocks of one type.
    pub(crate) fn of<'s>(&'s self, kind: &'static str) -> impl Iterator<Item = &'s Object<'a>> {
        self.parts().iter().filter(move |part| part.kind == kind).map(|part| &part.fields)
    }

    /// The text: the string itself, or the text blocks joined by line feeds.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        if let Self::Text(text) = self {
            return Some(Cow::Borrowed(text));
        }
        joined(self.of("text").filter_map(|block| block.text("text")))
    }

    /// The text of a user's message without what the harness inserted: of the string, or of each text block.
    pub(crate) fn typed(&self) -> Cow<'_, str> {
        if let Self::Text(text) = self {
            return Cow::Borrowed(typed(text));
        }
        let texts = self.of("text").filter_map(|block| block.text("text"));
        joined(texts.filter_map(typed_block)).unwrap_or_default()
    }

    /// Whether it has a block that a person attached.
    fn has_attached(&self) -> bool {
        self.parts().iter().any(|part| ATTACHED.contains(&&*part.kind))
    }
}

/// The texts, joined by line feeds.
fn joined<'a>(mut texts: impl Iterator<Item = Cow<'a, str>>) -> Option<Cow<'a, str>> {
    let first = texts.next()?;
    Some(texts.fold(first, |mut all, next| {
        let joined = all.to_mut();
        joined.push('\n');
        joined.push_str(&next);
        all
    }))
}

/// The text of a block without what the harness inserted; `None` if nothing else is in it.
fn typed_block(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let kept = typed(&text);
    if kept.len() == text.len() {
        return Some(text);
    }
    (!kept.is_empty()).then(|| Cow::Owned(kept.to_owned()))
}

/// What a person typed of a text: without the texts that the harness inserted at its beginning and at its end. A tag
/// elsewhere is a quote. A text without them is returned unchanged.
pub(crate) fn typed(text: &str) -> &str {
    let trimmed = text.trim();
    let mut typed = trimmed;
    while let Some(rest) = INSERTED_TAGS.iter().find_map(|tag| without_first(typed, tag)) {
        typed = rest.trim_start();
    }
    while let Some(rest) = INSERTED_TAGS.iter().find_map(|tag| without_last(typed, tag)) {
        typed = rest.trim_end();
    }
    if typed.len() == trimmed.len() { text } else { typed }
}

/// Whether the text is a message of another agent, another session or a connected program.
fn is_sent(text: &str) -> bool {
    // A person may type XML with this tag, too: it counts only with its attribute.
    let is_of_channel = text.strip_prefix("<channel").is_some_and(|rest| {
        rest.starts_with(char::is_whitespace) && rest.trim_start().starts_with("source=")
    });
    is_of_channel || MESSAGE_TAGS.iter().any(|tag| begins_with_tag(text, tag))
}

/// Whether the text begins with this tag, which may have attributes.
fn begins_with_tag(text: &str, tag: &str) -> bool {
    let rest = text.strip_prefix('<').and_then(|text| text.strip_prefix(tag));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c == '>' || c.is_whitespace()))
}

/// The text after the element with this tag that it begins with. An element without an end is all of the text.
fn without_first<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let end = || text.split_once(&format!("</{tag}>")).map_or("", |(_, rest)| rest);
    begins_with_tag(text, tag).then(end)
}

/// The text before the element with this tag that it ends with. The element begins a line.
fn without_last<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let inside = text.strip_suffix('>')?.strip_suffix(tag)?.strip_suffix("</")?;
    let begins = format!("<{tag}>");
    let mut before = inside.rmatch_indices(&begins).filter_map(|(at, _)| inside.get(..at));
    before.find(|before| before.trim_end_matches([' ', '\t']).ends_with('\n'))
}

/// A line with its kind; its parts are still raw JSON.
#[derive(Debug, Default)]
pub(crate) struct ParsedLine<'a> {
    pub(crate) fields: Object<'a>,
    pub(crate) line_type: Cow<'a, str>,
    pub(crate) message: Object<'a>,
    pub(crate) content: Content<'a>,
    /// The name of a Han event, known or not.
    pub(crate) event: Option<Cow<'a, str>>,
    /// The data of a Han event or of a `progress` line.
    pub(crate) data: Object<'a>,
    kind: Option<MessageKind>,
}

impl<'a> ParsedLine<'a> {
    /// Parses a line whose lone surrogates have been replaced. Returns `None` for any text that is no JSON object.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let fields = Object::parse(line)?;
        let line_type = fields.text("type").unwrap_or_default();
        let mut read = Self { line_type, fields, ..Self::default() };
        read.kind = match &*read.line_type {
            "user" => {
                read.read_message();
                Some(read.user_kind())
            }
            "assistant" => {
                read.read_message();
                Some(MessageKind::Assistant)
            }
            "summary" => Some(MessageKind::Summary),
            "system" => Some(read.system_kind()),
            "attachment" => Some(read.attachment_kind()),
            "file-history-snapshot" => Some(MessageKind::FileHistorySnapshot),
            "queue-operation" => Some(MessageKind::QueueOperation),
            "progress" => {
                read.data = read.fields.object("data").unwrap_or_default();
                None
            }
            other if notice::is_notice(other) => Some(MessageKind::System),
            _ => read.read_event(),
        };
        Some(read)
    }

    pub(crate) fn kind(&self) -> MessageKind {
        self.kind.unwrap_or(MessageKind::UnknownEvent)
    }

    fn read_message(&mut self) {
        self.message = self.fields.object("message").unwrap_or_default();
        self.content = Content::read(self.message.raw("content"));
    }

    fn user_kind(&self) -> MessageKind {
        let text = self.content.typed();
        let text = text.trim_start();
        let is_meta = self.fields.flag("isMeta").unwrap_or(false);
        let has_summary = || self.fields.text("summary").is_some_and(|summary| !summary.trim().is_empty());
        if self.is_continuation() || (is_meta && has_summary()) {
            return MessageKind::Summary;
        }
        let parts = self.content.parts();
        let has_only = |kinds: &[&str]| parts.iter().all(|part| kinds.contains(&&*part.kind));
        let has_results = self.content.of("tool_result").next().is_some();
        // A result may be followed by a text that the harness inserted.
        if has_results
            && (has_only(&["tool_result"]) || (text.is_empty() && has_only(&["tool_result", "text"])))
        {
            return MessageKind::ToolResultUser;
        }
        let is_inserted = || {
            text.is_empty()
                && !self.content.has_attached()
                && self.content.text().is_some_and(|text| !text.trim().is_empty())
        };
        if self.is_of_other_origin() || is_sent(text) || is_inserted() {
            MessageKind::MetaUser
        } else if text.starts_with("<command-") && text.contains("<command-name>") {
            // In a command, the text starts with this tag or with its sibling tags. Later in a text, the tag is a quote.
            MessageKind::CommandUser
        } else if text.starts_with(INTERRUPTION) {
            MessageKind::InterruptUser
        } else if is_meta {
            MessageKind::MetaUser
        } else {
            MessageKind::RegularUser
        }
    }

    /// Whether the line says that it is of someone or something else than a person. Versions without an origin wrote only
    /// what a person typed.
    fn is_of_other_origin(&self) -> bool {
        let attachment = self.fields.object("attachment").unwrap_or_default();
        let Some(origin) = attachment.raw("origin").or_else(|| self.fields.raw("origin")) else {
            return false;
        };
        let kind = json::text(origin).or_else(|| json::object(origin)?.text("kind"));
        kind.is_some_and(|kind| !PERSONS.contains(&&*kind))
    }

    /// A slash command that the agent runs itself is a `system` line of subtype `local_command`, and so is its output.
    fn system_kind(&mut self) -> MessageKind {
        if self.fields.text("subtype").as_deref() != Some("local_command") {
            return MessageKind::System;
        }
        let content = Content::read(self.fields.raw("content"));
        let is_typed = content.text().is_some_and(|text| {
            let text = text.trim_start();
            text.starts_with(BASH_INPUT) || (text.starts_with("<command-") && text.contains("<command-name>"))
        });
        if !is_typed {
            return MessageKind::System;
        }
        self.content = content;
        self.user_kind()
    }

    /// An attachment is a notice, except for `queued_command`: what was sent to the agent while it worked, by a person
    /// or by another part of the harness.
    fn attachment_kind(&mut self) -> MessageKind {
        let attachment = self.fields.object("attachment").unwrap_or_default();
        if attachment.text("type").as_deref() != Some("queued_command") {
            return MessageKind::System;
        }
        let mode = attachment.text("commandMode");
        let mode = mode.as_deref().unwrap_or("prompt");
        self.content = Content::read(attachment.raw("prompt"));
        // A shell command is written as in a `user` line.
        if let Content::Text(command) = &self.content
            && mode == "bash"
            && !command.trim_start().starts_with(BASH_INPUT)
        {
            self.content = Content::Text(format!("{BASH_INPUT}{command}</bash-input>").into());
        }
        let is_meta = attachment.flag("isMeta").unwrap_or(false);
        if !is_meta && matches!(mode, "prompt" | "bash") { self.user_kind() } else { MessageKind::MetaUser }
    }

    /// Reads an event of Han. Its name is in its data, beside its data, or in `type`.
    fn read_event(&mut self) -> Option<MessageKind> {
        let data = self.fields.object("data");
        if self.line_type == "han_event" {
            self.data = data.unwrap_or_default();
            let named = |object: &Object<'a>, names: &[&str]| {
                names.iter().filter_map(|name| object.text(name)).collect::<Vec<_>>()
            };
            let mut names = named(&self.data, &["type", "event", "eventType", "event_type"]);
            names.extend(named(&self.fields, &["eventType", "event_type", "event", "subtype"]));
            let known = names.iter().position(|name| MessageKind::of_event(name).is_some());
            self.event = names.into_iter().nth(known.unwrap_or(0));
            self.event.as_deref().and_then(MessageKind::of_event)
        } else {
            let kind = MessageKind::of_event(&self.line_type);
            if kind.is_some() || self.line_type.starts_with("task_") {
                self.data = data?;
                self.event = Some(self.line_type.clone());
            }
            kind
        }
    }

    /// A field of a Han event: from its data, else from the line, in snake_case or camelCase. `name` is in snake_case.
    pub(crate) fn event_raw(&self, name: &str) -> Option<&'a RawValue> {
        self.data.either(name).or_else(|| self.fields.either(name))
    }

    pub(crate) fn event_text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.event_raw(name).and_then(json::text)
    }

    /// A field as text: the content of a string, or the JSON of any other value.
    pub(crate) fn event_any(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.event_raw(name)?;
        Some(json::text(raw).unwrap_or(Cow::Borrowed(raw.get())))
    }

    pub(crate) fn event_flag(&self, name: &str) -> Option<bool> {
        self.event_raw(name).and_then(json::flag)
    }

    /// The event's duration in milliseconds, clamped to 0 to a hundred years.
    pub(crate) fn event_duration(&self) -> Option<i64> {
        self.event_raw("duration_ms").and_then(duration_ms)
    }

    /// The event's exit code, clamped to the 32 bits of GraphQL's `Int`.
    pub(crate) fn event_exit_code(&self) -> Option<i64> {
        self.event_raw("exit_code").and_then(|raw| json::whole(raw, i64::from(i32::MIN), i64::from(i32::MAX)))
    }

    /// The id of the call that this line is or answers. A result names the line id of its call.
    pub(crate) fn call_id(&self) -> Option<String> {
        let named = self.event_text("call_id");
        let own = || self.fields.text("uuid").or_else(|| self.fields.text("id"));
        let is_call = matches!(self.kind(), MessageKind::McpToolCall | MessageKind::ExposedToolCall);
        named.or_else(|| if is_call { own() } else { None }).and_then(|id| text::id(&id))
    }

    /// The id of the hook run that this line is or answers.
    pub(crate) fn hook_run_id(&self) -> Option<String> {
        let named = self.event_text("hook_run_id");
        let own = || self.fields.text("uuid").or_else(|| self.fields.text("id"));
        let is_run = self.kind() == MessageKind::HookRun;
        named.or_else(|| if is_run { own() } else { None }).and_then(|id| text::id(&id))
    }

    /// Whether this is the summary from which a compacted conversation continues.
    pub(crate) fn is_continuation(&self) -> bool {
        self.line_type == "user"
            && (self.is_compact_summary() || self.content.typed().trim_start().starts_with(CONTINUATION))
    }

    pub(crate) fn is_compact_summary(&self) -> bool {
        self.fields.flag("isCompactSummary").unwrap_or(false)
    }

    pub(crate) fn own_time(&self) -> Option<Timestamp> {
        // An earlier time is that of a machine whose clock was not set.
        let time = |text: Option<Cow<'_, str>>| {
            text.and_then(|text| Timestamp::parse_rfc3339(&text)).filter(|time| *time >= EARLIEST)
        };
        time(self.fields.text("timestamp")).or_else(|| {
            if self.kind() != MessageKind::FileHistorySnapshot {
                return None;
            }
            time(self.fields.object("snapshot")?.text("timestamp"))
        })
    }

    /// Whether a person typed this line: a prompt or a command of the main conversation.
    pub(crate) fn is_turn(&self) -> bool {
        match self.kind() {
            MessageKind::CommandUser => !self.is_subagent(),
            MessageKind::RegularUser => {
                let text = self.content.typed();
                let text = text.trim_start();
                !self.is_subagent()
                    && (self.content.has_attached() || !text.is_empty())
                    && !HARNESS_TAGS.iter().any(|tag| begins_with_tag(text, tag))
            }
            _ => false,
        }
    }

    /// Whether this is an answer that consists of thinking whose text is not recorded, such as `{"thinking": "",
    /// "signature": "…"}`. It displays nothing; its tokens count.
    pub(crate) fn is_blank(&self) -> bool {
        let parts = self.content.parts();
        self.kind() == MessageKind::Assistant
            && !parts.is_empty()
            && parts.iter().all(|part| {
                part.kind == "thinking"
                    && part
                        .fields
                        .text("thinking")
                        .is_some_and(|text| text.chars().all(|c| c.is_whitespace() || c == '\0'))
            })
    }

    pub(crate) fn is_subagent(&self) -> bool {
        self.fields.flag("isSidechain").unwrap_or(false) || self.fields.text("agentId").is_some()
    }

    /// The line's own uuid, if it is valid as a key.
    pub(crate) fn own_uuid(&self) -> Option<String> {
        self.fields.text("uuid").and_then(|uuid| text::id(&uuid))
    }
}

/// Milliseconds, clamped to 0 to a hundred years, so that sums of hostile values fit into 64 bits.
pub(crate) fn duration_ms(raw: &RawValue) -> Option<i64> {
    json::whole(raw, 0, 3_155_760_000_000)
}
