//! Background jobs: what a job is, and the registry of those that a server runs. The leases and results are rows that
//! `queries::jobs` reads and writes; `runner` holds the leases; each job has its own file here.
//!
//! At most one replica runs a job at a time, which saves work and is not what a job's correctness may depend on: a
//! process that was suspended may go on writing after its lease has ended. So a job makes each of its transactions
//! depend on what it has read (it compares before it writes, as [`SearchIndex`] does), and can be killed and started
//! again at any point (docs/adr/0012).

mod billing;
mod consolidation;
mod github_access;
mod pace;
mod prices;
mod retention;
mod runner;
mod search_index;
mod statistics;
mod team_work;
mod vacuum;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::entities::Progress;
use crate::queries::jobs::Report;
use crate::{Db, DbError};

pub use billing::Billing;
pub use consolidation::Consolidation;
pub use github_access::{GithubAccess, Standing};
pub use prices::Prices;
pub use retention::Retention;
pub use search_index::SearchIndex;
pub use statistics::Statistics;
pub use team_work::TeamWork;
pub use vacuum::Vacuum;

/// How long a lease lasts. It is renewed three times in this time; a replica that dies delays its jobs by at most this
/// much.
const LEASE: Duration = Duration::from_secs(15);

/// When a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// This much time after its last run ended. Whole seconds.
    Every(Duration),
    /// All the time: it waits for changes itself, and returns only when it is asked to stop.
    Continuous,
}

/// How a run ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing left to do until the next run.
    Done,
    /// It was asked to stop and left something undone: another replica may go on at once.
    Stopped,
}

/// Work that is done in the background, on one replica at a time.
#[async_trait]
pub trait Job: Send + Sync {
    /// Its name, unique and the same in every version of the program.
    fn name(&self) -> &'static str;

    /// When it runs.
    fn schedule(&self) -> Schedule;

    /// Does the work. An error is recorded and the job is tried again, later each time. When [`JobContext::stopping`]
    /// ends it should return; if it does not within a few seconds, or if the lease is lost, it is dropped at the point
    /// where it waits.
    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError>;
}

/// What a running job works with.
#[derive(Debug)]
pub struct JobContext {
    db: Db,
    replica: String,
    stopping: CancellationToken,
    report: Arc<Mutex<Report>>,
    interrupted: Option<Progress>,
}

impl JobContext {
    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The replica that runs the job, as `han-server jobs` lists it.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// Whether the job should return: the server stops, or the lease is lost.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Ends when the job should return.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// How far the previous run came if it was interrupted or failed; `None` if it did all there was to do.
    #[must_use]
    pub fn interrupted(&self) -> Option<&Progress> {
        self.interrupted.as_ref()
    }

    /// Says how far the job is. Cheap: it is stored when the lease is renewed, and when the run ends.
    pub fn progress(&self, progress: Progress) {
        self.report().progress = Some(progress);
    }

    /// Records an error that does not end the run.
    pub fn note_error(&self, error: &DbError) {
        self.report().error = Some(error.summary());
    }

    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// A new id for this process among the replicas.
    #[must_use]
    pub fn new_replica_id(&self) -> String {
        let mut random = [0u8; 6];
        self.entropy().fill(&mut random);
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The jobs of a server.
pub struct Registry {
    db: Db,
    replica: String,
    lease: Duration,
    jobs: Vec<Arc<dyn Job>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.jobs.iter().map(|job| job.name()).collect();
        f.debug_struct("Registry")
            .field("replica", &self.replica)
            .field("jobs", &names)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry without jobs, of a replica with a new id. A process that starts again is another replica: the one
    /// that it was may not be dead yet.
    #[must_use]
    pub fn new(db: Db) -> Self {
        let replica = db.new_replica_id();
        Self { db, replica, lease: LEASE, jobs: Vec::new() }
    }

    /// Gives the replica this id.
    #[must_use]
    pub fn named(mut self, replica: String) -> Self {
        self.replica = replica;
        self
    }

    /// Makes leases last this long instead of 15 seconds.
    #[must_use]
    pub fn with_lease(mut self, length: Duration) -> Self {
        self.lease = length;
        self
    }

    /// Adds a job.
    #[must_use]
    pub fn with(mut self, job: impl Job + 'static) -> Self {
        self.jobs.push(Arc::new(job));
        self
    }

    /// The id of this replica.
    #[must_use]
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// Runs the jobs until `stopping` is cancelled; then asks those that run to return and ends their leases, so that
    /// other replicas take over at once. Dropped, it stops the jobs and leaves the leases to end by themselves.
    pub async fn run(self, stopping: CancellationToken) {
        tracing::info!(replica = self.replica, "background jobs start");
        let mut runners = JoinSet::new();
        let mut names = HashSet::new();
        for job in self.jobs {
            if !names.insert(job.name()) {
                tracing::error!(job = job.name(), "two jobs have this name: the second does not run");
                continue;
            }
            runners.spawn(runner::serve(
                job,
                self.db.clone(),
                self.replica.clone(),
                self.lease,
                stopping.clone(),
            ));
        }
        while let Some(ended) = runners.join_next().await {
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!(
                    "the runner of a job panicked: the job does not run until the server is restarted"
                );
            }
        }
    }
}
