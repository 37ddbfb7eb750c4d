//! The `jobs` table: which replica holds which job, when each is due, and what became of its last run. What runs the jobs
//! is in `jobs`. The rows belong to no team, so nothing here takes a scope.
//!
//! All times are `shared_now` of the dialect, so that replicas whose clocks differ agree
//! on when a lease ends.

use std::time::Duration;

use han_types::Timestamp;
use sea_orm::FromQueryResult;

use crate::commits::JOBS_CHANNEL;
use crate::entities::{JobState, JobStatus, Progress, RunOutcome};
use crate::{Db, DbError};

/// No row is written with a time further ahead than this (and its schedule). A later one is from a clock that was wrong
/// and has been corrected; it counts as past, or the job would not run until then.
const MAX_AHEAD: Duration = Duration::from_secs(30 * 60);

/// The longest error that is kept, in bytes.
const MAX_ERROR: usize = 500;

/// The right to run a job.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub name: &'static str,
    pub holder: String,
    pub length: Duration,
    /// How many leases of this job there have been.
    pub number: i64,
    /// How many runs failed since the last one that did not.
    pub failures_in_row: u32,
    /// How far the last run came; none where it did all there was to do.
    pub interrupted: Option<Progress>,
}

/// What came of asking for a lease.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It was given.
    Ours(Lease),
    /// Another replica holds one, or the job is not due. It is of no use to ask again before this much time has passed.
    NotBefore(Duration),
}

/// What a running job says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub progress: Option<Progress>,
    pub error: Option<String>,
}

/// How a run ended and when the next one may start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub outcome: RunOutcome,
    pub next_in: Duration,
}

/// Makes the job known, due at once; a job that is known gets a new schedule.
pub(crate) async fn register(db: &Db, name: &str, every: Option<Duration>) -> Result<(), DbError> {
    let seconds = every.map(|every| i64::try_from(every.as_secs()).unwrap_or(i64::MAX));
    db.write_system("jobs.register", |tx| async move {
        let now = tx.dialect().shared_now(&tx, db.clock()).await?;
        let sql = "INSERT INTO jobs (name, schedule_seconds, due_at, updated_at) VALUES ($1, $2, $3, $3) \
                   ON CONFLICT (name) DO UPDATE SET schedule_seconds = excluded.schedule_seconds \
                   WHERE jobs.schedule_seconds IS DISTINCT FROM excluded.schedule_seconds";
        tx.execute(sql, [name.into(), seconds.into(), now.into()]).await?;
        Ok(())
    })
    .await
}

#[derive(FromQueryResult)]
struct LeaseRow {
    lease_number: i64,
    failures_in_row: i64,
    last_outcome: Option<String>,
    progress: Option<String>,
}

#[derive(FromQueryResult)]
struct WaitRow {
    due_at: i64,
    lease_until: Option<i64>,
}

/// Takes the job's lease if the job is due and no other replica holds it. One conditional UPDATE decides: of several
/// replicas that ask at once, the row's lock lets one through after the other, and only the first finds it free.
///
/// A lease that `holder` itself still has is given again: its earlier run has ended.
///
/// # Errors
/// [`DbError::RowMissing`] where the job is not registered.
pub(crate) async fn acquire(
    db: &Db,
    name: &'static str,
    holder: &str,
    length: Duration,
) -> Result<Turn, DbError> {
    db.write_system("jobs.acquire", |tx| async move {
        // Read before the lock may be waited for: at worst an ended lease is taken for one that has not ended, and this
        // lease ends earlier than the holder could have it.
        let now = tx.dialect().shared_now(&tx, db.clock()).await?;
        let update = "UPDATE jobs SET lease_holder = $2, lease_until = $4, lease_number = lease_number + 1, \
             last_started_at = $3, runs = runs + 1, updated_at = $3, \
             last_outcome = CASE WHEN lease_holder IS NULL THEN last_outcome ELSE 'lost' END \
             WHERE name = $1 \
             AND (due_at <= $3 OR due_at > $3 + $5 + COALESCE(schedule_seconds, 0) * 1000) \
             AND (lease_holder IS NULL OR lease_holder = $2 OR lease_until <= $3 OR lease_until > $3 + $5) \
             RETURNING lease_number, failures_in_row, last_outcome, progress";
        let until = now.saturating_add(milliseconds(length));
        let ahead = milliseconds(MAX_AHEAD.max(length * 2));
        let values = [name.into(), holder.into(), now.into(), until.into(), ahead.into()];
        if let Some(row) = tx.one::<LeaseRow, _>(update, values).await? {
            let done = outcome(row.last_outcome.as_deref()) == Some(RunOutcome::Done);
            return Ok(Turn::Ours(Lease {
                name,
                holder: holder.to_owned(),
                length,
                number: row.lease_number,
                failures_in_row: u32::try_from(row.failures_in_row).unwrap_or(u32::MAX),
                interrupted: progress(row.progress.as_deref()).filter(|_| !done),
            }));
        }
        let select = "SELECT due_at, lease_until FROM jobs WHERE name = $1";
        let Some(row) = tx.one::<WaitRow, _>(select, [name.into()]).await? else {
            return Err(DbError::RowMissing { table: "jobs", row: name.to_owned() });
        };
        let free_at = row.due_at.max(row.lease_until.unwrap_or(i64::MIN));
        Ok(Turn::NotBefore(Duration::from_millis(u64::try_from(free_at - now).unwrap_or_default())))
    })
    .await
}

/// Extends the lease by its length from now and stores what the job reports. `false` where it is no longer ours.
pub(crate) async fn renew(db: &Db, lease: &Lease, report: &Report) -> Result<bool, DbError> {
    db.write_system("jobs.renew", |tx| async move {
        let now = tx.dialect().shared_now(&tx, db.clock()).await?;
        // A lease that has ended and that no other replica has taken since is as good as one that has not.
        let sql = "UPDATE jobs SET lease_until = $4, updated_at = $5, progress = COALESCE($6, progress), \
             last_error = COALESCE($7, last_error), last_error_at = COALESCE($8, last_error_at) \
             WHERE name = $1 AND lease_holder = $2 AND lease_number = $3";
        let values = [
            lease.name.into(),
            lease.holder.as_str().into(),
            lease.number.into(),
            now.saturating_add(milliseconds(lease.length)).into(),
            now.into(),
            progress_json(report).into(),
            error_text(report).into(),
            report.error.as_ref().map(|_| now).into(),
        ];
        Ok(tx.execute(sql, values).await? > 0)
    })
    .await
}

/// Ends the lease, records the run, and wakes the replicas that wait for the job. Changes nothing where the lease is no
/// longer ours.
pub(crate) async fn finish(db: &Db, lease: &Lease, report: &Report, end: End) -> Result<(), DbError> {
    let failed = end.outcome.is_failure();
    let in_row = match end.outcome {
        RunOutcome::Failed | RunOutcome::Panicked => lease.failures_in_row.saturating_add(1),
        RunOutcome::Lost => lease.failures_in_row,
        RunOutcome::Done | RunOutcome::Stopped => 0,
    };
    db.write_system("jobs.finish", |tx| async move {
        let now = tx.dialect().shared_now(&tx, db.clock()).await?;
        let sql = "UPDATE jobs SET lease_holder = NULL, lease_until = NULL, last_finished_at = $4, updated_at = $4, \
             last_outcome = $5, due_at = $6, failures = failures + $7, failures_in_row = $8, \
             progress = COALESCE($9, progress), last_error = COALESCE($10, last_error), \
             last_error_at = COALESCE($11, last_error_at) \
             WHERE name = $1 AND lease_holder = $2 AND lease_number = $3";
        let values = [
            lease.name.into(),
            lease.holder.as_str().into(),
            lease.number.into(),
            now.into(),
            end.outcome.as_str().into(),
            now.saturating_add(milliseconds(end.next_in)).into(),
            i64::from(failed).into(),
            i64::from(in_row).into(),
            progress_json(report).into(),
            error_text(report).into(),
            report.error.as_ref().map(|_| now).into(),
        ];
        if tx.execute(sql, values).await? > 0 {
            tx.dialect().notify(&tx, JOBS_CHANNEL).await?;
        }
        Ok(())
    })
    .await?;
    db.commits().wake_jobs();
    Ok(())
}

#[derive(FromQueryResult)]
struct JobRow {
    name: String,
    schedule_seconds: Option<i64>,
    due_at: i64,
    lease_holder: Option<String>,
    lease_until: Option<i64>,
    last_started_at: Option<i64>,
    last_finished_at: Option<i64>,
    last_outcome: Option<String>,
    last_error: Option<String>,
    last_error_at: Option<i64>,
    progress: Option<String>,
    runs: i64,
    failures: i64,
}

impl JobRow {
    fn status(self, now: i64) -> JobStatus {
        let last_outcome = outcome(self.last_outcome.as_deref());
        let state = match self.lease_until {
            Some(until) if until > now => JobState::Running,
            Some(_) => JobState::Lost,
            None if last_outcome.is_some_and(RunOutcome::is_failure) => JobState::Failed,
            None => JobState::Idle,
        };
        let ended = match state {
            JobState::Running => Some(now),
            JobState::Lost => None,
            JobState::Idle | JobState::Failed => self.last_finished_at,
        };
        let duration = self.last_started_at.zip(ended).map(|(from, to)| to - from);
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        JobStatus {
            every: self.schedule_seconds.map(|seconds| Duration::from_secs(count(seconds))),
            state,
            holder: self.lease_holder,
            lease_until: self.lease_until.map(Timestamp),
            due_at: Timestamp(self.due_at),
            last_started_at: self.last_started_at.map(Timestamp),
            last_finished_at: self.last_finished_at.map(Timestamp),
            duration: duration.map(|ms| Duration::from_millis(count(ms))),
            last_outcome,
            last_error: self.last_error,
            last_error_at: self.last_error_at.map(Timestamp),
            progress: progress(self.progress.as_deref()),
            runs: count(self.runs),
            failures: count(self.failures),
            name: self.name,
        }
    }
}

/// Every job that a server has ever registered on this database, by name.
pub async fn list(db: &Db) -> Result<Vec<JobStatus>, DbError> {
    let tx = db.read_system("jobs.list").await?;
    let now = tx.dialect().shared_now(&tx, db.clock()).await?;
    let sql = "SELECT name, schedule_seconds, due_at, lease_holder, lease_until, last_started_at, last_finished_at, \
               last_outcome, last_error, last_error_at, progress, runs, failures FROM jobs ORDER BY name";
    let rows: Vec<JobRow> = tx.all(sql, []).await?;
    Ok(rows.into_iter().map(|row| row.status(now)).collect())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A newer program may know outcomes that this one does not.
fn outcome(word: Option<&str>) -> Option<RunOutcome> {
    word.and_then(RunOutcome::parse)
}

/// Progress that another version of the program wrote in another form is none: the job then begins from the start.
fn progress(json: Option<&str>) -> Option<Progress> {
    json.and_then(|json| serde_json::from_str(json).ok())
}

fn progress_json(report: &Report) -> Option<String> {
    report.progress.as_ref().and_then(|progress| serde_json::to_string(progress).ok())
}

fn error_text(report: &Report) -> Option<String> {
    let mut text = report.error.clone()?;
    text.truncate(text.floor_char_boundary(MAX_ERROR));
    Some(text)
}
