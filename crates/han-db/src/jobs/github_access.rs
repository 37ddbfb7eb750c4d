//! Asks GitHub again whether the users who signed in through it may still sign in, and ends the credentials of those who
//! may not (docs/adr/0026).
//!
//! A run may be interrupted anywhere: a user is asked about again if no answer was recorded, and ending what has ended
//! changes nothing. A user who signs in while GitHub is asked keeps the new credentials.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;
use crate::entities::Progress;
use crate::queries::github_accounts::{self, GithubUser};

/// How many users one statement reads.
const PAGE: u32 = 100;

/// After so many users in a row without an answer, GitHub is considered down, and the run ends.
const UNANSWERED: usize = 3;

/// What GitHub says about a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The user may still sign in.
    Admitted,
    /// The user may not sign in any more.
    Left,
    /// GitHub gave no answer that decides.
    Unknown,
}

type Answer = Pin<Box<dyn Future<Output = Standing> + Send>>;

/// The job.
pub struct GithubAccess {
    every: Duration,
    ask: Box<dyn Fn(GithubUser) -> Answer + Send + Sync>,
}

impl std::fmt::Debug for GithubAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GithubAccess").field("every", &self.every).finish_non_exhaustive()
    }
}

impl GithubAccess {
    /// A job that asks about each user every `every`, with `ask`.
    pub fn new<F>(every: Duration, ask: impl Fn(GithubUser) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Standing> + Send + 'static,
    {
        Self { every, ask: Box::new(move |user| Box::pin(ask(user))) }
    }
}

#[async_trait]
impl Job for GithubAccess {
    fn name(&self) -> &'static str {
        "github-access"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(self.every)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let db = context.db();
        let mut after = None;
        let (mut done, mut unanswered, mut in_row) = (0, 0, 0);
        'users: loop {
            let users = github_accounts::due(db, self.every, after.as_ref(), PAGE).await?;
            if users.is_empty() {
                break;
            }
            for user in users {
                if context.should_stop() {
                    return Ok(Outcome::Stopped);
                }
                after = Some(user.user_id.clone());
                match (self.ask)(user.clone()).await {
                    Standing::Admitted => {
                        github_accounts::admitted(db, &user).await?;
                        in_row = 0;
                    }
                    Standing::Left => {
                        if let Some(ended) = github_accounts::end(db, &user).await? {
                            tracing::info!(user = %user.user_id, ?ended, "GitHub no longer admits a user");
                        }
                        in_row = 0;
                    }
                    Standing::Unknown => {
                        (unanswered, in_row) = (unanswered + 1, in_row + 1);
                        if in_row >= UNANSWERED {
                            break 'users;
                        }
                    }
                }
                done += 1;
                let unit = "users".to_owned();
                context.progress(Progress { done, total: None, unit, cursor: None });
            }
        }
        match unanswered {
            0 => Ok(Outcome::Done),
            // The registry tries again, and nothing is ended meanwhile.
            n => {
                Err(DbError::Job(format!("GitHub gave no answer about {n} user(s): they keep their access")))
            }
        }
    }
}
