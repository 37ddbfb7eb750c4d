//! Reading labels: the sealed names by which rollups and lists are grouped.

use std::collections::HashMap;

use sea_orm::FromQueryResult;

use crate::queries::ingest::derive::label_context;
use crate::{DbError, ScopedTx};

#[derive(FromQueryResult)]
struct LabelRow {
    id: String,
    sealed: bool,
    label: String,
}

/// The texts of labels by id; omits ids that are not the team's.
///
/// # Errors
/// If a label cannot be opened.
pub async fn by_ids<S: AsRef<str>>(
    tx: &ScopedTx,
    ids: impl IntoIterator<Item = S>,
) -> Result<HashMap<String, String>, DbError> {
    let mut ids: Vec<S> = ids.into_iter().collect();
    ids.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    ids.dedup_by(|a, b| a.as_ref() == b.as_ref());
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let dialect = tx.dialect();
    let sql = format!("SELECT id, sealed, label FROM labels WHERE team = $1 AND {}", dialect.is_any("id", 2));
    let rows: Vec<LabelRow> = tx.all(&sql, [tx.team(), dialect.list(ids)]).await?;
    let stored = rows.iter().map(|row| (row.sealed, row.label.as_str()));
    let keys = tx.keys_for(stored).await?;
    rows.into_iter()
        .map(|row| {
            let text = keys.open(row.sealed, label_context(&row.id), row.label)?;
            Ok((row.id, text))
        })
        .collect()
}
