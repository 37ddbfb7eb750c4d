//! The live feed: what the outbox says has changed, told once to everyone in this process who listens.
//!
//! Triggers write one row to `changes` in the transaction that changed something. This reader delivers every row
//! that it can see and has not delivered yet. Sequence numbers do not commit in order, so "everything after the
//! last one" would lose rows; waiting until no earlier transaction is left would let any idle transaction hold up
//! the feed. Instead a row is delivered as soon as it is visible, its number is remembered in `seen`, and the
//! point before which nothing can appear any more only tells what may be forgotten:
//!
//! * a *checkpoint* is the greatest number delivered, and a transaction id taken after it. Whoever took a number up to
//!   that one had a transaction id before that one. (A snapshot's `xmax` would not do: it is one past the last id that
//!   has *ended*, and later ones may be running. The sequence's last value would not do either: a crash of PostgreSQL
//!   takes back numbers that only transactions without a durable commit had taken, and hands them out again; one that
//!   was delivered is durable, and so are all before it.);
//! * once no transaction before that id is running (`xmin`), a read that began then has seen every such row.
//!
//! What woke the reader does not matter to what it delivers: a NOTIFY of another replica, a commit of this process,
//! or the slow poll that covers a replica killed between its commit and its NOTIFY (docs/adr/0004).

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use han_types::{Scope, SessionId, TeamId, UserId};
use sea_orm::FromQueryResult;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, OnceCell, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::dialect::Dialect;
use crate::entities::Session;
use crate::queries::arrived::{self, Arrived};
use crate::queries::calls;
use crate::queries::messages::{self, IndexedMessage};
use crate::queries::sessions;
use crate::stored::stored;
use crate::tx::SystemTx;
use crate::{Db, DbError};

/// The channel of LISTEN and NOTIFY.
const CHANNEL: &str = "db_changes";
/// The channel on which a replica says that it has ended a job's lease.
pub(crate) const JOBS_CHANNEL: &str = "db_jobs";
/// How long the notifier gathers commits before it tells the other replicas.
const COALESCE: Duration = Duration::from_millis(10);
/// How often the outbox is read when nothing woke the reader.
const SAFETY_POLL: Duration = Duration::from_secs(2);
/// How long after a failure the reader or the listener tries again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How many rows one read takes.
const READ_ROWS: usize = 5_000;
/// How far back a reader that starts looks for numbers that must not be delivered anew.
const START_WINDOW: i64 = 100_000;
/// How many events a subscriber may lag behind before it is told to fetch anew.
const FEED_CAPACITY: usize = 4_096;
/// The same for a connection, which then reads its rights again.
const ACCESS_CAPACITY: usize = 256;
/// The most messages that came at once and are told one by one; of more, subscribers hear that they should fetch.
const MOST_TOLD: i64 = 10_000;
/// How many loaded batches, and how many bytes of them, are kept for those who are told of them a moment later.
const RECENT_BATCHES: usize = 256;
const RECENT_BYTES: usize = 32 << 20;
/// How long outbox rows are kept, in milliseconds.
const KEEP_MS: i64 = 15 * 60 * 1000;
/// How often old rows are trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum DbChangeEvent {
    /// Something changed.
    Change(Arc<Change>),
    /// A right of this person's may have ended or changed: a membership, a key, a browser's session. Whoever serves
    /// them on an open connection reads it again.
    Access(Arc<UserId>),
    /// Changes may have been missed: fetch anew.
    Resync,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Insert,
    /// It changed.
    Update,
    /// It is gone.
    Delete,
}

/// A change. It carries ids only; what it speaks of is loaded once, by whoever asks first.
#[derive(Debug)]
pub struct Change {
    /// Its number in the outbox.
    pub seq: i64,
    /// Whose data changed.
    pub team_id: TeamId,
    /// The table whose row changed: `sessions`.
    pub table: String,
    /// What happened to it.
    pub action: Action,
    /// The session it belongs to.
    pub session_id: Option<SessionId>,
    /// The first ordinal of the lines that came with it.
    pub ordinal_from: i64,
    /// The ordinal after the last of them; the same as `ordinal_from` where none came.
    pub ordinal_to: i64,
    session: OnceCell<Option<Arc<Session>>>,
    /// Locked while they are loaded, so that one who asks loads them for all.
    messages: tokio::sync::Mutex<Loaded>,
    late_calls: tokio::sync::Mutex<Loaded>,
    arrived: OnceCell<Option<Arc<Arrived>>>,
    recent: Arc<Recent>,
}

/// The messages that came with a change. They live as long as somebody shows them or [`Recent`] keeps them; whoever
/// comes later reads them again.
#[derive(Debug, Default)]
enum Loaded {
    #[default]
    NotYet,
    Here(Weak<Vec<IndexedMessage>>),
    TooMuch,
}

/// The batches of messages that were loaded last, so that all who are told of a change find them loaded. The feed
/// itself holds thousands of changes, and must not hold what they speak of.
#[derive(Debug, Default)]
struct Recent(Mutex<(VecDeque<(usize, Batch)>, usize)>);

type Batch = Arc<Vec<IndexedMessage>>;

impl Recent {
    fn keep(&self, batch: &Batch) {
        let size: usize = batch.iter().map(|new| new.message.body.as_ref().map_or(0, String::len)).sum();
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (batches, bytes) = &mut *recent;
        batches.push_back((size, Arc::clone(batch)));
        *bytes += size;
        while batches.len() > RECENT_BATCHES || (*bytes > RECENT_BYTES && batches.len() > 1) {
            *bytes -= batches.pop_front().map_or(0, |(size, _)| size);
        }
    }
}

impl Change {
    /// The session that changed, as it is now; `None` for a scope of another team, or where it is gone.
    ///
    /// Where the load fails, the next caller tries again.
    pub async fn session(&self, scope: &Scope, db: &Db) -> Result<Option<Arc<Session>>, DbError> {
        let Some(id) = self.session_id.as_ref().filter(|_| *scope.team_id() == self.team_id) else {
            return Ok(None);
        };
        let load = || async {
            let tx = db.read(scope, "changes.session").await?;
            let found = sessions::by_ids(&tx, std::slice::from_ref(id)).await?;
            Ok::<_, DbError>(found.into_iter().next().map(Arc::new))
        };
        self.session.get_or_try_init(load).await.cloned()
    }

    /// The listed messages that came with it, oldest first; none for a scope of another team. `None` where they are
    /// too much to be held at once: fetch them by pages.
    ///
    /// Where the load fails, the next caller tries again.
    pub async fn messages(&self, scope: &Scope, db: &Db) -> Result<Option<Batch>, DbError> {
        let Some(id) = self.session_id.as_ref().filter(|_| *scope.team_id() == self.team_id) else {
            return Ok(Some(Arc::default()));
        };
        let (from, to) = (self.ordinal_from, self.ordinal_to);
        if to <= from {
            return Ok(Some(Arc::default()));
        }
        if to - from > MOST_TOLD {
            return Ok(None);
        }
        let mut loaded = self.messages.lock().await;
        match &*loaded {
            Loaded::TooMuch => return Ok(None),
            Loaded::Here(batch) => {
                if let Some(batch) = batch.upgrade() {
                    return Ok(Some(batch));
                }
            }
            Loaded::NotYet => {}
        }
        let tx = db.read(scope, "changes.messages").await?;
        let batch = match messages::taken_in(&tx, id, from, to).await {
            Ok(messages) => Arc::new(messages),
            Err(DbError::TooMuch { .. }) => {
                *loaded = Loaded::TooMuch;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        *loaded = Loaded::Here(Arc::downgrade(&batch));
        self.recent.keep(&batch);
        Ok(Some(batch))
    }

    /// The listed messages of earlier changes whose calls or hook runs this change answers, in the order of the results;
    /// none for a scope of another team. `None` if they are too many to hold at once.
    ///
    /// If the load fails, the next caller tries again.
    pub async fn late_calls(&self, scope: &Scope, db: &Db) -> Result<Option<Batch>, DbError> {
        let Some(id) = self.session_id.as_ref().filter(|_| *scope.team_id() == self.team_id) else {
            return Ok(Some(Arc::default()));
        };
        let Some(arrived) = self.arrived(scope, db).await? else { return Ok(None) };
        if arrived.answered.is_empty() {
            return Ok(Some(Arc::default()));
        }
        let mut loaded = self.late_calls.lock().await;
        match &*loaded {
            Loaded::TooMuch => return Ok(None),
            Loaded::Here(batch) => {
                if let Some(batch) = batch.upgrade() {
                    return Ok(Some(batch));
                }
            }
            Loaded::NotYet => {}
        }
        let tx = db.read(scope, "changes.late_calls").await?;
        let batch = match calls::late(&tx, id, self.ordinal_from, &arrived.answered).await {
            Ok(messages) => Arc::new(messages),
            Err(DbError::TooMuch { .. }) => {
                *loaded = Loaded::TooMuch;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        *loaded = Loaded::Here(Arc::downgrade(&batch));
        self.recent.keep(&batch);
        Ok(Some(batch))
    }

    /// Results, hooks, file changes and to-dos that came with it; nothing for a scope of another team, and `None`
    /// where too much came at once for it to be told.
    ///
    /// Where the load fails, the next caller tries again.
    pub async fn arrived(&self, scope: &Scope, db: &Db) -> Result<Option<Arc<Arrived>>, DbError> {
        let Some(id) = self.session_id.as_ref().filter(|_| *scope.team_id() == self.team_id) else {
            return Ok(Some(Arc::default()));
        };
        let (from, to) = (self.ordinal_from, self.ordinal_to);
        if to <= from {
            return Ok(Some(Arc::default()));
        }
        if to - from > MOST_TOLD {
            return Ok(None);
        }
        let load = || async {
            let tx = db.read(scope, "changes.derived").await?;
            match arrived::between(&tx, id, from, to).await {
                Ok(arrived) => Ok(Some(Arc::new(arrived))),
                Err(DbError::TooMuch { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.arrived.get_or_try_init(load).await.cloned()
    }
}

/// Wakes the reader and the notifier after a commit of this process.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    reader: Notify,
    notifier: Notify,
    jobs: watch::Sender<()>,
}

impl Commits {
    /// Says that something was committed.
    pub(crate) fn notify(&self) {
        self.reader.notify_one();
        self.notifier.notify_one();
    }

    /// Wakes the jobs of this process that wait for a lease.
    pub(crate) fn wake_jobs(&self) {
        self.jobs.send_replace(());
    }

    /// Changes when a lease may have ended.
    pub(crate) fn lease_ends(&self) -> watch::Receiver<()> {
        self.jobs.subscribe()
    }
}

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
    /// Starts the feed. What was committed before this returns is not told; everything after is.
    ///
    /// # Errors
    /// Where the outbox cannot be read.
    pub async fn start_changes(&self, shutdown: CancellationToken) -> Result<Changes, DbError> {
        let (sender, _) = broadcast::channel(FEED_CAPACITY);
        let (access, _) = broadcast::channel(ACCESS_CAPACITY);
        let reader = Reader::start(self.clone(), sender.clone(), access.clone()).await?;
        let mut tasks = vec![
            tokio::spawn(until(shutdown.clone(), reader.run())),
            tokio::spawn(until(shutdown.clone(), trim(self.clone()))),
        ];
        if self.dialect() == Dialect::Postgres {
            tasks.push(tokio::spawn(until(shutdown.clone(), listen(self.clone()))));
            tasks.push(tokio::spawn(until(shutdown, notify(self.clone()))));
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

#[derive(FromQueryResult)]
struct ChangeRow {
    seq: i64,
    team_id: String,
    table_name: String,
    action: String,
    session_id: Option<String>,
    ordinal_from: Option<i64>,
    ordinal_to: Option<i64>,
    user_id: Option<String>,
}

#[derive(FromQueryResult)]
struct Horizon {
    /// Transactions before this id have ended.
    xmin: i64,
    trimmed: i64,
}

#[derive(FromQueryResult)]
struct Xid {
    xid: i64,
}

#[derive(FromQueryResult)]
struct Last {
    seq: i64,
}

/// A point in the outbox: see the module's own words.
struct Checkpoint {
    seq: i64,
    before_xid: i64,
}

struct Reader {
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

impl Reader {
    async fn start(
        db: Db,
        sender: broadcast::Sender<DbChangeEvent>,
        access: broadcast::Sender<DbChangeEvent>,
    ) -> Result<Self, DbError> {
        let tx = db.read_system_latest("changes.start").await?;
        let last = last_seq(&tx).await?;
        let trimmed = tx
            .one::<Last, _>("SELECT trimmed_seq AS seq FROM outbox_state", [])
            .await?
            .map_or(0, |row| row.seq);
        let settled = (last - START_WINDOW).max(trimmed);
        let rows: Vec<Last> =
            tx.all("SELECT seq FROM changes WHERE seq > $1 ORDER BY seq", [settled.into()]).await?;
        let seen = rows.into_iter().map(|row| row.seq).collect();
        let recent = Arc::default();
        Ok(Self { db: db.clone(), sender, access, settled, seen, read_to: last, checkpoint: None, recent })
    }

    async fn run(mut self) {
        let mut backoff = BACKOFF.0;
        loop {
            match self.read().await {
                Ok(()) => {
                    backoff = BACKOFF.0;
                    let db = self.db.clone();
                    let woken = db.commits().reader.notified();
                    let _ = tokio::time::timeout(SAFETY_POLL, woken).await;
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
        let tx = self.db.read_system_latest("changes.read").await?;
        // The order of these reads matters: the horizon first, the rows after it.
        let horizon = match tx.dialect() {
            Dialect::Postgres => {
                tx.one::<Horizon, _>(
                    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin, \
                     (SELECT trimmed_seq FROM outbox_state) AS trimmed",
                    [],
                )
                .await?
            }
            // One writer: numbers commit in order, and nothing is ever running before the present.
            Dialect::Sqlite => {
                tx.one("SELECT 1 AS xmin, (SELECT trimmed_seq FROM outbox_state) AS trimmed", []).await?
            }
        };
        let missing = || DbError::RowMissing { table: "outbox_state", row: "1".to_owned() };
        let horizon = horizon.ok_or_else(missing)?;
        if horizon.trimmed > self.read_to {
            tracing::warn!("the outbox was trimmed past what was read of it: subscribers fetch anew");
            self.settled = self.settled.max(horizon.trimmed);
            self.seen = self.seen.split_off(&(self.settled + 1));
            let _ = self.sender.send(DbChangeEvent::Resync);
            let _ = self.access.send(DbChangeEvent::Resync);
        }
        let sql = format!(
            "SELECT seq, team_id, table_name, action, session_id, ordinal_from, ordinal_to, user_id FROM changes \
             WHERE seq > $1 ORDER BY seq LIMIT {READ_ROWS}"
        );
        // Onward from what was read, not from the first gap again: behind a gap may lie more rows than one read
        // takes, all of them delivered.
        let mut from = self.first_unseen();
        loop {
            let rows: Vec<ChangeRow> = tx.all(&sql, [from.into()]).await?;
            let more = rows.len() == READ_ROWS;
            for row in rows {
                from = row.seq;
                self.read_to = self.read_to.max(row.seq);
                if self.seen.insert(row.seq) {
                    self.deliver(row)?;
                }
            }
            if !more {
                break;
            }
        }
        self.settle(&tx, &horizon).await
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
            let before_xid = match tx.dialect() {
                Dialect::Postgres => {
                    let sql = "SELECT pg_current_xact_id()::text::bigint AS xid";
                    tx.one::<Xid, _>(sql, []).await?.map_or(i64::MAX, |row| row.xid)
                }
                Dialect::Sqlite => 1,
            };
            self.checkpoint = Some(Checkpoint { seq: last, before_xid });
        }
        Ok(())
    }

    fn deliver(&self, row: ChangeRow) -> Result<(), DbError> {
        if let Some(user_id) = row.user_id {
            let user_id: UserId = stored(&user_id, "changes", "user_id", row.seq)?;
            let event = DbChangeEvent::Access(Arc::new(user_id));
            let _ = self.sender.send(event.clone());
            let _ = self.access.send(event);
            return Ok(());
        }
        let change = Change {
            seq: row.seq,
            team_id: stored(&row.team_id, "changes", "team_id", row.seq)?,
            table: row.table_name,
            action: match row.action.as_str() {
                "insert" => Action::Insert,
                "update" => Action::Update,
                "delete" => Action::Delete,
                _ => return Err(DbError::malformed("changes", "action", row.seq)),
            },
            session_id: row.session_id.map(|id| stored(&id, "changes", "session_id", row.seq)).transpose()?,
            ordinal_from: row.ordinal_from.unwrap_or_default(),
            ordinal_to: row.ordinal_to.unwrap_or_default(),
            session: OnceCell::new(),
            messages: tokio::sync::Mutex::default(),
            late_calls: tokio::sync::Mutex::default(),
            recent: Arc::clone(&self.recent),
            arrived: OnceCell::new(),
        };
        // No subscriber is no error.
        let _ = self.sender.send(DbChangeEvent::Change(Arc::new(change)));
        Ok(())
    }
}

/// The last number that the outbox handed out.
async fn last_seq(tx: &SystemTx) -> Result<i64, DbError> {
    let sql = match tx.dialect() {
        Dialect::Postgres => {
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS seq FROM changes_seq_seq"
        }
        Dialect::Sqlite => "SELECT COALESCE(MAX(seq), 0) AS seq FROM changes",
    };
    Ok(tx.one::<Last, _>(sql, []).await?.map_or(0, |row| row.seq))
}

/// Hears the other replicas, on a connection of its own. Whatever was said while the connection was away is found
/// in the outbox: every reconnection wakes the reader.
async fn listen(db: Db) {
    let mut backoff = BACKOFF.0;
    loop {
        match listener(&db).await {
            Ok(mut listener) => {
                // Only a LISTEN that succeeded proves that the database is well again.
                backoff = BACKOFF.0;
                db.commits().reader.notify_one();
                db.commits().wake_jobs();
                loop {
                    match listener.try_recv().await {
                        Ok(Some(notice)) if notice.channel() == JOBS_CHANNEL => db.commits().wake_jobs(),
                        Ok(Some(_)) => db.commits().reader.notify_one(),
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
    listener.listen_all([CHANNEL, JOBS_CHANNEL]).await?;
    Ok(listener)
}

/// Tells the other replicas, off the write path: NOTIFY takes a lock of the whole cluster until its commit, so one
/// speaks for all commits of the last few milliseconds.
async fn notify(db: Db) {
    loop {
        db.commits().notifier.notified().await;
        tokio::time::sleep(COALESCE).await;
        let told = db
            .write_system("changes.notify", |tx| async move {
                let sql =
                    "SELECT pg_notify($1, json_build_object('seq', last_value)::text) FROM changes_seq_seq";
                tx.rows(sql, [CHANNEL.into()]).await.map(|_| ())
            })
            .await;
        if let Err(error) = told {
            // The others find the rows with their next poll.
            tracing::warn!(%error, "NOTIFY failed");
        }
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
        self.write_system("changes.trim", |tx| async move {
            let last = tx
                .one::<Last, _>(
                    "SELECT COALESCE(MAX(seq), 0) AS seq FROM changes WHERE at < $1",
                    [before.into()],
                )
                .await?
                .map_or(0, |row| row.seq);
            if last == 0 {
                return Ok(0);
            }
            let deleted = tx.execute("DELETE FROM changes WHERE at < $1", [before.into()]).await?;
            let greatest = tx.dialect().greatest();
            tx.execute(
                &format!("UPDATE outbox_state SET trimmed_seq = {greatest}(trimmed_seq, $1) WHERE id = 1"),
                [last.into()],
            )
            .await?;
            Ok(deleted)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use han_crypto::{KekRing, OsEntropy};
    use han_testkit::{TestClock, TestDatabase};
    use sqlx::Connection as _;
    use tokio::sync::broadcast;

    use super::{DbChangeEvent, Reader};
    use crate::{Db, DbConfig};

    /// The newest transaction of all is still open while the outbox is read again and again: nothing it wrote may
    /// be taken for settled.
    #[tokio::test]
    async fn a_number_of_the_newest_open_transaction_is_waited_for() {
        let database = TestDatabase::postgres().await;
        let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned();
        let keks = KekRing::from_secrets(&secret.into(), None).unwrap();
        let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(OsEntropy::new()));
        let db = Db::connect(&DbConfig::new(database.url()), keks, clock, entropy).await.unwrap();
        db.migrate().await.unwrap();
        let (sender, mut feed) = broadcast::channel(16);
        let mut reader = Reader::start(db, sender, broadcast::channel(16).0).await.unwrap();

        let mut open = sqlx::PgConnection::connect(database.url()).await.unwrap();
        let mut open = open.begin().await.unwrap();
        let sql = "INSERT INTO sessions (team_id, session_id, id, user_id, metadata, sealed, created_at, synced_at) \
             VALUES ('t', 's', 's', 'u', '{}', false, 0, 0)";
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
        assert!(feed.try_recv().is_err(), "told once");
        assert_eq!(reader.settled, 1, "and then forgotten");
        assert!(reader.seen.is_empty());
    }

    /// A crash of PostgreSQL takes numbers back that nobody durably used. What is written under them afterwards is told
    /// all the same.
    #[tokio::test]
    async fn numbers_that_a_crash_took_back_are_told_when_they_are_used_again() {
        let database = TestDatabase::postgres().await;
        let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned();
        let keks = KekRing::from_secrets(&secret.into(), None).unwrap();
        let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(OsEntropy::new()));
        let db = Db::connect(&DbConfig::new(database.url()), keks, clock, entropy).await.unwrap();
        db.migrate().await.unwrap();
        let (sender, mut feed) = broadcast::channel(16);
        let mut reader = Reader::start(db, sender, broadcast::channel(16).0).await.unwrap();
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

    /// A number that was rolled back leaves a gap for good; more delivered rows than one read takes lie behind it.
    #[tokio::test]
    async fn a_gap_before_many_rows_does_not_stop_the_feed() {
        let database = TestDatabase::postgres().await;
        let secret = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned();
        let keks = KekRing::from_secrets(&secret.into(), None).unwrap();
        let (clock, entropy) = (Arc::new(TestClock::default()), Arc::new(OsEntropy::new()));
        let db = Db::connect(&DbConfig::new(database.url()), keks, clock, entropy).await.unwrap();
        db.migrate().await.unwrap();
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
        let mut reader = Reader::start(db, sender, broadcast::channel(16).0).await.unwrap();
        let new = format!("{row} VALUES (0, 't', 'sessions', 'update', 'new', 0)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(new)).execute(&mut writer).await.unwrap();
        reader.read().await.unwrap();
        let Ok(DbChangeEvent::Change(change)) = feed.try_recv() else { panic!("the new row is delivered") };
        assert_eq!(change.session_id.as_ref().map(|id| id.as_str()), Some("new"));
        assert!(feed.try_recv().is_err(), "and nothing else");
    }
}
