//! Receiving sessions: `receiver` has the routes (authentication and limits), `body` reads and decompresses, `request`
//! parses a push, `transformer` projects and seals its lines. Storing is han-db's part. `export` gives sessions back,
//! `deletion` takes requests to delete them, `audit` exports the audit log. docs/SYNC.md has the protocol.

pub(crate) mod audit;
pub(crate) mod body;
pub(crate) mod deletion;
pub(crate) mod export;
pub(crate) mod memory_budget;
pub(crate) mod receiver;
pub(crate) mod request;
pub(crate) mod transformer;

use axum::extract::rejection::{PathRejection, QueryRejection};
use han_http::Problem;

/// The response to a path that cannot be read.
fn malformed_path(rejection: PathRejection) -> Problem {
    Problem::bad_request(rejection.body_text())
}

/// The response to a query string that cannot be read.
fn malformed_query(rejection: QueryRejection) -> Problem {
    Problem::bad_request(format!("the query string is malformed: {}", rejection.body_text()))
}
