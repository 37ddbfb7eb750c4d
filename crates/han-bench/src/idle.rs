//! `idle`: memory and start time of an idle han-server on SQLite.

use std::time::{Duration, Instant};

use clap::Args;
use han_testkit::Program;

use crate::cpu;
use crate::figure::{Figure, median};
use crate::target::server_path;

/// Options of `idle`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of starts, each on a new database, after one warm-up.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// The idle time before memory is measured, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

pub(crate) async fn run(options: Options) -> Figure {
    let client = reqwest::Client::new();
    let (mut starts, mut restarts, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    println!("{:>6} {:>16} {:>16} {:>13}", "start", "new database s", "existing one s", "resident MiB");
    for start in 0..=options.starts {
        let directory = std::env::temp_dir().join(format!("han-bench-idle-{}-{start}", std::process::id()));
        let directory_text = directory.to_string_lossy().into_owned();
        let mut seconds = Vec::new();
        let mut mebibytes = 0.0;
        for _ in 0..2 {
            let began = Instant::now();
            let env = [("HAN_DATA_DIR", directory_text.as_str()), ("HAN_LISTEN", "127.0.0.1:0")];
            let mut server = Program::start(server_path(), ["serve"], env);
            let line = server.wait_for_line("listening on ").await;
            let url = line.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next());
            let url = format!("{}/ready", url.expect("an address"));
            while !client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            seconds.push(began.elapsed().as_secs_f64());
            tokio::time::sleep(Duration::from_secs(options.seconds)).await;
            mebibytes = server.id().map(cpu::resident_kib).unwrap_or_default() as f64 / 1024.0;
        }
        let _ = std::fs::remove_dir_all(&directory);
        println!("{start:>6} {:>16.2} {:>16.2} {mebibytes:>13.1}", seconds[0], seconds[1]);
        if start > 0 {
            starts.push(seconds[0]);
            restarts.push(seconds[1]);
            resident.push(mebibytes);
        }
    }
    let (start, restart, resident) = (median(&starts), median(&restarts), median(&resident));
    let figure =
        format!("{resident:.1} MiB resident, {start:.2} s to ready ({restart:.2} s on an existing database)");
    let met = resident <= 50.0 && start <= 1.0 && restart <= 1.0;
    Figure::new("idle", figure, "at most 50 MiB, at most 1 s", met)
}
