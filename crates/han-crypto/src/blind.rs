//! Keyed hashes, by which the server finds equal values without storing them in plaintext: ids of sealed paths and
//! remotes, and search terms. They hide the text, but not that two texts are equal.

use std::fmt;

use aws_lc_rs::hmac;

use crate::hex;
use crate::kek::TeamKey;

/// A team's key for keyed hashes. It does not rotate with the content keys, because the hashes of a new key would not
/// match the stored ones.
#[derive(Clone)]
pub struct BlindKey(hmac::Key);

impl BlindKey {
    /// The hashing key made from a team key with the purpose `blind` or `search`.
    #[must_use]
    pub fn new(key: &TeamKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// HMAC-SHA-256 (RFC 2104) over the length of `domain` (eight bytes, big-endian), `domain` and `text`. The hashes
    /// of one text in two domains are unrelated.
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

    /// `prefix` and the first 128 bits of [`blind`](Self::blind) in lowercase hexadecimal: a deterministic id, such
    /// as a project's id from its path.
    #[must_use]
    pub fn blind_id(&self, prefix: &str, domain: &str, text: &[u8]) -> String {
        let hash = self.blind(domain, text);
        format!("{prefix}{}", hex::encode(&hash[..16]))
    }

    /// The first 64 bits of [`blind`](Self::blind), big-endian.
    #[must_use]
    pub fn blind_term(&self, domain: &str, text: &[u8]) -> i64 {
        let [a, b, c, d, e, f, g, h, ..] = self.blind(domain, text);
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for BlindKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindKey(..)")
    }
}
