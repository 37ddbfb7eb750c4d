//! The server's background jobs during a benchmark: waits for what they do, or keeps them from running.

use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use crate::target::Target;

/// The job that writes the search index.
pub(crate) const SEARCH_INDEX: &str = "search-index";

/// The job that merges small segments.
pub(crate) const CONSOLIDATION: &str = "consolidation";

/// The job that seals the content of teams, among others.
pub(crate) const TEAM_WORK: &str = "team-work";

/// How long the number of segments must not change until consolidation counts as complete: longer than a session must
/// be idle and than the job waits between two runs, together.
const SETTLED: Duration = Duration::from_secs(50);

/// A server gives a job up within this time after it lost the job's lease.
const GIVEN_UP: Duration = Duration::from_secs(6);

/// The number of sessions with lines that are not in the search index.
const NOT_INDEXED: &str = "SELECT count(*) FROM sessions s \
     LEFT JOIN search_state i ON i.team = s.team AND i.session = s.number \
     WHERE s.next_ordinal > COALESCE(i.indexed_ordinal, 0)";

const SEGMENTS: &str = "SELECT count(*) FROM segments";

impl Target {
    /// Waits until the search index is complete, so that its job does not run during a measurement.
    pub(crate) async fn until_indexed(&self) {
        while self.number(NOT_INDEXED).await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether the server has a job of this name.
    pub(crate) async fn has_job(&self, job: &str) -> bool {
        self.number(&format!("SELECT count(*) FROM jobs WHERE name = '{job}'")).await > 0
    }

    /// Waits until the job `consolidation` has nothing left to merge. If there is no such job, returns `false` at once.
    pub(crate) async fn until_consolidated(&self, consolidation: &str) -> bool {
        if !self.has_job(consolidation).await {
            return false;
        }
        settled(async || self.number(SEGMENTS).await).await;
        true
    }

    /// Takes the lease of each job that the server has, so that it does not run for 20 minutes or until it is
    /// [released](Self::release). Waits until the server has given the jobs up.
    pub(crate) async fn hold(&self, jobs: &[&str]) {
        // A server that has just started may not have registered its jobs yet.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.keep_holding(jobs).await;
        tokio::time::sleep(GIVEN_UP).await;
    }

    /// Extends the leases that [`hold`](Self::hold) took.
    pub(crate) async fn keep_holding(&self, jobs: &[&str]) {
        let names: Vec<String> = jobs.iter().map(|job| format!("'{job}'")).collect();
        self.execute(&format!(
            "UPDATE jobs SET lease_holder = 'benchmark', lease_number = lease_number + 1, \
             lease_until = CAST(extract(epoch FROM now()) * 1000 AS bigint) + 1200000 WHERE name IN ({})",
            names.join(", ")
        ))
        .await;
    }

    /// Gives a job's lease back, and wakes the server, which takes it.
    pub(crate) async fn release(&self, job: &str) {
        self.execute(&format!(
            "UPDATE jobs SET lease_holder = NULL, lease_until = NULL, due_at = 0 \
             WHERE name = '{job}' AND lease_holder = 'benchmark'; NOTIFY db_jobs"
        ))
        .await;
    }
}

/// Waits until the search index of a SQLite database is complete.
pub(crate) async fn until_sqlite_indexed(connection: &mut SqliteConnection) {
    while sqlite_number(connection, NOT_INDEXED).await > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// [`Target::until_consolidated`] for a SQLite database.
pub(crate) async fn until_sqlite_consolidated(connection: &mut SqliteConnection) -> bool {
    let jobs = "SELECT count(*) FROM jobs WHERE name = 'consolidation'";
    if sqlite_number(connection, jobs).await == 0 {
        return false;
    }
    settled(async || sqlite_number(connection, SEGMENTS).await).await;
    true
}

async fn sqlite_number(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.expect("a count")
}

/// Waits until a number has not changed for [`SETTLED`].
async fn settled(mut number: impl AsyncFnMut() -> i64) {
    let (mut before, mut since) = (number().await, Instant::now());
    while since.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = number().await;
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}
