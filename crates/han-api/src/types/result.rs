//! Results of MCP calls, exposed tool calls and hook runs, which are nested in their calls and runs.

use std::sync::Arc;

use async_graphql::SimpleObject;
use han_db::entities::{Message, ToolResult};
use han_db::queries::tool_results::Call;
use han_transcript::record::ResultKind;
use han_transcript::view::{self, CallResult, HookOutcome, ResultView};
use han_types::{GlobalId, MessageKey};

use crate::context::Op;
use crate::error::Result;

macro_rules! call_result {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, SimpleObject)]
        pub struct $name {
            /// The global id of its message.
            id: String,
            /// Whether the call succeeded.
            success: Option<bool>,
            /// The duration in milliseconds.
            duration_ms: Option<i64>,
            /// The returned value, as text or JSON.
            result: Option<String>,
            /// The error message.
            error: Option<String>,
        }

        impl $name {
            pub(crate) fn new(message: &Message, result: CallResult) -> Self {
                Self {
                    id: GlobalId::Message(message.key.clone()).to_string(),
                    success: result.success,
                    duration_ms: result.duration_ms,
                    result: result.result,
                    error: result.error,
                }
            }
        }
    };
}

call_result!(
    /// The result of an MCP tool call.
    McpToolResult
);
call_result!(
    /// The result of a call of an exposed tool.
    ExposedToolResult
);

/// The result of a hook run.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookResult {
    /// The global id of its message.
    id: String,
    /// Whether the hook passed.
    success: Option<bool>,
    /// The duration in milliseconds.
    duration_ms: Option<i64>,
    /// Its exit code.
    exit_code: Option<i64>,
    /// Its output.
    output: Option<String>,
    /// The error message.
    error: Option<String>,
}

impl HookResult {
    pub(crate) fn new(message: &Message, outcome: HookOutcome) -> Self {
        Self {
            id: GlobalId::Message(message.key.clone()).to_string(),
            success: outcome.success,
            duration_ms: outcome.duration_ms,
            exit_code: outcome.exit_code,
            output: outcome.output,
            error: outcome.error,
        }
    }
}

/// The stored results of a call that a message makes, in the order of their lines; none for a call without an id.
pub(crate) async fn of_call(
    op: &Op,
    message: &MessageKey,
    kind: ResultKind,
    call_id: &str,
) -> Result<Arc<Vec<ToolResult>>> {
    if call_id.is_empty() {
        return Ok(Arc::default());
    }
    let call = Call { message: message.clone(), kind, call_id: call_id.to_owned() };
    Ok(op.loader().load_one(call).await?.unwrap_or_default())
}

/// A message's position among the records of its line.
fn part(message: &Message) -> usize {
    usize::try_from(message.part).unwrap_or_default()
}

/// The results in a message.
///
/// # Errors
/// `CONTENT_UNREADABLE`.
pub(crate) async fn views(op: &Op, line: &Arc<Message>) -> Result<Arc<Vec<ResultView>>> {
    let part = part(line);
    op.reads().results().views.read(op.reads(), line, move |line| view::results(line, part)).await
}

/// What a message says that a tool changed in a file.
///
/// # Errors
/// `CONTENT_UNREADABLE`.
pub(crate) async fn hunks(op: &Op, line: &Arc<Message>) -> Result<Arc<Vec<view::Hunk>>> {
    let part = part(line);
    op.reads().results().hunks.read(op.reads(), line, move |line| view::hunks(line, part)).await
}
