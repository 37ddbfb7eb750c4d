//! Keyed hashes that let the server find equal things without storing them in clear: ids made from sealed paths
//! and remotes, and search terms. They hide what a text is, not that two texts are equal.

use std::fmt;

use aws_lc_rs::hmac;

use crate::hex;
use crate::kek::TeamKey;

/// A team's key for keyed hashes. It never rotates with the content's keys: another key gives other hashes, which
/// then match nothing stored.
#[derive(Clone)]
pub struct BlindKey(hmac::Key);

impl BlindKey {
    /// The hashing key that `key` (of purpose `blind` or `search`) is.
    #[must_use]
    pub fn new(key: &TeamKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// HMAC-SHA-256 (RFC 2104) over the length of `domain` (eight bytes, big-endian), `domain` and `text`. The same
    /// text in two domains has unrelated hashes.
    #[must_use]
    pub fn blind(&self, domain: &str, text: &[u8]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.0);
        mac.update(&(domain.len() as u64).to_be_bytes());
        mac.update(domain.as_bytes());
        mac.update(text);
        let mut hash = [0; 32];
        hash.copy_from_slice(mac.sign().as_ref());
        hash
    }

    /// `prefix` and the first 128 bits of [`blind`](Self::blind) in lowercase hexadecimal: an id that is the same
    /// whenever the text is, such as a project's from its path.
    #[must_use]
    pub fn blind_id(&self, prefix: &str, domain: &str, text: &[u8]) -> String {
        let hash = self.blind(domain, text);
        format!("{prefix}{}", hex::encode(&hash[..16]))
    }
}

impl fmt::Debug for BlindKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindKey(..)")
    }
}
