//! The audit log of a team: its entries, with the names that their pseudonyms have at present.

use async_graphql::{ID, InputObject, Object, SimpleObject};
use han_db::page::Cursor as _;
use han_db::queries::audit::{self, AuditCursor, AuditFilter, Event};
use han_types::{GlobalId, TeamId, Timestamp};

use crate::connection::PageInfo;
use crate::error::{ApiError, Result};
use crate::types::user::User;

/// Which entries of an audit log are listed.
#[derive(Debug, Default, InputObject)]
pub(crate) struct AuditLogFilter {
    /// Only these events, such as `key.created`; docs/TEAMS.md lists them.
    events: Option<Vec<String>>,
    /// Only what this user did; an id, global or raw.
    user_id: Option<ID>,
    /// Only what is about this session; an id, global or raw.
    session_id: Option<ID>,
    /// Only entries from this time on, RFC 3339.
    since: Option<String>,
    /// Only entries before this time, RFC 3339.
    until: Option<String>,
}

impl AuditLogFilter {
    pub(crate) fn filter(mut self) -> Result<AuditFilter> {
        // An empty name means that there is none, as in every optional argument.
        if let Some(events) = &mut self.events {
            events.retain(|name| !name.is_empty());
        }
        self.events = self.events.filter(|events| !events.is_empty());
        let bad = |problem: String| ApiError::bad("filter", problem);
        if let Some(events) = &self.events
            && let Some(unknown) = events.iter().find(|name| !Event::ALL.iter().any(|e| e.as_str() == *name))
        {
            let known: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
            return Err(bad(format!("{unknown:?} is no event: name some of {}", known.join(", "))));
        }
        let time = |text: Option<String>, name: &str| {
            let text = text.filter(|text| !text.is_empty());
            let malformed = || bad(format!("{name} must be a time such as 2026-11-02T10:00:00Z"));
            text.map(|text| Timestamp::parse_rfc3339(&text).ok_or_else(malformed)).transpose()
        };
        let id = |id: Option<ID>, kind: &'static str| {
            id.filter(|id| !id.is_empty()).map(|id| GlobalId::raw(kind, &id).to_owned())
        };
        let user_id = id(self.user_id, "User").map(|id| id.parse()).transpose();
        let session_id = id(self.session_id, "Session").map(|id| id.parse()).transpose();
        Ok(AuditFilter {
            events: self.events,
            user_id: user_id.map_err(|error| bad(format!("userId: {error}")))?,
            session_id: session_id.map_err(|error| bad(format!("sessionId: {error}")))?,
            since: time(self.since, "since")?,
            until: time(self.until, "until")?,
        })
    }
}

/// An entry of the audit log of a team. People and addresses in it become null when the account is deleted; the rest
/// stays.
#[derive(Clone, Debug)]
pub(crate) struct AuditEntry {
    team_id: TeamId,
    row: audit::AuditEntry,
}

/// An entry of the audit log.
#[Object]
impl AuditEntry {
    /// Its id, unique among all objects.
    async fn id(&self) -> ID {
        ID(format!("AuditEntry:{}~{}", self.team_id, self.row.seq))
    }

    /// Its number in the log of the team: from 1, without gaps.
    async fn sequence(&self) -> i64 {
        self.row.seq
    }

    /// When it happened, RFC 3339 in UTC.
    async fn at(&self) -> String {
        self.row.at.to_rfc3339()
    }

    /// What happened, such as `key.created`; docs/TEAMS.md lists the events.
    async fn event(&self) -> &str {
        &self.row.event
    }

    /// Who did it; null for an operator, for the server itself, and if the account was deleted.
    async fn actor(&self) -> Option<User> {
        self.row.user.clone().map(User::new)
    }

    /// The pseudonym of who did it, which stays the same; empty for an operator and the server itself.
    async fn actor_pseudonym(&self) -> &str {
        &self.row.actor
    }

    /// The kind of the credential: `api_key`, `access_token`, `browser`, `operator`, `server`, or `none` for a sign-in.
    async fn credential(&self) -> &str {
        &self.row.credential
    }

    /// The id of the API key, of the browser's session, or of the program's sign-in.
    async fn credential_id(&self) -> Option<&str> {
        some(&self.row.credential_id)
    }

    /// The address of the client.
    async fn address(&self) -> Option<&str> {
        self.row.address.as_deref()
    }

    /// The id of the request, as in the server's log.
    async fn request_id(&self) -> Option<&str> {
        some(&self.row.request_id)
    }

    /// What it is about: `user`, `session`, `api_key`, `invite`, `browser`, `program`, `deletion`, …; null for the team.
    async fn subject_kind(&self) -> Option<&str> {
        some(&self.row.subject_kind)
    }

    /// The id of what it is about; null for the team, and for a user or a session that was deleted.
    async fn subject_id(&self) -> Option<&str> {
        match self.row.subject_kind.as_str() {
            "user" | "session" => self.row.subject_id.as_deref(),
            _ => some(&self.row.subject),
        }
    }

    /// The user that it is about.
    async fn subject_user(&self) -> Option<User> {
        self.row.subject_user.clone().map(User::new)
    }

    /// More about it: a JSON object.
    async fn details(&self) -> &str {
        &self.row.details
    }

    /// Its SHA-256, in hexadecimal digits, which includes that of the entry before.
    async fn hash(&self) -> String {
        self.row.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `None` for an empty text.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// An entry in its list.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct AuditEdge {
    /// Its cursor.
    cursor: String,
    /// The entry.
    node: AuditEntry,
}

/// A page of an audit log.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct AuditConnection {
    /// The page's entries, each with its cursor.
    edges: Vec<AuditEdge>,
    /// The position of the page in its list.
    page_info: PageInfo,
}

impl AuditConnection {
    /// A page; `after` says whether the request had a cursor.
    pub(crate) fn new(team_id: &TeamId, page: han_db::page::Page<audit::AuditEntry>, after: bool) -> Self {
        let edge = |row: audit::AuditEntry| AuditEdge {
            cursor: AuditCursor(row.seq).encode(),
            node: AuditEntry { team_id: team_id.clone(), row },
        };
        let edges: Vec<AuditEdge> = page.rows.into_iter().map(edge).collect();
        let page_info = PageInfo::of(page.has_next, after, edges.iter().map(|edge| &edge.cursor));
        Self { edges, page_info }
    }
}
