//! Prices single answers: by model, speed, service tier, geography, date and length of the prompt. The built-in rows are
//! in `prices.json`, which names a source for each; an operator can override them.
//!
//! An answer without a row is unpriced. That is an outcome of its own, never an amount.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use han_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fold::TokenTotals;
use crate::pricing::{Price, PriceTable, id_of};
use crate::record::{Terms, Usage};

/// The standard speed and service tier.
const STANDARD: &str = "standard";
/// The geography of answers that may be computed anywhere.
const GLOBAL: &str = "global";

/// The built-in rows. A test verifies that the file can be read.
static BUILT_IN: LazyLock<Rates> =
    LazyLock::new(|| serde_json::from_str(include_str!("prices.json")).unwrap_or_else(|_| Rates::empty()));

/// The price of a model's tokens under some terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The model's id, without its date.
    pub model: String,
    /// `standard` or `fast`.
    #[serde(default = "standard")]
    pub speed: String,
    /// `standard`, `batch` or another service tier.
    #[serde(default = "standard")]
    pub tier: String,
    /// `global`, or the region in which the model ran.
    #[serde(default = "global")]
    pub geography: String,
    /// The first day (UTC) on which it applies, as `2026-10-24`.
    #[serde(with = "day", default)]
    pub valid_from: Timestamp,
    /// It applies to prompts of more tokens than this.
    #[serde(default)]
    pub prompt_over: i64,
    /// US dollars per million tokens.
    pub price: Price,
    /// Where the price was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The price of searches on the web.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRate {
    /// The first day (UTC) on which it applies, as `2026-10-24`.
    #[serde(with = "day", default)]
    pub valid_from: Timestamp,
    /// US dollars per thousand searches.
    pub per_thousand: f64,
    /// Where the price was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// All prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// How the rows are to be read. For people.
    #[serde(default)]
    pub comment: Vec<String>,
    /// The day on which the prices were checked, ISO 8601. For people.
    #[serde(default)]
    pub as_of: String,
    /// What [`Rate::source`] and [`SearchRate::source`] refer to. For people.
    #[serde(default)]
    pub sources: BTreeMap<String, String>,
    /// Models whose price depends on the length of each prompt so often that sums of tokens are not priced.
    #[serde(default)]
    pub per_request_only: Vec<String>,
    /// The prices of searches on the web.
    #[serde(default)]
    pub web_searches: Vec<SearchRate>,
    /// The prices of tokens.
    #[serde(default)]
    pub rows: Vec<Rate>,
}

/// What determines the cost of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Billable<'a> {
    /// The model that answered; `None` if it is not known.
    pub model: Option<&'a str>,
    /// The tokens.
    pub tokens: &'a TokenTotals,
    /// What the price depends on, besides.
    pub terms: &'a Terms,
    /// The tokens of the prompt of its largest request.
    pub prompt: i64,
    /// The number of searches on the web.
    pub web_searches: i64,
    /// Its time.
    pub at: Timestamp,
}

/// The cost of an answer, in billionths of a US dollar. Integers, so that sums can be corrected without error. Prices have
/// at most six decimals per million tokens, and an answer is rounded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// The cost.
    pub cost: i64,
    /// What the cache saved: the cost of the same tokens without a cache, minus the cost of the tokens.
    pub saved: i64,
}

/// The greatest cost of an answer, in billionths of a US dollar: far more than any has, and low enough that sums of
/// hostile lines fit into 64 bits. Beyond it, an answer is unpriced.
const MAX_COST: i128 = 10_000 * 1_000_000_000;

/// Decimals of a price per million tokens, as a factor. A token of such a price costs a millionth of a millionth.
const PRICE_UNIT: f64 = 1e6;

/// What an answer costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// US dollars.
    Known(f64),
    /// There is no price, and why.
    Unpriced(Unpriced),
}

/// Why an answer has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unpriced {
    /// There is no row for its model, or the line names no model.
    Model,
    /// The model has no row for its speed, service tier and geography.
    Terms,
    /// All such rows apply only to later days.
    Date,
    /// Its searches on the web have no price.
    Searches,
    /// It would cost more than any answer costs, so its counters are not real ones.
    Amount,
}

impl Cost {
    /// US dollars, if they are known.
    #[must_use]
    pub fn known(self) -> Option<f64> {
        match self {
            Self::Known(dollars) => Some(dollars),
            Self::Unpriced(_) => None,
        }
    }
}

impl Default for Rates {
    /// The built-in prices.
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

impl Rates {
    /// No prices.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            comment: Vec::new(),
            as_of: String::new(),
            sources: BTreeMap::new(),
            per_request_only: Vec::new(),
            web_searches: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// These prices with the rows of `other` added. A row of `other` replaces the one that differs from it only in price
    /// and source.
    #[must_use]
    pub fn overridden_by(mut self, other: Self) -> Self {
        let replaced = |row: &Rate| other.rows.iter().any(|new| new.key() == row.key());
        self.rows.retain(|row| !replaced(row));
        self.web_searches.retain(|row| other.web_searches.iter().all(|new| new.valid_from != row.valid_from));
        self.rows.extend(other.rows);
        self.web_searches.extend(other.web_searches);
        self.per_request_only.extend(other.per_request_only);
        self.sources.extend(other.sources);
        if !other.as_of.is_empty() {
            self.as_of = other.as_of;
        }
        self
    }

    /// The row that applies to an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn rate(&self, model: &str, terms: &Terms, at: Timestamp, prompt: i64) -> Result<&Rate, Unpriced> {
        let id = id_of(model, self.rows.iter().map(|row| row.model.as_str())).ok_or(Unpriced::Model)?;
        let wanted = |row: &&Rate| {
            row.model == id
                && row.speed == terms.speed.as_deref().unwrap_or(STANDARD)
                && row.tier == terms.tier.as_deref().unwrap_or(STANDARD)
                && row.geography == terms.geography.as_deref().unwrap_or(GLOBAL)
        };
        let rows: Vec<&Rate> = self.rows.iter().filter(wanted).collect();
        if rows.is_empty() {
            return Err(Unpriced::Terms);
        }
        // A change of price replaces the rows of one length only, so each length has its own latest row.
        let valid = rows.into_iter().filter(|row| row.valid_from <= at && is_over(prompt, row.prompt_over));
        valid.max_by_key(|row| (row.prompt_over, row.valid_from)).ok_or(Unpriced::Date)
    }

    /// What the tokens of an answer of that time cost.
    #[must_use]
    pub fn cost(&self, usage: &Usage, at: Timestamp) -> Cost {
        let Some(model) = &usage.model else { return Cost::Unpriced(Unpriced::Model) };
        let tokens = TokenTotals {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_creation_5m: usage.cache_creation_5m,
            cache_creation_1h: usage.cache_creation_1h,
        };
        match self.rate(model, &usage.terms, at, usage.prompt) {
            Ok(rate) => Cost::Known(rate.price.cost(&tokens)),
            // Nothing costs nothing.
            Err(_) if tokens == TokenTotals::default() => Cost::Known(0.0),
            Err(reason) => Cost::Unpriced(reason),
        }
    }

    /// What an answer of that time costs, with its searches on the web.
    ///
    /// # Errors
    /// Why a part of it has no price. Then nothing of it has a cost.
    pub fn charge(&self, answer: &Billable<'_>) -> Result<Charge, Unpriced> {
        let tokens = answer.tokens;
        let rate = match answer.model {
            Some(model) => self.rate(model, answer.terms, answer.at, answer.prompt),
            None => Err(Unpriced::Model),
        };
        let price = match rate {
            Ok(rate) => rate.price,
            // Nothing costs nothing.
            Err(_) if *tokens == TokenTotals::default() => Price::default(),
            Err(reason) => return Err(reason),
        };
        let searches = match self.searches_cost(answer.web_searches, answer.at) {
            Some(dollars) => in_price_units(dollars) * 1_000_000,
            None if answer.web_searches == 0 => 0,
            None => return Err(Unpriced::Searches),
        };
        let part = |count: i64, price: f64| i128::from(count) * in_price_units(price);
        let output = part(tokens.output, price.output);
        let input = part(tokens.input, price.input)
            + part(tokens.cache_read, price.cache_read)
            + part(tokens.cache_creation_5m, price.cache_write_5m)
            + part(tokens.cache_creation_1h, price.cache_write_1h);
        let prompt = [tokens.cache_read, tokens.cache_creation_5m, tokens.cache_creation_1h];
        let uncached = prompt.into_iter().fold(tokens.input, i64::saturating_add);
        let saved = part(uncached, price.input) - input;
        let (cost, saved) = (billionths(input + output + searches), billionths(saved));
        let bounded = |amount: i128| i64::try_from(amount).ok().filter(|_| amount.abs() <= MAX_COST);
        match (bounded(cost), bounded(saved)) {
            (Some(cost), Some(saved)) => Ok(Charge { cost, saved }),
            _ => Err(Unpriced::Amount),
        }
    }

    /// What searches on the web cost on that day in US dollars; `None` if they have no price.
    #[must_use]
    pub fn searches_cost(&self, searches: i64, at: Timestamp) -> Option<f64> {
        let valid = self.web_searches.iter().filter(|row| row.valid_from <= at);
        let latest = valid.max_by_key(|row| row.valid_from)?;
        #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
        let searches = searches as f64;
        Some(searches * latest.per_thousand / 1000.0)
    }

    /// The latest prices at standard speed, tier and geography, for sums of tokens.
    #[must_use]
    pub fn table(&self) -> PriceTable {
        let mut latest = BTreeMap::<&str, &Rate>::new();
        for row in &self.rows {
            let is_standard = row.speed == STANDARD && row.tier == STANDARD && row.geography == GLOBAL;
            if !is_standard || row.prompt_over > 0 || self.per_request_only.contains(&row.model) {
                continue;
            }
            let kept = latest.entry(&row.model).or_insert(row);
            if kept.valid_from < row.valid_from {
                *kept = row;
            }
        }
        let models = latest.into_iter().map(|(model, row)| (model.to_owned(), row.price)).collect();
        PriceTable { as_of: self.as_of.clone(), models }
    }
}

/// Whether a prompt is longer than a row's bound. Without a bound, even an empty prompt is.
fn is_over(prompt: i64, bound: i64) -> bool {
    bound == 0 || prompt > bound
}

/// A price in millionths of a dollar.
#[expect(clippy::cast_possible_truncation, reason = "prices are small, and rounding is wanted")]
fn in_price_units(price: f64) -> i128 {
    (price * PRICE_UNIT).round() as i128
}

/// Millionths of a millionth of a dollar in billionths, rounded to the nearest.
fn billionths(amount: i128) -> i128 {
    (amount + 500).div_euclid(1000)
}

impl Rate {
    /// What identifies a row.
    #[must_use]
    pub fn key(&self) -> (&str, &str, &str, &str, Timestamp, i64) {
        (&self.model, &self.speed, &self.tier, &self.geography, self.valid_from, self.prompt_over)
    }
}

fn standard() -> String {
    STANDARD.to_owned()
}

fn global() -> String {
    GLOBAL.to_owned()
}

/// A timestamp as the day that begins then: `2026-10-24`.
mod day {
    use han_types::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(time.to_rfc3339().get(..10).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))
            .ok_or_else(|| D::Error::custom(format!("{text:?} is not a day: write it as 2026-10-24")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use han_types::Timestamp;
    use proptest::prelude::*;

    use super::{Billable, Charge, Cost, Rates, Unpriced};
    use crate::fold::TokenTotals;
    use crate::record::{LineContext, Terms, Usage, project};

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn usages(model: &str, usage: &serde_json::Value) -> Vec<Usage> {
        let message = serde_json::json!({"id": "m", "model": model, "usage": usage});
        let line =
            serde_json::json!({"type": "assistant", "uuid": "u", "requestId": "r", "message": message});
        let at = LineContext { session_id: "s", transcript: "main" };
        project(&line.to_string(), &at).usages().cloned().collect()
    }

    fn cost(model: &str, usage: &serde_json::Value, at: &str) -> Cost {
        let [usage] = usages(model, usage).try_into().unwrap();
        Rates::default().cost(&usage, time(at))
    }

    fn dollars(cost: Cost) -> f64 {
        (cost.known().unwrap() * 1e9).round() / 1e9
    }

    #[test]
    fn the_built_in_file_is_complete_and_plausible() {
        let text = include_str!("prices.json");
        let rates: Rates = serde_json::from_str(text).unwrap();
        assert_eq!(rates, Rates::default());
        let keys: BTreeSet<_> = rates.rows.iter().map(super::Rate::key).collect();
        assert_eq!(keys.len(), rates.rows.len(), "two rows have one key");
        for row in &rates.rows {
            let price = &row.price;
            assert!(price.cache_read <= price.input && price.input <= price.output, "{row:?}");
            assert!(price.input <= price.cache_write_5m && price.cache_write_5m <= price.cache_write_1h);
            assert!(rates.sources.contains_key(row.source.as_deref().unwrap()), "{row:?}");
            // Every other row is one of a model that has a standard price.
            assert!(rates.rate(&row.model, &Terms::default(), row.valid_from, 0).is_ok(), "{row:?}");
        }
        let again: Rates = serde_json::from_str(&serde_json::to_string(&rates).unwrap()).unwrap();
        assert_eq!(again, rates);
    }

    #[test]
    fn an_answer_is_priced_by_its_terms() {
        let tokens = |terms: serde_json::Value| {
            let mut usage = serde_json::json!({"input_tokens": 1000, "output_tokens": 20000});
            usage.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
            usage
        };
        let opus = |terms| cost("claude-opus-4-6", &tokens(terms), NOW);
        let standard = (1000.0 * 5.0 + 20000.0 * 25.0) / 1e6;
        for (terms, factor) in [
            (serde_json::json!({}), 1.0),
            (serde_json::json!({"speed": "standard", "service_tier": "standard"}), 1.0),
            (serde_json::json!({"inference_geo": "not_available", "speed": null}), 1.0),
            (serde_json::json!({"speed": "fast"}), 6.0),
            (serde_json::json!({"inference_geo": "us"}), 1.1),
            (serde_json::json!({"speed": "fast", "inference_geo": "us"}), 6.6),
            (serde_json::json!({"service_tier": "batch"}), 0.5),
        ] {
            let expected = (standard * factor * 1e9_f64).round() / 1e9;
            assert!((dollars(opus(terms.clone())) - expected).abs() < 1e-9, "{terms}");
        }
        for terms in [
            serde_json::json!({"speed": "ludicrous"}),
            serde_json::json!({"service_tier": "priority"}),
            serde_json::json!({"inference_geo": "eu"}),
        ] {
            assert_eq!(opus(terms), Cost::Unpriced(Unpriced::Terms));
        }
        let fast = serde_json::json!({"speed": "fast"});
        assert_eq!(cost("claude-haiku-4-5", &tokens(fast), NOW), Cost::Unpriced(Unpriced::Terms));
        assert_eq!(
            cost("claude-opus-4-9", &tokens(serde_json::json!({})), NOW),
            Cost::Unpriced(Unpriced::Model)
        );
        assert_eq!(cost("kimi-k2", &serde_json::json!({"input_tokens": 0}), NOW), Cost::Known(0.0));
    }

    #[test]
    fn an_answer_is_priced_by_its_date_and_by_the_length_of_its_prompt() {
        let read = serde_json::json!({"cache_read_input_tokens": 1_000_000});
        for (at, expected) in [("2026-10-06T23:59:59Z", 0.2), ("2026-10-07T00:00:00Z", 0.1)] {
            assert!((dollars(cost("claude-sonnet-5-5-20260928", &read, at)) - expected).abs() < 1e-9, "{at}");
        }
        let prompt = |input: i64, read: i64| serde_json::json!({"input_tokens": input, "cache_read_input_tokens": read});
        let haiku = |input, read| dollars(cost("claude-haiku-5-5", &prompt(input, read), NOW));
        assert!((haiku(40_000, 60_000) - (40_000.0 * 0.1 + 60_000.0 * 0.01) / 1e6).abs() < 1e-9);
        assert!((haiku(40_001, 60_000) - (40_001.0 * 0.5 + 60_000.0 * 0.05) / 1e6).abs() < 1e-9);
        let mut rates = Rates::default();
        rates.rows.retain(|row| row.model == "claude-opus-5");
        rates.rows.iter_mut().for_each(|row| row.valid_from = time("2026-07-24T00:00:00Z"));
        let [usage] = usages("claude-opus-5", &read).try_into().unwrap();
        assert_eq!(rates.cost(&usage, time("2026-07-23T00:00:00Z")), Cost::Unpriced(Unpriced::Date));
        assert!(rates.cost(&usage, time(NOW)).known().is_some());
    }

    #[test]
    fn other_models_inside_an_answer_are_priced_at_their_own_price() {
        let usage = serde_json::json!({"input_tokens": 2, "output_tokens": 491, "cache_read_input_tokens": 226_584,
            "cache_creation_input_tokens": 7853, "iterations": [
            {"type": "message", "input_tokens": 1, "output_tokens": 45, "cache_read_input_tokens": 109_696},
            {"type": "advisor_message", "model": "claude-opus-4-7", "input_tokens": 159_419, "output_tokens": 7805},
            {"type": "message", "input_tokens": 1, "output_tokens": 446, "cache_read_input_tokens": 116_888}]});
        let parts = usages("claude-sonnet-4-6", &usage);
        let models: Vec<_> =
            parts.iter().map(|part| (part.part, part.model.as_deref().unwrap(), part.prompt)).collect();
        // The longest prompt counts, not their sum.
        assert_eq!(models, [(0, "claude-sonnet-4-6", 116_889), (2, "claude-opus-4-7", 159_419)]);
        let keys: BTreeSet<_> = parts.iter().flat_map(|part| [part.copy_key(), part.answer_key()]).collect();
        assert_eq!(keys.len(), 2);
        let total: f64 =
            parts.iter().map(|part| Rates::default().cost(part, time(NOW)).known().unwrap()).sum();
        let expected = (2.0 * 3.0 + 491.0 * 15.0 + 226_584.0 * 0.3 + 7853.0 * 3.75) / 1e6
            + (159_419.0 * 5.0 + 7805.0 * 25.0) / 1e6;
        assert!((total - expected).abs() < 1e-9, "{total}");
        // Iterations of the answer itself are in its counters already.
        let own =
            serde_json::json!({"input_tokens": 3, "iterations": [{"input_tokens": 3, "type": "message"}]});
        assert_eq!(usages("claude-opus-4-6", &own).len(), 1);
    }

    #[test]
    fn searches_have_a_price_of_their_own() {
        let usage = serde_json::json!({"output_tokens": 5, "server_tool_use": {"web_search_requests": 3}});
        assert_eq!(usages("claude-opus-4-6", &usage)[0].web_searches, 3);
        assert_eq!(Rates::default().searches_cost(3, time(NOW)), Some(0.03));
        assert_eq!(Rates::empty().searches_cost(3, time(NOW)), None);
    }

    fn charge(model: &str, tokens: &TokenTotals, web_searches: i64) -> Result<Charge, Unpriced> {
        let terms = Terms::default();
        Rates::default().charge(&Billable {
            model: Some(model),
            tokens,
            terms: &terms,
            prompt: 0,
            web_searches,
            at: time(NOW),
        })
    }

    #[test]
    fn a_charge_is_exact_in_billionths_of_a_dollar() {
        let tokens =
            TokenTotals { input: 1, output: 2, cache_read: 4, cache_creation_5m: 8, cache_creation_1h: 16 };
        // Opus 4.6: 5, 25, 0.5, 6.25 and 10 dollars per million.
        let cost = 5_000 + 2 * 25_000 + 4 * 500 + 8 * 6_250 + 16 * 10_000;
        let uncached = 5_000 * (1 + 4 + 8 + 16) + 2 * 25_000;
        let found = charge("claude-opus-4-6", &tokens, 0).unwrap();
        assert_eq!(found, Charge { cost, saved: uncached - cost });
        let found = charge("claude-opus-4-6", &tokens, 3).unwrap();
        assert_eq!(found, Charge { cost: cost + 3 * 10_000_000, saved: uncached - cost });
        assert_eq!(charge("gpt-5", &TokenTotals::default(), 2).unwrap().cost, 20_000_000);
        assert_eq!(charge("gpt-5", &tokens, 0), Err(Unpriced::Model));
        let hostile = TokenTotals { output: 1_000_000_000, ..tokens };
        assert_eq!(charge("claude-opus-4-6", &hostile, 0), Err(Unpriced::Amount));
        assert_eq!(charge("claude-opus-4-6", &tokens, 1_000_000_000), Err(Unpriced::Amount));
    }

    #[test]
    fn an_operator_overrides_rows_and_adds_some() {
        let price = r#"{"input": 1, "output": 2, "cache_read": 0, "cache_write_5m": 1, "cache_write_1h": 1}"#;
        let given = format!(
            r#"{{"rows": [{{"model": "house-model", "price": {price}}},
                {{"model": "claude-opus-4-6", "price": {price}}},
                {{"model": "claude-opus-4-6", "tier": "priority", "valid_from": "2026-11-01", "price": {price}}}]}}"#
        );
        let rates = Rates::default().overridden_by(serde_json::from_str(&given).unwrap());
        let output = serde_json::json!({"output_tokens": 1_000_000});
        let cost = |model, terms: &str, at| {
            let [mut usage] = usages(model, &output).try_into().unwrap();
            usage.terms.tier = (!terms.is_empty()).then(|| terms.to_owned());
            rates.cost(&usage, time(at))
        };
        assert_eq!(cost("house-model", "", NOW), Cost::Known(2.0));
        assert_eq!(cost("claude-opus-4-6", "", NOW), Cost::Known(2.0));
        assert_eq!(cost("claude-opus-4-6", "priority", NOW), Cost::Known(2.0));
        assert_eq!(
            cost("claude-opus-4-6", "priority", "2026-10-31T23:00:00Z"),
            Cost::Unpriced(Unpriced::Date)
        );
        assert_eq!(cost("claude-opus-4-5", "", NOW), Cost::Known(25.0));
        assert!(
            serde_json::from_str::<Rates>(r#"{"rows": [{"model": "m", "valid_from": "soon"}]}"#).is_err()
        );
    }

    fn counters() -> impl Strategy<Value = [i64; 4]> {
        prop::array::uniform4(0i64..300_000)
    }

    fn value([input, output, read, write]: [i64; 4]) -> serde_json::Value {
        serde_json::json!({"input_tokens": input, "output_tokens": output, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write})
    }

    proptest! {
        #[test]
        fn a_known_cost_is_finite_grows_with_the_tokens_and_does_not_depend_on_the_order_of_rows(
            counts in counters(),
            more in counters(),
            row in any::<prop::sample::Index>(),
            shuffled in Just(Rates::default().rows).prop_shuffle(),
        ) {
            let rates = Rates::default();
            let row = row.get(&rates.rows);
            let term = |value: &str, usual: &str| (value != usual).then(|| value.to_owned());
            let usage = |counts: [i64; 4]| {
                let [mut usage] = usages(&row.model, &value(counts)).try_into().unwrap();
                usage.terms = Terms {
                    speed: term(&row.speed, "standard"),
                    tier: term(&row.tier, "standard"),
                    geography: term(&row.geography, "global"),
                };
                usage
            };
            let sum = [0, 1, 2, 3].map(|at| counts[at] + more[at]);
            let (small, large) = (usage(counts), usage(sum));
            let cost = |usage: &Usage| rates.cost(usage, row.valid_from).known();
            let (less, greater) = (cost(&small).unwrap(), cost(&large).unwrap());
            prop_assert!(less.is_finite() && less >= 0.0 && less <= greater, "{less} {greater}");
            let other = Rates { rows: shuffled, ..Rates::default() };
            prop_assert_eq!(other.cost(&large, row.valid_from), rates.cost(&large, row.valid_from));
        }

        #[test]
        fn no_model_makes_pricing_panic(model in "(claude|anthropic|é|opus|-v|\\[1m\\]|[-@0-9a-z.:]){0,12}") {
            let _ = cost(&model, &value([1, 1, 1, 1]), NOW);
        }
    }
}
