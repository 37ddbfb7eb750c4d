//! Keeps teams as Stripe says that they are. What is done is the server's, which talks to Stripe: this runs it at its times,
//! on one replica.
//!
//! A run may be interrupted anywhere: each state of Stripe is applied in one transaction, and read again if it may be old.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

use super::{Job, JobContext, Outcome, Schedule};
use crate::DbError;

type Run = Pin<Box<dyn Future<Output = Result<(), DbError>> + Send>>;

/// A job of billing.
pub struct Billing {
    name: &'static str,
    every: Duration,
    work: Box<dyn Fn() -> Run + Send + Sync>,
}

impl std::fmt::Debug for Billing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Billing")
            .field("name", &self.name)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

impl Billing {
    /// The job `billing`: what is due, such as the end of a grace period, and the subscriptions of deleted teams.
    pub fn due<F>(every: Duration, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), DbError>> + Send + 'static,
    {
        Self { name: "billing", every, work: Box::new(move || Box::pin(work())) }
    }

    /// The job `billing-reconcile`: compares all teams with Stripe.
    pub fn reconcile<F>(every: Duration, work: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), DbError>> + Send + 'static,
    {
        Self { name: "billing-reconcile", every, work: Box::new(move || Box::pin(work())) }
    }
}

#[async_trait]
impl Job for Billing {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(self.every)
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        tokio::select! {
            done = (self.work)() => done.map(|()| Outcome::Done),
            () = context.stopping() => Ok(Outcome::Stopped),
        }
    }
}
