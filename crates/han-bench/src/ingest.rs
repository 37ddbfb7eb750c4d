//! `ingest`: lines per second from HTTP request to durable, sealed commit, compared with binary COPY of the same rows
//! (ciphertext included) into a table with the same columns and primary key, with the same commit size and number of
//! writers. Each pair of runs uses new sessions; the ratio is the median over the pairs.

use std::time::Instant;

use clap::Args;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use han_crypto::{FieldContext, OsEntropy, TeamKey, TeamKeyRing};
use han_testkit::SyntheticSession;
use han_transcript::record::{LineContext, project};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::cpu;
use crate::figure::{Figure, median};
use crate::target::Target;

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
    /// The number of lines per run.
    pub(crate) fn lines(&self) -> f64 {
        (self.writers * self.batches * self.batch) as f64
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
    println!(
        "{} writers, {} commits each of {} lines: {lines} lines per run",
        options.writers, options.batches, options.batch
    );
    println!(
        "{:>5} {:>14} {:>14} {:>7} {:>13} {:>13} {:>13}",
        "pair", "HTTP lines/s", "COPY lines/s", "ratio", "server CPU s", "HTTP's PG s", "COPY's PG s"
    );
    let mut ratios = Vec::new();
    for pair in 0..=options.pairs {
        let sessions: Vec<Session> =
            (0..options.writers).map(|writer| Session::new(&options, pair, writer)).collect();
        let http = push(&target, &client, &sessions, lines).await;
        // The background job writes the search index after the pushes; it must not run during the baseline.
        target.until_indexed().await;
        let copy = copy(&target, &options, &sessions, pair, lines).await;
        let ratio = http.lines_per_second / copy.lines_per_second;
        let counted = if pair == 0 { " (warm-up)" } else { "" };
        println!(
            "{pair:>5} {:>14.0} {:>14.0} {ratio:>6.2}x {:>13.2} {:>13.2} {:>13.2}{counted}",
            http.lines_per_second,
            copy.lines_per_second,
            http.server_cpu,
            http.postgres_cpu,
            copy.postgres_cpu
        );
        if pair > 0 {
            ratios.push(ratio);
        }
    }
    stages(&options);
    Figure::at_least("ingest", median(&ratios), 0.5)
}

/// Measures the server's processing of a commit's lines before the database, each stage alone on one core.
fn stages(options: &Options) {
    const ROUNDS: usize = 20;
    let entropy = OsEntropy::default();
    let lines = SyntheticSession::new(1).lines(options.batch);
    let body = zstd::bulk::compress(lines.join(",").as_bytes(), 3).expect("a compressed body");
    let team = "bench".parse().expect("an id");
    let keys = TeamKeyRing::new(team, 1, [(1, TeamKey::generate(&entropy))]).expect("a ring");
    let at = LineContext { session_id: "session", transcript: "main" };
    let seal = |line: &String| {
        let context = FieldContext { table: "messages", row_id: "session/main/uuid", column: "body" };
        keys.field(context).encrypt(line.as_bytes(), &entropy).expect("a sealed line")
    };
    println!("{:>30} {:>12}", "stage of the server", "ms/commit");
    let stage = |name: &str, work: &dyn Fn() -> usize| {
        let start = Instant::now();
        let done: usize = (0..ROUNDS).map(|_| work()).sum();
        assert!(done > 0, "{name} did nothing");
        println!("{name:>30} {:>12.2}", start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64);
    };
    stage("decompress", &|| zstd::stream::decode_all(body.as_slice()).expect("a body").len());
    stage("parse and project lines", &|| lines.iter().map(|line| project(line, &at).uuid.len()).sum());
    stage("seal", &|| lines.iter().map(|line| seal(line).len()).sum());
}

/// A writer's session, with request bodies that are built before the measurement.
pub(crate) struct Session {
    id: String,
    bodies: Vec<Vec<u8>>,
}

impl Session {
    pub(crate) fn new(options: &Options, pair: usize, writer: usize) -> Self {
        let seed = (pair * options.writers + writer + 1) as u64;
        let mut synthetic = SyntheticSession::new(seed);
        let id = synthetic.session_id().to_owned();
        let lines = synthetic.lines(options.batch * options.batches);
        let bodies = lines.chunks(options.batch).enumerate().map(|(n, lines)| {
            let body = format!(
                r#"{{"sessions":[{{"session_id":"{id}","metadata":{{"agent":"claude-code","project_path":"/bench"}},"offset":{},"messages":[{}]}}]}}"#,
                n * options.batch,
                lines.join(",")
            );
            zstd::bulk::compress(body.as_bytes(), 3).expect("a compressed body")
        });
        Self { bodies: bodies.collect(), id }
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

/// Copies the same rows, as the server stored them, into a table with the same columns and key.
async fn copy(target: &Target, options: &Options, sessions: &[Session], pair: usize, lines: f64) -> Run {
    let mut connection = target.connect().await;
    let table = format!("copy_{pair}");
    let sql = format!(
        "CREATE TABLE {table} (LIKE messages); ALTER TABLE {table} ADD PRIMARY KEY (team_id, session_id, transcript, uuid)"
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("a table to copy into");
    let mut writers: Vec<(PgConnection, Vec<Vec<u8>>)> = Vec::new();
    for session in sessions {
        let mut chunks = Vec::new();
        for n in 0..options.batches {
            let sql = format!(
                "COPY (SELECT * FROM messages WHERE session_id = '{}' AND line >= {} AND line < {} ORDER BY line) \
                 TO STDOUT (FORMAT binary)",
                session.id,
                n * options.batch,
                (n + 1) * options.batch
            );
            let stream = connection.copy_out_raw(&sql).await.expect("rows to copy");
            let chunk: Vec<u8> =
                stream.map_ok(|bytes| bytes.to_vec()).try_concat().await.expect("rows to copy");
            chunks.push(chunk);
        }
        writers.push((target.connect().await, chunks));
    }
    let sql = format!("COPY {table} FROM STDIN (FORMAT binary)");
    let (postgres, start) = (cpu::of_postgres(), Instant::now());
    let copied: u64 = join_all(writers.iter_mut().map(|(connection, chunks)| {
        let sql = &sql;
        async move {
            let mut copied = 0;
            for chunk in chunks {
                let mut copy = connection.copy_in_raw(sql).await.expect("COPY starts");
                copy.send(chunk.as_slice()).await.expect("COPY accepts rows");
                copied += copy.finish().await.expect("COPY finishes");
            }
            copied
        }
    }))
    .await
    .into_iter()
    .sum();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(copied as f64, lines, "both sides store the same rows");
    Run { lines_per_second: lines / seconds, server_cpu: 0.0, postgres_cpu: cpu::of_postgres() - postgres }
}
