//! What the server says about plans: the refusal of a request, and the notice about teams without a decided plan. The
//! limits themselves, and the texts of refusals, are in `han_types::Policy`.

use axum::http::StatusCode;
use han_db::queries::plans;
use han_db::{Db, DbError};
use han_http::Problem;
use han_types::PlanRefusal;

/// The most teams that the notice names.
const NAMED: usize = 5;

/// The answer to a request that the plan of its team does not allow.
pub(crate) fn problem(refusal: PlanRefusal) -> Problem {
    let title = "The plan of the team does not allow this";
    Problem::new(StatusCode::PAYMENT_REQUIRED, "plan_limit", title, refusal.to_string())
}

/// What an operator should know about teams from before billing was configured; `None` if each has a decided plan, or
/// plans are not enforced.
pub(crate) async fn undecided(db: &Db) -> Result<Option<String>, DbError> {
    if !db.plans().billing_configured {
        return Ok(None);
    }
    let teams = plans::undecided(db).await?;
    if teams.is_empty() {
        return Ok(None);
    }
    let mut names: Vec<&str> = teams.iter().take(NAMED).map(|team| team.slug.as_str()).collect();
    if teams.len() > NAMED {
        names.push("…");
    }
    let (n, plural) = (teams.len(), if teams.len() == 1 { "" } else { "s" });
    Ok(Some(format!(
        "{n} team{plural} from before billing was configured ({}) have the Enterprise plan until you decide: \
         `han-server billing adopt --plan free|pro|enterprise` with --team SLUG or --all",
        names.join(", ")
    )))
}
