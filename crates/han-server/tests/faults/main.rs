//! Faults: programs, PostgreSQL and connections are killed at any moment, the disk is full. Acknowledged lines are stored
//! once, stored lines were announced, totals equal those of a rebuild, and everything recovers by itself. The engine is
//! `han_testkit::faults`; `script/bench faults` is the long version.
//!
//! `HAN_FAULT_SEED` repeats a run whose seed a failure printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod clients;
mod disk;
mod subscriptions;

use han_testkit::TestDatabase;
use han_testkit::faults::{Deployment, Fault};

pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_han-server");

pub(crate) fn seed(own: u64) -> u64 {
    std::env::var("HAN_FAULT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(own)
}

async fn on_postgres(own_seed: u64, faults: &[Fault]) {
    let mut deployment = Deployment::postgres(SERVER, seed(own_seed)).await;
    let report = deployment.run_with_faults("postgres", 3, 2, faults).await;
    deployment.assert_consistent(&report).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_loses_nothing() {
    on_postgres(1, &[Fault::Postmaster, Fault::Backend, Fault::Postmaster, Fault::Backend]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_postgres_connections_lose_nothing() {
    on_postgres(2, &[Fault::Terminate; 4]).await;
}

/// The dashboards are connected to the surviving replica, which is killed later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_replicas_lose_nothing() {
    on_postgres(3, &[Fault::Server, Fault::Server, Fault::Listener, Fault::Server, Fault::Listener]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_sockets_lose_nothing() {
    let cuts = [Fault::Request, Fault::Response, Fault::Dashboard];
    on_postgres(4, &cuts.repeat(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sqlite_server_with_cut_sockets_loses_nothing() {
    let database = TestDatabase::sqlite().await;
    let mut deployment = Deployment::sqlite(SERVER, database.url(), seed(5)).await;
    let faults = [Fault::Server, Fault::Request, Fault::Response, Fault::Dashboard].repeat(2);
    let report = deployment.run_with_faults("sqlite", 3, 2, &faults).await;
    deployment.assert_consistent(&report).await;
}
