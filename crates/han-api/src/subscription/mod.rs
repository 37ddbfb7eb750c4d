//! The subscription root. All events come from the change feed, whichever replica and database made the change; each is
//! delivered once, in order per session.
//!
//! A subscriber that falls behind learns of it: `memoryUpdated` sends `action: "resync"` and goes on; every other
//! subscription ends with the error code `RESYNC`, and the client fetches its data again and subscribes again. When the
//! caller's access ends, so does the stream, with `UNAUTHENTICATED`. While the database cannot be reached, subscriptions
//! wait for it. A response whose fields could not be loaded then ends the subscription, and its socket (`executor`).
//!
//! Each part belongs to both schemas, or to that of a team server alone, and is merged into their roots as in `query`.

mod derived_events;
mod feed;
mod memory;
mod session;
#[cfg(feature = "team")]
mod team;

use async_graphql::{Context, ID, MergedSubscription, Subscription};
use futures_util::stream::{BoxStream, Stream};
use han_db::changes::DbChangeEvent;
use han_types::{GlobalId, ProjectId, SessionId};
use tokio::sync::broadcast;

use crate::context::{AuthMode, caller, database};
use crate::error::{ApiError, Result};
use crate::machine::machine;
use crate::optional_id::{OptionalId, ProjectScope};
use crate::query::global_id;
use crate::types::machine::{MemoryAgentProgressPayload, MemoryAgentResultPayload};
use crate::types::session::session_id;

use derived_events::Events;
pub(crate) use derived_events::{
    HookResultAddedPayload, SessionFilesChangedPayload, SessionHooksChangedPayload,
    SessionTodosChangedPayload, ToolResultAddedPayload,
};
use feed::{Feed, until_error};
pub(crate) use memory::MemoryUpdatedPayload;
pub(crate) use session::{NodeUpdatedPayload, SessionAddedPayload, SessionMessageAddedPayload};

/// What clients can subscribe to.
#[derive(Clone, Debug, MergedSubscription)]
#[graphql(name = "SubscriptionRoot")]
pub(crate) struct LocalSubscription(SharedSubscription);

impl LocalSubscription {
    pub(crate) fn new(changes: broadcast::Sender<DbChangeEvent>) -> Self {
        Self(SharedSubscription { changes })
    }
}

/// What clients can subscribe to.
#[cfg(feature = "team")]
#[derive(Clone, Debug, MergedSubscription)]
#[graphql(name = "SubscriptionRoot")]
pub(crate) struct TeamSubscription(SharedSubscription, team::TeamsSubscription);

#[cfg(feature = "team")]
impl TeamSubscription {
    pub(crate) fn new(changes: broadcast::Sender<DbChangeEvent>) -> Self {
        Self(SharedSubscription { changes: changes.clone() }, team::TeamsSubscription { changes })
    }
}

/// The events that the caller receives from now on.
fn feed(changes: &broadcast::Sender<DbChangeEvent>, ctx: &Context<'_>) -> Result<Feed> {
    let caller = caller(ctx)?;
    caller.readable()?;
    Ok(Feed::new(changes.subscribe(), caller.clone(), database(ctx)?.clone()))
}

/// The subscriptions of both schemas.
#[derive(Clone, Debug)]
pub(crate) struct SharedSubscription {
    changes: broadcast::Sender<DbChangeEvent>,
}

impl SharedSubscription {
    /// The events that the caller receives from now on.
    fn feed(&self, ctx: &Context<'_>) -> Result<Feed> {
        feed(&self.changes, ctx)
    }

    /// The events that the caller receives from now on, for a subscription to one session.
    ///
    /// # Errors
    /// `NOT_FOUND` if the team has no such session.
    async fn feed_of(&self, ctx: &Context<'_>, id: &SessionId) -> Result<Feed> {
        // Subscribed first: what happens to the session while it is looked up is not missed.
        let feed = self.feed(ctx)?;
        if let AuthMode::Shared(publisher) = caller(ctx)?.auth_mode() {
            // Each listener opens it.
            publisher.shows(id);
        }
        feed.check_session(id).await?;
        if let AuthMode::Own = caller(ctx)?.auth_mode() {
            feed.operation()?.opens(id, None).await?;
        }
        Ok(feed)
    }
}

/// Sessions, their messages, and what is derived from them.
#[Subscription]
impl SharedSubscription {
    /// New sessions; only those of one project or repository if `projectId` is given.
    async fn session_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id of a project or a repository, global or raw.")] project_id: OptionalId<ID>,
    ) -> Result<impl Stream<Item = Result<SessionAddedPayload>> + use<>> {
        let within = ProjectScope::of(&project_id);
        if let Some(within) = &within {
            within.id().parse::<ProjectId>().map_err(|error| ApiError::bad("projectId", error))?;
        }
        Ok(until_error(session::Added::new(self.feed(ctx)?, within)))
    }

    /// New messages of a session's list, oldest first, each with its index in the list. When the result of a call or of a
    /// hook run arrives after it, the message with the call is sent again, with the result.
    async fn session_message_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionMessageAddedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(session::MessageAdded::new(self.feed_of(ctx, &id).await?, id)))
    }

    /// The object with this global id, whenever it changes. Only sessions change.
    async fn node_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id, `Type:id`; a raw id is the id of a session.")] id: ID,
    ) -> Result<impl Stream<Item = Result<NodeUpdatedPayload>> + use<>> {
        let id = global_id(&id)?;
        let feed = match &id {
            GlobalId::Session(session) => self.feed_of(ctx, session).await?,
            _ => self.feed(ctx)?,
        };
        Ok(until_error(session::NodeUpdated::new(feed, id)))
    }

    /// New results of one tool call, MCP call or exposed call.
    async fn tool_result_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The call's id: its `toolCallId` or `callId`.")] call_id: String,
    ) -> Result<impl Stream<Item = Result<ToolResultAddedPayload>> + use<>> {
        Ok(until_error(Events::new(self.feed(ctx)?, derived_events::ResultOf(call_id))))
    }

    /// New results of one hook run: those that name it, and those that name no run but belong to it.
    async fn hook_result_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run's id: its `hookRunId`.")] hook_run_id: String,
    ) -> Result<impl Stream<Item = Result<HookResultAddedPayload>> + use<>> {
        Ok(until_error(Events::new(self.feed(ctx)?, derived_events::HookResultOf(hook_run_id))))
    }

    /// Changes of a session's list of file changes: one event for all changes that arrive together.
    async fn session_files_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionFilesChangedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(Events::new(self.feed_of(ctx, &id).await?, derived_events::FilesOf(id))))
    }

    /// Changes of a session's to-do list: one event for all lists that arrive together.
    async fn session_todos_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionTodosChangedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(Events::new(self.feed_of(ctx, &id).await?, derived_events::TodosOf(id))))
    }

    /// Hooks of a session that start or end, in the order of their lines.
    async fn session_hooks_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionHooksChangedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(Events::new(self.feed_of(ctx, &id).await?, derived_events::HooksOf(id))))
    }

    /// Changes of anything that dashboards show. On a team server, these are sessions: `type` is `SESSION`.
    async fn memory_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<MemoryUpdatedPayload>> + use<>> {
        Ok(until_error(memory::Updated::new(self.feed(ctx)?)))
    }

    /// The steps of a question to the memory. `UNSUPPORTED` on a team server.
    async fn memory_agent_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The `sessionId` that `startMemoryQuery` returned; without it, the events of all questions."
        )]
        session_id: OptionalId,
    ) -> Result<BoxStream<'static, MemoryAgentProgressPayload>> {
        caller(ctx)?.readable()?;
        machine(ctx).memory_progress(session_id.raw("Session")).await
    }

    /// The result of a question to the memory. `UNSUPPORTED` on a team server.
    async fn memory_agent_result(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The `sessionId` that `startMemoryQuery` returned; without it, the events of all questions."
        )]
        session_id: OptionalId,
    ) -> Result<BoxStream<'static, MemoryAgentResultPayload>> {
        caller(ctx)?.readable()?;
        machine(ctx).memory_results(session_id.raw("Session")).await
    }
}
