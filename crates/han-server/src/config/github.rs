//! The OAuth app at GitHub that users sign in through.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::address;
use super::variable::{Describe, Number, Optional, Required, Secret, Variable, VariableReader};

/// GitHub itself, and its API; an Enterprise Server has its API under its own address.
const GITHUB: &str = "https://github.com";
const GITHUB_API: &str = "https://api.github.com";

/// The longest time of one request to GitHub.
const TIMEOUT: Duration = Duration::from_secs(10);

const CLIENT_ID: Variable<Optional<String>> = Variable {
    name: "GITHUB_CLIENT_ID",
    about: "the client id of the GitHub app that users sign in through; without it they sign in by link",
    kind: Optional { unset: "", accepted: "a client id", parse: |text| Some(text.trim().to_owned()) },
};

const HAN_CLIENT_ID: Variable<Optional<String>> = Variable {
    name: "HAN_GITHUB_CLIENT_ID",
    about: "the same as GITHUB_CLIENT_ID",
    kind: Optional { unset: "", accepted: "a client id", parse: |text| Some(text.trim().to_owned()) },
};

const CLIENT_SECRET: Variable<Secret> = Variable {
    name: "GITHUB_CLIENT_SECRET",
    about: "the client secret of the GitHub app",
    kind: Secret { unset: "" },
};

const HAN_CLIENT_SECRET: Variable<Secret> = Variable {
    name: "HAN_GITHUB_CLIENT_SECRET",
    about: "the same as GITHUB_CLIENT_SECRET",
    kind: Secret { unset: "" },
};

const URL: Variable<Required<String>> = Variable {
    name: "HAN_GITHUB_URL",
    about: "the address of GitHub or of a GitHub Enterprise Server",
    kind: Required {
        default: || GITHUB.to_owned(),
        accepted: "an address such as https://github.com",
        parse: address,
    },
};

const API_URL: Variable<Optional<String>> = Variable {
    name: "HAN_GITHUB_API_URL",
    about: "the address of GitHub's API",
    kind: Optional {
        unset: "https://api.github.com, or /api/v3 of HAN_GITHUB_URL",
        accepted: "an address such as https://api.github.com",
        parse: address,
    },
};

const ALLOWED_LOGINS: Variable<Optional<Vec<String>>> = Variable {
    name: "HAN_GITHUB_ALLOWED_LOGINS",
    about: "the accounts that may sign in, separated by commas; without this and HAN_GITHUB_ALLOWED_ORGS, every account",
    kind: Optional { unset: "", accepted: "names of GitHub accounts, separated by commas", parse: names },
};

const ALLOWED_ORGS: Variable<Optional<Vec<String>>> = Variable {
    name: "HAN_GITHUB_ALLOWED_ORGS",
    about: "the organizations whose members may sign in, separated by commas",
    kind: Optional {
        unset: "",
        accepted: "names of GitHub organizations, separated by commas",
        parse: names,
    },
};

const CHECK_SECONDS: Variable<Number<u64>> = Variable {
    name: "HAN_GITHUB_CHECK_SECONDS",
    about: "after how many seconds GitHub is asked again whether a user may still sign in",
    kind: Number { default: 3600, min: 1, max: 7 * 86_400 },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[
    &CLIENT_ID,
    &CLIENT_SECRET,
    &HAN_CLIENT_ID,
    &HAN_CLIENT_SECRET,
    &URL,
    &API_URL,
    &ALLOWED_LOGINS,
    &ALLOWED_ORGS,
    &CHECK_SECONDS,
];

/// An OAuth app at GitHub.
#[derive(Clone)]
pub struct GithubConfig {
    /// `GITHUB_CLIENT_ID`.
    pub client_id: String,
    /// `GITHUB_CLIENT_SECRET`.
    pub client_secret: SecretString,
    /// Where users sign in: github.com, or an Enterprise Server.
    pub url: String,
    /// The address of its API.
    pub api_url: String,
    /// The accounts that may sign in, by name.
    pub allowed_logins: Vec<String>,
    /// The organizations whose active members may sign in. If both lists are empty, every account may.
    pub allowed_orgs: Vec<String>,
    /// After how much time GitHub is asked again whether a user may still sign in.
    pub check_every: Duration,
    /// The longest time of one request.
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
            .field("check_every", &self.check_every)
            .finish_non_exhaustive()
    }
}

impl GithubConfig {
    /// Whether every GitHub account may sign in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allowed_logins.is_empty() && self.allowed_orgs.is_empty()
    }

    /// The app; `None` if none is configured.
    pub(super) fn read(reader: &mut VariableReader<'_>) -> Option<Self> {
        let (id, secret) = (reader.value(&CLIENT_ID), reader.secret(&CLIENT_SECRET));
        let (han_id, han_secret) = (reader.value(&HAN_CLIENT_ID), reader.secret(&HAN_CLIENT_SECRET));
        let differ = |one: &SecretString, other: &SecretString| one.expose_secret() != other.expose_secret();
        if matches!((&id, &han_id), (Some(one), Some(other)) if one != other) {
            reader.problem(both_set(CLIENT_ID.name, HAN_CLIENT_ID.name));
        }
        if matches!((&secret, &han_secret), (Some(one), Some(other)) if differ(one, other)) {
            reader.problem(both_set(CLIENT_SECRET.name, HAN_CLIENT_SECRET.name));
        }
        let (client_id, client_secret) = (id.or(han_id), secret.or(han_secret));
        let check_every = Duration::from_secs(reader.value(&CHECK_SECONDS));
        let url = reader.value(&URL);
        let api_url = reader
            .value(&API_URL)
            .unwrap_or_else(|| if url == GITHUB { GITHUB_API.to_owned() } else { format!("{url}/api/v3") });
        let allowed_logins = reader.value(&ALLOWED_LOGINS).unwrap_or_default();
        let allowed_orgs = reader.value(&ALLOWED_ORGS).unwrap_or_default();
        match (client_id, client_secret) {
            (Some(client_id), Some(client_secret)) => Some(Self {
                client_id,
                client_secret,
                url,
                api_url,
                allowed_logins,
                allowed_orgs,
                check_every,
                timeout: TIMEOUT,
            }),
            (None, None) => None,
            _ => {
                reader.problem(
                    "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET belong together: set both, or neither to \
                     sign users in by link only"
                        .to_owned(),
                );
                None
            }
        }
    }
}

/// The problem of one setting with two names.
fn both_set(name: &str, other: &str) -> String {
    format!("{name} and {other} are the same setting and differ: set one of them")
}

/// Names, separated by commas. A malformed list is refused: it could allow no account, or more than intended.
fn names(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    names.iter().all(is_name).then_some(names)
}
