//! Service accounts; and how long a team keeps content, and what remains of a session whose content was purged.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, int, int_null, session, table, team, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        let purged = table(
            "purged_sessions",
            &["team", "session"],
            [
                team(),
                session(),
                // Of the lines that were purged: how many, the time of the first one, and that of the last one.
                counter("lines"),
                int_null("started_at"),
                int("last_activity_at"),
                // The items of the last to-do list, and how many of them were completed.
                counter("todos"),
                counter("todos_done"),
                // JSON: the scores of their sentiments, in order.
                text("sentiments"),
                // JSON: what they have added to the rollups, without their answers, which stay in `answer_copies`.
                text("counted"),
            ],
        );
        manager.create_table(purged).await?;
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        if postgres {
            db.execute_unprepared(PERSONS_ONLY).await?;
        }
        for table in OF_PERSONS {
            let sql = if postgres { postgres_trigger(table) } else { sqlite_triggers(table) };
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // `person`, or `service`: the account of a program.
    "ALTER TABLE users ADD COLUMN kind text NOT NULL DEFAULT 'person'",
    // Of a service account: the number of its team.
    "ALTER TABLE users ADD COLUMN service_team integer",
    // Of a service account: when it was removed. Its row remains for the name of the author of its sessions.
    "ALTER TABLE users ADD COLUMN removed_at bigint",
    "CREATE INDEX users_service ON users (service_team) WHERE service_team IS NOT NULL",
    // How many days content is kept after the last line of its session has arrived. Null: without end.
    "ALTER TABLE teams ADD COLUMN retention_days integer",
    // When the content of the session was last purged.
    "ALTER TABLE sessions ADD COLUMN purged_at bigint",
    // The lines of the file before this one were purged.
    "ALTER TABLE transcripts ADD COLUMN purged_line integer NOT NULL DEFAULT 0",
    // Whether the lines of the answer were purged: it cannot be derived again.
    "ALTER TABLE answer_copies ADD COLUMN purged boolean NOT NULL DEFAULT false",
];

/// Tables whose column `user_id` names a person, never a service account: those of sign-ins, and of members.
const OF_PERSONS: &[&str] =
    &["team_members", "web_sessions", "login_links", "token_families", "device_logins"];

const PERSONS_ONLY: &str =
    "CREATE FUNCTION han_persons_only() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
    BEGIN
        IF (TG_OP = 'INSERT' OR NEW.user_id IS DISTINCT FROM OLD.user_id)
                AND EXISTS (SELECT 1 FROM users WHERE id = NEW.user_id AND kind = 'service') THEN
            RAISE EXCEPTION 'a service account is no member, and cannot sign in';
        END IF;
        RETURN NEW;
    END $$";

/// It names no column: the collation of a column that a trigger names cannot be changed, and `access` does that.
fn postgres_trigger(table: &str) -> String {
    format!(
        "CREATE TRIGGER {table}_persons_only BEFORE INSERT OR UPDATE ON {table}
            FOR EACH ROW EXECUTE FUNCTION han_persons_only()"
    )
}

fn sqlite_triggers(table: &str) -> String {
    let trigger = |name: &str, event: &str| {
        format!(
            "CREATE TRIGGER {table}_persons_only_{name} BEFORE {event} ON {table}
                WHEN EXISTS (SELECT 1 FROM users WHERE id = NEW.user_id AND kind = 'service') BEGIN
                SELECT RAISE(ABORT, 'a service account is no member, and cannot sign in');
            END;"
        )
    };
    trigger("insert", "INSERT") + &trigger("update", "UPDATE OF user_id")
}
