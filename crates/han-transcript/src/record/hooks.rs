//! Hook executions, from Han's events.

use crate::kind::MessageKind;
use crate::line::Line;
use crate::text::{MAX_NAME, MAX_PATH, label};

/// A hook that ran or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// The run: a `hook_run`'s own id, or the one its result names. A result without it answers the hook's next
    /// open run before it.
    pub run_id: Option<String>,
    /// The hook's name, such as `lint`.
    pub hook_name: Option<String>,
    /// The plugin it belongs to.
    pub plugin: Option<String>,
    /// When it runs: `Stop`, `SessionStart`.
    pub hook_type: Option<String>,
    /// Where it ran.
    pub directory: Option<String>,
    /// Whether this is the start of a run, whose `hook_result` follows. Otherwise it is an outcome: such a
    /// result, or a hook that tells its whole story in one line (`hook_validation`, `hook_script`,
    /// `hook_reference`, `hook_datetime`).
    pub is_run: bool,
    /// Whether it went well, where the line says so.
    pub success: Option<bool>,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Whether the outcome came from a cache.
    pub cached: Option<bool>,
}

impl HookRecord {
    pub(super) fn read(line: &Line<'_>) -> Option<Self> {
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
