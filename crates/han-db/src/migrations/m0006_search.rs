//! Searching: the blind terms of lines, how far each session is indexed, and the function that reads terms on
//! PostgreSQL, where the app role may not: under row-level security a GIN index is not used, since its operators are
//! not leakproof.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, table, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let state = table(
            "search_state",
            &["team_id", "session_id"],
            // The lines before this ordinal are indexed.
            [text("team_id"), text("session_id"), counter("indexed_ordinal")],
        );
        manager.create_table(state).await?;
        let db = manager.get_connection();
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        for statement in statements {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// A line of very many words has several rows (`parts`), as a tsvector holds at most a megabyte. They are few, and have an
/// index of their own.
const POSTGRES: &[&str] = &[
    "CREATE TABLE search_terms (
        team_id text NOT NULL,
        session_id text NOT NULL,
        transcript text NOT NULL,
        uuid text NOT NULL,
        part bigint NOT NULL,
        parts bigint NOT NULL,
        at bigint NOT NULL,
        terms tsvector NOT NULL,
        PRIMARY KEY (team_id, session_id, transcript, uuid, part))",
    "CREATE INDEX search_terms_whole ON search_terms USING gin (terms) WHERE parts = 1",
    "CREATE INDEX search_terms_parts ON search_terms USING gin (terms) WHERE parts > 1",
    "CREATE FUNCTION han_search(wanted text[], in_session text, in_project text, by_user text, from_at bigint,
            to_at bigint, after_at bigint, after_session text, after_transcript text, after_uuid text, most bigint)
        RETURNS TABLE (session_id text, transcript text, uuid text, at bigint)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        team text := current_setting('han.team_id', true);
        all_of tsquery := array_to_string(wanted, ' & ')::tsquery;
    BEGIN
        RETURN QUERY
        WITH found AS (
            SELECT t.session_id, t.transcript, t.uuid, t.at FROM search_terms t
            WHERE t.parts = 1 AND t.terms @@ all_of AND t.team_id = team
              AND (in_session IS NULL OR t.session_id = in_session)
            UNION ALL
            SELECT t.session_id, t.transcript, t.uuid, t.at
            FROM unnest(wanted) AS w(term) JOIN search_terms t ON t.terms @@ w.term::tsquery
            WHERE t.parts > 1 AND t.team_id = team AND (in_session IS NULL OR t.session_id = in_session)
            GROUP BY t.session_id, t.transcript, t.uuid, t.at
            HAVING count(DISTINCT w.term) = cardinality(wanted))
        SELECT f.session_id, f.transcript, f.uuid, f.at
        FROM found f JOIN sessions s ON s.team_id = team AND s.session_id = f.session_id
        WHERE (in_project IS NULL OR s.project_id = in_project) AND (by_user IS NULL OR s.user_id = by_user)
          AND (from_at IS NULL OR f.at >= from_at) AND (to_at IS NULL OR f.at < to_at)
          AND (after_at IS NULL
            OR (f.at, f.session_id, f.transcript, f.uuid) < (after_at, after_session, after_transcript, after_uuid))
        ORDER BY f.at DESC, f.session_id COLLATE \"C\" DESC, f.transcript COLLATE \"C\" DESC, f.uuid COLLATE \"C\" DESC
        LIMIT most;
    END $$",
    "CREATE FUNCTION han_search_forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    BEGIN
        DELETE FROM search_terms WHERE team_id = OLD.team_id AND session_id = OLD.session_id;
        DELETE FROM search_state WHERE team_id = OLD.team_id AND session_id = OLD.session_id;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER sessions_forget_terms AFTER DELETE ON sessions
        FOR EACH ROW EXECUTE FUNCTION han_search_forget()",
];

/// FTS5 holds the terms alone (contentless, without positions), by the id of their row here.
const SQLITE: &[&str] = &[
    "CREATE TABLE search_terms (
        id INTEGER PRIMARY KEY,
        team_id text NOT NULL,
        session_id text NOT NULL,
        transcript text NOT NULL,
        uuid text NOT NULL,
        part bigint NOT NULL,
        parts bigint NOT NULL,
        at bigint NOT NULL)",
    "CREATE UNIQUE INDEX search_terms_key ON search_terms (team_id, session_id, transcript, uuid, part)",
    "CREATE VIRTUAL TABLE search_fts USING fts5(terms, content='', contentless_delete=1, detail=none,
        tokenize='ascii')",
    "CREATE TRIGGER search_terms_forget AFTER DELETE ON search_terms BEGIN
        DELETE FROM search_fts WHERE rowid = OLD.id;
    END",
    "CREATE TRIGGER sessions_forget_terms AFTER DELETE ON sessions BEGIN
        DELETE FROM search_terms WHERE team_id = OLD.team_id AND session_id = OLD.session_id;
        DELETE FROM search_state WHERE team_id = OLD.team_id AND session_id = OLD.session_id;
    END",
];
