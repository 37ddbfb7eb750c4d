//! Tests damaged lines: several records on one line, truncated records, padding. Every complete record is found, and the
//! totals of a session do not depend on the damage.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use han_transcript::MessageKind;
use han_transcript::fold::{LinePosition, SessionTotals};
use han_transcript::record::{LineContext, project, project_all};
use han_transcript::split::{MAX_RECORDS, is_complete, split};
use han_transcript::view::{MessageView, results, search_text, view, view_all, view_at};
use han_types::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: LineContext<'static> = LineContext { session_id: "session", transcript: "main" };

fn answer(uuid: &str, text: &str, output: i64) -> String {
    let message = json!({"id": format!("msg_{uuid}"), "role": "assistant", "model": "claude-opus-4-6",
        "content": [{"type": "text", "text": text}, {"type": "tool_use", "id": format!("call_{uuid}"), "name": "Write",
                     "input": {"file_path": "/src/a.rs", "content": text}}],
        "usage": {"input_tokens": 7, "output_tokens": output, "cache_read_input_tokens": 11}});
    // Agents write the type first or later.
    format!(
        r#"{{"parentUuid":null,"type":"assistant","message":{message},"requestId":"req_{uuid}","uuid":"{uuid}","timestamp":"2026-11-20T09:00:01.000Z"}}"#
    )
}

fn prompt(uuid: &str, text: &str) -> String {
    json!({"type": "user", "uuid": uuid, "timestamp": "2026-11-20T09:00:00.000Z",
           "message": {"role": "user", "content": text}})
    .to_string()
}

/// The records that are found in a line, as texts.
fn found(line: &str) -> Vec<&str> {
    let pieces = split(line);
    let bytes: usize = pieces.records.iter().map(|at| at.len()).sum();
    assert_eq!(bytes as u64 + pieces.rest.bytes(), line.len() as u64, "every byte is counted: {line:?}");
    pieces.records.into_iter().map(|at| &line[at]).collect()
}

#[test]
fn complete_records_are_found_in_each_kind_of_damage() {
    let (a, b) = (answer("a", "one { \"two\" } \\", 5), prompt("b", "please"));
    let half = &a[..a.len() / 2];
    for (line, expected) in [
        (a.clone(), vec![&a]),
        (format!("{a}{b}"), vec![&a, &b]),
        (format!("{a} \t{b}\r"), vec![&a, &b]),
        (format!("{half}{b}"), vec![&b]),
        (format!("{half}{a}{b}"), vec![&a, &b]),
        (format!("{half}{b}{half}"), vec![&b]),
        (format!("{half}{half}{b}"), vec![&b]),
        (format!("{}{b}", &a[a.len() / 2..]), vec![&b]),
        (format!("\0\0\0{a}\0\0{b}\0"), vec![&a, &b]),
        (format!("{half}\0\0\0{b}"), vec![&b]),
        (format!("\u{feff}{a}\r"), vec![&a]),
        (format!("\u{feff}\0\r{half}\u{feff}{b}"), vec![&b]),
        (format!("garbage {b}"), vec![&b]),
        (format!("{b} garbage"), vec![&b]),
        (format!("{b}}}"), vec![&b]),
        (half.to_owned(), vec![]),
        (format!("[{a}]"), vec![&a]),
        (format!("[{a},{b},{a}]"), vec![&a, &b, &a]),
        (format!("[{a},\n {b}"), vec![&a, &b]),
        (format!("{a},{b},{a},{b}"), vec![&a, &b, &a, &b]),
        (format!("{a} , {b} ,\t{a}"), vec![&a, &b, &a]),
        (format!("{a}}},{b}}},{a}"), vec![&a, &b, &a]),
        (format!("{a}],{b}],{a}]"), vec![&a, &b, &a]),
        (format!("{{{a},{b},{a}}}"), vec![&a, &b, &a]),
        (format!("{a}:{b}:{a}}}{b}"), vec![&a, &b, &a, &b]),
        (format!("{a},\0{b}\0,{a}\0\0"), vec![&a, &b, &a]),
        (format!("\0{a},{b},{a}"), vec![&a, &b, &a]),
        (format!("{half}{a},{b},{a}"), vec![&a, &b, &a]),
        (format!("{half},{a},{b}"), vec![&a, &b]),
        (format!("text {a},{b}, {half}"), vec![&a, &b]),
        (format!("{a},{b},{half}"), vec![&a, &b]),
        (format!("{a},{{\"other\":1}},{b}"), vec![&a, &b]),
        (Value::from(a.as_str()).to_string(), vec![]),
        (String::new(), vec![]),
        ("\0\0".to_owned(), vec![]),
    ] {
        assert_eq!(found(&line), expected, "{line:?}");
    }
}

#[test]
fn objects_inside_a_damaged_record_are_no_records() {
    let a = answer("a", "text", 5);
    for at in (1..a.len()).filter(|at| a.is_char_boundary(*at)) {
        assert_eq!(found(&a[..at]), Vec::<&str>::new(), "the first {at} bytes");
        assert_eq!(found(&a[at..]), Vec::<&str>::new(), "without the first {at} bytes");
        assert_eq!(found(&format!("{}\0\0\0{}", &a[..at], &a[at..])), Vec::<&str>::new(), "NUL at {at}");
    }
    // A progress line contains complete records of its subagent.
    let named =
        |record: String, session: &str| record.replacen('{', &format!("{{\"sessionId\":\"{session}\","), 1);
    let (inner, other) = (answer("i", "inner", 5), named(prompt("o", "other"), "another"));
    let b = named(prompt("b", "please"), "s");
    // Names no session.
    let snapshot =
        r#"{"type":"file-history-snapshot","messageId":"m","snapshot":{},"isSnapshotUpdate":false}"#;
    for data in [
        format!(r#"{{"message":{inner},"agentId":"x"}}"#),
        format!(r#"{{"agentId":"x","normalizedMessages":[{inner},{other},{inner}]}}"#),
        format!(r#"{{"message":{inner},"normalizedMessages":[{other}, {inner}]}}"#),
    ] {
        let progress = format!(
            r#"{{"type":"progress","uuid":"p","sessionId":"s","data":{data},"timestamp":"2026-11-20T09:00:00.000Z"}}"#
        );
        for at in 1..progress.len() {
            let (head, tail) = progress.split_at(at);
            assert_eq!(found(head), Vec::<&str>::new(), "{head}");
            assert_eq!(found(&format!("{head}{b}")), [&b], "{head}");
            assert_eq!(found(&format!("{head}{snapshot}")), [snapshot], "{head}");
            assert_eq!(found(&format!("{head}\0\0{b}")), [&b], "{head}");
            assert_eq!(found(tail), Vec::<&str>::new(), "{tail}");
            assert_eq!(found(&format!("{tail}{b}")), [&b], "{tail}");
            assert_eq!(found(&format!("{head}\0\0\0{tail}")), Vec::<&str>::new(), "NUL at {at}: {progress}");
        }
    }
}

#[test]
fn a_line_without_line_feed_is_complete_if_it_ends_outside_of_an_object() {
    let (a, b) = (answer("a", "text", 5), prompt("b", "please"));
    let half = &a[..a.len() / 2];
    for end in ["", "\0\0\0", "\r", " ", "\t", "\u{feff}", &b, ",", "]", " \0\r"] {
        assert!(is_complete(&format!("{a}{end}")), "{end:?}");
        assert!(is_complete(&format!("{half}{a}{end}")), "{end:?}");
        assert!(!is_complete(&format!("{half}{end}")) || end == b, "{end:?}");
    }
    for line in ["", "\0\0", "\r", "text", "[1]"] {
        assert!(!is_complete(line), "{line:?}");
    }
    let progress = format!(r#"{{"type":"progress","uuid":"p","data":{{"message":{a}}},"timestamp":"x"}}"#);
    for whole in [&a, &b, &progress] {
        for at in 0..whole.len() {
            assert!(!is_complete(&whole[..at]), "{}", &whole[..at]);
            assert!(!is_complete(&format!("{a}\0{}", &whole[..at])) || at == 0, "{}", &whole[..at]);
        }
    }
}

#[test]
fn the_rest_is_counted_by_kind() {
    let b = prompt("b", "please");
    let rest = split(&format!("\u{feff}{b}\0\0\0{b}\r{{\"cut\":tru{b}text\0")).rest;
    let share = |share: han_transcript::split::Share| (share.pieces, share.bytes);
    assert_eq!(share(rest.byte_order_marks), (1, 3));
    assert_eq!(share(rest.nul), (2, 4));
    assert_eq!(share(rest.white_space), (1, 1));
    assert_eq!(share(rest.cut_records), (1, 10));
    assert_eq!(share(rest.text), (1, 4));
    assert!(rest.is_damaged() && !split(&format!("{b} \r")).rest.is_damaged());
    let many = split(&b.repeat(MAX_RECORDS + 2));
    assert_eq!((many.records.len(), many.rest.beyond_limit.pieces), (MAX_RECORDS, 2));
}

#[test]
fn every_record_of_a_line_is_projected_displayed_and_searchable() {
    let (a, b) = (answer("a", "apricot", 5), prompt("b", "blueberry"));
    let result = json!({"type": "user", "uuid": "r", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "call_a", "content": "cherry"}]}})
    .to_string();
    let line = format!("{}{a}\0{b}{result}", &a[..40]);
    let projected = project_all(&line, &AT);
    let kinds: Vec<_> =
        projected.records.iter().map(|record| (record.position, record.kind, &*record.uuid)).collect();
    let expected = [
        (0, MessageKind::Assistant, "a"),
        (1, MessageKind::RegularUser, "b"),
        (2, MessageKind::ToolResultUser, "r"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!((projected.rest.cut_records.bytes, projected.rest.nul.bytes), (40, 1));
    // Each record is the one that an undamaged line of it has.
    assert_eq!(projected.records[0], project(&a, &AT));
    assert_eq!(project(&line, &AT), projected.records[0]);
    assert_eq!(view_all(&line), [view(&a), view(&b), view(&result)]);
    assert_eq!((view_at(&line, 1), view_at(&line, 9)), (view(&b), view(&a)));
    assert_eq!(results(&line, 2), results(&result, 0));
    for word in ["apricot", "blueberry", "cherry"] {
        assert!(search_text(&line, usize::MAX).contains(word), "{word}");
    }
}

#[test]
fn a_line_without_a_record_is_one_unknown_event() {
    for line in ["", "garbage", "[1]", "{\"type\":\"user\",\"uuid\":\"u", "\0\0"] {
        let projected = project_all(line, &AT);
        let [record] = projected.records.as_slice() else { panic!("{line:?}") };
        assert_eq!((record.kind, record.own_uuid), (MessageKind::UnknownEvent, false));
        assert!(matches!(view_all(line).as_slice(), [MessageView::UnknownEvent(_)]));
    }
}

/// If the time were not linear, this test would take hours.
#[test]
fn hostile_lines_of_megabytes_take_linear_time() {
    const BYTES: usize = 4 << 20;
    let record = prompt("u", "x");
    let cut = record[..record.len() - 1].to_owned();
    for unit in [
        "{",
        "{\"",
        "{\"a\":",
        "{\"a\":[",
        "[{",
        "{\"a\":{}",
        "{}",
        "\0{",
        "{\"a",
        "{ ",
        "\\\"{",
        "{\"\\",
        ",{",
        "{ {",
        "[,",
        "\0,",
        "{\"type\":\"\",\"uuid\":1},",
        "{\"type\":\"\",\"uuid\":1},\"",
        "x:{\"type\":\"\",\"uuid\":1}]",
        &cut,
        &record,
    ] {
        let line = unit.repeat(BYTES / unit.len());
        let pieces = split(&line);
        // A long line may have one for each 128 bytes.
        assert!(pieces.records.len() <= MAX_RECORDS.max(line.len() / 128));
    }
    let nested = format!("{}{}", "{\"a\":".repeat(100_000), record);
    assert!(split(&nested).records.len() <= 1);
}

#[derive(Clone, Debug)]
enum Piece {
    /// A record, by its number.
    Whole(usize),
    /// The first part of a record.
    Cut(usize, prop::sample::Index),
    /// Padding between records.
    Padding(&'static str),
    /// The end of the line.
    Break,
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[{}\\[\\]\"\\\\:,a ]{0,24}",
        Just("{\"type\":\"user\",\"uuid\":\"x\"}".to_owned())
    ]
}

fn pieces(records: usize) -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        1 => (0..records, any::<prop::sample::Index>()).prop_map(|(record, at)| Piece::Cut(record, at)),
        2 => prop::sample::select(vec!["\0", "\0\0\0\0", " ", "\r", "\t\0 "]).prop_map(Piece::Padding),
        2 => Just(Piece::Break),
    ];
    // Every record once and in order, with damage between.
    prop::collection::vec(prop::collection::vec(piece, 0..4), records + 1).prop_map(|between| {
        let mut all = Vec::new();
        for (record, damage) in between.into_iter().enumerate() {
            all.extend(damage);
            all.push(Piece::Whole(record));
        }
        all.pop();
        all
    })
}

/// The lines that these pieces make.
fn lines(records: &[String], pieces: &[Piece]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in pieces {
        let line = lines.last_mut().unwrap();
        match piece {
            Piece::Whole(record) => line.push_str(&records[*record]),
            Piece::Cut(record, at) => {
                let record = &records[*record];
                let at = at.index(record.len());
                let at = (0..=at).rev().find(|at| record.is_char_boundary(*at)).unwrap();
                line.push_str(&record[..at]);
            }
            Piece::Padding(padding) => line.push_str(padding),
            Piece::Break => lines.push(String::new()),
        }
    }
    lines
}

fn fold<'a>(lines: impl IntoIterator<Item = &'a String>) -> SessionTotals {
    let mut totals = SessionTotals::default();
    for (number, line) in (0..).zip(lines) {
        for record in project_all(line, &AT).records {
            let position = LinePosition { time: Timestamp(0), transcript: "main".to_owned(), line: number };
            if record.own_uuid {
                totals.add(&position, &record);
            }
        }
    }
    totals
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn totals_do_not_depend_on_damage(
        texts in prop::collection::vec((any::<bool>(), texts(), 0i64..1000), 1..6),
        bom: bool,
        damage in pieces(6),
    ) {
        let records: Vec<String> = (0..).zip(&texts).map(|(n, (answers, text, output)): (usize, _)| {
            let uuid = format!("u{n}");
            if *answers { answer(&uuid, text, *output) } else { prompt(&uuid, text) }
        }).collect();
        let damage: Vec<Piece> = damage.into_iter()
            .filter(|piece| !matches!(piece, Piece::Whole(n) | Piece::Cut(n, _) if *n >= records.len()))
            .collect();
        let mut damaged = lines(&records, &damage);
        if bom {
            damaged[0].insert(0, '\u{feff}');
        }
        let all: Vec<&str> = damaged.iter().flat_map(|line| found(line)).collect();
        prop_assert_eq!(&all, &records.iter().collect::<Vec<_>>(), "{:?}", damaged);
        let (whole, damaged) = (fold(&records), fold(&damaged));
        prop_assert_eq!(damaged.tokens(), whole.tokens());
        prop_assert_eq!(damaged.turns(), whole.turns());
        prop_assert_eq!(damaged.messages(), whole.messages());
        prop_assert_eq!(damaged.file_changes().len(), whole.file_changes().len());
    }

    #[test]
    fn records_joined_by_separators_are_all_found_and_no_object_inside_them(
        records in prop::collection::vec((any::<bool>(), texts()), 1..7),
        (head, separators) in prop_oneof![
            ("[ \u{feff}\u{0}]{0,3}", prop::collection::vec("[, \\t\r\u{0}\u{feff}]{0,4}", 7)),
            // After NUL, a closing bracket may be that of a record whose beginning is missing.
            ("[ \u{feff}]{0,3}|\\[|\\{", prop::collection::vec(" ?[}\\]], ?|,[\\[{]|", 7)),
        ],
    ) {
        let records: Vec<String> = (0..).zip(&records).map(|(n, (has_part, text)): (usize, _)| {
            let (part, whole) = (answer(&format!("i{n}"), text, 1), answer(&format!("u{n}"), text, 1));
            if !has_part {
                return whole;
            }
            json!({"type": "progress", "uuid": format!("p{n}"), "data": {"message": part.parse::<Value>().unwrap(),
                   "text": whole, "normalizedMessages": [part.parse::<Value>().unwrap()]}}).to_string()
        }).collect();
        let mut line = head;
        for (record, separator) in records.iter().zip(&separators) {
            line.push_str(record);
            line.push_str(separator);
        }
        prop_assert_eq!(found(&line), records.iter().collect::<Vec<_>>(), "{:?}", line);
        let begins_another = line.ends_with('{');
        prop_assert!(is_complete(&line) || begins_another);
    }

    #[test]
    fn any_text_is_split_into_ranges_that_do_not_overlap(text in "[{}\\[\\]\"\\\\:,a\u{0}1e.tru-\u{feff} ]{0,60}|\\PC{0,40}") {
        let objects = found(&text);
        for object in objects {
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(object).is_ok(), "{object:?}");
        }
        let is_object = text.trim_start().starts_with('{')
            && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        if is_object {
            prop_assert_eq!(found(&text), [text.trim_matches([' ', '\t', '\r', '\n'])]);
        }
    }
}
