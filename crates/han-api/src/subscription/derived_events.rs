//! Subscriptions to what is derived from a session's messages: results, hooks, file changes and to-dos. The events of a
//! change are read once, for all subscribers of this process.

use std::collections::VecDeque;
use std::sync::Arc;

use async_graphql::SimpleObject;
use han_db::changes::Change;
use han_db::queries::derived_events::{DerivedEvents, DerivedHook, DerivedResult};
use han_transcript::MessageKind;
use han_types::SessionId;

use super::feed::{Feed, FeedEvent, Source};
use crate::error::{ApiError, Result};

/// A new result of a call.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ToolResultAddedPayload {
    /// The session's id.
    session_id: String,
    /// The id of its call.
    call_id: String,
    /// The kind of call: `tool`, `mcp` or `exposed`.
    #[graphql(name = "type")]
    kind: &'static str,
    /// Whether the call succeeded; true if the result does not say.
    success: bool,
    /// The duration of the call in milliseconds; 0 if the result does not say.
    duration_ms: i64,
}

/// A new result of a hook run.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct HookResultAddedPayload {
    /// The session's id.
    session_id: String,
    /// The id of its run.
    hook_run_id: String,
    /// The hook's name.
    hook_name: String,
    /// The hook's plugin; empty if the line does not say.
    plugin_name: String,
    /// Whether the hook passed; true if the result does not say.
    success: bool,
    /// Its duration in milliseconds; 0 if the result does not say.
    duration_ms: i64,
}

/// A change of a session's list of file changes: new ones arrived, or a result showed that one failed.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionFilesChangedPayload {
    /// The session's id.
    session_id: String,
    /// The current `Session.fileChangeCount`.
    file_count: i64,
    /// The tool of the latest change.
    tool_name: String,
}

/// A change of a session's to-do list. The counts are those of the latest list.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionTodosChangedPayload {
    /// The session's id.
    session_id: String,
    /// The number of to-dos.
    todo_count: i64,
    /// The number of to-dos in progress.
    in_progress_count: i64,
    /// The number of completed to-dos.
    completed_count: i64,
}

/// The start or the end of a hook of a session.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionHooksChangedPayload {
    /// The session's id.
    session_id: String,
    /// The kind of event: `hook_run` for a start, `hook_result` for the end of a run; `hook_validation`, `hook_script`,
    /// `hook_reference` or `hook_datetime` for hooks that are recorded in one line.
    event_type: &'static str,
    /// The hook's name.
    hook_name: String,
    /// The hook's plugin; empty if the line does not say.
    plugin_name: String,
}

/// Selects the payloads of one subscription from the events of a change.
pub(super) trait Select: Send {
    /// The payload.
    type Item: Send;

    /// The session of the subscription, if it has one; changes of other sessions are not read.
    fn session(&self) -> Option<&SessionId>;

    /// The payloads of the events of `session_id`, in order.
    fn select(&self, session_id: &SessionId, events: &DerivedEvents) -> Vec<Self::Item>;
}

/// The payloads of a subscription, change by change.
pub(super) struct Events<T: Select> {
    feed: Feed,
    selection: T,
    waiting: VecDeque<T::Item>,
}

impl<T: Select> Events<T> {
    pub(super) fn new(feed: Feed, selection: T) -> Self {
        Self { feed, selection, waiting: VecDeque::new() }
    }

    async fn take_in(&mut self, change: &Change) -> Result<()> {
        let Some(session_id) = &change.session_id else { return Ok(()) };
        if self.selection.session().is_some_and(|wanted| wanted != session_id) {
            return Ok(());
        }
        let (scope, db) = (self.feed.scope()?, self.feed.db());
        let load = || async { Ok(change.derived_events(scope, db).await?) };
        let Some(events) = self.feed.until_available(load).await? else {
            // Too many events in one change: clients had better fetch the data again.
            return Err(ApiError::Resync);
        };
        self.waiting.extend(self.selection.select(session_id, &events));
        Ok(())
    }
}

impl<T: Select> Source for Events<T> {
    type Item = T::Item;

    async fn next(&mut self) -> Result<Option<T::Item>> {
        loop {
            if let Some(payload) = self.waiting.pop_front() {
                return Ok(Some(payload));
            }
            let change: Arc<Change> = match self.feed.next().await? {
                Some(FeedEvent::Changed(change)) => change,
                Some(FeedEvent::Missed) => return Err(ApiError::Resync),
                None => return Ok(None),
            };
            self.take_in(&change).await?;
        }
    }
}

/// Results of a call. Call ids are unique only within a session, so changes of every session of the team are read.
pub(super) struct ResultOf(pub(super) String);

impl Select for ResultOf {
    type Item = ToolResultAddedPayload;

    fn session(&self) -> Option<&SessionId> {
        None
    }

    fn select(&self, session_id: &SessionId, events: &DerivedEvents) -> Vec<ToolResultAddedPayload> {
        let payload = |result: &DerivedResult| ToolResultAddedPayload {
            session_id: session_id.to_string(),
            call_id: result.call_id.clone(),
            kind: result.kind.as_str(),
            success: result.success.unwrap_or(true),
            duration_ms: result.duration_ms.unwrap_or_default(),
        };
        events.results.iter().filter(|result| result.call_id == self.0).map(payload).collect()
    }
}

/// Results of a hook run, in any session of the team.
pub(super) struct HookResultOf(pub(super) String);

impl Select for HookResultOf {
    type Item = HookResultAddedPayload;

    fn session(&self) -> Option<&SessionId> {
        None
    }

    fn select(&self, session_id: &SessionId, events: &DerivedEvents) -> Vec<HookResultAddedPayload> {
        let is_wanted = |hook: &&DerivedHook| !hook.is_run && hook.run_id.as_deref() == Some(self.0.as_str());
        let payload = |hook: &DerivedHook| HookResultAddedPayload {
            session_id: session_id.to_string(),
            hook_run_id: self.0.clone(),
            hook_name: hook.hook.clone().unwrap_or_default(),
            plugin_name: hook.plugin.clone().unwrap_or_default(),
            success: hook.success.unwrap_or(true),
            duration_ms: hook.duration_ms.unwrap_or_default(),
        };
        events.hooks.iter().filter(is_wanted).map(payload).collect()
    }
}

/// Changes of a session's list of file changes.
pub(super) struct FilesOf(pub(super) SessionId);

impl Select for FilesOf {
    type Item = SessionFilesChangedPayload;

    fn session(&self) -> Option<&SessionId> {
        Some(&self.0)
    }

    fn select(&self, session_id: &SessionId, events: &DerivedEvents) -> Vec<SessionFilesChangedPayload> {
        let payload = events.files.as_ref().map(|(tool, counts)| SessionFilesChangedPayload {
            session_id: session_id.to_string(),
            file_count: counts.file_changes,
            tool_name: tool.clone(),
        });
        payload.into_iter().collect()
    }
}

/// Changes of a session's to-do list.
pub(super) struct TodosOf(pub(super) SessionId);

impl Select for TodosOf {
    type Item = SessionTodosChangedPayload;

    fn session(&self) -> Option<&SessionId> {
        Some(&self.0)
    }

    fn select(&self, session_id: &SessionId, events: &DerivedEvents) -> Vec<SessionTodosChangedPayload> {
        let payload = events.todos.map(|counts| SessionTodosChangedPayload {
            session_id: session_id.to_string(),
            todo_count: counts.pending + counts.in_progress + counts.completed,
            in_progress_count: counts.in_progress,
            completed_count: counts.completed,
        });
        payload.into_iter().collect()
    }
}

/// Starts and ends of a session's hooks.
pub(super) struct HooksOf(pub(super) SessionId);

impl Select for HooksOf {
    type Item = SessionHooksChangedPayload;

    fn session(&self) -> Option<&SessionId> {
        Some(&self.0)
    }

    fn select(&self, session_id: &SessionId, events: &DerivedEvents) -> Vec<SessionHooksChangedPayload> {
        let payload = |hook: &DerivedHook| SessionHooksChangedPayload {
            session_id: session_id.to_string(),
            event_type: match hook.kind {
                MessageKind::HookRun => "hook_run",
                MessageKind::HookValidation => "hook_validation",
                MessageKind::HookScript => "hook_script",
                MessageKind::HookReference => "hook_reference",
                MessageKind::HookDatetime => "hook_datetime",
                _ => "hook_result",
            },
            hook_name: hook.hook.clone().unwrap_or_default(),
            plugin_name: hook.plugin.clone().unwrap_or_default(),
        };
        events.hooks.iter().map(payload).collect()
    }
}
