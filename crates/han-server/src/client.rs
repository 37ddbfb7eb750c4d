//! The dashboard on this server: which paths are not its own, and what `/` shows without one. Serving its files is
//! han-http's.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use han_http::client;

use crate::auth::sign_in::Navigation;
use crate::page;
use crate::state::AppState;

/// The path prefixes of this server's own routes: the dashboard has no pages there.
pub(crate) const API: &[&str] = &["/api", "/graphql", "/auth"];

/// Shown at `/`, where a sign-in ends, if no dashboard is configured.
const NO_DASHBOARD: &str = "<p>The server is running. It serves no dashboard yet: set <code>HAN_CLIENT_DIR</code> to a \
     built one. What has been pushed can be asked for at <code>/graphql</code>.</p>";

/// Answers every request that no route matches. A browser that opens a page of the dashboard without a session is sent to
/// the sign-in page.
pub(crate) async fn fallback(State(state): State<AppState>, request: Request) -> Response {
    let navigation = Navigation::of(&request);
    let without = || page::html(StatusCode::OK, NO_DASHBOARD);
    let response = client::fallback(state.client.as_ref(), without, request).await;
    match navigation {
        Some(navigation) if response.extensions().get::<client::IndexPage>().is_some() => {
            navigation.to_sign_in(&state).await.unwrap_or(response)
        }
        _ => response,
    }
}
