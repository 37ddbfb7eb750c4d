//! Results by call: in every list, results nest under their call.

use std::collections::HashMap;
use std::sync::Arc;

use han_transcript::record::ResultKind;
use han_types::SessionId;
use sea_orm::{FromQueryResult, Value};

use crate::entities::ToolResult;
use crate::line_id::{LineId, call_key};
use crate::queries::messages::{self, unique};
use crate::stored::{message_key, stored};
use crate::{DbError, ScopedTx};

/// What a row of `tool_results` says of its line. Its code is stored, so codes are never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RowKind {
    /// The result of a `tool_use` block.
    ToolResult,
    /// The result of an MCP call.
    McpResult,
    /// The result of a call of an exposed tool.
    ExposedResult,
    /// The result of a hook run, which it names.
    HookResult,
    /// The result of a hook that names no run: `call` is made from the label of the hook's name. The run that it belongs to
    /// follows from the session's hooks: see [`pair`](crate::queries::hooks::pair).
    ResultByHookName,
    /// A `tool_use` block. The lines of calls are stored so that the call of a result can be found; hook runs are in
    /// `hook_executions`.
    ToolCall,
    /// An MCP call.
    McpCall,
    /// A call of an exposed tool.
    ExposedCall,
}

impl RowKind {
    const ALL: [Self; 8] = [
        Self::ToolResult,
        Self::McpResult,
        Self::ExposedResult,
        Self::HookResult,
        Self::ResultByHookName,
        Self::ToolCall,
        Self::McpCall,
        Self::ExposedCall,
    ];

    /// The stored code.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::ToolResult => 1,
            Self::McpResult => 2,
            Self::ExposedResult => 3,
            Self::HookResult => 4,
            Self::ResultByHookName => 5,
            Self::ToolCall => 6,
            Self::McpCall => 7,
            Self::ExposedCall => 8,
        }
    }

    /// The kind with a stored code.
    pub(crate) fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The kind of the results that name their call or run.
    pub(crate) fn of_result(kind: ResultKind) -> Self {
        match kind {
            ResultKind::Tool => Self::ToolResult,
            ResultKind::Mcp => Self::McpResult,
            ResultKind::Exposed => Self::ExposedResult,
            ResultKind::Hook => Self::HookResult,
        }
    }

    /// The kind of the calls that such results answer; `None` for hook runs.
    pub(crate) fn of_call(kind: ResultKind) -> Option<Self> {
        match kind {
            ResultKind::Tool => Some(Self::ToolCall),
            ResultKind::Mcp => Some(Self::McpCall),
            ResultKind::Exposed => Some(Self::ExposedCall),
            ResultKind::Hook => None,
        }
    }
}

/// A call whose results are requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its session: call ids are unique only there.
    pub session_id: SessionId,
    /// The kind of call.
    pub kind: ResultKind,
    /// The call's id.
    pub call_id: String,
}

#[derive(FromQueryResult)]
struct ResultRow {
    session_id: String,
    kind: i16,
    call: Vec<u8>,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    success: Option<i16>,
    duration_ms: Option<i64>,
    agent_id: Option<String>,
}

/// The results of calls, each with its line, in the order of lines. A call may have no result or several.
///
/// # Errors
/// If a body cannot be opened.
pub async fn by_calls(tx: &ScopedTx, calls: &[Call]) -> Result<Vec<(Call, ToolResult)>, DbError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let stored: Vec<[u8; 16]> = calls.iter().map(|call| call_key(&call.call_id)).collect();
    let rows = rows(tx, calls, &stored).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let uuid = LineId::to_text(&row.uuid, row.uuid_text.clone());
        keys.push(message_key("tool_results", &row.session_id, &row.transcript, &uuid)?);
    }
    let messages = messages::by_keys(tx, &keys).await?;
    let messages: HashMap<_, _> = messages.into_iter().map(|m| (m.key.clone(), Arc::new(m))).collect();
    let wanted: HashMap<(&str, i64, &[u8]), &Call> = calls
        .iter()
        .zip(&stored)
        .map(|(call, stored)| {
            ((call.session_id.as_str(), RowKind::of_result(call.kind).code(), &stored[..]), call)
        })
        .collect();
    let mut found = Vec::with_capacity(rows.len());
    for (row, key) in rows.iter().zip(&keys) {
        let call = wanted.get(&(row.session_id.as_str(), row.kind.into(), &row.call[..]));
        if let (Some(call), Some(message)) = (call, messages.get(key)) {
            let result = ToolResult {
                call_id: call.call_id.clone(),
                duration_ms: row.duration_ms,
                success: row.success.map(|n| n != 0),
                agent_id: row.agent_id.clone(),
                message: Arc::clone(message),
            };
            found.push(((*call).clone(), result));
        }
    }
    found.sort_by_key(|(_, result)| result.message.cursor());
    Ok(found)
}

async fn rows(tx: &ScopedTx, calls: &[Call], stored: &[[u8; 16]]) -> Result<Vec<ResultRow>, DbError> {
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, r.kind, r.call, f.name AS transcript, m.uuid, m.uuid_text, r.success, r.duration_ms, \
           r.agent_id \
         FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
         JOIN messages m ON m.team = r.team AND m.session = r.session AND m.ordinal = r.ordinal \
         JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript \
         WHERE s.team = $1 AND {} AND {} AND {}",
        dialect.is_any("s.session_id", 2),
        dialect.is_any("r.kind", 3),
        dialect.is_any_bytes("r.call", 4),
    );
    let mut kinds: Vec<i64> = calls.iter().map(|call| RowKind::of_result(call.kind).code()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let values = [
        tx.team(),
        dialect.list(unique(calls.iter().map(|call| call.session_id.as_str()))),
        dialect.number_list(kinds),
        dialect.byte_list(stored),
    ];
    tx.all(&sql, values).await
}

#[derive(FromQueryResult)]
struct StartRow {
    session_id: String,
    call: Vec<u8>,
    agent_id: String,
}

/// The subagents that tool uses of sessions started, as (session, call id, subagent), in order.
pub async fn agents_by_calls(
    tx: &ScopedTx,
    calls: &[(SessionId, String)],
) -> Result<Vec<(SessionId, String, String)>, DbError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let of_session = format!("s.team = $1 AND {}", dialect.is_any("s.session_id", 2));
    // Results name the subagent, and so do the progress lines before them.
    let sql = format!(
        "SELECT s.session_id, r.call, r.agent_id \
         FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
         WHERE {of_session} AND r.kind = $4 AND r.agent_id IS NOT NULL AND {} \
         UNION SELECT s.session_id, a.call, a.agent_id \
         FROM sessions s JOIN subagent_starts a ON a.team = s.team AND a.session = s.number \
         WHERE {of_session} AND {}",
        dialect.is_any_bytes("r.call", 3),
        dialect.is_any_bytes("a.call", 3),
    );
    let ids: HashMap<[u8; 16], &String> =
        calls.iter().map(|(_, call_id)| (call_key(call_id), call_id)).collect();
    let values: [Value; 4] = [
        tx.team(),
        dialect.list(unique(calls.iter().map(|(session, _)| session.as_str()))),
        dialect.byte_list(ids.keys()),
        RowKind::ToolResult.code().into(),
    ];
    let mut found = Vec::new();
    for row in tx.all::<StartRow, _>(&sql, values).await? {
        if let Some(call_id) = ids.get(&row.call[..]) {
            let session_id = stored(&row.session_id, "sessions", "session_id", &row.session_id)?;
            found.push((session_id, (*call_id).clone(), row.agent_id));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::RowKind;

    #[test]
    fn every_stored_code_is_read_as_the_kind_that_was_written() {
        for (kind, code) in RowKind::ALL.into_iter().zip(1..) {
            assert_eq!((kind.code(), RowKind::of_code(code)), (code, Some(kind)));
        }
        assert_eq!((RowKind::of_code(0), RowKind::of_code(9)), (None, None));
    }
}
