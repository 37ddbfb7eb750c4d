//! How long a team keeps the content of its sessions.

use async_graphql::{Context, ID, Object};
use han_db::queries::retention::{self, Changed, DAYS};

use crate::error::{ApiError, Result};
use crate::team::{self, ONLY_ADMINS};
use crate::types::team::Team;

#[derive(Debug, Default)]
pub(crate) struct RetentionMutation;

/// The retention of a team.
#[Object]
impl RetentionMutation {
    /// Sets for how many days the content of a session is kept after its last line has arrived. Then it is purged, within an
    /// hour, and nothing restores it: its lines, and everything that they say. Its totals and the metrics of the team stay.
    /// Only for admins, and only with the Enterprise plan.
    async fn set_retention(
        &self,
        ctx: &Context<'_>,
        team_id: ID,
        #[graphql(desc = "The number of days, 1 to 3650; null keeps content without end.")] days: Option<i32>,
    ) -> Result<Option<Team>> {
        let (db, scope) = team::manage(ctx, &team_id).await?;
        let days = days.map(i64::from);
        if days.is_some_and(|days| !DAYS.contains(&days)) {
            let problem = format!("it must be {} to {}, or null", DAYS.start(), DAYS.end());
            return Err(ApiError::bad("days", problem));
        }
        match retention::set(&scope, db, days).await? {
            Changed::Done => {}
            Changed::NotAllowed => return Err(ONLY_ADMINS),
            Changed::NotInPlan(refusal) => return Err(team::over_plan(refusal)),
        }
        let resolved = team::scope_in(db, team::person(ctx)?, &team_id).await?;
        Ok(Some(team::of_scope(resolved)))
    }
}
