//! Frees the space of rows that merges have replaced, before autovacuum does. Of which tables is decided in
//! `queries::statistics`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::queries::statistics::vacuum_replaced;

/// How often it looks for tables.
const EVERY: Duration = Duration::from_secs(10);

/// How long it rests after it has vacuumed: this many times as long as that took. While an old transaction runs, such as
/// that of a backup, PostgreSQL keeps the rows, and the next run finds them again.
const REST: u32 = 20;

/// The job.
#[derive(Debug, Default)]
pub struct Vacuum {
    rests_until: Mutex<Option<Instant>>,
}

#[async_trait]
impl Job for Vacuum {
    fn name(&self) -> &'static str {
        "vacuum"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(EVERY)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let rests_until = || self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if rests_until().is_some_and(|until| began < until) {
            return Ok(Outcome::Done);
        }
        let vacuumed = vacuum_replaced(context.db()).await;
        *rests_until() = Some(Instant::now() + began.elapsed() * REST);
        vacuumed.map(|_| Outcome::Done)
    }
}
