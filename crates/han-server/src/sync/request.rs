//! Parses the JSON of a push in one pass. Transcript lines are not parsed, only located: each is a slice of the body,
//! without a copy. Items beyond a limit are counted but not kept, so that a small body cannot become a large list.

use std::cell::Cell;
use std::fmt;

use bytes::Bytes;
use han_types::sync::SessionMetadata;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::ServerLimits;
use han_http::Problem;

/// A push.
#[derive(Debug)]
pub(crate) struct Push {
    /// The bytes of its body, which all lines share.
    pub(crate) body_bytes: usize,
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
    /// The JSON value of each line, as sent. Lines beyond a limit are missing.
    pub(crate) lines: Vec<Bytes>,
    /// How many lines were sent.
    pub(crate) count: usize,
}

impl Push {
    /// Parses a body. `team_id` may come last.
    pub(crate) fn parse(body: &Bytes, limits: &ServerLimits) -> Result<Self, Problem> {
        let parser = BodyParser { body, limits, batches: Cell::new(0), lines: Cell::new(0) };
        let mut json = serde_json::Deserializer::from_slice(body);
        let parsed = parser.deserialize(&mut json).and_then(|parsed| json.end().map(|()| parsed));
        let (team_id, batches) = parsed.map_err(|err| {
            Problem::bad_request(format!(
                "the body is not a push: {err}. The format is described in the sync protocol (docs/SYNC.md)"
            ))
        })?;
        if parser.batches.get() > limits.sessions_per_request {
            return Err(Problem::too_large(
                "`sessions`",
                limits.sessions_per_request,
                "HAN_MAX_SESSIONS_PER_REQUEST",
                "send fewer batches at once",
            ));
        }
        // The response may name a reason for each line, so a small body could cause a large response.
        if parser.lines.get() > limits.lines_per_request {
            return Err(Problem::too_large(
                "`messages` of all sessions together",
                limits.lines_per_request,
                "HAN_MAX_LINES_PER_REQUEST",
                "send fewer lines at once",
            ));
        }
        Ok(Self { body_bytes: body.len(), team_id, batches })
    }

    /// The bytes of the longest line.
    pub(crate) fn longest_line(&self) -> usize {
        self.batches.iter().flat_map(|batch| &batch.lines).map(Bytes::len).max().unwrap_or_default()
    }

    /// The most lines of any `batches` consecutive batches.
    pub(crate) fn most_lines(&self, batches: usize) -> usize {
        let lines = |batches: &[PushedBatch]| batches.iter().map(|batch| batch.lines.len()).sum();
        let whole = || lines(&self.batches);
        self.batches.windows(batches).map(lines).max().unwrap_or_else(whole)
    }
}

/// Parses the whole body.
struct BodyParser<'b> {
    /// The body that is parsed: lines are slices of it.
    body: &'b Bytes,
    limits: &'b ServerLimits,
    batches: Cell<usize>,
    /// Lines of all batches.
    lines: Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for &BodyParser<'_> {
    type Value = (Option<String>, Vec<PushedBatch>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &BodyParser<'_> {
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

/// Parses `sessions`.
struct Batches<'a, 'b>(&'a BodyParser<'b>);

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

/// Parses one batch.
struct Batch<'a, 'b>(&'a BodyParser<'b>);

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

/// Parses `messages`.
struct Lines<'a, 'b>(&'a BodyParser<'b>);

impl<'de> DeserializeSeed<'de> for Lines<'_, '_> {
    type Value = (Vec<Bytes>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Lines<'_, '_> {
    type Value = (Vec<Bytes>, usize);

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
                // A borrowed `RawValue` is always part of the input, so `slice_ref` finds it in the body.
                lines.push(self.0.body.slice_ref(line.get().as_bytes()));
            }
        }
        Ok((lines, count))
    }
}

/// Keeps the value of a field; a repeated field is an error.
fn once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use han_types::sync::PushRequest;
    use proptest::prelude::*;

    use super::Push;
    use crate::config::ServerLimits;

    fn parse(body: &str, limits: &ServerLimits) -> Result<Push, String> {
        Push::parse(&Bytes::copy_from_slice(body.as_bytes()), limits)
            .map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn lines_are_slices_of_the_body() {
        let body = r#" {"extra":[[{}]],"sessions":[{"messages":[ {"a" : 1} , "t\"x", 3],"session_id":"s\u0041","offset":7,
            "metadata":{"agent":"x","new":1}},{"session_id":"t","messages":[],"transcript":null}],"team_id":"last"} "#;
        let push = parse(body, &ServerLimits::default()).unwrap();
        assert_eq!(push.team_id.as_deref(), Some("last"));
        let first = &push.batches[0];
        assert_eq!(first.lines, [r#"{"a" : 1}"#, r#""t\"x""#, "3"]);
        assert_eq!((first.session_id.as_str(), first.offset, first.count), ("sA", Some(7), 3));
        assert_eq!(first.metadata.agent.as_deref(), Some("x"));
        assert_eq!((push.batches[1].transcript.as_deref(), push.batches[1].count), (None, 0));
        assert_eq!((push.longest_line(), push.most_lines(1), push.most_lines(3)), (9, 3, 3));
    }

    #[test]
    fn items_beyond_a_limit_are_counted_but_not_kept() {
        let limits = ServerLimits { lines_per_batch: 2, sessions_per_request: 1, ..ServerLimits::default() };
        let push = parse(r#"{"sessions":[{"session_id":"s","messages":[1,2,3,4]}]}"#, &limits).unwrap();
        assert_eq!((push.batches[0].lines.len(), push.batches[0].count), (2, 4));
        let two = r#"{"sessions":[{"session_id":"s","messages":[]},{"session_id":"t","messages":[]}]}"#;
        assert!(parse(two, &limits).unwrap_err().contains("HAN_MAX_SESSIONS_PER_REQUEST"));
    }

    #[test]
    fn the_error_for_a_malformed_body_names_the_mistake() {
        for (body, expected) in [
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
            let err = parse(body, &ServerLimits::default()).unwrap_err();
            assert!(err.contains(expected), "{body}: {err}");
        }
    }

    #[test]
    fn lines_share_the_memory_of_the_body() {
        let body = Bytes::from_static(br#"{"sessions":[{"session_id":"s","messages":[{"a":1}]}]}"#);
        let push = Push::parse(&body, &ServerLimits::default()).unwrap();
        assert!(body.as_ptr_range().contains(&push.batches[0].lines[0].as_ptr()));
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let push = parse(
            &format!(r#"{{"x":{deep},"sessions":[{{"session_id":"s","messages":[{deep}]}}]}}"#),
            &ServerLimits::default(),
        );
        assert_eq!(push.unwrap().batches[0].lines[0].len(), 400_000);
    }

    proptest! {
        /// Clients serialize the wire types of han-types; the parser must accept all of them.
        #[test]
        fn serialized_pushes_are_parsed_back(
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
            let push = parse(&serde_json::to_string(&request).unwrap(), &ServerLimits::default()).unwrap();
            prop_assert_eq!(push.team_id, team);
            prop_assert_eq!(push.batches.len(), sessions.len());
            for (read, (id, transcript, offset, lines)) in push.batches.iter().zip(&sessions) {
                prop_assert_eq!(&read.session_id, id);
                prop_assert_eq!(&read.transcript, transcript);
                prop_assert_eq!(read.offset, *offset);
                for (found, line) in read.lines.iter().zip(lines) {
                    let text: String = serde_json::from_slice(found).unwrap();
                    prop_assert_eq!(&text, line);
                }
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(body in ".{0,200}") {
            let _ = parse(&body, &ServerLimits::default());
        }
    }
}
