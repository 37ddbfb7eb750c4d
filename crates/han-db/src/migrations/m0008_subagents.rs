//! Subagents by the names of their files: a client that has only a subagent's name opens its messages.

use sea_orm::ConnectionTrait as _;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX transcripts_name ON transcripts (team_id, transcript, session_id)";
        manager.get_connection().execute_unprepared(index).await?;
        Ok(())
    }
}
