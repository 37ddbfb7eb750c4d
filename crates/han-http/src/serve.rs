//! Serving a router on a listener until the program is asked to stop, and then finishing what was accepted.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::budget::{Budget, Refusal};
use crate::listener::{Admission, Connection, CountedStream};
use crate::problem::Problem;

/// The bytes of a request head, and of what is written at once.
const BUFFER: usize = 64 << 10;

/// The bytes of a body that an HTTP/2 client may send before they are read.
const WINDOW: u32 = 64 << 10;

/// The requests of one HTTP/2 connection that are in progress at once.
const STREAMS: u32 = 64;

/// How requests, sockets and background tasks learn that the program stops, and how it waits for them.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Cancelled when the program begins to stop.
    pub stopping: CancellationToken,
    /// Work that a shutdown waits for.
    pub tasks: TaskTracker,
}

/// How long connections and the shutdown may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// How long a connection without a request in flight may take to send a whole request head, and how long its client
    /// may take too little of a response.
    pub idle: Duration,
    /// How long a shutdown waits for what was accepted.
    pub grace: Duration,
}

/// Serves `router` until `shutdown` is cancelled. Then it accepts nothing new, cancels `lifecycle.stopping` (sockets
/// close with 1012, which IANA's registry calls "service restart"), and waits for requests, sockets and tasks to end,
/// for at most `timeouts.grace`. Connections are charged to `budget`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    budget: Budget,
    timeouts: Timeouts,
    lifecycle: Lifecycle,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Lifecycle { stopping, tasks } = lifecycle;
    let mut admission = Admission::new(budget);
    let connections = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = axum::serve::Listener::accept(&mut listener) => accepted,
        };
        // Responses are written whole; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        match admission.admit(peer) {
            Ok(connection) => {
                let served =
                    serve_connection(stream, connection, router.clone(), timeouts.idle, stopping.clone());
                connections.spawn(served);
            }
            Err(refusal) => refuse(stream, refusal).await,
        }
    }
    drop(listener);
    tracing::info!("stopping: finishing what was accepted");
    stopping.cancel();
    let finished = async {
        connections.close();
        connections.wait().await;
        tasks.close();
        tasks.wait().await;
    };
    if tokio::time::timeout(timeouts.grace, finished).await.is_err() {
        tracing::warn!("stopped before everything was finished: the grace period is over");
    }
    Ok(())
}

/// Serves one connection until it ends, is idle for too long, or becomes a WebSocket.
async fn serve_connection(
    stream: TcpStream,
    connection: Connection,
    router: Router,
    max_idle: Duration,
    stopping: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(BUFFER);
    builder
        .http2()
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(BUFFER)
        .max_header_list_size(16 << 10)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW);
    let io = TokioIo::new(CountedStream::new(stream, &connection));
    let service = service_fn({
        let connection = connection.clone();
        move |request: hyper::Request<Incoming>| answer(router.clone(), connection.clone(), request)
    });
    let mut served = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut idle = pin!(connection.idle(max_idle));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::trace!(error, "a connection ended");
                }
                return;
            }
            () = stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
            () = idle.as_mut() => return,
        }
    }
}

fn answer(
    mut router: Router,
    connection: Connection,
    mut request: hyper::Request<Incoming>,
) -> impl Future<Output = Result<axum::response::Response, Infallible>> {
    // The request counts as in flight from here until its response has been made.
    let busy = connection.busy();
    request.extensions_mut().insert(connection);
    let request: Request = request.map(Body::new);
    async move {
        let response = router.call(request).await;
        drop(busy);
        response
    }
}

/// Says why a connection is not served, as far as that can be written at once.
async fn refuse(stream: TcpStream, refusal: Refusal) {
    let response = Problem::from(refusal).into_response();
    let (parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return };
    let mut text = format!("HTTP/1.1 {}\r\nconnection: close\r\n", parts.status);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let _ = stream.try_write(&[text.as_bytes(), &body].concat());
}
