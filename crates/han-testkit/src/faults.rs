//! Fault injection into servers under load. Writers push and retry as the protocol requires, dashboards subscribe, and
//! faults are injected one after another. Then a report compares what was acknowledged, stored and delivered. Tests
//! inject a few faults, `script/bench faults` a hundred; a seed determines the faults and their times.
//!
//! A deployment has one or two replicas. Clients connect through proxies ([`FaultProxy`]), which forward to a replica
//! that restarts on another port, and can cut connections.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::pg::{Cluster, Durability};
use crate::{Cut, FaultProxy, Program, SeededEntropy, Signal};

/// The maximum time to recover from a fault. Only a failing run reaches it.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The first and the longest pause of a writer or a dashboard before a retry.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The maximum number of lines in a push.
const LINES: u64 = 8;
/// The page size when messages are read back.
const PAGE: u64 = 300;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the replica that receives the pushes.
    Server,
    /// `kill -9` of the replica that the dashboards are connected to.
    Listener,
    /// `kill -9` of PostgreSQL's postmaster, which is then restarted.
    Postmaster,
    /// `kill -9` of one backend of PostgreSQL, which then recovers by itself.
    Backend,
    /// `pg_terminate_backend` of every connection to the database.
    Terminate,
    /// A writer's connection is cut in the middle of a request.
    Request,
    /// A writer's connection is cut before the response, which is after the commit.
    Response,
    /// A dashboard's connection is cut.
    Dashboard,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Server,
        Self::Listener,
        Self::Postmaster,
        Self::Backend,
        Self::Terminate,
        Self::Request,
        Self::Response,
        Self::Dashboard,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "kill -9 of the server",
            Self::Listener => "kill -9 of the dashboards' server",
            Self::Postmaster => "kill -9 of PostgreSQL",
            Self::Backend => "kill -9 of a backend",
            Self::Terminate => "pg_terminate_backend",
            Self::Request => "request cut",
            Self::Response => "response cut",
            Self::Dashboard => "dashboard cut",
        })
    }
}

/// A han-server and its proxies.
#[derive(Debug)]
struct Replica {
    program: Program,
    /// The proxy of the writers.
    push_proxy: FaultProxy,
    /// The proxy of the dashboards. It is separate, so that cutting one kind of client does not cut the other.
    dashboard_proxy: FaultProxy,
}

/// Servers on one database, with an API key.
#[derive(Debug)]
pub struct Deployment {
    server: PathBuf,
    environment: Vec<(String, String)>,
    cluster: Option<Cluster>,
    replicas: Vec<Replica>,
    key: String,
    http: reqwest::Client,
    entropy: SeededEntropy,
    seed: u64,
}

/// The result of a run with faults.
#[derive(Debug, Default)]
pub struct FaultReport {
    /// The number of lines that the server acknowledged as stored.
    pub acknowledged: usize,
    /// The number of pushes that were sent again.
    pub retried: u64,
    /// The number of messages that dashboards received, summed over dashboards.
    pub delivered: usize,
    /// How often a dashboard had to fetch again, because of `RESYNC` or the end of its connection.
    pub resyncs: usize,
    /// Lines that were acknowledged and are not stored as sent.
    pub lost: Vec<String>,
    /// Lines that are stored more than once.
    pub duplicated: Vec<String>,
    /// Lines that are stored but were never sent in this form.
    pub unexpected: Vec<String>,
    /// Messages that a dashboard neither received nor had to fetch.
    pub undelivered: Vec<String>,
    /// Messages that a dashboard received twice on one subscription.
    pub delivered_twice: Vec<String>,
    /// Responses that violate the protocol.
    pub unexpected_responses: Vec<String>,
    /// For each fault, the time until every writer's pushes were accepted again.
    pub recovered: Vec<(Fault, Duration)>,
}

impl FaultReport {
    /// Adds the result of another run.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.retried += other.retried;
        self.delivered += other.delivered;
        self.resyncs += other.resyncs;
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.unexpected.extend(other.unexpected);
        self.undelivered.extend(other.undelivered);
        self.delivered_twice.extend(other.delivered_twice);
        self.unexpected_responses.extend(other.unexpected_responses);
        self.recovered.extend(other.recovered);
    }

    /// Whether no line or message was lost, duplicated or changed, and every response was valid.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        [
            &self.lost,
            &self.duplicated,
            &self.unexpected,
            &self.undelivered,
            &self.delivered_twice,
            &self.unexpected_responses,
        ]
        .iter()
        .all(|list| list.is_empty())
    }
}

impl Deployment {
    /// Starts a PostgreSQL cluster that can be killed, and two replicas on it.
    ///
    /// # Panics
    /// If one of them does not start.
    pub async fn postgres(server: impl AsRef<Path>, seed: u64) -> Self {
        let cluster =
            tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.expect("a thread");
        let cluster = cluster.unwrap_or_else(|e| panic!("{e}"));
        let mut admin = PgConnection::connect(cluster.url()).await.expect("the cluster answers");
        sqlx::raw_sql("CREATE DATABASE han").execute(&mut admin).await.expect("a database");
        let url = cluster.url_of("han");
        Self::on(server.as_ref(), &url, Some(cluster), 2, seed).await
    }

    /// Starts one server on the SQLite database at `url`.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn sqlite(server: impl AsRef<Path>, url: &str, seed: u64) -> Self {
        Self::on(server.as_ref(), url, None, 1, seed).await
    }

    async fn on(server: &Path, url: &str, cluster: Option<Cluster>, replicas: usize, seed: u64) -> Self {
        let environment = environment(url);
        let args = ["key", "create", "--user", "ada", "--team", "ada", "--scopes", "read sync:write"];
        let (status, output) = Program::start(server, args, environment.clone()).wait().await;
        assert!(status.success(), "{output:?}");
        let words = output.stdout.iter().flat_map(|line| line.split_whitespace());
        let key = words.clone().find(|word| word.starts_with("han_key_")).expect("a key").to_owned();
        let mut deployment = Self {
            server: server.to_owned(),
            environment,
            cluster,
            replicas: Vec::new(),
            key,
            http: client(),
            entropy: SeededEntropy::new(seed),
            seed,
        };
        for _ in 0..replicas {
            let (program, port) = deployment.serve().await;
            let (push_proxy, dashboard_proxy) =
                (FaultProxy::start(port).await, FaultProxy::start(port).await);
            deployment.replicas.push(Replica { program, push_proxy, dashboard_proxy });
        }
        deployment
    }

    /// The URL that writers push to.
    #[must_use]
    pub fn url(&self) -> String {
        self.replicas[0].push_proxy.url()
    }

    /// The API key that they push with.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The URL of the database.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.environment[0].1
    }

    /// Starts a server and returns its port.
    async fn serve(&self) -> (Program, u16) {
        let mut program = Program::start(&self.server, ["serve"], self.environment.clone());
        let line = program.wait_for_line("listening on http://").await;
        let port = line.split("listening on http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let port = port.and_then(|address| address.rsplit_once(':')?.1.parse().ok());
        (program, port.expect("an address with a port"))
    }

    async fn kill(&mut self, replica: usize) {
        self.replicas[replica].program.signal(Signal::Kill).await;
        let (program, port) = self.serve().await;
        let replica = &mut self.replicas[replica];
        replica.program = program;
        replica.push_proxy.forward_to(port);
        replica.dashboard_proxy.forward_to(port);
    }

    /// Injects the fault, and restarts what does not restart by itself.
    ///
    /// # Panics
    /// If this deployment does not support the fault.
    pub async fn inject(&mut self, fault: Fault) {
        let last = self.replicas.len() - 1;
        match fault {
            Fault::Server => self.kill(0).await,
            Fault::Listener => self.kill(last).await,
            Fault::Postmaster => {
                let cluster = self.cluster.as_mut().expect("an own cluster");
                tokio::task::block_in_place(|| cluster.crash().and_then(|()| cluster.restart()))
                    .unwrap_or_else(|e| panic!("{e}"));
            }
            Fault::Backend => {
                let mut pids: Vec<i32> = self.backends("pid").await;
                let pid = pids.swap_remove(self.below(pids.len()));
                let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
                // The backend may have exited by itself.
                killed.expect("kill runs");
            }
            Fault::Terminate => {
                let _: Vec<bool> = self.backends("pg_terminate_backend(pid)").await;
            }
            // Most bytes of a request are in its body.
            Fault::Request => self.replicas[0].push_proxy.cut(Cut::Request(1 + self.below(2000))).await,
            Fault::Response => self.replicas[0].push_proxy.cut(Cut::Response).await,
            Fault::Dashboard => self.replicas[last].dashboard_proxy.cut(Cut::Response).await,
        }
    }

    /// `what` of each other connection to the database.
    async fn backends<T>(&self, what: &str) -> Vec<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let url = &self.environment[0].1;
        let sql = format!(
            "SELECT {what} FROM pg_stat_activity WHERE datname = 'han' AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend' ORDER BY pid"
        );
        let mut admin = PgConnection::connect(url).await.expect("PostgreSQL answers");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut admin).await.expect("PostgreSQL answers")
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.entropy.below(bound as u64)).expect("below a usize")
    }

    /// Injects `faults` one after another, at times that the seed determines, while writers push and dashboards are
    /// subscribed; then reads everything back.
    ///
    /// # Panics
    /// If the deployment does not recover; the message names the seed.
    pub async fn run_with_faults(
        &mut self,
        name: &str,
        writers: usize,
        dashboards: usize,
        faults: &[Fault],
    ) -> FaultReport {
        eprintln!("seed {}: {faults:?}", self.seed);
        let target = Target { http: self.http.clone(), key: self.key.clone(), url: self.url() };
        let mut writers: Vec<Writer> =
            (0..writers).map(|n| Writer::new(name, n, self.entropy.next_u64())).collect();
        for writer in &mut writers {
            // Dashboards can only subscribe to sessions that exist.
            writer.push_once(&target).await;
        }
        let sessions: Vec<String> = writers.iter().map(|writer| writer.session.clone()).collect();
        let dashboard_url = self.replicas.last().expect("a replica").dashboard_proxy.url();
        let expected = watch::Sender::new(None);
        let dashboards: Vec<JoinHandle<Received>> = (0..dashboards)
            .map(|_| {
                let at = Target { url: dashboard_url.clone(), ..target.clone() };
                tokio::spawn(run_dashboard(at, sessions.clone(), expected.subscribe()))
            })
            .collect();

        let stop = watch::Sender::new(false);
        let pushes: Vec<watch::Sender<u64>> = writers.iter().map(|_| watch::Sender::new(0)).collect();
        let writing: Vec<JoinHandle<Writer>> = writers
            .into_iter()
            .zip(&pushes)
            .map(|(writer, pushes)| {
                tokio::spawn(writer.run(target.clone(), pushes.clone(), stop.subscribe()))
            })
            .collect();
        let seed = self.seed;
        let all_push = async |more: u64, after: &str| {
            let waits = pushes.iter().map(|pushes| async move {
                let wanted = *pushes.borrow() + more;
                let _ = pushes.subscribe().wait_for(|n| *n >= wanted).await;
            });
            let waited = tokio::time::timeout(TIMEOUT, join_all(waits)).await;
            assert!(waited.is_ok(), "seed {seed}: pushes are not accepted after {after}");
        };

        let mut recovered = Vec::new();
        for &fault in faults {
            all_push(1 + self.entropy.below(4), "a pause").await;
            // A random delay, so that the fault occurs in the middle of a push.
            tokio::time::sleep(Duration::from_micros(self.entropy.below(20_000))).await;
            let start = Instant::now();
            let after = fault.to_string();
            let injected = tokio::time::timeout(TIMEOUT, self.inject(fault)).await;
            assert!(injected.is_ok(), "seed {seed}: {fault} was not injected in time");
            all_push(2, &after).await;
            eprintln!("{fault}: pushes are accepted again after {:?}", start.elapsed());
            recovered.push((fault, start.elapsed()));
        }
        stop.send_replace(true);
        let writers: Vec<Writer> =
            join_all(writing).await.into_iter().map(|w| w.expect("a writer ends")).collect();
        for replica in &self.replicas {
            self.until_ready(&replica.push_proxy.url()).await;
        }
        let mut report = FaultReport { recovered, ..FaultReport::default() };
        let ids = self.compare_stored(&writers, &mut report).await;
        expected.send_replace(Some(Arc::new(ids)));
        for received in join_all(dashboards).await {
            let received = received.expect("a dashboard ends");
            report.delivered += received.delivered;
            report.resyncs += received.resyncs;
            report.undelivered.extend(received.undelivered);
            report.delivered_twice.extend(received.delivered_twice);
        }
        report
    }

    /// Waits until a server is ready.
    ///
    /// # Panics
    /// If it is not ready within a minute and a half.
    pub async fn until_ready(&self, url: &str) {
        let ready = async {
            let mut pause = Backoff::default();
            loop {
                let answer = self.http.get(format!("{url}/ready")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                pause.wait(None).await;
            }
        };
        let waited = tokio::time::timeout(TIMEOUT, ready).await;
        assert!(waited.is_ok(), "seed {}: {url} is not ready", self.seed);
    }

    /// Compares the sent lines with the stored ones; returns the ids of all messages.
    async fn compare_stored(&self, writers: &[Writer], report: &mut FaultReport) -> BTreeSet<String> {
        let target = Target { http: self.http.clone(), key: self.key.clone(), url: self.url() };
        let mut ids = BTreeSet::new();
        for writer in writers {
            report.acknowledged += writer.lines.len();
            report.retried += writer.retried;
            report.unexpected_responses.extend(writer.unexpected_responses.iter().cloned());
            let stored = read_back(&target, &writer.session).await.unwrap_or_else(|e| panic!("{e}"));
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (id, line) in &stored {
                *counts.entry(line).or_default() += 1;
                ids.insert(id.clone());
            }
            let sent: BTreeSet<&str> = writer.lines.iter().map(String::as_str).collect();
            let owned = |line: &&str| (*line).to_owned();
            report.lost.extend(sent.iter().filter(|line| !counts.contains_key(*line)).map(owned));
            report.unexpected.extend(counts.keys().filter(|line| !sent.contains(*line)).map(owned));
            report.duplicated.extend(counts.iter().filter(|(_, n)| **n > 1).map(|(line, _)| owned(line)));
        }
        ids
    }

    /// The totals that lists and dashboards display, before and after `han-server rebuild`.
    ///
    /// # Panics
    /// If the rebuild fails.
    pub async fn totals_and_rebuilt(&self) -> (Value, Value) {
        let before = self.totals().await;
        let (status, output) =
            Program::start(&self.server, ["rebuild", "--all"], self.environment.clone()).wait().await;
        assert!(status.success(), "seed {}: {output:?}", self.seed);
        (before, self.totals().await)
    }

    async fn totals(&self) -> Value {
        let target = Target { http: self.http.clone(), key: self.key.clone(), url: self.url() };
        let query = "{ activity(days: 60) { totalSessions totalMessages tokenUsage { totalTokens } \
             dailyActivity { date filesChanged linesAdded } } \
             dashboardAnalytics(days: 60) { toolUsage { toolName count } } \
             sessions(first: 500) { totalCount edges { node { sessionId lineCount messageCount turnCount inputTokens \
               outputTokens } } } }";
        let mut totals =
            json!({ "shown": target.query(query, json!({})).await.unwrap_or_else(|e| panic!("{e}")) });
        if self.cluster.is_some() {
            let mut admin = PgConnection::connect(&self.environment[0].1).await.expect("PostgreSQL answers");
            for table in ["rollups", "rollup_counts", "session_usage", "answer_copies", "file_changes"] {
                // Paths are sealed, each time with a different nonce.
                let sql = format!(
                    "SELECT count(*)::text || ' rows ' || COALESCE(md5(string_agg(r, '\n' ORDER BY r)), '') \
                     FROM (SELECT (to_jsonb(t) - 'path')::text AS r FROM {table} t) rows"
                );
                let sum: String =
                    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut admin).await.expect("a sum");
                totals[table] = json!(sum);
            }
        }
        totals
    }

    /// Checks that the report is consistent and that a rebuild gives the same totals.
    ///
    /// # Panics
    /// If not.
    pub async fn assert_consistent(&self, report: &FaultReport) {
        assert!(report.is_consistent(), "seed {}: {report:#?}", self.seed);
        assert!(report.acknowledged > 0 && report.delivered > 0, "seed {}: {report:#?}", self.seed);
        let (totals, rebuilt) = self.totals_and_rebuilt().await;
        assert_eq!(totals, rebuilt, "seed {}", self.seed);
    }
}

/// The environment of servers and commands on the database at `url`, which is the first variable.
#[must_use]
pub fn environment(url: &str) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", url),
        ("KEK_SECRET", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        ("JWT_SECRET", "tUJ5c0Vw3nq8XkRrM1aZ7yLhQ2eBvD9fG4sPoN6iTtEw"),
        ("PUBLIC_URL", "http://127.0.0.1:8787"),
        ("HAN_LISTEN", "127.0.0.1:0"),
        ("HAN_RATE_LIMITS", "off"),
        ("HAN_LOG", "warn"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(40))
        .build()
        .expect("a client")
}

/// A server's URL, with a client and a key.
#[derive(Clone, Debug)]
struct Target {
    http: reqwest::Client,
    key: String,
    url: String,
}

impl Target {
    async fn query(&self, query: &str, variables: Value) -> Result<Value, String> {
        let body = json!({ "query": query, "variables": variables });
        let request = self.http.post(format!("{}/graphql", self.url)).bearer_auth(&self.key).json(&body);
        let answer = request.send().await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let answer: Value = answer.json().await.map_err(|e| format!("{status}: {e}"))?;
        if answer.get("errors").is_some() || answer["data"].is_null() {
            return Err(format!("{status}: {answer}"));
        }
        Ok(answer["data"].clone())
    }
}

/// Growing pauses between attempts.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF.0)
    }
}

impl Backoff {
    async fn wait(&mut self, asked: Option<Duration>) {
        tokio::time::sleep(asked.unwrap_or(self.0).min(BACKOFF.1)).await;
        self.0 = (self.0 * 2).min(BACKOFF.1);
    }
}

/// A writer with its own session, and the lines that the server acknowledged.
#[derive(Debug)]
struct Writer {
    session: String,
    lines: Vec<String>,
    retried: u64,
    unexpected_responses: Vec<String>,
    entropy: SeededEntropy,
}

impl Writer {
    fn new(name: &str, n: usize, seed: u64) -> Self {
        Self {
            session: format!("{name}-{n}"),
            lines: Vec::new(),
            retried: 0,
            unexpected_responses: Vec::new(),
            entropy: SeededEntropy::new(seed),
        }
    }

    async fn run(mut self, target: Target, pushes: watch::Sender<u64>, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            self.push_once(&target).await;
            pushes.send_modify(|n| *n += 1);
        }
        self
    }

    /// Pushes a few lines, and retries until they are acknowledged.
    async fn push_once(&mut self, target: &Target) {
        let first = self.lines.len();
        let count = usize::try_from(1 + self.entropy.below(LINES)).expect("few");
        let new: Vec<String> = (first..first + count).map(|n| self.line(n)).collect();
        let body = format!(
            r#"{{"sessions":[{{"session_id":"{}","offset":{first},"messages":[{}]}}]}}"#,
            self.session,
            new.join(",")
        );
        let mut pause = Backoff::default();
        loop {
            match self.attempt(target, &body, first, count).await {
                Ok(()) => break,
                Err(retry_after) => {
                    self.retried += 1;
                    pause.wait(retry_after).await;
                }
            }
        }
        self.lines.extend(new);
    }

    /// Pushes once. If the push was not acknowledged, returns the server's `Retry-After`.
    async fn attempt(
        &mut self,
        target: &Target,
        body: &str,
        first: usize,
        count: usize,
    ) -> Result<(), Option<Duration>> {
        let request = target
            .http
            .post(format!("{}/api/sync/sessions", target.url))
            .bearer_auth(&target.key)
            .header("content-type", "application/json")
            .body(body.to_owned());
        let answer = request.send().await.map_err(|_| None)?;
        let status = answer.status();
        let retry_after =
            answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let text = answer.text().await.map_err(|_| None)?;
        if matches!(status.as_u16(), 408 | 429 | 503) {
            return Err(retry_after.map(Duration::from_secs));
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let batch = &answer["sessions"][0];
        if status.is_success() && batch["error"]["code"] == "unavailable" {
            return Err(None);
        }
        let taken = batch["stored"].as_u64().unwrap_or(0) + batch["duplicates"].as_u64().unwrap_or(0);
        let acknowledged = status.is_success()
            && batch["error"].is_null()
            && taken == count as u64
            && batch["next_offset"] == json!(first + count);
        if acknowledged {
            return Ok(());
        }
        // A client retries after a 5xx. It is recorded, because the server should have responded 503.
        self.unexpected_responses.push(format!("{status}: {text}"));
        Err(None)
    }

    /// A prompt, or an answer that writes a file and counts tokens.
    fn line(&self, n: usize) -> String {
        let (session, words) = (&self.session, self.entropy.next_u64());
        let time = format!("2026-11-01T{:02}:{:02}:{:02}.000Z", n / 3600 % 24, n / 60 % 60, n % 60);
        let envelope = format!(
            r#""uuid":"{session}-{n}","sessionId":"{session}","cwd":"/home/dev/orchard","timestamp":"{time}""#
        );
        if n.is_multiple_of(2) {
            return format!(
                r#"{{"type":"user",{envelope},"message":{{"role":"user","content":"prompt {n} {words:x}"}}}}"#
            );
        }
        format!(
            r#"{{"type":"assistant",{envelope},"requestId":"req-{session}-{n}","message":{{"id":"msg-{session}-{n}","type":"message","role":"assistant","model":"claude-opus-4-6","content":[{{"type":"text","text":"answer {n}"}},{{"type":"tool_use","id":"tool-{session}-{n}","name":"Write","input":{{"file_path":"/home/dev/orchard/{n}.txt","content":"{words:x}\n"}}}}],"usage":{{"input_tokens":{},"output_tokens":{}}}}}}}"#,
            1 + words % 100,
            1 + words % 1000
        )
    }
}

/// Every listed message of a session, as id and line.
async fn read_back(target: &Target, session: &str) -> Result<Vec<(String, String)>, String> {
    let mut read = Vec::new();
    let mut after = Value::Null;
    loop {
        let data = target
            .query(
                "query($id: ID!, $first: Int!, $after: String) { node(id: $id) { ... on Session { \
                   messages(first: $first, after: $after, includeProgress: true) { \
                     edges { node { id ... on AssistantMessage { rawJson } ... on UserMessage { rawJson } } } \
                     pageInfo { hasNextPage endCursor } } } } }",
                json!({ "id": format!("Session:{session}"), "first": PAGE, "after": after }),
            )
            .await?;
        let messages = &data["node"]["messages"];
        for edge in messages["edges"].as_array().ok_or_else(|| format!("{session}: {data}"))? {
            let text = |field: &str| edge["node"][field].as_str().unwrap_or_default().to_owned();
            read.push((text("id"), text("rawJson")));
        }
        if messages["pageInfo"]["hasNextPage"] != json!(true) {
            return Ok(read);
        }
        after = messages["pageInfo"]["endCursor"].clone();
    }
}

/// The messages that a dashboard received.
#[derive(Debug, Default)]
struct Received {
    /// The ids of messages that were delivered, or fetched after subscribing.
    known: BTreeSet<String>,
    delivered: usize,
    resyncs: usize,
    delivered_twice: Vec<String>,
    undelivered: Vec<String>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A dashboard: subscribes, fetches the existing messages, and receives new ones; starts again when a subscription
/// ends. Returns when it has all expected messages, or when no message arrives any more.
async fn run_dashboard(
    target: Target,
    sessions: Vec<String>,
    mut expected: watch::Receiver<Option<Arc<BTreeSet<String>>>>,
) -> Received {
    let mut received = Received::default();
    let mut pause = Backoff::default();
    loop {
        let Ok(mut socket) = subscribe(&target, &sessions).await else {
            pause.wait(None).await;
            continue;
        };
        if fetch(&target, &sessions, &mut received).await.is_err() {
            pause.wait(None).await;
            continue;
        }
        pause = Backoff::default();
        let mut delivered = BTreeSet::new();
        loop {
            let wanted = expected.borrow_and_update().clone();
            if let Some(wanted) = &wanted
                && wanted.is_subset(&received.known)
            {
                return received;
            }
            let next = tokio::select! {
                next = tokio::time::timeout(TIMEOUT, next(&mut socket)) => next,
                _ = expected.changed(), if wanted.is_none() => continue,
            };
            match next {
                Ok(Ok(id)) => {
                    received.delivered += 1;
                    received.known.insert(id.clone());
                    if !delivered.insert(id.clone()) {
                        received.delivered_twice.push(id);
                    }
                }
                // Subscribe and fetch again.
                Ok(Err(())) => {
                    received.resyncs += 1;
                    break;
                }
                Err(_) => {
                    let wanted = wanted.unwrap_or_default();
                    received.undelivered = wanted.difference(&received.known).cloned().collect();
                    return received;
                }
            }
        }
    }
}

async fn fetch(target: &Target, sessions: &[String], received: &mut Received) -> Result<(), String> {
    for session in sessions {
        received.known.extend(read_back(target, session).await?.into_iter().map(|(id, _)| id));
    }
    Ok(())
}

async fn subscribe(target: &Target, sessions: &[String]) -> Result<Socket, ()> {
    let url = format!("{}/graphql", target.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().map_err(|_| ())?;
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.map_err(|_| ())?;
    let credential = json!({ "Authorization": format!("Bearer {}", target.key) });
    send(&mut socket, json!({ "type": "connection_init", "payload": credential })).await?;
    let query =
        "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) { newMessageEdge { node { id } } } }";
    for (n, session) in sessions.iter().enumerate() {
        let payload = json!({ "query": query, "variables": { "id": format!("Session:{session}") } });
        send(&mut socket, json!({ "type": "subscribe", "id": n.to_string(), "payload": payload })).await?;
    }
    // When this query, which follows the subscriptions, is answered, the subscriptions are active.
    send(&mut socket, json!({ "type": "subscribe", "id": "q", "payload": { "query": "{ __typename }" } }))
        .await?;
    loop {
        let message = receive(&mut socket).await?;
        match (message["type"].as_str(), message["id"].as_str()) {
            // Messages that arrive this early are also found by fetching.
            (Some("complete"), Some("q")) => return Ok(socket),
            (Some("error" | "complete"), _) => return Err(()),
            _ => {}
        }
    }
}

/// The id of the next delivered message; an error if a subscription or the connection has ended.
async fn next(socket: &mut Socket) -> Result<String, ()> {
    loop {
        let message = receive(socket).await?;
        match message["type"].as_str() {
            Some("next") => {
                let id = "/payload/data/sessionMessageAdded/newMessageEdge/node/id";
                return message.pointer(id).and_then(Value::as_str).map(str::to_owned).ok_or(());
            }
            Some("error" | "complete") => return Err(()),
            Some("ping") => send(socket, json!({ "type": "pong" })).await?,
            _ => {}
        }
    }
}

async fn send(socket: &mut Socket, message: Value) -> Result<(), ()> {
    socket.send(Message::text(message.to_string())).await.map_err(|_| ())
}

async fn receive(socket: &mut Socket) -> Result<Value, ()> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(|_| ()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(()),
        }
    }
}

/// The command that starts `server` with files limited to `kib` KiB, to simulate a full disk. [`lift_file_size_limit`]
/// removes the limit. A write beyond it fails as with a disk quota (EFBIG) instead of killing the program.
#[must_use]
pub fn with_file_size_limit(server: &str, kib: u64) -> (OsString, Vec<String>) {
    // In a POSIX shell, the unit of `ulimit -f` is 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" serve", kib * 2);
    ("sh".into(), ["-c", &script, server].map(str::to_owned).into())
}

/// Removes the limit of a program that was started by [`with_file_size_limit`]. Returns false if the machine has no
/// `prlimit` (util-linux).
pub fn lift_file_size_limit(program: &Program) -> bool {
    let Some(id) = program.id() else { return false };
    let args = ["--pid".to_owned(), id.to_string(), "--fsize=unlimited:".to_owned()];
    std::process::Command::new("prlimit").args(args).status().is_ok_and(|status| status.success())
}
