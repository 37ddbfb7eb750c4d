//! The outbox rows of what `teamUpdated` shows of payments.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in if postgres { postgres_statements() } else { sqlite_statements() } {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

/// The columns of `teams` whose change is published. The version of billing is not among them: it grows with every event.
const WATCHED: [&str; 8] = [
    "plan_tier",
    "before_billing",
    "name",
    "payment_state",
    "cancels_at",
    "grace_until",
    "paid_seats",
    "stripe_customer_id",
];

fn postgres_statements() -> [String; 2] {
    let columns = WATCHED.map(|column| format!("'{column}'")).join(", ");
    [
        "DROP TRIGGER teams_access ON teams".to_owned(),
        format!(
            "CREATE TRIGGER teams_access AFTER UPDATE OR DELETE ON teams
                FOR EACH ROW EXECUTE FUNCTION han_access_changed({columns})"
        ),
    ]
}

/// The time is the database's own: see `m0001_teams`.
fn sqlite_statements() -> [String; 2] {
    let changed = WATCHED.map(|column| format!("OLD.{column} IS NOT NEW.{column}")).join(" OR ");
    [
        "DROP TRIGGER teams_access_update".to_owned(),
        format!(
            "CREATE TRIGGER teams_access_update AFTER update ON teams WHEN {changed} BEGIN
                INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
                VALUES (0, OLD.id, 'teams', 'update', NULL, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
            END"
        ),
    ]
}
