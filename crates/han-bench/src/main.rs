//! The benchmarks that docs/benchmarks.md quotes. Each measures a baseline in the same run. Its last line is
//! `NAME: FIGURE (goal GOAL)`, and the exit status is 0 if the goal is met.
//!
//! `script/bench NAME` builds the server and starts PostgreSQL for the benchmark.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its table, and aborts if it cannot measure"
)]

mod abuse;
mod copy;
mod cpu;
mod disk;
mod embedded;
mod faults;
mod figure;
mod history;
mod hostile;
mod idle;
mod ingest;
mod jobs;
mod layouts;
mod lists;
mod live;
mod real;
mod rollups;
mod rotate;
mod search;
mod sizes;
mod stored;
mod subscriptions;
mod target;
mod wal;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks of Han Teams.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    name: Name,
}

#[derive(Subcommand)]
enum Name {
    /// Disk space of generated and of real lines, compared with their size as JSONL.
    Disk(disk::Options),
    /// From HTTP request to durable, sealed commit, compared with binary COPY of the lines sealed one by one; WAL.
    Ingest(ingest::Options),
    /// Real transcripts pushed to a server on SQLite, compared with agentsview's sync of the same files.
    Embedded(embedded::Options),
    /// Many sessions that push a few lines per second: latency, and disk space compared with a push in bulk.
    Live(live::Options),
    /// Ingest with subscribed dashboards, compared with ingest without.
    Push(subscriptions::PushOptions),
    /// Latency from a commit to a thousand subscribers.
    Fanout(subscriptions::FanoutOptions),
    /// Ten thousand open sockets: memory and delivery.
    Sockets(subscriptions::SocketsOptions),
    /// SIGTERM with a thousand sockets open.
    Drain(subscriptions::DrainOptions),
    /// Memory and start time of an idle server on SQLite.
    Idle(idle::Options),
    /// Rejection of documents over the limits, compared with the smallest valid document.
    Hostile(hostile::Options),
    /// Lists and dashboards with thirty times the history, the last page of a long session, sealed pages, and pages of
    /// the layout before segments.
    Lists(lists::Options),
    /// Random kills of servers, PostgreSQL, backends and sockets under load.
    Faults(faults::Options),
    /// Search over sealed lines, compared with ILIKE on their plaintext.
    Search(search::Options),
    /// Rotation of keys: re-wrapping compared with UPDATE, ingest and reads meanwhile, and the KEK of many teams.
    Rotate(rotate::Options),
    /// Attacks from outside and by a user: memory, and the response time of an honest client.
    Abuse(abuse::Options),
    /// The attacker of `abuse`.
    #[command(hide = true)]
    Attacker(abuse::AttackerOptions),
    /// Uses a share of one core, in percent.
    #[command(hide = true)]
    Burner {
        #[arg(long)]
        percent: u64,
    },
    /// Subscribers for the other benchmarks.
    #[command(hide = true)]
    Watch(watch::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let figure = match Cli::parse().name {
        Name::Disk(options) => disk::run(options).await,
        Name::Ingest(options) => ingest::run(options).await,
        Name::Embedded(options) => embedded::run(options).await,
        Name::Live(options) => live::run(options).await,
        Name::Push(options) => subscriptions::push(options).await,
        Name::Fanout(options) => subscriptions::fanout(options).await,
        Name::Sockets(options) => subscriptions::sockets(options).await,
        Name::Drain(options) => subscriptions::drain(options).await,
        Name::Idle(options) => idle::run(options).await,
        Name::Hostile(options) => hostile::run(options).await,
        Name::Lists(options) => lists::run(options).await,
        Name::Search(options) => search::run(options).await,
        Name::Rotate(options) => rotate::run(options).await,
        Name::Faults(options) => faults::run(options).await,
        Name::Abuse(options) => abuse::run(options).await,
        Name::Attacker(options) => {
            abuse::attacker(options).await;
            return ExitCode::SUCCESS;
        }
        Name::Burner { percent } => {
            abuse::burn(percent);
            return ExitCode::SUCCESS;
        }
        Name::Watch(options) => {
            watch::run(options).await;
            return ExitCode::SUCCESS;
        }
    };
    figure.report()
}
