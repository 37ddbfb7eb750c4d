//! The limits of a GraphQL document, counted on its raw text before anything is parsed, validated or resolved. Counting
//! stops at the first limit that is exceeded.
//!
//! Fragments make a small text large: a dozen lines, each spreading the next one twice, amount to thousands of fields.
//! So fields are counted after spreading; the sum of each fragment is computed once.

use std::collections::HashMap;

use thiserror::Error;

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Bytes of a document.
    pub bytes: usize,
    /// Tokens of a document (https://spec.graphql.org/October2021/#sec-Appendix-Grammar-Summary.Lexical-Tokens).
    pub tokens: usize,
    /// Brackets of any kind that are open at once; after spreading fragments, nested selection sets.
    pub nesting: usize,
    /// Aliases.
    pub aliases: usize,
    /// Fields; a fragment counts once per spread.
    pub fields: usize,
    /// Directives on one field.
    pub directives: usize,
    /// Fields, multiplied by the number of rows that their pages may hold.
    pub complexity: usize,
    /// Introspection lists (`types`, `fields`, `possibleTypes`, …); a fragment counts once per spread. The usual
    /// introspection query has five.
    pub introspection: usize,
    /// Operations in one batch.
    pub batch: usize,
    /// Bytes of a response, counted while it is made and while it is written.
    pub response_bytes: usize,
    /// Errors in a response.
    pub errors: usize,
}

/// The introspection fields that list parts of the schema. Nesting one in another multiplies the response by the size of
/// the schema, so that a short document could ask for gigabytes.
const SCHEMA_LISTS: [&str; 5] = ["types", "fields", "interfaces", "possibleTypes", "inputFields"];

/// How deep such lists may nest: `types { fields { … } }` is two, and tools ask for no more.
const SCHEMA_LISTS_NESTING: usize = 3;

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            bytes: 128 << 10,
            tokens: 20_000,
            nesting: 32,
            aliases: 200,
            fields: 20_000,
            directives: 8,
            complexity: 500_000,
            introspection: 12,
            batch: 10,
            response_bytes: 32 << 20,
            errors: 100,
        }
    }
}

/// A document that exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// It has too many of one thing.
    #[error("the document has more than {limit} {what}: ask for less, or in several requests")]
    TooMany {
        /// What is counted, in the plural.
        what: &'static str,
        /// The largest number that is allowed.
        limit: usize,
    },
    /// Its brackets or its fragments nest too deep.
    #[error("the document nests deeper than {limit}: ask for less depth")]
    TooDeep {
        /// The deepest nesting that is allowed.
        limit: usize,
    },
    /// A fragment spreads itself, directly or through others.
    #[error("fragment {0:?} spreads itself")]
    Cycle(String),
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), LimitError> {
    if found > limit { Err(LimitError::TooMany { what, limit }) } else { Ok(()) }
}

/// Counts a document. A small text that is not GraphQL passes: the parser reports better what is wrong.
///
/// # Errors
/// The first limit that the document exceeds.
pub fn check(document: &str, limits: &QueryLimits) -> Result<(), LimitError> {
    at_most("bytes", document.len(), limits.bytes)?;
    let mut scanner = DocumentScanner::new(limits);
    let mut rest = document;
    while let Some((token, after)) = next_token(rest) {
        rest = after;
        scanner.scan(token)?;
    }
    scanner.definitions.check(limits)
}

/// A token, as far as counting needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Spread,
    Punctuator(u8),
    /// A string, a number, or anything else.
    Other,
}

fn next_token(text: &str) -> Option<(Token<'_>, &str)> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']);
        match rest.strip_prefix('#') {
            Some(comment) => rest = comment.trim_start_matches(|c| c != '\n' && c != '\r'),
            None => break,
        }
    }
    let first = rest.chars().next()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if first.is_ascii_alphabetic() || first == '_' {
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        return Some((Token::Name(name), rest));
    }
    if let Some(rest) = rest.strip_prefix("...") {
        return Some((Token::Spread, rest));
    }
    if let Some(block) = rest.strip_prefix("\"\"\"") {
        return Some((Token::Other, after_block_string(block)));
    }
    if let Some(string) = rest.strip_prefix('"') {
        return Some((Token::Other, after_string(string)));
    }
    if first.is_ascii_digit() || first == '-' {
        let digits = rest.get(1..).unwrap_or_default();
        let end = digits.find(|c: char| !is_name(c) && !matches!(c, '.' | '+' | '-')).unwrap_or(digits.len());
        return Some((Token::Other, digits.get(end..).unwrap_or_default()));
    }
    let token = u8::try_from(first).map_or(Token::Other, Token::Punctuator);
    Some((token, rest.get(first.len_utf8()..).unwrap_or_default()))
}

fn after_block_string(mut rest: &str) -> &str {
    loop {
        match rest.find("\"\"\"") {
            Some(at) if rest.get(..at).is_some_and(|before| before.ends_with('\\')) => {
                rest = rest.get(at + 3..).unwrap_or_default();
            }
            Some(at) => return rest.get(at + 3..).unwrap_or_default(),
            None => return "",
        }
    }
}

fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.get(at + 1..).unwrap_or_default(),
            // A string ends with its line.
            '\n' | '\r' => return text.get(at..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

/// The fields and spreads of one operation or fragment.
#[derive(Debug, Default)]
struct Definition<'a> {
    fields: usize,
    depth: usize,
    /// Introspection lists, and how deep they nest.
    lists: usize,
    lists_depth: usize,
    spreads: Vec<Spread<'a>>,
}

/// A fragment spread, with the number of brackets and of introspection lists around it.
#[derive(Clone, Copy, Debug)]
struct Spread<'a> {
    fragment: &'a str,
    at: usize,
    in_lists: usize,
}

#[derive(Debug, Default)]
struct Definitions<'a> {
    operations: Vec<Definition<'a>>,
    fragments: HashMap<&'a str, Definition<'a>>,
}

/// Counts a document, token by token.
struct DocumentScanner<'a, 'l> {
    limits: &'l QueryLimits,
    tokens: usize,
    aliases: usize,
    /// The open brackets: whether each is the selection set of an introspection list.
    open: Vec<bool>,
    /// How many of them are.
    in_lists: usize,
    /// The field whose selection set may follow.
    field: &'a str,
    /// Whether the current definition began with a keyword; a selection set without one is a query.
    headed: bool,
    /// How many of the open brackets hold arguments and values, not selections.
    in_arguments: usize,
    definitions: Definitions<'a>,
    current: Definition<'a>,
    fragment: Option<&'a str>,
    before: [Token<'a>; 2],
}

impl<'a, 'l> DocumentScanner<'a, 'l> {
    fn new(limits: &'l QueryLimits) -> Self {
        Self {
            limits,
            tokens: 0,
            aliases: 0,
            open: Vec::new(),
            in_lists: 0,
            field: "",
            headed: false,
            in_arguments: 0,
            definitions: Definitions::default(),
            current: Definition::default(),
            fragment: None,
            before: [Token::Other; 2],
        }
    }

    fn scan(&mut self, token: Token<'a>) -> Result<(), LimitError> {
        self.tokens += 1;
        at_most("tokens", self.tokens, self.limits.tokens)?;
        match token {
            Token::Punctuator(bracket @ (b'{' | b'(' | b'[')) => self.open(bracket)?,
            Token::Punctuator(b'}' | b')' | b']') => self.close(),
            Token::Punctuator(b':') if self.in_selection() => {
                // The alias was counted as a field; the field itself follows.
                self.aliases += 1;
                self.current.fields = self.current.fields.saturating_sub(1);
                at_most("aliases", self.aliases, self.limits.aliases)?;
            }
            Token::Name(name) => self.name(name)?,
            // The selection set that follows belongs to the fragment, not to the last field.
            Token::Spread => self.field = "",
            _ => {}
        }
        self.before = [self.before[1], token];
        Ok(())
    }

    fn in_selection(&self) -> bool {
        self.in_arguments == 0 && !self.open.is_empty()
    }

    fn open(&mut self, bracket: u8) -> Result<(), LimitError> {
        // Braces within arguments are objects.
        let selection = bracket == b'{' && self.in_arguments == 0;
        if !selection {
            self.in_arguments += 1;
        } else if self.open.is_empty() && !std::mem::take(&mut self.headed) {
            self.fragment = None;
        }
        let list = selection && SCHEMA_LISTS.contains(&std::mem::take(&mut self.field));
        self.open.push(list);
        if self.open.len() > self.limits.nesting {
            return Err(LimitError::TooDeep { limit: self.limits.nesting });
        }
        self.current.depth = self.current.depth.max(self.open.len());
        if list {
            self.in_lists += 1;
            self.current.lists += 1;
            self.current.lists_depth = self.current.lists_depth.max(self.in_lists);
        }
        Ok(())
    }

    fn close(&mut self) {
        if self.open.pop() == Some(true) {
            self.in_lists -= 1;
        }
        self.in_arguments = self.in_arguments.saturating_sub(1);
        if self.open.is_empty() && self.in_arguments == 0 {
            // Variable definitions close here, too, before the selection set: that adds a part without fields.
            let done = std::mem::take(&mut self.current);
            match self.fragment {
                Some(name) => {
                    self.definitions.fragments.entry(name).or_default().add(done);
                }
                None => self.definitions.operations.push(done),
            }
        }
    }

    fn name(&mut self, name: &'a str) -> Result<(), LimitError> {
        if !self.in_selection() {
            if self.open.is_empty() {
                match self.before[1] {
                    Token::Name("fragment") if !self.headed => {
                        self.fragment = Some(name);
                        self.headed = true;
                    }
                    _ if matches!(name, "query" | "mutation" | "subscription") && !self.headed => {
                        self.fragment = None;
                        self.headed = true;
                    }
                    _ => {}
                }
            }
            return Ok(());
        }
        match self.before {
            [_, Token::Spread] if name == "on" => {}
            [_, Token::Spread] => self.current.spreads.push(Spread {
                fragment: name,
                at: self.open.len(),
                in_lists: self.in_lists,
            }),
            // The type of an inline fragment, or a directive.
            [Token::Spread, Token::Name("on")] | [_, Token::Punctuator(b'@')] => {}
            _ => {
                self.field = name;
                self.current.fields += 1;
                at_most("fields", self.current.fields, self.limits.fields)?;
            }
        }
        Ok(())
    }
}

impl<'a> Definition<'a> {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.depth = self.depth.max(other.depth);
        self.lists = self.lists.saturating_add(other.lists);
        self.lists_depth = self.lists_depth.max(other.lists_depth);
        self.spreads.extend(other.spreads);
    }
}

/// The size of a definition after spreading its fragments.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    fields: usize,
    depth: usize,
    lists: usize,
    lists_depth: usize,
}

impl<'a> Definitions<'a> {
    fn check(&self, limits: &QueryLimits) -> Result<(), LimitError> {
        let mut sizes = HashMap::new();
        let (mut fields, mut lists) = (0usize, 0usize);
        for definition in &self.operations {
            let size = self.size(definition, limits, &mut sizes, &mut Vec::new())?;
            fields = fields.saturating_add(size.fields);
            lists = lists.saturating_add(size.lists);
        }
        // The library also validates fragments that no operation spreads.
        for name in self.fragments.keys() {
            self.fragment(name, limits, &mut sizes, &mut Vec::new())?;
        }
        at_most("fields", fields, limits.fields)?;
        at_most("introspection lists", lists, limits.introspection)
    }

    fn fragment(
        &self,
        name: &'a str,
        limits: &QueryLimits,
        sizes: &mut HashMap<&'a str, Size>,
        path: &mut Vec<&'a str>,
    ) -> Result<Size, LimitError> {
        if let Some(size) = sizes.get(name) {
            return Ok(*size);
        }
        let Some(definition) = self.fragments.get(name) else { return Ok(Size::default()) };
        if path.contains(&name) {
            return Err(LimitError::Cycle(name.to_owned()));
        }
        path.push(name);
        if path.len() > limits.nesting {
            return Err(LimitError::TooDeep { limit: limits.nesting });
        }
        let size = self.size(definition, limits, sizes, path)?;
        path.pop();
        sizes.insert(name, size);
        Ok(size)
    }

    fn size(
        &self,
        definition: &Definition<'a>,
        limits: &QueryLimits,
        sizes: &mut HashMap<&'a str, Size>,
        path: &mut Vec<&'a str>,
    ) -> Result<Size, LimitError> {
        let Definition { fields, depth, lists, lists_depth, ref spreads } = *definition;
        let mut size = Size { fields, depth, lists, lists_depth };
        for Spread { fragment, at, in_lists } in spreads {
            let spread = self.fragment(fragment, limits, sizes, path)?;
            size.fields = size.fields.saturating_add(spread.fields);
            // The fragment's own braces replace those of the set that it is spread in.
            size.depth = size.depth.max(at + spread.depth.saturating_sub(1));
            size.lists = size.lists.saturating_add(spread.lists);
            size.lists_depth = size.lists_depth.max(in_lists + spread.lists_depth);
        }
        at_most("fields", size.fields, limits.fields)?;
        at_most("introspection lists", size.lists, limits.introspection)?;
        at_most("nested introspection lists", size.lists_depth, SCHEMA_LISTS_NESTING)?;
        if size.depth > limits.nesting {
            return Err(LimitError::TooDeep { limit: limits.nesting });
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LimitError, QueryLimits, check};

    fn too_many(what: &'static str, limit: usize) -> Result<(), LimitError> {
        Err(LimitError::TooMany { what, limit })
    }

    #[test]
    fn each_limit_is_exact() {
        let limits = QueryLimits {
            bytes: 200,
            tokens: 40,
            nesting: 4,
            aliases: 2,
            fields: 6,
            ..QueryLimits::default()
        };
        assert_eq!(check("{ a b: c d: e }", &limits), Ok(()));
        assert_eq!(check("{ a b: c d: e f: g }", &limits), too_many("aliases", 2));
        assert_eq!(check("{ a b c d e f }", &limits), Ok(()));
        assert_eq!(check("{ a b c d e f g }", &limits), too_many("fields", 6));
        assert_eq!(check("{ a { b { c { d } } } }", &limits), Ok(()));
        assert_eq!(check("{ a { b { c { d { e } } } } }", &limits), Err(LimitError::TooDeep { limit: 4 }));
        assert_eq!(check("{ a(b: [[[[1]]]]) }", &limits), Err(LimitError::TooDeep { limit: 4 }));
        assert_eq!(check(&format!("{{ a(b: [{}]) }}", "1 ".repeat(40)), &limits), too_many("tokens", 40));
        assert_eq!(check(&"#".repeat(201), &limits), too_many("bytes", 200));
    }

    #[test]
    fn strings_and_comments_are_not_counted() {
        let limits = QueryLimits { nesting: 2, fields: 1, aliases: 0, ..QueryLimits::default() };
        for document in [
            r#"{ a(b: "{{{{ \" }}}} c: d") }"#,
            "{ a # { b: c {{{{\n }",
            "{ a(b: \"\"\"{{{{ \\\"\"\" \" {{ \"\"\") }",
            "query Q($x: Int = 3, $y: [String!]) { a(x: $x, y: $y) @skip(if: false) }",
        ] {
            assert_eq!(check(document, &limits), Ok(()), "{document}");
        }
    }

    #[test]
    fn fragments_count_once_per_spread() {
        let bomb: String = (0..40)
            .map(|n| format!("fragment f{n} on Query {{ ...f{m} ...f{m} }} ", m = n + 1))
            .chain(["fragment f40 on Query { a } query { ...f0 }".to_owned()])
            .collect();
        let limits = QueryLimits { nesting: 100, ..QueryLimits::default() };
        assert_eq!(check(&bomb, &limits), too_many("fields", limits.fields));
        let twice = "query { a { ...f } ...f } fragment f on T { b c }";
        assert_eq!(check(twice, &QueryLimits { fields: 5, ..limits }), Ok(()));
        assert_eq!(check(twice, &QueryLimits { fields: 4, ..limits }), too_many("fields", 4));
        let circle = "query { ...f } fragment f on T { a { ...g } } fragment g on T { ...f }";
        assert!(matches!(check(circle, &limits), Err(LimitError::Cycle(_))));
    }

    #[test]
    fn fragments_nest_from_their_spread() {
        let document = "query($a: Int) { a { ...f } } fragment f on T { b { c { d } } }";
        assert_eq!(check(document, &QueryLimits { nesting: 4, ..QueryLimits::default() }), Ok(()));
        let limits = QueryLimits { nesting: 3, ..QueryLimits::default() };
        assert_eq!(check(document, &limits), Err(LimitError::TooDeep { limit: 3 }));
    }

    #[test]
    fn a_query_without_a_keyword_is_not_part_of_the_previous_fragment() {
        let limits = QueryLimits { fields: 3, ..QueryLimits::default() };
        let document = "fragment f on T { a b } { ...f c d }";
        assert_eq!(check(document, &limits), too_many("fields", 3));
        assert_eq!(check("{ ...f c } fragment f on T { a b }", &limits), Ok(()));
        assert_eq!(check("fragment query on T { a b } { ...query c d }", &limits), too_many("fields", 3));
        assert_eq!(check("query fragment { a b c d }", &limits), too_many("fields", 3));
    }

    #[test]
    fn introspection_lists_are_limited() {
        let limits = QueryLimits::default();
        let tools = "query { __schema { types { ...T } directives { args { ...I } } } } \
                     fragment T on __Type { fields(includeDeprecated: true) { args { ...I } type { ...R } } \
                     inputFields { ...I } interfaces { ...R } possibleTypes { ...R } } \
                     fragment I on __InputValue { type { ...R } } fragment R on __Type { ofType { ofType { name } } }";
        assert_eq!(check(tools, &limits), Ok(()));
        let nested = |lists: &[&str]| {
            lists
                .iter()
                .rev()
                .fold("name".to_owned(), |inner, list| format!("{list}(a: 1) @b {{ ... {{ {inner} }} }}"))
        };
        let deep = ["types", "possibleTypes", "interfaces", "possibleTypes"];
        let too_deep = too_many("nested introspection lists", 3);
        assert_eq!(check(&format!("{{ __schema {{ {} }} }}", nested(&deep)), &limits), too_deep);
        assert_eq!(check(&format!("{{ __schema {{ {} }} }}", nested(&deep[..3])), &limits), Ok(()));
        let spread = format!(
            "{{ __schema {{ types {{ ...a }} }} }} fragment a on __Type {{ x: possibleTypes {{ ...b }} }} \
             fragment b on __Type {{ {} }}",
            nested(&deep[2..])
        );
        assert_eq!(check(&spread, &limits), too_deep);
        let wide = format!("{{ __schema {{ {} }} }}", "types { name } ".repeat(13));
        assert_eq!(check(&wide, &limits), too_many("introspection lists", 12));
    }

    proptest! {
        #[test]
        fn any_text_is_counted_without_a_panic(text in ".{0,200}") {
            let _ = check(&text, &QueryLimits::default());
        }

        #[test]
        fn any_brackets_are_counted_without_a_panic(text in "[{}()\\[\\]:.a\"\\\\#@ \n-]{0,200}") {
            let _ = check(&text, &QueryLimits { nesting: 5, ..QueryLimits::default() });
        }
    }
}
