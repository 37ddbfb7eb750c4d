//! Hook executions, from Han's events.

use crate::kind::MessageKind;
use crate::line::ParsedLine;
use crate::text::{MAX_NAME, MAX_PATH, label};

/// The start or the outcome of a hook run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// The run: the id of a `hook_run`, or the one that its result names. A result without it answers the earliest
    /// preceding run of the hook without a result.
    pub run_id: Option<String>,
    /// The hook's name, such as `lint`.
    pub hook_name: Option<String>,
    /// The hook's plugin.
    pub plugin: Option<String>,
    /// The event that triggers it: `Stop`, `SessionStart`.
    pub hook_type: Option<String>,
    /// The directory in which it ran.
    pub directory: Option<String>,
    /// Whether this is the start of a run, whose `hook_result` follows. Otherwise it is an outcome: a result, or a hook
    /// whose run and result are a single line (`hook_validation`, `hook_script`, `hook_reference`, `hook_datetime`).
    pub is_run: bool,
    /// Whether it succeeded, if the line states it.
    pub success: Option<bool>,
    /// Its duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether the outcome came from a cache.
    pub cached: Option<bool>,
}

impl HookRecord {
    pub(super) fn read(line: &ParsedLine<'_>) -> Option<Self> {
        if !matches!(
            line.kind(),
            MessageKind::HookRun
                | MessageKind::HookResult
                | MessageKind::HookValidation
                | MessageKind::HookScript
                | MessageKind::HookReference
                | MessageKind::HookDatetime
        ) {
            return None;
        }
        let name = |field| line.event_text(field).and_then(|text| label(&text, MAX_NAME));
        let exit_code = line.event_exit_code();
        Some(Self {
            run_id: line.hook_run_id(),
            hook_name: name("hook").or_else(|| name("hook_name")),
            plugin: name("plugin"),
            hook_type: name("hook_type"),
            directory: line.event_text("directory").and_then(|text| label(&text, MAX_PATH)),
            is_run: line.kind() == MessageKind::HookRun,
            success: line.event_flag("success").or_else(|| exit_code.map(|code| code == 0)),
            duration_ms: line.event_duration(),
            exit_code,
            cached: line.event_flag("cached"),
        })
    }
}
