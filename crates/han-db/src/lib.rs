//! What is stored, and every query on it, on SQLite and PostgreSQL alike. SeaORM's types do not leave this crate.
//!
//! * `connection`, `tx`, `stats`: the database, its transactions, and what becomes of them.
//! * `dialect`, `bulk_insert`, `search_sql`: in what the two databases differ.
//! * `tables`: every table and its kind.
//! * `migrations`: how the schema came to be.
//! * `keys`: teams' key rings, as `team_keys` keeps them.
//! * `entities`: what a row holds; `queries`: one file per noun.
//! * `jobs`: background work, of which each kind runs on one replica at a time.
//! * `outbox`, `changes`, `commits`: what changed, the live feed that subscriptions read, and what wakes it.
//!
//! A query on a team's data takes a [`ScopedTx`] first, which carries the [`Scope`](han_types::Scope) that it was
//! opened with; no function takes both a scope and a transaction. Look-ups made before a team is known run in a
//! transaction of the system's, inside this crate.
//!
//! # Errors
//!
//! Every function that takes a transaction or a [`Db`] returns a [`DbError`] where the database fails; a write that
//! fails has changed nothing, unless its documentation says otherwise. An `# Errors` section of a function names
//! further errors only.

mod bulk_insert;
pub mod changes;
mod commits;
mod connection;
mod dialect;
pub mod entities;
mod error;
pub mod jobs;
pub mod keys;
mod migrations;
mod outbox;
pub mod page;
pub mod queries;
mod search_sql;
mod stats;
mod stored;
mod tables;
#[cfg(test)]
mod tests;
mod tx;

pub use connection::{Db, DbConfig, Observer};
pub use dialect::Dialect;
pub use error::DbError;
pub use stats::TransactionStats;
pub use tables::TENANT_TABLES;
pub use tx::ScopedTx;
