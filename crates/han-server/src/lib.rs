//! The team server as a library: the binary stays thin, and tests start the server in-process. Queries belong to
//! han-db, the GraphQL schema to han-api; here are configuration, routes, authentication, sync and sockets.
//!
//! * `config`: environment variables; `commands`: the command line.
//! * `app`: building and serving; `server`: the routes page; `state`: what handlers share.
//! * `auth`: authentication; `rates`, `admission`: limits per client, and on concurrent work.
//! * `sync`: receiving sessions; `graphql`, `subscriptions`: reading them; `blocking`: CPU-bound work.
//! * `client`: the dashboard's files; `page`: the server's own HTML pages; `health`; `migrations`.
//! * `listener`, `observe`, `problem`: connections, log lines and errors.

mod address;
mod admission;
pub mod app;
pub mod auth;
mod blocking;
mod client;
pub mod commands;
pub mod config;
mod graphql;
mod health;
mod jobs;
mod listener;
mod migrations;
mod observe;
mod page;
mod problem;
mod rates;
mod server;
mod state;
mod subscriptions;
mod sync;

pub use app::{App, AppError, connect, serve};
pub use server::all_routes;
