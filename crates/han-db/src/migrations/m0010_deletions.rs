//! Requests to delete a session, the sessions of a member, the data of a team, a team or an account, which are also the
//! receipts; and what each deletion removed.

use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{boolean, counter, int, int_null, table, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let requests = table(
            "deletion_requests",
            &["id"],
            [
                text("id"),
                // Empty for an account.
                text("team_id"),
                // `session`, `member`, `data`, `team`, `account`
                text("kind"),
                // The session or the user; empty for a team, and for an account that was deleted.
                text("subject"),
                // Empty after the user's account was deleted.
                text("requested_by"),
                // Whether the user deletes only what they pushed themselves.
                boolean("own"),
                int("requested_at"),
                int("due_at"),
                // From here on it cannot be cancelled.
                int_null("started_at"),
                int_null("finished_at"),
                int_null("cancelled_at"),
                counter("sessions"),
                counter("lines"),
            ],
        );
        manager.create_table(requests).await?;
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // The request by which the session was deleted. Null: none, or before there were requests.
    "ALTER TABLE deleted_sessions ADD COLUMN request_id text",
    // How many lines it had.
    "ALTER TABLE deleted_sessions ADD COLUMN lines bigint NOT NULL DEFAULT 0",
    "CREATE INDEX deleted_sessions_request ON deleted_sessions (request_id) WHERE request_id IS NOT NULL",
];
