//! Pairs results with calls. A provider may give several calls of a session the same id, such as `Bash_0` in every turn. So
//! a result belongs to the nearest preceding call with its id that has no result yet. The calls of one answer run together,
//! and their results come in the order of the calls.

use std::collections::BTreeMap;

/// The place of a line in its session. `File` identifies the file: its name, or its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place<File> {
    /// Milliseconds since the epoch.
    pub at: i64,
    pub file: File,
    /// The line in the file, and the position among the records of the line.
    pub line: (i64, i64),
}

impl<File: Ord> Place<File> {
    fn key(&self) -> (i64, &File, (i64, i64)) {
        (self.at, &self.file, self.line)
    }
}

/// A call, among others with its id.
#[derive(Clone, Debug)]
pub(crate) struct PlacedCall<File> {
    pub place: Place<File>,
    /// Identifies the answer that makes it, if that is known.
    pub answer: Option<i32>,
}

/// For each result, the index of the call that it answers. All calls and all results have one id.
///
/// Of the calls that precede a result in its file, it answers the nearest one without a result; if several of them are of
/// the same answer, the first of these; if all have a result, the nearest one. Without such a call, it answers the latest
/// one that is not later, in another file, of those without a result or else of all; else the earliest one. `None` if there
/// is no call.
pub(crate) fn pair<File: Ord>(calls: &[PlacedCall<File>], results: &[Place<File>]) -> Vec<Option<usize>> {
    let mut found = vec![None; results.len()];
    let mut answered = vec![false; calls.len()];
    let mut files: BTreeMap<&File, Vec<EventAt>> = BTreeMap::new();
    for (index, call) in calls.iter().enumerate() {
        files.entry(&call.place.file).or_default().push((call.place.line, Event::Call(index)));
    }
    for (index, result) in results.iter().enumerate() {
        files.entry(&result.file).or_default().push((result.line, Event::Result(index)));
    }
    let mut without_call = Vec::new();
    for mut events in files.into_values() {
        // A call does not precede a result of its own line.
        events.sort_by_key(|(line, event)| (*line, matches!(event, Event::Call(_))));
        // Those without a result, and the nearest one.
        let (mut open, mut nearest): (Vec<usize>, _) = (Vec::new(), None);
        for (_, event) in events {
            match event {
                Event::Call(index) => {
                    open.push(index);
                    nearest = Some(index);
                }
                Event::Result(index) => {
                    let call = next_of_answer(calls, &open).map(|at| open.remove(at)).or(nearest);
                    match call {
                        Some(call) => answered[call] = true,
                        None => without_call.push(index),
                    }
                    found[index] = call;
                }
            }
        }
    }
    without_call.sort_by(|a, b| results[*a].key().cmp(&results[*b].key()));
    for index in without_call {
        let result = &results[index];
        let is_earlier = |call: &usize| {
            let place = &calls[*call].place;
            place.file != result.file && place.at <= result.at
        };
        let by_place = |a: &usize, b: &usize| calls[*a].place.key().cmp(&calls[*b].place.key());
        let earlier = || (0..calls.len()).filter(is_earlier);
        let call = earlier()
            .filter(|call| !answered[*call])
            .max_by(by_place)
            .or_else(|| earlier().max_by(by_place))
            .or_else(|| (0..calls.len()).min_by(by_place));
        if let Some(call) = call {
            answered[call] = true;
        }
        found[index] = call;
    }
    found
}

/// What happens at a line, and its place in the file.
type EventAt = ((i64, i64), Event);

/// A call or a result, by its index.
enum Event {
    Call(usize),
    Result(usize),
}

/// The position in `open` of the call that the next result answers: the last one, or the first one of the same answer.
fn next_of_answer<File>(calls: &[PlacedCall<File>], open: &[usize]) -> Option<usize> {
    let last = open.len().checked_sub(1)?;
    let answer = calls[open[last]].answer;
    if answer.is_none() {
        return Some(last);
    }
    Some(last + 1 - open.iter().rev().take_while(|call| calls[**call].answer == answer).count())
}

#[cfg(test)]
mod tests {
    use super::{Place, PlacedCall, pair};

    fn place(at: i64, file: i32, line: i64) -> Place<i32> {
        Place { at, file, line: (line, 0) }
    }

    fn call(at: i64, file: i32, line: i64, answer: i32) -> PlacedCall<i32> {
        PlacedCall { place: place(at, file, line), answer: (answer != 0).then_some(answer) }
    }

    #[test]
    fn a_result_belongs_to_the_nearest_preceding_call() {
        let calls = [call(10, 1, 1, 0), call(30, 1, 5, 0), call(20, 1, 3, 0), call(25, 2, 9, 0)];
        for (result, of) in [
            // By the order of the file, whatever the times are.
            (place(11, 1, 2), Some(0)),
            (place(99, 1, 4), Some(2)),
            (place(0, 1, 6), Some(1)),
            // Of another file, by time.
            (place(26, 3, 0), Some(3)),
            (place(27, 2, 1), Some(2)),
            (place(5, 3, 0), Some(0)),
        ] {
            assert_eq!(pair(&calls, std::slice::from_ref(&result)), [of], "{result:?}");
        }
        let line = |part| Place { at: 1, file: 1, line: (1, part) };
        let same_line = [0, 2].map(|part| PlacedCall { place: line(part), answer: None });
        assert_eq!(pair(&same_line, &[line(1)]), [Some(0)]);
        assert_eq!(pair(&[], &[place(1, 1, 1)]), [None]);
    }

    #[test]
    fn a_call_has_one_result_as_long_as_another_one_has_none() {
        let results = [place(5, 1, 5), place(6, 1, 6), place(7, 1, 7)];
        // Of two answers: the nearest one first.
        assert_eq!(pair(&[call(1, 1, 1, 1), call(2, 1, 2, 2)], &results), [Some(1), Some(0), Some(1)]);
        assert_eq!(pair(&[call(1, 1, 1, 0), call(2, 1, 2, 0)], &results), [Some(1), Some(0), Some(1)]);
        // Of one answer: in the order of the calls, and before an earlier answer.
        let calls = [call(1, 1, 1, 1), call(2, 1, 2, 2), call(3, 1, 3, 2)];
        assert_eq!(pair(&calls, &results), [Some(1), Some(2), Some(0)]);
        // Whatever the order in which they are given.
        let (calls, results) = (
            [calls[2].clone(), calls[0].clone(), calls[1].clone()],
            [results[2].clone(), results[0].clone()],
        );
        assert_eq!(pair(&calls, &results), [Some(0), Some(2)]);
        // Of other files.
        let (calls, results) =
            ([call(1, 1, 1, 0), call(2, 1, 2, 0)], [place(9, 2, 2), place(9, 2, 1), place(9, 2, 3)]);
        assert_eq!(pair(&calls, &results), [Some(0), Some(1), Some(1)]);
    }
}
