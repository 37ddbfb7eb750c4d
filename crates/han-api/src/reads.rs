//! The one read-only transaction of an operation, which its fields and its loaders share.

use han_db::{Db, ScopedTx};
use han_types::Scope;
use tokio::sync::OnceCell;

use crate::error::Result;

/// A transaction that the first read opens.
pub(crate) struct Reads {
    db: Db,
    scope: Scope,
    tx: OnceCell<ScopedTx>,
}

impl Reads {
    pub(crate) fn new(db: Db, scope: Scope) -> Self {
        Self { db, scope, tx: OnceCell::new() }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The operation's transaction, opened by the first read.
    pub(crate) async fn tx(&self) -> Result<&ScopedTx> {
        Ok(self.tx.get_or_try_init(|| self.db.read(&self.scope, "graphql.operation")).await?)
    }
}
