//! `lists`: response times of lists and dashboards with thirty months of history, compared with one month of the same
//! people, projects and density; of the last page of a very long session, compared with its first; and of a page of
//! sealed messages, compared with the same messages in plaintext. Requests use GraphQL over HTTP and alternate with
//! their baseline.

use clap::Args;
use serde_json::{Value, json};

use crate::figure::{Figure, median, percentile};
use crate::history::{History, Operation};

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

    let (sealed, plaintext) = short.sealed_and_plaintext_sessions().await;
    let (sealed, plaintext) = (page(&sealed, Value::Null), page(&plaintext, Value::Null));
    let decrypted =
        pair("sealed page / plaintext page", (&short, &plaintext), (&short, &sealed), options.rounds, 1.15)
            .await;

    let figure = format!(
        "{growth:.2}x with {} times the history, {deep:.2}x at the last page, {decrypted:.2}x decrypted",
        options.months
    );
    let met = growth <= 1.2 && deep <= 1.2 && decrypted <= 1.15;
    Figure::new("lists", figure, "at most 1.20x, 1.20x, 1.15x", met)
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
    let [baseline, measured] = &times;
    let ratio = median(measured) / median(baseline);
    let of = |times: &[f64]| format!("{:.2} / {:.2}", median(times), percentile(times, 99.0));
    println!("{name:<28} {:>21} {:>21} {ratio:>6.2}x {goal:>6.2}x", of(baseline), of(measured));
    ratio
}
