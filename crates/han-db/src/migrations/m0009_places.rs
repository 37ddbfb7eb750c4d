//! What the place of a line depends on besides the line. A summary has the time of another line, which may arrive later. Of
//! several calls with one id, the answers that make them decide which result belongs to which.
//!
//! What was stored before has neither; `han-server rebuild` fills both in.

use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{bytes, code, number, session, table, team};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        let leaves = table(
            "summary_leaves",
            &["team", "session", "transcript", "leaf", "ordinal"],
            [
                team(),
                session(),
                // The file of both lines.
                code("transcript"),
                // The uuid of the line whose time the summary has, as in `messages`.
                bytes("leaf"),
                // The summary.
                number("ordinal"),
            ],
        );
        manager.create_table(leaves).await
    }
}

const STATEMENTS: &[&str] = &[
    // Whether `summary_leaves` has rows of the file.
    "ALTER TABLE transcripts ADD COLUMN has_leaves boolean NOT NULL DEFAULT false",
    // Of a call: identifies the answer that makes it within the session. Null if no answer does.
    "ALTER TABLE tool_results ADD COLUMN answer integer",
    "ALTER TABLE subagent_calls ADD COLUMN answer integer",
];
