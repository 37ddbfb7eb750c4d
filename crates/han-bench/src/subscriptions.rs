//! Cost and latency of subscriptions: `push`, `fanout`, `sockets` and `drain`. Subscribers run in a separate process
//! (`watch`).

use std::time::{Duration, Instant};

use clap::Args;
use han_testkit::{Program, Signal};

use crate::cpu;
use crate::figure::{Figure, median, percentile};
use crate::ingest::{self, Session};
use crate::target::Target;
use crate::watch::{Received, now_micros};

const MEMORY: &str = "subscription { memoryUpdated { type action } }";
const ADDED: &str =
    "subscription { sessionAdded { sessionId newSessionEdge { node { id name messageCount } } } }";
const MESSAGES: &str = "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) { messageIndex newMessageEdge { \
                        node { ... on RegularUserMessage { id content } } } } }";

/// A process of subscribers, all with active subscriptions.
struct Watchers(Program);

impl Watchers {
    async fn start(target: &Target, sockets: usize, queries: &[&str], more: &[String]) -> Self {
        let mut args: Vec<String> =
            ["watch", "--url", &target.url, "--key", &target.key].map(str::to_owned).into();
        args.extend(["--sockets".to_owned(), sockets.to_string()]);
        for query in queries {
            args.extend(["--query".to_owned(), (*query).to_owned()]);
        }
        args.extend_from_slice(more);
        let this = std::env::current_exe().expect("this program's path");
        let mut program = Program::start(this, args, [("RUST_BACKTRACE", "1")]);
        program.wait_for_line("ready").await;
        Self(program)
    }

    /// The events that all subscribers received; waits until they are done.
    async fn received(mut self) -> Received {
        let line = self.0.wait_for_line("received ").await;
        serde_json::from_str(line.trim_start_matches("received ")).expect("what watch prints")
    }

    fn cpu(&self) -> f64 {
        self.0.id().map(cpu::of_process).unwrap_or_default()
    }
}

/// Options of `push`.
#[derive(Args)]
pub(crate) struct PushOptions {
    #[command(flatten)]
    ingest: ingest::Options,
    /// The number of subscribed dashboards.
    #[arg(long, default_value_t = 100)]
    dashboards: usize,
}

/// Ingest with and without subscribed dashboards, alternating on the same server.
pub(crate) async fn push(options: PushOptions) -> Figure {
    let target = Target::start("han_bench_push").await;
    let client = reqwest::Client::new();
    let lines = options.ingest.lines();
    println!("{} dashboards; {lines} lines per run", options.dashboards);
    println!(
        "{:>5} {:>14} {:>16} {:>7} {:>13} {:>13} {:>12}",
        "pair", "alone lines/s", "watched lines/s", "ratio", "alone srv s", "watched srv s", "watchers s"
    );
    let mut ratios = Vec::new();
    for pair in 0..=options.ingest.pairs {
        let sessions = |turn: usize| -> Vec<Session> {
            let seed = pair * 2 + turn;
            (0..options.ingest.writers).map(|writer| Session::new(&options.ingest, seed, writer)).collect()
        };
        let (first, second) = (sessions(0), sessions(1));
        // The first run of a pair has the smaller database, so the order alternates.
        let (mut alone, mut watched, mut watchers_cpu) = (None, None, 0.0);
        for (turn, sessions) in [&first, &second].into_iter().enumerate() {
            if (turn + pair) % 2 == 0 {
                alone = Some(ingest::push(&target, &client, sessions, lines).await);
            } else {
                let watchers = Watchers::start(&target, options.dashboards, &[MEMORY, ADDED], &[]).await;
                let before = watchers.cpu();
                watched = Some(ingest::push(&target, &client, sessions, lines).await);
                watchers_cpu = watchers.cpu() - before;
            }
        }
        let (alone, watched) = (alone.expect("one turn is alone"), watched.expect("one turn is watched"));
        let ratio = watched.lines_per_second / alone.lines_per_second;
        let counted = if pair == 0 { " (warm-up)" } else { "" };
        println!(
            "{pair:>5} {:>14.0} {:>16.0} {ratio:>6.2}x {:>13.2} {:>13.2} {watchers_cpu:>12.2}{counted}",
            alone.lines_per_second, watched.lines_per_second, alone.server_cpu, watched.server_cpu
        );
        if pair > 0 {
            ratios.push(ratio);
        }
    }
    Figure::at_least("push", median(&ratios), 0.9)
}

/// Options of `fanout`.
#[derive(Args)]
pub(crate) struct FanoutOptions {
    /// The number of subscribers.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// The number of sessions; subscribers are distributed evenly.
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Commits per second over all sessions.
    #[arg(long, default_value_t = 10)]
    rate: usize,
    /// The duration in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: usize,
}

/// Latency from a commit to each subscriber of its session.
pub(crate) async fn fanout(options: FanoutOptions) -> Figure {
    let target = Target::start("han_bench_fanout").await;
    let client = reqwest::Client::new();
    let ids: Vec<String> = (0..options.sessions).map(|n| format!("fanout-{n}")).collect();
    for id in &ids {
        post(&target, &client, id, 0, "begin").await;
    }
    let commits = options.rate * options.seconds;
    let each = commits / options.sessions;
    let mut more = vec!["--expect".to_owned(), each.to_string()];
    more.extend(ids.iter().flat_map(|id| ["--session".to_owned(), format!("Session:{id}")]));
    let watchers = Watchers::start(&target, options.subscribers, &[MESSAGES], &more).await;
    let (server, watching) = (target.cpu(), watchers.cpu());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / u32::try_from(options.rate).unwrap_or(1));
    let (mut sent_at, mut answered) = (Vec::new(), Vec::new());
    for commit in 0..each * options.sessions {
        beat.tick().await;
        let (id, line) = (&ids[commit % options.sessions], commit / options.sessions + 1);
        let sent = now_micros();
        post(&target, &client, id, line, &format!("sent {commit}")).await;
        sent_at.push(sent);
        answered.push((now_micros() - sent) as f64 / 1000.0);
    }
    let cpu = (target.cpu() - server, watchers.cpu() - watching);
    let received = watchers.received().await;
    let committed_at = commit_times(&target, &ids, sent_at.len()).await;
    let since = |times: &[u64]| -> Vec<f64> {
        let took = |(number, at): &(u64, u64)| {
            let number = usize::try_from(*number).expect("a small number");
            at.saturating_sub(times[number]) as f64 / 1000.0
        };
        received.numbered.iter().map(took).collect()
    };
    let (from_sent, from_commit) = (since(&sent_at), since(&committed_at));
    println!(
        "{} subscribers, {} commits/s with {} watchers each, {} s",
        options.subscribers,
        options.rate,
        options.subscribers / options.sessions,
        options.seconds
    );
    println!("{:>34} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "max ms");
    for (what, values) in [
        ("push sent to response (durable)", &answered),
        ("push sent to each subscriber", &from_sent),
        ("commit to each subscriber", &from_commit),
    ] {
        println!(
            "{what:>34} {:>9.1} {:>9.1} {:>9.1}",
            percentile(values, 50.0),
            percentile(values, 99.0),
            percentile(values, 100.0)
        );
    }
    println!("CPU: server {:.1} s, subscribers {:.1} s", cpu.0, cpu.1);
    println!("delivered {} of {}", received.arrived.len(), each * options.subscribers);
    let p99 = percentile(&from_commit, 99.0);
    let figure = format!("p99 {p99:.1} ms, {} lost, {} duplicated", received.lost, received.duplicated);
    let met = p99 <= 50.0 && received.lost == 0 && received.duplicated == 0;
    Figure::new("fanout", figure, "p99 at most 50 ms, 0 lost, 0 duplicated", met)
}

/// The commit times of the pushes, indexed by their number. PostgreSQL writes the time into the commit record, before
/// that is durable (https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-INFO-COMMIT-TIMESTAMP).
async fn commit_times(target: &Target, ids: &[String], commits: usize) -> Vec<u64> {
    let sql = "SELECT s.session_id, m.line, (extract(epoch FROM pg_xact_commit_timestamp(m.xmin)) * 1000000)::bigint \
               FROM messages m JOIN sessions s ON s.team = m.team AND s.number = m.session WHERE m.line > 0";
    let mut connection = target.connect().await;
    let rows: Vec<(String, i32, i64)> =
        sqlx::query_as(sql).fetch_all(&mut connection).await.expect("times of commits");
    let mut times = vec![0; commits];
    for (id, line, micros) in rows {
        let session = ids.iter().position(|known| *known == id).expect("a session of this run");
        let line = usize::try_from(line).expect("a line's number");
        times[(line - 1) * ids.len() + session] = u64::try_from(micros).expect("a time after 1970");
    }
    assert!(times.iter().all(|micros| *micros > 0), "every push is stored");
    times
}

async fn post(target: &Target, client: &reqwest::Client, session: &str, line: usize, text: &str) {
    let body = serde_json::json!({"sessions": [{"session_id": session, "offset": line, "messages": [
        {"type": "user", "uuid": format!("{session}-{line}"), "timestamp": "2026-01-01T00:00:00.000Z",
         "message": {"role": "user", "content": text}}]}]});
    target.push(client, None, body.to_string().into_bytes()).await;
}

/// Options of `sockets`.
#[derive(Args)]
pub(crate) struct SocketsOptions {
    /// The number of sockets, each with one subscription.
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// The number of commits, each delivered to all sockets.
    #[arg(long, default_value_t = 5)]
    commits: usize,
    /// Each socket has other variables, so that no two share their subscription.
    #[arg(long)]
    unshared: bool,
}

/// Delivery time and memory with many open sockets.
pub(crate) async fn sockets(options: SocketsOptions) -> Figure {
    let target = Target::start("han_bench_sockets").await;
    let client = reqwest::Client::new();
    post(&target, &client, "first", 0, "begin").await;
    let empty = target.resident_kib();
    let mut more = vec!["--expect".to_owned(), options.commits.to_string()];
    if options.unshared {
        more.extend((0..options.sockets).flat_map(|n| ["--session".to_owned(), n.to_string()]));
    }
    let watchers = Watchers::start(&target, options.sockets, &[MEMORY], &more).await;
    let held = target.resident_kib();
    let mut sent = Vec::new();
    for commit in 0..options.commits {
        sent.push(now_micros());
        post(&target, &client, "first", commit + 1, "more").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let received = watchers.received().await;
    let took: Vec<f64> = received
        .arrived
        .iter()
        .filter_map(|at| Some((at - sent.iter().rev().find(|sent| *sent <= at)?) as f64 / 1e6))
        .collect();
    let mean = took.iter().sum::<f64>() / took.len().max(1) as f64;
    let each = (held as f64 - empty as f64) / options.sockets as f64;
    println!("{} sockets; resident: {empty} KiB without, {held} KiB with", options.sockets);
    println!(
        "delivery: mean {mean:.3} s, p99 {:.3} s; received {} of {}",
        percentile(&took, 99.0),
        took.len(),
        options.sockets * options.commits
    );
    let figure = format!("mean delivery {mean:.2} s, {each:.1} KiB per socket, {} lost", received.lost);
    let met = mean < 1.0 && each < 20.0 && received.lost == 0;
    Figure::new("sockets", figure, "under 1 s, under 20 KiB, 0 lost", met)
}

/// Options of `drain`.
#[derive(Args)]
pub(crate) struct DrainOptions {
    /// The number of open sockets when the server receives SIGTERM.
    #[arg(long, default_value_t = 1_000)]
    sockets: usize,
}

/// SIGTERM with open sockets: the time until the server has exited, and the close code of each socket.
pub(crate) async fn drain(options: DrainOptions) -> Figure {
    let target = Target::start("han_bench_drain").await;
    let watchers = Watchers::start(&target, options.sockets, &[MEMORY], &[]).await;
    let start = Instant::now();
    target.server.signal(Signal::Terminate).await;
    let (status, _) = target.server.wait().await;
    let seconds = start.elapsed().as_secs_f64();
    let received = watchers.received().await;
    let closed: usize =
        received.closed.iter().filter(|(code, _)| **code == 1012 || **code == 1001).map(|(_, n)| n).sum();
    println!("{} sockets; exit {status}; codes {:?}", options.sockets, received.closed);
    let figure = format!("{seconds:.2} s, {closed} of {} with a close code", options.sockets);
    let met = seconds <= 5.0 && closed == options.sockets && status.success();
    Figure::new("drain", figure, "drained in 5 s, each with a close code", met)
}
