//! Message authentication codes of others, which are compared in constant time.

use aws_lc_rs::{constant_time, hmac};

/// Whether `mac` is the HMAC-SHA-256 (RFC 2104) of the concatenated `parts` under `key`. How long that takes does not
/// depend on where the bytes differ.
#[must_use]
pub fn has_mac(key: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    constant_time::verify_slices_are_equal(context.sign().as_ref(), mac).is_ok()
}

#[cfg(test)]
mod tests {
    use super::has_mac;
    use crate::hex::decode;

    /// RFC 4231, test case 2.
    #[test]
    fn the_test_case_of_the_rfc_verifies_and_others_do_not() {
        let mac: [u8; 32] =
            decode("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").unwrap();
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert!(has_mac(b"Jefe", &parts, &mac));
        assert!(has_mac(b"Jefe", &[b"what do ya want for nothing?"], &mac));
        assert!(!has_mac(b"jefe", &parts, &mac));
        assert!(!has_mac(b"Jefe", &[b"what do ya want for nothing!"], &mac));
        assert!(!has_mac(b"Jefe", &parts, &mac[..31]));
        assert!(!has_mac(b"Jefe", &parts, &[]));
    }
}
