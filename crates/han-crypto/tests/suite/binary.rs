//! Tests the binary form of sealed fields, its conversion to text, and packed content.

use han_crypto::{
    BinaryField, CryptoError, FieldContext, OsEntropy, Packed, TeamKey, TeamKeyRing, sealed_key_id,
    wrapped_dek_key_id,
};
use proptest::prelude::*;

use crate::fields::content;
use crate::{KEK_A, KEK_B, Seeded, TEAM, kek_ring, ring, team};

const BODY: FieldContext<'_> =
    FieldContext { table: "segments", row_id: "258c7280/main/0/41", column: "body" };

/// No content of these tests is longer.
const MAX: usize = 1 << 20;

fn sealed(ring: &TeamKeyRing, content: &[u8]) -> BinaryField {
    ring.field(BODY).encrypt_binary(Packed::new(content), &OsEntropy::new()).unwrap()
}

/// Any three columns of the right lengths, and of wrong ones.
fn columns() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    let bytes = |len| prop::collection::vec(any::<u8>(), len);
    prop_oneof![
        (bytes(12..=12), bytes(64..=64), bytes(17..=80)),
        (bytes(11..=13), bytes(63..=65), bytes(0..=20)),
    ]
}

proptest! {
    #[test]
    fn both_forms_convert_into_each_other_and_open_to_the_content(content in content(), seed: u64) {
        let ring = ring(TEAM, 2);
        let field = ring.field(BODY);
        let binary = field.encrypt_binary(Packed::new(&content), &Seeded::new(seed)).unwrap();
        let text = binary.to_text();
        prop_assert_eq!(&text.parse::<BinaryField>().unwrap(), &binary);
        prop_assert_eq!(field.decrypt(&text).unwrap(), &content[..]);
        prop_assert_eq!((binary.key_id(), sealed_key_id(&text).unwrap()), (2, 2));
        prop_assert_eq!(field.decrypt_binary(binary, content.len()).unwrap(), &content[..]);

        let text = field.encrypt(&content, &Seeded::new(seed)).unwrap();
        let (nonce, wrapped, ciphertext) = text.parse::<BinaryField>().unwrap().into_columns();
        prop_assert_eq!(wrapped_dek_key_id(&wrapped).unwrap(), 2);
        let binary = BinaryField::from_columns(&nonce, &wrapped, ciphertext).unwrap();
        prop_assert_eq!(binary.to_text(), text);
        prop_assert_eq!(field.decrypt_binary(binary, content.len()).unwrap(), content);
    }

    #[test]
    fn columns_are_refused_by_length_or_have_exactly_one_text((nonce, wrapped, ciphertext) in columns()) {
        let right = nonce.len() == 12 && wrapped.len() == 64 && ciphertext.len() >= 17;
        match BinaryField::from_columns(&nonce, &wrapped, ciphertext.clone()) {
            Ok(field) => {
                prop_assert!(right);
                prop_assert_eq!(field.to_text().parse::<BinaryField>().unwrap(), field.clone());
                let held = (&field.nonce()[..], &field.wrapped_dek()[..], field.ciphertext());
                prop_assert_eq!(held, (&nonce[..], &wrapped[..], &ciphertext[..]));
                // No key sealed it.
                prop_assert!(ring(TEAM, 1).field(BODY).decrypt_binary(field, MAX).is_err());
            }
            Err(error) => prop_assert!(!right && matches!(error, CryptoError::Malformed { .. }), "{error:?}"),
        }
        let rotated = ring(TEAM, 1).field(BODY).rewrap_binary(&wrapped, &OsEntropy::new());
        prop_assert!(!matches!(rotated, Ok(Some(_))));
    }

    #[test]
    fn a_text_that_parses_is_the_text_of_its_value(
        text in prop_oneof![".*", "v1:[A-Za-z0-9_=-]{16}:[A-Za-z0-9_=-]{86}:[A-Za-z0-9_-]{22,60}"],
    ) {
        if let Ok(field) = text.parse::<BinaryField>() {
            prop_assert_eq!(field.to_text(), text);
        }
    }

    #[test]
    fn a_changed_byte_of_any_column_is_detected(content in content(), index: prop::sample::Index, mask in 1..=255u8) {
        // The ring also has version 1, so that a key id changed from 2 to 1 is known and must still fail.
        let ring = ring(TEAM, 2);
        let (mut nonce, mut wrapped, mut ciphertext) = sealed(&ring, &content).into_columns();
        let at = index.index(nonce.len() + wrapped.len() + ciphertext.len());
        let mut bytes = nonce.iter_mut().chain(&mut wrapped).chain(&mut ciphertext);
        *bytes.nth(at).unwrap() ^= mask;
        let field = BinaryField::from_columns(&nonce, &wrapped, ciphertext).unwrap();
        prop_assert!(ring.field(BODY).decrypt_binary(field, MAX).is_err());
    }

    #[test]
    fn packed_content_opens_up_to_its_length(content in content()) {
        let packed = Packed::new(&content);
        prop_assert_eq!(packed.content_len(), content.len());
        let bytes = packed.into_bytes();
        prop_assert!(bytes.len() <= content.len() + 1);
        prop_assert_eq!(Packed::open(bytes.clone(), content.len()).unwrap(), &content[..]);
        if let Some(less) = content.len().checked_sub(1) {
            let too_large = CryptoError::TooLarge { len: content.len() as u64, max: less as u64 };
            prop_assert_eq!(Packed::open(bytes, less), Err(too_large));
        }
    }

    #[test]
    fn hostile_packed_content_is_an_error_or_small(
        mut bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            content().prop_map(|content| Packed::new(&content).into_bytes()),
        ],
        change: prop::sample::Index,
        mask: u8,
        cut: prop::sample::Index,
    ) {
        if !bytes.is_empty() {
            let at = change.index(bytes.len());
            bytes[at] ^= mask;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(content) = Packed::open(bytes, 1000) {
            prop_assert!(content.len() <= 1000 && content.capacity() <= 1001);
        }
    }
}

#[test]
fn a_binary_field_opens_only_in_its_own_context() {
    let home = ring(TEAM, 1);
    let not_authentic = Err(CryptoError::NotAuthentic { what: "sealed field" });
    for place in [
        FieldContext { table: "messages", ..BODY },
        FieldContext { row_id: "258c7280/main/0/42", ..BODY },
        FieldContext { column: "nonce", ..BODY },
    ] {
        let field = sealed(&home, b"the lines");
        assert_eq!(home.field(place).decrypt_binary(field, MAX), not_authentic, "{place:?}");
    }
    let field = sealed(&home, b"the lines");
    assert_eq!(ring("other", 1).field(BODY).decrypt_binary(field, MAX), not_authentic);
}

#[test]
fn the_declared_length_and_the_limit_of_the_ring_both_bound_the_content() {
    let ring = ring(TEAM, 1);
    let narrow = ring.clone().with_max_content(4999);
    let content = vec![b'a'; 5000];
    let field = sealed(&ring, &content);
    assert!(field.ciphertext().len() < 100);
    let too_large = |max| Err(CryptoError::TooLarge { len: 5000, max });
    assert_eq!(ring.field(BODY).decrypt_binary(field.clone(), 100), too_large(100));
    assert_eq!(narrow.field(BODY).decrypt_binary(field.clone(), 5000), too_large(4999));
    assert_eq!(ring.field(BODY).decrypt_binary(field, 5000), Ok(content.clone()));
    let refused = narrow.field(BODY).encrypt_binary(Packed::new(&content), &OsEntropy::new());
    assert_eq!(refused, Err(CryptoError::TooLarge { len: 5000, max: 4999 }));
}

#[test]
fn rotation_changes_only_the_64_bytes_of_the_wrapped_dek() {
    let (old, new) = (ring(TEAM, 1), ring(TEAM, 2));
    let (nonce, wrapped, ciphertext) = sealed(&old, b"the lines").into_columns();
    let only_new = TeamKeyRing::new(team(TEAM), 2, [(2, TeamKey::generate(&Seeded::new(2)))]).unwrap();
    let rotated = new.field(BODY).rotate_kek_binary(1, 2, &wrapped, &OsEntropy::new()).unwrap();
    let rewrapped = new.field(BODY).rewrap_binary(&wrapped, &OsEntropy::new()).unwrap().unwrap();
    for wrapped in [rotated, rewrapped] {
        assert_eq!(wrapped_dek_key_id(&wrapped), Ok(2));
        let field = BinaryField::from_columns(&nonce, &wrapped, ciphertext.clone()).unwrap();
        assert_eq!(only_new.field(BODY).decrypt_binary(field, MAX), Ok(b"the lines".to_vec()));
    }
    assert_eq!(new.field(BODY).rewrap_binary(&rewrapped, &OsEntropy::new()), Ok(None));

    let rotate = |old, new_version, place| {
        new.field(place).rotate_kek_binary(old, new_version, &wrapped, &OsEntropy::new())
    };
    assert_eq!(rotate(2, 1, BODY), Err(CryptoError::OtherKey { expected: 2, found: 1 }));
    assert_eq!(rotate(1, 3, BODY), Err(CryptoError::UnknownKey { version: 3 }));
    let elsewhere = FieldContext { row_id: "another/main/0/1", ..BODY };
    assert_eq!(rotate(1, 2, elsewhere), Err(CryptoError::NotAuthentic { what: "sealed field" }));
}

#[test]
fn both_forms_of_a_wrapped_dek_rotate_to_the_same_key() {
    // The same nonce for the wrapped DEK makes the results comparable.
    let (old, new) = (ring(TEAM, 1), ring(TEAM, 2));
    let binary = sealed(&old, b"the lines");
    let text = binary.to_text();
    let rewrapped = new.field(BODY).rewrap(&text, &Seeded::new(5)).unwrap().unwrap();
    let wrapped = new.field(BODY).rewrap_binary(binary.wrapped_dek(), &Seeded::new(5)).unwrap().unwrap();
    assert_eq!(rewrapped.parse::<BinaryField>().unwrap().wrapped_dek(), &wrapped);
}

#[test]
fn a_binary_field_without_a_team_is_sealed_by_the_kek() {
    let (a, both) = (kek_ring(KEK_A, None), kek_ring(KEK_B, Some(KEK_A)));
    let field = a.field(BODY).encrypt_binary(Packed::new(b"no team"), &OsEntropy::new()).unwrap();
    assert_eq!(field.key_id(), a.active_id().to_u32());
    assert_eq!(both.field(BODY).decrypt_binary(field, MAX), Ok(b"no team".to_vec()));
}

#[test]
fn malformed_columns_name_the_cause() {
    let (nonce, wrapped, ciphertext) = sealed(&ring(TEAM, 1), b"x").into_columns();
    let ciphertext = ciphertext.as_slice();
    for (nonce, wrapped, ciphertext, says) in [
        (&nonce[..11], &wrapped[..], ciphertext, "nonce is not 12 bytes"),
        (b"", &wrapped, ciphertext, "nonce is not 12 bytes"),
        (&nonce, &wrapped[1..], ciphertext, "wrapped key is 64 bytes"),
        (&nonce, &[0; 65], ciphertext, "wrapped key is 64 bytes"),
        (&nonce, &wrapped, &ciphertext[..16], "shorter than an authentication tag"),
    ] {
        let error = BinaryField::from_columns(nonce, wrapped, ciphertext.to_vec()).unwrap_err();
        assert!(matches!(error, CryptoError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = wrapped_dek_key_id(&wrapped[..63]).unwrap_err();
    assert!(error.to_string().contains("wrapped key is 64 bytes"), "{error}");
}

#[test]
fn debug_prints_no_content() {
    let secret = b"secret lines";
    let packed = Packed::new(secret);
    assert_eq!(format!("{packed:?}"), "Packed { len: 13, content_len: 12, .. }");
    let field = sealed(&ring(TEAM, 1), secret);
    assert_eq!(format!("{field:?}"), "BinaryField { key_id: 1, ciphertext_len: 29, .. }");
}
