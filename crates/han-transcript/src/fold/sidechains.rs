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
///
/// A line belongs to the subagent of its parent line (`parentUuid`). A prompt whose parent is in no subagent starts one;
/// any other line without such a parent belongs to the subagent that started last. A subagent belongs to the preceding
/// call with the same prompt that has no subagent yet, else to the latest preceding call without one.
#[must_use]
pub fn inline_sidechains<'a>(
    lines: impl IntoIterator<Item = (&'a LinePosition, &'a LineRecord)>,
) -> Vec<InlineSidechain> {
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by(|(at, one), (other_at, other)| {
        (*at, one.position, &one.uuid).cmp(&(*other_at, other.position, &other.uuid))
    });
    let mut found: Vec<InlineSidechain> = Vec::new();
    let mut chain_of = BTreeMap::<&str, usize>::new();
    // The calls without a subagent, in order, with the keys of their prompts.
    let mut calls: Vec<(&str, [u8; 16])> = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, record) in lines {
        if !seen.insert((at.transcript.as_str(), record.uuid.as_str())) {
            continue;
        }
        if !record.is_sidechain || record.agent_id.is_some() {
            let started = record.subagent_calls.iter();
            calls.extend(started.map(|call| (call.call_id.as_str(), call.prompt)));
            continue;
        }
        let of_parent = record.parent_uuid.as_deref().and_then(|parent| chain_of.get(parent).copied());
        let of_last = || if record.prompt.is_some() { None } else { found.len().checked_sub(1) };
        let chain = of_parent.or_else(of_last).unwrap_or_else(|| {
            let same = calls.iter().position(|(_, prompt)| Some(*prompt) == record.prompt);
            let call = same.or_else(|| calls.len().checked_sub(1)).map(|at| calls.remove(at).0);
            found.push(InlineSidechain {
                root: record.uuid.clone(),
                call_id: call.map(str::to_owned),
                lines: Vec::new(),
            });
            found.len() - 1
        });
        chain_of.insert(&record.uuid, chain);
        if let Some(chain) = found.get_mut(chain) {
            chain.lines.push(record.uuid.clone());
        }
    }
    found
}
