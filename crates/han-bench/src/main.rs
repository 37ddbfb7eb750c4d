//! The benchmarks that docs/benchmarks.md quotes. Each measures beside its baseline, in the same run, and ends with
//! one line `NAME: FIGURE (goal GOAL)`; the exit status says whether the goal holds.
//!
//! `script/bench NAME` builds what is measured and starts the PostgreSQL it is measured on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its table, and ends where it cannot measure"
)]

mod cpu;
mod figure;
mod ingest;
mod target;

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
    /// HTTP to durable, sealed commit, beside binary COPY of the same ciphertext.
    Ingest(ingest::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let figure = match Cli::parse().name {
        Name::Ingest(options) => ingest::run(options).await,
    };
    figure.report()
}
