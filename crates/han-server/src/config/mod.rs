//! Configuration: environment variables, read once and checked as a whole, so that all problems are reported together.
//! Each section has a file with its variables, its type and its validation. Nothing here opens a database.
//!
//! To add a variable: define a constant in the file of its section, list it in the section's `VARIABLES` and read it in
//! the section's `read`; then run `script/lib/drift --write`.

mod database;
mod deletion;
mod github;
mod holdings;
mod http;
mod limits;
mod log;
mod plans;
mod public_url;
pub(crate) mod push_memory;
mod secrets;
mod stripe;
mod variable;

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Uri;
use han_types::{Entropy, Plans};
use thiserror::Error;

pub use database::DatabaseConfig;
pub(crate) use database::sqlite_url;
pub use deletion::DeletionConfig;
pub use github::GithubConfig;
pub use holdings::Holdings;
pub use http::{Environment, HttpConfig};
pub use limits::ServerLimits;
pub use log::LogConfig;
pub use public_url::PublicUrl;
pub use secrets::{MIN_JWT_SECRET_BYTES, Secrets};
pub use stripe::{Prices, StripeConfig};
pub use variable::Description;

use variable::{Describe, VariableReader};

/// The table of all variables, by section.
const SECTIONS: [(&str, &[&dyn Describe]); 10] = [
    ("Database", database::VARIABLES),
    ("Secrets", secrets::VARIABLES),
    ("Sign-in through GitHub", github::VARIABLES),
    ("Plans", plans::VARIABLES),
    ("Stripe, with STRIPE_SECRET_KEY", stripe::VARIABLES),
    ("Deletion", deletion::VARIABLES),
    ("HTTP", http::VARIABLES),
    ("Limits", limits::VARIABLES),
    ("What clients may hold at once", holdings::VARIABLES),
    ("Log", log::VARIABLES),
];

/// Every variable.
#[must_use]
pub fn variables() -> Vec<Description> {
    SECTIONS.iter().flat_map(|(_, variables)| variables.iter().map(|variable| variable.describe())).collect()
}

/// Every name that a variable of this program may have: those of [`variables`], and `X_FILE` for each `X` of them.
#[must_use]
pub fn names() -> Vec<String> {
    variables()
        .into_iter()
        .flat_map(|found| [found.name.to_owned(), format!("{}_FILE", found.name)])
        .collect()
}

/// The reference of all variables, as `--help` and docs/CONFIGURATION.md show it.
#[must_use]
pub fn help() -> String {
    let mut text =
        String::from("Environment (each variable X is also accepted from the file that X_FILE names):\n");
    for (section, variables) in SECTIONS {
        text.push_str(&format!("\n{section}:\n"));
        for variable in variables {
            let Description { name, about, values, default, secret } = variable.describe();
            let values = if values.is_empty() { values } else { format!(" ({values})") };
            let secret = if secret { " (secret)" } else { "" };
            let default = if default.is_empty() { default } else { format!(" [{default}]") };
            text.push_str(&format!("  {name:<33}{about}{values}{secret}{default}\n"));
        }
    }
    text
}

/// Everything that is wrong with the environment.
#[derive(Debug, Error)]
#[error("the configuration is not valid:{}", .problems.iter().map(|p| format!("\n  - {p}")).collect::<String>())]
pub struct ConfigError {
    /// One sentence each: the variable, what is wrong and the remedy.
    pub problems: Vec<String>,
}

/// The whole configuration.
#[derive(Clone)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The secrets.
    pub secrets: Secrets,
    /// The GitHub app that users sign in through; without one, they sign in by link.
    pub github: Option<GithubConfig>,
    /// Whether plans are enforced.
    pub plans: Plans,
    /// The account at Stripe through which teams pay for their plans.
    pub stripe: Option<StripeConfig>,
    /// When something is deleted that users request to delete.
    pub deletion: DeletionConfig,
    /// The HTTP server.
    pub http: HttpConfig,
    /// Limits of sizes, counts and times.
    pub limits: ServerLimits,
    /// What peers may hold at once.
    pub holdings: Holdings,
    /// Notices for the operator, to be shown once at start.
    pub notices: Vec<String>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("max_connections", &self.database.max_connections)
            .field("secrets", &self.secrets)
            .field("github", &self.github)
            .field("plans", &self.plans)
            .field("stripe", &self.stripe)
            .field("http", &self.http)
            .field("limits", &self.limits)
            .field("holdings", &self.holdings)
            .field("deletion", &self.deletion)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads and checks the configuration. `lookup` is the environment; on SQLite, missing secrets are generated with
    /// `entropy` and stored beside the database.
    ///
    /// # Errors
    /// All problems together.
    pub fn load(lookup: &dyn Fn(&str) -> Option<String>, entropy: &dyn Entropy) -> Result<Self, ConfigError> {
        Self::load_beside(Vec::new(), lookup, entropy)
    }

    /// As [`Config::load`], with problems that were found before: they are reported first, and nothing is stored.
    pub(crate) fn load_beside(
        problems: Vec<String>,
        lookup: &dyn Fn(&str) -> Option<String>,
        entropy: &dyn Entropy,
    ) -> Result<Self, ConfigError> {
        let mut reader = VariableReader::new(lookup);
        for problem in problems {
            reader.problem(problem);
        }
        match Self::read(&mut reader, entropy) {
            Some(config) if !reader.has_problems() => Ok(config),
            _ => Err(ConfigError { problems: reader.into_problems() }),
        }
    }

    fn read(reader: &mut VariableReader<'_>, entropy: &dyn Entropy) -> Option<Self> {
        let database = DatabaseConfig::read(reader);
        let sqlite_file = database.as_ref().and_then(|database| database.sqlite_file.as_deref());
        let github = GithubConfig::read(reader);
        let plans = plans::read(reader);
        let stripe = StripeConfig::read(reader);
        let deletion = DeletionConfig::read(reader);
        let http = HttpConfig::read(reader, sqlite_file.is_some());
        let limits = ServerLimits::read(reader);
        let holdings = Holdings::read(reader);
        // Used before this, for the log itself; here its values are checked.
        LogConfig::read(reader);
        let mut notices = Vec::new();
        // Last: secrets are generated only for a configuration that is otherwise valid.
        let secrets = Secrets::read(reader, sqlite_file, entropy, &mut notices)?;
        notices.extend(reader.take_notices());
        Some(Self {
            database: database?,
            secrets,
            github,
            plans,
            stripe,
            deletion,
            http,
            limits,
            holdings,
            notices,
        })
    }

    /// Where a server with this environment listens. Unlike [`Config::load`], reads neither secrets nor the database's
    /// variables.
    ///
    /// # Errors
    /// If the address is not valid.
    pub fn listen_address(lookup: &dyn Fn(&str) -> Option<String>) -> Result<SocketAddr, ConfigError> {
        let mut reader = VariableReader::new(lookup);
        let address = http::read_listen(&mut reader);
        if reader.has_problems() {
            Err(ConfigError { problems: reader.into_problems() })
        } else {
            Ok(address)
        }
    }

    /// The file of the SQLite database of this environment, if its database is one. Reads no secret but `DATABASE_URL`,
    /// and reports no problem.
    #[must_use]
    pub fn sqlite_file(lookup: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        DatabaseConfig::read(&mut VariableReader::new(lookup))?.sqlite_file
    }

    /// The address for links before the server listens.
    #[must_use]
    pub fn link_base(&self) -> PublicUrl {
        self.http.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(self.http.listen))
    }
}

/// An http or https address, without a slash at its end.
fn address(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/');
    let uri: Uri = text.parse().ok()?;
    let is_plain = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.query().is_none()
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    is_plain.then(|| text.to_owned())
}
