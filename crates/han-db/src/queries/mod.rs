//! Every query, one file per noun. A query on a team's data takes a [`ScopedTx`](crate::ScopedTx) first, and each of its
//! statements names the transaction's team even where row-level security would: SQLite has only that.

pub mod api_keys;
pub mod arrived;
pub mod calls;
pub mod deletion;
pub mod device_logins;
pub mod file_changes;
pub mod filter;
pub mod hooks;
pub mod identity;
pub mod ingest;
pub mod invites;
pub mod jobs;
pub mod labels;
pub mod message_pages;
pub mod messages;
pub mod metrics;
pub mod people;
pub mod project_lists;
pub mod projects;
pub mod rebuild;
pub mod search;
pub mod sentiments;
pub mod sessions;
pub mod sign_ins;
pub mod subagents;
pub mod tasks;
pub mod teams;
pub mod todos;
pub mod token_families;
pub mod tool_results;
pub mod usage;
