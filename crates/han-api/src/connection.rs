//! Relay connections (https://relay.dev/graphql/connections.htm), forward only: what all of them share. Each connection
//! type is defined beside its node type, with [`connection!`]. A total is counted only where it is selected.

use async_graphql::SimpleObject;
use han_db::page::{Cursor, PageRequest, SessionCursor};
use han_db::queries::filter::Filter;
use han_db::queries::sessions;
use han_types::SessionId;

use crate::context::Op;
use crate::error::Result;
use crate::loaders::{CountsOf, MessageCountOf};

/// The size of a page without `first`.
pub(crate) const DEFAULT_PAGE: usize = 50;

/// Reads `after` and `first`.
pub(crate) fn page<C: Cursor>(after: Option<&str>, first: Option<i32>) -> Result<PageRequest<C>> {
    Ok(PageRequest::parse(after, first, DEFAULT_PAGE)?)
}

/// Reads `first` of a list without `after`.
pub(crate) fn first(first: Option<i32>) -> Result<usize> {
    Ok(PageRequest::<SessionCursor>::parse(None, first, DEFAULT_PAGE)?.first)
}

/// The complexity of a page: that of one row times the number of rows that the page may hold.
pub(crate) fn page_cost(first: Option<i32>, row: usize) -> usize {
    let rows = first.map_or(DEFAULT_PAGE, |first| usize::try_from(first).unwrap_or(0));
    1 + rows.saturating_mul(row)
}

/// The position of a page in its list.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PageInfo {
    /// Whether more rows follow.
    has_next_page: bool,
    /// Whether rows come before this page.
    has_previous_page: bool,
    /// The cursor of the page's first row.
    start_cursor: Option<String>,
    /// The cursor of the page's last row: `after` for the next page.
    end_cursor: Option<String>,
}

impl PageInfo {
    pub(crate) fn of<'a>(
        has_next: bool,
        after: bool,
        mut cursors: impl DoubleEndedIterator<Item = &'a String>,
    ) -> Self {
        let start_cursor = cursors.next().cloned();
        let end_cursor = cursors.next_back().cloned().or_else(|| start_cursor.clone());
        Self { has_next_page: has_next, has_previous_page: after, start_cursor, end_cursor }
    }
}

/// The number of rows of a list, or how to count them.
#[derive(Clone, Debug)]
pub(crate) enum Total {
    Known(i64),
    Sessions { op: Op, filter: Option<Filter> },
    Messages { op: Op, of: MessageCountOf },
    FileChanges { op: Op, session_id: SessionId },
}

impl Total {
    pub(crate) async fn count(&self) -> Result<i64> {
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

/// Defines a connection type over an edge type, which has a `cursor`.
macro_rules! connection {
    ($(#[$doc:meta])* $name:ident of $edge:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, async_graphql::SimpleObject)]
        #[graphql(complex)]
        pub(crate) struct $name {
            /// The page's rows, each with its cursor.
            edges: Vec<$edge>,
            /// The position of the page in its list.
            page_info: $crate::connection::PageInfo,
            #[graphql(skip)]
            total: $crate::connection::Total,
        }

        impl $name {
            /// A page; `after` says whether the request had a cursor.
            pub(crate) fn new(edges: Vec<$edge>, has_next: bool, after: bool, total: $crate::connection::Total) -> Self {
                let page_info = $crate::connection::PageInfo::of(has_next, after, edges.iter().map(|edge| &edge.cursor));
                Self { edges, page_info, total }
            }
        }

        #[async_graphql::ComplexObject]
        impl $name {
            /// The number of rows on all pages.
            async fn total_count(&self) -> $crate::error::Result<i64> {
                self.total.count().await
            }
        }
    };
}
pub(crate) use connection;
