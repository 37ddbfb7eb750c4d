//! Moods that Han read from prompts: one prompt's, and what a session's come to. Nothing is inferred from prompts
//! that Han did not read.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_graphql::{ID, SimpleObject};
use han_db::entities::Sentiment;

/// How many signals a summary names.
const TOP_SIGNALS: usize = 5;

/// The mood that Han read from a prompt.
#[derive(Clone, Debug, SimpleObject)]
pub struct SentimentAnalysis {
    /// The global id, `SentimentAnalysis:<session>:<transcript>:<uuid>` of the line that tells it.
    id: ID,
    /// From about -5 to +5.
    sentiment_score: Option<f64>,
    /// `positive`, `neutral` or `negative`.
    sentiment_level: Option<String>,
    /// From 0 to 10, where frustration was found.
    frustration_score: Option<f64>,
    /// `low`, `moderate` or `high`.
    frustration_level: Option<String>,
    /// What gave it away.
    signals: Vec<String>,
}

impl From<&Sentiment> for SentimentAnalysis {
    fn from(mood: &Sentiment) -> Self {
        Self {
            id: ID(format!("SentimentAnalysis:{}:{}:{}", mood.session_id, mood.transcript, mood.uuid)),
            sentiment_score: mood.sentiment,
            sentiment_level: mood.sentiment_level.clone(),
            frustration_score: mood.frustration,
            frustration_level: mood.frustration_level.clone(),
            signals: mood.signals.clone(),
        }
    }
}

/// What the moods that Han read from a session's prompts say of frustration. docs/METRICS.md has the formulas.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
pub struct FrustrationSummary {
    /// The mean of the frustration scores, from 0 to 10; null where no mood has one.
    average_score: Option<f64>,
    /// The highest of them.
    peak_score: Option<f64>,
    /// `high` or `moderate` where at least a quarter of the moods are so or worse, else `low`.
    overall_level: &'static str,
    /// Moods of level `high`.
    high_count: i64,
    /// Moods of level `moderate`.
    moderate_count: i64,
    /// Moods read.
    total_analyzed: i64,
    /// What gave moderate and high frustration away most often, at most five.
    top_signals: Vec<String>,
}

impl FrustrationSummary {
    /// The summary of a session's moods; `None` where none was read.
    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not real ones")]
    pub(crate) fn of(moods: &[Sentiment]) -> Option<Self> {
        if moods.is_empty() {
            return None;
        }
        let scores: Vec<f64> = moods.iter().filter_map(|mood| mood.frustration).collect();
        let of_level = |level: &str| {
            moods.iter().filter(|mood| mood.frustration_level.as_deref() == Some(level)).count() as i64
        };
        let (high_count, moderate_count, total_analyzed) =
            (of_level("high"), of_level("moderate"), moods.len() as i64);
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
            top_signals: top_signals(moods),
        })
    }
}

fn top_signals(moods: &[Sentiment]) -> Vec<String> {
    let frustrated =
        moods.iter().filter(|mood| matches!(mood.frustration_level.as_deref(), Some("moderate" | "high")));
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for signal in frustrated.flat_map(|mood| &mood.signals) {
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

    fn mood(frustration: Option<f64>, level: &str, signals: &[&str]) -> Sentiment {
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
    fn a_quarter_of_the_moods_makes_a_level() {
        let low = || mood(None, "low", &["calm"]);
        let high = mood(Some(8.0), "high", &["CAPS", "repeat"]);
        let moderate = mood(Some(4.0), "moderate", &["CAPS"]);
        let of = |moods: &[Sentiment]| FrustrationSummary::of(moods).unwrap();
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
        assert_eq!(three.top_signals, ["CAPS", "repeat"], "what calm prompts show is no sign of frustration");
    }
}
