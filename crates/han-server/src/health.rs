//! Whether the process lives, and whether it can do its work: what platforms ask before they send requests.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use crate::problem::Problem;
use crate::state::AppState;

/// `GET /health`: the process answers. Asks no database, so that a database's trouble restarts no server.
pub(crate) async fn health() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
        .into_response()
}

/// `GET /ready`: the database is reached, its schema is this program's, and the server is not stopping.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Response, Problem> {
    if state.stopping.is_cancelled() {
        return Err(Problem::unavailable("the server is stopping"));
    }
    if let Err(error) = state.db.check_ready().await {
        tracing::warn!(%error, "not ready");
        return Err(Problem::unavailable(
            "the database is not to be reached, or its schema is not this server's",
        ));
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))).into_response())
}
