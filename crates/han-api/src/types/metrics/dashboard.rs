//! The dashboard: cost, compactions, tools, subagents, hooks, sessions, human time. docs/METRICS.md.

use async_graphql::SimpleObject;
use han_db::queries::metrics;

use super::cost::CostAnalysis;
use super::effectiveness::{SessionEffectiveness, SessionPerformancePoint};
use crate::context::Op;

/// The dashboard of a range of days. docs/METRICS.md defines each figure.
#[derive(Clone, Debug, SimpleObject)]
pub struct DashboardAnalytics {
    /// The cost (docs/METRICS.md, Tokens and money).
    cost_analysis: CostAnalysis,
    /// Compactions (docs/METRICS.md, Sessions).
    compaction_stats: CompactionStats,
    /// Tools, most used first.
    tool_usage: Vec<ToolUsageStats>,
    /// Types of subagents, most started first.
    subagent_usage: Vec<SubagentUsageStats>,
    /// Hooks, most run first (docs/METRICS.md, Hooks).
    hook_health: Vec<HookHealthStats>,
    /// The ten most effective sessions with activity in the range, best first (docs/METRICS.md, Sessions).
    top_sessions: Vec<SessionEffectiveness>,
    /// The ten least effective sessions, worst first, without those in `topSessions`.
    bottom_sessions: Vec<SessionEffectiveness>,
    /// Figures per week in which sessions began, in order (docs/METRICS.md, Sessions).
    performance_trend: Vec<SessionPerformancePoint>,
    /// The time that a person might have needed, a rough estimate (docs/METRICS.md, Human time).
    human_time_estimate: HumanTimeEstimate,
}

/// Compactions. docs/METRICS.md, Sessions.
#[derive(Clone, Debug, SimpleObject)]
pub struct CompactionStats {
    /// All compactions in the range.
    total_compactions: i64,
    /// Compactions because the context was full.
    auto_compact_count: i64,
    /// Compactions at the request of a person.
    manual_compact_count: i64,
    /// Summaries that a conversation was continued from.
    continuation_count: i64,
    /// The mean number of compactions, over all lines, of a session with activity in the range (docs/METRICS.md, Sessions).
    avg_compactions_per_session: Option<f64>,
    /// The number of sessions with activity in the range that were ever compacted.
    sessions_with_compactions: i64,
    /// The number of sessions with activity in the range that were never compacted.
    sessions_without_compactions: i64,
}

/// One tool. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct ToolUsageStats {
    /// Its name.
    tool_name: String,
    /// The number of uses.
    count: i64,
}

/// One type of subagent. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct SubagentUsageStats {
    /// The type, from the tool use that starts the subagent; null if that has none.
    subagent_type: Option<String>,
    /// The number of starts.
    count: i64,
}

/// One hook. docs/METRICS.md, Hooks.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookHealthStats {
    /// Its name, or the name of its event.
    hook_name: String,
    /// The number of runs that ended.
    total_runs: i64,
    /// The number of runs that passed.
    pass_count: i64,
    /// The number of runs that failed. Some runs report neither.
    fail_count: i64,
    /// Passed ÷ (passed + failed), from 0 to 1 (docs/METRICS.md, Hooks).
    pass_rate: Option<f64>,
    /// The mean of the reported durations, in milliseconds (docs/METRICS.md, Hooks).
    avg_duration_ms: Option<f64>,
}

/// The time that a person might have needed: a rough estimate with the assumptions in docs/METRICS.md, Human time.
#[derive(Clone, Debug, SimpleObject)]
pub struct HumanTimeEstimate {
    /// The estimated time of a person, in seconds.
    total_human_seconds: f64,
    /// The time of the sessions, in seconds.
    total_ai_seconds: f64,
    /// The difference in hours; 0 if the sessions took longer.
    hours_saved: f64,
    /// Human time ÷ session time; null if the sessions took no time.
    speedup_factor: Option<f64>,
    /// Estimates per tool category, longest first.
    breakdown: Vec<HumanTimeBreakdown>,
    /// Estimates per tool, longest first.
    tool_breakdown: Vec<ToolTimeEstimate>,
}

/// The estimate of one tool category. docs/METRICS.md, Human time.
#[derive(Clone, Debug, SimpleObject)]
pub struct HumanTimeBreakdown {
    /// The `ToolCategory`, such as `FILE`.
    category: &'static str,
    /// The estimated time of a person, in seconds.
    human_seconds: f64,
    /// Its percentage of the total.
    percent: f64,
}

/// The estimate of one tool. docs/METRICS.md, Human time.
#[derive(Clone, Debug, SimpleObject)]
pub struct ToolTimeEstimate {
    /// The tool.
    tool_name: String,
    /// The number of uses.
    invocations: i64,
    /// The estimated time of a person, in seconds.
    human_seconds: f64,
}

impl DashboardAnalytics {
    pub(crate) fn new(op: &Op, board: metrics::DashboardAnalytics) -> Self {
        let measured = |sessions: Vec<metrics::SessionEffectiveness>| {
            sessions.into_iter().map(|session| SessionEffectiveness::new(op, session)).collect()
        };
        Self {
            cost_analysis: CostAnalysis::new(op, board.cost, &board.cache),
            compaction_stats: board.compactions.into(),
            tool_usage: board
                .tools
                .into_iter()
                .map(|tool| ToolUsageStats { tool_name: tool.tool, count: tool.uses })
                .collect(),
            subagent_usage: board
                .subagents
                .into_iter()
                .map(|usage| SubagentUsageStats { subagent_type: usage.subagent_type, count: usage.count })
                .collect(),
            hook_health: board.hooks.into_iter().map(HookHealthStats::from).collect(),
            top_sessions: measured(board.top_sessions),
            bottom_sessions: measured(board.bottom_sessions),
            performance_trend: board.trend.into_iter().map(SessionPerformancePoint::from).collect(),
            human_time_estimate: board.human_time.into(),
        }
    }
}

impl From<metrics::CompactionStats> for CompactionStats {
    fn from(stats: metrics::CompactionStats) -> Self {
        Self {
            total_compactions: stats.total(),
            auto_compact_count: stats.auto,
            manual_compact_count: stats.manual,
            continuation_count: stats.continuations,
            avg_compactions_per_session: stats.per_session,
            sessions_with_compactions: stats.sessions_with,
            sessions_without_compactions: stats.sessions_without,
        }
    }
}

impl From<metrics::HookHealth> for HookHealthStats {
    fn from(hook: metrics::HookHealth) -> Self {
        Self {
            hook_name: hook.hook,
            total_runs: hook.runs,
            pass_count: hook.passed,
            fail_count: hook.failed,
            pass_rate: hook.pass_rate,
            avg_duration_ms: hook.average_ms,
        }
    }
}

impl From<metrics::HumanTime> for HumanTimeEstimate {
    fn from(time: metrics::HumanTime) -> Self {
        let category = |part: metrics::CategoryTime| HumanTimeBreakdown {
            category: part.category.as_str(),
            human_seconds: part.human_seconds,
            percent: part.percent,
        };
        let tool = |part: metrics::ToolTime| ToolTimeEstimate {
            tool_name: part.tool,
            invocations: part.uses,
            human_seconds: part.human_seconds,
        };
        Self {
            total_human_seconds: time.human_seconds,
            total_ai_seconds: time.ai_seconds,
            hours_saved: time.hours_saved,
            speedup_factor: time.speedup,
            breakdown: time.categories.into_iter().map(category).collect(),
            tool_breakdown: time.tools.into_iter().map(tool).collect(),
        }
    }
}
