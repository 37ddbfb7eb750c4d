//! Relay connections (https://relay.dev/graphql/connections.htm), forward only: the same for every list. A total is
//! counted only where it is selected.

use async_graphql::{ComplexObject, SimpleObject};
use han_db::page::{Cursor, PageRequest, SessionCursor};
use han_db::queries::filter::Filter;
use han_db::queries::sessions;
use han_types::SessionId;

use crate::context::Op;
use crate::error::Result;
use crate::loaders::{CountsOf, MessageCountOf};
use crate::types::file_change::FileChangeEdge;
use crate::types::message::MessageEdge;
use crate::types::session::SessionEdge;

/// How many rows a page holds where `first` is not given. Fields that set `first` to it for complexity say so.
pub(crate) const DEFAULT_PAGE: usize = 50;

/// Reads `after` and `first`.
pub(crate) fn page<C: Cursor>(after: Option<&str>, first: Option<i32>) -> Result<PageRequest<C>> {
    Ok(PageRequest::parse(after, first, DEFAULT_PAGE)?)
}

/// Reads `first` of a list that has one page only.
pub(crate) fn first(first: Option<i32>) -> Result<usize> {
    Ok(PageRequest::<SessionCursor>::parse(None, first, DEFAULT_PAGE)?.first)
}

/// What a page's fields cost, for complexity: one row's fields, as many times as rows were asked for.
pub(crate) fn page_cost(first: Option<i32>, row: usize) -> usize {
    let rows = first.map_or(DEFAULT_PAGE, |first| usize::try_from(first).unwrap_or(0));
    1 + rows.saturating_mul(row)
}

/// Where a page stands in its list.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether more rows follow.
    has_next_page: bool,
    /// Whether rows stand before this page.
    has_previous_page: bool,
    /// The cursor of the page's first row.
    start_cursor: Option<String>,
    /// The cursor of the page's last row: `after` for the next page.
    end_cursor: Option<String>,
}

impl PageInfo {
    fn of<'a>(has_next: bool, after: bool, mut cursors: impl DoubleEndedIterator<Item = &'a String>) -> Self {
        let start_cursor = cursors.next().cloned();
        let end_cursor = cursors.next_back().cloned().or_else(|| start_cursor.clone());
        Self { has_next_page: has_next, has_previous_page: after, start_cursor, end_cursor }
    }
}

/// How many rows a list has, or how to find out.
#[derive(Clone, Debug)]
pub(crate) enum Total {
    Known(i64),
    Sessions { op: Op, filter: Option<Filter> },
    Messages { op: Op, of: MessageCountOf },
    FileChanges { op: Op, session_id: SessionId },
}

impl Total {
    async fn count(&self) -> Result<i64> {
        Ok(match self {
            Self::Known(total) => *total,
            Self::Sessions { op, filter } => sessions::count(op.tx().await?, filter.as_ref()).await?,
            Self::Messages { op, of } => op.loader().load_one(of.clone()).await?.unwrap_or_default(),
            Self::FileChanges { op, session_id } => {
                let counts = op.loader().load_one(CountsOf(session_id.clone())).await?;
                counts.unwrap_or_default().file_changes
            }
        })
    }
}

macro_rules! connection {
    ($(#[$doc:meta])* $name:ident of $edge:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, SimpleObject)]
        #[graphql(complex)]
        pub(crate) struct $name {
            /// The page's rows, each with its cursor.
            edges: Vec<$edge>,
            /// Where the page stands in its list.
            page_info: PageInfo,
            #[graphql(skip)]
            total: Total,
        }

        impl $name {
            /// A page; `after` says whether it was asked for by a cursor.
            pub(crate) fn new(edges: Vec<$edge>, has_next: bool, after: bool, total: Total) -> Self {
                let page_info = PageInfo::of(has_next, after, edges.iter().map(|edge| &edge.cursor));
                Self { edges, page_info, total }
            }
        }

        #[ComplexObject]
        impl $name {
            /// How many rows the whole list has, on all pages.
            async fn total_count(&self) -> Result<i64> {
                self.total.count().await
            }
        }
    };
}

connection!(
    /// A page of sessions.
    SessionConnection of SessionEdge
);
connection!(
    /// A page of messages.
    MessageConnection of MessageEdge
);
connection!(
    /// A page of file changes.
    FileChangeConnection of FileChangeEdge
);

impl SessionConnection {
    /// What a caller of nobody's team sees.
    pub(crate) fn empty() -> Self {
        Self::new(Vec::new(), false, false, Total::Known(0))
    }
}
