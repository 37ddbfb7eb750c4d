//! Lists of sessions are found by the minute of their latest activity (docs/adr/0038): a push that changes no indexed column
//! leaves the indexes of its session alone, and PostgreSQL reuses the space of the row's old versions without a vacuum.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let db = manager.get_connection();
        // SQLite adds no stored columns to a table, but it has indexes on virtual ones.
        let (number, kind) = if postgres { ("bigint", "STORED") } else { ("integer", "VIRTUAL") };
        let column = format!(
            "ALTER TABLE sessions ADD COLUMN activity_minute {number} \
             GENERATED ALWAYS AS (last_activity_at / 60000) {kind}"
        );
        db.execute_unprepared(&column).await?;
        for statement in INDEXES {
            db.execute_unprepared(statement).await?;
        }
        if postgres {
            // Room for the next version of each row in its page.
            db.execute_unprepared("ALTER TABLE sessions SET (fillfactor = 70)").await?;
        }
        Ok(())
    }
}

/// The list of sessions, and that of a project.
const INDEXES: &[&str] = &[
    "DROP INDEX sessions_recent",
    "DROP INDEX sessions_project",
    "CREATE INDEX sessions_recent ON sessions (team, activity_minute)",
    "CREATE INDEX sessions_project ON sessions (team, project_id, activity_minute)",
];
