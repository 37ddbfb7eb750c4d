//! Subscriptions that many hold alike: who may see the same and asks the same gets the same answers, and they are made
//! once. Each who listens looks after their own rights: an answer is passed on only while their credential lasts, and
//! what may have changed somebody's rights stands between the answers, in the order in which it happened.
//!
//! Answers stand in a list that grows at its end; every listener walks along it. Of the answers themselves only so many
//! bytes are kept for all lists together, so that whoever walks slowly finds them gone and is told what they would
//! have been told by a subscription of their own that fell behind.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use async_graphql::{Request, Response, Variables};
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use han_db::Db;
use han_types::{Role, TeamId, UserId};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::context::{Hearing, RequestContext};
use crate::error::{self, ApiError};
use crate::schema::HanSchema;

/// How many bytes of answers are kept for those who have yet to take them.
const KEPT_BYTES: usize = 16 << 20;

/// What keeping an answer costs besides its text, about.
const KEPT_OVERHEAD: usize = 64;

/// An operation that has begun.
pub enum Begun {
    /// A query or a mutation, which is still to be run.
    Query(Box<Request>),
    /// A subscription that nobody can share: it loads what it needs as it is polled, so it wants a task of its own,
    /// which does not wait for a client while it holds what others may need.
    Own(BoxStream<'static, Response>),
    /// Answers as JSON. Polling it loads nothing.
    Shared(BoxStream<'static, Arc<RawValue>>),
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
    role: Role,
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
            role: scope.role(),
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

    /// A subscription to the same that is open.
    pub(crate) fn find(&self, question: &Question) -> Option<Arc<Hub>> {
        // Let go of the lock first: the last who holds a hub takes it off this list.
        let hub = lock(&self.0.hubs).get(question)?.upgrade();
        hub.filter(|hub| hub.line.strong_count() > 0)
    }

    /// Opens a subscription, and listens to it. Where another one to the same is opened meanwhile, later listeners
    /// join either.
    pub(crate) fn open(
        &self,
        schema: &HanSchema,
        question: Question,
        request: Request,
        caller: &Arc<RequestContext>,
    ) -> BoxStream<'static, Arc<RawValue>> {
        let line = Announcer::new(Arc::clone(&self.0.kept));
        let context = caller.with_hearing(Hearing::Shared(line.clone()));
        let mut answers = schema.execute_stream(request.data(context), None);
        let reader = line.reader();
        let question = Arc::new(question);
        // It hears from here on.
        let first = answers.next().now_or_never();
        let weak = Arc::downgrade(&line.0);
        let task = tokio::spawn(async move {
            if let Some(first) = first {
                let Some(first) = first else { return };
                line.tell_answer(&first);
            }
            while let Some(answer) = answers.next().await {
                line.tell_answer(&answer);
            }
        });
        let (schema, registry) = (schema.clone(), Arc::clone(&self.0));
        let hub = Arc::new(Hub { question: Arc::clone(&question), schema, registry, line: weak, task });
        lock(&self.0.hubs).insert(question, Arc::downgrade(&hub));
        hub.stream(reader, Arc::clone(caller))
    }
}

/// An open subscription, which ends when nobody listens any more.
pub(crate) struct Hub {
    question: Arc<Question>,
    schema: HanSchema,
    registry: Arc<Registry>,
    /// Gone once the subscription has ended.
    line: Weak<Line>,
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
    /// The answers from now on.
    pub(crate) fn listen(self: Arc<Self>, caller: &Arc<RequestContext>) -> BoxStream<'static, Arc<RawValue>> {
        match self.line.upgrade() {
            Some(line) => {
                let reader = Announcer(line).reader();
                self.stream(reader, Arc::clone(caller))
            }
            None => stream::empty().boxed(),
        }
    }

    fn stream(
        self: Arc<Self>,
        reader: Reader,
        caller: Arc<RequestContext>,
    ) -> BoxStream<'static, Arc<RawValue>> {
        let listener = Listener { hub: self, reader, caller };
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
}

impl Listener {
    /// The next answer, and whether others may follow.
    async fn next(&mut self) -> Option<(Arc<RawValue>, bool)> {
        loop {
            let told = match self.caller.live().cloned() {
                None => self.reader.next().await,
                Some(mut live) => tokio::select! {
                    biased;
                    () = live.ended() => return ended(),
                    told = self.reader.next() => told,
                },
            }?;
            if self.caller.has_expired(self.hub.registry.db.clock().now()) {
                return ended();
            }
            match told {
                Told::Answer(answer) => match answer.upgrade() {
                    Some(answer) => return Some((answer, true)),
                    None => return self.fell_behind().await,
                },
                Told::Access(user_id) if *user_id != self.caller.actor().user_id => {}
                Told::Access(_) | Told::Missed => {
                    if !self.still_holds().await {
                        return ended();
                    }
                }
            }
        }
    }

    /// Reads the caller's rights again, on a task of its own: whoever polls this may be busy with a slow client
    /// while the database answers.
    async fn still_holds(&self) -> bool {
        let caller = Arc::clone(&self.caller);
        // Where that is lost, nobody can say that they hold.
        tokio::spawn(async move { caller.still_holds().await }).await.unwrap_or(false)
    }

    /// What somebody is told who missed answers: whatever a subscription of their own says then.
    async fn fell_behind(&mut self) -> Option<(Arc<RawValue>, bool)> {
        // First, so that what comes while it is told is not missed, too.
        self.reader.skip_to_end();
        let context = self.caller.with_hearing(Hearing::AfterMiss);
        let mut answers = self.hub.schema.execute_stream(self.hub.question.request().data(context), None);
        let answer = tokio::spawn(async move { answers.next().await }).await.ok()??;
        Some((text(&answer)?, answer.errors.is_empty()))
    }
}

fn ended() -> Option<(Arc<RawValue>, bool)> {
    Some((text(&error::response(&ApiError::Unauthenticated))?, false))
}

fn text(answer: &Response) -> Option<Arc<RawValue>> {
    match to_raw_value(answer) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            None
        }
    }
}

/// Where a subscription tells all who listen.
#[derive(Clone)]
pub(crate) struct Announcer(Arc<Line>);

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Announcer")
    }
}

/// The end of the list, and who waits there.
struct Line {
    last: Mutex<Arc<Node>>,
    grown: watch::Sender<()>,
    kept: Arc<Kept>,
}

impl Announcer {
    fn new(kept: Arc<Kept>) -> Self {
        let last = Mutex::new(Arc::new(Node { told: Told::Missed, next: OnceLock::new() }));
        Self(Arc::new(Line { last, grown: watch::Sender::new(()), kept }))
    }

    fn reader(&self) -> Reader {
        Reader { at: Arc::clone(&lock(&self.0.last)), grown: self.0.grown.subscribe() }
    }

    /// That a right of this person's may have changed.
    pub(crate) fn tell_access(&self, user_id: Arc<UserId>) {
        self.tell(Told::Access(user_id));
    }

    /// That something was missed, among which changes of rights may have been.
    pub(crate) fn tell_missed(&self) {
        self.tell(Told::Missed);
    }

    fn tell_answer(&self, answer: &Response) {
        if let Some(text) = text(answer) {
            self.tell(Told::Answer(Arc::downgrade(&text)));
            self.0.kept.keep(text);
        }
    }

    fn tell(&self, told: Told) {
        let node = Arc::new(Node { told, next: OnceLock::new() });
        let mut last = lock(&self.0.last);
        // Only who holds the lock sets it.
        let _ = last.next.set(Arc::clone(&node));
        *last = node;
        drop(last);
        self.0.grown.send_replace(());
    }
}

#[derive(Clone)]
enum Told {
    Answer(Weak<RawValue>),
    Access(Arc<UserId>),
    Missed,
}

/// A place in the list. What lies before the slowest listener is gone by itself.
struct Node {
    told: Told,
    next: OnceLock<Arc<Node>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after another: a long list must not take down the stack.
        let mut next = self.next.take();
        while let Some(node) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.next.take());
        }
    }
}

struct Reader {
    at: Arc<Node>,
    grown: watch::Receiver<()>,
}

impl Reader {
    /// What was told next; `None` at the end. It loses nothing where it is not awaited to its end.
    async fn next(&mut self) -> Option<Told> {
        let mut more = true;
        loop {
            if let Some(next) = self.at.next.get().map(Arc::clone) {
                self.at = next;
                return Some(self.at.told.clone());
            }
            if !more {
                return None;
            }
            // Something may have been told just before the end.
            more = self.grown.changed().await.is_ok();
        }
    }

    fn skip_to_end(&mut self) {
        while let Some(next) = self.at.next.get().map(Arc::clone) {
            self.at = next;
        }
    }
}

/// The answers of all lists that are kept, the oldest first.
#[derive(Default)]
struct Kept(Mutex<(VecDeque<Arc<RawValue>>, usize)>);

impl Kept {
    fn keep(&self, answer: Arc<RawValue>) {
        let mut kept = lock(&self.0);
        let (answers, bytes) = &mut *kept;
        *bytes += answer.get().len() + KEPT_OVERHEAD;
        answers.push_back(answer);
        while *bytes > KEPT_BYTES && answers.len() > 1 {
            *bytes -= answers.pop_front().map_or(0, |answer| answer.get().len() + KEPT_OVERHEAD);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
