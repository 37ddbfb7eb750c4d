//! People, teams and keys; sessions, transcripts and messages; usage and rollups; the outbox.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{boolean, counter, int, int_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in people().into_iter().chain(keys()).chain(sessions()).chain(counting()) {
            manager.create_table(statement).await?;
        }
        let db = manager.get_connection();
        for index in INDEXES {
            db.execute_unprepared(index).await?;
        }
        let outbox = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES_OUTBOX,
            _ => SQLITE_OUTBOX,
        };
        for statement in outbox {
            db.execute_unprepared(statement).await?;
        }
        db.execute_unprepared("INSERT INTO outbox_state (id, trimmed_seq) VALUES (1, 0)").await?;
        Ok(())
    }
}

type Tables = Vec<sea_orm_migration::prelude::TableCreateStatement>;

fn people() -> Tables {
    vec![
        table(
            "users",
            &["id"],
            [
                text("id"),
                int_null("github_id"),
                text("username"),
                text_null("avatar_url"),
                text_null("email"),
                int("created_at"),
            ],
        ),
        table(
            "teams",
            &["id"],
            [text("id"), text("slug"), text("name"), text("plan_tier"), int("created_at")],
        ),
        table(
            "team_members",
            &["team_id", "user_id"],
            [text("team_id"), text("user_id"), text("role"), int("joined_at")],
        ),
    ]
}

fn keys() -> Tables {
    vec![
        table(
            "api_keys",
            &["team_id", "id"],
            [
                text("team_id"),
                text("id"),
                text("key_hash"),
                text("user_id"),
                text("name"),
                // Separated by spaces: `read`, `sync:write`.
                text("scopes"),
                int("created_at"),
                int_null("expires_at"),
                int_null("last_used_at"),
                int_null("revoked_at"),
            ],
        ),
        table(
            "web_sessions",
            &["id"],
            [
                text("id"),
                text("token_hash"),
                text("user_id"),
                text_null("active_team_id"),
                int("created_at"),
                int("last_seen_at"),
                int("expires_at"),
                int_null("revoked_at"),
            ],
        ),
        table(
            "login_links",
            &["token_hash"],
            [text("token_hash"), text("user_id"), int("created_at"), int("expires_at"), int_null("used_at")],
        ),
        table(
            "team_keys",
            &["team_id", "purpose", "version"],
            [
                text("team_id"),
                // `content`, `blind`
                text("purpose"),
                int("version"),
                text("wrapped"),
                text("kek_id"),
                boolean("active"),
                int("created_at"),
            ],
        ),
        table("kek_state", &["id"], [int("id"), text("active_id"), int("changed_at")]),
    ]
}

fn sessions() -> Tables {
    vec![
        table(
            "repos",
            &["team_id", "id"],
            [text("team_id"), text("id"), text("details"), boolean("sealed"), int("created_at")],
        ),
        table(
            "projects",
            &["team_id", "id"],
            [
                text("team_id"),
                text("id"),
                text_null("repo_id"),
                text("details"),
                boolean("sealed"),
                int("created_at"),
            ],
        ),
        table(
            "sessions",
            &["team_id", "session_id"],
            [
                text("team_id"),
                text("session_id"),
                text("id"),
                text("user_id"),
                text_null("project_id"),
                // JSON, sealed or clear: whatever is known of the session besides its lines.
                text("metadata"),
                boolean("sealed"),
                int_null("started_at"),
                int_null("last_activity_at"),
                counter("line_count"),
                counter("message_count"),
                counter("turn_count"),
                counter("compaction_count"),
                counter("input_tokens"),
                counter("output_tokens"),
                counter("cache_read_tokens"),
                counter("cache_creation_5m_tokens"),
                counter("cache_creation_1h_tokens"),
                // The ordinal that the next stored line gets.
                counter("next_ordinal"),
                // Grows with every change that clients should hear of.
                counter("revision"),
                int("created_at"),
                int("synced_at"),
            ],
        ),
        table(
            "transcripts",
            &["team_id", "session_id", "transcript"],
            [
                text("team_id"),
                text("session_id"),
                text("transcript"),
                counter("next_offset"),
                text_null("last_line_hash"),
                boolean("sealed"),
                // The time of the last line, for lines after it that carry none.
                int_null("last_line_at"),
            ],
        ),
        table(
            "messages",
            &["team_id", "session_id", "transcript", "uuid"],
            [
                text("team_id"),
                text("session_id"),
                text("transcript"),
                text("uuid"),
                int("ordinal"),
                int("line"),
                int("at"),
                // Its list: 0 none (it nests under another), 1 in the message list, 2 among progress
                // lines, 3 and 4 the same of subagents.
                int("place"),
                text("kind"),
                text("line_type"),
                text_null("role"),
                text_null("parent_uuid"),
                text_null("agent_id"),
                text_null("tool_name"),
                text_null("model"),
                int("bytes"),
                boolean("sealed"),
                text("body"),
            ],
        ),
        table(
            "tool_results",
            &["team_id", "session_id", "kind", "call_id", "transcript", "uuid"],
            [
                text("team_id"),
                text("session_id"),
                // `tool`, `mcp`, `exposed`, `hook`
                text("kind"),
                text("call_id"),
                // The line that holds the result.
                text("transcript"),
                text("uuid"),
                int_null("success"),
                int_null("duration_ms"),
                // The subagent that the tool use started.
                text_null("agent_id"),
            ],
        ),
    ]
}

fn counting() -> Tables {
    let tokens = || {
        [
            counter("input_tokens"),
            counter("output_tokens"),
            counter("cache_read_tokens"),
            counter("cache_creation_5m_tokens"),
            counter("cache_creation_1h_tokens"),
        ]
    };
    vec![
        table(
            "message_usage",
            &["team_id", "message_id"],
            [text("team_id"), text("message_id"), text("session_id"), text("model"), int("at")]
                .into_iter()
                .chain(tokens()),
        ),
        table(
            "rollups",
            &["team_id", "hour", "user_id", "project_id", "model", "shard"],
            [
                text("team_id"),
                // The start of the UTC hour, in milliseconds since the epoch.
                int("hour"),
                text("user_id"),
                // Empty where the session has none.
                text("project_id"),
                // Empty for what no model is behind.
                text("model"),
                // Spreads the writers of one hour over several rows; readers sum over it.
                int("shard"),
                counter("sessions"),
                counter("messages"),
                counter("turns"),
                counter("responses"),
            ]
            .into_iter()
            .chain(tokens()),
        ),
        table("outbox_state", &["id"], [int("id"), int("trimmed_seq")]),
    ]
}

const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX users_github_id ON users (github_id)",
    "CREATE UNIQUE INDEX teams_slug ON teams (slug)",
    "CREATE INDEX team_members_user ON team_members (user_id, joined_at)",
    "CREATE UNIQUE INDEX api_keys_hash ON api_keys (key_hash)",
    "CREATE UNIQUE INDEX web_sessions_token ON web_sessions (token_hash)",
    "CREATE UNIQUE INDEX sessions_id ON sessions (team_id, id)",
    "CREATE INDEX sessions_recent ON sessions (team_id, last_activity_at, session_id)",
    "CREATE INDEX sessions_project ON sessions (team_id, project_id, last_activity_at, session_id)",
    "CREATE UNIQUE INDEX messages_ordinal ON messages (team_id, session_id, ordinal)",
    "CREATE INDEX messages_order ON messages (team_id, session_id, place, at, transcript, line)",
];

/// One outbox row for each transaction that changed a session: the session row is written once a batch, so its
/// row trigger is the statement-level one of the batch (docs/adr/0003). `revision` moves only when something
/// happened that clients should see.
const POSTGRES_OUTBOX: &[&str] = &[
    "CREATE TABLE changes (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        xid bigint NOT NULL,
        team_id text NOT NULL,
        table_name text NOT NULL,
        action text NOT NULL,
        session_id text,
        ordinal_from bigint,
        ordinal_to bigint,
        at bigint NOT NULL)",
    "CREATE INDEX changes_at ON changes (at)",
    // SECURITY DEFINER: the app role may write to the outbox only through this function.
    "CREATE FUNCTION han_session_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, ordinal_from, ordinal_to, at)
        VALUES (pg_current_xact_id()::text::bigint, NEW.team_id, 'sessions', lower(TG_OP), NEW.session_id,
            CASE WHEN TG_OP = 'UPDATE' THEN OLD.next_ordinal ELSE 0 END, NEW.next_ordinal, NEW.synced_at)
        RETURNING seq INTO new_seq;
        IF current_setting('han.coalesce', true) IS DISTINCT FROM 'on' THEN
            PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        END IF;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions
        FOR EACH ROW EXECUTE FUNCTION han_session_changed()",
    "CREATE TRIGGER sessions_updated AFTER UPDATE OF revision ON sessions
        FOR EACH ROW WHEN (OLD.revision IS DISTINCT FROM NEW.revision) EXECUTE FUNCTION han_session_changed()",
];

const SQLITE_OUTBOX: &[&str] = &[
    "CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        xid bigint NOT NULL,
        team_id text NOT NULL,
        table_name text NOT NULL,
        action text NOT NULL,
        session_id text,
        ordinal_from bigint,
        ordinal_to bigint,
        at bigint NOT NULL)",
    "CREATE INDEX changes_at ON changes (at)",
    "CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, ordinal_from, ordinal_to, at)
        VALUES (0, NEW.team_id, 'sessions', 'insert', NEW.session_id, 0, NEW.next_ordinal, NEW.synced_at);
    END",
    "CREATE TRIGGER sessions_updated AFTER UPDATE OF revision ON sessions WHEN OLD.revision <> NEW.revision BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, ordinal_from, ordinal_to, at)
        VALUES (0, NEW.team_id, 'sessions', 'update', NEW.session_id, OLD.next_ordinal, NEW.next_ordinal,
            NEW.synced_at);
    END",
];
