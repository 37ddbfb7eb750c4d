//! Users, projects, repositories, and the sentiments of prompts.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use han_db::entities::{Project, Sentiment, User};
use han_db::queries::project_lists::{self, Activity};
use han_db::queries::{projects, sentiments, users};
use han_types::{ProjectId, RepoId, SessionId, UserId};

use super::Loaders;
use super::by_session::with_keys;
use crate::error::{ApiError, Result};

/// The activity of a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProjectActivity(pub(crate) ProjectId);

/// The activity of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RepoActivity(pub(crate) RepoId);

/// The projects of a repository, ordered by path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProjectsOf(pub(crate) RepoId);

/// The sentiment that Han detected in a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SentimentOf {
    pub(crate) session_id: SessionId,
    /// The prompt's uuid.
    pub(crate) prompt: String,
}

impl Loader<UserId> for Loaders {
    type Value = User;
    type Error = ApiError;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, User>> {
        let found = users::by_ids(self.0.tx().await?, keys).await?;
        Ok(found.into_iter().map(|row| (row.id.clone(), row)).collect())
    }
}

impl Loader<ProjectActivity> for Loaders {
    type Value = Activity;
    type Error = ApiError;

    async fn load(&self, keys: &[ProjectActivity]) -> Result<HashMap<ProjectActivity, Activity>> {
        let ids: Vec<String> = keys.iter().map(|key| key.0.to_string()).collect();
        let found = project_lists::activity_by_projects(self.0.tx().await?, &ids).await?;
        Ok(with_keys(keys, |key| key.0.as_str(), &found.into_iter().collect()))
    }
}

impl Loader<RepoActivity> for Loaders {
    type Value = Activity;
    type Error = ApiError;

    async fn load(&self, keys: &[RepoActivity]) -> Result<HashMap<RepoActivity, Activity>> {
        let ids: Vec<String> = keys.iter().map(|key| key.0.to_string()).collect();
        let found = project_lists::activity_by_repos(self.0.tx().await?, &ids).await?;
        Ok(with_keys(keys, |key| key.0.as_str(), &found.into_iter().collect()))
    }
}

impl Loader<ProjectsOf> for Loaders {
    type Value = Arc<Vec<Arc<Project>>>;
    type Error = ApiError;

    async fn load(&self, keys: &[ProjectsOf]) -> Result<HashMap<ProjectsOf, Self::Value>> {
        let tx = self.0.tx().await?;
        let ids: Vec<String> = keys.iter().map(|key| key.0.to_string()).collect();
        let pairs = project_lists::projects_of_repos(tx, &ids).await?;
        let ids: Vec<String> = pairs.into_iter().map(|(_, project)| project).collect();
        let mut repos: HashMap<String, Vec<Arc<Project>>> = HashMap::new();
        for project in projects::by_ids(tx, &ids).await? {
            if let Some(repo) = project.repo_id.clone() {
                repos.entry(repo).or_default().push(Arc::new(project));
            }
        }
        let by_path = |(repo, mut projects): (String, Vec<Arc<Project>>)| {
            projects.sort_by(|a, b| (&a.details.path, &a.id).cmp(&(&b.details.path, &b.id)));
            (repo, Arc::new(projects))
        };
        Ok(with_keys(keys, |key| key.0.as_str(), &repos.into_iter().map(by_path).collect()))
    }
}

impl Loader<SentimentOf> for Loaders {
    /// The latest one, if a prompt was analysed more than once.
    type Value = Arc<Sentiment>;
    type Error = ApiError;

    async fn load(&self, keys: &[SentimentOf]) -> Result<HashMap<SentimentOf, Self::Value>> {
        let prompts: Vec<_> = keys.iter().map(|key| (key.session_id.clone(), key.prompt.clone())).collect();
        let found = sentiments::by_prompts(self.0.tx().await?, &prompts).await?;
        let mut by_prompt = HashMap::new();
        for sentiment in found {
            if let (Ok(session_id), Some(prompt)) =
                (sentiment.session_id.parse(), sentiment.message_id.clone())
            {
                by_prompt.insert(SentimentOf { session_id, prompt }, Arc::new(sentiment));
            }
        }
        Ok(by_prompt)
    }
}
