//! The audit log: a chain of entries for each team, the end of each chain, and what the pseudonyms in entries mean
//! (docs/adr/0033).

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{bytes, int, table, team, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let log = table(
            "audit_log",
            &["team", "seq"],
            [
                team(),
                // From 1, without gaps.
                int("seq"),
                int("at"),
                text("event"),
                // The text columns from here on are empty where there is nothing to say.
                // A pseudonym.
                text("actor"),
                text("credential"),
                text("credential_id"),
                // A pseudonym.
                text("client"),
                text("request_id"),
                text("subject_kind"),
                // An id, or a pseudonym of a user or a session.
                text("subject"),
                // A JSON object, as it was hashed.
                text("details"),
                // SHA-256 of all this and of the hash of the entry before.
                bytes("hash"),
            ],
        );
        // The last entry of each chain: finds entries that are missing at its end.
        let heads = table("audit_heads", &["team"], [team(), int("seq"), bytes("hash")]);
        // What pseudonyms mean. Rows are deleted with the user or the session that they name.
        let names = table(
            "audit_names",
            &["team", "id"],
            [
                team(),
                // The pseudonym.
                text("id"),
                // `user`, `session`, `address`
                text("kind"),
                text("value"),
                // Whose it is; empty for a session.
                text("user_id"),
            ],
        );
        for statement in [log, heads, names] {
            manager.create_table(statement).await?;
        }
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in if postgres { POSTGRES } else { SQLITE } {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // Whether it is recorded that a member opens a session of another one.
    "ALTER TABLE teams ADD COLUMN audit_reads boolean NOT NULL DEFAULT false",
    // The entries of one member, and the last one about something.
    "CREATE INDEX audit_log_actor ON audit_log (team, actor, event, subject, seq)",
    "CREATE UNIQUE INDEX audit_names_value ON audit_names (team, kind, value, user_id)",
    // Finds what is to be deleted with an account.
    "CREATE INDEX audit_names_user ON audit_names (user_id)",
];

/// Entries are deleted with their team only, and never changed: not even by the system role, or by the account that owns
/// the table.
const POSTGRES: &[&str] = &[
    "INSERT INTO audit_heads (team, seq, hash) SELECT number, 0, decode(repeat('00', 32), 'hex') FROM teams",
    "CREATE FUNCTION han_audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT FROM team_work w JOIN teams t ON t.id = w.team_id
                    WHERE t.number = OLD.team AND w.kind = 'delete') THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'an entry of the audit log is never changed, and deleted with its team only';
    END $$",
    "CREATE TRIGGER audit_log_kept BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION han_audit_kept()",
    "CREATE TRIGGER audit_log_kept_whole BEFORE TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION han_audit_kept()",
];

const SQLITE: &[&str] = &[
    "INSERT INTO audit_heads (team, seq, hash) SELECT number, 0, zeroblob(32) FROM teams",
    "CREATE TRIGGER audit_log_kept_update BEFORE UPDATE ON audit_log BEGIN
        SELECT RAISE(ABORT, 'an entry of the audit log is never changed, and deleted with its team only');
    END",
    "CREATE TRIGGER audit_log_kept_delete BEFORE DELETE ON audit_log
        WHEN NOT EXISTS (SELECT 1 FROM team_work w JOIN teams t ON t.id = w.team_id
            WHERE t.number = OLD.team AND w.kind = 'delete') BEGIN
        SELECT RAISE(ABORT, 'an entry of the audit log is never changed, and deleted with its team only');
    END",
];
