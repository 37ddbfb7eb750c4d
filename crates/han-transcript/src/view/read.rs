//! Builds the view of a line.

use std::ops::ControlFlow;

use super::blocks::{Block, blocks, typed_blocks};
use super::results::{call_result, hook_outcome};
use super::search::{HEAD_SEARCH_CHARS, collect_text};
use super::{
    AssistantView, CommandUserView, FileHistorySnapshotView, Head, HookCheckStateView, HookDatetimeView,
    HookFileChangeView, HookReferenceView, HookResultView, HookRunView, HookScriptView,
    HookValidationCacheView, MemoryLearnView, MemoryQueryView, MessageView, QueueOperationView,
    SentimentAnalysisView, SummaryView, SystemView, ToolCallResultView, ToolCallView, UnknownEventView,
    UserView,
};
use crate::json;
use crate::kind::MessageKind;
use crate::line::ParsedLine;
use crate::notice;
use crate::record::{MAX_TOKENS, SentimentRecord};
use crate::split::each_record;
use crate::text::{MAX_ID, MAX_NAME, MAX_PATH, id, label, without_nul};
use serde_json::value::RawValue;

/// The view of every record of a line, given without its line feed, in the order of
/// [`project_all`](crate::record::project_all). Never fails: a line without a record becomes one `UnknownEvent`.
#[must_use]
pub fn view_all(line: &str) -> Vec<MessageView> {
    let mut views = Vec::with_capacity(1);
    each_record(line, |_, text, read| {
        views.push(view_record(text, read));
        ControlFlow::Continue(())
    });
    views
}

/// The view of the record at a position ([`LineRecord::position`](crate::record::LineRecord::position)) of a line; of
/// the first one if the line has fewer.
#[must_use]
pub fn view_at(line: &str, position: usize) -> MessageView {
    let mut view = None;
    each_record(line, |found, text, read| {
        if found == position || view.is_none() {
            view = Some(view_record(text, read));
        }
        if found == position { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    view.unwrap_or_else(|| view_record(line, &ParsedLine::default()))
}

/// The view of the first record of a line.
#[must_use]
pub fn view(line: &str) -> MessageView {
    view_at(line, 0)
}

fn view_record(text: &str, read: &ParsedLine<'_>) -> MessageView {
    let head = Head {
        parent_id: read.fields.text("parentUuid").and_then(|parent| id(&parent)),
        search_text: Some(collect_text(read, text, HEAD_SEARCH_CHARS)).filter(|text| !text.is_empty()),
        timestamp: read.own_time(),
    };
    let line = ContentReader(read);
    match read.kind() {
        MessageKind::Assistant => MessageView::Assistant(line.assistant(head)),
        MessageKind::RegularUser => MessageView::RegularUser(line.user(head)),
        MessageKind::CommandUser => MessageView::CommandUser(line.command(head)),
        MessageKind::InterruptUser => MessageView::InterruptUser(line.user(head)),
        MessageKind::MetaUser => MessageView::MetaUser(line.user(head)),
        MessageKind::ToolResultUser => MessageView::ToolResultUser(line.user(head)),
        MessageKind::Summary => MessageView::Summary(line.summary(head)),
        MessageKind::System => MessageView::System(line.system(head)),
        MessageKind::FileHistorySnapshot => MessageView::FileHistorySnapshot(line.snapshot(head)),
        MessageKind::QueueOperation => MessageView::QueueOperation(line.queue_operation(head)),
        MessageKind::HookRun => MessageView::HookRun(line.hook_run(head)),
        MessageKind::HookResult => MessageView::HookResult(line.hook_result(head)),
        MessageKind::HookCheckState => MessageView::HookCheckState(line.hook_check_state(head)),
        MessageKind::HookReference => MessageView::HookReference(line.hook_reference(head)),
        MessageKind::HookValidation => MessageView::HookValidation(line.hook_result(head)),
        MessageKind::HookValidationCache => {
            MessageView::HookValidationCache(line.hook_validation_cache(head))
        }
        MessageKind::HookScript => MessageView::HookScript(line.hook_script(head)),
        MessageKind::HookDatetime => MessageView::HookDatetime(line.hook_datetime(head)),
        MessageKind::HookFileChange => MessageView::HookFileChange(line.hook_file_change(head)),
        MessageKind::McpToolCall => MessageView::McpToolCall(line.tool_call(head)),
        MessageKind::McpToolResult => MessageView::McpToolResult(line.tool_call_result(head)),
        MessageKind::ExposedToolCall => MessageView::ExposedToolCall(line.tool_call(head)),
        MessageKind::ExposedToolResult => MessageView::ExposedToolResult(line.tool_call_result(head)),
        MessageKind::MemoryQuery => MessageView::MemoryQuery(line.memory_query(head)),
        MessageKind::MemoryLearn => MessageView::MemoryLearn(line.memory_learn(head)),
        MessageKind::SentimentAnalysis => MessageView::SentimentAnalysis(line.sentiment_analysis(head)),
        MessageKind::UnknownEvent => MessageView::UnknownEvent(line.unknown(head)),
    }
}

struct ContentReader<'l, 'a>(&'l ParsedLine<'a>);

impl ContentReader<'_, '_> {
    /// A field of the line, as a name.
    fn name(&self, field: &str) -> Option<String> {
        self.0.fields.text(field).and_then(|text| label(&text, MAX_NAME))
    }

    /// A field of a Han event, as a name.
    fn event_name(&self, field: &str) -> Option<String> {
        self.0.event_text(field).and_then(|text| label(&text, MAX_NAME))
    }

    fn event_path(&self, field: &str) -> Option<String> {
        self.0.event_text(field).and_then(|text| label(&text, MAX_PATH))
    }

    /// A field of a Han event, as text of any length.
    fn event_text(&self, field: &str) -> Option<String> {
        self.0.event_any(field).map(without_nul)
    }

    /// A field of a Han event, as a count, clamped to the 32 bits of GraphQL's `Int`.
    fn event_count(&self, field: &str) -> Option<i64> {
        self.0.event_raw(field).and_then(|raw| json::whole(raw, 0, i64::from(i32::MAX)))
    }

    fn assistant(&self, head: Head) -> AssistantView {
        let content_blocks = blocks(self.0);
        let count = |wanted: fn(&Block) -> bool| content_blocks.iter().filter(|block| wanted(block)).count();
        let thinking = count(|block| matches!(block, Block::Thinking { .. }));
        let tool_uses = count(|block| matches!(block, Block::ToolUse(_)));
        let texts = count(|block| matches!(block, Block::Text { text } if !text.trim().is_empty()));
        let usage = self.0.message.object("usage");
        let tokens = |name| {
            usage.as_ref().and_then(|usage| usage.raw(name)).and_then(|raw| json::whole(raw, 0, MAX_TOKENS))
        };
        AssistantView {
            head,
            content: self.0.content.text().map(without_nul),
            model: self.0.message.text("model").and_then(|model| label(&model, MAX_NAME)),
            input_tokens: tokens("input_tokens"),
            output_tokens: tokens("output_tokens"),
            cached_tokens: tokens("cache_read_input_tokens"),
            has_thinking: thinking > 0,
            has_tool_use: tool_uses > 0,
            is_tool_only: tool_uses > 0 && texts == 0,
            thinking_count: whole(thinking),
            tool_use_count: whole(tool_uses),
            content_blocks,
        }
    }

    /// What a person typed is displayed without what the harness inserted before and after it.
    fn user(&self, head: Head) -> UserView {
        let is_typed = matches!(
            self.0.kind(),
            MessageKind::RegularUser | MessageKind::CommandUser | MessageKind::InterruptUser
        );
        let content = self.0.content.text();
        let content = if is_typed { content.map(|_| self.0.content.typed()) } else { content };
        let content_blocks = if is_typed { typed_blocks(self.0) } else { blocks(self.0) };
        UserView { head, content: content.map(without_nul), content_blocks }
    }

    fn command(&self, head: Head) -> CommandUserView {
        let user = self.user(head);
        let inside = user.content.as_deref().and_then(|text| text.split_once("<command-name>"));
        let command_name = inside.and_then(|(_, rest)| {
            let name = rest.split_once("</command-name>").map_or(rest, |(name, _)| name);
            label(name, MAX_NAME)
        });
        CommandUserView { user, command_name }
    }

    fn summary(&self, head: Head) -> SummaryView {
        let content = self.0.content.text().or_else(|| self.0.fields.text("summary")).map(without_nul);
        SummaryView { head, content, is_compact_summary: self.0.is_continuation() }
    }

    fn system(&self, head: Head) -> SystemView {
        SystemView {
            head,
            subtype: notice::subtype(self.0).and_then(|name| label(&name, MAX_NAME)),
            level: self.name("level"),
            content: notice::text(self.0).map(|text| without_nul(text.into())),
            is_meta: self.0.fields.flag("isMeta").unwrap_or(false),
        }
    }

    fn snapshot(&self, head: Head) -> FileHistorySnapshotView {
        let fields = &self.0.fields;
        let snapshot = fields.object("snapshot").unwrap_or_default();
        let files = snapshot.object("trackedFileBackups").unwrap_or_default();
        let message_id = fields.text("messageId").or_else(|| snapshot.text("messageId"));
        FileHistorySnapshotView {
            head,
            message_id: message_id.and_then(|id| label(&id, MAX_ID)),
            file_count: whole(files.fields().count()),
            is_snapshot_update: fields.flag("isSnapshotUpdate").unwrap_or(false),
            snapshot_timestamp: snapshot.text("timestamp").and_then(|time| label(&time, 64)),
        }
    }

    fn queue_operation(&self, head: Head) -> QueueOperationView {
        QueueOperationView {
            head,
            operation: self.event_name("operation"),
            queue_session_id: self.event_name("session_id"),
        }
    }

    fn hook_run(&self, head: Head) -> HookRunView {
        HookRunView {
            head,
            hook_run_id: self.0.hook_run_id(),
            plugin: self.event_name("plugin"),
            hook: self.hook_name(),
            directory: self.event_path("directory"),
            cached: self.0.event_flag("cached").unwrap_or(false),
        }
    }

    fn hook_name(&self) -> Option<String> {
        self.event_name("hook").or_else(|| self.event_name("hook_name"))
    }

    fn hook_result(&self, head: Head) -> HookResultView {
        let outcome = hook_outcome(self.0);
        HookResultView {
            head,
            plugin: self.event_name("plugin"),
            hook: self.hook_name(),
            directory: self.event_path("directory"),
            cached: self.0.event_flag("cached").unwrap_or(false),
            duration_ms: outcome.duration_ms,
            exit_code: outcome.exit_code,
            success: outcome.success,
            output: outcome.output,
            error: outcome.error,
        }
    }

    fn hook_check_state(&self, head: Head) -> HookCheckStateView {
        HookCheckStateView {
            head,
            hook_type: self.event_name("hook_type"),
            fingerprint: self.event_text("fingerprint"),
            hooks_count: self.event_count("hooks_count"),
        }
    }

    fn hook_reference(&self, head: Head) -> HookReferenceView {
        HookReferenceView {
            head,
            plugin: self.event_name("plugin"),
            file_path: self.event_path("file_path"),
            reason: self.event_text("reason"),
            success: self.0.event_flag("success"),
            duration_ms: self.0.event_duration(),
        }
    }

    fn hook_validation_cache(&self, head: Head) -> HookValidationCacheView {
        let files = self.0.event_raw("files");
        let count = |raw: &RawValue| {
            json::object(raw).map(|files| files.fields().count()).or_else(|| Some(json::list(raw)?.len()))
        };
        HookValidationCacheView {
            head,
            plugin: self.event_name("plugin"),
            hook: self.hook_name(),
            directory: self.event_path("directory"),
            file_count: files
                .and_then(count)
                .map(whole)
                .or_else(|| self.event_count("file_count"))
                .unwrap_or(0),
        }
    }

    fn hook_script(&self, head: Head) -> HookScriptView {
        let outcome = hook_outcome(self.0);
        HookScriptView {
            head,
            plugin: self.event_name("plugin"),
            command: self.event_text("command"),
            output: outcome.output,
            duration_ms: outcome.duration_ms,
            exit_code: outcome.exit_code,
            success: outcome.success,
        }
    }

    fn hook_datetime(&self, head: Head) -> HookDatetimeView {
        HookDatetimeView {
            head,
            plugin: self.event_name("plugin"),
            datetime: self.event_name("datetime"),
            duration_ms: self.0.event_duration(),
        }
    }

    fn hook_file_change(&self, head: Head) -> HookFileChangeView {
        HookFileChangeView {
            head,
            change_tool_name: self.event_name("tool_name"),
            file_path: self.event_path("file_path"),
            recorded_session_id: self.event_name("session_id"),
        }
    }

    fn tool_call(&self, head: Head) -> ToolCallView {
        let input = ["arguments", "input", "args"].iter().find_map(|name| self.0.event_raw(name));
        ToolCallView {
            head,
            call_id: self.0.call_id(),
            tool: self.event_name("tool"),
            server: self.event_name("server"),
            prefixed_name: self.event_name("prefixed_name"),
            input: input.map(|raw| raw.get().to_owned()),
        }
    }

    fn tool_call_result(&self, head: Head) -> ToolCallResultView {
        let result = call_result(self.0);
        ToolCallResultView {
            head,
            call_id: result.call_id,
            tool: self.event_name("tool"),
            server: self.event_name("server"),
            prefixed_name: self.event_name("prefixed_name"),
            success: result.success,
            duration_ms: result.duration_ms,
            output: result.result,
            error: result.error,
        }
    }

    fn memory_query(&self, head: Head) -> MemoryQueryView {
        MemoryQueryView {
            head,
            question: self.event_text("question"),
            route: self.event_name("route"),
            result_count: self.event_count("result_count"),
            duration_ms: self.0.event_duration(),
        }
    }

    fn memory_learn(&self, head: Head) -> MemoryLearnView {
        let paths = self.0.event_raw("paths").and_then(json::texts).unwrap_or_default();
        MemoryLearnView {
            head,
            domain: self.event_name("domain"),
            scope: self.event_name("scope"),
            paths: paths.iter().filter_map(|path| label(path, MAX_PATH)).collect(),
            append: self.0.event_flag("append"),
        }
    }

    fn sentiment_analysis(&self, head: Head) -> SentimentAnalysisView {
        let read = SentimentRecord::read(self.0);
        SentimentAnalysisView {
            head,
            analyzed_message_id: read.message_id,
            sentiment_score: read.sentiment_score,
            sentiment_level: read.sentiment_level,
            frustration_score: read.frustration_score,
            frustration_level: read.frustration_level,
            signals: read.signals,
        }
    }

    fn unknown(&self, head: Head) -> UnknownEventView {
        let event = self.0.event.as_deref().and_then(|name| label(name, MAX_NAME));
        let of_data = || self.0.data.text("type").and_then(|name| label(&name, MAX_NAME));
        UnknownEventView {
            head,
            message_type: label(&self.0.line_type, MAX_NAME),
            event_type: event.or_else(of_data).or_else(|| self.name("subtype")),
        }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
