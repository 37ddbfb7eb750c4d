//! The real programs: two servers on one PostgreSQL, one on SQLite, the coordinator that pushes to them, and subscribed
//! sockets; killed and restarted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use han_coordinator::{Client, ClientConfig, PushOptions, PushReport};
use han_testkit::{Program, Signal, TestDatabase, both_databases, fixtures};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const SERVER: &str = env!("CARGO_BIN_EXE_han-server");

/// The environment of every replica.
fn environment(database: &TestDatabase) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", database.url()),
        ("KEK_SECRET", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        ("JWT_SECRET", "tUJ5c0Vw3nq8XkRrM1aZ7yLhQ2eBvD9fG4sPoN6iTtEw"),
        ("PUBLIC_URL", "http://127.0.0.1:8787"),
        ("HAN_LISTEN", "127.0.0.1:0"),
        ("HAN_RATE_LIMITS", "off"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

struct Server {
    program: Program,
    url: String,
}

impl Server {
    async fn start(database: &TestDatabase) -> Self {
        Self::start_with(environment(database)).await
    }

    async fn start_with(environment: Vec<(String, String)>) -> Self {
        let mut program = Program::start(SERVER, ["serve"], environment);
        let line = program.wait_for_line("listening on ").await;
        let url = line.split("listening on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self { program, url }
    }
}

/// An API key of a user in their team; both are created if the database is empty.
async fn key(database: &TestDatabase, user: &str) -> String {
    let args = ["key", "create", "--user", user, "--team", user, "--scopes", "read sync:write"];
    let (status, output) = Program::start(SERVER, args, environment(database)).wait().await;
    assert!(status.success(), "{output:?}");
    let key =
        output.stdout.iter().flat_map(|line| line.split_whitespace()).find(|w| w.starts_with("han_key_"));
    key.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

async fn push(url: &str, key: &str, path: &Path, batch_lines: usize) -> PushReport {
    let config = ClientConfig { url: url.to_owned(), api_key: key.to_owned().into(), team: None };
    let mut options = PushOptions::default();
    options.limits.batch_lines = batch_lines;
    han_coordinator::push(path, &Client::new(config).unwrap(), &options).await
}

async fn ask(url: &str, key: &str, query: &str, variables: Value) -> Value {
    let response = reqwest::Client::new()
        .post(format!("{url}/graphql"))
        .bearer_auth(key)
        .json(&json!({ "query": query, "variables": variables }))
        .send()
        .await
        .unwrap();
    let answer: Value = response.json().await.unwrap();
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"].clone()
}

/// The lines under a directory, by session and transcript.
fn lines_under(projects: &Path) -> BTreeMap<(String, String), Vec<String>> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(projects, &mut files);
    files
        .into_iter()
        .map(|file| {
            let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let lines = std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
            let key = if stem.starts_with("agent-") {
                let session = file.parent().unwrap().parent().unwrap().file_name().unwrap().to_str().unwrap();
                (session.to_owned(), stem)
            } else if let Some(session) = stem.strip_suffix("-han") {
                (session.to_owned(), "han".to_owned())
            } else {
                (stem, "main".to_owned())
            };
            (key, lines)
        })
        .collect()
}

/// Every line that GraphQL lists, by session, progress included.
async fn read_back(url: &str, key: &str) -> BTreeMap<String, Vec<String>> {
    let sessions =
        ask(url, key, "{ sessions(first: 500) { edges { node { id sessionId } } } }", json!({})).await;
    let mut read = BTreeMap::new();
    for edge in sessions["sessions"]["edges"].as_array().unwrap() {
        let mut raw = Vec::new();
        let mut after = Value::Null;
        loop {
            let data = ask(
                url,
                key,
                "query($id: ID!, $after: String) { node(id: $id) { ... on Session { \
                   messages(first: 300, after: $after, includeProgress: true) { \
                     edges { node { ... on AssistantMessage { rawJson } ... on UserMessage { rawJson } \
                       ... on SummaryMessage { rawJson } ... on SystemMessage { rawJson } \
                       ... on FileHistorySnapshotMessage { rawJson } ... on QueueOperationMessage { rawJson } \
                       ... on UnknownEventMessage { rawJson } } } \
                     pageInfo { hasNextPage endCursor } } } } }",
                json!({ "id": edge["node"]["id"], "after": after }),
            )
            .await;
            let messages = &data["node"]["messages"];
            for edge in messages["edges"].as_array().unwrap() {
                if let Some(line) = edge["node"]["rawJson"].as_str() {
                    raw.push(line.to_owned());
                }
            }
            if messages["pageInfo"]["hasNextPage"] != json!(true) {
                break;
            }
            after = messages["pageInfo"]["endCursor"].clone();
        }
        read.insert(edge["node"]["sessionId"].as_str().unwrap().to_owned(), raw);
    }
    read
}

both_databases!(
    async fn real_transcripts_are_stored_once_and_read_back_unchanged(database: TestDatabase) {
        let Some(root) = fixtures::real_transcripts() else { return };
        let projects = root.join("projects");
        let key = key(&database, "ada").await;
        let server = Server::start(&database).await;
        let report = push(&server.url, &key, &projects, 7).await;
        assert!(report.succeeded(), "{report:?}");
        assert_eq!((report.sessions, report.transcripts, report.stored), (2, 6, 3456 + 152));
        assert_eq!((report.duplicates, report.rejected.len()), (0, 0));
        // Again: everything is stored already.
        let again = push(&server.url, &key, &projects, 500).await;
        assert_eq!((again.stored, again.up_to_date), (0, 6), "{again:?}");

        let sums = ask(
            &server.url,
            &key,
            "{ sessions(first: 10) { totalCount edges { node { messageCount inputTokens outputTokens cacheReadTokens \
               cacheCreationTokens } } } }",
            json!({}),
        )
        .await;
        let nodes = sums["sessions"]["edges"].as_array().unwrap();
        assert_eq!(nodes.len(), 2);
        let sum = |field: &str| nodes.iter().map(|edge| edge["node"][field].as_i64().unwrap()).sum::<i64>();
        let tokens = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens"].map(sum);
        assert_eq!(tokens, [2_776, 79_267, 31_179_675, 670_956]);

        let pushed = lines_under(&projects);
        for (session, read) in read_back(&server.url, &key).await {
            let main = &pushed[&(session.clone(), "main".to_owned())];
            assert!(!read.is_empty());
            for line in &read {
                assert!(main.contains(line), "a line of {session} came back changed: {line}");
            }
        }
    }
);

both_databases!(
    async fn a_killed_server_keeps_acknowledged_lines(database: TestDatabase) {
        let key = key(&database, "ada").await;
        let samples = fixtures::sample_sessions();
        let mut server = Server::start(&database).await;
        let total: u64 = lines_under(&samples).values().map(|lines| lines.len() as u64).sum();
        let pushing = {
            let (url, key, samples) = (server.url.clone(), key.clone(), samples.clone());
            tokio::spawn(async move {
                let config = ClientConfig { url, api_key: key.into(), team: None };
                let client = Client::new(config).unwrap().with_sleeper(std::sync::Arc::new(NoPause));
                let mut options = PushOptions::default();
                options.limits.batch_lines = 3;
                options.limits.body_bytes = 4096;
                han_coordinator::push(&samples, &client, &options).await
            })
        };
        // Killed as soon as something is known to be stored.
        let mut stored = 0;
        while stored == 0 {
            let data =
                ask(&server.url, &key, "{ sessions(first: 1) { edges { node { lineCount } } } }", json!({}));
            stored = data.await["sessions"]["edges"][0]["node"]["lineCount"].as_i64().unwrap_or(0);
        }
        server.program.signal(Signal::Kill).await;
        let acknowledged = pushing.await.unwrap().stored;

        server = Server::start(&database).await;
        let report = push(&server.url, &key, &samples, 50).await;
        assert!(report.succeeded(), "{report:?}");
        assert!(report.stored <= total - acknowledged, "acknowledged lines were stored: {report:?}");
        let again = push(&server.url, &key, &samples, 50).await;
        assert_eq!(again.stored, 0);
        let data =
            ask(&server.url, &key, "{ sessions(first: 9) { edges { node { lineCount } } } }", json!({}))
                .await;
        let lines: i64 = data["sessions"]["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| edge["node"]["lineCount"].as_i64().unwrap())
            .sum();
        assert_eq!(lines, i64::try_from(total).unwrap(), "every line once");
    }
);

/// The variables that the specification names, and `PUBLIC_URL` and `PORT`, which it does not name; port 0 selects a free
/// one.
fn specified(database: &TestDatabase) -> Vec<(&'static str, String)> {
    let of_environment = |name: &str| {
        let found = environment(database).into_iter().find(|(of, _)| of == name);
        found.unwrap().1
    };
    let mut variables: Vec<_> = ["DATABASE_URL", "JWT_SECRET", "KEK_SECRET", "PUBLIC_URL"]
        .into_iter()
        .map(|name| (name, of_environment(name)))
        .collect();
    for (name, value) in [
        ("STRIPE_SECRET_KEY", "sk_test_of_the_tests"),
        ("STRIPE_WEBHOOK_SECRET", "whsec of the tests"),
        ("GITHUB_CLIENT_ID", "Iv1.of-the-tests"),
        ("GITHUB_CLIENT_SECRET", "a client secret of the tests"),
        ("PORT", "0"),
    ] {
        variables.push((name, value.to_owned()));
    }
    variables
}

/// Starts a server with `environment` and nothing else, and checks that it is ready, knows the GitHub app and enforces
/// plans.
async fn serves_with(environment: &[(String, String)]) {
    let mut program = Program::start(SERVER, ["serve"], environment.iter().cloned());
    let line = program.wait_for_line("listening on http://0.0.0.0:").await;
    let url = format!("http://127.0.0.1:{}", line.rsplit(':').next().unwrap());
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for path in ["health", "ready"] {
        assert_eq!(http.get(format!("{url}/{path}")).send().await.unwrap().status(), 200);
    }
    let response = http.get(format!("{url}/auth/github")).send().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap();
    assert!(location.starts_with("https://github.com/login/oauth/authorize?"), "{location}");
    assert!(location.contains("client_id=Iv1.of-the-tests"), "{location}");
    assert!(location.contains("127.0.0.1%3A8787%2Fauth%2Fgithub%2Fcallback"), "{location}");

    let (status, output) =
        Program::start(SERVER, ["key", "create"], environment.iter().cloned()).wait().await;
    assert!(status.success(), "{output:?}");
    let seats = ask(&url, &output.stdout[0], "{ myTeams { seats } }", json!({})).await;
    assert_eq!(seats["myTeams"][0]["seats"], 1, "billing is on, so the plan is Free");

    program.signal(Signal::Terminate).await;
    let (status, output) = program.wait().await;
    assert!(status.success(), "{output:?}");
    assert!(!format!("{output:?}").contains("of the tests"), "no secret is shown: {output:?}");
}

both_databases!(
    async fn a_server_runs_with_the_variables_of_the_specification(db: TestDatabase) {
        let directory = tempfile::tempdir().unwrap();
        let (mut plain, mut files) = (Vec::new(), Vec::new());
        for (name, value) in specified(&db) {
            let file = directory.path().join(name);
            std::fs::write(&file, format!("{value}\n")).unwrap();
            plain.push((name.to_owned(), value));
            files.push((format!("{name}_FILE"), file.display().to_string()));
        }
        serves_with(&plain).await;
        serves_with(&files).await;
    }
);

/// How many sessions are stored, and how many of them with sealed content.
async fn sealed_sessions(database: &TestDatabase) -> (i64, i64) {
    use sqlx::Connection as _;
    let sql = "SELECT count(*), count(CASE WHEN sealed THEN 1 END) FROM sessions";
    if database.is_postgres() {
        let mut admin = sqlx::PgConnection::connect(database.url()).await.unwrap();
        sqlx::query_as(sql).fetch_one(&mut admin).await.unwrap()
    } else {
        let mut admin = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        sqlx::query_as(sql).fetch_one(&mut admin).await.unwrap()
    }
}

/// The environment of a server that enforces plans.
fn billed(database: &TestDatabase) -> Vec<(String, String)> {
    let mut billed = environment(database);
    billed.push(("STRIPE_SECRET_KEY".to_owned(), "sk_test_of_the_tests".to_owned()));
    billed
}

/// A server that enforces plans.
async fn start_billed(database: &TestDatabase) -> Server {
    Server::start_with(billed(database)).await
}

/// Decides on the plan of all teams from before billing was configured.
async fn adopt(database: &TestDatabase, plan: &str) {
    let args = ["billing", "adopt", "--plan", plan, "--all"];
    let (status, output) = Program::start(SERVER, args, billed(database)).wait().await;
    assert!(status.success() && output.line_with(&format!("the plan is {plan}")).is_some(), "{output:?}");
}

both_databases!(
    async fn content_of_a_pro_team_is_sealed(db: TestDatabase) {
        let ada = key(&db, "ada").await;
        let server = start_billed(&db).await;
        let notice =
            server.program.output().line_with("from before billing was configured").map(str::to_owned);
        assert!(notice.unwrap().contains("1 team from before billing was configured (ada)"));
        adopt(&db, "pro").await;
        let samples = fixtures::sample_sessions();
        let report = push(&server.url, &ada, &samples, 50).await;
        assert!(report.succeeded(), "{report:?}");
        let sessions = i64::try_from(report.sessions).unwrap();
        assert!(sessions > 0);
        assert_eq!(sealed_sessions(&db).await, (sessions, sessions));
    }
);

both_databases!(
    async fn content_of_a_free_team_is_stored_unsealed_and_read_back(db: TestDatabase) {
        let ada = key(&db, "ada").await;
        adopt(&db, "free").await;
        let samples = fixtures::sample_sessions();
        let server = start_billed(&db).await;
        assert!(server.program.output().line_with("from before billing").is_none());
        let report = push(&server.url, &ada, &samples, 50).await;
        assert!(report.succeeded(), "{report:?}");
        let read = read_back(&server.url, &ada).await;
        let sessions = i64::try_from(read.len()).unwrap();
        assert!(sessions > 0);
        assert_eq!(sealed_sessions(&db).await, (sessions, 0));
        // Without billing, every team has the Enterprise plan, which seals; an operator decides that what is stored remains
        // readable.
        let mut unbilled = environment(&db);
        unbilled.push(("HAN_UNSEALED_CONTENT".to_owned(), "accept".to_owned()));
        let unbilled = Server::start_with(unbilled).await;
        assert_eq!(read_back(&unbilled.url, &ada).await, read);
        let directory = tempfile::tempdir().unwrap();
        let project = directory.path().join("-home-dev-grove");
        std::fs::create_dir(&project).unwrap();
        let line = r#"{"type":"user","uuid":"1","timestamp":"2026-11-20T10:00:00.000Z","message":{"role":"user","content":"later"}}"#;
        std::fs::write(project.join("later.jsonl"), line.to_owned() + "\n").unwrap();
        assert!(push(&unbilled.url, &ada, directory.path(), 100).await.succeeded());
        assert_eq!(sealed_sessions(&db).await, (sessions + 1, 1));
    }
);

/// Retries without a pause: the server is dead.
struct NoPause;

impl han_coordinator::Sleeper for NoPause {
    fn sleep(&self, _: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A socket with one subscription.
async fn subscribe(url: &str, key: &str, query: &str) -> Socket {
    let mut request = format!("{}/graphql", url.replace("http", "ws")).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let init = json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {key}") } });
    socket.send(Message::text(init.to_string())).await.unwrap();
    let ack = next(&mut socket).await;
    assert_eq!(ack["type"], "connection_ack");
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    // The response to a later query shows that the subscription is active.
    let typename = json!({ "id": "2", "type": "subscribe", "payload": { "query": "{ __typename }" } });
    socket.send(Message::text(typename.to_string())).await.unwrap();
    loop {
        if next(&mut socket).await["id"] == "2" {
            let complete = next(&mut socket).await;
            assert_eq!((&complete["id"], &complete["type"]), (&json!("2"), &json!("complete")));
            return socket;
        }
    }
}

/// The next message that is no ping.
async fn next(socket: &mut Socket) -> Value {
    loop {
        let message =
            tokio::time::timeout(Duration::from_secs(60), socket.next()).await.expect("a message in time");
        match message.expect("the socket is open").unwrap() {
            Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                if value["type"] != "ping" && value["type"] != "pong" {
                    return value;
                }
            }
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// Two replicas on one PostgreSQL: changes reach the subscribers of the other replica once and in order, also after its
/// LISTEN connection was killed.
#[tokio::test]
async fn pushes_to_one_replica_reach_subscribers_of_another() {
    let database = TestDatabase::postgres().await;
    let ada = key(&database, "ada").await;
    let (one, two) = tokio::join!(Server::start(&database), Server::start(&database));
    let samples = fixtures::sample_sessions();
    let session = lines_under(&samples).into_keys().next().unwrap().0;

    let mut added = subscribe(&two.url, &ada, "subscription { sessionAdded { sessionId } }").await;
    // Only a session that exists can be subscribed to: it begins with a line that no list shows.
    let unlisted = json!({ "type": "progress", "uuid": "begin", "timestamp": "2026-01-01T00:00:00.000Z" });
    let begun = json!({ "sessions": [{
        "session_id": session, "transcript": "agent-begin", "messages": [unlisted],
    }] });
    let begun = reqwest::Client::new()
        .post(format!("{}/api/sync/sessions", one.url))
        .bearer_auth(&ada)
        .json(&begun)
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), 200);
    let mut messages = subscribe(
        &two.url,
        &ada,
        &format!(
            "subscription {{ sessionMessageAdded(sessionId: \"{session}\") {{ messageIndex newMessageEdge {{ cursor node {{ __typename id }} }} }} }}"
        ),
    )
    .await;

    // Pushed in small batches.
    let report = push(&one.url, &ada, &samples, 5).await;
    assert!(report.succeeded(), "{report:?}");
    let mut seen = BTreeMap::new();
    let expected = ask(
        &one.url,
        &ada,
        "query($id: ID!) { node(id: $id) { ... on Session { messageCount } } }",
        json!({ "id": format!("Session:{session}") }),
    )
    .await["node"]["messageCount"]
        .as_i64()
        .unwrap();
    while seen.len() < usize::try_from(expected).unwrap() {
        let message = next(&mut messages).await;
        let edge = &message["payload"]["data"]["sessionMessageAdded"]["newMessageEdge"];
        let node = &edge["node"];
        let id = node["id"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
        if let Some(first) = seen.insert(id, edge.clone()) {
            // The result of a call arrived in a later batch.
            let kind = node["__typename"].as_str().unwrap();
            let is_call =
                ["AssistantMessage", "HookRunMessage", "McpToolCallMessage", "ExposedToolCallMessage"];
            assert!(is_call.contains(&kind), "no other message twice: {message}");
            assert_eq!(&first, edge);
        }
    }
    for _ in 0..2 {
        assert!(next(&mut added).await["payload"]["data"]["sessionAdded"]["sessionId"].is_string());
    }

    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(database.url()).await.unwrap();
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
         AND query LIKE 'LISTEN%'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(killed >= 2, "each replica listens");
    let directory = tempfile::tempdir().unwrap();
    let project = directory.path().join("-home-dev-grove");
    std::fs::create_dir(&project).unwrap();
    for n in 0..5 {
        let line = format!(
            r#"{{"type":"user","uuid":"{n}","timestamp":"2026-11-20T10:00:0{n}.000Z","message":{{"role":"user","content":"after"}}}}"#
        );
        std::fs::write(project.join(format!("after-{n}.jsonl")), line + "\n").unwrap();
        assert!(push(&one.url, &ada, directory.path(), 100).await.succeeded());
        let message = next(&mut added).await;
        assert_eq!(message["payload"]["data"]["sessionAdded"]["sessionId"], format!("after-{n}"));
    }

    // On SIGTERM, a server closes its sockets with 1012 (service restart) and exits successfully.
    two.program.signal(Signal::Terminate).await;
    let close = loop {
        match added.next().await.expect("a close frame").unwrap() {
            Message::Close(frame) => break frame.expect("with a code"),
            _ => continue,
        }
    };
    assert_eq!(u16::from(close.code), 1012);
    let (status, output) = two.program.wait().await;
    assert!(status.success(), "{output:?}");
}

/// The data that dashboards show.
async fn figures(url: &str, key: &str) -> Value {
    let query = "{ activity(days: 3660) { totalSessions totalMessages tokenUsage { totalTokens estimatedCostUsd } \
         dailyActivity { date filesChanged linesAdded } } dashboardAnalytics(days: 3660) { toolUsage { toolName count } \
         subagentUsage { subagentType count } hookHealth { hookName totalRuns } topSessions { sessionId score } } \
         sessions(first: 500) { edges { node { sessionId messageCount turnCount outputTokens } } } }";
    ask(url, key, query, json!({})).await
}

/// Deletes all derived data, so that only lines remain.
async fn delete_derived_data(database: &TestDatabase) {
    use sqlx::Connection as _;
    let mut sql = "UPDATE sessions SET turn_count = 0, output_tokens = 0, tool_use_count = 0;".to_owned();
    for table in [
        "rollups",
        "rollup_counts",
        "session_usage",
        "answer_copies",
        "file_changes",
        "hook_executions",
        "tool_results",
        "tasks",
        "native_tasks",
        "task_events",
        "sentiments",
        "todos",
        "labels",
    ] {
        sql.push_str(&format!("DELETE FROM {table};"));
    }
    let sql = sqlx::AssertSqlSafe(sql);
    if database.is_postgres() {
        let mut admin = sqlx::PgConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    } else {
        let mut admin = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    }
}

both_databases!(
    async fn rebuild_restores_all_derived_data(db: TestDatabase) {
        let server = Server::start(&db).await;
        let ada = key(&db, "ada").await;
        let report = push(&server.url, &ada, &fixtures::sample_sessions(), 50).await;
        assert!(report.succeeded(), "{report:?}");
        let before = figures(&server.url, &ada).await;
        assert!(before["activity"]["tokenUsage"]["totalTokens"].as_i64().unwrap() > 0, "{before}");
        let rebuild = async |args: &[&str]| {
            let args = ["rebuild"].iter().chain(args);
            Program::start(SERVER, args, environment(&db)).wait().await
        };

        for args in [&["--all"][..], &["--team", "ada"]] {
            delete_derived_data(&db).await;
            assert_ne!(figures(&server.url, &ada).await, before);
            let (status, output) = rebuild(args).await;
            assert!(status.success(), "{output:?}");
            assert!(output.line_with("team ada: ").is_some(), "{output:?}");
            assert_eq!(figures(&server.url, &ada).await, before, "{args:?}");
        }

        // Missing arguments or an unknown team change nothing and are reported.
        for (args, says) in [(&[][..], "--all"), (&["--team", "missing"], "no team \"missing\"")] {
            let (status, output) = rebuild(args).await;
            assert!(!status.success() && output.line_with(says).is_some(), "{output:?}");
        }
        let (status, _) = rebuild(&["--all", "--team", "ada"]).await;
        assert!(!status.success());
    }
);

both_databases!(
    async fn operators_list_and_end_access(db: TestDatabase) {
        let ada = key(&db, "ada").await;
        let server = Server::start(&db).await;
        let run = async |args: &[&str]| {
            let (status, output) = Program::start(SERVER, args, environment(&db)).wait().await;
            (status.success(), output)
        };
        let listed = async |args: &[&str]| -> Vec<Value> {
            let (success, output) = run(args).await;
            assert!(success, "{args:?}: {output:?}");
            serde_json::from_str(&output.stdout.join("\n")).unwrap()
        };
        let (success, output) =
            run(&["key", "create", "--user", "bob", "--team", "ada", "--name", "laptop", "--create"]).await;
        assert!(success, "{output:?}");
        let bob = output.stdout[0].clone();
        let graphql = async |key: &str| {
            let request = reqwest::Client::new().post(format!("{}/graphql", server.url)).bearer_auth(key);
            request.json(&json!({ "query": "{ __typename }" })).send().await.unwrap().status().as_u16()
        };
        let closed = async |socket: &mut Socket| loop {
            match tokio::time::timeout(Duration::from_secs(60), socket.next()).await.expect("an end") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                _ => return None,
            }
        };

        let users = listed(&["user", "list", "--json"]).await;
        let names: Vec<&str> = users.iter().map(|user| user["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["ada", "bob"]);
        assert_eq!(
            (&users[1]["teams"], &users[1]["keys"], &users[1]["signIns"]),
            (&json!(1), &json!(1), &json!(0))
        );
        let (_, table) = run(&["user", "list"]).await;
        assert!(table.line_with("SIGN-INS").is_some() && table.line_with("bob").is_some(), "{table:?}");
        let members = listed(&["member", "list", "--team", "ada", "--json"]).await;
        let roles: Vec<&str> = members.iter().map(|member| member["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["admin", "member"]);

        // A key is found by its owner, and revoked with its socket.
        let keys = listed(&["key", "list", "--user", "bob", "--json"]).await;
        assert_eq!((keys.len(), &keys[0]["name"], &keys[0]["team"]), (1, &json!("laptop"), &json!("ada")));
        assert!(!keys[0].to_string().contains("han_key_"));
        assert_eq!(listed(&["key", "list", "--team", "ada", "--json"]).await.len(), 2);
        let mut socket = subscribe(&server.url, &bob, "subscription { memoryUpdated { action } }").await;
        assert_eq!(graphql(&bob).await, 200);
        let (success, output) = run(&["key", "revoke", "--key", keys[0]["id"].as_str().unwrap()]).await;
        assert!(success, "{output:?}");
        assert_eq!(graphql(&bob).await, 401);
        assert_eq!(closed(&mut socket).await, Some(4403));
        let (success, output) = run(&["key", "revoke", "--key", keys[0]["id"].as_str().unwrap()]).await;
        assert!(!success && output.line_with("no live API key").is_some(), "{output:?}");

        // A user loses browsers and keys, and stays a member.
        let (_, output) = run(&["login-link", "--user", "bob"]).await;
        let link = output.stdout[0].clone();
        let token = link.split("token=").nth(1).unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let redeem =
            http.post(format!("{}/auth/login-link", server.url)).header("origin", "http://127.0.0.1:8787");
        let redeem = redeem.header("content-type", "application/x-www-form-urlencoded");
        let signed_in = redeem.body(format!("token={token}")).send().await.unwrap();
        assert_eq!(signed_in.status(), 303);
        let mut cookies =
            signed_in.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let cookie = cookies.find(|cookie| cookie.starts_with("han_session=")).unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let by_cookie = async || {
            let request = http.post(format!("{}/graphql", server.url)).header("cookie", &cookie);
            let request = request.header("origin", "http://127.0.0.1:8787");
            request.json(&json!({ "query": "{ __typename }" })).send().await.unwrap().status().as_u16()
        };
        assert_eq!(by_cookie().await, 200);
        let (_, output) = run(&["login-link", "--user", "bob"]).await;
        let unused = output.stdout[0].split("token=").nth(1).unwrap().to_owned();
        let (success, output) = run(&["user", "revoke", "--user", "bob"]).await;
        assert!(success && output.line_with("out of 1 browser(s)").is_some(), "{output:?}");
        assert_eq!(by_cookie().await, 401);
        let again =
            http.post(format!("{}/auth/login-link", server.url)).header("origin", "http://127.0.0.1:8787");
        let again = again.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(
            again.body(format!("token={unused}")).send().await.unwrap().status(),
            410,
            "an unused link ends, too"
        );
        assert_eq!(listed(&["member", "list", "--team", "ada", "--json"]).await.len(), 2);

        // A team keeps an admin. A removed member's key ends.
        let (success, output) = run(&["member", "revoke", "--team", "ada", "--user", "ada"]).await;
        assert!(!success && output.line_with("member promote").is_some(), "{output:?}");
        assert!(run(&["member", "promote", "--team", "ada", "--user", "bob"]).await.0);
        let mut socket = subscribe(&server.url, &ada, "subscription { memoryUpdated { action } }").await;
        assert!(run(&["member", "revoke", "--team", "ada", "--user", "ada"]).await.0);
        assert_eq!(closed(&mut socket).await, Some(4403));
        assert_eq!(graphql(&ada).await, 401);
        for args in [
            &["member", "revoke", "--team", "ada", "--user", "ada"][..],
            &["member", "list", "--team", "other"],
            &["user", "revoke", "--user", "eve"],
        ] {
            let (success, output) = run(args).await;
            assert!(!success && output.stdout.is_empty(), "{args:?}: {output:?}");
        }
    }
);

/// The environment with these KEKs: the current one, and previous ones.
fn with_keks(database: &TestDatabase, keks: &[[u8; 32]]) -> Vec<(String, String)> {
    use base64::Engine as _;
    let secrets: Vec<String> =
        keks.iter().map(|kek| base64::engine::general_purpose::STANDARD.encode(kek)).collect();
    let mut environment = environment(database);
    environment.retain(|(name, _)| name != "KEK_SECRET");
    environment.push(("KEK_SECRET".to_owned(), secrets[0].clone()));
    environment.push(("KEK_SECRET_PREVIOUS".to_owned(), secrets[1..].join(",")));
    environment
}

both_databases!(
    async fn keys_are_rotated_and_destroyed_under_a_running_server(db: TestDatabase) {
        const OLD: [u8; 32] = [7; 32];
        const NEW: [u8; 32] = [8; 32];
        let ada = key(&db, "ada").await;
        let server = Server::start(&db).await;
        assert!(push(&server.url, &ada, &fixtures::sample_sessions(), 50).await.succeeded());
        let read = read_back(&server.url, &ada).await;
        let run = async |keks: &[[u8; 32]], args: &[&str]| {
            let (status, output) = Program::start(SERVER, args, with_keks(&db, keks)).wait().await;
            (status.success(), output)
        };

        // The running server does not hold the new KEK.
        let (success, output) = run(&[NEW, OLD], &["kek", "rotate"]).await;
        assert!(!success && output.line_with("do not hold KEK_SECRET").is_some(), "{output:?}");
        let (success, output) = run(&[NEW, OLD], &["kek", "status"]).await;
        assert!(success && output.line_with("restart these replicas").is_some(), "{output:?}");
        server.program.signal(Signal::Terminate).await;
        server.program.wait().await;
        let server = Server::start_with(with_keks(&db, &[NEW, OLD])).await;
        let (success, output) = run(&[NEW, OLD], &["kek", "verify"]).await;
        assert!(!success && output.line_with("still wraps new keys").is_some(), "{output:?}");
        let (success, output) = run(&[NEW, OLD], &["kek", "rotate"]).await;
        assert!(success && output.line_with("writes from now on").is_some(), "{output:?}");
        let (success, output) = run(&[NEW], &["kek", "verify"]).await;
        assert!(success, "{output:?}");
        let (_, output) = run(&[NEW, OLD], &["kek", "status", "--json"]).await;
        let status: Value = serde_json::from_str(&output.stdout.join("")).unwrap();
        assert_eq!((&status["behind"], status["replicas"].as_array().unwrap().len()), (&json!(0), 1));

        // The running server seals with the new content key, and re-wraps what is there.
        assert!(run(&[NEW, OLD], &["keys", "rotate-team", "--team", "ada"]).await.0);
        let rotated = async {
            loop {
                let (_, output) = run(&[NEW, OLD], &["keys", "status", "--json"]).await;
                let keys: Value = serde_json::from_str(&output.stdout.join("")).unwrap();
                let versions: Vec<(&Value, &Value)> =
                    keys.as_array().unwrap().iter().map(|key| (&key["version"], &key["active"])).collect();
                assert_eq!(versions, [(&json!(1), &json!(false)), (&json!(2), &json!(true))]);
                if keys[1]["rotation"]["finishedAt"].is_string() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), rotated).await.expect("in time");
        let (success, output) = run(&[NEW, OLD], &["keys", "verify", "--team", "ada"]).await;
        assert!(success && output.line_with("need content key 2").is_some(), "{output:?}");
        assert!(output.line_with("need content key 1").is_none(), "{output:?}");
        assert_eq!(read_back(&server.url, &ada).await, read);

        // A key that was used too often is named.
        db.execute("UPDATE team_keys SET uses = 2147483648 WHERE active").await;
        let (_, output) = run(&[NEW, OLD], &["keys", "status", "--team", "ada"]).await;
        assert!(output.line_with("keys rotate-team --team ada").is_some(), "{output:?}");

        // The old KEK is gone.
        server.program.signal(Signal::Terminate).await;
        server.program.wait().await;
        let server = Server::start_with(with_keks(&db, &[NEW])).await;
        assert_eq!(read_back(&server.url, &ada).await, read);
        let (_, output) = Program::start(SERVER, ["serve"], with_keks(&db, &[OLD])).wait().await;
        assert!(output.line_with("KEK_SECRET_PREVIOUS").is_some(), "{output:?}");

        let (success, output) = run(&[NEW], &["content", "unseal", "--team", "ada"]).await;
        assert!(!success && output.line_with("the plan of ada seals").is_some(), "{output:?}");
        let (success, _) = run(&[NEW], &["team", "delete", "--team", "ada", "--confirm", "eve"]).await;
        assert!(!success);
        let (success, output) = run(&[NEW], &["team", "delete", "--team", "ada", "--confirm", "ada"]).await;
        assert!(success, "{output:?}");
        let request = reqwest::Client::new().post(format!("{}/graphql", server.url)).bearer_auth(&ada);
        let answer = request.json(&json!({ "query": "{ __typename }" })).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let deleted = async {
            while db.text("SELECT CAST(count(*) AS text) FROM teams").await != "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), deleted).await.expect("in time");
        assert_eq!(db.text("SELECT CAST(count(*) AS text) FROM segments").await, "0");
    }
);
