//! The local component of Han Teams. Its commands are `login` and `push`, which sends a developer's transcripts to a
//! team server. docs/SYNC.md specifies the protocol. Not here: the content of lines (han-transcript), except for the
//! fields that identify a session and describe its directory and branch (`sessionId`, `cwd`, `gitBranch`).

pub mod batch;
pub mod cli;
pub mod client;
pub mod discover;
mod error;
mod git;
pub mod lines;
pub mod login;
mod memory;
mod metadata;
pub mod push;
mod report;
mod store;
mod upload;

pub use client::{ChooseTeam, Client, ClientConfig, Sleeper, TokioSleeper};
pub use error::Error;
pub use login::login;
pub use memory::PushMemory;
pub use push::{PushOptions, push, push_remembering};
pub use report::{FailedTranscript, OmittedLine, PushReport, RejectedLineReport};
pub use store::LoginStore;
