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
    "CREATE INDEX search_terms_recent ON search_terms (team_id, at, session_id, transcript, uuid)
        WHERE parts = 1",
    // Planned each time, with the words at hand: lines that hold a common word are met by walking from the newest,
    // those that hold a rare one are looked up and sorted. Which is cheaper PostgreSQL knows from its statistics.
    "CREATE FUNCTION han_search(wanted text[], in_session text, in_project text, by_user text, from_at bigint,
            to_at bigint, after_at bigint, after_session text, after_transcript text, after_uuid text, most bigint)
        RETURNS TABLE (session_id text, transcript text, uuid text, at bigint)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        place text := ' ORDER BY t.at DESC, t.session_id DESC, t.transcript DESC, t.uuid DESC LIMIT $12';
        columns text := 't.session_id, t.transcript, t.uuid, t.at';
        wishes text := '';
    BEGIN
        IF in_session IS NOT NULL THEN wishes := wishes || ' AND t.session_id = $3'; END IF;
        IF in_project IS NOT NULL OR by_user IS NOT NULL THEN
            wishes := wishes || ' AND EXISTS (SELECT FROM sessions s WHERE s.team_id = $1
                AND s.session_id = t.session_id AND ($4 IS NULL OR s.project_id = $4)
                AND ($5 IS NULL OR s.user_id = $5))';
        END IF;
        IF from_at IS NOT NULL THEN wishes := wishes || ' AND t.at >= $6'; END IF;
        IF to_at IS NOT NULL THEN wishes := wishes || ' AND t.at < $7'; END IF;
        IF after_at IS NOT NULL THEN
            wishes := wishes || ' AND (t.at, t.session_id, t.transcript, t.uuid) < ($8, $9, $10, $11)';
        END IF;
        RETURN QUERY EXECUTE 'SELECT * FROM (
            (SELECT ' || columns || ' FROM search_terms t
                WHERE t.parts = 1 AND t.team_id = $1 AND t.terms @@ $2' || wishes || place || ')
            UNION ALL
            (SELECT ' || columns || ' FROM unnest($13) AS w(term)
                JOIN search_terms t ON t.parts > 1 AND t.terms @@ w.term::tsquery
                WHERE t.team_id = $1' || wishes || '
                GROUP BY ' || columns || ' HAVING count(DISTINCT w.term) = cardinality($13)' || place || ')
            ) AS t' || place
        USING current_setting('han.team_id', true), array_to_string(wanted, ' & ')::tsquery, in_session,
            in_project, by_user, from_at, to_at, after_at, after_session, after_transcript, after_uuid, most, wanted;
    END $$",
    // A team's own search key, for a role that may read no keys.
    "CREATE FUNCTION han_search_key() RETURNS TABLE (purpose text, version bigint, wrapped text, active boolean)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        SELECT k.purpose, k.version, k.wrapped, k.active FROM team_keys k
        WHERE k.team_id = current_setting('han.team_id', true) AND k.purpose = 'search' AND k.active
    $$",
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
