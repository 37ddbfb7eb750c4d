//! Holding a job's lease: takes it when the job is due, runs the job in a task of its own, renews the lease meanwhile,
//! and records how the run ended.
//!
//! A run that the lease no longer covers is ended from here. What counts is when the request for the lease was *sent*,
//! by this process's monotonic clock: the database counts from later, so this side always stops first, however clocks
//! differ.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Job, JobContext, Outcome, Schedule};
use crate::entities::RunOutcome;
use crate::queries::jobs::{self, End, Lease, Report, Turn};
use crate::{Db, DbError};

/// The longest wait before a job's row is read again, and the longest between two attempts at a job that fails.
const CHECK_EVERY: Duration = Duration::from_secs(60);
const MAX_BACKOFF: Duration = Duration::from_secs(15 * 60);

/// The shortest wait for a lease that should be free by now.
const MIN_WAIT: Duration = Duration::from_millis(50);

struct Runner {
    job: Arc<dyn Job>,
    db: Db,
    replica: String,
    lease: Duration,
    stopping: CancellationToken,
}

/// Runs `job` whenever it is due and its lease is to be had, until `stopping` is cancelled.
pub(super) async fn serve(
    job: Arc<dyn Job>,
    db: Db,
    replica: String,
    lease: Duration,
    stopping: CancellationToken,
) {
    let mut lease_ends = db.commits().lease_ends();
    let runner = Runner { job, db, replica, lease, stopping };
    let mut registered = false;
    while !runner.stopping.is_cancelled() {
        // What happens from here on is noticed, also while the row is read.
        lease_ends.mark_unchanged();
        let wait = match runner.turn(&mut registered).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, job = runner.job.name(), "the job's lease could not be asked for");
                registered = false;
                runner.retry_after()
            }
        };
        tokio::select! {
            () = runner.stopping.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            _ = lease_ends.changed() => {}
        }
    }
}

impl Runner {
    /// Runs the job if it is its turn, and says when to ask again.
    async fn turn(&self, registered: &mut bool) -> Result<Duration, DbError> {
        let name = self.job.name();
        if !*registered {
            let every = match self.job.schedule() {
                Schedule::Every(every) => Some(every),
                Schedule::Continuous => None,
            };
            let done = self.unless_stopping(jobs::register(&self.db, name, every)).await?;
            *registered = done.is_some();
        }
        let sent = Instant::now();
        match self.unless_stopping(jobs::acquire(&self.db, name, &self.replica, self.lease)).await? {
            None => Ok(MIN_WAIT),
            Some(Turn::NotBefore(wait)) => Ok(wait.clamp(MIN_WAIT, CHECK_EVERY)),
            Some(Turn::Ours(lease)) => {
                tracing::debug!(job = name, lease = lease.number, "the job starts");
                Ok(self.run(lease, sent).await)
            }
        }
    }

    /// Waits for `work`, but not when the server stops: a shutdown must not wait for the database. `None` if it stopped
    /// first; a lease that was taken without notice ends by itself.
    async fn unless_stopping<T>(
        &self,
        work: impl Future<Output = Result<T, DbError>>,
    ) -> Result<Option<T>, DbError> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Ok(None),
            done = work => done.map(Some),
        }
    }

    /// How long to wait after the database failed, or before a continuous job that returned is started again.
    fn retry_after(&self) -> Duration {
        self.lease / 3
    }

    /// How long a lease is relied on: the rest is for the task to end in.
    fn relied_on(&self) -> Duration {
        self.lease * 4 / 5
    }

    /// Runs the job under `lease`, which was requested at `sent`; returns when to ask again.
    async fn run(&self, mut lease: Lease, sent: Instant) -> Duration {
        let report = Arc::new(Mutex::new(Report::default()));
        let asked_to_stop = CancellationToken::new();
        let context = JobContext {
            db: self.db.clone(),
            replica: self.replica.clone(),
            stopping: asked_to_stop.clone(),
            report: Arc::clone(&report),
            interrupted: lease.interrupted.clone(),
        };
        let job = Arc::clone(&self.job);
        // A task of its own, so that a panic is an answer and a job that computes does not hold up the renewals.
        let task = AbortOnDropHandle::new(tokio::spawn(async move { job.run(&context).await }));
        let outcome = self.watch(task, &lease, &report, &asked_to_stop, sent).await;
        let report = report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A run that lasted this long was no failure in a row: a continuous job that fails now and then starts again soon.
        if sent.elapsed() > MAX_BACKOFF {
            lease.failures_in_row = 0;
        }
        let end = End { outcome, next_in: self.next_in(outcome, &lease) };
        // If the database does not respond, the lease ends by itself. A shutdown must not wait for that.
        let finished =
            tokio::time::timeout(self.lease / 5, jobs::finish(&self.db, &lease, &report, end)).await;
        match finished.unwrap_or(Err(DbError::Busy)) {
            Ok(()) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(%error, job = lease.name, "the end of the job's run could not be recorded");
                end.next_in.max(self.retry_after())
            }
        }
    }

    /// Renews the lease while the job runs, and says how it ended. The task has ended when this returns.
    async fn watch(
        &self,
        mut task: AbortOnDropHandle<Result<Outcome, DbError>>,
        lease: &Lease,
        report: &Mutex<Report>,
        asked_to_stop: &CancellationToken,
        sent: Instant,
    ) -> RunOutcome {
        let mut renew_at = sent + self.lease / 3;
        let mut relied_on_until = sent + self.relied_on();
        // When a job that was asked to stop is ended.
        let mut patience_until: Option<Instant> = None;
        loop {
            let renewal = async {
                sleep_until(renew_at).await;
                let reported = report.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let sent = Instant::now();
                (sent, jobs::renew(&self.db, lease, &reported).await, reported)
            };
            tokio::select! {
                biased;
                ended = &mut task => return self.outcome(ended, report),
                () = sleep_until(patience_until.unwrap_or(relied_on_until).min(relied_on_until)) => {
                    break;
                }
                () = self.stopping.cancelled(), if patience_until.is_none() => {
                    asked_to_stop.cancel();
                    patience_until = Some(Instant::now() + self.lease / 5);
                }
                (sent, renewed, reported) = renewal => match renewed {
                    Ok(true) => {
                        renew_at = sent + self.lease / 3;
                        relied_on_until = sent + self.relied_on();
                        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                        if report.error == reported.error {
                            report.error = None;
                        }
                    }
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, job = lease.name, "the job's lease could not be renewed, trying again");
                        renew_at = Instant::now() + self.lease / 15;
                    }
                },
            }
        }
        asked_to_stop.cancel();
        task.abort();
        match task.await {
            Err(error) if error.is_cancelled() && self.stopping.is_cancelled() => RunOutcome::Stopped,
            Err(error) if error.is_cancelled() => {
                tracing::warn!(job = lease.name, "the job was ended: its lease was lost");
                RunOutcome::Lost
            }
            // It was quicker.
            ended => self.outcome(ended, report),
        }
    }

    fn outcome(
        &self,
        ended: Result<Result<Outcome, DbError>, JoinError>,
        report: &Mutex<Report>,
    ) -> RunOutcome {
        let name = self.job.name();
        let (outcome, text) = match ended {
            Ok(Ok(Outcome::Done)) => return RunOutcome::Done,
            Ok(Ok(Outcome::Stopped)) => return RunOutcome::Stopped,
            Ok(Err(error)) => {
                tracing::error!(%error, job = name, "the job failed");
                (RunOutcome::Failed, error.summary())
            }
            Err(error) => {
                // The text of a panic may quote content, so it is neither stored nor logged: it is on standard error.
                tracing::error!(job = name, panicked = error.is_panic(), "the job panicked");
                (RunOutcome::Panicked, format!("panicked; see the log of replica {}", self.replica))
            }
        };
        report.lock().unwrap_or_else(PoisonError::into_inner).error = Some(text);
        outcome
    }

    /// When the next run may start after one that ended so.
    fn next_in(&self, outcome: RunOutcome, lease: &Lease) -> Duration {
        match (outcome, self.job.schedule()) {
            (RunOutcome::Done, Schedule::Every(every)) => every,
            (RunOutcome::Done, Schedule::Continuous) => self.retry_after(),
            // Nothing asked it to stop: without a wait it would start again and again.
            (RunOutcome::Stopped, _) if !self.stopping.is_cancelled() => self.retry_after(),
            (RunOutcome::Stopped | RunOutcome::Lost, _) => Duration::ZERO,
            (RunOutcome::Failed | RunOutcome::Panicked, _) => {
                let doublings = lease.failures_in_row.min(20);
                self.retry_after().saturating_mul(1 << doublings).min(MAX_BACKOFF)
            }
        }
    }
}
