//! All queries, one file per noun. A query on a team's data takes a [`ScopedTx`](crate::ScopedTx) first. Each of its
//! statements names the transaction's team, even where row-level security would filter, because SQLite has no row-level
//! security.

pub mod api_keys;
pub(crate) mod call_pairs;
pub mod calls;
pub mod consolidation;
pub mod credentials;
pub mod deletion;
pub mod derived_events;
pub mod device_logins;
pub mod file_changes;
pub mod filter;
pub mod github_accounts;
pub mod hooks;
pub mod ingest;
pub mod invites;
pub mod jobs;
pub mod labels;
pub mod login_links;
pub mod memberships;
pub mod message_pages;
pub mod message_windows;
pub mod messages;
pub mod metrics;
pub mod operators;
pub mod outline;
pub mod prices;
pub mod project_lists;
pub mod projects;
pub mod rebuild;
pub mod search;
pub(crate) mod segments;
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
pub mod users;
pub mod web_sessions;
