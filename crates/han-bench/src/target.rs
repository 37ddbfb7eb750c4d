//! The server under test: a han-server on a new database of the benchmark's PostgreSQL, or on SQLite.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use han_testkit::{Program, pg};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

/// The KEK of each server that a benchmark starts.
const KEK: [u8; 32] = [1; 32];

/// A running server, its database, and an API key.
pub(crate) struct Target {
    /// Its URL.
    pub url: String,
    /// Its database.
    pub database: PgConnectOptions,
    /// An API key with the scopes `read` and `sync:write`.
    pub key: String,
    /// Its process.
    pub server: Program,
    environment: Environment,
}

/// A server's environment.
type Environment = Vec<(&'static str, String)>;

/// The settings of a server whose only clients are benchmarks: one user has thousands of sockets, at one address, and
/// `lists` also reads a session that is not sealed.
const SETTINGS: [(&str, &str); 12] = [
    ("HAN_UNSEALED_CONTENT", "accept"),
    ("HAN_RATE_LIMITS", "off"),
    ("HAN_UNAUTHENTICATED_PERCENT", "100"),
    ("HAN_ADDRESS_CONNECTIONS", "1000000"),
    ("HAN_USER_CONNECTIONS", "1000000"),
    ("HAN_USER_SOCKETS", "1000000"),
    ("HAN_USER_SUBSCRIPTIONS", "1000000"),
    ("HAN_MAX_SUBSCRIPTIONS", "1000000"),
    ("HAN_USER_OPERATIONS", "1000000"),
    ("HAN_MAX_OPERATIONS", "1000000"),
    ("HAN_USER_RUNNING", "1000000"),
    ("HAN_USER_BUFFER_BYTES", "1073741824"),
];

/// A running server on SQLite, and an API key.
pub(crate) struct Embedded {
    /// Its URL.
    pub url: String,
    /// The file of its database.
    pub file: PathBuf,
    /// An API key with the scopes `read` and `sync:write`.
    pub key: String,
    /// Its process.
    pub server: Program,
}

/// The path of a program that is built into the same directory as this one.
fn built(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("this program's path");
    path.set_file_name(name);
    path
}

/// The path of han-server.
pub(crate) fn server_path() -> PathBuf {
    built("han-server")
}

/// The path of han-coordinator.
pub(crate) fn coordinator_path() -> PathBuf {
    built("han-coordinator")
}

/// The KEK of each server that a benchmark starts, as in `KEK_SECRET`.
pub(crate) fn kek_secret() -> String {
    secret(KEK)
}

fn secret(bytes: [u8; 32]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Starts a server with this environment besides what every server has; returns it, its URL and its environment.
async fn serve(more: Environment) -> (Program, String, Environment) {
    let common = [
        ("KEK_SECRET", kek_secret()),
        ("JWT_SECRET", secret([2; 32])),
        ("PUBLIC_URL", "http://127.0.0.1".to_owned()),
        ("HAN_LISTEN", "127.0.0.1:0".to_owned()),
        ("HAN_LOG", "warn".to_owned()),
    ];
    let environment: Environment = common.into_iter().chain(more).collect();
    let mut server = Program::start(server_path(), ["serve"], borrowed(&environment));
    let line = server.wait_for_line("listening on ").await;
    let url = line.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let url = url.expect("an address").to_owned();

    (server, url, environment)
}

fn borrowed(environment: &Environment) -> Vec<(&'static str, &str)> {
    environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn with_settings(environment: Environment) -> Environment {
    let settings = SETTINGS.map(|(name, value)| (name, value.to_owned()));
    environment.into_iter().chain(settings).collect()
}

/// Makes an API key of a user, who has a team of the same name.
async fn key_of(user: &str, environment: &Environment) -> String {
    let args = ["key", "create", "--create", "--user", user, "--team", user, "--scopes", "read sync:write"];
    let (status, output) = Program::start(server_path(), args, borrowed(environment)).wait().await;
    assert!(status.success(), "no key: {:?}", output.stderr);
    let words = output.stdout.iter().flat_map(|line| line.split_whitespace());
    words.clone().find(|word| word.starts_with("han_key_")).expect("a key").to_owned()
}

impl Target {
    /// Starts a server on a new database with this name, which limits nothing.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, with_settings(Vec::new())).await
    }

    /// Starts a server on a new database with this name, with the limits that a server has by default.
    pub(crate) async fn start_with_default_limits(name: &str) -> Self {
        Self::start_with(name, Vec::new()).await
    }

    /// A key of another user, who has a team of the same name.
    pub(crate) async fn key_of(&self, user: &str) -> String {
        key_of(user, &self.environment).await
    }

    async fn start_with(name: &str, more: Environment) -> Self {
        let cluster = std::env::var(pg::BENCH_VARIABLE)
            .unwrap_or_else(|_| panic!("{} is not set: run this through script/bench", pg::BENCH_VARIABLE));
        let cluster: PgConnectOptions = cluster.parse().expect("a PostgreSQL URL");
        let mut admin = PgConnection::connect_with(&cluster).await.expect("the cluster answers");
        for sql in [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")]
        {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.expect("a fresh database");
        }
        let database = cluster.database(name);
        let own = [
            ("DATABASE_URL", database.to_url_lossy().to_string()),
            ("HAN_DATABASE_CONNECTIONS", "40".to_owned()),
        ];
        let (server, url, environment) = serve(own.into_iter().chain(more).collect()).await;
        let key = key_of("bench", &environment).await;
        Self { url, database, key, server, environment }
    }

    /// The CPU seconds that the server has used.
    pub(crate) fn cpu(&self) -> f64 {
        self.server.id().map(crate::cpu::of_process).unwrap_or_default()
    }

    /// The server's resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.server.id().map(crate::cpu::resident_kib).unwrap_or_default()
    }

    /// A direct connection to the database.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.database).await.expect("the database answers")
    }

    /// Runs SQL statements.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut self.connect().await)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// The number that a query returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut self.connect().await)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Pushes a body with this `Content-Encoding`. Every line must be accepted.
    pub(crate) async fn push(&self, client: &reqwest::Client, encoding: Option<&str>, body: Vec<u8>) {
        let mut request = client
            .post(format!("{}/api/sync/sessions", self.url))
            .bearer_auth(&self.key)
            .header("Content-Type", "application/json");
        if let Some(encoding) = encoding {
            request = request.header("Content-Encoding", encoding);
        }
        let response = request.body(body).send().await.expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("an answer");
        assert!(status.is_success() && text.contains(r#""error":null"#), "{status}: {text}");
    }
}

impl Embedded {
    /// Starts a server whose database is in this directory, which is created.
    pub(crate) async fn start(directory: &Path) -> Self {
        let own = vec![("HAN_DATA_DIR", directory.to_string_lossy().into_owned())];
        let (server, url, environment) = serve(with_settings(own)).await;
        let key = key_of("bench", &environment).await;
        Self { url, key, server, file: directory.join("han.db") }
    }

    /// The CPU seconds that the server has used.
    pub(crate) fn cpu(&self) -> f64 {
        self.server.id().map(crate::cpu::of_process).unwrap_or_default()
    }
}

/// The body of a push of one batch of lines.
pub(crate) fn push_body(
    session: &str,
    transcript: &str,
    path: &str,
    offset: Option<usize>,
    lines: &[String],
) -> Vec<u8> {
    let offset = offset.map(|offset| format!(r#""offset":{offset},"#)).unwrap_or_default();
    let body = format!(
        r#"{{"sessions":[{{"session_id":"{session}","metadata":{{"agent":"claude-code","project_path":"{path}","git_remote":"git@example.com:bench{path}.git"}},"transcript":"{transcript}",{offset}"messages":[{}]}}]}}"#,
        lines.join(",")
    );
    body.into_bytes()
}

/// [`push_body`], compressed with zstd.
pub(crate) fn packed_body(
    session: &str,
    transcript: &str,
    path: &str,
    offset: Option<usize>,
    lines: &[String],
) -> Vec<u8> {
    zstd::bulk::compress(&push_body(session, transcript, path, offset, lines), 3).expect("a compressed body")
}

/// Pushes the transcripts of a folder of projects with han-coordinator, and returns its report.
///
/// # Panics
/// If it fails, or a line was rejected or known.
pub(crate) async fn coordinate(url: &str, key: &str, directory: &Path) -> CoordinatorReport {
    let output = tokio::process::Command::new(coordinator_path())
        .arg("push")
        .arg(directory)
        .arg("--json")
        .env_clear()
        .env("HAN_URL", url)
        .env("HAN_API_KEY", key)
        .kill_on_drop(true)
        .output()
        .await
        .expect("han-coordinator starts: script/bench builds it");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}{}", String::from_utf8_lossy(&output.stdout));
    let report: CoordinatorReport = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(report.rejected.is_empty() && report.duplicates == 0, "{report:?}");
    report
}

/// What a benchmark reads of han-coordinator's report.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct CoordinatorReport {
    /// Transcripts found.
    pub transcripts: u64,
    /// Lines that the push added.
    pub stored: u64,
    duplicates: u64,
    rejected: Vec<serde_json::Value>,
}
