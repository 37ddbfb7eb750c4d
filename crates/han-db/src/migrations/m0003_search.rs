//! Search: the blind terms of lines, how far each session is indexed, and the function that reads terms on PostgreSQL. The
//! app role may not read them itself: under row-level security a GIN index is not used, because its operators are not
//! leakproof.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, session, table, team};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let state = table(
            "search_state",
            &["team", "session"],
            // The lines before this ordinal are indexed.
            [team(), session(), counter("indexed_ordinal")],
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

/// A line of very many words has several rows (`parts`), because a tsvector holds at most a megabyte. They are few, and
/// have an index of their own.
const POSTGRES: &[&str] = &[
    "CREATE TABLE search_terms (
        team int NOT NULL,
        session int NOT NULL,
        ordinal int NOT NULL,
        part int NOT NULL,
        parts int NOT NULL,
        at bigint NOT NULL,
        terms tsvector NOT NULL,
        PRIMARY KEY (team, session, ordinal, part))",
    "CREATE INDEX search_terms_whole ON search_terms USING gin (terms) WHERE parts = 1",
    "CREATE INDEX search_terms_parts ON search_terms USING gin (terms) WHERE parts > 1",
    "CREATE INDEX search_terms_recent ON search_terms (team, at) WHERE parts = 1",
    // Planned each time, with the words at hand. Lines with a common word are found by reading from the newest one; lines
    // with a rare word are looked up and sorted. PostgreSQL's statistics determine which is cheaper. Equal times are
    // ordered by text ids, because numbers must not show in an order.
    "CREATE FUNCTION han_search(wanted text[], in_session text, in_project text, by_user text, from_at bigint,
            to_at bigint, after_at bigint, after_session text, after_transcript text, after_uuid text, most bigint)
        RETURNS TABLE (session_id text, transcript text, uuid text, at bigint)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        uuid_of text := 'COALESCE(m.uuid_text, encode(m.uuid, ''hex'')::uuid::text) COLLATE \"C\"';
        place text := ' ORDER BY t.at DESC, s.session_id DESC, f.name DESC, ' || uuid_of || ' DESC LIMIT $12';
        columns text := 's.session_id, f.name, ' || uuid_of || ', t.at';
        joined text := ' JOIN sessions s ON s.team = t.team AND s.number = t.session
            JOIN messages m ON m.team = t.team AND m.session = t.session AND m.ordinal = t.ordinal
            JOIN transcripts f ON f.team = m.team AND f.session = m.session AND f.number = m.transcript ';
        wishes text := '';
    BEGIN
        IF in_session IS NOT NULL THEN
            wishes := wishes || ' AND t.session = (SELECT number FROM sessions WHERE team = $1 AND session_id = $3)';
        END IF;
        IF in_project IS NOT NULL THEN wishes := wishes || ' AND s.project_id = $4'; END IF;
        IF by_user IS NOT NULL THEN wishes := wishes || ' AND s.user_id = $5'; END IF;
        IF from_at IS NOT NULL THEN wishes := wishes || ' AND t.at >= $6'; END IF;
        IF to_at IS NOT NULL THEN wishes := wishes || ' AND t.at < $7'; END IF;
        IF after_at IS NOT NULL THEN
            wishes := wishes || ' AND t.at <= $8
                AND (t.at < $8 OR (s.session_id, f.name, ' || uuid_of || ') < ($9, $10, $11))';
        END IF;
        RETURN QUERY EXECUTE 'SELECT found.* FROM (
            (SELECT ' || columns || ' FROM search_terms t' || joined || '
                WHERE t.parts = 1 AND t.team = $1 AND t.terms @@ $2' || wishes || place || ')
            UNION ALL
            (SELECT ' || columns || ' FROM unnest($13) AS w(term)
                JOIN search_terms t ON t.parts > 1 AND t.terms @@ w.term::tsquery' || joined || '
                WHERE t.team = $1' || wishes || '
                GROUP BY ' || columns || ' HAVING count(DISTINCT w.term) = cardinality($13)' || place || ')
            ) AS found(session_id, transcript, uuid, at)
            ORDER BY found.at DESC, found.session_id DESC, found.transcript DESC, found.uuid DESC LIMIT $12'
        USING han_team(), array_to_string(wanted, ' & ')::tsquery, in_session, in_project, by_user, from_at, to_at,
            after_at, after_session, after_transcript, after_uuid, most, wanted;
    END $$",
    // A team's own search key, for a role that may read no keys.
    "CREATE FUNCTION han_search_key() RETURNS TABLE (purpose text, version bigint, wrapped text, active boolean)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        SELECT k.purpose, k.version, k.wrapped, k.active FROM team_keys k
        WHERE k.team_id = (SELECT t.id FROM teams t WHERE t.number = han_team()) AND k.purpose = 'search' AND k.active
    $$",
    "CREATE FUNCTION han_search_forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    BEGIN
        DELETE FROM search_terms WHERE team = OLD.team AND session = OLD.number;
        DELETE FROM search_state WHERE team = OLD.team AND session = OLD.number;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER sessions_forget_terms AFTER DELETE ON sessions
        FOR EACH ROW EXECUTE FUNCTION han_search_forget()",
];

/// FTS5 holds the terms alone (contentless, without positions), by the id of their row here.
const SQLITE: &[&str] = &[
    "CREATE TABLE search_terms (
        id INTEGER PRIMARY KEY,
        team int NOT NULL,
        session int NOT NULL,
        ordinal int NOT NULL,
        part int NOT NULL,
        parts int NOT NULL,
        at bigint NOT NULL)",
    "CREATE UNIQUE INDEX search_terms_key ON search_terms (team, session, ordinal, part)",
    "CREATE VIRTUAL TABLE search_fts USING fts5(terms, content='', contentless_delete=1, detail=none,
        tokenize='ascii')",
    "CREATE TRIGGER search_terms_forget AFTER DELETE ON search_terms BEGIN
        DELETE FROM search_fts WHERE rowid = OLD.id;
    END",
    "CREATE TRIGGER sessions_forget_terms AFTER DELETE ON sessions BEGIN
        DELETE FROM search_terms WHERE team = OLD.team AND session = OLD.number;
        DELETE FROM search_state WHERE team = OLD.team AND session = OLD.number;
    END",
];
