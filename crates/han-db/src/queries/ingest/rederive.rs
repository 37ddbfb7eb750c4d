//! Derives a session again from its log: for `rebuild`, for a batch that revises messages, for a session whose project
//! becomes known, and for a session that is deleted. It reads segment by segment, in the order of file and ordinal, so its
//! memory does not depend on the size of the session.

use std::collections::HashMap;
use std::sync::Arc;

use han_transcript::record::LineRecord;
use sea_orm::{FromQueryResult, Value};

use super::derive::{Derive, NewLine};
use super::prepare::project_line;
use super::rollup_delta::RollupDelta;
use crate::DbError;
use crate::cpu;
use crate::entities::MessagePosition;
use crate::line_id::LineId;
use crate::queries::segments::ReadSegment;
use crate::segments::Segment;
use crate::tables;

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
struct FileRow {
    number: i16,
    name: String,
}

/// A message of a segment.
#[derive(FromQueryResult)]
struct StoredLine {
    ordinal: i32,
    line: i32,
    at: i64,
    place: i16,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
}

impl Derive<'_> {
    /// Deletes the data derived from the session's lines, and derives it again.
    ///
    /// # Errors
    /// If a segment cannot be opened.
    pub(crate) async fn rederive(&self) -> Result<Rederived, DbError> {
        self.forget_derived().await?;
        let session: [Value; 2] = [self.tx.team(), self.number.into()];
        let files: Vec<FileRow> = self
            .tx
            .all("SELECT number, name FROM transcripts WHERE team = $1 AND session = $2", session)
            .await?;
        let files: HashMap<i16, String> = files.into_iter().map(|row| (row.number, row.name)).collect();
        let mut rederived = Rederived { delta: RollupDelta::default(), lines: 0, started_at: None };
        let mut after = None;
        loop {
            let number = i32::try_from(self.number).unwrap_or_default();
            let segments = self.tx.segments()?.next(number, after).await?;
            if segments.is_empty() {
                return Ok(rederived);
            }
            for segment in segments {
                let (transcript, last) = (segment.key.transcript, segment.stored.extent.last_ordinal);
                // A segment that was merged meanwhile begins with entries that were derived before.
                let from =
                    after.filter(|(before, _)| *before == transcript).map_or(0, |(_, ordinal)| ordinal + 1);
                self.derive_segment(segment, from, &files, &mut rederived).await?;
                after = Some((transcript, last));
            }
        }
    }

    async fn derive_segment(
        &self,
        read: ReadSegment,
        from: i64,
        files: &HashMap<i16, String>,
        rederived: &mut Rederived,
    ) -> Result<(), DbError> {
        let ReadSegment { key, stored, opened } = read;
        let missing = || DbError::RowMissing {
            table: "transcripts",
            row: format!("{}/{}", self.session, key.transcript),
        };
        let transcript = files.get(&key.transcript).ok_or_else(missing)?;
        let from = from.max(stored.extent.first_ordinal);
        let segment = opened?;
        rederived.lines += segment.entries().filter(|entry| entry.ordinal >= from).count() as i64;
        let sql = "SELECT ordinal, line, at, place, uuid, uuid_text FROM messages WHERE team = $1 AND session = $2 \
                   AND ordinal BETWEEN $3 AND $4 AND transcript = $5 ORDER BY ordinal";
        let values = [
            self.tx.team(),
            self.number.into(),
            from.into(),
            stored.extent.last_ordinal.into(),
            i64::from(key.transcript).into(),
        ];
        let lines: Vec<StoredLine> = self.tx.all(sql, values).await?;
        let (lines, records) = self.project(lines, segment, transcript.clone()).await?;
        let new: Vec<NewLine<'_>> = lines
            .iter()
            .zip(&records)
            .map(|(line, record)| NewLine {
                record,
                ordinal: line.ordinal.into(),
                transcript,
                transcript_number: key.transcript.into(),
                line: line.line.into(),
                at: line.at,
                place: MessagePosition::of_code(line.place.into()),
            })
            .collect();
        rederived.delta.add(1, &self.run(&new, rederived.started_at).await?);
        rederived.started_at = lines.iter().map(|line| line.at).chain(rederived.started_at).min();
        Ok(())
    }

    /// Projects the messages of a segment, which keep their stored uuids. CPU-bound, so it runs off the async threads.
    async fn project(
        &self,
        lines: Vec<StoredLine>,
        segment: Arc<Segment>,
        transcript: String,
    ) -> Result<(Vec<StoredLine>, Vec<LineRecord>), DbError> {
        let session = self.session.to_owned();
        let work = move || {
            let record = |line: &StoredLine| {
                let row = || format!("{session}/{transcript}/{}", line.ordinal);
                let missing = || DbError::RowMissing { table: "segments", row: row() };
                let entry = segment.get(line.ordinal.into()).ok_or_else(missing)?;
                let body = std::str::from_utf8(entry.text)
                    .map_err(|_| DbError::malformed("segments", "body", row()))?;
                let uuid = LineId::to_text(&line.uuid, line.uuid_text.clone());
                Ok(LineRecord { uuid, ..project_line(&session, &transcript, body) })
            };
            let records = lines.iter().map(record).collect::<Result<_, DbError>>()?;
            Ok((lines, records))
        };
        cpu::run("deriving a session again", work).await?
    }

    /// Deletes the data derived from the session's lines. Answers that it owned pass to other sessions.
    ///
    /// # Errors
    /// [`DbError::LocksNeeded`] if these sessions are not locked.
    pub(crate) async fn forget_derived(&self) -> Result<(), DbError> {
        self.answers.forget(self).await?;
        for table in tables::derived() {
            let sql = format!("DELETE FROM {table} WHERE team = $1 AND session = $2");
            self.tx.execute(&sql, [self.tx.team(), self.number.into()]).await?;
        }
        Ok(())
    }
}
