//! What can go wrong with the database, told apart by what a caller can do about it.

use std::fmt::Display;
use std::sync::Arc;

use han_crypto::CryptoError;
use han_types::{IdError, TeamId};
use sea_orm::{DbErr, RuntimeErr};
use thiserror::Error;

/// An error of the storage layer.
#[derive(Debug, Error)]
pub enum DbError {
    /// The database refused or failed. The text is for the log, never for a client.
    #[error("database: {0}")]
    Database(#[from] DbErr),
    /// The driver failed outside a query (connecting, listening).
    #[error("database connection: {0}")]
    Driver(#[from] sqlx::Error),
    /// A sealed field could not be opened or made.
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
    /// An id that the program made is not valid.
    #[error("an id that was made here is not valid: {0}")]
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
    /// The work of a transaction kept a handle to it beyond its end: it was not committed.
    #[error("the transaction {name} was still in use when it was to be committed")]
    TransactionInUse {
        /// The transaction's name.
        name: &'static str,
    },
    /// A task off the async threads panicked, or the runtime shut down before it ran.
    #[error("{what} did not end: {source}")]
    TaskLost {
        /// What it was for.
        what: &'static str,
        /// How it ended.
        source: tokio::task::JoinError,
    },
    /// The database's schema was made by a newer program.
    #[error(
        "the database's schema is newer than this program ({0}): run the program version that migrated it, or a later one"
    )]
    SchemaNewer(String),
    /// The database's schema lacks migrations.
    #[error(
        "the database lacks {0} migration(s): run `han-server migrate` with an account that may change the schema"
    )]
    SchemaOlder(usize),
    /// The account may not do what row-level security needs.
    #[error(
        "the database account cannot set up row-level security: {reason}. An administrator must run:\n{sql}"
    )]
    Privileges {
        /// What is missing.
        reason: String,
        /// The SQL that an administrator must run once.
        sql: String,
    },
    /// Team keys are wrapped with a KEK that this process does not hold.
    #[error(
        "KEK {missing} is missing: {what}. Add it to KEK_SECRET_PREVIOUS, from the copy of the secrets (this process \
         holds {held})"
    )]
    KekMissing {
        /// The KEK's id, in hexadecimal: the first four bytes of its SHA-256.
        missing: String,
        /// What it is needed for.
        what: &'static str,
        /// The ids of those at hand.
        held: String,
    },
    /// The database URL names no database this program knows.
    #[error("DATABASE_URL must start with postgres:// or sqlite:, not {0:?}")]
    Url(String),
    /// The database URL names PostgreSQL, which this program was built without.
    #[error("DATABASE_URL names PostgreSQL, but this program was built without it: use sqlite:<file>")]
    WithoutPostgres,
    /// A batch was refused; its transaction rolls back. Never leaves this crate.
    #[error("refused: {}", .0.message)]
    Refused(Box<han_types::sync::BatchError>),
    /// As many reads run as may run at once, and none ended in time.
    #[error("too many reads at once")]
    Busy,
    /// An answer would hold more bytes of lines than one may.
    #[error("more than {limit} bytes of lines in one answer")]
    TooMuch {
        /// How many it may hold.
        limit: usize,
    },
}

impl DbError {
    /// Whether running the same transaction again may succeed: a serialization failure, a deadlock, a lock that
    /// was not to be had in time (PostgreSQL's SQLSTATE classes 40 and 55P03, SQLite's BUSY).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.code().as_deref() {
            Some(code) => matches!(code, "40001" | "40P01" | "55P03" | "5" | "517" | "261"),
            None => false,
        }
    }

    /// Whether the database could not be reached or had no connection to give, so that the same request may
    /// succeed later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        if let Some(code) = self.code() {
            // Class 57P: the server is shutting down or was told to end the session; 57014: the statement took
            // too long; 53: out of resources, a full disk among them. SQLite's result codes: 13, the disk is full; a
            // file could not be written (778), flushed (1034), given another length (1546) or, for what readers and the
            // writer share, another size (4874), as on a disk quota.
            return code.starts_with("57P")
                || code.starts_with("53")
                || matches!(code.as_str(), "57014" | "13" | "778" | "1034" | "1546" | "4874")
                || self.is_retryable();
        }
        match self {
            Self::TeamKeys(error) => error.is_unavailable(),
            Self::Database(DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) => true,
            Self::Database(err) => runtime(err).is_some_and(is_io),
            Self::Driver(err) => is_io(err),
            Self::Busy => true,
            _ => false,
        }
    }

    /// Whether stored content could not be opened: it was sealed for another place, with a key that is not held, or
    /// changed since.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        match self {
            Self::TeamKeys(error) => error.is_unreadable(),
            error => matches!(error, Self::Crypto(_)),
        }
    }

    /// That the value of a table's column is not what the program wrote.
    pub(crate) fn malformed(table: &'static str, column: &'static str, row: impl Display) -> Self {
        Self::Malformed { table, column, row: row.to_string() }
    }

    /// What went wrong, without anything that a statement or a row may have brought into the database's message: for the
    /// places that keep an error where operators of all teams read it.
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

    /// Whether a row is there already (PostgreSQL's SQLSTATE 23505, SQLite's SQLITE_CONSTRAINT_PRIMARYKEY and
    /// SQLITE_CONSTRAINT_UNIQUE).
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self.code().as_deref(), Some("23505" | "1555" | "2067"))
    }

    /// Whether the account lacks a privilege (PostgreSQL's SQLSTATE 42501).
    pub(crate) fn is_denied(&self) -> bool {
        self.code().as_deref() == Some("42501")
    }

    fn code(&self) -> Option<String> {
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

/// Runs work for the processor where it holds up no async thread. `what` says what it is for.
///
/// # Errors
/// [`DbError::TaskLost`] where it panics, or the runtime shuts down first.
pub(crate) async fn blocking<T, F>(what: &'static str, work: F) -> Result<T, DbError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|source| DbError::TaskLost { what, source })
}

fn is_io(err: &sqlx::Error) -> bool {
    matches!(
        err,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed
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
    fn a_summary_quotes_nothing_of_the_database() {
        let quoting = DbErr::Type("invalid input: 'what a line said'".to_owned());
        assert_eq!(DbError::from(quoting).summary(), "database error");
        let url = sqlx::Error::Configuration("postgres://ada:secret@db".into());
        assert_eq!(DbError::from(url).summary(), "database error");
        let closed = DbErr::Conn(RuntimeErr::SqlxError(sqlx::Error::PoolClosed.into()));
        assert_eq!(DbError::from(closed).summary(), "the database could not be reached");
        assert_eq!(DbError::Busy.summary(), "too many reads at once");
    }
}
