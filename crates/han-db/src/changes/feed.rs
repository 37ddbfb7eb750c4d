//! The live feed: reads the outbox and delivers each change once to all subscribers of this process.
//!
//! Triggers write one row to `changes` in the transaction that changed something. This reader delivers every row
//! that it can see and has not delivered yet. Sequence numbers do not commit in order, so "everything after the
//! last one" would lose rows; waiting until no earlier transaction is left would let any idle transaction hold up
//! the feed. Instead a row is delivered as soon as it is visible, its number is remembered in `seen`, and the
//! point before which no row can appear any more only decides which numbers may be forgotten:
//!
//! * a *checkpoint* is the greatest number delivered, and a transaction id taken after it. A transaction that took a
//!   number up to that one has an id before that one. (A snapshot's `xmax` would not do: it is one past the last id that
//!   has *ended*, and later ones may be running. The sequence's last value would not do either: a crash of PostgreSQL
//!   takes back numbers that only transactions without a durable commit had taken, and hands them out again; one that
//!   was delivered is durable, and so are all before it.);
//! * once no transaction before that id is running (`xmin`), a read that began then has seen every such row.
//!
//! What woke the reader does not matter to what it delivers: a NOTIFY of another replica, a commit of this process,
//! or the slow poll that covers a replica killed between its commit and its NOTIFY (docs/adr/0004).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use han_types::UserId;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "postgres")]
use super::replicas;
use super::{Action, Change, DbChangeEvent, Recent, TeamChange, TeamPart};
use crate::dialect::Dialect;
use crate::outbox::{self, ChangeRow, Horizon};
use crate::stored::stored;
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// The table whose rows in the outbox name a session. All others are about rights, or about what a team shows.
const SESSIONS: &str = "sessions";
/// How often the outbox is read when nothing woke the reader.
const SAFETY_POLL: Duration = Duration::from_secs(2);
/// How far apart the beginnings of two reads are at least. A commit after a pause is read at once; of many in a row, each
/// read takes those of so long.
const READ_EVERY: Duration = Duration::from_millis(20);
/// How many rows one read takes.
const READ_ROWS: usize = 5_000;
/// How far back a reader that starts looks for numbers that must not be delivered again.
const START_WINDOW: i64 = 100_000;
/// How many events a subscriber may lag behind before it receives a resync.
const FEED_CAPACITY: usize = 4_096;
/// The same for a connection, which then reads its rights again.
const ACCESS_CAPACITY: usize = 256;
/// How long outbox rows are kept, in milliseconds.
const KEEP_MS: i64 = 15 * 60 * 1000;
/// How often old rows are trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// How long after a failure the reader or the listener tries again, at first and at most.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The running feed.
#[derive(Debug)]
pub struct Changes {
    /// Where subscribers subscribe.
    pub sender: broadcast::Sender<DbChangeEvent>,
    /// The same without what changed in sessions: for connections, which are many and live by rights alone.
    pub access: broadcast::Sender<DbChangeEvent>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Changes {
    /// Waits until the feed has stopped, which it does when its shutdown token is cancelled.
    pub async fn stopped(self) {
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

impl Db {
    /// Starts the feed. It delivers what is committed after this returns.
    ///
    /// # Errors
    /// Where the outbox cannot be read.
    pub async fn start_changes(&self, shutdown: CancellationToken) -> Result<Changes, DbError> {
        let (sender, _) = broadcast::channel(FEED_CAPACITY);
        let (access, _) = broadcast::channel(ACCESS_CAPACITY);
        let reader = OutboxReader::start(self.clone(), sender.clone(), access.clone()).await?;
        #[cfg_attr(not(feature = "postgres"), expect(unused_mut, reason = "only PostgreSQL has more tasks"))]
        let mut tasks = vec![
            tokio::spawn(until(shutdown.clone(), reader.run())),
            tokio::spawn(until(shutdown.clone(), trim(self.clone()))),
        ];
        #[cfg(feature = "postgres")]
        if self.dialect() == Dialect::Postgres {
            tasks.push(tokio::spawn(until(shutdown.clone(), replicas::listen(self.clone()))));
            tasks.push(tokio::spawn(until(shutdown.clone(), replicas::notify(self.clone()))));
        }
        Ok(Changes { sender, access, tasks })
    }
}

async fn until(shutdown: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

/// A point in the outbox: see the documentation of the module.
struct Checkpoint {
    seq: i64,
    before_xid: i64,
}

struct OutboxReader {
    db: Db,
    sender: broadcast::Sender<DbChangeEvent>,
    access: broadcast::Sender<DbChangeEvent>,
    /// Nothing can appear at or before this number any more.
    settled: i64,
    /// Numbers after `settled` that were delivered.
    seen: BTreeSet<i64>,
    /// The greatest number that was delivered, or that the sequence had reached at the start: whatever is trimmed up to
    /// here was seen.
    read_to: i64,
    checkpoint: Option<Checkpoint>,
    recent: Arc<Recent>,
}

impl OutboxReader {
    async fn start(
        db: Db,
        sender: broadcast::Sender<DbChangeEvent>,
        access: broadcast::Sender<DbChangeEvent>,
    ) -> Result<Self, DbError> {
        let tx = db.read_system_latest("changes.start").await?;
        let last = outbox::last_seq(&tx).await?;
        let settled = (last - START_WINDOW).max(outbox::trimmed_seq(&tx).await?);
        let seen = outbox::seqs_after(&tx, settled).await?.into_iter().collect();
        // What was committed up to here is not delivered, so what was read before it must not be remembered.
        db.verified_keys().rights_changed();
        let recent = Arc::default();
        Ok(Self { db: db.clone(), sender, access, settled, seen, read_to: last, checkpoint: None, recent })
    }

    async fn run(mut self) {
        let db = self.db.clone();
        // SQLite has no other replicas. What other processes write to its file, the slow poll finds.
        let _connected =
            (db.dialect() == Dialect::Sqlite).then(|| db.verified_keys().connected(Instant::now()));
        let mut backoff = BACKOFF.0;
        loop {
            let next = tokio::time::Instant::now() + READ_EVERY;
            match self.read().await {
                Ok(()) => {
                    backoff = BACKOFF.0;
                    let _ = tokio::time::timeout(SAFETY_POLL, self.db.commits().reader_woken()).await;
                    tokio::time::sleep_until(next).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be read, trying again");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Delivers what is visible and was not yet delivered.
    async fn read(&mut self) -> Result<(), DbError> {
        let began = Instant::now();
        let tx = self.db.read_system_latest("changes.read").await?;
        // The order of these reads matters: the horizon first, the rows after it.
        let horizon = outbox::horizon(&tx).await?;
        if horizon.trimmed > self.read_to {
            tracing::warn!("the outbox was trimmed past what was read of it: subscribers must fetch again");
            self.settled = self.settled.max(horizon.trimmed);
            self.seen = self.seen.split_off(&(self.settled + 1));
            self.db.verified_keys().rights_changed();
            let _ = self.sender.send(DbChangeEvent::Resync);
            let _ = self.access.send(DbChangeEvent::Resync);
        }
        // Onward from what was read, not from the first gap again: behind a gap may lie more rows than one read
        // takes, all of them delivered.
        let mut from = self.first_unseen();
        loop {
            let rows = outbox::rows_after(&tx, from, READ_ROWS).await?;
            let more = rows.len() == READ_ROWS;
            for row in rows {
                from = row.seq;
                self.read_to = self.read_to.max(row.seq);
                let seq = row.seq;
                if self.seen.insert(seq)
                    && let Err(error) = self.deliver(row)
                {
                    tracing::error!(%error, seq, "a row of the outbox cannot be read: subscribers must fetch again");
                    self.db.verified_keys().rights_changed();
                    let _ = self.sender.send(DbChangeEvent::Resync);
                    let _ = self.access.send(DbChangeEvent::Resync);
                }
            }
            if !more {
                break;
            }
        }
        self.settle(&tx, &horizon).await?;
        self.db.verified_keys().outbox_read(began);
        Ok(())
    }

    /// The number from which rows must be read: the first gap in what was delivered.
    fn first_unseen(&self) -> i64 {
        let mut at = self.settled;
        for seq in &self.seen {
            if *seq != at + 1 {
                break;
            }
            at = *seq;
        }
        at
    }

    async fn settle(&mut self, tx: &SystemTx, horizon: &Horizon) -> Result<(), DbError> {
        if let Some(point) = &self.checkpoint
            && horizon.xmin >= point.before_xid
        {
            self.settled = self.settled.max(point.seq);
            self.seen = self.seen.split_off(&(self.settled + 1));
            self.checkpoint = None;
        }
        // An id is taken only where there is something to settle, so that an idle feed uses none up.
        if self.checkpoint.is_none()
            && let Some(&last) = self.seen.last()
        {
            let before_xid = outbox::next_xid(tx).await?;
            self.checkpoint = Some(Checkpoint { seq: last, before_xid });
        }
        Ok(())
    }

    fn deliver(&self, row: ChangeRow) -> Result<(), DbError> {
        if row.table_name == SESSIONS {
            // A session that was deleted since: its deletion is a row of its own.
            if row.session_id.is_none() {
                return Ok(());
            }
            let change = Change::of_row(row, &self.recent)?;
            // No subscriber is no error.
            let _ = self.sender.send(DbChangeEvent::Change(Arc::new(change)));
            return Ok(());
        }
        let part = TeamPart::of_table(&row.table_name);
        // A new row ends no right.
        if part.is_none_or(TeamPart::has_rights) && row.action != "insert" {
            // First of all: whether the row can be delivered does not matter here.
            self.db.verified_keys().rights_changed();
        }
        // Before what changed, so that who has lost the right to see it does not.
        if let Some(user_id) = &row.user_id {
            let user_id: UserId = stored(user_id, "changes", "user_id", row.seq)?;
            let event = DbChangeEvent::Access(Arc::new(user_id));
            let _ = self.sender.send(event.clone());
            let _ = self.access.send(event);
        }
        // The row of a team that is gone names none.
        if let Some(part) = part.filter(|_| !row.team_id.is_empty()) {
            let team_id = stored(&row.team_id, "changes", "team_id", row.seq)?;
            let change = TeamChange { team_id, part, action: Action::of_row(&row)? };
            let _ = self.sender.send(DbChangeEvent::Team(Arc::new(change)));
        }
        Ok(())
    }
}

/// Trims the outbox by age.
async fn trim(db: Db) {
    loop {
        tokio::time::sleep(TRIM_EVERY).await;
        if let Err(error) = db.trim_changes(db.clock().now().0 - KEEP_MS).await {
            tracing::warn!(%error, "the outbox could not be trimmed");
        }
    }
}

impl Db {
    /// Deletes outbox rows written before `before` (milliseconds since the epoch) and gives their number.
    pub async fn trim_changes(&self, before: i64) -> Result<u64, DbError> {
        self.write_system("changes.trim", |tx| async move { outbox::trim(&tx, before).await }).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use han_crypto::{KekRing, OsEntropy};
    use han_testkit::{TestClock, TestDatabase};
    use sqlx::Connection as _;
    use tokio::sync::broadcast;

    use super::{Action, DbChangeEvent, OutboxReader};
    use crate::{Db, DbConfig};

    async fn migrated() -> (TestDatabase, Db) {
        let database = TestDatabase::postgres().await;
        let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned();
        let keks = KekRing::from_secrets(&secret.into(), None).unwrap();
        let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(OsEntropy::new()));
        let db = Db::connect(&DbConfig::new(database.url()), keks, clock, entropy).await.unwrap();
        db.migrate().await.unwrap();
        (database, db)
    }

    /// The newest transaction of all is still open while the outbox is read again and again: nothing it wrote may
    /// be taken for settled.
    #[tokio::test]
    async fn a_number_of_the_newest_open_transaction_is_waited_for() {
        let (database, db) = migrated().await;
        let team =
            "INSERT INTO teams (id, slug, name, plan_tier, created_at) VALUES ('t', 't', 't', 'free', 0)";
        database.execute(team).await;
        let (sender, mut feed) = broadcast::channel(16);
        let mut reader = OutboxReader::start(db, sender, broadcast::channel(16).0).await.unwrap();

        let mut open = sqlx::PgConnection::connect(database.url()).await.unwrap();
        let mut open = open.begin().await.unwrap();
        let sql = "INSERT INTO sessions (team, session_id, id, user_id, metadata, sealed, created_at, synced_at) \
             SELECT number, 's', 's', 'u', '{}', false, 0, 0 FROM teams WHERE id = 't'";
        sqlx::query(sql).execute(&mut *open).await.unwrap();
        for _ in 0..3 {
            reader.read().await.unwrap();
            assert!(feed.try_recv().is_err());
        }
        open.commit().await.unwrap();
        reader.read().await.unwrap();
        assert!(matches!(feed.try_recv(), Ok(DbChangeEvent::Change(_))));
        // The horizon is the whole cluster's: other databases' transactions may hold it back for a while.
        let settled = async {
            while reader.settled == 0 {
                reader.read().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), settled).await.expect("it settles");
        assert!(feed.try_recv().is_err(), "delivered once");
        assert_eq!(reader.settled, 1, "and then forgotten");
        assert!(reader.seen.is_empty());
    }

    /// A crash of PostgreSQL takes numbers back that no durable transaction used. Rows that reuse them are
    /// delivered.
    #[tokio::test]
    async fn reused_numbers_are_delivered_after_a_crash() {
        let (database, db) = migrated().await;
        let (sender, mut feed) = broadcast::channel(16);
        let mut reader = OutboxReader::start(db, sender, broadcast::channel(16).0).await.unwrap();
        let row = "INSERT INTO changes (xid, team_id, table_name, action, session_id, at) \
                   VALUES (0, 't', 'sessions', 'update', 's', 0)";
        database.execute(row).await;
        // These transactions ended, and their numbers are free after a crash.
        database.execute(&format!("BEGIN; {row}; {row}; ROLLBACK")).await;
        let settled = async {
            while reader.settled == 0 {
                reader.read().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), settled).await.expect("it settles");
        for _ in 0..3 {
            reader.read().await.unwrap();
        }
        assert!(feed.try_recv().is_ok() && feed.try_recv().is_err());
        database.execute("SELECT setval('changes_seq_seq', 1)").await;
        database.execute(&format!("{row}; {row}")).await;
        reader.read().await.unwrap();
        assert!(feed.try_recv().is_ok() && feed.try_recv().is_ok() && feed.try_recv().is_err());
    }

    /// Its row names it by a number, which names nothing any more. The deletion is a row of its own.
    #[tokio::test]
    async fn the_growth_of_a_deleted_session_is_not_delivered() {
        let (database, db) = migrated().await;
        let (sender, mut feed) = broadcast::channel(16);
        let mut reader = OutboxReader::start(db, sender, broadcast::channel(16).0).await.unwrap();
        for sql in [
            "INSERT INTO teams (id, slug, name, plan_tier, created_at) VALUES ('t', 't', 't', 'free', 0)",
            "INSERT INTO sessions (team, session_id, id, user_id, metadata, sealed, created_at, synced_at) \
             SELECT number, 's-' || n, n, 'u', '{}', false, 0, 0 FROM teams, generate_series(1, 2) AS n",
            "UPDATE sessions SET revision = revision + 1, next_ordinal = 3",
            "DELETE FROM sessions WHERE session_id = 's-1'",
        ] {
            database.execute(sql).await;
        }
        reader.read().await.unwrap();
        let mut delivered = Vec::new();
        while let Ok(event) = feed.try_recv() {
            let DbChangeEvent::Change(change) = event else { panic!("{event:?}") };
            let id = change.session_id.as_ref().map(|id| id.as_str().to_owned());
            delivered.push((
                id.unwrap(),
                change.team_id.as_str().to_owned(),
                change.action,
                change.ordinal_to,
            ));
        }
        let change = |id: &str, action, to| (id.to_owned(), "t".to_owned(), action, to);
        let expected = [
            change("s-1", Action::Insert, 0),
            change("s-2", Action::Insert, 0),
            change("s-2", Action::Update, 3),
        ];
        assert_eq!(delivered, expected);
    }

    /// A number that was rolled back leaves a gap for good; more delivered rows than one read takes lie behind it.
    #[tokio::test]
    async fn a_gap_before_many_rows_does_not_stop_the_feed() {
        let (database, db) = migrated().await;
        let mut writer = sqlx::PgConnection::connect(database.url()).await.unwrap();
        let row = "INSERT INTO changes (xid, team_id, table_name, action, session_id, at) ";
        let burn = format!("BEGIN; {row} VALUES (0, 't', 'sessions', 'update', 's', 0); ROLLBACK;");
        let many = format!(
            "{row} SELECT 0, 't', 'sessions', 'update', 's', 0 FROM generate_series(1, {})",
            super::READ_ROWS + 1
        );
        for sql in [burn, many] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut writer).await.unwrap();
        }
        let (sender, mut feed) = broadcast::channel(16);
        let mut reader = OutboxReader::start(db, sender, broadcast::channel(16).0).await.unwrap();
        let new = format!("{row} VALUES (0, 't', 'sessions', 'update', 'new', 0)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(new)).execute(&mut writer).await.unwrap();
        reader.read().await.unwrap();
        let Ok(DbChangeEvent::Change(change)) = feed.try_recv() else { panic!("the new row is delivered") };
        assert_eq!(change.session_id.as_ref().map(|id| id.as_str()), Some("new"));
        assert!(feed.try_recv().is_err(), "and nothing else");
    }
}
