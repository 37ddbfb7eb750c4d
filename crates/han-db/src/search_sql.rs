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
    pub transcript: String,
    pub uuid: String,
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
            "SELECT t.session_id, t.transcript, t.uuid, t.at FROM search_fts JOIN search_terms t ON t.id = search_fts.rowid \
             WHERE search_fts MATCH ${n} AND t.team_id = $11 AND t.parts {parts} AND ($1 IS NULL OR t.session_id = $1)"
        )
    };
    let mut each = Vec::new();
    for term in terms {
        values.push(term.as_str().into());
        // A line counts once for each term, whichever of its rows hold it.
        each.push(format!("SELECT DISTINCT * FROM ({})", found("> 1", values.len())));
    }
    format!(
        "WITH found AS ({} UNION ALL SELECT session_id, transcript, uuid, at FROM ({}) \
           GROUP BY session_id, transcript, uuid, at HAVING count(*) = {}) \
         SELECT f.session_id, f.transcript, f.uuid, f.at FROM found f \
         JOIN sessions s ON s.team_id = $11 AND s.session_id = f.session_id \
         WHERE ($2 IS NULL OR s.project_id = $2) AND ($3 IS NULL OR s.user_id = $3) \
           AND ($4 IS NULL OR f.at >= $4) AND ($5 IS NULL OR f.at < $5) \
           AND ($6 IS NULL OR (f.at, f.session_id, f.transcript, f.uuid) < ($6, $7, $8, $9)) \
         ORDER BY f.at DESC, f.session_id DESC, f.transcript DESC, f.uuid DESC LIMIT $10",
        found("= 1", 12),
        each.join(" UNION ALL "),
        terms.len()
    )
}

/// Stores the terms of lines of one session.
pub(crate) async fn insert_terms(
    tx: &SystemTx,
    team: &str,
    session: &str,
    rows: &[Terms],
) -> Result<(), DbError> {
    let texts = |value: fn(&Terms) -> &String| rows.iter().map(|row| value(row).clone()).collect::<Vec<_>>();
    let ints = |value: fn(&Terms) -> i64| rows.iter().map(value).collect::<Vec<_>>();
    let mut insert = BulkInsert {
        table: "search_terms",
        constants: vec![("team_id", team.into()), ("session_id", session.into())],
        columns: vec![
            Column::Text("transcript", texts(|row| &row.transcript)),
            Column::Text("uuid", texts(|row| &row.uuid)),
            Column::Int("part", ints(|row| row.part)),
            Column::Int("parts", ints(|row| row.parts)),
            Column::Int("at", ints(|row| row.at)),
        ],
        on_conflict: "(team_id, session_id, transcript, uuid, part) DO NOTHING",
        returning: "",
    };
    if tx.dialect() == Dialect::Postgres {
        insert.columns.push(Column::Terms("terms", texts(|row| &row.terms)));
        insert.run(tx).await?;
        return Ok(());
    }
    insert.returning = "id, transcript, uuid, part";
    let terms: HashMap<(&str, &str, i64), &String> =
        rows.iter().map(|row| ((row.transcript.as_str(), row.uuid.as_str(), row.part), &row.terms)).collect();
    for row in insert.run(tx).await? {
        let (transcript, uuid): (String, String) = (row.try_get("", "transcript")?, row.try_get("", "uuid")?);
        let id: i64 = row.try_get("", "id")?;
        if let Some(terms) = terms.get(&(transcript.as_str(), uuid.as_str(), row.try_get("", "part")?)) {
            let values = [id.into(), terms.as_str().into()];
            tx.execute("INSERT INTO search_fts (rowid, terms) VALUES ($1, $2)", values).await?;
        }
    }
    Ok(())
}
