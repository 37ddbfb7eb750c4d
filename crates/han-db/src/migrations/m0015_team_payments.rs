//! Payments of teams: the plan of the subscription that has decided last; and the outbox rows of what `teamUpdated` shows of
//! payments, settings and service accounts.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in COLUMNS {
            db.execute_unprepared(statement).await?;
        }
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in if postgres { postgres_statements() } else { sqlite_statements() } {
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

const COLUMNS: [&str; 2] = [
    // The plan that the subscription in `stripe_subscription_id` gives while it is paid.
    "ALTER TABLE teams ADD COLUMN subscription_plan text",
    "UPDATE teams SET subscription_plan = plan_tier WHERE stripe_subscription_id IS NOT NULL AND plan_tier <> 'free'",
];

/// The columns of `teams` whose change is published. The version of billing is not among them: it grows with every event.
const WATCHED: [&str; 10] = [
    "plan_tier",
    "before_billing",
    "name",
    "payment_state",
    "cancels_at",
    "grace_until",
    "paid_seats",
    "stripe_customer_id",
    "audit_reads",
    "retention_days",
];

fn postgres_statements() -> [String; 4] {
    let columns = WATCHED.map(|column| format!("'{column}'")).join(", ");
    [
        "DROP TRIGGER teams_access ON teams".to_owned(),
        format!(
            "CREATE TRIGGER teams_access AFTER UPDATE OR DELETE ON teams
                FOR EACH ROW EXECUTE FUNCTION han_access_changed({columns})"
        ),
        // A service account belongs to its team. SECURITY DEFINER: see `han_session_changed`.
        "CREATE FUNCTION han_service_account_changed() RETURNS trigger LANGUAGE plpgsql
            SECURITY DEFINER SET search_path FROM CURRENT AS $$
        DECLARE
            team text;
            new_seq bigint;
        BEGIN
            SELECT id INTO team FROM teams WHERE number = NEW.service_team;
            IF team IS NULL THEN
                RETURN NULL;
            END IF;
            INSERT INTO changes (xid, team_id, table_name, action, at)
            VALUES (pg_current_xact_id()::text::bigint, team, 'teams', 'update',
                (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
            RETURNING seq INTO new_seq;
            PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
            RETURN NULL;
        END $$"
            .to_owned(),
        "CREATE TRIGGER users_team AFTER INSERT OR UPDATE ON users FOR EACH ROW
            WHEN (NEW.service_team IS NOT NULL) EXECUTE FUNCTION han_service_account_changed()"
            .to_owned(),
    ]
}

/// The time is the database's own: see `m0001_teams`.
fn sqlite_statements() -> [String; 4] {
    const NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";
    let changed = WATCHED.map(|column| format!("OLD.{column} IS NOT NEW.{column}")).join(" OR ");
    let of_account = |action: &str| {
        format!(
            "CREATE TRIGGER users_team_{action} AFTER {action} ON users WHEN NEW.service_team IS NOT NULL BEGIN
                INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
                SELECT 0, id, 'teams', 'update', NULL, {NOW} FROM teams WHERE number = NEW.service_team;
            END"
        )
    };
    [
        "DROP TRIGGER teams_access_update".to_owned(),
        format!(
            "CREATE TRIGGER teams_access_update AFTER update ON teams WHEN {changed} BEGIN
                INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
                VALUES (0, OLD.id, 'teams', 'update', NULL, {NOW});
            END"
        ),
        of_account("insert"),
        of_account("update"),
    ]
}
