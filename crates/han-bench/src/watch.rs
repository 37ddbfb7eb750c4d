//! `watch`: a process with many WebSocket subscribers, which other benchmarks start. At the end, it prints the received
//! events with their times. Times are of the machine's clock, in microseconds since the epoch, so that processes can
//! compare them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// The maximum number of concurrent handshakes.
const HANDSHAKES: usize = 100;

/// Options of `watch`.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    url: String,
    #[arg(long)]
    key: String,
    /// The number of sockets.
    #[arg(long)]
    sockets: usize,
    /// A subscription (repeatable); each socket has all of them.
    #[arg(long)]
    query: Vec<String>,
    /// A session (repeatable) for the variable `$id`; the sockets take the sessions in turn.
    #[arg(long)]
    session: Vec<String>,
    /// The number of events after which a socket is done; by default, it receives until it is closed.
    #[arg(long)]
    expect: Option<usize>,
    /// The maximum duration in seconds.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

/// The events that all sockets received.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    /// The times of events, without duplicates.
    pub arrived: Vec<u64>,
    /// Number and time of events that have a number.
    pub numbered: Vec<(u64, u64)>,
    /// How many events a socket received again.
    pub duplicated: usize,
    /// How many expected events a socket did not receive.
    pub lost: usize,
    /// The number of closed sockets by close code; 1006 means that there was none.
    pub closed: BTreeMap<u16, usize>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Microseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "two processes of one machine compare its clock")]
pub(crate) fn now_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.expect("a clock after 1970").as_micros()).expect("a clock before the year 500000")
}

pub(crate) async fn run(options: Options) {
    let options = Arc::new(options);
    let (ready, handshakes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(HANDSHAKES)));
    let watchers = (0..options.sockets).map(|n| {
        let (options, ready, handshakes) =
            (Arc::clone(&options), Arc::clone(&ready), Arc::clone(&handshakes));
        tokio::spawn(async move {
            let turn = handshakes.acquire().await.expect("the semaphore is never closed");
            let socket = subscribe(&options, n).await;
            drop(turn);
            if ready.fetch_add(1, Ordering::SeqCst) + 1 == options.sockets {
                println!("ready");
            }
            let mut received = Received::default();
            let receiving = receive_events(socket, options.expect, &mut received);
            let _ = tokio::time::timeout(Duration::from_secs(options.timeout), receiving).await;
            let missing = options.expect.map_or(0, |expect| expect.saturating_sub(received.arrived.len()));
            Received { lost: missing, ..received }
        })
    });
    let mut all = Received::default();
    for received in join_all(watchers.collect::<Vec<_>>()).await {
        let received = received.expect("no watcher panics");
        all.arrived.extend(received.arrived);
        all.numbered.extend(received.numbered);
        all.duplicated += received.duplicated;
        all.lost += received.lost;
        for (code, count) in received.closed {
            *all.closed.entry(code).or_default() += count;
        }
    }
    println!("received {}", serde_json::to_string(&all).expect("plain data"));
}

async fn subscribe(options: &Options, n: usize) -> Socket {
    let url = format!("{}/graphql", options.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    // Small buffers, because one process has thousands of sockets.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(0);
    let (mut socket, _) =
        connect_async_with_config(request, Some(config), true).await.expect("the server accepts the socket");
    send(
        &mut socket,
        json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {}", options.key)}}),
    )
    .await;
    assert_eq!(receive(&mut socket).await.expect("an response")["type"], "connection_ack");
    let session = options.session.get(n % options.session.len().max(1));
    for (id, query) in options.query.iter().enumerate() {
        let payload = json!({"query": query, "variables": {"id": session}});
        send(&mut socket, json!({"type": "subscribe", "id": id.to_string(), "payload": payload})).await;
    }
    // When this query, which follows the subscriptions, is answered, the subscriptions are active.
    send(&mut socket, json!({"type": "subscribe", "id": "q", "payload": {"query": "{ __typename }"}})).await;
    loop {
        let response = receive(&mut socket).await.expect("an response");
        assert_ne!(response["type"], "error", "{response}");
        if response["type"] == "complete" && response["id"] == "q" {
            return socket;
        }
    }
}

async fn receive_events(mut socket: Socket, expect: Option<usize>, received: &mut Received) {
    let mut seen = std::collections::HashSet::new();
    loop {
        if expect == Some(received.arrived.len()) {
            return;
        }
        match receive(&mut socket).await {
            Ok(event) if event["type"] == "next" => {
                let now = now_micros();
                assert!(event["payload"].get("errors").is_none(), "{event}");
                if let Some(number) = number(&event) {
                    received.numbered.push((number, now));
                    if !seen.insert(number) {
                        received.duplicated += 1;
                        continue;
                    }
                }
                received.arrived.push(now);
            }
            Ok(_) => {}
            Err(code) => {
                *received.closed.entry(code).or_default() += 1;
                return;
            }
        }
    }
}

/// The number in the message's text, which a benchmark writes as `sent <number>`.
fn number(event: &Value) -> Option<u64> {
    let text = event.pointer("/payload/data/sessionMessageAdded/newMessageEdge/node/content")?.as_str()?;
    text.strip_prefix("sent ")?.parse().ok()
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("the socket is open");
}

async fn receive(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str()).expect("JSON")),
            Some(Ok(Message::Close(frame))) => {
                // The reply completes the closing handshake.
                let _ = socket.close(None).await;
                return Err(frame.map_or(1005, |frame| frame.code.into()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}
