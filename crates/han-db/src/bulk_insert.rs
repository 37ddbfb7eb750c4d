//! Inserts of many rows: one statement over arrays on PostgreSQL, few statements with a tuple for each row on SQLite.

use sea_orm::Value;
use sea_orm::sea_query::ArrayType;

use crate::DbError;
use crate::dialect::Dialect;
use crate::tx::Tx;

/// NULL in an array of numbers: arrays with NULLs do not pass through the driver. In an array of texts or bytes it is the
/// empty one.
const NULL_INT: i64 = i64::MIN;

/// One column of a multi-row insert, all rows' values in order. In a nullable text column, an empty text is stored as
/// NULL.
pub(crate) enum Column {
    Text(&'static str, Vec<String>),
    NullableText(&'static str, Vec<Option<String>>),
    Int(&'static str, Vec<i64>),
    NullableInt(&'static str, Vec<Option<i64>>),
    Bool(&'static str, Vec<bool>),
    Bytes(&'static str, Vec<Vec<u8>>),
    /// Empty bytes are stored as NULL.
    NullableBytes(&'static str, Vec<Option<Vec<u8>>>),
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
            | Self::Bytes(name, _)
            | Self::NullableBytes(name, _)
            | Self::Terms(name, _) => name,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(_, v) | Self::Terms(_, v) => v.len(),
            Self::NullableText(_, v) => v.len(),
            Self::Int(_, v) => v.len(),
            Self::NullableInt(_, v) => v.len(),
            Self::Bool(_, v) => v.len(),
            Self::Bytes(_, v) => v.len(),
            Self::NullableBytes(_, v) => v.len(),
        }
    }

    fn pg_type(&self) -> &'static str {
        match self {
            Self::Text(..) | Self::NullableText(..) | Self::Terms(..) => "text",
            Self::Int(..) | Self::NullableInt(..) => "bigint",
            Self::Bool(..) => "boolean",
            Self::Bytes(..) | Self::NullableBytes(..) => "bytea",
        }
    }

    /// The whole column as one array (PostgreSQL).
    fn into_array(self) -> Value {
        fn array<T: Into<Value>>(ty: ArrayType, values: Vec<T>) -> Value {
            Value::Array(ty, Some(Box::new(values.into_iter().map(Into::into).collect())))
        }
        match self {
            Self::Text(_, v) | Self::Terms(_, v) => array(ArrayType::String, v),
            Self::NullableText(_, v) => {
                array(ArrayType::String, v.into_iter().map(Option::unwrap_or_default).collect())
            }
            Self::Int(_, v) => array(ArrayType::BigInt, v),
            Self::NullableInt(_, v) => {
                array(ArrayType::BigInt, v.into_iter().map(|n| n.unwrap_or(NULL_INT)).collect())
            }
            Self::Bool(_, v) => array(ArrayType::Bool, v),
            Self::Bytes(_, v) => array(ArrayType::Bytes, v),
            Self::NullableBytes(_, v) => {
                array(ArrayType::Bytes, v.into_iter().map(Option::unwrap_or_default).collect())
            }
        }
    }

    /// One row's value (SQLite).
    fn take(&mut self, row: usize) -> Value {
        match self {
            Self::Text(_, v) | Self::Terms(_, v) => std::mem::take(&mut v[row]).into(),
            Self::NullableText(_, v) => v[row].take().filter(|text| !text.is_empty()).into(),
            Self::Int(_, v) => v[row].into(),
            Self::NullableInt(_, v) => v[row].into(),
            Self::Bool(_, v) => v[row].into(),
            Self::Bytes(_, v) => std::mem::take(&mut v[row]).into(),
            Self::NullableBytes(_, v) => v[row].take().filter(|bytes| !bytes.is_empty()).into(),
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
    /// The text after `ON CONFLICT`; empty if the rows are known to be new, because the check costs PostgreSQL a search of
    /// the index for each row.
    pub on_conflict: &'static str,
    /// The text after `RETURNING`; empty for nothing.
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
                Column::NullableBytes(..) => format!("NULLIF({name}, ''::bytea)"),
                Column::Terms(..) => format!("array_to_tsvector(string_to_array({name}, ' '))"),
                Column::NullableInt(..) => format!("NULLIF({name}, '{NULL_INT}'::bigint)"),
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
