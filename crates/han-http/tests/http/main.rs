//! The transport over real connections, in a program that is not the server: its only authentication is that a request
//! comes from this machine. The server's own tests are in han-server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod files;
mod graphql;
mod layers;
mod limits;
mod shutdown;
mod support;
