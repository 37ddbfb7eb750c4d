//! A server in this process, on its own database, and its users.
#![allow(dead_code, unreachable_pub, reason = "helpers that some tests may not use yet")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser as _;
use futures_util::{SinkExt as _, StreamExt as _};
use han_coordinator::{Client, ClientConfig, PushOptions, PushReport};
use han_crypto::OsEntropy;
use han_db::Db;
use han_db::queries::api_keys::NewApiKey;
use han_db::queries::memberships::Resolved;
use han_db::queries::teams::TeamChange;
use han_db::queries::{api_keys, login_links, memberships, teams, users};
use han_server::auth::jwt::JwtKeys;
use han_server::commands::{Cli, World};
use han_server::config::{Config, PublicUrl};
use han_server::{App, connect, serve};
use han_testkit::{TestClock, TestDatabase};
use han_types::{Actor, ApiKeyId, Capabilities, Credential, Role, TeamId, UserId};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

/// The secrets of every test.
pub const JWT_SECRET: &str = "tUJ5c0Vw3nq8XkRrM1aZ7yLhQ2eBvD9fG4sPoN6iTtEw";
pub fn kek_secret() -> String {
    STANDARD.encode([7u8; 32])
}

/// A complete environment for that database.
pub fn environment(database_url: &str) -> HashMap<String, String> {
    [
        ("DATABASE_URL", database_url.to_owned()),
        ("KEK_SECRET", kek_secret()),
        ("JWT_SECRET", JWT_SECRET.to_owned()),
        ("PUBLIC_URL", "http://127.0.0.1:1".to_owned()),
        ("HAN_DATABASE_CONNECTIONS", "4".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

pub fn load(environment: &HashMap<String, String>) -> Config {
    Config::load(&|name| environment.get(name).cloned(), &OsEntropy::new()).unwrap()
}

pub struct TestServer {
    pub url: String,
    pub db: Db,
    pub clock: TestClock,
    pub http: reqwest::Client,
    pub jwt: JwtKeys,
    pub shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

/// A user with a team, and a key with all scopes.
pub struct Person {
    pub user_id: UserId,
    pub team_id: TeamId,
    pub key_id: ApiKeyId,
    pub key: String,
}

impl TestServer {
    pub async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| {}).await
    }

    /// Starts a server with a configuration that `change` has modified.
    pub async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(database, TestClock::default(), change).await
    }

    /// As [`TestServer::start_with`], with a clock that others have, too.
    pub async fn start_at(
        database: &TestDatabase,
        clock: TestClock,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public_url = PublicUrl::of_listener(listener.local_addr().unwrap());
        let mut config = load(&environment(database.url()));
        // The test clock does not advance by itself, so a used quota would never recover.
        config.http.rate_factor = None;
        change(&mut config);
        let entropy = Arc::new(OsEntropy::new());
        let db = connect(&config, Arc::new(clock.clone()), Arc::clone(&entropy) as _).await.unwrap();
        let app = App::build(config, public_url.clone(), db.clone(), Arc::new(clock.clone()), entropy)
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, app, shutdown.clone()));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let url = public_url.origin().to_owned();
        let jwt = JwtKeys::new(&SecretString::from(JWT_SECRET), None, &url, Arc::new(clock.clone()));
        Self { url, db, clock, http, jwt, shutdown, task }
    }

    /// Stops the server and waits for its end.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub async fn person(&self, name: &str) -> Person {
        let (user, team) = teams::create_with_user(&self.db, name, name).await.unwrap();
        let (key_id, key) = self.key(&user.id, &team.id, "read sync:write", None).await;
        Person { user_id: user.id, team_id: team.id, key_id, key }
    }

    /// Another member of the team of `person`, with their own key.
    pub async fn colleague(&self, person: &Person, name: &str) -> Person {
        let user = users::create(&self.db, name).await.unwrap();
        memberships::put(&self.db, &person.team_id, &user.id, Role::Member).await.unwrap();
        let (key_id, key) = self.key(&user.id, &person.team_id, "read sync:write", None).await;
        Person { user_id: user.id, team_id: person.team_id.clone(), key_id, key }
    }

    pub async fn key(
        &self,
        user_id: &UserId,
        team_id: &TeamId,
        scopes: &str,
        days: Option<i64>,
    ) -> (ApiKeyId, String) {
        use han_types::Clock as _;
        let expires_at = days.map(|days| self.clock.now().plus_seconds(days * 86_400));
        let new = NewApiKey { team_id, user_id, name: "test", scopes, expires_at };
        let (id, key) = api_keys::create_for(&self.db, &new).await.unwrap();
        (id, key.expose().to_owned())
    }

    /// Revokes a key of `user_id`. Their only team is the key's.
    pub async fn revoke_key(&self, user_id: &UserId, id: &ApiKeyId) {
        let scope = self.scope_of(user_id).await.scope;
        assert_eq!(api_keys::revoke(&scope, &self.db, id).await.unwrap(), TeamChange::Done);
    }

    pub async fn scope_of(&self, user_id: &UserId) -> Resolved {
        let actor = Actor {
            user_id: user_id.clone(),
            credential: Credential::Local,
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: han_testkit::request_id(),
            client: None,
        };
        memberships::scope_for(&self.db, &actor).await.unwrap().unwrap()
    }

    /// A session cookie, as `name=token`.
    pub async fn cookie(&self, user_id: &UserId) -> String {
        let link = login_links::create(&self.db, user_id).await.unwrap();
        let session = login_links::redeem(&self.db, &link.hash()).await.unwrap().unwrap();
        format!("han_session={}", session.token.expose())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Posts a form, as a browser does.
    pub fn post_form(&self, path: &str, form: impl Into<String>) -> RequestBuilder {
        let request = self.post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(form.into())
    }

    pub fn graphql(&self, key: &str, query: &str) -> RequestBuilder {
        self.post("/graphql").bearer_auth(key).json(&json!({ "query": query }))
    }

    pub fn push(&self, key: &str, body: &Value) -> RequestBuilder {
        self.post("/api/sync/sessions").bearer_auth(key).json(body)
    }

    /// Pushes lines of `main` and returns the result of the batch.
    pub async fn push_lines(&self, key: &str, session: &str, offset: u64, lines: &[String]) -> Value {
        let response = self.push(key, &batch(session, offset, lines)).send().await.unwrap();
        let (status, body) = answer(response).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["sessions"][0].clone()
    }

    /// Waits until the background job has indexed all lines of the key's team.
    pub async fn until_indexed(&self, key: &str) {
        let lag = "{ searchMessages(query: \"x\") { linesToIndex } }";
        loop {
            let (_, body) = answer(self.graphql(key, lag).send().await.unwrap()).await;
            if body["data"]["searchMessages"]["linesToIndex"] == 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub async fn socket(&self, headers: &[(&'static str, &str)]) -> Result<Socket, tungstenite::Error> {
        let mut request = self.url.replacen("http", "ws", 1).as_str().to_owned();
        request.push_str("/graphql");
        let mut request = request.into_client_request()?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, "graphql-transport-ws".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Ok(Socket(connect_async(request).await?.0))
    }

    /// An authenticated socket.
    pub async fn socket_as(&self, credential: &str) -> Socket {
        let mut socket = self.socket(&[]).await.unwrap();
        socket.send(json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {credential}")}})).await;
        assert_eq!(socket.receive().await, Ok(json!({"type": "connection_ack"})));
        socket
    }
}

/// A push with one batch of `main`.
pub fn batch(session: &str, offset: u64, lines: &[String]) -> Value {
    let messages: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    json!({ "sessions": [{ "session_id": session, "offset": offset, "messages": messages }] })
}

/// The status, and the body as JSON; `null` if it is not JSON.
pub async fn answer(response: reqwest::Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// The status, code and detail of a problem. Fails if the response is not a problem (RFC 9457).
pub async fn problem(response: reqwest::Response) -> (u16, String, String) {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let (status, body) = answer(response).await;
    assert_eq!(body["status"], status.as_u16());
    let code = body["type"].as_str().unwrap().strip_prefix("urn:han:problem:").unwrap().to_owned();
    (status.as_u16(), code, body["detail"].as_str().unwrap().to_owned())
}

pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn send(&mut self, message: Value) {
        self.send_message(Message::text(message.to_string())).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    /// The next message, or the code of the close frame.
    pub async fn receive(&mut self) -> Result<Value, u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }
}

/// Another database of the same kind.
pub async fn another(database: &TestDatabase) -> TestDatabase {
    if database.is_postgres() { TestDatabase::postgres().await } else { TestDatabase::sqlite().await }
}

/// Runs a command of the server on a database, with the clock of a server. The result is what it wrote to standard error,
/// or why it failed.
pub async fn command(database: &TestDatabase, server: &TestServer, args: &[&str]) -> Result<String, String> {
    command_on(database.url(), server, args).await
}

/// As [`command`], on the database at an address.
pub async fn command_on(url: &str, server: &TestServer, args: &[&str]) -> Result<String, String> {
    command_with(url, server, &[], args).await.map(|(_, err)| err)
}

/// As [`command_on`], with more variables. The result is what it wrote to standard output and to standard error; if it
/// failed, both and the error.
pub async fn command_with(
    url: &str,
    server: &TestServer,
    variables: &[(&str, &str)],
    args: &[&str],
) -> Result<(String, String), String> {
    let mut environment = environment(url);
    environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let world = World {
        lookup: &|name| environment.get(name).cloned(),
        names: Vec::new(),
        clock: Arc::new(server.clock.clone()),
        entropy: Arc::new(OsEntropy::new()),
        out: &mut out,
        err: &mut err,
        shutdown: CancellationToken::new(),
    };
    let cli = Cli::try_parse_from(std::iter::once(&"han-server").chain(args)).unwrap();
    let done = han_server::commands::run(cli, world).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(out), text(err));
    match done {
        Ok(()) => Ok((out, err)),
        Err(error) => Err(format!("{out}{err}{error}")),
    }
}

pub async fn push_directory(server: &TestServer, key: &str, path: &Path) -> PushReport {
    let config = ClientConfig { url: server.url.clone(), api_key: key.to_owned().into(), team: None };
    han_coordinator::push(path, &Client::new(config).unwrap(), &PushOptions::default()).await
}

pub async fn exported(server: &TestServer, key: &str, path: &str) -> String {
    let response = server.get(path).bearer_auth(key).send().await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"application/x-ndjson".parse().unwrap())
    );
    let text = response.text().await.unwrap();
    // What the end says about the records before it.
    let (before, end) = text.trim_end().rsplit_once('\n').unwrap();
    let end: Value = serde_json::from_str(end).unwrap();
    let hash: String =
        Sha256::digest(format!("{before}\n")).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&end["end"]["sha256"], &end["end"]["bytes"]), (&json!(hash), &json!(before.len() + 1)));
    let count =
        |kind: &str| before.lines().filter(|line| line.starts_with(&format!("{{\"{kind}\":"))).count();
    for (kind, counted) in [("session", "sessions"), ("transcript", "transcripts"), ("line", "lines")] {
        assert_eq!(end["end"][counted], json!(count(kind)), "{kind}");
    }
    text
}

/// The lines of an export, as in the file, by session and transcript.
pub fn lines_of(export: &str) -> Vec<(String, String, Vec<String>)> {
    let mut files: Vec<(String, String, Vec<String>)> = Vec::new();
    let mut session = String::new();
    for record in export.lines() {
        // A line may be JSON that has no `Value`.
        if record.starts_with("{\"line\":") {
            let (_, message) = record.split_once("\"message\":").unwrap();
            files.last_mut().unwrap().2.push(message.strip_suffix("}}").unwrap().to_owned());
            continue;
        }
        let value: Value = serde_json::from_str(record).unwrap();
        if let Some(begun) = value["session"]["session_id"].as_str() {
            session = begun.to_owned();
        } else if let Some(name) = value["transcript"]["transcript"].as_str() {
            files.push((session.clone(), name.to_owned(), Vec::new()));
        }
    }
    files
}
