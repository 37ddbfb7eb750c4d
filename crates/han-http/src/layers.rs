//! Layers that every program puts around its routes: a deadline, and answers for panics and for methods that a route
//! does not have.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::problem::Problem;

/// How long a request may take whose body is read as a whole, and a query on a WebSocket.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// Answers 503 once [`REQUEST_DEADLINE`] has passed; the handler is dropped.
pub async fn within_deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::unavailable("the response took too long: request less, or try again").into_response()
        }
    }
}

/// Turns a panic of a handler into a 500.
#[must_use]
pub fn catch_panic() -> CatchPanicLayer<fn(Box<dyn Any + Send>) -> Response> {
    CatchPanicLayer::custom(panicked as fn(Box<dyn Any + Send>) -> Response)
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic hook has printed the panic's own text to standard error.
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

/// The fallback of a route for methods that it does not have; axum adds the `Allow` header.
pub async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The route does not support this method",
        "the Allow header of this response lists the methods of the route",
    )
}
