//! Writes the data that is derived from lines: results, file changes, hook executions, to-dos, sentiments, and the
//! delta of the rollups. Batches in any order give the same result as one batch, and so do the files of a session in any
//! order. Where two lines compete, their places decide, by the file's name: numbers of files depend on the order of
//! arrival.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use han_crypto::FieldContext;
use han_transcript::record::{
    FileAction, FileChangeRecord, LineRecord, ResultKind, SentimentRecord, TimeSource, TodoStatus,
};
use sea_orm::{FromQueryResult, Value};

use super::answers::Answers;
use super::grain::quarter_of;
use super::rollup_delta::{CONTINUATION, Counts, Kind, RollupDelta};
use crate::bulk_insert::{BulkInsert, Column};
use crate::entities::{MessagePosition, Origin};
use crate::keys::TeamKeys;
use crate::line_id::{LineId, call_key};
use crate::prices::Prices;
use crate::queries::call_pairs::{Place, PlacedCall, pair};
use crate::queries::tool_results::RowKind;
use crate::{DbError, ScopedTx};

/// A line that was not stored before.
#[derive(Clone, Copy)]
pub(crate) struct NewLine<'a> {
    pub record: &'a LineRecord,
    /// The entry of the log that holds it.
    pub ordinal: i64,
    /// The name of its file, and the number by which rows name the file.
    pub transcript: &'a str,
    pub transcript_number: i64,
    pub line: i64,
    pub at: i64,
    pub place: MessagePosition,
    /// Whether its line is damaged, unless another record of the line says so.
    pub damaged: bool,
}

impl NewLine<'_> {
    /// The quarter-hour in which it counts.
    pub(super) fn quarter(&self) -> i64 {
        quarter_of(self.at)
    }

    /// The row id of the `n`th value derived from this line.
    pub(super) fn row_id(&self, session: &str, n: usize) -> String {
        numbered_row_id(session, self.ordinal, n as i64)
    }
}

/// The row id in the AAD of a sealed column of a value that is derived from a line. `session` is the session's text id.
pub(crate) fn numbered_row_id(session: &str, ordinal: i64, n: i64) -> String {
    format!("{session}/{ordinal}/{n}")
}

/// The columns that name a line and its place in the order of its session.
pub(super) fn line_columns<'b, 'a: 'b>(
    lines: impl Iterator<Item = &'b NewLine<'a>> + Clone,
) -> Vec<Column<'static>> {
    let ints = |value: fn(&NewLine<'_>) -> i64| -> Vec<i64> { lines.clone().map(value).collect() };
    vec![
        Column::Int("ordinal", ints(|line| line.ordinal)),
        Column::Int("at", ints(|line| line.at)),
        Column::Int("transcript", ints(|line| line.transcript_number)),
        Column::Int("line", ints(|line| line.line)),
    ]
}

/// The context of a file change's path.
pub(crate) fn path_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "file_changes", row_id, column: "path" }
}

/// The context of a session's to-dos.
pub(crate) fn todos_context(session: &str) -> FieldContext<'_> {
    FieldContext { table: "todos", row_id: session, column: "items" }
}

/// The context of the signals of a sentiment.
pub(crate) fn signals_context(row_id: &str) -> FieldContext<'_> {
    FieldContext { table: "sentiments", row_id, column: "signals" }
}

/// The context of a label's text.
pub(crate) fn label_context(id: &str) -> FieldContext<'_> {
    FieldContext { table: "labels", row_id: id, column: "label" }
}

/// Derives the lines of one session, whose row is locked.
pub(crate) struct Derive<'a> {
    pub tx: &'a ScopedTx,
    pub keys: &'a Arc<TeamKeys>,
    pub seals: bool,
    /// The session's text id, for the AAD of sealed columns.
    pub session: &'a str,
    /// The session's number, by which rows name it.
    pub number: i64,
    /// The session's origin, which decides between copies of an answer.
    pub origin: Origin,
    /// What the transaction does to the answers of other sessions.
    pub answers: &'a Answers,
    /// The prices of answers.
    pub prices: &'a Prices,
}

/// A row's key in `tool_results`, within its session: kind, call, ordinal of the line.
type ResultKey = (RowKind, [u8; 16], i64);

/// What a result says, where known.
#[derive(Default)]
struct ResultColumns<'a> {
    success: Option<bool>,
    duration_ms: Option<i64>,
    agent_id: Option<&'a str>,
    file_action: Option<FileAction>,
    /// Of a call: the answer that makes it.
    answer: Option<i64>,
}

/// The outcome of a call, from its results.
#[derive(Clone, Copy, Default)]
pub(super) struct CallOutcome {
    pub failed: bool,
    action: Option<FileAction>,
}

/// The outcomes of calls.
#[derive(Default)]
pub(super) struct Outcomes {
    /// By [`call_key`], and by the ordinal of the call's line if several calls have the same id.
    of_calls: HashMap<(Vec<u8>, Option<i64>), CallOutcome>,
    /// Ids that several calls have. For each line of such a call or of its result, the ordinal of the call's line.
    repeated: HashMap<Vec<u8>, BTreeMap<i64, i64>>,
}

impl Outcomes {
    /// The outcome of the call to which something at the line with this ordinal belongs.
    pub(super) fn of(&self, call: &[u8], ordinal: i64) -> CallOutcome {
        let key = (call.to_vec(), self.repeated_call(call, ordinal));
        self.of_calls.get(&key).copied().unwrap_or_default()
    }

    /// If several calls have the id: the ordinal of the line of the call to which something belongs that is at the line with
    /// this ordinal, the line of a call or of a result.
    pub(super) fn repeated_call(&self, call: &[u8], ordinal: i64) -> Option<i64> {
        let calls = self.repeated.get(call)?;
        Some(calls.get(&ordinal).copied().unwrap_or(ordinal))
    }
}

#[derive(FromQueryResult)]
struct OutcomeRow {
    kind: i16,
    call: Vec<u8>,
    ordinal: i32,
    success: Option<i16>,
    file_action: Option<String>,
    answer: Option<i32>,
}

#[derive(FromQueryResult)]
struct PlaceRow {
    ordinal: i32,
    at: i64,
    transcript: String,
    line: i32,
    part: i16,
}

/// What becomes of changes: whether they failed, their action if it is corrected, and the ordinal of their line.
type Correction<'a> = (bool, Option<&'a str>, i32);

#[derive(FromQueryResult)]
struct StoredChange {
    call: Vec<u8>,
    ordinal: i32,
    at: i64,
    action: String,
    failed: bool,
    lines_added: i64,
    lines_removed: i64,
}

impl Derive<'_> {
    /// Writes the data derived from `new`; returns the delta of the rollups. `started_at` is the time of the session's
    /// earliest line so far.
    pub(crate) async fn run(
        &self,
        new: &[NewLine<'_>],
        started_at: Option<i64>,
    ) -> Result<RollupDelta, DbError> {
        let mut delta = RollupDelta::default();
        if new.is_empty() {
            return Ok(delta);
        }
        self.leaves(new).await?;
        self.results(new).await?;
        self.sidechains(new).await?;
        self.usage(new, &mut delta).await?;
        self.file_changes(new, &mut delta).await?;
        self.tasks(new, &mut delta).await?;
        self.hooks(new, &mut delta).await?;
        self.subagents(new, &mut delta).await?;
        self.sentiments(new, &mut delta).await?;
        self.todos(new).await?;
        count_lines(new, &mut delta);
        move_start(new, started_at, &mut delta);
        Ok(delta)
    }

    pub(crate) fn constants(&self) -> Vec<(&'static str, Value)> {
        vec![("team", self.tx.team()), ("session", self.number.into())]
    }

    pub(super) fn seal(&self, context: FieldContext<'_>, text: &str) -> Result<(String, bool), DbError> {
        Ok(self.keys.seal(self.seals, context, text, self.tx.entropy())?)
    }

    /// Stores which lines summaries name, because these may arrive later.
    async fn leaves(&self, new: &[NewLine<'_>]) -> Result<(), DbError> {
        let leaf = |line: &NewLine<'_>| match &line.record.time {
            TimeSource::Leaf(uuid) => Some((line.transcript_number, LineId::of(uuid).bytes, line.ordinal)),
            _ => None,
        };
        let leaves: Vec<(i64, [u8; 16], i64)> = new.iter().filter_map(leaf).collect();
        if leaves.is_empty() {
            return Ok(());
        }
        let insert = BulkInsert {
            table: "summary_leaves",
            constants: self.constants(),
            columns: vec![
                Column::Int("transcript", leaves.iter().map(|leaf| leaf.0).collect()),
                Column::Key("leaf", leaves.iter().map(|leaf| leaf.1).collect()),
                Column::Int("ordinal", leaves.iter().map(|leaf| leaf.2).collect()),
            ],
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        let dialect = self.tx.dialect();
        let sql = format!(
            "UPDATE transcripts SET has_leaves = true WHERE team = $1 AND session = $2 AND {}",
            dialect.is_any("number", 3)
        );
        let files: BTreeSet<i64> = leaves.iter().map(|leaf| leaf.0).collect();
        self.tx.execute(&sql, [self.tx.team(), self.number.into(), dialect.number_list(files)]).await?;
        Ok(())
    }

    /// Stores results and calls under the ids of the calls, and the subagents that calls started.
    async fn results(&self, new: &[NewLine<'_>]) -> Result<(), DbError> {
        // A line may answer a call twice, but its row exists once: the later answer counts.
        let mut rows: BTreeMap<ResultKey, ResultColumns<'_>> = BTreeMap::new();
        let mut starts: BTreeSet<([u8; 16], &str)> = BTreeSet::new();
        for line in new {
            let record = line.record;
            for result in &record.results {
                let hook = record.hook.as_ref().and_then(|hook| hook.hook_name.as_deref());
                let (kind, call) = match (&result.call_id, hook) {
                    (Some(id), _) => (RowKind::of_result(result.kind), call_key(id)),
                    // The name of a hook is content: its label's id is a keyed hash.
                    (None, Some(hook)) => (RowKind::ResultByHookName, call_key(&self.keys.label_id(hook))),
                    (None, None) => continue,
                };
                let row = rows.entry((kind, call, line.ordinal)).or_default();
                row.success = result.success;
                row.duration_ms = result.duration_ms;
                row.file_action = result.file_action;
                if let Some(agent) = &result.starts_agent {
                    row.agent_id = Some(agent);
                }
            }
            for (kind, call_id) in record.calls() {
                if let Some(kind) = RowKind::of_call(kind) {
                    let row = rows.entry((kind, call_key(call_id), line.ordinal)).or_default();
                    row.answer = record.answer.map(i64::from);
                }
            }
            if let Some(start) = &record.agent_start {
                starts.insert((call_key(&start.call_id), &start.agent_id));
            }
        }
        let insert = BulkInsert {
            table: "tool_results",
            constants: self.constants(),
            columns: vec![
                Column::Int("kind", rows.keys().map(|key| key.0.code()).collect()),
                Column::Key("call", rows.keys().map(|key| key.1).collect()),
                Column::Int("ordinal", rows.keys().map(|key| key.2).collect()),
                Column::NullableInt("success", flags(rows.values().map(|row| row.success))),
                Column::NullableInt("duration_ms", rows.values().map(|row| row.duration_ms).collect()),
                Column::NullableStr("agent_id", rows.values().map(|row| row.agent_id).collect()),
                Column::NullableStr(
                    "file_action",
                    rows.values().map(|row| row.file_action.map(FileAction::as_str)).collect(),
                ),
                Column::NullableInt("answer", rows.values().map(|row| row.answer).collect()),
            ],
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        let insert = BulkInsert {
            table: "subagent_starts",
            constants: self.constants(),
            columns: vec![
                Column::Key("call", starts.iter().map(|start| start.0).collect()),
                Column::Str("agent_id", starts.iter().map(|start| start.1).collect()),
            ],
            // Each progress line of a subagent names its start again.
            on_conflict: "(team, session, call, agent_id) DO NOTHING",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// The outcomes of tool calls, from the stored results.
    pub(super) async fn outcomes(&self, calls: &BTreeSet<Vec<u8>>) -> Result<Outcomes, DbError> {
        let mut outcomes = Outcomes::default();
        if calls.is_empty() {
            return Ok(outcomes);
        }
        let dialect = self.tx.dialect();
        let kinds = [ResultKind::Tool, ResultKind::Mcp, ResultKind::Exposed];
        let call_kinds: Vec<i64> =
            kinds.into_iter().filter_map(RowKind::of_call).map(RowKind::code).collect();
        let result_kinds = kinds.map(|kind| RowKind::of_result(kind).code());
        let sql = dialect.find_each(
            &[dialect.numbers_from("kinds", 3), dialect.bytes_from("calls", 4)],
            "tool_results",
            "kind, call, ordinal, success, file_action, answer",
            "team = $1 AND session = $2 AND kind = kinds.n AND call = calls.key",
        );
        let values = [
            self.tx.team(),
            self.number.into(),
            dialect.number_list(result_kinds.into_iter().chain(call_kinds.iter().copied())),
            dialect.byte_list(calls),
        ];
        let mut made: HashMap<Vec<u8>, BTreeMap<i64, Option<i32>>> = HashMap::new();
        let mut answers = Vec::new();
        for row in self.tx.all::<OutcomeRow, _>(&sql, values).await? {
            if call_kinds.contains(&row.kind.into()) {
                made.entry(row.call).or_default().insert(row.ordinal.into(), row.answer);
            } else {
                answers.push(row);
            }
        }
        // Only where several calls have one id, their places matter.
        made.retain(|_, ordinals| ordinals.len() > 1);
        let mut results: HashMap<&[u8], Vec<i64>> = HashMap::new();
        for row in answers.iter().filter(|row| made.contains_key(&row.call)) {
            results.entry(&row.call).or_default().push(row.ordinal.into());
        }
        let of_results = results.values().flatten().copied();
        let places =
            self.places(of_results.chain(made.values().flat_map(BTreeMap::keys).copied()).collect()).await?;
        for (call, ordinals) in &made {
            let mut lines: BTreeMap<i64, i64> = ordinals.keys().map(|ordinal| (*ordinal, *ordinal)).collect();
            let placed = |ordinal: &i64| Some((*ordinal, places.get(ordinal)?.clone()));
            let (of_calls, calls): (Vec<i64>, Vec<PlacedCall<String>>) = ordinals
                .iter()
                .filter_map(|(ordinal, answer)| {
                    let (ordinal, place) = placed(ordinal)?;
                    Some((ordinal, PlacedCall { place, answer: *answer }))
                })
                .unzip();
            let of_id = results.get(&call[..]).map(Vec::as_slice).unwrap_or_default();
            let (of_results, results): (Vec<i64>, Vec<Place<String>>) =
                of_id.iter().filter_map(placed).unzip();
            let answered = of_results.into_iter().zip(pair(&calls, &results));
            lines.extend(answered.filter_map(|(result, index)| Some((result, of_calls[index?]))));
            outcomes.repeated.insert(call.clone(), lines);
        }
        for row in answers {
            let of_call =
                outcomes.repeated.get(&row.call).and_then(|lines| lines.get(&row.ordinal.into())).copied();
            let outcome = outcomes.of_calls.entry((row.call, of_call)).or_default();
            outcome.failed |= row.success == Some(0);
            // A call has one result. If a hostile file has two, their order must not matter.
            outcome.action = outcome.action.max(row.file_action.and_then(|action| action.parse().ok()));
        }
        Ok(outcomes)
    }

    /// The places of messages, by their ordinals.
    async fn places(&self, ordinals: BTreeSet<i64>) -> Result<HashMap<i64, Place<String>>, DbError> {
        if ordinals.is_empty() {
            return Ok(HashMap::new());
        }
        let dialect = self.tx.dialect();
        let rows = dialect.joined_each(
            &dialect.numbers_from("wanted", 3),
            "messages",
            "m",
            "m.team = $1 AND m.session = $2 AND m.ordinal = wanted.n",
        );
        // By the names of files: their numbers depend on the order of arrival.
        let sql = format!(
            "SELECT m.ordinal, m.at, f.name AS transcript, m.line, m.part FROM {rows} \
             JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript"
        );
        let values = [self.tx.team(), self.number.into(), dialect.number_list(ordinals)];
        let rows: Vec<PlaceRow> = self.tx.all(&sql, values).await?;
        let place = |row: PlaceRow| {
            let line = (row.line.into(), row.part.into());
            (i64::from(row.ordinal), Place { at: row.at, file: row.transcript, line })
        };
        Ok(rows.into_iter().map(place).collect())
    }

    /// A change counts unless the result of its call failed, in whichever order the two arrive.
    async fn file_changes(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let fresh: Vec<(&NewLine<'_>, usize, &FileChangeRecord)> = new
            .iter()
            .flat_map(|line| {
                line.record.file_changes.iter().enumerate().map(move |(n, change)| (line, n, change))
            })
            .collect();
        // A result, or a call with an id that others have, may also change which calls the other results answer.
        let answered = tool_results(new).map(|(call_id, _)| call_key(call_id));
        let affected = answered.chain(fresh.iter().map(|(.., change)| call_key(&change.call_id)));
        let stored = self.stored_changes(&affected.collect()).await?;
        if fresh.is_empty() && stored.is_empty() {
            return Ok(());
        }
        let calls = fresh.iter().map(|(.., change)| call_key(&change.call_id).to_vec());
        let calls = calls.chain(stored.iter().map(|change| change.call.clone())).collect();
        let outcomes = self.outcomes(&calls).await?;
        self.correct_changes(&stored, &outcomes, delta).await?;
        self.insert_changes(&fresh, &outcomes, delta).await
    }

    async fn stored_changes(&self, calls: &BTreeSet<[u8; 16]>) -> Result<Vec<StoredChange>, DbError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.tx.dialect();
        let sql = format!(
            "SELECT call, ordinal, at, action, failed, lines_added, lines_removed FROM file_changes \
             WHERE team = $1 AND session = $2 AND {}",
            dialect.is_any_bytes("call", 3)
        );
        self.tx.all(&sql, [self.tx.team(), self.number.into(), dialect.byte_list(calls)]).await
    }

    /// Corrects stored changes with the results that arrived after them.
    async fn correct_changes(
        &self,
        stored: &[StoredChange],
        outcomes: &Outcomes,
        delta: &mut RollupDelta,
    ) -> Result<(), DbError> {
        let mut corrections: BTreeMap<Correction<'_>, BTreeSet<&[u8]>> = BTreeMap::new();
        for change in stored {
            let outcome = outcomes.of(&change.call, change.ordinal.into());
            let action = outcome.action.map(FileAction::as_str);
            if outcome.failed != change.failed || action.is_some_and(|action| action != change.action) {
                corrections.entry((outcome.failed, action, change.ordinal)).or_default().insert(&change.call);
            }
            let counted = changed_file(change.lines_added, change.lines_removed);
            let quarter = quarter_of(change.at);
            match (change.failed, outcome.failed) {
                (false, true) => delta.count(quarter, Kind::File, "", -1, &counted),
                (true, false) => delta.count(quarter, Kind::File, "", 1, &counted),
                _ => {}
            }
        }
        let dialect = self.tx.dialect();
        for ((failed, action, ordinal), calls) in corrections {
            let sql = format!(
                "UPDATE file_changes SET failed = $3, action = COALESCE($4, action) \
                 WHERE team = $1 AND session = $2 AND ordinal = $6 AND {}",
                dialect.is_any_bytes("call", 5)
            );
            let values = [
                self.tx.team(),
                self.number.into(),
                failed.into(),
                action.map(str::to_owned).into(),
                dialect.byte_list(calls),
                i64::from(ordinal).into(),
            ];
            self.tx.execute(&sql, values).await?;
        }
        Ok(())
    }

    async fn insert_changes(
        &self,
        fresh: &[(&NewLine<'_>, usize, &FileChangeRecord)],
        outcomes: &Outcomes,
        delta: &mut RollupDelta,
    ) -> Result<(), DbError> {
        let (mut paths, mut sealed) = (Vec::new(), Vec::new());
        let (mut actions, mut failed) = (Vec::new(), Vec::new());
        for (line, n, change) in fresh {
            let outcome = outcomes.of(&call_key(&change.call_id), line.ordinal);
            if !outcome.failed {
                let counted = changed_file(change.lines_added, change.lines_removed);
                delta.count(line.quarter(), Kind::File, "", 1, &counted);
            }
            let (path, is_sealed) = self.seal(path_context(&line.row_id(self.session, *n)), &change.path)?;
            paths.push(path);
            sealed.push(is_sealed);
            actions.push(outcome.action.unwrap_or(change.action).as_str());
            failed.push(outcome.failed);
        }
        let changes = || fresh.iter().map(|(.., change)| *change);
        let mut columns = line_columns(fresh.iter().map(|(line, ..)| *line));
        columns.extend([
            Column::Int("n", fresh.iter().map(|(_, n, _)| *n as i64).collect()),
            Column::Key("call", changes().map(|change| call_key(&change.call_id)).collect()),
            Column::Str("tool_name", changes().map(|change| change.tool_name.as_str()).collect()),
            Column::Str("action", actions),
            Column::Bool("failed", failed),
            Column::Int("lines_added", changes().map(|change| change.lines_added).collect()),
            Column::Int("lines_removed", changes().map(|change| change.lines_removed).collect()),
            Column::Bool("sealed", sealed),
            Column::Text("path", paths),
        ]);
        let insert = BulkInsert {
            table: "file_changes",
            constants: self.constants(),
            columns,
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// Hooks are stored line by line. Readers match results to runs.
    async fn hooks(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let hooks: Vec<_> =
            new.iter().filter_map(|line| line.record.hook.as_ref().map(|hook| (line, hook))).collect();
        if hooks.is_empty() {
            return Ok(());
        }
        let mut labels = BTreeMap::new();
        let mut label = |text: &str| -> String {
            let id = self.keys.label_id(text);
            labels.entry(id.clone()).or_insert_with(|| text.to_owned());
            id
        };
        let mut names = Vec::new();
        let mut others: [Vec<Option<String>>; 3] = Default::default();
        for (line, hook) in &hooks {
            // A hook without a name is named after its event.
            let event = line.record.subtype.as_deref();
            let name = label(hook.hook_name.as_deref().or(event).unwrap_or_default());
            if !hook.is_run {
                let counted = Counts {
                    passed: i64::from(hook.success == Some(true)),
                    failed: i64::from(hook.success == Some(false)),
                    ..Counts::one(hook.duration_ms)
                };
                delta.count(line.quarter(), Kind::Hook, &name, 1, &counted);
            }
            names.push(name);
            let optional = [&hook.plugin, &hook.hook_type, &hook.directory];
            for (column, text) in others.iter_mut().zip(optional) {
                column.push(text.as_deref().map(&mut label));
            }
        }
        self.labels(&labels).await?;
        let [plugins, types, directories] = others;
        let mut columns = line_columns(hooks.iter().map(|(line, _)| *line));
        columns.extend([
            Column::Bool("is_run", hooks.iter().map(|(_, h)| h.is_run).collect()),
            Column::NullableStr("run_id", hooks.iter().map(|(_, h)| h.run_id.as_deref()).collect()),
            Column::Text("hook", names),
            Column::NullableText("plugin", plugins),
            Column::NullableText("hook_type", types),
            Column::NullableText("directory", directories),
            Column::NullableInt("success", flags(hooks.iter().map(|(_, h)| h.success))),
            Column::NullableInt("duration_ms", hooks.iter().map(|(_, h)| h.duration_ms).collect()),
            Column::NullableInt("exit_code", hooks.iter().map(|(_, h)| h.exit_code).collect()),
            Column::NullableInt("cached", flags(hooks.iter().map(|(_, h)| h.cached))),
        ]);
        let insert = BulkInsert {
            table: "hook_executions",
            constants: self.constants(),
            columns,
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// Types of subagents are stored as labels, because teams choose their names.
    async fn subagents(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let mut labels = BTreeMap::new();
        for line in new {
            for name in &line.record.subagents {
                let key = if name.is_empty() { String::new() } else { self.keys.label_id(name) };
                delta.count(line.quarter(), Kind::Subagent, &key, 1, &Counts::one(None));
                if !name.is_empty() {
                    labels.insert(key, name.clone());
                }
            }
        }
        self.labels(&labels).await
    }

    /// Stores labels that are new.
    async fn labels(&self, labels: &BTreeMap<String, String>) -> Result<(), DbError> {
        let (mut texts, mut sealed) = (Vec::new(), Vec::new());
        for (id, text) in labels {
            let (stored, is_sealed) = self.seal(label_context(id), text)?;
            texts.push(stored);
            sealed.push(is_sealed);
        }
        let mut constants = self.constants();
        constants.pop();
        constants.push(("created_at", self.tx.clock().now().0.into()));
        let insert = BulkInsert {
            table: "labels",
            constants,
            columns: vec![
                Column::Str("id", labels.keys().map(String::as_str).collect()),
                Column::Bool("sealed", sealed),
                Column::Text("label", texts),
            ],
            // The id is a hash of the text, so that the texts are the same.
            on_conflict: "(team, id) DO NOTHING",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    async fn sentiments(&self, new: &[NewLine<'_>], delta: &mut RollupDelta) -> Result<(), DbError> {
        let lines = new.iter().filter_map(|line| Some((line, line.record.sentiment.as_ref()?)));
        let sentiments: Vec<_> = lines.collect();
        let (mut signals, mut sealed) = (Vec::new(), Vec::new());
        for (line, sentiment) in &sentiments {
            let score = sentiment.sentiment_score.map(thousandths);
            let counted = Counts {
                scored: i64::from(score.is_some()),
                score: score.unwrap_or_default(),
                ..Counts::one(None)
            };
            let level = known(sentiment.frustration_level.as_deref(), FRUSTRATION);
            delta.count(line.quarter(), Kind::Sentiment, level, 1, &counted);
            let json = serde_json::json!(sentiment.signals).to_string();
            let (stored, is_sealed) = self.seal(signals_context(&line.row_id(self.session, 0)), &json)?;
            signals.push(stored);
            sealed.push(is_sealed);
        }
        let scores = |value: fn(&SentimentRecord) -> Option<f64>| -> Vec<Option<i64>> {
            sentiments.iter().map(|(_, sentiment)| value(sentiment).map(thousandths)).collect()
        };
        let levels = |value: fn(&SentimentRecord) -> Option<&str>, words: &[&str]| -> Vec<Option<String>> {
            let level = |level| known(Some(level), words).to_owned();
            sentiments.iter().map(|(_, sentiment)| value(sentiment).map(level)).collect()
        };
        let mut columns = line_columns(sentiments.iter().map(|(line, _)| *line));
        columns.extend([
            Column::NullableText(
                "message_id",
                sentiments.iter().map(|(_, sentiment)| sentiment.message_id.clone()).collect(),
            ),
            Column::NullableInt("sentiment", scores(|sentiment| sentiment.sentiment_score)),
            Column::NullableInt("frustration", scores(|sentiment| sentiment.frustration_score)),
            Column::NullableText("sentiment_level", levels(|s| s.sentiment_level.as_deref(), SENTIMENT)),
            Column::NullableText(
                "frustration_level",
                levels(|s| s.frustration_level.as_deref(), FRUSTRATION),
            ),
            Column::Bool("sealed", sealed),
            Column::Text("signals", signals),
        ]);
        let insert = BulkInsert {
            table: "sentiments",
            constants: self.constants(),
            columns,
            // The key contains the line, which is new.
            on_conflict: "",
            returning: "",
        };
        insert.run(self.tx).await?;
        Ok(())
    }

    /// The latest list counts, by the position of its line and not by arrival. In a rewritten file, two lists may have
    /// one position: then the one that was written later counts, and the lines of one file arrive in that order.
    async fn todos<'a>(&self, new: &[NewLine<'a>]) -> Result<(), DbError> {
        let lists = new.iter().filter_map(|line| line.record.todos.as_ref().map(|todos| (line, todos)));
        let place = |line: &NewLine<'a>| (line.at, line.transcript, line.line, line.ordinal);
        let Some((line, todos)) = lists.max_by_key(|(line, _)| place(line)) else {
            return Ok(());
        };
        let (items, sealed) =
            self.seal(todos_context(self.session), &serde_json::json!(todos).to_string())?;
        let with = |status| todos.iter().filter(|todo| todo.status == status).count() as i64;
        self.tx
            .execute(
                "INSERT INTO todos (team, session, at, transcript, line, pending, in_progress, completed, sealed, items) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                 ON CONFLICT (team, session) DO UPDATE SET at = excluded.at, transcript = excluded.transcript, \
                   line = excluded.line, pending = excluded.pending, in_progress = excluded.in_progress, \
                   completed = excluded.completed, sealed = excluded.sealed, items = excluded.items \
                 WHERE (excluded.at, excluded.transcript, excluded.line) >= (todos.at, todos.transcript, todos.line)",
                [
                    self.tx.team(),
                    self.number.into(),
                    line.at.into(),
                    line.transcript.into(),
                    line.line.into(),
                    with(TodoStatus::Pending).into(),
                    with(TodoStatus::InProgress).into(),
                    with(TodoStatus::Completed).into(),
                    sealed.into(),
                    items.into(),
                ],
            )
            .await?;
        Ok(())
    }
}

/// The results of tool calls: the call, and whether it failed.
pub(super) fn tool_results<'a>(new: &'a [NewLine<'_>]) -> impl Iterator<Item = (&'a str, bool)> {
    let results = new.iter().flat_map(|line| &line.record.results);
    let results = results.filter(|result| result.kind != ResultKind::Hook);
    results.filter_map(|result| Some((result.call_id.as_deref()?, result.success == Some(false))))
}

fn changed_file(lines_added: i64, lines_removed: i64) -> Counts {
    Counts { lines_added, lines_removed, ..Counts::one(None) }
}

fn count_lines(new: &[NewLine<'_>], delta: &mut RollupDelta) {
    for line in new {
        let (quarter, record) = (line.quarter(), line.record);
        let row = delta.rollup(quarter, "");
        row.messages += i64::from(line.place == MessagePosition::List);
        row.turns += i64::from(record.turn);
        if line.damaged {
            delta.count(quarter, Kind::Damage, "", 1, &Counts::one(None));
        }
        for tool in &record.tool_uses {
            delta.count(quarter, Kind::Tool, &tool.name, 1, &Counts::one(None));
        }
        if let Some(compaction) = record.compaction {
            let key = if compaction.continuation { CONTINUATION } else { compaction.trigger.as_str() };
            delta.count(quarter, Kind::Compaction, key, 1, &Counts::one(None));
        }
    }
}

/// A session counts in the quarter-hour of its earliest line; an earlier line moves it to another one.
fn move_start(new: &[NewLine<'_>], started_at: Option<i64>, delta: &mut RollupDelta) {
    let Some(earliest) = new.iter().map(|line| line.at).min() else { return };
    if started_at.is_some_and(|at| at <= earliest) {
        return;
    }
    if let Some(at) = started_at {
        delta.rollup(quarter_of(at), "").sessions -= 1;
    }
    delta.rollup(quarter_of(earliest), "").sessions += 1;
}

const SENTIMENT: &[&str] = &["positive", "neutral", "negative"];
const FRUSTRATION: &[&str] = &["low", "moderate", "high"];

/// A word that may be stored unencrypted: one of `words`, or `other`.
pub(super) fn known<'a>(word: Option<&str>, words: &[&'a str]) -> &'a str {
    match word {
        None => "",
        Some(word) => words.iter().find(|known| **known == word).copied().unwrap_or("other"),
    }
}

fn flags(values: impl Iterator<Item = Option<bool>>) -> Vec<Option<i64>> {
    values.map(|value| value.map(i64::from)).collect()
}

/// A score in thousandths, clamped to a range that real scores do not leave.
#[expect(clippy::cast_possible_truncation, reason = "it is clamped first, and rounding is wanted")]
fn thousandths(score: f64) -> i64 {
    (score.clamp(-1000.0, 1000.0) * 1000.0).round() as i64
}
