//! What one subscriber hears: the process's change feed, narrowed in memory to the subscriber's team, until the
//! subscriber's right to it ends.

use std::sync::Arc;

use futures_util::stream::{self, Stream};
use han_db::Db;
use han_db::changes::{Change, DbChangeEvent};
use han_types::Scope;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::context::{Hearing, Op, RequestContext};
use crate::error::{ApiError, Result};

/// The table whose changes are told to clients.
const SESSIONS: &str = "sessions";

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// A session of the team changed.
    Session(Arc<Change>),
    /// Events were missed.
    Missed,
}

/// One subscriber's end of the feed.
pub(crate) struct Feed {
    events: broadcast::Receiver<DbChangeEvent>,
    has_missed: bool,
    caller: RequestContext,
    db: Db,
}

impl Feed {
    pub(crate) fn new(events: broadcast::Receiver<DbChangeEvent>, caller: RequestContext, db: Db) -> Self {
        let has_missed = matches!(caller.hearing(), Hearing::AfterMiss);
        Self { events, has_missed, caller, db }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// The subscriber's scope. A subscriber of nobody's team hears nothing, so there is always one when there is
    /// something to load.
    pub(crate) fn scope(&self) -> Result<&Scope> {
        self.caller.scope().ok_or(ApiError::Unauthenticated)
    }

    /// A fresh operation: each event sees the database as it is then, and holds no transaction after it.
    pub(crate) fn operation(&self) -> Result<Op> {
        Ok(self.caller.operation(&self.db, self.scope()?))
    }

    /// The next event that concerns the subscriber; `None` once the server stops.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` once the right to it has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>> {
        if std::mem::take(&mut self.has_missed) {
            self.recheck().await?;
            return Ok(Some(Heard::Missed));
        }
        loop {
            let event = self.receive().await?;
            self.check_expiry()?;
            let heard = match event {
                Ok(DbChangeEvent::Change(change)) if change.table == SESSIONS && self.is_own(&change) => {
                    Heard::Session(change)
                }
                Ok(DbChangeEvent::Change(_)) => continue,
                // Before anything later is told: what follows may be no longer theirs.
                Ok(DbChangeEvent::Access(user_id)) => {
                    match self.caller.hearing() {
                        Hearing::Shared(all) => all.tell_access(user_id),
                        _ if *user_id == self.caller.actor().user_id => self.recheck().await?,
                        _ => {}
                    }
                    continue;
                }
                Ok(DbChangeEvent::Resync) | Err(RecvError::Lagged(_)) => {
                    // A change to people or keys may be among what was missed.
                    match self.caller.hearing() {
                        Hearing::Shared(all) => all.tell_missed(),
                        _ => self.recheck().await?,
                    }
                    Heard::Missed
                }
                Err(RecvError::Closed) => return Ok(None),
            };
            return Ok(Some(heard));
        }
    }

    async fn receive(&mut self) -> Result<Result<DbChangeEvent, RecvError>> {
        match self.caller.live().cloned() {
            None => Ok(self.events.recv().await),
            Some(mut live) => tokio::select! {
                biased;
                () = live.ended() => Err(ApiError::Unauthenticated),
                event = self.events.recv() => Ok(event),
            },
        }
    }

    fn is_own(&self, change: &Change) -> bool {
        self.caller.scope().is_some_and(|scope| *scope.team_id() == change.team_id)
    }

    fn check_expiry(&self) -> Result<()> {
        let shared = matches!(self.caller.hearing(), Hearing::Shared(_));
        if !shared && self.caller.has_expired(self.db.clock().now()) {
            return Err(ApiError::Unauthenticated);
        }
        Ok(())
    }

    async fn recheck(&self) -> Result<()> {
        if self.caller.still_holds().await { Ok(()) } else { Err(ApiError::Unauthenticated) }
    }
}

/// Makes a subscription's payloads of what a feed tells.
pub(crate) trait Source: Send {
    /// The payload.
    type Item: Send;

    /// The next payload; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>>> + Send;
}

/// The stream of a source's payloads, which its first error ends.
pub(crate) fn until_error<S: Source>(source: S) -> impl Stream<Item = Result<S::Item>> + Send + use<S> {
    stream::unfold(Some(source), |source| async move {
        let mut source = source?;
        match source.next().await {
            Ok(Some(item)) => Some((Ok(item), Some(source))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}
