//! Tests real transcripts: every line has a known kind, the totals equal the billed ones, and the invariants hold for
//! mutated lines. The repository contains none of their text; without the transcripts these tests print `SKIPPED`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

#[path = "support/invariants.rs"]
mod invariants;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use han_transcript::MessageKind;
use han_transcript::fold::{LinePosition, SessionTotals, TokenTotals};
use han_transcript::pricing::PriceTable;
use han_transcript::rates::Rates;
use han_transcript::record::{LineContext, LineRecord, ResultKind, project_all};
use invariants::check;
use support::{Random, RealLine, real_lines, records};

type Records = Vec<(LinePosition, LineRecord)>;

fn by_session(lines: &[RealLine]) -> BTreeMap<String, Records> {
    let mut sessions = BTreeMap::<String, Vec<&RealLine>>::new();
    for line in lines {
        sessions.entry(line.session.clone()).or_default().push(line);
    }
    sessions.into_iter().map(|(session, lines)| (session, records(lines))).collect()
}

fn fold(records: &Records) -> SessionTotals {
    let mut totals = SessionTotals::default();
    records.iter().for_each(|(position, record)| totals.add(position, record));
    totals
}

fn sum(totals: impl Iterator<Item = TokenTotals>) -> (i64, i64, i64, i64) {
    totals.fold((0, 0, 0, 0), |sum, one| {
        (sum.0 + one.input, sum.1 + one.output, sum.2 + one.cache_read, sum.3 + one.cache_creation())
    })
}

#[test]
fn tokens_equal_the_billed_ones_in_any_order_and_any_batches() {
    let Some(lines) = real_lines("projects") else { return };
    let mut sessions = by_session(&lines);
    let with_usage = || sessions.values().flatten().filter_map(|(_, record)| record.usage.as_ref());
    assert_eq!(with_usage().count(), 616);
    assert_eq!(with_usage().map(|usage| &usage.message_id).collect::<BTreeSet<_>>().len(), 313);

    let billed = (2_776, 79_267, 31_179_675, 670_956);
    assert_eq!(sum(sessions.values().map(|records| fold(records).tokens())), billed);

    let mut random = Random(1);
    for _ in 0..5 {
        for records in sessions.values_mut() {
            let in_order = fold(records);
            random.shuffle(records);
            // A batch may arrive twice.
            let again = random.below(records.len());
            let mut shuffled = fold(records);
            records[again..].iter().for_each(|(position, record)| shuffled.add(position, record));
            assert_eq!(shuffled.tokens(), in_order.tokens());
            assert_eq!(shuffled.turns(), in_order.turns());
            assert_eq!(shuffled.compactions(), in_order.compactions());
            assert_eq!(shuffled.file_changes(), in_order.file_changes());
            assert_eq!(shuffled.summary(), in_order.summary());
            assert_eq!(shuffled.messages(), in_order.messages());
        }
        assert_eq!(sum(sessions.values().map(|records| fold(records).tokens())), billed);
    }
}

#[test]
fn every_model_has_a_price() {
    let Some(lines) = real_lines("projects") else { return };
    let prices = PriceTable::default();
    for records in by_session(&lines).values() {
        for (model, tokens) in fold(records).tokens_by_model() {
            let cost = model.and_then(|model| prices.cost(model, &tokens));
            assert!(cost.is_some_and(|cost| cost > 0.0), "{model:?}");
        }
    }
}

#[test]
fn single_answers_cost_as_much_as_their_sum() {
    let Some(lines) = real_lines("projects") else { return };
    let (rates, table) = (Rates::default(), PriceTable::default());
    for records in by_session(&lines).values() {
        let totals = fold(records);
        let end = records.iter().map(|(position, _)| position.time).max().unwrap();
        let single: f64 = totals.answers().map(|usage| rates.cost(usage, end).known().unwrap()).sum();
        let by_model = totals.tokens_by_model();
        let sum: f64 =
            by_model.iter().map(|(model, tokens)| table.cost(model.unwrap(), tokens).unwrap()).sum();
        assert!((single - sum).abs() < 1e-6, "{single} {sum}");
    }
}

#[test]
fn kinds_of_real_lines_have_the_expected_counts() {
    let Some(lines) = real_lines("") else { return };
    lines.iter().for_each(|line| check(&line.text));
    let all: Vec<_> = by_session(&lines).into_values().flatten().collect();
    let count = |kind| all.iter().filter(|(_, record)| record.kind == kind).count();
    assert_eq!(count(MessageKind::Assistant), 658);
    assert_eq!(count(MessageKind::ToolResultUser), 408);
    assert_eq!(count(MessageKind::Summary), 2);
    assert_eq!(count(MessageKind::CommandUser), 4);
    assert_eq!(count(MessageKind::InterruptUser), 5);
    assert_eq!(count(MessageKind::System), 12);
    assert_eq!(count(MessageKind::FileHistorySnapshot), 48);
    assert_eq!(count(MessageKind::QueueOperation), 9);
    let users = [MessageKind::RegularUser, MessageKind::MetaUser].map(count);
    assert_eq!(users, [15, 9]);
    // The other lines are progress lines; no line is unknown.
    assert_eq!(count(MessageKind::UnknownEvent), 2588);
    assert_eq!(all.iter().filter(|(_, record)| record.is_progress).count(), 2588);
    assert!(all.iter().all(|(_, record)| record.own_uuid || record.kind != MessageKind::Assistant));
}

#[test]
fn at_most_one_percent_of_the_listed_lines_of_a_file_are_unknown() {
    let Some(lines) = real_lines("") else { return };
    let mut files = BTreeMap::<_, (usize, usize)>::new();
    for line in &lines {
        let at = LineContext { session_id: &line.session, transcript: &line.transcript };
        for record in project_all(&line.text, &at).records {
            let is_listed = !record.nests && !record.is_progress;
            let (listed, unknown) = files.entry((&line.session, &line.transcript)).or_default();
            *listed += usize::from(is_listed);
            *unknown += usize::from(is_listed && record.kind == MessageKind::UnknownEvent);
        }
    }
    for (file, (listed, unknown)) in files {
        assert!(unknown * 100 <= listed, "{unknown} of {listed} listed lines of {file:?} are unknown");
    }
}

#[test]
fn derived_records_of_real_sessions_are_consistent() {
    let Some(lines) = real_lines("projects") else { return };
    for records in by_session(&lines).values() {
        let totals = fold(records);
        assert_eq!((totals.compactions().auto, totals.compactions().continuations), (1, 1));
        assert!(totals.turns() > 0 && totals.summary().is_some());
        let uses: BTreeSet<_> =
            records.iter().flat_map(|(_, record)| &record.tool_uses).map(|u| &u.call_id).collect();
        let answers: Vec<_> = records
            .iter()
            .flat_map(|(_, record)| &record.results)
            .filter(|result| result.kind == ResultKind::Tool)
            .collect();
        assert!(answers.iter().all(|result| result.call_id.as_ref().is_some_and(|id| uses.contains(id))));
        // A tool use started one subagent; progress lines named it before the result did.
        let started: BTreeSet<_> = answers.iter().filter_map(|result| result.starts_agent.clone()).collect();
        let seen: BTreeSet<_> = records
            .iter()
            .filter_map(|(_, record)| record.agent_start.as_ref())
            .map(|s| s.agent_id.clone())
            .collect();
        assert_eq!((started.len(), &started), (1, &seen));
    }
}

#[test]
fn invariants_hold_for_mutated_lines() {
    let Some(lines) = real_lines("") else { return };
    // Some lines contain whole files; the short ones have more variety.
    let lines: Vec<_> =
        lines.iter().map(|line| line.text.as_str()).filter(|line| line.len() < 20_000).collect();
    let mut random = Random(2);
    let until = Instant::now() + Duration::from_secs(4);
    let mut tried = 0;
    while Instant::now() < until {
        for _ in 0..50 {
            let line = lines[random.below(lines.len())];
            let other = lines[random.below(lines.len())];
            check(&mutate(line, other, &mut random));
            tried += 1;
        }
    }
    eprintln!("{tried} mutated lines");
    assert!(tried >= 50);
}

/// Field names and values that the parser uses; mutations replace one by another.
const NAMES: [&str; 14] = [
    "type",
    "message",
    "content",
    "uuid",
    "tool_use",
    "tool_result",
    "assistant",
    "user",
    "usage",
    "data",
    "toolUseResult",
    "snapshot",
    "isMeta",
    "text",
];

fn mutate(line: &str, other: &str, random: &mut Random) -> String {
    let mut bytes = line.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(..at)),
            3 => {
                let wrong: [&[u8]; 9] =
                    [b"{", b"[", b"\"", b"null", b"1e999", b"\\ud800", b"\\u0000", b"-", "é日".as_bytes()];
                bytes.splice(at..at, wrong[random.below(wrong.len())].iter().copied());
            }
            4 => {
                let to = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..to);
            }
            5 => {
                let from = random.below(other.len());
                bytes.splice(at..at, other.as_bytes()[from..].iter().take(200).copied());
            }
            _ => {
                let text = String::from_utf8_lossy(&bytes);
                let (from, to) = (NAMES[random.below(NAMES.len())], NAMES[random.below(NAMES.len())]);
                bytes = text
                    .replacen(&format!("\"{from}\""), &format!("\"{to}\""), 1 + random.below(3))
                    .into_bytes();
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
