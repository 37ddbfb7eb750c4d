//! Derives a session again from its stored lines: for `rebuild`, for a session whose project becomes known, and for a
//! session that is deleted.

use std::sync::Arc;

use han_transcript::record::LineRecord;
use sea_orm::FromQueryResult;

use super::derive::{Derive, NewLine};
use super::prepare::{body_context, project_line};
use super::rollup_delta::RollupDelta;
use crate::DbError;
use crate::entities::MessagePosition;
use crate::error::blocking;
use crate::keys::TeamKeys;
use crate::tables;

/// The maximum lines, and their bytes, in memory at once. A single line may be larger.
const CHUNK: i64 = 1000;
const CHUNK_BYTES: i64 = 16 << 20;

/// The result of deriving a session again.
pub(crate) struct Rederived {
    /// What its lines add to the rollups.
    pub delta: RollupDelta,
    /// The number of lines.
    pub lines: i64,
    /// The time of the earliest line.
    pub started_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct StoredLine {
    transcript: String,
    uuid: String,
    ordinal: i64,
    line: i64,
    at: i64,
    place: i64,
    sealed: bool,
    body: String,
}

impl StoredLine {
    fn read(&self, keys: &TeamKeys, session: &str) -> Result<LineRecord, DbError> {
        let row_id = format!("{session}/{}/{}", self.transcript, self.uuid);
        let body = keys.open(self.sealed, body_context(&row_id), self.body.clone())?;
        Ok(LineRecord { uuid: self.uuid.clone(), ..project_line(session, &self.transcript, &body) })
    }
}

impl Derive<'_> {
    /// Deletes the data derived from the session's lines, and derives it again.
    pub(crate) async fn rederive(&self) -> Result<Rederived, DbError> {
        self.forget_derived().await?;
        let mut rederived = Rederived { delta: RollupDelta::default(), lines: 0, started_at: None };
        let mut after = i64::MIN;
        loop {
            let lines: Vec<StoredLine> = self
                .tx
                .all(
                    "WITH next AS (SELECT team_id, session_id, ordinal, bytes FROM messages \
                     WHERE team_id = $1 AND session_id = $2 AND ordinal > $3 ORDER BY ordinal LIMIT $4), \
                     sized AS (SELECT team_id, session_id, ordinal, \
                     SUM(bytes) OVER (ORDER BY ordinal ROWS UNBOUNDED PRECEDING) - bytes AS before FROM next) \
                     SELECT messages.transcript, messages.uuid, messages.ordinal, messages.line, messages.at, \
                     messages.place, messages.sealed, messages.body FROM sized JOIN messages \
                     ON messages.team_id = sized.team_id AND messages.session_id = sized.session_id \
                     AND messages.ordinal = sized.ordinal WHERE sized.before < $5 ORDER BY messages.ordinal",
                    [self.tx.team(), self.session.into(), after.into(), CHUNK.into(), CHUNK_BYTES.into()],
                )
                .await?;
            let Some(last) = lines.last() else { return Ok(rederived) };
            after = last.ordinal;
            let (lines, records) = self.read(lines).await?;
            let new: Vec<NewLine<'_>> = lines
                .iter()
                .zip(&records)
                .map(|(line, record)| NewLine {
                    record,
                    transcript: &line.transcript,
                    line: line.line,
                    at: line.at,
                    place: MessagePosition::of_code(line.place),
                })
                .collect();
            rederived.delta.add(1, &self.run(&new, rederived.started_at).await?);
            rederived.started_at = lines.iter().map(|line| line.at).chain(rederived.started_at).min();
            rederived.lines += lines.len() as i64;
        }
    }

    /// Opens and projects stored lines, which keep their stored uuid. CPU-bound, so it runs off the async threads.
    async fn read(&self, lines: Vec<StoredLine>) -> Result<(Vec<StoredLine>, Vec<LineRecord>), DbError> {
        let (keys, session) = (Arc::clone(self.keys), self.session.to_owned());
        let work = move || {
            let records = lines.iter().map(|line| line.read(&keys, &session)).collect::<Result<_, _>>()?;
            Ok((lines, records))
        };
        blocking("deriving a session again", work).await?
    }

    pub(crate) async fn forget_derived(&self) -> Result<(), DbError> {
        for table in tables::derived() {
            let sql = format!("DELETE FROM {table} WHERE team_id = $1 AND session_id = $2");
            self.tx.execute(&sql, [self.tx.team(), self.session.into()]).await?;
        }
        Ok(())
    }
}
