//! `lists`: what lists and dashboards cost with thirty times the history beside a month of it (the same people,
//! projects and density, longer in time); the last page of a very long session beside its first; a page of sealed
//! messages beside the same in clear. Each is asked through HTTP and GraphQL, in turns with its baseline.

use clap::Args;
use serde_json::{Value, json};

use crate::figure::{Figure, median, percentile};
use crate::history::{History, Question};

/// How `lists` measures.
#[derive(Args)]
pub(crate) struct Options {
    /// Messages of the shorter history, which lasts a month: 30,000 at least, so that a page of sessions is full.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// How many months the longer one lasts.
    #[arg(long, default_value_t = 30)]
    months: usize,
    /// Messages of the long session.
    #[arg(long, default_value_t = 1_000_000)]
    deep: i64,
    /// How often each question is asked.
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
    assert!(options.messages >= 30_000, "--messages: a month of fewer has no full page of sessions");
    let short = History::make("han_bench_lists_short", options.messages, 1).await;
    let long = History::make("han_bench_lists_long", options.messages, options.months).await;
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

    let plain = |query| Question { query, variables: json!({}) };
    let mut growth: f64 = 0.0;
    for (name, query) in [
        ("session list (50)", SESSIONS),
        ("dashboardAnalytics", DASHBOARD),
        ("teamMetrics", TEAM),
        ("activity", ACTIVITY),
    ] {
        let question = plain(query);
        growth = growth.max(pair(name, (&short, &question), (&long, &question), options.rounds, 1.2).await);
    }
    let page =
        |id: &str, after: Value| Question { query: MESSAGES, variables: json!({ "id": id, "after": after }) };
    let question = page(&newest(&short).await, Value::Null);
    let of_long = page(&newest(&long).await, Value::Null);
    growth = growth
        .max(pair("message page (100)", (&short, &question), (&long, &of_long), options.rounds, 1.2).await);

    let (id, cursor) = long.deep_session(options.deep, PAGE).await;
    let (first, last) = (page(&id, Value::Null), page(&id, Value::from(cursor)));
    let name = format!("page {} beside page 1", options.deep / PAGE);
    let deep = pair(&name, (&long, &first), (&long, &last), options.rounds, 1.2).await;

    let (sealed, clear) = short.twins().await;
    let (sealed, clear) = (page(&sealed, Value::Null), page(&clear, Value::Null));
    let opened =
        pair("sealed page beside clear", (&short, &clear), (&short, &sealed), options.rounds, 1.15).await;

    let figure = format!(
        "{growth:.2}x with {} times the history, {deep:.2}x at the last page, {opened:.2}x decrypted",
        options.months
    );
    let holds = growth <= 1.2 && deep <= 1.2 && opened <= 1.15;
    Figure::of("lists", figure, "at most 1.20x, 1.20x, 1.15x", holds)
}

/// The session with the latest activity.
async fn newest(history: &History) -> String {
    let question = Question { query: SESSIONS, variables: json!({}) };
    let answer: Value = serde_json::from_str(&history.ask(&question).await.0).expect("JSON");
    let id = answer["data"]["sessions"]["edges"][0]["node"]["sessionId"].as_str();
    id.unwrap_or_else(|| panic!("no session: {answer}")).to_owned()
}

/// Asks both in turns; prints their times and gives the ratio of the medians.
async fn pair(
    name: &str,
    baseline: (&History, &Question),
    measured: (&History, &Question),
    rounds: usize,
    goal: f64,
) -> f64 {
    let mut times = [Vec::new(), Vec::new()];
    let warm_up = rounds.div_ceil(10);
    for round in 0..warm_up + rounds {
        // Which of the two goes first changes from round to round.
        for side in [round % 2, 1 - round % 2] {
            let (history, question) = if side == 0 { baseline } else { measured };
            let (answer, ms) = history.ask(question).await;
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
