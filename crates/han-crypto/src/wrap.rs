//! Wrapped keys: the DEK in a sealed field, and a team key in `team_keys`.
//!
//! `id of the wrapping key (4) ‖ nonce (12) ‖ AES-256-GCM(key) (32) ‖ tag (16)`, as bytes or as unpadded base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::aes_gcm::{AesKey, KEY_LEN, NONCE_LEN, TAG_LEN};

const ID_LEN: usize = 4;
const SEALED_AT: usize = ID_LEN + NONCE_LEN;
pub(crate) const WRAPPED_LEN: usize = SEALED_AT + KEY_LEN + TAG_LEN;
/// 64 bytes in base64 without padding.
pub(crate) const WRAPPED_CHARS: usize = 86;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WrappedKey([u8; WRAPPED_LEN]);

impl WrappedKey {
    pub(crate) fn seal(
        id: u32,
        by: &AesKey,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        key: &[u8; KEY_LEN],
    ) -> Result<Self, CryptoError> {
        let mut wrapped = [0; WRAPPED_LEN];
        wrapped[..ID_LEN].copy_from_slice(&id.to_be_bytes());
        wrapped[ID_LEN..SEALED_AT].copy_from_slice(nonce);
        wrapped[SEALED_AT..SEALED_AT + KEY_LEN].copy_from_slice(key);
        let tag = by.seal(nonce, aad, &mut wrapped[SEALED_AT..SEALED_AT + KEY_LEN])?;
        wrapped[SEALED_AT + KEY_LEN..].copy_from_slice(&tag);
        Ok(Self(wrapped))
    }

    pub(crate) fn parse(what: &'static str, text: &str) -> Result<Self, CryptoError> {
        decode_exactly(text, WRAPPED_CHARS).map(Self).ok_or(CryptoError::Malformed {
            what,
            reason: "a wrapped key is 86 characters of unpadded base64url",
        })
    }

    pub(crate) fn from_slice(what: &'static str, bytes: &[u8]) -> Result<Self, CryptoError> {
        let reason = "a wrapped key is 64 bytes";
        bytes.try_into().map(Self).map_err(|_| CryptoError::Malformed { what, reason })
    }

    /// The id of the wrapping key.
    pub(crate) fn id(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Decrypts the key into `key`, which the caller wipes.
    pub(crate) fn open(
        &self,
        what: &'static str,
        by: &AesKey,
        aad: &[u8],
        key: &mut [u8; KEY_LEN],
    ) -> Result<(), CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&self.0[ID_LEN..SEALED_AT]);
        let mut sealed = Zeroizing::new([0; KEY_LEN + TAG_LEN]);
        sealed.copy_from_slice(&self.0[SEALED_AT..]);
        let opened = by.open(&nonce, aad, &mut *sealed).ok_or(CryptoError::NotAuthentic { what })?;
        key.copy_from_slice(opened);
        Ok(())
    }

    pub(crate) fn bytes(&self) -> &[u8; WRAPPED_LEN] {
        &self.0
    }

    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Decodes `chars` characters of unpadded base64url to `N` bytes. Rejects padding, other characters and non-zero
/// trailing bits (the engine's defaults), so every value has exactly one text.
pub(crate) fn decode_exactly<const N: usize>(text: &str, chars: usize) -> Option<[u8; N]> {
    if text.len() != chars {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.try_into().ok()
}
