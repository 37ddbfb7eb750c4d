//! Part of `lists`: dashboards over two years of many people, in a time zone of a quarter-hour, compared with the same sums
//! of hourly rollups, which the product had before quarter-hours. An hourly rollup gives approximate days there; what is
//! compared is the time. Both run in this process, with the same transaction around them.
//!
//! The rows are made by SQL: quarter-hours with activity, from which the product's rows of all lengths and the hourly ones
//! are summed.

use std::time::Instant;

use han_db::queries::metrics::{self, Dimension, Period, Range, Within, Zone};
use han_db::{Db, ScopedTx};
use han_types::Scope;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::lists::print_pair;
use crate::target::Target;

/// The size of the history.
pub(crate) struct Size {
    pub days: i64,
    pub people: i64,
    pub projects: i64,
}

const DAY_MS: i64 = 86_400_000;

/// UTC+5:45.
const ZONE: &str = "Asia/Kathmandu";
const OFFSET_MS: i64 = (5 * 60 + 45) * 60_000;

/// The ratio of the slowest dashboard to its baseline.
pub(crate) async fn compare(
    target: &Target,
    db: &Db,
    scope: &Scope,
    team: i64,
    size: &Size,
    rounds: usize,
) -> f64 {
    let first_day = 20_000 - size.days + 1;
    fill(target, team, first_day, size).await;
    let (old, new) = (
        target.number("SELECT count(*) FROM hourly_rollups").await,
        target.number("SELECT count(*) FROM rollups").await,
    );
    println!(
        "{} days, {} people, {} projects: {old} hourly rows, {new} rows",
        size.days, size.people, size.projects
    );
    let range = Range::between(first_day, 20_000, Zone::named(ZONE).expect("a zone"));
    let mut connection = target.connect().await;
    let mut worst: f64 = 0.0;
    for (name, statements) in [
        ("activity", activity()),
        ("teamMetrics", team_metrics()),
        ("dashboardAnalytics", dashboard()),
        ("usage by day and model", vec![rollups(BY_DAY, "''", "model")]),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        let warm_up = rounds.div_ceil(10);
        for round in 0..warm_up + rounds {
            let mut sums = [0; 2];
            for side in [round % 2, 1 - round % 2] {
                let start = Instant::now();
                sums[side] = if side == 0 {
                    baseline(&mut connection, team, &range, &statements).await
                } else {
                    product(db, scope, name, &range).await
                };
                if round >= warm_up {
                    times[side].push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
            // Days differ, but the sum over the range is nearly the same.
            let difference = (sums[0] - sums[1]).abs();
            assert!(sums[0] > 0 && difference <= sums[0] / 100, "{name}: {sums:?}");
        }
        worst = worst.max(print_pair(&format!("{name}, {} days", size.days), &times, 1.2));
    }
    worst
}

/// Executes a dashboard of the product; returns its tokens.
async fn product(db: &Db, scope: &Scope, name: &str, range: &Range) -> i64 {
    let tx: ScopedTx = db.read(scope, "bench.metrics").await.expect("a transaction");
    let within = Within::Team;
    match name {
        "activity" => metrics::total(&metrics::activity(&tx, range, &within).await.expect("figures").tokens),
        "teamMetrics" => {
            let team = metrics::team_metrics(&tx, range, &within, Period::Week).await.expect("figures");
            metrics::total(&team.tokens)
        }
        "dashboardAnalytics" => {
            let board = metrics::dashboard(&tx, range, &within).await.expect("figures");
            board.cost.models.iter().map(|model| metrics::total(&model.tokens)).sum()
        }
        _ => {
            let by = [Dimension::Period(Period::Day), Dimension::Model];
            let report =
                metrics::usage(&tx, range, &within, &by).await.expect("figures").expect("few groups");
            metrics::total(&report.total.tokens)
        }
    }
}

/// Executes the statements of a dashboard on the hourly rollups; returns the tokens of the first one.
async fn baseline(connection: &mut PgConnection, team: i64, range: &Range, statements: &[String]) -> i64 {
    use sqlx::Row as _;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    connection.execute(begin).await.expect("a transaction");
    connection
        .execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)")
        .await
        .expect("the setting of the product's reads");
    let mut tokens = 0;
    for (n, statement) in statements.iter().enumerate() {
        let query = sqlx::query(AssertSqlSafe(statement.clone())).bind(team).bind(range.from).bind(range.to);
        let rows = query.fetch_all(&mut *connection).await.expect("rows");
        if n == 0 {
            let columns = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_5m_tokens"];
            tokens = rows.iter().flat_map(|row| columns.map(|column| row.get::<i64, _>(column))).sum();
        }
    }
    connection.execute("ROLLBACK").await.expect("the end of the transaction");
    tokens
}

const BY_DAY: &str = "day";
const BY_HOUR: &str = "hour of the day";
const WHOLE: &str = "whole";

fn bucket(by: &str) -> String {
    match by {
        BY_DAY => format!("(hour + {OFFSET_MS}) / {DAY_MS}"),
        BY_HOUR => format!("(hour + {OFFSET_MS}) / 3600000 % 24"),
        _ => "CAST(0 AS bigint)".to_owned(),
    }
}

fn sums(columns: &[&str]) -> String {
    let sums = columns.iter().map(|column| format!("CAST(sum({column}) AS bigint) AS {column}"));
    sums.collect::<Vec<_>>().join(", ")
}

const SUMMED: [&str; 9] = [
    "sessions",
    "messages",
    "turns",
    "responses",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_5m_tokens",
    "cache_creation_1h_tokens",
];

const COUNTED: [&str; 10] = [
    "count",
    "passed",
    "failed",
    "timed",
    "duration_ms",
    "lines_added",
    "lines_removed",
    "scored",
    "score",
    "error",
];

/// A statement that the product ran on its hourly rollups.
fn rollups(by: &str, name: &str, model: &str) -> String {
    format!(
        "SELECT {} AS bucket, {name} AS name, {model} AS model, {} FROM hourly_rollups \
         WHERE team = $1 AND hour >= $2 AND hour < $3 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        bucket(by),
        sums(&SUMMED)
    )
}

fn counts(by: &str, name: &str, kinds: &str) -> String {
    format!(
        "SELECT {} AS bucket, {name} AS name, kind, key, {} FROM hourly_counts \
         WHERE team = $1 AND hour >= $2 AND hour < $3 AND kind = ANY(ARRAY[{kinds}]) \
         GROUP BY 1, 2, 3, 4 HAVING sum(count) <> 0 ORDER BY 1, 2, 3, 4",
        bucket(by),
        sums(&COUNTED)
    )
}

const TASKS: &str = "'task_begun', 'task_ended', 'native_begun', 'native_done'";

fn activity() -> Vec<String> {
    let first =
        "SELECT hour FROM hourly_rollups WHERE team = $1 AND sessions > 0 AND $2 < $3 ORDER BY hour LIMIT 1";
    vec![
        rollups(BY_DAY, "''", "model"),
        counts(BY_DAY, "''", "'file'"),
        rollups(BY_HOUR, "''", "''"),
        first.to_owned(),
    ]
}

fn team_metrics() -> Vec<String> {
    let mut statements = vec![rollups(BY_DAY, "''", "model"), counts(BY_DAY, "''", TASKS)];
    for name in ["project_id", "user_id"] {
        statements.extend([rollups(WHOLE, name, "''"), counts(WHOLE, name, TASKS)]);
    }
    statements
}

fn dashboard() -> Vec<String> {
    let kinds = format!("{TASKS}, 'compaction', 'hook', 'subagent', 'tool'");
    vec![rollups(BY_DAY, "''", "model"), counts(WHOLE, "''", &kinds)]
}

/// Makes the rows. A person works on one project in each of four hours of a day, in three quarters of it, with two of five
/// models.
async fn fill(target: &Target, team: i64, first_day: i64, size: &Size) {
    let Size { days, people, projects } = size;
    let slots = format!(
        "CREATE UNLOGGED TABLE quarters AS SELECT ({first_day} + day)::bigint * {DAY_MS} + ((person * 7 + day * 5 + hour * 3) % 24) * 3600000 + quarter * 900000 \
             AS start, \
           'person-' || person AS user_id, 'project-' || (person * 3 + day / 9 + hour / 2) % {projects} AS project_id, \
           model, (person + 2 * day + hour / 2) % 8 AS shard, 1 AS one, 500 + (person * 31 + day * 17 + quarter * 7) % 1000 AS tokens \
         FROM generate_series(0, {days} - 1) AS day, generate_series(1, {people}) AS person, \
           generate_series(0, 3) AS hour, generate_series(0, 2) AS quarter, \
           LATERAL (VALUES (''), ('model-' || (person + day) % 5), ('model-' || (person + day + 1 + hour / 2) % 5)) \
             AS models(model)"
    );
    let grains = |table: &str, insert: &str, select: &str, group: &str| {
        let lengths = [
            ("CASE WHEN model = '' THEN 0 ELSE 1 END".to_owned(), format!("start / {DAY_MS} * {DAY_MS}")),
            ("CASE WHEN model = '' THEN 2 ELSE 3 END".to_owned(), "start / 3600000 * 3600000".to_owned()),
            (
                "4 + start / 3600000 % 24 * 2 + CASE WHEN model = '' THEN 0 ELSE 1 END".to_owned(),
                "start".to_owned(),
            ),
        ];
        lengths
            .map(|(grain, start)| {
                format!(
                    "INSERT INTO {table} (team, grain, start, {insert}) SELECT {team}, {grain}, {start}, {select} \
                     GROUP BY {group} ORDER BY 3;"
                )
            })
            .concat()
    };
    let sums = "sum(CASE WHEN model = '' THEN one ELSE 0 END) / 40, sum(CASE WHEN model = '' THEN one ELSE 0 END), \
                sum(CASE WHEN model = '' THEN one ELSE 0 END), sum(CASE WHEN model = '' THEN 0 ELSE one END), \
                sum(CASE WHEN model = '' THEN 0 ELSE tokens END), sum(CASE WHEN model = '' THEN 0 ELSE tokens END), \
                sum(CASE WHEN model = '' THEN 0 ELSE tokens * 90 END), sum(CASE WHEN model = '' THEN 0 ELSE tokens END)";
    let columns = "sessions, messages, turns, responses, input_tokens, output_tokens, cache_read_tokens, \
                   cache_creation_5m_tokens";
    let keys = "user_id, project_id, model, shard";
    // What is counted in a quarter-hour: some tools in each, changes of files and tasks in some.
    let counted = "CREATE UNLOGGED TABLE counted AS SELECT start, user_id, project_id, '' AS model, kind, key, shard, one \
         FROM quarters, LATERAL (VALUES ('tool', 'Bash'), ('tool', 'Edit'), ('tool', 'Read'), ('file', ''), \
           ('native_begun', ''), ('native_done', '')) AS kinds(kind, key) \
         WHERE model = '' AND (kind = 'tool' OR start / 900000 % 3 = 0)";
    let empty = "DELETE FROM rollups; DELETE FROM rollup_counts; DROP TABLE IF EXISTS quarters, counted, hourly_rollups, \
                 hourly_counts;";
    let hourly = "CREATE TABLE hourly_rollups (team int NOT NULL, hour bigint NOT NULL, user_id text NOT NULL, \
           project_id text NOT NULL, model text NOT NULL, shard bigint NOT NULL, sessions bigint NOT NULL DEFAULT 0, \
           messages bigint NOT NULL DEFAULT 0, turns bigint NOT NULL DEFAULT 0, responses bigint NOT NULL DEFAULT 0, \
           input_tokens bigint NOT NULL DEFAULT 0, output_tokens bigint NOT NULL DEFAULT 0, \
           cache_read_tokens bigint NOT NULL DEFAULT 0, cache_creation_5m_tokens bigint NOT NULL DEFAULT 0, \
           cache_creation_1h_tokens bigint NOT NULL DEFAULT 0, \
           PRIMARY KEY (team, hour, user_id, project_id, model, shard)); \
         CREATE TABLE hourly_counts (team int NOT NULL, hour bigint NOT NULL, user_id text NOT NULL, \
           project_id text NOT NULL, kind text NOT NULL, key text NOT NULL, shard bigint NOT NULL, \
           count bigint NOT NULL DEFAULT 0, passed bigint NOT NULL DEFAULT 0, failed bigint NOT NULL DEFAULT 0, \
           timed bigint NOT NULL DEFAULT 0, duration_ms bigint NOT NULL DEFAULT 0, \
           lines_added bigint NOT NULL DEFAULT 0, lines_removed bigint NOT NULL DEFAULT 0, \
           scored bigint NOT NULL DEFAULT 0, score bigint NOT NULL DEFAULT 0, error bigint NOT NULL DEFAULT 0, \
           PRIMARY KEY (team, hour, user_id, project_id, kind, key, shard));";
    let old = format!(
        "INSERT INTO hourly_rollups (team, hour, {keys}, {columns}) SELECT {team}, start / 3600000 * 3600000, {keys}, {sums} \
         FROM quarters GROUP BY 2, {keys} ORDER BY 2; \
         INSERT INTO hourly_counts (team, hour, user_id, project_id, kind, key, shard, count, lines_added) \
         SELECT {team}, start / 3600000 * 3600000, user_id, project_id, kind, key, shard, sum(one), sum(one) * 9 \
         FROM counted GROUP BY 2, user_id, project_id, kind, key, shard ORDER BY 2;"
    );
    let new = grains(
        "rollups",
        &format!("{keys}, {columns}"),
        &format!("{keys}, {sums} FROM quarters"),
        &format!("2, 3, {keys}"),
    );
    let of_counts = "user_id, project_id, kind, key, shard";
    let new_counts = grains(
        "rollup_counts",
        &format!("{of_counts}, count, lines_added"),
        &format!("{of_counts}, sum(one), sum(one) * 9 FROM counted"),
        &format!("2, 3, {of_counts}"),
    );
    for sql in [empty, slots.as_str(), counted, hourly, old.as_str(), new.as_str(), new_counts.as_str()] {
        target.execute(sql).await;
    }
    for table in ["rollups", "rollup_counts", "hourly_rollups", "hourly_counts"] {
        target.execute(&format!("VACUUM (ANALYZE) {table}")).await;
    }
}
