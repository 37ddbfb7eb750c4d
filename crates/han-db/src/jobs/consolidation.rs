//! The job that merges small segments: of idle sessions, and of those that have many. How it merges is in `queries::consolidation`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::entities::Progress;
use crate::queries::consolidation::{Fragmented, consolidate, fragmented};

/// How often it looks for sessions.
const EVERY: Duration = Duration::from_secs(10);

/// A session is idle if nothing was pushed for this long, in milliseconds.
const IDLE_MS: i64 = 30_000;

/// How many sessions are listed at once.
const LISTED: usize = 200;

/// How long the job rests after each session: this many times as long as the session took, and at most [`LONGEST_REST`].
/// Sessions that are pushed to alike need a merge at the same time; without a rest, the merges of all of them would take a
/// processor from pushes for seconds.
const REST: u32 = 3;
const LONGEST_REST: Duration = Duration::from_millis(250);

/// The job. Its first run looks at all sessions, later ones at those that became idle since.
#[derive(Debug)]
pub struct Consolidation {
    /// Sessions that were last pushed to before this time were looked at.
    looked_until: AtomicI64,
}

impl Default for Consolidation {
    fn default() -> Self {
        Self { looked_until: AtomicI64::new(i64::MIN) }
    }
}

#[async_trait]
impl Job for Consolidation {
    fn name(&self) -> &'static str {
        "consolidation"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(EVERY)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let db = context.db();
        let until = db.clock().now().0 - IDLE_MS;
        let idle = (self.looked_until.load(Ordering::Relaxed), until);
        let mut after: Option<Fragmented> = None;
        let mut done = 0;
        loop {
            let listed = fragmented(db, idle, after.as_ref(), LISTED).await?;
            let Some(last) = listed.last() else {
                self.looked_until.store(until, Ordering::Relaxed);
                return Ok(Outcome::Done);
            };
            after = Some(last.clone());
            for session in &listed {
                if context.should_stop() {
                    return Ok(Outcome::Stopped);
                }
                let began = Instant::now();
                // One session that cannot be opened must not keep the others from being merged.
                if let Err(error) = consolidate(db, session).await {
                    tracing::warn!(%error, team = %session.team_id, session = %session.session_id,
                        "the segments of a session could not be merged");
                    context.note_error(&error);
                }
                done += 1;
                let unit = "sessions".to_owned();
                context.progress(Progress { done, total: None, unit, cursor: None });
                sleep((began.elapsed() * REST).min(LONGEST_REST)).await;
            }
        }
    }
}
