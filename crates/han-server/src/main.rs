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

/// The stack of a worker thread, in bytes: twice the default of Rust. The deepest filter that a query may have takes a part
/// of it for each level, and an overflow ends the process.
const STACK_BYTES: usize = 4 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    match runtime {
        Ok(runtime) => runtime.block_on(start(cli)),
        Err(error) => {
            let _ =
                writeln!(io::stderr(), "han-server: the threads of the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(cli: Cli) -> ExitCode {
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
