//! Shared subscriptions: callers who may see the same data and ask the same question share one stream of responses
//! (docs/adr/0010). Each listener checks its own rights: it passes a response on only while its credential is valid, and
//! changes of rights are queued between the responses, in the order in which they happened.

pub(crate) mod queue;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use async_graphql::{Request, Response, Variables};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use han_db::queries::audit;
use han_db::{Db, DbError};
use han_types::{Capabilities, Role, TeamId};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::context::RequestContext;
use crate::error::{self, ApiError};
use crate::executor::Executor;
use crate::meter;
use queue::{BufferedBytes, Ending, Item, Publisher, QueueReader, SharedAnswer, lock, to_json};

/// An operation that `HanSchema::begin` has started.
pub enum StartedOperation {
    /// A query or a mutation, which the transport has yet to run.
    Query(Box<Request>),
    /// A subscription that is not shared. Polling it loads data, so poll it in its own task, which must not wait for a
    /// slow client while it holds what others may need.
    Own(BoxStream<'static, Response>),
    /// A subscription that does not select exactly one field: the response says so.
    Refused(Box<Response>),
    /// The responses of a shared subscription as JSON. Polling it loads nothing.
    Shared(BoxStream<'static, SharedAnswer>),
}

impl fmt::Debug for StartedOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query(_) => "Query",
            Self::Own(_) => "Own",
            Self::Refused(_) => "Refused",
            Self::Shared(_) => "Shared",
        })
    }
}

/// Everything that the responses of a subscription depend on. A subscription shows a team's data to any caller: its
/// types do not depend on the caller (a test enforces this), so members with one role share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SubscriptionKey {
    team_id: TeamId,
    role: Role,
    capabilities: Capabilities,
    query: String,
    operation_name: Option<String>,
    variables: String,
}

impl SubscriptionKey {
    /// `None` for a caller who may not read or has no team.
    pub(crate) fn of(request: &Request, caller: &RequestContext) -> Option<Self> {
        let scope = caller.readable().ok().flatten()?;
        Some(Self {
            team_id: scope.team_id().clone(),
            role: scope.role(),
            capabilities: caller.actor().capabilities,
            query: request.query.clone(),
            operation_name: request.operation_name.clone(),
            variables: serde_json::to_string(&request.variables).ok()?,
        })
    }

    fn request(&self) -> Request {
        let variables = serde_json::from_str(&self.variables).unwrap_or_default();
        let mut request = Request::new(&self.query).variables(Variables::from_json(variables));
        request.operation_name.clone_from(&self.operation_name);
        request
    }
}

/// The open shared subscriptions of a schema.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Registry>);

struct Registry {
    db: Db,
    executor: Executor,
    hubs: Mutex<HashMap<Arc<SubscriptionKey>, Weak<Hub>>>,
    buffered: Arc<BufferedBytes>,
}

impl Shared {
    pub(crate) fn new(db: Db, executor: Executor) -> Self {
        Self(Arc::new(Registry { db, executor, hubs: Mutex::default(), buffered: Arc::default() }))
    }

    /// Joins the open subscription with that key, if there is one.
    pub(crate) fn join(
        &self,
        key: &SubscriptionKey,
        caller: &Arc<RequestContext>,
    ) -> Option<BoxStream<'static, SharedAnswer>> {
        // The lock must be released before the hub can be dropped: the last holder of a hub removes it from this map.
        let hub = lock(&self.0.hubs).get(key)?.upgrade()?;
        let reader = hub.publisher.subscribe()?;
        Some(hub.stream(reader, Arc::clone(caller)))
    }

    /// Opens a subscription and joins it. If two callers open the same one at once, later ones join either.
    pub(crate) fn open(
        &self,
        key: SubscriptionKey,
        request: Request,
        caller: &Arc<RequestContext>,
    ) -> BoxStream<'static, SharedAnswer> {
        let publisher = Publisher::new(key.team_id.clone(), Arc::clone(&self.0.buffered));
        let Some(reader) = publisher.subscribe() else { return stream::empty().boxed() };
        let request = request.data(caller.shared(publisher.clone()));
        let mut responses = self.0.executor.execute_stream(request, None);
        // The first poll subscribes to the change feed.
        let first = responses.next().now_or_never();
        let task = tokio::spawn({
            let responses = match first {
                Some(first) => stream::iter(first).chain(responses).boxed(),
                None => responses,
            };
            // It belongs to no request.
            let span = tracing::info_span!(parent: None, "subscription", team = %key.team_id);
            let publisher = EndsLost(publisher.clone());
            let limit = self.0.executor.limits().response_bytes;
            async move { publish_all(responses, &publisher.0, limit).await }.instrument(span)
        });
        let (registry, key) = (Arc::clone(&self.0), Arc::new(key));
        let hub = Arc::new(Hub { key: Arc::clone(&key), registry, publisher, task });
        lock(&self.0.hubs).insert(key, Arc::downgrade(&hub));
        hub.stream(reader, Arc::clone(caller))
    }
}

/// Ends the queue when its task goes away, for whatever reason.
struct EndsLost(Publisher);

impl Drop for EndsLost {
    fn drop(&mut self) {
        self.0.publish_end(Ending::Lost);
    }
}

async fn publish_all(mut responses: BoxStream<'static, Response>, publisher: &Publisher, limit: usize) {
    let mut ending = Ending::Stopped;
    while let Some(response) = responses.next().await {
        let failed = !response.errors.is_empty();
        let text = Arc::new(meter::write_json(response, limit).await);
        publisher.publish_response(text, failed);
        ending = if failed { Ending::Failed } else { Ending::Stopped };
        publisher.wait_for_room().await;
        // Many responses may be ready at once; other tasks need the thread, too.
        tokio::task::coop::consume_budget().await;
    }
    publisher.publish_end(ending);
}

/// An open subscription. It ends when the last listener leaves.
struct Hub {
    key: Arc<SubscriptionKey>,
    registry: Arc<Registry>,
    publisher: Publisher,
    task: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
        let mut hubs = lock(&self.registry.hubs);
        // Another hub may have replaced this one.
        if hubs.get(&self.key).is_some_and(|hub| hub.strong_count() == 0) {
            hubs.remove(&self.key);
        }
    }
}

impl Hub {
    /// Records that a caller opens the session whose content is shown, in a task of its own.
    fn opening(&self, caller: &RequestContext) -> Option<JoinHandle<Result<(), DbError>>> {
        let (id, scope) = (self.publisher.session()?.clone(), caller.scope()?.clone());
        let db = self.registry.db.clone();
        let record = async move { audit::session_opened(&scope, &db, &id, None).await };
        Some(tokio::spawn(record.in_current_span()))
    }

    fn stream(
        self: Arc<Self>,
        reader: QueueReader,
        caller: Arc<RequestContext>,
    ) -> BoxStream<'static, SharedAnswer> {
        let opening = self.opening(&caller);
        let listener = Listener { hub: self, reader, caller, last_failed: false, opening };
        stream::unfold(Some(listener), |listener| async move {
            let mut listener = listener?;
            let (response, goes_on) = listener.next().await?;
            Some((response, goes_on.then_some(listener)))
        })
        .boxed()
    }
}

/// One caller's end of a shared subscription.
struct Listener {
    hub: Arc<Hub>,
    reader: QueueReader,
    caller: Arc<RequestContext>,
    /// Whether the last response that was passed on holds an error.
    last_failed: bool,
    /// The record that must be written before anything is passed on.
    opening: Option<JoinHandle<Result<(), DbError>>>,
}

impl Listener {
    /// The next response, and whether more may follow.
    async fn next(&mut self) -> Option<(SharedAnswer, bool)> {
        if let Some(opening) = self.opening.take() {
            match opening.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return last(&error.into()),
                Err(_) => return last(&ApiError::Internal),
            }
        }
        loop {
            let item = match self.caller.live().cloned() {
                None => self.reader.next().await,
                Some(mut live) => tokio::select! {
                    biased;
                    () = live.ended() => return last(&ApiError::Unauthenticated),
                    item = self.reader.next() => item,
                },
            };
            if self.caller.has_expired(self.hub.registry.db.clock().now()) {
                return last(&ApiError::Unauthenticated);
            }
            match item {
                Item::Response(response) => {
                    let Some(text) = response.text() else { return self.fell_behind().await };
                    self.last_failed = response.failed;
                    return Some((text, true));
                }
                Item::Access(user_id) if *user_id != self.caller.actor().user_id => {}
                Item::Access(_) | Item::Missed => {
                    if !self.still_holds().await {
                        return last(&ApiError::Unauthenticated);
                    }
                }
                Item::End(ending) => return self.end(ending),
            }
        }
    }

    /// A client that received the error needs no second one.
    fn end(&self, ending: Ending) -> Option<(SharedAnswer, bool)> {
        match ending {
            Ending::Stopped => None,
            Ending::Failed if self.last_failed => None,
            Ending::Failed | Ending::Lost => last(&ApiError::Resync),
        }
    }

    /// Reads the caller's rights again, in its own task: the task that polls this may be busy with a slow client while
    /// the database responds.
    async fn still_holds(&self) -> bool {
        let caller = Arc::clone(&self.caller);
        // If that task fails, the rights are unknown, which counts as none.
        tokio::spawn(async move { caller.still_holds().await }.in_current_span()).await.unwrap_or(false)
    }

    /// The response for a listener that missed some: what an unshared subscription sends then.
    async fn fell_behind(&mut self) -> Option<(SharedAnswer, bool)> {
        self.last_failed = false;
        // Skipping comes first: what is published while the response is made must not be missed, too.
        if let Some(ending) = self.reader.skip() {
            return self.end(ending);
        }
        let (hub, context) = (Arc::clone(&self.hub), self.caller.after_miss());
        let response = tokio::spawn(
            async move {
                let request = hub.key.request().data(context);
                hub.registry.executor.execute_stream(request, None).next().await
            }
            .in_current_span(),
        );
        match response.await {
            Ok(Some(response)) => {
                let limit = self.hub.registry.executor.limits().response_bytes;
                Some((to_json(&response, limit), response.errors.is_empty()))
            }
            Ok(None) => None,
            Err(_) => last(&ApiError::Resync),
        }
    }
}

/// An error as the last response.
fn last(error: &ApiError) -> Option<(SharedAnswer, bool)> {
    Some((to_json(&error::response(error), usize::MAX), false))
}
