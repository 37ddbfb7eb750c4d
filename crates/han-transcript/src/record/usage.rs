//! Token counters of one assistant line. Not here: counting an answer of several lines once (`fold`).

use crate::json::{self, Object};
use crate::text::{MAX_NAME, id, label};

/// The maximum of one token counter of one line: far more than any answer has, and low enough that the sum over nine
/// thousand million hostile lines fits into 64 bits.
pub const MAX_TOKENS: i64 = 1_000_000_000;

/// The token counters of an answer, as one line reports them. The lines of one answer share `message_id`, and the first
/// of them have a partial `output`: use the maximum of each counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The answer: `message.id`, or `line:` and the line's uuid if it has none.
    pub message_id: String,
    /// The model that answered.
    pub model: Option<String>,
    /// Input tokens that were neither read from nor written to a cache.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Input tokens read from the cache.
    pub cache_read: i64,
    /// Input tokens written to the cache for five minutes; all written tokens if the line does not split them.
    pub cache_creation_5m: i64,
    /// Input tokens written to the cache for an hour.
    pub cache_creation_1h: i64,
}

impl Usage {
    /// All input tokens written to the cache.
    #[must_use]
    pub fn cache_creation(&self) -> i64 {
        self.cache_creation_5m.saturating_add(self.cache_creation_1h)
    }

    pub(super) fn read(message: &Object<'_>, line_uuid: &str) -> Option<Self> {
        let usage = message.object("usage")?;
        let tokens =
            |object: &Object<'_>, name| object.raw(name).and_then(|raw| json::whole(raw, 0, MAX_TOKENS));
        let count = |name| tokens(&usage, name).unwrap_or(0);
        let (cache_creation_5m, cache_creation_1h) = {
            let split = usage.object("cache_creation").unwrap_or_default();
            let five = tokens(&split, "ephemeral_5m_input_tokens").unwrap_or(0);
            let hour = tokens(&split, "ephemeral_1h_input_tokens").unwrap_or(0);
            // The total is billed: if the split differs, the five-minute counter is adjusted.
            match tokens(&usage, "cache_creation_input_tokens") {
                Some(total) => (total - hour.min(total), hour.min(total)),
                None => (five, hour),
            }
        };
        Some(Self {
            message_id: message
                .text("id")
                .and_then(|text| id(&text))
                .unwrap_or_else(|| format!("line:{line_uuid}")),
            model: message.text("model").and_then(|model| label(&model, MAX_NAME)),
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_creation_5m,
            cache_creation_1h,
        })
    }
}
