//! Which database, and how it is used.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use super::variable::{Choice, Describe, Number, Optional, Required, Secret, Variable, VariableReader};

const URL: Variable<Secret> = Variable {
    name: "DATABASE_URL",
    about: "the database: postgres://… for teams, or sqlite:FILE",
    kind: Secret { unset: "sqlite:HAN_DATA_DIR/han.db" },
};

const DATA_DIR: Variable<Required<String>> = Variable {
    name: "HAN_DATA_DIR",
    about: "the directory of the SQLite database when DATABASE_URL is not set",
    kind: Required {
        default: || "./han-data".to_owned(),
        accepted: "a directory",
        parse: |text| Some(text.to_owned()),
    },
};

const CONNECTIONS: Variable<Number<u32>> = Variable {
    name: "HAN_DATABASE_CONNECTIONS",
    about: "the most database connections of this process",
    kind: Number { default: 20, min: 1, max: 10_000 },
};

const MIGRATE: Variable<Choice<bool>> = Variable {
    name: "HAN_MIGRATE",
    about: "whether `serve` migrates an older schema; with off it refuses to start instead",
    kind: Choice::ON,
};

const UNSEALED: Variable<Optional<bool>> = Variable {
    name: "HAN_UNSEALED_CONTENT",
    about: "whether stored content that is not sealed is shown: accept or refuse",
    kind: Optional {
        unset: "refuse; accept with STRIPE_SECRET_KEY, since teams with the Free plan are not sealed",
        accepted: "accept or refuse",
        parse: |text| match text.trim() {
            "accept" => Some(true),
            "refuse" => Some(false),
            _ => None,
        },
    },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[&URL, &DATA_DIR, &CONNECTIONS, &MIGRATE, &UNSEALED];

/// The database.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `postgres://…` or `sqlite:…`; may contain a password.
    pub url: SecretString,
    /// The file of a SQLite database.
    pub sqlite_file: Option<PathBuf>,
    /// The most connections of this process.
    pub max_connections: u32,
    /// Whether `serve` migrates the schema.
    pub migrate: bool,
    /// Whether content that is not sealed is shown; `None` for what the plans imply.
    pub accepts_unsealed: Option<bool>,
}

impl DatabaseConfig {
    pub(super) fn read(reader: &mut VariableReader<'_>) -> Option<Self> {
        let url = read_url(reader);
        let (max_connections, migrate) = (reader.value(&CONNECTIONS), reader.value(&MIGRATE));
        let accepts_unsealed = reader.value(&UNSEALED);
        let (url, sqlite_file) = url?;
        Some(Self { url, sqlite_file, max_connections, migrate, accepts_unsealed })
    }
}

/// The URL, and for SQLite the file.
fn read_url(reader: &mut VariableReader<'_>) -> Option<(SecretString, Option<PathBuf>)> {
    let data_dir = PathBuf::from(reader.value(&DATA_DIR));
    let Some(url) = reader.secret(&URL) else {
        let file = data_dir.join("han.db");
        return Some((sqlite_url(&file), Some(file)));
    };
    let text = url.expose_secret();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Some((url, None));
    }
    match text.strip_prefix("sqlite:").map(sqlite_file) {
        Some(Some(file)) => Some((url, Some(file))),
        Some(None) => {
            reader.problem(
                "DATABASE_URL is a SQLite database in memory: name a file, such as sqlite:./han-data/han.db"
                    .to_owned(),
            );
            None
        }
        // The URL may contain a password, so it is not quoted.
        None => {
            reader.problem(
                "DATABASE_URL must start with postgres:// or sqlite: (without it, the database is han.db in \
                 HAN_DATA_DIR)"
                    .to_owned(),
            );
            None
        }
    }
}

/// The file of a SQLite URL without its scheme; `None` for a database in memory.
fn sqlite_file(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let in_memory = path.is_empty() || path == ":memory:" || query.contains("mode=memory");
    let path = || percent_decode_str(path).decode_utf8_lossy().into_owned();
    (!in_memory).then(|| PathBuf::from(path()))
}

/// What has a meaning in a URL besides the path.
const IN_URLS: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// The URL of a SQLite file, whatever characters its path has.
pub(crate) fn sqlite_url(file: &Path) -> SecretString {
    let path = file.display().to_string();
    // A path may begin with several slashes, which a URL takes for those before a host.
    let rooted = path.trim_start_matches('/');
    let root = if rooted.len() < path.len() { "/" } else { "" };
    SecretString::from(format!("sqlite:{root}{}", utf8_percent_encode(rooted, IN_URLS)))
}
