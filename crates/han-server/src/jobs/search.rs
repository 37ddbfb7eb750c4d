//! The job that indexes new lines for searching. It hears of changed sessions from the change feed and does them one
//! after another, in small transactions, so that pushes go first; what it did not hear of (before it began, or when it
//! fell behind) it finds by looking. Every replica runs it: a session that two do at once is done once.

use std::collections::BTreeSet;
use std::time::Duration;

use han_db::changes::DbChangeEvent;
use han_db::queries::search::{self, Due};
use han_db::{Db, DbError};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

/// How often it looks for what nobody told it of.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// How long it waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How many sessions are listed at once.
const LISTED: usize = 500;

/// Indexes until told to stop.
pub(crate) async fn run(db: Db, mut events: Receiver<DbChangeEvent>, stopping: CancellationToken) {
    let work = async {
        let mut due = BTreeSet::new();
        let mut look = true;
        loop {
            if std::mem::take(&mut look)
                && let Err(error) = look_for_more(&db, &mut due).await
            {
                tracing::warn!(%error, "what is to be indexed could not be listed");
                tokio::time::sleep(AFTER_FAILURE).await;
                look = true;
                continue;
            }
            while let Some(next) = due.pop_first() {
                if let Err(error) = index(&db, &next).await {
                    // Its lines are found again by looking.
                    tracing::warn!(%error, team = %next.team_id, session = %next.session_id, "a session could not be indexed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                look |= take_waiting(&mut events, &mut due);
            }
            match tokio::time::timeout(LOOK_EVERY, events.recv()).await {
                Ok(Ok(event)) => look |= take(event, &mut due),
                Ok(Err(RecvError::Lagged(_))) | Err(_) => look = true,
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stopping.cancelled() => {}
    }
}

async fn index(db: &Db, due: &Due) -> Result<(), DbError> {
    while !search::index(db, due).await? {}
    Ok(())
}

async fn look_for_more(db: &Db, due: &mut BTreeSet<Due>) -> Result<(), DbError> {
    let mut after = None;
    loop {
        let listed = search::due(db, after.as_ref(), LISTED).await?;
        let whole = listed.len() < LISTED;
        after = listed.last().cloned();
        due.extend(listed);
        if whole {
            return Ok(());
        }
    }
}

/// Takes in an event; says whether events may have been missed.
fn take(event: DbChangeEvent, due: &mut BTreeSet<Due>) -> bool {
    match event {
        DbChangeEvent::Change(change) => {
            if let Some(session_id) = change.session_id.clone()
                && change.ordinal_to > change.ordinal_from
            {
                due.insert(Due { team_id: change.team_id.clone(), session_id });
            }
            false
        }
        DbChangeEvent::Resync => true,
        DbChangeEvent::Access(_) => false,
    }
}

/// Takes in what has come meanwhile; says whether events may have been missed.
fn take_waiting(events: &mut Receiver<DbChangeEvent>, due: &mut BTreeSet<Due>) -> bool {
    let mut missed = false;
    loop {
        match events.try_recv() {
            Ok(event) => missed |= take(event, due),
            Err(TryRecvError::Lagged(_)) => missed = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return missed,
        }
    }
}
