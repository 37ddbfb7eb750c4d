//! Unit tests that need a database and what is private to the crate. All others are in the folder `tests` of the crate.

mod tables;
mod transactions;
mod upgrade;
