//! Shared test support, used by tests and benchmarks only: throwaway databases, a test clock and seeded entropy, real
//! and synthetic transcripts, a fault-injecting proxy, fakes of external services, and child processes.
//!
//! It imports no product crate except han-types, so that every product crate can use it in its tests.
//!
//! Fake only what a test cannot reach, and fake it at the HTTP level. Tests run the real server, the real client and
//! real databases. A fake replaces only a service on the internet ([`FakeGithub`], [`FakeStripe`]): it is an HTTP server on
//! localhost that behaves as the vendor's documentation states, including its errors, and the product's own HTTP client
//! talks to it. Do not add traits to product code only to replace an implementation by a mock.
// The objects of Stripe have many fields.
#![recursion_limit = "512"]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test helper fails its test by panicking, and prints to standard error what it skips"
)]

mod clock;
mod database;
mod entropy;
#[cfg(feature = "faults")]
pub mod faults;
pub mod fixtures;
mod github;
mod numbers;
pub mod pg;
mod program;
mod proxy;
mod stripe;
mod synthetic;

pub use clock::TestClock;
pub use database::{TestDatabase, WriteBlock};
pub use entropy::SeededEntropy;
pub use github::{FakeGithub, GithubAccount, GithubFault};
pub use numbers::MarkedNumbers;
pub use program::{Output, Program, Signal};
pub use proxy::{Cut, FaultProxy};
pub use stripe::{FakeStripe, STRIPE_VERSION, StripeFault, StripeRequest, stripe_signature};
pub use synthetic::{SyntheticSession, transcript_text};

/// The id of the request that a test's actor acts in.
#[must_use]
pub fn request_id() -> han_types::RequestId {
    han_types::RequestId::given("test-request").unwrap()
}
