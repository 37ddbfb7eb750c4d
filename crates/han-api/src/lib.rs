//! What clients may ask: the GraphQL schema, on the server and on the coordinator alike. Nothing here knows HTTP,
//! sockets or SQL: a transport puts a [`RequestContext`] into a request and gives it to a [`HanSchema`].
//!
//! * `schema`: the entry points; `context`: what one operation works with; `loaders`: how its reads are batched.
//! * `drive`, `memo`: how an operation and the reads it asks for run, and that each is asked for once.
//! * `shared`: subscriptions to the same, answered once for all who hold them.
//! * `types`, `query`, `mutation`, `subscription`: the schema, one file per noun.
//! * `connection`, `filters`: pages and conditions, the same for every list.
//! * `limits`: what is refused before it is parsed; `error`: what clients are told.

mod connection;
mod context;
mod drive;
pub mod error;
mod filters;
pub mod limits;
mod loaders;
mod memo;
mod mutation;
mod query;
mod schema;
mod shared;
mod subscription;
#[cfg(feature = "team")]
mod team;
pub mod types;

pub use context::{Live, Recheck, RequestContext, request};
pub use error::{ApiError, Code};
pub use limits::{LimitError, Limits};
pub use schema::{HanSchema, schema, sdl, too_slow};
pub use shared::{Begun, SharedAnswer};
#[cfg(feature = "team")]
pub use team::Site;
