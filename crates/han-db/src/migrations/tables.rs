//! The few words in which tables are defined. Every column is NOT NULL unless it says otherwise.

use std::cmp::Reverse;

use sea_orm_migration::prelude::{Alias, ColumnDef, ColumnType, Index, Table, TableCreateStatement};

pub(super) fn text(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).text().not_null().take()
}

pub(super) fn text_null(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).text().null().take()
}

/// A number within its team or session (4 bytes).
pub(super) fn number(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).integer().not_null().take()
}

/// A code of an enumeration (2 bytes).
pub(super) fn code(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).small_integer().not_null().take()
}

pub(super) fn code_null(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).small_integer().null().take()
}

pub(super) fn bytes(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).binary().not_null().take()
}

pub(super) fn bytes_null(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).binary().null().take()
}

/// The number of the team that the row belongs to: `teams.number`.
pub(super) fn team() -> ColumnDef {
    number("team")
}

/// The number of the session that the row belongs to: `sessions.number`.
pub(super) fn session() -> ColumnDef {
    number("session")
}

/// A count, a size, or a time in milliseconds since the Unix epoch.
pub(super) fn int(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).big_integer().not_null().take()
}

pub(super) fn int_null(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).big_integer().null().take()
}

/// A counter that begins at 0.
pub(super) fn counter(name: &str) -> ColumnDef {
    int(name).default(0).take()
}

pub(super) fn boolean(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).boolean().not_null().take()
}

/// The size of a column's values on PostgreSQL, in bytes; 0 for those of any length, which need no alignment.
fn width(column: &ColumnDef) -> u8 {
    match column.get_column_type() {
        Some(ColumnType::BigInteger) => 8,
        Some(ColumnType::Integer) => 4,
        Some(ColumnType::SmallInteger) => 2,
        Some(ColumnType::Boolean) => 1,
        _ => 0,
    }
}

/// A table with its primary key. The widest columns are stored first: PostgreSQL pads a row before a wider column, in the
/// table and in the WAL (postgresql.org/docs/current/storage-page-layout.html).
pub(super) fn table(
    name: &str,
    key: &[&str],
    columns: impl IntoIterator<Item = ColumnDef>,
) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name));
    let mut columns: Vec<ColumnDef> = columns.into_iter().collect();
    columns.sort_by_key(|column| Reverse(width(column)));
    for column in columns {
        table.col(column);
    }
    let mut primary = Index::create();
    for column in key {
        primary.col(Alias::new(*column));
    }
    table.primary_key(&mut primary);
    table.take()
}
