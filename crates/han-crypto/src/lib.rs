//! Cryptography: envelope encryption of fields, key rings, keyed hashes, and tokens. Pure functions of their arguments:
//! no I/O, no clock, and randomness only from the [`Entropy`](han_types::Entropy) that the caller passes.
//! `docs/SECURITY.md` specifies the byte formats.

mod aad;
mod aes_gcm;
mod binary;
pub mod blind;
pub mod entropy;
mod error;
pub mod field;
mod hex;
pub mod kek;
mod mac;
mod pack;
pub mod token;
mod wrap;

pub use binary::{BinaryField, sealed_key_id, wrapped_dek_key_id};
pub use blind::BlindKey;
pub use entropy::OsEntropy;
pub use error::CryptoError;
pub use field::{DEFAULT_MAX_CONTENT, FieldContext, FieldEncryptor, TeamKeyRing};
pub use hex::{decode as from_hex, encode as to_hex};
pub use kek::{Kek, KekId, KekRing, KeyPurpose, TeamKey, TeamKeyName, wrapped_kek_id};
pub use mac::has_mac;
pub use pack::Packed;
pub use token::{ApiKeyToken, OpaqueToken, TokenHash};
