//! Splits text into words for search. Index, queries and snippets use the same rules, so that they agree.
//! [`view::search_text`](crate::view::search_text) decides which text of a line is searchable.
//!
//! * Normalization: each character is decomposed (Unicode Standard Annex #15, NFKD), loses its combining marks and
//!   becomes lower case; `ς` becomes `σ`. So case, accents and compatibility forms make no difference.
//! * A word is a run of letters and digits; every other character, including `_`, separates words.
//! * Scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Korean, whose particles are
//!   attached to words, are split into characters: in a run of such characters, each character is a word, and so are each
//!   two adjacent ones. A query uses the pairs, or the character if it is the only one of its run. So a query finds its
//!   text inside a longer run, too, and rarely anything else.

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

/// The version of these rules. An index that was made by other rules must be made again; so every change of the words of a
/// text needs a new number.
pub const VERSION: i16 = 2;

/// Passes each word of a text and its byte range in it to `visit`, in order of their beginnings.
pub fn each_word(text: &str, mut visit: impl FnMut(&str, Range<usize>)) {
    each_token(text, |token| visit(token.text, token.at));
}

/// A word of a text, with its place.
struct Token<'a> {
    text: &'a str,
    at: Range<usize>,
    /// Its number among the words of the text, where each character of a script without spaces counts as one.
    position: usize,
    /// Whether a query uses it: it is not a single character of a longer run.
    is_queried: bool,
}

fn each_token(text: &str, visit: impl FnMut(Token<'_>)) {
    let mut tokens = Tokens { visit, word: String::new(), word_at: 0..0, run: Vec::new(), position: 0 };
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        // Most text is ASCII, which decomposes to itself.
        if c.is_ascii_alphanumeric() {
            tokens.letter(c.to_ascii_lowercase(), start..end);
        } else if c.is_ascii() {
            tokens.finish();
        } else {
            for c in folded(c) {
                match c {
                    _ if !c.is_alphanumeric() => tokens.finish(),
                    _ if is_unsegmented(c) => tokens.character(c, start..end),
                    _ => tokens.letter(c, start..end),
                }
            }
        }
    }
    tokens.finish();
}

/// The normalized characters of a character, without combining marks. Hangul syllables are decomposed: see [`composed`].
fn folded(c: char) -> impl Iterator<Item = char> {
    let lowercase = std::iter::once(c).nfkd().flat_map(char::to_lowercase);
    lowercase.filter(|c| !is_combining_mark(*c)).map(|c| if c == 'ς' { 'σ' } else { c })
}

/// The Hangul syllable of two parts of one (The Unicode Standard, section 3.12).
fn composed(first: char, second: char) -> Option<char> {
    let (first, second) = (u32::from(first), u32::from(second));
    let code = match (first, second) {
        (0x1100..=0x1112, 0x1161..=0x1175) => 0xac00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28,
        (0xac00..=0xd7a3, 0x11a8..=0x11c2) if (first - 0xac00).is_multiple_of(28) => {
            first + (second - 0x11a7)
        }
        _ => return None,
    };
    char::from_u32(code)
}

/// The word or run that is being read.
struct Tokens<F> {
    visit: F,
    word: String,
    word_at: Range<usize>,
    run: Vec<(char, Range<usize>)>,
    position: usize,
}

impl<F: FnMut(Token<'_>)> Tokens<F> {
    /// Adds a letter of a script with spaces.
    fn letter(&mut self, c: char, at: Range<usize>) {
        self.finish_run();
        if self.word.is_empty() {
            self.word_at.start = at.start;
        }
        self.word.push(c);
        self.word_at.end = at.end;
    }

    /// Adds a character of a script without spaces.
    fn character(&mut self, c: char, at: Range<usize>) {
        self.finish_word();
        if let Some((last, last_at)) = self.run.last_mut()
            && let Some(syllable) = composed(*last, c)
        {
            (*last, last_at.end) = (syllable, at.end);
        } else {
            self.run.push((c, at));
        }
    }

    fn finish(&mut self) {
        self.finish_word();
        self.finish_run();
    }

    fn finish_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        (self.visit)(Token {
            text: &self.word,
            at: self.word_at.clone(),
            position: self.position,
            is_queried: true,
        });
        self.word.clear();
        self.position += 1;
    }

    fn finish_run(&mut self) {
        let is_single = self.run.len() == 1;
        let mut following = self.run.iter().skip(1);
        let mut text = String::new();
        for (c, at) in &self.run {
            text.clear();
            text.push(*c);
            let position = self.position;
            (self.visit)(Token { text: &text, at: at.clone(), position, is_queried: is_single });
            if let Some((next, next_at)) = following.next() {
                text.push(*next);
                (self.visit)(Token { text: &text, at: at.start..next_at.end, position, is_queried: true });
            }
            self.position += 1;
        }
        self.run.clear();
    }
}

/// Whether the character belongs to a script without spaces between words, or to Hangul, by its Unicode block.
fn is_unsegmented(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Myanmar
        | '\u{1100}'..='\u{11ff}' // parts of Hangul syllables
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' // Japanese
        | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' // Hangul
    )
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
    /// The words of each phrase: their positions in it, and their indexes in `words`.
    phrases: Vec<Vec<(usize, usize)>>,
}

/// A word of a text that is also one of the query's.
struct Found {
    /// Its position in the text, and its index in the query's words.
    place: (usize, usize),
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
        let mut phrases: Vec<Vec<(usize, String)>> = Vec::new();
        for part in parts {
            let mut phrase = Vec::new();
            each_token(part, |token| {
                if token.is_queried {
                    phrase.push((token.position, token.text.to_owned()));
                }
            });
            phrases.push(phrase);
        }
        let mut words: Vec<String> = phrases.iter().flatten().map(|(_, word)| word.clone()).collect();
        words.sort_unstable();
        words.dedup();
        match words.len() {
            0 => return Err(QueryError::Empty),
            n if n > MAX_QUERY_WORDS => return Err(QueryError::TooManyWords),
            _ => {}
        }
        phrases.retain(|phrase| phrase.len() > 1);
        let index = |(position, word): &(usize, String)| Some((*position, words.binary_search(word).ok()?));
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
        let mut found = Vec::new();
        let mut missing: BTreeSet<usize> = (0..self.words.len()).collect();
        each_token(text, |token| {
            if let Ok(word) = self.words.binary_search_by(|wanted| wanted.as_str().cmp(token.text)) {
                missing.remove(&word);
                found.push(Found { place: (token.position, word), at: token.at });
            }
        });
        if !missing.is_empty() {
            return None;
        }
        let first_word = found.first().map(|found: &Found| found.at.clone());
        found.sort_by_key(|found| found.place);
        let mut first = None;
        for phrase in &self.phrases {
            let place = |place| {
                let at = found.binary_search_by_key(&place, |found| found.place).ok()?;
                found.get(at)
            };
            let (begin, wanted) = *phrase.first()?;
            let starts = found.iter().filter(|found| found.place.1 == wanted);
            let at = starts.clone().find_map(|start| {
                let mut end = start.at.end;
                for (position, word) in phrase {
                    end = end.max(place((start.place.0 + position - begin, *word))?.at.end);
                }
                Some(start.at.start..end)
            })?;
            first = first.or(Some(at));
        }
        first.or(first_word)
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
            let mut last = '\0';
            for c in line.chars() {
                if c.is_ascii() {
                    last = c.to_ascii_lowercase();
                    self.folded.push(last);
                    continue;
                }
                for c in folded(c) {
                    let syllable = composed(last, c);
                    if syllable.is_some() {
                        self.folded.pop();
                    }
                    last = syllable.unwrap_or(c);
                    self.folded.push(last);
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
    use unicode_normalization::UnicodeNormalization as _;

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
        assert_eq!(texts("検索test東京"), ["検", "検索", "索", "test", "東", "東京", "京"]);
        assert_eq!(texts("検 ソフト・ア"), ["検", "ソ", "ソフ", "フ", "フト", "ト", "ア"]);
        assert_eq!(texts("서버가"), ["서", "서버", "버", "버가", "가"]);
        assert_eq!(texts("\u{1112}\u{1161}\u{11ab}글"), texts("한글"), "decomposed syllables");
        assert_eq!(texts("ภาษา"), ["ภ", "ภา", "า", "าษ", "ษ", "ษา", "า"]);
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

    #[test]
    fn text_in_scripts_without_spaces_is_found_inside_longer_runs() {
        let found =
            |query: &str, text: &str| Query::parse(query).unwrap().find(text).map(|at| text[at].to_owned());
        for (query, text) in [
            ("搜索", "全文搜索引擎"),
            ("索", "全文搜索引擎"),
            ("検索エンジン", "この検索エンジンは速い"),
            ("서버", "서버가 멈췄다"),
            ("서버", "새서버에서"),
            ("값", "값이"),
            ("ค้นหา", "การค้นหาข้อความ"),
            ("Redis", "Redisを使う"),
            ("Redisを", "Redisを使う"),
            ("を使", "Redisを使う"),
            ("使うtest", "を使うtest"),
            ("うtest2", "を使うtest2"),
            ("ガイド", "ｶﾞｲﾄﾞ"),
        ] {
            assert!(found(query, text).is_some(), "{query} in {text}");
            let mut filter = LineFilter::new(&Query::parse(query).unwrap());
            assert!(filter.may_match(&line(text, false, false)), "{query} in {text}");
        }
        assert_eq!(found("搜索", "全文搜索引擎").as_deref(), Some("搜索"));
        assert_eq!(found("Redisを", "Redisを使う").as_deref(), Some("Redisを"));
        // The characters in another order, or apart, are another text.
        for (query, text) in
            [("搜索", "索搜"), ("搜索", "搜 索"), ("검색기", "검색 색기"), ("一二三", "一二 二三")]
        {
            assert_eq!(found(query, text), None, "{query} in {text}");
        }
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
            text in "[aeF1 é\u{301}ﬁ½²検索한ᄒ\u{1161}ไทยς\u{1b}\"\\\\_\n-]{0,30}|\\PC{0,20}",
            query in "[aeF1f éﬁ½²検索한하ไทς_\"-]{1,6}",
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
        fn a_part_of_a_run_is_found_in_it(run in "[検索東京한글서버ไทย]{1,20}", from in 0usize..20, length in 1usize..8) {
            let part: String = run.chars().skip(from).take(length).collect();
            if let Ok(query) = Query::parse(&part) {
                let text = format!("before {run}after");
                let at = query.find(&text);
                prop_assert!(at.is_some(), "{part} in {text}");
                prop_assert!(Query::parse(&part).unwrap().find(&text[at.unwrap()]).is_some());
            }
        }

        #[test]
        fn composed_and_decomposed_text_has_the_same_words(text in "[가-힣a-z é]{0,20}") {
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(texts(&decomposed), texts(&text));
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
