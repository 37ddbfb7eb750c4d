//! Invites: links with which a user can join a team, once. Creating, listing and revoking needs a scope. Accepting is a
//! lookup before a team is known: the code is the credential.

use han_crypto::OpaqueToken;
use han_types::{Actor, InviteId, Origin, PlanRefusal, Role, Scope, TeamId, Timestamp, UserId};
use sea_orm::FromQueryResult;

use crate::entities::{Team, TeamInvite};
use crate::queries::audit::{Entry, Event};
use crate::queries::memberships::insert_member;
use crate::queries::plans;
use crate::queries::teams::{self, TeamChange};
use crate::queries::users::{self, UserRecord};
use crate::stored::{CountRow, stored_id};
use crate::team_numbers::TeamNumber;
use crate::tx::{ActingTx, SystemTx};
use crate::{Db, DbError};

/// The prefix of an invite's code.
pub const INVITE_PREFIX: &str = "han_invite_";

/// How long an invite is valid: 24 hours.
pub const INVITE_SECONDS: i64 = 24 * 3600;

/// The maximum number of open invites of a team.
pub const MAX_OPEN_INVITES: i64 = 100;

/// How many unknown codes a user may try within [`ATTEMPT_WINDOW_SECONDS`]. After that, all codes of this user, valid
/// ones included, are refused for [`LOCKOUT_SECONDS`].
pub const MAX_WRONG_CODES: i64 = 5;

/// The period over which wrong codes are counted: 15 minutes.
pub const ATTEMPT_WINDOW_SECONDS: i64 = 15 * 60;

/// How long a user who tried too many codes is locked out: 15 minutes.
pub const LOCKOUT_SECONDS: i64 = 15 * 60;

/// How long ended invites are kept: 30 days.
const KEEP_SECONDS: i64 = 30 * 86_400;

/// The result of creating an invite.
#[derive(Debug)]
pub enum Invited {
    /// The invite, and its code, which is stored nowhere.
    Done(TeamInvite, OpaqueToken),
    /// Only an admin may invite.
    NotAllowed,
    /// All seats of the plan are taken.
    Full(PlanRefusal),
    /// The team has [`MAX_OPEN_INVITES`] open invites.
    TooMany,
}

/// The result of accepting an invite.
#[derive(Debug)]
pub enum Accepted {
    /// The user is a member now.
    Done(Team),
    /// The text does not have the form of a code. It is not counted as a wrong code.
    Malformed,
    /// No invite has this code.
    Unknown,
    /// The invite was used or revoked, or has expired.
    Ended,
    /// The user was a member already; the invite stays valid.
    AlreadyMember(Team),
    /// All seats of the plan are taken. The invite stays valid.
    Full(PlanRefusal),
    /// The user tried too many wrong codes and is locked out until this time.
    Locked(Timestamp),
}

#[derive(FromQueryResult)]
struct InviteRecord {
    invite_id: String,
    invited: String,
    made_at: i64,
    expires_at: i64,
    #[sea_orm(nested)]
    invited_by: UserRecord,
}

impl TryFrom<InviteRecord> for TeamInvite {
    type Error = DbError;

    fn try_from(row: InviteRecord) -> Result<Self, DbError> {
        Ok(Self {
            id: stored_id(&row.invite_id, "team_invites", "id")?,
            email: row.invited,
            invited_by: row.invited_by.try_into()?,
            created_at: Timestamp(row.made_at),
            expires_at: Timestamp(row.expires_at),
        })
    }
}

/// Creates an invite. Revokes earlier ones for the same address, so that only the last link works.
pub async fn create(scope: &Scope, db: &Db, email: &str) -> Result<Invited, DbError> {
    let code = OpaqueToken::mint(INVITE_PREFIX, db.entropy());
    let now = db.clock().now();
    let Some(invited_by) = users::by_id(db, scope.user_id()).await? else { return Ok(Invited::NotAllowed) };
    let invite = TeamInvite {
        id: db.new_id()?,
        email: email.to_owned(),
        invited_by,
        created_at: now,
        expires_at: now.plus_seconds(INVITE_SECONDS),
    };
    let (row, hash) = (&invite, &code.hash().to_hex());
    let refused = db
        .write_system_for(scope, "invites.create", |tx| async move {
            let team = teams::lock(&tx, scope.team_id()).await?;
            if !teams::is_admin(&tx, tx.team_number(), scope.user_id()).await? {
                return Ok(Some(Invited::NotAllowed));
            }
            if let Err(full) = room(&tx, &team, tx.team_number()).await? {
                return Ok(Some(Invited::Full(full)));
            }
            insert(&tx, row, hash).await
        })
        .await?;
    db.commits().wake_reader();
    Ok(refused.unwrap_or(Invited::Done(invite, code)))
}

async fn insert(tx: &ActingTx, row: &TeamInvite, hash: &str) -> Result<Option<Invited>, DbError> {
    let (team, now) = (tx.team_number(), row.created_at);
    tx.execute(
        "DELETE FROM team_invites WHERE team = $1 AND expires_at < $2",
        [team.into(), now.plus_seconds(-KEEP_SECONDS).0.into()],
    )
    .await?;
    let replaced: Vec<ReplacedRow> = tx
        .all(
            "UPDATE team_invites SET revoked_at = $1 \
             WHERE team = $2 AND LOWER(email) = LOWER($3) AND used_at IS NULL AND revoked_at IS NULL RETURNING id",
            [now.0.into(), team.into(), row.email.as_str().into()],
        )
        .await?;
    for ReplacedRow { id } in &replaced {
        tx.log().write(Entry::new(Event::InviteRevoked).about("invite", id.as_str())).await?;
    }
    let open: Option<CountRow> = tx
        .one(
            "SELECT COUNT(*) AS n FROM team_invites \
             WHERE team = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2",
            [team.into(), now.0.into()],
        )
        .await?;
    if open.is_some_and(|open| open.n >= MAX_OPEN_INVITES) {
        return Ok(Some(Invited::TooMany));
    }
    tx.execute(
        "INSERT INTO team_invites (team, id, code_hash, email, invited_by, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            team.into(),
            row.id.as_str().into(),
            hash.into(),
            row.email.as_str().into(),
            row.invited_by.id.as_str().into(),
            now.0.into(),
            row.expires_at.0.into(),
        ],
    )
    .await?;
    tx.log().write(Entry::new(Event::InviteCreated).about("invite", row.id.as_str())).await?;
    Ok(None)
}

#[derive(FromQueryResult)]
struct ReplacedRow {
    id: String,
}

/// Whether the plan has room for another member. The caller has locked the team.
async fn room(tx: &SystemTx, team: &Team, number: TeamNumber) -> Result<Result<(), PlanRefusal>, DbError> {
    let policy = team.policy(tx.plans());
    if policy.limits().members.is_none() {
        return Ok(Ok(()));
    }
    Ok(policy.require_room(plans::seats_taken(tx, number).await?))
}

/// The team's open invites, the newest first; there are at most [`MAX_OPEN_INVITES`].
pub async fn open(scope: &Scope, db: &Db) -> Result<Vec<TeamInvite>, DbError> {
    let tx = db.read_system("invites.list").await?;
    let rows: Vec<InviteRecord> = tx
        .all(
            "SELECT i.id AS invite_id, i.email AS invited, i.created_at AS made_at, i.expires_at, \
               u.id, u.username, u.avatar_url, u.email, u.created_at \
             FROM team_invites i JOIN users u ON u.id = i.invited_by \
             WHERE i.team = (SELECT number FROM teams WHERE id = $1) AND i.used_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > $2 \
             ORDER BY i.created_at DESC, i.id DESC",
            [scope.team_id().as_str().into(), db.clock().now().0.into()],
        )
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Ends an open invite.
pub async fn revoke(scope: &Scope, db: &Db, id: &InviteId) -> Result<TeamChange, DbError> {
    let now = db.clock().now();
    let change = db
        .write(scope, "invites.revoke", |tx| async move {
            if !teams::is_admin(&tx, tx.team_number(), scope.user_id()).await? {
                return Ok(TeamChange::NotAllowed);
            }
            let revoked = tx
                .execute(
                    "UPDATE team_invites SET revoked_at = $1 WHERE team = $2 AND id = $3 \
                     AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $1",
                    [now.0.into(), tx.team(), id.as_str().into()],
                )
                .await?;
            if revoked == 0 {
                return Ok(TeamChange::NotFound);
            }
            tx.log().write(Entry::new(Event::InviteRevoked).about("invite", id.as_str())).await?;
            Ok(TeamChange::Done)
        })
        .await?;
    db.commits().wake_reader();
    Ok(change)
}

/// What the page of an open invite shows.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct InvitePage {
    /// The name of the team.
    pub team: String,
    /// The name of the member who invites.
    pub inviter: String,
}

/// The team and the inviter of an open invite, for who has its code. `None` if no open invite has this code.
pub async fn page(db: &Db, code: &OpaqueToken) -> Result<Option<InvitePage>, DbError> {
    let tx = db.read_system("invites.page").await?;
    tx.one(
        "SELECT t.name AS team, u.username AS inviter FROM team_invites i JOIN teams t ON t.number = i.team \
         JOIN users u ON u.id = i.invited_by \
         WHERE i.code_hash = $1 AND i.used_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > $2",
        [code.hash().to_hex().into(), db.clock().now().0.into()],
    )
    .await
}

#[derive(FromQueryResult)]
struct Code {
    team: i32,
    team_id: String,
    id: String,
}

/// Makes the actor a member of the code's team, if a seat is free. A code works once: of several concurrent users with
/// one code, or with several codes for one seat, one becomes a member.
///
/// Wrong codes are counted in the database, so that neither a second replica nor a restart allows more attempts. The
/// attempts of one user are serialized.
pub async fn accept(db: &Db, actor: &Actor, code: &str) -> Result<Accepted, DbError> {
    let Ok(code) = OpaqueToken::parse(INVITE_PREFIX, code.trim()) else { return Ok(Accepted::Malformed) };
    let (user_id, hash, now) = (&actor.user_id, &code.hash().to_hex(), db.clock().now());
    let accepted = db
        .write_system("invites.accept", |tx| async move {
            if let Some(until) = locked_until(&tx, user_id, now).await? {
                return Ok(Accepted::Locked(until));
            }
            let sql = "SELECT i.team, t.id AS team_id, i.id FROM team_invites i JOIN teams t ON t.number = i.team \
                 WHERE i.code_hash = $1";
            let Some(found) = tx.one::<Code, _>(sql, [hash.as_str().into()]).await? else {
                count_failure(&tx, user_id, now).await?;
                return Ok(Accepted::Unknown);
            };
            let team: TeamId = stored_id(&found.team_id, "teams", "id")?;
            let team = teams::lock(&tx, &team).await?;
            take(&tx, team, &found, actor, now).await
        })
        .await?;
    db.commits().wake_reader();
    Ok(accepted)
}

async fn take(
    tx: &SystemTx,
    team: Team,
    invite: &Code,
    actor: &Actor,
    now: Timestamp,
) -> Result<Accepted, DbError> {
    let user_id = &actor.user_id;
    let number = TeamNumber::of_column(invite.team);
    // The caller has the code, so the following answers reveal nothing.
    let key = || [number.into(), invite.id.as_str().into(), now.0.into()];
    let good = "team = $1 AND id = $2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $3";
    if tx.rows(&format!("SELECT id FROM team_invites WHERE {good}"), key()).await?.is_empty() {
        return Ok(Accepted::Ended);
    }
    if teams::role_of(tx, number, user_id).await?.is_some() {
        return Ok(Accepted::AlreadyMember(team));
    }
    if let Err(full) = room(tx, &team, number).await? {
        return Ok(Accepted::Full(full));
    }
    let used = tx
        .execute(
            &format!("UPDATE team_invites SET used_by = $4, used_at = $3 WHERE {good}"),
            key().into_iter().chain([user_id.as_str().into()]),
        )
        .await?;
    // It may have been revoked concurrently.
    if used == 0 {
        return Ok(Accepted::Ended);
    }
    insert_member(tx, number, user_id, Role::Member).await?;
    let log = tx.log_of(&team.id, number).on_behalf_of(Origin::of_actor(actor));
    log.write(Entry::new(Event::InviteAccepted).about("invite", invite.id.as_str())).await?;
    let joined = Entry::new(Event::MemberJoined).about_user(user_id);
    log.write(joined.with("role", Role::Member.as_str())).await?;
    Ok(Accepted::Done(team))
}

#[derive(FromQueryResult)]
struct Attempts {
    locked_until: Option<i64>,
}

/// When the user's lockout ends. Locks the row, so that the user's other attempts wait for this one.
async fn locked_until(tx: &SystemTx, user_id: &UserId, now: Timestamp) -> Result<Option<Timestamp>, DbError> {
    let lock = format!("SELECT id FROM users WHERE id = $1{}", tx.dialect().for_update());
    tx.rows(&lock, [user_id.as_str().into()]).await?;
    let sql = "SELECT locked_until FROM invite_attempts WHERE user_id = $1";
    let row: Option<Attempts> = tx.one(sql, [user_id.as_str().into()]).await?;
    Ok(row.and_then(|row| row.locked_until).map(Timestamp).filter(|until| *until > now))
}

async fn count_failure(tx: &SystemTx, user_id: &UserId, now: Timestamp) -> Result<(), DbError> {
    // Wrong codes of an earlier period no longer count.
    tx.execute(
        "INSERT INTO invite_attempts (user_id, failures, began_at) VALUES ($1, 1, $2) \
         ON CONFLICT (user_id) DO UPDATE SET \
           failures = CASE WHEN invite_attempts.began_at > $3 THEN invite_attempts.failures + 1 ELSE 1 END, \
           began_at = CASE WHEN invite_attempts.began_at > $3 THEN invite_attempts.began_at ELSE $2 END",
        [user_id.as_str().into(), now.0.into(), now.plus_seconds(-ATTEMPT_WINDOW_SECONDS).0.into()],
    )
    .await?;
    tx.execute(
        "UPDATE invite_attempts SET failures = 0, locked_until = $1 WHERE user_id = $2 AND failures >= $3",
        [now.plus_seconds(LOCKOUT_SECONDS).0.into(), user_id.as_str().into(), MAX_WRONG_CODES.into()],
    )
    .await?;
    Ok(())
}
