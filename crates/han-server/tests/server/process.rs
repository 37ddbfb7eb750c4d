//! The binary as an operator runs it.

use han_testkit::{Program, Signal};

const SERVER: &str = env!("CARGO_BIN_EXE_han-server");

#[tokio::test]
async fn without_configuration_secrets_are_generated_and_requests_served() {
    let dir = tempfile::tempdir().unwrap();
    let env = |extra: &[(&str, &str)]| -> Vec<(String, String)> {
        let mut env = vec![("HAN_DATA_DIR".to_owned(), dir.path().display().to_string())];
        env.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        env
    };
    let (status, output) = Program::start(SERVER, ["key", "create"], env(&[])).wait().await;
    assert!(status.success(), "{output:?}");
    let key = output.stdout.first().cloned().unwrap();
    assert!(output.line_with("created the user admin and the team team").is_some(), "{output:?}");
    assert!(output.line_with("secrets.env").is_some());

    let mut server = Program::start(SERVER, ["serve"], env(&[("HAN_LISTEN", "127.0.0.1:0")]));
    let line = server.wait_for_line("listening on http://").await;
    let url = line.split("listening on ").nth(1).unwrap().to_owned();
    let http = reqwest::Client::new();
    let body = serde_json::json!({"query": "{__typename}"});
    let response = http.post(format!("{url}/graphql")).bearer_auth(&key).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);

    let (status, output) =
        Program::start(SERVER, ["login-link"], env(&[("PUBLIC_URL", url.as_str())])).wait().await;
    assert!(status.success(), "{output:?}");
    assert!(output.stdout[0].starts_with(&format!("{url}/auth/login-link?token=han_login_")));
    assert_eq!(http.get(&output.stdout[0]).send().await.unwrap().status(), 200);

    server.signal(Signal::Terminate).await;
    let (status, output) = server.wait().await;
    assert!(status.success(), "{output:?}");
    assert!(!output.stderr.iter().any(|line| line.contains("han_login_")), "the log has no token");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_soft_limit_of_descriptors_is_raised_and_logged() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("HAN_DATA_DIR", dir.path().to_str().unwrap()), ("HAN_LISTEN", "127.0.0.1:0")];
    let limited = ["-c", "ulimit -S -n 256; exec \"$0\" serve", SERVER];
    let mut server = Program::start("sh", limited, env);
    let line = server.wait_for_line("file descriptors").await;
    assert!(line.contains("before=256"), "{line}");
    server.wait_for_line("listening on http://").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id().unwrap())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "{limits}");
    assert!(line.contains(&format!("descriptors={}", files[3])), "{line}");
}

#[tokio::test]
async fn a_command_with_unusable_arguments_names_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let run = async |args: &[&str]| {
        let env = [("HAN_DATA_DIR", dir.path().display().to_string())];
        let (status, output) = Program::start(SERVER, args, env).wait().await;
        (status.success(), output)
    };
    assert!(run(&["key", "create", "--user", "ada", "--team", "Orchard"]).await.0);
    for (args, message) in [
        (vec!["key", "create", "--user", "bob"], "the user \"bob\" does not exist"),
        (vec!["key", "create", "--user", "ada", "--team", "other"], "the team \"other\" does not exist"),
        (vec!["key", "create", "--scopes", "admin"], "--scopes must be"),
        (vec!["login-link", "--user", "bob"], "the user \"bob\" does not exist"),
    ] {
        let (success, output) = run(&args).await;
        assert!(!success && output.line_with(message).is_some(), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    let (success, output) = run(&["key", "create", "--user", "bob", "--team", "orchard", "--create"]).await;
    assert!(success && output.line_with("added bob to the team orchard").is_some(), "{output:?}");
    let (_, output) = run(&["login-link"]).await;
    assert!(output.line_with("there are several users").is_some(), "{output:?}");
    let (success, output) = run(&["login-link", "--create", "--user", "carl"]).await;
    assert!(!success && output.line_with("with --team").is_some(), "{output:?}");
    let (success, output) = run(&["login-link", "--user", "carl"]).await;
    assert!(
        !success && output.line_with("(the oldest users: ada, bob)").is_some(),
        "carl was not created: {output:?}"
    );
}

#[tokio::test]
async fn a_command_about_a_database_that_does_not_exist_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for args in [
        &["deletions"][..],
        &["jobs", "--json"],
        &["kek", "status"],
        &["rebuild", "--all"],
        &["user", "list"],
    ] {
        let env = [("HAN_DATA_DIR", data.display().to_string())];
        let (status, output) = Program::start(SERVER, args, env).wait().await;
        assert!(!status.success(), "{args:?}: {output:?}");
        assert!(output.line_with("there is no database at").is_some(), "{args:?}: {output:?}");
        assert!(!data.exists(), "{args:?}");
    }
}

/// With `--create`, the first commands work in any order and any number of times.
#[tokio::test]
async fn the_first_commands_work_in_any_order() {
    let link = ["login-link", "--create", "--user", "ada", "--team", "Acme Inc"];
    let key = ["key", "create", "--create", "--user", "ada", "--team", "Acme Inc"];
    let bare = ["login-link"];
    for order in [[&link[..], &key], [&key, &link], [&bare, &key], [&bare, &link]] {
        let dir = tempfile::tempdir().unwrap();
        let run = async |args: &[&str]| {
            let env = [("HAN_DATA_DIR", dir.path().display().to_string())];
            let (status, output) = Program::start(SERVER, args, env).wait().await;
            assert!(status.success(), "{order:?}: {output:?}");
            output
        };
        for args in order {
            run(args).await;
        }
        for args in [&link[..], &key] {
            let output = run(args).await;
            assert_eq!(output.line_with("created"), None, "{order:?}: {output:?}");
        }
        let output = run(&["key", "create", "--user", "ada"]).await;
        assert!(output.line_with("of ada for the team acme-inc").is_some(), "{order:?}: {output:?}");
    }
}

#[tokio::test]
async fn health_reports_whether_the_server_of_the_environment_responds() {
    let dir = tempfile::tempdir().unwrap();
    let data = ("HAN_DATA_DIR".to_owned(), dir.path().display().to_string());
    let mut server = Program::start(SERVER, ["serve"], [data, ("PORT".to_owned(), "0".to_owned())]);
    let line = server.wait_for_line("listening on http://0.0.0.0:").await;
    let port = line.rsplit(':').next().unwrap().to_owned();
    // Without the rest of the server's environment: a secret that is missing or invalid does not matter.
    let health = async |args: &[&str], port: &str| {
        let env = [("PORT", port), ("KEK_SECRET", "invalid"), ("HTTP_PROXY", "http://127.0.0.1:1")];
        let (status, output) = Program::start(SERVER, ["health"].iter().chain(args), env).wait().await;
        (status.success(), output)
    };
    for (args, path) in [(&[][..], "health"), (&["--ready"], "ready")] {
        let (success, output) = health(args, &port).await;
        let expected = format!("http://127.0.0.1:{port}/{path} responds 200 OK");
        assert!(success && output.stdout == [expected], "{output:?}");
    }
    let (success, output) = health(&[], "0").await;
    assert!(!success && output.line_with("set HAN_LISTEN or PORT").is_some(), "{output:?}");
    let (success, output) = health(&[], "many").await;
    assert!(!success && output.line_with("PORT is \"many\"").is_some(), "{output:?}");

    server.signal(Signal::Terminate).await;
    assert!(server.wait().await.0.success());
    let (success, output) = health(&[], &port).await;
    assert!(!success && output.stdout.is_empty(), "{output:?}");
    assert!(output.line_with("does not respond").is_some(), "{output:?}");
}

#[tokio::test]
async fn serve_refuses_an_older_schema_when_migration_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let env = |extra: (&str, &str)| {
        [
            ("HAN_DATA_DIR".to_owned(), dir.path().display().to_string()),
            // Another server of this machine may use the default port.
            ("HAN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            (extra.0.to_owned(), extra.1.to_owned()),
        ]
    };
    let (status, output) = Program::start(SERVER, ["serve"], env(("HAN_MIGRATE", "off"))).wait().await;
    assert!(!status.success());
    assert!(output.line_with("han-server migrate").is_some(), "{output:?}");
    let (status, output) = Program::start(SERVER, ["schema"], env(("DATABASE_URL", "nonsense"))).wait().await;
    assert!(status.success() && output.line_with("type Query").is_some(), "the schema needs no database");
}

#[tokio::test]
async fn the_jobs_of_a_running_server_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("HAN_DATA_DIR".to_owned(), dir.path().display().to_string()),
        ("HAN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
    ];
    let jobs = async |args: &[&str]| {
        let (status, output) = Program::start(SERVER, args, env.clone()).wait().await;
        assert!(status.success(), "{output:?}");
        output.stdout
    };
    let mut server = Program::start(SERVER, ["serve"], env.clone());
    server.wait_for_line("listening on http://").await;
    let running = loop {
        let listed: serde_json::Value =
            serde_json::from_str(&jobs(&["jobs", "--json"]).await.join("\n")).unwrap();
        let listed = listed.as_array().unwrap();
        let index = listed.iter().position(|job| job["name"] == "search-index");
        if let Some(index) = index.filter(|index| listed.len() == 5 && listed[*index]["state"] == "running") {
            break listed[index].clone();
        }
    };
    let row = |table: &[String], name: &str| {
        table.iter().find(|row| row.contains(name)).unwrap_or_else(|| panic!("{name}: {table:?}")).clone()
    };
    let table = jobs(&["jobs"]).await;
    assert_eq!(table.len(), 6, "{table:?}");
    row(&table, "prices");
    row(&table, "consolidation");
    row(&table, "team-work");
    row(&table, "retention");
    assert!(row(&table, "search-index").contains(running["holder"].as_str().unwrap()), "{table:?}");

    server.signal(Signal::Terminate).await;
    assert!(server.wait().await.0.success());
    let table = jobs(&["jobs"]).await;
    assert!(row(&table, "search-index").contains("idle"), "the lease was released: {table:?}");
}

/// An environment in `dir`, with more variables.
fn environment_in(dir: &std::path::Path, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [("HAN_DATA_DIR", dir.to_str().unwrap()), ("HAN_LISTEN", "127.0.0.1:0")];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a command that must fail at once prints on standard error.
async fn refused(dir: &std::path::Path, more: &[(&str, &str)]) -> String {
    let (status, output) = Program::start(SERVER, ["migrate"], environment_in(dir, more)).wait().await;
    assert!(!status.success(), "{more:?}: {output:?}");
    output.stderr.join("\n")
}

/// The notices of a server that starts.
async fn notices(dir: &std::path::Path, more: &[(&str, &str)]) -> Vec<String> {
    let mut server = Program::start(SERVER, ["serve"], environment_in(dir, more));
    server.wait_for_line("listening on http://").await;
    server.signal(Signal::Terminate).await;
    let (_, output) = server.wait().await;
    output
        .stderr
        .into_iter()
        .filter_map(|line| Some(line.strip_prefix("han-server: notice: ")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn a_mistyped_variable_is_refused_with_the_nearest_name() {
    let dir = tempfile::tempdir().unwrap();
    for (name, nearest) in [
        ("HAN_GITHUB_ALLOWED_LOGIN", "HAN_GITHUB_ALLOWED_LOGINS"),
        ("HAN_GITHUB_ALLOWED_ORG", "HAN_GITHUB_ALLOWED_ORGS"),
        ("HAN_GITHUB_LOGINS", "HAN_GITHUB_ALLOWED_LOGINS"),
        ("HAN_RATE_LIMIT", "HAN_RATE_LIMITS"),
        ("HAN_API_KEYS", "HAN_API_KEY"),
        ("HAN_GITHUB_CLIENT_SECRET_FLE", "HAN_GITHUB_CLIENT_SECRET_FILE"),
    ] {
        let text = refused(dir.path(), &[(name, "ada")]).await;
        assert!(text.contains(&format!("{name} is not a variable of han-server: use {nearest}")), "{text}");
    }
    // It is reported with every other problem, and leaves no trace.
    let text = refused(dir.path(), &[("HAN_RATE_LIMIT", "off"), ("HAN_ENV", "staging")]).await;
    assert!(text.contains("HAN_RATE_LIMITS") && text.contains("HAN_ENV is \"staging\""), "{text}");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    // Variables of related programs are known. One that is no near miss may be another program's.
    let known = [
        ("HAN_URL", "x"),
        ("HAN_API_KEY_FILE", "x"),
        ("HAN_TEAM", "x"),
        ("HAN_TEST_PG", "x"),
        ("HAN_BENCH_ANYTHING", "x"),
        ("HAN_RATE_FACTOR", "2"),
    ];
    assert_eq!(notices(dir.path(), &known).await, [""; 0]);
    let shown = notices(dir.path(), &[("HAN_SERVER_SERVICE_HOST", "10.0.0.1")]).await;
    assert!(
        shown.len() == 1 && shown[0].starts_with("HAN_SERVER_SERVICE_HOST is not a variable"),
        "{shown:?}"
    );
}

/// Each file of another program that reads a variable, and each script: their names must be known here.
#[tokio::test]
async fn the_variables_of_the_repository_are_known() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut names = std::collections::BTreeSet::new();
    let mut paths =
        vec![root.join("script"), root.join("crates/han-coordinator/src"), root.join("crates/han-bench/src")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for (at, _) in text.match_indices("HAN_") {
            let is_name = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
            let before = text[..at].chars().next_back().unwrap_or(' ');
            let name: String = text[at..].chars().take_while(|c| is_name(*c)).collect();
            if !is_name(before) && !name.ends_with('_') {
                names.insert(name);
            }
        }
    }
    assert!(names.len() > 10, "{names:?}");
    let dir = tempfile::tempdir().unwrap();
    // Their values do not matter, except those that this program reads, too.
    let own: Vec<&str> = han_server::config::variables().iter().map(|variable| variable.name).collect();
    let more: Vec<(&str, &str)> =
        names.iter().filter(|name| !own.contains(&name.as_str())).map(|name| (name.as_str(), "x")).collect();
    let (status, output) =
        Program::start(SERVER, ["migrate"], environment_in(dir.path(), &more)).wait().await;
    assert!(status.success(), "{output:?}");
}

#[tokio::test]
async fn weak_and_equal_secrets_are_refused_on_a_public_address() {
    let dir = tempfile::tempdir().unwrap();
    let jwt = "fVqX0cM2yYz7b1LrQkUuJ9tHdGeSoPnA5iWx8C4E";
    let random = "3yX1lq0P9m6tJ2Rr8Hc5vZ7wK4bN1sQ0eUoTgYdLfCA=";
    let a = "a".repeat(48);
    let counted = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let sevens = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let public = ("PUBLIC_URL", "https://han.example.com");
    for (kek, jwt, says) in [
        (random, a.as_str(), "JWT_SECRET is not random"),
        (random, "0123456789abcdef0123456789abcdef", "JWT_SECRET is not random"),
        (random, "jwt-key-of-our-server-in-production1", "JWT_SECRET is not random"),
        (counted, jwt, "KEK_SECRET is not random"),
        (sevens, jwt, "KEK_SECRET is not random"),
        (random, random, "JWT_SECRET and KEK_SECRET are equal"),
    ] {
        let text = refused(dir.path(), &[("KEK_SECRET", kek), ("JWT_SECRET", jwt), public]).await;
        assert!(text.contains(says) && text.contains("openssl rand"), "{text}");
        assert!(!text.contains(kek) && !text.contains(jwt), "{text}");
    }
    let good = [("KEK_SECRET", random), ("JWT_SECRET", jwt), public];
    for (name, weak) in [("JWT_SECRET_PREVIOUS", a.as_str()), ("HAN_METRICS_TOKEN", "a")] {
        let text = refused(dir.path(), &[good.as_slice(), &[(name, weak)]].concat()).await;
        assert!(text.contains(&format!("{name} is not random")), "{text}");
    }
    let text = refused(dir.path(), &[("KEK_SECRET", random), ("JWT_SECRET", random)]).await;
    assert!(text.contains("are equal"), "on any address: {text}");
    let local = notices(dir.path(), &[("KEK_SECRET", sevens), ("JWT_SECRET", jwt)]).await;
    assert!(local.len() == 1 && local[0].starts_with("KEK_SECRET is not random"), "{local:?}");
    let other = tempfile::tempdir().unwrap();
    assert_eq!(notices(other.path(), &[("KEK_SECRET", random), ("JWT_SECRET", jwt), public]).await, [""; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn secret_files_that_others_may_use_are_refused_or_mentioned() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwt");
    std::fs::write(&file, "fVqX0cM2yYz7b1LrQkUuJ9tHdGeSoPnA5iWx8C4E\n").unwrap();
    let path = file.to_str().unwrap().to_owned();
    let variable = [("JWT_SECRET_FILE", path.as_str())];
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    for writable in [0o666, 0o620, 0o602] {
        mode(writable);
        let text = refused(dir.path(), &variable).await;
        assert!(text.contains("others may write the file") && text.contains("chmod 600"), "{text}");
    }
    mode(0o600);
    let directory =
        |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    directory(0o777);
    let text = refused(dir.path(), &variable).await;
    assert!(text.contains("others may replace the file") && text.contains("chmod o-w"), "{text}");
    directory(0o700);
    let shown = async || {
        let (status, output) =
            Program::start(SERVER, ["migrate"], environment_in(dir.path(), &variable)).wait().await;
        assert!(status.success(), "{output:?}");
        output.line_with("JWT_SECRET_FILE").map(str::to_owned)
    };
    for private in [0o600, 0o400, 0o640] {
        mode(private);
        assert_eq!(shown().await, None, "{private:o}");
    }
    mode(0o644);
    assert!(shown().await.unwrap().contains("every account of this machine may read"));
}

#[tokio::test]
async fn unusual_settings_are_stated_once_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let app = [("GITHUB_CLIENT_ID", "Iv1.1"), ("GITHUB_CLIENT_SECRET", "s")];
    assert_eq!(notices(dir.path(), &[]).await, [""; 0], "the defaults are not unusual");
    for (more, says) in [
        (&app[..], "every GitHub account may sign in"),
        (&[("HAN_RATE_LIMITS", "off")], "rate limits are off"),
        (&[("HAN_ENV", "development"), ("HAN_LISTEN", "0.0.0.0:0")], "HAN_ENV is development"),
        (&[("HAN_ENV", "development"), ("PUBLIC_URL", "https://han.example")], "HAN_ENV is development"),
        (&[("PUBLIC_URL", "http://han.example")], "PUBLIC_URL is http"),
    ] {
        let shown = notices(dir.path(), more).await;
        assert!(shown.len() == 1 && shown[0].contains(says), "{more:?}: {shown:?}");
    }
    for more in [
        &[app[0], app[1], ("HAN_GITHUB_ALLOWED_ORGS", "acme")][..],
        &[("HAN_ENV", "development"), ("PUBLIC_URL", "http://localhost:8787")],
        &[("PUBLIC_URL", "http://127.0.0.1:8787")],
        &[("PUBLIC_URL", "http://[::1]:8787")],
    ] {
        assert_eq!(notices(dir.path(), more).await, [""; 0], "{more:?}");
    }
}

/// The operator's view of a database that is not protected, and of one that is not there.
#[tokio::test]
async fn a_server_refuses_a_database_without_row_level_security() {
    let database = han_testkit::TestDatabase::postgres().await;
    let env: Vec<(String, String)> = han_testkit::faults::environment(database.url());
    let run = async |command: &str| {
        let (status, output) = Program::start(SERVER, [command], env.clone()).wait().await;
        (status.success(), output.stderr.join("\n"))
    };
    assert!(run("migrate").await.0);
    database.execute("ALTER TABLE messages DISABLE ROW LEVEL SECURITY").await;
    let (success, text) = run("serve").await;
    assert!(
        !success && text.contains("it is disabled on messages") && text.contains("han-server migrate"),
        "{text}"
    );
    assert!(run("migrate").await.0);
    let mut server = Program::start(SERVER, ["serve"], env.clone());
    server.wait_for_line("listening on http://").await;
    let superuser = server.output();
    assert!(
        superuser.line_with("is a superuser or may bypass row-level security").is_some(),
        "{superuser:?}"
    );
    drop(server);

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut env = env.clone();
    env[0].1 = format!("postgres://han:hunter2@127.0.0.1:{port}/han");
    let start = std::time::Instant::now();
    let (status, output) = Program::start(SERVER, ["serve"], env).wait().await;
    let text = output.stderr.join("\n");
    assert!(!status.success() && text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(!text.contains("hunter2") && start.elapsed() < std::time::Duration::from_secs(8), "{text}");
}
