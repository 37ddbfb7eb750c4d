//! Teams.

use han_types::{PlanTier, Plans, Policy, TeamId, Timestamp};

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its unique name in addresses and on command lines.
    pub slug: String,
    /// The name shown.
    pub name: String,
    /// The plan that is stored; which one applies, [`Team::policy`] says.
    pub plan_tier: PlanTier,
    /// Whether it was created without billing, and its plan was not decided since.
    pub before_billing: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Team {
    /// What its plan allows.
    #[must_use]
    pub fn policy(&self, plans: Plans) -> Policy {
        plans.policy(self.plan_tier, self.before_billing)
    }
}
