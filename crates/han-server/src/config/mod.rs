//! Configuration: what the environment says, read once, checked as a whole. Every problem is told at once, so that
//! nobody starts a server five times to learn of five missing variables. Nothing here opens a database.

mod reference;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use han_crypto::KekRing;
use han_http::secrets_file::SecretsFile;
use han_http::system::LogFormat;
use han_types::{Entropy, Plans};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

pub use reference::{VARIABLES, Variable, help};

/// The shortest `JWT_SECRET` taken: HS256 wants a key as long as its hash (RFC 7518, section 3.2).
pub const MIN_JWT_SECRET_BYTES: usize = 32;

/// The secrets that are made for a server on SQLite.
const SECRETS_FILE: SecretsFile =
    SecretsFile { program: "han-server", names: &["KEK_SECRET", "JWT_SECRET"], kek: "KEK_SECRET" };

/// Where GitHub is, unless it is an Enterprise Server.
const GITHUB: &str = "https://github.com";
const GITHUB_API: &str = "https://api.github.com";

/// Everything that is wrong with the environment.
#[derive(Debug, Error)]
#[error("the configuration is not complete:{}", .problems.iter().map(|p| format!("\n  - {p}")).collect::<String>())]
pub struct ConfigError {
    /// One sentence each: what is wrong and what to do.
    pub problems: Vec<String>,
}

/// Whether the server faces the world or its own developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// GraphiQL is served.
    Development,
    /// Nothing is served that only developers need.
    Production,
}

/// Which database.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `postgres://…` or `sqlite:…`; may carry a password.
    pub url: SecretString,
    /// The most connections this process opens.
    pub max_connections: u32,
    /// Whether `serve` brings the schema up to date by itself.
    pub migrate: bool,
}

/// The secrets, as types that print nothing.
#[derive(Clone)]
pub struct Secrets {
    /// `KEK_SECRET`: what team keys are wrapped with.
    pub kek: SecretString,
    /// `KEK_SECRET_PREVIOUS`: more KEKs to open with, separated by commas.
    pub kek_previous: Option<SecretString>,
    /// `JWT_SECRET`: what access tokens are signed with.
    pub jwt: SecretString,
    /// `JWT_SECRET_PREVIOUS`: one more whose signatures are accepted.
    pub jwt_previous: Option<SecretString>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets([REDACTED])")
    }
}

impl Secrets {
    /// The KEKs. [`Config::load`] has checked them.
    ///
    /// # Errors
    /// Where a secret is no KEK.
    pub fn kek_ring(&self) -> Result<KekRing, han_crypto::CryptoError> {
        KekRing::from_secrets(&self.kek, self.kek_previous.as_ref())
    }
}

/// An OAuth app at GitHub.
#[derive(Clone)]
pub struct GithubConfig {
    /// `HAN_GITHUB_CLIENT_ID`.
    pub client_id: String,
    /// `HAN_GITHUB_CLIENT_SECRET`.
    pub client_secret: SecretString,
    /// Where people sign in: github.com, or an Enterprise Server.
    pub url: String,
    /// Where its API is.
    pub api_url: String,
    /// The accounts that may sign in, by name.
    pub allowed_logins: Vec<String>,
    /// The organizations whose active members may sign in. Where both lists are empty, everybody may.
    pub allowed_orgs: Vec<String>,
    /// How long a call may take.
    pub timeout: Duration,
}

impl fmt::Debug for GithubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubConfig")
            .field("client_id", &self.client_id)
            .field("url", &self.url)
            .field("api_url", &self.api_url)
            .field("allowed_logins", &self.allowed_logins)
            .field("allowed_orgs", &self.allowed_orgs)
            .finish_non_exhaustive()
    }
}

/// How much of anything the server takes. Each is named in the error that it causes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a push as sent, compressed or not.
    pub body_bytes: usize,
    /// Bytes of a push after decompression.
    pub decompressed_bytes: usize,
    /// Bytes of one transcript line.
    pub line_bytes: usize,
    /// Lines of one batch, which is one transaction.
    pub lines_per_batch: usize,
    /// Lines of one push.
    pub lines_per_request: usize,
    /// Batches of one push.
    pub sessions_per_request: usize,
    /// Bytes of memory that all pushes in flight take together.
    pub ingest_memory_bytes: usize,
    /// Bytes of one GraphQL request.
    pub graphql_bytes: usize,
    /// How long a client may be silent while it sends a request.
    pub read_timeout: Duration,
    /// How long a shutdown waits for what was accepted.
    pub shutdown_grace: Duration,
    /// How often an open socket's credential and membership are read again. What revokes them is heard at once; this is
    /// for what nobody announces.
    pub socket_recheck: Duration,
    /// For how long an answer of the database's to `/ready` holds.
    pub readiness_holds: Duration,
    /// How many batches wait for their turn to be stored.
    pub stores_waiting: usize,
    /// How long a batch waits for its turn to be stored.
    pub store_patience: Duration,
    /// How long an open socket may go without saying who it is.
    pub socket_init: Duration,
}

impl Limits {
    /// The most bytes of memory that one push's body is counted for: as sent and decompressed at once, with the steps
    /// that both are read in.
    pub(crate) fn largest_body(&self) -> usize {
        self.body_bytes + self.decompressed_bytes + 2 * crate::sync::body::STEP
    }

    /// The most bytes that storing one push is counted for, beside its body.
    pub(crate) fn largest_store(&self) -> usize {
        let lines = self.lines_per_request.min(crate::sync::receiver::BATCHES_AT_ONCE * self.lines_per_batch);
        crate::sync::memory::taken_to_store(self.decompressed_bytes, self.line_bytes, lines)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            decompressed_bytes: 128 << 20,
            line_bytes: 16 << 20,
            lines_per_batch: 10_000,
            lines_per_request: 100_000,
            sessions_per_request: 1_000,
            ingest_memory_bytes: 512 << 20,
            graphql_bytes: 1 << 20,
            read_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
            socket_recheck: Duration::from_secs(300),
            readiness_holds: Duration::from_secs(1),
            stores_waiting: 2048,
            store_patience: Duration::from_secs(20),
            socket_init: Duration::from_secs(10),
        }
    }
}

/// Where this server is found: scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads an address such as `https://han.example.com`. A trailing slash is dropped.
    ///
    /// # Errors
    /// Where it is not an http or https address, or has a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "PUBLIC_URL must be an address such as https://han.example.com, without a path, not {text:?}"
            )
        };
        let uri: Uri = text.trim().parse().map_err(|_| refuse())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refuse());
        };
        let plain =
            matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
        if !matches!(scheme, "http" | "https") || !plain {
            return Err(refuse());
        }
        // An Origin header leaves the scheme's own port out (RFC 6454, section 6.2).
        let own_port = if scheme == "https" { Some(443) } else { Some(80) };
        let port = uri.port_u16().filter(|port| Some(*port) != own_port);
        let host = authority.host().to_ascii_lowercase();
        Ok(Self(match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }

    /// The address of a listener, for a server that nobody gave one.
    #[must_use]
    pub fn of_listener(address: SocketAddr) -> Self {
        // Nobody can open a wildcard address.
        let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { host_of(address) };
        Self(format!("http://{host}:{}", address.port()))
    }

    /// As an `Origin` header spells it: no trailing slash, no default port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0
    }

    /// Whether browsers reach it over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// The whole configuration.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where this server is found; without one, the listener's own address.
    pub public_url: Option<PublicUrl>,
    /// Whom it faces.
    pub environment: Environment,
    /// Which database.
    pub database: DatabaseConfig,
    /// The secrets.
    pub secrets: Secrets,
    /// A built dashboard to serve.
    pub client_dir: Option<PathBuf>,
    /// The app that people sign in through; without one, they sign in by link.
    pub github: Option<GithubConfig>,
    /// How many times as high as usual limits on the rate of requests are; `None` limits nobody.
    pub rate_factor: Option<u32>,
    /// Origins whose pages may read answers.
    pub cors_origins: Vec<String>,
    /// How many proxies stand in front, each of which adds to `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// How much of anything is taken.
    pub limits: Limits,
    /// Whether plans bind.
    pub plans: Plans,
    /// What to tell whoever started the server, once.
    pub notices: Vec<String>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("environment", &self.environment)
            .field("max_connections", &self.database.max_connections)
            .field("secrets", &self.secrets)
            .field("client_dir", &self.client_dir)
            .field("github", &self.github)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("rate_factor", &self.rate_factor)
            .field("cors_origins", &self.cors_origins)
            .field("limits", &self.limits)
            .field("plans", &self.plans)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads and checks the configuration. `lookup` is the environment; on SQLite, secrets that nobody gave are
    /// made with `entropy` and kept beside the database.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(lookup: &dyn Fn(&str) -> Option<String>, entropy: &dyn Entropy) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let config = reader.config(entropy);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems: reader.problems }),
        }
    }

    /// The address to put into links, before anything listens.
    #[must_use]
    pub fn link_base(&self) -> PublicUrl {
        self.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(self.listen))
    }
}

/// How the log looks and what it leaves out. Read before all else, so that problems with the rest can be logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `HAN_LOG`, else `RUST_LOG`, else `info`.
    pub filter: String,
    /// `HAN_LOG_FORMAT`.
    pub format: LogFormat,
}

impl LogConfig {
    /// Reads it; what cannot be read is the default.
    #[must_use]
    pub fn load(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let filter = lookup("HAN_LOG").or_else(|| lookup("RUST_LOG")).filter(|text| !text.trim().is_empty());
        let json = lookup("HAN_LOG_FORMAT").is_some_and(|text| text.trim() == "json");
        Self {
            filter: filter.unwrap_or_else(|| "info,sqlx=warn".to_owned()),
            format: if json { LogFormat::Json } else { LogFormat::Text },
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn config(&mut self, entropy: &dyn Entropy) -> Option<Config> {
        let environment = self.one_of(
            "HAN_ENV",
            Environment::Production,
            &[("development", Environment::Development), ("production", Environment::Production)],
        );
        let (url, file) = self.database_url();
        let listen = self.listen();
        let public_url = self.public_url(file.is_some() || environment == Environment::Development);
        let migrate = self.one_of("HAN_MIGRATE", true, &[("on", true), ("off", false)]);
        let max_connections = self.number("HAN_DATABASE_CONNECTIONS", 20, 1, 10_000);
        let limits = self.limits();
        let client_dir = self.client_dir();
        // Read long before, for the log; here only its spelling is checked.
        self.one_of(
            "HAN_LOG_FORMAT",
            LogFormat::Text,
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let stripe = self.secret("STRIPE_SECRET_KEY");
        let github = self.github();
        let trusted_proxies = self.number("HAN_TRUSTED_PROXIES", 0, 0, 10);
        let limited = self.one_of("HAN_RATE_LIMITS", true, &[("on", true), ("off", false)]);
        let factor = self.number("HAN_RATE_FACTOR", 1, 1, 1000);
        let cors_origins = self.origins("HAN_CORS_ORIGINS");
        let mut notices = Vec::new();
        let secrets = self.secrets(file.as_deref(), entropy, &mut notices)?;
        Some(Config {
            listen,
            public_url,
            environment,
            database: DatabaseConfig {
                url: url?,
                max_connections: u32::try_from(max_connections).unwrap_or(u32::MAX),
                migrate,
            },
            secrets,
            client_dir,
            github,
            rate_factor: limited.then(|| u32::try_from(factor).unwrap_or(u32::MAX)),
            cors_origins,
            trusted_proxies,
            limits,
            plans: Plans { billing_configured: stripe.is_some() },
            notices,
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.trim().is_empty())
    }

    /// A secret from its variable, or from the file that its `_FILE` twin names.
    fn secret(&mut self, name: &str) -> Option<SecretString> {
        let twin = format!("{name}_FILE");
        match (self.text(name), self.text(&twin)) {
            (Some(_), Some(_)) => {
                self.problems.push(format!("{name} and {twin} are both set: set one of them"));
                None
            }
            (Some(text), None) => Some(SecretString::from(text)),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) if text.trim().is_empty() => {
                    self.problems.push(format!("{twin} names {path}, which is empty"));
                    None
                }
                // Files end with a newline.
                Ok(text) => Some(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(err) => {
                    self.problems.push(format!("{twin} names {path}, which cannot be read: {err}"));
                    None
                }
            },
            (None, None) => None,
        }
    }

    fn one_of<T: Copy>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(name) else { return default };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.trim()) {
            return *value;
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.problems.push(format!("{name} is {text:?}: it must be {}", words.join(" or ")));
        default
    }

    fn number(&mut self, name: &str, default: usize, min: usize, max: usize) -> usize {
        let Some(text) = self.text(name) else { return default };
        match text.trim().parse::<usize>() {
            Ok(n) if (min..=max).contains(&n) => n,
            _ => {
                self.problems
                    .push(format!("{name} is {text:?}: it must be a whole number from {min} to {max}"));
                default
            }
        }
    }

    /// The database's URL, and for SQLite its file.
    fn database_url(&mut self) -> (Option<SecretString>, Option<PathBuf>) {
        let Some(url) = self.secret("DATABASE_URL") else {
            let dir = PathBuf::from(self.text("HAN_DATA_DIR").unwrap_or_else(|| "./han-data".to_owned()));
            let file = dir.join("han.db");
            return (Some(SecretString::from(format!("sqlite:{}", file.display()))), Some(file));
        };
        let text = url.expose_secret();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return (Some(url), None);
        }
        match text.strip_prefix("sqlite:").map(sqlite_file) {
            Some(Some(file)) => (Some(url), Some(file)),
            Some(None) => {
                self.problems.push(
                    "DATABASE_URL names a SQLite database in memory: name a file, such as sqlite:./han-data/han.db"
                        .to_owned(),
                );
                (None, None)
            }
            None => {
                self.problems.push(
                    "DATABASE_URL must start with postgres:// or sqlite: (leave it unset for ./han-data/han.db)"
                        .to_owned(),
                );
                (None, None)
            }
        }
    }

    fn listen(&mut self) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], 8787));
        if let Some(text) = self.text("HAN_LISTEN") {
            return text.trim().parse().unwrap_or_else(|_| {
                self.problems.push(format!(
                    "HAN_LISTEN is {text:?}: it must be an address and port, such as 0.0.0.0:8787"
                ));
                default
            });
        }
        // Platforms that name only a port route to it from outside.
        if let Some(text) = self.text("PORT") {
            return match text.trim().parse::<u16>() {
                Ok(port) => SocketAddr::from(([0, 0, 0, 0], port)),
                Err(_) => {
                    self.problems.push(format!("PORT is {text:?}: it must be a number from 0 to 65535"));
                    default
                }
            };
        }
        default
    }

    fn public_url(&mut self, may_default: bool) -> Option<PublicUrl> {
        match self.text("PUBLIC_URL") {
            Some(text) => PublicUrl::parse(&text).map_err(|problem| self.problems.push(problem)).ok(),
            None if may_default => None,
            None => {
                self.problems.push(
                    "PUBLIC_URL is missing: set it to the address browsers reach this server at, such as \
                     https://han.example.com"
                        .to_owned(),
                );
                None
            }
        }
    }

    fn github(&mut self) -> Option<GithubConfig> {
        let client_id = self.text("HAN_GITHUB_CLIENT_ID");
        let client_secret = self.secret("HAN_GITHUB_CLIENT_SECRET");
        let url = self.address("HAN_GITHUB_URL", GITHUB);
        // An Enterprise Server has its API under its own address.
        let api = if url == GITHUB { GITHUB_API.to_owned() } else { format!("{url}/api/v3") };
        let api_url = self.address("HAN_GITHUB_API_URL", &api);
        let (allowed_logins, allowed_orgs) =
            (self.names("HAN_GITHUB_ALLOWED_LOGINS"), self.names("HAN_GITHUB_ALLOWED_ORGS"));
        match (client_id, client_secret) {
            (Some(client_id), Some(client_secret)) => Some(GithubConfig {
                client_id: client_id.trim().to_owned(),
                client_secret,
                url,
                api_url,
                allowed_logins,
                allowed_orgs,
                timeout: Duration::from_secs(10),
            }),
            (None, None) => None,
            _ => {
                self.problems.push(
                    "HAN_GITHUB_CLIENT_ID and HAN_GITHUB_CLIENT_SECRET belong together: set both, or neither to \
                     go without GitHub"
                        .to_owned(),
                );
                None
            }
        }
    }

    /// An http or https address, without a slash at its end.
    fn address(&mut self, name: &str, default: &str) -> String {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let text = text.trim().trim_end_matches('/');
        let uri = text.parse::<Uri>().ok();
        let plain = uri.as_ref().is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.query().is_none()
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        });
        if !plain {
            self.problems.push(format!("{name} is {text:?}: it must be an address such as {default}"));
        }
        text.to_owned()
    }

    /// Origins, separated by commas.
    fn origins(&mut self, name: &str) -> Vec<String> {
        let Some(text) = self.text(name) else { return Vec::new() };
        let mut origins = Vec::new();
        for origin in text.split(',') {
            match PublicUrl::parse(origin) {
                Ok(url) => origins.push(url.origin().to_owned()),
                Err(_) => self.problems.push(format!(
                    "{name} is {text:?}: it must be origins such as https://dashboard.example.com, separated by commas"
                )),
            }
        }
        origins
    }

    /// Names of accounts or organizations at GitHub, separated by commas.
    fn names(&mut self, name: &str) -> Vec<String> {
        let Some(text) = self.text(name) else { return Vec::new() };
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let is_name = |text: &String| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // A list that lets nobody in, or more than was meant, must not start.
        if !names.iter().all(is_name) {
            self.problems
                .push(format!("{name} is {text:?}: it must be names at GitHub, separated by commas"));
        }
        names
    }

    fn client_dir(&mut self) -> Option<PathBuf> {
        let dir = PathBuf::from(self.text("HAN_CLIENT_DIR")?);
        if !dir.join("index.html").is_file() {
            self.problems.push(format!(
                "HAN_CLIENT_DIR is {}, which has no index.html: name the directory of a built dashboard",
                dir.display()
            ));
        }
        Some(dir)
    }

    fn limits(&mut self) -> Limits {
        const GIB: usize = 1 << 30;
        let default = Limits::default();
        let limits = Limits {
            body_bytes: self.number("HAN_MAX_BODY_BYTES", default.body_bytes, 1024, GIB),
            decompressed_bytes: self.number(
                "HAN_MAX_DECOMPRESSED_BYTES",
                default.decompressed_bytes,
                1024,
                GIB,
            ),
            line_bytes: self.number("HAN_MAX_LINE_BYTES", default.line_bytes, 1024, 64 << 20),
            lines_per_batch: self.number("HAN_MAX_LINES_PER_BATCH", default.lines_per_batch, 1, 100_000),
            lines_per_request: self.number(
                "HAN_MAX_LINES_PER_REQUEST",
                default.lines_per_request,
                1,
                1_000_000,
            ),
            sessions_per_request: self.number(
                "HAN_MAX_SESSIONS_PER_REQUEST",
                default.sessions_per_request,
                1,
                10_000,
            ),
            ingest_memory_bytes: self.number(
                "HAN_INGEST_MEMORY_BYTES",
                default.ingest_memory_bytes,
                1 << 20,
                64 * GIB,
            ),
            ..default
        };
        let largest = limits.largest_body() + limits.largest_store();
        if limits.ingest_memory_bytes < largest {
            self.problems.push(format!(
                "HAN_INGEST_MEMORY_BYTES is {}: it must be at least {largest}, which is what a push of \
                 HAN_MAX_BODY_BYTES and HAN_MAX_DECOMPRESSED_BYTES takes to be stored, or the largest push could never be taken",
                limits.ingest_memory_bytes
            ));
        }
        limits
    }

    fn secrets(
        &mut self,
        sqlite_file: Option<&Path>,
        entropy: &dyn Entropy,
        notices: &mut Vec<String>,
    ) -> Option<Secrets> {
        let mut kek = self.secret("KEK_SECRET");
        let kek_previous = self.secret("KEK_SECRET_PREVIOUS");
        let mut jwt = self.secret("JWT_SECRET");
        let jwt_previous = self.secret("JWT_SECRET_PREVIOUS");
        // Secrets are made only for a configuration that is otherwise sound: a mistyped one leaves no trace.
        if let Some(file) = sqlite_file
            && (kek.is_none() || jwt.is_none())
        {
            if !self.problems.is_empty() {
                return None;
            }
            let missing: Vec<&str> = [("KEK_SECRET", &kek), ("JWT_SECRET", &jwt)]
                .iter()
                .filter(|(_, s)| s.is_none())
                .map(|(n, _)| *n)
                .collect();
            match SECRETS_FILE.read_or_make(file, &missing, entropy) {
                Ok(mut found) => {
                    notices.extend(found.notice);
                    kek = kek.or_else(|| found.secrets.remove("KEK_SECRET"));
                    jwt = jwt.or_else(|| found.secrets.remove("JWT_SECRET"));
                }
                Err(problem) => {
                    self.problems.push(problem);
                    return None;
                }
            }
        }
        if kek.is_none() {
            self.problems.push(
                "KEK_SECRET is missing: set it (or KEK_SECRET_FILE) to 32 random bytes in base64, made with \
                 `openssl rand -base64 32`, and keep a copy: without it the content cannot be read"
                    .to_owned(),
            );
        }
        if jwt.is_none() {
            self.problems.push(format!(
                "JWT_SECRET is missing: set it (or JWT_SECRET_FILE) to at least {MIN_JWT_SECRET_BYTES} random \
                 bytes, made with `openssl rand -base64 48`"
            ));
        }
        for (name, secret) in [("JWT_SECRET", &jwt), ("JWT_SECRET_PREVIOUS", &jwt_previous)] {
            if let Some(secret) = secret
                && secret.expose_secret().len() < MIN_JWT_SECRET_BYTES
            {
                self.problems.push(format!(
                    "{name} is too short: it must have at least {MIN_JWT_SECRET_BYTES} bytes, made with \
                     `openssl rand -base64 48`"
                ));
            }
        }
        if let Some(kek) = &kek
            && let Err(err) = KekRing::from_secrets(kek, kek_previous.as_ref())
        {
            self.problems.push(err.to_string());
        }
        Some(Secrets { kek: kek?, kek_previous, jwt: jwt?, jwt_previous })
    }
}

/// The file of a SQLite URL without its scheme; `None` for a database in memory.
fn sqlite_file(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let in_memory = path.is_empty() || path == ":memory:" || query.contains("mode=memory");
    (!in_memory).then(|| PathBuf::from(path))
}
