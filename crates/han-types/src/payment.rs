//! How a team pays for its plan. Not here: what a plan allows.

use std::fmt;
use std::str::FromStr;

/// What Stripe says about the payments of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PaymentState {
    /// The team has no subscription.
    None,
    /// A subscription was begun, but its first payment has not succeeded yet.
    Incomplete,
    /// The subscription has ended.
    Canceled,
    /// The subscription is paused: it bills nothing and gives no plan.
    Paused,
    /// Stripe has given up on a payment. The plan has ended.
    Unpaid,
    /// A payment failed, and Stripe tries it again. The plan stays until the grace period has ended.
    PaymentFailed,
    /// The subscription is in its trial.
    Trialing,
    /// The subscription is paid.
    Active,
}

impl PaymentState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Incomplete,
        Self::Canceled,
        Self::Paused,
        Self::Unpaid,
        Self::PaymentFailed,
        Self::Trialing,
        Self::Active,
    ];

    /// The name as it is stored and displayed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Incomplete => "incomplete",
            Self::Canceled => "canceled",
            Self::Paused => "paused",
            Self::Unpaid => "unpaid",
            Self::PaymentFailed => "payment_failed",
            Self::Trialing => "trialing",
            Self::Active => "active",
        }
    }
}

impl fmt::Display for PaymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PaymentState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no state of payment"))
    }
}

/// How often a subscription is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BillingInterval {
    /// Every month.
    Monthly,
    /// Every year.
    Yearly,
}

impl BillingInterval {
    /// The name as it is displayed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

impl fmt::Display for BillingInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
