//! Deriving a session anew from its stored lines: for the rebuild, for a session that moves to another project, for
//! one that is to be deleted.

use std::sync::Arc;

use han_crypto::FieldContext;
use han_transcript::record::{LineContext, LineRecord, project};
use sea_orm::FromQueryResult;

use super::derive::{Derive, Seen};
use super::sums::Sums;
use crate::DbError;
use crate::entities::Place;
use crate::error::blocking;
use crate::keys::TeamKeys;
use crate::tables;

/// How many lines, and how many bytes of them, are held at once; one line is, however large.
const CHUNK: i64 = 1000;
const CHUNK_BYTES: i64 = 16 << 20;

/// A session, derived anew.
pub(crate) struct Again {
    /// What its lines come to by hour.
    pub sums: Sums,
    /// How many there are.
    pub lines: i64,
    /// The time of the earliest.
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
        let context = FieldContext { table: "messages", row_id: &row_id, column: "body" };
        let body = keys.open(self.sealed, context, self.body.clone())?;
        let at = LineContext { session_id: session, transcript: &self.transcript };
        Ok(LineRecord { uuid: self.uuid.clone(), ..project(&body, &at) })
    }
}

impl Derive<'_> {
    /// Forgets what was derived from the session's lines, and derives it again.
    pub(crate) async fn again(&self) -> Result<Again, DbError> {
        self.forget_derived().await?;
        let mut again = Again { sums: Sums::default(), lines: 0, started_at: None };
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
            let Some(last) = lines.last() else { return Ok(again) };
            after = last.ordinal;
            let (lines, records) = self.read(lines).await?;
            let seen: Vec<Seen<'_>> = lines
                .iter()
                .zip(&records)
                .map(|(line, record)| Seen {
                    record,
                    transcript: &line.transcript,
                    line: line.line,
                    at: line.at,
                    place: Place::of_code(line.place),
                })
                .collect();
            again.sums.add(1, &self.run(&seen, again.started_at).await?);
            again.started_at = lines.iter().map(|line| line.at).chain(again.started_at).min();
            again.lines += lines.len() as i64;
        }
    }

    /// What each stored line means, under the key it is stored by. Opening them is work for the processor, and is done
    /// where it holds up nobody else.
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
