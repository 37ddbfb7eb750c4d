//! What a row holds when it has been read and opened. One file per noun; tables are defined in `migrations`.
//!
//! The specification's entities have the same names here, except that its `SyncedSession` is [`Session`].

mod api_key;
mod job;
mod message;
mod project;
mod synced_session;
mod task;
mod team;
mod team_invite;
mod team_member;
mod user;
mod web_session;
mod work;

pub use api_key::{ApiKey, ListedApiKey, MemberKey};
pub use job::{JobState, JobStatus, Progress, RunOutcome};
pub use message::{Message, MessagePosition, ToolResult};
pub use project::{Project, ProjectDetails, Repo, RepoDetails};
pub(crate) use synced_session::Origin;
pub use synced_session::{Session, SessionDetails, Stamped, Totals};
pub use task::{NativeTask, NativeTaskDetails, Task, TaskDetails};
pub use team::{Team, TeamPayment};
pub use team_invite::TeamInvite;
pub use team_member::{TeamMember, TeamMembership};
pub use user::User;
pub use web_session::WebSession;
pub use work::{FileChange, FileChangeKey, HookEvent, Sentiment, SessionCounts, TodoCounts, Todos};
