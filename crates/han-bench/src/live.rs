//! `live`: many sessions that push a few lines per second each: the time from sending a push to its durable commit, the
//! disk space while they run, and what remains after consolidation. The baseline is the same lines, pushed in bulk to
//! another database.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use han_testkit::{SeededEntropy, SyntheticSession};

use crate::figure::{Figure, percentile};
use crate::jobs::CONSOLIDATION;
use crate::sizes::Sizes;
use crate::target::{Target, packed_body, push_body};

/// How often the disk space is measured.
const SAMPLE: Duration = Duration::from_secs(5);
/// The maximum number of lines in a push.
const MOST: u64 = 3;
/// Times are also printed for each of so many parts of the run.
const PARTS: usize = 6;
/// Lines per push in bulk, and the number of concurrent pushes.
const BATCH: usize = 500;
const WRITERS: usize = 8;

/// Options of `live`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of sessions, each of which pushes 1 to 3 lines per second.
    #[arg(long, default_value_t = 200)]
    sessions: usize,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The job that merges small segments. If the server has none of this name, sizes are those without it.
    #[arg(long, default_value = CONSOLIDATION)]
    consolidation: String,
}

/// What a session pushed.
struct Pushed {
    lines: usize,
    /// The time of each push, in milliseconds.
    took: Vec<f64>,
}

/// The disk space at a moment.
struct Sample {
    seconds: f64,
    lines: usize,
    bytes: f64,
}

pub(crate) async fn run(options: Options) -> Figure {
    let live = Target::start("han_bench_live").await;
    let (pushed, samples) = push_live(&live, &options).await;
    let took: Vec<f64> = pushed.iter().flat_map(|pushed| pushed.took.iter().copied()).collect();
    let lines: usize = pushed.iter().map(|pushed| pushed.lines).sum();
    println!(
        "{} sessions, {} pushes in {} s, {lines} lines; {:.1} s of CPU of the server",
        options.sessions,
        took.len(),
        options.seconds,
        live.cpu()
    );
    println!(
        "push sent to response (durable): p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        percentile(&took, 50.0),
        percentile(&took, 99.0),
        percentile(&took, 100.0)
    );
    // Connections prepare their statements, and sessions are new, in the first pushes.
    println!("{:>10} {:>10} {:>10}", "until s", "p50 ms", "p99 ms");
    for part in 0..PARTS {
        let [from, to] = [part, part + 1].map(|part| part * options.seconds as usize / PARTS);
        let took: Vec<f64> = pushed.iter().flat_map(|pushed| pushed.took[from..to].iter().copied()).collect();
        println!("{to:>10} {:>10.1} {:>10.1}", percentile(&took, 50.0), percentile(&took, 99.0));
    }
    let segments = "SELECT count(*) FROM segments";
    let before = live.number(segments).await;
    let (_, live_sizes) = at_rest(&live, &options).await;
    let after = live.number(segments).await;

    let bulk = Target::start("han_bench_live_bulk").await;
    let bytes = push_in_bulk(&bulk, &pushed).await as f64;
    let (bulk_physical, bulk_sizes) = at_rest(&bulk, &options).await;
    println!(
        "segments: {before} when the pushes end, {after} at rest; in bulk {}",
        bulk.number(segments).await
    );

    println!("{:>10} {:>10} {:>10} {:>24}", "seconds", "lines", "MB", "of the same in bulk");
    let ratio = |sample: &Sample| sample.bytes / (bulk_physical.total() * sample.lines as f64 / lines as f64);
    for sample in &samples {
        println!(
            "{:>10.0} {:>10} {:>10.1} {:>23.2}x",
            sample.seconds,
            sample.lines,
            sample.bytes / 1e6,
            ratio(sample)
        );
    }
    // With few lines, the pages that each table and each session has begun are most of the space.
    let late = samples.iter().filter(|sample| sample.lines * 2 >= lines);
    let running = late.map(ratio).fold(f64::NAN, f64::max);

    println!("\nlive, at rest");
    live_sizes.print(bytes);
    println!("in bulk, at rest");
    bulk_sizes.print(bytes);
    let rest = live_sizes.without_outbox() / bulk_sizes.without_outbox();
    let p99 = percentile(&took, 99.0);
    let without = if live.has_job(&options.consolidation).await { "" } else { " (no consolidation)" };
    let figure = format!("p99 {p99:.1} ms, {rest:.2}x at rest{without}, {running:.2}x while it runs");
    let met = p99 <= 50.0 && rest <= 1.15 && running <= 1.5;
    Figure::new("live", figure, "at most 50 ms, 1.15x, 1.50x", met)
}

/// Pushes from all sessions and measures the disk space meanwhile.
async fn push_live(target: &Target, options: &Options) -> (Vec<Pushed>, Vec<Sample>) {
    // The clients of a server do not share connections, so each session has its own. Making one takes milliseconds: made
    // while others push already, they would make sessions push at the same moment.
    let clients: Vec<reqwest::Client> = (0..options.sessions).map(|_| reqwest::Client::new()).collect();
    let (start, lines) = (Instant::now(), AtomicUsize::new(0));
    let sessions = join_all(clients.iter().enumerate().map(|(n, client)| {
        let session = Session { target, client, n, start };
        session.push(options.seconds, &lines)
    }));
    let mut samples = Vec::new();
    let sampling = async {
        let mut connection = target.connect().await;
        loop {
            tokio::time::sleep(SAMPLE).await;
            let bytes = Sizes::of_postgres(&mut connection).await.total();
            let lines = lines.load(Ordering::Relaxed);
            samples.push(Sample { seconds: start.elapsed().as_secs_f64(), lines, bytes });
        }
    };
    let pushed = tokio::select! {
        pushed = sessions => pushed,
        () = sampling => unreachable!("samples are taken until the sessions end"),
    };
    let bytes = Sizes::of_postgres(&mut target.connect().await).await.total();
    let lines = lines.load(Ordering::Relaxed);
    samples.push(Sample { seconds: start.elapsed().as_secs_f64(), lines, bytes });
    (pushed, samples)
}

/// A session that pushes from `start` on.
struct Session<'t> {
    target: &'t Target,
    client: &'t reqwest::Client,
    n: usize,
    start: Instant,
}

impl Session<'_> {
    /// Pushes 1 to 3 lines each second, at a moment of the second that other sessions do not share.
    async fn push(self, seconds: u64, lines: &AtomicUsize) -> Pushed {
        let entropy = SeededEntropy::new(self.n as u64);
        let mut session = SyntheticSession::new(self.n as u64 + 1);
        let id = session.session_id().to_owned();
        let first = self.start + Duration::from_millis(entropy.below(1000));
        let mut beat = tokio::time::interval_at(first.into(), Duration::from_secs(1));
        let mut pushed = Pushed { lines: 0, took: Vec::new() };
        for _ in 0..seconds {
            beat.tick().await;
            let count = 1 + usize::try_from(entropy.below(MOST)).expect("a small number");
            let body = push_body(&id, "main", "/bench", Some(pushed.lines), &session.lines(count));
            let sent = Instant::now();
            self.target.push(self.client, None, body).await;
            pushed.took.push(sent.elapsed().as_secs_f64() * 1e3);
            pushed.lines += count;
            lines.fetch_add(count, Ordering::Relaxed);
        }
        pushed
    }
}

/// Pushes the same lines with few pushes; returns their bytes.
async fn push_in_bulk(target: &Target, pushed: &[Pushed]) -> usize {
    let client = reqwest::Client::new();
    let pushes = pushed.iter().enumerate().map(|(n, pushed)| {
        let client = &client;
        async move {
            let mut session = SyntheticSession::new(n as u64 + 1);
            let id = session.session_id().to_owned();
            let lines = session.lines(pushed.lines);
            for (n, chunk) in lines.chunks(BATCH).enumerate() {
                let body = packed_body(&id, "main", "/bench", Some(n * BATCH), chunk);
                target.push(client, Some("zstd"), body).await;
            }
            lines.iter().map(|line| line.len() + 1).sum::<usize>()
        }
    });
    stream::iter(pushes).buffer_unordered(WRITERS).collect::<Vec<usize>>().await.into_iter().sum()
}

/// The disk space when all jobs are done; and then that of live rows and of new indexes alone.
async fn at_rest(target: &Target, options: &Options) -> (Sizes, Sizes) {
    target.until_indexed().await;
    if !target.until_consolidated(&options.consolidation).await {
        println!("no consolidation: the server has no job {:?}", options.consolidation);
    }
    let mut connection = target.connect().await;
    let physical = Sizes::of_postgres(&mut connection).await;
    // Writes each table again, without the space of dead rows, and its indexes.
    target.execute("VACUUM (FULL, ANALYZE)").await;
    (physical, Sizes::of_postgres(&mut connection).await)
}
