//! Messages: the 27 types that a transcript's line can be. What a line shows is computed in han-transcript, whose
//! views have the fields of these types; ids and the line itself are added here.

#![allow(clippy::duplicated_attributes, reason = "fields of one GraphQL interface may share a Rust type")]

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Interface, SimpleObject};
use han_db::entities;
use han_db::page::{Cursor as _, MessageCursor};
use han_db::queries::tool_results::CallKind;
use han_transcript::line_text;
use han_transcript::record::ResultKind;
use han_transcript::view::{self, MessageView, ResultView, UnknownEventView};
use han_types::{GlobalId, SessionId, Timestamp};

use crate::context::Op;
use crate::error::{self, ApiError, Result};
use crate::loaders::MoodOf;
use crate::types::content::{self, ContentBlock};
use crate::types::result::{self, ExposedToolResult, HookResult, McpToolResult};
use crate::types::sentiment::SentimentAnalysis;

/// A message in a list.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct MessageEdge {
    /// Its place in the list.
    pub(crate) cursor: String,
    #[graphql(skip)]
    row: Arc<entities::Message>,
    #[graphql(skip)]
    op: Op,
}

#[ComplexObject]
impl MessageEdge {
    /// The message. One whose stored line cannot be opened is an `UnknownEventMessage` with the event type
    /// `unreadable`, and an error with the code `CONTENT_UNREADABLE` stands beside it.
    async fn node(&self, ctx: &Context<'_>) -> Message {
        if self.row.body.is_none() {
            error::report(ctx, &ApiError::ContentUnreadable);
        }
        Message::new(&self.op, &self.row)
    }
}

impl MessageEdge {
    pub(crate) fn new(op: &Op, row: Arc<entities::Message>) -> Self {
        Self { cursor: row.cursor().encode(), row, op: Op::clone(op) }
    }
}

/// What every message has.
struct Common<'a> {
    row: &'a entities::Message,
    op: &'a Op,
    head: view::Head,
    line: Option<String>,
}

/// What a message's results are found by.
#[derive(Clone, Debug)]
struct Origin {
    op: Op,
    session_id: SessionId,
    uuid: String,
    cursor: MessageCursor,
}

impl Origin {
    async fn mood(&self) -> Result<Option<SentimentAnalysis>> {
        let of = MoodOf { session_id: self.session_id.clone(), prompt: self.uuid.clone() };
        Ok(self.op.loader().load_one(of).await?.map(|mood| SentimentAnalysis::from(&*mood)))
    }
}

/// Defines message types. Each has the fields that every message has, then its own, which are taken from its view
/// by the same names where nothing else is said.
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
            /// The global id, `Message:<session>:<transcript>:<uuid>`.
            #[graphql(owned)]
            pub(crate) id: ID,
            /// The line's uuid, or one made from its content where it has none.
            uuid: String,
            /// The uuid of the line it follows.
            parent_id: Option<String>,
            /// When the line was written, RFC 3339 in UTC. A line without a time has that of the line before it.
            timestamp: String,
            /// What a search within the list looks at: how the message's words begin.
            search_text: Option<String>,
            /// The line as it stands in its file; null where what is stored cannot be opened.
            raw_json: Option<String>,
            /// The subagent that wrote it.
            agent_id: Option<String>,
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
                    agent_id: $common.row.agent_id.clone(),
                    $($complex: $common.origin(),)?
                    parent_id: $common.head.parent_id,
                    search_text: $common.head.search_text,
                    raw_json: $common.line,
                    $($field,)*
                }
            }
        }
    )*};
    (@value $view:ident $field:ident) => { $view.$field };
    (@value $view:ident $field:ident $value:expr) => { $value };
}

impl Common<'_> {
    fn origin(&self) -> Origin {
        Origin {
            op: Op::clone(self.op),
            session_id: self.row.key.session_id.clone(),
            uuid: self.row.key.uuid.clone(),
            cursor: self.row.cursor(),
        }
    }

    fn blocks(&self, blocks: Vec<view::Block>) -> Vec<ContentBlock> {
        content::blocks(self.op, &self.row.key.session_id, blocks)
    }
}

messages! {
    /// An answer of the model, or a part of one: the lines of one answer share its counters, so they must not be
    /// added up. `Session` has the sums.
    AssistantMessage(common, view: AssistantView) {
        /// Its text blocks, one below the other.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
        /// The model.
        model: Option<String>,
        /// Input tokens that no cache covered, as this line says.
        input_tokens: Option<i64>,
        /// Output tokens, as far as this line knows.
        output_tokens: Option<i64>,
        /// Input tokens read from the cache, as this line says.
        cached_tokens: Option<i64>,
        /// Whether it holds thinking.
        has_thinking: bool,
        /// Whether it uses a tool.
        has_tool_use: bool,
        /// Whether it uses tools and says nothing.
        is_tool_only: bool,
        /// How many thinking blocks it holds.
        thinking_count: i64,
        /// How many tools it uses.
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
        /// The command, as it was typed: `/model`.
        command_name: Option<String>,
    }

    /// The notice that the person stopped the agent.
    InterruptUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// Something the harness put there.
    MetaUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// Tool results. In lists they nest under the tool uses; `message(id:)` shows the line itself.
    ToolResultUserMessage(common, view: UserView) [complex] {
        /// Its text.
        content: Option<String>,
        /// Its blocks.
        content_blocks: Vec<ContentBlock> = common.blocks(view.content_blocks),
    }

    /// A text that stands for an earlier conversation.
    SummaryMessage(common, view: SummaryView) {
        /// The summary.
        content: Option<String>,
        /// Whether a compaction made it.
        is_compact_summary: bool,
    }

    /// A notice of the agent.
    SystemMessage(common, view: SystemView) {
        /// What sort of notice.
        subtype: Option<String>,
        /// `info`, `suggestion`, …
        level: Option<String>,
        /// Its text.
        content: Option<String>,
        /// Whether it is for the harness rather than for a person.
        is_meta: bool,
    }

    /// A point that files can be taken back to.
    FileHistorySnapshotMessage(common, view: FileHistorySnapshotView) {
        /// The message it belongs to.
        message_id: Option<String>,
        /// How many files it holds.
        file_count: i64,
        /// Whether it changes an earlier one.
        is_snapshot_update: bool,
        /// When it was taken, RFC 3339.
        snapshot_timestamp: Option<String>,
    }

    /// A change to the queue of waiting prompts.
    QueueOperationMessage(common, view: QueueOperationView) {
        /// `enqueue`, `dequeue`, `remove`, …
        operation: Option<String>,
        /// The session whose queue it is.
        queue_session_id: Option<String>,
    }

    /// A hook that began to run.
    HookRunMessage(common, view: HookRunView) [complex] {
        /// The run's id.
        hook_run_id: Option<String>,
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// Where it runs.
        directory: Option<String>,
        /// Whether its outcome comes from a cache.
        cached: bool,
    }

    /// How a hook run ended. In lists it nests under the run; `message(id:)` shows the line itself.
    HookResultMessage(common, view: HookResultView) {
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// Where it ran.
        directory: Option<String>,
        /// Whether the outcome came from a cache.
        cached: bool,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
        /// Its exit code.
        exit_code: Option<i64>,
        /// Whether it went well.
        success: Option<bool>,
        /// What it wrote.
        output: Option<String>,
        /// What went wrong.
        error: Option<String>,
    }

    /// Which hooks a check found to be due.
    HookCheckStateMessage(common, view: HookCheckStateView) {
        /// `Stop`, `SubagentStop`, …
        hook_type: Option<String>,
        /// What identifies the set of hooks.
        fingerprint: Option<String>,
        /// How many hooks are due.
        hooks_count: Option<i64>,
    }

    /// A document that a hook put before the agent.
    HookReferenceMessage(common, view: HookReferenceView) {
        /// The plugin.
        plugin: Option<String>,
        /// The document.
        file_path: Option<String>,
        /// Why it must be read first.
        reason: Option<String>,
        /// Whether it was found.
        success: Option<bool>,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
    }

    /// A validation that a hook ran.
    HookValidationMessage(common, view: HookResultView) {
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// Where it ran.
        directory: Option<String>,
        /// Whether the outcome came from a cache.
        cached: bool,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
        /// Its exit code.
        exit_code: Option<i64>,
        /// Whether it went well.
        success: Option<bool>,
        /// What it wrote.
        output: Option<String>,
        /// What went wrong.
        error: Option<String>,
    }

    /// The state of the files that a validation passed on.
    HookValidationCacheMessage(common, view: HookValidationCacheView) {
        /// The plugin.
        plugin: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// Where it ran.
        directory: Option<String>,
        /// How many files it covers.
        file_count: i64,
    }

    /// A script that a hook ran.
    HookScriptMessage(common, view: HookScriptView) {
        /// The plugin.
        plugin: Option<String>,
        /// The command.
        command: Option<String>,
        /// What it wrote.
        output: Option<String>,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
        /// Its exit code.
        exit_code: Option<i64>,
        /// Whether it went well.
        success: Option<bool>,
    }

    /// A hook that told the agent the time.
    HookDatetimeMessage(common, view: HookDatetimeView) {
        /// The plugin.
        plugin: Option<String>,
        /// The time it told.
        datetime: Option<String>,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
    }

    /// A file change that Han recorded.
    HookFileChangeMessage(common, view: HookFileChangeView) {
        /// The tool that made it.
        change_tool_name: Option<String>,
        /// The file.
        file_path: Option<String>,
        /// The session it was recorded for.
        recorded_session_id: Option<String>,
    }

    /// A call of an MCP tool.
    McpToolCallMessage(common, view: ToolCallView) [complex] {
        /// What its result names.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server before it.
        prefixed_name: Option<String>,
        /// The arguments, as JSON.
        input: Option<String>,
    }

    /// The result of an MCP tool call. In lists it nests under the call; `message(id:)` shows the line itself.
    McpToolResultMessage(common, view: ToolCallResultView) {
        /// The call it answers.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server before it.
        prefixed_name: Option<String>,
        /// Whether it went well.
        success: Option<bool>,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
        /// What it returned: text, or JSON.
        output: Option<String>,
        /// What went wrong.
        error: Option<String>,
    }

    /// A call of a tool that Han exposes from another server.
    ExposedToolCallMessage(common, view: ToolCallView) [complex] {
        /// What its result names.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server before it.
        prefixed_name: Option<String>,
        /// The arguments, as JSON.
        input: Option<String>,
    }

    /// The result of an exposed tool's call. In lists it nests under the call; `message(id:)` shows the line
    /// itself.
    ExposedToolResultMessage(common, view: ToolCallResultView) {
        /// The call it answers.
        call_id: Option<String>,
        /// The tool.
        tool: Option<String>,
        /// The MCP server.
        server: Option<String>,
        /// The tool's name with its server before it.
        prefixed_name: Option<String>,
        /// Whether it went well.
        success: Option<bool>,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
        /// What it returned: text, or JSON.
        output: Option<String>,
        /// What went wrong.
        error: Option<String>,
    }

    /// A question to the memory.
    MemoryQueryMessage(common, view: MemoryQueryView) {
        /// The question.
        question: Option<String>,
        /// Where it was looked up: `personal`, `team`, `rules`.
        route: Option<String>,
        /// How many answers there were.
        result_count: Option<i64>,
        /// How long it took, in milliseconds.
        duration_ms: Option<i64>,
    }

    /// Something the memory learned.
    MemoryLearnMessage(common, view: MemoryLearnView) {
        /// What it is about.
        domain: Option<String>,
        /// Whom it is for: `project` or `user`.
        scope: Option<String>,
        /// The paths it applies to.
        paths: Vec<String>,
        /// Whether it was added to what was known, rather than replacing it.
        append: Option<bool>,
    }

    /// A mood that Han read from a prompt.
    SentimentAnalysisMessage(common, view: SentimentAnalysisView) {
        /// The prompt's uuid.
        analyzed_message_id: Option<String>,
        /// From about -5 to +5.
        sentiment_score: Option<f64>,
        /// `positive`, `neutral` or `negative`.
        sentiment_level: Option<String>,
        /// From 0 to 10, where frustration was found.
        frustration_score: Option<f64>,
        /// `low`, `moderate` or `high`.
        frustration_level: Option<String>,
        /// What gave it away.
        signals: Vec<String>,
    }

    /// A line of no known kind, kept as it stands.
    UnknownEventMessage(common, view: UnknownEventView) {
        /// Its `type`.
        message_type: Option<String>,
        /// What sort of event within that type.
        event_type: Option<String>,
    }
}

/// Gives `variant of MessageView: object type` for every message type to a macro.
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
            field(name = "id", ty = "ID", desc = "The global id, `Message:<session>:<transcript>:<uuid>`."),
            field(name = "uuid", ty = "&String", desc = "The line's uuid."),
            field(name = "parent_id", ty = "&Option<String>", desc = "The uuid of the line it follows."),
            field(name = "timestamp", ty = "&String", desc = "When the line was written, RFC 3339 in UTC."),
            field(name = "search_text", ty = "&Option<String>", desc = "How the message's words begin."),
            field(name = "raw_json", ty = "&Option<String>", desc = "The line as it stands in its file."),
            field(name = "agent_id", ty = "&Option<String>", desc = "The subagent that wrote it.")
        )]
        pub enum Message {
            $(
                /// See the type.
                $variant($ty),
            )*
        }

        impl Message {
            /// The message that a stored line shows, for who asks for this one alone.
            ///
            /// # Errors
            /// `CONTENT_UNREADABLE`.
            pub(crate) fn alone(op: &Op, row: &entities::Message) -> Result<Self> {
                if row.body.is_none() { Err(ApiError::ContentUnreadable) } else { Ok(Self::new(op, row)) }
            }

            /// The message that a stored line shows.
            pub(crate) fn new(op: &Op, row: &entities::Message) -> Self {
                let line = row.body.as_deref().map(|body| line_text(body).into_owned());
                let view = match &line {
                    Some(line) => view::view(line),
                    None => MessageView::UnknownEvent(UnknownEventView {
                        event_type: Some("unreadable".to_owned()),
                        ..UnknownEventView::default()
                    }),
                };
                let common = Common { row, op, head: view.head().clone(), line };
                match view {
                    $(MessageView::$variant(view) => Self::$variant($ty::new(common, view)),)*
                }
            }
        }
    };
}
each_message!(message);

/// Something a person, or the harness for them, says.
#[derive(Clone, Debug, Interface)]
#[graphql(
    field(name = "id", ty = "ID", desc = "The global id."),
    field(name = "uuid", ty = "&String", desc = "The line's uuid."),
    field(name = "timestamp", ty = "&String", desc = "When the line was written, RFC 3339 in UTC."),
    field(name = "raw_json", ty = "&Option<String>", desc = "The line as it stands in its file."),
    field(name = "content", ty = "&Option<String>", desc = "Its text."),
    field(name = "content_blocks", ty = "&Vec<ContentBlock>", desc = "Its blocks."),
    field(
        name = "sentiment_analysis",
        ty = "Option<SentimentAnalysis>",
        desc = "The mood that Han read from it."
    )
)]
pub enum UserMessage {
    /// A prompt.
    Regular(RegularUserMessage),
    /// A slash command.
    Command(CommandUserMessage),
    /// An interruption.
    Interrupt(InterruptUserMessage),
    /// Something the harness put there.
    Meta(MetaUserMessage),
    /// Tool results.
    ToolResult(ToolResultUserMessage),
}

macro_rules! prompts {
    ($($name:ident,)*) => {$(
        #[ComplexObject]
        impl $name {
            /// The mood that Han read from it; null where it was not read.
            async fn sentiment_analysis(&self, _ctx: &Context<'_>) -> Result<Option<SentimentAnalysis>> {
                self.complex.mood().await
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
    /// Its result, once there is one.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<McpToolResult>> {
        let kind = CallKind::Named(ResultKind::Mcp);
        let call_id = self.call_id.as_deref().unwrap_or_default();
        let found = result::of_call(&self.complex.op, &self.complex.session_id, kind, call_id).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let shown = |view| match view {
            ResultView::Mcp(result) => Some(McpToolResult::new(&found.message, result)),
            _ => None,
        };
        error::or_null(ctx, result::views(found).map(|views| views.into_iter().find_map(shown)))
    }
}

#[ComplexObject]
impl ExposedToolCallMessage {
    /// Its result, once there is one.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<ExposedToolResult>> {
        let kind = CallKind::Named(ResultKind::Exposed);
        let call_id = self.call_id.as_deref().unwrap_or_default();
        let found = result::of_call(&self.complex.op, &self.complex.session_id, kind, call_id).await?;
        let Some(found) = found.first() else { return Ok(None) };
        let shown = |view| match view {
            ResultView::Exposed(result) => Some(ExposedToolResult::new(&found.message, result)),
            _ => None,
        };
        error::or_null(ctx, result::views(found).map(|views| views.into_iter().find_map(shown)))
    }
}

#[ComplexObject]
impl HookRunMessage {
    /// Its result, once there is one: the one that names this run; else the next one of the same hook that names
    /// no run.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<HookResult>> {
        let Origin { op, session_id, cursor, .. } = &self.complex;
        let run_id = self.hook_run_id.as_deref().unwrap_or_default();
        let named = result::of_call(op, session_id, CallKind::Named(ResultKind::Hook), run_id).await?;
        if let Some(found) = named.first() {
            return error::or_null(ctx, hook_result(found));
        }
        let hook = self.hook.as_deref().unwrap_or_default();
        let unnamed = result::of_call(op, session_id, CallKind::HookByName, hook).await?;
        let mut later = unnamed.iter().filter(|found| found.message.cursor() > *cursor);
        error::or_null(ctx, later.next().map_or(Ok(None), hook_result))
    }
}

fn hook_result(found: &entities::ToolResult) -> Result<Option<HookResult>> {
    Ok(result::views(found)?.into_iter().find_map(|view| match view {
        ResultView::Hook(outcome) => Some(HookResult::new(&found.message, outcome)),
        _ => None,
    }))
}
