//! Liveness and readiness checks for platforms.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Json, Response};
use han_db::Db;
use han_http::Problem;
use han_http::authenticate::authenticate;
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

/// `GET /health`: the process responds. Does not use the database for a request without a credential, as platforms send
/// it: a database failure must not restart servers. `mode` is what kind of server it is: the dashboard shows accounts for a
/// `team` server only. Only signed-in callers see the process's id and uptime. Neither the
/// peer's address nor the absence of proxy headers proves that a caller is on this machine.
pub(crate) async fn health(State(state): State<AppState>, method: Method, headers: HeaderMap) -> Response {
    let mut body = json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "mode": "team" });
    if authenticate(&state, &method, &headers).await.is_ok() {
        body["pid"] = json!(std::process::id());
        body["uptime"] = json!(state.started.elapsed().as_secs());
    }
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
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
