//! The derived events of one change to a session: results, hooks, file changes and to-do lists. They are projected from
//! the lines, which the change names by their ordinals.

use std::collections::{BTreeSet, HashMap, HashSet};

use han_transcript::MessageKind;
use han_transcript::record::{LineRecord, ResultKind};
use han_types::SessionId;
use sea_orm::FromQueryResult;

use crate::entities::{HookEvent, Message, SessionCounts, TodoCounts};
use crate::line_id::call_key;
use crate::queries::calls::AnsweredCall;
use crate::queries::ingest::prepare::project_record;
use crate::queries::tool_results::RowKind;
use crate::queries::{hooks, messages, todos, usage};
use crate::{DbError, ScopedTx};

/// Lines of these kinds have no derived events.
const WITHOUT_EVENTS: &[MessageKind] = &[
    MessageKind::System,
    MessageKind::Summary,
    MessageKind::FileHistorySnapshot,
    MessageKind::QueueOperation,
    MessageKind::UnknownEvent,
];

/// The derived events of one change. Each list is in the order of lines.
#[derive(Clone, Debug, Default)]
pub struct DerivedEvents {
    /// Results of tool, MCP and exposed calls.
    pub results: Vec<DerivedResult>,
    /// Hooks that started or ended.
    pub hooks: Vec<DerivedHook>,
    /// The calls and hook runs that the results answer, in the order of the results' lines; then the hook runs that have
    /// another result, or none, since these lines are there.
    pub answered: Vec<AnsweredCall>,
    /// The tool of the last line that changed the list of file changes, and the current counters of the session.
    pub files: Option<(String, SessionCounts)>,
    /// The current number of to-dos by status, if one of the lines writes a to-do list.
    pub todos: Option<TodoCounts>,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedResult {
    /// The call.
    pub call_id: String,
    /// The kind of call.
    pub kind: ResultKind,
    /// Whether the call succeeded, if the result reports it.
    pub success: Option<bool>,
    /// The duration in milliseconds, if the result reports it.
    pub duration_ms: Option<i64>,
}

/// A hook that started or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedHook {
    /// The kind of its line.
    pub kind: MessageKind,
    /// The run that started, or whose result this is.
    pub run_id: Option<String>,
    /// The hook's name.
    pub hook: Option<String>,
    /// The plugin it belongs to.
    pub plugin: Option<String>,
    /// Whether it started; otherwise it ended.
    pub is_run: bool,
    /// Whether it passed, if the line reports it.
    pub success: Option<bool>,
    /// The duration in milliseconds, if the line reports it.
    pub duration_ms: Option<i64>,
}

/// The derived events of the lines of a session with ordinals from `from` to `to` (exclusive).
///
/// # Errors
/// If a line cannot be opened; [`DbError::TooMuch`] if they exceed the budget of the transaction.
pub async fn between(
    tx: &ScopedTx,
    session_id: &SessionId,
    from: i64,
    to: i64,
) -> Result<DerivedEvents, DbError> {
    let lines = lines(tx, session_id, from, to).await?;
    let records: Vec<(&Message, LineRecord)> = lines.iter().map(|line| (line, record(line))).collect();
    let read = Read { tx, session_id };
    let (hooks, moved) = read.hooks(&records).await?;
    let mut answered = answered(&records, &hooks);
    answered.extend(moved);
    Ok(DerivedEvents {
        results: results(&records),
        answered,
        hooks,
        files: read.files(&records).await?,
        todos: read.todos(&records).await?,
    })
}

/// The lines that may have derived events, in order. Other lines are not opened.
async fn lines(tx: &ScopedTx, session_id: &SessionId, from: i64, to: i64) -> Result<Vec<Message>, DbError> {
    let without: Vec<String> = WITHOUT_EVENTS.iter().map(|kind| kind.code().to_string()).collect();
    let condition = format!(
        "messages.team = $1 AND messages.session = (SELECT number FROM sessions WHERE team = $1 AND session_id = $2) \
         AND messages.ordinal >= $3 AND messages.ordinal < $4 AND messages.kind NOT IN ({}) \
         AND (messages.kind <> {} OR messages.tool_name IS NOT NULL)",
        without.join(", "),
        MessageKind::Assistant.code()
    );
    let values = vec![tx.team(), session_id.as_str().into(), from.into(), to.into()];
    let mut lines = messages::whole(tx, &condition, values).await?;
    // By the names of files: their numbers follow from the order in which they arrived.
    lines.sort_by_cached_key(Message::cursor);
    Ok(lines)
}

fn record(message: &Message) -> LineRecord {
    // A line whose content is not available has no events.
    let body = message.body.as_deref().unwrap_or_default();
    let (session_id, transcript) = (message.key.session_id.as_str(), message.key.transcript.as_str());
    project_record(session_id, transcript, body, message.part)
}

/// The ordinal of the result of each run that has one, in the order of the runs.
fn results_by_run<'e>(events: impl IntoIterator<Item = &'e HookEvent>) -> Vec<(&'e str, i64)> {
    let pairs = hooks::pair(events).into_iter();
    pairs.filter_map(|(run, result)| Some((run.hook.run_id.as_deref()?, result.ordinal))).collect()
}

fn results(records: &[(&Message, LineRecord)]) -> Vec<DerivedResult> {
    let results = records.iter().flat_map(|(_, record)| &record.results);
    let of_calls = results.filter(|result| result.kind != ResultKind::Hook);
    of_calls
        .filter_map(|result| {
            Some(DerivedResult {
                call_id: result.call_id.clone()?,
                kind: result.kind,
                success: result.success,
                duration_ms: result.duration_ms,
            })
        })
        .collect()
}

/// `hooks` are those of `records`, in their order.
fn answered(records: &[(&Message, LineRecord)], hooks: &[DerivedHook]) -> Vec<AnsweredCall> {
    let mut hooks = hooks.iter();
    let mut answered = Vec::new();
    for (message, record) in records {
        let of_calls = record.results.iter().filter(|result| result.kind != ResultKind::Hook);
        answered.extend(of_calls.filter_map(|result| {
            let call_id = result.call_id.clone()?;
            Some(AnsweredCall { kind: result.kind, call_id, result: Some(message.cursor()) })
        }));
        if record.hook.is_some()
            && let Some(hook) = hooks.next()
            && !hook.is_run
            && let Some(run_id) = &hook.run_id
        {
            answered.push(AnsweredCall { kind: ResultKind::Hook, call_id: run_id.clone(), result: None });
        }
    }
    answered
}

#[derive(FromQueryResult)]
struct ToolName {
    tool_name: String,
}

struct Read<'a> {
    tx: &'a ScopedTx,
    session_id: &'a SessionId,
}

impl Read<'_> {
    /// The hooks of the lines, and the runs whose result is another one because of these lines.
    async fn hooks(
        &self,
        records: &[(&Message, LineRecord)],
    ) -> Result<(Vec<DerivedHook>, Vec<AnsweredCall>), DbError> {
        let mut hooks: Vec<(&Message, DerivedHook)> = records
            .iter()
            .filter_map(|(message, record)| {
                let hook = record.hook.as_ref()?;
                let event = DerivedHook {
                    kind: record.kind,
                    run_id: hook.run_id.clone(),
                    hook: hook.hook_name.clone().or_else(|| record.subtype.clone()),
                    plugin: hook.plugin.clone(),
                    is_run: hook.is_run,
                    success: hook.success,
                    duration_ms: hook.duration_ms,
                };
                Some((*message, event))
            })
            .collect();
        let unnamed = |hook: &DerivedHook| hook.kind == MessageKind::HookResult && hook.run_id.is_none();
        let mut moved = Vec::new();
        let can_move = |hook: &DerivedHook| hook.is_run || hook.kind == MessageKind::HookResult;
        // Results that name no run belong to runs that follow from the session's other hooks.
        if hooks.iter().any(|(_, hook)| can_move(hook)) && self.has_unnamed_results().await? {
            let events = hooks::runs_and_results(self.tx, std::slice::from_ref(self.session_id)).await?;
            let lines: HashSet<_> = records.iter().map(|(message, _)| message.ordinal).collect();
            let earlier = events.iter().filter(|event| !lines.contains(&event.ordinal));
            let (before, now) = (results_by_run(earlier), results_by_run(&events));
            let had: HashMap<_, _> = before.iter().copied().collect();
            let has: HashMap<_, _> = now.iter().copied().collect();
            let gained = now.iter().filter(|(run_id, result)| had.get(run_id) != Some(result));
            let lost = before.iter().filter(|(run_id, _)| !has.contains_key(run_id));
            moved.extend(gained.chain(lost).map(|(run_id, _)| (*run_id).to_owned()));
            let by_result: HashMap<_, _> = now.into_iter().map(|(run_id, result)| (result, run_id)).collect();
            for (message, hook) in hooks.iter_mut().filter(|(_, hook)| unnamed(hook)) {
                hook.run_id = by_result.get(&message.ordinal).map(|run_id| (*run_id).to_owned());
            }
        }
        let run = |call_id| AnsweredCall { kind: ResultKind::Hook, call_id, result: None };
        Ok((hooks.into_iter().map(|(_, hook)| hook).collect(), moved.into_iter().map(run).collect()))
    }

    async fn has_unnamed_results(&self) -> Result<bool, DbError> {
        let sql = "SELECT r.ordinal FROM sessions s JOIN tool_results r ON r.team = s.team AND r.session = s.number \
                   WHERE s.team = $1 AND s.session_id = $2 AND r.kind = $3 LIMIT 1";
        let kind = RowKind::ResultByHookName.code().into();
        let values = [self.tx.team(), self.session_id.as_str().into(), kind];
        Ok(!self.tx.rows(sql, values).await?.is_empty())
    }

    async fn files(
        &self,
        records: &[(&Message, LineRecord)],
    ) -> Result<Option<(String, SessionCounts)>, DbError> {
        let failed = failed_calls(records);
        let changes = records.iter().flat_map(|(_, record)| &record.file_changes);
        let mut tool = changes
            .filter(|change| !failed.contains(change.call_id.as_str()))
            .map(|c| c.tool_name.clone())
            .next_back();
        // A result may report that the call of an earlier change failed.
        if tool.is_none() && !failed.is_empty() {
            let dialect = self.tx.dialect();
            let sql = format!(
                "SELECT c.tool_name FROM sessions s JOIN file_changes c ON c.team = s.team AND c.session = s.number \
                 JOIN transcripts f ON f.team = c.team AND f.session = c.session AND f.number = c.transcript \
                 WHERE s.team = $1 AND s.session_id = $2 AND {} \
                 ORDER BY c.at DESC, f.name DESC, c.line DESC, c.ordinal DESC, c.n DESC LIMIT 1",
                dialect.is_any_bytes("c.call", 3)
            );
            let own: BTreeSet<&str> = records
                .iter()
                .flat_map(|(_, record)| &record.file_changes)
                .map(|change| change.call_id.as_str())
                .collect();
            let earlier = failed.difference(&own).map(|call_id| call_key(call_id));
            let values = [self.tx.team(), self.session_id.as_str().into(), dialect.byte_list(earlier)];
            tool = self.tx.one::<ToolName, _>(&sql, values).await?.map(|row| row.tool_name);
        }
        let Some(tool) = tool else { return Ok(None) };
        let sessions = std::slice::from_ref(self.session_id);
        let counts = usage::counts_by_sessions(self.tx, sessions).await?;
        Ok(counts.into_iter().next().map(|(_, counts)| (tool, counts)))
    }

    async fn todos(&self, records: &[(&Message, LineRecord)]) -> Result<Option<TodoCounts>, DbError> {
        if !records.iter().any(|(_, record)| record.todos.is_some()) {
            return Ok(None);
        }
        let sessions = std::slice::from_ref(self.session_id);
        let counts = todos::counts_by_sessions(self.tx, sessions).await?;
        Ok(counts.into_iter().next().map(|(_, counts)| counts))
    }
}

/// The calls that failed, according to their results.
fn failed_calls<'r>(records: &'r [(&Message, LineRecord)]) -> BTreeSet<&'r str> {
    let results = records.iter().flat_map(|(_, record)| &record.results);
    let failed = results.filter(|result| result.kind != ResultKind::Hook && result.success == Some(false));
    failed.filter_map(|result| result.call_id.as_deref()).collect()
}
