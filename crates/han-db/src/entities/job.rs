//! Background jobs as the `jobs` table records them. How they run is in `jobs`.

use std::time::Duration;

use han_types::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a job is. It is stored where every operator can read it: counts and ids only, no content of a team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units that are done.
    pub done: u64,
    /// All units, where the job knows their number.
    pub total: Option<u64>,
    /// What a unit is: `sessions`, `teams`.
    pub unit: String,
    /// Where the next run of a job that was interrupted continues; the format is the job's own.
    pub cursor: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// It did all there was to do.
    Done,
    /// It was interrupted by a shutdown.
    Stopped,
    /// It returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// Its lease ended while it ran: the replica died, or could not reach the database.
    Lost,
}

impl RunOutcome {
    /// The word that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Lost => "lost",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Done, Self::Stopped, Self::Failed, Self::Panicked, Self::Lost]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }

    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Panicked)
    }
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// No replica runs it, and its last run did not fail.
    Idle,
    /// A replica runs it.
    Running,
    /// No replica runs it, and its last run failed. It is tried again.
    Failed,
    /// The lease ended and no replica has taken the job over yet.
    Lost,
}

impl JobState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// A job as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// The time between two runs; `None` for a job that runs all the time.
    pub every: Option<Duration>,
    /// What it is doing.
    pub state: JobState,
    /// The replica that runs it.
    pub holder: Option<String>,
    /// When that replica's lease ends unless it is renewed.
    pub lease_until: Option<Timestamp>,
    /// No run starts before this time.
    pub due_at: Timestamp,
    /// When the last run started.
    pub last_started_at: Option<Timestamp>,
    /// When a run ended last.
    pub last_finished_at: Option<Timestamp>,
    /// How long the last run took, or how long it has been running. `None` where there was none, or its end is unknown.
    pub duration: Option<Duration>,
    /// How the last run ended.
    pub last_outcome: Option<RunOutcome>,
    /// What went wrong last, without content of a team.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
    /// How far the current run is, or how far the last one came.
    pub progress: Option<Progress>,
    /// How many runs were started.
    pub runs: u64,
    /// How many of them failed.
    pub failures: u64,
}
