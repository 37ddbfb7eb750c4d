//! Hook runs with their results.

use std::collections::BTreeMap;

use super::Place;
use crate::record::HookRecord;

/// A hook run, its result, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookExecution {
    /// The run, where one was recorded.
    pub run: Option<(Place, HookRecord)>,
    /// The outcome, where it is known: a run's result, or a hook that tells its whole story in one line.
    pub outcome: Option<(Place, HookRecord)>,
}

/// Pairs the hook events of one session, by where they stand: a result goes to the run that it names; one that
/// names none goes to the run of the same hook (and plugin, and directory) before it that is still open, the
/// earliest first. What stays alone is returned alone.
#[must_use]
pub fn pair_hooks(events: &[(Place, HookRecord)]) -> Vec<HookExecution> {
    let mut events: Vec<_> = events.iter().collect();
    events.sort_by(|(a, one), (b, other)| (a, &one.run_id).cmp(&(b, &other.run_id)));
    let (runs, outcomes): (Vec<_>, Vec<_>) = events.into_iter().partition(|(_, hook)| hook.is_run);
    let mut executions: Vec<_> =
        runs.into_iter().map(|run| HookExecution { run: Some(run.clone()), outcome: None }).collect();

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
    for outcome in unnamed {
        let (place, hook) = outcome;
        let is_open = |execution: &&mut HookExecution| {
            hook.run_id.is_none()
                && execution.outcome.is_none()
                && execution.run.as_ref().is_some_and(|(begun, run)| begun < place && same_hook(run, hook))
        };
        match executions.iter_mut().find(is_open) {
            Some(execution) => execution.outcome = Some(outcome.clone()),
            None => executions.push(HookExecution { run: None, outcome: Some(outcome.clone()) }),
        }
    }
    executions.sort_by(|a, b| begun(a).cmp(&begun(b)));
    executions
}

fn same_hook(run: &HookRecord, result: &HookRecord) -> bool {
    run.hook_name == result.hook_name && run.plugin == result.plugin && run.directory == result.directory
}

fn begun(execution: &HookExecution) -> Option<&Place> {
    execution.run.as_ref().or(execution.outcome.as_ref()).map(|(place, _)| place)
}
