//! Background jobs: one replica runs a job at a time, another one takes over, and errors are recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use han_db::entities::{JobState, JobStatus, Progress, RunOutcome};
use han_db::jobs::{Job, JobContext, Outcome, Registry, Schedule, SearchIndex};
use han_db::page::PageRequest;
use han_db::queries::{jobs, search};
use han_db::{Db, DbError};
use han_testkit::{TestClock, TestDatabase, both_databases};
use han_transcript::words::Query;
use sqlx::Connection as _;
use support::corpus::number;
use support::{World, push, world};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A lease that lasts longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// A lease short enough for a test to wait for, and long enough for a slow machine to renew.
const SHORT: Duration = Duration::from_millis(2_400);

/// An event that a test job reports.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Started { replica: String, interrupted: Option<Progress> },
    Ended,
}

/// Reports the end of a run, including panics and cancellation.
struct Ending(mpsc::UnboundedSender<Said>);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.send(Said::Ended);
    }
}

/// The behaviour of a run.
#[derive(Clone, Copy)]
enum Act {
    Return(Outcome),
    Fail,
    Panic,
    /// Returns when it is stopped.
    Wait,
    /// Ignores that it is stopped.
    Ignore,
}

/// A job with one behaviour per run; the last one repeats.
struct Scripted {
    schedule: Schedule,
    acts: Mutex<VecDeque<Act>>,
    said: mpsc::UnboundedSender<Said>,
}

#[async_trait::async_trait]
impl Job for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
        let act = {
            let mut acts = self.acts.lock().unwrap();
            if acts.len() > 1 { acts.pop_front() } else { acts.front().copied() }
        };
        let _ending = Ending(self.said.clone());
        let interrupted = context.interrupted().cloned();
        self.said.send(Said::Started { replica: context.replica().to_owned(), interrupted }).unwrap();
        context.progress(progress(1));
        match act.unwrap() {
            Act::Return(outcome) => Ok(outcome),
            Act::Fail => Err(DbError::RowMissing { table: "jobs", row: "é".repeat(400) }),
            Act::Panic => panic!("what a line said"),
            Act::Wait => {
                context.stopping().await;
                assert!(context.should_stop());
                Ok(Outcome::Stopped)
            }
            Act::Ignore => std::future::pending().await,
        }
    }
}

fn progress(done: u64) -> Progress {
    Progress { done, total: Some(9), unit: "teams".to_owned(), cursor: Some("t7".to_owned()) }
}

/// A server's jobs.
struct Replica {
    name: String,
    said: mpsc::UnboundedReceiver<Said>,
    stopping: CancellationToken,
    running: JoinHandle<()>,
}

impl Replica {
    fn start(db: &Db, lease: Duration, schedule: Schedule, acts: &[Act]) -> Self {
        let (sender, said) = mpsc::unbounded_channel();
        let job = Scripted { schedule, acts: Mutex::new(acts.iter().copied().collect()), said: sender };
        let registry = Registry::new(db.clone()).with_lease(lease).with(job);
        let (name, stopping) = (registry.replica().to_owned(), CancellationToken::new());
        let running = tokio::spawn(registry.run(stopping.clone()));
        Self { name, said, stopping, running }
    }

    async fn said(&mut self) -> Said {
        tokio::time::timeout(Duration::from_secs(30), self.said.recv()).await.expect("in time").unwrap()
    }

    /// Waits for the start of a run without earlier progress.
    async fn started(&mut self) {
        let started = Said::Started { replica: self.name.clone(), interrupted: None };
        assert_eq!(self.said().await, started);
    }

    async fn stop(self) {
        self.stopping.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.running).await.expect("in time").unwrap();
    }

    /// Like SIGKILL: nothing is released.
    async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

async fn status(db: &Db) -> JobStatus {
    let mut all = jobs::list(db).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Waits until the status of the job meets the condition.
async fn until(db: &Db, holds: impl Fn(&JobStatus) -> bool) -> JobStatus {
    let waits = async {
        loop {
            let status = status(db).await;
            if holds(&status) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits).await.expect("in time")
}

/// The database handle of another replica. On SQLite, all replicas of a test share one process and one handle.
async fn another(database: &TestDatabase, world: &World) -> Db {
    if database.is_postgres() {
        support::connect(database.url(), &world.clock).await
    } else {
        world.db.clone()
    }
}

both_databases!(
    /// Every replica tries to run the job again as soon as it has ended.
    async fn only_one_of_many_replicas_runs_a_job_at_a_time(database: TestDatabase) {
        struct Exclusive {
            inside: Arc<AtomicBool>,
            runs: Arc<AtomicUsize>,
            enough: CancellationToken,
        }

        #[async_trait::async_trait]
        impl Job for Exclusive {
            fn name(&self) -> &'static str {
                "exclusive"
            }

            fn schedule(&self) -> Schedule {
                Schedule::Every(Duration::ZERO)
            }

            async fn run(&self, context: &JobContext) -> Result<Outcome, DbError> {
                if self.inside.swap(true, Ordering::SeqCst) {
                    panic!("two at once");
                }
                // Long enough for the other replicas, which the end of the last run woke up, to request the lease.
                for _ in 0..20 {
                    jobs::list(context.db()).await?;
                }
                self.inside.store(false, Ordering::SeqCst);
                if self.runs.fetch_add(1, Ordering::SeqCst) >= 20 {
                    self.enough.cancel();
                }
                Ok(Outcome::Done)
            }
        }

        let world = world(&database).await;
        let (inside, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let enough = CancellationToken::new();
        let mut replicas = Vec::new();
        for _ in 0..6 {
            let db = another(&database, &world).await;
            let job = Exclusive { inside: inside.clone(), runs: runs.clone(), enough: enough.clone() };
            replicas.push(tokio::spawn(Registry::new(db).with_lease(LONG).with(job).run(enough.clone())));
        }
        for replica in replicas {
            tokio::time::timeout(Duration::from_secs(60), replica).await.expect("in time").unwrap();
        }
        let status = status(&world.db).await;
        assert_eq!((status.failures, status.last_error), (0, None));
        assert_eq!(status.runs, runs.load(Ordering::SeqCst) as u64);
    }
);

both_databases!(
    async fn a_replica_that_stops_releases_its_job_at_once(database: TestDatabase) {
        let world = world(&database).await;
        let other = another(&database, &world).await;
        let _feed = other.start_changes(CancellationToken::new()).await.unwrap();
        let mut one = Replica::start(&world.db, LONG, Schedule::Continuous, &[Act::Wait]);
        one.started().await;
        let running = status(&world.db).await;
        assert_eq!((running.state, running.holder.as_ref()), (JobState::Running, Some(&one.name)));
        assert_eq!(running.every, None);

        let mut two = Replica::start(&other, LONG, Schedule::Continuous, &[Act::Wait]);
        one.stop().await;
        let started = Said::Started { replica: two.name.clone(), interrupted: Some(progress(1)) };
        assert_eq!(two.said().await, started, "it continues where the other one stopped");
        assert_eq!(status(&world.db).await.holder.as_ref(), Some(&two.name));
        two.stop().await;

        let stopped = status(&world.db).await;
        assert_eq!((stopped.state, stopped.holder), (JobState::Idle, None));
        assert_eq!(stopped.last_outcome, Some(RunOutcome::Stopped));
        assert_eq!((stopped.runs, stopped.failures), (2, 0));
    }
);

both_databases!(
    async fn the_job_of_a_replica_that_died_is_taken_over_when_its_lease_ends(database: TestDatabase) {
        let world = world(&database).await;
        let other = another(&database, &world).await;
        let mut one = Replica::start(&world.db, SHORT, Schedule::Continuous, &[Act::Wait]);
        one.started().await;
        until(&world.db, |job| job.progress.is_some()).await;
        one.kill().await;
        let mut two = Replica::start(&other, SHORT, Schedule::Continuous, &[Act::Wait]);
        if !database.is_postgres() {
            world.clock.advance_seconds(3);
        }
        let started = Said::Started { replica: two.name.clone(), interrupted: Some(progress(1)) };
        assert_eq!(two.said().await, started);
        assert_eq!(status(&other).await.last_outcome, Some(RunOutcome::Lost));
        two.stop().await;
    }
);

both_databases!(
    async fn a_run_whose_lease_was_taken_is_ended(database: TestDatabase) {
        let world = world(&database).await;
        let mut replica = Replica::start(&world.db, SHORT, Schedule::Continuous, &[Act::Ignore]);
        replica.started().await;
        database
            .execute(
                "UPDATE jobs SET lease_holder = 'another', lease_number = lease_number + 1, \
                 lease_until = lease_until + 1000000",
            )
            .await;
        assert_eq!(replica.said().await, Said::Ended);
        let status = status(&world.db).await;
        assert_eq!((status.state, status.holder.as_deref()), (JobState::Running, Some("another")));
        replica.stop().await;
    }
);

both_databases!(
    async fn a_run_whose_lease_cannot_be_renewed_ends_before_the_lease(database: TestDatabase) {
        let world = world(&database).await;
        let began = Instant::now();
        let mut replica = Replica::start(&world.db, SHORT, Schedule::Continuous, &[Act::Ignore]);
        replica.started().await;
        world.db.close().await;
        let closed = Instant::now();
        assert_eq!(replica.said().await, Said::Ended);
        assert!(closed.elapsed() < SHORT, "the last renewal was sent before the close");
        assert!(began.elapsed() >= SHORT / 2, "one failure does not end it");
        replica.stop().await;
    }
);

both_databases!(
    async fn a_run_that_ignores_a_shutdown_is_ended(database: TestDatabase) {
        let world = world(&database).await;
        let mut replica = Replica::start(&world.db, SHORT, Schedule::Continuous, &[Act::Ignore]);
        replica.started().await;
        replica.stop().await;
        let status = status(&world.db).await;
        assert_eq!((status.state, status.last_outcome), (JobState::Idle, Some(RunOutcome::Stopped)));
    }
);

both_databases!(
    /// The delay before the next run grows; the test advances the clock.
    async fn errors_and_panics_are_recorded_and_the_job_is_tried_again(database: TestDatabase) {
        let world = world(&database).await;
        let acts = [Act::Fail, Act::Panic, Act::Return(Outcome::Done)];
        let hour = Duration::from_secs(3600);
        let mut replica = Replica::start(&world.db, SHORT, Schedule::Every(hour), &acts);
        let db = &world.db;

        replica.started().await;
        let failed = until(db, |job| job.state == JobState::Failed).await;
        assert_eq!(failed.last_outcome, Some(RunOutcome::Failed));
        assert_eq!(failed.every, Some(hour));
        let error = failed.last_error.unwrap();
        assert!((490..=500).contains(&error.len()) && error.ends_with('é'), "{error}");
        let wait = |job: &JobStatus| job.due_at.0 - job.last_finished_at.unwrap().0;
        let first_wait = failed.due_at.0 - failed.last_finished_at.unwrap().0;
        assert!(first_wait > 0);

        assert_eq!(replica.said().await, Said::Ended);
        world.clock.advance_seconds(3);
        assert!(matches!(replica.said().await, Said::Started { interrupted: Some(_), .. }));
        let panicked = until(db, |job| job.last_outcome == Some(RunOutcome::Panicked)).await;
        let error = panicked.last_error.as_ref().unwrap();
        assert!(error.contains(&replica.name) && !error.contains("what a line said"), "{error}");
        assert_eq!(wait(&panicked), 2 * first_wait);

        assert_eq!(replica.said().await, Said::Ended);
        world.clock.advance_seconds(3);
        assert!(matches!(replica.said().await, Said::Started { .. }));
        let done = until(db, |job| job.last_outcome == Some(RunOutcome::Done)).await;
        assert_eq!((done.state, done.runs, done.failures), (JobState::Idle, 3, 2));
        assert_eq!(wait(&done), 3_600_000);
        assert_eq!(done.last_error, panicked.last_error, "the last error stays, with its time");
        assert!(done.last_error_at.unwrap() <= done.last_started_at.unwrap());
        assert_eq!(done.progress, Some(progress(1)));
        replica.stop().await;
    }
);

/// A replica that runs the search index job, with its feed.
async fn indexer(db: &Db) -> (String, CancellationToken, JoinHandle<()>) {
    let stopping = CancellationToken::new();
    let changes = db.start_changes(CancellationToken::new()).await.unwrap();
    let registry =
        Registry::new(db.clone()).with_lease(SHORT).with(SearchIndex::new(changes.sender.clone(), |_| true));
    let name = registry.replica().to_owned();
    let token = stopping.clone();
    let running = tokio::spawn(async move {
        // The feed lives as long as its replica.
        let _changes = changes;
        registry.run(token).await;
    });
    (name, stopping, running)
}

fn line(n: usize) -> String {
    format!(
        r#"{{"type":"user","uuid":"u{n}","timestamp":"2026-01-01T00:00:00.000Z","message":{{"role":"user","content":"red build {n}"}}}}"#
    )
}

async fn until_indexed(world: &World) {
    let waits = async {
        while search::lag(&world.db.read(&world.scope, "search.lag").await.unwrap()).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits).await.expect("it is indexed in time");
}

async fn hits(world: &World) -> usize {
    let tx = world.db.read(&world.scope, "search.hits").await.unwrap();
    let (query, request) = (Query::parse("red").unwrap(), PageRequest { after: None, first: 100 });
    let within = search::Within::default();
    search::search(&tx, &query, &within, &request).await.unwrap().hits.len()
}

both_databases!(
    async fn another_replica_continues_indexing_when_the_first_dies(database: TestDatabase) {
        let world = world(&database).await;
        push(&world, "before", "main", Some(0), &[line(0), line(1)]).await;
        let one = support::connect(database.url(), &world.clock).await;
        let two = support::connect(database.url(), &world.clock).await;
        let (first, _first_stopping, first_running) = indexer(&one).await;
        until_indexed(&world).await;
        let (second, second_stopping, second_running) = indexer(&two).await;
        push(&world, "meanwhile", "main", Some(0), &[line(2)]).await;
        until_indexed(&world).await;
        let job = status(&world.db).await;
        assert_eq!((job.name.as_str(), job.holder.as_ref(), job.runs), ("search-index", Some(&first), 1));
        assert_eq!(hits(&world).await, 3);

        first_running.abort();
        assert!(first_running.await.unwrap_err().is_cancelled());
        push(&world, "after", "main", Some(0), &[line(3)]).await;
        if !database.is_postgres() {
            world.clock.advance_seconds(3);
        }
        let job = until(&world.db, |job| job.holder.as_ref() == Some(&second)).await;
        assert_eq!(job.runs, 2);
        until_indexed(&world).await;
        assert_eq!(hits(&world).await, 4);
        let terms = support::dump(&database, "SELECT session, first_ordinal FROM search_terms").await;
        assert_eq!(terms.len(), 3, "each push is a segment, which is indexed once");
        second_stopping.cancel();
        second_running.await.unwrap();
        assert_eq!(
            status(&world.db).await.progress.map(|progress| progress.unit),
            Some("sessions".to_owned())
        );
    }
);

/// A session whose lines take long holds up no other, also one that is pushed to meanwhile.
#[tokio::test]
async fn a_session_that_takes_long_to_index_holds_up_no_other() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    push(&world, "long", "main", Some(0), &[line(0)]).await;
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let mut lock = conn.begin().await.unwrap();
    sqlx::query("SELECT number FROM sessions FOR UPDATE").fetch_all(&mut *lock).await.unwrap();
    let (_, stopping, running) = indexer(&world.db).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let search = async {
        while number(&database, waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        push(&world, "short", "main", Some(0), &[line(1)]).await;
        while hits(&world).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), search).await.expect("the other session is indexed");
    assert_eq!(hits(&world).await, 1);
    lock.rollback().await.unwrap();
    until_indexed(&world).await;
    assert_eq!(hits(&world).await, 2);
    stopping.cancel();
    running.await.unwrap();
}

/// Replicas whose clocks differ by hours agree on who holds a lease.
#[tokio::test]
async fn on_postgresql_the_clocks_of_replicas_do_not_matter() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let mut one = Replica::start(&world.db, LONG, Schedule::Continuous, &[Act::Wait]);
    one.started().await;
    let fast = TestClock::default();
    fast.advance_seconds(86_400);
    let other = support::connect(database.url(), &fast).await;
    let two = Replica::start(&other, LONG, Schedule::Continuous, &[Act::Wait]);
    assert_eq!(status(&other).await.state, JobState::Running);
    two.stop().await;
    assert_eq!(status(&other).await.holder.as_ref(), Some(&one.name));
    one.stop().await;
}

/// On SQLite the machine's clock counts; on PostgreSQL the server's.
#[tokio::test]
async fn a_clock_that_was_ahead_does_not_stop_a_job() {
    let database = TestDatabase::sqlite().await;
    let world = world(&database).await;
    let year = 365 * 24 * 3600;
    world.clock.advance_seconds(year);
    let hourly = Schedule::Every(Duration::from_secs(3600));
    let mut ahead = Replica::start(&world.db, LONG, hourly, &[Act::Return(Outcome::Done)]);
    ahead.started().await;
    until(&world.db, |job| job.last_outcome == Some(RunOutcome::Done)).await;
    ahead.stop().await;

    world.clock.advance_seconds(-year);
    let mut corrected = Replica::start(&world.db, LONG, hourly, &[Act::Return(Outcome::Done)]);
    corrected.started().await;
    corrected.stop().await;
}
