//! Types that every crate shares: ids, roles, plans, actors, scopes, clock, entropy, and the wire types of the sync
//! protocol and of exports. No I/O.

mod actor;
mod clock;
mod entropy;
mod error;
pub mod export;
mod global_id;
mod id;
pub mod id_parts;
mod network;
mod payment;
mod plan;
pub mod sync;
mod text;

pub use actor::{Actor, Capabilities, Capability, Credential, Membership, Origin, RequestId, Role, Scope};
pub use clock::{Clock, Timestamp};
pub use entropy::Entropy;
pub use error::StorageError;
pub use global_id::{GlobalId, GlobalIdError};
pub use id::{
    ApiKeyId, IdError, InviteId, MessageKey, ProjectId, RepoId, SessionId, TeamId, TokenFamilyId,
    TranscriptName, UserId, WebSessionId, new_row_id,
};
pub use network::network;
pub use payment::{BillingInterval, PaymentState};
pub use plan::{Feature, Limits, Month, PlanRefusal, PlanTier, Plans, Policy};
pub use text::is_visible;
