//! Reading file changes: a page of a session's changes, and the hooks that checked the files afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use han_types::SessionId;
use sea_orm::{FromQueryResult, Value};

use crate::dialect::FirstOfEach;
use crate::entities::{FileChange, FileChangeKey, HookEvent};
use crate::line_id::LineId;
use crate::page::{Cursor, MessageCursor, Page, PageRequest};
use crate::queries::ingest::derive::{numbered_row_id, path_context};
use crate::stored::stored;
use crate::{DbError, ScopedTx};

impl Cursor for FileChangeKey {
    fn encode(&self) -> String {
        format!("{}_{}", self.n, self.line.encode())
    }

    fn decode(text: &str) -> Option<Self> {
        let (n, line) = text.split_once('_')?;
        Some(Self { n: n.parse().ok()?, line: MessageCursor::decode(line)? })
    }
}

#[derive(FromQueryResult)]
struct ChangeRow {
    session_id: String,
    ordinal: i32,
    at: i64,
    transcript: String,
    line: i32,
    part: i16,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
    n: i16,
    tool_name: String,
    action: String,
    lines_added: i64,
    lines_removed: i64,
    sealed: bool,
    path: String,
}

/// The name of a change's file. The order of changes must not depend on numbers of files, which follow from the order in
/// which files arrived.
macro_rules! name {
    () => {
        "(SELECT f.name FROM transcripts f WHERE f.team = file_changes.team AND f.session = file_changes.session \
           AND f.number = file_changes.transcript)"
    };
}

/// A column of a change's message.
macro_rules! of_message {
    ($column:literal) => {
        concat!(
            "(SELECT m.",
            $column,
            " FROM messages m WHERE m.team = file_changes.team AND m.session = file_changes.session \
               AND m.ordinal = file_changes.ordinal)"
        )
    };
}

const COLUMNS: &str = concat!(
    "wanted.id AS session_id, file_changes.ordinal, file_changes.at, ",
    name!(),
    " AS transcript, file_changes.line, ",
    of_message!("part"),
    " AS part, ",
    of_message!("uuid"),
    " AS uuid, ",
    of_message!("uuid_text"),
    " AS uuid_text, file_changes.n, file_changes.tool_name, file_changes.action, file_changes.lines_added, \
       file_changes.lines_removed, file_changes.sealed, file_changes.path"
);

/// The index gives the order by time, so that only changes of one time are sorted.
const NEWEST_FIRST: &str = concat!(
    "file_changes.at DESC, ",
    name!(),
    " DESC, file_changes.line DESC, ",
    of_message!("part"),
    " DESC, ",
    of_message!("uuid"),
    " DESC, file_changes.n DESC"
);

/// Among the changes of the time `$3`, only those before `$4` to `$8`.
const AFTER: &str = concat!(
    " AND (file_changes.at < $3 OR (",
    name!(),
    ", file_changes.line, ",
    of_message!("part"),
    ", ",
    of_message!("uuid"),
    ", file_changes.n) < ($4, $5, $6, $7, $8))"
);

/// A page of a session's file changes, newest first, without those whose calls failed. Their number is among the
/// session's counters.
///
/// # Errors
/// If a path cannot be opened.
pub async fn page(
    tx: &ScopedTx,
    session_id: &SessionId,
    request: &PageRequest<FileChangeKey>,
) -> Result<Page<FileChange>, DbError> {
    let mut pages = pages(tx, std::slice::from_ref(session_id), request).await?;
    Ok(pages.remove(session_id.as_str()).unwrap_or(Page { rows: Vec::new(), has_next: false }))
}

/// The same page of file changes for several sessions, by session; omits sessions without changes.
///
/// # Errors
/// If a path cannot be opened.
pub async fn pages(
    tx: &ScopedTx,
    sessions: &[SessionId],
    request: &PageRequest<FileChangeKey>,
) -> Result<HashMap<String, Page<FileChange>>, DbError> {
    if sessions.is_empty() {
        return Ok(HashMap::new());
    }
    let latest = request.after.as_ref().map_or(i64::MAX, |key| key.line.at);
    let mut values: Vec<Value> = vec![tx.team(), tx.dialect().list(sessions), latest.into()];
    let mut after = "";
    if let Some(key) = &request.after {
        after = AFTER;
        let line = &key.line;
        values.extend([
            line.transcript.as_str().into(),
            line.line.into(),
            line.part.into(),
            LineId::value(&line.uuid),
            key.n.into(),
        ]);
    }
    let sql = tx.dialect().first_of_each(
        2,
        &FirstOfEach {
            table: "file_changes",
            columns: COLUMNS,
            // Without a bound on the time, SQLite reads another index and sorts all changes.
            condition: &format!(
                "file_changes.team = $1 AND file_changes.session = (SELECT s.number FROM sessions s \
                   WHERE s.team = $1 AND s.session_id = wanted.id) AND file_changes.at <= $3 \
                   AND NOT file_changes.failed{after}"
            ),
            order: NEWEST_FIRST,
            limit: request.first + 1,
        },
    );
    let mut rows: Vec<ChangeRow> = tx.all(&sql, values).await?;
    rows.sort_by(|a, b| b.place().cmp(&a.place()));
    Ok(Page::cut_each(open(tx, rows).await?, |row| &row.session_id, request.first))
}

impl ChangeRow {
    fn place(&self) -> (i64, &str, i32, i16, &[u8], i16) {
        (self.at, &self.transcript, self.line, self.part, &self.uuid, self.n)
    }
}

async fn open(tx: &ScopedTx, rows: Vec<ChangeRow>) -> Result<Vec<FileChange>, DbError> {
    let keys = tx.keys_for(rows.iter().map(|row| (row.sealed, row.path.as_str()))).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = numbered_row_id(&row.session_id, row.ordinal.into(), row.n.into());
            let uuid = LineId::to_text(&row.uuid, row.uuid_text);
            Ok(FileChange {
                path: keys.open(row.sealed, path_context(&row_id), row.path)?,
                action: stored(&row.action, "file_changes", "action", &row_id)?,
                cursor: FileChangeKey {
                    line: MessageCursor {
                        at: row.at,
                        transcript: row.transcript,
                        line: row.line.into(),
                        part: row.part.into(),
                        uuid: uuid.clone(),
                    },
                    n: row.n.into(),
                },
                session_id: row.session_id,
                uuid,
                tool_name: row.tool_name,
                lines_added: row.lines_added,
                lines_removed: row.lines_removed,
            })
        })
        .collect()
}

/// A hook that checks files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// The hook's name.
    pub hook: String,
    /// The plugin it belongs to.
    pub plugin: Option<String>,
}

/// The hooks that checked a file since it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// Hooks that passed after the change, each with the time of its first pass, in milliseconds since the epoch.
    pub passed: Vec<(Check, i64)>,
    /// Hooks that ended in the session for the same directory and have not passed since the change.
    pub missing: Vec<Check>,
}

/// For each of a session's file changes, the session's hooks that passed since. A hook checks the files under the
/// directory in which it ran; a hook without a directory, or with a relative one, checks all files.
#[must_use]
pub fn validations(changes: &[FileChange], hooks: &[HookEvent]) -> Vec<Validation> {
    let ended: Vec<(&HookEvent, Check)> = hooks
        .iter()
        .filter(|event| !event.hook.is_run && event.hook.success.is_some())
        .filter_map(|event| {
            let hook = event.hook.hook_name.clone()?;
            Some((event, Check { hook, plugin: event.hook.plugin.clone() }))
        })
        .collect();
    changes.iter().map(|change| validation(change, &ended)).collect()
}

fn validation(change: &FileChange, ended: &[(&HookEvent, Check)]) -> Validation {
    let looks = |event: &HookEvent| match event.hook.directory.as_deref() {
        Some(directory) if directory.starts_with('/') => change
            .path
            .strip_prefix(directory.trim_end_matches('/'))
            .is_some_and(|rest| rest.starts_with('/')),
        _ => true,
    };
    let mut checks = BTreeSet::new();
    let mut passed: BTreeMap<&Check, i64> = BTreeMap::new();
    for (event, check) in ended {
        if event.session_id != change.session_id || !looks(event) {
            continue;
        }
        checks.insert(check);
        let at = event.place.time.0;
        if event.hook.success == Some(true) && at >= change.cursor.line.at {
            let first = passed.entry(check).or_insert(at);
            *first = at.min(*first);
        }
    }
    Validation {
        missing: checks.into_iter().filter(|check| !passed.contains_key(check)).cloned().collect(),
        passed: passed.into_iter().map(|(check, at)| (check.clone(), at)).collect(),
    }
}
