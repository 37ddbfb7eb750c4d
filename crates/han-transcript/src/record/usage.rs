//! Token counters of one assistant line. Not here: counting an answer of several lines once (`fold`).

use uuid::Uuid;

use crate::json::{self, Object};
use crate::text::{MAX_NAME, id, label};

/// The maximum of one token counter of one line: far more than any answer has, and low enough that the sum over nine
/// thousand million hostile lines fits into 64 bits.
pub const MAX_TOKENS: i64 = 1_000_000_000;

/// The namespace of the keys that identify answers: UUIDv5 (RFC 9562, section 5.5) over texts joined by NUL, which is in no
/// id.
pub const ANSWER_NAMESPACE: Uuid = Uuid::from_u128(0x2f0c_7d9b_5e41_4a8f_9d66_31b8_e7a4_c015);

fn key(parts: &[&str]) -> [u8; 16] {
    Uuid::new_v5(&ANSWER_NAMESPACE, parts.join("\0").as_bytes()).into_bytes()
}

/// The token counters of an answer, as one line reports them. The lines of one answer share `message_id`, and the first
/// of them have a partial `output`: use the maximum of each counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The answer: `message.id`, or `line:` and the line's uuid if it has none.
    pub message_id: String,
    /// The request that was answered (`requestId`). With `message_id`, it identifies the answer.
    pub request_id: Option<String>,
    /// Without a `requestId`: a UUIDv5 of the line's uuid and bytes in [`ANSWER_NAMESPACE`].
    pub line_key: Option<Uuid>,
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

    /// Identifies the answer within its session, in 16 bytes. Some gateways give all answers one `message.id`, so without a
    /// `requestId` the model and the counters of the prompt, which are the same on all lines of an answer, are part of it.
    #[must_use]
    pub fn copy_key(&self) -> [u8; 16] {
        match &self.request_id {
            Some(request) => key(&["request", &self.message_id, request]),
            None => {
                let model = self.model.as_deref().unwrap_or_default();
                let prompt = [self.input, self.cache_read, self.cache_creation()].map(|n| n.to_string());
                key(&["message", &self.message_id, model, &prompt[0], &prompt[1], &prompt[2]])
            }
        }
    }

    /// Identifies the answer among the sessions of a team, in 16 bytes, if this is its first line.
    #[must_use]
    pub fn answer_key(&self) -> [u8; 16] {
        self.line_key.map_or_else(|| self.copy_key(), Uuid::into_bytes)
    }

    pub(super) fn read(
        message: &Object<'_>,
        request_id: Option<String>,
        line_uuid: &str,
        line: &str,
    ) -> Option<Self> {
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
            line_key: request_id.is_none().then(|| {
                Uuid::new_v5(&ANSWER_NAMESPACE, &[line_uuid.as_bytes(), b"\0", line.as_bytes()].concat())
            }),
            request_id,
            model: message.text("model").and_then(|model| label(&model, MAX_NAME)),
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_creation_5m,
            cache_creation_1h,
        })
    }
}
