//! Background jobs: one row for each, with its lease, its schedule and what became of its last run. The rows belong to no
//! team and hold no content.

use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, int, int_null, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let jobs = table(
            "jobs",
            &["name"],
            [
                text("name"),
                // Seconds between two runs; null for a job that runs all the time.
                int_null("schedule_seconds"),
                // No run starts before this time: the schedule's next run, or the next attempt after a failure.
                int("due_at"),
                // The replica that runs it; null while no replica does.
                text_null("lease_holder"),
                int_null("lease_until"),
                // Counts the leases, so that a replica cannot renew or end a lease that is no longer its own.
                counter("lease_number"),
                int_null("last_started_at"),
                int_null("last_finished_at"),
                text_null("last_outcome"),
                text_null("last_error"),
                int_null("last_error_at"),
                // JSON: see `entities::Progress`.
                text_null("progress"),
                counter("runs"),
                counter("failures"),
                // Failures since the last run that did not fail.
                counter("failures_in_row"),
                int("updated_at"),
            ],
        );
        manager.create_table(jobs).await
    }
}
