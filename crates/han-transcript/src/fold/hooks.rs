//! Pairs hook runs with their results.

use std::collections::{BTreeMap, VecDeque};

use super::LinePosition;
use crate::record::HookRecord;

/// A hook run, its result, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookExecution {
    /// The run, if one was recorded.
    pub run: Option<(LinePosition, HookRecord)>,
    /// The outcome, if known: the run's result, or a hook whose run and result are a single line.
    pub outcome: Option<(LinePosition, HookRecord)>,
}

/// Pairs the hook events of one session. A result belongs to the run that it names. A result that names no run belongs
/// to the earliest preceding run of the same hook, plugin and directory that has no result yet. Unpaired runs and
/// results are returned, too. The order of `events` does not matter.
#[must_use]
pub fn pair_hooks(events: &[(LinePosition, HookRecord)]) -> Vec<HookExecution> {
    let mut events: Vec<_> = events.iter().collect();
    events.sort_by(|(a, one), (b, other)| (a, &one.run_id).cmp(&(b, &other.run_id)));
    let (runs, outcomes): (Vec<_>, Vec<_>) = events.into_iter().partition(|(_, hook)| hook.is_run);
    let mut executions: Vec<_> =
        runs.iter().map(|run| HookExecution { run: Some((*run).clone()), outcome: None }).collect();

    let by_id: BTreeMap<String, usize> = executions
        .iter()
        .enumerate()
        .filter_map(|(at, execution)| Some((execution.run.as_ref()?.1.run_id.clone()?, at)))
        .collect();
    let mut unnamed = Vec::new();
    for outcome in outcomes {
        let named = outcome.1.run_id.as_ref().and_then(|id| by_id.get(id));
        match named.and_then(|at| executions.get_mut(*at)).filter(|execution| execution.outcome.is_none()) {
            Some(execution) => execution.outcome = Some(outcome.clone()),
            None => unnamed.push(outcome),
        }
    }
    // The open runs of each hook, earliest first.
    let mut open: BTreeMap<Hook<'_>, VecDeque<(&LinePosition, usize)>> = BTreeMap::new();
    for (at, run) in runs.iter().enumerate().filter(|(at, _)| executions.get(*at).is_some_and(is_open)) {
        open.entry(hook_of(&run.1)).or_default().push_back((&run.0, at));
    }
    for outcome in unnamed {
        let (position, hook) = outcome;
        let runs = if hook.run_id.is_none() { open.get_mut(&hook_of(hook)) } else { None };
        let run = runs.and_then(|runs| runs.pop_front_if(|(begun, _)| *begun < position));
        match run.and_then(|(_, at)| executions.get_mut(at)) {
            Some(execution) => execution.outcome = Some(outcome.clone()),
            None => executions.push(HookExecution { run: None, outcome: Some(outcome.clone()) }),
        }
    }
    executions.sort_by(|a, b| begun(a).cmp(&begun(b)));
    executions
}

/// What a result that names no run has in common with its run: name, plugin and directory.
type Hook<'h> = (Option<&'h str>, Option<&'h str>, Option<&'h str>);

fn hook_of(hook: &HookRecord) -> Hook<'_> {
    (hook.hook_name.as_deref(), hook.plugin.as_deref(), hook.directory.as_deref())
}

fn is_open(execution: &HookExecution) -> bool {
    execution.outcome.is_none()
}

fn begun(execution: &HookExecution) -> Option<&LinePosition> {
    execution.run.as_ref().or(execution.outcome.as_ref()).map(|(position, _)| position)
}
