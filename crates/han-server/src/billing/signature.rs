//! The signature of Stripe's events, in the header `Stripe-Signature` (docs.stripe.com/webhooks/signatures):
//! `t=TIME,v1=MAC,…`. Each `v1` is the HMAC-SHA-256 of `TIME.BODY` under one of the endpoint's secrets, in hexadecimal;
//! there are several while a secret is replaced. Other schemes are ignored.

use han_crypto::{from_hex, has_mac};
use han_types::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

/// How far the time of a signature may be from now, in seconds, in either direction. It bounds how long a copied request
/// can be sent again.
pub(super) const TOLERANCE_SECONDS: i64 = 300;

/// The most signatures that are compared. Stripe sends one for each secret of the endpoint, of which it keeps two.
const MAX_SIGNATURES: usize = 16;

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum SignatureError {
    /// The header is malformed.
    #[error("the header Stripe-Signature has no time (t=) or no signature (v1=)")]
    Malformed,
    /// No signature is that of the body under a configured secret.
    #[error(
        "no signature matches: the signing secret of the endpoint at Stripe must be in STRIPE_WEBHOOK_SECRET, and the \
         body must arrive unchanged"
    )]
    Mismatch,
    /// The time is too far from now.
    #[error("the signature is {0} s from this server's time: at most {TOLERANCE_SECONDS} s are accepted")]
    Time(i64),
}

/// Checks the signature of a body.
///
/// # Errors
/// Why it is refused. A time is only reported for a body that one of the secrets has signed.
pub(super) fn verify(
    header: &str,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let mut time = None;
    let mut signatures: Vec<[u8; 32]> = Vec::new();
    let mut signed = false;
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            // The time as Stripe has signed it: its text, not its value.
            "t" if time.is_none() => time = Some(value),
            "t" => return Err(SignatureError::Malformed),
            "v1" => {
                signed = true;
                signatures.extend(from_hex::<32>(value).filter(|_| signatures.len() < MAX_SIGNATURES));
            }
            _ => {}
        }
    }
    let (Some(time), true) = (time, signed) else { return Err(SignatureError::Malformed) };
    let is_number = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = time.parse::<i64>().ok().filter(|_| is_number) else {
        return Err(SignatureError::Malformed);
    };
    // All are compared, so that the time of the comparison does not say which one matched.
    let mut matched = false;
    for secret in secrets {
        for signature in &signatures {
            let parts: [&[u8]; 3] = [time.as_bytes(), b".", body];
            matched |= has_mac(secret.expose_secret().as_bytes(), &parts, signature);
        }
    }
    if !matched {
        return Err(SignatureError::Mismatch);
    }
    let distance = now.seconds().saturating_sub(seconds).saturating_abs();
    if distance > TOLERANCE_SECONDS {
        return Err(SignatureError::Time(distance));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use han_types::Timestamp;
    use proptest::prelude::*;
    use secrecy::SecretString;
    use serde::Deserialize;

    use super::{SignatureError, verify};

    /// Headers that the official npm package `stripe` has made; `crates/han-testkit/stripe/vectors.mjs` writes the file.
    const VECTORS: &str = include_str!("../../tests/fixtures/stripe-signatures.json");

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        secret: String,
        time: i64,
        body: String,
        header: String,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str::<Vectors>(VECTORS).unwrap().cases
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn check(case: &Case, body: &[u8], secret: &str, now: i64) -> Result<(), SignatureError> {
        verify(&case.header, body, &[SecretString::from(secret)], at(now))
    }

    #[test]
    fn a_header_of_the_official_package_verifies_and_no_changed_one_does() {
        let cases = cases();
        assert!(cases.len() >= 5);
        for case in &cases {
            let body = case.body.as_bytes();
            assert_eq!(check(case, body, &case.secret, case.time), Ok(()));
            for away in [-300, 300] {
                assert_eq!(check(case, body, &case.secret, case.time + away), Ok(()));
            }
            for away in [-301, 301, -86_400, 1_000_000_000] {
                let refused = check(case, body, &case.secret, case.time + away);
                assert_eq!(refused, Err(SignatureError::Time(i64::abs(away))));
            }
            let mut changed = body.to_vec();
            changed.push(b' ');
            assert_eq!(check(case, &changed, &case.secret, case.time), Err(SignatureError::Mismatch));
            let other = format!("{}x", case.secret);
            assert_eq!(check(case, body, &other, case.time), Err(SignatureError::Mismatch));
            // Signed for another time: the time is part of what is signed.
            let (then, later) = (format!("t={},", case.time), format!("t={},", case.time + 1));
            let header = case.header.replacen(&then, &later, 1);
            let secrets = [SecretString::from(case.secret.as_str())];
            assert_eq!(verify(&header, body, &secrets, at(case.time)), Err(SignatureError::Mismatch));
        }
    }

    #[test]
    fn any_of_several_signatures_and_secrets_may_match() {
        let cases = cases();
        let case = &cases[0];
        let (_, mac) = case.header.split_once("v1=").unwrap();
        let zeros = "0".repeat(64);
        let secrets = |names: &[&str]| names.iter().map(|name| SecretString::from(*name)).collect::<Vec<_>>();
        let both = secrets(&["another", &case.secret]);
        let t = case.time;
        for header in [
            format!("t={t},v1={zeros},v1={mac}"),
            format!("t={t},v1={mac},v1={zeros}"),
            format!("v1={mac},t={t}"),
            format!("t={t},v0=anything,v1=short,v1={mac}"),
            format!("t={t}, v1={mac}"),
        ] {
            assert_eq!(verify(&header, case.body.as_bytes(), &both, at(t)), Ok(()), "{header}");
        }
        for header in [format!("t={t},v1={zeros}"), format!("t={t},v1="), format!("t={t},v1={}", &mac[..62])]
        {
            let found = verify(&header, case.body.as_bytes(), &both, at(t));
            assert_eq!(found, Err(SignatureError::Mismatch), "{header}");
        }
        for header in [
            String::new(),
            format!("t={t}"),
            format!("v1={mac}"),
            format!("t={t},v0={mac}"),
            format!("t=,v1={mac}"),
            format!("t=-{t},v1={mac}"),
            format!("t=+{t},v1={mac}"),
            format!("t=99999999999999999999,v1={mac}"),
            format!("t={t},t={t},v1={mac}"),
        ] {
            let found = verify(&header, case.body.as_bytes(), &both, at(t));
            assert_eq!(found, Err(SignatureError::Malformed), "{header}");
        }
        assert_eq!(verify(&case.header, case.body.as_bytes(), &[], at(t)), Err(SignatureError::Mismatch));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_other_header_is_accepted(header in "[ -~]{0,120}", body in prop::collection::vec(any::<u8>(), 0..60)) {
            let secrets = [SecretString::from("whsec_test")];
            prop_assert!(verify(&header, &body, &secrets, at(1_793_610_000)).is_err());
        }

        #[test]
        fn one_changed_character_is_refused(at_byte in any::<prop::sample::Index>(), to in "[0-9a-z=,]") {
            let case = &cases()[0];
            let mut header = case.header.clone().into_bytes();
            let index = at_byte.index(header.len());
            prop_assume!(header[index] != to.as_bytes()[0]);
            header[index] = to.as_bytes()[0];
            let header = String::from_utf8(header).unwrap();
            let secrets = [SecretString::from(case.secret.as_str())];
            prop_assert!(verify(&header, case.body.as_bytes(), &secrets, at(case.time)).is_err());
        }
    }
}
