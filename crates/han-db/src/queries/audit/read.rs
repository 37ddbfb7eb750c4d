//! Reading the audit log, with the names that its pseudonyms have at present.

use std::collections::HashMap;

use han_types::{Role, Scope, SessionId, TeamId, Timestamp, UserId};
use sea_orm::{FromQueryResult, Value};

use super::chain::Hashed;
use crate::entities::User;
use crate::page::{Cursor, Page, PageRequest};
use crate::queries::users::{self, UserRecord};
use crate::team_numbers::TeamNumber;
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number in the log of its team, from 1.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What happened: one of [`Event::as_str`](super::Event::as_str), or of a later version.
    pub event: String,
    /// The pseudonym of who did it; empty if it was no user of the server.
    pub actor: String,
    /// Who that is; `None` if their account was deleted.
    pub user: Option<User>,
    /// The kind of the credential, of [`Origin::credential_kind`](han_types::Origin::credential_kind).
    pub credential: String,
    /// The id of the credential; empty if it has none.
    pub credential_id: String,
    /// The pseudonym of the client's address; empty if there was no client.
    pub client: String,
    /// The address; `None` if the account was deleted.
    pub address: Option<String>,
    /// The request; empty for the server's own work.
    pub request_id: String,
    /// `user`, `session`, `api_key`, …; empty if the entry is about the team.
    pub subject_kind: String,
    /// The id of what it is about; of a user or a session, its pseudonym.
    pub subject: String,
    /// The id of that user or session; `None` for others, and if it was deleted.
    pub subject_id: Option<String>,
    /// The user that it is about.
    pub subject_user: Option<User>,
    /// A JSON object, as it was hashed.
    pub details: String,
    /// The hash of the entry.
    pub hash: Vec<u8>,
}

/// A position in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuditCursor(pub i64);

impl Cursor for AuditCursor {
    fn encode(&self) -> String {
        self.0.to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seq| *seq > 0).map(Self)
    }
}

/// Which entries are shown; all, where nothing is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those with one of these events.
    pub events: Option<Vec<String>>,
    /// Those of this user.
    pub user_id: Option<UserId>,
    /// Those about this session.
    pub session_id: Option<SessionId>,
    /// Those from this time on.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
}

/// Whose log is read.
#[derive(Clone, Copy, Debug)]
pub enum LogOf<'a> {
    /// That of a team.
    Team(&'a TeamId),
    /// The server's own.
    Server,
}

impl<'a> LogOf<'a> {
    /// The number under which it is stored; `None` if there is no such team.
    pub(super) async fn number(self, db: &Db) -> Result<Option<TeamNumber>, DbError> {
        match self {
            Self::Team(team_id) => db.find_team_number(team_id).await,
            Self::Server => Ok(Some(TeamNumber::SERVER)),
        }
    }

    /// The team's id as it is hashed.
    pub(super) fn hashed_id(self) -> &'a str {
        match self {
            Self::Team(team_id) => team_id.as_str(),
            Self::Server => "",
        }
    }
}

#[derive(FromQueryResult)]
pub(super) struct EntryRow {
    pub seq: i64,
    pub at: i64,
    pub event: String,
    pub actor: String,
    pub credential: String,
    pub credential_id: String,
    pub client: String,
    pub request_id: String,
    pub subject_kind: String,
    pub subject: String,
    pub details: String,
    pub hash: Vec<u8>,
}

/// The columns of [`EntryRow`].
pub(super) const COLUMNS: &str = "l.seq, l.at, l.event, l.actor, l.credential, l.credential_id, l.client, l.request_id, \
     l.subject_kind, l.subject, l.details, l.hash";

impl EntryRow {
    /// What is hashed of it.
    pub(super) fn hashed<'a>(&'a self, team_id: &'a str) -> Hashed<'a> {
        Hashed {
            team_id,
            seq: self.seq,
            at: self.at,
            texts: [
                &self.event,
                &self.actor,
                &self.credential,
                &self.credential_id,
                &self.client,
                &self.request_id,
                &self.subject_kind,
                &self.subject,
                &self.details,
            ],
        }
    }
}

#[derive(FromQueryResult)]
struct NameRow {
    id: String,
    value: String,
}

/// The entries of the team that the scope's user may see, the latest first: an admin sees all, a member what they did
/// themselves.
pub async fn page(
    scope: &Scope,
    db: &Db,
    filter: &AuditFilter,
    request: &PageRequest<AuditCursor>,
) -> Result<Page<AuditEntry>, DbError> {
    let team = db.team_number(scope.team_id()).await?;
    let tx = db.read_system("audit.page").await?;
    let mut values: Vec<Value> = vec![team.into()];
    let mut conditions = vec!["l.team = $1".to_owned()];
    let mut add = |condition: &dyn Fn(usize) -> String, value: Value| {
        values.push(value);
        conditions.push(condition(values.len()));
    };
    let named = |column: &'static str, kind: &'static str| {
        move |n: usize| {
            format!(
                "l.{column} IN (SELECT id FROM audit_names WHERE team = $1 AND kind = '{kind}' AND value = ${n})"
            )
        }
    };
    if scope.role() != Role::Admin {
        add(&named("actor", "user"), scope.user_id().as_str().into());
    }
    if let Some(events) = &filter.events {
        add(&|n| tx.dialect().is_any("l.event", n), tx.dialect().list(events));
    }
    if let Some(user_id) = &filter.user_id {
        add(&named("actor", "user"), user_id.as_str().into());
    }
    if let Some(session_id) = &filter.session_id {
        add(&named("subject", "session"), session_id.as_str().into());
    }
    if let Some(since) = filter.since {
        add(&|n| format!("l.at >= ${n}"), since.0.into());
    }
    if let Some(until) = filter.until {
        add(&|n| format!("l.at < ${n}"), until.0.into());
    }
    if let Some(AuditCursor(seq)) = request.after {
        add(&|n| format!("l.seq < ${n}"), seq.into());
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_log l WHERE {} ORDER BY l.seq DESC LIMIT {}",
        conditions.join(" AND "),
        request.first + 1
    );
    let rows: Vec<EntryRow> = tx.all(&sql, values).await?;
    let page = Page::cut(rows, request.first);
    Ok(Page { has_next: page.has_next, rows: resolved(&tx, team, page.rows).await? })
}

/// The entries of a log after one of them, the oldest first: up to `limit`. Empty if there is no such team.
pub async fn after(db: &Db, log: LogOf<'_>, seq: i64, limit: usize) -> Result<Vec<AuditEntry>, DbError> {
    let Some(team) = log.number(db).await? else { return Ok(Vec::new()) };
    let tx = db.read_system("audit.after").await?;
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_log l WHERE l.team = $1 AND l.seq > $2 ORDER BY l.seq LIMIT {limit}"
    );
    let rows: Vec<EntryRow> = tx.all(&sql, [team.into(), seq.into()]).await?;
    resolved(&tx, team, rows).await
}

/// Finds what the pseudonyms of some entries mean.
async fn resolved(tx: &SystemTx, team: TeamNumber, rows: Vec<EntryRow>) -> Result<Vec<AuditEntry>, DbError> {
    let dialect = tx.dialect();
    let pseudonyms = rows.iter().flat_map(|row| [&row.actor, &row.client, &row.subject]);
    let mut pseudonyms: Vec<&String> = pseudonyms.filter(|text| !text.is_empty()).collect();
    pseudonyms.sort_unstable();
    pseudonyms.dedup();
    let sql = format!("SELECT id, value FROM audit_names WHERE team = $1 AND {}", dialect.is_any("id", 2));
    let names: Vec<NameRow> = tx.all(&sql, [team.into(), dialect.list(pseudonyms)]).await?;
    let names: HashMap<String, String> = names.into_iter().map(|row| (row.id, row.value)).collect();
    // Values that are no ids of users are of sessions and addresses; no user is found for them.
    let sql = format!("{} WHERE {}", users::USER, dialect.is_any("id", 1));
    let people: Vec<UserRecord> = tx.all(&sql, [dialect.list(names.values())]).await?;
    let mut users: HashMap<String, User> = HashMap::new();
    for person in people {
        let user = User::try_from(person)?;
        users.insert(user.id.to_string(), user);
    }
    let user_of = |pseudonym: &String| names.get(pseudonym).and_then(|id| users.get(id)).cloned();
    let entry = |row: EntryRow| AuditEntry {
        user: user_of(&row.actor),
        address: names.get(&row.client).cloned(),
        subject_id: names.get(&row.subject).cloned(),
        subject_user: user_of(&row.subject).filter(|_| row.subject_kind == "user"),
        seq: row.seq,
        at: Timestamp(row.at),
        event: row.event,
        actor: row.actor,
        credential: row.credential,
        credential_id: row.credential_id,
        client: row.client,
        request_id: row.request_id,
        subject_kind: row.subject_kind,
        subject: row.subject,
        details: row.details,
        hash: row.hash,
    };
    Ok(rows.into_iter().map(entry).collect())
}
