//! `memoryUpdated`: the one subscription that every page of the dashboard holds.

use async_graphql::SimpleObject;
use han_db::changes::Action;

use super::feed::{Feed, Heard, Source};
use crate::error::Result;

/// Something that dashboards show has changed.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct MemoryUpdatedPayload {
    /// What sort of thing: `SESSION`.
    #[graphql(name = "type")]
    kind: &'static str,
    /// `created`, `updated` or `deleted`; `resync` where events were missed and everything may have changed.
    action: &'static str,
    /// The file that changed, where the thing is a file on a machine.
    path: Option<String>,
    /// When it was noticed, RFC 3339 in UTC.
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
        let Some(heard) = self.0.next().await? else { return Ok(None) };
        let action = match heard {
            Heard::Session(change) => match change.action {
                Action::Insert => "created",
                Action::Update => "updated",
                Action::Delete => "deleted",
            },
            Heard::Missed => "resync",
        };
        let timestamp = self.0.db().clock().now().to_rfc3339();
        Ok(Some(MemoryUpdatedPayload { kind: "SESSION", action, path: None, timestamp }))
    }
}
