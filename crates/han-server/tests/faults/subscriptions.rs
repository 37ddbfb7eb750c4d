//! Each subscription through outages of the database. The invariant: an event is delivered, or the client is asked to
//! fetch again, by `RESYNC` or by the end of its socket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use han_testkit::TestDatabase;
use han_testkit::faults::{Deployment, Fault};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::{SERVER, seed};

/// Only a failing test waits so long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The session that exists before the subscriptions.
const SESSION: &str = "watched";

/// A root field of the subscription type: its query, and whether a payload is of the round `n` of pushes.
struct Kind {
    field: &'static str,
    query: String,
    is_of: fn(&Value, usize) -> bool,
}

/// Each root field, except those of the memory, which a team server does not have, and that of a team, which loads nothing.
fn kinds() -> Vec<Kind> {
    let kind = |field, arguments: &str, selection: &str, is_of| Kind {
        field,
        query: format!("subscription {{ {field}{arguments} {{ {selection} }} }}"),
        is_of,
    };
    let session = format!("(sessionId: \"{SESSION}\")");
    vec![
        kind("sessionAdded", "", "sessionId newSessionEdge { node { messageCount } }", |added, n| {
            added["sessionId"] == other(n)
        }),
        kind(
            "sessionMessageAdded",
            &session,
            "newMessageEdge { node { id ... on AssistantMessage { rawJson } } }",
            |added, n| {
                let line = added["newMessageEdge"]["node"]["rawJson"].as_str().unwrap_or_default();
                line.contains(&format!("\"todo-{n}\""))
            },
        ),
        kind(
            "nodeUpdated",
            &format!("(id: \"Session:{SESSION}\")"),
            "node { ... on Session { fileChangeCount messages(first: 1) { edges { node { id } } } } }",
            |updated, n| updated["node"]["fileChangeCount"] == json!(n + 1),
        ),
        kind("toolResultAdded", "(callId: \"call\")", "sessionId", |added, n| added["sessionId"] == other(n)),
        kind("hookResultAdded", "(hookRunId: \"run\")", "sessionId", |added, n| {
            added["sessionId"] == other(n)
        }),
        kind("sessionFilesChanged", &session, "fileCount", |changed, n| changed["fileCount"] == json!(n + 1)),
        kind("sessionTodosChanged", &session, "todoCount", |changed, n| changed["todoCount"] == json!(n + 1)),
        kind("sessionHooksChanged", &session, "hookName", |changed, n| {
            changed["hookName"] == json!(format!("hook-{n}"))
        }),
        // It names no session. Each round changes sessions, and nothing else does.
        kind("memoryUpdated", "", "action", |_, _| true),
    ]
}

/// The session that round `n` creates.
fn other(n: usize) -> Value {
    json!(format!("other-{n}"))
}

/// The pushes of round `n`: each subscription receives something of it.
fn round(n: usize) -> Value {
    let time = format!("2026-11-02T10:{:02}:{:02}.000Z", n / 60 % 60, n % 60);
    let tool_use = |call: &str, name: &str, input: Value| {
        json!({"type": "assistant", "uuid": format!("use-{call}-{n}"), "timestamp": time,
            "message": {"role": "assistant", "id": format!("msg-{call}-{n}"), "model": "claude-opus-4-6",
                "content": [{"type": "tool_use", "id": call, "name": name, "input": input}]}})
    };
    let tool_result = |call: &str| {
        json!({"type": "user", "uuid": format!("result-{call}-{n}"), "timestamp": time,
            "message": {"role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call, "content": "said", "is_error": false}]}})
    };
    let edit =
        json!({"file_path": format!("/home/dev/orchard/{n}.rs"), "old_string": "a", "new_string": "b"});
    let todos: Vec<Value> = (0..=n)
        .map(|at| json!({"content": format!("{at}"), "status": "pending", "activeForm": format!("{at}")}))
        .collect();
    let hook = |name: &str, hook: &str, run: &str| {
        json!({"type": name, "uuid": format!("{name}-{run}-{n}"), "timestamp": time, "hookRunId": run,
            "data": {"plugin": "rust", "hook": hook, "duration_ms": 8, "success": true}})
    };
    let own = format!("call-{n}");
    json!({ "sessions": [
        { "session_id": SESSION, "messages": [
            tool_use(&own, "Edit", edit), tool_result(&own),
            tool_use(&format!("todo-{n}"), "TodoWrite", json!({ "todos": todos })),
        ] },
        { "session_id": SESSION, "transcript": "han", "messages": [
            hook("hook_run", &format!("hook-{n}"), &format!("run-{n}")),
        ] },
        { "session_id": other(n), "messages": [tool_use("call", "Bash", json!({"command": "ls"})), tool_result("call")] },
        { "session_id": other(n), "transcript": "han", "messages": [
            hook("hook_run", "test", "run"), hook("hook_result", "test", "run"),
        ] },
    ] })
}

/// Pushes a round until the server has stored all of it.
async fn push(url: &str, key: &str, n: usize) {
    let http = reqwest::Client::new();
    let pushed = async {
        loop {
            let request = http.post(format!("{url}/api/sync/sessions")).bearer_auth(key).json(&round(n));
            if let Ok(response) = request.send().await
                && response.status().is_success()
            {
                let body: Value = response.json().await.unwrap_or_default();
                let batches = body["sessions"].as_array().cloned().unwrap_or_default();
                if batches.len() == 4 && batches.iter().all(|batch| batch["error"].is_null()) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, pushed).await.expect("a push is accepted in time");
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A client with one subscription on its own socket.
struct Subscriber {
    kind: Kind,
    socket: Socket,
    /// The code that the server closed the socket with.
    closed: Option<u16>,
}

impl Subscriber {
    async fn start(url: &str, key: &str, kind: Kind) -> Self {
        let mut request = format!("{}/graphql", url.replacen("http", "ws", 1)).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut subscriber = Self { kind, socket, closed: None };
        let credential = json!({ "Authorization": format!("Bearer {key}") });
        subscriber.send(json!({ "type": "connection_init", "payload": credential })).await;
        let query = subscriber.kind.query.clone();
        subscriber.send(json!({ "type": "subscribe", "id": "s", "payload": { "query": query } })).await;
        subscriber
            .send(json!({ "type": "subscribe", "id": "q", "payload": { "query": "{ __typename }" } }))
            .await;
        // The response to a later query shows that the subscription is active.
        while subscriber.next().await.expect("the socket stays open")["id"] != "q" {}
        subscriber
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; `None` at the end of the socket.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(TIMEOUT, self.socket.next()).await;
            match next.unwrap_or_else(|_| panic!("{}: neither an event nor an end", self.kind.field)) {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| frame.code.into());
                    return None;
                }
                _ => return None,
            }
        }
    }

    /// Waits for the event of round `n`, or for the notice to fetch again; returns whether the event arrived.
    async fn knows_of(&mut self, n: usize) -> bool {
        let field = self.kind.field;
        while let Some(message) = self.next().await {
            if message["id"] != "s" {
                continue;
            }
            assert_eq!(message["type"], "next", "{field} ended without a reason: {message}");
            let payload = &message["payload"];
            if let Some(errors) = payload.get("errors") {
                assert_eq!(errors[0]["extensions"]["code"], "RESYNC", "{field}: {message}");
                return false;
            }
            if (self.kind.is_of)(&payload["data"][field], n) {
                return true;
            }
        }
        false
    }
}

async fn subscribe_to_all(deployment: &Deployment) -> Vec<Subscriber> {
    let (url, key) = (deployment.url(), deployment.key());
    let mut subscribers = Vec::new();
    for kind in kinds() {
        subscribers.push(Subscriber::start(&url, key, kind).await);
    }
    subscribers
}

/// Waits until each subscriber knows of round `n`; returns the fields whose event was delivered.
async fn knows_of(subscribers: &mut [Subscriber], n: usize) -> Vec<&'static str> {
    let mut delivered = Vec::new();
    for subscriber in subscribers {
        if subscriber.knows_of(n).await {
            delivered.push(subscriber.kind.field);
        }
    }
    delivered
}

/// The tables that events are loaded from.
const LOADED: &str = "sessions, messages, segments, tool_results, hook_executions, file_changes, todos";

/// Events arrive, but each attempt to load them fails: their tables are locked, and every connection that waits for them is
/// ended. Afterwards each subscription continues where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_survive_loads_that_fail() {
    let deployment = Deployment::postgres(SERVER, seed(8)).await;
    push(&deployment.url(), deployment.key(), 0).await;
    let mut subscribers = subscribe_to_all(&deployment).await;
    push(&deployment.url(), deployment.key(), 1).await;
    let all = kinds().len();
    assert_eq!(knows_of(&mut subscribers, 1).await.len(), all, "without a fault each event is delivered");

    let mut admin = PgConnection::connect(deployment.database_url()).await.unwrap();
    let mut locked = PgConnection::connect(deployment.database_url()).await.unwrap();
    let lock = format!("BEGIN; LOCK TABLE {LOADED} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut locked).await.unwrap();
    // The same changes again: pushes would wait for the lock.
    let columns =
        "team_id, table_name, action, session_id, team_number, session_number, ordinal_from, ordinal_to, at";
    let again = format!(
        "INSERT INTO changes ({columns}) SELECT {columns} FROM changes \
         WHERE table_name = 'sessions' OR table_name IS NULL ORDER BY seq; NOTIFY db_changes"
    );
    sqlx::raw_sql(AssertSqlSafe(again)).execute(&mut admin).await.unwrap();
    let end_waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()";
    let mut ended = 0;
    let ending = async {
        while ended < 20 {
            let now: i64 = sqlx::query_scalar(end_waiting).fetch_one(&mut admin).await.unwrap();
            ended += now;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, ending).await.expect("events are loaded, again and again");
    sqlx::raw_sql("ROLLBACK").execute(&mut locked).await.unwrap();

    push(&deployment.url(), deployment.key(), 2).await;
    let delivered = knows_of(&mut subscribers, 2).await;
    assert_eq!(delivered.len(), all, "each subscription continues: {delivered:?}");
}

/// An event whose fields cannot be loaded closes the socket, so that the client comes back: no client expects an error there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_cannot_be_loaded_make_the_client_come_back() {
    let deployment = Deployment::postgres(SERVER, seed(9)).await;
    push(&deployment.url(), deployment.key(), 0).await;
    let kind = kinds().into_iter().find(|kind| kind.field == "nodeUpdated").unwrap();
    let mut subscriber = Subscriber::start(&deployment.url(), deployment.key(), kind).await;
    let mut admin = PgConnection::connect(deployment.database_url()).await.unwrap();
    let mut locked = PgConnection::connect(deployment.database_url()).await.unwrap();
    // The session itself can be loaded, its messages cannot.
    let lock = "BEGIN; LOCK TABLE messages, segments IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut locked).await.unwrap();
    let again = "INSERT INTO changes (team_number, session_number, ordinal_from, ordinal_to, at) \
         SELECT team, number, 0, 0, 0 FROM sessions WHERE session_id = 'watched'; NOTIFY db_changes";
    sqlx::raw_sql(again).execute(&mut admin).await.unwrap();
    let end_waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()";
    let ending = async {
        loop {
            let _: i64 = sqlx::query_scalar(end_waiting).fetch_one(&mut admin).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        delivered = subscriber.knows_of(usize::MAX - 1) => assert!(!delivered),
        () = ending => {}
    }
    assert_eq!(subscriber.closed, Some(1012), "service restart");
    sqlx::raw_sql("ROLLBACK").execute(&mut locked).await.unwrap();
}

/// Pushes go on while the fault happens, so that it hits events on their way.
async fn through(deployment: &mut Deployment, fault: Fault, rounds: &mut usize) {
    let mut subscribers = subscribe_to_all(deployment).await;
    let (url, key) = (deployment.url(), deployment.key().to_owned());
    let first = *rounds;
    let pushing = tokio::spawn(async move {
        for n in first..first + 12 {
            push(&url, &key, n).await;
        }
    });
    deployment.inject(fault).await;
    pushing.await.unwrap();
    *rounds += 12;
    deployment.until_ready(&deployment.url()).await;
    push(&deployment.url(), deployment.key(), *rounds).await;
    let delivered = knows_of(&mut subscribers, *rounds).await;
    eprintln!("{fault}: delivered {delivered:?}");
    *rounds += 1;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_subscription_survives_outages_of_postgres() {
    let mut deployment = Deployment::postgres(SERVER, seed(10)).await;
    push(&deployment.url(), deployment.key(), 0).await;
    let mut rounds = 1;
    for fault in [Fault::Postmaster, Fault::Backend, Fault::Terminate, Fault::Postmaster] {
        through(&mut deployment, fault, &mut rounds).await;
    }
}

/// On SQLite the only outage is that of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_subscription_on_sqlite_ends_with_its_server() {
    let database = TestDatabase::sqlite().await;
    let mut deployment = Deployment::sqlite(SERVER, database.url(), seed(11)).await;
    push(&deployment.url(), deployment.key(), 0).await;
    through(&mut deployment, Fault::Server, &mut 1).await;
}

/// A new subscription must be added to the tests above.
#[test]
fn each_subscription_is_tested() {
    let sdl = han_api::schema::team_sdl();
    let root = sdl
        .split("type SubscriptionRoot {")
        .nth(1)
        .expect("a subscription type")
        .split("\n}")
        .next()
        .unwrap();
    let declared = root.lines().filter_map(|line| {
        let rest = line.strip_prefix('\t')?;
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        // Lines of descriptions begin with a capital letter, or have no type.
        let is_field =
            name.starts_with(|c: char| c.is_ascii_lowercase()) && rest[name.len()..].starts_with(['(', ':']);
        is_field.then_some(name)
    });
    // What `kinds` leaves out: a team server has no memory, and changes of a team load nothing.
    let is_left_out = |name: &str| name.starts_with("memoryAgent") || name == "teamUpdated";
    let mut declared: Vec<String> = declared.filter(|name| !is_left_out(name)).collect();
    let mut tested: Vec<String> = kinds().iter().map(|kind| kind.field.to_owned()).collect();
    declared.sort();
    tested.sort();
    assert_eq!(declared, tested);
}
