//! Filters of lists. Every filterable field takes all operators of its type, and every filter combines with `_and`,
//! `_or` and `_not`. Several operators or fields in one filter must all hold.
//!
//! A filter that compares nothing is no condition, wherever it is nested: existing clients build `{repoId: {_eq: ""}}` for
//! a scope that they do not set. So `{project: {}}` is not "has a project", and `{_not: {}}` excludes nothing.

use async_graphql::InputObject;
use han_db::queries::filter::{Column, Comparison, Filter, Link, Operand};
use han_types::{GlobalId, Timestamp};

use crate::error::{ApiError, Result};
use crate::optional_id::{ProjectScope, is_absent};

/// The most conditions of one filter: the size of the SQL grows with them.
const MAX_CONDITIONS: usize = 100;
/// The most values of one `_in` or `_notIn`.
const MAX_VALUES: usize = 1000;

/// Counts the conditions of one argument.
pub(crate) struct Budget(usize);

impl Budget {
    fn spend(&mut self) -> Result<()> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| {
            ApiError::bad("filter", format!("it holds more than {MAX_CONDITIONS} conditions: use fewer"))
        })?;
        Ok(())
    }
}

/// Whether a filter is no condition.
fn is_empty(filter: &Filter) -> bool {
    matches!(filter, Filter::All(parts) if parts.is_empty())
}

/// That all of these hold, as far as they are conditions.
fn all(parts: impl IntoIterator<Item = Filter>) -> Filter {
    Filter::All(parts.into_iter().filter(|part| !is_empty(part)).collect())
}

/// An input object that becomes a condition on a row, or on a row that is linked to it.
pub(crate) trait Conditions: Sized {
    fn read(self, budget: &mut Budget) -> Result<Filter>;

    /// The condition that a linked row meets this one.
    fn of(self, link: Link, budget: &mut Budget) -> Result<Filter> {
        let linked = self.read(budget)?;
        Ok(if is_empty(&linked) { linked } else { Filter::Linked(link, Box::new(linked)) })
    }

    /// The whole `filter` argument; `None` if it is no condition.
    fn filter(self) -> Result<Option<Filter>> {
        Ok(Some(self.read(&mut Budget(MAX_CONDITIONS))?).filter(|filter| !is_empty(filter)))
    }
}

macro_rules! operators {
    ($(#[$doc:meta])* $name:ident of $scalar:ty $({ $($more:tt)* })?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, InputObject)]
        pub(crate) struct $name {
            /// Equal to this.
            #[graphql(name = "_eq")]
            pub eq: Option<$scalar>,
            /// Different from this.
            #[graphql(name = "_ne")]
            pub ne: Option<$scalar>,
            /// Greater than this.
            #[graphql(name = "_gt")]
            pub gt: Option<$scalar>,
            /// Greater than this, or equal to it.
            #[graphql(name = "_gte")]
            pub gte: Option<$scalar>,
            /// Less than this.
            #[graphql(name = "_lt")]
            pub lt: Option<$scalar>,
            /// Less than this, or equal to it.
            #[graphql(name = "_lte")]
            pub lte: Option<$scalar>,
            /// Whether there is no value. The other operators never match a row without a value.
            #[graphql(name = "_isNull")]
            pub is_null: Option<bool>,
            $($($more)*)?
        }

        impl $name {
            /// The comparisons; `operand` converts each value.
            fn comparisons(
                &self,
                column: Column,
                budget: &mut Budget,
                operand: impl Fn(&$scalar) -> Result<Operand>,
            ) -> Result<Vec<Filter>> {
                let mut parts = Vec::new();
                for (value, comparison) in [
                    (&self.eq, Comparison::Equal),
                    (&self.ne, Comparison::NotEqual),
                    (&self.gt, Comparison::Greater),
                    (&self.gte, Comparison::AtLeast),
                    (&self.lt, Comparison::Less),
                    (&self.lte, Comparison::AtMost),
                ] {
                    if let Some(value) = value {
                        budget.spend()?;
                        parts.push(Filter::Compare(column, comparison, operand(value)?));
                    }
                }
                if let Some(is_null) = self.is_null {
                    budget.spend()?;
                    let null = Filter::IsNull(column);
                    parts.push(if is_null { null } else { Filter::Not(Box::new(null)) });
                }
                Ok(parts)
            }
        }
    };
}

operators!(
    /// A filter on a text.
    StringFilter of String {
        /// One of these.
        #[graphql(name = "_in")]
        pub one_of: Option<Vec<String>>,
        /// None of these.
        #[graphql(name = "_notIn")]
        pub none_of: Option<Vec<String>>,
        /// Contains exactly this text.
        #[graphql(name = "_contains")]
        pub contains: Option<String>,
    }
);
operators!(
    /// A filter on a time. Each value is an RFC 3339 date-time such as `2026-02-11T20:36:45Z`; one that is empty is left out.
    DateTimeFilter of String
);

operators!(
    /// A filter on a count.
    IntFilter of i64
);

impl IntFilter {
    fn on(self, column: Column, budget: &mut Budget) -> Result<Filter> {
        Ok(Filter::All(self.comparisons(column, budget, |count| Ok(Operand::Int(*count)))?))
    }
}

impl StringFilter {
    fn on(self, column: Column, budget: &mut Budget) -> Result<Filter> {
        self.read(column, str::to_owned, budget)
    }

    /// On the ids of objects of type `kind`: values may be global (`Project:x`) or raw (`x`), and one that is no id is
    /// left out, as is a list that holds nothing else.
    fn on_id(self, column: Column, kind: &str, budget: &mut Budget) -> Result<Filter> {
        self.with_ids().read(column, |text| GlobalId::raw(kind, text).to_owned(), budget)
    }

    /// On the ids of projects, where the id of a repository means all of its projects. `is_of` is the condition that
    /// a row belongs to one of some repositories.
    fn on_project(
        self,
        column: Column,
        is_of: fn(Vec<String>) -> Filter,
        budget: &mut Budget,
    ) -> Result<Filter> {
        let mut ids = self.with_ids();
        let is_one_of = |ids: Vec<String>| {
            let (mut projects, mut repos) = (Vec::new(), Vec::new());
            for id in ids.iter().filter(|id| !is_absent(id)).map(|id| ProjectScope::of_id(id)) {
                match id {
                    ProjectScope::Project(id) => projects.push(id),
                    ProjectScope::Repo(id) => repos.push(id),
                    ProjectScope::Either(id) => {
                        projects.push(id.clone());
                        repos.push(id);
                    }
                }
            }
            let of_repos = (!repos.is_empty()).then(|| is_of(repos));
            let mut any = Vec::new();
            if !projects.is_empty() || of_repos.is_none() {
                any.push(Filter::OneOf(column, projects));
            }
            any.extend(of_repos);
            Filter::Any(any)
        };
        // The operators never match a row without a value.
        let is_none_of = |ids| {
            let has_project = Filter::Not(Box::new(Filter::IsNull(column)));
            Filter::All(vec![has_project, Filter::Not(Box::new(is_one_of(ids)))])
        };
        let (one, none) = (ids.eq.take().map(|id| vec![id]), ids.ne.take().map(|id| vec![id]));
        let mut parts = Vec::new();
        for ids in [one, ids.one_of.take()].into_iter().flatten() {
            check_count(&ids)?;
            budget.spend()?;
            parts.push(is_one_of(ids));
        }
        for ids in [none, ids.none_of.take()].into_iter().flatten() {
            check_count(&ids)?;
            budget.spend()?;
            parts.push(is_none_of(ids));
        }
        parts.push(ids.read(column, |text| GlobalId::raw("Project", text).to_owned(), budget)?);
        Ok(all(parts))
    }

    /// Without the values that are no ids.
    fn with_ids(mut self) -> Self {
        for value in [
            &mut self.eq,
            &mut self.ne,
            &mut self.gt,
            &mut self.gte,
            &mut self.lt,
            &mut self.lte,
            &mut self.contains,
        ] {
            *value = value.take().filter(|id| !is_absent(id));
        }
        for values in [&mut self.one_of, &mut self.none_of] {
            *values = values.take().filter(|ids| ids.is_empty() || !ids.iter().all(|id| is_absent(id)));
        }
        self
    }

    /// `raw` converts each value that is compared as a whole.
    fn read(self, column: Column, raw: impl Fn(&str) -> String, budget: &mut Budget) -> Result<Filter> {
        let mut parts = self.comparisons(column, budget, |text| Ok(Operand::Text(raw(text))))?;
        for values in [&self.one_of, &self.none_of].into_iter().flatten() {
            check_count(values)?;
            budget.spend()?;
        }
        let raws = |values: Vec<String>| values.iter().map(|text| raw(text)).collect();
        parts.extend(self.one_of.map(|values| Filter::OneOf(column, raws(values))));
        parts.extend(self.none_of.map(|values| Filter::NoneOf(column, raws(values))));
        if let Some(text) = self.contains {
            budget.spend()?;
            parts.push(Filter::Contains(column, text));
        }
        Ok(Filter::All(parts))
    }
}

fn check_count(values: &[String]) -> Result<()> {
    if values.len() > MAX_VALUES {
        let problem = format!("_in and _notIn take up to {MAX_VALUES} values, not {}", values.len());
        return Err(ApiError::bad("filter", problem));
    }
    Ok(())
}

impl DateTimeFilter {
    fn on(mut self, column: Column, budget: &mut Budget) -> Result<Filter> {
        for value in [&mut self.eq, &mut self.ne, &mut self.gt, &mut self.gte, &mut self.lt, &mut self.lte] {
            *value = value.take().filter(|time| !is_absent(time));
        }
        let parts = self.comparisons(column, budget, |text| match Timestamp::parse_rfc3339(text) {
            Some(time) => Ok(Operand::Int(time.0)),
            None => {
                Err(ApiError::bad("filter", "not a date-time: write it as 2026-02-11T20:36:45Z (RFC 3339)"))
            }
        })?;
        Ok(Filter::All(parts))
    }
}

macro_rules! filter {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $ty:ty => $read:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, InputObject)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub $field: Option<$ty>,)*
            /// All of these hold.
            #[graphql(name = "_and")]
            pub and: Option<Vec<$name>>,
            /// One of these holds.
            #[graphql(name = "_or")]
            pub or: Option<Vec<$name>>,
            /// This does not hold.
            #[graphql(name = "_not")]
            pub not: Option<Box<$name>>,
        }

        impl Conditions for $name {
            fn read(self, budget: &mut Budget) -> Result<Filter> {
                budget.spend()?;
                let mut parts = Vec::new();
                $(if let Some(condition) = self.$field {
                    let read: fn($ty, &mut Budget) -> Result<Filter> = $read;
                    parts.push(read(condition, budget)?);
                })*
                for condition in self.and.into_iter().flatten() {
                    parts.push(condition.read(budget)?);
                }
                if let Some(any) = self.or {
                    let is_none = any.is_empty();
                    let any = any.into_iter().map(|condition| condition.read(budget));
                    let mut any = any.collect::<Result<Vec<_>>>()?;
                    any.retain(|condition| !is_empty(condition));
                    // An empty list holds nothing that could be true; conditions that compare nothing are not there.
                    if is_none || !any.is_empty() {
                        parts.push(Filter::Any(any));
                    }
                }
                if let Some(condition) = self.not {
                    let condition = condition.read(budget)?;
                    if !is_empty(&condition) {
                        parts.push(Filter::Not(Box::new(condition)));
                    }
                }
                Ok(all(parts))
            }
        }
    };
}

/// That a project belongs to one of these repositories.
fn project_of(repos: Vec<String>) -> Filter {
    Filter::OneOf(Column::ProjectRepo, repos)
}

filter!(
    /// A filter on messages.
    MessageFilter {
        /// The tool that the message uses. A message that uses no tool has no value.
        tool_name: StringFilter => |on, budget| on.on(Column::ToolName, budget),
        /// The message's GraphQL type, such as `AssistantMessage`.
        message_type: StringFilter => |on, budget| on.on(Column::MessageKind, budget),
        /// The subagent that wrote it.
        agent_id: StringFilter => |on, budget| on.on_id(Column::MessageAgent, "Agent", budget),
        /// The model that wrote it.
        model: StringFilter => |on, budget| on.on(Column::MessageModel, budget),
        /// The time when it was written.
        timestamp: DateTimeFilter => |on, budget| on.on(Column::MessageTime, budget),
    }
);
filter!(
    /// A filter on repositories.
    RepoFilter {
        /// The repository's id.
        repo_id: StringFilter => |on, budget| on.on_id(Column::RepoId, "Repo", budget),
        /// At least one of its projects matches.
        projects: Box<ProjectFilter> => |on, budget| on.of(Link::RepoProjects, budget),
    }
);
filter!(
    /// A filter on projects.
    ProjectFilter {
        /// The project's id, or that of its repository.
        project_id: StringFilter => |on, budget| on.on_project(Column::ProjectId, project_of, budget),
        /// The project's repository.
        repo_id: StringFilter => |on, budget| on.on_id(Column::ProjectRepo, "Repo", budget),
        /// At least one of its sessions matches.
        sessions: Box<SessionFilter> => |on, budget| on.of(Link::ProjectSessions, budget),
        /// The project's repository matches.
        repo: Box<RepoFilter> => |on, budget| on.of(Link::ProjectRepo, budget),
    }
);
filter!(
    /// A filter on sessions.
    SessionFilter {
        /// The session's id.
        session_id: StringFilter => |on, budget| on.on_id(Column::SessionId, "Session", budget),
        /// The session's project, or that project's repository.
        project_id: StringFilter => |on, budget| {
            let of = |repos| Filter::Linked(Link::SessionProject, Box::new(project_of(repos)));
            on.on_project(Column::SessionProject, of, budget)
        },
        /// The user who pushed the session.
        owner_id: StringFilter => |on, budget| on.on_id(Column::SessionUser, "User", budget),
        /// The time of its earliest line.
        started_at: DateTimeFilter => |on, budget| on.on(Column::SessionStart, budget),
        /// The time of its latest activity.
        updated_at: DateTimeFilter => |on, budget| on.on(Column::SessionActivity, budget),
        /// The number of messages in its list.
        message_count: IntFilter => |on, budget| on.on(Column::SessionMessages, budget),
        /// The number of prompts and commands that a person typed.
        turn_count: IntFilter => |on, budget| on.on(Column::SessionTurns, budget),
        /// The number of times its context was compacted.
        compaction_count: IntFilter => |on, budget| on.on(Column::SessionCompactions, budget),
        /// The number of changes that tools made to files.
        file_change_count: IntFilter => |on, budget| on.on(Column::SessionFileChanges, budget),
        /// A model that answered in it.
        model: StringFilter => |on, budget| {
            let model = on.on(Column::UsageModel, budget)?;
            Ok(if is_empty(&model) { model } else { Filter::Linked(Link::SessionUsage, Box::new(model)) })
        },
        /// The session's project matches.
        project: Box<ProjectFilter> => |on, budget| on.of(Link::SessionProject, budget),
    }
);
