//! Whether the process lives, and whether it can do its work: what platforms ask before they send requests.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Json, Response};
use han_db::Db;
use han_http::Problem;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::state::AppState;

/// What the database last answered. Whoever asks meanwhile waits for that answer.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Anybody may ask, and asking takes one of the database's connections: so each of its answers holds a while.
    async fn check(&self, db: &Db, holds: Duration) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, ready)) = *last
            && at.elapsed() < holds
        {
            return ready;
        }
        let ready = match db.check_ready().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "not ready");
                false
            }
        };
        *last = Some((Instant::now(), ready));
        ready
    }
}

/// `GET /health`: the process answers. Asks no database, so that a database's trouble restarts no server.
pub(crate) async fn health() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
        .into_response()
}

/// `GET /ready`: the database is reached, its schema is this program's, and the server is not stopping.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Response, Problem> {
    if state.lifecycle.stopping.is_cancelled() {
        return Err(Problem::unavailable("the server is stopping"));
    }
    if !state.readiness.check(&state.db, state.config.limits.readiness_holds).await {
        return Err(Problem::unavailable(
            "the database is not to be reached, or its schema is not this server's",
        ));
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))).into_response())
}
