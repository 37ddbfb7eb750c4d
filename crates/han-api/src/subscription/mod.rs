//! What can be watched. Events come from the change feed alone, whichever replica and whichever database they began
//! in; each is told once, in order per session.
//!
//! A subscriber that fell behind is told so: `memoryUpdated` says `action: "resync"` and goes on; every other
//! subscription ends with the error code `RESYNC`, upon which the client fetches anew and subscribes again. When the
//! right to the data ends, so does the stream, with `UNAUTHENTICATED`.

mod arrived;
mod feed;
mod memory;
mod session;

use async_graphql::{Context, ID, Subscription};
use futures_util::stream::Stream;
use han_db::changes::DbChangeEvent;
use han_types::{GlobalId, ProjectId};
use tokio::sync::broadcast;

use crate::context::{caller, database};
use crate::error::{ApiError, Result};
use crate::query::global_id;
use crate::types::machine::{MemoryAgentProgressPayload, MemoryAgentResultPayload};
use crate::types::session::session_id;

use arrived::Telling;
pub(crate) use arrived::{
    HookResultAddedPayload, SessionFilesChangedPayload, SessionHooksChangedPayload,
    SessionTodosChangedPayload, ToolResultAddedPayload,
};
use feed::{Feed, until_error};
pub(crate) use memory::MemoryUpdatedPayload;
pub(crate) use session::{NodeUpdatedPayload, SessionAddedPayload, SessionMessageAddedPayload};

/// What can be watched.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionRoot {
    changes: broadcast::Sender<DbChangeEvent>,
}

impl SubscriptionRoot {
    pub(crate) fn new(changes: broadcast::Sender<DbChangeEvent>) -> Self {
        Self { changes }
    }

    /// What the caller hears from now on.
    fn feed(&self, ctx: &Context<'_>) -> Result<Feed> {
        let caller = caller(ctx)?;
        caller.readable()?;
        Ok(Feed::new(self.changes.subscribe(), caller.clone(), database(ctx)?.clone()))
    }
}

fn memory_elsewhere(ctx: &Context<'_>) -> ApiError {
    match caller(ctx).and_then(|caller| caller.readable().map(|_| ())) {
        Ok(()) => ApiError::Unsupported(
            "a team server keeps no memory: ask the local coordinator of the developer's machine",
        ),
        Err(error) => error,
    }
}

/// What can be watched.
#[Subscription]
impl SubscriptionRoot {
    /// Sessions that are new, of one project where it is given.
    async fn session_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] project_id: Option<ID>,
    ) -> Result<impl Stream<Item = Result<SessionAddedPayload>> + use<>> {
        let project_id = project_id
            .map(|id| GlobalId::raw("Project", &id).parse::<ProjectId>())
            .transpose()
            .map_err(|error| ApiError::bad("projectId", error))?;
        Ok(until_error(session::Added::new(self.feed(ctx)?, project_id)))
    }

    /// Messages that come to a session's list, oldest first, each with its index in the list.
    async fn session_message_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionMessageAddedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(session::MessageAdded::new(self.feed(ctx)?, id)))
    }

    /// The object of that global id, whenever it changes. Of all nodes, sessions change.
    async fn node_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "`Type:id`; a raw id is a session's.")] id: ID,
    ) -> Result<impl Stream<Item = Result<NodeUpdatedPayload>> + use<>> {
        Ok(until_error(session::NodeUpdated::new(self.feed(ctx)?, global_id(&id)?)))
    }

    /// Results of a tool, MCP or exposed call, as they come.
    async fn tool_result_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The call, as `toolCallId` and `callId` name it.")] call_id: String,
    ) -> Result<impl Stream<Item = Result<ToolResultAddedPayload>> + use<>> {
        Ok(until_error(Telling::new(self.feed(ctx)?, arrived::ResultOf(call_id))))
    }

    /// Results of a hook run, as they come: those that name it, and those that name none but answer it.
    async fn hook_result_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run, as `hookRunId` names it.")] hook_run_id: String,
    ) -> Result<impl Stream<Item = Result<HookResultAddedPayload>> + use<>> {
        Ok(until_error(Telling::new(self.feed(ctx)?, arrived::HookResultOf(hook_run_id))))
    }

    /// That a session's list of file changes changed: once for all that came together.
    async fn session_files_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionFilesChangedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(Telling::new(self.feed(ctx)?, arrived::FilesOf(id))))
    }

    /// That a session's agent wrote its to-do list: once for all lists that came together.
    async fn session_todos_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionTodosChangedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(Telling::new(self.feed(ctx)?, arrived::TodosOf(id))))
    }

    /// Hooks of a session that begin or end, in the order of their lines.
    async fn session_hooks_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] session_id: ID,
    ) -> Result<impl Stream<Item = Result<SessionHooksChangedPayload>> + use<>> {
        let id = self::session_id("sessionId", &session_id)?;
        Ok(until_error(Telling::new(self.feed(ctx)?, arrived::HooksOf(id))))
    }

    /// Whatever changes that dashboards show. On a team server that is sessions: `type` is `SESSION`.
    async fn memory_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<MemoryUpdatedPayload>> + use<>> {
        Ok(until_error(memory::Updated::new(self.feed(ctx)?)))
    }

    /// How a question to the memory comes on. Only a coordinator can tell.
    async fn memory_agent_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The question's session.")] session_id: Option<String>,
    ) -> Result<futures_util::stream::Empty<MemoryAgentProgressPayload>> {
        let _ = session_id;
        Err(memory_elsewhere(ctx))
    }

    /// The answer to a question to the memory. Only a coordinator can tell.
    async fn memory_agent_result(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The question's session.")] session_id: Option<String>,
    ) -> Result<futures_util::stream::Empty<MemoryAgentResultPayload>> {
        let _ = session_id;
        Err(memory_elsewhere(ctx))
    }
}
