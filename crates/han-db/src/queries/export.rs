//! Exporting sessions: the current lines of all files, a page at a time, so that an export of any size takes bounded
//! memory. Each page has its own transaction: no transaction stays open while a client reads slowly.

use std::collections::VecDeque;

use han_types::export::{ExportSession, ExportTranscript};
use han_types::sync::SessionMetadata;
use han_types::{Scope, SessionId, Timestamp, TranscriptName, UserId};
use sea_orm::{FromQueryResult, Value};

use crate::entities::{SessionDetails, User};
use crate::queries::messages::{self, FileLine};
use crate::queries::sessions::open_details;
use crate::queries::users;
use crate::stored::{stored, stored_id};
use crate::{Db, DbError, ScopedTx};

/// The most lines of a page.
const MOST_LINES: usize = 500;

/// The most bytes of segments that a page opens. Where this is less than what a single line needs, the page has one line.
const PAGE_BYTES: usize = 4 << 20;

/// How many times as many bytes as other reads may a page of one line open, if a file was rewritten very often.
const MOST_REWRITTEN: usize = 8;

/// Which sessions are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All sessions of the team.
    Team,
    /// The sessions that the scope's user has pushed.
    Own,
    /// One session.
    Session(SessionId),
}

/// The next part of an export.
#[derive(Debug)]
pub enum Part {
    /// A session begins.
    Session(Box<ExportSession>),
    /// A file of that session begins.
    Transcript(ExportTranscript),
    /// Lines of that file, in order.
    Lines(Vec<FileLine>),
}

/// An export that is being read. Sessions come in the order of their arrival, and so do the files of each.
#[derive(Debug)]
pub struct Export {
    scope: Scope,
    db: Db,
    selection: Selection,
    /// The number of the session before the next one.
    after: i32,
    session: Option<Files>,
}

/// The session that is being read, and its files that are left.
#[derive(Debug)]
struct Files {
    session_id: SessionId,
    files: VecDeque<(TranscriptName, i64)>,
    /// The file that is being read: its next line, and its end.
    file: Option<(TranscriptName, i64, i64)>,
}

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    session_id: String,
    user_id: String,
    metadata: String,
    sealed: bool,
    created_at: i64,
    purged_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct FileRow {
    name: String,
    next_offset: i64,
}

#[derive(FromQueryResult)]
struct OwnerRow {
    user_id: String,
}

impl Export {
    /// An export of the scope's team. What is selected need not exist.
    #[must_use]
    pub fn new(scope: Scope, db: Db, selection: Selection) -> Self {
        Self { scope, db, selection, after: 0, session: None }
    }

    /// The users who own the sessions, by id.
    pub async fn owners(&self) -> Result<Vec<User>, DbError> {
        let tx = self.db.read(&self.scope, "export.owners").await?;
        let (condition, values) = self.condition(&tx);
        let sql = format!("SELECT DISTINCT user_id FROM sessions WHERE {condition} ORDER BY user_id");
        let rows: Vec<OwnerRow> = tx.all(&sql, values).await?;
        let ids: Vec<UserId> = rows
            .iter()
            .map(|row| stored_id(&row.user_id, "sessions", "user_id"))
            .collect::<Result<_, _>>()?;
        let mut users = users::by_ids(&tx, &ids).await?;
        users.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(users)
    }

    /// The next part; `None` at the end. A session that is deleted meanwhile ends early. Lines that arrive after their
    /// file was begun are left out.
    ///
    /// # Errors
    /// If something cannot be opened: an export is complete, or fails.
    pub async fn next(&mut self) -> Result<Option<Part>, DbError> {
        loop {
            let Some(session) = &mut self.session else {
                let Some((exported, files, number)) = self.next_session().await? else { return Ok(None) };
                (self.session, self.after) = (Some(files), number);
                return Ok(Some(Part::Session(Box::new(exported))));
            };
            if let Some((name, from, end)) = session.file.take() {
                let mut lines = page(&self.scope, &self.db, &session.session_id, &name, from).await?;
                lines.retain(|line| line.line < end);
                let Some(last) = lines.last() else { continue };
                session.file = Some((name, last.line + 1, end));
                return Ok(Some(Part::Lines(lines)));
            }
            let Some((name, next_offset)) = session.files.pop_front() else {
                self.session = None;
                continue;
            };
            let begun = ExportTranscript {
                transcript: name.to_string(),
                next_offset: u64::try_from(next_offset).unwrap_or_default(),
            };
            session.file = Some((name, 0, next_offset));
            return Ok(Some(Part::Transcript(begun)));
        }
    }

    /// The condition on `sessions`, and its values.
    fn condition(&self, tx: &ScopedTx) -> (&'static str, Vec<Value>) {
        match &self.selection {
            Selection::Team => ("team = $1", vec![tx.team()]),
            Selection::Own => {
                ("team = $1 AND user_id = $2", vec![tx.team(), self.scope.user_id().as_str().into()])
            }
            Selection::Session(id) => ("team = $1 AND session_id = $2", vec![tx.team(), id.as_str().into()]),
        }
    }

    async fn next_session(&self) -> Result<Option<(ExportSession, Files, i32)>, DbError> {
        let tx = self.db.read(&self.scope, "export.session").await?;
        let (condition, mut values) = self.condition(&tx);
        values.push(i64::from(self.after).into());
        let sql = format!(
            "SELECT number, session_id, user_id, metadata, sealed, created_at, purged_at FROM sessions \
             WHERE {condition} AND number > ${} ORDER BY number LIMIT 1",
            values.len()
        );
        let Some(row) = tx.one::<SessionRow, _>(&sql, values).await? else { return Ok(None) };
        let keys = tx.keys_for(std::iter::once((row.sealed, row.metadata.as_str()))).await?;
        let details = open_details(&keys, &row.session_id, row.sealed, row.metadata)?;
        let sql =
            "SELECT name, next_offset FROM transcripts WHERE team = $1 AND session = $2 ORDER BY number";
        let files: Vec<FileRow> = tx.all(sql, [tx.team(), i64::from(row.number).into()]).await?;
        let name = |file: FileRow| {
            Ok((stored(&file.name, "transcripts", "name", &row.session_id)?, file.next_offset))
        };
        let files = Files {
            session_id: stored_id(&row.session_id, "sessions", "session_id")?,
            files: files.into_iter().map(name).collect::<Result<_, DbError>>()?,
            file: None,
        };
        let exported = ExportSession {
            session_id: row.session_id,
            user_id: row.user_id,
            created_at: Timestamp(row.created_at).to_rfc3339(),
            metadata: pushed_metadata(details),
            purged_at: row.purged_at.map(|at| Timestamp(at).to_rfc3339()),
        };
        Ok(Some((exported, files, row.number)))
    }
}

/// The next lines of a file, from line `from` on.
async fn page(
    scope: &Scope,
    db: &Db,
    session_id: &SessionId,
    name: &TranscriptName,
    from: i64,
) -> Result<Vec<FileLine>, DbError> {
    let attempts =
        [(PAGE_BYTES, MOST_LINES), (db.read_bytes(), 1), (db.read_bytes().saturating_mul(MOST_REWRITTEN), 1)];
    let mut passed = None;
    for (bytes, lines) in attempts {
        let tx = db.read(scope, "export.lines").await?.with_budget(bytes);
        match messages::lines(&tx, session_id, name, from, lines).await {
            Err(error @ DbError::TooMuch { .. }) => passed = Some(error),
            done => return done,
        }
    }
    Err(passed.unwrap_or(DbError::TooMuch { limit: PAGE_BYTES }))
}

/// The metadata of a session, as a push has it.
fn pushed_metadata(details: SessionDetails) -> SessionMetadata {
    let time = |ms: Option<i64>| ms.map(|ms| Timestamp(ms).to_rfc3339());
    SessionMetadata {
        agent: details.agent,
        project_path: details.project_path,
        main_worktree: details.main_worktree,
        git_remote: details.git_remote,
        git_branch: details.pushed_branch,
        ended_at: time(details.ended_at),
        file_created_at: time(details.file_created_at),
        fork_depth: details.fork_depth,
    }
}
