//! What a session's hooks come to.

use async_graphql::SimpleObject;
use han_db::queries::hooks;

/// What a session's hooks come to. docs/METRICS.md says what counts.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookStats {
    /// Hooks that ended.
    total_hooks: i64,
    /// Those that passed.
    passed_hooks: i64,
    /// Those that failed; some say neither.
    failed_hooks: i64,
    /// Passed ÷ (passed + failed), from 0 to 1; null where none of them says.
    pass_rate: Option<f64>,
    /// How long they took, in milliseconds, as far as they say.
    total_duration_ms: i64,
    /// The same by when they run.
    by_hook_type: Vec<HookTypeStat>,
}

/// What the hooks of one type come to.
#[derive(Clone, Debug, SimpleObject)]
pub struct HookTypeStat {
    /// When they run, such as `Stop`; empty where they do not say.
    hook_type: String,
    /// Hooks that ended.
    total: i64,
    /// Those that passed.
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
            pass_rate: share(stats.passed, stats.passed + stats.failed),
            total_duration_ms: stats.duration_ms,
            by_hook_type: by_hook_type.collect(),
        }
    }
}

/// A share; nothing of nothing has none.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
fn share(part: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
