//! What one shared subscription tells: a list that grows at its end, along which every listener walks. A place of it
//! is gone with the last who has yet to come by, so where all keep up it holds nothing. How much may wait for whoever
//! does not is bounded, by list, by team and in all: past that, the subscription waits a moment, and then lets go of
//! what was not taken.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use async_graphql::Response;
use han_types::{TeamId, UserId};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::lock;

/// An answer as JSON, which many share.
pub type SharedAnswer = Arc<Box<RawValue>>;

/// How many answers of one list may wait to be taken.
const WAITING_ANSWERS: usize = 1_024;

/// How many bytes of answers may wait to be taken: of a list whatever the others hold, of one team's lists, and of all.
const OWN_BYTES: usize = 4 << 10;
const TEAM_BYTES: usize = 4 << 20;
const ALL_BYTES: usize = 16 << 20;

/// How long a subscription whose list is full waits for its listeners: long enough for whoever is only busy.
const PATIENCE: Duration = Duration::from_millis(250);

/// An answer as JSON; `None`, with a line in the log, where it cannot be written.
pub(super) fn written(answer: &Response) -> Option<SharedAnswer> {
    match to_raw_value(answer) {
        Ok(text) => Some(Arc::new(text)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            None
        }
    }
}

/// What listeners are told.
#[derive(Clone)]
pub(super) enum Told {
    Answer(Arc<Answer>),
    /// A right of this person's may have changed.
    Access(Arc<UserId>),
    /// Something was missed, among which changes of rights may have been.
    Missed,
    /// Nothing comes any more.
    End(Ending),
}

/// How a shared subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself: the server stops.
    Stopped,
    /// With the error that its last answer was.
    Failed,
    /// Nobody knows how: its task is gone.
    Lost,
}

/// An answer, for as long as it waits to be taken.
pub(super) struct Answer {
    text: Mutex<Option<SharedAnswer>>,
    bytes: usize,
    /// Whether it tells of an error.
    pub(super) failed: bool,
    waiting: Arc<Waiting>,
}

impl Answer {
    /// Its text; `None` where it was let go of.
    pub(super) fn text(&self) -> Option<SharedAnswer> {
        lock(&self.text).clone()
    }

    fn let_go(&self) {
        if lock(&self.text).take().is_some() {
            self.waiting.give_back(self.bytes);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.let_go();
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

struct Line {
    end: Mutex<End>,
    grown: watch::Sender<()>,
    waiting: Arc<Waiting>,
}

/// The list's end.
struct End {
    last: Arc<Node>,
    has_ended: bool,
    /// The answers of the list, of which those at the front may be gone.
    told: VecDeque<Weak<Answer>>,
}

impl Announcer {
    pub(super) fn new(team_id: TeamId, kept: Arc<Kept>) -> Self {
        let (answers, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let waiting = Waiting { team_id, kept, answers, bytes, given_back: Notify::new() };
        let end = End { last: Arc::default(), has_ended: false, told: VecDeque::new() };
        Self(Arc::new(Line {
            end: Mutex::new(end),
            grown: watch::Sender::new(()),
            waiting: Arc::new(waiting),
        }))
    }

    /// Who hears what is told from now on; `None` where nothing comes any more.
    pub(super) fn reader(&self) -> Option<Reader> {
        let end = lock(&self.0.end);
        (!end.has_ended).then(|| Reader { at: Arc::clone(&end.last), grown: self.0.grown.subscribe() })
    }

    /// That a right of this person's may have changed.
    pub(crate) fn tell_access(&self, user_id: Arc<UserId>) {
        self.tell(Told::Access(user_id));
    }

    /// That something was missed, among which changes of rights may have been.
    pub(crate) fn tell_missed(&self) {
        self.tell(Told::Missed);
    }

    pub(super) fn tell_answer(&self, text: SharedAnswer, failed: bool) {
        let (bytes, waiting) = (text.get().len(), Arc::clone(&self.0.waiting));
        waiting.take(bytes);
        self.tell(Told::Answer(Arc::new(Answer { text: Mutex::new(Some(text)), bytes, failed, waiting })));
    }

    /// That nothing comes any more. Only the first ending counts.
    pub(super) fn tell_end(&self, ending: Ending) {
        self.tell(Told::End(ending));
    }

    fn tell(&self, told: Told) {
        let mut end = lock(&self.0.end);
        if end.has_ended {
            return;
        }
        match &told {
            Told::Answer(answer) => {
                while end.told.front().is_some_and(|answer| answer.strong_count() == 0) {
                    end.told.pop_front();
                }
                end.told.push_back(Arc::downgrade(answer));
            }
            Told::End(_) => end.has_ended = true,
            Told::Access(_) | Told::Missed => {}
        }
        let node = Arc::<Node>::default();
        let last = std::mem::replace(&mut end.last, Arc::clone(&node));
        // Only who holds the lock sets it.
        let _ = last.next.set((told, node));
        drop(end);
        self.0.grown.send_replace(());
    }

    /// Waits until there is room for another answer. Listeners who do not make it in time find what waited for them
    /// gone.
    pub(super) async fn room(&self) {
        let waiting = &self.0.waiting;
        if !waiting.is_full() {
            return;
        }
        let taken = async {
            while waiting.is_full() {
                waiting.given_back.notified().await;
            }
        };
        if timeout(PATIENCE, taken).await.is_err() {
            let told = std::mem::take(&mut lock(&self.0.end).told);
            for answer in told.iter().filter_map(Weak::upgrade) {
                answer.let_go();
            }
        }
    }
}

/// A place in the list, and what is told on the way from it to the next.
#[derive(Default)]
struct Node {
    next: OnceLock<(Told, Arc<Self>)>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after another: a long list must not take down the stack.
        let mut next = self.next.take();
        while let Some((_, node)) = next {
            next = Arc::into_inner(node).and_then(|mut node| node.next.take());
        }
    }
}

/// One who walks along a list.
pub(super) struct Reader {
    at: Arc<Node>,
    grown: watch::Receiver<()>,
}

impl Reader {
    /// What is told next, of which the last is the end. It loses nothing where it is not awaited to its end.
    pub(super) async fn next(&mut self) -> Told {
        loop {
            if let Some(told) = self.step() {
                return told;
            }
            if self.grown.changed().await.is_err() {
                return Told::End(Ending::Lost);
            }
        }
    }

    /// Passes over whatever has been told so far, up to the end where there is one.
    pub(super) fn skip(&mut self) -> Option<Ending> {
        while let Some(told) = self.step() {
            if let Told::End(ending) = told {
                return Some(ending);
            }
        }
        None
    }

    fn step(&mut self) -> Option<Told> {
        let (told, node) = self.at.next.get()?;
        let (told, node) = (told.clone(), Arc::clone(node));
        self.at = node;
        Some(told)
    }
}

/// What waits of one list.
struct Waiting {
    team_id: TeamId,
    kept: Arc<Kept>,
    answers: AtomicUsize,
    bytes: AtomicUsize,
    given_back: Notify,
}

impl Waiting {
    fn take(&self, bytes: usize) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.kept.take(&self.team_id, bytes);
    }

    fn give_back(&self, bytes: usize) {
        self.kept.give_back(&self.team_id, bytes);
        self.answers.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.given_back.notify_one();
    }

    fn is_full(&self) -> bool {
        let is_long = self.answers.load(Ordering::Relaxed) >= WAITING_ANSWERS;
        is_long || self.bytes.load(Ordering::Relaxed) > OWN_BYTES && self.kept.is_over(&self.team_id)
    }
}

/// How many bytes wait of all lists.
#[derive(Default)]
pub(super) struct Kept(Mutex<Bytes>);

#[derive(Default)]
struct Bytes {
    all: usize,
    teams: HashMap<TeamId, usize>,
}

impl Kept {
    fn take(&self, team_id: &TeamId, bytes: usize) {
        let mut kept = lock(&self.0);
        kept.all += bytes;
        *kept.teams.entry(team_id.clone()).or_default() += bytes;
    }

    fn give_back(&self, team_id: &TeamId, bytes: usize) {
        let mut kept = lock(&self.0);
        kept.all = kept.all.saturating_sub(bytes);
        if let Entry::Occupied(mut team) = kept.teams.entry(team_id.clone()) {
            *team.get_mut() = team.get().saturating_sub(bytes);
            if *team.get() == 0 {
                team.remove();
            }
        }
    }

    fn is_over(&self, team_id: &TeamId) -> bool {
        let kept = lock(&self.0);
        kept.all > ALL_BYTES || kept.teams.get(team_id).is_some_and(|bytes| *bytes > TEAM_BYTES)
    }
}
