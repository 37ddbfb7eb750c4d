//! What clients can change: the mutation roots, built from one part per noun.

mod machine;
#[cfg(feature = "team")]
mod retention;
#[cfg(feature = "team")]
mod service_accounts;
#[cfg(feature = "team")]
mod sign_ins;
#[cfg(feature = "team")]
mod team;

use async_graphql::MergedObject;

/// The mutations of a local coordinator.
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "MutationRoot")]
pub(crate) struct LocalMutation(machine::MachineMutation);

/// The mutations of a team server.
#[cfg(feature = "team")]
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "MutationRoot")]
pub(crate) struct TeamMutation(
    machine::MachineMutation,
    sign_ins::SignInMutation,
    team::TeamsMutation,
    service_accounts::ServiceAccountsMutation,
    retention::RetentionMutation,
);
