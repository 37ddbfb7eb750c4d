//! Sanitizes untrusted text for plaintext columns and lists: removes control characters and limits the length.

use std::borrow::Cow;

/// The maximum length of an id, in characters.
pub(crate) const MAX_ID: usize = 128;
/// The maximum length of a name (of a tool, a hook, a plugin, a model, a branch), in characters.
pub(crate) const MAX_NAME: usize = 256;
/// The maximum length of a path or URL, in characters.
pub(crate) const MAX_PATH: usize = 4096;
/// The maximum length of projected prose (a to-do, a description, a reason), in characters.
pub(crate) const MAX_PROSE: usize = 8192;

/// Makes a single line: no control characters (PostgreSQL rejects NUL), trimmed, at most `max` characters. Returns
/// `None` if nothing remains.
pub(crate) fn label(text: &str, max: usize) -> Option<String> {
    let text = text.trim();
    // Fast path: nearly every label is short plain ASCII, and each line has a dozen labels.
    if text.len() <= max && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return (!text.is_empty()).then(|| text.to_owned());
    }
    let clean: String = text.chars().filter(|c| !c.is_control()).take(max).collect();
    (!clean.is_empty()).then_some(clean)
}

/// An id that is valid as a key. An id is never truncated or cleaned, because that could make two ids equal.
pub(crate) fn id(text: &str) -> Option<String> {
    // A character has at most four bytes, so longer texts need not be counted.
    let short = text.len() <= MAX_ID || (text.len() <= 4 * MAX_ID && text.chars().nth(MAX_ID).is_none());
    (short && !text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Makes multi-line text: keeps line feeds and tabs, removes other control characters, at most `max` characters.
pub(crate) fn prose(text: &str, max: usize) -> String {
    text.chars().filter(|&c| !c.is_control() || c == '\n' || c == '\t').take(max).collect()
}

/// Removes NUL, which PostgreSQL and some clients reject.
pub(crate) fn without_nul(text: Cow<'_, str>) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.into_owned() }
}

/// The text's first `max` characters with each run of white space as one space; ends with `…` if truncated.
pub(crate) fn preview(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = count > 0;
            continue;
        }
        if count + usize::from(space) >= max {
            out.push('…');
            return out;
        }
        if space {
            out.push(' ');
            count += 1;
            space = false;
        }
        out.push(c);
        count += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{id, label, preview, prose};

    proptest! {
        #[test]
        fn cleaned_text_has_no_control_characters_and_bounded_length(text in any::<String>(), max in 1usize..40) {
            let line = label(&text, max).unwrap_or_default();
            prop_assert!(!line.contains(char::is_control) && line.chars().count() <= max);
            let lines = prose(&text, max);
            prop_assert!(!lines.contains('\0') && lines.chars().count() <= max);
            let short = preview(&text, max);
            prop_assert!(short.chars().count() <= max + 1 && !short.contains(char::is_control));
        }
    }

    #[test]
    fn ids_are_never_truncated_or_cleaned() {
        assert_eq!(id(&"é".repeat(128)), Some("é".repeat(128)));
        assert_eq!(id(&"é".repeat(129)), None);
        assert_eq!(id("a\0"), None);
        assert_eq!(id(""), None);
    }

    #[test]
    fn a_preview_is_one_line() {
        assert_eq!(preview("  one\n\n two\tthree ", 20), "one two three");
        assert_eq!(preview("öäü öäü", 5), "öäü ö…");
        assert_eq!(preview("öäü öäü", 3), "öäü…");
        assert_eq!(preview("öäü", 3), "öäü");
    }
}
