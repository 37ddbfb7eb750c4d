//! Plans and their limits. Not here: prices and payment state.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A team's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanTier {
    /// One member, 100 sessions a month, no encryption.
    Free,
    /// Ten members, unlimited sessions, sealed content, high sync priority.
    Pro,
    /// Everything, unlimited.
    Enterprise,
}

impl PlanTier {
    /// The name as it is stored and displayed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// The limit on a team's members; `None` means unlimited.
    #[must_use]
    pub fn max_members(self) -> Option<u32> {
        match self {
            Self::Free => Some(1),
            Self::Pro => Some(10),
            Self::Enterprise => None,
        }
    }

    /// Whether message content is sealed at rest.
    #[must_use]
    pub fn seals_content(self) -> bool {
        !matches!(self, Self::Free)
    }
}

impl fmt::Display for PlanTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlanTier {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "free" => Ok(Self::Free),
            "pro" => Ok(Self::Pro),
            "enterprise" => Ok(Self::Enterprise),
            other => Err(format!("unknown plan {other:?}: expected free, pro or enterprise")),
        }
    }
}

/// Decides which plan applies. Plans are enforced only if billing is configured; a self-hosted server without
/// billing runs every team as Enterprise.
#[derive(Clone, Copy, Debug)]
pub struct Plans {
    /// Whether `STRIPE_SECRET_KEY` is set.
    pub billing_configured: bool,
}

impl Plans {
    /// The plan whose limits apply to a team that is stored with `tier`.
    #[must_use]
    pub fn effective(self, tier: PlanTier) -> PlanTier {
        if self.billing_configured { tier } else { PlanTier::Enterprise }
    }

    /// Whether the members of a team that is stored with `tier` may read its audit log. It is written for every team.
    #[must_use]
    pub fn may_read_audit_log(self, tier: PlanTier) -> bool {
        self.effective(tier) == PlanTier::Enterprise
    }
}
