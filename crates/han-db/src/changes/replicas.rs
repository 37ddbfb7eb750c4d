//! Replicas of one PostgreSQL wake each other with LISTEN and NOTIFY. A notice says only that there is something to
//! read: what is delivered comes from the outbox.

use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;

use super::feed::BACKOFF;
use crate::commits::{CHANGES_CHANNEL, JOBS_CHANNEL};
use crate::{Db, outbox};

/// How long the notifier gathers commits before it wakes the other replicas.
const COALESCE: Duration = Duration::from_millis(10);

/// Listens to the other replicas, on its own connection. Each reconnection wakes the reader, which finds in the outbox
/// what was notified meanwhile.
pub(super) async fn listen(db: Db) {
    let mut backoff = BACKOFF.0;
    loop {
        match listener(&db).await {
            Ok(mut listener) => {
                // Only a LISTEN that succeeded proves that the database works again.
                backoff = BACKOFF.0;
                let _connected = db.verified_keys().connected(Instant::now());
                db.commits().wake_reader();
                db.commits().wake_jobs();
                loop {
                    match listener.try_recv().await {
                        Ok(Some(notice)) if notice.channel() == JOBS_CHANNEL => db.commits().wake_jobs(),
                        Ok(Some(_)) => db.commits().wake_reader(),
                        Ok(None) => {
                            tracing::info!("the LISTEN connection was lost, catching up from the outbox");
                            break;
                        }
                        Err(error) => {
                            tracing::warn!(%error, "LISTEN failed");
                            break;
                        }
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "no connection to LISTEN on"),
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

async fn listener(db: &Db) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(db.url()).await?;
    // The end of a connection is known at once, and not after the next one was made.
    listener.eager_reconnect(false);
    listener.listen_all([CHANGES_CHANNEL, JOBS_CHANNEL]).await?;
    Ok(listener)
}

/// Wakes the other replicas, off the write path: NOTIFY takes a lock of the whole cluster until its commit, so one
/// notice is sent for all commits of the last few milliseconds.
pub(super) async fn notify(db: Db) {
    loop {
        db.commits().committed().await;
        tokio::time::sleep(COALESCE).await;
        let sent = db.write_system("changes.notify", |tx| async move { outbox::notify(&tx).await }).await;
        if let Err(error) = sent {
            // The others find the rows with their next poll.
            tracing::warn!(%error, "NOTIFY failed");
        }
    }
}
