//! The points at which requests pass the plan of their team, once the team is known: how many requests the team may make,
//! who may push, and who goes first.

use han_db::queries::memberships::Resolved;
use han_http::Problem;
use han_types::Policy;

use super::plans::problem;
use crate::admission::Priority;
use crate::rates;
use crate::state::AppState;

/// Counts a request for the team that it may touch.
///
/// # Errors
/// 429 if the team has made more requests than its plan allows.
pub(crate) fn enter(state: &AppState, resolved: Resolved) -> Result<Resolved, Problem> {
    rates::count_for_team(state, &resolved.team.id, resolved.scope.policy())?;
    Ok(resolved)
}

/// Checks that the caller may push to the team.
///
/// # Errors
/// 402 if the plan has no seat for them.
pub(crate) fn may_push(resolved: &Resolved) -> Result<(), Problem> {
    resolved.scope.policy().require_seat().map_err(problem)
}

/// The priority of a team's pushes.
pub(crate) fn priority(policy: Policy) -> Priority {
    if policy.goes_first() { Priority::First } else { Priority::Normal }
}
