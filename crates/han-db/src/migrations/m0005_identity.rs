//! Signing in: attempts through GitHub, families of refresh tokens, command lines that wait for an approval.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::m0004_teams::Ending;
use super::tables::{int, int_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in tables() {
            manager.create_table(statement).await?;
        }
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let trigger = if postgres { FAMILY_ENDS.postgres() } else { FAMILY_ENDS.sqlite() };
        db.execute_unprepared(&trigger).await?;
        Ok(())
    }
}

fn tables() -> Vec<sea_orm_migration::prelude::TableCreateStatement> {
    vec![
        // One attempt to sign in through GitHub; its cookie's hash.
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
        // Everything that came of one sign-in of a program: what is listed, and revoked, as a whole.
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
                // The token that this one was given for; none for a family's first.
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
                // Who approved; none where it was denied.
                text_null("user_id"),
                int_null("decided_at"),
                int_null("redeemed_at"),
            ],
        ),
    ]
}

/// A server with an open socket for a family's access token is notified when the family ends.
const FAMILY_ENDS: Ending = Ending { table: "token_families", watched: &["revoked_at"], of_team: false };

const STATEMENTS: &[&str] = &[
    "CREATE INDEX sign_ins_end ON sign_ins (expires_at)",
    "CREATE INDEX token_families_user ON token_families (user_id)",
    "CREATE INDEX token_families_end ON token_families (expires_at)",
    "CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id, created_at)",
    "CREATE UNIQUE INDEX device_logins_user_code ON device_logins (user_code)",
    "CREATE INDEX device_logins_end ON device_logins (expires_at)",
    "CREATE INDEX web_sessions_user ON web_sessions (user_id)",
    // What the browser calls itself.
    "ALTER TABLE web_sessions ADD COLUMN label text",
];
