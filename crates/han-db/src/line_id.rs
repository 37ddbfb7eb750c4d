//! The stored form of the ids that lines choose: uuids of lines, and ids of calls.

use sea_orm::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The beginning of the id of a subagent in the session's own file. The uuid of the subagent's first line follows.
pub(crate) const INLINE_PREFIX: &str = "sidechain-";

/// The namespace (RFC 9562, section 5.5) of the uuids of lines whose own id is not a canonical uuid.
const OTHER_IDS: Uuid = Uuid::from_u128(0x7d2c_5a1e_93b4_4f06_8a57_c0e1_d94b_6f32);

/// A line's uuid as two columns store it: 16 bytes, and the text if the bytes do not give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LineId {
    /// The bytes of a canonical lowercase uuid; of any other text, those of its UUIDv5.
    pub bytes: [u8; 16],
    /// The text, unless it is a canonical lowercase uuid.
    pub text: Option<String>,
}

impl LineId {
    /// The stored form of a line's uuid.
    pub(crate) fn of(uuid: &str) -> Self {
        match canonical(uuid) {
            Some(bytes) => Self { bytes, text: None },
            None => Self {
                bytes: Uuid::new_v5(&OTHER_IDS, uuid.as_bytes()).into_bytes(),
                text: Some(uuid.to_owned()),
            },
        }
    }

    /// The uuid that is stored as `bytes` and `text`. Bytes of another length give their hexadecimal digits, which no
    /// line's uuid equals.
    pub(crate) fn to_text(bytes: &[u8], text: Option<String>) -> String {
        text.unwrap_or_else(|| match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => Uuid::from_bytes(bytes).to_string(),
            Err(_) => han_crypto::to_hex(bytes),
        })
    }

    /// The bytes of a line's uuid as a statement's parameter. They identify the line, except in a file that was made to
    /// contain both a text that is no uuid and the uuid derived from it.
    pub(crate) fn value(uuid: &str) -> Value {
        Self::of(uuid).bytes.to_vec().into()
    }
}

fn canonical(text: &str) -> Option<[u8; 16]> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then(|| uuid.into_bytes())
}

/// A call's id as columns store it: the first 16 bytes of its SHA-256. Calls are looked up by id; the id itself is in the
/// line.
pub(crate) fn call_key(call_id: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(call_id.as_bytes())[..16]);
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::LineId;

    proptest! {
        /// Any text comes back, and the order of canonical uuids is that of their bytes.
        #[test]
        fn uuids_convert_without_loss(text in "\\PC{0,40}", a in any::<u128>(), b in any::<u128>()) {
            let id = LineId::of(&text);
            prop_assert_eq!(LineId::to_text(&id.bytes, id.text), text);
            let (a, b) = (uuid::Uuid::from_u128(a).to_string(), uuid::Uuid::from_u128(b).to_string());
            let (id_a, id_b) = (LineId::of(&a), LineId::of(&b));
            prop_assert_eq!(id_a.bytes.cmp(&id_b.bytes), a.cmp(&b));
            prop_assert_eq!(id_a.text.clone(), None);
            prop_assert_eq!(LineId::to_text(&id_a.bytes, id_a.text), a);
        }

        /// Other spellings of a uuid are other ids.
        #[test]
        fn only_the_canonical_form_is_stored_as_bytes_alone(n in any::<u128>()) {
            let uuid = uuid::Uuid::from_u128(n);
            for other in [uuid.simple().to_string(), uuid.braced().to_string(), uuid.urn().to_string()] {
                prop_assert_eq!(LineId::of(&other).text, Some(other));
            }
        }
    }
}
