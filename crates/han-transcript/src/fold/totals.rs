//! Computes a session's totals.

use std::collections::{BTreeMap, BTreeSet};

use super::{LinePosition, NativeTask, Task, native_tasks, tasks};
use crate::record::{
    CompactionTrigger, FileAction, FileChangeRecord, LineRecord, NativeTaskRecord, ResultKind, SummarySource,
    TaskRecord, TitleSource, TodoRecord, Usage,
};

/// Token counters summed over answers, each answer counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenTotals {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Input tokens read from the cache.
    pub cache_read: i64,
    /// Input tokens written to the cache for five minutes.
    pub cache_creation_5m: i64,
    /// Input tokens written to the cache for an hour.
    pub cache_creation_1h: i64,
}

impl TokenTotals {
    /// All input tokens written to the cache.
    #[must_use]
    pub fn cache_creation(&self) -> i64 {
        self.cache_creation_5m.saturating_add(self.cache_creation_1h)
    }

    fn add(&mut self, usage: &Usage) {
        self.input = self.input.saturating_add(usage.input);
        self.output = self.output.saturating_add(usage.output);
        self.cache_read = self.cache_read.saturating_add(usage.cache_read);
        self.cache_creation_5m = self.cache_creation_5m.saturating_add(usage.cache_creation_5m);
        self.cache_creation_1h = self.cache_creation_1h.saturating_add(usage.cache_creation_1h);
    }
}

/// How often a session was compacted. Boundary lines are counted by trigger; a continuation line usually follows each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compactions {
    /// Triggered by a full context.
    pub auto: u64,
    /// Requested by a person.
    pub manual: u64,
    /// Without a trigger in the line.
    pub unknown: u64,
    /// Summaries from which the conversation continued.
    pub continuations: u64,
}

/// A session's totals, including its subagents.
#[derive(Clone, Debug, Default)]
pub struct SessionTotals {
    seen: BTreeSet<(String, String)>,
    usage: BTreeMap<[u8; 16], Usage>,
    turns: u64,
    compactions: Compactions,
    todos: Option<(LinePosition, Vec<TodoRecord>)>,
    tasks: Vec<(LinePosition, TaskRecord)>,
    native_tasks: Vec<(LinePosition, NativeTaskRecord)>,
    file_changes: Vec<(LinePosition, FileChangeRecord)>,
    failed_calls: BTreeSet<String>,
    tool_searches: BTreeMap<String, i64>,
    file_actions: BTreeMap<String, FileAction>,
    first_command: Option<(LinePosition, String)>,
    first_prompt: Option<(LinePosition, String)>,
    last_summary: Option<(LinePosition, String)>,
    title: Option<(TitleSource, LinePosition, String)>,
}

impl SessionTotals {
    /// Adds one line. A line whose file and uuid are known is a duplicate and changes nothing.
    pub fn add(&mut self, position: &LinePosition, record: &LineRecord) {
        if !self.seen.insert((position.transcript.clone(), record.uuid.clone())) {
            return;
        }
        record.usages().for_each(|usage| self.add_usage(usage));
        self.turns += u64::from(record.turn);
        match record.compaction.map(|compaction| (compaction.continuation, compaction.trigger)) {
            None => {}
            Some((true, _)) => self.compactions.continuations += 1,
            Some((false, CompactionTrigger::Auto)) => self.compactions.auto += 1,
            Some((false, CompactionTrigger::Manual)) => self.compactions.manual += 1,
            Some((false, CompactionTrigger::Unknown)) => self.compactions.unknown += 1,
        }
        if let Some(todos) = &record.todos
            && self.todos.as_ref().is_none_or(|(latest, _)| latest < position)
        {
            self.todos = Some((position.clone(), todos.clone()));
        }
        self.tasks.extend(record.tasks.iter().map(|task| (position.clone(), task.clone())));
        self.native_tasks.extend(record.native_tasks.iter().map(|task| (position.clone(), task.clone())));
        self.file_changes.extend(record.file_changes.iter().map(|change| (position.clone(), change.clone())));
        for result in &record.results {
            let Some(call_id) = result.call_id.as_ref().filter(|_| result.kind != ResultKind::Hook) else {
                continue;
            };
            if result.success == Some(false) {
                self.failed_calls.insert(call_id.clone());
            }
            if let Some(searches) = result.web_searches {
                let known = self.tool_searches.entry(call_id.clone()).or_insert(searches);
                *known = searches.max(*known);
            }
            if let Some(action) = result.file_action {
                // A call has one result; if a hostile file has two, their order must not matter.
                let known = self.file_actions.entry(call_id.clone()).or_insert(action);
                *known = action.max(*known);
            }
        }
        self.add_summary(position, record);
        if let Some(title) = &record.title {
            let replaces = |(source, at, _): &(TitleSource, LinePosition, String)| {
                (*source, at) < (title.source, position)
            };
            if self.title.as_ref().is_none_or(replaces) {
                self.title = Some((title.source, position.clone(), title.text.clone()));
            }
        }
    }

    fn add_usage(&mut self, usage: &Usage) {
        self.usage
            .entry(usage.copy_key())
            .and_modify(|kept| kept.merge(usage))
            .or_insert_with(|| usage.clone());
    }

    fn add_summary(&mut self, position: &LinePosition, record: &LineRecord) {
        let Some(summary) = &record.summary else { return };
        let (slot, replaces): (_, fn(&LinePosition, &LinePosition) -> bool) = match summary.source {
            SummarySource::FirstCommand => (&mut self.first_command, |new, old| new < old),
            SummarySource::FirstPrompt => (&mut self.first_prompt, |new, old| new < old),
            SummarySource::SummaryLine => (&mut self.last_summary, |new, old| new > old),
        };
        if slot.as_ref().is_none_or(|(old, _)| replaces(position, old)) {
            *slot = Some((position.clone(), summary.text.clone()));
        }
    }

    /// The number of distinct messages.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.seen.len()
    }

    /// The number of searches on the web that answers and tools made.
    #[must_use]
    pub fn web_searches(&self) -> i64 {
        let of_answers = self.usage.values().map(|usage| usage.web_searches);
        of_answers.chain(self.tool_searches.values().copied()).fold(0, i64::saturating_add)
    }

    /// Each answer once, and each other model's part of one.
    pub fn answers(&self) -> impl Iterator<Item = &Usage> {
        self.usage.values()
    }

    /// The tokens of all answers.
    #[must_use]
    pub fn tokens(&self) -> TokenTotals {
        let mut totals = TokenTotals::default();
        self.answers().for_each(|usage| totals.add(usage));
        totals
    }

    /// The tokens of all answers, by model; `None` has those of answers without a model.
    #[must_use]
    pub fn tokens_by_model(&self) -> BTreeMap<Option<&str>, TokenTotals> {
        let mut totals = BTreeMap::<_, TokenTotals>::new();
        for usage in self.answers() {
            totals.entry(usage.model.as_deref()).or_default().add(usage);
        }
        totals
    }

    /// The number of prompts and commands that people typed.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// How often the conversation was compacted.
    #[must_use]
    pub fn compactions(&self) -> Compactions {
        self.compactions
    }

    /// The latest to-do list.
    #[must_use]
    pub fn todos(&self) -> &[TodoRecord] {
        self.todos.as_ref().map_or(&[], |(_, todos)| todos)
    }

    /// Han's tasks.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        tasks(&self.tasks, &self.failed_calls)
    }

    /// The agent's own tasks.
    #[must_use]
    pub fn native_tasks(&self) -> Vec<NativeTask> {
        native_tasks(&self.native_tasks, &self.failed_calls)
    }

    /// The file changes of calls that did not fail, in the session's order. The action is the one that the call's
    /// result reports, if it reports any.
    #[must_use]
    pub fn file_changes(&self) -> Vec<(LinePosition, FileChangeRecord)> {
        let happened =
            self.file_changes.iter().filter(|(_, change)| !self.failed_calls.contains(&change.call_id));
        let mut changes: Vec<_> = happened
            .cloned()
            .map(|(position, mut change)| {
                change.action = self.file_actions.get(&change.call_id).copied().unwrap_or(change.action);
                (position, change)
            })
            .collect();
        changes.sort_by(|(a, one), (b, other)| (a, &one.call_id).cmp(&(b, &other.call_id)));
        changes
    }

    /// The title: the last one of the source with the highest precedence.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_ref().map(|(.., text)| text.as_str())
    }

    /// The last summary line, else the first prompt, else the first command.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        let summaries = [&self.last_summary, &self.first_prompt, &self.first_command];
        summaries.into_iter().flatten().map(|(_, text)| text.as_str()).next()
    }
}
