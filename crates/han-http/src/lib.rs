//! What both binaries serve with, below their routes: GraphQL over HTTP and WebSocket, the listener and its shutdown,
//! errors as problem+json, the dashboard's files, request ids and the log. Nothing here knows who may do what: a
//! program says so by implementing [`Authenticate`]. Cookies, sign-in and rate limits belong to the server, queries to
//! han-db.
//!
//! * `authenticate`: the trait; `graphql`: the two transports of GraphQL.
//! * `budget`: what a peer may hold; `descriptors`: how many connections the system allows.
//! * `listener`, `serve`: connections, and how serving ends.
//! * `observe`, `layers`: what every request passes through; `problem`: errors as clients see them.
//! * `client`: the dashboard's files; `headers`: reading request headers.
//! * `system`, `secrets_file`: what `main` needs from the operating system.

pub mod authenticate;
pub mod budget;
pub mod client;
pub mod descriptors;
mod embedded;
pub mod graphql;
pub mod headers;
pub mod layers;
pub mod listener;
pub mod observe;
pub mod problem;
pub mod secrets_file;
pub mod serve;
pub mod system;

pub use authenticate::Authenticate;
pub use budget::Budget;
pub use listener::Connection;
pub use problem::Problem;
pub use serve::{Lifecycle, serve};
