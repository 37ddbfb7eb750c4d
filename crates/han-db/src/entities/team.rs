//! Teams.

use han_types::{PlanTier, TeamId, Timestamp};

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its unique name in addresses and on command lines.
    pub slug: String,
    /// The name shown.
    pub name: String,
    /// The plan that is stored; which plan binds, [`han_types::Plans`] says.
    pub plan_tier: PlanTier,
    /// When it was made.
    pub created_at: Timestamp,
}
