//! What autovacuum, which looks once a minute, does too late on PostgreSQL.
//!
//! The planner's statistics of a new database: until there are some, PostgreSQL takes every table for a small one, and reads
//! whole teams where an index would find the row. Connections keep such plans (docs/adr/0021).
//!
//! The space of rows that merges have replaced: each push writes a segment, which a merge soon replaces, so that a minute of
//! pushes leaves more dead segments than there are others.

use sea_orm::{ConnectionTrait as _, Value};

use crate::{Db, DbError, Dialect};

/// Tables with fewer new rows than this are left to autovacuum, whose own threshold it is.
const FEW_ROWS: i64 = 50;

/// Tables with fewer dead rows than this, or than a tenth of the others, are left to autovacuum.
const FEW_DEAD_ROWS: i64 = 500;

/// Makes the statistics of tables that have none and are not empty any more; returns their names. Tables that another
/// account owns are left out, and on SQLite all are: its plans do not depend on the sizes of tables.
pub async fn analyze_new(db: &Db) -> Result<Vec<String>, DbError> {
    let condition = "t.last_analyze IS NULL AND t.last_autoanalyze IS NULL AND t.n_mod_since_analyze >= $1";
    for_each_owned(db, "ANALYZE", condition, FEW_ROWS).await
}

/// Frees the space of segments and search terms that merges have replaced, where it is much; returns the names of the
/// tables. Tables that another account owns are left out, and on SQLite all are: it uses free space at once.
pub async fn vacuum_replaced(db: &Db) -> Result<Vec<String>, DbError> {
    let condition = "t.relname IN ('segments', 'search_terms') AND t.n_dead_tup >= $1 \
                     AND t.n_dead_tup * 10 >= t.n_live_tup";
    // It neither waits for another vacuum nor stops readers to shorten the file.
    for_each_owned(db, "VACUUM (SKIP_LOCKED, TRUNCATE FALSE)", condition, FEW_DEAD_ROWS).await
}

/// Runs `statement` for the tables of the session's account that meet `condition`, whose `$1` is `value`; returns their
/// names.
async fn for_each_owned(
    db: &Db,
    statement: &str,
    condition: &str,
    value: i64,
) -> Result<Vec<String>, DbError> {
    if db.dialect() == Dialect::Sqlite {
        return Ok(Vec::new());
    }
    let tx = db.read_system("statistics.tables").await?;
    let sql = format!(
        "SELECT format('%I.%I', t.schemaname, t.relname) AS name \
         FROM pg_stat_user_tables t JOIN pg_class c ON c.oid = t.relid \
         WHERE t.schemaname = current_schema() AND {condition} \
         AND pg_has_role(session_user, c.relowner, 'MEMBER') ORDER BY t.relname"
    );
    let rows = tx.rows(&sql, [Value::from(value)]).await?;
    drop(tx);
    let mut done = Vec::new();
    for row in rows {
        let table: String = row.try_get("", "name")?;
        // As the owner: the roles of the server may not.
        db.writer().execute_unprepared(&format!("{statement} {table}")).await?;
        done.push(table);
    }
    Ok(done)
}
