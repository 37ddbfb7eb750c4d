//! Sentiments that Han detected in prompts: of one prompt, and a summary per session. Nothing is inferred about prompts
//! that Han did not analyse.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_graphql::{ID, SimpleObject};
use han_db::entities::Sentiment;

/// The number of signals in a summary.
const TOP_SIGNALS: usize = 5;

/// The sentiment that Han detected in a prompt.
#[derive(Clone, Debug, SimpleObject)]
pub struct SentimentAnalysis {
    /// The global id, `SentimentAnalysis:<session>:<transcript>:<uuid>` of its line.
    id: ID,
    /// From about -5 to +5.
    sentiment_score: Option<f64>,
    /// `positive`, `neutral` or `negative`.
    sentiment_level: Option<String>,
    /// From 0 to 10; null if no frustration was detected.
    frustration_score: Option<f64>,
    /// `low`, `moderate` or `high`.
    frustration_level: Option<String>,
    /// The signals that it was detected by.
    signals: Vec<String>,
}

impl From<&Sentiment> for SentimentAnalysis {
    fn from(sentiment: &Sentiment) -> Self {
        Self {
            id: ID(format!(
                "SentimentAnalysis:{}:{}:{}",
                sentiment.session_id, sentiment.transcript, sentiment.uuid
            )),
            sentiment_score: sentiment.sentiment,
            sentiment_level: sentiment.sentiment_level.clone(),
            frustration_score: sentiment.frustration,
            frustration_level: sentiment.frustration_level.clone(),
            signals: sentiment.signals.clone(),
        }
    }
}

/// The frustration in a session's prompts, as far as Han analysed them. docs/METRICS.md has the formulas.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
pub struct FrustrationSummary {
    /// The mean of the frustration scores, from 0 to 10; null if no sentiment has one.
    average_score: Option<f64>,
    /// The highest frustration score.
    peak_score: Option<f64>,
    /// `high` or `moderate` if at least a quarter of the sentiments have that level or a higher one, else `low`.
    overall_level: &'static str,
    /// The number of sentiments of level `high`.
    high_count: i64,
    /// The number of sentiments of level `moderate`.
    moderate_count: i64,
    /// The number of prompts that were analysed.
    total_analyzed: i64,
    /// The most frequent signals of moderate and high frustration, at most five.
    top_signals: Vec<String>,
}

impl FrustrationSummary {
    /// The summary of a session's sentiments; `None` if there are none.
    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
    pub(crate) fn of(sentiments: &[Sentiment]) -> Option<Self> {
        if sentiments.is_empty() {
            return None;
        }
        let scores: Vec<f64> = sentiments.iter().filter_map(|sentiment| sentiment.frustration).collect();
        let of_level = |level: &str| {
            sentiments
                .iter()
                .filter(|sentiment| sentiment.frustration_level.as_deref() == Some(level))
                .count() as i64
        };
        let (high_count, moderate_count, total_analyzed) =
            (of_level("high"), of_level("moderate"), sentiments.len() as i64);
        let a_quarter = |count: i64| count * 4 >= total_analyzed;
        Some(Self {
            average_score: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
            peak_score: scores.iter().copied().reduce(f64::max),
            overall_level: if a_quarter(high_count) {
                "high"
            } else if a_quarter(high_count + moderate_count) {
                "moderate"
            } else {
                "low"
            },
            high_count,
            moderate_count,
            total_analyzed,
            top_signals: top_signals(sentiments),
        })
    }
}

fn top_signals(sentiments: &[Sentiment]) -> Vec<String> {
    let frustrated = sentiments
        .iter()
        .filter(|sentiment| matches!(sentiment.frustration_level.as_deref(), Some("moderate" | "high")));
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for signal in frustrated.flat_map(|sentiment| &sentiment.signals) {
        *counts.entry(signal).or_default() += 1;
    }
    let mut signals: Vec<_> = counts.into_iter().collect();
    signals.sort_by_key(|(signal, count)| (Reverse(*count), *signal));
    signals.into_iter().take(TOP_SIGNALS).map(|(signal, _)| signal.clone()).collect()
}

#[cfg(test)]
mod tests {
    use han_db::entities::Sentiment;

    use super::FrustrationSummary;

    fn sentiment(frustration: Option<f64>, level: &str, signals: &[&str]) -> Sentiment {
        Sentiment {
            session_id: "s".to_owned(),
            transcript: "main".to_owned(),
            uuid: "u".to_owned(),
            at: 0,
            message_id: None,
            sentiment: None,
            frustration,
            sentiment_level: None,
            frustration_level: Some(level.to_owned()),
            signals: signals.iter().map(|signal| (*signal).to_owned()).collect(),
        }
    }

    #[test]
    fn a_quarter_of_the_sentiments_determines_the_level() {
        let low = || sentiment(None, "low", &["calm"]);
        let high = sentiment(Some(8.0), "high", &["CAPS", "repeat"]);
        let moderate = sentiment(Some(4.0), "moderate", &["CAPS"]);
        let of = |sentiments: &[Sentiment]| FrustrationSummary::of(sentiments).unwrap();
        assert_eq!(FrustrationSummary::of(&[]), None);
        assert_eq!(of(&[low()]).overall_level, "low");
        assert_eq!(of(&[low()]).average_score, None, "none was scored");
        assert_eq!(of(&[low(), low(), low(), moderate.clone()]).overall_level, "moderate");
        assert_eq!(of(&[low(), low(), low(), low(), moderate.clone()]).overall_level, "low");
        let three = of(&[low(), high.clone(), moderate.clone()]);
        assert_eq!(
            (three.overall_level, three.average_score, three.peak_score),
            ("high", Some(6.0), Some(8.0))
        );
        assert_eq!((three.high_count, three.moderate_count, three.total_analyzed), (1, 1, 3));
        assert_eq!(three.top_signals, ["CAPS", "repeat"], "signals of calm prompts do not count");
    }
}
