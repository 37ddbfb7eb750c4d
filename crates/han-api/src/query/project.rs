//! Queries for projects and repositories.

use std::sync::Arc;

use async_graphql::{Context, Object};
use han_db::queries::project_lists;
use han_types::GlobalId;

use crate::connection;
use crate::context::operation;
use crate::error::Result;
use crate::filters::{Conditions as _, ProjectFilter, RepoFilter};
use crate::types::project::{Project, Repo};

#[derive(Debug, Default)]
pub(crate) struct ProjectQuery;

/// Projects and repositories.
#[Object]
impl ProjectQuery {
    /// The project with this id.
    async fn project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] id: String,
    ) -> Result<Option<Project>> {
        match (operation(ctx)?, GlobalId::raw("Project", &id).parse()) {
            (Some(op), Ok(id)) => Project::load(&op, id).await,
            _ => Ok(None),
        }
    }

    /// The team's projects, most recently active first.
    #[graphql(complexity = "connection::page_cost(first, child_complexity)")]
    async fn projects(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of rows, 1 to 500. The default is 50.")] first: Option<i32>,
        #[graphql(desc = "Only rows that match.")] filter: Option<ProjectFilter>,
    ) -> Result<Vec<Project>> {
        let first = connection::first(first)?;
        let filter = filter.map(ProjectFilter::filter).transpose()?.flatten();
        let Some(op) = operation(ctx)? else { return Ok(Vec::new()) };
        let tx = op.tx().await?;
        let found = project_lists::recent_projects(tx, filter.as_ref(), first).await?;
        Ok(found.into_iter().map(|(row, _)| Project::new(&op, Arc::new(row))).collect())
    }

    /// The team's repositories, most recently active first.
    #[graphql(complexity = "connection::page_cost(first, child_complexity)")]
    async fn repos(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of rows, 1 to 500. The default is 50.")] first: Option<i32>,
        #[graphql(desc = "Only rows that match.")] filter: Option<RepoFilter>,
    ) -> Result<Vec<Repo>> {
        let first = connection::first(first)?;
        let filter = filter.map(RepoFilter::filter).transpose()?.flatten();
        let Some(op) = operation(ctx)? else { return Ok(Vec::new()) };
        let tx = op.tx().await?;
        let found = project_lists::recent_repos(tx, filter.as_ref(), first).await?;
        Ok(found.into_iter().map(|(row, _)| Repo::new(&op, Arc::new(row))).collect())
    }

    /// The repository with this id.
    async fn repo(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] id: String,
    ) -> Result<Option<Repo>> {
        match (operation(ctx)?, GlobalId::raw("Repo", &id).parse()) {
            (Some(op), Ok(id)) => Repo::load(&op, id).await,
            _ => Ok(None),
        }
    }
}
