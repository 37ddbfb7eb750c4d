//! The dashboard on this server: which paths are not its own. Serving its files is han-http's.

use axum::extract::{Request, State};
use axum::response::Response;
use han_http::client;

use crate::auth::sign_in::Navigation;
use crate::state::AppState;

/// The path prefixes of this server's own routes: the dashboard has no pages there.
pub(crate) const API: &[&str] = &["/api", "/graphql", "/graphiql", "/auth", "/webhooks"];

/// Answers every request that no route matches. A browser that opens a page of the dashboard without a session is sent to
/// the sign-in page.
pub(crate) async fn fallback(State(state): State<AppState>, request: Request) -> Response {
    let navigation = Navigation::of(&request);
    let response = client::fallback(&state.client, request).await;
    match navigation {
        Some(navigation) if response.extensions().get::<client::IndexPage>().is_some() => {
            navigation.to_sign_in(&state).await.unwrap_or(response)
        }
        _ => response,
    }
}
