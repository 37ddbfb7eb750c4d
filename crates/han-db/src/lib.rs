//! What is stored, and every query on it, on SQLite and PostgreSQL alike. SeaORM's types do not leave this crate.
//!
//! * `connection`, `tx`: the database and its scoped transactions.
//! * `dialect`: everything in which the two databases differ.
//! * `migrations`: how the schema came to be.
//! * `keys`: teams' key rings, as `team_keys` keeps them.
//! * `entities`: what a row holds; `queries`: one file per noun, each function taking a [`Scope`](han_types::Scope)
//!   first; look-ups made before a team is known are in `queries::identity` alone.
//! * `jobs`: background work, of which each kind runs on one replica at a time.
//! * `changes`: the outbox and the live feed that subscriptions read.

pub mod changes;
mod connection;
mod dialect;
pub mod entities;
mod error;
pub mod jobs;
pub mod keys;
mod migrations;
pub mod page;
pub mod queries;
mod tx;

pub use connection::{Db, DbConfig, Observer};
pub use dialect::Dialect;
pub use error::DbError;
pub use migrations::TENANT_TABLES;
pub use tx::Tx;
