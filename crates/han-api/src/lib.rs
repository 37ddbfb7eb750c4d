//! The GraphQL schema, for the coordinator and for the team server. Nothing here knows HTTP, sockets or SQL: a transport
//! puts a [`RequestContext`] into a request and passes it to a [`HanSchema`].
//!
//! * `schema`: the entry points `local` and `team`; `executor`: how an operation runs.
//! * `context`, `reads`: what one operation works with; `loaders`: how its reads are batched; `drive`, `memo`: when these run, and
//!   that each key is loaded once (docs/adr/0011).
//! * `shared`: equal subscriptions, which share one stream of responses (docs/adr/0010).
//! * `types`, `query`, `mutation`, `subscription`: the schema, one file per noun.
//! * `machine`: what only a developer's machine knows; `team`: what the fields about teams have in common;
//!   `site`: the server of the team schema.
//! * `connection`, `filters`: pages and conditions, the same for every list; `optional_id`: arguments that may name nothing.
//! * `limits`: the limits of a document; `meter`: the size of responses; `one_field`: what a subscription selects; `error`: the errors that clients receive.
//! * `nulls`: failed fields in `data`; `shape`: the order of fields, and objects without fields; `field_types`: the types
//!   that both need to know.
//!
//! The cargo feature `team` compiles people, teams, invites and keys. Which of them a schema has depends on the function
//! that makes it: a type that only a team server needs is reachable from the parts in `TeamQuery`,
//! `TeamMutation` and `TeamSubscription` alone, so the local schema does not contain it.

mod connection;
mod context;
mod drive;
pub mod error;
mod executor;
mod field_types;
mod filters;
pub mod limits;
mod loaders;
pub mod machine;
mod memo;
mod meter;
mod mutation;
mod nulls;
mod one_field;
mod optional_id;
mod query;
mod reads;
pub mod schema;
mod shape;
mod shared;
#[cfg(feature = "team")]
mod site;
mod subscription;
#[cfg(feature = "team")]
mod team;
pub mod types;

pub use context::{Live, Recheck, RequestContext, request};
pub use error::{ApiError, Code, has_code, is_unavailable};
pub use limits::{LimitError, QueryLimits};
pub use machine::{Machine, NoMachine};
pub use meter::AnswerBytes;
pub use schema::{HanSchema, busy, too_large, too_slow};
pub use shared::StartedOperation;
pub use shared::queue::SharedAnswer;
#[cfg(feature = "team")]
pub use site::{BillingError, BillingPages, Site};
