//! Sessions at the root.

use std::sync::Arc;

use async_graphql::{Context, Object};
use han_db::page::SessionCursor;
use han_db::queries::sessions;

use crate::connection::{self, SessionConnection, Total};
use crate::context::operation;
use crate::error::Result;
use crate::filters::{Conditions as _, SessionFilter};
use crate::types::session::{Session, SessionEdge, session_id};

#[derive(Debug, Default)]
pub(crate) struct SessionQuery;

/// Sessions.
#[Object]
impl SessionQuery {
    /// The session of that id.
    async fn session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global or raw.")] id: String,
    ) -> Result<Option<Session>> {
        let id = session_id("id", &id)?;
        match operation(ctx)? {
            Some(op) => Session::load(&op, id).await,
            None => Ok(None),
        }
    }

    /// The team's sessions, the one with the latest activity first.
    #[graphql(complexity = "connection::page_cost(first, child_complexity)")]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the row before the page.")] after: Option<String>,
        #[graphql(desc = "How many rows: 1 to 500; 50 where it is not given.")] first: Option<i32>,
        #[graphql(desc = "Only these.")] filter: Option<SessionFilter>,
    ) -> Result<SessionConnection> {
        let request = connection::page::<SessionCursor>(after.as_deref(), first)?;
        let filter = filter.map(SessionFilter::filter).transpose()?;
        let Some(op) = operation(ctx)? else { return Ok(SessionConnection::empty()) };
        let page = sessions::page(op.tx().await?, filter.as_ref(), &request).await?;
        let edges = page.rows.into_iter().map(|row| SessionEdge::new(&op, Arc::new(row))).collect();
        let total = Total::Sessions { op, filter };
        Ok(SessionConnection::new(edges, page.has_next, request.after.is_some(), total))
    }
}
