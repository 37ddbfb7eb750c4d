//! A session: one run of a coding agent, from its first line to its last.

use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use async_graphql::{Context, ID, Object, SimpleObject};
use han_db::entities;
use han_db::page::{Cursor as _, MessageCursor, Page, PageRequest};
use han_db::queries::message_windows::{self, Window};
use han_db::queries::messages::{self, MessageList};
use han_db::queries::metrics::Cost;
use han_db::queries::outline;
use han_db::queries::search::{self, Within};
use han_transcript::fold::TaskStatus;
use han_transcript::words::Query;
use han_types::{GlobalId, MessageKey, ProjectId, SessionId, Timestamp};

use crate::connection::{self, Total, connection};
use crate::context::Op;
use crate::error::{self, ApiError, Result};
use crate::filters::{Conditions as _, MessageFilter};
use crate::loaders::{
    CountsOf, FileChangesOf, HookStatsOf, Loaders, MessageCountOf, MessagesOf, NativeTasksOf, OriginOf,
    SentimentsOf, SessionOf, TasksOf, TodoCountsOf, TodosOf, UsageOf,
};
use crate::optional_id::OptionalId;
use crate::types::file_change::{FileChangeConnection, FileChangeEdge};
use crate::types::hook::HookStats;
use crate::types::message::{MessageConnection, MessageEdge};
use crate::types::outline::{ContextSize, OutlinePage};
use crate::types::project::{Project, worktree_name};
use crate::types::search::{MessageSearchResult, report_unreadable, results as search_results};
use crate::types::sentiment::FrustrationSummary;
use crate::types::task::{NativeTask, Task, TaskConnection};
use crate::types::todo::{Todo, TodoConnection, TodoCounts, TodoStatus};
use crate::types::user::User;

/// How long after its last line a session without a recorded end counts as active: ten minutes, which is longer than
/// almost every command that an agent waits for.
const ACTIVE_MS: i64 = 10 * 60 * 1000;
/// The longest name that is derived from a summary, in characters.
const NAME_CHARS: usize = 80;
/// The length of the id prefix that names a session without name and summary, in characters.
const SHORT_ID_CHARS: usize = 8;

/// What the names of subagents' transcript files begin with.
const SUBAGENT: &str = "agent-";

/// A session of the team, or a subagent of one: its lines are listed as a session's, and everything else is that of the
/// session that it belongs to.
#[derive(Clone, Debug)]
pub struct Session {
    row: Arc<entities::Session>,
    /// The subagent's id.
    subagent: Option<String>,
    op: Op,
}

/// A session in a list.
#[derive(Clone, Debug, SimpleObject)]
pub struct SessionEdge {
    /// Its cursor.
    pub(crate) cursor: String,
    /// The session.
    node: Session,
}

connection!(
    /// A page of sessions.
    SessionConnection of SessionEdge
);

impl SessionConnection {
    /// The list of a caller without a team.
    pub(crate) fn empty() -> Self {
        Self::new(Vec::new(), false, false, Total::Known(0))
    }
}

impl SessionEdge {
    pub(crate) fn new(op: &Op, row: Arc<entities::Session>) -> Self {
        Self { cursor: row.cursor().encode(), node: Session::new(op, row) }
    }
}

impl Session {
    pub(crate) fn new(op: &Op, row: Arc<entities::Session>) -> Self {
        Self { row, subagent: None, op: Op::clone(op) }
    }

    /// The session, or the subagent (`agent-…`), with this id; `None` if the team has none.
    pub(crate) async fn load(op: &Op, id: SessionId) -> Result<Option<Self>> {
        let name = id.as_str().strip_prefix(SUBAGENT).map(str::to_owned);
        let file = id.as_str().parse().map(SessionOf);
        if let Some(row) = op.loader().load_one(id).await? {
            return Ok(Some(Self::new(op, row)));
        }
        let (Some(subagent), Ok(file)) = (name, file) else { return Ok(None) };
        let Some(of) = op.loader().load_one(file).await? else { return Ok(None) };
        let row = op.loader().load_one(of).await?;
        Ok(row.map(|row| Self { subagent: Some(subagent), ..Self::new(op, row) }))
    }

    /// As [`Session::load`], for a caller who asks for this session.
    pub(crate) async fn open(op: &Op, id: SessionId) -> Result<Option<Self>> {
        let found = Self::load(op, id).await?;
        if let Some(session) = &found {
            session.opens().await?;
        }
        Ok(found)
    }

    /// Records that the caller opens it.
    async fn opens(&self) -> Result<()> {
        self.op.opens(&self.id_of()?, Some(&self.row.user_id)).await
    }

    /// The id that clients name it by.
    fn shown_id(&self) -> String {
        match &self.subagent {
            Some(subagent) => format!("{SUBAGENT}{subagent}"),
            None => self.row.session_id.clone(),
        }
    }

    /// What its answers cost.
    async fn cost(&self) -> Result<Cost> {
        let usage = self.load_of(UsageOf).await?.unwrap_or_default();
        Ok(usage.iter().map(|of| of.cost).sum())
    }

    fn id_of(&self) -> Result<SessionId> {
        self.row.session_id.parse().map_err(|_| {
            tracing::error!(row = self.row.id, "a stored session id is malformed");
            ApiError::Internal
        })
    }

    /// Loads a record by session.
    async fn load_of<K>(
        &self,
        key: impl FnOnce(SessionId) -> K,
    ) -> Result<Option<<Loaders as Loader<K>>::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        Loaders: Loader<K, Error = ApiError>,
    {
        self.op.loader().load_one(key(self.id_of()?)).await
    }

    async fn todo_list(&self) -> Result<Vec<Todo>> {
        Ok(self.load_of(TodosOf).await?.map(|todos| Todo::list(&todos)).unwrap_or_default())
    }

    fn path(&self) -> Option<&str> {
        self.row.details.project_path.as_deref()
    }

    fn started(&self) -> Option<Timestamp> {
        self.row.started_at.map(Timestamp)
    }
}

/// A session of the team: one run of a coding agent.
#[Object]
impl Session {
    /// The global id, `Session:<sessionId>`.
    pub async fn id(&self, _ctx: &Context<'_>) -> ID {
        ID(format!("Session:{}", self.shown_id()))
    }

    /// The session's id on its developer's machine.
    async fn session_id(&self) -> String {
        self.shown_id()
    }

    /// When it began, RFC 3339 in UTC; if no line has a time, when it was first pushed. Clients show its day in their own
    /// time zone.
    async fn date(&self) -> String {
        self.started().unwrap_or(Timestamp(self.row.created_at)).to_rfc3339()
    }

    /// The time of its earliest line, RFC 3339 in UTC.
    async fn started_at(&self) -> Option<String> {
        self.started().map(Timestamp::to_rfc3339)
    }

    /// The time of its latest line, RFC 3339 in UTC.
    async fn updated_at(&self) -> String {
        Timestamp(self.row.last_activity_at).to_rfc3339()
    }

    /// The title that a person gave it, else the name of the agent that works in it, else the title that the agent gave
    /// it; null if it has none.
    async fn title(&self) -> Option<&str> {
        self.row.details.title()
    }

    /// Its title, else the agent's short name for it, else the beginning of its summary, else the beginning of its id.
    async fn name(&self, ctx: &Context<'_>) -> String {
        if !self.row.readable {
            error::report(ctx, &ApiError::ContentUnreadable);
        }
        let details = &self.row.details;
        let slug = || details.slug.as_ref().map(|slug| slug.value.clone());
        details
            .title()
            .and_then(first_line)
            .or_else(slug)
            .or_else(|| details.summary().and_then(first_line))
            .unwrap_or_else(|| self.row.session_id.chars().take(SHORT_ID_CHARS).collect())
    }

    /// The last summary line, else the first prompt.
    async fn summary(&self) -> Option<&str> {
        self.row.details.summary()
    }

    /// The raw id of its project, as in `Project.projectId`.
    async fn project_id(&self) -> Option<&str> {
        self.row.project_id.as_deref()
    }

    /// The last part of the project's path; empty if it is not known.
    async fn project_name(&self) -> String {
        let path = self.row.details.main_worktree.as_deref().or(self.path()).unwrap_or_default();
        entities::ProjectDetails { path: path.to_owned() }.name()
    }

    /// The directory it worked in on its developer's machine; empty if it is not known.
    async fn project_path(&self) -> &str {
        self.path().unwrap_or_default()
    }

    /// The name of the agent's transcript directory for the path: the path with `-` for everything but letters and digits.
    async fn project_slug(&self) -> Option<String> {
        let dash = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.path().map(|path| path.chars().map(dash).collect())
    }

    /// The project.
    async fn project(&self) -> Result<Option<Project>> {
        let id = self.row.project_id.as_ref().and_then(|id| id.parse::<ProjectId>().ok());
        match id {
            Some(id) => Project::load(&self.op, id).await,
            None => Ok(None),
        }
    }

    /// Its latest git branch.
    async fn git_branch(&self) -> Option<&str> {
        self.row.details.branch()
    }

    /// The agent's version, from the latest line that has one.
    async fn version(&self) -> Option<&str> {
        self.row.details.version.as_ref().map(|version| version.value.as_str())
    }

    /// The coding agent, such as `claude-code`; `unknown` if the client did not send it.
    async fn harness(&self) -> &str {
        self.row.details.agent.as_deref().unwrap_or("unknown")
    }

    /// `completed` if its end was recorded and no line follows it; else `active` for ten minutes after its latest line,
    /// then `idle`.
    async fn status(&self) -> &'static str {
        let last = self.row.last_activity_at;
        status(self.row.details.ended_at, last, self.op.db().clock().now())
    }

    /// The seconds between its earliest line and its latest.
    async fn duration(&self) -> Option<i64> {
        self.row.started_at.map(|started| (self.row.last_activity_at - started).max(0) / 1000)
    }

    /// When its content was purged, because its team keeps content for a limited time only, RFC 3339 in UTC; null if it was
    /// not. Its totals stay, and include what was purged. Lines that were pushed after that are its messages.
    async fn purged_at(&self) -> Option<String> {
        self.row.purged_at.map(|at| Timestamp(at).to_rfc3339())
    }

    /// The number of messages in its list, and of those that were purged.
    async fn message_count(&self) -> Result<i64> {
        if self.subagent.is_none() {
            return Ok(self.row.totals.messages);
        }
        let list = Arc::new(MessageList { agent_id: self.subagent.clone(), ..MessageList::default() });
        Ok(self.load_of(|session_id| MessageCountOf { session_id, list }).await?.unwrap_or_default())
    }

    /// The number of stored lines in all of its files.
    async fn line_count(&self) -> i64 {
        self.row.totals.lines
    }

    /// The number of stored lines that are anything but one complete record: cut records, several records, padding.
    /// `Message.damage` has what a line has.
    async fn damaged_line_count(&self) -> i64 {
        self.row.totals.damaged_lines
    }

    /// How many seconds lines were dated ahead of the server's clock when they arrived: the most of all lines whose time
    /// was not believed. Null if the clock of its machine was never more than five minutes ahead.
    async fn clock_ahead_seconds(&self) -> Option<i64> {
        self.row.details.clock_ahead_ms.map(|ms| ms / 1000)
    }

    /// The number of prompts and commands that a person typed.
    async fn turn_count(&self) -> i64 {
        self.row.totals.turns
    }

    /// The number of times its context was compacted.
    async fn compaction_count(&self) -> i64 {
        self.row.totals.compactions
    }

    /// Input tokens outside the cache, including subagents. An answer counts once, however many lines it has.
    async fn input_tokens(&self) -> i64 {
        self.row.totals.input_tokens
    }

    /// Output tokens, including subagents.
    async fn output_tokens(&self) -> i64 {
        self.row.totals.output_tokens
    }

    /// Input tokens read from the cache, including subagents.
    async fn cache_read_tokens(&self) -> i64 {
        self.row.totals.cache_read_tokens
    }

    /// Input tokens written to the cache, including subagents.
    async fn cache_creation_tokens(&self) -> i64 {
        self.row.totals.cache_creation_5m_tokens + self.row.totals.cache_creation_1h_tokens
    }

    /// The number of its last pull request.
    async fn pr_number(&self) -> Option<i64> {
        self.row.details.pull_request.as_ref().and_then(|request| request.value.0)
    }

    /// The address of its last pull request.
    async fn pr_url(&self) -> Option<&str> {
        self.row.details.pull_request.as_ref().map(|request| request.value.1.as_str())
    }

    /// The name of the git worktree it worked in: of the last one that it entered, else of the one that its path contains.
    async fn worktree_name(&self) -> Option<String> {
        let entered = self.row.details.worktree.as_ref().map(|worktree| worktree.value.clone());
        entered.or_else(|| self.path().and_then(worktree_name))
    }

    /// The name of the agent team that it works in, as its transcript records it; null for a session without one.
    async fn team_name(&self) -> Option<&str> {
        self.row.details.team_name.as_ref().map(|team| team.value.as_str())
    }

    /// The team's id.
    async fn org_id(&self) -> &str {
        self.op.scope().team_id().as_str()
    }

    /// Its messages, newest first, ordered by time, then file, then line. Results are not listed: they are nested in their
    /// calls and runs. With `agentId`, the lines of that subagent instead. A page begins after `after`, ends before
    /// `before`, or has the message `around` in its middle; only one of them may be given.
    #[graphql(
        complexity = "newer_cost(&before, &around, last) + connection::page_cost(first.or(last), child_complexity)"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn messages(
        &self,
        #[graphql(desc = "The cursor of the last row of the previous page.")] after: Option<String>,
        #[graphql(desc = "The number of rows, 1 to 500. The default is 50.")] first: Option<i32>,
        #[graphql(
            desc = "The cursor of the first row of the next page: the page before it, which is newer."
        )]
        before: Option<String>,
        #[graphql(desc = "The number of rows before `before`, 1 to 500; without `before`, the oldest rows.")]
        last: Option<i32>,
        #[graphql(
            desc = "The id of a message: the page around it, or around the call or tool use that shows it; empty if \
                          the list does not contain it."
        )]
        around: OptionalId<ID>,
        #[graphql(desc = "Only rows that match.")] filter: Option<MessageFilter>,
        #[graphql(desc = "Whether to include progress lines.", default)] include_progress: bool,
        #[graphql(desc = "The id of a subagent, whose lines are listed.")] agent_id: OptionalId,
    ) -> Result<MessageConnection> {
        let session_id = self.id_of()?;
        let filter = filter.map(MessageFilter::filter).transpose()?.flatten();
        let agent_id = agent_id.raw("Agent").or_else(|| self.subagent.clone());
        let list = Arc::new(MessageList { include_progress, agent_id, filter });
        let is_whole_list = list.filter.is_none() && list.agent_id.is_none() && !include_progress;
        // The counter includes messages that were purged.
        let is_counted = is_whole_list && self.row.purged_at.is_none();
        let (request, place) = place(after.as_deref(), first, before.as_deref(), last, around.get())?;
        let op = &self.op;
        self.opens().await?;
        let (rows, has_next, has_previous) = match place {
            Place::After => {
                let after = request.after.is_some();
                let of = MessagesOf { session_id: session_id.clone(), list: Arc::clone(&list), request };
                let page = op.loader().load_one(of).await?;
                let has_next = page.as_ref().is_some_and(|page| page.has_next);
                (page.map(|page| page.rows.clone()).unwrap_or_default(), has_next, after)
            }
            Place::Before(before) => {
                let before = before.as_ref();
                let page = messages::newer(op.tx().await?, &session_id, &list, before, request.first).await?;
                (page.rows.into_iter().map(Arc::new).collect(), before.is_some(), page.has_next)
            }
            Place::Around(key) => {
                let window = match key {
                    Some(key) => {
                        message_windows::around(op.tx().await?, &session_id, &list, &key, request.first)
                            .await?
                    }
                    None => Window::default(),
                };
                let rows = window.rows.into_iter().map(Arc::new).collect();
                (rows, window.has_older, window.has_newer)
            }
        };
        let edges = rows.into_iter().map(|row| MessageEdge::new(op, row)).collect();
        let total = if is_counted {
            Total::Known(self.row.totals.messages)
        } else {
            Total::Messages { op: Op::clone(op), of: MessageCountOf { session_id, list } }
        };
        Ok(MessageConnection::new(edges, has_next, has_previous, total))
    }

    /// Its outline: the prompts and commands that a person typed, and its compactions, oldest first. A subagent has
    /// none.
    #[graphql(complexity = "20_000 + connection::page_cost(Some(first), child_complexity)")]
    async fn outline(
        &self,
        #[graphql(desc = "The `endCursor` of the previous page.")] after: Option<String>,
        #[graphql(desc = "The number of entries, 1 to 500.")] first: i32,
    ) -> Result<OutlinePage> {
        let request = connection::page(after.as_deref(), Some(first))?;
        if self.subagent.is_some() {
            return Ok(OutlinePage::new(&self.op, Page { rows: Vec::new(), has_next: false }));
        }
        let page = outline::page(self.op.tx().await?, &self.id_of()?, &request).await?;
        Ok(OutlinePage::new(&self.op, page))
    }

    /// The size of its context over time, oldest first, without its subagents. Of neighbouring answers, the largest
    /// size is kept.
    #[graphql(complexity = "20_000 + connection::page_cost(Some(first), child_complexity)")]
    async fn context_sizes(
        &self,
        #[graphql(desc = "The largest number of sizes, 1 to 500.")] first: i32,
    ) -> Result<Vec<ContextSize>> {
        let points = connection::first(Some(first))?;
        let sizes = outline::context_sizes(self.op.tx().await?, &self.id_of()?, points).await?;
        Ok(sizes.into_iter().map(ContextSize::from).collect())
    }

    /// Messages of this session that contain all words of the query and each phrase in `"` exactly, newest first.
    #[graphql(complexity = "20_000 + connection::page_cost(limit, child_complexity)")]
    async fn search_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Words, and phrases in `\"`.")] query: String,
        #[graphql(desc = "The number of results, 1 to 500. The default is 50.")] limit: Option<i32>,
    ) -> Result<Option<Vec<MessageSearchResult>>> {
        let query = Query::parse(&query).map_err(|error| ApiError::bad("query", error))?;
        let op = &self.op;
        let within = Within { session_id: Some(self.row.session_id.clone()), ..Within::default() };
        let first = connection::first(limit)?;
        let mut request = PageRequest { after: None, first };
        let mut hits = Vec::new();
        // A page may be short if a phrase is rare.
        loop {
            let found = search::search(op.tx().await?, &query, &within, &request).await?;
            report_unreadable(ctx, found.unreadable);
            hits.extend(found.hits);
            request = PageRequest { first: first - hits.len(), after: found.next };
            if request.after.is_none() || request.first == 0 {
                return Ok(Some(search_results(op, hits).await?));
            }
        }
    }

    /// Han's tasks, in the order of their start.
    async fn tasks(&self) -> Result<TaskConnection> {
        let tasks = self.load_of(TasksOf).await?.unwrap_or_default();
        Ok(TaskConnection::new(tasks.iter().map(Task::from).collect()))
    }

    /// Han's tasks that have not ended, in the order of their start.
    async fn active_tasks(&self) -> Result<TaskConnection> {
        let tasks = self.load_of(TasksOf).await?.unwrap_or_default();
        let active = tasks.iter().filter(|task| task.status == TaskStatus::Active);
        Ok(TaskConnection::new(active.map(Task::from).collect()))
    }

    /// The agent's own tasks in the order of their creation, without deleted ones.
    async fn native_tasks(&self) -> Result<Vec<NativeTask>> {
        let tasks = self.load_of(NativeTasksOf).await?.unwrap_or_default();
        Ok(tasks.iter().filter_map(NativeTask::of_row).collect())
    }

    /// The latest to-do list, in its order.
    async fn todos(&self) -> Result<TodoConnection> {
        Ok(TodoConnection::new(self.todo_list().await?))
    }

    /// The first to-do in progress of the latest list.
    async fn current_todo(&self) -> Result<Option<Todo>> {
        Ok(self.todo_list().await?.into_iter().find(|todo| todo.status == TodoStatus::InProgress))
    }

    /// The number of to-dos of the latest list per status; null if there is no list.
    async fn todo_counts(&self) -> Result<Option<TodoCounts>> {
        Ok(self.load_of(TodoCountsOf).await?.map(TodoCounts::from))
    }

    /// The changes that tools made to files, newest first, without those that failed.
    #[graphql(complexity = "connection::page_cost(first, child_complexity)")]
    async fn file_changes(
        &self,
        #[graphql(desc = "The cursor of the last row of the previous page.")] after: Option<String>,
        #[graphql(desc = "The number of rows, 1 to 500. The default is 50.")] first: Option<i32>,
    ) -> Result<FileChangeConnection> {
        let session_id = self.id_of()?;
        let request = connection::page(after.as_deref(), first)?;
        let (op, after) = (&self.op, request.after.is_some());
        let page = op.loader().load_one(FileChangesOf { session_id: session_id.clone(), request }).await?;
        let has_next = page.as_ref().is_some_and(|page| page.has_next);
        let edges = page.map(|page| FileChangeEdge::page(op, session_id.clone(), page)).unwrap_or_default();
        let total = Total::FileChanges { op: Op::clone(op), session_id };
        Ok(FileChangeConnection::new(edges, has_next, after, total))
    }

    /// The number of changes that tools made to files.
    async fn file_change_count(&self) -> Result<i64> {
        Ok(self.load_of(CountsOf).await?.unwrap_or_default().file_changes)
    }

    /// The number of lines that tools added to files.
    async fn lines_added(&self) -> Result<i64> {
        Ok(self.load_of(CountsOf).await?.unwrap_or_default().lines_added)
    }

    /// The number of lines that tools removed from files.
    async fn lines_removed(&self) -> Result<i64> {
        Ok(self.load_of(CountsOf).await?.unwrap_or_default().lines_removed)
    }

    /// The models that answered in it, those with most answers first. Answers that name no model are left out.
    async fn models(&self) -> Result<Vec<String>> {
        let usage = self.load_of(UsageOf).await?.unwrap_or_default();
        let mut named: Vec<_> = usage.iter().filter(|of| !of.model.is_empty()).collect();
        named.sort_by_key(|of| std::cmp::Reverse(of.responses));
        Ok(named.into_iter().map(|of| of.model.clone()).collect())
    }

    /// The raw id of the session that it is a fork or a continuation of: the one in which the first answer that it repeats
    /// was written. Null for a session that repeats no answer of another one.
    async fn fork_of(&self) -> Result<Option<String>> {
        self.load_of(OriginOf).await
    }

    /// Totals of its hooks; null if no hook has ended.
    async fn hook_stats(&self) -> Result<Option<HookStats>> {
        Ok(self.load_of(HookStatsOf).await?.map(|stats| HookStats::from(&*stats)))
    }

    /// The cost of its answers at list prices, in US dollars, including subagents, other models inside answers and searches
    /// on the web; null if it has answers and none has a price. It does not include the answers that `unpricedAnswers`
    /// counts. docs/METRICS.md has the formula.
    async fn estimated_cost_usd(&self) -> Result<Option<f64>> {
        Ok(self.cost().await?.known_usd())
    }

    /// The number of tokens of answers without a price.
    async fn unpriced_tokens(&self) -> Result<i64> {
        Ok(self.cost().await?.unpriced_tokens)
    }

    /// The number of answers without a price.
    async fn unpriced_answers(&self) -> Result<i64> {
        Ok(self.cost().await?.unpriced_answers)
    }

    /// The frustration in its prompts; null if Han analysed none of them.
    async fn frustration_summary(&self) -> Result<Option<FrustrationSummary>> {
        Ok(self.load_of(SentimentsOf).await?.and_then(|sentiments| FrustrationSummary::of(&sentiments)))
    }

    /// The user who pushed it.
    async fn owner(&self) -> Result<Option<User>> {
        match self.row.user_id.parse() {
            Ok(id) => User::load(&self.op, id).await,
            Err(_) => Ok(None),
        }
    }
}

/// Where a page of messages is.
enum Place {
    /// After a cursor, or at the newest end.
    After,
    /// Before a cursor, or at the oldest end.
    Before(Option<MessageCursor>),
    /// Around a message; `None` for an id of no message.
    Around(Option<MessageKey>),
}

/// Reads the arguments that place a page of messages. The request's size holds for every place, its cursor for `After`.
fn place(
    after: Option<&str>,
    first: Option<i32>,
    before: Option<&str>,
    last: Option<i32>,
    around: Option<&str>,
) -> Result<(PageRequest<MessageCursor>, Place)> {
    let (after, before) = (after.filter(|text| !text.is_empty()), before.filter(|text| !text.is_empty()));
    let given = [after.is_some(), before.is_some(), around.is_some()].into_iter().filter(|given| *given);
    if given.count() > 1 || (first.is_some() && last.is_some()) || (after.is_some() && last.is_some()) {
        let wanted = "give first with after, last with before, or first with around";
        return Err(ApiError::bad("messages", wanted));
    }
    if let Some(around) = around {
        let key = match GlobalId::parse(around) {
            Ok(GlobalId::Message(key)) => Some(key),
            _ => None,
        };
        return Ok((connection::page(None, first.or(last))?, Place::Around(key)));
    }
    if before.is_some() || last.is_some() {
        let PageRequest { after: before, .. } = connection::page(before, None)?;
        return Ok((connection::page(None, last.or(first))?, Place::Before(before)));
    }
    Ok((connection::page(after, first)?, Place::After))
}

/// What a page costs that no loader shares between sessions: too much for a list of sessions.
fn newer_cost(before: &Option<String>, around: &OptionalId<ID>, last: Option<i32>) -> usize {
    let is_alone = last.is_some() || around.get().is_some() || before.as_ref().is_some_and(|b| !b.is_empty());
    if is_alone { 20_000 } else { 0 }
}

fn first_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let mut name: String = line.chars().take(NAME_CHARS).collect();
    if name.len() < line.len() {
        name.push('…');
    }
    Some(name)
}

fn status(ended_at: Option<i64>, last_activity_at: i64, now: Timestamp) -> &'static str {
    if ended_at.is_some_and(|ended| ended >= last_activity_at) {
        "completed"
    } else if now.0 - last_activity_at < ACTIVE_MS {
        "active"
    } else {
        "idle"
    }
}

/// Parses an argument that names a session by its global or raw id.
pub(crate) fn session_id(argument: &'static str, text: &str) -> Result<SessionId> {
    GlobalId::raw("Session", text).parse().map_err(|error| ApiError::bad(argument, error))
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;

    use super::{ACTIVE_MS, first_line, status};

    #[test]
    fn activity_after_the_recorded_end_reopens_a_session() {
        let now = Timestamp(1_000_000_000);
        assert_eq!(status(Some(500), 500, now), "completed");
        assert_eq!(status(Some(500), now.0 - 1, now), "active");
        assert_eq!(status(None, now.0 - ACTIVE_MS, now), "idle");
    }

    #[test]
    fn a_derived_name_is_one_short_line() {
        assert_eq!(first_line("\n  Prune the trees \nand more"), Some("Prune the trees".to_owned()));
        assert_eq!(first_line(&"é".repeat(90)), Some(format!("{}…", "é".repeat(80))));
        assert_eq!(first_line(" \n"), None);
    }
}
