//! Sessions: the log of their lines (`segments`), its index (`messages`), everything that is derived from lines, totals
//! and rollups. Derived tables can be filled again from the log (`queries::rebuild`).
//!
//! Rows name their team, session and file by numbers, and a line by its ordinal (docs/adr/0014). Texts come from
//! `teams`, `sessions` and `transcripts`.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveMigrationName, SchemaManager, TableCreateStatement,
};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{
    boolean, bytes, bytes_null, code, code_null, counter, int, int_null, number, session, table, team, text,
    text_null,
};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        db.execute_unprepared(&sessions(postgres)).await?;
        let tables = [places(), log(postgres), events(), states(), counting()];
        for statement in tables.into_iter().flatten() {
            manager.create_table(statement).await?;
        }
        let dialect = if postgres { POSTGRES } else { SQLITE };
        for statement in INDEXES.iter().chain(dialect) {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// A session's number is unique among all teams' and never used again. On SQLite only a primary key that is one number
/// can guarantee that.
fn sessions(postgres: bool) -> String {
    let (number, key) = if postgres {
        ("int GENERATED ALWAYS AS IDENTITY", ", PRIMARY KEY (team, number)")
    } else {
        ("INTEGER PRIMARY KEY AUTOINCREMENT", "")
    };
    let counters: String =
        SESSION_COUNTERS.iter().map(|name| format!(", {name} bigint NOT NULL DEFAULT 0")).collect();
    format!(
        "CREATE TABLE sessions (
            team int NOT NULL,
            number {number},
            session_id text NOT NULL,
            id text NOT NULL,
            user_id text NOT NULL,
            project_id text,
            -- JSON, sealed or plaintext: everything known of the session besides its lines.
            metadata text NOT NULL,
            sealed boolean NOT NULL,
            started_at bigint,
            last_activity_at bigint,
            -- The ordinal of the next line in the log.
            next_ordinal bigint NOT NULL DEFAULT 0,
            -- Grows with every change that clients are notified of.
            revision bigint NOT NULL DEFAULT 0,
            created_at bigint NOT NULL,
            synced_at bigint NOT NULL{counters}{key})"
    )
}

/// The totals of a session.
const SESSION_COUNTERS: &[&str] = &[
    "line_count",
    "message_count",
    "turn_count",
    "compaction_count",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_5m_tokens",
    "cache_creation_1h_tokens",
    "tool_use_count",
    "file_change_count",
    "lines_added",
    "lines_removed",
    "task_count",
    "task_done_count",
    "sentiment_count",
    "sentiment_sum",
];

fn places() -> Vec<TableCreateStatement> {
    vec![
        table(
            "repos",
            &["team", "id"],
            [team(), text("id"), text("details"), boolean("sealed"), int("created_at")],
        ),
        table(
            "projects",
            &["team", "id"],
            [team(), text("id"), text_null("repo_id"), text("details"), boolean("sealed"), int("created_at")],
        ),
        table(
            "labels",
            &["team", "id"],
            [team(), text("id"), boolean("sealed"), text("label"), int("created_at")],
        ),
        table("deleted_sessions", &["team", "session_id"], [team(), text("session_id"), int("deleted_at")]),
    ]
}

fn log(postgres: bool) -> Vec<TableCreateStatement> {
    let segment_key = ["team", "session", "transcript", "first_ordinal"];
    let keys = || [bytes_null("nonce"), bytes_null("wrapped_dek")];
    let mut segments = vec![
        team(),
        session(),
        code("transcript"),
        number("first_ordinal"),
        number("last_ordinal"),
        // The range of physical line numbers, both inclusive.
        number("min_line"),
        number("max_line"),
        number("lines"),
        // The size of its content, decompressed.
        number("bytes"),
        int("first_at"),
        int("last_at"),
        boolean("sealed"),
        bytes("body"),
    ];
    if postgres {
        segments.extend(keys());
    }
    let mut tables = vec![
        table(
            "transcripts",
            &["team", "session", "number"],
            [
                team(),
                session(),
                // `han` is 0, `main` is 1, so that the order of the two listed files is that of their names; other files
                // are numbered as they arrive.
                code("number"),
                text("name"),
                counter("next_offset"),
                // The line after the last one that is in the log. Greater than `next_offset` after a file was truncated.
                counter("end_line"),
                text_null("last_line_hash"),
                boolean("sealed"),
                // The time of the last line, for lines after it without a time.
                int_null("last_line_at"),
            ],
        ),
        table("segments", &segment_key, segments),
        table(
            "messages",
            &["team", "session", "ordinal"],
            [
                team(),
                session(),
                // The entry of the log that holds the line.
                number("ordinal"),
                code("transcript"),
                number("line"),
                // The uuid in 16 bytes; of another id, its UUIDv5, and the id in `uuid_text`.
                bytes("uuid"),
                text_null("uuid_text"),
                int("at"),
                // `MessagePosition`: 0 nested, 1 listed, 2 progress, 3 and 4 the same of subagents.
                code("place"),
                // The position in `MessageKind::ALL`.
                code("kind"),
                number("bytes"),
                text_null("agent_id"),
                text_null("tool_name"),
                text_null("model"),
            ],
        ),
    ];
    if !postgres {
        // SQLite writes a row as a whole: a re-wrapped key must not rewrite the body.
        let mut columns = vec![team(), session(), code("transcript"), number("first_ordinal")];
        columns.extend([bytes("nonce"), bytes("wrapped_dek")]);
        tables.push(table("segment_keys", &segment_key, columns));
    }
    tables
}

/// The place of a line in the order of its session: (at, transcript, line).
fn place() -> [ColumnDef; 3] {
    [int("at"), code("transcript"), number("line")]
}

/// One row for each thing that a line reports: appended, keyed by the line.
fn events() -> Vec<TableCreateStatement> {
    let line = || [team(), session(), number("ordinal")].into_iter();
    vec![
        table(
            "tool_results",
            &["team", "session", "kind", "call", "ordinal"],
            line().chain([
                // See `queries::tool_results`.
                code("kind"),
                // The first 16 bytes of the SHA-256 of the call's id.
                bytes("call"),
                code_null("success"),
                int_null("duration_ms"),
                // The subagent that the tool use started.
                text_null("agent_id"),
                text_null("file_action"),
            ]),
        ),
        table(
            "subagent_starts",
            &["team", "session", "call", "agent_id"],
            [team(), session(), bytes("call"), text("agent_id")],
        ),
        table(
            "file_changes",
            &["team", "session", "ordinal", "n"],
            line()
                .chain([
                    // The number of the change within its line.
                    code("n"),
                ])
                .chain(place())
                .chain([
                    bytes("call"),
                    text("tool_name"),
                    // `created`, `modified`, `deleted`: as the result of its call says, otherwise as its input promises.
                    text("action"),
                    // The result of its call says that nothing was changed.
                    boolean("failed"),
                    int("lines_added"),
                    int("lines_removed"),
                    boolean("sealed"),
                    text("path"),
                ]),
        ),
        table(
            "hook_executions",
            &["team", "session", "ordinal"],
            line().chain(place()).chain([
                // Whether a run began here; otherwise a hook ended here.
                boolean("is_run"),
                text_null("run_id"),
                // Ids of labels.
                text("hook"),
                text_null("plugin"),
                text_null("hook_type"),
                text_null("directory"),
                code_null("success"),
                int_null("duration_ms"),
                int_null("exit_code"),
                code_null("cached"),
            ]),
        ),
        table(
            "sentiments",
            &["team", "session", "ordinal"],
            line().chain(place()).chain([
                text_null("message_id"),
                // Scores in thousandths.
                int_null("sentiment"),
                int_null("frustration"),
                text_null("sentiment_level"),
                text_null("frustration_level"),
                boolean("sealed"),
                // JSON: the signals of the sentiment.
                text("signals"),
            ]),
        ),
        table(
            "task_events",
            &["team", "session", "ordinal", "kind", "n"],
            line()
                .chain([
                    // `han`, `native`
                    text("kind"),
                    code("n"),
                ])
                .chain(place())
                .chain([
                    bytes_null("call"),
                    boolean("sealed"),
                    // JSON: what happened.
                    text("event"),
                ]),
        ),
    ]
}

/// One row for each thing that lines describe together: its current state.
fn states() -> Vec<TableCreateStatement> {
    vec![
        table(
            "tasks",
            &["team", "session", "task_id"],
            [
                team(),
                session(),
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
            &["team", "session", "task_id"],
            [
                team(),
                session(),
                text("task_id"),
                // `pending`, `in_progress`, `completed`, `deleted`, or `other` with the word itself in `details`.
                text("status"),
                int("created_at"),
                int("updated_at"),
                int_null("completed_at"),
                // The line that created it.
                number("ordinal"),
                boolean("sealed"),
                text("details"),
            ],
        ),
        table(
            "todos",
            &["team", "session"],
            [
                team(),
                session(),
                // The line that wrote the list: the latest counts.
                int("at"),
                text("transcript"),
                number("line"),
                int("pending"),
                int("in_progress"),
                int("completed"),
                boolean("sealed"),
                // JSON: the list.
                text("items"),
            ],
        ),
    ]
}

fn tokens() -> [ColumnDef; 5] {
    [
        counter("input_tokens"),
        counter("output_tokens"),
        counter("cache_read_tokens"),
        counter("cache_creation_5m_tokens"),
        counter("cache_creation_1h_tokens"),
    ]
}

fn counting() -> Vec<TableCreateStatement> {
    vec![
        // One row for each answer and session that has lines of it. See `queries::ingest::answers`.
        table(
            "answer_copies",
            &["team", "session", "copy"],
            [
                team(),
                session(),
                // The answer within its session, in 16 bytes.
                bytes("copy"),
                // The answer within its team, in 16 bytes.
                bytes("answer"),
                // Whether it counts for this session.
                boolean("owner"),
                // Its first line: the time, and the number in its file.
                int("at"),
                number("line"),
                number("fork_depth"),
                int_null("file_created_at"),
                text("model"),
            ]
            .into_iter()
            .chain(tokens()),
        ),
        table(
            "session_usage",
            &["team", "session", "model"],
            [team(), session(), text("model"), counter("responses")].into_iter().chain(tokens()),
        ),
        table(
            "rollups",
            &["team", "hour", "user_id", "project_id", "model", "shard"],
            [
                team(),
                // The start of the UTC hour, in milliseconds since the epoch.
                int("hour"),
                text("user_id"),
                // Empty for sessions without a project.
                text("project_id"),
                // Empty for counts that belong to no model.
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
        table(
            "rollup_counts",
            &["team", "hour", "user_id", "project_id", "kind", "key", "shard"],
            [
                team(),
                int("hour"),
                text("user_id"),
                text("project_id"),
                // What is counted: see `queries::ingest::rollup_delta`.
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

/// Each index with the queries that need it.
const INDEXES: &[&str] = &[
    // Pushes, and every query that has a session's id.
    "CREATE UNIQUE INDEX sessions_key ON sessions (team, session_id)",
    // Nodes by row id.
    "CREATE UNIQUE INDEX sessions_id ON sessions (team, id)",
    // The list of sessions, and that of a project.
    "CREATE INDEX sessions_recent ON sessions (team, last_activity_at, session_id)",
    "CREATE INDEX sessions_project ON sessions (team, project_id, last_activity_at, session_id)",
    // A session's file by name; a subagent's session by the name of its file alone.
    "CREATE UNIQUE INDEX transcripts_name ON transcripts (team, name, session)",
    // Segments that a merge may take; merged ones leave the index.
    "CREATE INDEX segments_small ON segments (team, session, transcript, first_ordinal) WHERE bytes < 131072",
    // Messages by key; detects lines that are known.
    "CREATE UNIQUE INDEX messages_key ON messages (team, session, transcript, uuid)",
    // Pages of a session's messages: an index for each `MessagePosition` that is listed. Nested lines are in none, which
    // spares their writes. A query must name the place as a literal (`MessagePosition::is`).
    "CREATE INDEX messages_listed ON messages (team, session, at, transcript, line) WHERE place = 1",
    "CREATE INDEX messages_progress ON messages (team, session, at, transcript, line) WHERE place = 2",
    "CREATE INDEX messages_subagent ON messages (team, session, at, transcript, line) WHERE place = 3",
    "CREATE INDEX messages_subagent_progress ON messages (team, session, at, transcript, line) WHERE place = 4",
    // The result of a call that arrives after it.
    "CREATE INDEX file_changes_call ON file_changes (team, session, call)",
    "CREATE INDEX task_events_call ON task_events (team, session, call)",
    // Pages of a session's file changes.
    "CREATE INDEX file_changes_order ON file_changes (team, session, at, transcript, line, n)",
    // At most one copy of an answer counts; finds it from another session's copy.
    "CREATE UNIQUE INDEX answer_copies_owner ON answer_copies (team, answer) WHERE owner",
    // The other copies, which are few.
    "CREATE INDEX answer_copies_others ON answer_copies (team, answer) WHERE NOT owner",
];

/// One outbox row for each transaction that changed a session: the session row is written once for each batch, so its
/// row trigger is the statement-level one of the batch (docs/adr/0003). `revision` grows only with changes that clients
/// should see. The deletion of a session is published like its changes.
const POSTGRES: &[&str] = &[
    // Bodies are compressed: PostgreSQL need not try.
    "ALTER TABLE segments ALTER COLUMN body SET STORAGE EXTERNAL",
    // SECURITY DEFINER: the app role may write to the outbox only through this function.
    "CREATE FUNCTION han_session_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, ordinal_from, ordinal_to, at)
        VALUES (pg_current_xact_id()::text::bigint, (SELECT id FROM teams WHERE number = NEW.team), 'sessions',
            lower(TG_OP), NEW.session_id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.next_ordinal ELSE 0 END,
            NEW.next_ordinal, NEW.synced_at)
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
    "CREATE FUNCTION han_session_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, at)
        VALUES (pg_current_xact_id()::text::bigint, (SELECT id FROM teams WHERE number = NEW.team), 'sessions',
            'delete', NEW.session_id, NEW.deleted_at)
        RETURNING seq INTO new_seq;
        IF current_setting('han.coalesce', true) IS DISTINCT FROM 'on' THEN
            PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        END IF;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER sessions_deleted AFTER INSERT ON deleted_sessions
        FOR EACH ROW EXECUTE FUNCTION han_session_deleted()",
    // The app role may not read `users`. The condition limits what it sees: members, and the owners of sessions.
    "CREATE FUNCTION han_people(ids text[])
        RETURNS TABLE (id text, username text, avatar_url text, email text, created_at bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        SELECT u.id, u.username, u.avatar_url, u.email, u.created_at FROM users u
        WHERE u.id = ANY(ids) AND (
            EXISTS (SELECT 1 FROM team_members m WHERE m.team = han_team() AND m.user_id = u.id)
            OR EXISTS (SELECT 1 FROM sessions s WHERE s.team = han_team() AND s.user_id = u.id))
    $$",
    "REVOKE ALL ON FUNCTION han_people(text[]) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION han_people(text[]) TO han_app",
];

const SQLITE: &[&str] = &[
    "CREATE TRIGGER segments_forget_keys AFTER DELETE ON segments BEGIN
        DELETE FROM segment_keys WHERE team = OLD.team AND session = OLD.session AND transcript = OLD.transcript
            AND first_ordinal = OLD.first_ordinal;
    END",
    "CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, ordinal_from, ordinal_to, at)
        VALUES (0, (SELECT id FROM teams WHERE number = NEW.team), 'sessions', 'insert', NEW.session_id, 0,
            NEW.next_ordinal, NEW.synced_at);
    END",
    "CREATE TRIGGER sessions_updated AFTER UPDATE OF revision ON sessions WHEN OLD.revision <> NEW.revision BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, ordinal_from, ordinal_to, at)
        VALUES (0, (SELECT id FROM teams WHERE number = NEW.team), 'sessions', 'update', NEW.session_id,
            OLD.next_ordinal, NEW.next_ordinal, NEW.synced_at);
    END",
    "CREATE TRIGGER sessions_deleted AFTER INSERT ON deleted_sessions BEGIN
        INSERT INTO changes (xid, team_id, table_name, action, session_id, at)
        VALUES (0, (SELECT id FROM teams WHERE number = NEW.team), 'sessions', 'delete', NEW.session_id,
            NEW.deleted_at);
    END",
];
