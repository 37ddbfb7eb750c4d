//! Every table, in one list: which role may touch it, and what becomes of its rows when a session is derived again or
//! deleted. Grants, policies, rederivation and deletion read this list; a test compares it with the schema.

use Access::{App, Fixed, Log, System};
use Kind::{Answers, Derived, Other, Rollup, SearchIndex, Session};

/// Who may touch a table on PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The app role, under a policy on `team`, and the system role: the data of one team.
    App,
    /// As [`Access::App`], but no role may change a row: rows are added and deleted.
    Fixed,
    /// The data of one team that is never changed: the app role, under a policy on `team`, reads rows and adds some. The
    /// system role also deletes them, with their team.
    Log,
    /// The system role alone: look-ups made before a team is known, keys, the outbox, jobs.
    System,
}

/// What the rows of a table belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A session as it was pushed: deleted with it.
    Session,
    /// What is derived from the lines of one session: replaced when it is derived again, deleted with it.
    Derived,
    /// As [`Kind::Derived`], but `queries::ingest::answers` replaces and deletes the rows: which copy of an answer counts depends
    /// on the copies of other sessions.
    Answers,
    /// Sums over sessions: reduced when a session is deleted, replaced by a rebuild.
    Rollup,
    /// The search index, which triggers clear when a session is deleted.
    SearchIndex,
    /// Rows that no session owns.
    Other,
}

/// A table.
pub(crate) struct Table {
    /// Its name.
    pub name: &'static str,
    /// Who may touch it.
    pub access: Access,
    /// What its rows belong to.
    pub kind: Kind,
}

const fn table(name: &'static str, access: Access, kind: Kind) -> Table {
    Table { name, access, kind }
}

/// Every table but the migrator's own.
pub(crate) const TABLES: &[Table] = &[
    table("users", System, Other),
    table("teams", System, Other),
    table("team_members", App, Other),
    table("team_invites", App, Other),
    table("team_usage", App, Other),
    table("invite_attempts", System, Other),
    table("api_keys", System, Other),
    table("web_sessions", System, Other),
    table("login_links", System, Other),
    table("sign_ins", System, Other),
    table("token_families", System, Other),
    table("refresh_tokens", System, Other),
    table("device_logins", System, Other),
    table("github_accounts", System, Other),
    table("team_keys", System, Other),
    table("kek_state", System, Other),
    table("replicas", System, Other),
    table("team_work", System, Other),
    table("deletion_requests", System, Other),
    table("stripe_events", System, Other),
    table("stripe_cancellations", System, Other),
    table("changes", System, Other),
    table("outbox_state", System, Other),
    table("jobs", System, Other),
    table("prices", System, Other),
    table("search_prices", System, Other),
    table("price_state", System, Other),
    table("repos", App, Other),
    table("projects", App, Other),
    table("labels", App, Other),
    table("tool_results", App, Derived),
    table("subagent_starts", App, Derived),
    table("subagent_calls", App, Derived),
    table("summary_leaves", App, Derived),
    table("answer_copies", App, Answers),
    table("session_usage", App, Derived),
    table("file_changes", App, Derived),
    table("hook_executions", App, Derived),
    table("sentiments", App, Derived),
    table("task_events", App, Derived),
    table("tasks", App, Derived),
    table("native_tasks", App, Derived),
    table("todos", App, Derived),
    table("messages", App, Session),
    table("segments", App, Session),
    table("transcripts", App, Session),
    table("purged_sessions", App, Session),
    // Last: its triggers clear the search index.
    table("sessions", App, Session),
    table("deleted_sessions", App, Other),
    table("audit_log", Log, Other),
    table("audit_heads", App, Other),
    table("audit_names", Fixed, Other),
    table("rollups", App, Rollup),
    table("rollup_counts", App, Rollup),
    table("search_state", App, SearchIndex),
    table("search_terms", System, SearchIndex),
];

impl Access {
    /// What the app role and the system role may do.
    pub(crate) fn grants(self) -> (&'static str, &'static str) {
        const ALL: &str = "SELECT, INSERT, UPDATE, DELETE";
        match self {
            Self::App => (ALL, ALL),
            Self::Fixed => ("SELECT, INSERT, DELETE", "SELECT, INSERT, DELETE"),
            Self::Log => ("SELECT, INSERT", "SELECT, INSERT, DELETE"),
            Self::System => ("", ALL),
        }
    }

    /// What neither role may do, and what the app role may not do besides.
    pub(crate) fn never(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::App | Self::System => None,
            Self::Fixed => Some(("UPDATE, TRUNCATE", "")),
            Self::Log => Some(("UPDATE, TRUNCATE", ", DELETE")),
        }
    }
}

/// The tables that hold one team's data, which the app role reads and writes under a policy on `team`.
pub const TENANT_TABLES: &[&str] = &names::<{ tenant_tables() }>();

const fn tenant_tables() -> usize {
    let (mut n, mut i) = (0, 0);
    while i < TABLES.len() {
        if matches!(TABLES[i].access, App | Fixed | Log) {
            n += 1;
        }
        i += 1;
    }
    n
}

const fn names<const N: usize>() -> [&'static str; N] {
    let (mut names, mut n, mut i) = ([""; N], 0, 0);
    while i < TABLES.len() {
        if matches!(TABLES[i].access, App | Fixed | Log) {
            names[n] = TABLES[i].name;
            n += 1;
        }
        i += 1;
    }
    names
}

/// The tables of a kind.
pub(crate) fn of_kind(kind: Kind) -> impl Iterator<Item = &'static str> {
    TABLES.iter().filter(move |table| table.kind == kind).map(|table| table.name)
}

/// The tables that hold nothing but what is derived from the lines of one session.
pub(crate) fn derived() -> impl Iterator<Item = &'static str> {
    of_kind(Derived)
}

/// The tables whose rows go when the content of a session is purged. Its files and what it adds to totals stay: what its
/// answers cost, and what `purged_sessions` counts. The search index goes with the segments.
pub(crate) fn purged() -> impl Iterator<Item = &'static str> {
    derived().filter(|table| *table != "session_usage").chain(["messages", "segments"])
}

/// The tables whose rows are deleted with their session, without further ado.
pub(crate) fn deleted_with_session() -> impl Iterator<Item = &'static str> {
    of_kind(Derived).chain(of_kind(Session))
}
