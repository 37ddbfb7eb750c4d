//! The schema from outside: operations on stored sessions, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test's helper fails its test by panicking"
)]

mod access;
mod cases;
mod contract;
mod corpus;
mod documents;
mod figures;
mod forks;
mod late_results;
mod live;
mod live_work;
mod messages;
mod operations;
mod pages;
mod schemas;
mod statements;
mod support;
mod window;
