//! The job that indexes new lines for searching. It hears of changed sessions from the change feed and does them one
//! after another, some lines at a time, when nobody pushes; what it did not hear of (before it began, or when it fell
//! behind) it finds by looking. Every replica runs it: a session that two do at once is done once.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use han_db::changes::DbChangeEvent;
use han_db::queries::search::{self, Due};
use han_db::{Db, DbError};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::PrioritySemaphore;

/// How often it looks for what nobody told it of.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// How long it waits before it tries again what failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How many sessions are listed at once.
const LISTED: usize = 500;

/// How long nobody may have pushed before it goes on, and how long it waits for that at most: what is pushed without a
/// pause is indexed slowly, but it is.
const QUIET: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(2);

/// Indexes until told to stop. `stores` is what pushes are stored through.
pub(crate) async fn run(
    db: Db,
    mut events: Receiver<DbChangeEvent>,
    stores: PrioritySemaphore,
    stopping: CancellationToken,
) {
    let work = async {
        let mut due = Queue::default();
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK_EVERY;
                if let Err(error) = look_for_more(&db, &mut due).await {
                    tracing::warn!(%error, "what is to be indexed could not be listed");
                    look_at = Instant::now() + AFTER_FAILURE;
                }
            }
            let missed = match due.take() {
                Some(next) => {
                    wait_for_quiet(&stores).await;
                    match search::index(&db, &next).await {
                        Ok(true) => {}
                        // Its other lines have their turn after everybody else's.
                        Ok(false) => due.put(next),
                        // Its lines are found again by looking; others need not wait for it.
                        Err(error) => {
                            tracing::warn!(%error, team = %next.team_id, session = %next.session_id,
                                "a session could not be indexed");
                            look_at = look_at.min(Instant::now() + AFTER_FAILURE);
                        }
                    }
                    take_waiting(&mut events, &mut due)
                }
                None => match tokio::time::timeout_at(look_at, events.recv()).await {
                    Ok(Ok(event)) => take(event, &mut due),
                    Ok(Err(RecvError::Lagged(_))) => true,
                    Ok(Err(RecvError::Closed)) => return,
                    Err(_) => false,
                },
            };
            if missed {
                look_at = Instant::now();
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopping.cancelled() => {}
    }
}

async fn wait_for_quiet(stores: &PrioritySemaphore) {
    let quiet = async {
        while !stores.is_quiet_for(QUIET) {
            tokio::time::sleep(QUIET / 4).await;
        }
    };
    // In vain: then it is its turn all the same.
    let _ = tokio::time::timeout(PATIENCE, quiet).await;
}

/// Sessions to be indexed, each once, in the order they came: one that is pushed to without a pause holds up no other.
#[derive(Default)]
struct Queue {
    order: VecDeque<Due>,
    held: HashSet<Due>,
}

impl Queue {
    fn put(&mut self, due: Due) {
        if self.held.insert(due.clone()) {
            self.order.push_back(due);
        }
    }

    fn take(&mut self) -> Option<Due> {
        let next = self.order.pop_front()?;
        self.held.remove(&next);
        Some(next)
    }
}

async fn look_for_more(db: &Db, due: &mut Queue) -> Result<(), DbError> {
    let mut after = None;
    loop {
        let listed = search::due(db, after.as_ref(), LISTED).await?;
        let whole = listed.len() < LISTED;
        after = listed.last().cloned();
        listed.into_iter().for_each(|session| due.put(session));
        if whole {
            return Ok(());
        }
    }
}

/// Takes in an event; says whether events may have been missed.
fn take(event: DbChangeEvent, due: &mut Queue) -> bool {
    match event {
        DbChangeEvent::Change(change) => {
            if let Some(session_id) = change.session_id.clone()
                && change.ordinal_to > change.ordinal_from
            {
                due.put(Due { team_id: change.team_id.clone(), session_id });
            }
            false
        }
        DbChangeEvent::Resync => true,
        DbChangeEvent::Access(_) => false,
    }
}

/// Takes in what has come meanwhile; says whether events may have been missed.
fn take_waiting(events: &mut Receiver<DbChangeEvent>, due: &mut Queue) -> bool {
    let mut missed = false;
    loop {
        match events.try_recv() {
            Ok(event) => missed |= take(event, due),
            Err(TryRecvError::Lagged(_)) => missed = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use han_db::queries::search::Due;

    use super::Queue;

    fn due(session: &str) -> Due {
        Due { team_id: "team".parse().unwrap(), session_id: session.parse().unwrap() }
    }

    #[test]
    fn who_comes_again_waits_for_the_others() {
        let mut queue = Queue::default();
        for session in ["a", "b", "a", "c"] {
            queue.put(due(session));
        }
        let first = queue.take().unwrap();
        queue.put(first);
        let order: Vec<Due> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, ["b", "c", "a"].map(due));
    }
}
