//! Requests to delete name the owner of what is deleted, who sees them although an admin has requested them.

use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // The user whose sessions, or whose account, are deleted. Empty for a team, and after the account was deleted.
    "ALTER TABLE deletion_requests ADD COLUMN owner text NOT NULL DEFAULT ''",
    "UPDATE deletion_requests SET owner = subject WHERE kind IN ('member', 'account')",
    "UPDATE deletion_requests SET owner = COALESCE((SELECT s.user_id FROM sessions s JOIN teams t ON t.number = s.team
        WHERE t.id = deletion_requests.team_id AND s.session_id = deletion_requests.subject), '')
        WHERE kind = 'session'",
    // Of a session that was deleted since, only the request of the owner says whose it was.
    "UPDATE deletion_requests SET owner = requested_by WHERE own AND owner = ''",
];
