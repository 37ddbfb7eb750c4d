//! The local half of Han Teams. So far it has one command, `push`: read a developer's transcripts as they lie and
//! bring a team server up to date. docs/SYNC.md tells the protocol; what a line *means* is han-transcript's matter
//! and nothing here looks at it, beyond the two fields that describe a session's place (`cwd`, `gitBranch`).

pub mod batch;
pub mod cli;
pub mod client;
pub mod discover;
mod error;
mod git;
pub mod lines;
pub mod login;
mod metadata;
pub mod push;
mod report;
mod store;
mod upload;

pub use client::{Client, ClientConfig, Sleeper, TokioSleeper};
pub use error::Error;
pub use login::login;
pub use push::{PushOptions, push};
pub use report::{FailedTranscript, OmittedLine, PushReport, RejectedLineReport};
pub use store::Store;
