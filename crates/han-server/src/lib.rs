//! The team server, as a library: so that its binary stays thin and tests start it in-process. Queries are han-db's,
//! the GraphQL schema is han-api's; here are configuration, routes, authentication, sync and sockets.
//!
//! * `config`: what the environment says; `commands`: the command line.
//! * `app`: a server as a value; `server`: every route on one page; `state`: what requests can reach.
//! * `auth`: who asks; `sync`: taking sessions in; `graphql`, `subscriptions`: reading them.
//! * `client`: the dashboard's files; `health`; `migrations`.
//! * `listener`, `observe`, `problem`: connections, log lines and errors.

mod address;
mod admission;
pub mod app;
pub mod auth;
mod client;
pub mod commands;
pub mod config;
mod graphql;
mod health;
mod listener;
mod migrations;
mod observe;
mod problem;
mod rates;
mod server;
mod state;
mod subscriptions;
mod sync;

pub use app::{App, AppError, connect, serve};
pub use server::all_routes;
