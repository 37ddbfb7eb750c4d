//! The audit log: who did what in a team, when, from where, with which credential, in which request. Each entry is
//! written in the transaction of what it records, and follows the one before it in a chain of hashes (`chain`). Reading
//! and verifying it is in `read` and `verify`; docs/adr/0033 has the reasons.
//!
//! An entry names people, addresses and sessions by pseudonyms, which `audit_names` resolves. The rows there are deleted
//! with the account or the session, and the chain stays as it is.
//!
//! What belongs to no team (the rotation of the KEK, a backup, the sign-in of a user without a team) is in the server's own
//! log.

mod chain;
mod read;
mod verify;

use std::borrow::Cow;
use std::fmt;

use han_types::{Credential, Origin, RequestId, Scope, SessionId, TeamId, UserId, new_row_id};
use sea_orm::{FromQueryResult, Value};
use serde_json::Map;

pub use chain::{Fault, FaultKind, Hash};
pub use read::{AuditCursor, AuditEntry, AuditFilter, LogOf, after, page};
pub use verify::{LoggedTeam, Verified, teams, verify};

pub use crate::audit_cache::RECORDED_EVERY_SECONDS;
use crate::stored::stored_id;
use crate::team_numbers::TeamNumber;
use crate::tx::{ActingTx, ScopedTx, SystemTx, Tx};
use crate::{Db, DbError};
use chain::{BEGINNING, Hashed};

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user signed in.
    SignedIn,
    /// A user ended a sign-in.
    SignedOut,
    /// A sign-in was ended, because its refresh token was used twice.
    SignInEnded,
    /// An operator created a sign-in link for a user.
    LinkCreated,
    /// A user approved the sign-in of a program.
    ProgramApproved,
    /// All credentials of a user were ended.
    AccessEnded,
    /// An API key was created.
    KeyCreated,
    /// An API key was replaced by another one.
    KeyRotated,
    /// An API key was revoked.
    KeyRevoked,
    /// An API key was used after its end; at most once an hour for each key.
    KeyRefused,
    /// A user became a member.
    MemberJoined,
    /// A member left.
    MemberLeft,
    /// A membership was ended by someone else.
    MemberRemoved,
    /// A member got another role.
    RoleChanged,
    /// A service account was made.
    ServiceAccountCreated,
    /// A service account got another name.
    ServiceAccountRenamed,
    /// A service account was removed.
    ServiceAccountRemoved,
    /// A person was invited.
    InviteCreated,
    /// An invite was revoked.
    InviteRevoked,
    /// An invite was accepted.
    InviteAccepted,
    /// The team was created.
    TeamCreated,
    /// The team was renamed.
    TeamRenamed,
    /// A team was deleted. It is in the server's log, since that of the team is deleted, too.
    TeamDeleted,
    /// The team got another plan.
    PlanChanged,
    /// A setting of the team was changed.
    SettingChanged,
    /// A deletion was requested.
    DeletionRequested,
    /// A deletion was cancelled.
    DeletionCancelled,
    /// A deletion was carried out.
    DeletionCompleted,
    /// All sessions of the team were exported.
    TeamExported,
    /// A member exported their own sessions.
    OwnExported,
    /// One session was exported.
    SessionExported,
    /// The audit log was exported.
    AuditExported,
    /// Sessions were imported.
    Imported,
    /// The team got another content key.
    TeamKeyRotated,
    /// Another KEK wraps the keys of teams.
    KekRotated,
    /// A conversion of the team's content was requested.
    ConversionRequested,
    /// A member opened a session of another member.
    SessionOpened,
    /// The database was backed up.
    BackedUp,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 38] = [
        Self::SignedIn,
        Self::SignedOut,
        Self::SignInEnded,
        Self::LinkCreated,
        Self::ProgramApproved,
        Self::AccessEnded,
        Self::KeyCreated,
        Self::KeyRotated,
        Self::KeyRevoked,
        Self::KeyRefused,
        Self::MemberJoined,
        Self::MemberLeft,
        Self::MemberRemoved,
        Self::RoleChanged,
        Self::ServiceAccountCreated,
        Self::ServiceAccountRenamed,
        Self::ServiceAccountRemoved,
        Self::InviteCreated,
        Self::InviteRevoked,
        Self::InviteAccepted,
        Self::TeamCreated,
        Self::TeamRenamed,
        Self::TeamDeleted,
        Self::PlanChanged,
        Self::SettingChanged,
        Self::DeletionRequested,
        Self::DeletionCancelled,
        Self::DeletionCompleted,
        Self::TeamExported,
        Self::OwnExported,
        Self::SessionExported,
        Self::AuditExported,
        Self::Imported,
        Self::TeamKeyRotated,
        Self::KekRotated,
        Self::ConversionRequested,
        Self::SessionOpened,
        Self::BackedUp,
    ];

    /// The value in `audit_log.event`, which never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "sign_in",
            Self::SignedOut => "sign_out",
            Self::SignInEnded => "sign_in.ended",
            Self::LinkCreated => "sign_in.link_created",
            Self::ProgramApproved => "sign_in.program_approved",
            Self::AccessEnded => "access.ended",
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::KeyRefused => "key.refused",
            Self::MemberJoined => "member.joined",
            Self::MemberLeft => "member.left",
            Self::MemberRemoved => "member.removed",
            Self::RoleChanged => "member.role_changed",
            Self::ServiceAccountCreated => "service_account.created",
            Self::ServiceAccountRenamed => "service_account.renamed",
            Self::ServiceAccountRemoved => "service_account.removed",
            Self::InviteCreated => "invite.created",
            Self::InviteRevoked => "invite.revoked",
            Self::InviteAccepted => "invite.accepted",
            Self::TeamCreated => "team.created",
            Self::TeamRenamed => "team.renamed",
            Self::TeamDeleted => "team.deleted",
            Self::PlanChanged => "plan.changed",
            Self::SettingChanged => "setting.changed",
            Self::DeletionRequested => "deletion.requested",
            Self::DeletionCancelled => "deletion.cancelled",
            Self::DeletionCompleted => "deletion.completed",
            Self::TeamExported => "export.team",
            Self::OwnExported => "export.own",
            Self::SessionExported => "export.session",
            Self::AuditExported => "export.audit",
            Self::Imported => "import",
            Self::TeamKeyRotated => "team_key.rotated",
            Self::KekRotated => "kek.rotated",
            Self::ConversionRequested => "content.conversion_requested",
            Self::SessionOpened => "session.opened",
            Self::BackedUp => "backup",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an entry is about.
#[derive(Clone, Debug)]
enum Subject<'a> {
    User(&'a str),
    Session(&'a str),
    /// An id that names no person: its kind, and the id.
    Id(&'static str, Cow<'a, str>),
}

/// An entry that is to be written.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    event: Event,
    subject: Option<Subject<'a>>,
    details: Map<String, serde_json::Value>,
    people: Vec<(&'static str, &'a UserId)>,
    only_every: Option<i64>,
}

impl<'a> Entry<'a> {
    /// An entry about the team itself.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self { event, subject: None, details: Map::new(), people: Vec::new(), only_every: None }
    }

    /// An entry about a user.
    #[must_use]
    pub fn about_user(self, user_id: &'a UserId) -> Self {
        Self { subject: Some(Subject::User(user_id.as_str())), ..self }
    }

    /// An entry about a session.
    #[must_use]
    pub fn about_session(self, session_id: &'a SessionId) -> Self {
        Self { subject: Some(Subject::Session(session_id.as_str())), ..self }
    }

    /// An entry about a row that names no person: a key, an invite, a request to delete.
    #[must_use]
    pub fn about(self, kind: &'static str, id: impl Into<Cow<'a, str>>) -> Self {
        Self { subject: Some(Subject::Id(kind, id.into())), ..self }
    }

    /// With a detail: an id, a count, a choice. Never content, a name, an address or a secret.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// With the pseudonym of another user.
    #[must_use]
    pub fn with_user(mut self, key: &'static str, user_id: &'a UserId) -> Self {
        self.people.push((key, user_id));
        self
    }

    /// Written only if there is no entry with this event, by the same actor about the same subject, of the last `seconds`.
    fn only_every(self, seconds: i64) -> Self {
        Self { only_every: Some(seconds), ..self }
    }
}

// ---- writing ------------------------------------------------------------------------------------------------

/// The log of a team, in a transaction.
pub(crate) struct Log<'t> {
    tx: &'t Tx,
    origin: Origin,
    team: TeamNumber,
    /// Empty for the server's own.
    team_id: String,
}

impl<'t> Log<'t> {
    /// The log of a team, for what is done on behalf of `origin`.
    fn of_team(tx: &'t Tx, origin: Origin, team_id: &TeamId, team: TeamNumber) -> Self {
        Self { tx, origin, team, team_id: team_id.to_string() }
    }
}

impl ActingTx {
    /// The log of the scope's team, for what its user does.
    pub(crate) fn log(&self) -> Log<'_> {
        Log::of_team(self, Origin::of_scope(self.scope()), self.team_id(), self.team_number())
    }
}

impl ScopedTx {
    /// The log of the scope's team, for what its user does.
    pub(crate) fn log(&self) -> Log<'_> {
        Log::of_team(self, Origin::of_scope(self.scope()), self.team_id(), self.team_number())
    }
}

#[derive(FromQueryResult)]
struct TeamRow {
    number: i32,
    id: String,
}

impl SystemTx {
    /// The log of a team, for what is done on behalf of the database handle's origin.
    pub(crate) fn log_of(&self, team_id: &TeamId, team: TeamNumber) -> Log<'_> {
        Log::of_team(self, self.origin().clone(), team_id, team)
    }

    /// The server's own log.
    pub(crate) fn log_of_server(&self) -> Log<'_> {
        Log { tx: self, origin: self.origin().clone(), team: TeamNumber::SERVER, team_id: String::new() }
    }

    /// The teams of a user, in the order of their numbers: two transactions that write to the logs of several teams wait
    /// for each other, and not in a circle.
    pub(crate) async fn logs_of(&self, user_id: &UserId) -> Result<Vec<Log<'_>>, DbError> {
        let sql = "SELECT t.number, t.id FROM team_members m JOIN teams t ON t.number = m.team \
                   WHERE m.user_id = $1 ORDER BY t.number";
        let teams: Vec<TeamRow> = self.all(sql, [user_id.as_str().into()]).await?;
        let log = |TeamRow { number, id }: TeamRow| {
            let log = self.log_of(&stored_id(&id, "teams", "id")?, TeamNumber::of_column(number));
            Ok(log.on_behalf_of(self.origin().clone().signing_in(user_id)))
        };
        teams.into_iter().map(log).collect()
    }

    /// Writes an entry to the log of each team of a user; to the server's own if there is none.
    pub(crate) async fn log_for_user(&self, user_id: &UserId, entry: Entry<'_>) -> Result<(), DbError> {
        let mut logs = self.logs_of(user_id).await?;
        if logs.is_empty() {
            let origin = self.origin().clone().signing_in(user_id);
            logs.push(self.log_of_server().on_behalf_of(origin));
        }
        for log in &logs {
            log.write(entry.clone()).await?;
        }
        Ok(())
    }
}

#[derive(FromQueryResult)]
struct Head {
    seq: i64,
    hash: Vec<u8>,
}

#[derive(FromQueryResult)]
struct NameRow {
    id: String,
}

impl Log<'_> {
    /// The same log, for someone else.
    pub(crate) fn on_behalf_of(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The number of the team.
    pub(crate) fn team(&self) -> TeamNumber {
        self.team
    }

    /// For whom it is written.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Writes an entry. It locks the end of the chain, so it comes last in its transaction.
    pub(crate) async fn write(&self, entry: Entry<'_>) -> Result<(), DbError> {
        let (tx, team) = (self.tx, self.team);
        // Before the end of the chain is locked: a push may hold the session for a while.
        let mut session = None;
        if let Some(Subject::Session(id)) = &entry.subject
            && self.holds_session(id).await?
        {
            session = Some(*id);
        }
        let head = self.lock().await?;
        let previous: Hash =
            head.hash.try_into().map_err(|_| DbError::malformed("audit_heads", "hash", self.row()))?;

        let user = self.origin.user_id.as_ref().map_or("", UserId::as_str);
        let actor = if user.is_empty() { String::new() } else { self.name("user", user, user).await? };
        let (subject_kind, subject) = match &entry.subject {
            None => ("", String::new()),
            Some(Subject::User(id)) => ("user", self.name("user", id, id).await?),
            Some(Subject::Session(_)) => match session {
                Some(id) => ("session", self.name("session", id, "").await?),
                None => ("session", String::new()),
            },
            Some(Subject::Id(kind, id)) => (*kind, id.to_string()),
        };
        let now = tx.clock().now();
        if let Some(seconds) = entry.only_every {
            let sql = "SELECT seq FROM audit_log WHERE team = $1 AND actor = $2 AND event = $3 AND subject = $4 \
                       AND at > $5 LIMIT 1";
            let values = [
                team.into(),
                actor.as_str().into(),
                entry.event.as_str().into(),
                subject.as_str().into(),
                now.plus_seconds(-seconds).0.into(),
            ];
            if !tx.rows(sql, values).await?.is_empty() {
                return Ok(());
            }
        }
        let client = match self.origin.client {
            // The address of someone unknown could not be erased with an account.
            Some(client) if !user.is_empty() => self.name("address", &client.to_string(), user).await?,
            _ => String::new(),
        };
        let mut details = entry.details;
        for (key, id) in entry.people {
            let id = id.as_str();
            details.insert(key.to_owned(), self.name("user", id, id).await?.into());
        }
        let details = serde_json::Value::Object(details).to_string();
        let credential_id = self.origin.credential.as_ref().map_or("", Credential::id);
        let request_id = self.origin.request_id.as_ref().map_or("", RequestId::as_str);
        let texts: [&str; 9] = [
            entry.event.as_str(),
            &actor,
            self.origin.credential_kind(),
            credential_id,
            &client,
            request_id,
            subject_kind,
            &subject,
            &details,
        ];
        let seq = head.seq + 1;
        let hash = Hashed { team_id: &self.team_id, seq, at: now.0, texts }.hash(&previous);
        let values: [Value; 4] = [team.into(), seq.into(), now.0.into(), hash.to_vec().into()];
        tx.execute(
            "INSERT INTO audit_log (team, seq, at, hash, event, actor, credential, credential_id, client, request_id, \
               subject_kind, subject, details) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            values.into_iter().chain(texts.map(Value::from)),
        )
        .await?;
        let sql = "UPDATE audit_heads SET seq = $2, hash = $3 WHERE team = $1";
        tx.execute(sql, [team.into(), seq.into(), hash.to_vec().into()]).await?;
        Ok(())
    }

    /// The end of the chain, which no other transaction reads to write an entry until this one ends.
    async fn lock(&self) -> Result<Head, DbError> {
        let lock = self.tx.dialect().for_update();
        let sql = format!("SELECT seq, hash FROM audit_heads WHERE team = $1{lock}");
        if let Some(head) = self.tx.one(&sql, [self.team.into()]).await? {
            return Ok(head);
        }
        // The first entry; another transaction may write one at the same time.
        let begin =
            "INSERT INTO audit_heads (team, seq, hash) VALUES ($1, 0, $2) ON CONFLICT (team) DO NOTHING";
        self.tx.execute(begin, [self.team.into(), BEGINNING.to_vec().into()]).await?;
        let missing = || DbError::RowMissing { table: "audit_heads", row: self.row() };
        self.tx.one(&sql, [self.team.into()]).await?.ok_or_else(missing)
    }

    /// Whether the team has a session, which is not deleted before the transaction ends. The id of a deleted one must not
    /// be stored again.
    async fn holds_session(&self, session_id: &str) -> Result<bool, DbError> {
        let lock = self.tx.dialect().for_key_share();
        let sql = format!("SELECT number FROM sessions WHERE team = $1 AND session_id = $2{lock}");
        Ok(!self.tx.rows(&sql, [self.team.into(), session_id.into()]).await?.is_empty())
    }

    /// The pseudonym of a value. The end of the chain is locked, so that no other transaction gives it one.
    async fn name(&self, kind: &str, value: &str, user_id: &str) -> Result<String, DbError> {
        let key = || [self.team.into(), kind.into(), value.into(), user_id.into()];
        let sql = "SELECT id FROM audit_names WHERE team = $1 AND kind = $2 AND value = $3 AND user_id = $4";
        if let Some(found) = self.tx.one::<NameRow, _>(sql, key()).await? {
            return Ok(found.id);
        }
        let id = new_row_id(self.tx.clock(), self.tx.entropy());
        let sql = "INSERT INTO audit_names (team, kind, value, user_id, id) VALUES ($1, $2, $3, $4, $5)";
        self.tx.execute(sql, key().into_iter().chain([id.as_str().into()])).await?;
        Ok(id)
    }

    /// The log, in an error.
    fn row(&self) -> String {
        if self.team_id.is_empty() { "the server's own log".to_owned() } else { self.team_id.clone() }
    }
}

/// Writes an entry for what the scope's user does without a change of other rows: an export, an import.
pub async fn record(scope: &Scope, db: &Db, entry: Entry<'_>) -> Result<(), DbError> {
    let entry = &entry;
    db.write_system_for(scope, "audit.record", |tx| async move { tx.log().write(entry.clone()).await }).await
}

/// As [`record`], on behalf of the origin of `db`.
///
/// # Errors
/// [`DbError::RowMissing`] if there is no such team.
pub async fn record_in(db: &Db, log: LogOf<'_>, entry: Entry<'_>) -> Result<(), DbError> {
    let team = match log {
        LogOf::Team(team_id) => Some((team_id, db.team_number(team_id).await?)),
        LogOf::Server => None,
    };
    let entry = &entry;
    db.write_system("audit.record_in", |tx| async move {
        let log = match team {
            Some((team_id, number)) => tx.log_of(team_id, number),
            None => tx.log_of_server(),
        };
        log.write(entry.clone()).await
    })
    .await
}

/// Records that somebody has used an API key of `user_id` that was revoked or has expired.
pub async fn key_refused(db: &Db, key: &crate::entities::ApiKey) -> Result<(), DbError> {
    let now = db.clock().now();
    let what = (key.team_id.to_string(), key.user_id.to_string(), key.id.to_string());
    if !db.audit_cache().is_new(&what, now) {
        return Ok(());
    }
    // The key of a team that was deleted, perhaps just now.
    let Some(team) = db.find_team_number(&key.team_id).await? else { return Ok(()) };
    let reason = if key.revoked_at.is_some() { "revoked" } else { "expired" };
    let sql = "SELECT id FROM api_keys WHERE team_id = $1 AND id = $2";
    db.write_system("audit.key_refused", |tx| async move {
        if tx.rows(sql, [key.team_id.as_str().into(), key.id.as_str().into()]).await?.is_empty() {
            return Ok(());
        }
        // Who has used it is not known, but whose it is.
        let entry = Entry::new(Event::KeyRefused)
            .about("api_key", key.id.as_str())
            .with("reason", reason)
            .only_every(RECORDED_EVERY_SECONDS);
        let origin = tx.origin().clone().signing_in(&key.user_id);
        tx.log_of(&key.team_id, team).on_behalf_of(origin).write(entry).await
    })
    .await?;
    db.audit_cache().remember(what, now);
    Ok(())
}

// ---- opening sessions ---------------------------------------------------------------------------------------

#[derive(FromQueryResult)]
struct SettingRow {
    audit_reads: bool,
}

/// Whether the team records that a member opens a session of another one.
pub async fn records_reads(db: &Db, team_id: &TeamId) -> Result<bool, DbError> {
    let tx = db.read_system("audit.setting").await?;
    let sql = "SELECT audit_reads FROM teams WHERE id = $1";
    let row: Option<SettingRow> = tx.one(sql, [team_id.as_str().into()]).await?;
    Ok(row.is_some_and(|row| row.audit_reads))
}

/// As [`records_reads`], perhaps as it was a few seconds ago.
pub async fn recently_records_reads(db: &Db, team_id: &TeamId) -> Result<bool, DbError> {
    let now = db.clock().now();
    if let Some(audits) = db.audit_cache().setting(team_id, now) {
        return Ok(audits);
    }
    let audits = records_reads(db, team_id).await?;
    db.audit_cache().keep_setting(team_id, audits, now);
    Ok(audits)
}

#[derive(FromQueryResult)]
struct OwnerRow {
    user_id: String,
}

/// Records that the scope's user opens a session, if the team wants that, they are not its owner, and it was not recorded
/// within the last hour. To be called before anything of the session is shown: if it fails, nothing may be. `owner` is
/// the session's, if the caller knows it.
pub async fn session_opened(
    scope: &Scope,
    db: &Db,
    session_id: &SessionId,
    owner: Option<&str>,
) -> Result<(), DbError> {
    let user = scope.user_id().as_str();
    if owner == Some(user) || !recently_records_reads(db, scope.team_id()).await? {
        return Ok(());
    }
    let now = db.clock().now();
    let opening = (scope.team_id().to_string(), scope.user_id().to_string(), session_id.to_string());
    if !db.audit_cache().is_new(&opening, now) {
        return Ok(());
    }
    db.write_system_for(scope, "audit.session_opened", |tx| async move {
        let sql = "SELECT user_id FROM sessions WHERE team = $1 AND session_id = $2";
        let values = [tx.team_number().into(), session_id.as_str().into()];
        let found = tx.one::<OwnerRow, _>(sql, values).await?;
        if found.is_none_or(|found| found.user_id == user) {
            return Ok(());
        }
        let entry = Entry::new(Event::SessionOpened).about_session(session_id);
        tx.log().write(entry.only_every(RECORDED_EVERY_SECONDS)).await
    })
    .await?;
    db.audit_cache().remember(opening, now);
    Ok(())
}

// ---- erasing ------------------------------------------------------------------------------------------------

/// Deletes what a pseudonym of a session means, with the session.
pub(crate) async fn forget_session(tx: &ScopedTx, session_id: &str) -> Result<(), DbError> {
    let sql = "DELETE FROM audit_names WHERE team = $1 AND kind = 'session' AND value = $2";
    tx.execute(sql, [tx.team(), session_id.into()]).await?;
    Ok(())
}

/// Records the deletion of an account in each team that has entries of its user, and deletes what their pseudonyms and
/// those of their addresses mean. The entries stay.
pub(crate) async fn forget_user(tx: &SystemTx, user_id: &str, deletion: &str) -> Result<(), DbError> {
    let sql = "SELECT t.number, t.id FROM audit_names n JOIN teams t ON t.number = n.team \
               WHERE n.user_id = $1 AND n.kind = 'user' \
               AND NOT EXISTS (SELECT 1 FROM team_work w WHERE w.team_id = t.id AND w.kind = 'delete') \
               ORDER BY t.number";
    let teams: Vec<TeamRow> = tx.all(sql, [user_id.into()]).await?;
    for TeamRow { number, id } in teams {
        let log = tx.log_of(&stored_id(&id, "teams", "id")?, TeamNumber::of_column(number));
        let entry = Entry {
            subject: Some(Subject::User(user_id)),
            ..Entry::new(Event::DeletionCompleted).with("kind", "account").with("deletion", deletion)
        };
        log.write(entry).await?;
    }
    tx.execute("DELETE FROM audit_names WHERE user_id = $1", [user_id.into()]).await?;
    Ok(())
}
