//! Subscriptions to sessions and their messages. What changed is loaded once per change, for all subscribers.

use std::collections::VecDeque;
use std::sync::Arc;

use async_graphql::SimpleObject;
use han_db::changes::{Action, Change};
use han_types::{GlobalId, ProjectId, SessionId};

use super::feed::{Feed, FeedEvent, Source};
use crate::error::{ApiError, Result};
use crate::optional_id::ProjectScope;
use crate::types::message::MessageEdge;
use crate::types::node::Node;
use crate::types::session::{Session, SessionEdge};

/// A new session.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionAddedPayload {
    /// The session's id.
    session_id: String,
    /// The raw id of its project.
    project_id: Option<String>,
    /// The session, as an edge to insert into lists.
    new_session_edge: Option<SessionEdge>,
}

/// A message of a session's list: a new one, or one whose call has a new result.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct SessionMessageAddedPayload {
    /// The session's id.
    session_id: String,
    /// The number of older messages in the list.
    message_index: i64,
    /// The message, as an edge to insert into the list.
    new_message_edge: Option<MessageEdge>,
}

/// A change of an object.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct NodeUpdatedPayload {
    /// The current object; null if it was deleted.
    node: Option<Node>,
}

/// The next change of a session; missed events end the subscription.
async fn next_change(feed: &mut Feed) -> Result<Option<Arc<Change>>> {
    match feed.next().await? {
        Some(FeedEvent::Changed(change)) => Ok(Some(change)),
        Some(FeedEvent::Missed) => Err(ApiError::Resync),
        None => Ok(None),
    }
}

pub(super) struct Added {
    feed: Feed,
    within: Option<ProjectScope>,
}

impl Added {
    pub(super) fn new(feed: Feed, within: Option<ProjectScope>) -> Self {
        Self { feed, within }
    }

    async fn payload(&self, change: &Change) -> Result<Option<SessionAddedPayload>> {
        let Some(row) = change.session(self.feed.scope()?, self.feed.db()).await? else { return Ok(None) };
        if let Some(within) = &self.within
            && !self.is_within(within, row.project_id.as_deref()).await?
        {
            return Ok(None);
        }
        Ok(Some(SessionAddedPayload {
            session_id: row.session_id.clone(),
            project_id: row.project_id.clone(),
            new_session_edge: Some(SessionEdge::new(&self.feed.operation()?, row)),
        }))
    }
}

impl Added {
    /// Whether a project is the wanted one, or one of the wanted repository.
    async fn is_within(&self, wanted: &ProjectScope, project_id: Option<&str>) -> Result<bool> {
        let is_project = project_id == Some(wanted.id());
        match wanted {
            ProjectScope::Project(_) => Ok(is_project),
            ProjectScope::Either(_) if is_project => Ok(true),
            ProjectScope::Repo(_) | ProjectScope::Either(_) => {
                let Some(id) = project_id.and_then(|id| id.parse::<ProjectId>().ok()) else {
                    return Ok(false);
                };
                let project = self.feed.operation()?.loader().load_one(id).await?;
                Ok(project.is_some_and(|project| project.repo_id.as_deref() == Some(wanted.id())))
            }
        }
    }
}

impl Source for Added {
    type Item = SessionAddedPayload;

    async fn next(&mut self) -> Result<Option<SessionAddedPayload>> {
        while let Some(change) = next_change(&mut self.feed).await? {
            if change.action == Action::Insert
                && let Some(payload) = self.feed.until_available(|| self.payload(&change)).await?
            {
                return Ok(Some(payload));
            }
        }
        Ok(None)
    }
}

pub(super) struct MessageAdded {
    feed: Feed,
    session_id: SessionId,
    waiting: VecDeque<SessionMessageAddedPayload>,
}

impl MessageAdded {
    pub(super) fn new(feed: Feed, session_id: SessionId) -> Self {
        Self { feed, session_id, waiting: VecDeque::new() }
    }

    async fn take_in(&mut self, change: &Change) -> Result<()> {
        let (scope, db) = (self.feed.scope()?, self.feed.db());
        let load = || async { Ok((change.messages(scope, db).await?, change.late_calls(scope, db).await?)) };
        let (Some(new), Some(late)) = self.feed.until_available(load).await? else {
            // Too much to buffer for every subscriber: clients had better read it in pages.
            return Err(ApiError::Resync);
        };
        for new in new.iter().chain(late.iter()) {
            // One operation each: resolving one message must not keep a transaction open while the others wait.
            let edge = MessageEdge::new(&self.feed.operation()?, Arc::clone(&new.message));
            self.waiting.push_back(SessionMessageAddedPayload {
                session_id: self.session_id.to_string(),
                message_index: new.index,
                new_message_edge: Some(edge),
            });
        }
        Ok(())
    }
}

impl Source for MessageAdded {
    type Item = SessionMessageAddedPayload;

    async fn next(&mut self) -> Result<Option<SessionMessageAddedPayload>> {
        loop {
            if let Some(payload) = self.waiting.pop_front() {
                return Ok(Some(payload));
            }
            let Some(change) = next_change(&mut self.feed).await? else { return Ok(None) };
            if change.session_id.as_ref() == Some(&self.session_id) {
                self.take_in(&change).await?;
            }
        }
    }
}

pub(super) struct NodeUpdated {
    feed: Feed,
    id: GlobalId,
}

impl NodeUpdated {
    pub(super) fn new(feed: Feed, id: GlobalId) -> Self {
        Self { feed, id }
    }

    fn is_about(&self, change: &Change) -> bool {
        matches!(&self.id, GlobalId::Session(id) if change.session_id.as_ref() == Some(id))
    }
}

impl Source for NodeUpdated {
    type Item = NodeUpdatedPayload;

    async fn next(&mut self) -> Result<Option<NodeUpdatedPayload>> {
        while let Some(change) = next_change(&mut self.feed).await? {
            if self.is_about(&change) {
                let (scope, db) = (self.feed.scope()?, self.feed.db());
                let load = || async { Ok(change.session(scope, db).await?) };
                let row = self.feed.until_available(load).await?;
                let op = self.feed.operation()?;
                return Ok(Some(NodeUpdatedPayload { node: row.map(|row| Session::new(&op, row).into()) }));
            }
        }
        Ok(None)
    }
}
