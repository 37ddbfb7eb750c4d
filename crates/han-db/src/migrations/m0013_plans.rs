//! Plans: which teams are from before billing was configured, the sessions of a month, and the outbox rows of what
//! `teamUpdated` shows: teams, members, invites, API keys, and work on a team.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, int, table, team};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // Every team that exists: they keep all features until an operator decides on their plan.
        db.execute_unprepared("ALTER TABLE teams ADD COLUMN before_billing boolean NOT NULL DEFAULT true")
            .await?;
        let usage = table(
            "team_usage",
            &["team", "month", "shard"],
            [
                team(),
                // The start of the UTC month, in milliseconds since the epoch.
                int("month"),
                // Spreads the writers of a month over several rows, where no limit has to be checked.
                int("shard"),
                // New sessions, deleted ones included.
                counter("sessions"),
            ],
        );
        manager.create_table(usage).await?;
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in if postgres { POSTGRES } else { SQLITE } {
            db.execute_unprepared(statement).await?;
        }
        for watch in WATCHES {
            let sql = if postgres { watch.postgres() } else { watch.sqlite() };
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

const POSTGRES: &[&str] = &[
    "DROP TRIGGER teams_access ON teams",
    "CREATE TRIGGER teams_access AFTER UPDATE OR DELETE ON teams
        FOR EACH ROW EXECUTE FUNCTION han_access_changed('plan_tier', 'before_billing', 'name')",
    // Its arguments are the columns of which a change is published. Such changes are rare, so it always notifies, even in
    // a transaction that coalesces. SECURITY DEFINER: see `han_session_changed`.
    "CREATE FUNCTION han_team_changed() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        changed jsonb;
        team text;
        new_seq bigint;
    BEGIN
        IF TG_OP = 'UPDATE' AND NOT EXISTS (SELECT FROM unnest(TG_ARGV) AS watched
                WHERE to_jsonb(OLD)->watched IS DISTINCT FROM to_jsonb(NEW)->watched) THEN
            RETURN NULL;
        END IF;
        IF TG_OP = 'DELETE' THEN changed := to_jsonb(OLD); ELSE changed := to_jsonb(NEW); END IF;
        team := COALESCE(changed->>'team_id', (SELECT id FROM teams WHERE number = (changed->>'team')::int));
        IF team IS NULL THEN
            RETURN NULL;
        END IF;
        INSERT INTO changes (xid, team_id, table_name, action, at)
        VALUES (pg_current_xact_id()::text::bigint, team, TG_TABLE_NAME, lower(TG_OP),
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
        RETURNING seq INTO new_seq;
        PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        RETURN NULL;
    END $$",
];

const SQLITE: &[&str] = &[
    "DROP TRIGGER teams_access_update",
    "CREATE TRIGGER teams_access_update AFTER update ON teams WHEN OLD.plan_tier IS NOT NEW.plan_tier
        OR OLD.before_billing IS NOT NEW.before_billing OR OLD.name IS NOT NEW.name BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
        VALUES (0, OLD.id, 'teams', 'update', NULL, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
    END",
];

/// What is published besides the end of a right (`m0001_teams`): other changes of the rows of a table.
struct Watch {
    table: &'static str,
    /// The columns whose change is published; none if `m0001_teams` publishes updates and deletions.
    watched: &'static [&'static str],
    /// Whether rows name their team by its text id, and not by its number.
    by_text_id: bool,
}

const WATCHES: &[Watch] = &[
    Watch { table: "team_members", watched: &[], by_text_id: false },
    Watch { table: "api_keys", watched: &[], by_text_id: true },
    Watch { table: "team_invites", watched: &["used_at", "revoked_at"], by_text_id: false },
    // A request, and its end. How far the work is changes with each batch, and is not published.
    Watch { table: "team_work", watched: &["target", "requested_at", "finished_at"], by_text_id: true },
];

impl Watch {
    fn postgres(&self) -> String {
        let Self { table, watched, .. } = self;
        let columns: Vec<String> = watched.iter().map(|column| format!("'{column}'")).collect();
        let actions = if watched.is_empty() { "INSERT" } else { "INSERT OR UPDATE OR DELETE" };
        format!(
            "CREATE TRIGGER {table}_team AFTER {actions} ON {table}
                FOR EACH ROW EXECUTE FUNCTION han_team_changed({})",
            columns.join(", ")
        )
    }

    /// The time is the database's own: see `m0001_teams`.
    fn sqlite(&self) -> String {
        let Self { table, watched, by_text_id } = self;
        let trigger = |action: &str, row: &str, when: &str| {
            let team = match by_text_id {
                true => format!("SELECT {row}.team_id AS id"),
                false => format!("SELECT id FROM teams WHERE number = {row}.team"),
            };
            format!(
                "CREATE TRIGGER {table}_team_{action} AFTER {action} ON {table} {when} BEGIN
                    INSERT INTO changes (xid, team_id, table_name, action, at)
                    SELECT 0, found.id, '{table}', '{action}',
                        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) FROM ({team}) AS found;
                END;"
            )
        };
        let insert = trigger("insert", "NEW", "");
        if watched.is_empty() {
            return insert;
        }
        let changed: Vec<String> = watched.iter().map(|c| format!("OLD.{c} IS NOT NEW.{c}")).collect();
        insert
            + &trigger("update", "NEW", &format!("WHEN {}", changed.join(" OR ")))
            + &trigger("delete", "OLD", "")
    }
}
