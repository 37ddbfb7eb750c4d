//! What a row holds when it has been read and opened. One file per noun; tables are defined in `migrations`.

mod message;
mod project;
mod session;

pub use message::{Message, Place, ToolResult};
pub use project::{Project, ProjectDetails, Repo, RepoDetails};
pub use session::{Session, SessionDetails, Stamped, Totals};
