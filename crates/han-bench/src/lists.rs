//! `lists`: response times of lists and dashboards with thirty months of history, compared with one month of the same
//! people, projects and density; of the last page of a very long session, compared with its first; and of a page of
//! sealed messages, compared with the same messages in plaintext. Requests use GraphQL over HTTP and alternate with
//! their baseline.
//!
//! Last, a page of messages as the database layer reads it, compared with the same page from a table with a row per
//! line, each sealed by itself, which the product had before segments. Both run in this process, with the same
//! transaction around them.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use han_crypto::{KekRing, OsEntropy};
use han_db::page::PageRequest;
use han_db::queries::{memberships, messages};
use han_db::{Db, DbConfig};
use han_testkit::TestClock;
use han_types::{Actor, Capabilities, Credential, Scope, SessionId};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, Row as _};

use crate::copy::{CopyRows, copy_in};
use crate::figure::{Figure, median, percentile};
use crate::history::{History, Operation};
use crate::layouts::{self, Lines, RowPerLine};
use crate::rollups::{self, Size};
use crate::target::{Target, kek_secret};

/// Options of `lists`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of messages in the one-month history: at least 30,000, so that a page of sessions is full.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// The number of months in the longer history.
    #[arg(long, default_value_t = 30)]
    months: usize,
    /// The number of messages in the long session.
    #[arg(long, default_value_t = 1_000_000)]
    deep: i64,
    /// How often each operation is executed.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// The number of days of the dashboards in a time zone of a quarter-hour.
    #[arg(long, default_value_t = 730)]
    days: i64,
    /// The number of people in them.
    #[arg(long, default_value_t = 100)]
    people: i64,
    /// The number of projects in them.
    #[arg(long, default_value_t = 50)]
    projects: i64,
    /// How often each of these dashboards is executed.
    #[arg(long, default_value_t = 20)]
    zone_rounds: usize,
    /// Only these dashboards.
    #[arg(long)]
    only_zones: bool,
}

const PAGE: i64 = 100;

const SESSIONS: &str = "{ sessions(first: 50) { pageInfo { hasNextPage endCursor } edges { cursor node {
    id sessionId date name summary projectName projectPath gitBranch status messageCount updatedAt duration
    inputTokens outputTokens } } } }";

const MESSAGES: &str =
    "query($id: String!, $after: String) { session(id: $id) { messages(first: 100, after: $after) {
    pageInfo { hasNextPage endCursor } edges { cursor node { __typename id timestamp rawJson
      ... on AssistantMessage { model contentBlocks { __typename ... on TextBlock { text }
        ... on ToolUseBlock { name input } } } } } } } }";

const DASHBOARD: &str = "{ dashboardAnalytics(days: 30) { costAnalysis { estimatedCostUsd cacheSavingsUsd cacheHitRate
      dailyCostTrend { date costUsd } weeklyCostTrend { weekStart costUsd avgDailyCost }
      topSessionsByCost { sessionId slug costUsd messageCount } }
    compactionStats { totalCompactions avgCompactionsPerSession sessionsWithCompactions }
    toolUsage { toolName count } subagentUsage { subagentType count } hookHealth { hookName totalRuns passRate }
    topSessions { sessionId slug summary score } bottomSessions { sessionId slug summary score }
    performanceTrend { weekStart avgTurns avgEffectiveness } humanTimeEstimate { hoursSaved speedupFactor } } }";

const TEAM: &str = "{ teamMetrics { totalSessions totalTasks totalTokens estimatedCostUsd
    sessionsByPeriod { period sessionCount taskCount tokenUsage } activityTimeline { period messageCount }
    sessionsByProject { projectId projectName sessionCount successRate }
    topContributors { contributorId displayName sessionCount taskCount }
    taskCompletionMetrics { totalCreated successRate } tokenUsageAggregation { totalTokens estimatedCostUsd } } }";

const ACTIVITY: &str =
    "{ activity(days: 30) { dailyActivity { date sessionCount messageCount inputTokens outputTokens
      cachedTokens filesChanged linesAdded linesRemoved } hourlyActivity { hour messageCount }
    dailyModelTokens { date models { model tokens } } modelUsage { model totalTokens costUsd }
    tokenUsage { totalTokens estimatedCostUsd } streakDays totalActiveDays firstSessionDate } }";

pub(crate) async fn run(options: Options) -> Figure {
    if options.only_zones {
        let zones = zones(&options).await;
        return Figure::at_most("lists", zones, 1.2);
    }
    assert!(options.messages >= 30_000, "--messages: a full page of sessions needs at least 30,000");
    let short = History::create("han_bench_lists_short", options.messages, 1).await;
    let long = History::create("han_bench_lists_long", options.messages, options.months).await;
    println!(
        "short: {} messages in a month; long: {} in {} months",
        short.messages().await,
        long.messages().await,
        options.months
    );
    println!(
        "{:<28} {:>21} {:>21} {:>7} {:>7}",
        "", "baseline p50 / p99 ms", "p50 / p99 ms", "ratio", "goal"
    );

    let plain = |query| Operation { query, variables: json!({}) };
    let mut growth: f64 = 0.0;
    for (name, query) in [
        ("session list (50)", SESSIONS),
        ("dashboardAnalytics", DASHBOARD),
        ("teamMetrics", TEAM),
        ("activity", ACTIVITY),
    ] {
        let operation = plain(query);
        growth = growth.max(pair(name, (&short, &operation), (&long, &operation), options.rounds, 1.2).await);
    }
    let page = |id: &str, after: Value| Operation {
        query: MESSAGES,
        variables: json!({ "id": id, "after": after }),
    };
    let operation = page(&newest(&short).await, Value::Null);
    let of_long = page(&newest(&long).await, Value::Null);
    growth = growth
        .max(pair("message page (100)", (&short, &operation), (&long, &of_long), options.rounds, 1.2).await);

    let (id, cursor) = long.deep_session(options.deep, PAGE).await;
    let (first, last) = (page(&id, Value::Null), page(&id, Value::from(cursor)));
    let name = format!("page {} / page 1", options.deep / PAGE);
    let deep = pair(&name, (&long, &first), (&long, &last), options.rounds, 1.2).await;

    let (twin, plaintext, lines) = short.sealed_and_plaintext_sessions().await;
    let (sealed, plaintext) = (page(&twin, Value::Null), page(&plaintext, Value::Null));
    let decrypted =
        pair("sealed page / plaintext page", (&short, &plaintext), (&short, &sealed), options.rounds, 1.05)
            .await;
    let layout = layouts(&short, &twin, &lines, options.rounds).await;

    drop((short, long));
    let zones = zones(&options).await;
    let figure = format!(
        "{growth:.2}x with {} times the history, {deep:.2}x at the last page, {decrypted:.2}x decrypted, \
         {layout:.2}x of a page from a row per line, {zones:.2}x of hourly rollups",
        options.months
    );
    let met = growth <= 1.2 && deep <= 1.2 && decrypted <= 1.05 && layout <= 1.0 && zones <= 1.2;
    Figure::new("lists", figure, "at most 1.20x, 1.20x, 1.05x, 1.00x, 1.20x", met)
}

/// Dashboards in a time zone of a quarter-hour, compared with hourly rollups.
async fn zones(options: &Options) -> f64 {
    let target = Target::start("han_bench_lists_zones").await;
    let (db, scope) = database(&target).await;
    let team = target.number("SELECT CAST(number AS bigint) FROM teams").await;
    let size = Size { days: options.days, people: options.people, projects: options.projects };
    rollups::compare(&target, &db, &scope, team, &size, options.zone_rounds).await
}

/// The id of the session with the latest activity.
async fn newest(history: &History) -> String {
    let operation = Operation { query: SESSIONS, variables: json!({}) };
    let answer: Value = serde_json::from_str(&history.execute_graphql(&operation).await.0).expect("JSON");
    let id = answer["data"]["sessions"]["edges"][0]["node"]["sessionId"].as_str();
    id.unwrap_or_else(|| panic!("no session: {answer}")).to_owned()
}

/// Executes both operations alternately; prints their times and returns the ratio of the medians.
async fn pair(
    name: &str,
    baseline: (&History, &Operation),
    measured: (&History, &Operation),
    rounds: usize,
    goal: f64,
) -> f64 {
    let mut times = [Vec::new(), Vec::new()];
    let warm_up = rounds.div_ceil(10);
    for round in 0..warm_up + rounds {
        // The order changes from round to round.
        for side in [round % 2, 1 - round % 2] {
            let (history, operation) = if side == 0 { baseline } else { measured };
            let (answer, ms) = history.execute_graphql(operation).await;
            assert!(
                answer.starts_with(r#"{"data""#) && !answer.contains(r#""errors""#),
                "{name}: {answer:.2000}"
            );
            if round >= warm_up {
                times[side].push(ms);
            }
        }
    }
    print_pair(name, &times, goal)
}

/// Prints the times of a baseline and of what is measured; returns the ratio of the medians.
pub(crate) fn print_pair(name: &str, [baseline, measured]: &[Vec<f64>; 2], goal: f64) -> f64 {
    let ratio = median(measured) / median(baseline);
    let of = |times: &[f64]| format!("{:.2} / {:.2}", median(times), percentile(times, 99.0));
    println!("{name:<28} {:>21} {:>21} {ratio:>6.2}x {goal:>6.2}x", of(baseline), of(measured));
    ratio
}

/// The table of the layout before segments.
const OLD: &str = "row_per_line";

/// A page of a session, as the database layer read it before segments.
const OLD_PAGE: &str = "WITH listed AS (SELECT team_id, session_id, transcript, uuid, line, at, bytes \
       FROM row_per_line WHERE team_id = $1 AND session_id = $2 AND place = 1 \
       ORDER BY at DESC, transcript DESC, line DESC, uuid DESC LIMIT 101), \
     sized AS (SELECT *, SUM(bytes) OVER (ORDER BY at DESC, transcript DESC, line DESC, uuid DESC \
       ROWS UNBOUNDED PRECEDING) AS so_far FROM listed) \
     SELECT transcript, uuid, CASE WHEN so_far <= 33554432 THEN (SELECT m.body FROM row_per_line m \
       WHERE m.team_id = sized.team_id AND m.session_id = sized.session_id AND m.transcript = sized.transcript \
       AND m.uuid = sized.uuid) END AS body \
     FROM sized ORDER BY at DESC, transcript DESC, line DESC, uuid DESC";

/// Compares a page of 100 messages of the session `id` with the same page from a row per line. That table has the main
/// files of the whole month, too.
async fn layouts(history: &History, id: &str, lines: &[String], rounds: usize) -> f64 {
    let layout = RowPerLine::new();
    history.target.execute(&RowPerLine::create(OLD)).await;
    let of_session = |id: &str, lines: &[String]| {
        let mut rows = CopyRows::new();
        layout.rows(&Lines::new(id, "main", lines), 0, &mut rows);
        rows.finish()
    };
    let month = history.month().map(|session| of_session(&session.id, &session.main));
    let chunks = month.chain([of_session(id, lines)]).collect();
    copy_in(&history.target, OLD, vec![chunks]).await;
    history.target.execute(&RowPerLine::finish(OLD)).await;
    history.target.execute(&format!("VACUUM (ANALYZE) {OLD}")).await;

    let (db, scope) = database(&history.target).await;
    let session: SessionId = id.parse().expect("an id");
    let mut connection = history.target.connect().await;
    let mut times = [Vec::new(), Vec::new()];
    let warm_up = rounds.div_ceil(10);
    for round in 0..warm_up + rounds {
        let mut pages = [Vec::new(), Vec::new()];
        for side in [round % 2, 1 - round % 2] {
            let start = Instant::now();
            pages[side] = if side == 0 {
                old_page(&mut connection, &layout, id).await
            } else {
                new_page(&db, &scope, &session).await
            };
            if round >= warm_up {
                times[side].push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let [old, new] = &pages;
        assert!(old.len() == 100 && old == new, "both layouts have the same page");
    }
    print_pair("page (100) / row per line", &times, 1.0)
}

async fn old_page(connection: &mut PgConnection, layout: &RowPerLine, id: &str) -> Vec<String> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    connection.execute(begin).await.expect("a transaction");
    sqlx::query("SELECT set_config('role', 'han_app', true), set_config('han.bench_team', $1, true)")
        .bind(layouts::TEAM)
        .execute(&mut *connection)
        .await
        .expect("the role of the product's reads");
    let rows =
        sqlx::query(AssertSqlSafe(OLD_PAGE)).bind(layouts::TEAM).bind(id).fetch_all(&mut *connection).await;
    connection.execute("ROLLBACK").await.expect("the end of the transaction");
    let rows = rows.expect("a page");
    let open = |row: &sqlx::postgres::PgRow| layout.open(id, row.get(0), row.get(1), row.get(2));
    rows.iter().take(100).map(open).collect()
}

async fn new_page(db: &Db, scope: &Scope, session: &SessionId) -> Vec<String> {
    let tx = db.read(scope, "bench.page").await.expect("a transaction");
    let request = PageRequest { after: None, first: 100 };
    let page = messages::page(&tx, session, &messages::MessageList::default(), &request).await;
    page.expect("a page").rows.into_iter().map(|message| message.body.expect("a line that opens")).collect()
}

/// The server's database, opened in this process as its only user.
async fn database(target: &Target) -> (Db, Scope) {
    let keks = KekRing::from_secrets(&SecretString::from(kek_secret()), None).expect("the KEK");
    let config = DbConfig::new(target.database.to_url_lossy().to_string());
    let clock = Arc::new(TestClock::default());
    let db = Db::connect(&config, keks, clock, Arc::new(OsEntropy::default()))
        .await
        .expect("the database answers");
    let user: String = sqlx::query_scalar("SELECT id FROM users WHERE username = 'bench'")
        .fetch_one(&mut target.connect().await)
        .await
        .expect("the user");
    let actor = Actor {
        user_id: user.parse().expect("an id"),
        credential: Credential::Local,
        capabilities: Capabilities::PERSON,
        expires_at: None,
        request_id: han_testkit::request_id(),
        client: None,
    };
    let resolved =
        memberships::scope_for(&db, &actor).await.expect("the database answers").expect("a member");
    (db, resolved.scope)
}
