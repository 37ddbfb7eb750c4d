//! The binary: passes arguments, environment and standard streams to [`han_coordinator::cli`].

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use han_coordinator::cli::{Cli, Environment, run};
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // The log goes to standard error, because standard output has the report (as JSON with --json).
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .without_time()
        .with_target(false)
        .init();
    let environment = Environment::of_process();
    run(cli, &environment, &mut io::stdout(), &mut io::stderr()).await.into()
}
