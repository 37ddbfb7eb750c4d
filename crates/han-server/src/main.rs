//! The binary: hands arguments, environment, the wall clock and the standard streams to [`han_server::commands`],
//! and nothing else.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use han_crypto::OsEntropy;
use han_http::system::{SystemClock, shutdown_signal, start_log};
use han_server::commands::{Cli, World, run};
use han_server::config::LogConfig;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let lookup = |name: &str| std::env::var(name).ok();
    let log = LogConfig::load(&lookup);
    start_log(&log.filter, log.format);
    let shutdown = CancellationToken::new();
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            shutdown_signal().await;
            shutdown.cancel();
        }
    });
    let world = World {
        lookup: &lookup,
        names: std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy::new()),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        shutdown,
    };
    match run(cli, world).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "han-server: {error}");
            ExitCode::FAILURE
        }
    }
}
