//! The errors of this crate. Messages name the cause and the remedy; none contains secret bytes.

use thiserror::Error;

use crate::kek::KekId;

/// Why a value could not be sealed, opened, wrapped or parsed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// A KEK's text is not base64 of 32 bytes.
    #[error(
        "{name} is not base64 of exactly 32 bytes ({reason}); generate one with `openssl rand -base64 32`"
    )]
    KekSecret {
        /// The name of the variable or entry.
        name: String,
        /// The reason.
        reason: &'static str,
    },
    /// A value is sealed under a KEK that is not loaded.
    #[error("no KEK with id {id} is loaded; add the KEK that was in use then to KEK_SECRET_PREVIOUS")]
    UnknownKek {
        /// The missing KEK.
        id: KekId,
    },
    /// Two different KEKs have the same four-byte id (probability 1 in 2^32).
    #[error("two different KEKs share the id {id}; generate another one with `openssl rand -base64 32`")]
    KekIdTaken {
        /// The id of both.
        id: KekId,
    },
    /// A field is sealed under a version of the team's key that the ring does not have.
    #[error("no team key of version {version} is loaded; its row in team_keys is missing or was not read")]
    UnknownKey {
        /// The missing version.
        version: u32,
    },
    /// Two team keys of one ring have the same version.
    #[error("team key version {version} was given twice")]
    DuplicateKey {
        /// The version.
        version: u32,
    },
    /// A DEK is not wrapped by the key that a rotation replaces.
    #[error("the DEK is wrapped by key {found}, not by key {expected}; read the row again and retry")]
    OtherKey {
        /// The key id that the caller named.
        expected: u32,
        /// The key id in the wrapped DEK.
        found: u32,
    },
    /// The text violates its format.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// The name of the format.
        what: &'static str,
        /// How the text violates it.
        reason: &'static str,
    },
    /// The authentication tag does not match.
    #[error("{what} does not open: it was changed, belongs to another row, or was sealed under another key")]
    NotAuthentic {
        /// The kind of the value.
        what: &'static str,
    },
    /// The content exceeds the ring's limit.
    #[error("content of {len} bytes exceeds the limit of {max} bytes for one sealed field")]
    TooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// The cryptographic library failed in an operation that fails only if memory runs out.
    #[error("the cryptographic library failed while {0}")]
    Library(&'static str),
}
