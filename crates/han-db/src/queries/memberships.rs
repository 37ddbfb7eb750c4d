//! Memberships and what follows from them: which teams a user is in, and what an actor may touch. The only module that
//! makes a [`Scope`]. How members change each other's roles is in `teams`.

use han_types::{Actor, Capabilities, Credential, Membership, RequestId, Role, Scope, TeamId, UserId};
use sea_orm::FromQueryResult;

use crate::entities::{ApiKey, MemberKey, Team, TeamMembership};
use crate::queries::teams::TeamRecord;
use crate::stored::stored;
use crate::team_numbers::TeamNumber;
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// What an actor may touch: one team's data.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The right to it.
    pub scope: Scope,
    /// The team.
    pub team: Team,
}

// ---- scopes -------------------------------------------------------------------------------------------------

/// What `actor` may touch: the team its credential names, where its user is a member; else, for a browser or a
/// token that names none, the oldest membership. `None` where there is no such membership: such an actor sees
/// empty lists.
pub async fn scope_for(db: &Db, actor: &Actor) -> Result<Option<Resolved>, DbError> {
    let found = match (&actor.credential, actor.named_team()) {
        // A browser's team is a preference, not a claim: who has left it is shown another.
        (Credential::WebSession { .. }, preferred) => preferred_team(db, &actor.user_id, preferred).await?,
        (_, Some(team_id)) => find(db, &actor.user_id, team_id).await?,
        (_, None) => preferred_team(db, &actor.user_id, None).await?,
    };
    Ok(found.map(|found| resolve(found, actor)))
}

/// What `actor` may touch of the team `team_id`, for requests that name one. `None` where the credential is bound
/// to another team or its user is no member, just as where there is no such team.
pub async fn scope_in(db: &Db, actor: &Actor, team_id: &TeamId) -> Result<Option<Resolved>, DbError> {
    let bound_elsewhere = match &actor.credential {
        Credential::ApiKey { team_id: bound, .. } => bound != team_id,
        Credential::Jwt { team_id: named, .. } => named.as_ref().is_some_and(|named| named != team_id),
        Credential::WebSession { .. } | Credential::Local | Credential::Operator => false,
    };
    if bound_elsewhere {
        return Ok(None);
    }
    let found = find(db, &actor.user_id, team_id).await?;
    Ok(found.map(|found| resolve(found, actor)))
}

/// What `actor`, whose credential is `found`, may touch. `None` if its user is no member any more.
#[must_use]
pub fn scope_of_key(found: &MemberKey, actor: &Actor) -> Option<Resolved> {
    let ApiKey { id, team_id, user_id, .. } = &found.key;
    let own = Credential::ApiKey { id: id.clone(), team_id: team_id.clone() };
    let membership =
        found.membership.clone().filter(|_| actor.credential == own && actor.user_id == *user_id)?;
    Some(resolve(membership, actor))
}

/// The right of the system's own work to the data of a team, on behalf of the user who requested it there, who may have left
/// the team since.
#[expect(
    clippy::disallowed_methods,
    reason = "it is never a client's, and the request was checked when it was made"
)]
pub(crate) fn scope_of_work(team_id: &TeamId, user_id: UserId, request_id: RequestId) -> Scope {
    let membership = Membership { team_id: team_id.clone(), user_id: user_id.clone(), role: Role::Admin };
    let actor = Actor {
        user_id,
        credential: Credential::Operator,
        capabilities: Capabilities::PERSON,
        expires_at: None,
        request_id,
    };
    Scope::assume_verified(membership, &actor)
}

#[expect(clippy::disallowed_methods, reason = "the membership was read from the database by the caller")]
fn resolve(found: TeamMembership, actor: &Actor) -> Resolved {
    Resolved { scope: Scope::assume_verified(found.membership, actor), team: found.team }
}

// ---- memberships --------------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct MembershipRecord {
    user_id: String,
    role: String,
    #[sea_orm(nested)]
    team: TeamRecord,
}

impl TryFrom<MembershipRecord> for TeamMembership {
    type Error = DbError;

    fn try_from(row: MembershipRecord) -> Result<Self, DbError> {
        let team = Team::try_from(row.team)?;
        let member = format_args!("{}/{}", team.id, row.user_id);
        let role: Role = stored(&row.role, "team_members", "role", member)?;
        let user_id = stored(&row.user_id, "team_members", "user_id", member)?;
        Ok(Self { membership: Membership { team_id: team.id.clone(), user_id, role }, team })
    }
}

const MEMBERSHIP: &str = "SELECT m.user_id, m.role, t.id, t.slug, t.name, t.plan_tier, t.created_at, \
       t.payment_state, t.cancels_at, t.grace_until, t.stripe_customer_id \
     FROM team_members m JOIN teams t ON t.number = m.team WHERE m.user_id = $1";

/// The membership of a person in a team.
pub async fn find(db: &Db, user_id: &UserId, team_id: &TeamId) -> Result<Option<TeamMembership>, DbError> {
    let tx = db.read_system("memberships.find").await?;
    let row: Option<MembershipRecord> = tx
        .one(&format!("{MEMBERSHIP} AND t.id = $2"), [user_id.as_str().into(), team_id.as_str().into()])
        .await?;
    row.map(TryInto::try_into).transpose()
}

async fn preferred_team(
    db: &Db,
    user_id: &UserId,
    preferred: Option<&TeamId>,
) -> Result<Option<TeamMembership>, DbError> {
    let tx = db.read_system("memberships.prefer").await?;
    let row: Option<MembershipRecord> = tx
        .one(
            &format!(
                "{MEMBERSHIP} ORDER BY CASE WHEN t.id = $2 THEN 0 ELSE 1 END, m.joined_at, t.id LIMIT 1"
            ),
            [user_id.as_str().into(), preferred.map_or("", |id| id.as_str()).into()],
        )
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Every team that a person is a member of, the oldest membership first.
pub async fn list(db: &Db, user_id: &UserId) -> Result<Vec<TeamMembership>, DbError> {
    let tx = db.read_system("memberships.list").await?;
    let rows: Vec<MembershipRecord> =
        tx.all(&format!("{MEMBERSHIP} ORDER BY m.joined_at, t.id"), [user_id.as_str().into()]).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The teams that a credential gives access to, oldest membership first: all teams of a user, or the one that the
/// credential is bound to.
pub async fn of_actor(db: &Db, actor: &Actor) -> Result<Vec<TeamMembership>, DbError> {
    let mut teams = list(db, &actor.user_id).await?;
    let bound = match &actor.credential {
        Credential::ApiKey { team_id, .. } => Some(team_id),
        Credential::Jwt { team_id, .. } => team_id.as_ref(),
        Credential::WebSession { .. } | Credential::Local | Credential::Operator => None,
    };
    if let Some(bound) = bound {
        teams.retain(|found| found.team.id == *bound);
    }
    Ok(teams)
}

/// Teams as their longest-standing admin may touch them, by slug: for the operator's own commands, which run where the
/// database is and for no one who signed in. `request_id` names the command. `team`, an id or a slug, leaves all
/// others out. A team without any admin is left out.
pub async fn teams_for_operator(
    db: &Db,
    request_id: &RequestId,
    team: Option<&str>,
) -> Result<Vec<Resolved>, DbError> {
    let tx = db.read_system("teams.list").await?;
    let sql = "SELECT m.user_id, m.role, t.id, t.slug, t.name, t.plan_tier, t.created_at, \
           t.payment_state, t.cancels_at, t.grace_until, t.stripe_customer_id FROM teams t \
         JOIN team_members m ON m.team = t.number AND m.user_id = (SELECT a.user_id FROM team_members a \
           WHERE a.team = t.number AND a.role = $2 ORDER BY a.joined_at, a.user_id LIMIT 1) \
         WHERE $1 IN ('', t.id, t.slug) ORDER BY t.slug";
    let rows: Vec<MembershipRecord> =
        tx.all(sql, [team.unwrap_or_default().into(), Role::Admin.as_str().into()]).await?;
    let resolved = |row: MembershipRecord| {
        let found = TeamMembership::try_from(row)?;
        let actor = Actor {
            user_id: found.membership.user_id.clone(),
            credential: Credential::Operator,
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: request_id.clone(),
        };
        Ok(resolve(found, &actor))
    };
    rows.into_iter().map(resolved).collect()
}

/// Makes a person a member of a team, or gives a member another role.
///
/// # Errors
/// [`DbError::RowMissing`] where there is no such team.
pub async fn put(db: &Db, team_id: &TeamId, user_id: &UserId, role: Role) -> Result<(), DbError> {
    let team = db.team_number(team_id).await?;
    db.write_system("memberships.put", |tx| async move { insert_member(&tx, team, user_id, role).await })
        .await?;
    db.rights_changed();
    Ok(())
}

pub(crate) async fn insert_member(
    tx: &SystemTx,
    team: TeamNumber,
    user_id: &UserId,
    role: Role,
) -> Result<(), DbError> {
    let now = tx.clock().now();
    tx.execute(
        "INSERT INTO team_members (team, user_id, role, joined_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (team, user_id) DO UPDATE SET role = EXCLUDED.role",
        [team.into(), user_id.as_str().into(), role.as_str().into(), now.0.into()],
    )
    .await?;
    Ok(())
}
