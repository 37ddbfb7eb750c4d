//! One transcript line, read just far enough to say what it is. Both `record` and `view` start here, so that
//! they cannot disagree on a line's kind.

use std::borrow::Cow;

use han_types::Timestamp;
use serde_json::value::RawValue;

use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::text;

/// How the agent opens the text that stands for the conversation before a compaction.
const CONTINUATION: &str = "This session is being continued from a previous conversation";
/// How the agent notes that the person stopped it (`…by user]`, `…by user for tool use]`).
const INTERRUPTION: &str = "[Request interrupted by user";
/// What the harness puts into a `user` line without a person having typed it.
const NOT_TYPED: [&str; 7] = [
    "<task-notification>",
    "<local-command-stdout>",
    "<local-command-stderr>",
    "<local-command-caveat>",
    "<bash-stdout>",
    "<bash-stderr>",
    "<system-reminder>",
];

/// The line that a stored body stands for.
///
/// Bodies are kept as the JSON value that arrived. An object is the line itself; a line that was not a JSON
/// object travelled as a JSON string, and what the string says is the line. A body that is neither is returned
/// as it stands. Lone surrogates in such a string become U+FFFD.
#[must_use]
pub fn line_text(body: &str) -> Cow<'_, str> {
    if !body.trim_start().starts_with('"') {
        return Cow::Borrowed(body);
    }
    // Reading as an owned string covers what the borrowed reader cannot return from a cleaned copy.
    serde_json::from_str::<String>(&json::without_lone_surrogates(body))
        .map_or(Cow::Borrowed(body), Cow::Owned)
}

/// A line's `message.content`.
#[derive(Debug, Default)]
pub(crate) enum Content<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Blocks(Vec<Part<'a>>),
}

/// One content block: its `type`, the object it is, and its JSON as it stands.
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
        let Some(items) = json::list(raw) else { return Self::None };
        let part = |item: &'a RawValue| {
            let fields: Object<'a> = json::object(item)?;
            Some(Part { kind: fields.text("type").unwrap_or_default(), fields, json: item.get() })
        };
        Self::Blocks(items.into_iter().filter_map(part).collect())
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

    /// The text: the string itself, or the text blocks, one below the other.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        if let Self::Text(text) = self {
            return Some(Cow::Borrowed(text));
        }
        let mut texts = self.of("text").filter_map(|block| block.text("text"));
        let first = texts.next()?;
        Some(texts.fold(first, |mut all, next| {
            let joined = all.to_mut();
            joined.push('\n');
            joined.push_str(&next);
            all
        }))
    }
}

/// A line, its kind, and its parts still raw.
#[derive(Debug, Default)]
pub(crate) struct Line<'a> {
    pub(crate) fields: Object<'a>,
    pub(crate) line_type: Cow<'a, str>,
    pub(crate) message: Object<'a>,
    pub(crate) content: Content<'a>,
    /// The name of a Han event, known or not.
    pub(crate) event: Option<Cow<'a, str>>,
    /// What a Han event (or a `progress` line) carries.
    pub(crate) data: Object<'a>,
    kind: Option<MessageKind>,
}

impl<'a> Line<'a> {
    /// Reads a line whose lone surrogates are already replaced. Whatever is no JSON object is an empty line of
    /// unknown kind.
    pub(crate) fn read(line: &'a str) -> Self {
        let Some(fields) = Object::parse(line) else { return Self::default() };
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
            "system" => Some(MessageKind::System),
            "file-history-snapshot" => Some(MessageKind::FileHistorySnapshot),
            "queue-operation" => Some(MessageKind::QueueOperation),
            "progress" => {
                read.data = read.fields.object("data").unwrap_or_default();
                None
            }
            _ => read.read_event(),
        };
        read
    }

    pub(crate) fn kind(&self) -> MessageKind {
        self.kind.unwrap_or(MessageKind::UnknownEvent)
    }

    fn read_message(&mut self) {
        self.message = self.fields.object("message").unwrap_or_default();
        self.content = Content::read(self.message.raw("content"));
    }

    fn user_kind(&self) -> MessageKind {
        let text = self.content.text().unwrap_or_default();
        let text = text.trim_start();
        let is_meta = self.fields.flag("isMeta").unwrap_or(false);
        let has_summary = || self.fields.text("summary").is_some_and(|summary| !summary.trim().is_empty());
        if self.is_continuation() || (is_meta && has_summary()) {
            return MessageKind::Summary;
        }
        let parts = self.content.parts();
        if !parts.is_empty() && parts.iter().all(|part| part.kind == "tool_result") {
            return MessageKind::ToolResultUser;
        }
        // The tag opens the text, alone or after its siblings; further down it is somebody quoting it.
        if text.starts_with("<command-") && text.contains("<command-name>") {
            MessageKind::CommandUser
        } else if text.starts_with(INTERRUPTION) {
            MessageKind::InterruptUser
        } else if is_meta {
            MessageKind::MetaUser
        } else {
            MessageKind::RegularUser
        }
    }

    /// Han's own events. They name themselves in their data, beside it, or in `type` itself.
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

    /// A Han event's field: from its data, else from the line, in either spelling; `name` is in snake_case.
    pub(crate) fn event_raw(&self, name: &str) -> Option<&'a RawValue> {
        self.data.either(name).or_else(|| self.fields.either(name))
    }

    pub(crate) fn event_text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.event_raw(name).and_then(json::text)
    }

    /// A field as text: a string's content, or another value's JSON as it stands.
    pub(crate) fn event_any(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.event_raw(name)?;
        Some(json::text(raw).unwrap_or(Cow::Borrowed(raw.get())))
    }

    pub(crate) fn event_flag(&self, name: &str) -> Option<bool> {
        self.event_raw(name).and_then(json::flag)
    }

    /// Milliseconds, from 0 to a hundred years.
    pub(crate) fn event_duration(&self) -> Option<i64> {
        self.event_raw("duration_ms").and_then(duration_ms)
    }

    /// An exit code, within the contract's 32 bits.
    pub(crate) fn event_exit_code(&self) -> Option<i64> {
        self.event_raw("exit_code").and_then(|raw| json::whole(raw, i64::from(i32::MIN), i64::from(i32::MAX)))
    }

    /// What a call is known by: its result names the call's own id.
    pub(crate) fn call_id(&self) -> Option<String> {
        let named = self.event_text("call_id");
        let own = || self.fields.text("uuid").or_else(|| self.fields.text("id"));
        let is_call = matches!(self.kind(), MessageKind::McpToolCall | MessageKind::ExposedToolCall);
        named.or_else(|| if is_call { own() } else { None }).and_then(|id| text::id(&id))
    }

    /// The hook run that this line is, or answers.
    pub(crate) fn hook_run_id(&self) -> Option<String> {
        let named = self.event_text("hook_run_id");
        let own = || self.fields.text("uuid").or_else(|| self.fields.text("id"));
        let is_run = self.kind() == MessageKind::HookRun;
        named.or_else(|| if is_run { own() } else { None }).and_then(|id| text::id(&id))
    }

    /// Whether this is the summary that a compacted conversation goes on from.
    pub(crate) fn is_continuation(&self) -> bool {
        self.line_type == "user"
            && (self.is_compact_summary()
                || self.content.text().is_some_and(|text| text.trim_start().starts_with(CONTINUATION)))
    }

    pub(crate) fn is_compact_summary(&self) -> bool {
        self.fields.flag("isCompactSummary").unwrap_or(false)
    }

    pub(crate) fn own_time(&self) -> Option<Timestamp> {
        let time = |text: Option<Cow<'_, str>>| text.and_then(|text| Timestamp::parse_rfc3339(&text));
        time(self.fields.text("timestamp")).or_else(|| {
            if self.kind() != MessageKind::FileHistorySnapshot {
                return None;
            }
            time(self.fields.object("snapshot")?.text("timestamp"))
        })
    }

    /// Whether a person typed this line into the session: a prompt or a command of the main conversation.
    pub(crate) fn is_turn(&self) -> bool {
        match self.kind() {
            MessageKind::CommandUser => !self.is_subagent(),
            MessageKind::RegularUser => {
                let text = self.content.text().unwrap_or_default();
                let text = text.trim_start();
                let has_image = self.content.of("image").next().is_some();
                !self.is_subagent()
                    && (has_image || !text.is_empty())
                    && !NOT_TYPED.iter().any(|tag| text.starts_with(tag))
            }
            _ => false,
        }
    }

    pub(crate) fn is_subagent(&self) -> bool {
        self.fields.flag("isSidechain").unwrap_or(false) || self.fields.text("agentId").is_some()
    }

    /// The uuid the line carries, if it can stand as a key.
    pub(crate) fn own_uuid(&self) -> Option<String> {
        self.fields.text("uuid").and_then(|uuid| text::id(&uuid))
    }
}

/// Milliseconds, clamped to 0 to a hundred years, so that sums of hostile ones stay within 64 bits.
pub(crate) fn duration_ms(raw: &RawValue) -> Option<i64> {
    json::whole(raw, 0, 3_155_760_000_000)
}
