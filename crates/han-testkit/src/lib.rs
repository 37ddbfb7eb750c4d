//! What tests share and no product ships: throwaway databases, a clock and a source of bytes that tests own,
//! transcripts real and synthetic, and programs run as processes. Nothing here knows a product crate but
//! han-types, so that each of them can be tested with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test's helper fails its test by panicking, and says on standard error what it left out"
)]

mod clock;
mod database;
mod door;
mod entropy;
#[cfg(feature = "faults")]
pub mod faults;
pub mod fixtures;
mod github;
pub mod pg;
mod program;
mod synthetic;

pub use clock::TestClock;
pub use database::{TestDatabase, WritesHeld};
pub use door::{Cut, Door};
pub use entropy::SeededEntropy;
pub use github::{FakeGithub, GithubAccount, Trouble};
pub use program::{Output, Program, Signal};
pub use synthetic::{SyntheticSession, transcript_text};

/// The id of the request that a test's actor acts in.
#[must_use]
pub fn request_id() -> han_types::RequestId {
    han_types::RequestId::given("test-request").unwrap()
}
