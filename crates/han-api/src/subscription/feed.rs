//! The events of one subscriber: the change feed of the process, filtered in memory to the subscriber's team, until the
//! subscriber's access ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use han_db::Db;
use han_db::changes::{Change, DbChangeEvent};
use han_db::queries::sessions;
use han_types::{Scope, SessionId, TeamId};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::context::{AuthMode, Op, RequestContext};
use crate::error::{ApiError, Result};

/// The table whose changes clients receive.
const SESSIONS: &str = "sessions";

/// How long after a load that could not reach the database it is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// An event of the feed.
#[derive(Clone, Debug)]
pub(crate) enum FeedEvent<T = Arc<Change>> {
    /// Something of the team changed: a session, unless another type says otherwise.
    Changed(T),
    /// Events were missed.
    Missed,
}

/// A kind of change that subscriptions receive.
pub(crate) trait Wanted: Sized {
    /// The change of an event, with the team that it concerns; `None` for an event of another kind.
    fn of(event: &DbChangeEvent) -> Option<(&TeamId, &Self)>;
}

impl Wanted for Arc<Change> {
    fn of(event: &DbChangeEvent) -> Option<(&TeamId, &Self)> {
        match event {
            DbChangeEvent::Change(change) if change.table == SESSIONS => Some((&change.team_id, change)),
            _ => None,
        }
    }
}

/// The feed of one subscriber.
pub(crate) struct Feed {
    events: broadcast::Receiver<DbChangeEvent>,
    has_missed: bool,
    caller: RequestContext,
    db: Db,
}

impl Feed {
    pub(crate) fn new(events: broadcast::Receiver<DbChangeEvent>, caller: RequestContext, db: Db) -> Self {
        let has_missed = matches!(caller.auth_mode(), AuthMode::AfterMiss);
        Self { events, has_missed, caller, db }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// The subscriber's scope. A subscriber without a team receives no event, so where there is something to load, there
    /// is a scope.
    pub(crate) fn scope(&self) -> Result<&Scope> {
        self.caller.scope().ok_or(ApiError::Unauthenticated)
    }

    /// A new operation: each event reads the current state of the database and holds no transaction afterwards.
    pub(crate) fn operation(&self) -> Result<Op> {
        Ok(self.caller.operation(&self.db, self.scope()?, None))
    }

    /// The team whose changes the subscriber receives.
    #[cfg(feature = "team")]
    pub(crate) fn team_id(&self) -> Option<&TeamId> {
        self.caller.scope().map(Scope::team_id)
    }

    /// The next event of one kind that concerns the subscriber; `None` once the server stops.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` once the access has ended.
    pub(crate) async fn next<T: Wanted + Clone>(&mut self) -> Result<Option<FeedEvent<T>>> {
        if std::mem::take(&mut self.has_missed) {
            self.recheck().await?;
            return Ok(Some(FeedEvent::Missed));
        }
        loop {
            let event = self.receive().await?;
            self.check_expiry()?;
            let event = match event {
                Ok(event @ (DbChangeEvent::Change(_) | DbChangeEvent::Team(_))) => match T::of(&event) {
                    Some((team_id, change)) if self.is_own(team_id) => FeedEvent::Changed(change.clone()),
                    _ => continue,
                },
                // Checked before later events are delivered: the subscriber may have lost access to them.
                Ok(DbChangeEvent::Access(user_id)) => {
                    match self.caller.auth_mode() {
                        AuthMode::Shared(publisher) => publisher.publish_access(user_id),
                        _ if *user_id == self.caller.actor().user_id => self.recheck().await?,
                        _ => {}
                    }
                    continue;
                }
                Ok(DbChangeEvent::Resync) | Err(RecvError::Lagged(_)) => {
                    // A change to members or keys may be among the missed events.
                    match self.caller.auth_mode() {
                        AuthMode::Shared(publisher) => publisher.publish_missed(),
                        _ => self.recheck().await?,
                    }
                    FeedEvent::Missed
                }
                Err(RecvError::Closed) => return Ok(None),
            };
            return Ok(Some(event));
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

    /// Runs `load` until the database can be reached. Later events wait meanwhile; if too many come, the subscriber learns
    /// that it missed some. So an outage of the database delays a subscription, and never ends it.
    ///
    /// # Errors
    /// Those of `load`, except `UNAVAILABLE`; `UNAUTHENTICATED` once the access has ended.
    pub(crate) async fn until_available<T, F>(&self, load: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut pause = BACKOFF.0;
        loop {
            match load().await {
                Err(ApiError::Unavailable) => {}
                done => return done,
            }
            match self.caller.live().cloned() {
                None => tokio::time::sleep(pause).await,
                Some(mut live) => tokio::select! {
                    biased;
                    () = live.ended() => return Err(ApiError::Unauthenticated),
                    () = tokio::time::sleep(pause) => {}
                },
            }
            self.check_expiry()?;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// Checks that the subscriber's team has a session.
    ///
    /// # Errors
    /// `NOT_FOUND` if it has no such session.
    pub(crate) async fn check_session(&self, id: &SessionId) -> Result<()> {
        let unknown = || ApiError::NotFound("session");
        let scope = self.caller.scope().ok_or_else(unknown)?;
        let found = self
            .until_available(|| async {
                let tx = self.db.read(scope, "sessions.exists").await?;
                Ok(sessions::exists(&tx, id).await?)
            })
            .await?;
        found.then_some(()).ok_or_else(unknown)
    }

    fn is_own(&self, team_id: &TeamId) -> bool {
        self.caller.scope().is_some_and(|scope| scope.team_id() == team_id)
    }

    fn check_expiry(&self) -> Result<()> {
        let shared = matches!(self.caller.auth_mode(), AuthMode::Shared(_));
        if !shared && self.caller.has_expired(self.db.clock().now()) {
            return Err(ApiError::Unauthenticated);
        }
        Ok(())
    }

    async fn recheck(&self) -> Result<()> {
        if self.caller.still_holds().await { Ok(()) } else { Err(ApiError::Unauthenticated) }
    }
}

/// Turns the events of a feed into the payloads of a subscription.
pub(crate) trait Source: Send {
    /// The payload.
    type Item: Send;

    /// The next payload; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>>> + Send;
}

/// The payloads of a source as a stream, which ends after the first error. An event that could not be loaded, for whatever
/// reason, is an event that the subscriber missed.
pub(crate) fn until_error<S: Source>(source: S) -> impl Stream<Item = Result<S::Item>> + Send + use<S> {
    stream::unfold(Some(source), |source| async move {
        let mut source = source?;
        match source.next().await {
            Ok(Some(item)) => Some((Ok(item), Some(source))),
            Ok(None) => None,
            Err(ApiError::Internal | ApiError::ContentUnreadable | ApiError::TooMuch(_)) => {
                Some((Err(ApiError::Resync), None))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}
