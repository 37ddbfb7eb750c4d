//! Figures for dashboards: activity, cost, tasks, a team's work. `han_db::queries::metrics` computes them; here they get
//! their GraphQL shape. docs/METRICS.md has the formulas.

pub mod activity;
pub mod cost;
pub mod dashboard;
pub mod effectiveness;
mod names;
pub mod tasks;
pub mod team;
pub mod usage;

use han_transcript::fold::TokenTotals;

/// Tokens read from the cache and written to it.
fn cached(tokens: &TokenTotals) -> i64 {
    tokens.cache_read + tokens.cache_creation()
}
