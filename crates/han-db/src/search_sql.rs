//! The search index as each database stores it: a `tsvector` with a GIN index on PostgreSQL, FTS5 on SQLite. What the terms
//! are and which lines are read is in `queries::search`.

use std::collections::HashMap;

use sea_orm::Value;

use crate::DbError;
use crate::bulk_insert::{BulkInsert, Column};
use crate::dialect::Dialect;
use crate::tx::SystemTx;

/// A row of the index.
pub(crate) struct Terms {
    pub ordinal: i64,
    pub at: i64,
    pub part: i64,
    pub parts: i64,
    pub terms: String,
}

/// The statement that finds lines that hold all `terms`. `values` has its first ten parameters: the session, the project,
/// the user, the times from and to, the four parts of the cursor, the limit. The others are added.
pub(crate) fn candidates(dialect: Dialect, team: Value, terms: &[String], values: &mut Vec<Value>) -> String {
    match dialect {
        Dialect::Postgres => {
            values.push(dialect.list(terms));
            "SELECT session_id, transcript, uuid, at FROM han_search($11, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                .to_owned()
        }
        Dialect::Sqlite => {
            values.push(team);
            values.push(terms.join(" AND ").into());
            sqlite_candidates(terms, values)
        }
    }
}

/// What `han_search` does on PostgreSQL; `$11` is the team, `$12` the terms together, and from `$13` on each term.
fn sqlite_candidates(terms: &[String], values: &mut Vec<Value>) -> String {
    let found = |parts: &str, n: usize| {
        format!(
            "SELECT t.session, t.ordinal, t.at FROM search_fts JOIN search_terms t ON t.id = search_fts.rowid \
             WHERE search_fts MATCH ${n} AND t.team = $11 AND t.parts {parts} AND ($1 IS NULL OR t.session = \
             (SELECT number FROM sessions WHERE team = $11 AND session_id = $1))"
        )
    };
    let mut each = Vec::new();
    for term in terms {
        values.push(term.as_str().into());
        // A line counts once for each term, whichever of its rows hold it.
        each.push(format!("SELECT DISTINCT * FROM ({})", found("> 1", values.len())));
    }
    let uuid = sqlite_uuid();
    format!(
        "WITH found AS ({} UNION ALL SELECT session, ordinal, at FROM ({}) \
           GROUP BY session, ordinal, at HAVING count(*) = {}) \
         SELECT s.session_id, f.name AS transcript, {uuid} AS uuid, t.at FROM found t \
         JOIN sessions s ON s.team = $11 AND s.number = t.session \
         JOIN messages m ON m.team = $11 AND m.session = t.session AND m.ordinal = t.ordinal \
         JOIN transcripts f ON f.team = $11 AND f.session = m.session AND f.number = m.transcript \
         WHERE ($2 IS NULL OR s.project_id = $2) AND ($3 IS NULL OR s.user_id = $3) \
           AND ($4 IS NULL OR t.at >= $4) AND ($5 IS NULL OR t.at < $5) \
           AND ($6 IS NULL OR (t.at, s.session_id, f.name, {uuid}) < ($6, $7, $8, $9)) \
         ORDER BY t.at DESC, s.session_id DESC, f.name DESC, {uuid} DESC LIMIT $10",
        found("= 1", 12),
        each.join(" UNION ALL "),
        terms.len()
    )
}

/// The text of the uuid of the message `m`: what clients see, by which equal times are ordered.
fn sqlite_uuid() -> String {
    let part = |from: u32, length: u32| format!("substr(lower(hex(m.uuid)), {from}, {length})");
    let parts = [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)];
    format!("COALESCE(m.uuid_text, {})", parts.join(" || '-' || "))
}

/// Stores the terms of lines of one session. `session` has the numbers of its team and itself.
pub(crate) async fn insert_terms(tx: &SystemTx, session: &[Value; 2], rows: &[Terms]) -> Result<(), DbError> {
    let ints = |value: fn(&Terms) -> i64| rows.iter().map(value).collect::<Vec<_>>();
    let [team, number] = session.clone();
    let mut insert = BulkInsert {
        table: "search_terms",
        constants: vec![("team", team), ("session", number)],
        columns: vec![
            Column::Int("ordinal", ints(|row| row.ordinal)),
            Column::Int("part", ints(|row| row.part)),
            Column::Int("parts", ints(|row| row.parts)),
            Column::Int("at", ints(|row| row.at)),
        ],
        on_conflict: "(team, session, ordinal, part) DO NOTHING",
        returning: "",
    };
    if tx.dialect() == Dialect::Postgres {
        insert.columns.push(Column::Terms("terms", rows.iter().map(|row| row.terms.clone()).collect()));
        insert.run(tx).await?;
        return Ok(());
    }
    insert.returning = "id, ordinal, part";
    let terms: HashMap<(i64, i64), &String> =
        rows.iter().map(|row| ((row.ordinal, row.part), &row.terms)).collect();
    for row in insert.run(tx).await? {
        let id: i64 = row.try_get("", "id")?;
        if let Some(terms) = terms.get(&(row.try_get("", "ordinal")?, row.try_get("", "part")?)) {
            let values = [id.into(), terms.as_str().into()];
            tx.execute("INSERT INTO search_fts (rowid, terms) VALUES ($1, $2)", values).await?;
        }
    }
    Ok(())
}
