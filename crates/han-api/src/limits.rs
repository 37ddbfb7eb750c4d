//! What a document may not exceed, counted on its raw text before anything is parsed, validated or resolved. The
//! count stops at the first limit that is passed.
//!
//! Fragments make a small text large: a dozen lines, each spreading the next twice, stand for thousands of fields.
//! So fields are counted as they stand after spreading, each fragment's sum being computed once.

use std::collections::HashMap;

use thiserror::Error;

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document.
    pub bytes: usize,
    /// Tokens of a document (https://spec.graphql.org/October2021/#sec-Appendix-Grammar-Summary.Lexical-Tokens).
    pub tokens: usize,
    /// Brackets of any sort that are open at once; with fragments spread, selection sets within each other.
    pub nesting: usize,
    /// Aliases.
    pub aliases: usize,
    /// Fields, with every fragment counted wherever it is spread.
    pub fields: usize,
    /// Directives on one field.
    pub directives: usize,
    /// Fields times the rows that their pages may hold.
    pub complexity: usize,
    /// Lists of introspection (`types`, `fields`, `possibleTypes`, …) that a document asks for, with every fragment
    /// counted wherever it is spread. The usual introspection query asks for five.
    pub introspection: usize,
    /// Operations in one batch.
    pub batch: usize,
}

/// The fields of introspection that are lists of what the schema has. Each nested in another multiplies the answer by
/// the schema's size, so that a short document could ask for gigabytes.
const SCHEMA_LISTS: [&str; 5] = ["types", "fields", "interfaces", "possibleTypes", "inputFields"];

/// How deep such lists may lie within each other: `types { fields { … } }` is two, and tools ask for no more.
const SCHEMA_LISTS_NESTING: usize = 3;

impl Default for Limits {
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
        }
    }
}

/// A document that goes beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// It has too much of something.
    #[error("the document has more than {limit} {what}: ask for less, or in several requests")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Its brackets or its fragments lie too deep within each other.
    #[error("the document nests deeper than {limit}: ask for less depth")]
    TooDeep {
        /// How deep is allowed.
        limit: usize,
    },
    /// Its fragments spread each other in a circle.
    #[error("fragment {0:?} spreads itself")]
    Cycle(String),
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), LimitError> {
    if found > limit { Err(LimitError::TooMany { what, limit }) } else { Ok(()) }
}

/// Counts a document. What is no GraphQL at all passes where it is small: the parser says better what is wrong.
///
/// # Errors
/// Which limit it goes beyond.
pub fn check(document: &str, limits: &Limits) -> Result<(), LimitError> {
    at_most("bytes", document.len(), limits.bytes)?;
    let mut reader = Reader::new(limits);
    let mut rest = document;
    while let Some((token, after)) = next_token(rest) {
        rest = after;
        reader.take(token)?;
    }
    reader.definitions.check(limits)
}

/// What a token is, as far as counting goes.
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
            // A string does not go beyond its line.
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
    /// Lists of introspection, and how many of them lie within each other.
    lists: usize,
    lists_depth: usize,
    spreads: Vec<Spread<'a>>,
}

/// Where a fragment is spread: within how many brackets, and within how many lists of introspection.
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

/// Takes a document's tokens one by one.
struct Reader<'a, 'l> {
    limits: &'l Limits,
    tokens: usize,
    aliases: usize,
    /// The open brackets: whether each is what a list of introspection holds.
    open: Vec<bool>,
    /// How many of them are.
    in_lists: usize,
    /// The field whose selection set may come next.
    field: &'a str,
    /// Whether the part that is being read began with a keyword; a selection set without one is a query.
    headed: bool,
    /// How many of the open brackets are not selection sets: what lies in them is arguments and values.
    in_arguments: usize,
    definitions: Definitions<'a>,
    current: Definition<'a>,
    fragment: Option<&'a str>,
    before: [Token<'a>; 2],
}

impl<'a, 'l> Reader<'a, 'l> {
    fn new(limits: &'l Limits) -> Self {
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

    fn take(&mut self, token: Token<'a>) -> Result<(), LimitError> {
        self.tokens += 1;
        at_most("tokens", self.tokens, self.limits.tokens)?;
        match token {
            Token::Punctuator(bracket @ (b'{' | b'(' | b'[')) => self.open(bracket)?,
            Token::Punctuator(b'}' | b')' | b']') => self.close(),
            Token::Punctuator(b':') if self.in_selection() => {
                // The alias was counted as a field; so will be what it stands for.
                self.aliases += 1;
                self.current.fields = self.current.fields.saturating_sub(1);
                at_most("aliases", self.aliases, self.limits.aliases)?;
            }
            Token::Name(name) => self.name(name)?,
            // What follows is a fragment's selection set, not the last field's.
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
            // Variable definitions close here as well, before the selection set: a part without fields is added.
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

/// How large and how deep a definition is with its fragments spread.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    fields: usize,
    depth: usize,
    lists: usize,
    lists_depth: usize,
}

impl<'a> Definitions<'a> {
    fn check(&self, limits: &Limits) -> Result<(), LimitError> {
        let mut sizes = HashMap::new();
        let (mut fields, mut lists) = (0usize, 0usize);
        for definition in &self.operations {
            let size = self.size(definition, limits, &mut sizes, &mut Vec::new())?;
            fields = fields.saturating_add(size.fields);
            lists = lists.saturating_add(size.lists);
        }
        // Fragments that no operation spreads are validated all the same.
        for name in self.fragments.keys() {
            self.fragment(name, limits, &mut sizes, &mut Vec::new())?;
        }
        at_most("fields", fields, limits.fields)?;
        at_most("lists of introspection", lists, limits.introspection)
    }

    fn fragment(
        &self,
        name: &'a str,
        limits: &Limits,
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
        limits: &Limits,
        sizes: &mut HashMap<&'a str, Size>,
        path: &mut Vec<&'a str>,
    ) -> Result<Size, LimitError> {
        let Definition { fields, depth, lists, lists_depth, ref spreads } = *definition;
        let mut size = Size { fields, depth, lists, lists_depth };
        for Spread { fragment, at, in_lists } in spreads {
            let spread = self.fragment(fragment, limits, sizes, path)?;
            size.fields = size.fields.saturating_add(spread.fields);
            // The fragment's own braces stand for the set that it is spread in.
            size.depth = size.depth.max(at + spread.depth.saturating_sub(1));
            size.lists = size.lists.saturating_add(spread.lists);
            size.lists_depth = size.lists_depth.max(in_lists + spread.lists_depth);
        }
        at_most("fields", size.fields, limits.fields)?;
        at_most("lists of introspection", size.lists, limits.introspection)?;
        at_most("lists of introspection within each other", size.lists_depth, SCHEMA_LISTS_NESTING)?;
        if size.depth > limits.nesting {
            return Err(LimitError::TooDeep { limit: limits.nesting });
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LimitError, Limits, check};

    fn too_many(what: &'static str, limit: usize) -> Result<(), LimitError> {
        Err(LimitError::TooMany { what, limit })
    }

    #[test]
    fn each_limit_binds_at_its_number() {
        let limits =
            Limits { bytes: 200, tokens: 40, nesting: 4, aliases: 2, fields: 6, ..Limits::default() };
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
    fn text_within_strings_and_comments_counts_for_nothing() {
        let limits = Limits { nesting: 2, fields: 1, aliases: 0, ..Limits::default() };
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
    fn fragments_count_wherever_they_are_spread() {
        let bomb: String = (0..40)
            .map(|n| format!("fragment f{n} on Query {{ ...f{m} ...f{m} }} ", m = n + 1))
            .chain(["fragment f40 on Query { a } query { ...f0 }".to_owned()])
            .collect();
        let limits = Limits { nesting: 100, ..Limits::default() };
        assert_eq!(check(&bomb, &limits), too_many("fields", limits.fields));
        let twice = "query { a { ...f } ...f } fragment f on T { b c }";
        assert_eq!(check(twice, &Limits { fields: 5, ..limits }), Ok(()));
        assert_eq!(check(twice, &Limits { fields: 4, ..limits }), too_many("fields", 4));
        let circle = "query { ...f } fragment f on T { a { ...g } } fragment g on T { ...f }";
        assert!(matches!(check(circle, &limits), Err(LimitError::Cycle(_))));
    }

    #[test]
    fn fragments_nest_where_they_are_spread() {
        let document = "query($a: Int) { a { ...f } } fragment f on T { b { c { d } } }";
        assert_eq!(check(document, &Limits { nesting: 4, ..Limits::default() }), Ok(()));
        let limits = Limits { nesting: 3, ..Limits::default() };
        assert_eq!(check(document, &limits), Err(LimitError::TooDeep { limit: 3 }));
    }

    #[test]
    fn a_query_without_a_keyword_is_no_part_of_the_fragment_before_it() {
        let limits = Limits { fields: 3, ..Limits::default() };
        let document = "fragment f on T { a b } { ...f c d }";
        assert_eq!(check(document, &limits), too_many("fields", 3));
        assert_eq!(check("{ ...f c } fragment f on T { a b }", &limits), Ok(()));
        assert_eq!(check("fragment query on T { a b } { ...query c d }", &limits), too_many("fields", 3));
        assert_eq!(check("query fragment { a b c d }", &limits), too_many("fields", 3));
    }

    #[test]
    fn introspection_lists_do_not_multiply() {
        let limits = Limits::default();
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
        let too_deep = too_many("lists of introspection within each other", 3);
        assert_eq!(check(&format!("{{ __schema {{ {} }} }}", nested(&deep)), &limits), too_deep);
        assert_eq!(check(&format!("{{ __schema {{ {} }} }}", nested(&deep[..3])), &limits), Ok(()));
        let spread = format!(
            "{{ __schema {{ types {{ ...a }} }} }} fragment a on __Type {{ x: possibleTypes {{ ...b }} }} \
             fragment b on __Type {{ {} }}",
            nested(&deep[2..])
        );
        assert_eq!(check(&spread, &limits), too_deep);
        let wide = format!("{{ __schema {{ {} }} }}", "types { name } ".repeat(13));
        assert_eq!(check(&wide, &limits), too_many("lists of introspection", 12));
    }

    proptest! {
        #[test]
        fn any_text_is_counted_without_a_panic(text in ".{0,200}") {
            let _ = check(&text, &Limits::default());
        }

        #[test]
        fn any_brackets_are_counted_without_a_panic(text in "[{}()\\[\\]:.a\"\\\\#@ \n-]{0,200}") {
            let _ = check(&text, &Limits { nesting: 5, ..Limits::default() });
        }
    }
}
