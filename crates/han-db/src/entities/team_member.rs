//! Memberships, as the team's members list them and as the user who has them.

use han_types::{Membership, Policy, Role, Timestamp};

use super::{Team, User};

/// A member of a team.
#[derive(Clone, Debug)]
pub struct TeamMember {
    /// Who.
    pub user: User,
    /// As what.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// A membership together with its team.
#[derive(Clone, Debug)]
pub struct TeamMembership {
    /// Who, where, as what.
    pub membership: Membership,
    /// What the team's plan allows this member.
    pub policy: Policy,
    /// The team.
    pub team: Team,
}
