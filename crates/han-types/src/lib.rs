//! The words every crate shares: typed ids, roles, plans, actors, scopes, the clock, entropy and the
//! sync protocol's wire types. Nothing here does I/O, and nothing here knows a database or a socket.

mod actor;
mod clock;
mod entropy;
mod global_id;
mod id;
mod plan;
pub mod sync;

pub use actor::{Actor, Capabilities, Capability, Credential, Membership, RequestId, Role, Scope};
pub use clock::{Clock, Timestamp};
pub use entropy::Entropy;
pub use global_id::{GlobalId, GlobalIdError};
pub use id::{
    ApiKeyId, IdError, InviteId, MessageKey, ProjectId, RepoId, SessionId, TeamId, TokenFamilyId,
    TranscriptName, UserId, WebSessionId, new_row_id,
};
pub use plan::{PlanTier, Plans};
