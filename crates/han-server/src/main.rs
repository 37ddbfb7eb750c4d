//! The binary: hands arguments, environment, the wall clock and the standard streams to [`han_server::commands`],
//! and nothing else.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use han_crypto::OsEntropy;
use han_server::commands::{Cli, World, run};
use han_server::config::{LogConfig, LogFormat};
use han_types::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the binary is where the wall clock comes from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let lookup = |name: &str| std::env::var(name).ok();
    start_log(&LogConfig::load(&lookup));
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_when_told_to_stop(shutdown.clone()));
    let world = World {
        lookup: &lookup,
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

/// The log goes to standard error: standard output stays what a command was asked for.
fn start_log(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    match config.format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// SIGTERM is how platforms stop a process, SIGINT how a person does.
async fn cancel_when_told_to_stop(shutdown: CancellationToken) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            shutdown.cancel();
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    shutdown.cancel();
}
