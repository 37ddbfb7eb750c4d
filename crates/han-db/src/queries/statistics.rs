//! The planner's statistics of a new PostgreSQL database. Autovacuum makes them once a minute; until then PostgreSQL takes
//! every table for a small one, and reads whole teams where an index would find the row. Connections keep such plans
//! (docs/adr/0021) until there are statistics.

use sea_orm::ConnectionTrait as _;

use crate::{Db, DbError, Dialect};

/// Tables with fewer new rows than this are left to autovacuum, whose own threshold it is.
const FEW_ROWS: i64 = 50;

/// Makes the statistics of tables that have none and are not empty any more; returns their names. Tables that another
/// account owns are left out, and on SQLite all are: its plans do not depend on the sizes of tables.
pub async fn analyze_new(db: &Db) -> Result<Vec<String>, DbError> {
    if db.dialect() == Dialect::Sqlite {
        return Ok(Vec::new());
    }
    let tx = db.read_system("statistics.missing").await?;
    let sql = "SELECT format('%I.%I', t.schemaname, t.relname) AS name \
               FROM pg_stat_user_tables t JOIN pg_class c ON c.oid = t.relid \
               WHERE t.schemaname = current_schema() AND t.last_analyze IS NULL AND t.last_autoanalyze IS NULL \
               AND t.n_mod_since_analyze >= $1 AND pg_has_role(session_user, c.relowner, 'MEMBER') ORDER BY t.relname";
    let rows = tx.rows(sql, [FEW_ROWS.into()]).await?;
    drop(tx);
    let mut analyzed = Vec::new();
    for row in rows {
        let table: String = row.try_get("", "name")?;
        // As the owner: the roles of the server may not.
        db.writer().execute_unprepared(&format!("ANALYZE {table}")).await?;
        analyzed.push(table);
    }
    Ok(analyzed)
}
