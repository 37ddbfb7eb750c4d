//! Inserts of many rows: one statement over arrays on PostgreSQL, few statements with a tuple for each row on SQLite.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use sea_orm::Value;
#[cfg(feature = "postgres")]
use sqlx::error::BoxDynError;
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgArguments, PgHasArrayType};
#[cfg(feature = "postgres")]
use sqlx::{Arguments as _, Encode, Postgres, Type};

use crate::DbError;
use crate::dialect::Dialect;
use crate::tx::Tx;

/// One column of a multi-row insert, all rows' values in order. In a nullable text column, an empty text is stored as
/// NULL.
pub(crate) enum Column<'a> {
    Text(&'static str, Vec<String>),
    NullableText(&'static str, Vec<Option<String>>),
    /// A text column whose values something else owns.
    Str(&'static str, Vec<&'a str>),
    NullableStr(&'static str, Vec<Option<&'a str>>),
    Int(&'static str, Vec<i64>),
    NullableInt(&'static str, Vec<Option<i64>>),
    Bool(&'static str, Vec<bool>),
    Bytes(&'static str, Vec<Vec<u8>>),
    /// Bytes of a fixed number: hashes and uuids.
    Key(&'static str, Vec<[u8; 16]>),
    /// Empty bytes are stored as NULL.
    NullableBytes(&'static str, Vec<Option<Vec<u8>>>),
    /// Arrays of numbers, as the text of PostgreSQL's type (PostgreSQL alone).
    IntArrays(&'static str, Vec<String>),
}

impl Column<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Text(name, _)
            | Self::NullableText(name, _)
            | Self::Str(name, _)
            | Self::NullableStr(name, _)
            | Self::Int(name, _)
            | Self::NullableInt(name, _)
            | Self::Bool(name, _)
            | Self::Bytes(name, _)
            | Self::Key(name, _)
            | Self::NullableBytes(name, _)
            | Self::IntArrays(name, _) => name,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(_, v) | Self::IntArrays(_, v) => v.len(),
            Self::NullableText(_, v) => v.len(),
            Self::Str(_, v) => v.len(),
            Self::NullableStr(_, v) => v.len(),
            Self::Int(_, v) => v.len(),
            Self::NullableInt(_, v) => v.len(),
            Self::Bool(_, v) => v.len(),
            Self::Bytes(_, v) => v.len(),
            Self::Key(_, v) => v.len(),
            Self::NullableBytes(_, v) => v.len(),
        }
    }

    #[cfg(feature = "postgres")]
    fn pg_type(&self) -> &'static str {
        match self {
            Self::Text(..)
            | Self::NullableText(..)
            | Self::Str(..)
            | Self::NullableStr(..)
            | Self::IntArrays(..) => "text",
            Self::Int(..) | Self::NullableInt(..) => "bigint",
            Self::Bool(..) => "boolean",
            Self::Bytes(..) | Self::Key(..) | Self::NullableBytes(..) => "bytea",
        }
    }

    /// Adds the whole column as one array, encoded from where its values are.
    #[cfg(feature = "postgres")]
    pub(crate) fn add_to(&self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        fn add<'t, T>(arguments: &mut PgArguments, values: &'t [T]) -> Result<(), BoxDynError>
        where
            T: Encode<'t, Postgres> + Type<Postgres> + PgHasArrayType,
        {
            arguments.add(values)
        }
        fn texts<'t>(values: impl Iterator<Item = Option<&'t str>>) -> Vec<Option<&'t str>> {
            values.map(|text| text.filter(|text| !text.is_empty())).collect()
        }
        match self {
            Self::Text(_, v) | Self::IntArrays(_, v) => add(arguments, v),
            Self::NullableText(_, v) => add(arguments, &texts(v.iter().map(Option::as_deref))),
            Self::Str(_, v) => add(arguments, v),
            Self::NullableStr(_, v) => add(arguments, &texts(v.iter().copied())),
            Self::Int(_, v) => add(arguments, v),
            Self::NullableInt(_, v) => add(arguments, v),
            Self::Bool(_, v) => add(arguments, v),
            Self::Bytes(_, v) => add(arguments, v),
            Self::Key(_, v) => add(arguments, v),
            Self::NullableBytes(_, v) => {
                let v: Vec<Option<&[u8]>> =
                    v.iter().map(|bytes| bytes.as_deref().filter(|bytes| !bytes.is_empty())).collect();
                add(arguments, &v)
            }
        }
    }

    /// One row's value (SQLite).
    fn take(&mut self, row: usize) -> Value {
        match self {
            Self::Text(_, v) | Self::IntArrays(_, v) => std::mem::take(&mut v[row]).into(),
            Self::NullableText(_, v) => v[row].take().filter(|text| !text.is_empty()).into(),
            Self::Str(_, v) => v[row].into(),
            Self::NullableStr(_, v) => v[row].filter(|text| !text.is_empty()).into(),
            Self::Int(_, v) => v[row].into(),
            Self::NullableInt(_, v) => v[row].into(),
            Self::Bool(_, v) => v[row].into(),
            Self::Bytes(_, v) => std::mem::take(&mut v[row]).into(),
            Self::Key(_, v) => v[row].to_vec().into(),
            Self::NullableBytes(_, v) => v[row].take().filter(|bytes| !bytes.is_empty()).into(),
        }
    }
}

/// A multi-row `INSERT … ON CONFLICT … RETURNING …`: one statement over arrays on PostgreSQL (the same text for
/// any number of rows, so it is prepared once), statements of [`SQLITE_ROWS`] rows on SQLite.
pub(crate) struct BulkInsert<'a> {
    /// The table.
    pub table: &'static str,
    /// Columns that are the same in every row, put in by value.
    pub constants: Vec<(&'static str, Value)>,
    /// Columns that differ.
    pub columns: Vec<Column<'a>>,
    /// The text after `ON CONFLICT`; empty if the rows are known to be new, because the check costs PostgreSQL a search of
    /// the index for each row.
    pub on_conflict: &'static str,
    /// The text after `RETURNING`; empty for nothing.
    pub returning: &'static str,
}

/// How many rows one statement inserts on SQLite. Few sizes, so that each table has few statements, which stay prepared:
/// preparing one takes longer than running it.
const SQLITE_ROWS: [usize; 4] = [64, 16, 4, 1];

impl BulkInsert<'_> {
    pub(crate) async fn run(mut self, tx: &Tx) -> Result<Vec<sea_orm::QueryResult>, DbError> {
        let rows = self.columns.first().map_or(0, Column::len);
        if rows == 0 {
            return Ok(Vec::new());
        }
        match tx.dialect() {
            #[cfg(not(feature = "postgres"))]
            Dialect::Postgres => Err(DbError::WithoutPostgres),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => {
                let sql = self.postgres_sql(0, self.constants.len());
                let values = std::mem::take(&mut self.constants).into_iter().map(|(_, v)| v).collect();
                tx.rows_of_columns(&sql, values, &self.columns).await
            }
            Dialect::Sqlite => {
                let mut returned = Vec::new();
                let mut from = 0;
                for at_once in SQLITE_ROWS {
                    if rows - from < at_once {
                        continue;
                    }
                    let sql = self.sqlite_sql(at_once);
                    while rows - from >= at_once {
                        let mut values: Vec<Value> = self.constants.iter().map(|(_, v)| v.clone()).collect();
                        for row in from..from + at_once {
                            values.extend(self.columns.iter_mut().map(|column| column.take(row)));
                        }
                        returned.extend(tx.rows(&sql, values).await?);
                        from += at_once;
                    }
                }
                Ok(returned)
            }
        }
    }

    /// The beginning and the end of the statement, around its rows.
    fn around(&self, rows: impl FnOnce(&mut String) -> fmt::Result) -> String {
        // About as long as the longest one.
        let mut sql = String::with_capacity(2048);
        sql.push_str("INSERT INTO ");
        sql.push_str(self.table);
        let names = self.constants.iter().map(|(name, _)| *name).chain(self.columns.iter().map(Column::name));
        for (n, name) in names.enumerate() {
            sql.push_str(if n == 0 { " (" } else { ", " });
            sql.push_str(name);
        }
        sql.push_str(") ");
        // Writing to a text does not fail.
        let _ = rows(&mut sql);
        if !self.on_conflict.is_empty() {
            sql.push_str(" ON CONFLICT ");
            sql.push_str(self.on_conflict);
        }
        if !self.returning.is_empty() {
            sql.push_str(" RETURNING ");
            sql.push_str(self.returning);
        }
        sql
    }

    fn is_empty(&self) -> bool {
        self.columns.first().map_or(0, Column::len) == 0
    }

    /// Its parameters: so many come before its constants, and so many before its columns.
    #[cfg(feature = "postgres")]
    fn postgres_sql(&self, before_constants: usize, before_columns: usize) -> String {
        self.around(|sql| {
            let mut separator = "SELECT ";
            for n in 1..=self.constants.len() {
                write!(sql, "{separator}${}", before_constants + n)?;
                separator = ", ";
            }
            for (i, column) in self.columns.iter().enumerate() {
                match column {
                    Column::IntArrays(..) => write!(sql, "{separator}c{i}::bigint[]")?,
                    _ => write!(sql, "{separator}c{i}")?,
                }
                separator = ", ";
            }
            separator = " FROM UNNEST(";
            for (i, column) in self.columns.iter().enumerate() {
                write!(sql, "{separator}${}::{}[]", before_columns + i + 1, column.pg_type())?;
                separator = ", ";
            }
            separator = ") AS u(";
            for i in 0..self.columns.len() {
                write!(sql, "{separator}c{i}")?;
                separator = ", ";
            }
            sql.push(')');
            Ok(())
        })
    }

    /// Its parameters are numbered (`?1`). SQLite takes `$1` for a name, which it looks up among all names before it: the
    /// time to prepare a statement of thousands of them is quadratic (sqlite.org/lang_expr.html#varparam).
    fn sqlite_sql(&self, rows: usize) -> String {
        let constants: Vec<String> = (1..=self.constants.len()).map(|n| format!("?{n}")).collect();
        let mut next = self.constants.len();
        let mut tuples = Vec::with_capacity(rows);
        for _ in 0..rows {
            let mut tuple = constants.clone();
            for _ in &self.columns {
                next += 1;
                tuple.push(format!("?{next}"));
            }
            tuples.push(format!("({})", tuple.join(", ")));
        }
        self.around(|sql| write!(sql, "VALUES {}", tuples.join(", ")))
    }
}

/// A statement that returns nothing, and its parameters.
pub(crate) struct Update {
    pub sql: Cow<'static, str>,
    pub values: Vec<Value>,
}

impl Update {
    pub(crate) async fn run(self, tx: &Tx) -> Result<(), DbError> {
        tx.execute(&self.sql, self.values).await?;
        Ok(())
    }
}

/// Writes to different tables that do not read each other's rows: one statement on PostgreSQL, where each is a round trip
/// (postgresql.org/docs/current/queries-with.html, data-modifying statements in `WITH`), one after another on SQLite. In
/// which order PostgreSQL runs them is its own affair, but it is the same for the same tables.
pub(crate) struct Writes<'a> {
    pub update: Option<Update>,
    /// Inserts that return nothing.
    pub inserts: Vec<BulkInsert<'a>>,
}

impl Writes<'_> {
    pub(crate) async fn run(mut self, tx: &Tx) -> Result<(), DbError> {
        self.inserts.retain(|insert| !insert.is_empty());
        #[cfg(feature = "postgres")]
        if tx.dialect() == Dialect::Postgres && self.inserts.len() + usize::from(self.update.is_some()) > 1 {
            return self.run_together(tx).await;
        }
        if let Some(update) = self.update {
            update.run(tx).await?;
        }
        for insert in self.inserts {
            insert.run(tx).await?;
        }
        Ok(())
    }

    /// First the parameters of all statements that are single values, then the columns.
    #[cfg(feature = "postgres")]
    async fn run_together(self, tx: &Tx) -> Result<(), DbError> {
        let mut statements: Vec<Cow<'static, str>> = Vec::new();
        let (mut values, mut columns) = (Vec::new(), Vec::new());
        if let Some(update) = self.update {
            statements.push(update.sql);
            values = update.values;
        }
        let constants: usize = self.inserts.iter().map(|insert| insert.constants.len()).sum();
        let mut before_columns = values.len() + constants;
        for mut insert in self.inserts {
            statements.push(insert.postgres_sql(values.len(), before_columns).into());
            before_columns += insert.columns.len();
            values.extend(std::mem::take(&mut insert.constants).into_iter().map(|(_, value)| value));
            columns.append(&mut insert.columns);
        }
        let last = statements.pop().unwrap_or_default();
        let with: Vec<String> =
            statements.iter().enumerate().map(|(n, statement)| format!("w{n} AS ({statement})")).collect();
        tx.rows_of_columns(&format!("WITH {} {last}", with.join(", ")), values, &columns).await?;
        Ok(())
    }
}
