//! The effectiveness score of a session. docs/METRICS.md explains it.

use super::share;

/// The assumed cost of a compaction in turns: the agent must gather the earlier context again.
const TURNS_PER_COMPACTION: i64 = 5;

/// The input of the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    pub turns: i64,
    pub compactions: i64,
    /// Tasks and to-dos.
    pub tasks: i64,
    pub tasks_done: i64,
    pub sentiments: i64,
    /// In thousandths.
    pub sentiment_sum: i64,
}

/// The effectiveness of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionEffectiveness {
    /// The session.
    pub session_id: String,
    /// The time of its first line, in milliseconds since the epoch.
    pub started_at: Option<i64>,
    /// The score, from 0 to 100; `None` if no part of it is known.
    pub score: Option<f64>,
    /// The share of tasks and to-dos that were completed.
    pub completion: Option<f64>,
    /// `turns / (turns + 5 * compactions)`.
    pub focus: Option<f64>,
    /// The mean sentiment of its prompts, from about -5 to +5.
    pub sentiment: Option<f64>,
    /// The trend of its sentiments.
    pub trend: Option<SentimentTrend>,
    /// Turns.
    pub turns: i64,
    /// Compactions.
    pub compactions: i64,
}

/// The trend of sentiments, from the first half of the prompts to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentimentTrend {
    /// Up by more than half a point.
    Improving,
    /// Neither.
    Stable,
    /// Down by more than half a point.
    Declining,
}

impl SentimentTrend {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Improving => "improving",
            Self::Stable => "stable",
            Self::Declining => "declining",
        }
    }

    /// The trend of sentiments in order, in thousandths; `None` if there are fewer than two.
    pub(super) fn of(scores: &[i64]) -> Option<Self> {
        let (first, second) = scores.split_at(scores.len() / 2);
        #[expect(clippy::cast_precision_loss, reason = "a session has few prompts")]
        let mean =
            |part: &[i64]| (!part.is_empty()).then(|| part.iter().sum::<i64>() as f64 / part.len() as f64);
        let change = mean(second)? - mean(first)?;
        Some(match change {
            up if up > 500.0 => Self::Improving,
            down if down < -500.0 => Self::Declining,
            _ => Self::Stable,
        })
    }
}

/// The score is the weighted mean of the parts that are known.
pub(super) fn measure(inputs: &Inputs) -> SessionEffectiveness {
    let completion = share(inputs.tasks_done.min(inputs.tasks), inputs.tasks);
    let focus = share(inputs.turns, inputs.turns + TURNS_PER_COMPACTION * inputs.compactions);
    let sentiment = share(inputs.sentiment_sum, inputs.sentiments).map(|thousandths| thousandths / 1e3);
    let parts = [
        (0.5, completion),
        (0.3, focus.filter(|_| inputs.turns > 0)),
        (0.2, sentiment.map(|score| ((score + 5.0) / 10.0).clamp(0.0, 1.0))),
    ];
    let known = || parts.iter().filter_map(|(weight, part)| Some((weight, (*part)?)));
    let weights: f64 = known().map(|(weight, _)| weight).sum();
    let score =
        (weights > 0.0).then(|| 100.0 * known().map(|(weight, part)| weight * part).sum::<f64>() / weights);
    SessionEffectiveness {
        score,
        completion,
        focus,
        sentiment,
        turns: inputs.turns,
        compactions: inputs.compactions,
        ..SessionEffectiveness::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Inputs, measure};

    #[test]
    fn unknown_parts_have_no_weight() {
        assert_eq!(measure(&Inputs::default()).score, None);
        let focused = measure(&Inputs { turns: 4, ..Inputs::default() });
        assert_eq!((focused.score, focused.focus), (Some(100.0), Some(1.0)));
        let torn =
            measure(&Inputs { turns: 5, compactions: 1, tasks: 2, tasks_done: 1, ..Inputs::default() });
        assert_eq!((torn.focus, torn.completion), (Some(0.5), Some(0.5)));
        assert!((torn.score.unwrap() - 50.0).abs() < 1e-9);
        let glad = measure(&Inputs { sentiments: 2, sentiment_sum: 10_000, ..Inputs::default() });
        assert_eq!((glad.sentiment, glad.score), (Some(5.0), Some(100.0)));
    }
}
