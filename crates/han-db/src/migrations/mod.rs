//! Migrations: how the schema came to be, one definition for both databases, and how they are applied.
//!
//! A new table is a new file here, added to [`Migrator::migrations`]; docs/CONTRIBUTING.md lists the steps. What
//! PostgreSQL needs besides (roles, grants, policies, triggers) comes from `access`.

mod access;
mod m0001_teams;
mod m0002_sessions;
mod m0003_search;
mod m0004_jobs;
mod m0005_github;
mod m0006_records;
mod m0007_prices;
mod m0008_rotation;
mod m0009_places;
mod m0010_deletions;
mod m0011_audit;
mod m0012_retention;
mod m0013_plans;
mod m0014_billing;
mod m0015_team_payments;
mod m0016_deletion_owners;
mod m0017_last_sessions;
mod m0018_server_log;
mod m0019_activity_minutes;
mod m0020_compact_outbox;
mod m0021_number_terms;
mod tables;

use sea_orm::{DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::dialect::Dialect;
use crate::queries::prices;
use crate::tx::ATTEMPTS;
use crate::{Db, DbError};

/// An arbitrary number, the same in every replica, that names the lock under which migrations run.
const ADVISORY_LOCK: i64 = 0x68_61_6e_5f_64_62;

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_teams::Migration),
            Box::new(m0002_sessions::Migration),
            Box::new(m0003_search::Migration),
            Box::new(m0004_jobs::Migration),
            Box::new(m0005_github::Migration),
            Box::new(m0006_records::Migration),
            Box::new(m0007_prices::Migration),
            Box::new(m0008_rotation::Migration),
            Box::new(m0009_places::Migration),
            Box::new(m0010_deletions::Migration),
            Box::new(m0011_audit::Migration),
            Box::new(m0012_retention::Migration),
            Box::new(m0013_plans::Migration),
            Box::new(m0014_billing::Migration),
            Box::new(m0015_team_payments::Migration),
            Box::new(m0016_deletion_owners::Migration),
            Box::new(m0017_last_sessions::Migration),
            Box::new(m0018_server_log::Migration),
            Box::new(m0019_activity_minutes::Migration),
            Box::new(m0020_compact_outbox::Migration),
            Box::new(m0021_number_terms::Migration),
        ]
    }
}

impl Db {
    /// Applies every migration that is missing, all or none, and stores the built-in prices if they are newer than the
    /// stored ones. Two replicas may start at once: the second waits and
    /// finds nothing to do.
    ///
    /// # Errors
    /// Where the schema is newer than this program, the account lacks a privilege, or a statement fails; the
    /// schema is then as it was.
    pub async fn migrate(&self) -> Result<usize, DbError> {
        let mut attempt = 1;
        let applied = loop {
            match self.apply().await {
                // Other replicas go on writing: a deadlock with one of them ends either.
                Err(error) if attempt < ATTEMPTS && error.is_retryable() => {
                    tracing::warn!(%error, "the migration conflicted with other writers, trying again");
                    attempt += 1;
                }
                done => break done,
            }
        };
        match applied {
            Err(error @ (DbError::Database(_) | DbError::Driver(_))) if !error.is_unavailable() => {
                Err(access::migration_error(self, &error).await)
            }
            Err(error) => Err(error),
            Ok(applied) => {
                prices::seed(self).await?;
                Ok(applied)
            }
        }
    }

    /// Puts roles, grants and row-level security of an up-to-date schema back as the migrations made them. Needs the
    /// account that owns the tables. Does nothing on SQLite.
    ///
    /// # Errors
    /// As [`Db::migrate`].
    pub async fn repair_access(&self) -> Result<(), DbError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let repaired = async {
            access::ensure_roles(&self.writer()).await?;
            let tx = self.writer().begin().await?;
            access::lock(&tx, ADVISORY_LOCK).await?;
            access::grant(&tx).await?;
            Ok(tx.commit().await?)
        };
        match repaired.await {
            Err(error @ (DbError::Database(_) | DbError::Driver(_))) if !error.is_unavailable() => {
                Err(access::migration_error(self, &error).await)
            }
            done => done,
        }
    }

    /// Prepares an empty PostgreSQL database for a dump: makes the roles that its grants name.
    ///
    /// # Errors
    /// [`DbError::Job`] if the database is not empty; as [`Db::migrate`], where the account lacks a privilege.
    pub async fn prepare_restore(&self) -> Result<(), DbError> {
        if access::has_tables(&self.writer()).await? {
            return Err(DbError::Job(
                "the database has tables already: restore into an empty one".to_owned(),
            ));
        }
        access::ensure_roles(&self.writer()).await
    }

    async fn apply(&self) -> Result<usize, DbError> {
        if self.dialect() == Dialect::Postgres {
            access::ensure_roles(&self.writer()).await?;
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.dialect() == Dialect::Sqlite)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let tx = self.writer().begin_with_options(options).await?;
        if self.dialect() == Dialect::Postgres {
            access::lock(&tx, ADVISORY_LOCK).await?;
        }
        let pending = Migrator::get_pending_migrations(&tx).await.map_err(newer)?.len();
        if pending > 0 {
            if self.dialect() == Dialect::Postgres {
                access::lock_sessions(&tx).await?;
            }
            Migrator::up(&tx, None).await?;
            if self.dialect() == Dialect::Postgres {
                access::grant(&tx).await?;
            }
        }
        tx.commit().await?;
        Ok(pending)
    }

    /// Whether the schema is the one this program was written for, the transactions it opens are bound by row-level
    /// security, and row-level security separates the teams in every table. A server that is not ready refuses to serve.
    /// The account needs no right of its own: what is checked is read in the program's roles.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub async fn check_ready(&self) -> Result<(), DbError> {
        let pending = match self.dialect() {
            Dialect::Postgres => {
                let known: Vec<String> =
                    Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
                access::pending(self, &known).await?
            }
            Dialect::Sqlite => {
                Migrator::get_pending_migrations_read_only(&self.reader()).await.map_err(newer)?.len()
            }
        };
        if pending > 0 {
            return Err(DbError::SchemaOlder(pending));
        }
        if self.dialect() == Dialect::Postgres {
            access::check_bound(self).await?;
            access::check_grants(self).await?;
            access::check_policies(self).await?;
        }
        Ok(())
    }

    /// What an operator should know about the account in the database's URL: `None` for nothing. That it is a superuser
    /// is no reason to refuse, since transactions take on roles that are not.
    pub async fn account_notice(&self) -> Result<Option<String>, DbError> {
        match self.dialect() {
            Dialect::Postgres => access::account_notice(self).await,
            Dialect::Sqlite => Ok(None),
        }
    }
}

/// The migrator reports applied migrations that it does not know as a custom error.
fn newer(err: DbErr) -> DbError {
    match err {
        DbErr::Custom(text) => DbError::SchemaNewer(text),
        other => DbError::Database(other),
    }
}
