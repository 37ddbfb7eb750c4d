//! Request bodies, assembled by hand so that a line travels as the bytes it was read as. Counts bytes and lines;
//! knows nothing of files or HTTP.

use std::fmt::Write as _;

use han_types::sync::SessionMetadata;

/// How large a request and a batch may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body before compression. A single line that is larger goes alone.
    pub body_bytes: usize,
    /// Lines of one batch (which the server stores in one transaction); at least 1.
    pub batch_lines: usize,
}

/// Consecutive lines of one transcript within a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<K> {
    /// Whose lines these are, in the caller's own terms.
    pub owner: K,
    /// The first line's number.
    pub first: u64,
    /// How many lines.
    pub lines: u64,
}

impl<K> Batch<K> {
    /// The number of the line after the last.
    pub fn end(&self) -> u64 {
        self.first + self.lines
    }
}

/// Which transcript of which session a line belongs to, as the request names it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, K> {
    /// In the caller's own terms.
    pub owner: K,
    /// The session's id.
    pub session_id: &'a str,
    /// The transcript's name.
    pub transcript: &'a str,
}

/// A body under construction, and what it holds.
#[derive(Debug)]
pub struct RequestBuilder<K> {
    limits: Limits,
    body: String,
    batches: Vec<Batch<K>>,
    /// The open batch's closing text, with the metadata as of its last line.
    tail: Option<String>,
}

/// A request holds no more batches than this, so that small batches do not add up to more than a server looks at in
/// one request (han-server takes 1,000 unless configured otherwise).
const MAX_BATCHES: usize = 500;

/// Closes `sessions` and the request.
const END: &str = "]}";

impl<K: Copy + PartialEq> RequestBuilder<K> {
    /// An empty request to `team` (none: the credential's own team).
    #[must_use]
    pub fn new(limits: Limits, team: Option<&str>) -> Self {
        let team = team.map(|team| format!("\"team_id\":{},", json_string(team))).unwrap_or_default();
        Self { limits, body: format!("{{{team}\"sessions\":["), batches: Vec::new(), tail: None }
    }

    /// Whether no line has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Takes line `number` of `source`, whose JSON is `wire`, or says no: it would not fit any more. The first line
    /// always fits. Lines that follow one another join in a batch; a full batch is followed by another.
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

    /// What ends the batch before, if there is one, and begins the next.
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

    /// The finished body and its batches, in the order in which the server answers them.
    #[must_use]
    pub fn finish(mut self) -> (String, Vec<Batch<K>>) {
        if let Some(tail) = &self.tail {
            self.body.push_str(tail);
        }
        self.body.push_str(END);
        (self.body, self.batches)
    }
}

/// Metadata stands after the lines, because the branch is known only when the batch's last line has been seen.
fn tail(metadata: &SessionMetadata) -> String {
    // Five optional strings always serialise.
    let metadata = serde_json::to_string(metadata).unwrap_or_else(|_| "{}".to_owned());
    format!("],\"metadata\":{metadata}}}")
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
