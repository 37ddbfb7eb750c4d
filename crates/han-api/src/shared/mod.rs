//! Subscriptions that many hold alike: who may see the same and asks the same gets the same answers, and they are made
//! once. Each who listens looks after their own rights: an answer is passed on only while their credential lasts, and
//! what may have changed somebody's rights stands between the answers, in the order in which it happened.

mod line;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_graphql::{Request, Response, Variables};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use han_db::Db;
use han_types::{Capabilities, Role, TeamId};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::context::RequestContext;
use crate::error::{self, ApiError};
use crate::schema::HanSchema;
use line::{Ending, Kept, Reader, Told, written};

pub(crate) use line::Announcer;
pub use line::SharedAnswer;

/// An operation that has begun.
pub enum Begun {
    /// A query or a mutation, which is still to be run.
    Query(Box<Request>),
    /// A subscription that nobody can share: it loads what it needs as it is polled, so it wants a task of its own,
    /// which does not wait for a client while it holds what others may need.
    Own(BoxStream<'static, Response>),
    /// Answers as JSON. Polling it loads nothing.
    Shared(BoxStream<'static, SharedAnswer>),
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query(_) => "Query",
            Self::Own(_) => "Own",
            Self::Shared(_) => "Shared",
        })
    }
}

/// What an answer depends on. What a subscription shows is a team's, not a person's: its types name nobody who asks
/// (a test holds them to it), so members of one role share.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    team_id: TeamId,
    /// As it was when the caller was let in, like everything else that they are shown.
    team_name: Option<Arc<str>>,
    role: Role,
    capabilities: Capabilities,
    query: String,
    operation_name: Option<String>,
    variables: String,
}

impl Question {
    /// `None` for whoever may not read, or has no team to read of.
    pub(crate) fn of(request: &Request, caller: &RequestContext) -> Option<Self> {
        let scope = caller.readable().ok().flatten()?;
        Some(Self {
            team_id: scope.team_id().clone(),
            team_name: caller.team_name().cloned(),
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

/// The subscriptions of a schema that are open.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Registry>);

struct Registry {
    db: Db,
    hubs: Mutex<HashMap<Arc<Question>, Weak<Hub>>>,
    kept: Arc<Kept>,
}

impl Shared {
    pub(crate) fn new(db: Db) -> Self {
        Self(Arc::new(Registry { db, hubs: Mutex::default(), kept: Arc::default() }))
    }

    /// The same over the same database, with nothing open yet.
    #[cfg(feature = "team")]
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.0.db.clone())
    }

    /// Listens to a subscription to the same, where one is open.
    pub(crate) fn listen(
        &self,
        question: &Question,
        caller: &Arc<RequestContext>,
    ) -> Option<BoxStream<'static, SharedAnswer>> {
        // Lets go of the lock first: the last who holds a hub takes it off this list.
        let hub = lock(&self.0.hubs).get(question)?.upgrade()?;
        let reader = hub.line.reader()?;
        Some(hub.stream(reader, Arc::clone(caller)))
    }

    /// Opens a subscription, and listens to it. Where another one to the same is opened meanwhile, later listeners
    /// join either.
    pub(crate) fn open(
        &self,
        schema: &HanSchema,
        question: Question,
        request: Request,
        caller: &Arc<RequestContext>,
    ) -> BoxStream<'static, SharedAnswer> {
        let line = Announcer::new(question.team_id.clone(), Arc::clone(&self.0.kept));
        let Some(reader) = line.reader() else { return stream::empty().boxed() };
        let mut answers = schema.execute_stream(request.data(caller.shared(line.clone())), None);
        // It hears from here on.
        let first = answers.next().now_or_never();
        let task = tokio::spawn({
            let answers = match first {
                Some(first) => stream::iter(first).chain(answers).boxed(),
                None => answers,
            };
            // It belongs to no request.
            let span = tracing::info_span!(parent: None, "subscription", team = %question.team_id);
            let line = EndsLost(line.clone());
            async move { tell_all(answers, &line.0).await }.instrument(span)
        });
        let (schema, registry, question) = (schema.clone(), Arc::clone(&self.0), Arc::new(question));
        let hub = Arc::new(Hub { question: Arc::clone(&question), schema, registry, line, task });
        lock(&self.0.hubs).insert(question, Arc::downgrade(&hub));
        hub.stream(reader, Arc::clone(caller))
    }
}

/// Tells listeners at its end that nothing comes any more, whatever ends it.
struct EndsLost(Announcer);

impl Drop for EndsLost {
    fn drop(&mut self) {
        self.0.tell_end(Ending::Lost);
    }
}

async fn tell_all(mut answers: BoxStream<'static, Response>, line: &Announcer) {
    let mut ending = Ending::Stopped;
    while let Some(answer) = answers.next().await {
        let failed = !answer.errors.is_empty();
        let Some(text) = written(&answer) else { return };
        drop(answer);
        line.tell_answer(text, failed);
        ending = if failed { Ending::Failed } else { Ending::Stopped };
        line.room().await;
        // What many answers are made of may be at hand already: others want the thread, too.
        tokio::task::coop::consume_budget().await;
    }
    line.tell_end(ending);
}

/// An open subscription, which ends when nobody listens any more.
struct Hub {
    question: Arc<Question>,
    schema: HanSchema,
    registry: Arc<Registry>,
    line: Announcer,
    task: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
        let mut hubs = lock(&self.registry.hubs);
        // Another one may have taken its place.
        if hubs.get(&self.question).is_some_and(|hub| hub.strong_count() == 0) {
            hubs.remove(&self.question);
        }
    }
}

impl Hub {
    fn stream(
        self: Arc<Self>,
        reader: Reader,
        caller: Arc<RequestContext>,
    ) -> BoxStream<'static, SharedAnswer> {
        let listener = Listener { hub: self, reader, caller, heard_failure: false };
        stream::unfold(Some(listener), |listener| async move {
            let mut listener = listener?;
            let (answer, goes_on) = listener.next().await?;
            Some((answer, goes_on.then_some(listener)))
        })
        .boxed()
    }
}

/// One who listens.
struct Listener {
    hub: Arc<Hub>,
    reader: Reader,
    caller: Arc<RequestContext>,
    /// Whether the last answer that was passed on told of an error.
    heard_failure: bool,
}

impl Listener {
    /// The next answer, and whether others may follow.
    async fn next(&mut self) -> Option<(SharedAnswer, bool)> {
        loop {
            let told = match self.caller.live().cloned() {
                None => self.reader.next().await,
                Some(mut live) => tokio::select! {
                    biased;
                    () = live.ended() => return last(&ApiError::Unauthenticated),
                    told = self.reader.next() => told,
                },
            };
            if self.caller.has_expired(self.hub.registry.db.clock().now()) {
                return last(&ApiError::Unauthenticated);
            }
            match told {
                Told::Answer(answer) => {
                    let Some(text) = answer.text() else { return self.fell_behind().await };
                    self.heard_failure = answer.failed;
                    return Some((text, true));
                }
                Told::Access(user_id) if *user_id != self.caller.actor().user_id => {}
                Told::Access(_) | Told::Missed => {
                    if !self.still_holds().await {
                        return last(&ApiError::Unauthenticated);
                    }
                }
                Told::End(ending) => return self.end(ending),
            }
        }
    }

    /// Whoever was told why it ends needs no more.
    fn end(&self, ending: Ending) -> Option<(SharedAnswer, bool)> {
        match ending {
            Ending::Stopped => None,
            Ending::Failed if self.heard_failure => None,
            Ending::Failed | Ending::Lost => last(&ApiError::Resync),
        }
    }

    /// Reads the caller's rights again, on a task of its own: whoever polls this may be busy with a slow client
    /// while the database answers.
    async fn still_holds(&self) -> bool {
        let caller = Arc::clone(&self.caller);
        // Where that is lost, nobody can say that they hold.
        tokio::spawn(async move { caller.still_holds().await }.in_current_span()).await.unwrap_or(false)
    }

    /// What somebody is told who missed answers: whatever a subscription of their own says then.
    async fn fell_behind(&mut self) -> Option<(SharedAnswer, bool)> {
        self.heard_failure = false;
        // First, so that what comes while it is told is not missed, too.
        if let Some(ending) = self.reader.skip() {
            return self.end(ending);
        }
        let (hub, context) = (Arc::clone(&self.hub), self.caller.after_miss());
        let answer = tokio::spawn(
            async move {
                let request = hub.question.request().data(context);
                hub.schema.execute_stream(request, None).next().await
            }
            .in_current_span(),
        );
        match answer.await {
            Ok(Some(answer)) => Some((written(&answer)?, answer.errors.is_empty())),
            Ok(None) => None,
            Err(_) => last(&ApiError::Resync),
        }
    }
}

/// An error, which is the last answer.
fn last(error: &ApiError) -> Option<(SharedAnswer, bool)> {
    Some((written(&error::response(error))?, false))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
