//! Search across the team's sessions. docs/SEARCH.md defines what a word is.

use async_graphql::{Context, ID, InputObject, Object};
use han_db::queries::search::{self, Within};
use han_transcript::words::Query;
use han_types::{RepoId, Timestamp};

use crate::connection;
use crate::context::{Op, operation};
use crate::error::{ApiError, Result};
use crate::loaders::ProjectsOf;
use crate::optional_id::{OptionalId, ProjectScope, given};
use crate::types::search::{MessageHitConnection, report_unreadable};

#[derive(Debug, Default)]
pub(crate) struct SearchQuery;

/// The messages to search in.
#[derive(Debug, Default, InputObject)]
pub(crate) struct SearchFilter {
    /// Only in this session; global or raw id.
    session_id: OptionalId<ID>,
    /// Only in sessions of this project, or of the projects of this repository; global or raw id.
    project_id: OptionalId<ID>,
    /// Only in sessions that this user pushed; global or raw id.
    user_id: OptionalId<ID>,
    /// Only in messages at or after this RFC 3339 time.
    since: Option<String>,
    /// Only in messages before this RFC 3339 time.
    until: Option<String>,
}

/// A time of the filter; none if it is absent.
fn time(name: &'static str, text: Option<&str>) -> Result<Option<i64>> {
    let parsed = given(text).map(|text| {
        let time = Timestamp::parse_rfc3339(text);
        time.map(|time| time.0)
            .ok_or_else(|| ApiError::bad(name, "it must be an RFC 3339 time, such as 2026-02-11T20:36:45Z"))
    });
    parsed.transpose()
}

impl SearchFilter {
    /// Where to search, without the project.
    fn within(&self) -> Result<Within> {
        Ok(Within {
            session_id: self.session_id.raw("Session"),
            project_ids: None,
            user_id: self.user_id.raw("User"),
            from: time("filter.since", self.since.as_deref())?,
            to: time("filter.until", self.until.as_deref())?,
        })
    }

    /// The projects to search in; `None` for all.
    async fn projects(&self, op: &Op) -> Result<Option<Vec<String>>> {
        let (project, repo) = match ProjectScope::of(&self.project_id) {
            None => return Ok(None),
            Some(ProjectScope::Project(id)) => (Some(id), None),
            Some(ProjectScope::Repo(id)) => (None, Some(id)),
            Some(ProjectScope::Either(id)) => (Some(id.clone()), Some(id)),
        };
        let mut projects: Vec<String> = project.into_iter().collect();
        if let Some(Ok(repo)) = repo.map(|id| id.parse::<RepoId>()) {
            let of_repo = op.loader().load_one(ProjectsOf(repo)).await?.unwrap_or_default();
            projects.extend(of_repo.iter().map(|project| project.id.clone()));
        }
        Ok(Some(projects))
    }
}

/// Search.
#[Object]
impl SearchQuery {
    /// Messages that contain all words of the query and each phrase in `"` exactly, newest first. New lines are indexed
    /// in the background: `linesToIndex` is the number of lines that cannot be found yet.
    #[graphql(complexity = "20_000 + connection::page_cost(first, child_complexity)")]
    async fn search_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Words, and phrases in `\"`.")] query: String,
        #[graphql(desc = "The number of hits, 1 to 500. The default is 50.")] first: Option<i32>,
        #[graphql(desc = "The `endCursor` of the previous page.")] after: Option<String>,
        #[graphql(desc = "Only in these messages.")] filter: Option<SearchFilter>,
    ) -> Result<MessageHitConnection> {
        let query = Query::parse(&query).map_err(|error| ApiError::bad("query", error))?;
        let request = connection::page(after.as_deref(), first)?;
        let filter = filter.unwrap_or_default();
        let mut within = filter.within()?;
        let Some(op) = operation(ctx)? else { return Ok(MessageHitConnection::new(None, Vec::new(), None)) };
        within.project_ids = filter.projects(&op).await?;
        let found = search::search(op.tx().await?, &query, &within, &request).await?;
        report_unreadable(ctx, found.unreadable);
        Ok(MessageHitConnection::new(Some(op), found.hits, found.next))
    }
}
