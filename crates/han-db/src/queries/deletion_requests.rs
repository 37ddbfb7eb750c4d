//! Requests to delete: a session, the sessions of a member, the data of a team, a team, or an account. A request waits for
//! its grace period, in which it can be cancelled; then the job `team-work` calls [`advance`] until everything is deleted.
//! The row stays as the receipt.
//!
//! Each session is one transaction, which also records by which request it was deleted. So the work can be interrupted
//! anywhere, and two processes that do it at the same time do no harm.

use std::fmt;
use std::str::FromStr;

use han_types::{RequestId, Role, Scope, SessionId, TeamId, Timestamp, UserId, new_row_id};
use sea_orm::{FromQueryResult, Value};

use crate::queries::audit::{self, Entry, Event};
use crate::queries::team_deletion::{self, BegunDeletion};
use crate::queries::team_work::{self, Advance, WorkKind};
use crate::queries::{deletion, memberships, service_accounts, teams};
use crate::stored::{stored, stored_id};
use crate::team_numbers::TeamNumber;
use crate::tx::{SystemTx, Tx};
use crate::{Db, DbError};

/// The sessions that one call of [`advance`] deletes at most.
const SESSIONS_AT_ONCE: usize = 50;

/// How long after the access of an account has ended a push may still arrive that was admitted before: the deadline of a
/// body, and the time that a batch may wait to be stored.
const PUSHES_END: i64 = 10 * 60;

/// What is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One session of a team.
    Session(SessionId),
    /// All sessions that a user has pushed to a team.
    Member(UserId),
    /// All sessions of a team.
    Data,
    /// A team: its keys, and then everything that it has.
    Team,
    /// A user, with all that they have pushed to any team. A team without other members is deleted with its last one.
    Account(UserId),
}

/// The kinds of [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// [`Target::Session`]
    Session,
    /// [`Target::Member`]
    Member,
    /// [`Target::Data`]
    Data,
    /// [`Target::Team`]
    Team,
    /// [`Target::Account`]
    Account,
}

impl TargetKind {
    const ALL: [Self; 5] = [Self::Session, Self::Member, Self::Data, Self::Team, Self::Account];

    /// The value in `deletion_requests.kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Member => "member",
            Self::Data => "data",
            Self::Team => "team",
            Self::Account => "account",
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TargetKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is none of session, member, data, team and account"))
    }
}

impl Target {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Session(_) => TargetKind::Session,
            Self::Member(_) => TargetKind::Member,
            Self::Data => TargetKind::Data,
            Self::Team => TargetKind::Team,
            Self::Account(_) => TargetKind::Account,
        }
    }

    fn entry(&self, event: Event) -> Entry<'_> {
        let entry = Entry::new(event);
        match self {
            Self::Session(id) => entry.about_session(id),
            Self::Member(id) | Self::Account(id) => entry.about_user(id),
            Self::Data | Self::Team => entry,
        }
    }

    fn subject(&self) -> &str {
        match self {
            Self::Session(id) => id.as_str(),
            Self::Member(id) | Self::Account(id) => id.as_str(),
            Self::Data | Self::Team => "",
        }
    }
}

/// A request to delete, and its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionRequest {
    /// Its id.
    pub id: String,
    /// The team; `None` for an account.
    pub team_id: Option<TeamId>,
    /// What is deleted.
    pub kind: TargetKind,
    /// The session or the user; empty for a team, and for an account that was deleted.
    pub subject: String,
    /// Who requested it; empty after their account was deleted, and the request is complete.
    pub requested_by: String,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When it begins.
    pub due_at: Timestamp,
    /// When it began: from then on it cannot be cancelled.
    pub started_at: Option<Timestamp>,
    /// When everything was deleted.
    pub finished_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// The sessions that were deleted; counted at the end.
    pub sessions: u64,
    /// Their lines.
    pub lines: u64,
}

impl DeletionRequest {
    /// `scheduled`, `running`, `finished` or `cancelled`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.cancelled_at, self.finished_at, self.started_at) {
            (Some(_), ..) => "cancelled",
            (_, Some(_), _) => "finished",
            (_, _, Some(_)) => "running",
            _ => "scheduled",
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It is stored; or it was, by an earlier request for the same.
    Stored(DeletionRequest),
    /// The team has no such session or member.
    NotFound,
    /// Only admins, and the owner of the sessions, may do this.
    NotAllowed,
    /// The user is the only admin of these teams, given by their slugs, and they have other members.
    LastAdmin(Vec<String>),
}

/// What became of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled, or was before.
    Done(DeletionRequest),
    /// There is no such request.
    NotFound,
    /// Others may not cancel what a user has requested for what is theirs.
    NotAllowed,
    /// It has begun.
    Begun,
}

#[derive(FromQueryResult)]
struct RequestRow {
    id: String,
    team_id: String,
    kind: String,
    subject: String,
    requested_by: String,
    own: bool,
    owner: String,
    requested_at: i64,
    due_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    cancelled_at: Option<i64>,
    sessions: i64,
    lines: i64,
}

impl TryFrom<RequestRow> for DeletionRequest {
    type Error = DbError;

    fn try_from(row: RequestRow) -> Result<Self, DbError> {
        let team_id = match row.team_id.as_str() {
            "" => None,
            text => Some(stored(text, "deletion_requests", "team_id", &row.id)?),
        };
        Ok(Self {
            kind: stored(&row.kind, "deletion_requests", "kind", &row.id)?,
            team_id,
            subject: row.subject,
            requested_by: row.requested_by,
            requested_at: Timestamp(row.requested_at),
            due_at: Timestamp(row.due_at),
            started_at: row.started_at.map(Timestamp),
            finished_at: row.finished_at.map(Timestamp),
            cancelled_at: row.cancelled_at.map(Timestamp),
            sessions: u64::try_from(row.sessions).unwrap_or_default(),
            lines: u64::try_from(row.lines).unwrap_or_default(),
            id: row.id,
        })
    }
}

const REQUEST: &str = "SELECT id, team_id, kind, subject, requested_by, own, owner, requested_at, due_at, \
     started_at, finished_at, cancelled_at, sessions, lines FROM deletion_requests";

async fn all(tx: &Tx, condition: &str, values: Vec<Value>) -> Result<Vec<DeletionRequest>, DbError> {
    let sql = format!("{REQUEST} WHERE {condition}");
    let rows: Vec<RequestRow> = tx.all(&sql, values).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The requests of all teams, and those for accounts, the latest first: up to `limit`.
pub async fn list(db: &Db, limit: u32) -> Result<Vec<DeletionRequest>, DbError> {
    let tx = db.read_system("deletion_requests.list").await?;
    all(&tx, "1 = 1 ORDER BY requested_at DESC, id DESC LIMIT $1", vec![i64::from(limit).into()]).await
}

/// The requests of the scope's team that its user may see, the latest first: up to `limit`. Admins see all of the team,
/// other members those that they have requested, and those for their sessions.
pub async fn of_team(scope: &Scope, db: &Db, limit: u32) -> Result<Vec<DeletionRequest>, DbError> {
    let tx = db.read_system("deletion_requests.of_team").await?;
    let condition = format!("{VISIBLE} ORDER BY requested_at DESC, id DESC LIMIT $4");
    let values = visible(scope).into_iter().chain([i64::from(limit).into()]);
    all(&tx, &condition, values.collect()).await
}

/// A request of the scope's team, if its user may see it.
pub async fn find(scope: &Scope, db: &Db, id: &str) -> Result<Option<DeletionRequest>, DbError> {
    let tx = db.read_system("deletion_requests.find").await?;
    let values = visible(scope).into_iter().chain([id.into()]);
    Ok(all(&tx, &format!("{VISIBLE} AND id = $4"), values.collect()).await?.pop())
}

const VISIBLE: &str = "team_id = $1 AND ($2 OR requested_by = $3 OR owner = $3)";

fn visible(scope: &Scope) -> [Value; 3] {
    let is_admin = scope.role() == Role::Admin;
    [scope.team_id().as_str().into(), is_admin.into(), scope.user_id().as_str().into()]
}

/// The latest request to delete an account that was not cancelled.
pub async fn of_account(db: &Db, user_id: &UserId) -> Result<Option<DeletionRequest>, DbError> {
    let tx = db.read_system("deletion_requests.of_account").await?;
    let condition =
        "kind = 'account' AND subject = $1 AND cancelled_at IS NULL ORDER BY requested_at DESC LIMIT 1";
    Ok(all(&tx, condition, vec![user_id.as_str().into()]).await?.pop())
}

/// Requests a deletion in the scope's team. A request for the same that is neither complete nor cancelled is left as it is;
/// but one by an admin and one by the owner of the sessions stand beside each other, because an admin may cancel only the
/// former, and the owner only the latter.
pub async fn request(
    scope: &Scope,
    db: &Db,
    target: &Target,
    due_at: Timestamp,
) -> Result<Requested, DbError> {
    let requested = db
        .write_system_for(scope, "deletion_requests.insert", |tx| async move {
            teams::lock(&tx, tx.team_id()).await?;
            let (team, user) = (tx.team_number(), scope.user_id());
            let owner = match target {
                Target::Session(id) => {
                    let sql = "SELECT user_id FROM sessions WHERE team = $1 AND session_id = $2";
                    let found = tx.one::<OwnerRow, _>(sql, [team.into(), id.as_str().into()]).await?;
                    let Some(found) = found else { return Ok(Requested::NotFound) };
                    Some(found.user_id)
                }
                Target::Member(id) => {
                    let sql = "SELECT user_id FROM sessions WHERE team = $1 AND user_id = $2 LIMIT 1";
                    let pushed = tx.one::<OwnerRow, _>(sql, [team.into(), id.as_str().into()]).await?;
                    let is_known = pushed.is_some() || service_accounts::is_of_team(&tx, team, id).await?;
                    if !is_known && teams::role_of(&tx, team, id).await?.is_none() {
                        return Ok(Requested::NotFound);
                    }
                    Some(id.to_string())
                }
                Target::Data | Target::Team => None,
                Target::Account(_) => return Ok(Requested::NotFound),
            };
            let own = owner.as_deref() == Some(user.as_str());
            if !own && !teams::is_admin(&tx, team, user).await? {
                return Ok(Requested::NotAllowed);
            }
            let owner = owner.as_deref().unwrap_or_default();
            let (stored, is_new) = insert(&tx, Some(tx.team_id()), target, user, owner, due_at).await?;
            if is_new {
                tx.log().write(about(target.entry(Event::DeletionRequested), &stored)).await?;
            }
            Ok(Requested::Stored(stored))
        })
        .await?;
    if let Requested::Stored(stored) = &requested {
        tracing::info!(request = stored.id, team = %scope.team_id(), user = %scope.user_id(), kind = %stored.kind,
            due_at = %stored.due_at, "a deletion was requested");
    }
    Ok(requested)
}

/// Requests that an account is deleted.
pub async fn request_account(db: &Db, user_id: &UserId, due_at: Timestamp) -> Result<Requested, DbError> {
    let requested = db
        .write_system("deletion_requests.insert_account", |tx| async move {
            let needed_in = teams::needed_in(&tx, user_id).await?;
            if !needed_in.is_empty() {
                return Ok(Requested::LastAdmin(needed_in));
            }
            let target = Target::Account(user_id.clone());
            let (stored, is_new) = insert(&tx, None, &target, user_id, user_id.as_str(), due_at).await?;
            if is_new {
                let entry = about(target.entry(Event::DeletionRequested), &stored);
                tx.log_for_user(user_id, entry).await?;
            }
            Ok(Requested::Stored(stored))
        })
        .await?;
    if let Requested::Stored(stored) = &requested {
        tracing::info!(request = stored.id, user = %user_id, due_at = %stored.due_at,
            "the deletion of an account was requested");
    }
    Ok(requested)
}

#[derive(FromQueryResult)]
struct OwnerRow {
    user_id: String,
}

/// An entry of the audit log, with what it says about every request.
fn about<'a>(entry: Entry<'a>, request: &DeletionRequest) -> Entry<'a> {
    entry
        .with("kind", request.kind.as_str())
        .with("deletion", request.id.as_str())
        .with("dueAt", request.due_at.to_rfc3339())
}

/// Stores a request for what is `owner`'s; returns whether there was none for the same.
async fn insert(
    tx: &SystemTx,
    team_id: Option<&TeamId>,
    target: &Target,
    requested_by: &UserId,
    owner: &str,
    due_at: Timestamp,
) -> Result<(DeletionRequest, bool), DbError> {
    let team_id = team_id.map_or("", TeamId::as_str);
    let own = requested_by.as_str() == owner;
    let key: [Value; 4] =
        [team_id.into(), target.kind().as_str().into(), target.subject().into(), own.into()];
    let open = "team_id = $1 AND kind = $2 AND subject = $3 AND own = $4 \
                AND finished_at IS NULL AND cancelled_at IS NULL";
    if let Some(found) = all(tx, open, key.to_vec()).await?.pop() {
        return Ok((found, false));
    }
    let sql = "INSERT INTO deletion_requests \
               (team_id, kind, subject, own, id, requested_by, owner, requested_at, due_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let id = new_row_id(tx.clock(), tx.entropy());
    let values = [
        id.clone().into(),
        requested_by.as_str().into(),
        owner.into(),
        tx.clock().now().0.into(),
        due_at.0.into(),
    ];
    tx.execute(sql, key.into_iter().chain(values)).await?;
    let missing = || DbError::RowMissing { table: "deletion_requests", row: id.clone() };
    let stored = all(tx, "id = $1", vec![id.as_str().into()]).await?.pop().ok_or_else(missing)?;
    Ok((stored, true))
}

/// Cancels a request of the scope's team: its author may, and admins, unless the author deletes only what is theirs.
pub async fn cancel(scope: &Scope, db: &Db, id: &str) -> Result<Cancelled, DbError> {
    db.write_system_for(scope, "deletion_requests.cancel", |tx| async move {
        let condition = "team_id = $1 AND id = $2";
        let sql = format!("{REQUEST} WHERE {condition}{}", tx.dialect().for_update());
        let found: Option<RequestRow> = tx.one(&sql, [tx.team_id().as_str().into(), id.into()]).await?;
        let Some(found) = found else { return Ok(Cancelled::NotFound) };
        if found.requested_by != scope.user_id().as_str() {
            let is_admin = teams::is_admin(&tx, tx.team_number(), scope.user_id()).await?;
            match (is_admin, found.own) {
                (true, false) => {}
                (true, true) => return Ok(Cancelled::NotAllowed),
                (false, _) if found.owner == scope.user_id().as_str() => return Ok(Cancelled::NotAllowed),
                (false, _) => return Ok(Cancelled::NotFound),
            }
        }
        let (cancelled, is_new) = cancel_found(&tx, found).await?;
        if let (Cancelled::Done(request), true) = (&cancelled, is_new) {
            let entry = Entry::new(Event::DeletionCancelled).about("deletion", request.id.as_str());
            tx.log().write(about(entry, request)).await?;
        }
        Ok(cancelled)
    })
    .await
}

/// Cancels the deletion of an account.
pub async fn cancel_account(db: &Db, user_id: &UserId) -> Result<Cancelled, DbError> {
    db.write_system("deletion_requests.cancel_account", |tx| async move {
        let sql = format!(
            "{REQUEST} WHERE kind = 'account' AND subject = $1 AND cancelled_at IS NULL{}",
            tx.dialect().for_update()
        );
        match tx.one::<RequestRow, _>(&sql, [user_id.as_str().into()]).await? {
            Some(found) => {
                let (cancelled, is_new) = cancel_found(&tx, found).await?;
                if let (Cancelled::Done(request), true) = (&cancelled, is_new) {
                    let entry = Entry::new(Event::DeletionCancelled).about_user(user_id);
                    tx.log_for_user(user_id, about(entry, request)).await?;
                }
                Ok(cancelled)
            }
            None => Ok(Cancelled::NotFound),
        }
    })
    .await
}

/// Cancels a request; returns whether it was not cancelled before.
async fn cancel_found(tx: &SystemTx, found: RequestRow) -> Result<(Cancelled, bool), DbError> {
    if found.started_at.is_some() {
        return Ok((Cancelled::Begun, false));
    }
    let is_new = found.cancelled_at.is_none();
    let cancelled_at = found.cancelled_at.unwrap_or(tx.clock().now().0);
    let sql = "UPDATE deletion_requests SET cancelled_at = $2 WHERE id = $1";
    tx.execute(sql, [found.id.as_str().into(), cancelled_at.into()]).await?;
    tracing::info!(request = found.id, "a deletion was cancelled");
    let cancelled = RequestRow { cancelled_at: Some(cancelled_at), ..found }.try_into()?;
    Ok((Cancelled::Done(cancelled), is_new))
}

// ---- the work -----------------------------------------------------------------------------------------------

/// The requests whose grace period has ended, and that are not complete, the oldest first.
pub async fn due(db: &Db) -> Result<Vec<DeletionRequest>, DbError> {
    let tx = db.read_system("deletion_requests.due").await?;
    let condition =
        "finished_at IS NULL AND cancelled_at IS NULL AND due_at <= $1 ORDER BY due_at, requested_at, id";
    all(&tx, condition, vec![db.clock().now().0.into()]).await
}

/// Does the next part of a request that is due: its beginning, some sessions, or its end. Fails where it cannot go on; it
/// may be called again.
pub async fn advance(db: &Db, request: &DeletionRequest) -> Result<Advance, DbError> {
    let Some(started_at) = request.started_at else {
        return match begin(db, request).await? {
            Begun::Now | Begun::Cancelled => Ok(Advance::More),
            Begun::NeededIn(slugs) => {
                tracing::warn!(
                    request = request.id,
                    teams = slugs.join(", "),
                    "an account is not deleted yet: the user is the only admin of teams with other members"
                );
                Ok(Advance::Waiting)
            }
        };
    };
    match (request.kind, &request.team_id) {
        (TargetKind::Team, Some(team_id)) => return advance_team(db, request, team_id).await,
        (TargetKind::Account, _) => return advance_account(db, request, started_at).await,
        _ => {}
    }
    let sessions = next_sessions(db, request).await?;
    if !sessions.is_empty() {
        return delete_sessions(db, request, sessions).await;
    }
    if let Some(team_id) = &request.team_id
        && exists(db, team_id).await?
        && team_work::find(db, team_id, WorkKind::Delete).await?.is_none()
    {
        deletion::leftovers(&scope_of(db, team_id, request)?, db).await?;
    }
    finish(db, request).await
}

/// Whether a request has begun.
enum Begun {
    /// From now on it cannot be cancelled any more.
    Now,
    /// It was cancelled, or has begun before.
    Cancelled,
    /// Not yet: the user whose account is to be deleted is the only admin of these teams, and they have other members, who
    /// may have joined since it was requested.
    NeededIn(Vec<String>),
}

async fn begin(db: &Db, request: &DeletionRequest) -> Result<Begun, DbError> {
    let (begun, teams) = db
        .write_system("deletion_requests.begin", |tx| async move {
            if request.kind == TargetKind::Account {
                let user_id = stored_id(&request.subject, "deletion_requests", "subject")?;
                let slugs = teams::needed_in(&tx, &user_id).await?;
                if !slugs.is_empty() {
                    return Ok((Begun::NeededIn(slugs), Vec::new()));
                }
            }
            let last = "SELECT COALESCE(max(s.number), 0) FROM sessions s JOIN teams t ON t.number = s.team \
                        WHERE t.id = deletion_requests.team_id";
            let sql = format!(
                "UPDATE deletion_requests SET started_at = $2, last_session = ({last}) WHERE id = $1 \
                 AND started_at IS NULL AND cancelled_at IS NULL"
            );
            if tx.execute(&sql, [request.id.as_str().into(), tx.clock().now().0.into()]).await? == 0 {
                return Ok((Begun::Cancelled, Vec::new()));
            }
            if let (TargetKind::Team, Some(team_id)) = (request.kind, &request.team_id) {
                let count =
                    "SELECT count(*) FROM sessions s JOIN teams t ON t.number = s.team WHERE t.id = $2";
                let lines = count.replace("count(*)", "COALESCE(sum(s.line_count), 0)");
                let sql = format!(
                    "UPDATE deletion_requests SET sessions = ({count}), lines = ({lines}) WHERE id = $1"
                );
                tx.execute(&sql, [request.id.as_str().into(), team_id.as_str().into()]).await?;
            }
            // In the same transaction, which holds the user's teams: a user who joins one of them meanwhile would be left in a
            // team without an admin.
            let teams = match request.kind {
                TargetKind::Account => end_rights(&tx, &request.subject).await?,
                _ => Vec::new(),
            };
            Ok((Begun::Now, teams))
        })
        .await?;
    after_end(db, request, &teams).await;
    Ok(begun)
}

/// After the commit of [`end_rights`].
async fn after_end(db: &Db, request: &DeletionRequest, teams: &[BegunDeletion]) {
    if request.kind == TargetKind::Account {
        db.rights_changed();
    }
    team_deletion::after_commit(db, teams).await;
}

#[derive(FromQueryResult)]
struct OwnTeamRow {
    number: i32,
    id: String,
}

/// Ends every right of a user, and begins to delete the teams that have no other member. Triggers notify all replicas.
async fn end_rights(tx: &SystemTx, user_id: &str) -> Result<Vec<BegunDeletion>, DbError> {
    let id = stored_id(user_id, "deletion_requests", "subject")?;
    teams::lock_all_of(tx, &id).await?;
    let sql = "SELECT t.number, t.id FROM teams t JOIN team_members m ON t.number = m.team WHERE m.user_id = $1 \
               AND NOT EXISTS (SELECT 1 FROM team_members o WHERE o.team = m.team AND o.user_id <> $1) \
               ORDER BY t.number";
    let teams: Vec<OwnTeamRow> = tx.all(sql, [user_id.into()]).await?;
    let mut begun = Vec::new();
    for team in teams {
        let number = TeamNumber::of_column(team.number);
        begun.push(team_deletion::begin_in(tx, &stored_id(&team.id, "teams", "id")?, number).await?);
    }
    let logs = tx.logs_of(&id).await?;
    tx.execute(
        "DELETE FROM refresh_tokens WHERE family_id IN (SELECT id FROM token_families WHERE user_id = $1)",
        [user_id.into()],
    )
    .await?;
    for table in
        ["token_families", "web_sessions", "login_links", "device_logins", "api_keys", "team_members"]
    {
        tx.execute(&format!("DELETE FROM {table} WHERE user_id = $1"), [user_id.into()]).await?;
    }
    for log in logs {
        log.write(Entry::new(Event::MemberLeft).about_user(&id)).await?;
    }
    Ok(begun)
}

#[derive(FromQueryResult)]
struct SessionRow {
    team_id: String,
    session_id: String,
}

/// The sessions that there were at the beginning, by their numbers, whatever time an import has given them; and those of a
/// push that had not committed then.
const BEFORE: &str = "(s.number <= (SELECT r.last_session FROM deletion_requests r WHERE r.id = $2) \
     OR s.created_at <= (SELECT r.started_at FROM deletion_requests r WHERE r.id = $2))";

/// The next sessions that a request deletes, and their teams. What was first pushed after the beginning stays, except for
/// that of an account. Teams that are deleted as a whole are left out.
async fn next_sessions(db: &Db, request: &DeletionRequest) -> Result<Vec<(TeamId, SessionId)>, DbError> {
    let tx = db.read_system("deletion_requests.sessions").await?;
    let team = request.team_id.as_ref().map_or("", TeamId::as_str);
    let (id, subject): (Value, Value) = (request.id.as_str().into(), request.subject.as_str().into());
    let (condition, values): (String, Vec<Value>) = match request.kind {
        TargetKind::Session => ("t.id = $1 AND s.session_id = $2".to_owned(), vec![team.into(), subject]),
        TargetKind::Member => {
            (format!("t.id = $1 AND s.user_id = $3 AND {BEFORE}"), vec![team.into(), id, subject])
        }
        TargetKind::Data => (format!("t.id = $1 AND {BEFORE}"), vec![team.into(), id]),
        TargetKind::Account => ("s.user_id = $1".to_owned(), vec![subject]),
        TargetKind::Team => return Ok(Vec::new()),
    };
    let sql = format!(
        "SELECT t.id AS team_id, s.session_id FROM sessions s JOIN teams t ON t.number = s.team WHERE {condition} \
         AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete') \
         ORDER BY t.id, s.session_id LIMIT {SESSIONS_AT_ONCE}"
    );
    let rows: Vec<SessionRow> = tx.all(&sql, values).await?;
    let ids = |row: SessionRow| {
        Ok((stored_id(&row.team_id, "teams", "id")?, stored_id(&row.session_id, "sessions", "session_id")?))
    };
    rows.into_iter().map(ids).collect()
}

async fn delete_sessions(
    db: &Db,
    request: &DeletionRequest,
    sessions: Vec<(TeamId, SessionId)>,
) -> Result<Advance, DbError> {
    for (team_id, session_id) in sessions {
        deletion::requested(&scope_of(db, &team_id, request)?, db, &session_id, &request.id).await?;
    }
    Ok(Advance::More)
}

/// The right to the data of a team, on behalf of who requested its deletion.
fn scope_of(db: &Db, team_id: &TeamId, request: &DeletionRequest) -> Result<Scope, DbError> {
    let user_id = stored(&request.requested_by, "deletion_requests", "requested_by", &request.id)?;
    Ok(memberships::scope_of_work(team_id, user_id, RequestId::generate(db.clock(), db.entropy())))
}

async fn exists(db: &Db, team_id: &TeamId) -> Result<bool, DbError> {
    let tx = db.read_system("deletion_requests.team").await?;
    Ok(!tx.rows("SELECT id FROM teams WHERE id = $1", [team_id.as_str().into()]).await?.is_empty())
}

/// The keys of the team first; then `team_deletion` deletes its rows, and this waits for it.
async fn advance_team(db: &Db, request: &DeletionRequest, team_id: &TeamId) -> Result<Advance, DbError> {
    if !exists(db, team_id).await? {
        return finish(db, request).await;
    }
    if team_work::find(db, team_id, WorkKind::Delete).await?.is_some() {
        return Ok(Advance::Waiting);
    }
    team_deletion::begin(db, team_id).await?;
    Ok(Advance::More)
}

async fn advance_account(
    db: &Db,
    request: &DeletionRequest,
    started_at: Timestamp,
) -> Result<Advance, DbError> {
    let user_id = request.subject.as_str();
    // Again: a program may have signed in before its replica noticed.
    let ended = db
        .write_system("deletion_requests.end_rights", |tx| async move { end_rights(&tx, user_id).await })
        .await?;
    after_end(db, request, &ended).await;
    let sessions = next_sessions(db, request).await?;
    if !sessions.is_empty() {
        return delete_sessions(db, request, sessions).await;
    }
    let tx = db.read_system("deletion_requests.left").await?;
    // Those in teams that are deleted as a whole.
    let left = tx.rows("SELECT team FROM sessions WHERE user_id = $1 LIMIT 1", [user_id.into()]).await?;
    let sql = "SELECT DISTINCT t.id FROM deleted_sessions d JOIN teams t ON t.number = d.team WHERE d.request_id = $1 \
               AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete')";
    let teams = tx.rows(sql, [request.id.as_str().into()]).await?;
    drop(tx);
    if !left.is_empty() || db.clock().now() < started_at.plus_seconds(PUSHES_END) {
        return Ok(Advance::Waiting);
    }
    for row in teams {
        let id: String = row.try_get("", "id")?;
        deletion::leftovers(&scope_of(db, &stored_id(&id, "teams", "id")?, request)?, db).await?;
    }
    let ended = db
        .write_system("deletion_requests.forget_user", |tx| async move {
            let ended = end_rights(&tx, user_id).await?;
            for sql in FORGET_USER {
                tx.execute(sql, [user_id.into()]).await?;
            }
            complete(&tx, request).await?;
            // What was requested for their sessions is done.
            let sql = "UPDATE deletion_requests SET finished_at = COALESCE(finished_at, $2), owner = '', \
                       subject = CASE WHEN subject = $1 THEN '' ELSE subject END WHERE subject = $1 OR owner = $1";
            tx.execute(sql, [user_id.into(), tx.clock().now().0.into()]).await?;
            // What they have requested as an admin goes on, on their behalf: it names them until it is complete.
            let sql = "UPDATE deletion_requests SET requested_by = '' WHERE requested_by = $1 \
                       AND (finished_at IS NOT NULL OR cancelled_at IS NOT NULL)";
            tx.execute(sql, [user_id.into()]).await?;
            audit::forget_user(&tx, user_id, &request.id).await?;
            Ok(ended)
        })
        .await?;
    after_end(db, request, &ended).await;
    tracing::info!(request = request.id, "an account was deleted");
    Ok(Advance::Finished)
}

const FORGET_USER: &[&str] = &[
    "DELETE FROM github_accounts WHERE user_id = $1",
    "DELETE FROM invite_attempts WHERE user_id = $1",
    "DELETE FROM team_invites WHERE used_by = $1 OR invited_by = $1 \
     OR lower(email) = (SELECT lower(u.email) FROM users u WHERE u.id = $1)",
    "DELETE FROM rollups WHERE user_id = $1",
    "DELETE FROM rollup_counts WHERE user_id = $1",
    "DELETE FROM users WHERE id = $1",
];

async fn finish(db: &Db, request: &DeletionRequest) -> Result<Advance, DbError> {
    db.write_system("deletion_requests.finish", |tx| async move {
        if !complete(&tx, request).await? {
            return Ok(());
        }
        let Some(team_id) = &request.team_id else { return Ok(()) };
        // That of a team that is deleted itself is deleted, too.
        let sql = "SELECT number FROM teams t WHERE id = $1 \
                   AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete')";
        let Some(team) = tx.one::<TeamRow, _>(sql, [team_id.as_str().into()]).await? else { return Ok(()) };
        let Some(receipt) = all(&tx, "id = $1", vec![request.id.as_str().into()]).await?.pop() else {
            return Ok(());
        };
        let entry =
            about(Entry::new(Event::DeletionCompleted).about("deletion", receipt.id.as_str()), &receipt)
                .with("sessions", receipt.sessions)
                .with("lines", receipt.lines);
        tx.log_of(team_id, TeamNumber::of_column(team.number)).write(entry).await
    })
    .await?;
    tracing::info!(request = request.id, kind = %request.kind, "a deletion is complete");
    Ok(Advance::Finished)
}

#[derive(FromQueryResult)]
struct TeamRow {
    number: i32,
}

/// Writes the receipt; returns whether there was none. The sessions of a team were counted when its deletion began: their
/// rows are deleted.
async fn complete(tx: &SystemTx, request: &DeletionRequest) -> Result<bool, DbError> {
    let counts = match request.kind {
        TargetKind::Team => "",
        _ => {
            ", sessions = (SELECT count(*) FROM deleted_sessions WHERE request_id = $1), \
             lines = (SELECT COALESCE(sum(lines), 0) FROM deleted_sessions WHERE request_id = $1)"
        }
    };
    let sql = format!(
        "UPDATE deletion_requests SET finished_at = $2{counts}, requested_by = COALESCE(\
           (SELECT u.id FROM users u WHERE u.id = deletion_requests.requested_by), '') \
         WHERE id = $1 AND finished_at IS NULL"
    );
    let values = [request.id.as_str().into(), tx.clock().now().0.into()];
    Ok(tx.execute(&sql, values).await? > 0)
}
