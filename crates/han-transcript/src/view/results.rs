//! Results, nested under the call or hook run that they answer.

use std::ops::ControlFlow;

use super::blocks::{ToolResult, is_tool_result, result_text, tool_result};
use crate::json::{self, Object};
use crate::kind::MessageKind;
use crate::line::ParsedLine;
use crate::split::each_record;
use crate::text::without_nul;

/// Larger numbers of lines are cut to this one.
const MAX_LINE_NUMBER: i64 = 1_000_000_000;

/// A result, displayed under the call or hook run that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultView {
    /// Under the tool use with this `tool_call_id`.
    Tool(ToolResult),
    /// `McpToolResult`, under the `mcp_tool_call` with this id.
    Mcp(CallResult),
    /// `ExposedToolResult`, under the `exposed_tool_call` with this id.
    Exposed(CallResult),
    /// `HookResult`, under the `hook_run` with this id.
    Hook(HookOutcome),
}

/// The result of an MCP or exposed call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallResult {
    /// The call that it answers.
    pub call_id: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// The returned text or JSON.
    pub result: Option<String>,
    /// The error message.
    pub error: Option<String>,
}

/// The result of a hook run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookOutcome {
    /// The run that it answers; without it, the earliest preceding run of the hook without a result.
    pub hook_run_id: Option<String>,
    /// Whether it succeeded.
    pub success: Option<bool>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Its output.
    pub output: Option<String>,
    /// The error message.
    pub error: Option<String>,
}

/// A part of a file that a tool changed, as the tool's result reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// The number of its first line before the change. The file's first line is 1.
    pub old_start: i64,
    /// The number of its first line after the change.
    pub new_start: i64,
    /// Its lines. The first character says what became of a line: ` ` unchanged, `-` removed, `+` added.
    pub lines: Vec<String>,
}

/// The parts of a file that the tool changed whose result is the record at a position of this line; none if the record does
/// not report them, or has several results: it does not say which of them changed the file.
#[must_use]
pub fn hunks(line: &str, position: usize) -> Vec<Hunk> {
    let mut results = 0;
    let mut found = Vec::new();
    each_record(line, |at, _, record| {
        if at < position {
            return ControlFlow::Continue(());
        }
        results += record.content.parts().iter().filter(|part| is_tool_result(&part.kind)).count();
        let patch = record.fields.object("toolUseResult").and_then(|result| result.list("structuredPatch"));
        let parts = patch.unwrap_or_default().into_iter().filter_map(json::object);
        found.extend(parts.filter_map(|part| hunk(&part)));
        ControlFlow::Break(())
    });
    if results == 1 { found } else { Vec::new() }
}

fn hunk(part: &Object<'_>) -> Option<Hunk> {
    let number = |name| json::whole(part.raw(name)?, 0, MAX_LINE_NUMBER);
    let lines = part.list("lines")?.into_iter().filter_map(json::text).map(without_nul).collect();
    Some(Hunk { old_start: number("oldStart")?, new_start: number("newStart")?, lines })
}

/// The results in the record at a position of a line: its `tool_result` blocks, or the record itself if it is a result
/// event.
#[must_use]
pub fn results(line: &str, position: usize) -> Vec<ResultView> {
    let mut found = Vec::new();
    each_record(line, |at, _, record| {
        if at < position {
            return ControlFlow::Continue(());
        }
        match record.kind() {
            MessageKind::McpToolResult => found.push(ResultView::Mcp(call_result(record))),
            MessageKind::ExposedToolResult => found.push(ResultView::Exposed(call_result(record))),
            MessageKind::HookResult => found.push(ResultView::Hook(hook_outcome(record))),
            _ => {
                let results = record.content.parts().iter().filter(|part| is_tool_result(&part.kind));
                found.extend(results.map(|part| ResultView::Tool(tool_result(&part.fields))));
            }
        }
        ControlFlow::Break(())
    });
    found
}

pub(super) fn call_result(line: &ParsedLine<'_>) -> CallResult {
    let output = ["result", "output"].iter().find_map(|name| line.event_raw(name));
    let error = line.event_any("error").map(without_nul);
    CallResult {
        call_id: line.call_id(),
        success: line.event_flag("success").or(error.is_some().then_some(false)),
        duration_ms: line.event_duration(),
        result: output.map(|raw| result_text(raw).0),
        error,
    }
}

pub(super) fn hook_outcome(line: &ParsedLine<'_>) -> HookOutcome {
    let exit_code = line.event_exit_code();
    HookOutcome {
        hook_run_id: line.hook_run_id(),
        success: line.event_flag("success").or_else(|| exit_code.map(|code| code == 0)),
        duration_ms: line.event_duration(),
        exit_code,
        output: line.event_any("output").map(without_nul),
        error: line.event_any("error").map(without_nul),
    }
}
