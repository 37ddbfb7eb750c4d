//! What is checked before a server starts, besides the form of each variable: combinations of settings that are dangerous,
//! or that an operator may not have intended. A check refuses, or states once what is unusual. The checks of the database
//! are in han-db (`migrations/access`).
//!
//! To add a check: write a function and list it in [`CHECKS`].

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use han_types::Entropy;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{self, Config, ConfigError, Environment, Secrets};

/// The prefix of variables that are this program's, or a related one's.
const PREFIX: &str = "HAN_";

/// The variables of other programs and scripts of the repository. `*` is any end.
const OTHERS: &[&str] = &[
    // han-coordinator.
    "HAN_URL",
    "HAN_API_KEY",
    "HAN_API_KEY_FILE",
    "HAN_TEAM",
    "HAN_TRANSCRIPTS",
    "HAN_CONFIG_DIR",
    // Scripts, tests and benchmarks.
    "HAN_TEST_*",
    "HAN_BENCH_*",
    "HAN_ARTIFACTS",
    "HAN_BIN_DIR",
    "HAN_CHROMIUM",
    "HAN_DEMO_DIR",
    "HAN_EVENT_KINDS",
    "HAN_FAULT_SEED",
    "HAN_GIVEN",
    "HAN_PG_BINDIR",
    "HAN_PSQL",
];

/// A secret of random bytes has more different bytes than this, and a hexadecimal one, too.
const FEW_BYTES: usize = 7;

/// The longest part that a weak secret repeats, in bytes.
const LONGEST_REPEATED: usize = 16;

/// Words of secrets that somebody has typed: placeholders of templates, and names of what the secret is for. Random text
/// of 64 characters contains one of them less than once in ten thousand times.
const TYPED_WORDS: &[&str] = &[
    "admin",
    "change",
    "default",
    "development",
    "example",
    "letmein",
    "password",
    "placeholder",
    "production",
    "qwerty",
    "secret",
    "server",
    "staging",
    "token",
];

/// The shortest token that guards something on its own, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// Names with more in common than this are taken for one another: a ratio of their pairs of characters (Sørensen–Dice).
const ALIKE: f64 = 0.7;

/// What a check found.
enum Finding {
    /// The server does not start.
    Refusal(String),
    /// The operator reads it once, at start.
    Notice(String),
}

/// Each check of the settings, in the order in which its findings are reported.
const CHECKS: &[fn(&Config) -> Vec<Finding>] =
    &[weak_secrets, equal_secrets, open_sign_in, no_rate_limits, public_development, plain_http];

/// Reads the configuration and checks it. `names` are the names of all environment variables. The notices of the checks
/// are returned beside the configuration, which has notices that every command shows.
///
/// # Errors
/// All problems together.
pub(crate) fn load(
    lookup: &dyn Fn(&str) -> Option<String>,
    names: &[String],
    entropy: &dyn Entropy,
) -> Result<(Config, Vec<String>), ConfigError> {
    let (problems, mut notices) = split(unknown_variables(names));
    // Nothing is stored for a configuration with problems.
    let config = Config::load_beside(problems, lookup, entropy)?;
    let (problems, more) = split(CHECKS.iter().flat_map(|check| check(&config)).collect());
    notices.extend(more);
    if problems.is_empty() { Ok((config, notices)) } else { Err(ConfigError { problems }) }
}

/// The refusals and the notices.
fn split(findings: Vec<Finding>) -> (Vec<String>, Vec<String>) {
    let (mut refusals, mut notices) = (Vec::new(), Vec::new());
    for finding in findings {
        match finding {
            Finding::Refusal(problem) => refusals.push(problem),
            Finding::Notice(notice) => notices.push(notice),
        }
    }
    (refusals, notices)
}

/// A variable that looks like this program's and is not. One that is nearly the name of a variable is a mistake: the
/// setting that was meant does not apply. Others may be another program's; Kubernetes, for one, makes variables from the
/// names of services.
fn unknown_variables(names: &[String]) -> Vec<Finding> {
    let known = config::names();
    let candidates = || known.iter().map(String::as_str).chain(OTHERS.iter().copied());
    let is_known = |name: &str| {
        candidates().any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == known,
        })
    };
    let mut unknown: Vec<&String> =
        names.iter().filter(|name| name.starts_with(PREFIX) && !is_known(name)).collect();
    unknown.sort_unstable();
    unknown
        .into_iter()
        .filter_map(|name| {
            let nearest = candidates().filter(|known| !known.ends_with('*'));
            let (alike, nearest) = nearest
                .map(|known| (strsim::sorensen_dice(name, known), known))
                .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
            Some(if alike >= ALIKE {
                Finding::Refusal(format!(
                    "{name} is not a variable of han-server: use {nearest}, or remove it"
                ))
            } else {
                Finding::Notice(format!("{name} is not a variable of han-server and has no effect"))
            })
        })
        .collect()
}

/// Whether other machines reach the server.
fn is_public(config: &Config) -> bool {
    match &config.http.public_url {
        Some(url) => !url.is_local(),
        None => !config.http.listen.ip().is_loopback(),
    }
}

/// Whether the server listens on an address that other machines may reach.
fn listens_publicly(config: &Config) -> bool {
    !config.http.listen.ip().is_loopback()
}

/// Secrets that somebody has typed. A server that only this machine reaches may have them, with a notice.
fn weak_secrets(config: &Config) -> Vec<Finding> {
    let Secrets { kek, jwt, jwt_previous, .. } = &config.secrets;
    let token = config.http.metrics_token.as_ref();
    let found = [
        (
            "KEK_SECRET",
            Some(kek),
            "generate it with `openssl rand -base64 32`, and move the old one to KEK_SECRET_PREVIOUS",
        ),
        ("JWT_SECRET", Some(jwt), "generate it with `openssl rand -base64 48`"),
        (
            "JWT_SECRET_PREVIOUS",
            jwt_previous.as_ref(),
            "remove it; users whose tokens it signed sign in again",
        ),
        ("HAN_METRICS_TOKEN", token, "generate it with `openssl rand -base64 24`"),
    ];
    let is_short = |secret: &SecretString| text(secret).len() < SHORTEST_TOKEN;
    let weak = found.into_iter().filter(|(_, secret, _)| {
        secret.is_some_and(|secret| is_short(secret) || is_weak(&key_bytes(secret)) || is_weak(text(secret)))
    });
    weak.map(|(name, _, remedy)| {
        let problem = format!("{name} is not random and can be guessed: {remedy}");
        if is_public(config) { Finding::Refusal(problem) } else { Finding::Notice(problem) }
    })
    .collect()
}

/// One secret for two purposes: what reveals one reveals the other.
fn equal_secrets(config: &Config) -> Vec<Finding> {
    let Secrets { kek, jwt, jwt_previous, .. } = &config.secrets;
    let signing = [("JWT_SECRET", Some(jwt)), ("JWT_SECRET_PREVIOUS", jwt_previous.as_ref())];
    let equal = signing.into_iter().filter(|(_, secret)| {
        secret.is_some_and(|secret| text(secret) == text(kek) || key_bytes(secret) == key_bytes(kek))
    });
    equal
        .map(|(name, _)| {
            Finding::Refusal(format!(
                "{name} and KEK_SECRET are equal: generate each of them, with `openssl rand -base64 48`"
            ))
        })
        .collect()
}

fn text(secret: &SecretString) -> &[u8] {
    secret.expose_secret().trim().as_bytes()
}

/// The bytes that a secret in base64 encodes; of any other text, its own.
fn key_bytes(secret: &SecretString) -> Vec<u8> {
    let bare = secret.expose_secret().trim().trim_end_matches('=');
    let engine = if bare.contains(['-', '_']) { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
    engine.decode(bare).unwrap_or_else(|_| bare.as_bytes().to_vec())
}

/// Whether no generator of random bytes makes such a secret: it has few different bytes, repeats a part, counts up or
/// down, or contains a word that people type.
fn is_weak(secret: &[u8]) -> bool {
    let mut different = secret.to_vec();
    different.sort_unstable();
    different.dedup();
    let repeats = |part: usize| secret.iter().zip(secret.iter().skip(part)).all(|(a, b)| a == b);
    let step = |pair: &[u8]| match pair {
        [a, b] => b.wrapping_sub(*a),
        _ => 0,
    };
    let mut steps = secret.windows(2).map(step);
    let first = steps.next();
    let counts = steps.all(|step| Some(step) == first);
    let lower = String::from_utf8_lossy(secret).to_ascii_lowercase();
    different.len() <= FEW_BYTES
        || (1..=LONGEST_REPEATED.min(secret.len() / 2)).any(repeats)
        || counts
        || TYPED_WORDS.iter().any(|word| lower.contains(word))
}

fn open_sign_in(config: &Config) -> Vec<Finding> {
    let is_open = config.github.as_ref().is_some_and(config::GithubConfig::is_open);
    let notice = "every GitHub account may sign in: set HAN_GITHUB_ALLOWED_ORGS or HAN_GITHUB_ALLOWED_LOGINS if only \
                  some may";
    notice_if(is_open, notice)
}

fn no_rate_limits(config: &Config) -> Vec<Finding> {
    let notice =
        "rate limits are off (HAN_RATE_LIMITS): one client can take all of the server, and guess credentials";
    notice_if(config.http.rate_factor.is_none(), notice)
}

fn public_development(config: &Config) -> Vec<Finding> {
    let is_found = config.http.environment == Environment::Development
        && (listens_publicly(config) || is_public(config));
    let notice = "HAN_ENV is development on an address that other machines reach: set it to production";
    notice_if(is_found, notice)
}

fn plain_http(config: &Config) -> Vec<Finding> {
    let is_found = config.http.public_url.as_ref().is_some_and(|url| !url.is_https() && !url.is_local());
    let notice = "PUBLIC_URL is http: cookies, keys and transcripts can be read on the network; use https";
    notice_if(is_found, notice)
}

fn notice_if(is_found: bool, notice: &str) -> Vec<Finding> {
    if is_found { vec![Finding::Notice(notice.to_owned())] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::is_weak;

    #[test]
    fn typed_secrets_are_weak() {
        let counted: Vec<u8> = (0..32).collect();
        for secret in [
            &[b'a'; 40][..],
            &[7; 32],
            &counted,
            b"abcabcabcabcabcabcabcabcabcabcabcabc",
            b"0123456789abcdef0123456789abcdef",
            b"please-changeme-before-production-use!",
            b"our-JWT-signing-Secret-of-2026-v2-ab",
        ] {
            assert!(is_weak(secret), "{secret:?}");
        }
        assert!(!is_weak(b"kU3+9sVbQ0m5gGx1cQw8r2yZfJt7LhNa4DpEoXiC6=="));
        assert!(!is_weak(b"6f1d3b0c9a84e2576f0d1b3c8a94e725"));
    }

    proptest! {
        #[test]
        fn random_secrets_are_not_weak(secret: [u8; 32]) {
            prop_assume!(secret.iter().collect::<std::collections::BTreeSet<_>>().len() > 20);
            prop_assert!(!is_weak(&secret));
        }
    }
}
