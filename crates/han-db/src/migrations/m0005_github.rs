//! What is kept of a GitHub account in order to ask GitHub again whether its user may still sign in (docs/adr/0026).

use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{int, table, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let accounts = table(
            "github_accounts",
            &["user_id"],
            [
                text("user_id"),
                // The token of the last sign-in, sealed under the KEK; null if GitHub need not be asked, or no longer.
                text_null("token"),
                int("signed_in_at"),
                // When GitHub last admitted the user.
                int("checked_at"),
            ],
        );
        manager.create_table(accounts).await
    }
}
