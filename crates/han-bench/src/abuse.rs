//! `abuse`: what one stranger or one user can take of a server. For each attack: the server's resident memory before,
//! during and after it, and the response time of an honest client, next to the same run with an attacker that uses as
//! much CPU without reaching the server. The attacker is a process of its own, on one core, at other addresses than the
//! honest client. The server has its default limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use han_testkit::Program;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::cpu;
use crate::figure::{Figure, percentile};
use crate::target::{Target, push_body};

/// The requests of the honest client per second: below its rate limit.
const RATE: u32 = 12;

/// One of so many requests is a handshake of a WebSocket.
const HANDSHAKES: usize = 6;

/// The bytes of the line that the attack with aliases asks for.
const LINE: usize = 15 << 20;

/// Its id.
const LINE_UUID: &str = "00000000-0000-4000-8000-000000000001";

/// Options of `abuse`.
#[derive(Args)]
pub(crate) struct Options {
    /// The duration of each attack, and of each run without one, in seconds.
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// Only this attack (repeatable).
    #[arg(long)]
    only: Vec<Attack>,
}

/// Options of an attacker's process.
#[derive(Args)]
pub(crate) struct AttackerOptions {
    #[arg(long)]
    attack: Attack,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    key: String,
    /// For `burn`: the share of one core, in percent.
    #[arg(long, default_value_t = 0)]
    percent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Pings on sockets that have not authenticated; the pongs are not read.
    Pings,
    /// Idle HTTP/2 connections.
    Http2,
    /// Queries for one large line under many names.
    Aliases,
    /// Queries whose many root fields each read one large line, and show little of it.
    Roots,
    /// Many queries at once that each load large lines, and show nothing of them.
    Loads,
    /// Subscriptions to many fields at once.
    Fields,
    /// Queries on one socket, as many as it takes.
    Queries,
    /// Unfinished bodies before authentication.
    Bodies,
    /// Codes of programs that wait for approval.
    Codes,
    /// No attack: uses the CPU only.
    #[value(skip)]
    Burn,
}

const ATTACKS: [Attack; 9] = [
    Attack::Pings,
    Attack::Http2,
    Attack::Aliases,
    Attack::Roots,
    Attack::Loads,
    Attack::Fields,
    Attack::Queries,
    Attack::Bodies,
    Attack::Codes,
];

/// What the honest client saw.
#[derive(Default)]
struct Honest {
    millis: Vec<f64>,
    refused: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Figure {
    println!("{} s per run; memory of the server in MiB, p99 of a small query in ms", options.seconds);
    println!(
        "{:>8} {:>7} {:>7} {:>7} {:>7} {:>10} {:>10} {:>7} {:>8} {:>9}",
        "attack", "before", "during", "after", "more", "p99", "p99 alone", "ratio", "refused", "CPU"
    );
    let (mut most_more, mut worst_ratio, mut refused) = (0.0f64, 0.0f64, 0);
    for attack in
        ATTACKS.into_iter().filter(|attack| options.only.is_empty() || options.only.contains(attack))
    {
        let name = attack.to_possible_value().expect("attacks have names").get_name().to_owned();
        let target = Target::start_with_default_limits(&format!("han_bench_abuse_{name}")).await;
        let eve = target.key_of("eve").await;
        store_large_line(&target, &eve).await;
        let seconds = Duration::from_secs(options.seconds);
        // Warm-up: connections of the database, and what is loaded once.
        measure(&target, Duration::from_secs(2)).await;
        let before = mebibytes(&target);
        let mut attacker = start(&target, attack, &eve, 0);
        attacker.wait_for_line("ready").await;
        let began = Instant::now();
        let cpu_before = attacker.id().map(cpu::of_process).unwrap_or_default();
        let (under_attack, during) = tokio::join!(measure(&target, seconds), peak(&target, seconds));
        let used = attacker.id().map(cpu::of_process).unwrap_or_default() - cpu_before;
        let percent = (used / began.elapsed().as_secs_f64() * 100.0).round() as u64;
        drop(attacker);
        sleep(Duration::from_secs(5)).await;
        let after = mebibytes(&target);

        let mut burner = start(&target, Attack::Burn, &eve, percent.min(100));
        burner.wait_for_line("ready").await;
        let alone = measure(&target, seconds).await;
        drop(burner);

        let (p99, p99_alone) = (percentile(&under_attack.millis, 99.0), percentile(&alone.millis, 99.0));
        let (more, ratio) = (during - before, p99 / p99_alone);
        let count = under_attack.refused.len();
        println!(
            "{name:>8} {before:>7.0} {during:>7.0} {after:>7.0} {more:>7.0} {p99:>10.1} {p99_alone:>10.1} \
             {ratio:>6.2}x {:>8} {percent:>8}%",
            format!("{count}/{}", under_attack.millis.len() + count)
        );
        if let Some(first) = under_attack.refused.first() {
            println!("         the first refusal: {first}");
        }
        most_more = most_more.max(more);
        worst_ratio = worst_ratio.max(ratio);
        refused += count;
    }
    let figure = format!("{most_more:.0} MiB more, p99 {worst_ratio:.2}x, {refused} honest requests refused");
    let met = most_more <= 400.0 && worst_ratio <= 5.0 && refused == 0;
    Figure::new("abuse", figure, "at most 400 MiB more, p99 at most 5x, none refused", met)
}

fn mebibytes(target: &Target) -> f64 {
    target.resident_kib() as f64 / 1024.0
}

/// The most memory that the server has within a time.
async fn peak(target: &Target, time: Duration) -> f64 {
    let (end, mut most) = (Instant::now() + time, 0.0f64);
    while Instant::now() < end {
        most = most.max(mebibytes(target));
        sleep(Duration::from_millis(50)).await;
    }
    most
}

fn start(target: &Target, attack: Attack, key: &str, percent: u64) -> Program {
    let this = std::env::current_exe().expect("this program's path");
    let name = match attack {
        Attack::Burn => "burn".to_owned(),
        attack => attack.to_possible_value().expect("attacks have names").get_name().to_owned(),
    };
    let address = target.url.trim_start_matches("http://").to_owned();
    let command = if name == "burn" { "burner" } else { "attacker" };
    let mut args =
        vec!["-c".to_owned(), "0".to_owned(), this.to_string_lossy().into_owned(), command.to_owned()];
    if command == "attacker" {
        args.extend(["--attack", &name, "--address", &address, "--key", key].map(str::to_owned));
    } else {
        args.extend(["--percent".to_owned(), percent.to_string()]);
    }
    // The process becomes the attacker: taskset replaces itself.
    Program::start("taskset", args, [("RUST_BACKTRACE", "1")])
}

/// Sends small queries and handshakes at a steady rate, each on its own schedule.
async fn measure(target: &Target, time: Duration) -> Honest {
    let client = reqwest::Client::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / RATE);
    let (end, mut honest, mut running) = (Instant::now() + time, Honest::default(), Vec::new());
    for n in 0usize.. {
        beat.tick().await;
        if Instant::now() >= end {
            break;
        }
        let (client, url, key) = (client.clone(), target.url.clone(), target.key.clone());
        running.push(tokio::spawn(async move {
            let began = Instant::now();
            let answered = timeout(Duration::from_secs(30), async {
                if n % HANDSHAKES == 0 {
                    handshake(&url, &key).await
                } else {
                    query(&client, &url, &key).await
                }
            });
            let result = answered.await.unwrap_or_else(|_| Err("no answer in 30 s".to_owned()));
            result.map(|()| began.elapsed().as_secs_f64() * 1000.0)
        }));
    }
    for result in join_all(running).await {
        match result.expect("a request's task") {
            Ok(millis) => honest.millis.push(millis),
            Err(refused) => honest.refused.push(refused),
        }
    }
    honest
}

async fn query(client: &reqwest::Client, url: &str, key: &str) -> Result<(), String> {
    let body = json!({ "query": "{ sessions(first: 1) { edges { node { id } } } }" });
    let sent = client.post(format!("{url}/graphql")).bearer_auth(key).json(&body).send().await;
    let response = sent.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| format!("{error:?}"))?;
    let is_answered = status.is_success() && text.contains(r#"{"data":{"sessions":"#);
    if is_answered { Ok(()) } else { Err(format!("{status}: {text}")) }
}

/// A socket of a command line: the credential comes with the handshake.
async fn handshake(url: &str, key: &str) -> Result<(), String> {
    let text = |error: tokio_tungstenite::tungstenite::Error| format!("a handshake: {error:?}");
    let address: SocketAddr = url.trim_start_matches("http://").parse().expect("an address");
    let stream = TcpStream::connect(address).await.map_err(|error| format!("{error:?}"))?;
    let mut socket = open(stream, address, Some(key)).await.map_err(text)?;
    socket.send(Message::text(r#"{"type":"connection_init"}"#)).await.map_err(text)?;
    match socket.next().await {
        Some(Ok(Message::Text(message))) if message.as_str().contains("connection_ack") => {
            let _ = socket.close(None).await;
            Ok(())
        }
        other => Err(format!("connection_init: {other:?}")),
    }
}

async fn open(
    stream: TcpStream,
    address: SocketAddr,
    key: Option<&str>,
) -> Result<WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::Error> {
    let mut request = format!("ws://{address}/graphql").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a header"));
    if let Some(key) = key {
        headers.insert("authorization", format!("Bearer {key}").parse().expect("a header"));
    }
    Ok(client_async(request, stream).await?.0)
}

async fn store_large_line(target: &Target, key: &str) {
    let text = "x".repeat(LINE);
    let line = json!({
        "type": "user", "uuid": LINE_UUID, "timestamp": "2026-01-01T00:00:00.000Z",
        "sessionId": "large", "message": { "role": "user", "content": text },
    });
    let body = push_body("large", "main", "/large", None, &[line.to_string()]);
    let response = reqwest::Client::new()
        .post(format!("{}/api/sync/sessions", target.url))
        .bearer_auth(key)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect("the server answers");
    let (status, text) = (response.status(), response.text().await.expect("an answer"));
    assert!(status.is_success() && text.contains(r#""error":null"#), "{status}: {text}");
}

/// Uses a share of one core, and nothing else.
pub(crate) fn burn(percent: u64) {
    println!("ready");
    let slice = Duration::from_millis(20);
    loop {
        let busy = slice.mul_f64(percent as f64 / 100.0);
        let began = Instant::now();
        while began.elapsed() < busy {
            std::hint::spin_loop();
        }
        std::thread::sleep(slice.saturating_sub(began.elapsed()));
    }
}

pub(crate) async fn attacker(options: AttackerOptions) {
    let options = Arc::new(options);
    println!("ready");
    match options.attack {
        Attack::Pings => many(50, &options, pings).await,
        Attack::Http2 => many(900, &options, http2).await,
        Attack::Aliases => many(8, &options, aliases).await,
        Attack::Roots => many(8, &options, roots).await,
        Attack::Loads => many(200, &options, loads).await,
        Attack::Fields => many(100, &options, fields).await,
        Attack::Queries => many(1, &options, queries).await,
        Attack::Bodies => many(880, &options, bodies).await,
        Attack::Codes => many(16, &options, codes).await,
        Attack::Burn => {}
    }
}

/// Runs an attack from many connections, each again and again.
async fn many<F>(
    connections: usize,
    options: &Arc<AttackerOptions>,
    attack: impl Fn(Arc<AttackerOptions>, usize) -> F,
) where
    F: Future<Output = Option<()>>,
{
    let attack = &attack;
    let one = |n: usize| async move {
        loop {
            // A server that refuses costs nothing: not more often than that.
            if attack(Arc::clone(options), n).await.is_none() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    join_all((0..connections).map(one)).await;
}

/// A connection from one of the attacker's addresses.
async fn connect(options: &AttackerOptions, from: Ipv4Addr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from((from, 0))).ok()?;
    socket.connect(options.address).await.ok()
}

/// One of two addresses.
fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, if n.is_multiple_of(2) { 1 } else { 2 })
}

async fn pings(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let stream = connect(&options, address(n)).await?;
    let socket = open(stream, options.address, None).await.ok()?;
    let mut stream = socket.into_inner();
    // A ping of a client: masked with zeros, with the longest payload of a control frame.
    let ping: Vec<u8> = [&[0x89, 0x80 | 125, 0, 0, 0, 0], [b'x'; 125].as_slice()].concat();
    let pings = ping.repeat(512);
    loop {
        stream.write_all(&pings).await.ok()?;
    }
}

async fn http2(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let mut stream = connect(&options, address(n)).await?;
    // The preface, and empty SETTINGS (RFC 9113, section 3.4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.ok()?;
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await.ok()? > 0 {}
    Some(())
}

async fn aliases(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let lines: String = (0..120).map(|n| format!("a{n}: rawJson ")).collect();
    let query =
        format!("{{ session(id: \"large\") {{ messages(first: 1) {{ edges {{ node {{ {lines} }} }} }} }} }}");
    ask(&options, n, &query).await
}

async fn roots(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let field = format!("message(id: \"large~main~{LINE_UUID}\") {{ rawBytes searchText }}");
    let fields: String = (0..20).map(|n| format!("a{n}: {field} ")).collect();
    ask(&options, n, &format!("{{ {fields} }}")).await
}

async fn loads(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    ask(&options, n, "{ session(id: \"large\") { messages(first: 1) { edges { cursor } } } }").await
}

/// Sends a query, and takes the response.
async fn ask(options: &AttackerOptions, n: usize, query: &str) -> Option<()> {
    let client = reqwest::Client::builder().local_address(std::net::IpAddr::V4(address(n))).build().ok()?;
    let request = client.post(format!("http://{}/graphql", options.address)).bearer_auth(&options.key);
    let mut response = request.json(&json!({ "query": query })).send().await.ok()?;
    let is_answered = response.status().is_success();
    while let Some(_part) = response.chunk().await.ok()? {}
    is_answered.then_some(())
}

/// An authenticated socket of the attacker.
async fn authenticated(options: &AttackerOptions, n: usize) -> Option<WebSocketStream<TcpStream>> {
    let stream = connect(options, address(n)).await?;
    let mut socket = open(stream, options.address, Some(&options.key)).await.ok()?;
    socket.send(Message::text(r#"{"type":"connection_init"}"#)).await.ok()?;
    socket.next().await?.ok()?;
    Some(socket)
}

fn subscribe(id: usize, query: &str) -> Message {
    let message: Value = json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": query } });
    Message::text(message.to_string())
}

async fn fields(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let mut socket = authenticated(&options, n).await?;
    let fields: String = (0..190).map(|n| format!("a{n}: memoryUpdated {{ type action }} ")).collect();
    let query = format!("subscription {{ {fields} }}");
    for id in 0..50 {
        socket.send(subscribe(id, &query)).await.ok()?;
    }
    while let Some(Ok(_)) = socket.next().await {}
    None
}

async fn queries(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let socket = authenticated(&options, n).await?;
    let (mut sender, mut receiver) = socket.split();
    let waiting = AtomicUsize::new(0);
    let send = async {
        for id in 0usize.. {
            while waiting.load(Ordering::Relaxed) >= 64 {
                tokio::task::yield_now().await;
            }
            waiting.fetch_add(1, Ordering::Relaxed);
            let query = "{ sessions(first: 50) { edges { node { id name messageCount } } } }";
            if sender.send(subscribe(id, query)).await.is_err() {
                return;
            }
        }
    };
    let receive = async {
        while let Some(Ok(message)) = receiver.next().await {
            let is_end = message.to_text().is_ok_and(|text| {
                text.contains(r#""type":"complete""#) || text.contains(r#""type":"error""#)
            });
            if is_end {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
    None
}

async fn bodies(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    let mut stream = connect(&options, address(n)).await?;
    let head = "POST /auth/refresh HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&vec![b' '; 999_999]).await.ok()?;
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await.ok()? > 0 {}
    None
}

async fn codes(options: Arc<AttackerOptions>, n: usize) -> Option<()> {
    // Each address of the network in turn: together they may ask far more often than one.
    for host in (1..=254u8).skip(n * 15).step_by(3) {
        let mut stream = connect(&options, Ipv4Addr::new(127, 0, 2, host)).await?;
        let body = "client_id=flood";
        let request = format!(
            "POST /auth/device/code HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
    }
    Some(())
}
