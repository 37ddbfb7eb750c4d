//! Several records on one line: a message names its record, and a session counts its damaged lines. Calls that start
//! subagents are stored, because agent versions up to 2.0.27 write the lines of subagents into the session's own file without
//! naming the call. What was stored before has one record per line; `han-server rebuild` finds the others.

use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, SchemaManager};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{bytes, code, number, session, table, team, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        let calls = table(
            "subagent_calls",
            &["team", "session", "ordinal", "n"],
            [
                team(),
                session(),
                number("ordinal"),
                // The number of the call within its line.
                code("n"),
                // As in `tool_results`.
                bytes("call"),
                // Identifies the prompt that the subagent receives: made from a keyed hash.
                bytes("prompt"),
                // The subagent that it started in the session's own file; null if it started none there.
                text_null("agent_id"),
            ],
        );
        manager.create_table(calls).await
    }
}

const STATEMENTS: &[&str] = &[
    // The position among the records of the line. A record's ordinal is that of its entry plus this.
    "ALTER TABLE messages ADD COLUMN part smallint NOT NULL DEFAULT 0",
    "ALTER TABLE sessions ADD COLUMN damaged_line_count bigint NOT NULL DEFAULT 0",
    // The markers of omitted lines, for the status of transcripts.
    "CREATE INDEX messages_omitted ON messages (team, session, transcript, line) WHERE tool_name = 'han_omitted_line'",
    // `han_transcript::words::VERSION` of the index.
    "ALTER TABLE search_state ADD COLUMN words smallint NOT NULL DEFAULT 1",
];
