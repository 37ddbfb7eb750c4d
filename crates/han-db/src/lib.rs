//! The stored data and all queries on it, on SQLite and PostgreSQL. SeaORM's types do not leave this crate.
//!
//! * `connection`, `tx`, `stats`: the database, its transactions, and their statistics.
//! * `dialect`, `bulk_insert`, `queries::search::sql`: the differences between the two databases.
//! * `tables`: every table and its kind.
//! * `migrations`: the schema, step by step.
//! * `segments`: the content of segments, which hold the lines.
//! * `keys`: teams' key rings, from the table `team_keys`; `heartbeat`: the processes that hold some.
//! * `team_numbers`, `line_id`, `stored`: how ids are stored, and reading stored values.
//! * `entities`: the content of rows; `queries`: one file per noun.
//! * `jobs`: background jobs; each runs on one replica at a time.
//! * `backup`: what a backup needs of the database.
//! * `outbox`, `changes`, `commits`: the table of changes, the live feed that subscriptions read, and its wake-ups.
//!
//! A query on a team's data takes a [`ScopedTx`] first, which carries the [`Scope`](han_types::Scope) that it was
//! opened with; no function takes both a scope and a transaction. Lookups made before a team is known run in a system
//! transaction, inside this crate.
//!
//! # Errors
//!
//! Every function that takes a transaction or a [`Db`] returns a [`DbError`] when the database fails. A write that
//! fails has changed nothing, unless its documentation says otherwise. An `# Errors` section of a function names
//! further errors only.

mod audit_cache;
pub mod backup;
mod bulk_insert;
pub mod changes;
mod commits;
mod connection;
pub mod cpu;
mod dialect;
mod driver;
pub mod entities;
mod error;
mod heartbeat;
pub mod jobs;
pub mod keys;
mod line_id;
mod migrations;
mod outbox;
pub mod page;
mod prices;
pub mod queries;
mod read_slots;
mod segments;
mod stats;
mod stored;
mod tables;
mod team_numbers;
#[cfg(test)]
mod tests;
mod tx;
mod verified_keys;

pub use connection::{Db, DbConfig, Observer};
pub use dialect::Dialect;
pub use error::DbError;
pub use heartbeat::{Heartbeat, HeartbeatTimes};
pub use prices::Prices;
pub use queries::replicas::Replica;
pub use stats::TransactionStats;
pub use tables::TENANT_TABLES;
pub use tx::ScopedTx;
