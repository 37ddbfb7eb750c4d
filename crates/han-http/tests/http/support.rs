//! A program that serves the schema to its one local user, and clients for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use han_api::RequestContext;
use han_crypto::{KekRing, OsEntropy};
use han_db::queries::{memberships, teams};
use han_db::{Db, DbConfig};
use han_http::authenticate::{Authenticate, NoAccessChanges};
use han_http::budget::Quotas;
use han_http::graphql::{self, Endpoint, TransportLimits};
use han_http::headers::single;
use han_http::layers::{catch_panic, method_not_allowed};
use han_http::observe::{RequestIds, observe};
use han_http::serve::Timeouts;
use han_http::{Budget, Lifecycle, Problem, serve};
use han_testkit::{SeededEntropy, TestClock, TestDatabase};
use han_types::{Actor, Capabilities, Credential, RequestId, UserId};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceBuilder;

/// No test waits for these to pass.
pub(crate) const LONG: Timeouts = Timeouts { idle: Duration::from_secs(60), grace: Duration::from_secs(60) };

/// The state of the program: every request on this machine is the one local user's.
#[derive(Clone)]
pub(crate) struct Local {
    endpoint: Endpoint,
    db: Db,
    user_id: UserId,
    request_ids: RequestIds,
}

impl FromRef<Local> for Endpoint {
    fn from_ref(state: &Local) -> Self {
        state.endpoint.clone()
    }
}

impl Authenticate for Local {
    type Presented = ();
    type AccessChanges = NoAccessChanges;

    fn presented(&self, _: &HeaderMap) -> Result<Option<()>, Problem> {
        Ok(Some(()))
    }

    fn presented_in_init(&self, _: &Map<String, Value>) -> Result<Option<()>, Problem> {
        Ok(None)
    }

    fn approve_request(&self, (): &(), _: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        from_this_machine(headers)
    }

    fn approve_socket(&self, (): &(), headers: &HeaderMap) -> Result<(), Problem> {
        from_this_machine(headers)
    }

    fn request_id(&self, headers: &HeaderMap) -> RequestId {
        self.request_ids.of(headers)
    }

    async fn verify(&self, (): &(), request_id: &RequestId) -> Result<Actor, Problem> {
        Ok(Actor {
            user_id: self.user_id.clone(),
            credential: Credential::Local,
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: request_id.clone(),
            client: None,
        })
    }

    async fn context(&self, actor: Actor) -> Result<RequestContext, Problem> {
        let resolved = memberships::scope_for(&self.db, &actor).await?;
        let resolved = resolved.ok_or_else(|| Problem::not_found("the local user has no team"))?;
        Ok(RequestContext::new(actor).with_scope(resolved.scope))
    }

    async fn still_holds(&self, _: &RequestContext) -> bool {
        true
    }

    fn access_changes(&self) -> NoAccessChanges {
        NoAccessChanges
    }
}

/// Refuses pages of other sites, and names of other sites that resolve to this machine (DNS rebinding).
fn from_this_machine(headers: &HeaderMap) -> Result<(), Problem> {
    let host = single(headers, header::HOST.as_str()).unwrap_or("");
    let is_local = host.rsplit_once(':').is_some_and(|(name, _)| matches!(name, "127.0.0.1" | "localhost"));
    let same_origin =
        single(headers, header::ORIGIN.as_str()).is_none_or(|origin| origin == format!("http://{host}"));
    if is_local && same_origin { Ok(()) } else { Err(Problem::cross_site("open this program on localhost")) }
}

fn request_ids() -> RequestIds {
    RequestIds::new(Arc::new(TestClock::default()), Arc::new(SeededEntropy::new(1)))
}

/// A program that serves on a port of its own until it is stopped.
pub(crate) struct Program {
    pub(crate) address: String,
    pub(crate) http: reqwest::Client,
    pub(crate) shutdown: CancellationToken,
    pub(crate) budget: Budget,
    served: JoinHandle<io::Result<()>>,
    _database: Option<(TestDatabase, DropGuard)>,
}

impl Program {
    /// Serves the schema to the local user.
    pub(crate) async fn local() -> Self {
        Self::local_with(Quotas::unlimited(), LONG).await
    }

    /// The same, with limits.
    pub(crate) async fn local_with(quotas: Quotas, timeouts: Timeouts) -> Self {
        let budget = Budget::new(quotas);
        let database = TestDatabase::sqlite().await;
        let clock = Arc::new(TestClock::default());
        let secret = base64::engine::general_purpose::STANDARD.encode([7u8; 32]);
        let keks = KekRing::from_secrets(&SecretString::from(secret), None).unwrap();
        let config = DbConfig::new(database.url());
        let db = Db::connect(&config, keks, clock.clone(), Arc::new(OsEntropy::new())).await.unwrap();
        db.migrate().await.unwrap();
        let (user, _) = teams::create_with_user(&db, "ada", "Orchard").await.unwrap();
        let feed = CancellationToken::new();
        let changes = db.start_changes(feed.clone()).await.unwrap();
        let machine = Arc::new(han_api::NoMachine);
        let query_limits = han_api::QueryLimits::default();
        let schema = han_api::schema::local(machine, db.clone(), changes.sender.clone(), query_limits);
        let lifecycle = Lifecycle::default();
        let limits = TransportLimits {
            request_bytes: 64 << 10,
            socket_init: Duration::from_secs(60),
            socket_recheck: Duration::from_secs(60),
        };
        let endpoint = Endpoint::new(schema, limits, clock, lifecycle.clone(), budget.clone());
        let router = Router::new()
            .route(graphql::PATH, graphql::methods::<Local>().fallback(method_not_allowed))
            .with_state(Local { endpoint, db, user_id: user.id, request_ids: request_ids() });
        let mut program = Self::serve_with(router, budget, timeouts, lifecycle).await;
        program._database = Some((database, feed.drop_guard()));
        program
    }

    /// Serves `router` inside the layers that every program has.
    pub(crate) async fn serve(router: Router, timeouts: Timeouts, lifecycle: Lifecycle) -> Self {
        Self::serve_with(router, Budget::new(Quotas::unlimited()), timeouts, lifecycle).await
    }

    /// The same, with an accounting.
    pub(crate) async fn serve_with(
        router: Router,
        budget: Budget,
        timeouts: Timeouts,
        lifecycle: Lifecycle,
    ) -> Self {
        let observed = from_fn_with_state(request_ids(), observe);
        let router = router.layer(ServiceBuilder::new().layer(observed).layer(catch_panic()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shutdown = CancellationToken::new();
        let served =
            tokio::spawn(serve(listener, router, budget.clone(), timeouts, lifecycle, shutdown.clone()));
        Self { address, http: reqwest::Client::new(), shutdown, budget, served, _database: None }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn graphql(&self, query: &str) -> reqwest::RequestBuilder {
        self.http.post(self.url(graphql::PATH)).json(&serde_json::json!({ "query": query }))
    }

    /// A connection on which nothing was sent.
    pub(crate) async fn wire(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    pub(crate) async fn socket(&self, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
        let mut request = format!("ws://{}{}", self.address, graphql::PATH).into_client_request()?;
        let protocol = "graphql-transport-ws".parse().unwrap();
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Ok(Socket(connect_async(request).await?.0))
    }

    /// Stops it, and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(LONG.grace / 2, self.served).await;
        stopped.expect("it stops long before the grace period is over").unwrap().unwrap();
    }
}

/// A WebSocket client.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn send_raw(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, or the code that the socket was closed with.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
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

/// A problem's status, code and detail. Fails if the response is not a problem (RFC 9457).
pub(crate) async fn problem(response: reqwest::Response) -> (StatusCode, String, String) {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.as_u16());
    let code = body["type"].as_str().unwrap().strip_prefix("urn:han:problem:").unwrap().to_owned();
    (status, code, body["detail"].as_str().unwrap().to_owned())
}
