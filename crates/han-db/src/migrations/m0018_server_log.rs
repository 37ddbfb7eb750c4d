//! The server's own audit log has an end from the beginning, so that its removal as a whole is found.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let beginning = match manager.get_database_backend() {
            DbBackend::Postgres => "decode(repeat('00', 32), 'hex')",
            _ => "zeroblob(32)",
        };
        // -1 is the server's own.
        let sql = format!(
            "INSERT INTO audit_heads (team, seq, hash) VALUES (-1, 0, {beginning}) ON CONFLICT (team) DO NOTHING"
        );
        manager.get_connection().execute_unprepared(&sql).await?;
        Ok(())
    }
}
