//! GraphQL over HTTP and WebSocket, for any program that implements [`Authenticate`] and has an [`Endpoint`]. The schema
//! is han-api's; this is the transport only.
//!
//! * `http`: POST and GET; `format`: the form of their responses; `socket`: `graphql-transport-ws`.
//! * `operation`: a request as clients write it, the same on both; `endpoint`: what both work with.

mod endpoint;
mod format;
mod http;
mod operation;
mod socket;

use axum::extract::FromRef;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse};
use axum::routing::{MethodRouter, get};

pub use endpoint::{Endpoint, TransportLimits};

use crate::authenticate::Authenticate;

/// The path that GraphQL is served at.
pub const PATH: &str = "/graphql";

/// The handlers of [`PATH`]: POST for any operation, GET for queries and for the handshake of a WebSocket.
pub fn methods<S>() -> MethodRouter<S>
where
    S: Authenticate,
    Endpoint: FromRef<S>,
{
    get(http::get::<S>).post(http::post::<S>)
}

/// A page to try queries on, for development only: it loads its scripts from elsewhere.
pub async fn graphiql() -> impl IntoResponse {
    let page = async_graphql::http::GraphiQLSource::build()
        .endpoint(PATH)
        .subscription_endpoint(PATH)
        .title("Han Teams")
        .finish();
    let policy = "default-src 'self' https: 'unsafe-inline' 'unsafe-eval' data: blob: ws: wss:; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(page))
}
