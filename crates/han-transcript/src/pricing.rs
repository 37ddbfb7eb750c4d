//! Prices of sums of tokens: one table by model id, which configuration can override. A model outside the table has no
//! price; prices are never guessed.
//!
//! Sums do not determine what an answer costs in fast mode, in a region or with a long prompt, nor before a price
//! changed. [`rates`](crate::rates) prices single answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fold::TokenTotals;
use crate::rates::Rates;

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Input tokens read from the cache.
    pub cache_read: f64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write_5m: f64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: f64,
}

impl Price {
    /// The cost of these tokens in US dollars.
    #[must_use]
    pub fn cost(&self, tokens: &TokenTotals) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
        let part = |count: i64, price: f64| count as f64 * price / 1_000_000.0;
        part(tokens.input, self.input)
            + part(tokens.output, self.output)
            + part(tokens.cache_read, self.cache_read)
            + part(tokens.cache_creation_5m, self.cache_write_5m)
            + part(tokens.cache_creation_1h, self.cache_write_1h)
    }
}

/// Prices by model id, as in the configuration:
/// `{"as_of": "2026-10-24", "models": {"claude-opus-4-6": {"input": 5, …}}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// The day on which the prices were checked, ISO 8601. Informational.
    pub as_of: String,
    /// US dollars per million tokens, by model id. An id without a date applies to every release date.
    pub models: BTreeMap<String, Price>,
}

impl Default for PriceTable {
    /// The latest built-in prices at standard speed, tier and geography ([`Rates::default`]).
    fn default() -> Self {
        Rates::default().table()
    }
}

impl PriceTable {
    /// This table with the prices of `other` added or replaced, and the date of `other`.
    #[must_use]
    pub fn overridden_by(mut self, other: Self) -> Self {
        self.as_of = other.as_of;
        self.models.extend(other.models);
        self
    }

    /// The price of the model with that id: that of the exact id, else of the longest id in the table that matches
    /// after the parts for release, context window and deployment are removed. These parts are a date (`-20251001`,
    /// `@20251001`), `-latest`, `-v1:0`, `[1m]`, and `anthropic.` or `anthropic/` with any text before it. So
    /// `claude-opus-4` does not match `claude-opus-4-9`.
    #[must_use]
    pub fn price(&self, model: &str) -> Option<&Price> {
        self.models.get(id_of(model, self.models.keys().map(String::as_str))?)
    }

    /// The cost of these tokens with that model in US dollars; `None` if the model has no price.
    #[must_use]
    pub fn cost(&self, model: &str, tokens: &TokenTotals) -> Option<f64> {
        Some(self.price(model)?.cost(tokens))
    }
}

/// Which of these ids names the model, as [`PriceTable::price`] describes.
pub(crate) fn id_of<'a>(model: &str, ids: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let short =
        model.rfind("anthropic").and_then(|at| model.get(at + "anthropic".len() + 1..)).unwrap_or(model);
    let matching = ids.filter(|id| *id == model || short.strip_prefix(*id).is_some_and(is_release));
    matching.max_by_key(|id| (*id == model, id.len()))
}

/// Whether the rest of a model id only names a release of the same model.
fn is_release(rest: &str) -> bool {
    let rest = rest.strip_suffix("[1m]").unwrap_or(rest);
    let Some(parts) = rest.strip_prefix(['-', '@']) else { return rest.is_empty() };
    // A version and a date: `-20250929-v1:0` on Bedrock, `-v2@20241022` on Vertex AI.
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(is_number);
    let is_date =
        |part: &str| part == "latest" || (part.len() == 8 && part.bytes().all(|b| b.is_ascii_digit()));
    let mut parts = parts.split(['-', '@']);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(one), None, _) => is_version(one) || is_date(one),
        (Some(one), Some(two), None) => {
            (is_version(one) && is_date(two)) || (is_date(one) && is_version(two))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PriceTable;
    use crate::fold::TokenTotals;

    #[test]
    fn price_matches_model_ids_of_any_release() {
        let table = PriceTable::default();
        let input = |model| table.price(model).map(|price| price.input);
        for (model, price) in [
            ("claude-opus-4-6", Some(5.0)),
            ("claude-opus-4-20250514", Some(15.0)),
            ("claude-opus-4-1-20250805", Some(15.0)),
            ("claude-opus-4-5-20251101", Some(5.0)),
            ("claude-sonnet-4-5-20250929[1m]", Some(3.0)),
            ("claude-3-5-sonnet-latest", Some(3.0)),
            ("claude-sonnet-4@20250514", Some(3.0)),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some(1.0)),
            ("anthropic.claude-opus-4-6-v1", Some(5.0)),
            ("claude-3-5-sonnet-v2@20241022", Some(3.0)),
            ("claude-sonnet-4-5@20250929", Some(3.0)),
            ("claude-sonnet-4-v2-20250929-v3", None),
            ("claude-sonnet-4-20250929-20250930", None),
            ("claude-sonnet-4-v", None),
            ("anthropic/claude-sonnet-4-6", Some(3.0)),
            ("<synthetic>", Some(0.0)),
            ("claude-opus-4-9", None),
            ("claude-opus-4-66", None),
            ("claude-haiku-5-5", None),
            ("gpt-5", None),
            ("anthropic", None),
            ("", None),
        ] {
            assert_eq!(input(model), price, "{model}");
        }
    }

    #[test]
    fn cost_applies_one_price_per_counter() {
        let tokens = TokenTotals {
            input: 1_000_000,
            output: 2_000_000,
            cache_read: 4_000_000,
            cache_creation_5m: 8_000_000,
            cache_creation_1h: 16_000_000,
        };
        let cost = PriceTable::default().cost("claude-opus-4-6", &tokens).unwrap();
        assert!((cost - (5.0 + 50.0 + 2.0 + 50.0 + 160.0)).abs() < 1e-9, "{cost}");
        assert_eq!(PriceTable::default().cost("unknown", &tokens), None);
    }

    #[test]
    fn configuration_overrides_and_adds() {
        let given = r#"{"as_of": "2027-01-01", "models": {
            "claude-opus-4-6": {"input": 1, "output": 2, "cache_read": 3, "cache_write_5m": 4, "cache_write_1h": 5},
            "house-model": {"input": 9, "output": 9, "cache_read": 9, "cache_write_5m": 9, "cache_write_1h": 9}}}"#;
        let table = PriceTable::default().overridden_by(serde_json::from_str(given).unwrap());
        assert_eq!(table.as_of, "2027-01-01");
        assert_eq!(table.price("claude-opus-4-6").map(|price| price.output), Some(2.0));
        assert_eq!(table.price("house-model").map(|price| price.input), Some(9.0));
        assert_eq!(table.price("claude-sonnet-4-6").map(|price| price.input), Some(3.0));
        assert!(
            serde_json::from_str::<PriceTable>(r#"{"as_of": "", "models": {"m": {"input": 1}}}"#).is_err()
        );
    }

    #[test]
    fn prices_are_plausible() {
        for (model, price) in PriceTable::default().models {
            assert!(price.cache_read <= price.input && price.input <= price.output, "{model}");
            assert!(
                price.input <= price.cache_write_5m && price.cache_write_5m <= price.cache_write_1h,
                "{model}"
            );
        }
    }

    proptest! {
        #[test]
        fn price_never_panics(model in "(claude|anthropic|é|-v|\\[1m\\]|[-@0-9a-z.:]){0,12}") {
            let _ = PriceTable::default().price(&model);
        }
    }
}
