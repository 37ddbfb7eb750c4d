//! Subscriptions about what comes to a session besides its messages: results, hooks, file changes, to-dos. What a
//! change brought is read once, for all subscribers of this process.

use std::collections::VecDeque;
use std::sync::Arc;

use async_graphql::SimpleObject;
use han_db::changes::Change;
use han_db::queries::arrived::{Arrived, ArrivedHook, ArrivedResult};
use han_transcript::MessageKind;
use han_types::SessionId;

use super::feed::{Feed, Heard, Source};
use crate::error::{ApiError, Result};

/// The result of a call came.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ToolResultAddedPayload {
    /// The session's id.
    session_id: String,
    /// The call it answers.
    call_id: String,
    /// What sort of call: `tool`, `mcp` or `exposed`.
    #[graphql(name = "type")]
    kind: &'static str,
    /// Whether the call went well; a result that does not say so did.
    success: bool,
    /// How long the call took, in milliseconds; 0 where the result does not say.
    duration_ms: i64,
}

/// The result of a hook run came.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct HookResultAddedPayload {
    /// The session's id.
    session_id: String,
    /// The run it answers.
    hook_run_id: String,
    /// The hook's name.
    hook_name: String,
    /// The plugin it belongs to; empty where the hook does not say.
    plugin_name: String,
    /// Whether the hook passed; a result that does not say so did.
    success: bool,
    /// How long it took, in milliseconds; 0 where the result does not say.
    duration_ms: i64,
}

/// A session's file changes have changed: new ones came, or a result said that one did not happen.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionFilesChangedPayload {
    /// The session's id.
    session_id: String,
    /// How many changes of files the session has now, as `Session.fileChangeCount` says.
    file_count: i64,
    /// The tool of the last one that came.
    tool_name: String,
}

/// A session's agent wrote its to-do list. The counts are those of the latest list, as it stands now.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionTodosChangedPayload {
    /// The session's id.
    session_id: String,
    /// All to-dos.
    todo_count: i64,
    /// Those being worked on.
    in_progress_count: i64,
    /// Those that are done.
    completed_count: i64,
}

/// A hook of a session began or ended.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionHooksChangedPayload {
    /// The session's id.
    session_id: String,
    /// What happened: `hook_run` where it began; `hook_result` where a run ended; `hook_validation`, `hook_script`,
    /// `hook_reference` or `hook_datetime` where one line tells it all.
    event_type: &'static str,
    /// The hook's name.
    hook_name: String,
    /// The plugin it belongs to; empty where the hook does not say.
    plugin_name: String,
}

/// Makes the payloads of one subscription of what came with a change, in order.
pub(super) trait Tell: Send {
    /// The payload.
    type Item: Send;

    /// The session it is about, where there is one; changes of others are not even read.
    fn session(&self) -> Option<&SessionId>;

    /// The payloads of what came to `session_id`.
    fn tell(&self, session_id: &SessionId, arrived: &Arrived) -> Vec<Self::Item>;
}

/// The payloads of a subscription, change by change.
pub(super) struct Telling<T: Tell> {
    feed: Feed,
    what: T,
    waiting: VecDeque<T::Item>,
}

impl<T: Tell> Telling<T> {
    pub(super) fn new(feed: Feed, what: T) -> Self {
        Self { feed, what, waiting: VecDeque::new() }
    }

    async fn take_in(&mut self, change: &Change) -> Result<()> {
        let Some(session_id) = &change.session_id else { return Ok(()) };
        if self.what.session().is_some_and(|wanted| wanted != session_id) {
            return Ok(());
        }
        let Some(arrived) = change.arrived(self.feed.scope()?, self.feed.db()).await? else {
            // Too much came at once: fetching anew is better.
            return Err(ApiError::Resync);
        };
        self.waiting.extend(self.what.tell(session_id, &arrived));
        Ok(())
    }
}

impl<T: Tell> Source for Telling<T> {
    type Item = T::Item;

    async fn next(&mut self) -> Result<Option<T::Item>> {
        loop {
            if let Some(payload) = self.waiting.pop_front() {
                return Ok(Some(payload));
            }
            let change: Arc<Change> = match self.feed.next().await? {
                Some(Heard::Session(change)) => change,
                Some(Heard::Missed) => return Err(ApiError::Resync),
                None => return Ok(None),
            };
            self.take_in(&change).await?;
        }
    }
}

/// Results of a call. Calls are named apart only within a session, so every session of the team is looked at.
pub(super) struct ResultOf(pub(super) String);

impl Tell for ResultOf {
    type Item = ToolResultAddedPayload;

    fn session(&self) -> Option<&SessionId> {
        None
    }

    fn tell(&self, session_id: &SessionId, arrived: &Arrived) -> Vec<ToolResultAddedPayload> {
        let payload = |result: &ArrivedResult| ToolResultAddedPayload {
            session_id: session_id.to_string(),
            call_id: result.call_id.clone(),
            kind: result.kind.as_str(),
            success: result.success.unwrap_or(true),
            duration_ms: result.duration_ms.unwrap_or_default(),
        };
        arrived.results.iter().filter(|result| result.call_id == self.0).map(payload).collect()
    }
}

/// Results of a hook run, in whichever session of the team it is.
pub(super) struct HookResultOf(pub(super) String);

impl Tell for HookResultOf {
    type Item = HookResultAddedPayload;

    fn session(&self) -> Option<&SessionId> {
        None
    }

    fn tell(&self, session_id: &SessionId, arrived: &Arrived) -> Vec<HookResultAddedPayload> {
        let is_wanted = |hook: &&ArrivedHook| !hook.is_run && hook.run_id.as_deref() == Some(self.0.as_str());
        let payload = |hook: &ArrivedHook| HookResultAddedPayload {
            session_id: session_id.to_string(),
            hook_run_id: self.0.clone(),
            hook_name: hook.hook.clone().unwrap_or_default(),
            plugin_name: hook.plugin.clone().unwrap_or_default(),
            success: hook.success.unwrap_or(true),
            duration_ms: hook.duration_ms.unwrap_or_default(),
        };
        arrived.hooks.iter().filter(is_wanted).map(payload).collect()
    }
}

/// Changes of a session's list of file changes.
pub(super) struct FilesOf(pub(super) SessionId);

impl Tell for FilesOf {
    type Item = SessionFilesChangedPayload;

    fn session(&self) -> Option<&SessionId> {
        Some(&self.0)
    }

    fn tell(&self, session_id: &SessionId, arrived: &Arrived) -> Vec<SessionFilesChangedPayload> {
        let payload = arrived.files.as_ref().map(|(tool, counts)| SessionFilesChangedPayload {
            session_id: session_id.to_string(),
            file_count: counts.file_changes,
            tool_name: tool.clone(),
        });
        payload.into_iter().collect()
    }
}

/// Changes of a session's to-do list.
pub(super) struct TodosOf(pub(super) SessionId);

impl Tell for TodosOf {
    type Item = SessionTodosChangedPayload;

    fn session(&self) -> Option<&SessionId> {
        Some(&self.0)
    }

    fn tell(&self, session_id: &SessionId, arrived: &Arrived) -> Vec<SessionTodosChangedPayload> {
        let payload = arrived.todos.map(|counts| SessionTodosChangedPayload {
            session_id: session_id.to_string(),
            todo_count: counts.pending + counts.in_progress + counts.completed,
            in_progress_count: counts.in_progress,
            completed_count: counts.completed,
        });
        payload.into_iter().collect()
    }
}

/// A session's hooks, as they begin and end.
pub(super) struct HooksOf(pub(super) SessionId);

impl Tell for HooksOf {
    type Item = SessionHooksChangedPayload;

    fn session(&self) -> Option<&SessionId> {
        Some(&self.0)
    }

    fn tell(&self, session_id: &SessionId, arrived: &Arrived) -> Vec<SessionHooksChangedPayload> {
        let payload = |hook: &ArrivedHook| SessionHooksChangedPayload {
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
        arrived.hooks.iter().map(payload).collect()
    }
}
