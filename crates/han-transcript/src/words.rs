//! Splits text into words for search. Index, queries and snippets use the same rules, so that they agree.
//! [`view::search_text`](crate::view::search_text) decides which text of a line is searchable.
//!
//! * Normalization: each character is decomposed (Unicode Standard Annex #15, NFKD), loses its combining marks and
//!   becomes lower case; `ς` becomes `σ`. So case, accents and compatibility forms make no difference.
//! * A word is a run of letters and digits; every other character, including `_`, separates words.
//! * Each Chinese or Japanese character is a word, because these scripts have no separators.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::memmem;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The maximum length of a query, in characters.
pub const MAX_QUERY_CHARS: usize = 500;

/// The maximum number of distinct words in a query.
pub const MAX_QUERY_WORDS: usize = 16;

/// Passes each word of a text and its byte range in it to `visit`, in order.
pub fn each_word(text: &str, mut visit: impl FnMut(&str, Range<usize>)) {
    let mut word = Word { text: String::new(), at: 0..0 };
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        // Most text is ASCII, which decomposes to itself.
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase(), start..end);
        } else if c.is_ascii() {
            word.finish(&mut visit);
        } else {
            for c in folded(c) {
                match c {
                    _ if is_unsegmented(c) => {
                        word.finish(&mut visit);
                        word.push(c, start..end);
                        word.finish(&mut visit);
                    }
                    _ if c.is_alphanumeric() => word.push(c, start..end),
                    _ => word.finish(&mut visit),
                }
            }
        }
    }
    word.finish(&mut visit);
}

/// The normalized characters of a character, without combining marks.
fn folded(c: char) -> impl Iterator<Item = char> {
    let lowercase = std::iter::once(c).nfkd().flat_map(char::to_lowercase);
    lowercase.filter(|c| !is_combining_mark(*c)).map(|c| if c == 'ς' { 'σ' } else { c })
}

/// The word that is being read, and its byte range.
struct Word {
    text: String,
    at: Range<usize>,
}

impl Word {
    fn push(&mut self, c: char, at: Range<usize>) {
        if self.text.is_empty() {
            self.at.start = at.start;
        }
        self.text.push(c);
        self.at.end = at.end;
    }

    fn finish(&mut self, visit: &mut impl FnMut(&str, Range<usize>)) {
        if !self.text.is_empty() {
            visit(&self.text, self.at.clone());
            self.text.clear();
        }
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
    /// Sorted, each once.
    words: Vec<String>,
    /// The words of each phrase, as indexes of `words`.
    phrases: Vec<Vec<usize>>,
}

/// A word of a text that is also one of the query's.
struct Found {
    /// Which word of the text, and which of the query.
    position: usize,
    word: usize,
    at: Range<usize>,
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
        let mut phrases: Vec<Vec<String>> = Vec::new();
        for part in parts {
            let mut phrase = Vec::new();
            each_word(part, |word, _| phrase.push(word.to_owned()));
            phrases.push(phrase);
        }
        let mut words: Vec<String> = phrases.iter().flatten().cloned().collect();
        words.sort_unstable();
        words.dedup();
        match words.len() {
            0 => return Err(QueryError::Empty),
            n if n > MAX_QUERY_WORDS => return Err(QueryError::TooManyWords),
            _ => {}
        }
        phrases.retain(|phrase| phrase.len() > 1);
        let index = |word: &String| words.binary_search(word).ok();
        let phrases = phrases.iter().map(|phrase| phrase.iter().filter_map(index).collect()).collect();
        Ok(Self { words, phrases })
    }

    /// The distinct words.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The byte range of the first match if the text matches the query: of the first phrase, or without phrases, of
    /// the first word.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        let (mut found, mut position) = (Vec::new(), 0);
        let mut missing: BTreeSet<usize> = (0..self.words.len()).collect();
        each_word(text, |word, at| {
            if let Ok(word) = self.words.binary_search_by(|wanted| wanted.as_str().cmp(word)) {
                missing.remove(&word);
                found.push(Found { position, word, at });
            }
            position += 1;
        });
        if !missing.is_empty() {
            return None;
        }
        let mut first = None;
        for phrase in &self.phrases {
            let is_match =
                |window: &&[Found]| {
                    let begin = window.first().map_or(0, |found| found.position);
                    window.iter().zip(phrase).zip(begin..).all(|((found, wanted), position)| {
                        found.word == *wanted && found.position == position
                    })
                };
            let at = found.windows(phrase.len()).find(is_match)?;
            first = first.or(Some(at.first()?.at.start..at.last()?.at.end));
        }
        first.or_else(|| Some(found.first()?.at.clone()))
    }
}

/// Excludes lines that cannot match a query, without parsing them: many times faster than [`Query::find`].
pub struct LineFilter {
    words: Vec<memmem::Finder<'static>>,
    /// The line, with the normalization of words.
    folded: String,
}

impl LineFilter {
    /// The filter of a query.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        let words = query.words().map(|word| memmem::Finder::new(word.as_bytes()).into_owned()).collect();
        Self { words, folded: String::new() }
    }

    /// Whether [`view::search_text`](crate::view::search_text) of a transcript's line may match the query. `false` is
    /// certain.
    pub fn may_match(&mut self, line: &str) -> bool {
        self.folded.clear();
        if line.is_ascii() {
            self.folded.push_str(line);
            self.folded.make_ascii_lowercase();
        } else {
            for c in line.chars() {
                match c {
                    _ if c.is_ascii() => self.folded.push(c.to_ascii_lowercase()),
                    _ => self.folded.extend(folded(c)),
                }
            }
        }
        self.words.iter().all(|word| word.find(self.folded.as_bytes()).is_some()) || has_escaped_letters(line)
    }
}

/// Whether a line of JSON has escapes of other than control characters, which are frequent and in no word.
fn has_escaped_letters(line: &str) -> bool {
    let is_control = |escape: &str| escape.starts_with("000") || escape.starts_with("001");
    line.match_indices("\\u").any(|(at, _)| !is_control(&line[at + 2..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LineFilter, Query, QueryError, each_word};
    use crate::line_text;
    use crate::view::search_text;

    fn words(text: &str) -> Vec<(String, std::ops::Range<usize>)> {
        let mut found = Vec::new();
        each_word(text, |word, at| found.push((word.to_owned(), at)));
        found
    }

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|(word, _)| word).collect()
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

    /// A line of JSON with this content, in one of the spellings that JSON has for it.
    fn line(text: &str, escapes: bool, is_nested: bool) -> String {
        let mut content = serde_json::to_string(text).unwrap();
        if escapes {
            let escape = |c: char| match c {
                ' '..='~' if !matches!(c, 'e' | 'F' | '1') => c.to_string(),
                _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            };
            content = content.chars().map(escape).collect();
        }
        let line = format!(r#"{{"type":"user","message":{{"role":"user","content":{content}}}}}"#);
        if is_nested { serde_json::to_string(&line).unwrap() } else { line }
    }

    #[test]
    fn lines_without_the_words_are_excluded_although_they_have_other_characters() {
        let excluded =
            |query: &str, line: &str| !LineFilter::new(&Query::parse(query).unwrap()).may_match(line);
        assert!(excluded("検", &line("索 red", false, false)));
        assert!(!excluded("検", &line("検索", false, false)));
        assert!(excluded("red", &line("blue \u{1b}[0m → „é“ 検索", false, false)));
        assert!(excluded("red build", &line("red", false, true)));
        assert!(!excluded("red", &line("RED", false, false)));
        assert!(!excluded("fine", &line("ﬁne", false, false)));
    }

    proptest! {
        #[test]
        fn no_line_that_matches_is_excluded(
            text in "[aeF1 é\u{301}ﬁ½²検ς\u{1b}\"\\\\_\n-]{0,30}|\\PC{0,20}",
            query in "[aeF1f éﬁ½²検ς_\"-]{1,6}",
            escapes: bool,
            is_nested: bool,
        ) {
            let line = line(&text, escapes, is_nested);
            if let Ok(query) = Query::parse(&query)
                && query.find(&search_text(&line_text(&line), usize::MAX)).is_some()
            {
                prop_assert!(LineFilter::new(&query).may_match(&line), "{query:?} in {line}");
            }
        }

        #[test]
        fn word_ranges_contain_their_words(text in "\\PC{0,60}|[a-zéß\u{301} ﬁ検_\"-]{0,40}") {
            for (word, at) in words(&text) {
                prop_assert!(!word.is_empty());
                let shown = texts(&text[at]);
                prop_assert!(shown.contains(&word), "{word:?} in {text:?}");
            }
        }

        #[test]
        fn a_text_matches_each_of_its_words(text in "\\PC{0,60}") {
            for word in texts(&text) {
                let query = Query::parse(&word);
                if let Ok(query) = query {
                    prop_assert!(query.find(&text).is_some(), "{word:?} in {text:?}");
                }
            }
        }
    }
}
