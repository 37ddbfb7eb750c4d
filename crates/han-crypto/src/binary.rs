//! The two forms of a sealed value: binary, for tables that have a column for each part, and text,
//! `version:nonce:wrapped_dek:ciphertext`. Each value has exactly one text. `docs/SECURITY.md` specifies both.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::CryptoError;
use crate::aes_gcm::{NONCE_LEN, TAG_LEN};
use crate::wrap::{WRAPPED_CHARS, WRAPPED_LEN, WrappedKey, decode_exactly};

pub(crate) const SEALED_FIELD: &str = "sealed field";
const VERSION: &str = "v1";
/// 12 bytes in base64.
const NONCE_CHARS: usize = 16;
/// The ciphertext of empty content: the flag byte and a tag.
const MIN_CIPHERTEXT: usize = 1 + TAG_LEN;
/// [`MIN_CIPHERTEXT`] in unpadded base64.
const MIN_CIPHERTEXT_CHARS: usize = 23;
const SHORT_CIPHERTEXT: &str = "its ciphertext is shorter than an authentication tag";

/// A sealed value in binary: nonce (12 bytes), wrapped DEK (64 bytes), and ciphertext with its tag (at least 17 bytes).
/// `Debug` prints the key id and the length only.
#[derive(Clone, PartialEq, Eq)]
pub struct BinaryField {
    pub(crate) nonce: [u8; NONCE_LEN],
    pub(crate) wrapped: WrappedKey,
    pub(crate) ciphertext: Vec<u8>,
}

impl BinaryField {
    /// The sealed value of a row, from its three columns. Does not decrypt anything.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if one of them has a wrong length.
    pub fn from_columns(nonce: &[u8], wrapped_dek: &[u8], ciphertext: Vec<u8>) -> Result<Self, CryptoError> {
        let nonce = nonce.try_into().map_err(|_| malformed("its nonce is not 12 bytes"))?;
        let wrapped = WrappedKey::from_slice(SEALED_FIELD, wrapped_dek)?;
        if ciphertext.len() < MIN_CIPHERTEXT {
            return Err(malformed(SHORT_CIPHERTEXT));
        }
        Ok(Self { nonce, wrapped, ciphertext })
    }

    /// Nonce, wrapped DEK and ciphertext, for the three columns of a row.
    #[must_use]
    pub fn into_columns(self) -> ([u8; NONCE_LEN], [u8; WRAPPED_LEN], Vec<u8>) {
        (self.nonce, *self.wrapped.bytes(), self.ciphertext)
    }

    /// The nonce of the ciphertext.
    #[must_use]
    pub fn nonce(&self) -> &[u8; NONCE_LEN] {
        &self.nonce
    }

    /// The wrapped DEK.
    #[must_use]
    pub fn wrapped_dek(&self) -> &[u8; WRAPPED_LEN] {
        self.wrapped.bytes()
    }

    /// The ciphertext, with its tag at the end.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// The id of the key that wraps the DEK: the team key's version, or the KEK's id for a value without a team.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.wrapped.id()
    }

    /// The text form. [`FromStr`] returns the same value.
    #[must_use]
    pub fn to_text(&self) -> String {
        let chars = (self.ciphertext.len() * 4).div_ceil(3);
        let mut text = String::with_capacity(VERSION.len() + NONCE_CHARS + WRAPPED_CHARS + chars + 3);
        text.push_str(VERSION);
        for part in [self.nonce.as_slice(), self.wrapped.bytes(), &self.ciphertext] {
            text.push(':');
            URL_SAFE_NO_PAD.encode_string(part, &mut text);
        }
        text
    }
}

impl FromStr for BinaryField {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let parts = TextParts::of(text)?;
        let nonce = decode_exactly(parts.nonce, NONCE_CHARS)
            .ok_or_else(|| malformed("its nonce is not 16 characters of base64url"))?;
        let wrapped = WrappedKey::parse(SEALED_FIELD, parts.wrapped)?;
        let ciphertext = URL_SAFE_NO_PAD
            .decode(parts.ciphertext)
            .map_err(|_| malformed("its ciphertext is not unpadded base64url"))?;
        Ok(Self { nonce, wrapped, ciphertext })
    }
}

impl fmt::Debug for BinaryField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinaryField")
            .field("key_id", &self.key_id())
            .field("ciphertext_len", &self.ciphertext.len())
            .finish_non_exhaustive()
    }
}

/// The parts of a text form, not decoded: a rotation replaces one of them and copies the others.
pub(crate) struct TextParts<'a> {
    nonce: &'a str,
    pub(crate) wrapped: &'a str,
    ciphertext: &'a str,
}

impl<'a> TextParts<'a> {
    pub(crate) fn of(sealed: &'a str) -> Result<Self, CryptoError> {
        let mut parts = sealed.split(':');
        if parts.next() != Some(VERSION) {
            return Err(malformed("its version is not v1"));
        }
        let (Some(nonce), Some(wrapped), Some(ciphertext), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it does not have four parts"));
        };
        if ciphertext.len() < MIN_CIPHERTEXT_CHARS {
            return Err(malformed(SHORT_CIPHERTEXT));
        }
        Ok(Self { nonce, wrapped, ciphertext })
    }

    /// The text with another wrapped DEK.
    pub(crate) fn with_wrapped(&self, wrapped: &str) -> String {
        format!("{VERSION}:{}:{wrapped}:{}", self.nonce, self.ciphertext)
    }
}

/// The id of the key that wraps a field's DEK: the team key's version, or the KEK's id for a field without a team. Does
/// not decrypt anything.
///
/// # Errors
/// [`CryptoError::Malformed`].
pub fn sealed_key_id(sealed: &str) -> Result<u32, CryptoError> {
    WrappedKey::parse(SEALED_FIELD, TextParts::of(sealed)?.wrapped).map(|wrapped| wrapped.id())
}

/// As [`sealed_key_id`], from the wrapped DEK (64 bytes) of a binary field.
///
/// # Errors
/// [`CryptoError::Malformed`] if it is not 64 bytes.
pub fn wrapped_dek_key_id(wrapped_dek: &[u8]) -> Result<u32, CryptoError> {
    WrappedKey::from_slice(SEALED_FIELD, wrapped_dek).map(|wrapped| wrapped.id())
}

fn malformed(reason: &'static str) -> CryptoError {
    CryptoError::Malformed { what: SEALED_FIELD, reason }
}
