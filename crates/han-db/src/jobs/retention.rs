//! Purges the content of sessions that is older than their team keeps it. What is purged, and what stays, is in
//! `queries::retention`.
//!
//! A session that was purged says so in its row, in the same transaction. So a run may be interrupted anywhere, and the
//! next one goes on with the sessions that are left.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::pace::Pace;
use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::entities::Progress;
use crate::queries::retention;

/// How often it looks for sessions.
const EVERY: Duration = Duration::from_secs(3600);

/// How many sessions are listed at once.
const LISTED: usize = 100;

/// The job.
pub struct Retention {
    pace: Pace,
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention").finish_non_exhaustive()
    }
}

impl Retention {
    /// `is_quiet_for` says whether no client has pushed for so long: the work gives way to ingest.
    #[must_use]
    pub fn new(is_quiet_for: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Self {
        Self { pace: Pace::new(is_quiet_for) }
    }
}

#[async_trait]
impl Job for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(EVERY)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let db = context.db();
        let (mut done, mut failed) = (0, 0);
        for team in retention::list(db).await? {
            if !team.applies {
                continue;
            }
            let mut after = None;
            loop {
                let due = retention::due(db, &team.team_id, team.days, after.as_ref(), LISTED).await?;
                let Some(last) = due.last() else { break };
                after = Some(last.clone());
                for session in &due {
                    if context.should_stop() {
                        return Ok(Outcome::Stopped);
                    }
                    let began = Instant::now();
                    // One session that cannot be purged must not keep the others from being purged.
                    if let Err(error) = retention::purge(db, &team.team_id, team.days, session).await {
                        tracing::warn!(%error, team = %team.team_id, session = %session.session_id(),
                            "a session could not be purged");
                        context.note_error(&error);
                        failed += 1;
                    }
                    done += 1;
                    let unit = format!("sessions ({})", team.team_id);
                    context.progress(Progress { done, total: None, unit, cursor: None });
                    self.pace.rest(began).await;
                }
            }
        }
        match failed {
            0 => Ok(Outcome::Done),
            n => Err(DbError::Job(format!("{n} session(s) could not be purged: see the log"))),
        }
    }
}
