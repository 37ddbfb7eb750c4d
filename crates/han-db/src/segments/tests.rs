//! Tests the content of segments: entries round-trip, and malformed content is an error that says why.

use han_crypto::{BinaryField, Packed};
use proptest::prelude::*;
use serde_json::Value;

use super::{Encoded, Entry, Extent, SEGMENT_BYTES, Segment, SegmentBuilder, context, row_id, varint};
use crate::DbError;

/// An entry that owns its bytes.
type Line = (i64, i64, Vec<u8>);

fn borrowed((ordinal, line, text): &Line) -> Entry<'_> {
    Entry { ordinal: *ordinal, line: *line, text }
}

fn encode(lines: &[Line]) -> Encoded {
    let mut builder = SegmentBuilder::new();
    for line in lines {
        builder.push(borrowed(line)).unwrap();
    }
    builder.finish().unwrap().unwrap()
}

fn decode(content: &[u8], extent: &Extent) -> Result<Segment, DbError> {
    Segment::decode("s/main/0/1", content.to_vec(), extent)
}

/// The reason for which content is refused.
fn refusal(content: &[u8], extent: &Extent) -> &'static str {
    match decode(content, extent) {
        Err(DbError::Segment { row, reason }) if row == "s/main/0/1" => reason,
        other => panic!("{content:?}: {other:?}"),
    }
}

/// Lines with increasing ordinals and line numbers that mostly follow each other, but also jump back.
fn lines() -> impl Strategy<Value = Vec<Line>> {
    let jump =
        prop_oneof![8 => Just(0_i64), 1 => -300..300_i64, 1 => -1_000_000_000_000..1_000_000_000_000_i64];
    let gap = prop_oneof![8 => Just(1_i64), 1 => 1..300_i64, 1 => 1..1_000_000_000_000_i64];
    let line = (gap, jump, prop::collection::vec(any::<u8>(), 0..60));
    (0..1_000_000_i64, 0..1_000_000_i64, prop::collection::vec(line, 1..60)).prop_map(
        |(mut ordinal, mut line, steps)| {
            let mut lines = Vec::new();
            for (gap, jump, text) in steps {
                (ordinal, line) = (ordinal + gap, line + 1 + jump);
                lines.push((ordinal, line, text));
            }
            lines
        },
    )
}

proptest! {
    #[test]
    fn entries_round_trip_from_any_base(lines in lines(), ordinals in 0..1_i64 << 40, by in 0..1_i64 << 40) {
        let Encoded { content, extent } = encode(&lines);
        let extent = extent.moved_by(ordinals, by).unwrap();
        let segment = decode(&content, &extent).unwrap();
        prop_assert_eq!(segment.len(), lines.len());
        let moved: Vec<Line> =
            lines.iter().map(|(ordinal, line, text)| (ordinal + ordinals, line + by, text.clone())).collect();
        prop_assert!(segment.entries().eq(moved.iter().map(borrowed)));
        for line in &moved {
            prop_assert_eq!(segment.get(line.0), Some(borrowed(line)));
        }
        for missing in [i64::MIN, extent.first_ordinal - 1, extent.last_ordinal + 1, i64::MAX] {
            prop_assert_eq!(segment.get(missing), None);
        }
        // The base does not change the content.
        prop_assert_eq!(encode(&moved).content, content);
    }

    #[test]
    fn the_size_of_a_builder_is_that_of_the_content(lines in lines()) {
        let mut builder = SegmentBuilder::new();
        for line in &lines {
            builder.push(borrowed(line)).unwrap();
        }
        let size = builder.size();
        let content = builder.finish().unwrap().unwrap().content;
        // Besides: the version, the count, and a longer number for the first line.
        prop_assert!((size + 2..=size + 12).contains(&content.len()), "{size}, {}", content.len());
    }

    #[test]
    fn truncated_content_is_refused(lines in lines(), cut: prop::sample::Index) {
        let Encoded { content, extent } = encode(&lines);
        prop_assert!(decode(&content[..cut.index(content.len())], &extent).is_err());
        prop_assert!(decode(&[&content[..], b"x"].concat(), &extent).is_err());
    }

    #[test]
    fn a_changed_byte_gives_an_error_or_entries_within_the_extent(
        lines in lines(), at: prop::sample::Index, mask in 1..=255_u8,
    ) {
        let Encoded { mut content, extent } = encode(&lines);
        let at = at.index(content.len());
        content[at] ^= mask;
        if let Ok(segment) = decode(&content, &extent) {
            check(&segment, &extent);
        }
    }

    #[test]
    fn random_bytes_give_an_error_or_entries_within_the_extent(
        bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..80),
        first_ordinal in prop_oneof![Just(0), any::<i64>()],
        min_line in prop_oneof![Just(0), any::<i64>()],
        lines in 1..4_i64,
        (ordinals, lines_span) in (0..4_i64, 0..4_i64),
    ) {
        let extent = Extent {
            first_ordinal,
            last_ordinal: first_ordinal.saturating_add(ordinals),
            min_line,
            max_line: min_line.saturating_add(lines_span),
            lines,
        };
        for content in [bytes.clone(), [&[1, lines as u8][..], &bytes].concat()] {
            if let Ok(segment) = decode(&content, &extent) {
                check(&segment, &extent);
            }
        }
    }

    #[test]
    fn lines_are_cut_into_segments_of_bounded_size(
        lens in prop::collection::vec(
            prop_oneof![6 => 0..50_000_usize, 1 => SEGMENT_BYTES - 40..SEGMENT_BYTES + 40],
            1..40,
        ),
    ) {
        let text = vec![b'x'; SEGMENT_BYTES + 40];
        let mut segments: Vec<Encoded> = Vec::new();
        let mut builder = SegmentBuilder::new();
        for (number, len) in lens.iter().enumerate() {
            if !builder.has_room_for(*len) {
                segments.push(std::mem::take(&mut builder).finish().unwrap().unwrap());
            }
            let number = number as i64;
            builder.push(Entry { ordinal: number, line: number, text: &text[..*len] }).unwrap();
        }
        segments.push(builder.finish().unwrap().unwrap());

        let opened: Vec<Segment> =
            segments.iter().map(|Encoded { content, extent }| decode(content, extent).unwrap()).collect();
        for segment in &opened {
            // Only a segment of a single line is larger than the limit and the two numbers at its begin.
            prop_assert!(segment.len() == 1 || segment.content.len() <= SEGMENT_BYTES + 12);
        }
        let found: Vec<usize> =
            opened.iter().flat_map(|segment| segment.entries().map(|entry| entry.text.len())).collect();
        prop_assert_eq!(found, lens);
        for (one, next) in opened.iter().zip(&opened[1..]) {
            let next = next.entries().next().unwrap().text.len();
            prop_assert!(one.content.len() + next + 12 > SEGMENT_BYTES, "the next line had room");
        }
    }
}

/// Whatever was decoded respects its extent, and its entries cover its bytes.
fn check(segment: &Segment, extent: &Extent) {
    let entries: Vec<Entry<'_>> = segment.entries().collect();
    assert_eq!(entries.len() as i64, extent.lines);
    assert_eq!(entries[0].ordinal, extent.first_ordinal);
    assert_eq!(entries[entries.len() - 1].ordinal, extent.last_ordinal);
    assert!(entries.windows(2).all(|pair| pair[0].ordinal < pair[1].ordinal));
    assert!(entries.iter().all(|entry| (extent.min_line..=extent.max_line).contains(&entry.line)));
    let bytes: usize = entries.iter().map(|entry| entry.text.len()).sum();
    assert_eq!(segment.start + bytes, segment.content.len());
    // The encoder writes the same content, so each segment has exactly one form.
    let lines: Vec<Line> =
        entries.iter().map(|entry| (entry.ordinal, entry.line, entry.text.to_vec())).collect();
    assert_eq!(encode(&lines).content, segment.content);
}

fn example() -> (Vec<Line>, Vec<u8>, Extent) {
    let lines = vec![(7, 4, b"ab".to_vec()), (8, 5, b"".to_vec()), (10, 3, b"cde".to_vec())];
    let content = [&[1, 3, 0, 2, 2, 1, 0, 0, 2, 5, 3][..], b"abcde"].concat();
    let extent = Extent { first_ordinal: 7, last_ordinal: 10, min_line: 3, max_line: 5, lines: 3 };
    (lines, content, extent)
}

#[test]
fn an_example_has_the_documented_bytes() {
    let (lines, content, extent) = example();
    let encoded = encode(&lines);
    assert_eq!((encoded.content, encoded.extent), (content, extent));
}

#[test]
fn the_vector_that_another_implementation_made_decodes_and_is_reproduced() {
    let vector: Value =
        serde_json::from_str(include_str!("../../../han-crypto/tests/vectors/segment-v1.json")).unwrap();
    let bytes = |value: &Value| {
        let digits = value.as_str().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect::<Vec<u8>>()
    };
    let number = |value: &Value| value.as_i64().unwrap();
    for segment in vector["segments"].as_array().unwrap() {
        let extent = Extent {
            first_ordinal: number(&segment["first_ordinal"]),
            last_ordinal: number(&segment["last_ordinal"]),
            min_line: number(&segment["min_line"]),
            max_line: number(&segment["max_line"]),
            lines: number(&segment["lines"]),
        };
        let lines: Vec<Line> = segment["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let text = entry["text"].as_str().unwrap().as_bytes().to_vec();
                (number(&entry["ordinal"]), number(&entry["line"]), text)
            })
            .collect();
        let encoded = encode(&lines);
        assert_eq!((&encoded.content, encoded.extent), (&bytes(&segment["content"]), extent));
        let opened = decode(&encoded.content, &extent).unwrap();
        assert!(opened.entries().eq(lines.iter().map(borrowed)));

        let id = row_id(
            &segment["session"].as_str().unwrap().parse().unwrap(),
            &segment["transcript"].as_str().unwrap().parse().unwrap(),
            &extent,
        );
        assert_eq!(id, segment["row_id"].as_str().unwrap());
        let place = context(&id);
        assert_eq!((place.table, place.column), ("segments", "body"));

        // What a team without encryption stores.
        let declared = usize::try_from(number(&segment["bytes"])).unwrap();
        assert_eq!(declared, encoded.content.len());
        assert_eq!(Packed::open(bytes(&segment["packed"]), declared).unwrap(), encoded.content);
        assert_eq!(Packed::new(&encoded.content).content_len(), declared);
        let [nonce, wrapped, body] = ["nonce", "wrapped_dek", "body"].map(|column| bytes(&segment[column]));
        let field = BinaryField::from_columns(&nonce, &wrapped, body).unwrap();
        assert_eq!(field.to_text(), segment["text"].as_str().unwrap());
    }
}

#[test]
fn content_that_contradicts_its_row_is_refused() {
    let (_, content, extent) = example();
    for (extent, reason) in [
        (Extent { last_ordinal: 11, ..extent }, "its row has another last ordinal"),
        (Extent { first_ordinal: 6, ..extent }, "its row has another last ordinal"),
        (Extent { min_line: 2, ..extent }, "its row has other line numbers"),
        (Extent { max_line: 6, ..extent }, "its row has other line numbers"),
        (Extent { lines: 4, ..extent }, "its row counts another number of lines"),
        (Extent { lines: -1, ..extent }, "its row counts another number of lines"),
        (Extent { first_ordinal: i64::MAX - 2, ..extent }, "a number is out of range"),
        (Extent { min_line: i64::MAX - 2, ..extent }, "a number is out of range"),
    ] {
        assert_eq!(refusal(&content, &extent), reason);
    }
    let least = Extent { min_line: i64::MIN, max_line: i64::MIN + 2, ..extent };
    assert!(decode(&content, &least).is_ok());
}

#[test]
fn malformed_content_is_refused_with_the_reason() {
    let (_, content, extent) = example();
    let with = |at: usize, byte: u8| {
        let mut content = content.clone();
        content[at] = byte;
        content
    };
    let huge = [&[0xff; 9][..], &[1]].concat();
    for (broken, reason) in [
        (vec![], "its version is not 1"),
        (with(0, 2), "its version is not 1"),
        (vec![1], "a number is cut off"),
        (vec![1, 0], "it has no entries"),
        (with(1, 5), "it counts more entries than it has bytes for"),
        ([&[1][..], &huge, &content[2..]].concat(), "it counts more entries than it has bytes for"),
        ([&[1, 0x83, 0][..], &content[2..]].concat(), "a number is longer than necessary"),
        (with(2, 1), "its first ordinal is not that of its row"),
        (with(5, 0), "its ordinals do not increase"),
        (with(4, 3), "the lengths of its lines do not add up to its bytes"),
        ([&content[..], b"x"].concat(), "the lengths of its lines do not add up to its bytes"),
        ([&content[..4], &huge, &content[5..]].concat(), "a number is out of range"),
        ([&content[..5], &huge, &content[6..]].concat(), "a number is out of range"),
        ([&content[..6], &huge, &content[7..]].concat(), "its row has other line numbers"),
    ] {
        assert_eq!(refusal(&broken, &extent), reason, "{broken:?}");
    }
    let text = decode(&[2], &extent).unwrap_err().to_string();
    assert_eq!(text, "the segment s/main/0/1 is malformed: its version is not 1");
}

#[test]
fn the_builder_refuses_ordinals_that_do_not_increase_and_overflow() {
    let entry = |ordinal, line| Entry { ordinal, line, text: b"x" };
    for (first, second) in [
        (entry(5, 0), entry(5, 1)),
        (entry(5, 0), entry(4, 1)),
        (entry(i64::MIN, 0), entry(i64::MAX, 1)),
        (entry(0, i64::MAX - 1), entry(1, i64::MIN)),
        (entry(0, 0), entry(1, i64::MAX)),
    ] {
        let mut builder = SegmentBuilder::new();
        builder.push(first).unwrap();
        let error = builder.push(second).unwrap_err();
        assert!(matches!(error, DbError::Segment { .. }), "{first:?} {second:?}: {error:?}");
        // The line that was refused is not part of the segment.
        assert_eq!(builder.finish().unwrap().unwrap().extent.lines, 1);
    }
    assert!(SegmentBuilder::new().finish().unwrap().is_none());
    let (_, _, extent) = example();
    assert!(extent.moved_by(i64::MAX, 0).is_err() && extent.moved_by(0, i64::MAX).is_err());
}

#[test]
fn debug_prints_no_line() {
    let (lines, content, extent) = example();
    let segment = decode(&content, &extent).unwrap();
    assert_eq!(format!("{segment:?}"), "Segment { lines: 3, bytes: 16, .. }");
    assert_eq!(format!("{:?}", borrowed(&lines[0])), "Entry { ordinal: 7, line: 4, len: 2, .. }");
}

#[test]
fn the_least_entry_has_three_bytes() {
    let zeros = [0_u64; 3].map(varint::len);
    assert_eq!(zeros.iter().sum::<usize>(), super::MIN_ENTRY);
}
