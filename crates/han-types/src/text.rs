//! Text that people see beside other text.

/// Whether a character may be part of a name: everything but control characters, separators of lines, and the invisible
/// characters that change the direction of the text around them (Unicode UAX 9, section 2), with which one name can look
/// like another. Joiners stay: scripts and emoji need them.
#[must_use]
pub fn is_visible(c: char) -> bool {
    let redirects =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let separates = matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}');
    !c.is_control() && !redirects && !separates
}

#[cfg(test)]
mod tests {
    use super::is_visible;

    #[test]
    fn names_have_no_characters_that_reorder_them() {
        for c in ['\n', '\u{7f}', '\u{85}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}', '\u{200b}'] {
            assert!(!is_visible(c), "{c:?}");
        }
        for c in "Ada Lovelace-ÄÖ 日本 עברית \u{200d}👩".chars() {
            assert!(is_visible(c), "{c:?}");
        }
    }
}
