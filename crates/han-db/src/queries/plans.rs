//! Plans of teams: how a stored plan changes, who has a seat, and how new sessions are counted. What a plan allows is in
//! `han_types::Policy`; its refusals are made where a member is added, a session is first pushed, or a push is admitted.

use han_types::{Month, PlanRefusal, PlanTier, Plans, Policy, TeamId, Timestamp};
use sea_orm::FromQueryResult;

use crate::entities::Team;
use crate::queries::audit::{Entry, Event};
use crate::queries::conversion::SEALED;
use crate::queries::team_work::{self, WorkKind};
use crate::queries::teams::{self, TEAM, TeamRecord};
use crate::stored::CountRow;
use crate::team_numbers::TeamNumber;
use crate::tx::SystemTx;
use crate::{Db, DbError, ScopedTx};

/// The row of `team_usage` that a limit is checked with.
const CHECKED_SHARD: i64 = 0;

// ---- changing a plan ----------------------------------------------------------------------------------------

/// Gives a team another plan, which is decided with that: a team from before billing loses its mark.
///
/// # Errors
/// [`DbError::RowMissing`] where there is no such team.
pub async fn set(db: &Db, team_id: &TeamId, tier: PlanTier) -> Result<Team, DbError> {
    let number = db.team_number(team_id).await?;
    let team =
        db.write_system("plans.change", |tx| async move { change(&tx, team_id, number, tier).await }).await?;
    changed(db);
    Ok(team)
}

/// The one way in which a stored plan changes, within a transaction. If the new plan seals content and the old one did
/// not, the job `team-work` is requested to seal what is stored as plaintext. Nothing is ever unsealed. The caller calls
/// [`changed`] after the commit.
///
/// # Errors
/// [`DbError::RowMissing`] where there is no such team.
pub(crate) async fn change(
    tx: &SystemTx,
    team_id: &TeamId,
    number: TeamNumber,
    tier: PlanTier,
) -> Result<Team, DbError> {
    let before = teams::lock(tx, team_id).await?;
    let after = Team { plan_tier: tier, before_billing: false, ..before.clone() };
    if after == before {
        return Ok(after);
    }
    let sql = "UPDATE teams SET plan_tier = $1, before_billing = $2 WHERE id = $3";
    tx.execute(sql, [tier.as_str().into(), after.before_billing.into(), team_id.as_str().into()]).await?;
    let (sealed, seals) =
        (before.policy(tx.plans()).seals_content(), after.policy(tx.plans()).seals_content());
    if seals && !sealed && may_convert(tx, team_id).await? {
        team_work::request(tx, team_id, WorkKind::Convert, SEALED, 0).await?;
    }
    let entry = Entry::new(Event::PlanChanged);
    let entry = entry.with("from", before.plan_tier.as_str()).with("to", tier.as_str());
    tx.log_of(team_id, number).write(entry).await?;
    tracing::info!(team = %team_id, from = %before.plan_tier, to = %tier, "the plan of a team has changed");
    Ok(after)
}

/// Wakes what depends on plans: forgets the keys of pushes that were verified with the old plan, and starts the job that
/// converts content.
pub(crate) fn changed(db: &Db) {
    db.rights_changed();
    db.commits().wake_jobs();
}

/// Whether content may be sealed: neither where content that is not sealed is refused, nor of a team that is being
/// deleted.
async fn may_convert(tx: &SystemTx, team_id: &TeamId) -> Result<bool, DbError> {
    let sql = "SELECT 1 AS n FROM team_work WHERE team_id = $1 AND kind = 'delete'";
    Ok(!tx.key_store().refuses_unsealed() && tx.rows(sql, [team_id.as_str().into()]).await?.is_empty())
}

/// The teams from before billing was configured without a decided plan, by slug.
pub async fn undecided(db: &Db) -> Result<Vec<Team>, DbError> {
    let tx = db.read_system("plans.undecided").await?;
    let sql = format!("SELECT {TEAM} FROM teams t WHERE t.before_billing ORDER BY t.slug");
    let rows: Vec<TeamRecord> = tx.all(&sql, []).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

// ---- members ------------------------------------------------------------------------------------------------

/// How many members of the team take a seat.
pub(crate) async fn seats_taken(tx: &SystemTx, team: TeamNumber) -> Result<u32, DbError> {
    let sql = "SELECT COUNT(*) AS n FROM team_members WHERE team = $1";
    Ok(tx.one::<CountRow, _>(sql, [team.into()]).await?.map_or(0, |row| count(row.n)))
}

/// The column `members_before`: how many members take a seat before the member `m` of the team `t`. It is counted only
/// for teams whose plan has a number of seats.
pub(crate) fn members_before(plans: Plans) -> String {
    let limited: Vec<String> = PlanTier::ALL
        .into_iter()
        .filter(|tier| plans.policy(*tier, false).limits().members.is_some())
        .map(|tier| format!("'{tier}'"))
        .collect();
    if limited.is_empty() {
        return "CAST(0 AS bigint) AS members_before".to_owned();
    }
    format!(
        "CASE WHEN t.before_billing OR t.plan_tier NOT IN ({}) THEN CAST(0 AS bigint) \
         ELSE (SELECT COUNT(*) FROM team_members o WHERE o.team = m.team \
           AND (o.joined_at, o.user_id) < (m.joined_at, m.user_id)) END AS members_before",
        limited.join(", ")
    )
}

/// A count from the database.
pub(crate) fn count(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}

// ---- sessions of a month ------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct UsedRow {
    used: i64,
    elsewhere: i64,
}

/// The right of a push to add one session to its team's sessions of the month.
pub(crate) struct NewSession {
    policy: Policy,
    month: Month,
    /// If the plan has a limit: how many sessions the row with [`CHECKED_SHARD`] may count.
    most: Option<i64>,
}

impl NewSession {
    /// Checks that the team may push a new session at `now`. [`NewSession::count`] decides, since others may push
    /// meanwhile; this only spares the work for a session that is refused anyway. Runs no statement if the plan has no
    /// limit.
    pub(crate) async fn check(tx: &ScopedTx, now: i64) -> Result<Result<Self, PlanRefusal>, DbError> {
        let (policy, month) = (tx.scope().policy(), Month::of(Timestamp(now)));
        let Some(limit) = policy.limits().sessions_per_month else {
            return Ok(Ok(Self { policy, month, most: None }));
        };
        // Only an unlimited plan, earlier in the month, has counted elsewhere: those rows do not change any more.
        let sql = "SELECT CAST(COALESCE(SUM(sessions), 0) AS bigint) AS used, \
                     CAST(COALESCE(SUM(CASE WHEN shard = $3 THEN 0 ELSE sessions END), 0) AS bigint) AS elsewhere \
                   FROM team_usage WHERE team = $1 AND month = $2";
        let values = [tx.team(), month.begins_at.0.into(), CHECKED_SHARD.into()];
        let (used, elsewhere) =
            tx.one::<UsedRow, _>(sql, values).await?.map_or((0, 0), |row| (row.used, row.elsewhere));
        let allowed = policy.require_session(u64::try_from(used).unwrap_or_default(), month);
        Ok(allowed.map(|()| Self { policy, month, most: Some(i64::from(limit) - elsewhere) }))
    }

    /// Counts the session. The row stays locked until the transaction ends, so of several pushes for the last session of
    /// the month, the first one to get here is stored. It comes late in a transaction, because many sessions share the
    /// row. `shard` spreads them, where there is no limit.
    pub(crate) async fn count(self, tx: &ScopedTx, shard: i64) -> Result<Result<(), PlanRefusal>, DbError> {
        let shard = if self.most.is_some() { CHECKED_SHARD } else { shard };
        let sql = "INSERT INTO team_usage (team, month, shard, sessions) VALUES ($1, $2, $3, 1) \
                   ON CONFLICT (team, month, shard) DO UPDATE SET sessions = team_usage.sessions + 1 \
                   WHERE team_usage.sessions < $4";
        let most = self.most.unwrap_or(i64::MAX);
        let values = [tx.team(), self.month.begins_at.0.into(), shard.into(), most.into()];
        if tx.execute(sql, values).await? > 0 {
            return Ok(Ok(()));
        }
        let limit = self.policy.limits().sessions_per_month.unwrap_or(u32::MAX);
        Ok(self.policy.require_session(u64::from(limit), self.month))
    }
}

/// What a team has used of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanUsage {
    /// Members that take a seat.
    pub members: u32,
    /// New sessions of the month.
    pub sessions: u32,
    /// The month.
    pub month: Month,
}

#[derive(FromQueryResult)]
struct UsageRow {
    id: String,
    members: i64,
    sessions: i64,
}

/// What teams have used of their plans, at this moment. Omits teams that do not exist. The caller has read the
/// memberships that give the right to see it.
pub async fn usage(db: &Db, teams: &[TeamId]) -> Result<Vec<(TeamId, PlanUsage)>, DbError> {
    let month = Month::of(db.clock().now());
    let tx = db.read_system("plans.usage").await?;
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT t.id, (SELECT COUNT(*) FROM team_members m WHERE m.team = t.number) AS members, \
           (SELECT CAST(COALESCE(SUM(u.sessions), 0) AS bigint) FROM team_usage u \
            WHERE u.team = t.number AND u.month = $1) AS sessions \
         FROM teams t WHERE {}",
        dialect.is_any("t.id", 2)
    );
    let values = [month.begins_at.0.into(), dialect.list(teams.iter().map(TeamId::as_str))];
    let rows: Vec<UsageRow> = tx.all(&sql, values).await?;
    let found = rows.into_iter().filter_map(|row| {
        let usage = PlanUsage { members: count(row.members), sessions: count(row.sessions), month };
        Some((teams.iter().find(|team| team.as_str() == row.id)?.clone(), usage))
    });
    Ok(found.collect())
}
