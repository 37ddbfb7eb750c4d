//! Search terms of a segment are one row, as numbers on PostgreSQL (docs/adr/0041). There, all sessions are indexed again;
//! on SQLite those alone that had a segment with several rows.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
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

const POSTGRES: &[&str] = &[
    "TRUNCATE search_terms, search_state",
    // With the columns go the primary key and both indexes.
    "ALTER TABLE search_terms DROP COLUMN part, DROP COLUMN parts, DROP COLUMN terms",
    "ALTER TABLE search_terms ADD COLUMN terms bigint[] NOT NULL,
        ADD PRIMARY KEY (team, session, transcript, first_ordinal)",
    // Terms are hashes, which nothing compresses. Which plan is right does not depend on how frequent they are, and ANALYZE
    // would read them all.
    "ALTER TABLE search_terms ALTER COLUMN terms SET STORAGE EXTERNAL, ALTER COLUMN terms SET STATISTICS 0",
    "CREATE INDEX search_terms_terms ON search_terms USING gin (terms)",
    "DROP FUNCTION han_search(text[], text, text[], text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint)",
    // As in migration 3, but with one query for all segments, which have one row each.
    "CREATE FUNCTION han_search(wanted bigint[], in_session text, in_projects text[], by_user text, from_at bigint,
            to_at bigint, until_at bigint, after_at bigint, after_session bigint, after_transcript bigint,
            after_ordinal bigint, most bigint)
        RETURNS TABLE (session int, transcript smallint, first_ordinal int, last_at bigint, bytes int)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
    DECLARE
        place text := ' ORDER BY t.last_at DESC, t.session DESC, t.transcript DESC, t.first_ordinal DESC LIMIT $12';
        columns text := 't.session, t.transcript, t.first_ordinal, t.last_at';
        wishes text := '';
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
        RETURN QUERY EXECUTE 'SELECT found.*, g.bytes FROM (SELECT ' || columns || ' FROM search_terms t
                WHERE t.team + 0 = $1 AND t.terms @> $2' || wishes || place || '
            ) AS found(session, transcript, first_ordinal, last_at)
            JOIN segments g ON g.team = $1 AND g.session = found.session AND g.transcript = found.transcript
                AND g.first_ordinal = found.first_ordinal
            ORDER BY found.last_at DESC, found.session DESC, found.transcript DESC, found.first_ordinal DESC LIMIT $12'
        USING han_team(), wanted, in_session, in_projects, by_user, from_at, to_at, until_at, after_at, after_session,
            after_transcript, most, after_ordinal;
    END $$",
];

const SQLITE: &[&str] = &[
    "DELETE FROM search_state WHERE (team, session) IN (SELECT team, session FROM search_terms WHERE parts > 1)",
    "DELETE FROM search_terms WHERE parts > 1",
    "DROP INDEX search_terms_key",
    "ALTER TABLE search_terms DROP COLUMN part",
    "ALTER TABLE search_terms DROP COLUMN parts",
    "CREATE UNIQUE INDEX search_terms_key ON search_terms (team, session, transcript, first_ordinal)",
];
