//! Builds request bodies without a serializer, so that lines are sent byte for byte. Not here: files and HTTP.

use std::fmt::Write as _;

use han_types::sync::SessionMetadata;

/// Size limits of requests and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The maximum size of a request's body before compression, in bytes. A larger line gets a request of its own.
    pub body_bytes: usize,
    /// The maximum number of lines in a batch, which the server stores in one transaction; at least 1.
    pub batch_lines: usize,
}

/// Consecutive lines of one transcript within a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<K> {
    /// The caller's key of the transcript.
    pub owner: K,
    /// The number of the first line.
    pub first: u64,
    /// The number of lines.
    pub lines: u64,
}

impl<K> Batch<K> {
    /// The number of the line after the last.
    pub fn end(&self) -> u64 {
        self.first + self.lines
    }
}

/// The transcript that a line belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, K> {
    /// The caller's key of the transcript.
    pub owner: K,
    /// The session's id.
    pub session_id: &'a str,
    /// The transcript's name.
    pub transcript: &'a str,
}

/// Builds the body of a request.
#[derive(Debug)]
pub struct RequestBuilder<K> {
    limits: BatchLimits,
    body: String,
    batches: Vec<Batch<K>>,
    /// The open batch's closing text, with the metadata as of its last line.
    tail: Option<String>,
}

/// The maximum number of batches in a request. It is below the limit of the server (1,000 by default in han-server).
const MAX_BATCHES: usize = 500;

/// Closes `sessions` and the request.
const END: &str = "]}";

impl<K: Copy + PartialEq> RequestBuilder<K> {
    /// An empty request to `team`; `None` means the credential's team.
    #[must_use]
    pub fn new(limits: BatchLimits, team: Option<&str>) -> Self {
        let team = team.map(|team| format!("\"team_id\":{},", json_string(team))).unwrap_or_default();
        Self { limits, body: format!("{{{team}\"sessions\":["), batches: Vec::new(), tail: None }
    }

    /// Whether the request has no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds line `number` of `source`, with `wire` as its JSON. Returns false if it does not fit; the first line always
    /// fits. Consecutive lines share a batch, until the batch is full.
    pub fn add(
        &mut self,
        source: Source<'_, K>,
        metadata: &SessionMetadata,
        number: u64,
        wire: &str,
    ) -> bool {
        let tail = tail(metadata);
        let joins = self.batches.last().is_some_and(|open| {
            open.owner == source.owner && open.end() == number && open.lines < self.limits.batch_lines as u64
        });
        if !joins && self.batches.len() == MAX_BATCHES {
            return false;
        }
        let lead = if joins { ",".to_owned() } else { self.opening(source, number) };
        let closed = self.body.len() + lead.len() + wire.len() + tail.len() + END.len();
        if closed > self.limits.body_bytes && !self.is_empty() {
            return false;
        }
        self.body.push_str(&lead);
        self.body.push_str(wire);
        self.tail = Some(tail);
        match self.batches.last_mut() {
            Some(open) if joins => open.lines += 1,
            _ => self.batches.push(Batch { owner: source.owner, first: number, lines: 1 }),
        }
        true
    }

    /// The text that closes the open batch, if there is one, and opens the next.
    fn opening(&self, source: Source<'_, K>, number: u64) -> String {
        let mut text = String::new();
        if let Some(tail) = &self.tail {
            text.push_str(tail);
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{{\"session_id\":{},\"transcript\":{},\"offset\":{number},\"messages\":[",
            json_string(source.session_id),
            json_string(source.transcript),
        );
        text
    }

    /// The finished body and its batches, in the order of the server's results.
    #[must_use]
    pub fn finish(mut self) -> (String, Vec<Batch<K>>) {
        if let Some(tail) = &self.tail {
            self.body.push_str(tail);
        }
        self.body.push_str(END);
        (self.body, self.batches)
    }
}

/// The closing text of a batch. Metadata comes after the lines, because the branch is known only after the last line.
fn tail(metadata: &SessionMetadata) -> String {
    // Five optional strings always serialise.
    let metadata = serde_json::to_string(metadata).unwrap_or_else(|_| "{}".to_owned());
    format!("],\"metadata\":{metadata}}}")
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
