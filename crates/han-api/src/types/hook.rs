//! Totals of a session's hooks.

use async_graphql::SimpleObject;
use han_db::queries::hooks;

/// Totals of a session's hooks. docs/METRICS.md says what counts.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookStats {
    /// The number of hooks that ended.
    total_hooks: i64,
    /// The number of hooks that passed.
    passed_hooks: i64,
    /// The number of hooks that failed. Some report neither.
    failed_hooks: i64,
    /// Passed ÷ (passed + failed), in percent: 0 to 100; null if no hook reports either.
    pass_rate: Option<f64>,
    /// The sum of the reported durations in milliseconds.
    total_duration_ms: i64,
    /// Totals by type of hook.
    by_hook_type: Vec<HookTypeStat>,
}

/// Totals of the hooks of one type.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookTypeStat {
    /// The event that triggers them, such as `Stop`; empty if it is not recorded.
    hook_type: String,
    /// The number of hooks that ended.
    total: i64,
    /// The number of hooks that passed.
    passed: i64,
}

impl From<&hooks::HookStats> for HookStats {
    fn from(stats: &hooks::HookStats) -> Self {
        let by_hook_type = stats.by_type.iter().map(|of_type| HookTypeStat {
            hook_type: of_type.hook_type.clone(),
            total: of_type.total,
            passed: of_type.passed,
        });
        Self {
            total_hooks: stats.total,
            passed_hooks: stats.passed,
            failed_hooks: stats.failed,
            pass_rate: share(stats.passed, stats.passed + stats.failed).map(|share| share * 100.0),
            total_duration_ms: stats.duration_ms,
            by_hook_type: by_hook_type.collect(),
        }
    }
}

/// A ratio; `None` if the whole is 0.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
fn share(part: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
