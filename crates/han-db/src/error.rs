//! The errors of this crate, distinguished by what a caller can do about them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;

use han_crypto::CryptoError;
use han_types::{IdError, TeamId};
use sea_orm::{DbErr, RuntimeErr};
use thiserror::Error;

/// An error of the storage layer.
#[derive(Debug, Error)]
pub enum DbError {
    /// The database returned an error. The text is for the log, never for a client.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// The driver failed outside a query (connecting, listening).
    #[error("database connection: {0}")]
    Driver(#[from] sqlx::Error),
    /// A field could not be sealed or opened.
    #[error("sealed content: {0}")]
    Crypto(#[from] CryptoError),
    /// A team's keys could not be read or opened.
    #[error("the team's keys: {0}")]
    TeamKeys(#[source] Arc<DbError>),
    /// A stored value is not what the program wrote.
    #[error("{table}.{column} of the row {row:?} is malformed")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's id.
        row: String,
    },
    /// The content of a segment is not what the program wrote, or contradicts the segment's row.
    #[error("the segment {row} is malformed: {reason}")]
    Segment {
        /// The segment's row id: session, transcript, first and last ordinal.
        row: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An id that the program created is not valid.
    #[error("an id that the program created is not valid: {0}")]
    Id(#[from] IdError),
    /// A key that a team must have is not stored.
    #[error("team_keys has no {purpose} key of the team {team}")]
    KeyMissing {
        /// The team.
        team: TeamId,
        /// What the key is for.
        purpose: &'static str,
    },
    /// A row that must exist does not.
    #[error("{table} has no row {row:?}")]
    RowMissing {
        /// The table.
        table: &'static str,
        /// The row's id.
        row: String,
    },
    /// The work of a transaction kept a handle after it ended, so the transaction was not committed.
    #[error("the transaction {name} was still in use when it was to be committed")]
    TransactionInUse {
        /// The transaction's name.
        name: &'static str,
    },
    /// A price that is none.
    #[error("{0} is not a price: use US dollars from 0 to 1000000, with at most six decimals")]
    Price(f64),
    /// A task for blocking work panicked, or the runtime shut down before it ran.
    ///
    /// The text of a panic may quote the content that the task worked on. It is not kept: it is on standard error.
    #[error("{what} did not end: {cause}")]
    TaskLost {
        /// The task.
        what: &'static str,
        /// How it ended.
        cause: &'static str,
    },
    /// The database's schema is from a newer program.
    #[error(
        "the database's schema is newer than this program ({0}): run the program version that migrated it, or a later one"
    )]
    SchemaNewer(String),
    /// The database's schema lacks migrations.
    #[error(
        "the database lacks {0} migration(s): run `han-server migrate` with an account that may change the schema"
    )]
    SchemaOlder(usize),
    /// The database account lacks a privilege that row-level security needs.
    #[error(
        "the database account cannot set up row-level security: {reason}. An administrator must run:\n{sql}"
    )]
    Privileges {
        /// The missing privilege.
        reason: String,
        /// The SQL that an administrator must run once.
        sql: String,
    },
    /// PostgreSQL could not be reached, or refused the connection.
    #[error("PostgreSQL at {address} cannot be used: {reason}. {remedy}")]
    Unreachable {
        /// Host and port, or the socket.
        address: String,
        /// What the system or PostgreSQL said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The schema could not be migrated. It is as it was.
    #[error("the schema could not be migrated, and nothing was changed: {reason}. {remedy}")]
    Migration {
        /// What PostgreSQL or SQLite said.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// Row-level security does not protect the data of every team.
    #[error(
        "row-level security does not separate the teams:{}\nRun `han-server migrate` with the account that owns the \
         tables: it puts this right",
        .problems.iter().map(|problem| format!("\n  - {problem}")).collect::<String>()
    )]
    Unprotected {
        /// What is wrong with which table.
        problems: Vec<String>,
    },
    /// Team keys are wrapped with a KEK that this process does not hold.
    #[error(
        "KEK {missing} is missing: {what}. Add it to KEK_SECRET_PREVIOUS, from the copy of the secrets (this process \
         holds {held})"
    )]
    KekMissing {
        /// The KEK's id, in hexadecimal: the first four bytes of its SHA-256.
        missing: String,
        /// What needs it.
        what: &'static str,
        /// The ids of the KEKs that the process holds.
        held: String,
    },
    /// The scheme of the database URL is unknown.
    #[error("DATABASE_URL must start with postgres:// or sqlite:, not {0:?}")]
    Url(String),
    /// The database URL names PostgreSQL, which this program was built without.
    #[error("DATABASE_URL names PostgreSQL, but this program was built without it: use sqlite:<file>")]
    WithoutPostgres,
    /// The maximum number of concurrent reads is reached, and none ended in time.
    #[error("too many reads at once")]
    Busy,
    /// Answers of other sessions change, and these sessions are not locked: the transaction is run again with their locks.
    #[error(
        "the sessions that repeat the answers of this one changed too often while it was written; try again"
    )]
    LocksNeeded {
        /// Their ids. Empty if copies of the answers were written in the meantime.
        sessions: BTreeSet<String>,
    },
    /// A job could not do its work for a reason outside of the database.
    #[error("{0}")]
    Job(String),
    /// The reader has no room for the lines: which limit does not allow it, and what to do.
    #[error("{0}")]
    NoRoom(String),
    /// A response would contain more bytes of lines than the limit.
    #[error("more than {limit} bytes of lines in one answer")]
    TooMuch {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl DbError {
    /// Whether running the same transaction again may succeed: a serialization failure, a deadlock, or a
    /// lock timeout (PostgreSQL's SQLSTATE classes 40 and 55P03, SQLite's BUSY).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.code().as_deref() {
            Some(code) => matches!(code, "40001" | "40P01" | "55P03" | "5" | "517" | "261"),
            None => false,
        }
    }

    /// Whether the database could not be reached, or had no free connection or resource, so that the same request may
    /// succeed later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        if let Some(code) = self.code() {
            // Class 57P: the server shuts down, or an administrator ended the session; 57014: statement timeout; 53:
            // out of resources, such as a full disk. SQLite's result codes: 13: the disk is full; 778, 1034, 1546,
            // 4874: a file, or the shared memory of readers and writer, could not be written, flushed or resized, as
            // when a disk quota is exceeded.
            // Class 08: the connection failed.
            return code.starts_with("57P")
                || code.starts_with("08")
                || code.starts_with("53")
                || matches!(code.as_str(), "57014" | "13" | "778" | "1034" | "1546" | "4874")
                || self.is_retryable();
        }
        match self {
            Self::TeamKeys(error) => error.is_unavailable(),
            Self::Database(DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) => true,
            Self::Database(err) => runtime(err).is_some_and(is_io),
            Self::Driver(err) => is_io(err),
            Self::Busy | Self::LocksNeeded { .. } | Self::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// Whether stored content could not be opened: it was sealed for another place or with a key that is not held, or
    /// it was modified.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        match self {
            Self::TeamKeys(error) => error.is_unreadable(),
            error => matches!(error, Self::Crypto(_) | Self::Segment { .. }),
        }
    }

    /// Whether a value was sealed with a team key that is not among those at hand.
    pub(crate) fn needs_other_key(&self) -> bool {
        matches!(self, Self::Crypto(CryptoError::UnknownKey { .. }))
    }

    /// The error for a stored value that is not what the program wrote.
    pub(crate) fn malformed(table: &'static str, column: &'static str, row: impl Display) -> Self {
        Self::Malformed { table, column, row: row.to_string() }
    }

    /// The error without text from the database's message, which may quote statements and rows. Use this where an error
    /// is stored for operators.
    pub(crate) fn summary(&self) -> String {
        match (self, self.code()) {
            (Self::Database(_) | Self::Driver(_), Some(code)) => format!("database error {code}"),
            (Self::Database(_) | Self::Driver(_), None) if self.is_unavailable() => {
                "the database could not be reached".to_owned()
            }
            (Self::Database(_) | Self::Driver(_), None) => "database error".to_owned(),
            (Self::TeamKeys(error), _) => error.summary(),
            _ => self.to_string(),
        }
    }

    /// Whether a row with this key exists already (PostgreSQL's SQLSTATE 23505, SQLite's
    /// SQLITE_CONSTRAINT_PRIMARYKEY and SQLITE_CONSTRAINT_UNIQUE).
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self.code().as_deref(), Some("23505" | "1555" | "2067"))
    }

    /// What the database said, with its code, without the statement.
    pub(crate) fn said(&self) -> String {
        let err = match self {
            Self::Database(err) => runtime(err),
            Self::Driver(err) => Some(err),
            _ => None,
        };
        match err.and_then(sqlx::Error::as_database_error) {
            Some(said) => match said.code() {
                Some(code) => format!("{} ({code})", said.message()),
                None => said.message().to_owned(),
            },
            None => self.to_string(),
        }
    }

    /// Whether the account lacks a privilege (PostgreSQL's SQLSTATE 42501).
    pub(crate) fn is_denied(&self) -> bool {
        self.code().as_deref() == Some("42501")
    }

    /// The database's code for the error, if the database returned it.
    pub(crate) fn code(&self) -> Option<String> {
        let err = match self {
            Self::Database(err) => runtime(err)?,
            Self::Driver(err) => err,
            Self::TeamKeys(error) => return error.code(),
            _ => return None,
        };
        Some(err.as_database_error()?.code()?.into_owned())
    }
}

impl han_types::StorageError for DbError {
    fn is_unavailable(&self) -> bool {
        Self::is_unavailable(self)
    }
}

fn is_io(err: &sqlx::Error) -> bool {
    matches!(
        err,
        sqlx::Error::Io(_)
            // A connection that broke in the middle of a message.
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

fn runtime(err: &DbErr) -> Option<&sqlx::Error> {
    match err {
        DbErr::Conn(RuntimeErr::SqlxError(err))
        | DbErr::Exec(RuntimeErr::SqlxError(err))
        | DbErr::Query(RuntimeErr::SqlxError(err)) => Some(err),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbErr, RuntimeErr};

    use super::DbError;

    #[test]
    fn a_summary_has_no_text_of_the_database() {
        let quoting = DbErr::Type("invalid input: 'a line of a transcript'".to_owned());
        assert_eq!(DbError::from(quoting).summary(), "database error");
        let url = sqlx::Error::Configuration("postgres://ada:secret@db".into());
        assert_eq!(DbError::from(url).summary(), "database error");
        let closed = DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::PoolClosed.into()));
        assert_eq!(DbError::from(closed).summary(), "the database could not be reached");
        assert_eq!(DbError::Busy.summary(), "too many reads at once");
    }
}
