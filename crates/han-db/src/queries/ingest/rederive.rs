//! Derives a session again from its log: for `rebuild`, for a batch that revises messages, for a session whose project
//! becomes known, and for a session that is deleted. It reads segment by segment, in the order of file and ordinal, so its
//! memory does not depend on the size of the session.

use std::collections::HashMap;
use std::sync::Arc;

use han_transcript::record::LineRecord;
use han_transcript::split::MAX_RECORDS;
use sea_orm::{FromQueryResult, Value};

use super::answers::{self, Copies};
use super::derive::{Derive, NewLine};
use super::prepare::project_line;
use super::rollup_delta::RollupDelta;
use crate::DbError;
use crate::cpu;
use crate::entities::MessagePosition;
use crate::line_id::LineId;
use crate::queries::purged_sessions::{self, PurgedLines};
use crate::queries::segments::ReadSegment;
use crate::segments::Segment;
use crate::tables;

/// The result of deriving a session again. Lines that were purged are included: what they add was stored.
pub(crate) struct Rederived {
    /// What its lines add to the rollups.
    pub delta: RollupDelta,
    /// What they had added before. It differs if prices changed.
    pub counted: RollupDelta,
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
    part: i16,
    at: i64,
    place: i16,
    uuid: Vec<u8>,
    uuid_text: Option<String>,
}

impl StoredLine {
    /// The ordinal of the entry that holds it.
    fn entry(&self) -> i64 {
        i64::from(self.ordinal) - i64::from(self.part)
    }
}

/// A message's record, and whether its line is damaged.
struct Projected {
    record: LineRecord,
    damaged: bool,
}

impl Derive<'_> {
    /// Deletes the data derived from the session's lines, and derives it again.
    ///
    /// # Errors
    /// If a segment cannot be opened.
    pub(crate) async fn rederive(&self) -> Result<Rederived, DbError> {
        let purged = purged_sessions::find(self.tx, self.number).await?;
        let counted = self.forget_derived(purged.as_ref()).await?;
        let session: [Value; 2] = [self.tx.team(), self.number.into()];
        let files: Vec<FileRow> = self
            .tx
            .all("SELECT number, name FROM transcripts WHERE team = $1 AND session = $2", session)
            .await?;
        let files: HashMap<i16, String> = files.into_iter().map(|row| (row.number, row.name)).collect();
        let mut rederived = Rederived {
            delta: RollupDelta::default(),
            counted: RollupDelta::default(),
            lines: 0,
            started_at: purged.as_ref().and_then(|purged| purged.started_at),
        };
        let mut after = None;
        loop {
            let number = i32::try_from(self.number).unwrap_or_default();
            let segments = self.tx.segments()?.next(number, after).await?;
            if segments.is_empty() {
                if let Some(purged) = &purged {
                    self.add_purged(purged, &mut rederived).await?;
                }
                rederived.counted = rederived.delta.with_usage_of(&counted);
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
        let sql = format!(
            "SELECT ordinal, line, part, at, place, uuid, uuid_text FROM messages WHERE team = $1 AND session = $2 \
             AND ordinal BETWEEN $3 AND $4 + {MAX_RECORDS} AND ordinal - part BETWEEN $3 AND $4 AND transcript = $5 \
             ORDER BY ordinal"
        );
        let values = [
            self.tx.team(),
            self.number.into(),
            from.into(),
            stored.extent.last_ordinal.into(),
            i64::from(key.transcript).into(),
        ];
        let lines: Vec<StoredLine> = self.tx.all(&sql, values).await?;
        let (lines, records) = self.project(lines, segment, transcript.clone()).await?;
        let mut last_damaged = None;
        let new: Vec<NewLine<'_>> = lines
            .iter()
            .zip(&records)
            .map(|(line, projected)| NewLine {
                record: &projected.record,
                // A line counts once.
                damaged: projected.damaged && last_damaged.replace(line.entry()) != Some(line.entry()),
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
    ) -> Result<(Vec<StoredLine>, Vec<Projected>), DbError> {
        let session = self.session.to_owned();
        let work = move || {
            let record = |line: &StoredLine| -> Result<Projected, DbError> {
                let row = || format!("{session}/{transcript}/{}", line.ordinal);
                let missing = || DbError::RowMissing { table: "segments", row: row() };
                let entry = segment.get(line.entry()).ok_or_else(missing)?;
                let body = std::str::from_utf8(entry.text)
                    .map_err(|_| DbError::malformed("segments", "body", row()))?;
                let uuid = LineId::to_text(&line.uuid, line.uuid_text.clone());
                let projected = project_line(&session, &transcript, body);
                let damaged = projected.is_damaged();
                let mut records = projected.records;
                let part = usize::try_from(line.part).ok().filter(|part| *part < records.len());
                let record = records.swap_remove(part.ok_or_else(missing)?);
                Ok(Projected { record: LineRecord { uuid, ..record }, damaged })
            };
            let records = lines.iter().map(record).collect::<Result<_, DbError>>()?;
            Ok((lines, records))
        };
        cpu::run("deriving a session again", work).await?
    }

    /// Adds what purged lines add. Answers may begin in purged lines and end in others, so all of the session's are
    /// counted together.
    async fn add_purged(&self, purged: &PurgedLines, rederived: &mut Rederived) -> Result<(), DbError> {
        rederived.delta.add(1, &purged.counted);
        let usage = answers::counted(self.tx, self.tx.team(), self.number).await?;
        rederived.delta = rederived.delta.with_usage_of(&usage);
        rederived.lines += purged.lines;
        Ok(())
    }

    /// Deletes the data derived from the session's lines; returns what its answers had added to the rollups. Answers that
    /// it owned pass to other sessions. Those of purged lines stay.
    ///
    /// # Errors
    /// [`DbError::LocksNeeded`] if these sessions are not locked.
    pub(crate) async fn forget_derived(&self, purged: Option<&PurgedLines>) -> Result<RollupDelta, DbError> {
        let counted = self.answers.forget(self, Copies::Derivable).await?;
        for table in tables::derived() {
            let sql = format!("DELETE FROM {table} WHERE team = $1 AND session = $2");
            self.tx.execute(&sql, [self.tx.team(), self.number.into()]).await?;
        }
        if purged.is_some() {
            let left = answers::counted(self.tx, self.tx.team(), self.number).await?;
            answers::add_usage(self.tx, self.tx.team(), self.number, &left.usage()).await?;
        }
        Ok(counted)
    }
}
