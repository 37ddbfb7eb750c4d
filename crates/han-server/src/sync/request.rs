//! Reading a push's JSON in one pass. Lines are not parsed, only found: each is a range of the body. What goes beyond
//! a limit is counted, not kept, so that a small body cannot become a large list.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use han_http::Problem;
use han_types::sync::SessionMetadata;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::Limits;

/// A push, whose lines lie in its body.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) body: Arc<String>,
    pub(crate) team_id: Option<String>,
    pub(crate) batches: Vec<PushedBatch>,
}

/// Lines of one file of one session, as a client sent them.
#[derive(Debug)]
pub(crate) struct PushedBatch {
    pub(crate) session_id: String,
    pub(crate) transcript: Option<String>,
    pub(crate) offset: Option<u64>,
    pub(crate) metadata: SessionMetadata,
    /// Where each line lies in the body: the JSON value as it stands. Not all of them beyond the limit.
    pub(crate) lines: Vec<Range<usize>>,
    /// How many lines came.
    pub(crate) count: usize,
}

impl Push {
    /// Reads a body. `team_id` may come last.
    pub(crate) fn parse(body: Arc<String>, limits: &Limits) -> Result<Self, Problem> {
        let reader =
            Reader { base: body.as_ptr() as usize, limits, batches: Cell::new(0), lines: Cell::new(0) };
        let mut json = serde_json::Deserializer::from_str(&body);
        let read = reader.deserialize(&mut json).and_then(|read| json.end().map(|()| read));
        let (team_id, batches) = read.map_err(|err| {
            Problem::bad_request(format!("the body is not a push: {err}. See the sync protocol for its form"))
        })?;
        if reader.batches.get() > limits.sessions_per_request {
            return Err(Problem::too_large(
                "`sessions`",
                limits.sessions_per_request,
                "HAN_MAX_SESSIONS_PER_REQUEST",
                "send fewer batches at once",
            ));
        }
        // Each line may be answered with why it is rejected, so that a small body could become a large answer.
        if reader.lines.get() > limits.lines_per_request {
            return Err(Problem::too_large(
                "`messages` of all sessions together",
                limits.lines_per_request,
                "HAN_MAX_LINES_PER_REQUEST",
                "send fewer lines at once",
            ));
        }
        Ok(Self { body, team_id, batches })
    }
}

impl Push {
    /// The bytes of the longest line.
    pub(crate) fn longest_line(&self) -> usize {
        self.batches.iter().flat_map(|batch| &batch.lines).map(Range::len).max().unwrap_or_default()
    }

    /// The most lines that `batches` batches in a row have.
    pub(crate) fn most_lines(&self, batches: usize) -> usize {
        let lines = |batches: &[PushedBatch]| batches.iter().map(|batch| batch.lines.len()).sum();
        let whole = || lines(&self.batches);
        self.batches.windows(batches).map(lines).max().unwrap_or_else(whole)
    }
}

/// Reads the whole body.
struct Reader<'l> {
    /// Where the body begins in memory: a borrowed value's place in it follows from its own.
    base: usize,
    limits: &'l Limits,
    batches: Cell<usize>,
    /// Lines of all batches.
    lines: Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for &Reader<'_> {
    type Value = (Option<String>, Vec<PushedBatch>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Reader<'_> {
    type Value = (Option<String>, Vec<PushedBatch>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `sessions`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Field {
            TeamId,
            Sessions,
            #[serde(other)]
            Other,
        }
        let (mut team_id, mut sessions) = (None, None);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::TeamId => once(&mut team_id, "team_id", map.next_value::<Option<String>>()?)?,
                Field::Sessions => once(&mut sessions, "sessions", map.next_value_seed(Batches(self))?)?,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let sessions = sessions.ok_or_else(|| A::Error::missing_field("sessions"))?;
        Ok((team_id.flatten(), sessions))
    }
}

/// Reads `sessions`.
struct Batches<'a, 'l>(&'a Reader<'l>);

impl<'de> DeserializeSeed<'de> for Batches<'_, '_> {
    type Value = Vec<PushedBatch>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Batches<'_, '_> {
    type Value = Vec<PushedBatch>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of batches")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut batches = Vec::new();
        while batches.len() < self.0.limits.sessions_per_request {
            match seq.next_element_seed(Batch(self.0))? {
                Some(batch) => batches.push(batch),
                None => break,
            }
        }
        let mut count = batches.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        self.0.batches.set(count);
        Ok(batches)
    }
}

/// Reads one batch.
struct Batch<'a, 'l>(&'a Reader<'l>);

impl<'de> DeserializeSeed<'de> for Batch<'_, '_> {
    type Value = PushedBatch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_, '_> {
    type Value = PushedBatch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch: an object with `session_id` and `messages`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Field {
            SessionId,
            Metadata,
            Transcript,
            Offset,
            Messages,
            #[serde(other)]
            Other,
        }
        let (mut session_id, mut metadata, mut transcript, mut offset, mut messages) =
            (None, None, None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::SessionId => once(&mut session_id, "session_id", map.next_value()?)?,
                Field::Metadata => {
                    once(&mut metadata, "metadata", map.next_value::<Option<SessionMetadata>>()?)?;
                }
                Field::Transcript => {
                    once(&mut transcript, "transcript", map.next_value::<Option<String>>()?)?
                }
                Field::Offset => once(&mut offset, "offset", map.next_value::<Option<u64>>()?)?,
                Field::Messages => once(&mut messages, "messages", map.next_value_seed(Lines(self.0))?)?,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (lines, count) = messages.ok_or_else(|| A::Error::missing_field("messages"))?;
        Ok(PushedBatch {
            session_id: session_id.ok_or_else(|| A::Error::missing_field("session_id"))?,
            transcript: transcript.flatten(),
            offset: offset.flatten(),
            metadata: metadata.flatten().unwrap_or_default(),
            lines,
            count,
        })
    }
}

/// Reads `messages`.
struct Lines<'a, 'l>(&'a Reader<'l>);

impl<'de> DeserializeSeed<'de> for Lines<'_, '_> {
    type Value = (Vec<Range<usize>>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Lines<'_, '_> {
    type Value = (Vec<Range<usize>>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of transcript lines")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut lines = Vec::new();
        let mut count = 0;
        while let Some(line) = seq.next_element::<&'de RawValue>()? {
            count += 1;
            let before = self.0.lines.get();
            self.0.lines.set(before + 1);
            if lines.len() < self.0.limits.lines_per_batch && before < self.0.limits.lines_per_request {
                let start = (line.get().as_ptr() as usize).saturating_sub(self.0.base);
                lines.push(start..start + line.get().len());
            }
        }
        Ok((lines, count))
    }
}

/// Keeps a field's value; a field that stands twice is an error.
fn once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use han_types::sync::PushRequest;
    use proptest::prelude::*;

    use super::Push;
    use crate::config::Limits;

    fn parse(body: &str, limits: &Limits) -> Result<Push, String> {
        Push::parse(Arc::new(body.to_owned()), limits).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn lines_are_found_where_they_stand() {
        let body = r#" {"extra":[[{}]],"sessions":[{"messages":[ {"a" : 1} , "t\"x", 3],"session_id":"s\u0041","offset":7,
            "metadata":{"agent":"x","new":1}},{"session_id":"t","messages":[],"transcript":null}],"team_id":"last"} "#;
        let push = parse(body, &Limits::default()).unwrap();
        assert_eq!(push.team_id.as_deref(), Some("last"));
        let first = &push.batches[0];
        let lines: Vec<&str> = first.lines.iter().map(|range| &push.body[range.clone()]).collect();
        assert_eq!(lines, [r#"{"a" : 1}"#, r#""t\"x""#, "3"]);
        assert_eq!((first.session_id.as_str(), first.offset, first.count), ("sA", Some(7), 3));
        assert_eq!(first.metadata.agent.as_deref(), Some("x"));
        assert_eq!((push.batches[1].transcript.as_deref(), push.batches[1].count), (None, 0));
        assert_eq!((push.longest_line(), push.most_lines(1), push.most_lines(3)), (9, 3, 3));
    }

    #[test]
    fn what_goes_beyond_a_limit_is_counted_and_not_kept() {
        let limits = Limits { lines_per_batch: 2, sessions_per_request: 1, ..Limits::default() };
        let push = parse(r#"{"sessions":[{"session_id":"s","messages":[1,2,3,4]}]}"#, &limits).unwrap();
        assert_eq!((push.batches[0].lines.len(), push.batches[0].count), (2, 4));
        let two = r#"{"sessions":[{"session_id":"s","messages":[]},{"session_id":"t","messages":[]}]}"#;
        assert!(parse(two, &limits).unwrap_err().contains("HAN_MAX_SESSIONS_PER_REQUEST"));
    }

    #[test]
    fn a_body_that_is_no_push_is_told_where_it_goes_wrong() {
        for (body, told) in [
            ("", "EOF"),
            ("[]", "an object with `sessions`"),
            ("{}", "missing field `sessions`"),
            (r#"{"sessions":[{"messages":[]}]}"#, "missing field `session_id`"),
            (r#"{"sessions":[{"session_id":"s"}]}"#, "missing field `messages`"),
            (r#"{"sessions":[],"sessions":[]}"#, "duplicate field `sessions`"),
            (r#"{"sessions":[]} x"#, "trailing characters"),
            (r#"{"sessions":[{"session_id":"s","offset":-1,"messages":[]}]}"#, "u64"),
            (r#"{"sessions":[{"session_id":"s","messages":[{"a":1]}]}"#, "line 1"),
        ] {
            let err = parse(body, &Limits::default()).unwrap_err();
            assert!(err.contains(told), "{body}: {err}");
        }
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let push = parse(
            &format!(r#"{{"x":{deep},"sessions":[{{"session_id":"s","messages":[{deep}]}}]}}"#),
            &Limits::default(),
        );
        assert_eq!(push.unwrap().batches[0].lines[0].len(), 400_000);
    }

    proptest! {
        /// The wire types of han-types are what clients write; this reader must read all of it.
        #[test]
        fn what_a_client_writes_is_read_back(
            team in proptest::option::of(".{0,8}"),
            sessions in proptest::collection::vec((".{0,8}", proptest::option::of(".{0,8}"),
                proptest::option::of(0u64..1000), proptest::collection::vec(".{0,12}", 0..5)), 0..4),
        ) {
            let raw: Vec<Vec<Box<serde_json::value::RawValue>>> = sessions.iter().map(|(_, _, _, lines)|
                lines.iter().map(|l| serde_json::value::to_raw_value(l).unwrap()).collect()).collect();
            let request = PushRequest {
                team_id: team.clone().map(Into::into),
                sessions: sessions.iter().zip(&raw).map(|((id, transcript, offset, _), lines)| han_types::sync::PushBatch {
                    session_id: id.clone().into(),
                    metadata: Default::default(),
                    transcript: transcript.clone().map(Into::into),
                    offset: *offset,
                    messages: lines.iter().map(|l| &**l).collect(),
                }).collect(),
            };
            let push = parse(&serde_json::to_string(&request).unwrap(), &Limits::default()).unwrap();
            prop_assert_eq!(push.team_id, team);
            prop_assert_eq!(push.batches.len(), sessions.len());
            for (read, (id, transcript, offset, lines)) in push.batches.iter().zip(&sessions) {
                prop_assert_eq!(&read.session_id, id);
                prop_assert_eq!(&read.transcript, transcript);
                prop_assert_eq!(read.offset, *offset);
                for (range, line) in read.lines.iter().zip(lines) {
                    let text: String = serde_json::from_str(&push.body[range.clone()]).unwrap();
                    prop_assert_eq!(&text, line);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(body in ".{0,200}") {
            let _ = parse(&body, &Limits::default());
        }
    }
}
