//! `memoryUpdated`: the subscription that every page of the dashboard has open.

use async_graphql::SimpleObject;
use han_db::changes::Action;

use super::feed::{Feed, FeedEvent, Source};
use crate::error::Result;

/// A change of something that dashboards show.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct MemoryUpdatedPayload {
    /// The kind of object: `SESSION`.
    #[graphql(name = "type")]
    kind: &'static str,
    /// `created`, `updated` or `deleted`; `resync` if events were missed, so that anything may have changed.
    action: &'static str,
    /// The file that changed, if the object is a file on a machine.
    path: Option<String>,
    /// When the server noticed it, RFC 3339 in UTC.
    timestamp: String,
}

pub(super) struct Updated(Feed);

impl Updated {
    pub(super) fn new(feed: Feed) -> Self {
        Self(feed)
    }
}

impl Source for Updated {
    type Item = MemoryUpdatedPayload;

    async fn next(&mut self) -> Result<Option<MemoryUpdatedPayload>> {
        let event: Option<FeedEvent> = self.0.next().await?;
        let Some(event) = event else { return Ok(None) };
        let action = match event {
            FeedEvent::Changed(change) => match change.action {
                Action::Insert => "created",
                Action::Update => "updated",
                Action::Delete => "deleted",
            },
            FeedEvent::Missed => "resync",
        };
        let timestamp = self.0.db().clock().now().to_rfc3339();
        Ok(Some(MemoryUpdatedPayload { kind: "SESSION", action, path: None, timestamp }))
    }
}
