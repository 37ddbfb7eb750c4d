//! The configuration: all problems are reported together, secrets stay secret, and are generated only where that is safe.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use han_crypto::OsEntropy;
use han_server::config::{Config, ConfigError, LogConfig, PublicUrl, help, variables};

use crate::support::{JWT_SECRET, environment, kek_secret, load};

fn problems(environment: &[(&str, &str)]) -> String {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let lookup = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    match Config::load(&lookup, &OsEntropy::new()) {
        Err(error @ ConfigError { .. }) => error.to_string(),
        Ok(_) => String::new(),
    }
}

#[test]
fn all_missing_variables_are_reported_together() {
    insta::assert_snapshot!(problems(&[("DATABASE_URL", "postgres://han@db/han")]), @r#"
    the configuration is not valid:
      - PUBLIC_URL is missing: set it to the address that browsers reach this server at, such as https://han.example.com
      - KEK_SECRET is missing: set it (or KEK_SECRET_FILE) to 32 random bytes in base64, generated with `openssl rand -base64 32`, and keep a copy: without it the content cannot be read
      - JWT_SECRET is missing: set it (or JWT_SECRET_FILE) to at least 32 random bytes, generated with `openssl rand -base64 48`
    "#);
}

#[test]
fn all_invalid_variables_are_reported_together() {
    insta::assert_snapshot!(problems(&[
        ("DATABASE_URL", "mysql://x"),
        ("HAN_ENV", "staging"),
        ("HAN_LISTEN", "here"),
        ("PUBLIC_URL", "https://example.com/han"),
        ("HAN_MAX_BODY_BYTES", "lots"),
        ("HAN_MAX_LINE_BYTES", "1"),
        ("HAN_INGEST_MEMORY_BYTES", "1048576"),
        ("HAN_CLIENT_DIR", "/nowhere"),
        ("KEK_SECRET", "c2hvcnQ="),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET_PREVIOUS", "x"),
        ("JWT_SECRET_PREVIOUS_FILE", "y"),
        ("STRIPE_SECRET_KEY_FILE", "/nowhere/stripe"),
    ]), @r#"
    the configuration is not valid:
      - DATABASE_URL must start with postgres:// or sqlite: (without it, the database is han.db in HAN_DATA_DIR)
      - STRIPE_SECRET_KEY_FILE is "/nowhere/stripe": the file cannot be read (No such file or directory (os error 2)), name one that can
      - HAN_ENV is "staging": it must be production or development
      - HAN_LISTEN is "here": it must be an address and port, such as 0.0.0.0:8787
      - PUBLIC_URL is "https://example.com/han": it must be an origin such as https://han.example.com: scheme, host and, if it is not the default one, port
      - HAN_CLIENT_DIR is "/nowhere": it must be the directory of a built dashboard, which contains index.html
      - HAN_MAX_BODY_BYTES is "lots": it must be a whole number from 1024 to 1073741824
      - HAN_MAX_LINE_BYTES is "1": it must be a whole number from 1024 to 67108864
      - HAN_INGEST_MEMORY_BYTES is 1048576: it must be at least 531726336, the memory for one push of HAN_MAX_BODY_BYTES and HAN_MAX_DECOMPRESSED_BYTES; raise it, or lower those
      - JWT_SECRET_PREVIOUS and JWT_SECRET_PREVIOUS_FILE are both set: set one of them
      - JWT_SECRET is too short: it must have at least 32 bytes, generated with `openssl rand -base64 48`
      - KEK_SECRET is not base64 of exactly 32 bytes (it has a wrong length); generate one with `openssl rand -base64 32`
    "#);
}

#[test]
fn a_secret_from_a_file_is_read_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwt");
    std::fs::write(&file, format!("{JWT_SECRET}\n")).unwrap();
    let mut environment = environment("postgres://han:hunter2@db/han");
    environment.remove("JWT_SECRET");
    environment.insert("JWT_SECRET_FILE".to_owned(), file.display().to_string());
    environment.insert("STRIPE_SECRET_KEY".to_owned(), "sk_live_hunter2".to_owned());
    let config = load(&environment);
    assert!(config.plans.billing_configured);
    use secrecy::ExposeSecret as _;
    assert_eq!(config.secrets.jwt.expose_secret(), JWT_SECRET);
    let shown = format!("{config:?} {:?}", config.secrets);
    for secret in ["hunter2", JWT_SECRET, &kek_secret()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_variable_can_be_read_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let mut environment = environment("postgres://han@db/han");
    for (name, text) in [("PUBLIC_URL", "https://han.example\n"), ("HAN_LISTEN", "127.0.0.1:4711\r\n")] {
        environment.remove(name);
        environment.insert(format!("{name}_FILE"), file(name, text));
    }
    let config = load(&environment);
    assert_eq!(config.http.public_url.unwrap().origin(), "https://han.example");
    assert_eq!(config.http.listen.port(), 4711);

    let (url, port) = (file("url", "https://han.example"), file("port", " \n"));
    let wrong = problems(&[
        ("PUBLIC_URL", "https://other.example"),
        ("PUBLIC_URL_FILE", &url),
        ("PORT_FILE", &port),
        ("HAN_ENV_FILE", "/nowhere/env"),
    ]);
    for problem in [
        "PUBLIC_URL and PUBLIC_URL_FILE are both set",
        "the file is empty, write the value of PORT into it",
        "HAN_ENV_FILE is \"/nowhere/env\"",
    ] {
        assert_eq!(wrong.matches(problem).count(), 1, "{problem}: {wrong}");
    }
}

#[test]
fn the_domain_of_railway_is_the_public_url() {
    let mut environment = environment("postgres://han@db/han");
    environment.remove("PUBLIC_URL");
    environment.remove("HAN_LISTEN");
    for (name, value) in [("RAILWAY_PUBLIC_DOMAIN", "han.up.railway.app"), ("PORT", "4711")] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    let config = load(&environment);
    assert_eq!(config.http.public_url.unwrap().origin(), "https://han.up.railway.app");
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:4711");
    environment.insert("PUBLIC_URL".to_owned(), "https://han.example".to_owned());
    assert_eq!(load(&environment).http.public_url.unwrap().origin(), "https://han.example");
    let wrong = problems(&[("RAILWAY_PUBLIC_DOMAIN", "https://han.up.railway.app/")]);
    assert!(wrong.contains("RAILWAY_PUBLIC_DOMAIN is \"https://han.up.railway.app/\""), "{wrong}");
}

#[test]
fn the_reference_lists_exactly_the_variables_that_are_read() {
    let read = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        read.borrow_mut().insert(name.to_owned());
        None
    };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    let lookup = |name: &str| lookup(name).or_else(|| (name == "HAN_DATA_DIR").then(|| data.clone()));
    Config::load(&lookup, &OsEntropy::new()).unwrap();
    let _ = LogConfig::load(&lookup);
    let variables = variables();
    let mut listed: BTreeSet<String> =
        variables.iter().flat_map(|v| [v.name.to_owned(), format!("{}_FILE", v.name)]).collect();
    listed.insert("RUST_LOG".to_owned());
    assert_eq!(read.into_inner(), listed);
    let help = help();
    for variable in &variables {
        assert!(help.contains(&format!("\n  {} ", variable.name)), "{}: {help}", variable.name);
    }
}

/// Setting each variable to the default that the reference states changes nothing.
#[test]
fn the_defaults_in_the_reference_are_those_that_apply() {
    let with_defaults = {
        let mut environment = environment("postgres://han@db/han");
        environment.remove("HAN_DATABASE_CONNECTIONS");
        environment
    };
    let mut explicit = with_defaults.clone();
    for variable in variables() {
        // Defaults that are descriptions: derived addresses and rules, the embedded dashboard, and secrets.
        let described = [
            "HAN_GITHUB_API_URL",
            "HAN_UNSEALED_CONTENT",
            "PUBLIC_URL",
            "HAN_CLIENT_DIR",
            "HAN_MAX_CONNECTIONS",
        ];
        let is_value = !variable.secret && !described.contains(&variable.name);
        if is_value && !variable.default.is_empty() {
            explicit.insert(variable.name.to_owned(), variable.default);
        }
    }
    assert!(explicit.len() > with_defaults.len() + 15, "{explicit:?}");
    assert_eq!(format!("{:?}", load(&with_defaults)), format!("{:?}", load(&explicit)));
    let log = |environment: &HashMap<String, String>| {
        format!("{:?}", LogConfig::load(&|name| environment.get(name).cloned()))
    };
    assert_eq!(log(&with_defaults), log(&explicit));
}

#[test]
fn public_urls_are_normalized_as_in_origin_headers() {
    for (given, origin) in [
        ("https://Han.Example.com/", "https://han.example.com"),
        ("https://han.example.com:443", "https://han.example.com"),
        ("http://han.example.com:80", "http://han.example.com"),
        ("http://localhost:8787", "http://localhost:8787"),
        ("http://[::1]:8787", "http://[::1]:8787"),
        (" https://127.0.0.1 ", "https://127.0.0.1"),
        ("https://xn--mnchen-3ya.example:8443", "https://xn--mnchen-3ya.example:8443"),
    ] {
        assert_eq!(PublicUrl::parse(given).unwrap().origin(), origin);
    }
    for given in [
        "",
        "han.example.com",
        "ftp://x",
        "/x",
        "https://x/path",
        "https://x//",
        "https://x?",
        "https://x?y",
        "https://x#",
        "https://x#y",
        "https://u:p@x",
        "https://@x",
        "https://x:",
        "https://x:0",
        "https://x:65536",
        "https://x:99999",
        "https://x:080",
        "https://x:port",
        "https://",
        "https:x",
        "https:///x",
        "https:\\\\x",
        "https://*",
        "https://*.example.com",
        "https://x;script-src",
        "https://x,https://y",
        "https://x y",
        "https://x'unsafe-inline'",
        "https://x\tz",
        "https://münchen.example",
        "https://127.1",
        "https://%78",
        "null",
    ] {
        assert!(PublicUrl::parse(given).is_none(), "{given}");
    }
}

#[test]
fn the_github_app_has_two_names_for_each_setting() {
    use secrecy::ExposeSecret as _;
    let with = |more: &[(&str, &str)]| {
        let mut environment = environment("sqlite:./x.db");
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let lookup = |name: &str| environment.get(name).cloned();
        Config::load(&lookup, &OsEntropy::new()).map_err(|error| error.to_string())
    };
    for (id, secret) in [
        ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"),
        ("HAN_GITHUB_CLIENT_ID", "HAN_GITHUB_CLIENT_SECRET"),
        ("GITHUB_CLIENT_ID", "HAN_GITHUB_CLIENT_SECRET"),
    ] {
        let app = with(&[(id, "Iv1.1"), (secret, "s1")]).unwrap().github.unwrap();
        assert_eq!((app.client_id.as_str(), app.client_secret.expose_secret()), ("Iv1.1", "s1"));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "s2\n").unwrap();
    let file = file.to_str().unwrap();
    let app =
        with(&[("GITHUB_CLIENT_ID", "Iv1.1"), ("GITHUB_CLIENT_SECRET_FILE", file)]).unwrap().github.unwrap();
    assert_eq!(app.client_secret.expose_secret(), "s2");
    let both =
        [("GITHUB_CLIENT_ID", "Iv1.1"), ("HAN_GITHUB_CLIENT_ID", "Iv1.1"), ("GITHUB_CLIENT_SECRET", "s1")];
    assert!(with(&both).unwrap().github.is_some(), "the same value twice");
    for (other, says) in [
        (
            ("HAN_GITHUB_CLIENT_ID", "Iv1.2"),
            "GITHUB_CLIENT_ID and HAN_GITHUB_CLIENT_ID are the same setting and differ",
        ),
        (
            ("HAN_GITHUB_CLIENT_SECRET", "s3"),
            "GITHUB_CLIENT_SECRET and HAN_GITHUB_CLIENT_SECRET are the same setting",
        ),
    ] {
        let error =
            with(&[("GITHUB_CLIENT_ID", "Iv1.1"), ("GITHUB_CLIENT_SECRET", "s1"), other]).unwrap_err();
        assert!(error.contains(says) && !error.contains("s3"), "{error}");
    }
    assert!(with(&[("GITHUB_CLIENT_ID", "Iv1.1")]).unwrap_err().contains("belong together"));
}

#[cfg(unix)]
mod generated_secrets {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use han_server::config::Config;
    use secrecy::ExposeSecret as _;

    use super::OsEntropy;

    fn load(dir: &Path) -> Result<Config, String> {
        let data = dir.display().to_string();
        let lookup = |name: &str| (name == "HAN_DATA_DIR").then(|| data.clone());
        Config::load(&lookup, &OsEntropy::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_are_generated_once_with_private_permissions() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let first = load(&dir).unwrap();
        assert!(
            first.notices.iter().any(|notice| notice.contains("secrets.env")),
            "the operator is notified"
        );
        let file = dir.join("secrets.env");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "no temporary file is left");
        let text = std::fs::read_to_string(&file).unwrap();
        let second = load(&dir).unwrap();
        assert!(second.notices.is_empty());
        assert_eq!(second.secrets.kek.expose_secret(), first.secrets.kek.expose_secret());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn a_secrets_file_readable_by_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path()).unwrap();
        let file = dir.path().join("secrets.env");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load(dir.path()).unwrap_err().contains("chmod 600"));
    }

    #[test]
    fn secrets_are_not_regenerated_for_an_existing_database() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("han.db"), "something").unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(error.contains("put") && error.contains("KEK_SECRET"), "{error}");
        assert!(!dir.path().join("secrets.env").exists());
    }

    #[test]
    fn an_incomplete_secrets_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path()).unwrap();
        let file = dir.path().join("secrets.env");
        let text = std::fs::read_to_string(&file).unwrap();
        let kept: String =
            text.lines().filter(|line| !line.starts_with("KEK_SECRET")).map(|l| format!("{l}\n")).collect();
        std::fs::write(&file, &kept).unwrap();
        assert!(load(dir.path()).unwrap_err().contains("has no KEK_SECRET"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
    }
}

#[test]
fn github_variables_are_validated_together() {
    let wrong = problems(&[
        ("HAN_GITHUB_CLIENT_ID", "Iv1.x"),
        ("HAN_GITHUB_URL", "github.acme.example"),
        ("HAN_GITHUB_ALLOWED_LOGINS", "ada,,grace"),
        ("HAN_GITHUB_ALLOWED_ORGS", "acme, https://github.com/orchard"),
        ("HAN_CORS_ORIGINS", "https://ok.example,https://no.example/path"),
        ("HAN_RATE_LIMITS", "some"),
        ("HAN_TRUSTED_PROXIES", "-1"),
    ]);
    for problem in [
        "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET belong together",
        "HAN_GITHUB_URL is \"github.acme.example\"",
        "HAN_GITHUB_ALLOWED_LOGINS is \"ada,,grace\"",
        "HAN_GITHUB_ALLOWED_ORGS is",
        "HAN_CORS_ORIGINS is",
        "HAN_RATE_LIMITS is \"some\"",
        "HAN_TRUSTED_PROXIES is \"-1\"",
    ] {
        assert!(wrong.contains(problem), "{problem}: {wrong}");
    }

    let mut environment = environment("postgres://han@db/han");
    assert!(load(&environment).github.is_none());
    for (name, value) in [
        ("HAN_GITHUB_CLIENT_ID", "Iv1.x"),
        ("HAN_GITHUB_CLIENT_SECRET", "hunter2"),
        ("HAN_GITHUB_ALLOWED_ORGS", "acme, orchard"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    let config = load(&environment);
    assert!(!format!("{config:?}").contains("hunter2"));
    let app = config.github.unwrap();
    assert_eq!((app.url.as_str(), app.api_url.as_str()), ("https://github.com", "https://api.github.com"));
    assert_eq!(app.allowed_orgs, ["acme", "orchard"]);
    environment.insert("HAN_GITHUB_URL".to_owned(), "https://github.acme.example/".to_owned());
    let app = load(&environment).github.unwrap();
    assert_eq!(app.api_url, "https://github.acme.example/api/v3");
}
