//! Splits text into words for search. Index, queries and snippets use the same rules, so that they agree.
//! [`view::search_text`](crate::view::search_text) decides which text of a line is searchable.
//!
//! * Normalization: each character is decomposed (Unicode Standard Annex #15, NFKD), loses its combining marks and
//!   becomes lower case; `ς` becomes `σ`. So case, accents and compatibility forms make no difference.
//! * A word is a run of letters and digits; every other character, including `_`, separates words.
//! * Each Chinese or Japanese character is a word, because these scripts have no separators.

use std::collections::BTreeSet;
use std::ops::Range;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The maximum length of a query, in characters.
pub const MAX_QUERY_CHARS: usize = 500;

/// The maximum number of distinct words in a query.
pub const MAX_QUERY_WORDS: usize = 16;

/// A word and its byte range in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The normalized word.
    pub text: String,
    /// Its byte range in the text.
    pub at: Range<usize>,
}

/// The words of a text, in order.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut word = Word { text: String::new(), at: 0..0 };
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        // Most text is ASCII, which decomposes to itself.
        if c.is_ascii_alphanumeric() {
            push(&mut word, c.to_ascii_lowercase(), start..end);
        } else if c.is_ascii() {
            finish(&mut word, &mut found);
        } else {
            for c in std::iter::once(c).nfkd().flat_map(char::to_lowercase) {
                if is_combining_mark(c) {
                    continue;
                }
                match c {
                    _ if is_unsegmented(c) => {
                        finish(&mut word, &mut found);
                        push(&mut word, c, start..end);
                        finish(&mut word, &mut found);
                    }
                    'ς' => push(&mut word, 'σ', start..end),
                    _ if c.is_alphanumeric() => push(&mut word, c, start..end),
                    _ => finish(&mut word, &mut found),
                }
            }
        }
    }
    finish(&mut word, &mut found);
    found
}

fn push(word: &mut Word, c: char, at: Range<usize>) {
    if word.text.is_empty() {
        word.at.start = at.start;
    }
    word.text.push(c);
    word.at.end = at.end;
}

fn finish(word: &mut Word, found: &mut Vec<Word>) {
    if !word.text.is_empty() {
        let text = std::mem::take(&mut word.text);
        found.push(Word { text, at: word.at.clone() });
    }
}

/// Whether the character belongs to a script without spaces between words: the Unicode blocks of Han, Hiragana and
/// Katakana.
fn is_unsegmented(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Why a search query is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// It has no words.
    #[error("it contains no word: search for letters or digits")]
    Empty,
    /// It is too long.
    #[error("it has more than {MAX_QUERY_CHARS} characters: shorten it")]
    TooLong,
    /// It has too many words.
    #[error("it has more than {MAX_QUERY_WORDS} different words: leave some out")]
    TooManyWords,
}

/// A query: words that must all occur, and phrases whose words must occur in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    words: BTreeSet<String>,
    phrases: Vec<Vec<String>>,
}

impl Query {
    /// Parses words, and phrases in `"`. Several words without a space between them, such as `snake_case`, are a
    /// phrase.
    ///
    /// # Errors
    /// If it is empty or exceeds a limit.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.chars().nth(MAX_QUERY_CHARS).is_some() {
            return Err(QueryError::TooLong);
        }
        let quoted = text.split('"').enumerate();
        let parts = quoted
            .flat_map(|(n, part)| if n % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
        let phrases = parts.map(|part| words(part).into_iter().map(|word| word.text).collect::<Vec<_>>());
        let mut query = Self { words: BTreeSet::new(), phrases: Vec::new() };
        for phrase in phrases {
            query.words.extend(phrase.iter().cloned());
            if phrase.len() > 1 {
                query.phrases.push(phrase);
            }
        }
        match query.words.len() {
            0 => Err(QueryError::Empty),
            n if n > MAX_QUERY_WORDS => Err(QueryError::TooManyWords),
            _ => Ok(query),
        }
    }

    /// The distinct words.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The byte range of the first match if the text matches the query: of the first phrase, or without phrases, of
    /// the first word.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        let found = words(text);
        let has = |wanted: &String| found.iter().any(|word| word.text == *wanted);
        if !self.words.iter().all(has) {
            return None;
        }
        let mut first = None;
        for phrase in &self.phrases {
            let at = found
                .windows(phrase.len())
                .find(|window| window.iter().zip(phrase).all(|(word, wanted)| word.text == *wanted))?;
            first = first.or(Some(at.first()?.at.start..at.last()?.at.end));
        }
        first.or_else(|| Some(found.iter().find(|word| self.words.contains(&word.text))?.at.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Query, QueryError, words};

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn text_is_split_into_normalized_words() {
        assert_eq!(texts("Fix the CI-build, snake_case2!"), ["fix", "the", "ci", "build", "snake", "case2"]);
        assert_eq!(
            texts("Élan ELAN e\u{301}lan ﬁne Straße ΣΑΣ"),
            ["elan", "elan", "elan", "fine", "straße", "σασ"]
        );
        assert_eq!(texts("検索test東京"), ["検", "索", "test", "東", "京"]);
        assert_eq!(texts("½ x² İ"), ["1", "2", "x2", "i"]);
        assert_eq!(texts(" \u{301}--\"' "), Vec::<String>::new());
    }

    #[test]
    fn queries_match_words_and_phrases() {
        let found =
            |query: &str, text: &str| Query::parse(query).unwrap().find(text).map(|at| text[at].to_owned());
        let text = "The build is red: build_number 12, Überlauf in «main».";
        assert_eq!(found("red BUILD", text).as_deref(), Some("build"));
        assert_eq!(found("red green", text), None);
        assert_eq!(found("\"is red\"", text).as_deref(), Some("is red"));
        assert_eq!(found("\"red is\"", text), None);
        assert_eq!(found("build-number", text).as_deref(), Some("build_number"));
        assert_eq!(found("uberlauf", text).as_deref(), Some("Überlauf"));
        assert_eq!(found("buil", text), None, "no prefixes");
        assert_eq!(Query::parse(" \"\" -"), Err(QueryError::Empty));
        assert_eq!(Query::parse(&"a".repeat(501)), Err(QueryError::TooLong));
        let many: String = (0..17).map(|n| format!("w{n} ")).collect();
        assert_eq!(Query::parse(&many), Err(QueryError::TooManyWords));
    }

    proptest! {
        #[test]
        fn word_ranges_contain_their_words(text in "\\PC{0,60}|[a-zéß\u{301} ﬁ検_\"-]{0,40}") {
            for word in words(&text) {
                prop_assert!(!word.text.is_empty());
                let shown = texts(&text[word.at.clone()]);
                prop_assert!(shown.contains(&word.text), "{word:?} in {text:?}");
            }
        }

        #[test]
        fn a_text_matches_each_of_its_words(text in "\\PC{0,60}") {
            for word in words(&text) {
                let query = Query::parse(&word.text);
                if let Ok(query) = query {
                    prop_assert!(query.find(&text).is_some(), "{word:?} in {text:?}");
                }
            }
        }
    }
}
