//! `watch`: many WebSocket subscribers in a process of their own, as the other benchmarks start it. What each hears,
//! and when, is printed once there is nothing more to hear; times are the machine's clock, in microseconds since the
//! epoch, so that two processes may compare them.

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

/// How many handshakes run at once.
const HANDSHAKES: usize = 100;

/// What to watch.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    url: String,
    #[arg(long)]
    key: String,
    /// How many sockets.
    #[arg(long)]
    sockets: usize,
    /// A subscription; each socket holds all of them.
    #[arg(long)]
    query: Vec<String>,
    /// Sessions, one after another, for the sockets' variable `$id`.
    #[arg(long)]
    session: Vec<String>,
    /// Events after which a socket has heard all; without it, it hears until it is closed.
    #[arg(long)]
    expect: Option<usize>,
    /// Seconds after which it stops waiting.
    #[arg(long, default_value_t = 120)]
    patience: u64,
}

/// What all sockets heard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// The times of events.
    pub arrived: Vec<u64>,
    /// For events that carry a number, it and the time.
    pub told: Vec<(u64, u64)>,
    /// Events that a socket heard more than once, and that it should have heard and did not.
    pub doubled: usize,
    pub lost: usize,
    /// How many sockets were closed with each code; 1006 stands for none.
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
            let turn = handshakes.acquire().await.expect("nobody closes it");
            let socket = subscribe(&options, n).await;
            drop(turn);
            if ready.fetch_add(1, Ordering::SeqCst) + 1 == options.sockets {
                println!("ready");
            }
            let mut heard = Heard::default();
            let listen = listen(socket, options.expect, &mut heard);
            let _ = tokio::time::timeout(Duration::from_secs(options.patience), listen).await;
            let missing = options.expect.map_or(0, |expect| expect.saturating_sub(heard.arrived.len()));
            Heard { lost: missing, ..heard }
        })
    });
    let mut all = Heard::default();
    for heard in join_all(watchers.collect::<Vec<_>>()).await {
        let heard = heard.expect("no watcher panics");
        all.arrived.extend(heard.arrived);
        all.told.extend(heard.told);
        all.doubled += heard.doubled;
        all.lost += heard.lost;
        for (code, count) in heard.closed {
            *all.closed.entry(code).or_default() += count;
        }
    }
    println!("heard {}", serde_json::to_string(&all).expect("plain data"));
}

async fn subscribe(options: &Options, n: usize) -> Socket {
    let url = format!("{}/graphql", options.url.replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    // Thousands of these in one process: small buffers.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(0);
    let (mut socket, _) =
        connect_async_with_config(request, Some(config), true).await.expect("the server takes the socket");
    say(
        &mut socket,
        json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {}", options.key)}}),
    )
    .await;
    assert_eq!(hear(&mut socket).await.expect("an answer")["type"], "connection_ack");
    let session = options.session.get(n % options.session.len().max(1));
    for (id, query) in options.query.iter().enumerate() {
        let payload = json!({"query": query, "variables": {"id": session}});
        say(&mut socket, json!({"type": "subscribe", "id": id.to_string(), "payload": payload})).await;
    }
    // Once what comes after them is answered, the subscriptions are in place.
    say(&mut socket, json!({"type": "subscribe", "id": "q", "payload": {"query": "{ __typename }"}})).await;
    loop {
        let answer = hear(&mut socket).await.expect("an answer");
        assert_ne!(answer["type"], "error", "{answer}");
        if answer["type"] == "complete" && answer["id"] == "q" {
            return socket;
        }
    }
}

async fn listen(mut socket: Socket, expect: Option<usize>, heard: &mut Heard) {
    let mut seen = std::collections::HashSet::new();
    loop {
        if expect == Some(heard.arrived.len()) {
            return;
        }
        match hear(&mut socket).await {
            Ok(event) if event["type"] == "next" => {
                let now = now_micros();
                assert!(event["payload"].get("errors").is_none(), "{event}");
                if let Some(number) = number(&event) {
                    heard.told.push((number, now));
                    if !seen.insert(number) {
                        heard.doubled += 1;
                        continue;
                    }
                }
                heard.arrived.push(now);
            }
            Ok(_) => {}
            Err(code) => {
                *heard.closed.entry(code).or_default() += 1;
                return;
            }
        }
    }
}

/// The number that a benchmark wrote into a message's text: `sent <number>`.
fn number(event: &Value) -> Option<u64> {
    let text = event.pointer("/payload/data/sessionMessageAdded/newMessageEdge/node/content")?.as_str()?;
    text.strip_prefix("sent ")?.parse().ok()
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("the socket is open");
}

async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(text.as_str()).expect("JSON")),
            Some(Ok(Message::Close(frame))) => {
                // Answering completes the closing handshake.
                let _ = socket.close(None).await;
                return Err(frame.map_or(1005, |frame| frame.code.into()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(1006),
        }
    }
}
