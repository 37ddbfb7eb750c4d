//! What clients can ask: the query roots, built from one part per noun.

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

/// The queries of both schemas.
#[derive(Debug, Default, MergedObject)]
pub(crate) struct SharedQuery(
    node::NodeQuery,
    session::SessionQuery,
    project::ProjectQuery,
    search::SearchQuery,
    machine::MachineQuery,
    metrics::MetricsQuery,
);

/// The queries of a local coordinator.
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "Query")]
pub(crate) struct LocalQuery(SharedQuery);

/// The queries of a team server.
#[cfg(feature = "team")]
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "Query")]
pub(crate) struct TeamQuery(SharedQuery, team::TeamsQuery, sign_ins::SignInQuery);
