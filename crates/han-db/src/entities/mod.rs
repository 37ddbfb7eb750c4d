//! What a row holds when it has been read and opened. One file per noun; tables are defined in `migrations`.

mod job;
mod message;
mod project;
mod session;
mod task;
mod work;

pub use job::{JobState, JobStatus, Progress, RunOutcome};
pub use message::{Message, MessagePosition, ToolResult};
pub use project::{Project, ProjectDetails, Repo, RepoDetails};
pub use session::{Session, SessionDetails, Stamped, Totals};
pub use task::{NativeTask, NativeTaskDetails, Task, TaskDetails};
pub use work::{FileChange, FileChangeKey, HookEvent, Sentiment, SessionCounts, TodoCounts, Todos};
