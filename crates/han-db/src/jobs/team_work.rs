//! The job that works on all rows of teams: re-wraps DEKs after a rotation, converts content, deletes what was requested
//! to be deleted. It also completes a rotation of the KEK that was interrupted. What a batch does is in `queries::team_work`
//! and `queries::deletion_requests`.
//!
//! Each piece of work gets one batch in turn, so that a long one does not hold up the others.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::pace::Pace;
use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::entities::Progress;
use crate::queries::team_work::{self, Advance, Work, WorkKind};
use crate::queries::{conversion, deletion_requests, keks};

/// How often it looks for work.
const EVERY: Duration = Duration::from_secs(10);

/// The job.
pub struct TeamWork {
    pace: Pace,
}

impl std::fmt::Debug for TeamWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeamWork").finish_non_exhaustive()
    }
}

impl TeamWork {
    /// `is_quiet_for` says whether no client has pushed for so long: the work gives way to ingest.
    #[must_use]
    pub fn new(is_quiet_for: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Self {
        Self { pace: Pace::new(is_quiet_for) }
    }
}

#[async_trait]
impl Job for TeamWork {
    fn name(&self) -> &'static str {
        "team-work"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(EVERY)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let db = context.db();
        let mut done = 0;
        loop {
            if context.should_stop() {
                return Ok(Outcome::Stopped);
            }
            let began = Instant::now();
            let batch = keks::rewrap_batch(db).await?;
            if batch == 0 {
                break;
            }
            done += batch;
            context.progress(Progress { done, total: None, unit: "keys".to_owned(), cursor: None });
            self.pace.rest(began).await;
        }
        conversion::request_due(db).await?;
        loop {
            let mut moved = false;
            for request in deletion_requests::due(db).await? {
                if context.should_stop() {
                    return Ok(Outcome::Stopped);
                }
                let began = Instant::now();
                match deletion_requests::advance(db, &request).await {
                    Ok(Advance::Waiting) => {}
                    Ok(Advance::More | Advance::Finished) => moved = true,
                    Err(error) => {
                        tracing::warn!(%error, request = request.id, "a deletion could not go on");
                        context.note_error(&error);
                    }
                }
                self.pace.rest(began).await;
            }
            for work in team_work::unfinished(db).await? {
                if context.should_stop() {
                    return Ok(Outcome::Stopped);
                }
                let began = Instant::now();
                match team_work::advance(db, &work).await {
                    Ok(Advance::Waiting) => {}
                    Ok(Advance::More | Advance::Finished) => moved = true,
                    // The work of one team that cannot go on does not hold up the others.
                    Err(error) => {
                        tracing::warn!(%error, team = %work.team_id, kind = %work.kind,
                            "the work on a team could not go on");
                        context.note_error(&error);
                    }
                }
                context.progress(progress(&work));
                self.pace.rest(began).await;
            }
            if !moved {
                return Ok(Outcome::Done);
            }
        }
    }
}

/// `rotate`, the team, and the rows that were changed. A deletion does not leave the id of its team.
fn progress(work: &Work) -> Progress {
    let unit = match work.kind {
        WorkKind::Delete => format!("rows ({})", work.kind),
        _ => format!("rows ({} {})", work.kind, work.team_id),
    };
    Progress { done: work.done, total: None, unit, cursor: None }
}
