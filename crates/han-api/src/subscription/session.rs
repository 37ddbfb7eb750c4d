//! Subscriptions to sessions and their messages. What changed is loaded once per change, for all subscribers.

use std::collections::VecDeque;
use std::sync::Arc;

use async_graphql::SimpleObject;
use han_db::changes::{Action, Change};
use han_types::{GlobalId, ProjectId, SessionId};

use super::feed::{Feed, FeedEvent, Source};
use crate::error::{ApiError, Result};
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

/// A new message of a session's list.
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
        Some(FeedEvent::Session(change)) => Ok(Some(change)),
        Some(FeedEvent::Missed) => Err(ApiError::Resync),
        None => Ok(None),
    }
}

pub(super) struct Added {
    feed: Feed,
    project_id: Option<ProjectId>,
}

impl Added {
    pub(super) fn new(feed: Feed, project_id: Option<ProjectId>) -> Self {
        Self { feed, project_id }
    }

    async fn payload(&self, change: &Change) -> Result<Option<SessionAddedPayload>> {
        let Some(row) = change.session(self.feed.scope()?, self.feed.db()).await? else { return Ok(None) };
        let wanted = self.project_id.as_ref().map(ProjectId::as_str);
        if wanted.is_some() && wanted != row.project_id.as_deref() {
            return Ok(None);
        }
        Ok(Some(SessionAddedPayload {
            session_id: row.session_id.clone(),
            project_id: row.project_id.clone(),
            new_session_edge: Some(SessionEdge::new(&self.feed.operation()?, row)),
        }))
    }
}

impl Source for Added {
    type Item = SessionAddedPayload;

    async fn next(&mut self) -> Result<Option<SessionAddedPayload>> {
        while let Some(change) = next_change(&mut self.feed).await? {
            if change.action == Action::Insert
                && let Some(payload) = self.payload(&change).await?
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
        let Some(messages) = change.messages(self.feed.scope()?, self.feed.db()).await? else {
            // Too much to buffer for every subscriber: clients had better read it in pages.
            return Err(ApiError::Resync);
        };
        for new in messages.iter() {
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
                let row = change.session(self.feed.scope()?, self.feed.db()).await?;
                let op = self.feed.operation()?;
                return Ok(Some(NodeUpdatedPayload { node: row.map(|row| Session::new(&op, row).into()) }));
            }
        }
        Ok(None)
    }
}
