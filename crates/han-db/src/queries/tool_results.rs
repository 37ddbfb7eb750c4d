//! Results by call: in every list, results nest under their call.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use han_transcript::record::ResultKind;
use han_types::MessageKey;
use sea_orm::{FromQueryResult, Value};

use crate::entities::ToolResult;
use crate::line_id::{INLINE_PREFIX, LineId, call_key};
use crate::queries::call_pairs::{Place, PlacedCall, pair};
use crate::queries::messages::{self, unique};
use crate::stored::message_key;
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

    /// The kind of the calls that such results name; `None` for calls and hooks.
    pub(crate) fn call_of_result(self) -> Option<Self> {
        match self {
            Self::ToolResult => Some(Self::ToolCall),
            Self::McpResult => Some(Self::McpCall),
            Self::ExposedResult => Some(Self::ExposedCall),
            _ => None,
        }
    }

    /// The kind of the results that answer such calls; `None` for results.
    pub(crate) fn result_of_call(self) -> Option<Self> {
        match self {
            Self::ToolCall => Some(Self::ToolResult),
            Self::McpCall => Some(Self::McpResult),
            Self::ExposedCall => Some(Self::ExposedResult),
            _ => None,
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
    /// The message that makes it: several calls of a session may have the same id.
    pub message: MessageKey,
    /// The kind of call.
    pub kind: ResultKind,
    /// The call's id.
    pub call_id: String,
}

/// A row of `tool_results` with its message: a call or a result.
#[derive(FromQueryResult)]
struct Row {
    session_id: String,
    kind: i16,
    call: Vec<u8>,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    at: i64,
    line: i32,
    part: i16,
    success: Option<i16>,
    duration_ms: Option<i64>,
    agent_id: Option<String>,
    answer: Option<i32>,
}

impl Row {
    fn key(&self) -> Result<MessageKey, DbError> {
        let uuid = LineId::to_text(&self.uuid, self.uuid_text.clone());
        message_key("tool_results", &self.session_id, &self.transcript, &uuid)
    }

    fn place(&self) -> Place<&str> {
        Place { at: self.at, file: self.transcript.as_str(), line: (self.line.into(), self.part.into()) }
    }
}

/// The results of calls, each with its line, in the order of lines. A call may have no result or several.
///
/// # Errors
/// If a body cannot be opened.
pub async fn by_calls(tx: &ScopedTx, calls: &[Call]) -> Result<Vec<(Call, ToolResult)>, DbError> {
    let pairs = pairs(tx, calls).await?;
    let keys: Vec<MessageKey> = pairs.iter().map(|(_, row)| row.key()).collect::<Result<_, _>>()?;
    let messages = messages::by_keys(tx, &keys).await?;
    let messages: HashMap<_, _> = messages.into_iter().map(|m| (m.key.clone(), Arc::new(m))).collect();
    let mut found = Vec::with_capacity(pairs.len());
    for ((call, row), key) in pairs.into_iter().zip(&keys) {
        if let Some(message) = messages.get(key) {
            let result = ToolResult {
                call_id: call.call_id.clone(),
                duration_ms: row.duration_ms,
                success: row.success.map(|n| n != 0),
                agent_id: row.agent_id,
                message: Arc::clone(message),
            };
            found.push((call.clone(), result));
        }
    }
    found.sort_by_key(|(_, result)| result.message.cursor());
    Ok(found)
}

/// The calls that a result may answer: their session, the kind of their results, and [`call_key`].
type Id = (String, i64, Vec<u8>);

/// The results of calls, each with its call, in no order.
async fn pairs<'c>(tx: &ScopedTx, calls: &'c [Call]) -> Result<Vec<(&'c Call, Row)>, DbError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let of_kind = |call: &Call, kind: RowKind| -> Id {
        (call.message.session_id.to_string(), kind.code(), call_key(&call.call_id).to_vec())
    };
    let mut made: HashMap<Id, Vec<Row>> = HashMap::new();
    let mut answers: HashMap<Id, Vec<Row>> = HashMap::new();
    for row in rows(tx, calls).await? {
        let result = RowKind::of_code(row.kind.into()).and_then(RowKind::result_of_call);
        let (kind, rows) = match result {
            Some(kind) => (kind.code(), &mut made),
            None => (row.kind.into(), &mut answers),
        };
        rows.entry((row.session_id.clone(), kind, row.call.clone())).or_default().push(row);
    }
    let mut wanted: HashMap<Id, Vec<&Call>> = HashMap::new();
    for call in calls {
        wanted.entry(of_kind(call, RowKind::of_result(call.kind))).or_default().push(call);
    }
    let mut found = Vec::new();
    for (id, answers) in answers {
        let made = made.get(&id).map(Vec::as_slice).unwrap_or_default();
        let calls: Vec<_> =
            made.iter().map(|row| PlacedCall { place: row.place(), answer: row.answer }).collect();
        let results: Vec<Place<&str>> = answers.iter().map(Row::place).collect();
        let answered = pair(&calls, &results);
        let keys: Vec<MessageKey> = made.iter().map(Row::key).collect::<Result<_, _>>()?;
        let wanted = wanted.get(&id).map(Vec::as_slice).unwrap_or_default();
        for (row, own) in answers.into_iter().zip(answered) {
            let own = own.map(|index| &keys[index]);
            // A call that is not stored is the only one with its id.
            let call = wanted.iter().find(|call| own.is_none_or(|own| *own == call.message));
            found.extend(call.map(|call| (*call, row)));
        }
    }
    Ok(found)
}

/// The rows of calls with these ids, and of their results.
async fn rows(tx: &ScopedTx, calls: &[Call]) -> Result<Vec<Row>, DbError> {
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, r.kind, r.call, f.name AS transcript, m.uuid, m.uuid_text, m.at, m.line, m.part, \
           r.success, r.duration_ms, r.agent_id, r.answer \
         FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
         JOIN messages m ON m.team = r.team AND m.session = r.session AND m.ordinal = r.ordinal \
         JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript \
         WHERE s.team = $1 AND {} AND {} AND {}",
        dialect.is_any("s.session_id", 2),
        dialect.is_any("r.kind", 3),
        dialect.is_any_bytes("r.call", 4),
    );
    let kinds: BTreeSet<i64> = calls
        .iter()
        .flat_map(|call| [Some(RowKind::of_result(call.kind)), RowKind::of_call(call.kind)])
        .flatten()
        .map(RowKind::code)
        .collect();
    let ids: BTreeSet<[u8; 16]> = calls.iter().map(|call| call_key(&call.call_id)).collect();
    let values = [
        tx.team(),
        dialect.list(unique(calls.iter().map(|call| call.message.session_id.as_str()))),
        dialect.number_list(kinds),
        dialect.byte_list(ids),
    ];
    tx.all(&sql, values).await
}

#[derive(FromQueryResult)]
struct StartRow {
    session_id: String,
    call: Vec<u8>,
    agent_id: String,
}

/// A call that started a subagent in the session's own file.
#[derive(FromQueryResult)]
struct InlineRow {
    session_id: String,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    call: Vec<u8>,
    agent_id: String,
}

/// The subagents that tool uses started, in order.
pub async fn agents_by_calls(tx: &ScopedTx, calls: &[Call]) -> Result<Vec<(Call, String)>, DbError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    // Results name the subagent, and so do the progress lines before them.
    let mut found: BTreeSet<(usize, String)> = BTreeSet::new();
    let indexes: HashMap<&Call, usize> = calls.iter().zip(0..).collect();
    for (call, row) in pairs(tx, calls).await? {
        found.extend(indexes.get(call).copied().zip(row.agent_id));
    }
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT s.session_id, a.call, a.agent_id \
         FROM sessions s JOIN subagent_starts a ON a.team = s.team AND a.session = s.number \
         WHERE s.team = $1 AND {} AND {} AND a.agent_id NOT LIKE '{INLINE_PREFIX}%'",
        dialect.is_any("s.session_id", 2),
        dialect.is_any_bytes("a.call", 3),
    );
    let values: [Value; 3] = [
        tx.team(),
        dialect.list(unique(calls.iter().map(|call| call.message.session_id.as_str()))),
        dialect.byte_list(calls.iter().map(|call| call_key(&call.call_id))),
    ];
    for row in tx.all::<StartRow, _>(&sql, values.clone()).await? {
        let starts = |call: &&Call| {
            call.message.session_id.as_str() == row.session_id && call_key(&call.call_id) == row.call[..]
        };
        let index = calls.iter().find(starts).and_then(|call| indexes.get(call));
        found.extend(index.map(|index| (*index, row.agent_id.clone())));
    }
    // In the session's own file, the line of the call is known.
    let sql = format!(
        "SELECT s.session_id, f.name AS transcript, m.uuid, m.uuid_text, c.call, c.agent_id \
         FROM sessions s JOIN subagent_calls c ON c.team = s.team AND c.session = s.number \
         JOIN messages m ON m.team = c.team AND m.session = c.session AND m.ordinal = c.ordinal \
         JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript \
         WHERE s.team = $1 AND {} AND {} AND c.agent_id IS NOT NULL",
        dialect.is_any("s.session_id", 2),
        dialect.is_any_bytes("c.call", 3),
    );
    for row in tx.all::<InlineRow, _>(&sql, values).await? {
        let uuid = LineId::to_text(&row.uuid, row.uuid_text);
        let message = message_key("subagent_calls", &row.session_id, &row.transcript, &uuid)?;
        let starts = |call: &&Call| call.message == message && call_key(&call.call_id) == row.call[..];
        let index = calls.iter().find(starts).and_then(|call| indexes.get(call));
        found.extend(index.map(|index| (*index, row.agent_id.clone())));
    }
    Ok(found.into_iter().map(|(index, agent)| (calls[index].clone(), agent)).collect())
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
