//! Prices the answers again that a change of prices concerns. How a session is priced is in `queries::prices`.
//!
//! A session that was priced says so in its row, in the same transaction. So a run may be interrupted anywhere, and the
//! next one goes on with the sessions that are left. One that a process with older prices has written to meanwhile is
//! found by a later run.

use std::time::Duration;

use async_trait::async_trait;

use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::entities::Progress;
use crate::queries::prices;

/// How often it looks for sessions.
const EVERY: Duration = Duration::from_secs(10);

/// How many sessions are listed at once.
const LISTED: usize = 100;

/// The job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prices;

#[async_trait]
impl Job for Prices {
    fn name(&self) -> &'static str {
        "prices"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(EVERY)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let db = context.db();
        let (mut done, mut failed, mut after) = (0, 0, None);
        loop {
            let current = prices::latest(db).await?;
            let sessions = prices::outdated(db, current.revision, after.as_ref(), LISTED).await?;
            let Some(last) = sessions.last() else { break };
            after = Some(last.clone());
            for session in &sessions {
                if context.should_stop() {
                    return Ok(Outcome::Stopped);
                }
                // One session that cannot be priced must not keep the others from being priced.
                if let Err(error) = prices::reprice(db, session, &current).await {
                    tracing::warn!(%error, ?session, "a session could not be priced again");
                    context.note_error(&error);
                    failed += 1;
                }
                done += 1;
                let unit = "sessions".to_owned();
                context.progress(Progress { done, total: None, unit, cursor: None });
            }
        }
        match failed {
            0 => Ok(Outcome::Done),
            n => Err(DbError::Job(format!("{n} session(s) could not be priced again: see the log"))),
        }
    }
}
