//! Prices, dates and sums, computed independently of the product, and comparisons with them.

use std::collections::BTreeMap;

use serde_json::Value;

pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;

#[track_caller]
pub(super) fn close(found: &Value, wanted: Option<f64>) {
    match (found.as_f64(), wanted) {
        (None, None) if found.is_null() => {}
        (Some(found), Some(wanted)) if (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0) => {}
        _ => panic!("{found} is not {wanted:?}"),
    }
}

#[track_caller]
pub(super) fn sum(list: &Value, field: &str) -> i64 {
    list.as_array().unwrap().iter().map(|item| item[field].as_i64().unwrap()).sum()
}

/// Input, output, cache read, cache written for 5 minutes and for 1 hour.
pub(super) type Tokens = [i64; 5];

/// US dollars per million of each.
pub(super) fn price(model: &str) -> Option<[f64; 5]> {
    match model {
        "claude-opus-4-6" => Some([5.0, 25.0, 0.5, 6.25, 10.0]),
        "claude-haiku-4-5-20251001" => Some([1.0, 5.0, 0.1, 1.25, 2.0]),
        "claude-sonnet-4-5-20250929" => Some([3.0, 15.0, 0.3, 3.75, 6.0]),
        _ => None,
    }
}

pub(super) fn plus(a: Tokens, b: Tokens) -> Tokens {
    std::array::from_fn(|i| a[i] + b[i])
}

pub(super) fn total(tokens: Tokens) -> i64 {
    tokens.iter().sum()
}

pub(super) fn dollars(model: &str, tokens: Tokens) -> Option<f64> {
    price(model).map(|price| price.iter().zip(tokens).map(|(price, n)| price * n as f64 / 1e6).sum())
}

/// The cost of tokens by model; none where there are some and none has a price.
pub(super) fn cost<'m>(tokens: impl IntoIterator<Item = (&'m str, Tokens)>) -> Option<f64> {
    let (mut usd, mut unpriced) = (0.0, 0);
    for (model, tokens) in tokens {
        match dollars(model, tokens) {
            Some(dollars) => usd += dollars,
            None => unpriced += total(tokens),
        }
    }
    (usd > 0.0 || unpriced == 0).then_some(usd)
}

pub(super) fn local(at: i64, zone: i64) -> chrono::NaiveDateTime {
    chrono::DateTime::from_timestamp_millis(at + zone * 60_000).unwrap().naive_utc()
}

/// The local date of an instant.
pub(super) fn date(at: i64, zone: i64) -> String {
    local(at, zone).date().to_string()
}

pub(super) fn monday(date: &str) -> String {
    use chrono::Datelike as _;
    let date: chrono::NaiveDate = date.parse().unwrap();
    (date - chrono::Days::new(date.weekday().num_days_from_monday().into())).to_string()
}

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A list of `{name, count}` as a map.
pub(super) fn counts(list: &Value, name: &str, count: &str) -> BTreeMap<Option<String>, i64> {
    let pair = |item: &Value| (item[name].as_str().map(str::to_owned), item[count].as_i64().unwrap());
    let pairs: BTreeMap<_, _> = list.as_array().unwrap().iter().map(pair).collect();
    assert_eq!(pairs.len(), list.as_array().unwrap().len(), "{list}");
    pairs
}
