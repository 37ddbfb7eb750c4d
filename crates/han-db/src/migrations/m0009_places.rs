//! What tells several calls with one id apart: the answers that make them. `han-server rebuild` fills it in for what was stored
//! before.

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
    // Of a call: identifies the answer that makes it within the session. Null if no answer does.
    "ALTER TABLE tool_results ADD COLUMN answer integer",
    "ALTER TABLE subagent_calls ADD COLUMN answer integer",
];
