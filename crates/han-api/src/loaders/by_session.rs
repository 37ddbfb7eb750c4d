//! The records of a session besides its messages: a list of sessions needs one statement per kind of record.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use han_db::entities::{HookEvent, NativeTask, Sentiment, SessionCounts, Task, TodoCounts, Todos};
use han_db::queries::hooks::HookStats;
use han_db::queries::usage::SessionUsage;
use han_db::queries::{hooks, sentiments, tasks, todos, usage};
use han_types::{MessageKey, SessionId};

use super::Loaders;
use crate::error::{ApiError, Result};

/// Defines a key for one kind of record of a session, and its loader. `$found` is a map by session id.
macro_rules! by_session {
    ($($(#[$doc:meta])* $key:ident => $value:ty, |$tx:ident, $ids:ident| $found:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(crate) struct $key(pub(crate) SessionId);

        impl Loader<$key> for Loaders {
            type Value = $value;
            type Error = ApiError;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $value>> {
                let $tx = self.0.tx().await?;
                let ids: Vec<SessionId> = keys.iter().map(|key| key.0.clone()).collect();
                let $ids = ids.as_slice();
                let found: HashMap<String, $value> = $found;
                Ok(with_keys(keys, |key| key.0.as_str(), &found))
            }
        }
    )*};
}

by_session! {
    /// Han's tasks of a session, in the order of their start.
    TasksOf => Arc<Vec<Task>>, |tx, ids|
        grouped(tasks::by_sessions(tx, ids).await?, |task| &task.session_id);
    /// The agent's own tasks of a session, in the order of their creation.
    NativeTasksOf => Arc<Vec<NativeTask>>, |tx, ids|
        grouped(tasks::native_by_sessions(tx, ids).await?, |task| &task.session_id);
    /// The latest to-do list of a session.
    TodosOf => Arc<Todos>, |tx, ids|
        one_each(todos::by_sessions(tx, ids).await?, |todos| &todos.session_id);
    /// The number of to-dos of a session per status.
    TodoCountsOf => TodoCounts, |tx, ids|
        todos::counts_by_sessions(tx, ids).await?.into_iter().collect();
    /// The hook events of a session, in order.
    HooksOf => Arc<Vec<HookEvent>>, |tx, ids|
        grouped(hooks::by_sessions(tx, ids).await?, |hook| &hook.session_id);
    /// The line of the result of each hook run of a session that has one.
    HookResultsOf => Arc<HashMap<MessageKey, MessageKey>>, |tx, ids|
        results_by_run(&hooks::runs_and_results(tx, ids).await?);
    /// The totals of a session's hooks.
    HookStatsOf => Arc<HookStats>, |tx, ids|
        one_each(hooks::stats_by_sessions(tx, ids).await?, |stats| &stats.session_id);
    /// The sentiments that Han detected in a session's prompts, in order.
    SentimentsOf => Arc<Vec<Sentiment>>, |tx, ids|
        grouped(sentiments::by_sessions(tx, ids).await?, |sentiment| &sentiment.session_id);
    /// A session's tokens by model.
    UsageOf => Arc<Vec<SessionUsage>>, |tx, ids|
        grouped(usage::by_sessions(tx, ids).await?, |usage| &usage.session_id);
    /// The session that a session was forked or continued from.
    OriginOf => String, |tx, ids|
        usage::origins_by_sessions(tx, ids).await?.into_iter().collect();
    /// The counters of a session that its totals do not hold.
    CountsOf => SessionCounts, |tx, ids|
        usage::counts_by_sessions(tx, ids).await?.into_iter().collect();
}

/// Groups rows by session.
fn grouped<T>(rows: Vec<T>, session: impl Fn(&T) -> &String) -> HashMap<String, Arc<Vec<T>>> {
    let mut groups: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(session(&row).clone()).or_default().push(row);
    }
    groups.into_iter().map(|(session, rows)| (session, Arc::new(rows))).collect()
}

/// Groups hook events by session, and pairs them.
fn results_by_run(events: &[HookEvent]) -> HashMap<String, Arc<HashMap<MessageKey, MessageKey>>> {
    let line = |event: &HookEvent| {
        Some(MessageKey {
            session_id: event.session_id.parse().ok()?,
            transcript: event.place.transcript.parse().ok()?,
            uuid: event.uuid.clone(),
        })
    };
    let sessions = events.chunk_by(|one, next| one.session_id == next.session_id);
    sessions
        .filter_map(|events| {
            let pairs = hooks::pair(events).into_iter();
            let lines = pairs.filter_map(|(run, result)| Some((line(run)?, line(result)?))).collect();
            Some((events.first()?.session_id.clone(), Arc::new(lines)))
        })
        .collect()
}

/// Maps each session to its only row.
fn one_each<T>(rows: Vec<T>, session: impl Fn(&T) -> &String) -> HashMap<String, Arc<T>> {
    rows.into_iter().map(|row| (session(&row).clone(), Arc::new(row))).collect()
}

/// Maps keys to the values of their ids.
pub(super) fn with_keys<K: Clone + Eq + Hash, V: Clone>(
    keys: &[K],
    id: impl Fn(&K) -> &str,
    found: &HashMap<String, V>,
) -> HashMap<K, V> {
    keys.iter().filter_map(|key| Some((key.clone(), found.get(id(key))?.clone()))).collect()
}
