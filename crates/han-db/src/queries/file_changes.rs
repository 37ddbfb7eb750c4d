//! Reading file changes: a page of a session's changes, and the hooks that checked the files afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use han_types::SessionId;
use sea_orm::{FromQueryResult, Value};

use crate::dialect::FirstOfEach;
use crate::entities::{FileChange, FileChangeKey, HookEvent};
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
    transcript: String,
    uuid: String,
    n: i64,
    line: i64,
    at: i64,
    call_id: String,
    tool_name: String,
    action: String,
    lines_added: i64,
    lines_removed: i64,
    sealed: bool,
    path: String,
}

const COLUMNS: &str = "session_id, transcript, uuid, n, line, at, call_id, tool_name, action, lines_added, \
     lines_removed, sealed, path";

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
    let mut values: Vec<Value> = vec![tx.team(), tx.dialect().list(sessions)];
    let mut after = String::new();
    if let Some(key) = &request.after {
        after.push_str(" AND (at, transcript, line, uuid, n) < ($3, $4, $5, $6, $7)");
        let line = &key.line;
        values.extend([
            line.at.into(),
            line.transcript.as_str().into(),
            line.line.into(),
            line.uuid.as_str().into(),
            key.n.into(),
        ]);
    }
    let sql = tx.dialect().first_of_each(
        2,
        &FirstOfEach {
            table: "file_changes",
            columns: COLUMNS,
            condition: &format!("team_id = $1 AND session_id = wanted.id AND NOT failed{after}"),
            order: "at DESC, transcript DESC, line DESC, uuid DESC, n DESC",
            limit: request.first + 1,
        },
    );
    let mut rows = open(tx, tx.all(&sql, values).await?).await?;
    rows.sort_by(|a, b| b.cursor.cmp(&a.cursor));
    Ok(Page::cut_each(rows, |row| &row.session_id, request.first))
}

async fn open(tx: &ScopedTx, rows: Vec<ChangeRow>) -> Result<Vec<FileChange>, DbError> {
    let keys = tx.keys_for(rows.iter().map(|row| (row.sealed, row.path.as_str()))).await?;
    rows.into_iter()
        .map(|row| {
            let row_id = numbered_row_id(&row.session_id, &row.transcript, row.n, &row.uuid);
            Ok(FileChange {
                path: keys.open(row.sealed, path_context(&row_id), row.path)?,
                action: stored(&row.action, "file_changes", "action", &row_id)?,
                cursor: FileChangeKey {
                    line: MessageCursor {
                        at: row.at,
                        transcript: row.transcript,
                        line: row.line,
                        uuid: row.uuid.clone(),
                    },
                    n: row.n,
                },
                session_id: row.session_id,
                uuid: row.uuid,
                tool_name: row.tool_name,
                lines_added: row.lines_added,
                lines_removed: row.lines_removed,
                call_id: row.call_id,
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
