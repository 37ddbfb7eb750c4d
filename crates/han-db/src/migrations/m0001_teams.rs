//! People, teams, memberships and invites; keys; credentials and signing in; the outbox, into which the changes of
//! rights are written.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager, TableCreateStatement};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{boolean, counter, int, int_null, table, team, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in if postgres { POSTGRES_TABLES } else { SQLITE_TABLES } {
            db.execute_unprepared(statement).await?;
        }
        for statement in people().into_iter().chain(keys()).chain(signing_in()) {
            manager.create_table(statement).await?;
        }
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        if postgres {
            for statement in POSTGRES_FUNCTIONS {
                db.execute_unprepared(statement).await?;
            }
        }
        for ending in ENDINGS {
            let sql = if postgres { ending.postgres() } else { ending.sqlite() };
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

/// The columns of `teams` besides its number. Numbers name a team in its tables' keys; they are never reused and never
/// leave the server (docs/adr/0014).
macro_rules! teams {
    ($number:literal) => {
        concat!(
            "CREATE TABLE teams (number ",
            $number,
            ", id text NOT NULL UNIQUE, slug text NOT NULL, name text NOT NULL, plan_tier text NOT NULL, \
             created_at bigint NOT NULL)"
        )
    };
}

/// The columns of the outbox besides its sequence number. It names teams and sessions by their text ids.
macro_rules! changes {
    ($seq:literal) => {
        concat!(
            "CREATE TABLE changes (seq ",
            $seq,
            ", xid bigint NOT NULL, team_id text NOT NULL, table_name text NOT NULL, action text NOT NULL, \
             session_id text, ordinal_from bigint, ordinal_to bigint, user_id text, at bigint NOT NULL)"
        )
    };
}

const POSTGRES_TABLES: &[&str] = &[
    teams!("int GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    changes!("bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
];

const SQLITE_TABLES: &[&str] =
    &[teams!("INTEGER PRIMARY KEY AUTOINCREMENT"), changes!("INTEGER PRIMARY KEY AUTOINCREMENT")];

fn people() -> Vec<TableCreateStatement> {
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
            "team_members",
            &["team", "user_id"],
            [team(), text("user_id"), text("role"), int("joined_at")],
        ),
        table(
            "team_invites",
            &["team", "id"],
            [
                team(),
                text("id"),
                // SHA-256 of the code, in hexadecimal digits.
                text("code_hash"),
                // The intended person; any user with the code may use it.
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
        table("outbox_state", &["id"], [int("id"), int("trimmed_seq")]),
    ]
}

/// Only the system role touches these tables, so they name teams by their text ids.
fn keys() -> Vec<TableCreateStatement> {
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
                // The key that replaced this one in a rotation.
                text_null("replaced_by"),
            ],
        ),
        table(
            "team_keys",
            &["team_id", "purpose", "version"],
            [
                text("team_id"),
                // `content`, `blind`, `search`
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

fn signing_in() -> Vec<TableCreateStatement> {
    vec![
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
                // The browser's name for itself.
                text_null("label"),
            ],
        ),
        table(
            "login_links",
            &["token_hash"],
            [text("token_hash"), text("user_id"), int("created_at"), int("expires_at"), int_null("used_at")],
        ),
        // One attempt to sign in through GitHub, by the hash of its cookie.
        table(
            "sign_ins",
            &["token_hash"],
            [
                text("token_hash"),
                text("return_to"),
                int("created_at"),
                int("expires_at"),
                int_null("used_at"),
            ],
        ),
        // All tokens of one sign-in of a program; listed and revoked as a whole.
        table(
            "token_families",
            &["id"],
            [
                text("id"),
                text("user_id"),
                text("label"),
                int("created_at"),
                int("last_used_at"),
                int("expires_at"),
                int_null("revoked_at"),
            ],
        ),
        table(
            "refresh_tokens",
            &["token_hash"],
            [
                text("token_hash"),
                text("family_id"),
                // The token that was exchanged for this one; null for a family's first.
                text_null("parent_hash"),
                int("created_at"),
                int_null("used_at"),
                // When another token with the same parent was used instead.
                int_null("superseded_at"),
            ],
        ),
        table(
            "device_logins",
            &["device_hash"],
            [
                text("device_hash"),
                text("user_code"),
                text("client"),
                text("asked_from"),
                int("created_at"),
                int("expires_at"),
                int("interval_seconds"),
                int_null("polled_at"),
                // Who approved; null if it was denied.
                text_null("user_id"),
                int_null("decided_at"),
                int_null("redeemed_at"),
            ],
        ),
    ]
}

const STATEMENTS: &[&str] = &[
    "CREATE UNIQUE INDEX users_github_id ON users (github_id)",
    "CREATE UNIQUE INDEX teams_slug ON teams (slug)",
    "CREATE INDEX team_members_user ON team_members (user_id, joined_at)",
    "CREATE UNIQUE INDEX team_invites_code ON team_invites (code_hash)",
    "CREATE UNIQUE INDEX api_keys_hash ON api_keys (key_hash)",
    "CREATE UNIQUE INDEX web_sessions_token ON web_sessions (token_hash)",
    "CREATE INDEX web_sessions_user ON web_sessions (user_id)",
    "CREATE INDEX sign_ins_end ON sign_ins (expires_at)",
    "CREATE INDEX token_families_user ON token_families (user_id)",
    "CREATE INDEX token_families_end ON token_families (expires_at)",
    "CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id, created_at)",
    "CREATE UNIQUE INDEX device_logins_user_code ON device_logins (user_code)",
    "CREATE INDEX device_logins_end ON device_logins (expires_at)",
    "CREATE INDEX changes_at ON changes (at)",
    "INSERT INTO outbox_state (id, trimmed_seq) VALUES (1, 0)",
];

const POSTGRES_FUNCTIONS: &[&str] = &[
    // The team of the transaction; null if it names none. After a commit, the setting is '', which a cast would refuse.
    "CREATE FUNCTION han_team() RETURNS int LANGUAGE sql STABLE AS
        $$ SELECT nullif(current_setting('han.team', true), '')::int $$",
    // Rights end rarely, and every replica must learn it at once. So this trigger always notifies, even in a transaction
    // that coalesces. Its arguments are the watched columns. SECURITY DEFINER: see `han_session_changed`.
    "CREATE FUNCTION han_access_changed() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE new_seq bigint;
    BEGIN
        IF TG_OP = 'UPDATE' AND NOT EXISTS (SELECT FROM unnest(TG_ARGV) AS watched
                WHERE to_jsonb(OLD)->watched IS DISTINCT FROM to_jsonb(NEW)->watched) THEN
            RETURN NULL;
        END IF;
        INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
        VALUES (pg_current_xact_id()::text::bigint,
            COALESCE(to_jsonb(OLD)->>'team_id',
                (SELECT id FROM teams WHERE number = (to_jsonb(OLD)->>'team')::int),
                CASE TG_TABLE_NAME WHEN 'teams' THEN to_jsonb(OLD)->>'id' END, ''),
            TG_TABLE_NAME, lower(TG_OP), to_jsonb(OLD)->>'user_id', (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
        RETURNING seq INTO new_seq;
        PERFORM pg_notify('db_changes', json_build_object('seq', new_seq)::text);
        RETURN NULL;
    END $$",
];

/// What may end a right: the deletion of a row of `table`, or a change of one of its `watched` columns. When a key or a
/// session was last used changes all the time and ends nothing.
struct Ending {
    table: &'static str,
    watched: &'static [&'static str],
    /// The text id of the row's team, in SQLite's SQL. The credentials of a person belong to no team.
    team: &'static str,
    /// Whose right it is, in SQLite's SQL.
    user: &'static str,
}

const ENDINGS: &[Ending] = &[
    Ending {
        table: "team_members",
        watched: &["role"],
        team: "COALESCE((SELECT id FROM teams WHERE number = OLD.team), '')",
        user: "OLD.user_id",
    },
    Ending {
        table: "api_keys",
        watched: &["revoked_at", "expires_at", "scopes"],
        team: "OLD.team_id",
        user: "OLD.user_id",
    },
    Ending {
        table: "web_sessions",
        watched: &["revoked_at", "active_team_id"],
        team: "''",
        user: "OLD.user_id",
    },
    // A server with an open socket for a family's access token is notified when the family ends.
    Ending { table: "token_families", watched: &["revoked_at"], team: "''", user: "OLD.user_id" },
    // A replica that remembers a verified key remembers the plan of its team.
    Ending { table: "teams", watched: &["plan_tier"], team: "OLD.id", user: "NULL" },
];

impl Ending {
    fn postgres(&self) -> String {
        let Self { table, watched, .. } = self;
        let watched: Vec<String> = watched.iter().map(|column| format!("'{column}'")).collect();
        format!(
            "CREATE TRIGGER {table}_access AFTER UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION han_access_changed({})",
            watched.join(", ")
        )
    }

    /// The time is the database's own, since a deleted row brings none; it only determines when the outbox row may go.
    /// `unixepoch('subsec')` needs SQLite 3.42, which an administrator's shell may be older than.
    fn sqlite(&self) -> String {
        let Self { table, watched, team, user } = self;
        let changed: Vec<String> = watched.iter().map(|c| format!("OLD.{c} IS NOT NEW.{c}")).collect();
        let trigger = |action: &str, when: &str| {
            format!(
                "CREATE TRIGGER {table}_access_{action} AFTER {action} ON {table} {when} BEGIN
                    INSERT INTO changes (xid, team_id, table_name, action, user_id, at)
                    VALUES (0, {team}, '{table}', '{action}', {user},
                        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
                END;"
            )
        };
        trigger("update", &format!("WHEN {}", changed.join(" OR "))) + &trigger("delete", "")
    }
}
