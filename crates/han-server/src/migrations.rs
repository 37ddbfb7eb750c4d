//! When the schema is brought up to date, and what a server refuses to serve on. The migrations themselves are
//! han-db's.

use han_db::{Db, DbError};

/// Brings the schema up to date where that is allowed, then checks that it is this program's and that transactions
/// are bound to their team, and that the KEKs of all teams' keys are at hand.
pub(crate) async fn prepare(db: &Db, may_migrate: bool) -> Result<(), DbError> {
    if may_migrate {
        apply(db).await?;
    }
    db.check_ready().await?;
    db.check_keks().await
}

/// Applies what is missing and says how many migrations that were.
pub(crate) async fn apply(db: &Db) -> Result<usize, DbError> {
    let applied = db.migrate().await?;
    if applied > 0 {
        tracing::info!(applied, "the database's schema is up to date");
    }
    Ok(applied)
}
