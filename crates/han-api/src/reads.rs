//! The one read-only transaction of an operation, which its fields and its loaders share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use han_db::entities::Message;
use han_db::{Db, DbError, ScopedTx, cpu};
use han_transcript::line_text;
use han_transcript::view::{self, ResultView};
use han_types::{MessageKey, Scope};
use tokio::sync::OnceCell;

use crate::error::{ApiError, Result};
use crate::meter::Meter;

/// Longer lines are read off the async threads.
const INLINE_BYTES: usize = 64 << 10;

/// What is read of a line is as large as so many copies of it: the line, and its texts and blocks.
const COPIES: usize = 2;

/// A transaction that the first read opens.
pub(crate) struct Reads {
    db: Db,
    scope: Scope,
    meter: Option<Arc<Meter>>,
    tx: OnceCell<ScopedTx>,
    results: ReadResults,
}

impl Reads {
    /// `meter` counts the lines that are read.
    pub(crate) fn new(db: Db, scope: Scope, meter: Option<Arc<Meter>>) -> Self {
        Self { db, scope, meter, tx: OnceCell::new(), results: ReadResults::default() }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The operation's transaction, opened by the first read.
    pub(crate) async fn tx(&self) -> Result<&ScopedTx> {
        Ok(self.tx.get_or_try_init(|| self.open()).await?)
    }

    async fn open(&self) -> Result<ScopedTx, DbError> {
        let tx = self.db.read(&self.scope, "graphql.operation").await?;
        Ok(match &self.meter {
            Some(meter) => {
                let meter = Arc::clone(meter);
                tx.with_room(move |bytes| meter.read(bytes))
            }
            None => tx,
        })
    }

    /// The results in lines that were read.
    pub(crate) fn results(&self) -> &ReadResults {
        &self.results
    }

    /// Reads a line of `bytes` bytes. That of a long one runs off the async threads.
    pub(crate) async fn line<T: Send + 'static>(
        &self,
        bytes: usize,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if let Some(meter) = &self.meter {
            meter.read(bytes.saturating_mul(COPIES)).map_err(ApiError::Busy)?;
        }
        if bytes <= INLINE_BYTES { Ok(read()) } else { Ok(cpu::run_queued("reading a line", read).await?) }
    }
}

/// What was read of lines with results: each is read once, however many calls it answers.
#[derive(Default)]
pub(crate) struct ReadResults {
    pub(crate) views: OfLines<Vec<ResultView>>,
    pub(crate) hunks: OfLines<Vec<view::Hunk>>,
}

/// Values of lines.
pub(crate) struct OfLines<T>(Mutex<HashMap<MessageKey, Arc<OnceCell<Arc<T>>>>>);

impl<T> Default for OfLines<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + Sync + 'static> OfLines<T> {
    pub(crate) async fn read(
        &self,
        reads: &Reads,
        line: &Arc<Message>,
        read: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<Arc<T>> {
        let bytes = line.body.as_ref().ok_or(ApiError::ContentUnreadable)?.len();
        let cell = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(line.key.clone()).or_default())
        };
        let line = Arc::clone(line);
        let read = move || Arc::new(read(&line_text(line.body.as_deref().unwrap_or_default())));
        cell.get_or_try_init(|| reads.line(bytes, read)).await.cloned()
    }
}
