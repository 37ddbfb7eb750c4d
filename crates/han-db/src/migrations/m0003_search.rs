//! Search: the blind terms of segments, how far each session is indexed, and the function that reads terms on PostgreSQL. The
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

/// A segment of very many words has several rows (`parts`), because a tsvector holds at most a megabyte. They are few,
/// and have an index of their own. `first_at` and `last_at` are the segment's.
const POSTGRES: &[&str] = &[
    "CREATE TABLE search_terms (
        team int NOT NULL,
        session int NOT NULL,
        transcript smallint NOT NULL,
        first_ordinal int NOT NULL,
        part smallint NOT NULL,
        parts smallint NOT NULL,
        first_at bigint NOT NULL,
        last_at bigint NOT NULL,
        terms tsvector NOT NULL,
        PRIMARY KEY (team, session, transcript, first_ordinal, part))",
    // Terms are hashes, which nothing compresses.
    "ALTER TABLE search_terms ALTER COLUMN terms SET STORAGE EXTERNAL",
    "CREATE INDEX search_terms_whole ON search_terms USING gin (terms) WHERE parts = 1",
    "CREATE INDEX search_terms_parts ON search_terms USING gin (terms) WHERE parts > 1",
    // Segments are few, so they are always looked up in the index of terms and then sorted (docs/adr/0024). Other plans
    // would be chosen for their few pages, but read the terms, which are stored apart and large: `team + 0` keeps the
    // primary key from being used, and the setting keeps the table from being scanned.
    "CREATE FUNCTION han_search(wanted text[], in_session text, in_projects text[], by_user text, from_at bigint,
            to_at bigint, until_at bigint, after_at bigint, after_session bigint, after_transcript bigint,
            after_ordinal bigint, most bigint)
        RETURNS TABLE (session int, transcript smallint, first_ordinal int, last_at bigint, bytes int)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
    DECLARE
        place text := ' ORDER BY t.last_at DESC, t.session DESC, t.transcript DESC, t.first_ordinal DESC LIMIT $12';
        columns text := 't.session, t.transcript, t.first_ordinal, t.last_at';
        wishes text := '';
        quoted text[] := ARRAY(SELECT quote_literal(w.term) FROM unnest(wanted) AS w(term));
    BEGIN
        IF in_session IS NOT NULL THEN
            wishes := wishes || ' AND t.session = (SELECT number FROM sessions WHERE team = $1 AND session_id = $3)';
        END IF;
        IF in_projects IS NOT NULL OR by_user IS NOT NULL THEN
            wishes := wishes || ' AND EXISTS (SELECT 1 FROM sessions s WHERE s.team = t.team AND s.number = t.session'
                || CASE WHEN in_projects IS NOT NULL THEN ' AND s.project_id = ANY($4)' ELSE '' END
                || CASE WHEN by_user IS NOT NULL THEN ' AND s.user_id = $5' ELSE '' END || ')';
        END IF;
        IF from_at IS NOT NULL THEN wishes := wishes || ' AND t.last_at >= $6'; END IF;
        IF to_at IS NOT NULL THEN wishes := wishes || ' AND t.first_at < $7'; END IF;
        IF until_at IS NOT NULL THEN wishes := wishes || ' AND t.first_at <= $8'; END IF;
        IF after_at IS NOT NULL THEN
            wishes := wishes
                || ' AND (t.last_at, t.session, t.transcript, t.first_ordinal) < ($9, $10::int, $11::smallint, $13::int)';
        END IF;
        RETURN QUERY EXECUTE 'SELECT found.*, g.bytes FROM (
            (SELECT ' || columns || ' FROM search_terms t
                WHERE t.parts = 1 AND t.team + 0 = $1 AND t.terms @@ $2' || wishes || place || ')
            UNION ALL
            (SELECT ' || columns || ' FROM unnest($14) AS w(term)
                JOIN search_terms t ON t.parts > 1 AND t.terms @@ w.term::tsquery
                WHERE t.team + 0 = $1' || wishes || '
                GROUP BY ' || columns || ' HAVING count(DISTINCT w.term) = cardinality($14)' || place || ')
            ) AS found(session, transcript, first_ordinal, last_at)
            JOIN segments g ON g.team = $1 AND g.session = found.session AND g.transcript = found.transcript
                AND g.first_ordinal = found.first_ordinal
            ORDER BY found.last_at DESC, found.session DESC, found.transcript DESC, found.first_ordinal DESC LIMIT $12'
        USING han_team(), array_to_string(quoted, ' & ')::tsquery, in_session, in_projects, by_user, from_at, to_at,
            until_at, after_at, after_session, after_transcript, most, after_ordinal, quoted;
    END $$",
    // A team's own search key, for a role that may read no keys.
    "CREATE FUNCTION han_search_key() RETURNS TABLE (purpose text, version bigint, wrapped text, active boolean)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
        SELECT k.purpose, k.version, k.wrapped, k.active FROM team_keys k
        WHERE k.team_id = (SELECT t.id FROM teams t WHERE t.number = han_team()) AND k.purpose = 'search' AND k.active
    $$",
    // The terms of a segment go with it.
    "CREATE FUNCTION han_segment_terms_forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    BEGIN
        DELETE FROM search_terms t USING gone WHERE t.team = gone.team AND t.session = gone.session
            AND t.transcript = gone.transcript AND t.first_ordinal = gone.first_ordinal;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER segments_forget_terms AFTER DELETE ON segments REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION han_segment_terms_forget()",
    "CREATE FUNCTION han_search_forget() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path FROM CURRENT AS $$
    BEGIN
        DELETE FROM search_state WHERE team = OLD.team AND session = OLD.number;
        RETURN NULL;
    END $$",
    "CREATE TRIGGER sessions_forget_search AFTER DELETE ON sessions
        FOR EACH ROW EXECUTE FUNCTION han_search_forget()",
];

/// FTS5 holds the terms alone (contentless, without positions), by the id of their row here. Its tokenizer ignores the
/// case of a term, which leaves 57 of its 64 bits.
const SQLITE: &[&str] = &[
    "CREATE TABLE search_terms (
        id INTEGER PRIMARY KEY,
        team int NOT NULL,
        session int NOT NULL,
        transcript smallint NOT NULL,
        first_ordinal int NOT NULL,
        part smallint NOT NULL,
        parts smallint NOT NULL,
        first_at bigint NOT NULL,
        last_at bigint NOT NULL)",
    "CREATE UNIQUE INDEX search_terms_key ON search_terms (team, session, transcript, first_ordinal, part)",
    "CREATE VIRTUAL TABLE search_fts USING fts5(terms, content='', contentless_delete=1, detail=none,
        tokenize=\"ascii tokenchars '-_'\")",
    "CREATE TRIGGER search_terms_forget AFTER DELETE ON search_terms BEGIN
        DELETE FROM search_fts WHERE rowid = OLD.id;
    END",
    "CREATE TRIGGER segments_forget_terms AFTER DELETE ON segments BEGIN
        DELETE FROM search_terms WHERE team = OLD.team AND session = OLD.session AND transcript = OLD.transcript
            AND first_ordinal = OLD.first_ordinal;
    END",
    "CREATE TRIGGER sessions_forget_search AFTER DELETE ON sessions BEGIN
        DELETE FROM search_state WHERE team = OLD.team AND session = OLD.number;
    END",
];
