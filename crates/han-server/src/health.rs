//! Liveness and readiness checks for platforms.

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

/// The last result of the database check. Concurrent requests wait for one check and share its result.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// The route is public, and a check uses a database connection: so each result is cached for `holds`.
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
                tracing::warn!(%error, "the readiness check failed");
                false
            }
        };
        *last = Some((Instant::now(), ready));
        ready
    }
}

/// `GET /health`: the process responds. Does not use the database: a database failure must not restart servers.
pub(crate) async fn health() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
        .into_response()
}

/// `GET /ready`: the database is reachable, its schema is this program's, and the server is not stopping.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Response, Problem> {
    if state.lifecycle.stopping.is_cancelled() {
        return Err(Problem::unavailable("the server is stopping"));
    }
    if !state.readiness.check(&state.db, state.config.limits.readiness_holds).await {
        return Err(Problem::unavailable(
            "the database cannot be reached, or its schema is not the one of this server",
        ));
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))).into_response())
}
