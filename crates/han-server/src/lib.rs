//! The team server, as a library: so that its binary stays thin and tests start it in-process. Queries are han-db's,
//! the GraphQL schema is han-api's; here are configuration, routes, authentication, sync and sockets.
//!
//! * `config`: what the environment says; `commands`: the command line.
//! * `app`: a server as a value; `server`: every route on one page; `state`: what requests can reach.
//! * `auth`: who calls; `sync`: storing pushed sessions; `subscriptions`: how GraphQL requests and sockets authenticate.
//! * `client`: what is shown at the dashboard's paths; `health`; `migrations`. The transports are han-http's.

mod address;
mod admission;
pub mod app;
pub mod auth;
mod client;
pub mod commands;
pub mod config;
mod health;
mod jobs;
mod migrations;
mod rates;
mod server;
mod state;
mod subscriptions;
mod sync;

pub use app::{App, AppError, connect, serve};
pub use server::all_routes;
