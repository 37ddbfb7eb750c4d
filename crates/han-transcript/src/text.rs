//! Making foreign text fit for a clear column or a list: without control characters, and of bounded length.

use std::borrow::Cow;

/// The longest id that is taken over, in characters.
pub(crate) const MAX_ID: usize = 128;
/// The longest name (of a tool, a hook, a plugin, a model, a branch) that is taken over, in characters.
pub(crate) const MAX_NAME: usize = 256;
/// The longest path or URL that is taken over, in characters.
pub(crate) const MAX_PATH: usize = 4096;
/// The longest projected prose (a to-do, a description, a reason), in characters.
pub(crate) const MAX_PROSE: usize = 8192;

/// One line: no control characters at all (NUL among them, which PostgreSQL refuses), no white space at its
/// ends, at most `max` characters. Empty is `None`.
pub(crate) fn label(text: &str, max: usize) -> Option<String> {
    let text = text.trim();
    // Nearly every label is short plain ASCII, and there are a dozen on every line.
    if text.len() <= max && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return (!text.is_empty()).then(|| text.to_owned());
    }
    let clean: String = text.chars().filter(|c| !c.is_control()).take(max).collect();
    (!clean.is_empty()).then_some(clean)
}

/// An id that may stand as a key: taken whole or not at all, since two ids must not become one by cleaning.
pub(crate) fn id(text: &str) -> Option<String> {
    // Four bytes are the longest character: whatever is longer need not be counted.
    let short = text.len() <= MAX_ID || (text.len() <= 4 * MAX_ID && text.chars().nth(MAX_ID).is_none());
    (short && !text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Several lines: keeps line feeds and tabs, drops every other control character, at most `max` characters.
pub(crate) fn prose(text: &str, max: usize) -> String {
    text.chars().filter(|&c| !c.is_control() || c == '\n' || c == '\t').take(max).collect()
}

/// Text without NUL, which neither PostgreSQL nor every client takes; borrowed where there is none.
pub(crate) fn without_nul(text: Cow<'_, str>) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.into_owned() }
}

/// The text's first `max` characters, white space runs as one space, and `…` where something was cut.
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
        fn what_is_cleaned_is_clean_and_short(text in any::<String>(), max in 1usize..40) {
            let line = label(&text, max).unwrap_or_default();
            prop_assert!(!line.contains(char::is_control) && line.chars().count() <= max);
            let lines = prose(&text, max);
            prop_assert!(!lines.contains('\0') && lines.chars().count() <= max);
            let short = preview(&text, max);
            prop_assert!(short.chars().count() <= max + 1 && !short.contains(char::is_control));
        }
    }

    #[test]
    fn an_id_is_whole_or_absent() {
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
