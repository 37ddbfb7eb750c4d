//! Requests to delete know which sessions there were when they began, whatever the times of the sessions say.

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
    // The greatest number of a session of the team when the request began; null before that, and for an account.
    "ALTER TABLE deletion_requests ADD COLUMN last_session bigint",
    "UPDATE deletion_requests SET last_session = (SELECT COALESCE(max(s.number), 0)
        FROM sessions s JOIN teams t ON t.number = s.team WHERE t.id = deletion_requests.team_id)
        WHERE started_at IS NOT NULL AND finished_at IS NULL",
];
