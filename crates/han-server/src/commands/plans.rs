//! The commands with which an operator decides on plans: `team plan` and `billing adopt`.

use han_db::Db;
use han_db::entities::Team;
use han_db::queries::billing::{self, Deciding};
use han_db::queries::plans;
use han_types::PlanTier;
use serde_json::json;

use super::team::find;
use super::{Adopt, CommandError, TeamPlan, World};

pub(super) async fn adopt(asked: &Adopt, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let teams = match &asked.teams.team {
        Some(slug) => {
            let team = find(slug, db).await?;
            if !team.before_billing {
                return Err(CommandError::Refused(format!(
                    "the plan of {slug} is decided already, it is {}: change it with `han-server team plan {slug} {}`",
                    team.plan_tier, asked.plan
                )));
            }
            vec![team]
        }
        None => plans::undecided(db).await?,
    };
    if teams.is_empty() {
        writeln!(world.err, "han-server: no team is without a decided plan")?;
    }
    for team in teams {
        set(&team, asked.plan, db, world).await?;
    }
    Ok(())
}

pub(super) async fn show_or_set(
    asked: &TeamPlan,
    db: &Db,
    world: &mut World<'_>,
) -> Result<(), CommandError> {
    let team = find(&asked.slug, db).await?;
    if let Some(plan) = asked.plan {
        return set(&team, plan, db, world).await;
    }
    let policy = team.policy(db.plans());
    let limits = policy.limits();
    let used = plans::usage(db, std::slice::from_ref(&team.id)).await?.pop();
    let (_, used) = used.ok_or_else(|| CommandError::Refused("the team was deleted meanwhile".to_owned()))?;
    if asked.json {
        let shown = json!({
            "team": team.slug,
            "plan": policy.plan().as_str(),
            "storedPlan": team.plan_tier.as_str(),
            "decided": !team.before_billing,
            "enforced": db.plans().billing_configured,
            "members": used.members,
            "maxMembers": limits.members,
            "sessionsThisMonth": used.sessions,
            "maxSessionsPerMonth": limits.sessions_per_month,
            "resetsAt": used.month.ends_at.to_rfc3339(),
        });
        writeln!(world.out, "{shown}")?;
        return Ok(());
    }
    let of = |limit: Option<u32>| limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {limit}"));
    let why = match (db.plans().billing_configured, team.before_billing) {
        (false, _) => " (STRIPE_SECRET_KEY is not set, so plans are not enforced)",
        (true, true) => " (from before billing was configured: decide with `han-server billing adopt`)",
        (true, false) => "",
    };
    writeln!(
        world.out,
        "{}: {}{why}; {} member(s), {}; {} new session(s) this month, {}",
        team.slug,
        policy.plan(),
        used.members,
        of(limits.members),
        used.sessions,
        of(limits.sessions_per_month)
    )?;
    Ok(())
}

async fn set(team: &Team, plan: PlanTier, db: &Db, world: &mut World<'_>) -> Result<(), CommandError> {
    let (old, slug) = (team.policy(db.plans()), &team.slug);
    let new = plans::set(db, &team.id, plan).await?.policy(db.plans());
    let enforced =
        if db.plans().billing_configured { "" } else { "; it applies once STRIPE_SECRET_KEY is set" };
    writeln!(world.err, "han-server: team {slug}: the plan is {plan}{enforced}")?;
    let billed = billing::of_team(db, &team.id).await?.and_then(|billed| billed.state.subscription);
    if let (Some(Deciding { id, .. }), true) = (billed, db.plans().billing_configured) {
        writeln!(
            world.err,
            "han-server: team {slug}: its subscription {id} decides the plan, so the next event or comparison \
             sets it back: change the subscription at Stripe instead"
        )?;
    }
    if new.seals_content() && !old.seals_content() {
        writeln!(world.err, "han-server: team {slug}: a running server seals what is stored as plaintext")?;
    }
    let used =
        plans::usage(db, std::slice::from_ref(&team.id)).await?.pop().map_or(0, |(_, used)| used.members);
    if let Some(limit) = new.limits().members.filter(|limit| used > *limit) {
        writeln!(
            world.err,
            "han-server: team {slug}: it has {used} members, and the plan has room for {limit}: those who joined last \
             can read, but not push"
        )?;
    }
    Ok(())
}
