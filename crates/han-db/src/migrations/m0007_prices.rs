//! Prices as rows, what each answer costs, and rollups of quarter-hours, hours and days (docs/adr/0029).
//!
//! What was stored before is kept as unpriced, with the totals of each hour in its first quarter: the lines say what it
//! costs, and `han-server rebuild` derives it again.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveMigrationName, PostgresQueryBuilder, SchemaManager, TableCreateStatement,
};
use sea_orm_migration::{MigrationTrait, async_trait};

use super::tables::{code, counter, int, int_null, table, team, text, text_null};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in COLUMNS {
            db.execute_unprepared(statement).await?;
        }
        for statement in [prices(), search_prices(), price_state()] {
            manager.create_table(statement).await?;
        }
        for (statement, partitions) in [(rollups(), PARTITIONS), (rollup_counts(), PARTITIONS_OF_COUNTS)] {
            if manager.get_database_backend() == DbBackend::Sqlite {
                manager.create_table(statement).await?;
                continue;
            }
            // The collation of a partition's columns cannot be changed alone.
            let sql = statement.to_string(PostgresQueryBuilder).replace(" text ", " text COLLATE \"C\" ");
            db.execute_unprepared(&format!("{sql} PARTITION BY LIST (grain)")).await?;
            for sql in partitions {
                db.execute_unprepared(sql).await?;
            }
        }
        for statement in [copy_rollups(), copy_counts()] {
            db.execute_unprepared(&statement).await?;
        }
        for table in ["rollups_by_hour", "rollup_counts_by_hour"] {
            db.execute_unprepared(&format!("DROP TABLE {table}")).await?;
        }
        Ok(())
    }
}

const COLUMNS: &[&str] = &[
    // In billionths of a US dollar; null if it has no price.
    "ALTER TABLE answer_copies ADD COLUMN cost bigint",
    // What the cache saved, in the same unit.
    "ALTER TABLE answer_copies ADD COLUMN saved bigint NOT NULL DEFAULT 0",
    // 0 for the answer itself, the position plus 1 for another model's part of it, -1 for the searches of a tool.
    "ALTER TABLE answer_copies ADD COLUMN part smallint NOT NULL DEFAULT 0",
    // What the price depends on, besides model, time and tokens. Null: standard speed and tier, any geography.
    "ALTER TABLE answer_copies ADD COLUMN speed text",
    "ALTER TABLE answer_copies ADD COLUMN tier text",
    "ALTER TABLE answer_copies ADD COLUMN geography text",
    // The tokens of the prompt of its largest request; null: all its input tokens, cached or not.
    "ALTER TABLE answer_copies ADD COLUMN prompt_tokens bigint",
    // Null: none.
    "ALTER TABLE answer_copies ADD COLUMN web_searches bigint",
    "ALTER TABLE session_usage ADD COLUMN cost bigint NOT NULL DEFAULT 0",
    "ALTER TABLE session_usage ADD COLUMN saved bigint NOT NULL DEFAULT 0",
    "ALTER TABLE session_usage ADD COLUMN unpriced_tokens bigint NOT NULL DEFAULT 0",
    "ALTER TABLE session_usage ADD COLUMN unpriced_answers bigint NOT NULL DEFAULT 0",
    "UPDATE session_usage SET unpriced_answers = responses, unpriced_tokens = input_tokens + output_tokens \
       + cache_read_tokens + cache_creation_5m_tokens + cache_creation_1h_tokens",
    // The session's answers are priced by this revision of the prices, or by a later one. 0: before prices were rows.
    "ALTER TABLE sessions ADD COLUMN price_revision bigint NOT NULL DEFAULT 0",
    // Sessions to price again.
    "CREATE INDEX sessions_priced ON sessions (price_revision) WHERE price_revision > 0",
    "ALTER TABLE rollups RENAME TO rollups_by_hour",
    "ALTER TABLE rollup_counts RENAME TO rollup_counts_by_hour",
];

/// Rows of one length are stored together, so that a reader of hours does not read the pages of quarter-hours.
const PARTITIONS: &[&str] = &[
    "CREATE TABLE rollups_of_days PARTITION OF rollups FOR VALUES IN (0, 1)",
    "CREATE TABLE rollups_of_hours PARTITION OF rollups FOR VALUES IN (2, 3)",
    "CREATE TABLE rollups_of_quarters PARTITION OF rollups FOR VALUES IN (4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, \
     28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50)",
    "CREATE TABLE rollups_of_quarters_by_model PARTITION OF rollups FOR VALUES IN (5, 7, 9, 11, 13, 15, 17, 19, 21, 23, \
     25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51)",
];

const PARTITIONS_OF_COUNTS: &[&str] = &[
    "CREATE TABLE rollup_counts_of_days PARTITION OF rollup_counts FOR VALUES IN (0)",
    "CREATE TABLE rollup_counts_of_hours PARTITION OF rollup_counts FOR VALUES IN (2)",
    "CREATE TABLE rollup_counts_of_quarters PARTITION OF rollup_counts DEFAULT",
];

/// Prices of tokens. Of two rows that differ only in their origin, the operator's applies.
fn prices() -> TableCreateStatement {
    let key = ["model", "speed", "tier", "geography", "valid_from", "prompt_over", "origin"];
    table(
        "prices",
        &key,
        [
            text("model"),
            text("speed"),
            text("tier"),
            text("geography"),
            // The start of its first day (UTC), in milliseconds since the epoch.
            int("valid_from"),
            int("prompt_over"),
            // 0: built into the program; 1: the operator's.
            code("origin"),
            // In millionths of a US dollar per million tokens. All are null in a row of the operator that says that there is
            // no price.
            int_null("input"),
            int_null("output"),
            int_null("cache_read"),
            int_null("cache_write_5m"),
            int_null("cache_write_1h"),
            text_null("source"),
        ],
    )
}

/// Prices of searches on the web.
fn search_prices() -> TableCreateStatement {
    let columns = [
        int("valid_from"),
        code("origin"),
        // In millionths of a US dollar; null if there is no price.
        int_null("per_thousand"),
        text_null("source"),
    ];
    table("search_prices", &["valid_from", "origin"], columns)
}

/// One row.
fn price_state() -> TableCreateStatement {
    let columns = [
        code("id"),
        // Grows with every change of a price.
        int("revision"),
        // The date of the built-in prices.
        text("as_of"),
    ];
    table("price_state", &["id"], columns)
}

fn tokens() -> [ColumnDef; 5] {
    [
        counter("input_tokens"),
        counter("output_tokens"),
        counter("cache_read_tokens"),
        counter("cache_creation_5m_tokens"),
        counter("cache_creation_1h_tokens"),
    ]
}

fn rollups() -> TableCreateStatement {
    let columns = [
        team(),
        // The length of the time that the row is for, and whether it has a model (`queries::ingest::grain`).
        code("grain"),
        // The start of that time, in milliseconds since the epoch.
        int("start"),
        text("user_id"),
        // Empty for sessions without a project.
        text("project_id"),
        // Empty for counts that belong to no model.
        text("model"),
        // Spreads the writers of one time over several rows; readers sum over it.
        code("shard"),
        counter("sessions"),
        counter("messages"),
        counter("turns"),
        counter("responses"),
        // In billionths of a US dollar.
        counter("cost"),
        counter("saved"),
        counter("unpriced_tokens"),
        counter("unpriced_answers"),
    ];
    let key = ["team", "grain", "start", "user_id", "project_id", "model", "shard"];
    table("rollups", &key, columns.into_iter().chain(tokens()))
}

fn rollup_counts() -> TableCreateStatement {
    let columns = [
        team(),
        code("grain"),
        // What is counted: see `queries::ingest::rollup_delta`.
        text("kind"),
        int("start"),
        text("user_id"),
        text("project_id"),
        text("key"),
        code("shard"),
        counter("count"),
        counter("passed"),
        counter("failed"),
        counter("timed"),
        counter("duration_ms"),
        counter("lines_added"),
        counter("lines_removed"),
        counter("scored"),
        counter("score"),
        counter("error"),
    ];
    let key = ["team", "grain", "kind", "start", "user_id", "project_id", "key", "shard"];
    table("rollup_counts", &key, columns)
}

/// The grain and the start of the three rows that each row of an hour becomes.
fn grains(has_model: &str) -> [(String, &'static str); 3] {
    [
        (has_model.to_owned(), "hour / 86400000 * 86400000"),
        (format!("2 + {has_model}"), "hour"),
        (format!("4 + hour / 3600000 % 24 * 2 + {has_model}"), "hour"),
    ]
}

fn copy_rollups() -> String {
    let all = "sum(input_tokens + output_tokens + cache_read_tokens + cache_creation_5m_tokens + cache_creation_1h_tokens)";
    let selects = grains("CASE WHEN model = '' THEN 0 ELSE 1 END").map(|(grain, start)| {
        format!(
            "SELECT team, {grain}, {start}, user_id, project_id, model, shard, sum(sessions), sum(messages), sum(turns), \
             sum(responses), 0, 0, {all}, sum(responses), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), \
             sum(cache_creation_5m_tokens), sum(cache_creation_1h_tokens) FROM rollups_by_hour GROUP BY 1, 2, 3, 4, 5, 6, 7"
        )
    });
    format!(
        "INSERT INTO rollups (team, grain, start, user_id, project_id, model, shard, sessions, messages, turns, responses, \
         cost, saved, unpriced_tokens, unpriced_answers, input_tokens, output_tokens, cache_read_tokens, \
         cache_creation_5m_tokens, cache_creation_1h_tokens) {}",
        selects.join(" UNION ALL ")
    )
}

fn copy_counts() -> String {
    let sums =
        ["count", "passed", "failed", "timed", "duration_ms", "lines_added", "lines_removed", "scored"];
    let sums: Vec<&str> = sums.into_iter().chain(["score", "error"]).collect();
    let selects = grains("0").map(|(grain, start)| {
        let sums: Vec<String> = sums.iter().map(|column| format!("sum({column})")).collect();
        format!(
            "SELECT team, {grain}, kind, {start}, user_id, project_id, key, shard, {} FROM rollup_counts_by_hour \
             GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
            sums.join(", ")
        )
    });
    format!(
        "INSERT INTO rollup_counts (team, grain, kind, start, user_id, project_id, key, shard, {}) {}",
        sums.join(", "),
        selects.join(" UNION ALL ")
    )
}
