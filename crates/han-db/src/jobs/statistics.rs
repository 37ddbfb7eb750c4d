//! Makes the planner's statistics of tables that have none yet. Which tables is decided in `queries::statistics`.

use std::time::Duration;

use async_trait::async_trait;

use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::queries::statistics::analyze_new;

/// How often it looks for tables.
const EVERY: Duration = Duration::from_secs(5);

/// The job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics;

#[async_trait]
impl Job for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(EVERY)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let tables = analyze_new(context.db()).await?;
        if !tables.is_empty() {
            tracing::info!(tables = tables.join(", "), "made the first statistics of tables");
        }
        Ok(Outcome::Done)
    }
}
