//! Teams and their members: how a team comes to be, who is in, as what, and how that changes. Every change locks the team's
//! row first and reads the roles after that, so that people who act at once see each other's doing. How people come in is
//! in `invites`.

use han_types::{PaymentState, PlanTier, Role, Scope, TeamId, Timestamp, UserId, WebSessionId};
use sea_orm::FromQueryResult;

use crate::entities::{Team, TeamMember, TeamPayment, User};
use crate::page::MAX_PAGE;
use crate::queries::api_keys;
use crate::queries::audit::{Entry, Event, Log};
use crate::queries::memberships::insert_member;
use crate::queries::users::{self, UserRecord};
use crate::stored::{stored, stored_id};
use crate::team_numbers::TeamNumber;
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError};

/// How many numbered slugs are tried for a team whose name others have, before a random one is taken.
const NUMBERED_SLUGS: u32 = 9;

/// The random characters in the slug of a user's team.
const RANDOM_SLUG_LENGTH: usize = 6;

/// What became of a change that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeamChange {
    /// It is done.
    Done,
    /// Only an admin of the team may; or the caller is no longer a member.
    NotAllowed,
    /// The team has no such member, invite or key.
    NotFound,
    /// It would leave the team without an admin.
    LastAdmin,
}

/// The columns of a [`TeamRecord`], of the table `teams t`.
pub(crate) const TEAM: &str = "t.id, t.slug, t.name, t.plan_tier, t.before_billing, t.created_at, t.payment_state, \
     t.cancels_at, t.grace_until, t.stripe_customer_id";

#[derive(FromQueryResult)]
pub(crate) struct TeamRecord {
    id: String,
    slug: String,
    name: String,
    plan_tier: String,
    before_billing: bool,
    created_at: i64,
    payment_state: String,
    cancels_at: Option<i64>,
    grace_until: Option<i64>,
    stripe_customer_id: Option<String>,
}

impl TryFrom<TeamRecord> for Team {
    type Error = DbError;

    fn try_from(row: TeamRecord) -> Result<Self, DbError> {
        Ok(Self {
            plan_tier: stored(&row.plan_tier, "teams", "plan_tier", &row.id)?,
            before_billing: row.before_billing,
            id: stored_id(&row.id, "teams", "id")?,
            slug: row.slug,
            name: row.name,
            created_at: Timestamp(row.created_at),
            payment: TeamPayment {
                state: stored(&row.payment_state, "teams", "payment_state", &row.id)?,
                cancels_at: row.cancels_at.map(Timestamp),
                grace_until: row.grace_until.map(Timestamp),
                has_subscribed: row.stripe_customer_id.is_some()
                    && row.payment_state != PaymentState::None.as_str(),
            },
        })
    }
}

#[derive(FromQueryResult)]
pub(crate) struct MemberRecord {
    #[sea_orm(nested)]
    user: UserRecord,
    role: String,
    joined_at: i64,
}

impl TryFrom<MemberRecord> for TeamMember {
    type Error = DbError;

    fn try_from(row: MemberRecord) -> Result<Self, DbError> {
        let user = User::try_from(row.user)?;
        Ok(Self {
            role: stored(&row.role, "team_members", "role", &user.id)?,
            joined_at: Timestamp(row.joined_at),
            user,
        })
    }
}

pub(super) const MEMBER: &str = "SELECT u.id, u.username, u.avatar_url, u.email, u.created_at, m.role, m.joined_at \
     FROM team_members m JOIN users u ON u.id = m.user_id \
     WHERE m.team = (SELECT number FROM teams WHERE id = $1)";

/// The team's members, the oldest membership first: up to `first` (at most [`MAX_PAGE`]) of those after `after`.
pub async fn members(
    scope: &Scope,
    db: &Db,
    after: Option<&UserId>,
    first: usize,
) -> Result<Vec<TeamMember>, DbError> {
    let after_key = match after {
        Some(_) => {
            " AND (m.joined_at, m.user_id) > \
               (SELECT joined_at, user_id FROM team_members \
                WHERE team = (SELECT number FROM teams WHERE id = $1) AND user_id = $3)"
        }
        None => "",
    };
    let sql = format!("{MEMBER}{after_key} ORDER BY m.joined_at, m.user_id LIMIT $2");
    let first = i64::try_from(first.min(MAX_PAGE)).unwrap_or(0);
    let values = [scope.team_id().as_str().into(), first.into()];
    let after = after.map(|id| id.as_str().into());
    let tx = db.read_system("memberships.page").await?;
    let rows: Vec<MemberRecord> = tx.all(&sql, values.into_iter().chain(after)).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One member of the team.
pub async fn member(scope: &Scope, db: &Db, user_id: &UserId) -> Result<Option<TeamMember>, DbError> {
    let tx = db.read_system("memberships.find").await?;
    let sql = format!("{MEMBER} AND m.user_id = $2");
    let row: Option<MemberRecord> =
        tx.one(&sql, [scope.team_id().as_str().into(), user_id.as_str().into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// A team by its slug.
pub async fn by_slug(db: &Db, slug: &str) -> Result<Option<Team>, DbError> {
    let tx = db.read_system("teams.find").await?;
    let row: Option<TeamRecord> =
        tx.one(&format!("SELECT {TEAM} FROM teams t WHERE t.slug = $1"), [slug.into()]).await?;
    row.map(TryInto::try_into).transpose()
}

/// Makes a team with its keys and its first admin, for an operator. The slug comes from the name; where another team has
/// it, a number follows.
pub async fn create(db: &Db, name: &str, admin: &UserId) -> Result<Team, DbError> {
    create_as(db, new_team(db, name)?, admin).await
}

/// As [`create`], for a user. Random characters follow the name in the slug, always: a user does not learn from it whether
/// another team has the name.
pub async fn create_for_user(db: &Db, name: &str, admin: &UserId) -> Result<Team, DbError> {
    create_as(db, new_team_of_user(db, name)?, admin).await
}

async fn create_as(db: &Db, team: Team, admin: &UserId) -> Result<Team, DbError> {
    let row = &team;
    db.write_system("teams.create", |tx| async move { insert_team(&tx, row, admin).await }).await
}

/// Makes a person and their team in one transaction: how an empty database begins.
pub async fn create_with_user(db: &Db, username: &str, team: &str) -> Result<(User, Team), DbError> {
    let user = users::new_user(db, username)?;
    let team = new_team(db, team)?;
    let (user_row, team_row) = (&user, &team);
    let team = db
        .write_system("teams.create_with_user", |tx| async move {
            users::insert_user(&tx, user_row).await?;
            insert_team(&tx, team_row, &user_row.id).await
        })
        .await?;
    Ok((user, team))
}

/// A team that a user makes: see [`create_for_user`].
pub(super) fn new_team_of_user(db: &Db, name: &str) -> Result<Team, DbError> {
    // Letters and digits that are not mistaken for each other, 5 bits each.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut team = new_team(db, name)?;
    let mut random = [0u8; RANDOM_SLUG_LENGTH];
    db.entropy().fill(&mut random);
    team.slug.push('-');
    team.slug.extend(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])));
    Ok(team)
}

pub(super) fn new_team(db: &Db, name: &str) -> Result<Team, DbError> {
    Ok(Team {
        id: db.new_id()?,
        slug: slug_of(name),
        name: name.to_owned(),
        plan_tier: PlanTier::Free,
        before_billing: !db.plans().billing_configured,
        created_at: db.clock().now(),
        payment: TeamPayment::default(),
    })
}

#[derive(FromQueryResult)]
struct NumberRecord {
    number: i32,
}

pub(super) async fn insert_team(tx: &SystemTx, team: &Team, admin: &UserId) -> Result<Team, DbError> {
    let mut team = team.clone();
    let base = std::mem::take(&mut team.slug);
    let mut inserted = None;
    for attempt in 1..=NUMBERED_SLUGS + 1 {
        team.slug = match attempt {
            1 => base.clone(),
            2..=NUMBERED_SLUGS => format!("{base}-{attempt}"),
            _ => format!("{base}-{}", team.id),
        };
        inserted = tx
            .one::<NumberRecord, _>(
                "INSERT INTO teams (id, slug, name, plan_tier, before_billing, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (slug) DO NOTHING RETURNING number",
                [
                    team.id.as_str().into(),
                    team.slug.as_str().into(),
                    team.name.as_str().into(),
                    team.plan_tier.as_str().into(),
                    team.before_billing.into(),
                    team.created_at.0.into(),
                ],
            )
            .await?;
        if inserted.is_some() {
            break;
        }
    }
    let missing = || DbError::RowMissing { table: "teams", row: team.id.to_string() };
    let number = TeamNumber::of_column(inserted.ok_or_else(missing)?.number);
    insert_member(tx, number, admin, Role::Admin).await?;
    tx.key_store().insert_team_keys(tx, &team.id).await?;
    let origin = tx.origin().clone().signing_in(admin);
    let log = tx.log_of(&team.id, number).on_behalf_of(origin);
    log.write(Entry::new(Event::TeamCreated).about_user(admin)).await?;
    Ok(team)
}

/// The letters and digits of a name in lower case, everything between them a hyphen: `Acme, Inc.` is `acme-inc`. The slug
/// of a slug is itself. If it is taken, a new team gets another one.
#[must_use]
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "team".to_owned() } else { slug.to_owned() }
}

/// Gives the team another name; its slug stays, since links and command lines have it.
pub async fn rename(scope: &Scope, db: &Db, name: &str) -> Result<TeamChange, DbError> {
    let change = db
        .write_system_for(scope, "teams.rename", |tx| async move {
            let team = tx.team_number();
            if !is_admin(&tx, team, scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            tx.execute("UPDATE teams SET name = $1 WHERE number = $2", [name.into(), team.into()]).await?;
            tx.log().write(Entry::new(Event::TeamRenamed)).await?;
            Ok(TeamChange::Done)
        })
        .await?;
    db.commits().wake_reader();
    Ok(change)
}

/// Changes whether the team records that a member opens a session of another one. This process knows it at once, others
/// within seconds.
pub async fn set_audit_reads(scope: &Scope, db: &Db, records: bool) -> Result<TeamChange, DbError> {
    let changed = db
        .write_system_for(scope, "teams.set_audit_reads", |tx| async move {
            lock(&tx, tx.team_id()).await?;
            if !is_admin(&tx, tx.team_number(), scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            let sql = "UPDATE teams SET audit_reads = $2 WHERE number = $1 AND audit_reads <> $2";
            if tx.execute(sql, [tx.team_number().into(), records.into()]).await? > 0 {
                let entry = Entry::new(Event::SettingChanged).with("setting", "auditReads");
                tx.log().write(entry.with("value", records)).await?;
            }
            Ok(TeamChange::Done)
        })
        .await?;
    db.audit_cache().forget_setting(scope.team_id());
    Ok(changed)
}

/// Gives a member another role.
pub async fn set_role(scope: &Scope, db: &Db, user_id: &UserId, role: Role) -> Result<TeamChange, DbError> {
    let change = db
        .write_system_for(scope, "memberships.set_role", |tx| async move {
            lock(&tx, tx.team_id()).await?;
            let team = tx.team_number();
            if !is_admin(&tx, team, scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            change_role(&tx, &tx.log(), user_id, role).await
        })
        .await?;
    db.rights_changed();
    Ok(change)
}

/// Puts a member out of the team. Their keys for it end with the membership; what they pushed stays.
pub async fn remove(scope: &Scope, db: &Db, user_id: &UserId) -> Result<TeamChange, DbError> {
    let change = db
        .write_system_for(scope, "memberships.remove", |tx| async move {
            lock(&tx, tx.team_id()).await?;
            if !is_admin(&tx, tx.team_number(), scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            end_membership(&tx, &tx.log(), tx.team_id(), user_id).await
        })
        .await?;
    db.rights_changed();
    Ok(change)
}

/// Leaves the team.
pub async fn leave(scope: &Scope, db: &Db) -> Result<TeamChange, DbError> {
    let change = db
        .write_system_for(scope, "memberships.leave", |tx| async move {
            lock(&tx, tx.team_id()).await?;
            end_membership(&tx, &tx.log(), tx.team_id(), scope.user_id()).await
        })
        .await?;
    db.rights_changed();
    Ok(change)
}

/// Makes it the team that a browser's session sees. Says whether the session is the scope's own and still lives.
pub async fn switch(scope: &Scope, db: &Db, session: &WebSessionId) -> Result<bool, DbError> {
    let switched = db
        .write_system_for(scope, "web_sessions.switch_team", |tx| async move {
            tx.execute(
                "UPDATE web_sessions SET active_team_id = $1 WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL",
                [
                    scope.team_id().as_str().into(),
                    session.as_str().into(),
                    scope.user_id().as_str().into(),
                ],
            )
            .await
        })
        .await?;
    db.rights_changed();
    Ok(switched > 0)
}

/// Gives a member another role. The caller has locked the team.
pub(super) async fn change_role(
    tx: &SystemTx,
    log: &Log<'_>,
    user_id: &UserId,
    role: Role,
) -> Result<TeamChange, DbError> {
    let team = log.team();
    match role_of(tx, team, user_id).await? {
        None => return Ok(TeamChange::NotFound),
        Some(Role::Admin) if role == Role::Member && !has_other_admin(tx, team, user_id).await? => {
            return Ok(TeamChange::LastAdmin);
        }
        Some(present) if present == role => return Ok(TeamChange::Done),
        Some(_) => {}
    }
    tx.execute(
        "UPDATE team_members SET role = $1 WHERE team = $2 AND user_id = $3",
        [role.as_str().into(), team.into(), user_id.as_str().into()],
    )
    .await?;
    log.write(Entry::new(Event::RoleChanged).about_user(user_id).with("role", role.as_str())).await?;
    Ok(TeamChange::Done)
}

/// Ends a membership and the keys that go with it. The caller has locked the team.
pub(super) async fn end_membership(
    tx: &SystemTx,
    log: &Log<'_>,
    team_id: &TeamId,
    user_id: &UserId,
) -> Result<TeamChange, DbError> {
    let team = log.team();
    match role_of(tx, team, user_id).await? {
        None => return Ok(TeamChange::NotFound),
        Some(Role::Admin) if !has_other_admin(tx, team, user_id).await? => return Ok(TeamChange::LastAdmin),
        Some(_) => {}
    }
    tx.execute(
        "DELETE FROM team_members WHERE team = $1 AND user_id = $2",
        [team.into(), user_id.as_str().into()],
    )
    .await?;
    // Otherwise they would live again should the person come back.
    api_keys::revoke_of_owner(tx, team_id, user_id).await?;
    let leaves = log.origin().user_id.as_ref() == Some(user_id);
    let event = if leaves { Event::MemberLeft } else { Event::MemberRemoved };
    log.write(Entry::new(event).about_user(user_id)).await?;
    Ok(TeamChange::Done)
}

// ---- what changes to a team, its invites and its keys begin with --------------------------------------------

/// Waits until no other transaction changes the team, and reads it. SQLite has one writer anyway.
pub(crate) async fn lock(tx: &SystemTx, team: &TeamId) -> Result<Team, DbError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {TEAM} FROM teams t WHERE t.id = $1{lock}");
    let row: Option<TeamRecord> = tx.one(&sql, [team.as_str().into()]).await?;
    row.ok_or_else(|| DbError::RowMissing { table: "teams", row: team.to_string() })?.try_into()
}

#[derive(FromQueryResult)]
struct RoleRecord {
    role: String,
}

/// The role of a person in the team at this moment.
pub(crate) async fn role_of(tx: &Tx, team: TeamNumber, user_id: &UserId) -> Result<Option<Role>, DbError> {
    let sql = "SELECT role FROM team_members WHERE team = $1 AND user_id = $2";
    let row: Option<RoleRecord> = tx.one(sql, [team.into(), user_id.as_str().into()]).await?;
    row.map(|row| stored(&row.role, "team_members", "role", user_id)).transpose()
}

/// Whether a person is an admin of the team at this moment.
pub(crate) async fn is_admin(tx: &Tx, team: TeamNumber, user_id: &UserId) -> Result<bool, DbError> {
    Ok(role_of(tx, team, user_id).await? == Some(Role::Admin))
}

/// The condition that a member `o` is an admin who stays: the deletion of the account was not requested.
const STAYS: &str = "o.role = 'admin' AND NOT EXISTS (SELECT 1 FROM deletion_requests r WHERE r.kind = 'account' \
     AND r.subject = o.user_id AND r.finished_at IS NULL AND r.cancelled_at IS NULL)";

/// Whether the team has an admin besides this one.
async fn has_other_admin(tx: &SystemTx, team: TeamNumber, user_id: &UserId) -> Result<bool, DbError> {
    let sql = format!(
        "SELECT o.user_id FROM team_members o WHERE o.team = $1 AND o.user_id <> $2 AND {STAYS} LIMIT 1"
    );
    Ok(!tx.rows(&sql, [team.into(), user_id.as_str().into()]).await?.is_empty())
}

/// Locks the teams of a user, and lists the slugs of those that have other members, but would be without an admin.
pub(crate) async fn needed_in(tx: &SystemTx, user_id: &UserId) -> Result<Vec<String>, DbError> {
    lock_all_of(tx, user_id).await?;
    let others = "SELECT 1 FROM team_members o WHERE o.team = m.team AND o.user_id <> $1";
    let sql = format!(
        "SELECT t.slug FROM team_members m JOIN teams t ON t.number = m.team \
         WHERE m.user_id = $1 AND m.role = 'admin' AND EXISTS ({others}) AND NOT EXISTS ({others} AND {STAYS}) \
         ORDER BY t.slug"
    );
    let rows = tx.rows(&sql, [user_id.as_str().into()]).await?;
    rows.iter().map(|row| Ok(row.try_get("", "slug")?)).collect()
}

/// Locks the teams of a user, in the order of their numbers. Later statements see who has joined before.
pub(crate) async fn lock_all_of(tx: &SystemTx, user_id: &UserId) -> Result<(), DbError> {
    let lock = tx.dialect().for_update();
    let of_user = "SELECT m.team FROM team_members m WHERE m.user_id = $1";
    let sql = format!("SELECT number FROM teams WHERE number IN ({of_user}) ORDER BY number{lock}");
    tx.rows(&sql, [user_id.as_str().into()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn a_slug_is_what_an_address_can_hold() {
        for (name, slug) in [
            ("Acme, Inc.", "acme-inc"),
            ("  --orchard--  ", "orchard"),
            ("Ünïcode", "n-code"),
            ("日本", "team"),
            ("", "team"),
        ] {
            assert_eq!(slug_of(name), slug, "{name:?}");
        }
        assert!(slug_of(&"x".repeat(500)).len() <= 60);
    }
}
