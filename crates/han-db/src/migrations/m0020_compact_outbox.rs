//! Rows of the outbox for sessions that grew, which are nearly all, name the session by its numbers on PostgreSQL, and the
//! outbox has no index on times (docs/adr/0039).

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // Once a minute, trimming reads the whole table, which has the rows of 15 minutes.
        db.execute_unprepared("DROP INDEX changes_at").await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            for statement in POSTGRES {
                db.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }
}

const POSTGRES: &[&str] = &[
    // NULL takes no space. Nothing reads `xid`.
    "ALTER TABLE changes ALTER COLUMN xid DROP NOT NULL, ALTER COLUMN team_id DROP NOT NULL,
        ALTER COLUMN table_name DROP NOT NULL, ALTER COLUMN action DROP NOT NULL,
        ADD COLUMN team_number int, ADD COLUMN session_number int",
    "CREATE FUNCTION han_session_grew() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        INSERT INTO changes (team_number, session_number, ordinal_from, ordinal_to, at)
        VALUES (NEW.team, NEW.number, OLD.next_ordinal, NEW.next_ordinal, NEW.synced_at)
        RETURNING seq INTO new_seq;
        IF current_setting('han.coalesce', true) IS DISTINCT FROM 'on' THEN
            PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        END IF;
        RETURN NULL;
    END $$",
    "DROP TRIGGER sessions_updated ON sessions",
    "CREATE TRIGGER sessions_updated AFTER UPDATE OF revision ON sessions
        FOR EACH ROW WHEN (OLD.revision IS DISTINCT FROM NEW.revision) EXECUTE FUNCTION han_session_grew()",
];
