//! The server under test: a han-server on a new database of the benchmark's PostgreSQL.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use han_testkit::{Program, pg};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

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
}

/// The path of han-server, which is built into the same directory as this program.
pub(crate) fn server_path() -> PathBuf {
    let mut path = std::env::current_exe().expect("this program's path");
    path.set_file_name("han-server");
    path
}

impl Target {
    /// Starts a server on a new database with this name.
    pub(crate) async fn start(name: &str) -> Self {
        let cluster = std::env::var(pg::BENCH_VARIABLE)
            .unwrap_or_else(|_| panic!("{} is not set: run this through script/bench", pg::BENCH_VARIABLE));
        let cluster: PgConnectOptions = cluster.parse().expect("a PostgreSQL URL");
        let mut admin = PgConnection::connect_with(&cluster).await.expect("the cluster answers");
        for sql in [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")]
        {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.expect("a fresh database");
        }
        let database = cluster.database(name);

        let secret = |byte: u8| base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        let env = [
            ("DATABASE_URL", database.to_url_lossy().to_string()),
            ("KEK_SECRET", secret(1)),
            ("JWT_SECRET", secret(2)),
            ("PUBLIC_URL", "http://127.0.0.1".to_owned()),
            ("HAN_LISTEN", "127.0.0.1:0".to_owned()),
            ("HAN_RATE_LIMITS", "off".to_owned()),
            ("HAN_DATABASE_CONNECTIONS", "40".to_owned()),
            ("HAN_LOG", "warn".to_owned()),
        ];
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let path = server_path();
        let mut server = Program::start(&path, ["serve"], env.clone());
        let line = server.wait_for_line("listening on ").await;
        let url = line.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let url = url.expect("an address").to_owned();

        let args = ["key", "create", "--user", "bench", "--team", "bench", "--scopes", "read sync:write"];
        let (status, output) = Program::start(&path, args, env).wait().await;
        assert!(status.success(), "no key: {:?}", output.stderr);
        let key = output
            .stdout
            .iter()
            .flat_map(|line| line.split_whitespace())
            .find(|word| word.starts_with("han_key_"));
        Self { url, database, key: key.expect("a key").to_owned(), server }
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

    /// Waits until the background job has written the search index, so that it does not run during a measurement.
    pub(crate) async fn until_indexed(&self) {
        let sql = "SELECT count(*) FROM sessions s LEFT JOIN search_state i ON i.team = s.team AND i.session = s.number \
                   WHERE s.next_ordinal > COALESCE(i.indexed_ordinal, 0)";
        let mut connection = self.connect().await;
        loop {
            let due: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a count");
            if due == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
