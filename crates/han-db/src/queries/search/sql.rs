//! The search index as each database stores it: a `bigint[]` with a GIN index on PostgreSQL, FTS5 on SQLite. What the terms
//! are and which segments are read is in the modules beside.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::Value;

use super::index::Terms;
use super::{Candidate, Within};
use crate::bulk_insert::{BulkInsert, Column};
use crate::dialect::Dialect;
use crate::tx::SystemTx;
use crate::{DbError, ScopedTx};

/// The segments that hold all `terms` and may have lines `within` the filter and at or before `until`, by their last line,
/// newest first; those after `after`, at most `limit`.
pub(super) async fn candidates(
    tx: &ScopedTx,
    terms: &[i64],
    within: &Within,
    until: Option<i64>,
    after: Option<&Candidate>,
    limit: usize,
) -> Result<Vec<Candidate>, DbError> {
    let dialect = tx.dialect();
    let mut values: Vec<Value> = vec![
        within.session_id.clone().into(),
        match &within.project_ids {
            Some(ids) => dialect.list(ids),
            None => dialect.no_list(),
        },
        within.user_id.clone().into(),
        within.from.into(),
        within.to.into(),
        until.into(),
        after.map(|after| after.last_at).into(),
        after.map(|after| i64::from(after.session)).into(),
        after.map(|after| i64::from(after.transcript)).into(),
        after.map(|after| i64::from(after.first_ordinal)).into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    let sql = match dialect {
        Dialect::Postgres => {
            values.push(dialect.number_list(terms.iter().copied()));
            "SELECT * FROM han_search($12, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        }
        Dialect::Sqlite => {
            values.push(tx.team());
            let tokens: Vec<String> = terms.iter().map(|term| format!("\"{}\"", token(*term))).collect();
            values.push(tokens.join(" AND ").into());
            SQLITE_CANDIDATES
        }
    };
    tx.all(sql, values).await
}

/// What `han_search` does on PostgreSQL; `$12` is the team, `$13` the terms. `CROSS JOIN` makes SQLite begin with the index of
/// terms (sqlite.org/optoverview.html, manual control of query plans using `CROSS JOIN`).
const SQLITE_CANDIDATES: &str = "SELECT t.session, t.transcript, t.first_ordinal, t.last_at, g.bytes \
     FROM search_fts CROSS JOIN search_terms t ON t.id = search_fts.rowid \
     CROSS JOIN sessions s ON s.team = $12 AND s.number = t.session \
     CROSS JOIN segments g ON g.team = $12 AND g.session = t.session AND g.transcript = t.transcript \
       AND g.first_ordinal = t.first_ordinal \
     WHERE search_fts MATCH $13 AND t.team = $12 AND ($1 IS NULL OR s.session_id = $1) \
       AND ($2 IS NULL OR s.project_id IN (SELECT value FROM json_each($2))) AND ($3 IS NULL OR s.user_id = $3) \
       AND ($4 IS NULL OR t.last_at >= $4) AND ($5 IS NULL OR t.first_at < $5) \
       AND ($6 IS NULL OR t.first_at <= $6) \
       AND ($7 IS NULL OR (t.last_at, t.session, t.transcript, t.first_ordinal) < ($7, $8, $9, $10)) \
     ORDER BY t.last_at DESC, t.session DESC, t.transcript DESC, t.first_ordinal DESC LIMIT $11";

/// A term as FTS5 stores it: base64url (RFC 4648) of its eight bytes, big-endian.
fn token(term: i64) -> String {
    URL_SAFE_NO_PAD.encode(term.to_be_bytes())
}

/// Terms as the text of PostgreSQL's `bigint[]`.
fn array(terms: &[i64]) -> String {
    let mut text = String::with_capacity(terms.len() * 21 + 1);
    for term in terms {
        text.push(if text.is_empty() { '{' } else { ',' });
        // Writing to a text does not fail.
        let _ = write!(text, "{term}");
    }
    text.push('}');
    text
}

/// Stores the terms of segments of one session. `session` has the numbers of its team and itself. Those of segments that
/// have some are left.
pub(crate) async fn insert_terms(tx: &SystemTx, session: &[Value; 2], rows: &[Terms]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let ints = |value: fn(&Terms) -> i64| rows.iter().map(value).collect::<Vec<_>>();
    let [team, number] = session.clone();
    let mut insert = BulkInsert {
        table: "search_terms",
        constants: vec![("team", team), ("session", number)],
        columns: vec![
            Column::Int("transcript", ints(|row| row.transcript.into())),
            Column::Int("first_ordinal", ints(|row| row.first_ordinal)),
            Column::Int("first_at", ints(|row| row.first_at)),
            Column::Int("last_at", ints(|row| row.last_at)),
        ],
        on_conflict: "(team, session, transcript, first_ordinal) DO NOTHING",
        returning: "",
    };
    if tx.dialect() == Dialect::Postgres {
        insert.columns.push(Column::IntArrays("terms", rows.iter().map(|row| array(&row.terms)).collect()));
        insert.run(tx).await?;
        return Ok(());
    }
    insert.returning = "id, transcript, first_ordinal";
    let terms: HashMap<(i16, i64), &[i64]> =
        rows.iter().map(|row| ((row.transcript, row.first_ordinal), &row.terms[..])).collect();
    for row in insert.run(tx).await? {
        let id: i64 = row.try_get("", "id")?;
        let key = (row.try_get("", "transcript")?, row.try_get("", "first_ordinal")?);
        if let Some(terms) = terms.get(&key) {
            let tokens: Vec<String> = terms.iter().copied().map(token).collect();
            let values = [id.into(), tokens.join(" ").into()];
            tx.execute("INSERT INTO search_fts (rowid, terms) VALUES ($1, $2)", values).await?;
        }
    }
    Ok(())
}
