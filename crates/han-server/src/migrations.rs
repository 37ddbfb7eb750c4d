//! When migrations run, and the checks of the database before serving. The migrations themselves are in han-db.

use han_db::{Db, DbError};

/// Migrates the schema if allowed, then checks that it is this program's, that row-level security binds transactions to
/// their team, and that this process has the KEKs of all team keys.
pub(crate) async fn prepare(db: &Db, may_migrate: bool) -> Result<(), DbError> {
    if may_migrate {
        apply(db).await?;
    }
    db.check_ready().await?;
    db.check_keks().await
}

/// Applies missing migrations; returns how many.
pub(crate) async fn apply(db: &Db) -> Result<usize, DbError> {
    let applied = db.migrate().await?;
    if applied > 0 {
        tracing::info!(applied, "the database schema was migrated");
    }
    Ok(applied)
}
