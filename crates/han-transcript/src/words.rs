//! Splits text into words for search. Index, queries and snippets use the same rules, so that they agree.
//! [`view::search_text`](crate::view::search_text) decides which text of a line is searchable.
//!
//! * Normalization: each character is decomposed (Unicode Standard Annex #15, NFKD) and becomes lower case; `ß` becomes
//!   `ss` and `ς` becomes `σ`, as in full case folding. So case and compatibility forms make no difference.
//! * A mark is dropped if it only modifies its letter: an accent of the Latin and Greek scripts, the points of `ё`, the
//!   accents of Russian vowels, the points of Hebrew and Arabic. The Arabic lengthening of a line (tatweel) is dropped, too.
//!   Any other mark is part of its word, because it makes another letter, vowel or tone: those of Thai, Hindi or
//!   Japanese, and that of `й`. Marks of one letter are sorted, so that their order makes no difference.
//! * A word is a run of letters and digits with their marks; every other character, including `_`, separates words.
//! * Scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Korean, whose particles are
//!   attached to words, are split into characters: in a run of such characters, each character with its marks is a word, and
//!   so are each two adjacent ones. A query uses the pairs, or the character if it is the only one of its run. So a query finds its
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
pub const VERSION: i16 = 3;

/// The maximum number of marks of a letter. More are ignored.
const MAX_MARKS: usize = 8;

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
    let mut tokens = Tokens {
        visit,
        word: Folded::default(),
        word_at: 0..0,
        run: Folded::default(),
        characters: Vec::new(),
        position: 0,
    };
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        // Most words are ASCII.
        if tokens.is_between_words()
            && let Some(word) = ascii_word(rest)
        {
            let end = start + word.len();
            tokens.ascii_word(word, start..end);
            start = end;
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        let end = start + c.len_utf8();
        // An ASCII character decomposes to itself.
        if c.is_ascii_alphanumeric() {
            tokens.letter(c.to_ascii_lowercase(), start..end);
        } else if c.is_ascii() {
            tokens.finish();
        } else {
            for c in folded(c) {
                match c {
                    _ if is_combining_mark(c) => tokens.mark(c, end),
                    _ if !c.is_alphanumeric() => tokens.finish(),
                    _ if is_unsegmented(c) => tokens.character(c, start..end),
                    _ => tokens.letter(c, start..end),
                }
            }
        }
        start = end;
    }
    tokens.finish();
}

/// The word that a text begins with, if it consists of ASCII letters and digits, and no mark or other letter follows.
fn ascii_word(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(bytes.len());
    let ends = end > 0 && bytes.get(end).is_none_or(u8::is_ascii);
    text.get(..end).filter(|_| ends)
}

/// The normalized characters of a character, with all marks. Hangul syllables are decomposed: see [`composed`].
fn folded(c: char) -> impl Iterator<Item = char> {
    let lowercase = std::iter::once(c).nfkd().flat_map(char::to_lowercase);
    lowercase
        .flat_map(|c| match c {
            'ß' => [Some('s'), Some('s')],
            'ς' => [Some('σ'), None],
            TATWEEL => [None, None],
            c => [Some(c), None],
        })
        .flatten()
}

/// Lengthens the line between two Arabic letters.
const TATWEEL: char = '\u{640}';

/// Whether a mark makes no other letter of the letter that it follows.
fn is_ignored(letter: char, mark: char) -> bool {
    match mark {
        // Accents of the European scripts.
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{fe20}'..='\u{fe2f}' => match letter {
            'е' => matches!(mark, '\u{300}' | '\u{301}' | '\u{308}'),
            'а' | 'и' | 'о' | 'у' | 'ы' | 'э' | 'ю' | 'я' | 'і' => {
                matches!(mark, '\u{300}' | '\u{301}')
            }
            '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{a640}'..='\u{a69f}' => false,
            _ => true,
        },
        // Points of Hebrew and Arabic, but not the hamza and madda of Arabic letters.
        '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{652}'
        | '\u{656}'..='\u{65f}'
        | '\u{670}'
        | '\u{6d6}'..='\u{6ed}'
        | '\u{8d3}'..='\u{8ff}' => true,
        // Symbols around a character, and variants of its form.
        '\u{488}'..='\u{489}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{a670}'..='\u{a672}'
        | '\u{180b}'..='\u{180f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{e0100}'..='\u{e01ef}' => true,
        _ => false,
    }
}

/// Normalized characters.
#[derive(Default)]
struct Folded {
    text: String,
    /// The last character that is no mark.
    letter: Option<char>,
    /// The number of marks after it.
    marks: usize,
}

impl Folded {
    fn clear(&mut self) {
        self.text.clear();
        (self.letter, self.marks) = (None, 0);
    }

    /// Adds a character that is no mark. Returns whether it completes a Hangul syllable.
    fn push(&mut self, c: char) -> bool {
        // Nearly all characters are no parts of a syllable.
        let letter = self.letter.filter(|_| self.marks == 0 && c >= '\u{1161}');
        let syllable = letter.and_then(|letter| composed(letter, c));
        if syllable.is_some() {
            self.text.pop();
        }
        let c = syllable.unwrap_or(c);
        self.text.push(c);
        (self.letter, self.marks) = (Some(c), 0);
        syllable.is_some()
    }

    /// Adds a mark to the last character, unless it is ignored there.
    fn mark(&mut self, mark: char) {
        let Some(letter) = self.letter.filter(|_| self.marks < MAX_MARKS) else { return };
        if is_ignored(letter, mark) {
            return;
        }
        let marks = self.text.char_indices().rev().take(self.marks);
        let at = marks.take_while(|(_, known)| *known > mark).last().map_or(self.text.len(), |(at, _)| at);
        self.text.insert(at, mark);
        self.marks += 1;
    }
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

/// The word or run that is being read. At most one of them is not empty.
struct Tokens<F> {
    visit: F,
    word: Folded,
    word_at: Range<usize>,
    run: Folded,
    /// Where each character of the run begins in it, and the character's byte range in the text.
    characters: Vec<(usize, Range<usize>)>,
    position: usize,
}

impl<F: FnMut(Token<'_>)> Tokens<F> {
    fn is_between_words(&self) -> bool {
        self.word.text.is_empty() && self.characters.is_empty()
    }

    /// A whole word, between words.
    fn ascii_word(&mut self, word: &str, at: Range<usize>) {
        self.word.text.push_str(word);
        self.word.text.make_ascii_lowercase();
        self.word_at = at;
        self.finish_word();
    }

    /// Adds a letter of a script with spaces.
    fn letter(&mut self, c: char, at: Range<usize>) {
        self.finish_run();
        if self.word.text.is_empty() {
            self.word_at.start = at.start;
        }
        self.word.push(c);
        self.word_at.end = at.end;
    }

    /// Adds a character of a script without spaces.
    fn character(&mut self, c: char, at: Range<usize>) {
        self.finish_word();
        let start = self.run.text.len();
        if !self.run.push(c) {
            self.characters.push((start, at));
        } else if let Some((_, last_at)) = self.characters.last_mut() {
            last_at.end = at.end;
        }
    }

    /// Adds a mark, which ends at `end`, to the last character. A mark without one is ignored.
    fn mark(&mut self, c: char, end: usize) {
        if let Some((_, last_at)) = self.characters.last_mut() {
            self.run.mark(c);
            last_at.end = end;
        } else if !self.word.text.is_empty() {
            self.word.mark(c);
            self.word_at.end = end;
        }
    }

    fn finish(&mut self) {
        self.finish_word();
        self.finish_run();
    }

    fn finish_word(&mut self) {
        if self.word.text.is_empty() {
            return;
        }
        (self.visit)(Token {
            text: &self.word.text,
            at: self.word_at.clone(),
            position: self.position,
            is_queried: true,
        });
        self.word.clear();
        self.position += 1;
    }

    fn finish_run(&mut self) {
        let is_single = self.characters.len() == 1;
        let text = |from: usize, to: usize| self.run.text.get(from..to).unwrap_or_default();
        for (index, (start, at)) in self.characters.iter().enumerate() {
            let position = self.position;
            let next = self.characters.get(index + 1);
            let end = next.map_or(self.run.text.len(), |(start, _)| *start);
            let token = Token { text: text(*start, end), at: at.clone(), position, is_queried: is_single };
            (self.visit)(token);
            if let Some((_, next_at)) = next {
                let end = self.characters.get(index + 2).map_or(self.run.text.len(), |(start, _)| *start);
                let at = at.start..next_at.end;
                (self.visit)(Token { text: text(*start, end), at, position, is_queried: true });
            }
            self.position += 1;
        }
        self.characters.clear();
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

/// The position in a text at which a phrase occurs first, by the words found there, in order. `words` is the number of
/// different words of the query.
///
/// Takes one step for each position of the text, however often the phrase begins: the Shift-And algorithm (R. Baeza-Yates,
/// G. H. Gonnet: A New Approach to Text Searching. CACM 35:10, 1992), with a set of words at each position.
fn phrase_position(phrase: &[(usize, usize)], words: usize, found: &[Found]) -> Option<usize> {
    let ((begin, _), (end, _)) = (*phrase.first()?, *phrase.last()?);
    let length = end - begin + 1;
    // For each word, the positions of the phrase that it has, as bits.
    let mut wanted = vec![vec![0u64; length.div_ceil(64)]; words];
    for (position, word) in phrase {
        let at = position - begin;
        *wanted.get_mut(*word)?.get_mut(at / 64)? |= 1 << (at % 64);
    }
    // Bit n: what precedes are the first n + 1 positions of the phrase.
    let mut state = vec![0u64; length.div_ceil(64)];
    let step = |state: &mut [u64], here: &[Found]| {
        let mut carry = 1;
        for (n, bits) in state.iter_mut().enumerate() {
            let is_missing = |word: &usize| here.iter().all(|found| found.place.1 != *word);
            let missing = (0..words).filter(is_missing).filter_map(|word| wanted.get(word)?.get(n));
            let next = *bits >> 63;
            *bits = (*bits << 1 | carry) & !missing.fold(0, |all, bits| all | bits);
            carry = next;
        }
    };
    let mut next = 0;
    for here in found.chunk_by(|one, other| one.place.0 == other.place.0) {
        let position = here.first()?.place.0;
        // The last character of a run of a script without spaces has a position without a word in a query.
        for _ in 0..(position - next).min(length) {
            step(&mut state, &[]);
        }
        step(&mut state, here);
        if state.last()? >> ((length - 1) % 64) & 1 == 1 {
            return Some(position + 1 - length);
        }
        next = position + 1;
    }
    None
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
            let at = phrase_position(phrase, self.words.len(), &found)?;
            let start = place((at, wanted))?.at.start;
            let ends = phrase.iter().filter_map(|(position, word)| place((at + position - begin, *word)));
            let end = ends.map(|found| found.at.end).max()?;
            first = first.or(Some(start..end));
        }
        first.or(first_word)
    }
}

/// Excludes lines that cannot match a query, without parsing them: many times faster than [`Query::find`].
pub struct LineFilter {
    words: Vec<memmem::Finder<'static>>,
    /// The line, with the normalization of words.
    folded: Folded,
}

impl LineFilter {
    /// The filter of a query.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        let words = query.words().map(|word| memmem::Finder::new(word.as_bytes()).into_owned()).collect();
        Self { words, folded: Folded::default() }
    }

    /// Whether [`view::search_text`](crate::view::search_text) of a transcript's line may match the query. `false` is
    /// certain.
    pub fn may_match(&mut self, line: &str) -> bool {
        self.folded.clear();
        if line.is_ascii() {
            self.folded.text.push_str(line);
            self.folded.text.make_ascii_lowercase();
        } else {
            for c in line.chars() {
                if c.is_ascii() {
                    self.folded.push(c.to_ascii_lowercase());
                    continue;
                }
                for c in folded(c) {
                    if is_combining_mark(c) {
                        self.folded.mark(c);
                    } else {
                        self.folded.push(c);
                    }
                }
            }
        }
        self.words.iter().all(|word| word.find(self.folded.text.as_bytes()).is_some())
            || has_escaped_letters(line)
    }
}

/// Whether a line of JSON has escapes of other than control characters, which are frequent and in no word. NUL is not one of
/// them, because it is removed from texts: what is before and after it may be one word.
fn has_escaped_letters(line: &str) -> bool {
    let is_control = |escape: &str| {
        (escape.starts_with("000") && !escape.starts_with("0000")) || escape.starts_with("001")
    };
    line.match_indices("\\u").any(|(at, _)| !is_control(&line[at + 2..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization as _;

    use super::{LineFilter, Query, QueryError, each_token, each_word};
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
            ["elan", "elan", "elan", "fine", "strasse", "σασ"]
        );
        assert_eq!(texts("検索test東京"), ["検", "検索", "索", "test", "東", "東京", "京"]);
        assert_eq!(texts("検 ソフト・ア"), ["検", "ソ", "ソフ", "フ", "フト", "ト", "ア"]);
        assert_eq!(texts("서버가"), ["서", "서버", "버", "버가", "가"]);
        assert_eq!(texts("\u{1112}\u{1161}\u{11ab}글"), texts("한글"), "decomposed syllables");
        assert_eq!(texts("ภาษา"), ["ภ", "ภา", "า", "าษ", "ษ", "ษา", "า"]);
        assert_eq!(texts("½ x² İ"), ["1", "2", "x2", "i"]);
        assert_eq!(texts(" \u{301}--\"' "), Vec::<String>::new());
        assert_eq!(texts("กิน"), ["กิ", "กิน", "น"], "a vowel sign belongs to its letter");
        assert_eq!(texts("मुझे йод"), ["मुझे", "и\u{306}од"]);
        let many = format!("ก{}", "\u{e34}".repeat(1_000_000));
        assert_eq!(texts(&many)[0].chars().count(), 9);
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
            text in "[aeF1 é\u{301}ﬁ½²検索한ᄒ\u{1161}ไทยςß\u{1b}\u{0}\"\\\\_\n-]{0,30}|\\PC{0,20}|[กै\u{e34}\u{e49}がか\u{3099}кй\u{306}\u{308}\u{94d}n\n\"]{0,20}",
            query in "[aeF1f éﬁ½²検索한하ไทςßs_\"-]{1,6}|[กै\u{e34}\u{e49}がか\u{3099}кй\u{306}\u{94d}]{1,4}",
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
        fn phrases_are_found_where_their_words_follow_each_other(
            text in "[ab検索 ]{0,40}|[ab ]{200,400}",
            phrase in "[ab検索 ]{1,12}|(a ){60,140}b?",
        ) {
            // All words of a text with their positions; of a phrase, those that a query uses.
            let tokens = |text: &str, of_query: bool| {
                let mut found = Vec::new();
                each_token(text, |token| {
                    if token.is_queried || !of_query {
                        found.push((token.position, token.text.to_owned()));
                    }
                });
                found
            };
            if let Ok(query) = Query::parse(&format!("\"{phrase}\"")) {
                let (wanted, words) = (tokens(&phrase, true), tokens(&text, false));
                let begins = |at: usize| {
                    let first = wanted[0].0;
                    wanted.iter().all(|(position, word)| words.contains(&(at + position - first, word.clone())))
                };
                let expected = words.iter().any(|(at, _)| begins(*at));
                prop_assert_eq!(query.find(&text).is_some(), expected, "{} in {}", phrase, text);
            }
        }

        #[test]
        fn composed_and_decomposed_text_has_the_same_words(text in "[가-힣a-z éйがパक़\u{e38}\u{e48}ก]{0,20}") {
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(texts(&decomposed), texts(&text));
        }

        #[test]
        fn words_that_are_taken_as_a_whole_are_the_same_as_by_character(text in "[a-cA-C01 _.\u{301}é検한-]{0,40}") {
            // Fullwidth forms of ASCII decompose to it.
            let wide = |c: char| char::from_u32(u32::from(c) + 0xfee0).unwrap();
            let by_character: String =
                text.chars().map(|c| if c.is_ascii_alphanumeric() { wide(c) } else { c }).collect();
            prop_assert_eq!(texts(&text), texts(&by_character));
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
