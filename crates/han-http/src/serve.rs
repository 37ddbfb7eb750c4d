//! Serving a router on a listener until the program is asked to stop, and then finishing what was accepted.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::{Connection, Connections, count_requests};

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
    /// How long a connection without a request in flight may take to send a whole request head.
    pub idle: Duration,
    /// How long a shutdown waits for what was accepted.
    pub grace: Duration,
}

/// Serves `router` until `shutdown` is cancelled. Then it accepts nothing new, cancels `lifecycle.stopping` (sockets
/// close with 1012, which IANA's registry calls "service restart"), and waits for requests, sockets and tasks to end,
/// for at most `timeouts.grace`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    timeouts: Timeouts,
    lifecycle: Lifecycle,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Lifecycle { stopping, tasks } = lifecycle;
    let connections = Connections::new(listener, timeouts.idle);
    let service = router.layer(from_fn(count_requests)).into_make_service_with_connect_info::<Connection>();
    let stop = {
        let stopping = stopping.clone();
        async move {
            shutdown.cancelled().await;
            tracing::info!("stopping: finishing what was accepted");
            stopping.cancel();
        }
    };
    let served = axum::serve(connections, service).with_graceful_shutdown(stop);
    let finished = async {
        let result = served.await;
        tasks.close();
        tasks.wait().await;
        result
    };
    let grace_over = async {
        stopping.cancelled().await;
        tokio::time::sleep(timeouts.grace).await;
    };
    tokio::select! {
        result = finished => result,
        () = grace_over => {
            tracing::warn!("stopped before everything was finished: the grace period is over");
            Ok(())
        }
    }
}
