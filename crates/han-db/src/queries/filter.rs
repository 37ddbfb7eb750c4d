//! Conditions that clients may set on lists, as a tree, and their SQL. The program names the columns, never a client;
//! values are statement parameters.

use std::cmp::Ordering;

use han_transcript::MessageKind;
use sea_orm::Value;

use crate::dialect::Dialect;
use crate::queries::sessions::ACTIVITY_MINUTE_MS;

/// A condition on a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// All of them are true. An empty list is true.
    All(Vec<Filter>),
    /// At least one of them is true. An empty list is false.
    Any(Vec<Filter>),
    /// The condition is not true.
    Not(Box<Filter>),
    /// The comparison of the column with the value is true. It is false if the column is null.
    Compare(Column, Comparison, Operand),
    /// The column equals one of the values.
    OneOf(Column, Vec<String>),
    /// The column is not null, and equals none of these.
    NoneOf(Column, Vec<String>),
    /// The column is null.
    IsNull(Column),
    /// The column's text contains this text; case-sensitive, without wildcards.
    Contains(Column, String),
    /// A linked row meets a condition.
    Linked(Link, Box<Filter>),
}

/// Defines the columns that lists can be filtered by, each with its table and SQL name.
macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident = $table:literal . $column:literal,)*) => {
        /// A column that lists can be filtered by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Column {
            $($(#[$doc])* $name,)*
        }

        impl Column {
            /// Its table and SQL name.
            fn name(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($table, $column),)*
                }
            }
        }
    };
}

columns! {
    /// A message's tool.
    ToolName = "messages"."tool_name",
    /// A message's type, a [`MessageKind`].
    MessageKind = "messages"."kind",
    /// The subagent that wrote a message.
    MessageAgent = "messages"."agent_id",
    /// The model that wrote a message.
    MessageModel = "messages"."model",
    /// When a message was written, in milliseconds since the epoch.
    MessageTime = "messages"."at",
    /// A session's project.
    SessionProject = "sessions"."project_id",
    /// A session's id.
    SessionId = "sessions"."session_id",
    /// The user who pushed a session.
    SessionUser = "sessions"."user_id",
    /// A session's earliest line, in milliseconds since the epoch.
    SessionStart = "sessions"."started_at",
    /// A session's latest activity, in milliseconds since the epoch.
    SessionActivity = "sessions"."last_activity_at",
    /// The number of messages in a session's list.
    SessionMessages = "sessions"."message_count",
    /// A session's turns.
    SessionTurns = "sessions"."turn_count",
    /// A session's compactions.
    SessionCompactions = "sessions"."compaction_count",
    /// A session's changes of files.
    SessionFileChanges = "sessions"."file_change_count",
    /// A model that answered in a session.
    UsageModel = "session_usage"."model",
    /// A project's id.
    ProjectId = "projects"."id",
    /// A project's repository.
    ProjectRepo = "projects"."repo_id",
    /// A repository's id.
    RepoId = "repos"."id",
}

/// A link from a row to other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// A session's project.
    SessionProject,
    /// A session's tokens by model.
    SessionUsage,
    /// A project's sessions.
    ProjectSessions,
    /// A project's repository.
    ProjectRepo,
    /// A repository's projects.
    RepoProjects,
}

impl Link {
    /// The table of the row, the linked table, and the column of each that must be equal.
    fn tables(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::SessionProject => ("sessions", "projects", "project_id", "id"),
            Self::SessionUsage => ("sessions", "session_usage", "number", "session"),
            Self::ProjectSessions => ("projects", "sessions", "id", "project_id"),
            Self::ProjectRepo => ("projects", "repos", "repo_id", "id"),
            Self::RepoProjects => ("repos", "projects", "id", "repo_id"),
        }
    }
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal.
    Equal,
    /// Different.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
    /// Greater.
    Greater,
    /// Greater or equal.
    AtLeast,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    /// What holds of whole parts (minutes) of two values that meet it.
    fn of_parts(self) -> Option<Self> {
        match self {
            Self::Equal => Some(Self::Equal),
            Self::NotEqual => None,
            Self::Less | Self::AtMost => Some(Self::AtMost),
            Self::Greater | Self::AtLeast => Some(Self::AtLeast),
        }
    }

    /// Whether two values with this order meet it.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// A value that a column is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A text.
    Text(String),
    /// A number, or a time in milliseconds since the epoch.
    Int(i64),
}

/// PostgreSQL's text cannot contain NUL: no column equals a text with NUL, and statements must not contain one.
fn text(text: &str) -> Value {
    text.replace('\0', "\u{fffd}").into()
}

impl Filter {
    /// The condition as SQL. Its values are appended to `parameters`. The team is parameter `$1`, and rows are named
    /// after their tables.
    pub(crate) fn to_sql(&self, dialect: Dialect, parameters: &mut Vec<Value>) -> String {
        Writer { dialect, parameters, depth: 0 }.write(self)
    }
}

/// The alias of a linked row in the condition on it.
fn alias(depth: usize) -> String {
    format!("linked_{depth}")
}

struct Writer<'p> {
    dialect: Dialect,
    parameters: &'p mut Vec<Value>,
    /// The number of links between the list's row and the current row.
    depth: usize,
}

impl Writer<'_> {
    fn bind(&mut self, value: Value) -> usize {
        self.parameters.push(value);
        self.parameters.len()
    }

    fn list(&mut self, values: &[String]) -> usize {
        let values = self.dialect.list(values.iter().map(|value| value.replace('\0', "\u{fffd}")));
        self.bind(values)
    }

    /// The alias of the current row.
    fn row(&self, table: &str) -> String {
        if self.depth == 0 { table.to_owned() } else { alias(self.depth) }
    }

    fn column(&self, column: Column) -> String {
        let (table, name) = column.name();
        format!("{}.{name}", self.row(table))
    }

    /// The condition on a message's kind as a list of codes, because kinds are stored as numbers.
    fn kinds(&mut self, is_true: impl Fn(&str) -> bool) -> String {
        let codes = MessageKind::ALL.iter().filter(|kind| is_true(kind.as_str()));
        let n = self.bind(self.dialect.number_list(codes.map(|kind| i64::from(kind.code()))));
        self.dialect.is_any(&self.column(Column::MessageKind), n)
    }

    fn write(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Compare(Column::MessageKind, comparison, Operand::Text(text)) => {
                self.kinds(|kind| comparison.holds(kind.cmp(text.as_str())))
            }
            Filter::OneOf(Column::MessageKind, values) => {
                self.kinds(|kind| values.iter().any(|value| value == kind))
            }
            Filter::NoneOf(Column::MessageKind, values) => {
                self.kinds(|kind| values.iter().all(|value| value != kind))
            }
            Filter::Contains(Column::MessageKind, part) => self.kinds(|kind| kind.contains(part.as_str())),
            Filter::All(parts) if parts.is_empty() => "1 = 1".to_owned(),
            Filter::Any(parts) if parts.is_empty() => "1 = 0".to_owned(),
            Filter::All(parts) => self.join(parts, " AND "),
            Filter::Any(parts) => self.join(parts, " OR "),
            // A comparison with NULL is not true, so its negation is true.
            Filter::Not(part) => format!("NOT COALESCE({}, false)", self.write(part)),
            Filter::Compare(column, comparison, operand) => {
                let n = self.bind(match operand {
                    Operand::Text(value) => text(value),
                    Operand::Int(value) => (*value).into(),
                });
                let compared = format!("{} {} ${n}", self.column(*column), comparison.sql());
                match (column, comparison.of_parts()) {
                    // The index has the minute, which a comparison of times implies.
                    (Column::SessionActivity, Some(of_minutes)) => {
                        let row = self.row("sessions");
                        format!(
                            "({row}.activity_minute {} ${n} / {ACTIVITY_MINUTE_MS} AND {compared})",
                            of_minutes.sql()
                        )
                    }
                    _ => compared,
                }
            }
            Filter::OneOf(column, values) => {
                let n = self.list(values);
                self.dialect.is_any(&self.column(*column), n)
            }
            Filter::NoneOf(column, values) => {
                let n = self.list(values);
                format!("NOT ({})", self.dialect.is_any(&self.column(*column), n))
            }
            Filter::IsNull(column) => format!("{} IS NULL", self.column(*column)),
            Filter::Contains(column, part) => {
                // LIKE would treat `%` and `_` of the client as wildcards.
                let n = self.bind(text(part));
                let find = self.dialect.position();
                format!("{find}({}, ${n}) > 0", self.column(*column))
            }
            Filter::Linked(link, part) => self.linked(*link, part),
        }
    }

    fn linked(&mut self, link: Link, part: &Filter) -> String {
        let (of, to, ours, theirs) = link.tables();
        let row = self.row(of);
        self.depth += 1;
        let (linked, condition) = (alias(self.depth), self.write(part));
        self.depth -= 1;
        format!(
            "EXISTS (SELECT 1 FROM {to} AS {linked} WHERE {linked}.team = $1 AND {linked}.{theirs} = {row}.{ours} \
             AND ({condition}))"
        )
    }

    fn join(&mut self, parts: &[Filter], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| format!("({})", self.write(part))).collect();
        parts.join(word)
    }
}
