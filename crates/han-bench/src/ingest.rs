//! `ingest`: lines per second from HTTP request to durable, sealed commit, compared with binary COPY, with the same
//! commit size and number of writers: of the same lines sealed one by one, in the product's layout before segments, and
//! of the plaintext lines with their keys. Each pair of runs uses new sessions; the ratio is the median over the pairs.
//! Then the WAL of such a run.

use std::time::Instant;

use clap::Args;
use futures_util::future::join_all;
use han_crypto::{FieldContext, OsEntropy, Packed, TeamKey, TeamKeyRing};
use han_testkit::SyntheticSession;
use han_transcript::record::{LineContext, project};

use crate::copy::{Copied, CopyRows, copy_in};
use crate::cpu;
use crate::figure::{Figure, median};
use crate::jobs::{CONSOLIDATION, SEARCH_INDEX};
use crate::layouts::{self, Lines, RowPerLine};
use crate::target::{Target, packed_body};
use crate::wal::Wal;

/// The goals.
const RATIO: f64 = 0.75;
const WAL_PER_LINE: f64 = 800.0;

/// How often the WAL is measured at most, until no checkpoint disturbs it.
const TRIES: usize = 3;

/// Options of `ingest`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of concurrent writers, each with its own session.
    #[arg(long, default_value_t = 32)]
    pub(crate) writers: usize,
    /// Lines per commit.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Commits per writer and run. With too few, PostgreSQL's new files absorb the writes of COPY before they have to
    /// reach the disk, and COPY is faster than in a steady state.
    #[arg(long, default_value_t = 12)]
    batches: usize,
    /// The number of pairs of runs, after one warm-up.
    #[arg(long, default_value_t = 5)]
    pub(crate) pairs: usize,
}

impl Options {
    /// Runs of this shape.
    pub(crate) fn of(writers: usize, batch: usize, batches: usize) -> Self {
        Self { writers, batch, batches, pairs: 0 }
    }

    /// The number of lines per run.
    pub(crate) fn lines(&self) -> f64 {
        (self.commits() * self.batch) as f64
    }

    fn commits(&self) -> usize {
        self.writers * self.batches
    }

    fn sessions(&self, run: usize) -> Vec<Session> {
        (0..self.writers).map(|writer| Session::new(self, run, writer)).collect()
    }
}

/// The result of a run.
pub(crate) struct Run {
    pub(crate) lines_per_second: f64,
    pub(crate) server_cpu: f64,
    postgres_cpu: f64,
}

pub(crate) async fn run(options: Options) -> Figure {
    let target = Target::start("han_bench_ingest").await;
    let client = reqwest::Client::new();
    let lines = options.lines();
    // It would merge the segments of one run during another. Its WAL is measured at the end.
    target.hold(&[CONSOLIDATION]).await;
    println!(
        "{} writers, {} commits each of {} lines: {lines} lines per run",
        options.writers, options.batches, options.batch
    );
    println!(
        "{:>5} {:>10} {:>12} {:>11} {:>7} {:>7} {:>9} {:>8} {:>8} {:>8}",
        "pair",
        "HTTP l/s",
        "sealed l/s",
        "plain l/s",
        "ratio",
        "plain",
        "server s",
        "PG s",
        "sealed s",
        "plain s"
    );
    let (mut ratios, mut plain_ratios, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=options.pairs {
        target.keep_holding(&[CONSOLIDATION]).await;
        let sessions = options.sessions(pair);
        let http = push(&target, &client, &sessions, lines).await;
        // The background job writes the search index after the pushes; it must not run during the baselines.
        target.until_indexed().await;
        let sealed = copy_sealed(&target, &options, &sessions, pair).await;
        let plain = copy_plain(&target, &options, &sessions, pair).await;
        let ratio = http.lines_per_second / sealed.lines_per_second;
        let plain_ratio = http.lines_per_second / plain.lines_per_second;
        let counted = if pair == 0 { " (warm-up)" } else { "" };
        println!(
            "{pair:>5} {:>10.0} {:>12.0} {:>11.0} {ratio:>6.2}x {plain_ratio:>6.2}x {:>9.2} {:>8.2} {:>8.2} \
             {:>8.2}{counted}",
            http.lines_per_second,
            sealed.lines_per_second,
            plain.lines_per_second,
            http.server_cpu,
            http.postgres_cpu,
            sealed.postgres_cpu,
            plain.postgres_cpu
        );
        if pair > 0 {
            ratios.push(ratio);
            plain_ratios.push(plain_ratio);
            runs.push([http.server_cpu, http.postgres_cpu, sealed.postgres_cpu, plain.postgres_cpu]);
        }
    }
    stages(&options, &runs);
    let wal = wal(&target, &client, &options).await;

    let (ratio, plain) = (median(&ratios), median(&plain_ratios));
    let figure = format!(
        "{ratio:.2}x of COPY sealed line by line ({plain:.2}x of COPY in plaintext), {:.2} kB of WAL per line",
        wal / 1e3
    );
    let met = ratio >= RATIO && wal <= WAL_PER_LINE;
    Figure::new("ingest", figure, "at least 0.75x, at most 0.80 kB", met)
}

/// Prints the CPU time of a commit, by stage. Those before the database are measured here, each alone on one core.
fn stages(options: &Options, runs: &[[f64; 4]]) {
    const ROUNDS: usize = 20;
    /// About the size of a segment's content.
    const SEGMENT_BYTES: usize = 256 << 10;
    let entropy = OsEntropy::default();
    let lines = SyntheticSession::new(1).lines(options.batch);
    let body = zstd::bulk::compress(lines.join(",").as_bytes(), 3).expect("a compressed body");
    let team = layouts::TEAM.parse().expect("an id");
    let keys = TeamKeyRing::new(team, 1, [(1, TeamKey::generate(&entropy))]).expect("a ring");
    let at = LineContext { session_id: "session", transcript: "main" };
    let content = lines.concat().into_bytes();
    let packed: Vec<Packed> = content.chunks(SEGMENT_BYTES).map(Packed::new).collect();
    let seal = |packed: &Packed| {
        let context = FieldContext { table: "segments", row_id: "session/main/0/499", column: "body" };
        keys.field(context).encrypt_binary(packed.clone(), &entropy).expect("a sealed segment")
    };
    println!("{:>48} {:>14}", "stage of a commit", "CPU, ms");
    let row = |name: &str, ms: f64| println!("{name:>48} {ms:>14.2}");
    let stage = |name: &str, work: &dyn Fn() -> usize| {
        let start = Instant::now();
        let done: usize = (0..ROUNDS).map(|_| work()).sum();
        assert!(done > 0, "{name} did nothing");
        row(name, start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64);
    };
    stage("decompress the body", &|| zstd::stream::decode_all(body.as_slice()).expect("a body").len());
    stage("parse and project lines", &|| lines.iter().map(|line| project(line, &at).uuid.len()).sum());
    stage("compress segments", &|| {
        content.chunks(SEGMENT_BYTES).map(|chunk| Packed::new(chunk).as_bytes().len()).sum()
    });
    stage("seal segments", &|| packed.iter().map(|packed| seal(packed).ciphertext().len()).sum());
    for (n, name) in [
        "the server, all of it",
        "PostgreSQL, all statements of the commit",
        "PostgreSQL, COPY of the same lines, sealed",
        "PostgreSQL, COPY of the same lines, plaintext",
    ]
    .into_iter()
    .enumerate()
    {
        let seconds: Vec<f64> = runs.iter().map(|run| run[n]).collect();
        row(name, median(&seconds) * 1e3 / options.commits() as f64);
    }
}

/// Measures the WAL of a run and of what the jobs do after it; returns the bytes of the run per line.
async fn wal(target: &Target, client: &reqwest::Client, options: &Options) -> f64 {
    let lines = options.lines();
    target.hold(&[SEARCH_INDEX, CONSOLIDATION]).await;
    println!("{:>48} {:>14}", "WAL after a checkpoint", "bytes per line");
    let row = |name: &str, wal: &Wal| println!("{name:>48} {:>14.0}", wal.bytes / lines);
    let mut pushed = None;
    for n in 1..=TRIES {
        let sessions = options.sessions(options.pairs + n);
        let (_, wal) = Wal::of(target, push(target, client, &sessions, lines)).await;
        let disturbed = wal.disturbed;
        pushed = Some((sessions, wal));
        if !disturbed {
            break;
        }
        println!("{:>48}", "another checkpoint began: measured again");
        // Otherwise the job would have the lines of several runs to index.
        target.release(SEARCH_INDEX).await;
        target.until_indexed().await;
        target.hold(&[SEARCH_INDEX, CONSOLIDATION]).await;
    }
    let (sessions, wal) = pushed.expect("at least one run");
    assert!(!wal.disturbed, "a checkpoint began in each run: raise max_wal_size, or push fewer lines");
    row("pushes", &wal);
    let tables = wal.tables(target).await;
    let (_, indexed) = Wal::of(target, async {
        target.release(SEARCH_INDEX).await;
        target.until_indexed().await;
    })
    .await;
    row("the search index of these lines", &indexed);
    if target.has_job(CONSOLIDATION).await {
        let (_, consolidated) = Wal::of(target, async {
            target.release(CONSOLIDATION).await;
            target.until_consolidated(CONSOLIDATION).await;
        })
        .await;
        // It merges the segments of the runs before, too.
        let all = (options.pairs + 2) as f64;
        println!("{:>48} {:>14.0}", "consolidation, of all runs", consolidated.bytes / lines / all);
    } else {
        println!("{:>48} {:>14}", "consolidation", "no such job");
    }
    let (_, sealed) = Wal::of(target, copy_sealed(target, options, &sessions, options.pairs + 1)).await;
    row("COPY of the same lines, sealed", &sealed);
    let (_, plain) = Wal::of(target, copy_plain(target, options, &sessions, options.pairs + 1)).await;
    row("COPY of the same lines, plaintext", &plain);
    match tables {
        Some(tables) => tables.print(lines),
        None => println!("no WAL by table: PostgreSQL's extension pg_walinspect is not installed"),
    }
    wal.bytes / lines
}

/// A writer's session, with request bodies that are built before the measurement.
pub(crate) struct Session {
    id: String,
    seed: u64,
    bodies: Vec<Vec<u8>>,
}

impl Session {
    pub(crate) fn new(options: &Options, run: usize, writer: usize) -> Self {
        let seed = (run * options.writers + writer + 1) as u64;
        let mut synthetic = SyntheticSession::new(seed);
        let id = synthetic.session_id().to_owned();
        let lines = synthetic.lines(options.batch * options.batches);
        let bodies = lines.chunks(options.batch).enumerate();
        let bodies = bodies
            .map(|(n, lines)| packed_body(&id, "main", "/bench", Some(n * options.batch), lines))
            .collect();
        Self { id, seed, bodies }
    }

    /// Its lines, which are too many to be kept for all sessions.
    fn lines(&self, options: &Options) -> Vec<String> {
        SyntheticSession::new(self.seed).lines(options.batch * options.batches)
    }
}

pub(crate) async fn push(target: &Target, client: &reqwest::Client, sessions: &[Session], lines: f64) -> Run {
    let (server, postgres, start) = (target.cpu(), cpu::of_postgres(), Instant::now());
    join_all(sessions.iter().map(|session| async move {
        for body in &session.bodies {
            target.push(client, Some("zstd"), body.clone()).await;
        }
    }))
    .await;
    let seconds = start.elapsed().as_secs_f64();
    Run {
        lines_per_second: lines / seconds,
        server_cpu: target.cpu() - server,
        postgres_cpu: cpu::of_postgres() - postgres,
    }
}

/// Copies the same lines, sealed before the measurement, into a table of the layout before segments.
async fn copy_sealed(target: &Target, options: &Options, sessions: &[Session], run: usize) -> Run {
    let table = format!("copy_sealed_{run}");
    target.execute(&RowPerLine::create(&table)).await;
    let layout = RowPerLine::new();
    let rows = |_, lines: &Lines<'_>, first, rows: &mut CopyRows| layout.rows(lines, first, rows);
    copy(target, options, sessions, &table, rows).await
}

/// Copies the same lines in plaintext.
async fn copy_plain(target: &Target, options: &Options, sessions: &[Session], run: usize) -> Run {
    let table = format!("copy_plain_{run}");
    target.execute(&layouts::create_plain(&table)).await;
    copy(target, options, sessions, &table, layouts::plain_rows).await
}

/// Copies into a new table. `rows` adds the rows of a commit to those of a COPY, given the session's
/// number, its lines, and the ordinal of the first one.
async fn copy(
    target: &Target,
    options: &Options,
    sessions: &[Session],
    table: &str,
    rows: impl Fn(i32, &Lines<'_>, usize, &mut CopyRows),
) -> Run {
    let writers = sessions.iter().enumerate().map(|(n, session)| {
        let number = i32::try_from(n).expect("few sessions");
        let lines = session.lines(options);
        let chunks = lines.chunks(options.batch).enumerate().map(|(n, chunk)| {
            let mut chunk_rows = CopyRows::new();
            let lines = Lines::new(&session.id, "main", chunk);
            rows(number, &lines, n * options.batch, &mut chunk_rows);
            chunk_rows.finish()
        });
        chunks.collect()
    });
    let Copied { rows, seconds, postgres_cpu } = copy_in(target, table, writers.collect()).await;
    assert_eq!(rows as f64, options.lines(), "both sides store the same lines");
    Run { lines_per_second: rows as f64 / seconds, server_cpu: 0.0, postgres_cpu }
}
