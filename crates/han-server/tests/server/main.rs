//! The server as its clients meet it: real HTTP, real sockets, both databases, a clock that the test owns.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails its test by panicking")]

mod abuse;
mod audit;
mod auth;
mod backup;
mod billing;
mod clock;
mod config;
mod csrf;
mod deletion;
mod export;
mod graphql;
mod hardening;
mod matrix;
mod memory;
mod oauth;
mod plans;
mod process;
mod push_keys;
mod rates;
mod retention;
mod service_accounts;
mod serving;
mod sockets;
mod support;
mod sync;
mod teams;
