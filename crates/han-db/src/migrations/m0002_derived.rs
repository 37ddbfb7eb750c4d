//! What is derived from lines: tasks, to-dos, file changes, hook executions, sentiments; tokens by session and model;
//! counts by hour. All of it can be made again from the lines (`queries::rebuild`).

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager, TableCreateStatement};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{boolean, counter, int, int_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in events().into_iter().chain(states()).chain(counting()) {
            manager.create_table(statement).await?;
        }
        let db = manager.get_connection();
        let outbox = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES_OUTBOX,
            _ => SQLITE_OUTBOX,
        };
        for statement in COLUMNS.iter().chain(INDEXES).chain(outbox) {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// One row for each thing that a line reports: appended, keyed by the line.
fn events() -> Vec<TableCreateStatement> {
    vec![
        table(
            "file_changes",
            &["team_id", "session_id", "transcript", "uuid", "n"],
            [
                text("team_id"),
                text("session_id"),
                text("transcript"),
                text("uuid"),
                // Which of the line's changes.
                int("n"),
                int("line"),
                int("at"),
                text("call_id"),
                text("tool_name"),
                // `created`, `modified`, `deleted`: as its call's result says, else as its input promises.
                text("action"),
                // Its call's result says that nothing was changed.
                boolean("failed"),
                int("lines_added"),
                int("lines_removed"),
                boolean("sealed"),
                text("path"),
            ],
        ),
        table(
            "hook_executions",
            &["team_id", "session_id", "transcript", "uuid"],
            [
                text("team_id"),
                text("session_id"),
                text("transcript"),
                text("uuid"),
                int("line"),
                int("at"),
                // Whether a run began here; otherwise a hook ended here.
                boolean("is_run"),
                text_null("run_id"),
                // Ids of labels.
                text("hook"),
                text_null("plugin"),
                text_null("hook_type"),
                text_null("directory"),
                int_null("success"),
                int_null("duration_ms"),
                int_null("exit_code"),
                int_null("cached"),
            ],
        ),
        table(
            "sentiments",
            &["team_id", "session_id", "transcript", "uuid"],
            [
                text("team_id"),
                text("session_id"),
                text("transcript"),
                text("uuid"),
                int("line"),
                int("at"),
                text_null("message_id"),
                // Scores in thousandths.
                int_null("sentiment"),
                int_null("frustration"),
                text_null("sentiment_level"),
                text_null("frustration_level"),
                boolean("sealed"),
                // JSON: what gave it away.
                text("signals"),
            ],
        ),
        table(
            "task_events",
            &["team_id", "session_id", "kind", "transcript", "uuid", "n"],
            [
                text("team_id"),
                text("session_id"),
                // `han`, `native`
                text("kind"),
                text("transcript"),
                text("uuid"),
                int("n"),
                int("line"),
                int("at"),
                text_null("call_id"),
                boolean("sealed"),
                // JSON: what happened.
                text("event"),
            ],
        ),
    ]
}

/// One row for each thing that lines describe together: its current state.
fn states() -> Vec<TableCreateStatement> {
    vec![
        table(
            "tasks",
            &["team_id", "session_id", "task_id"],
            [
                text("team_id"),
                text("session_id"),
                text("task_id"),
                // `implementation`, `fix`, `refactor`, `research`, or `other` with the word itself in `details`.
                text_null("task_type"),
                text("status"),
                text_null("outcome"),
                // In millionths.
                int_null("confidence"),
                int("started_at"),
                int_null("completed_at"),
                boolean("sealed"),
                text("details"),
            ],
        ),
        table(
            "native_tasks",
            &["team_id", "session_id", "task_id"],
            [
                text("team_id"),
                text("session_id"),
                text("task_id"),
                // `pending`, `in_progress`, `completed`, `deleted`, or `other` with the word itself in `details`.
                text("status"),
                int("created_at"),
                int("updated_at"),
                int_null("completed_at"),
                // The line that created it.
                text("transcript"),
                text("uuid"),
                boolean("sealed"),
                text("details"),
            ],
        ),
        table(
            "todos",
            &["team_id", "session_id"],
            [
                text("team_id"),
                text("session_id"),
                // The line that wrote the list: the latest counts.
                int("at"),
                text("transcript"),
                int("line"),
                int("pending"),
                int("in_progress"),
                int("completed"),
                boolean("sealed"),
                // JSON: the list.
                text("items"),
            ],
        ),
        table(
            "labels",
            &["team_id", "id"],
            [text("team_id"), text("id"), boolean("sealed"), text("label"), int("created_at")],
        ),
        table(
            "deleted_sessions",
            &["team_id", "session_id"],
            [text("team_id"), text("session_id"), int("deleted_at")],
        ),
    ]
}

fn counting() -> Vec<TableCreateStatement> {
    vec![
        table(
            "session_usage",
            &["team_id", "session_id", "model"],
            [
                text("team_id"),
                text("session_id"),
                text("model"),
                counter("responses"),
                counter("input_tokens"),
                counter("output_tokens"),
                counter("cache_read_tokens"),
                counter("cache_creation_5m_tokens"),
                counter("cache_creation_1h_tokens"),
            ],
        ),
        table(
            "rollup_counts",
            &["team_id", "hour", "user_id", "project_id", "kind", "key", "shard"],
            [
                text("team_id"),
                int("hour"),
                text("user_id"),
                text("project_id"),
                // What is counted, and of which sort: see `queries::ingest::rollup_delta`.
                text("kind"),
                text("key"),
                int("shard"),
                counter("count"),
                counter("passed"),
                counter("failed"),
                counter("timed"),
                counter("duration_ms"),
                counter("lines_added"),
                counter("lines_removed"),
                counter("scored"),
                counter("score"),
                counter("error"),
            ],
        ),
    ]
}

const COLUMNS: &[&str] = &[
    "ALTER TABLE tool_results ADD COLUMN file_action text",
    "ALTER TABLE sessions ADD COLUMN tool_use_count bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN file_change_count bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN lines_added bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN lines_removed bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN task_count bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN task_done_count bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN sentiment_count bigint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN sentiment_sum bigint NOT NULL DEFAULT 0",
];

const INDEXES: &[&str] = &[
    "CREATE INDEX file_changes_call ON file_changes (team_id, session_id, call_id)",
    "CREATE INDEX file_changes_order ON file_changes (team_id, session_id, at, transcript, line, n)",
    "CREATE INDEX task_events_call ON task_events (team_id, session_id, call_id)",
    "CREATE INDEX message_usage_session ON message_usage (team_id, session_id)",
];

/// The deletion of a session is published like its changes.
const POSTGRES_OUTBOX: &[&str] = &[
    "CREATE FUNCTION han_session_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, at)
        VALUES (pg_current_xact_id()::text::bigint, NEW.team_id, 'sessions', 'delete', NEW.session_id, NEW.deleted_at)
        RETURNING seq INTO new_seq;
        IF current_setting('han.coalesce', true) IS DISTINCT FROM 'on' THEN
            PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        END IF;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER sessions_deleted AFTER INSERT ON deleted_sessions
        FOR EACH ROW EXECUTE FUNCTION han_session_deleted()",
];

const SQLITE_OUTBOX: &[&str] = &["CREATE TRIGGER sessions_deleted AFTER INSERT ON deleted_sessions BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, at)
        VALUES (0, NEW.team_id, 'sessions', 'delete', NEW.session_id, NEW.deleted_at);
    END"];
