//! Batched lookups: the keys that the fields of one operation request at the same time become one statement per kind.

mod by_session;
mod pages;
mod people;
#[cfg(feature = "team")]
mod plans;

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use han_db::entities::{Message, Project, Repo, Session, ToolResult};
use han_db::queries::tool_results::{self, Call};
use han_db::queries::{messages, projects, sessions, subagents};
use han_types::{MessageKey, ProjectId, RepoId, SessionId, TranscriptName};

use crate::error::{ApiError, Result};
use crate::reads::Reads;

pub(crate) use by_session::{
    CountsOf, HookResultsOf, HookStatsOf, HooksOf, NativeTasksOf, OriginOf, SentimentsOf, TasksOf,
    TodoCountsOf, TodosOf, UsageOf,
};
pub(crate) use pages::{FileChangesOf, IndexOf, MessageCountOf, MessagesOf};
pub(crate) use people::{ProjectActivity, ProjectsOf, RepoActivity, SentimentOf};
#[cfg(feature = "team")]
pub(crate) use plans::PlanUsageOf;

/// The loaders of one operation, one per type of key.
pub(crate) struct Loaders(Arc<Reads>);

impl Loaders {
    pub(crate) fn new(reads: Arc<Reads>) -> Self {
        Self(reads)
    }
}

/// A tool use that may have started a subagent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AgentOf(pub(crate) Call);

impl Loader<SessionId> for Loaders {
    type Value = Arc<Session>;
    type Error = ApiError;

    async fn load(&self, keys: &[SessionId]) -> Result<HashMap<SessionId, Arc<Session>>> {
        let found = sessions::by_ids(self.0.tx().await?, keys).await?;
        Ok(found.into_iter().filter_map(|row| Some((row.session_id.parse().ok()?, Arc::new(row)))).collect())
    }
}

/// The session with a subagent of this name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionOf(pub(crate) TranscriptName);

impl Loader<SessionOf> for Loaders {
    type Value = SessionId;
    type Error = ApiError;

    async fn load(&self, keys: &[SessionOf]) -> Result<HashMap<SessionOf, SessionId>> {
        let names: Vec<TranscriptName> = keys.iter().map(|key| key.0.clone()).collect();
        let mut found = HashMap::new();
        for (name, session_id) in subagents::sessions_of(self.0.tx().await?, &names).await? {
            found.entry(SessionOf(name)).or_insert(session_id);
        }
        Ok(found)
    }
}

impl Loader<MessageKey> for Loaders {
    type Value = Arc<Message>;
    type Error = ApiError;

    async fn load(&self, keys: &[MessageKey]) -> Result<HashMap<MessageKey, Arc<Message>>> {
        let found = messages::by_keys(self.0.tx().await?, keys).await?;
        Ok(found.into_iter().map(|row| (row.key.clone(), Arc::new(row))).collect())
    }
}

impl Loader<ProjectId> for Loaders {
    type Value = Arc<Project>;
    type Error = ApiError;

    async fn load(&self, keys: &[ProjectId]) -> Result<HashMap<ProjectId, Arc<Project>>> {
        let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let found = projects::by_ids(self.0.tx().await?, &ids).await?;
        Ok(found.into_iter().filter_map(|row| Some((row.id.parse().ok()?, Arc::new(row)))).collect())
    }
}

impl Loader<RepoId> for Loaders {
    type Value = Arc<Repo>;
    type Error = ApiError;

    async fn load(&self, keys: &[RepoId]) -> Result<HashMap<RepoId, Arc<Repo>>> {
        let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let found = projects::repos_by_ids(self.0.tx().await?, &ids).await?;
        Ok(found.into_iter().filter_map(|row| Some((row.id.parse().ok()?, Arc::new(row)))).collect())
    }
}

impl Loader<Call> for Loaders {
    /// The results of a call, in the order of their lines.
    type Value = Arc<Vec<ToolResult>>;
    type Error = ApiError;

    async fn load(&self, keys: &[Call]) -> Result<HashMap<Call, Arc<Vec<ToolResult>>>> {
        let found = tool_results::by_calls(self.0.tx().await?, keys).await?;
        let mut results: HashMap<Call, Vec<ToolResult>> = HashMap::new();
        for (call, result) in found {
            results.entry(call).or_default().push(result);
        }
        Ok(results.into_iter().map(|(call, results)| (call, Arc::new(results))).collect())
    }
}

impl Loader<AgentOf> for Loaders {
    /// The subagent's id.
    type Value = String;
    type Error = ApiError;

    async fn load(&self, keys: &[AgentOf]) -> Result<HashMap<AgentOf, String>> {
        let calls: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = tool_results::agents_by_calls(self.0.tx().await?, &calls).await?;
        Ok(found.into_iter().map(|(call, agent)| (AgentOf(call), agent)).collect())
    }
}
