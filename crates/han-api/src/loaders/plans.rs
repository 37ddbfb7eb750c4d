//! What teams have used of their plans. Not in the operation's transaction, which sees one team.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use han_db::queries::plans::{self, PlanUsage};
use han_types::TeamId;

use super::Loaders;
use crate::error::{ApiError, Result};

/// What a team has used of its plan. The caller has read a membership in that team.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanUsageOf(pub(crate) TeamId);

impl Loader<PlanUsageOf> for Loaders {
    type Value = PlanUsage;
    type Error = ApiError;

    async fn load(&self, keys: &[PlanUsageOf]) -> Result<HashMap<PlanUsageOf, PlanUsage>> {
        let teams: Vec<TeamId> = keys.iter().map(|key| key.0.clone()).collect();
        let found = plans::usage(self.0.db(), &teams).await?;
        Ok(found.into_iter().map(|(team, usage)| (PlanUsageOf(team), usage)).collect())
    }
}
