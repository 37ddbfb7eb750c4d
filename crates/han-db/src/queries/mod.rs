//! Every query, one file per noun. Tenant data is asked for with a [`Scope`](han_types::Scope) first, and each
//! statement names its team even where row-level security would: SQLite has only that.

pub mod deletion;
pub mod filter;
pub mod identity;
pub mod ingest;
pub mod messages;
pub mod projects;
pub mod rebuild;
pub mod sessions;
pub mod tool_results;
