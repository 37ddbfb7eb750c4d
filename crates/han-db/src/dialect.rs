//! Everything in which PostgreSQL and SQLite differ, in one place: roles and row-level security, triggers,
//! multi-row upserts. Queries elsewhere are written once, with `$1` placeholders that both understand.

use han_types::Clock;
use sea_orm::sea_query::ArrayType;
use sea_orm::{DbBackend, Value};

use crate::DbError;
use crate::tx::Tx;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 15 or later.
    Postgres,
    /// SQLite, embedded.
    Sqlite,
}

/// Whose rights a transaction takes on (PostgreSQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `han_app`: sees one team.
    App,
    /// `han_system`: the look-ups made before a team is known, the outbox, jobs.
    System,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::App => "han_app",
            Self::System => "han_system",
        }
    }
}

impl Dialect {
    pub(crate) fn of_url(url: &str) -> Result<Self, DbError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(Self::Postgres)
        } else if url.starts_with("sqlite:") {
            Ok(Self::Sqlite)
        } else {
            Err(DbError::Url(url.split(':').next().unwrap_or_default().to_owned()))
        }
    }

    pub(crate) fn backend(self) -> DbBackend {
        match self {
            Self::Postgres => DbBackend::Postgres,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }

    /// Takes on `role` and names the team, for this transaction only. Ingest sends its own coalesced NOTIFY
    /// after the commit, so writing transactions keep the triggers quiet. A read that takes too long is cut off, and
    /// a write does not wait for a lock for ever: each holds one of few connections.
    pub(crate) async fn take_role(
        self,
        tx: &Tx,
        role: Role,
        team: &str,
        read_only: bool,
    ) -> Result<(), DbError> {
        if self == Self::Postgres {
            let sql = if read_only {
                "SELECT set_config('role', $1, true), set_config('han.team_id', $2, true), \
                 set_config('statement_timeout', '30s', true)"
            } else {
                "SELECT set_config('role', $1, true), set_config('han.team_id', $2, true), \
                 set_config('han.coalesce', 'on', true), set_config('lock_timeout', '30s', true)"
            };
            tx.rows(sql, [role.name().into(), team.into()]).await?;
        }
        Ok(())
    }

    /// The present, in milliseconds since the epoch, as all replicas agree on it: the server's own time on PostgreSQL,
    /// since the clocks of its clients may differ. The processes that share a SQLite file share a machine, too.
    pub(crate) async fn shared_now(self, tx: &Tx, clock: &dyn Clock) -> Result<i64, DbError> {
        match self {
            Self::Postgres => {
                // Not now(): that is the time at which the transaction began.
                let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms";
                let row = tx.rows(sql, []).await?.into_iter().next();
                let row = row.ok_or_else(|| DbError::Missing("the database gave no time".to_owned()))?;
                Ok(row.try_get("", "ms")?)
            }
            Self::Sqlite => Ok(clock.now().0),
        }
    }

    /// Wakes the replicas that LISTEN on `channel` once `tx` is committed. SQLite has no other replicas.
    pub(crate) async fn notify(self, tx: &Tx, channel: &str) -> Result<(), DbError> {
        if self == Self::Postgres {
            tx.rows("SELECT pg_notify($1, '')", [channel.into()]).await?;
        }
        Ok(())
    }

    /// The greater of two values: PostgreSQL's GREATEST is SQLite's two-argument MAX.
    pub(crate) fn greatest(self) -> &'static str {
        match self {
            Self::Postgres => "GREATEST",
            Self::Sqlite => "MAX",
        }
    }
}

/// One column of a multi-row insert, all rows' values in order. An empty text or `i64::MIN` in a nullable column
/// stands for NULL: arrays with NULLs do not pass through the driver.
pub(crate) enum Column {
    Text(&'static str, Vec<String>),
    NullableText(&'static str, Vec<String>),
    Int(&'static str, Vec<i64>),
    NullableInt(&'static str, Vec<i64>),
    Bool(&'static str, Vec<bool>),
    /// Search terms, separated by spaces: a tsvector without positions (PostgreSQL alone).
    Terms(&'static str, Vec<String>),
}

impl Column {
    fn name(&self) -> &'static str {
        match self {
            Self::Text(name, _)
            | Self::NullableText(name, _)
            | Self::Int(name, _)
            | Self::NullableInt(name, _)
            | Self::Bool(name, _)
            | Self::Terms(name, _) => name,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(_, v) | Self::NullableText(_, v) | Self::Terms(_, v) => v.len(),
            Self::Int(_, v) | Self::NullableInt(_, v) => v.len(),
            Self::Bool(_, v) => v.len(),
        }
    }

    fn pg_type(&self) -> &'static str {
        match self {
            Self::Text(..) | Self::NullableText(..) | Self::Terms(..) => "text",
            Self::Int(..) | Self::NullableInt(..) => "bigint",
            Self::Bool(..) => "boolean",
        }
    }

    /// The whole column as one array (PostgreSQL).
    fn into_array(self) -> Value {
        fn array<T: Into<Value>>(ty: ArrayType, values: Vec<T>) -> Value {
            Value::Array(ty, Some(Box::new(values.into_iter().map(Into::into).collect())))
        }
        match self {
            Self::Text(_, v) | Self::NullableText(_, v) | Self::Terms(_, v) => array(ArrayType::String, v),
            Self::Int(_, v) | Self::NullableInt(_, v) => array(ArrayType::BigInt, v),
            Self::Bool(_, v) => array(ArrayType::Bool, v),
        }
    }

    /// One row's value (SQLite).
    fn take(&mut self, row: usize) -> Value {
        match self {
            Self::Text(_, v) | Self::Terms(_, v) => std::mem::take(&mut v[row]).into(),
            Self::NullableText(_, v) => Some(std::mem::take(&mut v[row])).filter(|s| !s.is_empty()).into(),
            Self::Int(_, v) => v[row].into(),
            Self::NullableInt(_, v) => Some(v[row]).filter(|n| *n != i64::MIN).into(),
            Self::Bool(_, v) => v[row].into(),
        }
    }
}

/// A multi-row `INSERT … ON CONFLICT … RETURNING …`: one statement over arrays on PostgreSQL (the same text for
/// any number of rows, so it is prepared once), few statements of many rows on SQLite.
pub(crate) struct BulkInsert {
    /// The table.
    pub table: &'static str,
    /// Columns that are the same in every row, put in by value.
    pub constants: Vec<(&'static str, Value)>,
    /// Columns that differ.
    pub columns: Vec<Column>,
    /// What stands after `ON CONFLICT`; empty where the rows are known to be new: to ask costs PostgreSQL a search of
    /// the index for each row.
    pub on_conflict: &'static str,
    /// What stands after `RETURNING`; empty for nothing.
    pub returning: &'static str,
}

/// SQLite's limit on bound parameters of a statement (SQLITE_MAX_VARIABLE_NUMBER since 3.32).
const SQLITE_MAX_PARAMETERS: usize = 32_766;

impl BulkInsert {
    pub(crate) async fn run(mut self, tx: &Tx) -> Result<Vec<sea_orm::QueryResult>, DbError> {
        let rows = self.columns.first().map_or(0, Column::len);
        if rows == 0 {
            return Ok(Vec::new());
        }
        match tx.dialect() {
            Dialect::Postgres => {
                let sql = self.postgres_sql();
                let values = std::mem::take(&mut self.constants).into_iter().map(|(_, v)| v);
                let arrays = std::mem::take(&mut self.columns).into_iter().map(Column::into_array);
                tx.rows(&sql, values.chain(arrays)).await
            }
            Dialect::Sqlite => {
                let width = self.columns.len().max(1);
                let at_once = (SQLITE_MAX_PARAMETERS - self.constants.len()) / width;
                let mut returned = Vec::new();
                let mut from = 0;
                while from < rows {
                    let to = rows.min(from + at_once);
                    let sql = self.sqlite_sql(to - from);
                    let mut values: Vec<Value> = self.constants.iter().map(|(_, v)| v.clone()).collect();
                    for row in from..to {
                        values.extend(self.columns.iter_mut().map(|column| column.take(row)));
                    }
                    returned.extend(tx.rows(&sql, values).await?);
                    from = to;
                }
                Ok(returned)
            }
        }
    }

    fn head(&self) -> String {
        let names: Vec<&str> = self
            .constants
            .iter()
            .map(|(name, _)| *name)
            .chain(self.columns.iter().map(Column::name))
            .collect();
        format!("INSERT INTO {} ({})", self.table, names.join(", "))
    }

    fn tail(&self) -> String {
        let mut tail = String::new();
        if !self.on_conflict.is_empty() {
            tail.push_str(" ON CONFLICT ");
            tail.push_str(self.on_conflict);
        }
        if !self.returning.is_empty() {
            tail.push_str(" RETURNING ");
            tail.push_str(self.returning);
        }
        tail
    }

    fn postgres_sql(&self) -> String {
        let constants = self.constants.len();
        let mut select: Vec<String> = (1..=constants).map(|n| format!("${n}")).collect();
        let mut arrays = Vec::new();
        let mut names = Vec::new();
        for (i, column) in self.columns.iter().enumerate() {
            let name = format!("c{i}");
            select.push(match column {
                Column::NullableText(..) => format!("NULLIF({name}, '')"),
                Column::Terms(..) => format!("array_to_tsvector(string_to_array({name}, ' '))"),
                Column::NullableInt(..) => format!("NULLIF({name}, '{}'::bigint)", i64::MIN),
                _ => name.clone(),
            });
            arrays.push(format!("${}::{}[]", constants + i + 1, column.pg_type()));
            names.push(name);
        }
        format!(
            "{} SELECT {} FROM UNNEST({}) AS u({}){}",
            self.head(),
            select.join(", "),
            arrays.join(", "),
            names.join(", "),
            self.tail()
        )
    }

    fn sqlite_sql(&self, rows: usize) -> String {
        let constants: Vec<String> = (1..=self.constants.len()).map(|n| format!("${n}")).collect();
        let mut next = self.constants.len();
        let mut tuples = Vec::with_capacity(rows);
        for _ in 0..rows {
            let mut tuple = constants.clone();
            for _ in &self.columns {
                next += 1;
                tuple.push(format!("${next}"));
            }
            tuples.push(format!("({})", tuple.join(", ")));
        }
        format!("{} VALUES {}{}", self.head(), tuples.join(", "), self.tail())
    }
}

/// See [`Dialect::first_of_each`].
pub(crate) struct FirstOfEach<'a> {
    pub table: &'static str,
    pub columns: &'static str,
    pub condition: &'a str,
    pub order: &'static str,
    pub limit: usize,
}

impl Dialect {
    /// The condition "`column` is one of the values of parameter `$n`", and [`Dialect::list`] makes that
    /// parameter: one parameter whatever the number of values, so that a statement is prepared once.
    pub(crate) fn is_any(self, column: &str, n: usize) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY(${n})"),
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each(${n}))"),
        }
    }

    /// The first `limit` rows of `table` for each of the ids in parameter `$n` (made by [`Dialect::list`]), as one
    /// statement. `condition` says `wanted.id` for the id, and each id's rows are read in `order`, but come in no
    /// certain order. It must not be filtered or sorted any further by the database.
    pub(crate) fn first_of_each(self, n: usize, rows: &FirstOfEach<'_>) -> String {
        let FirstOfEach { table, columns, condition, order, limit } = rows;
        match self {
            Self::Postgres => format!(
                "SELECT found.* FROM unnest(${n}::text[]) AS wanted(id) CROSS JOIN LATERAL \
                 (SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit}) AS found"
            ),
            // SQLite knows no LATERAL, but a row's number of its own.
            Self::Sqlite => format!(
                "SELECT {columns} FROM (SELECT value AS id FROM json_each(${n})) AS wanted CROSS JOIN {table} \
                 WHERE {table}.rowid IN \
                 (SELECT {table}.rowid FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit})"
            ),
        }
    }

    /// The parameter that goes with [`Dialect::is_any`].
    pub(crate) fn list<S: AsRef<str>>(self, values: impl IntoIterator<Item = S>) -> Value {
        let values = values.into_iter();
        match self {
            Self::Postgres => {
                let values = values.map(|v| Value::from(v.as_ref().to_owned())).collect();
                Value::Array(ArrayType::String, Some(Box::new(values)))
            }
            Self::Sqlite => {
                let values: Vec<serde_json::Value> = values.map(|v| v.as_ref().into()).collect();
                serde_json::Value::Array(values).to_string().into()
            }
        }
    }
}
