//! Conditions that clients may put on lists, as a tree, and the SQL they become. Columns are named by the program,
//! never by a client; values travel as parameters.

use sea_orm::Value;

use crate::dialect::Dialect;

/// A condition on a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of them hold (none: always).
    All(Vec<Filter>),
    /// One of them holds (none: never).
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The column compares so with the value. A column without a value compares with nothing.
    Compare(Column, Comparison, Operand),
    /// The column has one of the values.
    OneOf(Column, Vec<String>),
    /// The column has a value, and none of these.
    NoneOf(Column, Vec<String>),
    /// The column has no value.
    IsNull(Column),
    /// The column's text contains this text, letter for letter.
    Contains(Column, String),
    /// The row's project meets a condition.
    Project(Box<Filter>),
}

/// A column that lists can be filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A message's tool.
    ToolName,
    /// A message's type.
    MessageKind,
    /// A session's project.
    SessionProject,
    /// A session's id.
    SessionId,
    /// Who pushed a session.
    SessionUser,
    /// A session's latest activity, in milliseconds since the epoch.
    SessionActivity,
    /// A project's repository.
    ProjectRepo,
}

impl Column {
    fn sql(self) -> &'static str {
        match self {
            Self::ToolName => "messages.tool_name",
            Self::MessageKind => "messages.kind",
            Self::SessionProject => "sessions.project_id",
            Self::SessionId => "sessions.session_id",
            Self::SessionUser => "sessions.user_id",
            Self::SessionActivity => "sessions.last_activity_at",
            Self::ProjectRepo => "filter_projects.repo_id",
        }
    }
}

/// How a column compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A text.
    Text(String),
    /// A number, or a time in milliseconds since the epoch.
    Int(i64),
}

/// PostgreSQL's text cannot hold NUL, so no column equals a text that has one; SQL must not see it.
fn text(text: &str) -> Value {
    text.replace('\0', "\u{fffd}").into()
}

impl Filter {
    /// The condition as SQL; its values are appended to `parameters`, whose places it names. The team is
    /// parameter `$1`.
    pub(crate) fn to_sql(&self, dialect: Dialect, parameters: &mut Vec<Value>) -> String {
        let mut bind = |value: Value| {
            parameters.push(value);
            parameters.len()
        };
        match self {
            Self::All(parts) if parts.is_empty() => "1 = 1".to_owned(),
            Self::Any(parts) if parts.is_empty() => "1 = 0".to_owned(),
            Self::All(parts) => join(parts, " AND ", dialect, parameters),
            Self::Any(parts) => join(parts, " OR ", dialect, parameters),
            Self::Not(part) => format!("NOT ({})", part.to_sql(dialect, parameters)),
            Self::Compare(column, comparison, operand) => {
                let value = match operand {
                    Operand::Text(value) => text(value),
                    Operand::Int(value) => (*value).into(),
                };
                format!("{} {} ${}", column.sql(), comparison.sql(), bind(value))
            }
            Self::OneOf(column, values) => {
                let n = bind(dialect.list(values.iter().map(|v| v.replace('\0', "\u{fffd}"))));
                dialect.is_any(column.sql(), n)
            }
            Self::NoneOf(column, values) => {
                let n = bind(dialect.list(values.iter().map(|v| v.replace('\0', "\u{fffd}"))));
                format!("NOT ({})", dialect.is_any(column.sql(), n))
            }
            Self::IsNull(column) => format!("{} IS NULL", column.sql()),
            Self::Contains(column, part) => {
                // LIKE would make wildcards of what a client wrote.
                let n = bind(text(part));
                match dialect {
                    Dialect::Postgres => format!("strpos({}, ${n}) > 0", column.sql()),
                    Dialect::Sqlite => format!("instr({}, ${n}) > 0", column.sql()),
                }
            }
            Self::Project(part) => format!(
                "EXISTS (SELECT 1 FROM projects AS filter_projects WHERE filter_projects.team_id = $1 \
                 AND filter_projects.id = sessions.project_id AND ({}))",
                part.to_sql(dialect, parameters)
            ),
        }
    }
}

fn join(parts: &[Filter], word: &str, dialect: Dialect, parameters: &mut Vec<Value>) -> String {
    let parts: Vec<String> =
        parts.iter().map(|part| format!("({})", part.to_sql(dialect, parameters))).collect();
    parts.join(word)
}
