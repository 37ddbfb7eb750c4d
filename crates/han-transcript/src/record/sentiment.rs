//! The sentiment of prompts, as Han analyses it.

use serde::{Deserialize, Serialize};

use super::changes::bounded;
use crate::json;
use crate::line::ParsedLine;
use crate::text::{MAX_NAME, id, label};

/// The sentiment of a prompt (`sentiment_analysis`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SentimentRecord {
    /// The prompt's uuid.
    pub message_id: Option<String>,
    /// From about -5 to +5.
    pub sentiment_score: Option<f64>,
    /// `positive`, `neutral` or `negative`.
    pub sentiment_level: Option<String>,
    /// From 0 to 10, if frustration was found.
    pub frustration_score: Option<f64>,
    /// `low`, `moderate` or `high`.
    pub frustration_level: Option<String>,
    /// The signals in the text, such as `CAPS`.
    pub signals: Vec<String>,
    /// The Han task at the time.
    pub task_id: Option<String>,
}

impl SentimentRecord {
    pub(crate) fn read(line: &ParsedLine<'_>) -> Self {
        let word = |name| line.event_text(name).and_then(|text| label(&text, 64));
        let score = |name| line.event_raw(name).and_then(json::number);
        let signals = line.event_raw("signals").and_then(json::texts).unwrap_or_default();
        Self {
            message_id: line.event_text("message_id").and_then(|text| id(&text)),
            sentiment_score: score("sentiment_score"),
            sentiment_level: word("sentiment_level"),
            frustration_score: score("frustration_score"),
            frustration_level: word("frustration_level"),
            signals: bounded(signals.iter().filter_map(|signal| label(signal, MAX_NAME))),
            task_id: line.event_text("task_id").and_then(|text| id(&text)),
        }
    }
}
