//! What can be asked: the query root, one part per noun.

mod machine;
mod metrics;
mod node;
mod project;
mod search;
mod session;
#[cfg(feature = "team")]
mod sign_ins;
#[cfg(feature = "team")]
mod team;

use async_graphql::MergedObject;

pub(crate) use node::global_id;

/// What can be asked.
#[derive(Debug, Default, MergedObject)]
pub(crate) struct Query(
    node::NodeQuery,
    session::SessionQuery,
    project::ProjectQuery,
    search::SearchQuery,
    machine::MachineQuery,
    metrics::MetricsQuery,
    #[cfg(feature = "team")] team::TeamQuery,
    #[cfg(feature = "team")] sign_ins::SignInQuery,
);
