//! Projects and repositories at the root.

use async_graphql::{Context, Object};
use han_types::GlobalId;

use crate::context::operation;
use crate::error::{ApiError, Result};
use crate::types::project::{Project, Repo};

#[derive(Debug, Default)]
pub(crate) struct ProjectQuery;

/// Projects and repositories.
#[Object]
impl ProjectQuery {
    /// The project of that id.
    async fn project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] id: String,
    ) -> Result<Option<Project>> {
        let id = GlobalId::raw("Project", &id).parse().map_err(|error| ApiError::bad("id", error))?;
        match operation(ctx)? {
            Some(op) => Project::load(&op, id).await,
            None => Ok(None),
        }
    }

    /// The repository of that id.
    async fn repo(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] id: String,
    ) -> Result<Option<Repo>> {
        let id = GlobalId::raw("Repo", &id).parse().map_err(|error| ApiError::bad("id", error))?;
        match operation(ctx)? {
            Some(op) => Repo::load(&op, id).await,
            None => Ok(None),
        }
    }
}
