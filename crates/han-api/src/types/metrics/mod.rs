//! What dashboards show: activity, cost, tasks, a team's work. Every figure is computed in `han_db::queries::metrics`;
//! here it gets its GraphQL shape. docs/METRICS.md holds the formulas.

pub mod activity;
pub mod cost;
pub mod dashboard;
pub mod effectiveness;
mod names;
pub mod tasks;
pub mod team;

use han_db::queries::metrics::Cost;
use han_transcript::fold::TokenTotals;

/// US dollars; null where there are tokens and none of them has a price. A sum that only lacks some is given, and
/// what it lacks is named beside it (`unpricedTokens`).
fn usd(cost: &Cost) -> Option<f64> {
    (cost.usd > 0.0 || cost.unpriced_tokens == 0).then_some(cost.usd)
}

/// Tokens that the cache had a part in: read from it and written to it.
fn cached(tokens: &TokenTotals) -> i64 {
    tokens.cache_read + tokens.cache_creation()
}

#[cfg(test)]
mod tests {
    use han_db::queries::metrics::Cost;

    use super::usd;

    #[test]
    fn a_cost_is_null_only_where_nothing_of_it_is_known() {
        assert_eq!(usd(&Cost::default()), Some(0.0));
        assert_eq!(usd(&Cost { usd: 0.0, unpriced_tokens: 1 }), None);
        assert_eq!(usd(&Cost { usd: 2.5, unpriced_tokens: 1 }), Some(2.5));
    }
}
