//! Tests sealed fields: they round-trip, and changed or moved fields do not open.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_crypto::{CryptoError, FieldContext, OsEntropy, TeamKey, TeamKeyRing, sealed_key_id};
use proptest::prelude::*;

use crate::{KEK_A, KEK_B, Seeded, TEAM, kek_ring, ring, team};

const BODY: FieldContext<'_> =
    FieldContext { table: "messages", row_id: "258c7280/main/4f1d", column: "body" };

/// Content that is long enough for compression, with several scripts.
fn compressible() -> Vec<u8> {
    "{\"type\":\"user\",\"text\":\"Straße, 通り, улица\"}\n".repeat(40).into_bytes()
}

/// Compressible, incompressible and short content.
pub(crate) fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        ".{0,300}".prop_map(String::into_bytes),
        (prop::collection::vec(any::<u8>(), 1..40), 1..400usize).prop_map(|(part, times)| part.repeat(times)),
    ]
}

/// `sealed` with one byte of one of its three binary parts changed.
fn with_byte_changed(sealed: &str, part: usize, index: prop::sample::Index, mask: u8) -> String {
    let mut parts: Vec<String> = sealed.split(':').map(str::to_owned).collect();
    let mut bytes = URL_SAFE_NO_PAD.decode(&parts[part]).unwrap();
    let at = index.index(bytes.len());
    bytes[at] ^= mask;
    parts[part] = URL_SAFE_NO_PAD.encode(bytes);
    parts.join(":")
}

proptest! {
    #[test]
    fn encrypt_and_decrypt_round_trip(content in content(), row in ".{0,60}", seed: u64) {
        let ring = ring(TEAM, 2);
        let field = ring.field(FieldContext { row_id: &row, ..BODY });
        let sealed = field.encrypt(&content, &Seeded::new(seed)).unwrap();
        prop_assert_eq!(field.decrypt(&sealed).unwrap(), content);
        prop_assert_eq!(sealed_key_id(&sealed).unwrap(), 2);
        // Other programs rely on this format.
        let parts: Vec<_> = sealed.split(':').collect();
        prop_assert_eq!((parts.len(), parts[0], parts[1].len(), parts[2].len()), (4, "v1", 16, 86));
    }

    #[test]
    fn a_changed_byte_is_detected(content in content(), part in 1..4usize, index: prop::sample::Index, mask in 1..=255u8) {
        // The ring also has version 1, so that a key id changed from 2 to 1 is known and must still fail.
        let ring = ring(TEAM, 2);
        let sealed = ring.field(BODY).encrypt(&content, &OsEntropy::new()).unwrap();
        prop_assert!(ring.field(BODY).decrypt(&with_byte_changed(&sealed, part, index, mask)).is_err());
    }

    #[test]
    fn a_changed_character_is_detected(index: prop::sample::Index, with: char) {
        let ring = ring(TEAM, 1);
        let sealed = ring.field(BODY).encrypt(b"secret", &OsEntropy::new()).unwrap();
        let at = index.index(sealed.len());
        let changed = format!("{}{with}{}", &sealed[..at], &sealed[at + 1..]);
        prop_assume!(changed != sealed);
        prop_assert!(ring.field(BODY).decrypt(&changed).is_err());
        let longer = format!("{}{with}{}", &sealed[..at], &sealed[at..]);
        prop_assert!(ring.field(BODY).decrypt(&longer).is_err());
        prop_assert!(ring.field(BODY).decrypt(&sealed[..at]).is_err());
    }

    #[test]
    fn any_other_text_is_an_error(
        text in prop_oneof![".*", "v1:[A-Za-z0-9_=-]{0,20}:[A-Za-z0-9_=-]{80,90}:[A-Za-z0-9_=-]{0,60}"],
    ) {
        let ring = ring(TEAM, 1);
        prop_assert!(ring.field(BODY).decrypt(&text).is_err());
        prop_assert!(ring.field(BODY).rewrap(&text, &OsEntropy::new()).is_err());
        prop_assert!(ring.field(BODY).rotate_kek(1, 1, &text, &OsEntropy::new()).is_err());
    }

    #[test]
    fn a_moved_boundary_between_row_and_column_is_detected(text in "[a-z/]{2,20}", cut in 0..20usize) {
        let ring = ring(TEAM, 1);
        let at = 1 + cut % (text.len() - 1);
        let place = |at: usize| FieldContext { table: "t", row_id: &text[..at], column: &text[at..] };
        let sealed = ring.field(place(at)).encrypt(b"x", &OsEntropy::new()).unwrap();
        prop_assert!(ring.field(place(at - 1)).decrypt(&sealed).is_err());
    }
}

#[test]
fn a_field_opens_only_in_its_own_context() {
    let home = ring(TEAM, 2);
    let sealed = home.field(BODY).encrypt(&compressible(), &OsEntropy::new()).unwrap();
    let not_authentic = Err(CryptoError::NotAuthentic { what: "sealed field" });
    for place in [
        FieldContext { table: "sessions", ..BODY },
        FieldContext { row_id: "258c7280/main/4f1e", ..BODY },
        FieldContext { row_id: "", ..BODY },
        FieldContext { column: "summary", ..BODY },
    ] {
        assert_eq!(home.field(place).decrypt(&sealed), not_authentic, "{place:?}");
    }
    // Another team with the same keys, and the same team with other keys.
    assert_eq!(ring("other", 2).field(BODY).decrypt(&sealed), not_authentic);
    let strange = TeamKeyRing::new(team(TEAM), 2, [(2, TeamKey::generate(&Seeded::new(77)))]).unwrap();
    assert_eq!(strange.field(BODY).decrypt(&sealed), not_authentic);
    // The case of ids is ignored; that of table names is not.
    let upper = ring(&TEAM.to_uppercase(), 2);
    let place = FieldContext { row_id: "258C7280/MAIN/4F1D", ..BODY };
    assert_eq!(upper.field(place).decrypt(&sealed), Ok(compressible()));
    assert!(home.field(FieldContext { table: "Messages", ..BODY }).decrypt(&sealed).is_err());
}

#[test]
fn an_unknown_key_error_names_the_version() {
    let sealed = ring(TEAM, 3).field(BODY).encrypt(b"x", &OsEntropy::new()).unwrap();
    let error = ring(TEAM, 2).field(BODY).decrypt(&sealed).unwrap_err();
    assert_eq!(error, CryptoError::UnknownKey { version: 3 });
    assert!(error.to_string().contains("version 3"), "{error}");
}

#[test]
fn sealing_twice_gives_different_nonces_keys_and_ciphertexts() {
    let ring = ring(TEAM, 1);
    let entropy = OsEntropy::new();
    let [a, b] = [0, 1].map(|_| ring.field(BODY).encrypt(b"the same", &entropy).unwrap());
    for (part, (a, b)) in a.split(':').zip(b.split(':')).enumerate().skip(1) {
        assert_ne!(a, b, "part {part}");
    }
    // The two nonces of one field differ, too; the DEK's nonce is the 12 bytes after the key id.
    let parts: Vec<_> = a.split(':').collect();
    let wrapped = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    assert_ne!(wrapped[4..16], URL_SAFE_NO_PAD.decode(parts[1]).unwrap()[..]);
}

#[test]
fn malformed_errors_name_the_cause() {
    let ring = ring(TEAM, 1);
    let sealed = ring.field(BODY).encrypt(b"secret", &Seeded::new(1)).unwrap();
    let parts: Vec<&str> = sealed.split(':').collect();
    let [_, nonce, wrapped, text] = parts[..] else { unreachable!("four parts, as tested above") };
    // The text has 23 bytes, which are 31 characters; the last one has four bits, and two that must be zero.
    let loose = format!("{}{}", &text[..30], char::from(text.as_bytes()[30] + 1));
    for (broken, says) in [
        (String::new(), "version is not v1"),
        (sealed.replacen("v1", "v2", 1), "version is not v1"),
        (sealed.replacen("v1", "V1", 1), "version is not v1"),
        (format!("v1:{nonce}:{wrapped}"), "four parts"),
        (format!("{sealed}:"), "four parts"),
        (format!("v1::{wrapped}:{text}"), "nonce"),
        (format!("v1:{}:{wrapped}:{text}", &nonce[..15]), "nonce"),
        (format!("v1:{}:{wrapped}:{text}", &nonce[..12]), "nonce"),
        (format!("v1:{nonce}AAAA:{wrapped}:{text}"), "nonce"),
        (format!("v1:{nonce}:{}:{text}", &wrapped[..85]), "wrapped key is 86 characters"),
        (format!("v1:{nonce}:{wrapped}==:{text}"), "wrapped key is 86 characters"),
        (format!("v1:{nonce}:{wrapped}:{}", &text[..22]), "shorter than an authentication tag"),
        (format!("v1:{nonce}:{wrapped}:{text}="), "base64url"),
        (format!("v1:{nonce}:{wrapped}:+/{}", &text[2..]), "base64url"),
        (format!("v1:{nonce}:{wrapped}:{loose}"), "base64url"),
        (format!("v1:{nonce}:{wrapped}: {}", &text[1..]), "base64url"),
        (format!("{sealed}\n"), "base64url"),
    ] {
        let error = ring.field(BODY).decrypt(&broken).unwrap_err();
        assert!(matches!(error, CryptoError::Malformed { .. }), "{broken:?}: {error:?}");
        assert!(error.to_string().contains(says), "{broken:?}: {error}");
    }
}

#[test]
fn content_is_compressed_only_if_it_shrinks() {
    let ring = ring(TEAM, 1);
    let size = |content: &[u8]| ring.field(BODY).encrypt(content, &Seeded::new(1)).unwrap().len();
    let raw = |len: usize| 3 + 17 + 87 + ((1 + len + 16) * 4).div_ceil(3);
    assert!(size(&compressible()) < compressible().len() / 2);
    let mut noise = vec![0; 5000];
    han_types::Entropy::fill(&Seeded::new(3), &mut noise);
    assert_eq!(size(&noise), raw(5000));
    assert_eq!(size(b""), raw(0));
}

#[test]
fn a_decompression_bomb_is_rejected_before_decompression() {
    let wide = ring(TEAM, 1).with_max_content(8 << 20);
    let zeros = vec![0; 8 << 20];
    let bomb = wide.field(BODY).encrypt(&zeros, &OsEntropy::new()).unwrap();
    assert!(bomb.len() < 4096);
    let too_large = CryptoError::TooLarge { len: 8 << 20, max: 1 << 20 };
    let narrow = wide.clone().with_max_content(1 << 20);
    assert_eq!(narrow.field(BODY).decrypt(&bomb), Err(too_large.clone()));
    assert_eq!(narrow.field(BODY).encrypt(&zeros, &OsEntropy::new()), Err(too_large));
    assert_eq!(wide.field(BODY).decrypt(&bomb), Ok(zeros));
}

#[test]
fn rotation_changes_only_the_wrapped_dek() {
    let (old, new) = (ring(TEAM, 1), ring(TEAM, 2));
    let sealed = old.field(BODY).encrypt(&compressible(), &OsEntropy::new()).unwrap();
    let parts: Vec<&str> = sealed.split(':').collect();
    let wrapped = new.field(BODY).rotate_kek(1, 2, parts[2], &OsEntropy::new()).unwrap();
    assert_ne!(wrapped, parts[2]);
    let rotated = format!("v1:{}:{wrapped}:{}", parts[1], parts[3]);
    assert_eq!(sealed_key_id(&rotated), Ok(2));

    // It opens with only the new version.
    let only_new = TeamKeyRing::new(team(TEAM), 2, [(2, TeamKey::generate(&Seeded::new(2)))]).unwrap();
    assert_eq!(only_new.field(BODY).decrypt(&rotated), Ok(compressible()));
    assert_eq!(old.field(BODY).decrypt(&rotated), Err(CryptoError::UnknownKey { version: 2 }));

    // The whole-field form does the same, once.
    let rewrapped = new.field(BODY).rewrap(&sealed, &OsEntropy::new()).unwrap().unwrap();
    let (a, b): (Vec<_>, Vec<_>) = (rewrapped.split(':').collect(), sealed.split(':').collect());
    assert_eq!((a[1], a[3]), (b[1], b[3]));
    assert_eq!(only_new.field(BODY).decrypt(&rewrapped), Ok(compressible()));
    assert_eq!(new.field(BODY).rewrap(&rewrapped, &OsEntropy::new()), Ok(None));
}

#[test]
fn rotation_rejects_other_keys_and_contexts() {
    let ring = ring(TEAM, 2);
    let sealed = ring.field(BODY).encrypt(b"x", &OsEntropy::new()).unwrap();
    let wrapped = sealed.split(':').nth(2).unwrap();
    let rotate = |old, new, place| ring.field(place).rotate_kek(old, new, wrapped, &OsEntropy::new());
    assert_eq!(rotate(1, 2, BODY), Err(CryptoError::OtherKey { expected: 1, found: 2 }));
    assert_eq!(rotate(2, 3, BODY), Err(CryptoError::UnknownKey { version: 3 }));
    let elsewhere = FieldContext { row_id: "another/main/row", ..BODY };
    assert_eq!(rotate(2, 1, elsewhere), Err(CryptoError::NotAuthentic { what: "sealed field" }));
}

#[test]
fn a_field_without_a_team_is_sealed_by_the_kek() {
    let place = FieldContext { table: "logins", row_id: "7", column: "secret" };
    let (a, both) = (kek_ring(KEK_A, None), kek_ring(KEK_B, Some(KEK_A)));
    let sealed = a.field(place).encrypt(b"no team", &OsEntropy::new()).unwrap();
    assert_eq!(sealed_key_id(&sealed), Ok(a.active_id().to_u32()));
    assert_eq!(both.field(place).decrypt(&sealed), Ok(b"no team".to_vec()));
    let error = kek_ring(KEK_B, None).field(place).decrypt(&sealed).unwrap_err();
    assert_eq!(error, CryptoError::UnknownKek { id: a.active_id() });

    let moved = both.field(place).rewrap(&sealed, &OsEntropy::new()).unwrap().unwrap();
    assert_eq!(sealed_key_id(&moved), Ok(both.active_id().to_u32()));
    assert_eq!(kek_ring(KEK_B, None).field(place).decrypt(&moved), Ok(b"no team".to_vec()));
}

#[test]
fn a_ring_requires_distinct_versions_and_the_active_one() {
    let key = || TeamKey::generate(&OsEntropy::new());
    let error = |active, keys: Vec<_>| TeamKeyRing::new(team(TEAM), active, keys).unwrap_err();
    assert_eq!(error(2, vec![(1, key())]), CryptoError::UnknownKey { version: 2 });
    assert_eq!(error(1, vec![(1, key()), (1, key())]), CryptoError::DuplicateKey { version: 1 });
}
