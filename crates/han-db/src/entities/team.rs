//! Teams.

use han_types::{PaymentState, PlanTier, Plans, Policy, TeamId, Timestamp};

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
    /// How it pays for its plan.
    pub payment: TeamPayment,
}

/// How a team pays for its plan, as Stripe last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TeamPayment {
    /// The state of its payments.
    pub state: PaymentState,
    /// When its subscription ends, if it was cancelled.
    pub cancels_at: Option<Timestamp>,
    /// Until when its plan stays although a payment failed.
    pub grace_until: Option<Timestamp>,
    /// Whether it is a customer at Stripe that has begun a subscription.
    pub has_subscribed: bool,
}

impl Default for TeamPayment {
    /// A team that has never paid.
    fn default() -> Self {
        Self { state: PaymentState::None, cancels_at: None, grace_until: None, has_subscribed: false }
    }
}

impl Team {
    /// What its plan allows.
    #[must_use]
    pub fn policy(&self, plans: Plans) -> Policy {
        plans.policy(self.plan_tier, self.before_billing)
    }
}
