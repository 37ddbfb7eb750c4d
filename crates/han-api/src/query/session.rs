//! Queries for sessions.

use std::sync::Arc;

use async_graphql::{Context, Object};
use han_db::page::SessionCursor;
use han_db::queries::sessions;
use han_types::GlobalId;

use crate::connection::{self, Total};
use crate::context::operation;
use crate::error::Result;
use crate::filters::{Conditions as _, SessionFilter};
use crate::types::session::{Session, SessionConnection, SessionEdge};

#[derive(Debug, Default)]
pub(crate) struct SessionQuery;

/// Sessions.
#[Object]
impl SessionQuery {
    /// The session with this id.
    async fn session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, global or raw.")] id: String,
    ) -> Result<Option<Session>> {
        match (operation(ctx)?, GlobalId::raw("Session", &id).parse()) {
            (Some(op), Ok(id)) => Session::open(&op, id).await,
            _ => Ok(None),
        }
    }

    /// The team's sessions, most recently active first.
    #[graphql(complexity = "connection::page_cost(first, child_complexity)")]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last row of the previous page.")] after: Option<String>,
        #[graphql(desc = "The number of rows, 1 to 500. The default is 50.")] first: Option<i32>,
        #[graphql(desc = "Only rows that match.")] filter: Option<SessionFilter>,
    ) -> Result<SessionConnection> {
        let request = connection::page::<SessionCursor>(after.as_deref(), first)?;
        let filter = filter.map(SessionFilter::filter).transpose()?.flatten();
        let Some(op) = operation(ctx)? else { return Ok(SessionConnection::empty()) };
        let page = sessions::page(op.tx().await?, filter.as_ref(), &request).await?;
        let edges = page.rows.into_iter().map(|row| SessionEdge::new(&op, Arc::new(row))).collect();
        let total = Total::Sessions { op, filter };
        Ok(SessionConnection::new(edges, page.has_next, request.after.is_some(), total))
    }
}
