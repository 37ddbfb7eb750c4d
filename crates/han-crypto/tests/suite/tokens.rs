//! Tests API keys and other tokens: format, randomness, checksum, and Debug output without secrets.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};

use han_crypto::{ApiKeyToken, OpaqueToken, OsEntropy, TokenHash};
use han_types::Entropy;
use proptest::prelude::*;

use crate::Seeded;

/// Counts up from a byte, with wrapping.
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, dest: &mut [u8]) {
        dest.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn body(key: &ApiKeyToken) -> &str {
    &key.expose()["han_key_".len()..][..30]
}

#[test]
fn a_minted_key_can_be_parsed() {
    let key = ApiKeyToken::mint(&OsEntropy::new());
    assert_eq!(key.expose().len(), 44);
    let again = ApiKeyToken::parse(key.expose()).unwrap();
    assert_eq!((again.expose(), again.hash()), (key.expose(), key.hash()));
    assert_ne!(ApiKeyToken::mint(&OsEntropy::new()).hash(), key.hash());
}

#[test]
fn every_character_of_a_key_is_equally_likely() {
    // Bytes from 248 on are skipped: modulo 62, they would make eight characters more likely.
    assert_eq!(body(&ApiKeyToken::mint(&Counting(AtomicU8::new(244)))), "wxyz0123456789ABCDEFGHIJKLMNOP");
    let entropy = Seeded::new(9);
    let mut counts = [0u32; 128];
    for _ in 0..4000 {
        for c in body(&ApiKeyToken::mint(&entropy)).bytes() {
            counts[usize::from(c)] += 1;
        }
    }
    let seen: Vec<u32> = counts.into_iter().filter(|n| *n > 0).collect();
    assert_eq!(seen.len(), 62);
    // 120,000 draws: 1,935 each, standard deviation 44.
    assert!(seen.iter().all(|n| (1715..2155).contains(n)), "{seen:?}");
}

proptest! {
    #[test]
    fn a_typo_in_a_key_is_detected_by_its_checksum(at in 0..44usize, with: char) {
        let key = ApiKeyToken::mint(&OsEntropy::new());
        let text = key.expose();
        let typo = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        prop_assume!(typo != text);
        prop_assert!(ApiKeyToken::parse(&typo).is_err());
        prop_assert!(ApiKeyToken::parse(&text[..at]).is_err());
    }

    #[test]
    fn any_other_text_is_an_error(text in prop_oneof![".*", "han_key_.{0,40}", "han_web_.{0,50}"]) {
        prop_assert!(ApiKeyToken::parse(&text).is_err());
        prop_assert!(OpaqueToken::parse("han_web_", &text).is_err());
    }
}

#[test]
fn a_parse_error_does_not_contain_the_key() {
    let text = "han_key_000000000000000000000000000000000000";
    let error = ApiKeyToken::parse(text).unwrap_err().to_string();
    assert!(error.contains("checksum") && !error.contains("0000"), "{error}");
}

#[test]
fn an_opaque_token_is_parsed_only_with_its_prefix() {
    let token = OpaqueToken::mint("han_web_", &OsEntropy::new());
    let text = token.expose();
    assert!(text.starts_with("han_web_") && text.len() == 8 + 43, "{}", text.len());
    assert_eq!(OpaqueToken::parse("han_web_", text).unwrap().hash(), token.hash());
    for wrong in
        [text.replacen("web", "api", 1), format!("{text}="), text[..50].to_owned(), format!(" {text}")]
    {
        assert!(OpaqueToken::parse("han_web_", &wrong).is_err(), "{wrong}");
    }
    assert!(OpaqueToken::parse("han_refresh_", text).is_err());
    let minted: HashSet<_> =
        (0..50).map(|_| OpaqueToken::mint("x_", &OsEntropy::new()).hash().to_hex()).collect();
    assert_eq!(minted.len(), 50);
}

#[test]
fn hashes_round_trip_and_compare() {
    let [a, b] = [1, 2].map(|seed| OpaqueToken::mint("x_", &Seeded::new(seed)).hash());
    assert_eq!(a.to_hex().parse::<TokenHash>(), Ok(a));
    assert_ne!(a, b);
    assert!(a.to_hex().to_uppercase().parse::<TokenHash>().is_err());
    assert!(a.to_hex()[..63].parse::<TokenHash>().is_err());
}

#[test]
fn debug_output_contains_no_token() {
    let (key, token) =
        (ApiKeyToken::mint(&OsEntropy::new()), OpaqueToken::mint("han_web_", &OsEntropy::new()));
    assert_eq!(format!("{key:?} {token:?}"), "ApiKeyToken(..) OpaqueToken(..)");
}
