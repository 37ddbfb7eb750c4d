//! Heartbeats: each process that writes sealed content says that it lives, which KEKs it holds, and which team keys
//! it no longer uses. A rotation waits for what it needs to know from every live replica.
//!
//! *Epochs* count the replacements of team keys (`kek_state.key_epoch`). A process looks at the epoch every second,
//! and at once when it is woken. When the epoch has grown, the process forgets all team keys, and reads them again
//! for new transactions. When the last transaction with an older key has ended, it reports the epoch. So a rotation
//! knows when nothing is sealed under the old key any more, and a push costs nothing for that.
//!
//! A process that cannot report stops using the keys that it holds ([`USED_FOR`](crate::keys)) long before others
//! consider it dead.

use std::time::{Duration, Instant};

use han_crypto::KekRing;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::queries::keys;
use crate::queries::replicas::{self, Replica};
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// How often a process looks whether team keys were replaced.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How soon it looks again if something still uses keys that were replaced.
const SETTLING: Duration = Duration::from_millis(50);

/// How long the row of a dead replica is kept, in milliseconds, so that `kek status` shows it for a while.
const KEEP_DEAD_MS: i64 = 60 * 60 * 1000;

/// How often a process says that it lives, and how long others believe it.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatTimes {
    /// The time between two heartbeats.
    pub every: Duration,
    /// For how long after a heartbeat the process is considered alive. Longer than it uses keys without a heartbeat (20
    /// seconds) and than PostgreSQL lets a transaction idle (60 seconds) together.
    pub live_for: Duration,
}

impl Default for HeartbeatTimes {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), live_for: Duration::from_secs(90) }
    }
}

/// The heartbeats of this process. Dropped, they stop, and others consider the process dead later.
#[derive(Debug)]
pub struct Heartbeat {
    db: Db,
    id: String,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Db {
    /// Joins the replicas under a new id, and begins to send heartbeats. Before this, the process must not write
    /// sealed content.
    ///
    /// # Errors
    /// [`DbError::KekMissing`] if the process does not hold the KEK that wraps new keys.
    pub async fn start_heartbeat(
        &self,
        program: &'static str,
        times: HeartbeatTimes,
    ) -> Result<Heartbeat, DbError> {
        let id = self.new_replica_id();
        let sent = Instant::now();
        let row = &Row { id: &id, program, kek_ids: &ids(self.keys().keks()), times };
        let epoch = self
            .write_system("replicas.join", |tx| async move {
                // A rotation that reads the replicas waits for this row, or this waits for the rotation.
                self.keys().ring(&tx).await?;
                let epoch = replicas::epoch(&tx).await?;
                row.put(&tx, epoch).await?;
                Ok(epoch)
            })
            .await?;
        self.keys().observe(epoch);
        self.keys().confirm(sent);
        let stop = CancellationToken::new();
        let sender = Sender {
            db: self.clone(),
            id: id.clone(),
            program,
            times,
            reported: epoch,
            due: sent + times.every,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(sender.run(stop.clone())));
        Ok(Heartbeat { db: self.clone(), id, stop, task })
    }

    /// The replicas that reported within the last hour, by their start.
    pub async fn replicas(&self) -> Result<Vec<Replica>, DbError> {
        let tx = self.read_system("replicas.list").await?;
        replicas::all(&tx).await
    }

    /// Says that this process has committed an epoch: it forgets its team keys at once, and its heartbeat reports that.
    pub(crate) fn keys_were_replaced(&self, epoch: i64) {
        self.keys().observe(epoch);
        self.commits().wake_jobs();
    }
}

impl Heartbeat {
    /// The id of this process among the replicas.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Leaves the replicas: the process writes no sealed content any more.
    ///
    /// # Errors
    /// If the row cannot be deleted; then the process is considered dead later.
    pub async fn stop(self) -> Result<(), DbError> {
        self.stop.cancel();
        let _ = self.task.await;
        keys::store_uses(&self.db).await?;
        let id = self.id.as_str();
        self.db
            .write_system("replicas.leave", |tx| async move {
                tx.execute("DELETE FROM replicas WHERE id = $1", [id.into()]).await
            })
            .await?;
        Ok(())
    }
}

fn ids(keks: &KekRing) -> String {
    keks.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

/// The row of a replica.
struct Row<'a> {
    id: &'a str,
    program: &'static str,
    kek_ids: &'a str,
    times: HeartbeatTimes,
}

impl Row<'_> {
    async fn put(&self, tx: &SystemTx, epoch: i64) -> Result<(), DbError> {
        let now = tx.dialect().shared_now(tx, tx.clock()).await?;
        let live_for = i64::try_from(self.times.live_for.as_millis()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO replicas (id, program, kek_ids, key_epoch, started_at, live_until) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE \
                   SET key_epoch = excluded.key_epoch, live_until = excluded.live_until";
        let values = [
            self.id.into(),
            self.program.into(),
            self.kek_ids.into(),
            epoch.into(),
            now.into(),
            now.saturating_add(live_for).into(),
        ];
        tx.execute(sql, values).await?;
        tx.execute("DELETE FROM replicas WHERE live_until < $1", [(now - KEEP_DEAD_MS).into()]).await?;
        Ok(())
    }
}

struct Sender {
    db: Db,
    id: String,
    program: &'static str,
    times: HeartbeatTimes,
    /// The epoch that others know of.
    reported: i64,
    due: Instant,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken) {
        let mut woken = self.db.commits().lease_ends();
        let mut wait = LOOK_EVERY;
        loop {
            woken.mark_unchanged();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.min(self.times.every)) => {}
                _ = woken.changed() => {}
            }
            wait = match self.beat().await {
                Ok(true) => LOOK_EVERY,
                Ok(false) => SETTLING,
                Err(error) => {
                    tracing::warn!(%error, "the heartbeat of this replica failed, trying again");
                    LOOK_EVERY
                }
            };
        }
    }

    /// Looks at the epoch, and reports if there is something to report. Returns whether all uses of older keys have
    /// ended.
    async fn beat(&mut self) -> Result<bool, DbError> {
        let sent = Instant::now();
        let tx = self.db.read_system("replicas.look").await?;
        let current = replicas::epoch(&tx).await?;
        drop(tx);
        let settled = self.db.keys().observe(current);
        if settled == self.reported && sent < self.due {
            return Ok(settled == current);
        }
        let kek_ids = ids(self.db.keys().keks());
        let row = &Row { id: &self.id, program: self.program, kek_ids: &kek_ids, times: self.times };
        self.db.write_system("replicas.beat", |tx| async move { row.put(&tx, settled).await }).await?;
        self.db.keys().confirm(sent);
        if settled != self.reported {
            // A rotation may wait for this.
            self.db.commits().wake_jobs();
        }
        (self.reported, self.due) = (settled, sent + self.times.every);
        keys::store_uses(&self.db).await?;
        Ok(settled == current)
    }
}
