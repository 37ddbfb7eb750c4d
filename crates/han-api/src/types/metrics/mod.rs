//! Figures for dashboards: activity, cost, tasks, a team's work. `han_db::queries::metrics` computes them; here they get
//! their GraphQL shape. docs/METRICS.md has the formulas.

pub mod activity;
pub mod cost;
pub mod dashboard;
pub mod effectiveness;
mod names;
pub mod tasks;
pub mod team;

use han_db::queries::metrics::Cost;
use han_transcript::fold::TokenTotals;

/// A cost in US dollars; null if there are tokens and none of them has a price. A cost that misses only some tokens is
/// given, and `unpricedTokens` beside it counts those.
fn usd(cost: &Cost) -> Option<f64> {
    (cost.usd > 0.0 || cost.unpriced_tokens == 0).then_some(cost.usd)
}

/// Tokens read from the cache and written to it.
fn cached(tokens: &TokenTotals) -> i64 {
    tokens.cache_read + tokens.cache_creation()
}

#[cfg(test)]
mod tests {
    use han_db::queries::metrics::Cost;

    use super::usd;

    #[test]
    fn a_cost_is_null_only_if_no_token_has_a_price() {
        assert_eq!(usd(&Cost::default()), Some(0.0));
        assert_eq!(usd(&Cost { usd: 0.0, unpriced_tokens: 1 }), None);
        assert_eq!(usd(&Cost { usd: 2.5, unpriced_tokens: 1 }), Some(2.5));
    }
}
