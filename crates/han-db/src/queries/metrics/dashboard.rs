//! The dashboard: costs, tools, hooks, sessions.

use std::collections::{BTreeMap, HashMap};

use han_transcript::fold::TokenTotals;
use sea_orm::{FromQueryResult, Value};

use super::activity::{ModelUsage, by_model};
use super::effectiveness::{Inputs, SentimentTrend, SessionEffectiveness, measure};
use super::human_time::{HumanTime, LONGEST_TURN_SECONDS, estimate};
use super::tasks::{KINDS, TaskMetrics, of_rows};
use super::{
    By, Cost, Range, RollupCountRow, RollupRow, UsageColumns, Within, counts, date, plus, rollups, share,
    total, week_of,
};
use crate::dialect::FirstOfEach;
use crate::queries::sessions::{ACTIVITY_MINUTE_MS, NEWEST_FIRST};
use crate::queries::{labels, purged_sessions};
use crate::{DbError, ScopedTx};

/// The maximum sessions that a dashboard evaluates one by one: those with the latest activity. Costs, tools, hooks and
/// tasks are totals over all sessions.
pub const MAX_SESSIONS: usize = 10_000;

/// The maximum models of one session whose tokens are priced.
const MAX_MODELS: usize = 1_000;

/// The number of sessions in the lists of the best, the worst and the most expensive.
const LISTED: usize = 10;

/// The dashboard of a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DashboardAnalytics {
    /// The cost.
    pub cost: CostAnalysis,
    /// The use of the cache.
    pub cache: CacheStats,
    /// Compactions.
    pub compactions: CompactionStats,
    /// Tools, most used first.
    pub tools: Vec<ToolUsage>,
    /// Subagents, most started first.
    pub subagents: Vec<SubagentUsage>,
    /// Hooks, most runs first.
    pub hooks: Vec<HookHealth>,
    /// Totals of tasks.
    pub tasks: TaskMetrics,
    /// The most effective sessions, best first.
    pub top_sessions: Vec<SessionEffectiveness>,
    /// The least effective sessions, worst first.
    pub bottom_sessions: Vec<SessionEffectiveness>,
    /// By the week in which sessions started, in order.
    pub trend: Vec<WeekPerformance>,
    /// The estimated time of a person.
    pub human_time: HumanTime,
}

/// The cost in US dollars at list prices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CostAnalysis {
    /// The total.
    pub total: Cost,
    /// By model, most tokens first.
    pub models: Vec<ModelUsage>,
    /// Days with activity, in order.
    pub days: Vec<DayCost>,
    /// Weeks with activity, in order.
    pub weeks: Vec<WeekCost>,
    /// The most expensive sessions with activity in the range, by total cost.
    pub sessions: Vec<SessionCost>,
    /// Per session started.
    pub per_session: Option<f64>,
    /// Per task completed, Han's and the agent's own.
    pub per_completed_task: Option<f64>,
}

/// The cost of one day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DayCost {
    /// ISO 8601.
    pub date: String,
    /// The cost.
    pub cost: Cost,
    /// Sessions started.
    pub sessions: i64,
}

/// The cost of one week.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeekCost {
    /// The date of its Monday.
    pub week_start: String,
    /// The cost.
    pub cost: Cost,
    /// Per day of the week within the range.
    pub per_day: f64,
    /// Sessions started.
    pub sessions: i64,
}

/// The cost of one session, over all its lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionCost {
    /// The session.
    pub session_id: String,
    /// The time of its first line, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// Messages.
    pub messages: i64,
    /// Tokens.
    pub tokens: TokenTotals,
    /// Their cost.
    pub cost: Cost,
}

/// The use of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheStats {
    /// The share of input tokens read from the cache.
    pub hit_rate: Option<f64>,
    /// The cost of the same tokens without a cache, minus their cost: reads save, writes cost extra.
    pub savings_usd: f64,
}

/// Compactions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompactionStats {
    /// Because the context was full.
    pub auto: i64,
    /// At the request of a person.
    pub manual: i64,
    /// For an unknown reason.
    pub unknown: i64,
    /// Summaries that continue a conversation.
    pub continuations: i64,
    /// Sessions with activity in the range that were ever compacted.
    pub sessions_with: i64,
    /// Sessions with activity in the range that were never compacted.
    pub sessions_without: i64,
    /// Compactions per session with activity in the range, over all its lines.
    pub per_session: Option<f64>,
}

impl CompactionStats {
    /// All compactions in the range.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.auto + self.manual + self.unknown
    }
}

/// One tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolUsage {
    /// The tool.
    pub tool: String,
    /// The number of uses.
    pub uses: i64,
}

/// One type of subagent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubagentUsage {
    /// The type; `None` if the tool uses that started them name none.
    pub subagent_type: Option<String>,
    /// The number of starts.
    pub count: i64,
}

/// One hook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookHealth {
    /// Its name.
    pub hook: String,
    /// The number of runs that ended.
    pub runs: i64,
    /// The number of runs that passed.
    pub passed: i64,
    /// The number of runs that failed. Some report neither.
    pub failed: i64,
    /// The share of passed runs among those that passed or failed.
    pub pass_rate: Option<f64>,
    /// The mean duration in milliseconds, of runs that report it.
    pub average_ms: Option<f64>,
}

/// The sessions of one week.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeekPerformance {
    /// The date of its Monday.
    pub week_start: String,
    /// Sessions that started in it.
    pub sessions: i64,
    /// Turns per session.
    pub turns: f64,
    /// Compactions per session.
    pub compactions: f64,
    /// The mean score of the sessions that have one.
    pub effectiveness: Option<f64>,
}

#[derive(FromQueryResult)]
struct SessionRow {
    number: i32,
    session_id: String,
    started_at: Option<i64>,
    last_activity_at: i64,
    message_count: i64,
    turn_count: i64,
    compaction_count: i64,
    tasks: i64,
    tasks_done: i64,
    sentiment_count: i64,
    sentiment_sum: i64,
}

/// The dashboard of a range. Runs seven statements.
///
/// # Errors
/// If a name cannot be opened.
pub async fn dashboard(tx: &ScopedTx, range: &Range, within: &Within) -> Result<DashboardAnalytics, DbError> {
    let rows = rollups(tx, range, within, By::Day, true).await?;
    let kinds = [KINDS, &["compaction", "hook", "subagent", "tool"]].concat();
    let counted = counts(tx, range, within, By::Whole, &kinds).await?;
    let sessions = sessions(tx, range, within).await?;
    let usage = usage(tx, &sessions).await?;

    let of_kind = |kind: &'static str| counted.iter().filter(move |row| row.kind == kind);
    let tasks = of_rows(counted.iter());
    let mut tools: Vec<ToolUsage> =
        of_kind("tool").map(|row| ToolUsage { tool: row.key.clone(), uses: row.count }).collect();
    tools.sort_by(|a, b| b.uses.cmp(&a.uses).then_with(|| a.tool.cmp(&b.tool)));
    let labelled = counted.iter().filter(|row| matches!(row.kind.as_str(), "hook" | "subagent"));
    let names = labels::by_ids(tx, labelled.map(|row| &row.key)).await?;
    let ai_seconds = sessions.iter().map(SessionRow::ai_seconds).sum();
    let measured: Vec<SessionEffectiveness> = sessions.iter().map(SessionRow::measure).collect();
    let (top_sessions, bottom_sessions) = best_and_worst(tx, &measured).await?;
    Ok(DashboardAnalytics {
        cost: cost(range, &rows, &sessions, &usage, tasks.completed()),
        cache: cache(&rows),
        compactions: compactions(of_kind("compaction"), &sessions),
        human_time: estimate(tools.iter().map(|tool| (tool.tool.as_str(), tool.uses)), ai_seconds),
        tools,
        subagents: subagents(of_kind("subagent"), &names),
        hooks: hooks(of_kind("hook"), &names),
        tasks,
        top_sessions,
        bottom_sessions,
        trend: trend(range, &measured),
    })
}

/// The condition on sessions that have activity in the range.
fn active(tx: &ScopedTx, range: &Range, within: &Within) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tx.team(), range.from.into(), range.to.into()];
    let within = within.condition("sessions.project_id", &mut values);
    let sql = format!(
        "sessions.team = $1 AND sessions.activity_minute >= $2 / {ACTIVITY_MINUTE_MS} AND sessions.last_activity_at >= $2 \
         AND sessions.started_at < $3{within} ORDER BY {NEWEST_FIRST} LIMIT {MAX_SESSIONS}"
    );
    (sql, values)
}

async fn sessions(tx: &ScopedTx, range: &Range, within: &Within) -> Result<Vec<SessionRow>, DbError> {
    let (active, values) = active(tx, range, within);
    // One lookup per session. A join might read the whole table, which grows with the history. A list that was purged counts
    // until the session has another one.
    let todos = |sum: &str, purged: &str| {
        format!(
            "COALESCE((SELECT {sum} FROM todos WHERE todos.team = sessions.team AND todos.session = sessions.number), \
             (SELECT {purged} FROM purged_sessions p WHERE p.team = sessions.team AND p.session = sessions.number), 0)"
        )
    };
    let sql = format!(
        "SELECT sessions.number, sessions.session_id, sessions.started_at, sessions.last_activity_at, \
           sessions.message_count, sessions.turn_count, sessions.compaction_count, sessions.sentiment_count, sessions.sentiment_sum, \
           sessions.task_count + {} AS tasks, sessions.task_done_count + {} AS tasks_done \
         FROM sessions WHERE {active}",
        todos("pending + in_progress + completed", "todos"),
        todos("completed", "todos_done"),
    );
    tx.all(&sql, values).await
}

/// The tokens of one session and one model.
#[derive(FromQueryResult)]
struct UsageRow {
    session: i32,
    #[sea_orm(nested)]
    usage: UsageColumns,
}

async fn usage(tx: &ScopedTx, sessions: &[SessionRow]) -> Result<Vec<UsageRow>, DbError> {
    let rows = FirstOfEach {
        table: "session_usage",
        columns: "session_usage.session, session_usage.input_tokens, \
                  session_usage.output_tokens, session_usage.cache_read_tokens, \
                  session_usage.cache_creation_5m_tokens, session_usage.cache_creation_1h_tokens, \
                  session_usage.responses, session_usage.cost, session_usage.saved, session_usage.unpriced_tokens, \
                  session_usage.unpriced_answers",
        condition: "session_usage.team = $1 AND session_usage.session = CAST(wanted.id AS int) \
                    AND (session_usage.responses <> 0 OR session_usage.cost <> 0 \
                      OR session_usage.unpriced_answers <> 0)",
        order: "session_usage.model",
        limit: MAX_MODELS,
    };
    let dialect = tx.dialect();
    let numbers = dialect.list(sessions.iter().map(|session| session.number.to_string()));
    tx.all(&dialect.first_of_each(2, &rows), [tx.team(), numbers]).await
}

impl SessionRow {
    /// From its first line to its last, but at most the assumed duration of its turns.
    fn ai_seconds(&self) -> i64 {
        let elapsed = self.started_at.map_or(0, |at| (self.last_activity_at - at) / 1000);
        elapsed.clamp(0, LONGEST_TURN_SECONDS * self.turn_count.max(0))
    }

    fn measure(&self) -> SessionEffectiveness {
        let measured = measure(&Inputs {
            turns: self.turn_count,
            compactions: self.compaction_count,
            tasks: self.tasks,
            tasks_done: self.tasks_done,
            sentiments: self.sentiment_count,
            sentiment_sum: self.sentiment_sum,
        });
        SessionEffectiveness { session_id: self.session_id.clone(), started_at: self.started_at, ..measured }
    }
}

fn cost(
    range: &Range,
    rows: &[RollupRow],
    sessions: &[SessionRow],
    usage: &[UsageRow],
    completed_tasks: i64,
) -> CostAnalysis {
    let mut analysis = CostAnalysis { models: by_model(rows), ..CostAnalysis::default() };
    let (mut days, mut weeks) = (BTreeMap::<i64, DayCost>::new(), BTreeMap::<i64, WeekCost>::new());
    let mut begun = 0;
    for row in rows {
        let cost = row.usage.cost();
        analysis.total.add(&cost);
        begun += row.sessions;
        let day = days.entry(row.bucket).or_default();
        day.cost.add(&cost);
        day.sessions += row.sessions;
        let week = weeks.entry(week_of(row.bucket)).or_default();
        week.cost.add(&cost);
        week.sessions += row.sessions;
    }
    analysis.days = days.into_iter().map(|(day, cost)| DayCost { date: date(day), ..cost }).collect();
    let in_range = |monday: i64| (monday + 6).min(range.last_day()) - monday.max(range.first_day()) + 1;
    analysis.weeks = weeks
        .into_iter()
        .map(|(monday, week)| WeekCost {
            week_start: date(monday),
            per_day: per(week.cost.usd(), in_range(monday)).unwrap_or_default(),
            ..week
        })
        .collect();
    analysis.sessions = most_expensive(sessions, usage);
    analysis.per_session = per(analysis.total.usd(), begun);
    analysis.per_completed_task = per(analysis.total.usd(), completed_tasks);
    analysis
}

#[expect(clippy::cast_precision_loss, reason = "real counts are below 2^53")]
fn per(usd: f64, n: i64) -> Option<f64> {
    (n > 0).then(|| usd / n as f64)
}

fn most_expensive(sessions: &[SessionRow], usage: &[UsageRow]) -> Vec<SessionCost> {
    let mut costs: HashMap<i32, (TokenTotals, Cost)> = HashMap::new();
    for row in usage {
        let (tokens, cost) = costs.entry(row.session).or_default();
        *tokens = plus(tokens, &row.usage.tokens());
        cost.add(&row.usage.cost());
    }
    let mut costs: Vec<SessionCost> = sessions
        .iter()
        .filter_map(|session| {
            let (tokens, cost) = *costs.get(&session.number)?;
            let (session_id, messages) = (session.session_id.clone(), session.message_count);
            Some(SessionCost { session_id, started_at: session.started_at, messages, tokens, cost })
        })
        .collect();
    costs.sort_by(|a, b| {
        b.cost.billionths.cmp(&a.cost.billionths).then_with(|| a.session_id.cmp(&b.session_id))
    });
    costs.truncate(LISTED);
    costs
}

fn cache(rows: &[RollupRow]) -> CacheStats {
    let (mut sum, mut cost) = (TokenTotals::default(), Cost::default());
    for row in rows {
        sum = plus(&sum, &row.usage.tokens());
        cost.add(&row.usage.cost());
    }
    CacheStats { hit_rate: share(sum.cache_read, total(&sum) - sum.output), savings_usd: cost.saved_usd() }
}

fn compactions<'r>(
    rows: impl Iterator<Item = &'r RollupCountRow>,
    sessions: &[SessionRow],
) -> CompactionStats {
    let mut stats = CompactionStats::default();
    for row in rows {
        match row.key.as_str() {
            "auto" => stats.auto += row.count,
            "manual" => stats.manual += row.count,
            "continuation" => stats.continuations += row.count,
            _ => stats.unknown += row.count,
        }
    }
    let all = sessions.len() as i64;
    stats.sessions_with = sessions.iter().filter(|session| session.compaction_count > 0).count() as i64;
    stats.sessions_without = all - stats.sessions_with;
    stats.per_session = share(sessions.iter().map(|session| session.compaction_count).sum(), all);
    stats
}

fn subagents<'r>(
    rows: impl Iterator<Item = &'r RollupCountRow>,
    names: &HashMap<String, String>,
) -> Vec<SubagentUsage> {
    let usage = |row: &RollupCountRow| SubagentUsage {
        subagent_type: names.get(&row.key).cloned(),
        count: row.count,
    };
    let mut subagents: Vec<SubagentUsage> = rows.map(usage).collect();
    subagents.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.subagent_type.cmp(&b.subagent_type)));
    subagents
}

fn hooks<'r>(
    rows: impl Iterator<Item = &'r RollupCountRow>,
    names: &HashMap<String, String>,
) -> Vec<HookHealth> {
    let mut hooks: Vec<HookHealth> = rows
        .map(|row| HookHealth {
            hook: names.get(&row.key).cloned().unwrap_or_default(),
            runs: row.count,
            passed: row.passed,
            failed: row.failed,
            pass_rate: share(row.passed, row.passed + row.failed),
            average_ms: share(row.duration_ms, row.timed),
        })
        .collect();
    hooks.sort_by(|a, b| b.runs.cmp(&a.runs).then_with(|| a.hook.cmp(&b.hook)));
    hooks
}

/// The best and the worst sessions that have a score, with the trend of their sentiments. No session is in both lists.
async fn best_and_worst(
    tx: &ScopedTx,
    measured: &[SessionEffectiveness],
) -> Result<(Vec<SessionEffectiveness>, Vec<SessionEffectiveness>), DbError> {
    let mut ranked: Vec<&SessionEffectiveness> =
        measured.iter().filter(|session| session.score.is_some()).collect();
    ranked.sort_by(|a, b| {
        let score = |session: &SessionEffectiveness| session.score.unwrap_or_default();
        score(b).total_cmp(&score(a)).then_with(|| a.session_id.cmp(&b.session_id))
    });
    let worst = ranked.len().saturating_sub(LISTED).max(ranked.len().min(LISTED));
    let mut top: Vec<SessionEffectiveness> = ranked.iter().take(LISTED).copied().cloned().collect();
    let mut bottom: Vec<SessionEffectiveness> = ranked.iter().skip(worst).rev().copied().cloned().collect();
    let sentiments = sentiments(tx, top.iter().chain(&bottom)).await?;
    for session in top.iter_mut().chain(&mut bottom) {
        let of_session = sentiments.iter().filter(|row| row.session_id == session.session_id);
        session.trend = SentimentTrend::of(&of_session.map(|row| row.sentiment).collect::<Vec<_>>());
    }
    Ok((top, bottom))
}

#[derive(FromQueryResult)]
struct SentimentRow {
    session_id: String,
    sentiment: i64,
}

#[derive(FromQueryResult)]
struct PurgedRow {
    session_id: String,
    sentiments: String,
}

/// The scores of sessions' sentiments, in order within each session.
async fn sentiments(
    tx: &ScopedTx,
    sessions: impl Iterator<Item = &SessionEffectiveness>,
) -> Result<Vec<SentimentRow>, DbError> {
    let ids: Vec<&String> = sessions.map(|session| &session.session_id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let (wanted, values) = (dialect.is_any("s.session_id", 2), [tx.team(), dialect.list(ids)]);
    let sql = format!(
        "SELECT s.session_id, p.sentiments FROM sessions s \
         JOIN purged_sessions p ON p.team = s.team AND p.session = s.number WHERE s.team = $1 AND {wanted}"
    );
    let mut scores = Vec::new();
    // Lines that were purged are earlier than others.
    for PurgedRow { session_id, sentiments } in tx.all::<PurgedRow, _>(&sql, values.clone()).await? {
        for sentiment in purged_sessions::scores(&sentiments, &session_id)? {
            scores.push(SentimentRow { session_id: session_id.clone(), sentiment });
        }
    }
    let sql = format!(
        "SELECT s.session_id, e.sentiment FROM sessions s \
         JOIN sentiments e ON e.team = s.team AND e.session = s.number AND e.sentiment IS NOT NULL \
         WHERE s.team = $1 AND {wanted} ORDER BY s.session_id, e.at, e.transcript, e.line"
    );
    scores.extend(tx.all::<SentimentRow, _>(&sql, values).await?);
    Ok(scores)
}

#[expect(clippy::cast_precision_loss, reason = "real counts are below 2^53")]
fn trend(range: &Range, measured: &[SessionEffectiveness]) -> Vec<WeekPerformance> {
    let mut weeks: BTreeMap<i64, Vec<&SessionEffectiveness>> = BTreeMap::new();
    for session in measured {
        if let Some(at) = session.started_at.filter(|at| *at >= range.from) {
            weeks.entry(week_of(range.day_of(at))).or_default().push(session);
        }
    }
    let mean =
        |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    weeks
        .into_iter()
        .map(|(monday, sessions)| WeekPerformance {
            week_start: date(monday),
            sessions: sessions.len() as i64,
            turns: mean(sessions.iter().map(|s| s.turns as f64).collect()).unwrap_or_default(),
            compactions: mean(sessions.iter().map(|s| s.compactions as f64).collect()).unwrap_or_default(),
            effectiveness: mean(sessions.iter().filter_map(|s| s.score).collect()),
        })
        .collect()
}
