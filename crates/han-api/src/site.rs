//! The server that serves the team schema, as the schema needs to know it: its address, and where teams pay.

use std::fmt;
use std::sync::Arc;

use async_graphql::Context;
use async_trait::async_trait;
use han_db::DbError;
use han_types::{BillingInterval, PlanTier, Scope};

use crate::error::{ApiError, Result};

/// What a credential may not, because only admins may.
pub(crate) const ONLY_ADMINS_CAN: &str = "do this: only an admin of the team can, so ask one";

/// The team server that serves the schema.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its public origin, in the form of an `Origin` header: links begin with it.
    pub origin: String,
    /// The path of the page that accepts invites.
    pub invite_path: &'static str,
    /// The pages where teams pay; `None` if billing is not configured.
    pub billing: Option<Arc<dyn BillingPages>>,
}

/// The pages of a payment provider where an admin pays for a team. The caller has checked that the scope's user is an admin.
#[async_trait]
pub trait BillingPages: fmt::Debug + Send + Sync {
    /// The URL of a page where the team subscribes to a plan.
    async fn checkout(
        &self,
        scope: &Scope,
        plan: PlanTier,
        interval: BillingInterval,
    ) -> Result<String, BillingError>;

    /// The URL of a page where the team changes how it pays, and sees its invoices.
    async fn portal(&self, scope: &Scope) -> Result<String, BillingError>;
}

/// Why there is no page.
#[derive(Debug)]
pub enum BillingError {
    /// The user is no longer an admin of the team.
    NotAllowed,
    /// The team was deleted.
    Gone,
    /// The state of the team does not allow it: what to do first.
    Conflict(String),
    /// The payment provider failed: what to do.
    Failed(String),
    /// The database failed.
    Database(DbError),
}

impl From<DbError> for BillingError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl From<BillingError> for ApiError {
    fn from(error: BillingError) -> Self {
        match error {
            BillingError::NotAllowed => Self::Forbidden(ONLY_ADMINS_CAN),
            BillingError::Gone => Self::NotFound("team"),
            BillingError::Conflict(problem) => Self::Conflict(problem),
            BillingError::Failed(problem) => Self::Elsewhere(problem),
            BillingError::Database(error) => error.into(),
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self { origin: String::new(), invite_path: "/invite", billing: None }
    }
}

/// The server of the schema; a schema that exists only to be printed has a default one.
pub(crate) fn site(ctx: &Context<'_>) -> Site {
    ctx.data_opt::<Site>().cloned().unwrap_or_default()
}
