//! The queue of one shared subscription: a linked list that grows at its end and that every listener reads at its own
//! pace. A node is freed when the last listener has passed it, so while all keep up the queue is empty. What a slow
//! listener may leave waiting is bounded per queue, per team and in all. At the bound, the subscription waits a moment
//! and then drops the responses that were not taken.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_graphql::Response;
use han_types::{SessionId, TeamId, UserId};
use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::meter;

/// A response as JSON, shared by every listener.
pub type SharedAnswer = Arc<Box<RawValue>>;

/// How many responses of one queue may wait to be taken.
const QUEUE_RESPONSES: usize = 1_024;

/// How many bytes of responses may wait to be taken: in one queue whatever the others hold, in the queues of one team,
/// and in all.
const QUEUE_BYTES: usize = 4 << 10;
const TEAM_BYTES: usize = 4 << 20;
const ALL_BYTES: usize = 16 << 20;

/// How long a subscription with a full queue waits for its listeners: long enough for one that is only busy.
const PATIENCE: Duration = Duration::from_millis(250);

/// A response as JSON of at most `limit` bytes.
pub(super) fn to_json(response: &Response, limit: usize) -> SharedAnswer {
    Arc::new(meter::to_json(response, limit))
}

/// An entry of the queue.
#[derive(Clone)]
pub(super) enum Item {
    Response(Arc<QueuedResponse>),
    /// The rights of this user may have changed.
    Access(Arc<UserId>),
    /// Events were missed, and changes of rights may be among them.
    Missed,
    /// The last entry.
    End(Ending),
}

/// How a shared subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its stream ended: the server stops.
    Stopped,
    /// Its last response was an error.
    Failed,
    /// Its task is gone, for an unknown reason.
    Lost,
}

/// A response while it waits to be taken.
pub(super) struct QueuedResponse {
    text: Mutex<Option<SharedAnswer>>,
    bytes: usize,
    /// Whether it holds an error.
    pub(super) failed: bool,
    backlog: Arc<Backlog>,
}

impl QueuedResponse {
    /// Its text; `None` where it was dropped at the bound.
    pub(super) fn text(&self) -> Option<SharedAnswer> {
        lock(&self.text).clone()
    }

    fn discard(&self) {
        if lock(&self.text).take().is_some() {
            self.backlog.remove(self.bytes);
        }
    }
}

impl Drop for QueuedResponse {
    fn drop(&mut self) {
        self.discard();
    }
}

/// The writing end of a queue.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Queue>);

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publisher")
    }
}

struct Queue {
    tail: Mutex<Tail>,
    grown: watch::Sender<()>,
    backlog: Arc<Backlog>,
    /// The session whose content the responses show, if it is one.
    session: OnceLock<SessionId>,
}

struct Tail {
    last: Arc<Node>,
    has_ended: bool,
    /// The responses of the queue. Those at the front may have been freed.
    responses: VecDeque<Weak<QueuedResponse>>,
}

impl Publisher {
    pub(super) fn new(team_id: TeamId, buffered: Arc<BufferedBytes>) -> Self {
        let (responses, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let backlog = Backlog { team_id, buffered, responses, bytes, shrunk: Notify::new() };
        let tail = Tail { last: Arc::default(), has_ended: false, responses: VecDeque::new() };
        Self(Arc::new(Queue {
            tail: Mutex::new(tail),
            grown: watch::Sender::new(()),
            backlog: Arc::new(backlog),
            session: OnceLock::new(),
        }))
    }

    /// A reader of what is published from now on; `None` where the queue has ended.
    pub(super) fn subscribe(&self) -> Option<QueueReader> {
        let tail = lock(&self.0.tail);
        (!tail.has_ended).then(|| QueueReader { at: Arc::clone(&tail.last), grown: self.0.grown.subscribe() })
    }

    /// Says that the responses show the content of a session. To be called before the first response.
    pub(crate) fn shows(&self, id: &SessionId) {
        self.0.session.get_or_init(|| id.clone());
    }

    /// The session whose content the responses show, if it is one.
    pub(super) fn session(&self) -> Option<&SessionId> {
        self.0.session.get()
    }

    /// The rights of this user may have changed.
    pub(crate) fn publish_access(&self, user_id: Arc<UserId>) {
        self.push(Item::Access(user_id));
    }

    /// Events were missed, and changes of rights may be among them.
    pub(crate) fn publish_missed(&self) {
        self.push(Item::Missed);
    }

    pub(super) fn publish_response(&self, text: SharedAnswer, failed: bool) {
        let (bytes, backlog) = (text.get().len(), Arc::clone(&self.0.backlog));
        backlog.add(bytes);
        let response = QueuedResponse { text: Mutex::new(Some(text)), bytes, failed, backlog };
        self.push(Item::Response(Arc::new(response)));
    }

    /// Ends the queue. Only the first ending counts.
    pub(super) fn publish_end(&self, ending: Ending) {
        self.push(Item::End(ending));
    }

    fn push(&self, item: Item) {
        let mut tail = lock(&self.0.tail);
        if tail.has_ended {
            return;
        }
        match &item {
            Item::Response(response) => {
                while tail.responses.front().is_some_and(|response| response.strong_count() == 0) {
                    tail.responses.pop_front();
                }
                tail.responses.push_back(Arc::downgrade(response));
            }
            Item::End(_) => tail.has_ended = true,
            Item::Access(_) | Item::Missed => {}
        }
        let node = Arc::<Node>::default();
        let last = std::mem::replace(&mut tail.last, Arc::clone(&node));
        // It is unset: only the holder of the lock sets it, once per node.
        let _ = last.next.set((item, node));
        drop(tail);
        self.0.grown.send_replace(());
    }

    /// Waits until the queue has room for another response. After [`PATIENCE`], it drops the responses that wait, and
    /// their listeners find them gone.
    pub(super) async fn wait_for_room(&self) {
        let backlog = &self.0.backlog;
        if !backlog.is_full() {
            return;
        }
        let room = async {
            while backlog.is_full() {
                backlog.shrunk.notified().await;
            }
        };
        if timeout(PATIENCE, room).await.is_err() {
            let responses = std::mem::take(&mut lock(&self.0.tail).responses);
            for response in responses.iter().filter_map(Weak::upgrade) {
                response.discard();
            }
        }
    }
}

/// A position in the queue; `next` holds the item that follows it.
#[derive(Default)]
struct Node {
    next: OnceLock<(Item, Arc<Self>)>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // In a loop: recursion over a long queue would overflow the stack.
        let mut next = self.next.take();
        while let Some((_, node)) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.next.take());
        }
    }
}

/// The reading end of a queue, at one listener's position.
pub(super) struct QueueReader {
    at: Arc<Node>,
    grown: watch::Receiver<()>,
}

impl QueueReader {
    /// The next item; [`Item::End`] is the last. It is safe to cancel: no item is lost.
    pub(super) async fn next(&mut self) -> Item {
        loop {
            if let Some(item) = self.step() {
                return item;
            }
            if self.grown.changed().await.is_err() {
                return Item::End(Ending::Lost);
            }
        }
    }

    /// Skips all items up to now, and returns the ending if it is among them.
    pub(super) fn skip(&mut self) -> Option<Ending> {
        while let Some(item) = self.step() {
            if let Item::End(ending) = item {
                return Some(ending);
            }
        }
        None
    }

    fn step(&mut self) -> Option<Item> {
        let (item, node) = self.at.next.get()?;
        let (item, node) = (item.clone(), Arc::clone(node));
        self.at = node;
        Some(item)
    }
}

/// What waits in one queue.
struct Backlog {
    team_id: TeamId,
    buffered: Arc<BufferedBytes>,
    responses: AtomicUsize,
    bytes: AtomicUsize,
    shrunk: Notify,
}

impl Backlog {
    fn add(&self, bytes: usize) {
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.buffered.add(&self.team_id, bytes);
    }

    fn remove(&self, bytes: usize) {
        self.buffered.remove(&self.team_id, bytes);
        self.responses.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shrunk.notify_one();
    }

    fn is_full(&self) -> bool {
        let is_long = self.responses.load(Ordering::Relaxed) >= QUEUE_RESPONSES;
        is_long || self.bytes.load(Ordering::Relaxed) > QUEUE_BYTES && self.buffered.is_over(&self.team_id)
    }
}

/// The bytes that wait in all queues.
#[derive(Default)]
pub(super) struct BufferedBytes(Mutex<Bytes>);

#[derive(Default)]
struct Bytes {
    all: usize,
    teams: HashMap<TeamId, usize>,
}

impl BufferedBytes {
    fn add(&self, team_id: &TeamId, bytes: usize) {
        let mut buffered = lock(&self.0);
        buffered.all += bytes;
        *buffered.teams.entry(team_id.clone()).or_default() += bytes;
    }

    fn remove(&self, team_id: &TeamId, bytes: usize) {
        let mut buffered = lock(&self.0);
        buffered.all = buffered.all.saturating_sub(bytes);
        if let Entry::Occupied(mut team) = buffered.teams.entry(team_id.clone()) {
            *team.get_mut() = team.get().saturating_sub(bytes);
            if *team.get() == 0 {
                team.remove();
            }
        }
    }

    fn is_over(&self, team_id: &TeamId) -> bool {
        let buffered = lock(&self.0);
        buffered.all > ALL_BYTES || buffered.teams.get(team_id).is_some_and(|bytes| *bytes > TEAM_BYTES)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
