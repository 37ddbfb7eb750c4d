//! Results of MCP calls, exposed tool calls and hook runs, which are nested in their calls and runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::SimpleObject;
use han_db::entities::{Message, ToolResult};
use han_db::queries::tool_results::Call;
use han_transcript::line_text;
use han_transcript::record::ResultKind;
use han_transcript::view::{self, CallResult, HookOutcome, ResultView};
use han_types::{GlobalId, MessageKey, SessionId};
use tokio::sync::OnceCell;

use crate::context::Op;
use crate::error::{ApiError, Result};
use crate::types::content::FileHunk;

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

/// The stored results of a call, in the order of their lines; none for a call without an id.
pub(crate) async fn of_call(
    op: &Op,
    session_id: &SessionId,
    kind: ResultKind,
    call_id: &str,
) -> Result<Arc<Vec<ToolResult>>> {
    if call_id.is_empty() {
        return Ok(Arc::default());
    }
    let call = Call { session_id: session_id.clone(), kind, call_id: call_id.to_owned() };
    Ok(op.loader().load_one(call).await?.unwrap_or_default())
}

/// What was read of lines with results: each is read once, however many calls it answers.
#[derive(Default)]
pub(crate) struct ReadResults {
    views: OfLines<Vec<ResultView>>,
    hunks: OfLines<Vec<FileHunk>>,
}

/// Values of lines.
struct OfLines<T>(Mutex<HashMap<MessageKey, Arc<OnceCell<Arc<T>>>>>);

impl<T> Default for OfLines<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + Sync + 'static> OfLines<T> {
    async fn read(
        &self,
        op: &Op,
        line: &Arc<Message>,
        read: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<Arc<T>> {
        let bytes = line.body.as_ref().ok_or(ApiError::ContentUnreadable)?.len();
        let cell = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(line.key.clone()).or_default())
        };
        let line = Arc::clone(line);
        let read = move || Arc::new(read(&line_text(line.body.as_deref().unwrap_or_default())));
        cell.get_or_try_init(|| op.read_line(bytes, read)).await.cloned()
    }
}

/// The results in a line.
///
/// # Errors
/// `CONTENT_UNREADABLE`.
pub(crate) async fn views(op: &Op, line: &Arc<Message>) -> Result<Arc<Vec<ResultView>>> {
    op.results().views.read(op, line, view::results).await
}

/// What a line says that a tool changed in a file.
///
/// # Errors
/// `CONTENT_UNREADABLE`.
pub(crate) async fn hunks(op: &Op, line: &Arc<Message>) -> Result<Arc<Vec<FileHunk>>> {
    let read = |line: &str| view::hunks(line).into_iter().map(FileHunk::from).collect();
    op.results().hunks.read(op, line, read).await
}
