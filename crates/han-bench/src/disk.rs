//! `disk`: the bytes of the database, with indexes, TOAST tables and the search index, compared with the bytes of its
//! lines as JSONL: of generated lines, and of real transcripts that are repeated under other ids.

use clap::Args;
use futures_util::{StreamExt as _, stream};
use han_testkit::SyntheticSession;

use crate::figure::Figure;
use crate::jobs::CONSOLIDATION;
use crate::real::RealOptions;
use crate::sizes::Sizes;
use crate::target::{Target, coordinate, packed_body};

/// The number of concurrent writers of generated lines.
const WRITERS: usize = 8;
/// Lines per push.
const BATCH: usize = 500;

/// Options of `disk`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of generated lines.
    #[arg(long, default_value_t = 1_000_000)]
    lines: usize,
    /// The number of generated lines of a session.
    #[arg(long, default_value_t = 5_000)]
    session: usize,
    #[command(flatten)]
    real: RealOptions,
}

/// Bytes of the database per byte of its lines.
struct Share {
    all: f64,
    search: f64,
}

pub(crate) async fn run(options: Options) -> Figure {
    let generated = generated(&options).await;
    let real = real(&options.real).await;
    let share = |share: &Share| format!("{:.2}x, of which search {:.2}x", share.all, share.search);
    let figure = format!("generated {}; real {}", share(&generated), share(&real));
    let met = generated.all <= 0.9 && generated.search <= 0.2 && real.all <= 0.5 && real.search <= 0.12;
    Figure::new("disk", figure, "generated at most 0.90x and 0.20x, real at most 0.50x and 0.12x", met)
}

async fn generated(options: &Options) -> Share {
    let target = Target::start("han_bench_disk_generated").await;
    let client = reqwest::Client::new();
    let pushes = (0..options.lines).step_by(options.session.max(1)).enumerate().map(|(n, first)| {
        let (target, client) = (&target, &client);
        async move {
            let mut session = SyntheticSession::new(n as u64 + 1);
            let id = session.session_id().to_owned();
            let count = options.session.min(options.lines - first);
            let mut bytes = 0;
            for offset in (0..count).step_by(BATCH) {
                let lines = session.lines(BATCH.min(count - offset));
                // A line ends with a line feed.
                bytes += lines.iter().map(|line| line.len() + 1).sum::<usize>();
                let body = packed_body(&id, "main", "/bench", Some(offset), &lines);
                target.push(client, Some("zstd"), body).await;
            }
            bytes
        }
    });
    let bytes: Vec<usize> = stream::iter(pushes).buffer_unordered(WRITERS).collect().await;
    let bytes = bytes.into_iter().sum::<usize>() as f64;
    println!("generated: {} lines, {:.1} MB", options.lines, bytes / 1e6);
    measure(&target, bytes).await
}

async fn real(options: &RealOptions) -> Share {
    let target = Target::start("han_bench_disk_real").await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let written = options.write(directory.path());
    let report = coordinate(&target.url, &target.key, directory.path()).await;
    assert_eq!(report.stored, written.lines, "every line is stored");
    println!(
        "\nreal: {} lines in {} transcripts, {:.1} MB",
        report.stored,
        report.transcripts,
        written.bytes / 1e6
    );
    measure(&target, written.bytes).await
}

/// Measures the tables when all jobs are done and dead rows are removed.
async fn measure(target: &Target, bytes: f64) -> Share {
    target.until_indexed().await;
    if !target.until_consolidated(CONSOLIDATION).await {
        println!("no consolidation");
    }
    target.execute("VACUUM (ANALYZE)").await;
    let sizes = Sizes::of_postgres(&mut target.connect().await).await;
    sizes.print(bytes);
    let share = Share { all: sizes.total() / bytes, search: sizes.search() / bytes };
    println!(
        "database: {:.1} MB, {:.3}x, of which search {:.3}x",
        sizes.total() / 1e6,
        share.all,
        share.search
    );
    share
}
