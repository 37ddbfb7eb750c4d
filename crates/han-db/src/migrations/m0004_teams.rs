//! Invites, the rotation of keys, and the publication of rights that end: a server that holds a connection open for a
//! person hears at once that a membership, a key or a browser's session of theirs has changed.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager, TableCreateStatement};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, int, int_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in tables() {
            manager.create_table(statement).await?;
        }
        let db = manager.get_connection();
        for statement in ALTERATIONS {
            db.execute_unprepared(statement).await?;
        }
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        if postgres {
            db.execute_unprepared(POSTGRES_ACCESS_CHANGED).await?;
        }
        for ending in ENDINGS {
            let sql = if postgres { ending.postgres() } else { ending.sqlite() };
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

fn tables() -> [TableCreateStatement; 2] {
    [
        table(
            "team_invites",
            &["team_id", "id"],
            [
                text("team_id"),
                text("id"),
                // SHA-256 of the code, in hexadecimal digits.
                text("code_hash"),
                // Whom it was meant for; any user with the code may use it.
                text("email"),
                text("invited_by"),
                int("created_at"),
                int("expires_at"),
                text_null("used_by"),
                int_null("used_at"),
                int_null("revoked_at"),
            ],
        ),
        table(
            "invite_attempts",
            &["user_id"],
            [
                text("user_id"),
                // Wrong codes since `began_at`.
                counter("failures"),
                int("began_at"),
                int_null("locked_until"),
            ],
        ),
    ]
}

const ALTERATIONS: &[&str] = &[
    "CREATE UNIQUE INDEX team_invites_code ON team_invites (code_hash)",
    // The key that a rotation put in this one's place.
    "ALTER TABLE api_keys ADD COLUMN replaced_by text",
    // Whose rights changed; null where the change is a session's.
    "ALTER TABLE changes ADD COLUMN user_id text",
];

/// What may end a right: that a row of `table` goes, or that one of its columns `watched` changes. When a key or a
/// session was last used moves all the time and ends nothing.
pub(super) struct Ending {
    pub(super) table: &'static str,
    pub(super) watched: &'static [&'static str],
    /// What a person is signed in with belongs to no team.
    pub(super) of_team: bool,
}

const ENDINGS: &[Ending] = &[
    Ending { table: "team_members", watched: &["role"], of_team: true },
    Ending { table: "api_keys", watched: &["revoked_at", "expires_at"], of_team: true },
    Ending { table: "web_sessions", watched: &["revoked_at", "active_team_id"], of_team: false },
];

impl Ending {
    pub(super) fn postgres(&self) -> String {
        let Self { table, watched, .. } = self;
        let watched: Vec<String> = watched.iter().map(|column| format!("'{column}'")).collect();
        format!(
            "CREATE TRIGGER {table}_access AFTER UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION han_access_changed({})",
            watched.join(", ")
        )
    }

    /// The time is the database's own, since a deleted row brings none; it only determines when the outbox row may go.
    pub(super) fn sqlite(&self) -> String {
        let Self { table, watched, of_team } = self;
        let team = if *of_team { "OLD.team_id" } else { "''" };
        let changed: Vec<String> = watched.iter().map(|c| format!("OLD.{c} IS NOT NEW.{c}")).collect();
        let trigger = |action: &str, when: &str| {
            format!(
                "CREATE TRIGGER {table}_access_{action} AFTER {action} ON {table} {when} BEGIN
                    INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
                    VALUES (0, {team}, '{table}', '{action}', OLD.user_id,
                        CAST(unixepoch('subsec') * 1000 AS INTEGER));
                END;"
            )
        };
        trigger("update", &format!("WHEN {}", changed.join(" OR "))) + &trigger("delete", "")
    }
}

/// Rights end rarely, and then every replica must hear of it at once: this trigger always notifies, whatever the
/// transaction says about coalescing. Its arguments are the watched columns. SECURITY DEFINER: see
/// `han_session_changed`.
const POSTGRES_ACCESS_CHANGED: &str = "CREATE FUNCTION han_access_changed() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        IF TG_OP = 'UPDATE' AND NOT EXISTS (SELECT FROM unnest(TG_ARGV) AS watched
                WHERE to_jsonb(OLD)->watched IS DISTINCT FROM to_jsonb(NEW)->watched) THEN
            RETURN NULL;
        END IF;
        INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
        VALUES (pg_current_xact_id()::text::bigint, COALESCE(to_jsonb(OLD)->>'team_id', ''), TG_TABLE_NAME,
            lower(TG_OP), OLD.user_id, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
        RETURNING seq INTO new_seq;
        PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        RETURN NULL;
    END $$";
