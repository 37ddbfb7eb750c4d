//! Assigns a subagent's lines in the session's own file to the call that started the subagent. Agent versions up to
//! 2.0.27 write them there (`isSidechain` without `agentId`); newer ones write a file for each subagent.

use std::collections::{BTreeMap, BTreeSet};

use super::LinePosition;
use crate::record::LineRecord;

/// The lines of one subagent in the session's own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineSidechain {
    /// The uuid of its first line, which identifies it in its session.
    pub root: String,
    /// The tool use that started it; `None` if there is no such call before it.
    pub call_id: Option<String>,
    /// The uuids of its lines, in the session's order.
    pub lines: Vec<String>,
}

/// The subagents in a session's own file, in the order of their first lines. `lines` may be in any order.
#[must_use]
pub fn inline_sidechains<'a>(
    lines: impl IntoIterator<Item = (&'a LinePosition, &'a LineRecord)>,
) -> Vec<InlineSidechain> {
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by(|(at, one), (other_at, other)| {
        (*at, one.position, &one.uuid).cmp(&(*other_at, other.position, &other.uuid))
    });
    let mut found: BTreeMap<String, InlineSidechain> = BTreeMap::new();
    let mut order = Vec::new();
    let mut assignment = SidechainAssignment::default();
    let mut seen = BTreeSet::new();
    for (at, record) in lines {
        if !seen.insert((at.transcript.as_str(), record.uuid.as_str())) {
            continue;
        }
        if !is_inline(record) {
            for result in record.results.iter().filter_map(|result| result.call_id.as_ref()) {
                assignment.end(|call| call == result);
            }
            for call in &record.subagent_calls {
                let (call, prompt) = (call.call_id.clone(), call.prompt);
                assignment.add_call(StartingCall { call, prompt, answer: record.answer, is_open: true });
            }
            continue;
        }
        let Assigned { root, started_by } = assignment.add_line(record, record.prompt);
        let chain = found.entry(root.clone()).or_insert_with(|| {
            order.push(root.clone());
            InlineSidechain { root, call_id: started_by, lines: Vec::new() }
        });
        chain.lines.push(record.uuid.clone());
    }
    order.iter().filter_map(|root| found.remove(root)).collect()
}

/// Whether a record of a session's own file is a subagent's that has no id.
#[must_use]
pub fn is_inline(record: &LineRecord) -> bool {
    record.is_sidechain && record.agent_id.is_none()
}

/// A call that may start a subagent, and has none yet.
#[derive(Clone, Debug)]
pub struct StartingCall<Call> {
    /// The call.
    pub call: Call,
    /// The key of the prompt that the subagent receives.
    pub prompt: [u8; 16],
    /// The answer that makes the call ([`LineRecord::answer`]).
    pub answer: Option<i32>,
    /// Whether it has no result yet.
    pub is_open: bool,
}

/// Assigns the lines of subagents without ids, one after another in the order of the file.
///
/// A line belongs to the subagent of its parent line (`parentUuid`). A prompt whose parent is in no subagent starts one;
/// any other line without such a parent belongs to the subagent that started last. A subagent belongs to the nearest
/// preceding call that has neither a subagent nor a result and has the same prompt; else to the nearest one with the same
/// prompt that has a result; else to the nearest one without a result. Of several such calls of one answer, which run
/// together, the first one counts.
#[derive(Clone, Debug)]
pub struct SidechainAssignment<Call> {
    /// The root of the subagent of each line, by the line's uuid.
    roots: BTreeMap<String, String>,
    last: Option<String>,
    /// The calls without a subagent, in order.
    calls: Vec<StartingCall<Call>>,
}

impl<Call> Default for SidechainAssignment<Call> {
    fn default() -> Self {
        Self { roots: BTreeMap::new(), last: None, calls: Vec::new() }
    }
}

/// The subagent of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned<Call> {
    /// The uuid of the subagent's first line.
    pub root: String,
    /// If this is the first line: the call that started the subagent, if there is one.
    pub started_by: Option<Call>,
}

impl<Call> SidechainAssignment<Call> {
    /// Continues after lines that were assigned before: the roots of the subagents that lines with these uuids belong to,
    /// the root of the subagent that started last, and the calls without a subagent, in order.
    #[must_use]
    pub fn resume(
        roots: impl IntoIterator<Item = (String, String)>,
        last: Option<String>,
        calls: Vec<StartingCall<Call>>,
    ) -> Self {
        Self { roots: roots.into_iter().collect(), last, calls }
    }

    /// Adds a call that may start a subagent.
    pub fn add_call(&mut self, call: StartingCall<Call>) {
        self.calls.push(call);
    }

    /// A result that answers these calls.
    pub fn end(&mut self, is_answered: impl Fn(&Call) -> bool) {
        for call in self.calls.iter_mut().filter(|call| is_answered(&call.call)) {
            call.is_open = false;
        }
    }

    /// Assigns a line ([`is_inline`]), given the key of the prompt that it is.
    pub fn add_line(&mut self, record: &LineRecord, prompt: Option<[u8; 16]>) -> Assigned<Call> {
        let of_parent = record.parent_uuid.as_ref().and_then(|parent| self.roots.get(parent).cloned());
        let of_last = || if prompt.is_some() { None } else { self.last.clone() };
        let (root, started_by) = match of_parent.or_else(of_last) {
            Some(root) => (root, None),
            None => {
                let is_same = |call: &StartingCall<Call>| Some(call.prompt) == prompt;
                let call = self
                    .nearest(|call| call.is_open && is_same(call))
                    .or_else(|| self.nearest(is_same))
                    .or_else(|| self.nearest(|call| call.is_open))
                    .map(|at| self.calls.remove(at).call);
                self.last = Some(record.uuid.clone());
                (record.uuid.clone(), call)
            }
        };
        self.roots.insert(record.uuid.clone(), root.clone());
        Assigned { root, started_by }
    }

    /// The position of the first such call of the answer that makes the last one.
    fn nearest(&self, is_wanted: impl Fn(&StartingCall<Call>) -> bool) -> Option<usize> {
        let last = self.calls.iter().rposition(&is_wanted)?;
        let answer = self.calls[last].answer;
        if answer.is_none() {
            return Some(last);
        }
        self.calls.iter().position(|call| call.answer == answer && is_wanted(call))
    }
}
