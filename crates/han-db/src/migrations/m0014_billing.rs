//! Billing: what Stripe says about the subscription of a team, the events of Stripe that were applied, and the customers
//! of deleted teams, whose subscriptions must end.

use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{counter, int, int_null, table, text};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let events = table(
            "stripe_events",
            &["id"],
            [
                // Stripe's id of the event.
                text("id"),
                text("kind"),
                text("customer_id"),
                // When Stripe made it.
                int("created_at"),
                int("applied_at"),
            ],
        );
        let cancellations = table(
            "stripe_cancellations",
            &["customer_id"],
            [
                text("customer_id"),
                text("team_id"),
                int("requested_at"),
                // Counts the requests: one that arrives while the previous one is being done is not lost.
                counter("round"),
                int_null("finished_at"),
            ],
        );
        for statement in [events, cancellations] {
            manager.create_table(statement).await?;
        }
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE teams ADD COLUMN stripe_customer_id text",
    // The subscription that decides the plan. Null: Stripe has not decided it yet.
    "ALTER TABLE teams ADD COLUMN stripe_subscription_id text",
    "ALTER TABLE teams ADD COLUMN payment_state text NOT NULL DEFAULT 'none'",
    "ALTER TABLE teams ADD COLUMN cancels_at bigint",
    "ALTER TABLE teams ADD COLUMN grace_until bigint",
    // The quantity of the subscription.
    "ALTER TABLE teams ADD COLUMN paid_seats bigint",
    // Grows whenever a state of Stripe was applied: a state that was read before is not applied after it.
    "ALTER TABLE teams ADD COLUMN billing_version bigint NOT NULL DEFAULT 0",
    "CREATE UNIQUE INDEX teams_stripe_customer ON teams (stripe_customer_id)",
    "CREATE INDEX stripe_events_applied ON stripe_events (applied_at)",
    "CREATE INDEX stripe_cancellations_open ON stripe_cancellations (requested_at) WHERE finished_at IS NULL",
];
