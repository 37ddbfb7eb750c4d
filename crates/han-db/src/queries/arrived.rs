//! What came to a session with one change, besides the messages of its list: results, hooks, file changes, to-do
//! lists. It is read from the lines themselves, which the change names by their ordinals.

use std::collections::{BTreeMap, BTreeSet};

use han_transcript::MessageKind;
use han_transcript::fold::{LinePosition, pair_hooks};
use han_transcript::record::{LineContext, LineRecord, ResultKind, project};
use han_types::{SessionId, Timestamp};
use sea_orm::FromQueryResult;

use crate::entities::{Message, SessionCounts, TodoCounts};
use crate::queries::calls::AnsweredCall;
use crate::queries::{hooks, messages, todos, usage};
use crate::{DbError, ScopedTx};

/// What came with one change, each sort in the order of its lines.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// Results of tool, MCP and exposed calls.
    pub results: Vec<ArrivedResult>,
    /// Hooks that began or ended.
    pub hooks: Vec<ArrivedHook>,
    /// The calls and hook runs that the results answer, in the order of the results' lines.
    pub answered: Vec<AnsweredCall>,
    /// The tool of the last line that changed the list of file changes, and the session's counters as they are now.
    pub files: Option<(String, SessionCounts)>,
    /// Where the to-dos stand now, if one of the lines writes them.
    pub todos: Option<TodoCounts>,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedResult {
    /// The call.
    pub call_id: String,
    /// What sort of call.
    pub kind: ResultKind,
    /// Whether it went well, where the result says so.
    pub success: Option<bool>,
    /// How long it took, in milliseconds, where the result says so.
    pub duration_ms: Option<i64>,
}

/// A hook that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedHook {
    /// What its line is.
    pub kind: MessageKind,
    /// The run: the one that began, or the one that a result answers.
    pub run_id: Option<String>,
    /// The hook's name.
    pub hook: Option<String>,
    /// The plugin it belongs to.
    pub plugin: Option<String>,
    /// Whether it began; otherwise it ended.
    pub is_run: bool,
    /// Whether it went well, where the line says so.
    pub success: Option<bool>,
    /// How long it took, in milliseconds, where the line says so.
    pub duration_ms: Option<i64>,
}

/// What the lines that a session took in from ordinal `from` up to, not including, `to` tell.
///
/// # Errors
/// Where a line cannot be opened, or they are more than the transaction may open.
pub async fn between(tx: &ScopedTx, session_id: &SessionId, from: i64, to: i64) -> Result<Arrived, DbError> {
    let lines = lines(tx, session_id, from, to).await?;
    let records: Vec<(&Message, LineRecord)> = lines.iter().map(|line| (line, record(line))).collect();
    let read = Read { tx, session_id };
    let hooks = read.hooks(&records).await?;
    Ok(Arrived {
        results: results(&records),
        answered: answered(&records, &hooks),
        hooks,
        files: read.files(&records).await?,
        todos: read.todos(&records).await?,
    })
}

/// The lines that may tell something of the sort; of the rest nothing is opened.
async fn lines(tx: &ScopedTx, session_id: &SessionId, from: i64, to: i64) -> Result<Vec<Message>, DbError> {
    let condition = "messages.team_id = $1 AND messages.session_id = $2 AND messages.ordinal >= $3 \
         AND messages.ordinal < $4 \
         AND messages.kind NOT IN ('SystemMessage', 'SummaryMessage', 'FileHistorySnapshotMessage', \
           'QueueOperationMessage', 'UnknownEventMessage') \
         AND (messages.kind <> 'AssistantMessage' OR messages.tool_name IS NOT NULL)";
    let values = vec![tx.team(), session_id.as_str().into(), from.into(), to.into()];
    messages::whole(tx, condition, values).await
}

fn record(message: &Message) -> LineRecord {
    let at = LineContext {
        session_id: message.key.session_id.as_str(),
        transcript: message.key.transcript.as_str(),
    };
    // A line that cannot be opened tells of nothing.
    project(message.body.as_deref().unwrap_or_default(), &at)
}

fn place(message: &Message) -> LinePosition {
    LinePosition {
        time: Timestamp(message.at),
        transcript: message.key.transcript.to_string(),
        line: u64::try_from(message.line).unwrap_or_default(),
    }
}

fn results(records: &[(&Message, LineRecord)]) -> Vec<ArrivedResult> {
    let results = records.iter().flat_map(|(_, record)| &record.results);
    let of_calls = results.filter(|result| result.kind != ResultKind::Hook);
    of_calls
        .filter_map(|result| {
            Some(ArrivedResult {
                call_id: result.call_id.clone()?,
                kind: result.kind,
                success: result.success,
                duration_ms: result.duration_ms,
            })
        })
        .collect()
}

/// `hooks` are those of `records`, in their order.
fn answered(records: &[(&Message, LineRecord)], hooks: &[ArrivedHook]) -> Vec<AnsweredCall> {
    let mut hooks = hooks.iter();
    let mut answered = Vec::new();
    for (_, record) in records {
        let of_calls = record.results.iter().filter(|result| result.kind != ResultKind::Hook);
        answered.extend(
            of_calls.filter_map(|result| {
                Some(AnsweredCall { kind: result.kind, call_id: result.call_id.clone()? })
            }),
        );
        if record.hook.is_some()
            && let Some(hook) = hooks.next()
            && !hook.is_run
            && let Some(run_id) = &hook.run_id
        {
            answered.push(AnsweredCall { kind: ResultKind::Hook, call_id: run_id.clone() });
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
    async fn hooks(&self, records: &[(&Message, LineRecord)]) -> Result<Vec<ArrivedHook>, DbError> {
        let mut hooks: Vec<(LinePosition, ArrivedHook)> = records
            .iter()
            .filter_map(|(message, record)| {
                let hook = record.hook.as_ref()?;
                let arrived = ArrivedHook {
                    kind: record.kind,
                    run_id: hook.run_id.clone(),
                    hook: hook.hook_name.clone().or_else(|| record.subtype.clone()),
                    plugin: hook.plugin.clone(),
                    is_run: hook.is_run,
                    success: hook.success,
                    duration_ms: hook.duration_ms,
                };
                Some((place(message), arrived))
            })
            .collect();
        let unnamed = |hook: &ArrivedHook| hook.kind == MessageKind::HookResult && hook.run_id.is_none();
        if hooks.iter().any(|(_, hook)| unnamed(hook)) {
            // Which run such a result answers, only the session's other hooks tell.
            let runs = self.runs().await?;
            for (place, hook) in &mut hooks {
                if unnamed(hook) {
                    hook.run_id = runs.get(place).cloned();
                }
            }
        }
        Ok(hooks.into_iter().map(|(_, hook)| hook).collect())
    }

    /// The runs that the session's results answer, by where the results stand.
    async fn runs(&self) -> Result<BTreeMap<LinePosition, String>, DbError> {
        let sessions = std::slice::from_ref(self.session_id);
        let events = hooks::by_sessions(self.tx, sessions).await?;
        let events: Vec<_> = events.into_iter().map(|event| (event.place, event.hook)).collect();
        let pairs = pair_hooks(&events).into_iter();
        Ok(pairs.filter_map(|pair| Some((pair.outcome?.0, pair.run?.1.run_id?))).collect())
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
        // A result may say that a change which came earlier did not happen.
        if tool.is_none() && !failed.is_empty() {
            let dialect = self.tx.dialect();
            let sql = format!(
                "SELECT tool_name FROM file_changes WHERE team_id = $1 AND session_id = $2 AND {} \
                 ORDER BY at DESC, transcript DESC, line DESC, n DESC LIMIT 1",
                dialect.is_any("call_id", 3)
            );
            let own: BTreeSet<&str> = records
                .iter()
                .flat_map(|(_, record)| &record.file_changes)
                .map(|change| change.call_id.as_str())
                .collect();
            let values =
                [self.tx.team(), self.session_id.as_str().into(), dialect.list(failed.difference(&own))];
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

/// The calls whose results say that they failed.
fn failed_calls<'r>(records: &'r [(&Message, LineRecord)]) -> BTreeSet<&'r str> {
    let results = records.iter().flat_map(|(_, record)| &record.results);
    let failed = results.filter(|result| result.kind != ResultKind::Hook && result.success == Some(false));
    failed.filter_map(|result| result.call_id.as_deref()).collect()
}
