//! What a rotation of keys needs: the replicas with the keys that they hold, how often keys were used, and the work on
//! whole teams in the background (rotation, conversion, deletion).

use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, int, int_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let replicas = table(
            "replicas",
            &["id"],
            [
                text("id"),
                // The command that it runs: `serve`, `rebuild`.
                text("program"),
                // The ids of its KEKs, that of KEK_SECRET first, separated by spaces.
                text("kek_ids"),
                // It uses no team key that was replaced in this epoch or before.
                int("key_epoch"),
                int("started_at"),
                // After this time it is considered dead.
                int("live_until"),
            ],
        );
        manager.create_table(replicas).await?;
        let work = table(
            "team_work",
            &["team_id", "kind"],
            [
                text("team_id"),
                // `rotate`, `convert`, `delete`
                text("kind"),
                // The version of the content key, or `sealed` or `plaintext`.
                text("target"),
                // The epoch that replicas must have reached before the work can be complete.
                int("key_epoch"),
                // JSON: where the next batch begins.
                text_null("cursor"),
                // Rows that were changed.
                counter("done"),
                int("requested_at"),
                int_null("finished_at"),
            ],
        );
        manager.create_table(work).await?;
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // Grows when a team key is replaced or destroyed.
    "ALTER TABLE kek_state ADD COLUMN key_epoch bigint NOT NULL DEFAULT 0",
    // How many values were sealed with the key.
    "ALTER TABLE team_keys ADD COLUMN uses bigint NOT NULL DEFAULT 0",
    // Finds the teams that have segments to seal.
    "CREATE INDEX segments_unsealed ON segments (team) WHERE NOT sealed",
];
