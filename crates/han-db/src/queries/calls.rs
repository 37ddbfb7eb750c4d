//! Calls, found from what answers them. A result nests under its call, and a subagent's lines under the tool use that
//! started it; so a change of either is a change of the listed message that shows the call.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use han_transcript::record::ResultKind;
use han_types::{MessageKey, SessionId};
use sea_orm::{FromQueryResult, Value};

use crate::entities::MessagePosition;
use crate::line_id::{LineId, call_key};
use crate::page::MessageCursor;
use crate::queries::call_pairs::{PlacedCall, pair};
use crate::queries::hooks;
use crate::queries::messages::{self, IndexedMessage, unique};
use crate::queries::tool_results::RowKind;
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
    /// The line of the result, if there is one: of several calls with this id, it answers one.
    pub result: Option<MessageCursor>,
}

/// A call as rows name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StoredCall {
    /// A row of `tool_results`: the kind of call, and [`call_key`].
    Call(RowKind, Vec<u8>),
    /// A hook run, by its id.
    Run(String),
}

impl StoredCall {
    fn of(call: &AnsweredCall) -> Self {
        match RowKind::of_call(call.kind) {
            Some(kind) => Self::Call(kind, call_key(&call.call_id).to_vec()),
            None => Self::Run(call.call_id.clone()),
        }
    }
}

#[derive(FromQueryResult)]
struct LineRow {
    ordinal: i32,
    transcript: String,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    line: i32,
    part: i16,
    at: i64,
    place: i16,
    agent_id: Option<String>,
}

const COLUMNS: &str =
    "m.ordinal, f.name AS transcript, m.uuid, m.uuid_text, m.line, m.part, m.at, m.place, m.agent_id";

/// Joins the file of the message `m`.
const FILE: &str =
    "JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript";

/// A line and where it is shown.
#[derive(Clone, Debug)]
struct Line {
    ordinal: i64,
    key: MessageKey,
    cursor: MessageCursor,
    place: MessagePosition,
    agent_id: Option<String>,
}

/// The calls with one id, earliest first, and the lines of their results.
#[derive(Default)]
struct Calls {
    /// The lines of the calls, each with what identifies the answer that makes it.
    made: Vec<(Line, Option<i32>)>,
    results: Vec<MessageCursor>,
}

impl Calls {
    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.made.iter().map(|(line, _)| line)
    }

    /// The line of the call that the result at this place answers.
    fn answered_by(&self, result: &MessageCursor) -> Option<&Line> {
        let made = self.made.iter();
        let calls: Vec<_> =
            made.map(|(line, answer)| PlacedCall { place: line.cursor.place(), answer: *answer }).collect();
        let others = self.results.iter().filter(|other| other.place() != result.place());
        let results: Vec<_> = std::iter::once(result).chain(others).map(MessageCursor::place).collect();
        let call = *pair(&calls, &results).first()?;
        call.map(|index| &self.made[index].0)
    }
}

impl LineRow {
    fn line(self, session_id: &SessionId) -> Result<Line, DbError> {
        let uuid = LineId::to_text(&self.uuid, self.uuid_text);
        Ok(Line {
            ordinal: self.ordinal.into(),
            key: message_key("messages", session_id.as_str(), &self.transcript, &uuid)?,
            cursor: MessageCursor {
                at: self.at,
                transcript: self.transcript,
                line: self.line.into(),
                part: self.part.into(),
                uuid,
            },
            place: MessagePosition::of_code(self.place.into()),
            agent_id: self.agent_id,
        })
    }
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
    let read = Read { tx, session_id };
    let calls: Vec<StoredCall> = answered.iter().map(StoredCall::of).collect();
    let lines = read.calls(&calls.iter().cloned().collect()).await?;
    let mut seen = HashSet::new();
    let shows = |line: &&Line| line.place == MessagePosition::List && line.ordinal < from;
    let lines =
        calls.iter().zip(answered).flat_map(|(call, answered)| match (lines.get(call), &answered.result) {
            (Some(calls), Some(result)) => calls.answered_by(result).into_iter().collect::<Vec<_>>(),
            (Some(calls), None) => calls.lines().collect(),
            (None, _) => Vec::new(),
        });
    let lines = lines.filter(shows);
    let keys: Vec<MessageKey> =
        lines.filter(|line| seen.insert(&line.key)).map(|line| line.key.clone()).collect();
    let found = messages::by_keys(tx, &keys).await?;
    let mut found: HashMap<MessageKey, _> =
        found.into_iter().map(|message| (message.key.clone(), message)).collect();
    let indexes = messages::list_indexes(tx, &keys).await?;
    Ok(keys
        .iter()
        .filter_map(|key| {
            let message = Arc::new(found.remove(key)?);
            Some(IndexedMessage { message, index: *indexes.get(key)? })
        })
        .collect())
}

/// For messages of one session, the listed messages that show them: a listed message shows itself, a result is shown by
/// its call, and a subagent's line by the tool use that started the subagent. Messages that no listed one shows are left
/// out. If several calls have the id of a result, it answers one of them. If several calls started the subagent, listed lines
/// count before others, then earlier ones.
pub async fn shown_by(
    tx: &ScopedTx,
    session_id: &SessionId,
    keys: &[MessageKey],
) -> Result<HashMap<MessageKey, MessageKey>, DbError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let read = Read { tx, session_id };
    let mut shown = HashMap::new();
    // What each message was traced to so far.
    let mut open: Vec<(MessageKey, Line)> =
        read.lines(keys).await?.into_iter().map(|line| (line.key.clone(), line)).collect();
    for _ in 0..MAX_DEPTH {
        let (listed, nested): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(_, at)| at.place == MessagePosition::List);
        shown.extend(listed.into_iter().map(|(key, at)| (key, at.key)));
        if nested.is_empty() {
            break;
        }
        let above = read.calls_above(nested.iter().map(|(_, at)| at)).await?;
        let calls = nested.iter().flat_map(|(_, at)| above.of(at)).cloned().collect();
        let lines = read.calls(&calls).await?;
        open = nested
            .into_iter()
            .filter_map(|(key, at)| {
                let calls = above.of(&at).filter_map(|call| lines.get(call));
                let candidates: Vec<&Line> = match at.place {
                    MessagePosition::Nested => {
                        calls.filter_map(|calls| calls.answered_by(&at.cursor)).collect()
                    }
                    _ => match above.line_of(&at, &lines) {
                        Some(line) => vec![line],
                        None => calls.flat_map(Calls::lines).collect(),
                    },
                };
                let candidates = candidates.into_iter();
                let is_nested = |line: &Line| line.place != MessagePosition::List;
                Some((key, candidates.min_by_key(|line| (is_nested(line), &line.cursor))?.clone()))
            })
            .collect();
    }
    Ok(shown)
}

#[derive(FromQueryResult)]
struct CallRow {
    kind: i16,
    call: Vec<u8>,
    answer: Option<i32>,
    #[sea_orm(nested)]
    line: LineRow,
}

#[derive(FromQueryResult)]
struct AgentResultRow {
    started: String,
    call: Vec<u8>,
    #[sea_orm(nested)]
    line: LineRow,
}

#[derive(FromQueryResult)]
struct InlineRow {
    /// The subagent that the call of the line started.
    started: String,
    #[sea_orm(nested)]
    line: LineRow,
}

#[derive(FromQueryResult)]
struct RunRow {
    run_id: String,
    #[sea_orm(nested)]
    line: LineRow,
}

#[derive(FromQueryResult)]
struct ResultRow {
    ordinal: i32,
    kind: i16,
    call: Vec<u8>,
}

#[derive(FromQueryResult)]
struct HookResultRow {
    ordinal: i32,
    run_id: String,
}

#[derive(FromQueryResult)]
struct StartRow {
    agent_id: String,
    call: Vec<u8>,
}

/// The calls that lines which are not listed nest under.
#[derive(Default)]
struct CallsAbove {
    /// By the ordinal of a result's line.
    of_result: HashMap<i64, BTreeSet<StoredCall>>,
    /// By subagent.
    of_agent: HashMap<String, BTreeSet<StoredCall>>,
    /// The lines of the calls that started subagents in the session's own file, by subagent.
    of_inline: HashMap<String, Line>,
    /// The results that name subagents, by subagent: the call, and the line of the result.
    results: HashMap<String, Vec<(StoredCall, MessageCursor)>>,
}

impl CallsAbove {
    fn of(&self, line: &Line) -> impl Iterator<Item = &StoredCall> {
        let calls = match (&line.agent_id, line.place) {
            (_, MessagePosition::Nested) => self.of_result.get(&line.ordinal),
            (Some(agent), _) => self.of_agent.get(agent),
            (None, _) => None,
        };
        calls.into_iter().flatten()
    }

    /// The line of the call that started the subagent of a line, if it is known which of several calls with its id that is.
    fn line_of<'l>(&'l self, line: &Line, calls: &'l BTreeMap<StoredCall, Calls>) -> Option<&'l Line> {
        let agent = line.agent_id.as_ref()?;
        let of_results = || {
            let results = self.results.get(agent)?.iter();
            let lines = results.filter_map(|(call, result)| calls.get(call)?.answered_by(result));
            lines.min_by_key(|line| (line.place != MessagePosition::List, &line.cursor))
        };
        self.of_inline.get(agent).or_else(of_results)
    }
}

/// Reads one session.
struct Read<'a> {
    tx: &'a ScopedTx,
    session_id: &'a SessionId,
}

impl Read<'_> {
    /// The first two parameters of each statement, and its further ones.
    fn values<const N: usize>(&self, further: [Value; N]) -> impl Iterator<Item = Value> {
        [self.tx.team(), self.session_id.as_str().into()].into_iter().chain(further)
    }

    /// The lines of messages.
    async fn lines(&self, keys: &[MessageKey]) -> Result<Vec<Line>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT {COLUMNS} FROM sessions s JOIN messages m ON m.team = s.team AND m.session = s.number {FILE} \
             WHERE s.team = $1 AND s.session_id = $2 AND {} AND {}",
            dialect.is_any("f.name", 3),
            dialect.is_any_bytes("m.uuid", 4)
        );
        let names = unique(keys.iter().map(|key| key.transcript.as_str()));
        let uuids: BTreeSet<[u8; 16]> = keys.iter().map(|key| LineId::of(&key.uuid).bytes).collect();
        let values = self.values([dialect.list(names), dialect.byte_list(uuids)]);
        let rows: Vec<LineRow> = self.tx.all(&sql, values).await?;
        let lines = rows.into_iter().map(|row| row.line(self.session_id));
        let wanted: HashSet<&MessageKey> = keys.iter().collect();
        // Two lists instead of a list of pairs; the pairs are selected here.
        lines.filter(|line| line.as_ref().map_or(true, |line| wanted.contains(&line.key))).collect()
    }

    /// The lines of calls and of their results. A hook run is found among the session's hooks, every other call among the
    /// session's calls.
    async fn calls(&self, calls: &BTreeSet<StoredCall>) -> Result<BTreeMap<StoredCall, Calls>, DbError> {
        let (mut kinds, mut keys, mut runs) = (BTreeSet::new(), Vec::new(), Vec::new());
        for call in calls {
            match call {
                StoredCall::Call(kind, key) => {
                    kinds.extend(
                        [Some(*kind), kind.result_of_call()].into_iter().flatten().map(RowKind::code),
                    );
                    keys.push(key);
                }
                StoredCall::Run(run_id) => runs.push(run_id),
            }
        }
        let dialect = self.tx.dialect();
        let mut found: BTreeMap<StoredCall, Calls> = BTreeMap::new();
        if !runs.is_empty() {
            let sql = format!(
                "SELECT h.run_id, {COLUMNS} \
                 FROM sessions s JOIN hook_executions h ON h.team = s.team AND h.session = s.number \
                 JOIN messages m ON m.team = h.team AND m.session = h.session AND m.ordinal = h.ordinal {FILE} \
                 WHERE s.team = $1 AND s.session_id = $2 AND h.is_run AND {}",
                dialect.is_any("h.run_id", 3)
            );
            for row in self.tx.all::<RunRow, _>(&sql, self.values([dialect.list(runs)])).await? {
                let line = row.line.line(self.session_id)?;
                found.entry(StoredCall::Run(row.run_id)).or_default().made.push((line, None));
            }
        }
        if !keys.is_empty() {
            let sql = format!(
                "SELECT r.kind, r.call, r.answer, {COLUMNS} \
                 FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
                 JOIN messages m ON m.team = r.team AND m.session = r.session AND m.ordinal = r.ordinal {FILE} \
                 WHERE s.team = $1 AND s.session_id = $2 AND {} AND {}",
                dialect.is_any("r.kind", 3),
                dialect.is_any_bytes("r.call", 4)
            );
            let values = self.values([dialect.number_list(kinds), dialect.byte_list(keys)]);
            for row in self.tx.all::<CallRow, _>(&sql, values).await? {
                let line = row.line.line(self.session_id)?;
                let kind = row_kind(row.kind, &line.key)?;
                if kind.result_of_call().is_some() {
                    let calls = found.entry(StoredCall::Call(kind, row.call)).or_default();
                    calls.made.push((line, row.answer));
                } else if let Some(kind) = kind.call_of_result() {
                    let calls = found.entry(StoredCall::Call(kind, row.call)).or_default();
                    calls.results.push(line.cursor);
                }
            }
        }
        for calls in found.values_mut() {
            calls.made.sort_by(|(a, _), (b, _)| a.cursor.cmp(&b.cursor));
        }
        Ok(found)
    }

    async fn calls_above(&self, nested: impl Iterator<Item = &Line>) -> Result<CallsAbove, DbError> {
        let (mut results, mut agents) = (BTreeSet::new(), BTreeSet::new());
        for line in nested {
            match (&line.agent_id, line.place) {
                (_, MessagePosition::Nested) => {
                    results.insert(line.ordinal);
                }
                (Some(agent), _) => {
                    agents.insert(agent);
                }
                (None, _) => {}
            }
        }
        let mut above = CallsAbove::default();
        if !results.is_empty() {
            above.of_result = self.calls_of_results(&results).await?;
        }
        if !agents.is_empty() {
            above.of_agent = self.calls_of_agents(&agents).await?;
            above.of_inline = self.inline_calls(&agents).await?;
            for (agent, call, result) in self.results_of_agents(&agents).await? {
                above.of_agent.entry(agent.clone()).or_default().insert(call.clone());
                above.results.entry(agent).or_default().push((call, result));
            }
        }
        Ok(above)
    }

    /// The calls that the results in lines name, by the ordinal of the line.
    async fn calls_of_results(
        &self,
        lines: &BTreeSet<i64>,
    ) -> Result<HashMap<i64, BTreeSet<StoredCall>>, DbError> {
        let dialect = self.tx.dialect();
        let ordinals = || dialect.number_list(lines.iter().copied());
        let mut calls: HashMap<i64, BTreeSet<StoredCall>> = HashMap::new();
        let sql = format!(
            "SELECT r.ordinal, r.kind, r.call \
             FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
             WHERE s.team = $1 AND s.session_id = $2 AND {} AND {}",
            dialect.is_any("r.kind", 3),
            dialect.is_any("r.ordinal", 4)
        );
        let answered = [ResultKind::Tool, ResultKind::Mcp, ResultKind::Exposed];
        let kinds = answered.map(|kind| RowKind::of_result(kind).code());
        let values = self.values([dialect.number_list(kinds), ordinals()]);
        for row in self.tx.all::<ResultRow, _>(&sql, values).await? {
            let found =
                answered.into_iter().find(|kind| RowKind::of_result(*kind).code() == i64::from(row.kind));
            if let Some(kind) = found.and_then(RowKind::of_call) {
                calls.entry(row.ordinal.into()).or_default().insert(StoredCall::Call(kind, row.call));
            }
        }
        let sql = format!(
            "SELECT h.ordinal, h.run_id \
             FROM sessions s JOIN hook_executions h ON h.team = s.team AND h.session = s.number \
             WHERE s.team = $1 AND s.session_id = $2 AND NOT h.is_run AND h.run_id IS NOT NULL AND {}",
            dialect.is_any("h.ordinal", 3)
        );
        for row in self.tx.all::<HookResultRow, _>(&sql, self.values([ordinals()])).await? {
            calls.entry(row.ordinal.into()).or_default().insert(StoredCall::Run(row.run_id));
        }
        if self.answers_by_hook_name(lines).await? {
            let events = hooks::runs_and_results(self.tx, std::slice::from_ref(self.session_id)).await?;
            for (run, result) in hooks::pair(&events) {
                if let Some(run_id) = run.hook.run_id.clone().filter(|_| lines.contains(&result.ordinal)) {
                    calls.insert(result.ordinal, BTreeSet::from([StoredCall::Run(run_id)]));
                }
            }
        }
        Ok(calls)
    }

    /// Whether one of the lines is the result of a hook that names no run.
    async fn answers_by_hook_name(&self, lines: &BTreeSet<i64>) -> Result<bool, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT r.ordinal FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
             WHERE s.team = $1 AND s.session_id = $2 AND r.kind = $3 AND {} LIMIT 1",
            dialect.is_any("r.ordinal", 4)
        );
        let kind = RowKind::ResultByHookName.code().into();
        let values = self.values([kind, dialect.number_list(lines.iter().copied())]);
        Ok(!self.tx.rows(&sql, values).await?.is_empty())
    }

    /// The tool uses that started subagents, by subagent, as the progress lines of subagents say.
    async fn calls_of_agents(
        &self,
        agents: &BTreeSet<&String>,
    ) -> Result<HashMap<String, BTreeSet<StoredCall>>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT a.agent_id, a.call \
             FROM sessions s JOIN subagent_starts a ON a.team = s.team AND a.session = s.number \
             WHERE s.team = $1 AND s.session_id = $2 AND {}",
            dialect.is_any("a.agent_id", 3)
        );
        let mut calls: HashMap<String, BTreeSet<StoredCall>> = HashMap::new();
        for row in self.tx.all::<StartRow, _>(&sql, self.values([dialect.list(agents)])).await? {
            let call = StoredCall::Call(RowKind::ToolCall, row.call);
            calls.entry(row.agent_id).or_default().insert(call);
        }
        Ok(calls)
    }

    /// The results that name subagents: the subagent, the call, and the line of the result.
    async fn results_of_agents(
        &self,
        agents: &BTreeSet<&String>,
    ) -> Result<Vec<(String, StoredCall, MessageCursor)>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT r.agent_id AS started, r.call, {COLUMNS} \
             FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
             JOIN messages m ON m.team = r.team AND m.session = r.session AND m.ordinal = r.ordinal {FILE} \
             WHERE s.team = $1 AND s.session_id = $2 AND r.kind = $4 AND {}",
            dialect.is_any("r.agent_id", 3)
        );
        let values = self.values([dialect.list(agents), RowKind::ToolResult.code().into()]);
        let rows: Vec<AgentResultRow> = self.tx.all(&sql, values).await?;
        let result = |row: AgentResultRow| {
            let call = StoredCall::Call(RowKind::ToolCall, row.call);
            Ok((row.started, call, row.line.line(self.session_id)?.cursor))
        };
        rows.into_iter().map(result).collect()
    }

    /// The lines of the calls that started subagents in the session's own file, by subagent.
    async fn inline_calls(&self, agents: &BTreeSet<&String>) -> Result<HashMap<String, Line>, DbError> {
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT c.agent_id AS started, {COLUMNS} \
             FROM sessions s JOIN subagent_calls c ON c.team = s.team AND c.session = s.number \
             JOIN messages m ON m.team = c.team AND m.session = c.session AND m.ordinal = c.ordinal {FILE} \
             WHERE s.team = $1 AND s.session_id = $2 AND {}",
            dialect.is_any("c.agent_id", 3)
        );
        let rows: Vec<InlineRow> = self.tx.all(&sql, self.values([dialect.list(agents)])).await?;
        rows.into_iter().map(|row| Ok((row.started, row.line.line(self.session_id)?))).collect()
    }
}

fn row_kind(code: i16, row: &MessageKey) -> Result<RowKind, DbError> {
    RowKind::of_code(code.into()).ok_or_else(|| DbError::malformed("tool_results", "kind", row.row_id()))
}
