//! What can be changed: the mutation root, one part per noun.

mod machine;
#[cfg(feature = "team")]
mod sign_ins;
#[cfg(feature = "team")]
mod team;

use async_graphql::MergedObject;

/// What can be changed.
#[derive(Debug, Default, MergedObject)]
pub(crate) struct MutationRoot(
    machine::MachineMutation,
    #[cfg(feature = "team")] sign_ins::SignInMutation,
    #[cfg(feature = "team")] team::TeamMutation,
);
