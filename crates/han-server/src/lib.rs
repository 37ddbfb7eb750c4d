//! The team server as a library: the binary stays thin, and tests start the server in-process. Queries belong to
//! han-db, the GraphQL schema to han-api; here are configuration, routes, authentication, sync and sockets.
//!
//! * `config`: environment variables; `preflight`: what is checked before the start; `commands`: the command line.
//! * `app`: building and serving; `server`: the routes page; `state`: what handlers share.
//! * `auth`: authentication; `rates`, `admission`: limits per client, and on concurrent work.
//! * `billing`: plans, and what teams pay for through Stripe.
//! * `ndjson`: downloads; `outbound`: calls to other services.
//! * `sync`: receiving sessions; `subscriptions`: how GraphQL requests and sockets authenticate; `blocking`: CPU-bound
//!   work.
//! * `client`: what is shown at the dashboard's paths; `page`: the server's own HTML pages; `health`, `metrics`,
//!   `security_txt`; `migrations`. The transports are han-http's.

mod address;
mod admission;
pub mod app;
mod audit;
pub mod auth;
pub mod billing;
mod blocking;
mod client;
pub mod commands;
pub mod config;
mod health;
mod metrics;
mod migrations;
mod ndjson;
mod outbound;
mod page;
mod preflight;
mod rates;
mod security_txt;
mod server;
mod state;
mod subscriptions;
mod sync;

pub use app::{App, AppError, connect, serve};
pub use server::all_routes;
