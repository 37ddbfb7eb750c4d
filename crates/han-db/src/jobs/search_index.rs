//! The job that indexes new lines for searching. The change feed says which sessions have some; they are indexed two
//! at a time, some lines of each, while no client pushes. Sessions that the feed did not mention (it began before,
//! or the job fell behind) are found by looking for them.
//!
//! How a session's lines become terms is in `queries::search`, which also keeps two writers from indexing a line twice:
//! `han-server reindex` runs beside this job.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};
use tokio::time::{Instant, timeout_at};

use super::pace::Pace;
use super::{Job, JobContext, Outcome, Schedule};
use crate::changes::DbChangeEvent;
use crate::entities::Progress;
use crate::queries::search::{self, Due};
use crate::{Db, DbError};

/// How often it looks for sessions that no event mentioned.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// How long it waits before it tries again what failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How many sessions are listed at once.
const LISTED: usize = 500;

/// How many sessions are indexed at once: while the terms of one are made, the database stores those of another.
const AT_ONCE: usize = 2;

/// How long it waits for clients not to push: lines that are pushed without a pause are indexed slowly, but they are.
const PATIENCE: Duration = Duration::from_secs(2);

/// The job.
pub struct SearchIndex {
    changes: Sender<DbChangeEvent>,
    pace: Pace,
}

impl std::fmt::Debug for SearchIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SearchIndex").finish_non_exhaustive()
    }
}

impl SearchIndex {
    /// Indexes what `changes` mentions. `is_quiet_for` says whether no client has pushed for so long: indexing gives
    /// way to ingest.
    #[must_use]
    pub fn new(
        changes: Sender<DbChangeEvent>,
        is_quiet_for: impl Fn(Duration) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { changes, pace: Pace::new(is_quiet_for) }
    }
}

#[async_trait]
impl Job for SearchIndex {
    fn name(&self) -> &'static str {
        "search-index"
    }

    fn schedule(&self) -> Schedule {
        Schedule::Continuous
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        tokio::select! {
            () = self.index(context) => Ok(Outcome::Done),
            () = context.stopping() => Ok(Outcome::Stopped),
        }
    }
}

impl SearchIndex {
    /// Indexes for as long as the feed lasts.
    async fn index(&self, context: &JobContext) {
        let db = context.db();
        // Subscribed before the first look, so that what is pushed between the two is not missed.
        let mut events = self.changes.subscribe();
        let mut queue = Queue::default();
        let mut running = FuturesUnordered::new();
        let mut look_at = Instant::now();
        let mut done = 0;
        loop {
            if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK_EVERY;
                if let Err(error) = look_for_more(db, &mut queue).await {
                    tracing::warn!(%error, "the sessions to be indexed could not be listed");
                    context.note_error(&error);
                    look_at = Instant::now() + AFTER_FAILURE;
                }
            }
            let has_room = running.len() < AT_ONCE;
            let waits = has_room && queue.has_next();
            let missed = tokio::select! {
                biased;
                () = self.pace.wait_for_quiet(PATIENCE), if waits => {
                    let free = AT_ONCE - running.len();
                    running.extend(std::iter::from_fn(|| queue.take()).take(free).map(|due| index(db, due)));
                    false
                }
                Some((due, result)) = running.next(), if !running.is_empty() => {
                    queue.end(&due);
                    match result {
                        Ok(true) => done += 1,
                        // The other sessions come first, then the rest of its lines.
                        Ok(false) => queue.put(due),
                        // Looking finds its lines again; the other sessions need not wait for it.
                        Err(error) => {
                            tracing::warn!(%error, team = %due.team_id, session = %due.session_id,
                                "a session could not be indexed");
                            context.note_error(&error);
                            look_at = look_at.min(Instant::now() + AFTER_FAILURE);
                        }
                    }
                    let missed = take_waiting(&mut events, &mut queue);
                    context.progress(queue.progress(done));
                    missed
                }
                // Not while it waits for a quiet moment, because each event would begin that wait again.
                received = timeout_at(look_at, events.recv()), if has_room && !waits => match received {
                    Ok(Ok(event)) => take(event, &mut queue),
                    Ok(Err(RecvError::Lagged(_))) => true,
                    Ok(Err(RecvError::Closed)) => return,
                    Err(_) => false,
                },
            };
            if missed {
                look_at = Instant::now();
            }
        }
    }
}

/// Indexes some lines of a session; says whether these were the last.
async fn index(db: &Db, due: Due) -> (Due, Result<bool, DbError>) {
    let result = search::index(db, &due).await;
    (due, result)
}

/// Sessions to be indexed, each once, in the order they came: one that is pushed to without a pause holds up no other.
#[derive(Default)]
struct Queue {
    order: VecDeque<Due>,
    held: HashSet<Due>,
    /// Sessions that are indexed now. Lines that come meanwhile may have come too late, so such a session may be held, too.
    running: HashSet<Due>,
}

impl Queue {
    fn put(&mut self, due: Due) {
        if self.held.insert(due.clone()) {
            self.order.push_back(due);
        }
    }

    fn has_next(&self) -> bool {
        self.order.iter().any(|due| !self.running.contains(due))
    }

    /// The next session that is not indexed now. It is, until [`end`](Self::end).
    fn take(&mut self) -> Option<Due> {
        let next = self.order.iter().position(|due| !self.running.contains(due))?;
        let next = self.order.remove(next)?;
        self.held.remove(&next);
        self.running.insert(next.clone());
        Some(next)
    }

    fn end(&mut self, due: &Due) {
        self.running.remove(due);
    }

    /// How far the job is once `done` sessions are.
    fn progress(&self, done: u64) -> Progress {
        let waiting = u64::try_from(self.order.len() + self.running.len()).unwrap_or(u64::MAX);
        let total = Some(done.saturating_add(waiting));
        Progress { done, total, unit: "sessions".to_owned(), cursor: None }
    }
}

async fn look_for_more(db: &Db, queue: &mut Queue) -> Result<(), DbError> {
    let mut after = None;
    loop {
        let listed = search::due(db, after.as_ref(), LISTED).await?;
        let whole = listed.len() < LISTED;
        after = listed.last().cloned();
        listed.into_iter().for_each(|session| queue.put(session));
        if whole {
            return Ok(());
        }
    }
}

/// Takes in an event; says whether events may have been missed.
fn take(event: DbChangeEvent, queue: &mut Queue) -> bool {
    match event {
        DbChangeEvent::Change(change) => {
            if let Some(session_id) = change.session_id.clone()
                && change.ordinal_to > change.ordinal_from
            {
                queue.put(Due { team_id: change.team_id.clone(), session_id });
            }
            false
        }
        DbChangeEvent::Resync => true,
        DbChangeEvent::Access(_) | DbChangeEvent::Team(_) => false,
    }
}

/// Takes in the events that came meanwhile; says whether some may have been missed.
fn take_waiting(events: &mut Receiver<DbChangeEvent>, queue: &mut Queue) -> bool {
    let mut missed = false;
    loop {
        match events.try_recv() {
            Ok(event) => missed |= take(event, queue),
            Err(TryRecvError::Lagged(_)) => missed = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::queries::search::Due;

    fn due(session: &str) -> Due {
        Due { team_id: "team".parse().unwrap(), session_id: session.parse().unwrap() }
    }

    #[test]
    fn a_session_that_is_put_back_waits_for_the_others() {
        let mut queue = Queue::default();
        for session in ["a", "b", "a", "c"] {
            queue.put(due(session));
        }
        let first = queue.take().unwrap();
        queue.end(&first);
        queue.put(first);
        let order: Vec<Due> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, ["b", "c", "a"].map(due));
    }

    #[test]
    fn a_session_that_is_indexed_is_not_taken_a_second_time() {
        let mut queue = Queue::default();
        for session in ["a", "b"] {
            queue.put(due(session));
        }
        let first = queue.take().unwrap();
        queue.put(first.clone());
        assert_eq!(queue.take(), Some(due("b")));
        assert_eq!(queue.take(), None, "its lines wait until it has ended");
        queue.end(&first);
        assert_eq!(queue.take(), Some(first));
    }
}
