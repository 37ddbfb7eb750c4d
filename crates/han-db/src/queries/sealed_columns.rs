//! The text columns that may be sealed, with the keys of their tables and their row ids in the AAD. docs/SECURITY.md
//! has the same list; a test compares it with the schema. Segments, which have their own form, are in
//! `queries::segments`.

use han_crypto::FieldContext;

/// A column of a primary key, after the team.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Int(&'static str),
    Text(&'static str),
}

impl Key {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Int(name) | Self::Text(name) => name,
        }
    }
}

/// A text column that may be sealed.
#[derive(Debug)]
pub(crate) struct SealedColumn {
    /// Its table, which has the columns `team` and `sealed`.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The primary key, after the team.
    pub keys: &'static [Key],
    /// The row id in the AAD, in SQL: `x` is the table, `s` the row's session.
    pub row_id: &'static str,
}

impl SealedColumn {
    /// The place of a row's value in the AAD.
    pub(crate) fn context<'a>(&self, row_id: &'a str) -> FieldContext<'a> {
        FieldContext { table: self.table, row_id, column: self.column }
    }

    /// What must be joined for the row id.
    pub(crate) fn join(&self) -> &'static str {
        if self.row_id.contains("s.") {
            " JOIN sessions s ON s.team = x.team AND s.number = x.session"
        } else {
            ""
        }
    }
}

/// All of them. `sessions` first: what is derived again takes over whether its session is sealed.
pub(crate) const SEALED_COLUMNS: &[SealedColumn] = &[
    SealedColumn {
        table: "sessions",
        column: "metadata",
        keys: &[Key::Int("number")],
        row_id: "x.session_id",
    },
    SealedColumn {
        table: "transcripts",
        column: "last_line_hash",
        keys: &[Key::Int("session"), Key::Int("number")],
        row_id: "s.session_id || '/' || x.name",
    },
    SealedColumn { table: "projects", column: "details", keys: &[Key::Text("id")], row_id: "x.id" },
    SealedColumn { table: "repos", column: "details", keys: &[Key::Text("id")], row_id: "x.id" },
    SealedColumn { table: "labels", column: "label", keys: &[Key::Text("id")], row_id: "x.id" },
    SealedColumn {
        table: "file_changes",
        column: "path",
        keys: &[Key::Int("session"), Key::Int("ordinal"), Key::Int("n")],
        row_id: "s.session_id || '/' || x.ordinal || '/' || x.n",
    },
    SealedColumn {
        table: "sentiments",
        column: "signals",
        keys: &[Key::Int("session"), Key::Int("ordinal")],
        row_id: "s.session_id || '/' || x.ordinal || '/0'",
    },
    SealedColumn {
        table: "task_events",
        column: "event",
        keys: &[Key::Int("session"), Key::Int("ordinal"), Key::Text("kind"), Key::Int("n")],
        row_id: "x.kind || '/' || s.session_id || '/' || x.ordinal || '/' || x.n",
    },
    SealedColumn {
        table: "tasks",
        column: "details",
        keys: &[Key::Int("session"), Key::Text("task_id")],
        row_id: "s.session_id || '/' || x.task_id",
    },
    SealedColumn {
        table: "native_tasks",
        column: "details",
        keys: &[Key::Int("session"), Key::Text("task_id")],
        row_id: "s.session_id || '/' || x.task_id",
    },
    SealedColumn { table: "todos", column: "items", keys: &[Key::Int("session")], row_id: "s.session_id" },
];

/// A table of [`SEALED_COLUMNS`].
pub(crate) fn sealed_column(table: &str) -> Option<&'static SealedColumn> {
    SEALED_COLUMNS.iter().find(|column| column.table == table)
}
