//! Token counters of one assistant line. Not here: counting an answer of several lines once (`fold`).

use uuid::Uuid;

use super::MAX_ITEMS;
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

/// [`LineRecord::answer`](super::LineRecord::answer) of a line with these counters.
pub(super) fn answer_of(usage: Option<&Usage>, message: &Object<'_>) -> Option<i32> {
    let of_message = || message.text("id").and_then(|text| id(&text)).map(|id| key(&["message", &id]));
    let [a, b, c, d, ..] = usage.map(Usage::copy_key).or_else(of_message)?;
    Some(i32::from_le_bytes([a, b, c, d]))
}

/// The token counters of an answer, as one line reports them. The lines of one answer share `message_id`, and the first
/// of them have a partial `output`: use the maximum of each counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The answer: `message.id`, or `line:` and the line's uuid if it has none.
    pub message_id: String,
    /// The request that was answered (`requestId`). With `message_id`, it identifies the answer.
    pub request_id: Option<String>,
    /// Without a `requestId`: the line's uuid. A fork repeats it.
    pub line_uuid: Option<String>,
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
    /// 0 for the answer itself. Tokens that another model used inside the answer (`usage.iterations`, such as an
    /// advisor's) are not in the answer's counters; they have the position of their iteration plus 1.
    pub part: usize,
    /// What the price depends on, besides model, time and tokens.
    pub terms: Terms,
    /// The tokens of the prompt of the answer's largest request. Some models have other prices for long prompts.
    pub prompt: i64,
    /// The number of searches on the web that the answer requested from the API.
    pub web_searches: i64,
}

/// What the price of an answer depends on, besides its model, time and tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Terms {
    /// `usage.speed`; `None` is the standard speed.
    pub speed: Option<String>,
    /// `usage.service_tier`; `None` is the standard tier.
    pub tier: Option<String>,
    /// `usage.inference_geo`: where the model ran; `None` is anywhere.
    pub geography: Option<String>,
}

impl Terms {
    fn read(usage: &Object<'_>) -> Self {
        let term = |name, usual: &[&str]| {
            let value = usage.text(name).and_then(|value| label(&value, 64))?;
            (!usual.contains(&value.as_str())).then_some(value)
        };
        Self {
            speed: term("speed", &["standard"]),
            tier: term("service_tier", &["standard"]),
            geography: term("inference_geo", &["global", "not_available"]),
        }
    }
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
        let answer = match &self.request_id {
            Some(request) => key(&["request", &self.message_id, request]),
            None => {
                let model = self.model.as_deref().unwrap_or_default();
                let prompt = [self.input, self.cache_read, self.cache_creation()].map(|n| n.to_string());
                key(&["message", &self.message_id, model, &prompt[0], &prompt[1], &prompt[2]])
            }
        };
        self.part_key(answer)
    }

    /// Identifies the answer among the sessions of a team, in 16 bytes, if this is its first line. Some gateways give all
    /// answers one `message.id`, so without a `requestId` the uuid of the line is part of it. Its bytes are not: a fork
    /// writes the line again with its own `sessionId`.
    #[must_use]
    pub fn answer_key(&self) -> [u8; 16] {
        let answer = self.copy_key();
        let Some(uuid) = &self.line_uuid else { return answer };
        Uuid::new_v5(&ANSWER_NAMESPACE, &[&answer[..], b"\0line\0", uuid.as_bytes()].concat()).into_bytes()
    }

    /// The key of a part of the answer with this key.
    fn part_key(&self, answer: [u8; 16]) -> [u8; 16] {
        if self.part == 0 {
            return answer;
        }
        let name = [&answer[..], b"\0part\0", self.part.to_string().as_bytes()].concat();
        Uuid::new_v5(&ANSWER_NAMESPACE, &name).into_bytes()
    }

    /// Takes the larger value of each counter, because the counters of an answer only grow from line to line.
    pub fn merge(&mut self, other: &Self) {
        self.input = self.input.max(other.input);
        self.output = self.output.max(other.output);
        self.cache_read = self.cache_read.max(other.cache_read);
        (self.cache_creation_5m, self.cache_creation_1h) = most_written(
            (self.cache_creation_5m, self.cache_creation_1h),
            (other.cache_creation_5m, other.cache_creation_1h),
        );
        self.prompt = self.prompt.max(other.prompt);
        self.web_searches = self.web_searches.max(other.web_searches);
        if other.model > self.model {
            self.model.clone_from(&other.model);
        }
        if other.terms > self.terms {
            self.terms.clone_from(&other.terms);
        }
    }

    /// The usage of an answer, followed by that of other models inside it. Empty if the line has none.
    pub(super) fn read(message: &Object<'_>, request_id: Option<String>, line_uuid: &str) -> Vec<Self> {
        let Some(usage) = message.object("usage") else { return Vec::new() };
        let count = |name| tokens(&usage, name).unwrap_or(0);
        let (cache_creation_5m, cache_creation_1h) = cache_creation(&usage);
        let iterations = usage.list("iterations").unwrap_or_default();
        let iterations: Vec<_> =
            iterations.into_iter().take(MAX_ITEMS).map(|raw| json::object(raw).unwrap_or_default()).collect();
        let (own, others): (Vec<_>, Vec<_>) =
            iterations.iter().enumerate().partition(|(_, iteration)| is_own_request(iteration));
        let web_searches =
            usage.object("server_tool_use").and_then(|tools| tokens(&tools, "web_search_requests"));
        let answer = Self {
            message_id: message
                .text("id")
                .and_then(|text| id(&text))
                .unwrap_or_else(|| format!("line:{line_uuid}")),
            line_uuid: request_id.is_none().then(|| line_uuid.to_owned()),
            request_id,
            model: message.text("model").and_then(|model| label(&model, MAX_NAME)),
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_creation_5m,
            cache_creation_1h,
            part: 0,
            terms: Terms::read(&usage),
            prompt: own.iter().map(|(_, own)| prompt(own)).max().unwrap_or_else(|| prompt(&usage)),
            web_searches: web_searches.unwrap_or(0),
        };
        let parts: Vec<_> = others.into_iter().map(|(at, other)| answer.part(at + 1, other)).collect();
        std::iter::once(answer).chain(parts).collect()
    }

    /// What another model used inside this answer, from its iteration.
    fn part(&self, part: usize, iteration: &Object<'_>) -> Self {
        let count = |name| tokens(iteration, name).unwrap_or(0);
        let (cache_creation_5m, cache_creation_1h) = cache_creation(iteration);
        let model = iteration.text("model").and_then(|model| label(&model, MAX_NAME));
        let terms = Terms::read(iteration);
        Self {
            terms: Terms {
                // An advisor does not run in the answer's fast mode; the answer's own model does.
                speed: terms.speed.or_else(|| self.terms.speed.clone().filter(|_| model.is_none())),
                tier: terms.tier.or_else(|| self.terms.tier.clone()),
                geography: terms.geography.or_else(|| self.terms.geography.clone()),
            },
            model: model.or_else(|| self.model.clone()),
            input: count("input_tokens"),
            output: count("output_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_creation_5m,
            cache_creation_1h,
            part,
            prompt: prompt(iteration),
            web_searches: 0,
            ..self.clone()
        }
    }
}

/// Merges the tokens written to the cache, for five minutes and for an hour, of two lines of one answer. The larger total
/// counts, and of it the larger number for an hour: a line that does not split the total reports all of it as written for
/// five minutes.
#[must_use]
pub fn most_written(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    let total = one.0.saturating_add(one.1).max(other.0.saturating_add(other.1));
    let hour = one.1.max(other.1);
    (total.saturating_sub(hour), hour)
}

/// Whether the counters of an iteration are part of the answer's: it is a request of the answer itself, not one of an
/// advisor or of a compaction.
fn is_own_request(iteration: &Object<'_>) -> bool {
    iteration.text("type").is_none_or(|kind| kind == "message")
}

/// All tokens of a request's prompt.
fn prompt(usage: &Object<'_>) -> i64 {
    let counts = ["input_tokens", "cache_read_input_tokens"].map(|name| tokens(usage, name).unwrap_or(0));
    let (five, hour) = cache_creation(usage);
    counts.into_iter().chain([five, hour]).fold(0, i64::saturating_add)
}

fn tokens(object: &Object<'_>, name: &str) -> Option<i64> {
    object.raw(name).and_then(|raw| json::whole(raw, 0, MAX_TOKENS))
}

/// The tokens written to the cache for five minutes and for an hour.
fn cache_creation(usage: &Object<'_>) -> (i64, i64) {
    let split = usage.object("cache_creation").unwrap_or_default();
    let five = tokens(&split, "ephemeral_5m_input_tokens").unwrap_or(0);
    let hour = tokens(&split, "ephemeral_1h_input_tokens").unwrap_or(0);
    // The total is billed: if the split differs, the five-minute counter is adjusted. Versions before 2.1.152 write
    // a total of 0 beside a split that is right.
    match tokens(usage, "cache_creation_input_tokens") {
        Some(total) if total > 0 => (total - hour.min(total), hour.min(total)),
        _ => (five, hour),
    }
}
