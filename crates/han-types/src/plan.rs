//! Plans: what each one allows ([`Policy`]), and whether they are enforced ([`Plans`]). This is the only place with the
//! limits. Not here: prices and payment state.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Months, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

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
    /// All plans, the smallest first.
    pub const ALL: [Self; 3] = [Self::Free, Self::Pro, Self::Enterprise];

    /// The name as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// The name as people read it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Pro => "Pro",
            Self::Enterprise => "Enterprise",
        }
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
        Self::ALL
            .into_iter()
            .find(|tier| tier.as_str() == s)
            .ok_or_else(|| format!("unknown plan {s:?}: expected free, pro or enterprise"))
    }
}

/// Something that only some plans include. A feature that does not exist yet is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Who did what in the team.
    AuditLog,
    /// Sessions are deleted after a number of days that the team chooses.
    CustomRetention,
}

impl Feature {
    /// All features.
    pub const ALL: [Self; 2] = [Self::AuditLog, Self::CustomRetention];

    /// The name as people read it, for a sentence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::AuditLog => "the audit log",
            Self::CustomRetention => "custom retention",
        }
    }
}

/// The limits of a plan. `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members of the team.
    pub members: Option<u32>,
    /// New sessions of the team in a month.
    pub sessions_per_month: Option<u32>,
    /// Requests of the whole team in a minute, in each class of routes that counts them. The limits of addresses and users
    /// apply besides.
    pub requests_per_minute: Option<u32>,
}

/// What the plan of a team allows, for one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    plan: PlanTier,
    /// How many members came before this one.
    members_before: u32,
}

impl Policy {
    /// The policy of a plan, for its first member.
    #[must_use]
    pub fn of(plan: PlanTier) -> Self {
        Self { plan, members_before: 0 }
    }

    /// The policy for a member who joined the team after so many others.
    #[must_use]
    pub fn after_members(self, members_before: u32) -> Self {
        Self { members_before, ..self }
    }

    /// The plan.
    #[must_use]
    pub fn plan(self) -> PlanTier {
        self.plan
    }

    /// The limits of the plan.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self.plan {
            PlanTier::Free => {
                Limits { members: Some(1), sessions_per_month: Some(100), requests_per_minute: Some(300) }
            }
            PlanTier::Pro => {
                Limits { members: Some(10), sessions_per_month: None, requests_per_minute: None }
            }
            PlanTier::Enterprise => {
                Limits { members: None, sessions_per_month: None, requests_per_minute: None }
            }
        }
    }

    /// Whether content is sealed at rest.
    #[must_use]
    pub fn seals_content(self) -> bool {
        self.plan >= PlanTier::Pro
    }

    /// Whether its pushes go first on a busy server.
    #[must_use]
    pub fn goes_first(self) -> bool {
        self.plan >= PlanTier::Pro
    }

    /// Whether the plan includes a feature.
    #[must_use]
    pub fn allows(self, feature: Feature) -> bool {
        match feature {
            Feature::AuditLog | Feature::CustomRetention => self.plan == PlanTier::Enterprise,
        }
    }

    /// The features that the plan includes.
    pub fn features(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |feature| self.allows(*feature))
    }

    /// Checks that the plan includes a feature.
    ///
    /// # Errors
    /// [`PlanRefusal::Feature`] if it does not.
    pub fn require(self, feature: Feature) -> Result<(), PlanRefusal> {
        if self.allows(feature) { Ok(()) } else { Err(PlanRefusal::Feature { plan: self.plan, feature }) }
    }

    /// Checks that the member has a seat: who has none reads the team's sessions and pushes none.
    ///
    /// # Errors
    /// [`PlanRefusal::Seat`] if the members before them have all seats.
    pub fn require_seat(self) -> Result<(), PlanRefusal> {
        match self.limits().members {
            Some(limit) if self.members_before >= limit => {
                Err(PlanRefusal::Seat { plan: self.plan, limit, members_before: self.members_before })
            }
            _ => Ok(()),
        }
    }

    /// Checks that a team with so many `members` may have another one.
    ///
    /// # Errors
    /// [`PlanRefusal::Members`] if all seats are taken.
    pub fn require_room(self, members: u32) -> Result<(), PlanRefusal> {
        match self.limits().members {
            Some(limit) if members >= limit => Err(PlanRefusal::Members { plan: self.plan, limit, members }),
            _ => Ok(()),
        }
    }

    /// Checks that a team that has pushed `used` new sessions in a month may push another one.
    ///
    /// # Errors
    /// [`PlanRefusal::Sessions`] if it may not.
    pub fn require_session(self, used: u64, month: Month) -> Result<(), PlanRefusal> {
        match self.limits().sessions_per_month {
            Some(limit) if used >= u64::from(limit) => {
                Err(PlanRefusal::Sessions { plan: self.plan, limit, used, month })
            }
            _ => Ok(()),
        }
    }
}

/// What the plan of a team does not allow. The text names the limit, the usage and the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanRefusal {
    /// The team has as many members as it may have, or more.
    Members {
        /// The plan.
        plan: PlanTier,
        /// The limit.
        limit: u32,
        /// The members of the team.
        members: u32,
    },
    /// The member has no seat.
    Seat {
        /// The plan.
        plan: PlanTier,
        /// The limit.
        limit: u32,
        /// How many members came before.
        members_before: u32,
    },
    /// The team has used up the sessions of the month.
    Sessions {
        /// The plan.
        plan: PlanTier,
        /// The limit.
        limit: u32,
        /// The sessions of the month so far.
        used: u64,
        /// The month.
        month: Month,
    },
    /// The plan does not include a feature.
    Feature {
        /// The plan.
        plan: PlanTier,
        /// The feature.
        feature: Feature,
    },
}

impl fmt::Display for PlanRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Members { plan, limit, members } => write!(
                f,
                "the {} plan has room for {}, and the team has {}: an admin of the team can upgrade the plan, or remove a \
                 member",
                plan.title(),
                Counted(limit, "member"),
                Counted(members, "member"),
            ),
            Self::Seat { plan, limit, members_before } => write!(
                f,
                "the {} plan has room for {}, and {} joined the team before you: you can read its sessions, but not push. \
                 An admin of the team can upgrade the plan, or remove members",
                plan.title(),
                Counted(limit, "member"),
                Counted(members_before, "member"),
            ),
            Self::Sessions { plan, limit, used, month } => write!(
                f,
                "the {} plan includes {limit} new sessions a month, and the team has pushed {used} since {} (UTC). Push \
                 this session again after {}, when the count begins at 0, or ask an admin of the team to upgrade the \
                 plan. Sessions that the server has already can still grow",
                plan.title(),
                month.begins_at,
                month.ends_at,
            ),
            Self::Feature { plan, feature } => write!(
                f,
                "the {} plan does not include {}: an admin of the team can upgrade the plan to Enterprise",
                plan.title(),
                feature.title(),
            ),
        }
    }
}

impl std::error::Error for PlanRefusal {}

/// A number with its noun.
struct Counted(u32, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, noun) = self;
        let plural = if *n == 1 { "" } else { "s" };
        write!(f, "{n} {noun}{plural}")
    }
}

/// A calendar month in UTC: the period in which sessions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    /// Its first moment.
    pub begins_at: Timestamp,
    /// The first moment of the next one.
    pub ends_at: Timestamp,
}

impl Month {
    /// The month of a moment.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let day = DateTime::<Utc>::from_timestamp_millis(at.0).unwrap_or_default().date_naive();
        let first = day.with_day(1).unwrap_or(day);
        let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
        let midnight = |day: NaiveDate| Timestamp(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
        Self { begins_at: midnight(first), ends_at: midnight(next) }
    }
}

/// Decides which plan applies. Plans are enforced only if billing is configured; a self-hosted server without
/// billing runs every team as Enterprise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// Whether `STRIPE_SECRET_KEY` is set.
    pub billing_configured: bool,
}

impl Plans {
    /// What applies to a team that is stored with `tier`. A team from before billing was configured has everything until
    /// its plan is decided.
    #[must_use]
    pub fn policy(self, tier: PlanTier, before_billing: bool) -> Policy {
        Policy::of(if self.billing_configured && !before_billing { tier } else { PlanTier::Enterprise })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Feature, Month, PlanTier, Plans, Policy};
    use crate::Timestamp;

    #[test]
    fn plans_are_enforced_only_with_billing_and_for_teams_with_a_decided_plan() {
        let (off, on) = (Plans::default(), Plans { billing_configured: true });
        for tier in PlanTier::ALL {
            assert_eq!(off.policy(tier, false).plan(), PlanTier::Enterprise);
            assert_eq!(on.policy(tier, true).plan(), PlanTier::Enterprise);
            assert_eq!(on.policy(tier, false).plan(), tier);
            assert_eq!(tier.as_str().parse(), Ok(tier));
        }
        assert!("gold".parse::<PlanTier>().is_err());
    }

    #[test]
    fn a_larger_plan_never_allows_less() {
        let at_least = |a: Option<u32>, b: Option<u32>| match (a, b) {
            (Some(a), Some(b)) => a >= b,
            (None, _) => true,
            (Some(_), None) => false,
        };
        for pair in PlanTier::ALL.windows(2) {
            let (small, large) = (Policy::of(pair[0]), Policy::of(pair[1]));
            let (less, more) = (small.limits(), large.limits());
            assert!(at_least(more.members, less.members));
            assert!(at_least(more.sessions_per_month, less.sessions_per_month));
            assert!(at_least(more.requests_per_minute, less.requests_per_minute));
            assert!(large.seals_content() >= small.seals_content());
            assert!(large.goes_first() >= small.goes_first());
            assert!(small.features().all(|feature| large.allows(feature)));
        }
        assert_eq!(Policy::of(PlanTier::Enterprise).features().count(), Feature::ALL.len());
        assert_eq!(Policy::of(PlanTier::Pro).features().count(), 0);
    }

    #[test]
    fn a_refusal_names_the_limit_the_usage_and_the_way_out() {
        let free = Policy::of(PlanTier::Free);
        let month = Month::of(Timestamp::parse_rfc3339("2026-12-31T23:59:59.999Z").unwrap());
        assert_eq!(free.require_session(99, month), Ok(()));
        let text = free.require_session(100, month).unwrap_err().to_string();
        for part in [
            "Free plan",
            "100 new sessions a month",
            "2026-12-01T00:00:00.000Z",
            "2027-01-01T00:00:00.000Z",
            "upgrade",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = free.require_room(3).unwrap_err().to_string();
        assert!(
            text.contains("1 member,") && text.contains("3 members") && text.contains("upgrade"),
            "{text}"
        );
        assert_eq!(free.require_seat(), Ok(()));
        let text = free.after_members(1).require_seat().unwrap_err().to_string();
        assert!(text.contains("read") && text.contains("upgrade"), "{text}");
        let text = free.require(Feature::AuditLog).unwrap_err().to_string();
        assert!(text.contains("the audit log") && text.contains("Enterprise"), "{text}");
        let all = Policy::of(PlanTier::Enterprise).after_members(5_000);
        assert_eq!((all.require_seat(), all.require_room(9_999)), (Ok(()), Ok(())));
        assert_eq!(all.require_session(u64::MAX, month), Ok(()));
    }

    proptest! {
        #[test]
        fn months_follow_one_another_without_a_gap(ms in 0i64..253_402_300_800_000) {
            let at = Timestamp(ms);
            let month = Month::of(at);
            prop_assert!(month.begins_at <= at && at < month.ends_at);
            prop_assert_eq!(Month::of(month.begins_at), month);
            prop_assert_eq!(Month::of(Timestamp(month.ends_at.0 - 1)), month);
            prop_assert_eq!(Month::of(month.ends_at).begins_at, month.ends_at);
            prop_assert!(month.begins_at.to_rfc3339().ends_with("-01T00:00:00.000Z"));
        }
    }
}
