//! Results by call: in every list, results nest under their call.

use han_transcript::record::ResultKind;
use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::ToolResult;
use crate::queries::messages::{self, unique};
use crate::stored::{message_key, stored};
use crate::{DbError, ScopedTx};

/// The kind of results that name no run: `call_id` is the keyed hash of the hook's name. The run that such a result belongs
/// to follows from the session's hooks: see [`pair`](crate::queries::hooks::pair).
pub const UNNAMED_HOOK: &str = "hook_name";

/// The kind of rows that are not results: they name the subagent (`uuid`) that a call started.
pub(crate) const AGENT: &str = "agent";

/// Rows of these kinds are no results: they name the line (`transcript`, `uuid`) of a call, so that the call of a result
/// can be found. Hook runs are in `hook_executions`.
pub(crate) fn call_kind(kind: ResultKind) -> &'static str {
    match kind {
        ResultKind::Tool => "call_tool",
        ResultKind::Mcp => "call_mcp",
        ResultKind::Exposed => "call_exposed",
        ResultKind::Hook => "call_hook",
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
    kind: String,
    call_id: String,
    transcript: String,
    uuid: String,
    success: Option<i64>,
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
    let rows = rows(tx, calls).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        keys.push(message_key("tool_results", &row.session_id, &row.transcript, &row.uuid)?);
    }
    let messages = messages::by_keys(tx, &keys).await?;
    let messages: std::collections::HashMap<_, _> = messages.iter().map(|m| (&m.key, m)).collect();
    let wanted: std::collections::HashMap<(&str, &str, &str), &Call> = calls
        .iter()
        .map(|call| ((call.session_id.as_str(), call.kind.as_str(), call.call_id.as_str()), call))
        .collect();
    let mut found = Vec::with_capacity(rows.len());
    for (row, key) in rows.iter().zip(&keys) {
        let call = wanted.get(&(row.session_id.as_str(), row.kind.as_str(), row.call_id.as_str()));
        if let (Some(call), Some(message)) = (call, messages.get(key)) {
            let result = ToolResult {
                call_id: call.call_id.clone(),
                duration_ms: row.duration_ms,
                success: row.success.map(|n| n != 0),
                agent_id: row.agent_id.clone(),
                message: (*message).clone(),
            };
            found.push(((*call).clone(), result));
        }
    }
    found.sort_by_key(|(_, result)| result.message.cursor());
    Ok(found)
}

async fn rows(tx: &ScopedTx, calls: &[Call]) -> Result<Vec<ResultRow>, DbError> {
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT session_id, kind, call_id, transcript, uuid, success, duration_ms, agent_id FROM tool_results \
         WHERE team_id = $1 AND {} AND {} AND {}",
        dialect.is_any("session_id", 2),
        dialect.is_any("kind", 3),
        dialect.is_any("call_id", 4),
    );
    let values = [
        tx.team(),
        dialect.list(unique(calls.iter().map(|c| c.session_id.as_str()))),
        dialect.list(unique(calls.iter().map(|c| c.kind.as_str()))),
        dialect.list(
            unique(calls.iter().map(|c| c.call_id.as_str())).into_iter().filter(|id| !id.contains('\0')),
        ),
    ];
    tx.all(&sql, values).await
}

/// The subagents that tool uses of a session started, as pairs of (call id, subagent).
pub async fn agents_by_calls(
    tx: &ScopedTx,
    calls: &[(SessionId, String)],
) -> Result<Vec<(SessionId, String, String)>, DbError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT session_id, kind, call_id, transcript, uuid, success, duration_ms, agent_id FROM tool_results \
         WHERE team_id = $1 AND kind IN ('{AGENT}', 'tool') AND agent_id IS NOT NULL AND {} AND {}",
        dialect.is_any("session_id", 2),
        dialect.is_any("call_id", 3),
    );
    let values = [
        tx.team(),
        dialect.list(unique(calls.iter().map(|(session, _)| session.as_str()))),
        dialect.list(
            unique(calls.iter().map(|(_, call)| call.as_str())).into_iter().filter(|id| !id.contains('\0')),
        ),
    ];
    let rows: Vec<ResultRow> = tx.all(&sql, values).await?;
    let mut found = Vec::new();
    for row in rows {
        if let Some(agent) = row.agent_id {
            found.push((
                stored(&row.session_id, "tool_results", "session_id", &row.call_id)?,
                row.call_id,
                agent,
            ));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
