//! Several texts as one id: each part percent-encoded, joined by `~`. An id of this form contains only letters, digits,
//! `.`, `_`, `-`, `%` and `~`: it survives in a URL's path, and clients that split ids at colons keep it whole.

use std::fmt::Write as _;

const SEPARATOR: char = '~';

/// Whether a byte is kept unchanged; every other one is percent-encoded.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Joins parts: `a~b%3Ac` for `a` and `b:c`.
#[must_use]
pub fn join(parts: &[&str]) -> String {
    let mut id = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            id.push(SEPARATOR);
        }
        for byte in part.bytes() {
            if is_plain(byte) {
                id.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(id, "%{byte:02X}");
            }
        }
    }
    id
}

/// The parts of an id that [`join`] made; `None` for any other text.
#[must_use]
pub fn split(id: &str) -> Option<Vec<String>> {
    id.split(SEPARATOR).map(decode).collect()
}

fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                let byte = high << 4 | low;
                // One spelling per id: two spellings would be two records in a client's store.
                if is_plain(byte) {
                    return None;
                }
                byte
            }
            _ if is_plain(byte) => byte,
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{join, split};

    #[test]
    fn only_the_spelling_of_join_is_accepted() {
        assert_eq!(join(&["s.1", "main", "odd:uuid/1 %ü~"]), "s.1~main~odd%3Auuid%2F1%20%25%C3%BC%7E");
        assert_eq!(split("a~~b"), Some(vec!["a".to_owned(), String::new(), "b".to_owned()]));
        for other in ["a:b", "a%", "a%4", "a%zz", "a%3a", "a%41", "%FF", "ü", "a b", "%2"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_parts_round_trip(parts in prop::collection::vec(any::<String>(), 1..5)) {
            let texts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let id = join(&texts);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte)));
            prop_assert_eq!(split(&id), Some(parts));
        }

        #[test]
        fn what_is_accepted_has_one_spelling(text in "[a-zA-Z0-9.%~ü:-]{0,24}") {
            if let Some(parts) = split(&text) {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                prop_assert_eq!(join(&parts), text);
            }
        }
    }
}
