//! Tests that any file, divided into requests in any way, arrives as the same lines in order.

#![allow(clippy::unwrap_used, reason = "reading from memory cannot fail")]

use std::io::{BufReader, Cursor};

use han_coordinator::batch::{BatchLimits, RequestBuilder, Source};
use han_coordinator::lines::{Content, FileLine, LineReader};
use han_types::sync::{PushRequest, SessionMetadata};
use proptest::prelude::*;

fn read_all(bytes: &[u8], buffer: usize, max_bytes: u64) -> Vec<FileLine> {
    let mut reader = LineReader::new(BufReader::with_capacity(buffer, Cursor::new(bytes)));
    std::iter::from_fn(|| reader.next_line(max_bytes).unwrap()).collect()
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(br#"{"type":"user","text":"\ud83d \u00e9"}"#.to_vec()),
        "\\{\"k\":\"[a-zé😀 ]{0,60}\"\\}".prop_map(String::into_bytes),
        "[ -~\t\r\u{0}\u{7f}\u{2028}é😀]{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>().prop_filter("a line has no newline", |&byte| byte != b'\n'), 0..40),
    ]
}

proptest! {
    #[test]
    fn requests_of_any_size_preserve_lines_and_order(
        files in prop::collection::vec(prop::collection::vec(line(), 0..30), 1..4),
        body_bytes in 0usize..2000,
        batch_lines in 1usize..12,
        branch in prop::option::of("[a-z\"\\\\]{0,10}"),
    ) {
        let limits = BatchLimits { body_bytes, batch_lines };
        let metadata = SessionMetadata { git_branch: branch, ..SessionMetadata::default() };
        let mut requests = Vec::new();
        let mut builder = RequestBuilder::new(limits, Some("te\"am"));
        for (owner, file) in files.iter().enumerate() {
            let bytes = file.iter().flat_map(|line| [line.as_slice(), b"\n"]).collect::<Vec<_>>().concat();
            let session = format!("s{owner}");
            let source = Source { owner, session_id: &session, transcript: "main" };
            for line in read_all(&bytes, 16, u64::MAX) {
                if !builder.add(source, &metadata, line.number, &line.content.wire()) {
                    requests.push(std::mem::replace(&mut builder, RequestBuilder::new(limits, Some("te\"am"))).finish());
                    prop_assert!(builder.add(source, &metadata, line.number, &line.content.wire()));
                }
            }
        }
        requests.push(builder.finish());

        let mut arrived = vec![Vec::new(); files.len()];
        for (body, batches) in &requests {
            let request: PushRequest<'_> = serde_json::from_str(body).unwrap();
            prop_assert_eq!(request.team_id.as_deref(), Some("te\"am"));
            prop_assert_eq!(request.sessions.len(), batches.len());
            let lines: usize = request.sessions.iter().map(|batch| batch.messages.len()).sum();
            prop_assert!(body.len() <= body_bytes || lines <= 1, "{} bytes, {lines} lines", body.len());
            for (sent, batch) in request.sessions.iter().zip(batches) {
                prop_assert_eq!(&sent.session_id, &format!("s{}", batch.owner));
                prop_assert_eq!(sent.offset, Some(batch.first));
                prop_assert_eq!(&sent.metadata, &metadata);
                prop_assert_eq!(sent.messages.len() as u64, batch.lines);
                prop_assert!(sent.messages.len() <= batch_lines);
                let lines: &mut Vec<String> = &mut arrived[batch.owner];
                prop_assert_eq!(batch.first, lines.len() as u64);
                lines.extend(sent.messages.iter().map(|raw| match raw.get().starts_with('"') {
                    true => serde_json::from_str(raw.get()).unwrap(),
                    false => raw.get().to_owned(),
                }));
            }
        }
        for (file, lines) in files.iter().zip(&arrived) {
            let expected: Vec<_> = file.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            prop_assert_eq!(&expected, lines);
        }
    }

    #[test]
    fn seek_returns_to_any_line(file in prop::collection::vec(line(), 1..20), buffer in 1usize..64) {
        let bytes = file.join(&b'\n');
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, Cursor::new(&bytes)));
        let lines = read_all(&bytes, 4096, u64::MAX);
        for line in lines.iter().rev() {
            reader.seek(line.number, line.position).unwrap();
            let again = reader.next_line(u64::MAX).unwrap();
            prop_assert_eq!(again.as_ref(), Some(line));
        }
    }
}

#[test]
fn only_a_bare_object_is_sent_unchanged() {
    for (line, is_object) in [
        ("{}", true),
        (r#"{"a":[1,{"b":null}]}"#, true),
        ("{\"a\":1,\r\"b\":2}", true),
        (" {}", false),
        ("{}\r", false),
        ("{}}", false),
        ("{} {}", false),
        (r#"{"a":01}"#, false),
        (r#"{"a":"\x"}"#, false),
        ("{'a':1}", false),
        (r#"{"a":1,}"#, false),
        ("[{}]", false),
        ("\"{}\"", false),
    ] {
        let [read] = <[FileLine; 1]>::try_from(read_all(format!("{line}\n").as_bytes(), 8, 1000)).unwrap();
        assert_eq!(matches!(read.content, Content::Object(_)), is_object, "{line}");
        assert_eq!(read.content.kept(), line);
    }
}

#[test]
fn the_length_limit_excludes_the_line_feed() {
    let kinds =
        |max| read_all(b"{\"a\":12}\n12345678\n{\"a\":123}\n", 3, max).into_iter().map(|line| line.content);
    assert_eq!(kinds(9).filter(|content| matches!(content, Content::TooLong { .. })).count(), 0);
    let over: Vec<_> = kinds(8).collect();
    assert_eq!(over[1], Content::Text("12345678".to_owned()));
    // printf '{"a":123}' | sha256sum
    let sha256 = "917cbcf20ffdb44b525db310004af7597b512c57cf37ad585d9b37b5e6617cca".to_owned();
    assert_eq!(over[2], Content::TooLong { bytes: 9, sha256 });
}

#[test]
fn a_last_line_without_line_feed_is_complete_only_if_it_ends_outside_of_an_object() {
    for (end, lines) in [
        ("{\"a\":1}", 2),
        ("{\"a\":1} ", 2),
        ("{\"a\":1}\r", 2),
        ("{\"a\":1}\0\0\0", 2),
        ("{\"a\":1}\u{feff}", 2),
        ("{\"a\":1}{\"b\":2}", 2),
        ("{\"a\":1}\r{\"b\":2}\r", 2),
        ("{\"a\":1}{\"b\":", 1),
        ("{\"a\":", 1),
        ("text", 1),
        ("[1]", 1),
        ("\0\0", 1),
        (" ", 1),
        ("", 1),
    ] {
        let read = read_all(format!("{{}}\n{end}").as_bytes(), 4, 1000);
        assert_eq!(read.len(), lines, "{end}");
    }
    assert_eq!(read_all(b"{\"a\":1}", 4, 3).len(), 0, "a line over the limit may be incomplete");
    assert_eq!(read_all(b"\n\n", 4, 1000).len(), 2);
}
