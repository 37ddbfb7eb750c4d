//! Messages: the 27 types of transcript lines. han-transcript computes views of lines, which have the fields of these
//! types; ids and the line itself are added here.

#![allow(clippy::duplicated_attributes, reason = "fields of one GraphQL interface may share a Rust type")]

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Interface, SimpleObject};
use han_db::entities;
use han_db::page::Cursor as _;
use han_transcript::line_text;
use han_transcript::record::ResultKind;
use han_transcript::split::{Rest, split};
use han_transcript::view::{self, MessageView, ResultView, UnknownEventView};
use han_types::{GlobalId, MessageKey, Timestamp};

use crate::connection::connection;
use crate::context::Op;
use crate::error::{self, ApiError, Result};
use crate::loaders::{HookResultsOf, IndexOf, SentimentOf};
use crate::types::content::{self, ContentBlock};
use crate::types::result::{self, ExposedToolResult, HookResult, McpToolResult};
use crate::types::sentiment::SentimentAnalysis;

/// A message in a list.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct MessageEdge {
    /// Its cursor.
    pub(crate) cursor: String,
    #[graphql(skip)]
    row: Arc<entities::Message>,
    #[graphql(skip)]
    op: Op,
}

connection!(
    /// A page of messages.
    MessageConnection of MessageEdge
);

#[ComplexObject]
impl MessageEdge {
    /// The message. If its stored line cannot be decrypted, it is an `UnknownEventMessage` with the event type
    /// `unreadable`, and the response has an error with the code `CONTENT_UNREADABLE`.
    async fn node(&self, ctx: &Context<'_>) -> Result<Message> {
        if self.row.body.is_none() {
            error::report(ctx, &ApiError::ContentUnreadable);
        }
        Message::read(&self.op, &self.row).await
    }

    /// The number of older messages in the session's list; null in a list of a subagent's lines or of progress lines.
    async fn message_index(&self) -> Result<Option<i64>> {
        self.op.loader().load_one(IndexOf(self.row.key.clone())).await
    }
}

impl MessageEdge {
    pub(crate) fn new(op: &Op, row: Arc<entities::Message>) -> Self {
        Self { cursor: row.cursor().encode(), row, op: Op::clone(op) }
    }
}

/// What a damaged line has beside complete records.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct LineDamage {
    /// The number of complete records on the line. Each is a message.
    records: usize,
    /// The number of records that are cut off.
    cut_records: u64,
    /// The bytes of cut records, and of other text that belongs to no record.
    lost_bytes: u64,
    /// The bytes of padding: NUL and byte order marks.
    padding_bytes: u64,
}

impl LineDamage {
    /// Reads the line of a stored body; `None` if it is not damaged.
    fn of(body: &str, line: &str) -> Option<Self> {
        // An object is one complete record.
        if body.starts_with('{') {
            return None;
        }
        let pieces = split(line);
        let Rest { nul, byte_order_marks, cut_records, text, beyond_limit, .. } = pieces.rest;
        let is_damaged = pieces.rest.is_damaged() || pieces.records.len() > 1;
        is_damaged.then(|| Self {
            records: pieces.records.len(),
            cut_records: cut_records.pieces,
            lost_bytes: cut_records.bytes + text.bytes + beyond_limit.bytes,
            padding_bytes: nul.bytes + byte_order_marks.bytes,
        })
    }
}

/// The inputs of every message type.
struct Common<'a> {
    row: &'a entities::Message,
    op: &'a Op,
    head: view::Head,
    line: Option<String>,
    damage: Option<LineDamage>,
}

/// The keys of a message's results and sentiment.
#[derive(Clone, Debug)]
struct Origin {
    op: Op,
    key: MessageKey,
}

impl Origin {
    async fn sentiment(&self) -> Result<Option<SentimentAnalysis>> {
        let of = SentimentOf { session_id: self.key.session_id.clone(), prompt: self.key.uuid.clone() };
        Ok(self.op.loader().load_one(of).await?.map(|found| SentimentAnalysis::from(&*found)))
    }
}

/// Defines message types. Each has the fields of every message, then its own fields, which come from the fields of its
/// view with the same names unless a value is given.
macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $name:ident($common:ident, $view:ident: $view_ty:ident) $([$complex:ident])? {
            $($(#[$field_doc:meta])* $field:ident: $ty:ty $(= $value:expr)?,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, SimpleObject)]
        $(#[graphql($complex)])?
        pub struct $name {
            /// The global id, `Message:<session>~<transcript>~<uuid>`.
            #[graphql(owned)]
            pub(crate) id: ID,
            /// The line's uuid, or one derived from its content if it has none.
            uuid: String,
            /// The global id of the line that it follows, in the same file.
            parent_id: Option<String>,
            /// When the line was written, RFC 3339 in UTC. A line without a time has the time of the previous line. A
            /// line that is dated in the future has the time of the next line, or of its arrival.
            timestamp: String,
            /// How many seconds the line is dated ahead of `timestamp`, because the clock of its machine was wrong; null
            /// for a line whose time was believed.
            clock_ahead_seconds: Option<i64>,
            /// The beginning of the message's text, for searches within a loaded list.
            search_text: Option<String>,
            /// The line exactly as in its file; null if it cannot be decrypted.
            raw_json: Option<String>,
            /// The size of the line in bytes; 0 if it cannot be decrypted.
            raw_bytes: usize,
            /// The id of the subagent that wrote it.
            agent_id: Option<String>,
            /// What its line has beside complete records; null if the line is one complete record.
            damage: Option<LineDamage>,
            $($(#[$field_doc])* $field: $ty,)*
            $(#[graphql(skip)] $complex: Origin,)?
        }

        impl $name {
            fn new($common: Common<'_>, $view: view::$view_ty) -> Self {
                $(let $field: $ty = messages!(@value $view $field $($value)?);)*
                Self {
                    id: ID(GlobalId::Message($common.row.key.clone()).to_string()),
                    uuid: $common.row.key.uuid.clone(),
                    timestamp: Timestamp($common.row.at).to_rfc3339(),
                    clock_ahead_seconds: clock_ahead($common.row, &$common.head),
                    damage: $common.damage,
                    agent_id: $common.row.agent_id.clone(),
                    $($complex: $common.origin(),)?
                    parent_id: $common.head.parent_id.map(|uuid| {
                        GlobalId::Message(MessageKey { uuid, ..$common.row.key.clone() }).to_string()
                    }),
                    search_text: $common.head.search_text,
                    raw_bytes: $common.line.as_ref().map_or(0, String::len),
                    raw_json: $common.line,
                    $($field,)*
                }
            }
        }
    )*};
    (@value $view:ident $field:ident) => { $view.$field };
    (@value $view:ident $field:ident $value:expr) => { $value };
}

/// How many seconds a line is dated ahead of the time that it was given.
fn clock_ahead(row: &entities::Message, head: &view::Head) -> Option<i64> {
    let ahead = head.timestamp.map(|own| own.0.saturating_sub(row.at) / 1000);
    ahead.filter(|seconds| *seconds > 0)
}

impl Common<'_> {
    fn origin(&self) -> Origin {
        Origin { op: Op::clone(self.op), key: self.row.key.clone() }
    }

    fn blocks(&self, blocks: Vec<view::Block>) -> Vec<ContentBlock> {
        content::blocks(self.op, self.row, blocks)
    }
}

messages! {
    /// An answer of the model, or a part of one. All lines of one answer repeat its token counts, so do not add them up:
    /// `Session` has the sums.
    AssistantMessage(common, view: AssistantView) {
        /// Its text blocks, joined by line breaks.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
        /// The model.
        model: Option<String>,
        /// Input tokens outside the cache, as recorded in this line.
        input_tokens: Option<i64>,
        /// Output tokens, as recorded in this line.
        output_tokens: Option<i64>,
        /// Input tokens read from the cache, as recorded in this line.
        cached_tokens: Option<i64>,
        /// Whether it contains thinking.
        has_thinking: bool,
        /// Whether it uses a tool.
        has_tool_use: bool,
        /// Whether it uses tools and has no text.
        is_tool_only: bool,
        /// The number of thinking blocks.
        thinking_count: i64,
        /// The number of tool uses.
        tool_use_count: i64,
    }

    /// A prompt.
    RegularUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// A slash command.
    CommandUserMessage(common, view: CommandUserView) [complex] {
        /// Its text.
        content: Option<String> = view.user.content,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.user.content_blocks),
        /// The command, such as `/model`.
        command_name: Option<String>,
    }

    /// A notice that the person interrupted the agent.
    InterruptUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// A message that the harness inserted.
    MetaUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// Tool results. Lists nest them in their tool uses; `message(id:)` shows the line itself.
    ToolResultUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// A summary of an earlier conversation.
    SummaryMessage(common, view: SummaryView) {
        /// The summary.
        content: Option<String>,
        /// Whether it comes from a compaction.
        is_compact_summary: bool,
    }

    /// A notice of the agent.
    SystemMessage(common, view: SystemView) {
        /// The kind of notice.
        subtype: Option<String>,
        /// `info`, `suggestion`, …
        level: Option<String>,
        /// Its text.
        content: Option<String>,
        /// Whether it is meant for the harness, not for a person.
        is_meta: bool,
    }

    /// A snapshot that files can be restored to.
    FileHistorySnapshotMessage(common, view: FileHistorySnapshotView) {
        /// The id of its message.
        message_id: Option<String>,
        /// The number of files.
        file_count: i64,
        /// Whether it updates an earlier snapshot.
        is_snapshot_update: bool,
        /// When it was taken, RFC 3339.
        snapshot_timestamp: Option<String>,
    }

    /// A change to the queue of waiting prompts.
    QueueOperationMessage(common, view: QueueOperationView) {
        /// `enqueue`, `dequeue`, `remove`, …
        operation: Option<String>,
        /// The session of the queue.
        queue_session_id: Option<String>,
    }

    /// The start of a hook run.
    HookRunMessage(common, view: HookRunView) [complex] {
        /// The run's id.
        hook_run_id: Option<String>,
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// The directory it runs in.
        directory: Option<String>,
        /// Whether its outcome comes from the cache.
        cached: bool,
    }

    /// The result of a hook run. Lists nest it in the run; `message(id:)` shows the line itself.
    HookResultMessage(common, view: HookResultView) {
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// The directory it ran in.
        directory: Option<String>,
        /// Whether the outcome came from the cache.
        cached: bool,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
        /// Its exit code.
        exit_code: Option<i64>,
        /// Whether it succeeded.
        success: Option<bool>,
        /// Its output.
        output: Option<String>,
        /// The error message.
        error: Option<String>,
    }

    /// The hooks that a check found to be due.
    HookCheckStateMessage(common, view: HookCheckStateView) {
        /// `Stop`, `SubagentStop`, …
        hook_type: Option<String>,
        /// A fingerprint of the set of hooks.
        fingerprint: Option<String>,
        /// The number of hooks that are due.
        hooks_count: Option<i64>,
    }

    /// A document that a hook gave the agent.
    HookReferenceMessage(common, view: HookReferenceView) {
        /// The plugin.
        plugin: Option<String>,
        /// The document.
        file_path: Option<String>,
        /// Why the agent must read it first.
        reason: Option<String>,
        /// Whether the document was found.
        success: Option<bool>,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
    }

    /// A validation that a hook ran.
    HookValidationMessage(common, view: HookResultView) {
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// The directory it ran in.
        directory: Option<String>,
        /// Whether the outcome came from the cache.
        cached: bool,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
        /// Its exit code.
        exit_code: Option<i64>,
        /// Whether it succeeded.
        success: Option<bool>,
        /// Its output.
        output: Option<String>,
        /// The error message.
        error: Option<String>,
    }

    /// The state of the files for which a validation passed.
    HookValidationCacheMessage(common, view: HookValidationCacheView) {
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// The directory it ran in.
        directory: Option<String>,
        /// The number of files that it covers.
        file_count: i64,
    }

    /// A script that a hook ran.
    HookScriptMessage(common, view: HookScriptView) {
        /// The plugin.
        plugin: Option<String>,
        /// The command.
        command: Option<String>,
        /// Its output.
        output: Option<String>,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
        /// Its exit code.
        exit_code: Option<i64>,
        /// Whether it succeeded.
        success: Option<bool>,
    }

    /// A hook that gave the agent the time.
    HookDatetimeMessage(common, view: HookDatetimeView) {
        /// The plugin.
        plugin: Option<String>,
        /// The time that it gave.
        datetime: Option<String>,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
    }

    /// A file change that Han recorded.
    HookFileChangeMessage(common, view: HookFileChangeView) {
        /// The tool that made it.
        change_tool_name: Option<String>,
        /// The file.
        file_path: Option<String>,
        /// The session that it was recorded for.
        recorded_session_id: Option<String>,
    }

    /// A call of an MCP tool.
    McpToolCallMessage(common, view: ToolCallView) [complex] {
        /// The id that its result refers to.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server as a prefix.
        prefixed_name: Option<String>,
        /// The arguments, as JSON.
        input: Option<String>,
    }

    /// The result of an MCP tool call. Lists nest it in the call; `message(id:)` shows the line itself.
    McpToolResultMessage(common, view: ToolCallResultView) {
        /// The id of its call.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server as a prefix.
        prefixed_name: Option<String>,
        /// Whether it succeeded.
        success: Option<bool>,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
        /// The returned value, as text or JSON.
        output: Option<String>,
        /// The error message.
        error: Option<String>,
    }

    /// A call of a tool that Han exposes from another server.
    ExposedToolCallMessage(common, view: ToolCallView) [complex] {
        /// The id that its result refers to.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server as a prefix.
        prefixed_name: Option<String>,
        /// The arguments, as JSON.
        input: Option<String>,
    }

    /// The result of an exposed tool's call. Lists nest it in the call; `message(id:)` shows the line itself.
    ExposedToolResultMessage(common, view: ToolCallResultView) {
        /// The id of its call.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server as a prefix.
        prefixed_name: Option<String>,
        /// Whether it succeeded.
        success: Option<bool>,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
        /// The returned value, as text or JSON.
        output: Option<String>,
        /// The error message.
        error: Option<String>,
    }

    /// A question to the memory.
    MemoryQueryMessage(common, view: MemoryQueryView) {
        /// The question.
        question: Option<String>,
        /// Where the answer was looked up: `personal`, `team`, `rules`.
        route: Option<String>,
        /// The number of answers.
        result_count: Option<i64>,
        /// The duration in milliseconds.
        duration_ms: Option<i64>,
    }

    /// A rule that the memory learned.
    MemoryLearnMessage(common, view: MemoryLearnView) {
        /// Its subject.
        domain: Option<String>,
        /// Its scope: `project` or `user`.
        scope: Option<String>,
        /// The paths that it applies to.
        paths: Vec<String>,
        /// Whether it was added to the existing rules, instead of replacing them.
        append: Option<bool>,
    }

    /// A sentiment that Han detected in a prompt.
    SentimentAnalysisMessage(common, view: SentimentAnalysisView) {
        /// The prompt's uuid.
        analyzed_message_id: Option<String>,
        /// From about -5 to +5.
        sentiment_score: Option<f64>,
        /// `positive`, `neutral` or `negative`.
        sentiment_level: Option<String>,
        /// From 0 to 10; null if no frustration was detected.
        frustration_score: Option<f64>,
        /// `low`, `moderate` or `high`.
        frustration_level: Option<String>,
        /// The signals that it was detected by.
        signals: Vec<String>,
    }

    /// A line of an unknown kind.
    UnknownEventMessage(common, view: UnknownEventView) {
        /// Its `type`.
        message_type: Option<String>,
        /// The kind of event within that type.
        event_type: Option<String>,
    }
}

/// Calls a macro with `variant of MessageView: object type` for every message type.
macro_rules! each_message {
    ($callback:ident) => {
        $callback! {
            Assistant: AssistantMessage,
            RegularUser: RegularUserMessage,
            CommandUser: CommandUserMessage,
            InterruptUser: InterruptUserMessage,
            MetaUser: MetaUserMessage,
            ToolResultUser: ToolResultUserMessage,
            Summary: SummaryMessage,
            System: SystemMessage,
            FileHistorySnapshot: FileHistorySnapshotMessage,
            QueueOperation: QueueOperationMessage,
            HookRun: HookRunMessage,
            HookResult: HookResultMessage,
            HookCheckState: HookCheckStateMessage,
            HookReference: HookReferenceMessage,
            HookValidation: HookValidationMessage,
            HookValidationCache: HookValidationCacheMessage,
            HookScript: HookScriptMessage,
            HookDatetime: HookDatetimeMessage,
            HookFileChange: HookFileChangeMessage,
            McpToolCall: McpToolCallMessage,
            McpToolResult: McpToolResultMessage,
            ExposedToolCall: ExposedToolCallMessage,
            ExposedToolResult: ExposedToolResultMessage,
            MemoryQuery: MemoryQueryMessage,
            MemoryLearn: MemoryLearnMessage,
            SentimentAnalysis: SentimentAnalysisMessage,
            UnknownEvent: UnknownEventMessage,
        }
    };
}
pub(crate) use each_message;

macro_rules! message {
    ($($variant:ident: $ty:ident,)*) => {
        /// A line of a session's transcript.
        #[derive(Clone, Debug, Interface)]
        #[graphql(
            field(name = "id", ty = "ID", desc = "The global id, `Message:<session>~<transcript>~<uuid>`."),
            field(name = "uuid", ty = "&String", desc = "The line's uuid."),
            field(name = "parent_id", ty = "&Option<String>", desc = "The global id of the line that it follows, in the same file."),
            field(name = "timestamp", ty = "&String", desc = "When the line was written, RFC 3339 in UTC."),
            field(name = "search_text", ty = "&Option<String>", desc = "The beginning of the message's text."),
            field(name = "raw_json", ty = "&Option<String>", desc = "The line exactly as in its file."),
            field(name = "raw_bytes", ty = "&usize", desc = "The size of the line in bytes."),
            field(name = "agent_id", ty = "&Option<String>", desc = "The id of the subagent that wrote it."),
            field(
                name = "clock_ahead_seconds",
                ty = "&Option<i64>",
                desc = "How many seconds the line is dated ahead of its timestamp; null if its time was believed."
            ),
            field(
                name = "damage",
                ty = "&Option<LineDamage>",
                desc = "What its line has beside complete records; null if the line is one complete record."
            )
        )]
        pub enum Message {
            $(
                /// See the type.
                $variant($ty),
            )*
        }

        impl Message {
            /// The message of a stored line, for a lookup of this one message.
            ///
            /// # Errors
            /// `CONTENT_UNREADABLE`.
            pub(crate) async fn alone(op: &Op, row: &Arc<entities::Message>) -> Result<Self> {
                if row.body.is_none() { Err(ApiError::ContentUnreadable) } else { Self::read(op, row).await }
            }

            /// The message of a stored line.
            ///
            /// # Errors
            /// `RATE_LIMITED` if the caller's account has no room for it.
            pub(crate) async fn read(op: &Op, row: &Arc<entities::Message>) -> Result<Self> {
                let stored = Arc::clone(row);
                let read = move || {
                    let line = stored.body.as_deref().map(|body| line_text(body).into_owned());
                    let part = usize::try_from(stored.part).unwrap_or_default();
                    let view = match &line {
                        Some(line) => view::view_at(line, part),
                        None => MessageView::UnknownEvent(UnknownEventView {
                            event_type: Some("unreadable".to_owned()),
                            ..UnknownEventView::default()
                        }),
                    };
                    let damage = stored.body.as_deref().zip(line.as_deref());
                    let damage = damage.and_then(|(body, line)| LineDamage::of(body, line));
                    (line, view, damage)
                };
                let bytes = row.body.as_ref().map_or(0, String::len);
                let (line, view, damage) = op.reads().line(bytes, read).await?;
                let common = Common { row, op, head: view.head().clone(), line, damage };
                Ok(match view {
                    $(MessageView::$variant(view) => Self::$variant($ty::new(common, view)),)*
                })
            }
        }
    };
}
each_message!(message);

/// A message of a person, or of the harness on their behalf.
#[derive(Clone, Debug, Interface)]
#[graphql(
    field(name = "id", ty = "ID", desc = "The global id."),
    field(name = "uuid", ty = "&String", desc = "The line's uuid."),
    field(name = "timestamp", ty = "&String", desc = "When the line was written, RFC 3339 in UTC."),
    field(name = "raw_json", ty = "&Option<String>", desc = "The line exactly as in its file."),
    field(name = "content", ty = "&Option<String>", desc = "Its text."),
    field(name = "content_blocks", ty = "&Vec<ContentBlock>", desc = "Its blocks."),
    field(
        name = "sentiment_analysis",
        ty = "Option<SentimentAnalysis>",
        desc = "The sentiment that Han detected in it."
    )
)]
pub enum UserMessage {
    /// A prompt.
    Regular(RegularUserMessage),
    /// A slash command.
    Command(CommandUserMessage),
    /// An interruption.
    Interrupt(InterruptUserMessage),
    /// A message that the harness inserted.
    Meta(MetaUserMessage),
    /// Tool results.
    ToolResult(ToolResultUserMessage),
}

macro_rules! prompts {
    ($($name:ident,)*) => {$(
        #[ComplexObject]
        impl $name {
            /// The sentiment that Han detected in it; null if Han did not analyse it.
            async fn sentiment_analysis(&self, _ctx: &Context<'_>) -> Result<Option<SentimentAnalysis>> {
                self.complex.sentiment().await
            }
        }
    )*};
}
prompts! {
    RegularUserMessage,
    CommandUserMessage,
    InterruptUserMessage,
    MetaUserMessage,
    ToolResultUserMessage,
}

#[ComplexObject]
impl McpToolCallMessage {
    /// Its result; null until it arrives.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<McpToolResult>> {
        let kind = ResultKind::Mcp;
        let call_id = self.call_id.as_deref().unwrap_or_default();
        let found = result::of_call(&self.complex.op, &self.complex.key, kind, call_id).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let shown = |view: &ResultView| match view {
            ResultView::Mcp(result) => Some(McpToolResult::new(&found.message, result.clone())),
            _ => None,
        };
        let views = result::views(&self.complex.op, &found.message).await;
        error::or_null(ctx, views.map(|views| views.iter().find_map(shown)))
    }
}

#[ComplexObject]
impl ExposedToolCallMessage {
    /// Its result; null until it arrives.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<ExposedToolResult>> {
        let kind = ResultKind::Exposed;
        let call_id = self.call_id.as_deref().unwrap_or_default();
        let found = result::of_call(&self.complex.op, &self.complex.key, kind, call_id).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let shown = |view: &ResultView| match view {
            ResultView::Exposed(result) => Some(ExposedToolResult::new(&found.message, result.clone())),
            _ => None,
        };
        let views = result::views(&self.complex.op, &found.message).await;
        error::or_null(ctx, views.map(|views| views.iter().find_map(shown)))
    }
}

#[ComplexObject]
impl HookRunMessage {
    /// Its result; null until it arrives. It is the first one that names this run. A result that names no run belongs to
    /// the earliest run before it, of the same hook, plugin and directory, that has no other result.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<HookResult>> {
        let Origin { op, key } = &self.complex;
        let results = op.loader().load_one(HookResultsOf(key.session_id.clone())).await?.unwrap_or_default();
        let Some(line) = results.get(key) else { return Ok(None) };
        let Some(line) = op.loader().load_one(line.clone()).await? else { return Ok(None) };
        error::or_null(ctx, hook_result(op, &line).await)
    }
}

async fn hook_result(op: &Op, line: &Arc<entities::Message>) -> Result<Option<HookResult>> {
    Ok(result::views(op, line).await?.iter().find_map(|view| match view {
        ResultView::Hook(outcome) => Some(HookResult::new(line, outcome.clone())),
        _ => None,
    }))
}
