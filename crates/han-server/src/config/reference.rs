//! Every environment variable: its name, its default and what it does. `han-server --help` and the documentation
//! are made from this list, and a test holds the reader to it.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not set.
    pub default: &'static str,
    /// Whether it is a secret; a secret `X` may come from the file that `X_FILE` names.
    pub secret: bool,
    /// What it does.
    pub about: &'static str,
}

const fn plain(name: &'static str, default: &'static str, about: &'static str) -> Variable {
    Variable { name, default, secret: false, about }
}

const fn secret(name: &'static str, default: &'static str, about: &'static str) -> Variable {
    Variable { name, default, secret: true, about }
}

/// All of them.
pub const VARIABLES: &[Variable] = &[
    secret("DATABASE_URL", "sqlite:./han-data/han.db", "postgres://… for teams, or sqlite:FILE"),
    plain("HAN_DATA_DIR", "./han-data", "where the SQLite database lies when DATABASE_URL is unset"),
    plain("HAN_DATABASE_CONNECTIONS", "20", "the most connections this process opens"),
    plain("HAN_MIGRATE", "on", "off: serve refuses to start on an older schema instead of migrating it"),
    secret("KEK_SECRET", "made on SQLite", "the key-encryption key: 32 random bytes in base64"),
    secret("KEK_SECRET_PREVIOUS", "", "earlier KEKs to open with, separated by commas"),
    secret("JWT_SECRET", "made on SQLite", "signs access tokens; at least 32 bytes"),
    secret("JWT_SECRET_PREVIOUS", "", "an earlier one whose tokens are still accepted"),
    plain("HAN_GITHUB_CLIENT_ID", "", "the GitHub app that people sign in through; without it, by link"),
    secret("HAN_GITHUB_CLIENT_SECRET", "", "its secret"),
    plain("HAN_GITHUB_URL", "https://github.com", "GitHub, or an Enterprise Server"),
    plain("HAN_GITHUB_API_URL", "GitHub's, or /api/v3 of HAN_GITHUB_URL", "GitHub's API"),
    plain(
        "HAN_GITHUB_ALLOWED_LOGINS",
        "",
        "the accounts that may sign in, separated by commas; else everybody",
    ),
    plain("HAN_GITHUB_ALLOWED_ORGS", "", "organizations whose members may sign in, separated by commas"),
    secret("STRIPE_SECRET_KEY", "", "billing; without it every team runs as Enterprise"),
    plain("PUBLIC_URL", "the listener's, on SQLite", "where browsers reach this server, without a path"),
    plain("HAN_LISTEN", "127.0.0.1:8787", "address and port to listen on; port 0 takes a free one"),
    plain("PORT", "", "a port to listen on at every address, for platforms that set it"),
    plain("HAN_TRUSTED_PROXIES", "0", "how many proxies in front add to X-Forwarded-For"),
    plain("HAN_RATE_LIMITS", "on", "off: nobody is limited in how often they may ask"),
    plain("HAN_RATE_FACTOR", "1", "how many times as high as usual those limits are, 1 to 1000"),
    plain("HAN_CORS_ORIGINS", "", "origins whose pages may ask this server, separated by commas"),
    plain("HAN_ENV", "production", "development serves GraphiQL at /graphiql"),
    plain("HAN_CLIENT_DIR", "", "a built dashboard to serve from this server's own origin"),
    plain("HAN_MAX_BODY_BYTES", "33554432", "the most bytes of a push, as sent"),
    plain("HAN_MAX_DECOMPRESSED_BYTES", "134217728", "the most bytes of a push, decompressed"),
    plain("HAN_MAX_LINE_BYTES", "16777216", "the most bytes of one transcript line"),
    plain("HAN_MAX_LINES_PER_BATCH", "10000", "the most lines of one batch of a push"),
    plain("HAN_MAX_LINES_PER_REQUEST", "100000", "the most lines of one push"),
    plain("HAN_MAX_SESSIONS_PER_REQUEST", "1000", "the most batches of one push"),
    plain(
        "HAN_INGEST_MEMORY_BYTES",
        "536870912",
        "the most bytes of memory that all pushes in flight take together",
    ),
    plain("HAN_LOG", "info,sqlx=warn", "what is logged, as tracing's EnvFilter reads it; else RUST_LOG"),
    plain("HAN_LOG_FORMAT", "text", "text or json"),
];

/// The list as `--help` shows it.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Environment (each secret X may come from the file that X_FILE names):\n");
    for variable in VARIABLES {
        let default = match variable.default {
            "" => String::new(),
            default => format!(" [{default}]"),
        };
        text.push_str(&format!("  {:<29}{}{default}\n", variable.name, variable.about));
    }
    text
}
