//! Calls, found from what answers them. A result nests under its call, and a subagent's lines under the tool use that
//! started it; so a change of either is a change of the listed message that shows the call.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use han_transcript::record::ResultKind;
use han_types::{MessageKey, SessionId};
use sea_orm::FromQueryResult;

use crate::entities::MessagePosition;
use crate::queries::hooks;
use crate::queries::messages::{self, IndexedMessage, unique};
use crate::queries::search::list_indexes;
use crate::queries::tool_results::{AGENT, UNNAMED_HOOK, call_kind};
use crate::stored::message_key;
use crate::{DbError, ScopedTx};

/// How many calls may nest in each other: a subagent that a subagent started, and so on.
const MAX_DEPTH: usize = 8;

/// A call as its result names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnsweredCall {
    /// The kind of call.
    pub kind: ResultKind,
    /// The call's id, or the run's.
    pub call_id: String,
}

/// The listed messages of a session that show calls which are answered now, in the order of `answered`, each once. Only
/// messages that arrived before ordinal `from`: later ones are delivered by themselves, with their results.
///
/// # Errors
/// If the messages have more bytes than the transaction may decrypt.
pub async fn late(
    tx: &ScopedTx,
    session_id: &SessionId,
    from: i64,
    answered: &[AnsweredCall],
) -> Result<Vec<IndexedMessage>, DbError> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    let lines = lines_of_calls(tx, session_id, answered).await?;
    for key in answered.iter().filter_map(|call| lines.get(call)).flatten() {
        if seen.insert(key) {
            keys.push(key.clone());
        }
    }
    let found = messages::by_keys(tx, &keys).await?;
    let found: HashMap<MessageKey, _> = found
        .into_iter()
        .filter(|message| message.listed && message.ordinal < from)
        .map(|message| (message.key.clone(), message))
        .collect();
    let listed: Vec<MessageKey> = keys.into_iter().filter(|key| found.contains_key(key)).collect();
    let indexes = list_indexes(tx, &listed).await?;
    let mut found = found;
    Ok(listed
        .iter()
        .filter_map(|key| {
            let message = Arc::new(found.remove(key)?);
            Some(IndexedMessage { message, index: *indexes.get(key)? })
        })
        .collect())
}

#[derive(FromQueryResult)]
struct CallRow {
    kind: String,
    call_id: String,
    transcript: String,
    uuid: String,
}

/// The lines of calls. A hook run is found among the session's hooks, every other call among the session's calls.
async fn lines_of_calls(
    tx: &ScopedTx,
    session_id: &SessionId,
    calls: &[AnsweredCall],
) -> Result<BTreeMap<AnsweredCall, Vec<MessageKey>>, DbError> {
    let mut lines: BTreeMap<AnsweredCall, Vec<MessageKey>> = BTreeMap::new();
    let (runs, others): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.kind == ResultKind::Hook);
    let dialect = tx.dialect();
    let ids = |calls: &[&AnsweredCall]| dialect.list(unique(calls.iter().map(|call| call.call_id.as_str())));
    let mut rows: Vec<CallRow> = Vec::new();
    if !runs.is_empty() {
        let sql = format!(
            "SELECT 'hook' AS kind, run_id AS call_id, transcript, uuid FROM hook_executions \
             WHERE team_id = $1 AND session_id = $2 AND is_run AND {}",
            dialect.is_any("run_id", 3)
        );
        rows.extend(tx.all::<CallRow, _>(&sql, [tx.team(), session_id.as_str().into(), ids(&runs)]).await?);
    }
    if !others.is_empty() {
        let sql = format!(
            "SELECT kind, call_id, transcript, uuid FROM tool_results \
             WHERE team_id = $1 AND session_id = $2 AND {} AND {}",
            dialect.is_any("kind", 3),
            dialect.is_any("call_id", 4)
        );
        let kinds = dialect.list(unique(others.iter().map(|call| call_kind(call.kind))));
        let values = [tx.team(), session_id.as_str().into(), kinds, ids(&others)];
        rows.extend(tx.all::<CallRow, _>(&sql, values).await?);
    }
    for row in rows {
        let kind = match row.kind.as_str() {
            "hook" => ResultKind::Hook,
            stored => [ResultKind::Tool, ResultKind::Mcp, ResultKind::Exposed]
                .into_iter()
                .find(|kind| call_kind(*kind) == stored)
                .ok_or_else(|| DbError::malformed("tool_results", "kind", &row.uuid))?,
        };
        let key = message_key("messages", session_id.as_str(), &row.transcript, &row.uuid)?;
        lines.entry(AnsweredCall { kind, call_id: row.call_id }).or_default().push(key);
    }
    Ok(lines)
}

#[derive(FromQueryResult)]
struct PositionRow {
    transcript: String,
    uuid: String,
    place: i64,
    agent_id: Option<String>,
}

#[derive(FromQueryResult)]
struct NamedRow {
    kind: String,
    call_id: String,
    transcript: String,
    uuid: String,
    agent_id: Option<String>,
}

/// For messages of one session, the listed messages that show them: a listed message shows itself, a result is shown by
/// its call, and a subagent's line by the tool use that started the subagent. Messages that no listed one shows are left
/// out.
pub async fn shown_by(
    tx: &ScopedTx,
    session_id: &SessionId,
    keys: &[MessageKey],
) -> Result<HashMap<MessageKey, MessageKey>, DbError> {
    let mut shown = HashMap::new();
    // What each message was traced to so far.
    let mut open: Vec<(MessageKey, MessageKey)> = keys.iter().map(|key| (key.clone(), key.clone())).collect();
    for _ in 0..MAX_DEPTH {
        if open.is_empty() {
            break;
        }
        let positions = positions(tx, session_id, open.iter().map(|(_, at)| at)).await?;
        let mut nested = Vec::new();
        for (key, at) in open {
            match positions.get(&at) {
                Some(row) if MessagePosition::of_code(row.place) == MessagePosition::List => {
                    shown.insert(key, at);
                }
                Some(row) => nested.push((key, at, row)),
                None => {}
            }
        }
        let calls = calls_above(tx, session_id, nested.iter().map(|(_, at, row)| (at, *row))).await?;
        let lines = lines_of_calls(tx, session_id, &calls.values().cloned().collect::<Vec<_>>()).await?;
        open = nested
            .into_iter()
            .filter_map(|(key, at, _)| Some((key, lines.get(calls.get(&at)?)?.first()?.clone())))
            .collect();
    }
    Ok(shown)
}

async fn positions<'k>(
    tx: &ScopedTx,
    session_id: &SessionId,
    keys: impl Iterator<Item = &'k MessageKey>,
) -> Result<HashMap<MessageKey, PositionRow>, DbError> {
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT transcript, uuid, place, agent_id FROM messages WHERE team_id = $1 AND session_id = $2 AND {} AND {}",
        dialect.is_any("transcript", 3),
        dialect.is_any("uuid", 4)
    );
    let (transcripts, uuids): (Vec<_>, Vec<_>) =
        keys.map(|key| (key.transcript.as_str(), key.uuid.as_str())).unzip();
    let values = [
        tx.team(),
        session_id.as_str().into(),
        dialect.list(unique(transcripts.into_iter())),
        dialect.list(unique(uuids.into_iter())),
    ];
    let rows: Vec<PositionRow> = tx.all(&sql, values).await?;
    rows.into_iter()
        .map(|row| {
            let key = message_key("messages", session_id.as_str(), &row.transcript, &row.uuid)?;
            Ok((key, row))
        })
        .collect()
}

/// The calls that messages which are not listed nest under.
async fn calls_above<'k>(
    tx: &ScopedTx,
    session_id: &SessionId,
    nested: impl Iterator<Item = (&'k MessageKey, &'k PositionRow)>,
) -> Result<HashMap<MessageKey, AnsweredCall>, DbError> {
    let nested: Vec<_> = nested.collect();
    if nested.is_empty() {
        return Ok(HashMap::new());
    }
    let dialect = tx.dialect();
    let is_result = |row: &PositionRow| MessagePosition::of_code(row.place) == MessagePosition::Nested;
    let results = nested.iter().filter(|(_, row)| is_result(row)).map(|(at, _)| at.uuid.as_str());
    let agents =
        nested.iter().filter(|(_, row)| !is_result(row)).filter_map(|(_, row)| row.agent_id.as_deref());
    let sql = format!(
        "SELECT kind, call_id, transcript, uuid, agent_id FROM tool_results \
         WHERE team_id = $1 AND session_id = $2 \
           AND kind IN ('tool', 'mcp', 'exposed', 'hook', '{UNNAMED_HOOK}', '{AGENT}') AND ({} OR {})",
        dialect.is_any("uuid", 3),
        dialect.is_any("agent_id", 4)
    );
    let values =
        [tx.team(), session_id.as_str().into(), dialect.list(unique(results)), dialect.list(unique(agents))];
    let rows: Vec<NamedRow> = tx.all(&sql, values).await?;
    let (mut of_line, mut of_agent) = (HashMap::new(), HashMap::new());
    if rows.iter().any(|row| row.kind == UNNAMED_HOOK) {
        let events = hooks::runs_and_results(tx, std::slice::from_ref(session_id)).await?;
        for (run, result) in hooks::pair(&events) {
            if let Some(call_id) = run.hook.run_id.clone() {
                let line = (result.place.transcript.clone(), result.uuid.clone());
                of_line.insert(line, AnsweredCall { kind: ResultKind::Hook, call_id });
            }
        }
    }
    for row in rows.into_iter().filter(|row| row.kind != UNNAMED_HOOK) {
        let kind = match row.kind.as_str() {
            "mcp" => ResultKind::Mcp,
            "exposed" => ResultKind::Exposed,
            "hook" => ResultKind::Hook,
            _ => ResultKind::Tool,
        };
        let call = AnsweredCall { kind, call_id: row.call_id };
        if let Some(agent) = row.agent_id {
            of_agent.entry(agent).or_insert_with(|| call.clone());
        }
        if row.kind != AGENT {
            of_line.entry((row.transcript, row.uuid)).or_insert(call);
        }
    }
    let above = nested.into_iter().filter_map(|(at, row)| {
        let call = if is_result(row) {
            of_line.get(&(at.transcript.to_string(), at.uuid.clone()))
        } else {
            of_agent.get(row.agent_id.as_deref()?)
        };
        Some((at.clone(), call?.clone()))
    });
    Ok(above.collect())
}
