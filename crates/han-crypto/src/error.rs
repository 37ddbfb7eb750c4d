//! Every way this crate can say no. Messages name what was wrong and what to do; none repeats secret bytes.

use thiserror::Error;

use crate::kek::KekId;

/// Why something could not be sealed, opened, wrapped or read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// A KEK's text is not base64 of 32 bytes.
    #[error(
        "{name} is not base64 of exactly 32 bytes ({reason}); generate one with `openssl rand -base64 32`"
    )]
    KekSecret {
        /// Where the text was given, as its owner knows it.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value was sealed under a KEK that this process does not hold.
    #[error("no KEK with id {id} is loaded; add the KEK that was in use then to KEK_SECRET_PREVIOUS")]
    UnknownKek {
        /// The KEK that is missing.
        id: KekId,
    },
    /// Two different KEKs have the same four-byte id (one chance in four thousand million).
    #[error("two different KEKs share the id {id}; generate another one with `openssl rand -base64 32`")]
    KekIdTaken {
        /// The id both have.
        id: KekId,
    },
    /// A field was sealed under a version of the team's key that the ring does not hold.
    #[error("no team key of version {version} is loaded; its row in team_keys is missing or was not read")]
    UnknownKey {
        /// The version that is missing.
        version: u32,
    },
    /// Two team keys of one ring claim the same version.
    #[error("team key version {version} was given twice")]
    DuplicateKey {
        /// The version given twice.
        version: u32,
    },
    /// A key to be rotated away from is not the one in use.
    #[error("the DEK is wrapped by key {found}, not by key {expected}; read the row again and retry")]
    OtherKey {
        /// The key id the caller named.
        expected: u32,
        /// The key id found.
        found: u32,
    },
    /// The text does not have the shape that its format demands.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// What the text should have been.
        what: &'static str,
        /// Where it departs from that.
        reason: &'static str,
    },
    /// The authentication tag does not match.
    #[error("{what} does not open: it was changed, belongs to another row, or was sealed under another key")]
    NotAuthentic {
        /// What was to be opened.
        what: &'static str,
    },
    /// The content is larger than the ring allows.
    #[error("content of {len} bytes exceeds the limit of {max} bytes for one sealed field")]
    TooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// The cryptographic library refused an operation that only a lack of memory can make it refuse.
    #[error("the cryptographic library failed while {0}")]
    Library(&'static str),
}
