//! Projects a line in one pass; the sibling modules extract the single records.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::changes::{bounded, result_action};
use super::tasks::small_result_text;
use super::usage::answer_of;
use super::{
    AgentStart, Compaction, CompactionTrigger, FileChangeRecord, HookRecord, LineContext, LineRecord,
    MAX_TOKENS, NativeTaskRecord, PullRequest, ResultKind, ResultRecord, SentimentRecord, SubagentCall,
    SummaryRecord, SummarySource, TaskRecord, TimeSource, TitleRecord, TitleSource, TodoRecord, ToolUse,
    Usage,
};
use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::line::{BASH_INPUT, ParsedLine, duration_ms, typed};
use crate::notice;
use crate::split::{Rest, each_record};
use crate::text::{MAX_NAME, MAX_PATH, id, label, preview};
use crate::tool::{self, ToolCategory};

/// The namespace of uuids that are derived from bytes: of lines without a uuid, and of lines whose uuid another line of
/// their file has.
///
/// Such a uuid is a UUIDv5 (RFC 9562, section 5.5) in this namespace over the bytes of `session_id/transcript/` and of the
/// line. The alphabet of both ids has no `/`. So identical lines of one file are one message, and a line that is pushed
/// again is recognised.
pub const LINE_NAMESPACE: Uuid = Uuid::from_u128(0xc8bc_1b9c_ed31_4351_bb98_7980_23a3_2824);

/// The `type` of the marker that a client sends instead of a line that the server refused as too large.
pub const OMITTED_LINE: &str = "han_omitted_line";

/// The uuid that is derived from a line's bytes, given without its line feed: see [`LINE_NAMESPACE`].
#[must_use]
pub fn uuid_of_bytes(line: &str, at: &LineContext<'_>) -> String {
    let name = [at.session_id, "/", at.transcript, "/", line].concat();
    Uuid::new_v5(&LINE_NAMESPACE, name.as_bytes()).to_string()
}

/// What a line projects to.
#[derive(Clone, Debug, PartialEq)]
pub struct LineProjection {
    /// Its records, at least one.
    pub records: Vec<LineRecord>,
    /// The bytes that belong to no record.
    pub rest: Rest,
}

impl LineProjection {
    /// Whether the line is anything but one complete record and white space.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.records.len() > 1 || self.rest.is_damaged()
    }
}

/// Projects every record of a line, given without its line feed. Never fails: a line without a record becomes one
/// [`MessageKind::UnknownEvent`] without fields.
#[must_use]
pub fn project_all(line: &str, at: &LineContext<'_>) -> LineProjection {
    let mut records = Vec::with_capacity(1);
    let rest = each_record(line, |position, text, read| {
        records.push(project_record(position, text, read, at));
        ControlFlow::Continue(())
    });
    LineProjection { records, rest }
}

/// The first record of [`project_all`].
#[must_use]
pub fn project(line: &str, at: &LineContext<'_>) -> LineRecord {
    let mut first = None;
    each_record(line, |position, text, read| {
        first = Some(project_record(position, text, read, at));
        ControlFlow::Break(())
    });
    first.unwrap_or_else(|| project_record(0, line, &ParsedLine::default(), at))
}

fn project_record(position: usize, line: &str, read: &ParsedLine<'_>, at: &LineContext<'_>) -> LineRecord {
    let fields = &read.fields;
    let own_uuid = read.own_uuid();
    let is_own = own_uuid.is_some();
    let uuid = own_uuid.unwrap_or_else(|| uuid_of_bytes(line, at));
    let named = |name: &str, max| fields.text(name).and_then(|text| label(&text, max));
    let kind = read.kind();
    let answers = kind == MessageKind::Assistant;
    let uses = ToolUseProjection::read(read);
    // A tool's structured result is a field beside the message, not part of the content block.
    let tool_result = if &*read.line_type == "user" { fields.object("toolUseResult") } else { None };
    let answered = ResultProjection::read(read, tool_result.as_ref());
    let mut usage = if answers {
        let request_id = fields.text("requestId").and_then(|text| id(&text));
        Usage::read(&read.message, request_id, &uuid).into_iter()
    } else {
        Vec::new().into_iter()
    };
    let answer = if answers { answer_of(usage.as_slice().first(), &read.message) } else { None };
    let progress = &*read.line_type == "progress";
    LineRecord {
        position,
        own_uuid: is_own,
        parent_uuid: fields.text("parentUuid").and_then(|text| id(&text)),
        kind,
        line_type: label(&read.line_type, 64).unwrap_or_default(),
        subtype: read.event.as_deref().and_then(|name| label(name, 64)).or_else(|| {
            if kind == MessageKind::System {
                return notice::subtype(read).and_then(|name| label(&name, 64));
            }
            named("subtype", 64)
        }),
        role: read.message.text("role").and_then(|role| label(&role, 32)),
        time: time(read),
        agent_id: fields.text("agentId").and_then(|text| id(&text)),
        is_sidechain: fields.flag("isSidechain").unwrap_or(false),
        is_meta: fields.flag("isMeta").unwrap_or(false),
        is_compact_summary: read.is_compact_summary(),
        nests: kind.nests() || read.is_blank(),
        is_progress: progress,
        model: if answers {
            read.message.text("model").and_then(|text| label(&text, MAX_NAME))
        } else {
            None
        },
        answer,
        usage: usage.next(),
        other_usage: usage.collect(),
        tool_name: tool_name(read, &uses.tools),
        tool_uses: uses.tools,
        subagents: uses.subagents,
        subagent_calls: uses.subagent_calls,
        prompt: sidechain_prompt(read),
        call_id: match kind {
            MessageKind::McpToolCall | MessageKind::ExposedToolCall => read.call_id(),
            _ => None,
        },
        results: answered.results,
        agent_start: if progress { agent_start(read) } else { None },
        hook: HookRecord::read(read),
        turn: read.is_turn(),
        compaction: compaction(read),
        todos: uses.todos,
        tasks: uses.tasks.into_iter().chain(answered.tasks).chain(TaskRecord::of_event(read)).collect(),
        native_tasks: uses.native_tasks.into_iter().chain(answered.native_tasks).collect(),
        file_changes: uses.file_changes,
        summary: summary(read),
        title: title(read, at),
        git_branch: named("gitBranch", MAX_NAME).or_else(|| notice::worktree_branch(read)),
        worktree: notice::worktree_name(read),
        cwd: named("cwd", MAX_PATH),
        version: named("version", 64),
        slug: named("slug", MAX_NAME),
        team_name: named("teamName", MAX_NAME),
        pull_request: PullRequest::read(read, tool_result.as_ref()),
        sentiment: (kind == MessageKind::SentimentAnalysis).then(|| SentimentRecord::read(read)),
        uuid,
    }
}

fn time(line: &ParsedLine<'_>) -> TimeSource {
    if let Some(time) = line.own_time() {
        return TimeSource::Own(time);
    }
    let leaf = if &*line.line_type == "summary" { line.fields.text("leafUuid") } else { None };
    leaf.and_then(|leaf| id(&leaf)).map_or(TimeSource::LineBefore, TimeSource::Leaf)
}

/// The records of a line's tool uses.
#[derive(Default)]
struct ToolUseProjection {
    tools: Vec<ToolUse>,
    subagents: Vec<String>,
    subagent_calls: Vec<SubagentCall>,
    todos: Option<Vec<TodoRecord>>,
    tasks: Vec<TaskRecord>,
    native_tasks: Vec<NativeTaskRecord>,
    file_changes: Vec<FileChangeRecord>,
}

impl ToolUseProjection {
    fn read(line: &ParsedLine<'_>) -> Self {
        let mut uses = Self::default();
        if line.kind() != MessageKind::Assistant {
            return uses;
        }
        let blocks = line.content.of("tool_use").filter_map(|block| {
            let call_id = block.text("id").and_then(|text| id(&text))?;
            let name = block.text("name").and_then(|name| label(&name, MAX_NAME))?;
            Some((call_id, name, block))
        });
        for (call_id, name, block) in bounded(blocks) {
            uses.read_input(&name, &call_id, block);
            uses.tools.push(ToolUse { category: ToolCategory::of(&name), call_id, name });
        }
        uses
    }

    fn read_input(&mut self, name: &str, call_id: &str, block: &Object<'_>) {
        // Most inputs (commands, patterns, paths to read) project to nothing and are not parsed.
        let reads = matches!(
            name,
            "Write"
                | "Edit"
                | "MultiEdit"
                | "NotebookEdit"
                | "TodoWrite"
                | "TaskCreate"
                | "TaskUpdate"
                | "Task"
                | "Agent"
        );
        if !reads && !name.ends_with("_task") {
            return;
        }
        let input = block.object("input").unwrap_or_default();
        self.file_changes.extend(FileChangeRecord::read(name, call_id, &input));
        self.native_tasks.extend(NativeTaskRecord::of_tool_use(name, call_id, &input));
        if name.starts_with("mcp__") {
            self.tasks.extend(TaskRecord::of_tool_use(name, call_id, &input));
        }
        if tool::starts_subagent(name) {
            let prompt = prompt_key(&input.text("prompt").unwrap_or_default());
            self.subagent_calls.push(SubagentCall { call_id: call_id.to_owned(), prompt });
            let subagent_type = input.text("subagent_type").and_then(|text| label(&text, MAX_NAME));
            self.subagents.push(subagent_type.unwrap_or_default());
        }
        if name == "TodoWrite" {
            self.todos = TodoRecord::list(&input).or_else(|| self.todos.take());
        }
    }
}

/// The records of a line's results.
#[derive(Default)]
struct ResultProjection {
    results: Vec<ResultRecord>,
    tasks: Vec<TaskRecord>,
    native_tasks: Vec<NativeTaskRecord>,
}

impl ResultProjection {
    fn read(line: &ParsedLine<'_>, tool_result: Option<&Object<'_>>) -> Self {
        let mut answered = Self::default();
        let event_kind = match line.kind() {
            MessageKind::McpToolResult => ResultKind::Mcp,
            MessageKind::ExposedToolResult => ResultKind::Exposed,
            MessageKind::HookResult => ResultKind::Hook,
            _ => {
                if &*line.line_type == "user" {
                    answered.read_tool_results(line, tool_result);
                }
                return answered;
            }
        };
        let call_id = if event_kind == ResultKind::Hook { line.hook_run_id() } else { line.call_id() };
        if call_id.is_some() || event_kind == ResultKind::Hook {
            let exit_code = line.event_exit_code();
            answered.results.push(ResultRecord {
                kind: event_kind,
                call_id,
                success: line.event_flag("success").or_else(|| exit_code.map(|code| code == 0)),
                duration_ms: line.event_duration(),
                starts_agent: None,
                file_action: None,
                web_searches: None,
            });
        }
        answered
    }

    fn read_tool_results(&mut self, line: &ParsedLine<'_>, tool_result: Option<&Object<'_>>) {
        if line.content.of("tool_result").next().is_none() {
            return;
        }
        let blocks = bounded(line.content.of("tool_result").filter_map(|block| {
            let call_id = block.text("tool_use_id").and_then(|text| id(&text))?;
            Some((call_id, block))
        }));
        // With several blocks, it is ambiguous which one the structured result belongs to.
        let structured = tool_result.filter(|_| blocks.len() == 1);
        for (call_id, block) in blocks {
            let of_structured = |name| structured.and_then(|object| object.raw(name));
            self.results.push(ResultRecord {
                kind: ResultKind::Tool,
                success: Some(!block.flag("is_error").unwrap_or(false)),
                duration_ms: of_structured("totalDurationMs")
                    .or_else(|| of_structured("durationMs"))
                    .and_then(duration_ms),
                starts_agent: of_structured("agentId").and_then(json::text).and_then(|text| id(&text)),
                file_action: structured.and_then(result_action),
                web_searches: of_structured("searchCount").and_then(|raw| json::whole(raw, 0, MAX_TOKENS)),
                call_id: Some(call_id.clone()),
            });
            let text = block.raw("content").map(small_result_text).unwrap_or_default();
            self.tasks.extend(TaskRecord::of_result(&call_id, structured, &text));
            self.native_tasks.extend(NativeTaskRecord::of_result(&call_id, structured, &text));
        }
    }
}

/// Replaces a word that this version does not know, in columns that are not sealed.
const OTHER: &str = "other";

fn tool_name(line: &ParsedLine<'_>, tools: &[ToolUse]) -> Option<String> {
    match line.kind() {
        MessageKind::Assistant => tools.first().map(|tool| tool.name.clone()),
        MessageKind::McpToolCall
        | MessageKind::McpToolResult
        | MessageKind::ExposedToolCall
        | MessageKind::ExposedToolResult => line.event_text("tool").and_then(|tool| label(&tool, MAX_NAME)),
        _ if line.line_type == OMITTED_LINE => Some(OMITTED_LINE.to_owned()),
        // The name of an event that this version does not know is a word of another program.
        _ => line.event.as_deref().map(|name| match MessageKind::of_event(name) {
            Some(_) => name.to_owned(),
            None => OTHER.to_owned(),
        }),
    }
}

/// Identifies a subagent's prompt.
fn prompt_key(prompt: &str) -> [u8; 16] {
    Uuid::new_v5(&LINE_NAMESPACE, typed(prompt).trim().as_bytes()).into_bytes()
}

/// The key of the prompt that a subagent's line is.
fn sidechain_prompt(line: &ParsedLine<'_>) -> Option<[u8; 16]> {
    let is_prompt = line.kind() == MessageKind::RegularUser && line.is_subagent();
    is_prompt.then(|| line.content.text().map(|_| prompt_key(&line.content.typed()))).flatten()
}

fn agent_start(line: &ParsedLine<'_>) -> Option<AgentStart> {
    let agent_id = line.data.text("agentId").and_then(|text| id(&text))?;
    let call_id = line.fields.text("parentToolUseID").and_then(|text| id(&text))?;
    Some(AgentStart { call_id, agent_id })
}

fn compaction(line: &ParsedLine<'_>) -> Option<Compaction> {
    if &*line.line_type == "system" && line.fields.text("subtype").as_deref() == Some("compact_boundary") {
        let metadata = line.fields.object("compactMetadata").unwrap_or_default();
        let trigger = match metadata.text("trigger").as_deref() {
            Some("auto") => CompactionTrigger::Auto,
            Some("manual") => CompactionTrigger::Manual,
            _ => CompactionTrigger::Unknown,
        };
        return Some(Compaction { trigger, continuation: false });
    }
    let continues = line.is_continuation();
    continues.then_some(Compaction { trigger: CompactionTrigger::Unknown, continuation: true })
}

fn summary(line: &ParsedLine<'_>) -> Option<SummaryRecord> {
    let (text, source) = if &*line.line_type == "summary" {
        (line.fields.text("summary")?, SummarySource::SummaryLine)
    } else if line.is_turn() {
        let text = line.content.typed();
        match line.kind() {
            MessageKind::CommandUser => (command(&text)?.into(), SummarySource::FirstCommand),
            _ if text.trim_start().starts_with(BASH_INPUT) => {
                let command = tag(&text, "bash-input").unwrap_or_default();
                (format!("! {command}").into(), SummarySource::FirstPrompt)
            }
            _ => (text, SummarySource::FirstPrompt),
        }
    } else {
        return None;
    };
    let text = preview(&text, 499);
    (!text.is_empty()).then_some(SummaryRecord { text, source })
}

/// A slash command as typed: its name and its arguments.
fn command(text: &str) -> Option<String> {
    Some([tag(text, "command-name")?, tag(text, "command-args").unwrap_or_default()].join(" "))
}

/// The text inside the first tag with this name.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>")).map_or(rest, |(inside, _)| inside).trim())
}

/// The title that the line gives the session. A line that names another session was copied from it, by a fork or by
/// mistake.
fn title(line: &ParsedLine<'_>, at: &LineContext<'_>) -> Option<TitleRecord> {
    let (field, source) = match &*line.line_type {
        "ai-title" => ("aiTitle", TitleSource::Agent),
        "agent-name" => ("agentName", TitleSource::AgentName),
        "custom-title" => ("customTitle", TitleSource::Person),
        _ => return None,
    };
    let is_copied = line.fields.text("sessionId").is_some_and(|session| session != at.session_id);
    let source = if is_copied { TitleSource::Copied } else { source };
    let text = preview(&line.fields.text(field)?, 499);
    (!text.is_empty()).then_some(TitleRecord { text, source })
}
