//! The object types of the schema, one file per noun. han-transcript computes what a type shows of a line; here it gets
//! its GraphQL shape.

#[cfg(feature = "team")]
pub(crate) mod audit;
pub mod content;
pub mod file_change;
pub mod hook;
pub mod machine;
pub mod message;
pub mod metrics;
pub mod node;
pub(crate) mod outline;
pub mod project;
pub mod result;
pub(crate) mod search;
pub mod sentiment;
pub mod session;
#[cfg(feature = "team")]
pub mod sign_in;
pub mod task;
#[cfg(feature = "team")]
pub mod team;
pub mod todo;
pub mod user;
