//! The dashboard: what it cost, how tools, subagents, hooks and sessions fared. docs/METRICS.md.

use async_graphql::SimpleObject;
use han_db::queries::metrics;

use super::cost::CostAnalysis;
use super::effectiveness::{SessionEffectiveness, SessionPerformancePoint};
use crate::context::Op;

/// What the dashboard shows of a range of days. docs/METRICS.md says how each figure comes about.
#[derive(Clone, Debug, SimpleObject)]
pub struct DashboardAnalytics {
    /// What it cost (docs/METRICS.md, Tokens and money).
    cost_analysis: CostAnalysis,
    /// Compactions (docs/METRICS.md, Sessions).
    compaction_stats: CompactionStats,
    /// Tools, the most used first.
    tool_usage: Vec<ToolUsageStats>,
    /// Types of subagents, the most started first.
    subagent_usage: Vec<SubagentUsageStats>,
    /// Hooks, the one that ran most first (docs/METRICS.md, Hooks).
    hook_health: Vec<HookHealthStats>,
    /// The ten most effective sessions with activity in the range, the best first (docs/METRICS.md, Sessions).
    top_sessions: Vec<SessionEffectiveness>,
    /// The ten least effective ones, the worst first; none of them stands among the best.
    bottom_sessions: Vec<SessionEffectiveness>,
    /// By the week in which sessions began, in order (docs/METRICS.md, Sessions).
    performance_trend: Vec<SessionPerformancePoint>,
    /// What a person might have taken: a rough guess (docs/METRICS.md, Human time).
    human_time_estimate: HumanTimeEstimate,
}

/// Compactions. docs/METRICS.md, Sessions.
#[derive(Clone, Debug, SimpleObject)]
pub struct CompactionStats {
    /// All in the range.
    total_compactions: i64,
    /// Because the context was full.
    auto_compact_count: i64,
    /// Because a person asked.
    manual_compact_count: i64,
    /// Summaries that a conversation went on from.
    continuation_count: i64,
    /// Compactions by session with activity in the range, over all of its lines (docs/METRICS.md, Sessions).
    avg_compactions_per_session: Option<f64>,
    /// Sessions with activity in the range that were compacted at some time.
    sessions_with_compactions: i64,
    /// Those that never were.
    sessions_without_compactions: i64,
}

/// One tool. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct ToolUsageStats {
    /// Its name.
    tool_name: String,
    /// How often it was used.
    count: i64,
}

/// One type of subagent. docs/METRICS.md, What is counted.
#[derive(Clone, Debug, SimpleObject)]
pub struct SubagentUsageStats {
    /// The type, as the tool use names it that starts the subagent; null where it names none.
    subagent_type: Option<String>,
    /// How often one was started.
    count: i64,
}

/// One hook. docs/METRICS.md, Hooks.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookHealthStats {
    /// Its name, or that of its event.
    hook_name: String,
    /// How often it ended.
    total_runs: i64,
    /// How often it passed.
    pass_count: i64,
    /// How often it failed. Some say neither.
    fail_count: i64,
    /// The share that passed of those that say, from 0 to 1 (docs/METRICS.md, Hooks).
    pass_rate: Option<f64>,
    /// Milliseconds that it took on average, where it tells (docs/METRICS.md, Hooks).
    avg_duration_ms: Option<f64>,
}

/// What a person might have taken: a rough guess, whose assumptions stand in docs/METRICS.md, Human time.
#[derive(Clone, Debug, SimpleObject)]
pub struct HumanTimeEstimate {
    /// What a person would have taken.
    total_human_seconds: f64,
    /// What the sessions took.
    total_ai_seconds: f64,
    /// The difference in hours, 0 where the sessions took longer.
    hours_saved: f64,
    /// How many times faster; null where the sessions took no time.
    speedup_factor: Option<f64>,
    /// By tool category, the longest first.
    breakdown: Vec<HumanTimeBreakdown>,
    /// By tool, the longest first.
    tool_breakdown: Vec<ToolTimeEstimate>,
}

/// One tool category's part. docs/METRICS.md, Human time.
#[derive(Clone, Debug, SimpleObject)]
pub struct HumanTimeBreakdown {
    /// The category, as `ToolCategory` names it: `FILE`.
    category: &'static str,
    /// What a person would have taken.
    human_seconds: f64,
    /// Its part of the whole, from 0 to 100.
    percent: f64,
}

/// One tool's part. docs/METRICS.md, Human time.
#[derive(Clone, Debug, SimpleObject)]
pub struct ToolTimeEstimate {
    /// The tool.
    tool_name: String,
    /// How often it was used.
    invocations: i64,
    /// What a person would have taken.
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
