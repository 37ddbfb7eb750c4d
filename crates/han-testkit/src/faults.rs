//! What faults do to a server under load: writers that retry as the protocol says, dashboards that listen, a fault at a
//! time, and then the reckoning: what was acknowledged, what is stored, what was told. Tests take a few faults,
//! `script/bench faults` a hundred; which faults, and when, follows from a seed.
//!
//! A world has one or two replicas. Clients reach each through doors ([`Door`]), so that a replica that comes back at
//! another port is found again, and connections can be cut.

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
use crate::{Cut, Door, Program, SeededEntropy, Signal};

/// How long a world may take to come right again after a fault. Reached only where it does not.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a writer or a dashboard waits before it tries again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The most lines of a push.
const LINES: u64 = 8;
/// The messages of a page when everything is read back.
const PAGE: u64 = 300;

/// What is done to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the replica that takes the pushes in.
    Server,
    /// `kill -9` of the replica that the dashboards listen on.
    Listener,
    /// `kill -9` of PostgreSQL's postmaster; it is started again.
    Postmaster,
    /// `kill -9` of one backend of PostgreSQL, which then recovers by itself.
    Backend,
    /// `pg_terminate_backend` of every connection to the database.
    Terminate,
    /// A writer's connection is cut in the middle of a request.
    Request,
    /// A writer's connection is cut when the answer comes: after the commit.
    Answer,
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
        Self::Answer,
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
            Self::Answer => "answer lost",
            Self::Dashboard => "dashboard cut",
        })
    }
}

/// One han-server and the doors to it.
#[derive(Debug)]
struct Replica {
    program: Program,
    /// Writers come through here.
    front: Door,
    /// Dashboards come through here, so that cutting the one does not cut the other.
    live: Door,
}

/// Servers on a database, and a key to them.
#[derive(Debug)]
pub struct World {
    server: PathBuf,
    environment: Vec<(String, String)>,
    cluster: Option<Cluster>,
    replicas: Vec<Replica>,
    key: String,
    http: reqwest::Client,
    entropy: SeededEntropy,
    seed: u64,
}

/// What a run of faults came to.
#[derive(Debug, Default)]
pub struct Reckoning {
    /// Lines whose storing was acknowledged.
    pub acknowledged: usize,
    /// Pushes that were sent again.
    pub retried: u64,
    /// Messages that dashboards heard of, each counted once for each that heard.
    pub delivered: usize,
    /// Times a dashboard had to fetch anew: it was told to (`RESYNC`), or its connection ended.
    pub resyncs: usize,
    /// Lines that were acknowledged and are not stored as they were sent.
    pub lost: Vec<String>,
    /// Lines that are stored more than once.
    pub doubled: Vec<String>,
    /// Lines that are stored and were never sent so.
    pub foreign: Vec<String>,
    /// Messages that a dashboard neither heard of nor was told to fetch.
    pub untold: Vec<String>,
    /// Messages that a dashboard heard of twice on one subscription.
    pub told_twice: Vec<String>,
    /// Answers that the protocol does not foresee.
    pub odd_answers: Vec<String>,
    /// For each fault, how long until every writer's pushes were taken in again.
    pub recovered: Vec<(Fault, Duration)>,
}

impl Reckoning {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.retried += other.retried;
        self.delivered += other.delivered;
        self.resyncs += other.resyncs;
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.foreign.extend(other.foreign);
        self.untold.extend(other.untold);
        self.told_twice.extend(other.told_twice);
        self.odd_answers.extend(other.odd_answers);
        self.recovered.extend(other.recovered);
    }

    /// Whether nothing was lost, doubled, changed or left untold.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        [&self.lost, &self.doubled, &self.foreign, &self.untold, &self.told_twice, &self.odd_answers]
            .iter()
            .all(|list| list.is_empty())
    }
}

impl World {
    /// A PostgreSQL of its own that can be killed, and two replicas on it.
    ///
    /// # Panics
    /// Where one of them does not start.
    pub async fn postgres(server: impl AsRef<Path>, seed: u64) -> Self {
        let cluster =
            tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.expect("a thread");
        let cluster = cluster.unwrap_or_else(|e| panic!("{e}"));
        let mut admin = PgConnection::connect(cluster.url()).await.expect("the cluster answers");
        sqlx::raw_sql("CREATE DATABASE han").execute(&mut admin).await.expect("a database");
        let url = cluster.url_of("han");
        Self::on(server.as_ref(), &url, Some(cluster), 2, seed).await
    }

    /// One server on a SQLite database at `url`.
    ///
    /// # Panics
    /// Where it does not start.
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
        let mut world = Self {
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
            let (program, port) = world.serve().await;
            let (front, live) = (Door::open(port).await, Door::open(port).await);
            world.replicas.push(Replica { program, front, live });
        }
        world
    }

    /// Where writers push to.
    #[must_use]
    pub fn url(&self) -> String {
        self.replicas[0].front.url()
    }

    /// What they push with.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Starts a server and gives its port.
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
        replica.front.lead_to(port);
        replica.live.lead_to(port);
    }

    /// Does it, and starts again what does not start by itself.
    ///
    /// # Panics
    /// Where that cannot be done to this world.
    pub async fn inflict(&mut self, fault: Fault) {
        let last = self.replicas.len() - 1;
        match fault {
            Fault::Server => self.kill(0).await,
            Fault::Listener => self.kill(last).await,
            Fault::Postmaster => {
                let cluster = self.cluster.as_mut().expect("a cluster of its own");
                tokio::task::block_in_place(|| cluster.crash().and_then(|()| cluster.revive()))
                    .unwrap_or_else(|e| panic!("{e}"));
            }
            Fault::Backend => {
                let mut pids: Vec<i32> = self.backends("pid").await;
                let pid = pids.swap_remove(self.below(pids.len()));
                let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
                // It may have ended by itself.
                killed.expect("kill runs");
            }
            Fault::Terminate => {
                let _: Vec<bool> = self.backends("pg_terminate_backend(pid)").await;
            }
            // The larger part of a request's bytes are its body's.
            Fault::Request => self.replicas[0].front.cut(Cut::Request(1 + self.below(2000))).await,
            Fault::Answer => self.replicas[0].front.cut(Cut::Answer).await,
            Fault::Dashboard => self.replicas[last].live.cut(Cut::Answer).await,
        }
    }

    /// `what` of each connection that somebody else has to the database.
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

    /// Writers push and dashboards listen while `faults` happen one after another, at instants that the seed gives;
    /// then everything is read back.
    ///
    /// # Panics
    /// Where the world does not come right again by itself; the message names the seed.
    pub async fn endure(
        &mut self,
        name: &str,
        writers: usize,
        dashboards: usize,
        faults: &[Fault],
    ) -> Reckoning {
        eprintln!("seed {}: {faults:?}", self.seed);
        let target = Target { http: self.http.clone(), key: self.key.clone(), url: self.url() };
        let mut written: Vec<Written> =
            (0..writers).map(|n| Written::new(name, n, self.entropy.next_u64())).collect();
        for writer in &mut written {
            // The sessions exist, so that they can be listened to.
            writer.push_once(&target).await;
        }
        let sessions: Vec<String> = written.iter().map(|writer| writer.session.clone()).collect();
        let live = self.replicas.last().expect("a replica").live.url();
        let expected = watch::Sender::new(None);
        let dashboards: Vec<JoinHandle<Heard>> = (0..dashboards)
            .map(|_| {
                let at = Target { url: live.clone(), ..target.clone() };
                tokio::spawn(listen(at, sessions.clone(), expected.subscribe()))
            })
            .collect();

        let stop = watch::Sender::new(false);
        let pushes: Vec<watch::Sender<u64>> = written.iter().map(|_| watch::Sender::new(0)).collect();
        let writing: Vec<JoinHandle<Written>> = written
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
            let waited = tokio::time::timeout(PATIENCE, join_all(waits)).await;
            assert!(waited.is_ok(), "seed {seed}: pushes are not taken in after {after}");
        };

        let mut recovered = Vec::new();
        for &fault in faults {
            all_push(1 + self.entropy.below(4), "a pause").await;
            // Somewhere within what comes next, rather than at its beginning.
            tokio::time::sleep(Duration::from_micros(self.entropy.below(20_000))).await;
            let start = Instant::now();
            let after = fault.to_string();
            let inflicted = tokio::time::timeout(PATIENCE, self.inflict(fault)).await;
            assert!(inflicted.is_ok(), "seed {seed}: {fault} did not come about");
            all_push(2, &after).await;
            eprintln!("{fault}: pushes are taken in again after {:?}", start.elapsed());
            recovered.push((fault, start.elapsed()));
        }
        stop.send_replace(true);
        let written: Vec<Written> =
            join_all(writing).await.into_iter().map(|w| w.expect("a writer ends")).collect();
        for replica in &self.replicas {
            self.until_ready(&replica.front.url()).await;
        }
        let mut reckoning = Reckoning { recovered, ..Reckoning::default() };
        let ids = self.reckon(&written, &mut reckoning).await;
        expected.send_replace(Some(Arc::new(ids)));
        for heard in join_all(dashboards).await {
            let heard = heard.expect("a dashboard ends");
            reckoning.delivered += heard.delivered;
            reckoning.resyncs += heard.resyncs;
            reckoning.untold.extend(heard.untold);
            reckoning.told_twice.extend(heard.twice);
        }
        reckoning
    }

    /// Waits until a server says that it is ready.
    ///
    /// # Panics
    /// Where it does not within a minute and a half.
    pub async fn until_ready(&self, url: &str) {
        let ready = async {
            let mut pause = Pause::default();
            loop {
                let answer = self.http.get(format!("{url}/ready")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                pause.wait(None).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, ready).await;
        assert!(waited.is_ok(), "seed {}: {url} is not ready", self.seed);
    }

    /// Compares what was sent with what is stored; gives the ids of all messages.
    async fn reckon(&self, written: &[Written], reckoning: &mut Reckoning) -> BTreeSet<String> {
        let target = Target { http: self.http.clone(), key: self.key.clone(), url: self.url() };
        let mut ids = BTreeSet::new();
        for writer in written {
            reckoning.acknowledged += writer.lines.len();
            reckoning.retried += writer.retried;
            reckoning.odd_answers.extend(writer.odd_answers.iter().cloned());
            let stored = read_back(&target, &writer.session).await.unwrap_or_else(|e| panic!("{e}"));
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (id, line) in &stored {
                *counts.entry(line).or_default() += 1;
                ids.insert(id.clone());
            }
            let sent: BTreeSet<&str> = writer.lines.iter().map(String::as_str).collect();
            let owned = |line: &&str| (*line).to_owned();
            reckoning.lost.extend(sent.iter().filter(|line| !counts.contains_key(*line)).map(owned));
            reckoning.foreign.extend(counts.keys().filter(|line| !sent.contains(*line)).map(owned));
            reckoning.doubled.extend(counts.iter().filter(|(_, n)| **n > 1).map(|(line, _)| owned(line)));
        }
        ids
    }

    /// The sums that lists and dashboards show, before and after `han-server rebuild` has made them anew.
    ///
    /// # Panics
    /// Where the rebuild fails.
    pub async fn sums_and_rebuilt(&self) -> (Value, Value) {
        let before = self.sums().await;
        let (status, output) =
            Program::start(&self.server, ["rebuild", "--all"], self.environment.clone()).wait().await;
        assert!(status.success(), "seed {}: {output:?}", self.seed);
        (before, self.sums().await)
    }

    async fn sums(&self) -> Value {
        let target = Target { http: self.http.clone(), key: self.key.clone(), url: self.url() };
        let query = "{ activity(days: 60) { totalSessions totalMessages tokenUsage { totalTokens } \
             dailyActivity { date filesChanged linesAdded } } \
             dashboardAnalytics(days: 60) { toolUsage { toolName count } } \
             sessions(first: 500) { totalCount edges { node { sessionId lineCount messageCount turnCount inputTokens \
               outputTokens } } } }";
        let mut sums =
            json!({ "shown": target.ask(query, json!({})).await.unwrap_or_else(|e| panic!("{e}")) });
        if self.cluster.is_some() {
            let mut admin = PgConnection::connect(&self.environment[0].1).await.expect("PostgreSQL answers");
            for table in ["rollups", "rollup_counts", "session_usage", "message_usage", "file_changes"] {
                // A path is sealed, each time with another nonce.
                let sql = format!(
                    "SELECT count(*)::text || ' rows ' || COALESCE(md5(string_agg(r, '\n' ORDER BY r)), '') \
                     FROM (SELECT (to_jsonb(t) - 'path')::text AS r FROM {table} t) rows"
                );
                let sum: String =
                    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut admin).await.expect("a sum");
                sums[table] = json!(sum);
            }
        }
        sums
    }

    /// Fails unless the run left everything whole and the sums are those that a rebuild makes.
    ///
    /// # Panics
    /// That is how.
    pub async fn assert_whole(&self, reckoning: &Reckoning) {
        assert!(reckoning.is_whole(), "seed {}: {reckoning:#?}", self.seed);
        assert!(reckoning.acknowledged > 0 && reckoning.delivered > 0, "seed {}: {reckoning:#?}", self.seed);
        let (sums, rebuilt) = self.sums_and_rebuilt().await;
        assert_eq!(sums, rebuilt, "seed {}", self.seed);
    }
}

/// What servers and commands on the database at `url` are started with; the database comes first.
#[must_use]
pub fn environment(url: &str) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", url),
        ("KEK_SECRET", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        ("JWT_SECRET", "a secret of the tests, long enough to sign with"),
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

/// A server, as a client sees it.
#[derive(Clone, Debug)]
struct Target {
    http: reqwest::Client,
    key: String,
    url: String,
}

impl Target {
    async fn ask(&self, query: &str, variables: Value) -> Result<Value, String> {
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
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE.0)
    }
}

impl Pause {
    async fn wait(&mut self, asked: Option<Duration>) {
        tokio::time::sleep(asked.unwrap_or(self.0).min(PAUSE.1)).await;
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

/// A writer with a session of its own, and what it has had acknowledged.
#[derive(Debug)]
struct Written {
    session: String,
    lines: Vec<String>,
    retried: u64,
    odd_answers: Vec<String>,
    entropy: SeededEntropy,
}

impl Written {
    fn new(name: &str, n: usize, seed: u64) -> Self {
        Self {
            session: format!("{name}-{n}"),
            lines: Vec::new(),
            retried: 0,
            odd_answers: Vec::new(),
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

    /// Pushes a few lines, again and again until they are acknowledged.
    async fn push_once(&mut self, target: &Target) {
        let first = self.lines.len();
        let count = usize::try_from(1 + self.entropy.below(LINES)).expect("few");
        let new: Vec<String> = (first..first + count).map(|n| self.line(n)).collect();
        let body = format!(
            r#"{{"sessions":[{{"session_id":"{}","offset":{first},"messages":[{}]}}]}}"#,
            self.session,
            new.join(",")
        );
        let mut pause = Pause::default();
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

    /// Whether it was acknowledged; else how long the server asks to wait.
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
        let whole = status.is_success()
            && batch["error"].is_null()
            && taken == count as u64
            && batch["next_offset"] == json!(first + count);
        if whole {
            return Ok(());
        }
        // A client goes on after a 5xx; that the server could not tell its trouble from a request's is noted.
        self.odd_answers.push(format!("{status}: {text}"));
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

/// Every listed message of a session, as its id and its line.
async fn read_back(target: &Target, session: &str) -> Result<Vec<(String, String)>, String> {
    let mut read = Vec::new();
    let mut after = Value::Null;
    loop {
        let data = target
            .ask(
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

/// What a dashboard heard.
#[derive(Debug, Default)]
struct Heard {
    /// Ids that it was told or that it fetched after it had subscribed.
    known: BTreeSet<String>,
    delivered: usize,
    resyncs: usize,
    twice: Vec<String>,
    untold: Vec<String>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A dashboard: subscribes, fetches what is there, listens; and again whenever its subscription ends. It is done once
/// it knows all that is expected, or nothing more comes.
async fn listen(
    target: Target,
    sessions: Vec<String>,
    mut expected: watch::Receiver<Option<Arc<BTreeSet<String>>>>,
) -> Heard {
    let mut heard = Heard::default();
    let mut pause = Pause::default();
    loop {
        let Ok(mut socket) = subscribe(&target, &sessions).await else {
            pause.wait(None).await;
            continue;
        };
        if fetch(&target, &sessions, &mut heard).await.is_err() {
            pause.wait(None).await;
            continue;
        }
        pause = Pause::default();
        let mut told = BTreeSet::new();
        loop {
            let wanted = expected.borrow_and_update().clone();
            if let Some(wanted) = &wanted
                && wanted.is_subset(&heard.known)
            {
                return heard;
            }
            let next = tokio::select! {
                next = tokio::time::timeout(PATIENCE, next(&mut socket)) => next,
                _ = expected.changed(), if wanted.is_none() => continue,
            };
            match next {
                Ok(Ok(id)) => {
                    heard.delivered += 1;
                    heard.known.insert(id.clone());
                    if !told.insert(id.clone()) {
                        heard.twice.push(id);
                    }
                }
                // It fetches anew.
                Ok(Err(())) => {
                    heard.resyncs += 1;
                    break;
                }
                Err(_) => {
                    let wanted = wanted.unwrap_or_default();
                    heard.untold = wanted.difference(&heard.known).cloned().collect();
                    return heard;
                }
            }
        }
    }
}

async fn fetch(target: &Target, sessions: &[String], heard: &mut Heard) -> Result<(), String> {
    for session in sessions {
        heard.known.extend(read_back(target, session).await?.into_iter().map(|(id, _)| id));
    }
    Ok(())
}

async fn subscribe(target: &Target, sessions: &[String]) -> Result<Socket, ()> {
    let url = format!("{}/graphql", target.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().map_err(|_| ())?;
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.map_err(|_| ())?;
    let credential = json!({ "Authorization": format!("Bearer {}", target.key) });
    say(&mut socket, json!({ "type": "connection_init", "payload": credential })).await?;
    let query =
        "subscription($id: ID!) { sessionMessageAdded(sessionId: $id) { newMessageEdge { node { id } } } }";
    for (n, session) in sessions.iter().enumerate() {
        let payload = json!({ "query": query, "variables": { "id": format!("Session:{session}") } });
        say(&mut socket, json!({ "type": "subscribe", "id": n.to_string(), "payload": payload })).await?;
    }
    // Once what comes after them is answered, the subscriptions are in place.
    say(&mut socket, json!({ "type": "subscribe", "id": "q", "payload": { "query": "{ __typename }" } }))
        .await?;
    loop {
        let message = hear(&mut socket).await?;
        match (message["type"].as_str(), message["id"].as_str()) {
            // What comes this early, fetching finds.
            (Some("complete"), Some("q")) => return Ok(socket),
            (Some("error" | "complete"), _) => return Err(()),
            _ => {}
        }
    }
}

/// The id of the next message that was told; nothing where a subscription or the connection has ended.
async fn next(socket: &mut Socket) -> Result<String, ()> {
    loop {
        let message = hear(socket).await?;
        match message["type"].as_str() {
            Some("next") => {
                let id = "/payload/data/sessionMessageAdded/newMessageEdge/node/id";
                return message.pointer(id).and_then(Value::as_str).map(str::to_owned).ok_or(());
            }
            Some("error" | "complete") => return Err(()),
            Some("ping") => say(socket, json!({ "type": "pong" })).await?,
            _ => {}
        }
    }
}

async fn say(socket: &mut Socket, message: Value) -> Result<(), ()> {
    socket.send(Message::text(message.to_string())).await.map_err(|_| ())
}

async fn hear(socket: &mut Socket) -> Result<Value, ()> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(|_| ()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(()),
        }
    }
}

/// The arguments that start `server` with files of at most `kib` KiB, as a disk that is full; [`give_room`] ends that.
/// A write past it fails as on a disk quota (EFBIG) rather than killing the program.
#[must_use]
pub fn with_little_room(server: &str, kib: u64) -> (OsString, Vec<String>) {
    // `ulimit -f` counts in 512 bytes in POSIX's sh.
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" serve", kib * 2);
    ("sh".into(), ["-c", &script, server].map(str::to_owned).into())
}

/// Lets a program that [`with_little_room`] started write as much as it likes. False where the machine has no
/// `prlimit` (util-linux).
pub fn give_room(program: &Program) -> bool {
    let Some(id) = program.id() else { return false };
    let args = ["--pid".to_owned(), id.to_string(), "--fsize=unlimited:".to_owned()];
    std::process::Command::new("prlimit").args(args).status().is_ok_and(|status| status.success())
}
