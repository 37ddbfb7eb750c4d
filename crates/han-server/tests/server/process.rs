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
    assert!(!success && output.line_with("(the oldest users: ada, bob)").is_some(), "carl was not created: {output:?}");
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
        let index = listed.as_array().unwrap().iter().position(|job| job["name"] == "search-index");
        if let Some(index) = index.filter(|index| listed[*index]["state"] == "running") {
            break listed[index].clone();
        }
    };
    let row = |table: &[String], name: &str| {
        table.iter().find(|row| row.contains(name)).unwrap_or_else(|| panic!("{name}: {table:?}")).clone()
    };
    let table = jobs(&["jobs"]).await;
    assert_eq!(table.len(), 3, "{table:?}");
    row(&table, "consolidation");
    assert!(row(&table, "search-index").contains(running["holder"].as_str().unwrap()), "{table:?}");

    server.signal(Signal::Terminate).await;
    assert!(server.wait().await.0.success());
    let table = jobs(&["jobs"]).await;
    assert!(row(&table, "search-index").contains("idle"), "the lease was released: {table:?}");
}
