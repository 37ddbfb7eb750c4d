//! Reads hostile JSON without failing: an object's fields stay raw JSON until one is requested, and a field of the
//! wrong type counts as absent. Not here: the format of transcripts.
//!
//! serde_json's iterative scanner skips the other fields. It has no nesting limit and does not parse numbers, so only
//! a requested field can be invalid.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The maximum number of fields of an object and of items of a list; the rest is skipped. It limits the memory that a
/// line of repeated `{},` takes to a small multiple of its size.
const MAX_MEMBERS: usize = 10_000;

/// A JSON string, borrowed if it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A JSON object whose values are raw JSON. Of several fields with one name, the last is used, as in JavaScript, which
/// writes these files.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while fields.len() < MAX_MEMBERS {
                    let Some((Text(name), value)) = map.next_entry()? else { return Ok(Object(fields)) };
                    if fields.is_empty() {
                        fields.reserve(24);
                    }
                    fields.push((name, value));
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// The items of a JSON list, as raw JSON.
struct List<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < MAX_MEMBERS {
                    let Some(item) = seq.next_element()? else { return Ok(List(items)) };
                    items.push(item);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(List(items))
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

impl<'a> Object<'a> {
    /// Parses an object; returns `None` for any other text.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// An object of one field.
    pub(crate) fn of(name: &'static str, value: &'a RawValue) -> Self {
        Self(vec![(Cow::Borrowed(name), value)])
    }

    /// A field's raw JSON; `null` counts as absent.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key == name)?;
        (value.get() != "null").then_some(*value)
    }

    /// A field named `snake_case` or `camelCase`; `name` is given in snake_case.
    pub(crate) fn either(&self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).or_else(|| if name.contains('_') { self.raw(&camel(name)) } else { None })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All fields, as raw JSON.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw(name).and_then(text)
    }

    pub(crate) fn object(&self, name: &str) -> Option<Object<'a>> {
        self.raw(name).and_then(object)
    }

    pub(crate) fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        self.raw(name).and_then(list)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.raw(name).and_then(flag)
    }
}

fn camel(snake: &str) -> String {
    let mut upper = false;
    let mut out = String::with_capacity(snake.len());
    for c in snake.chars() {
        if c == '_' {
            upper = true;
        } else {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    out
}

/// A string, else `None`.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    // Check the first byte first, so that a large object instead of a string is not parsed.
    raw.get()
        .starts_with('"')
        .then(|| serde_json::from_str::<Text<'_>>(raw.get()).ok())
        .flatten()
        .map(|t| t.0)
}

/// An object, else `None`.
pub(crate) fn object(raw: &RawValue) -> Option<Object<'_>> {
    raw.get().starts_with('{').then(|| Object::parse(raw.get())).flatten()
}

/// A list's items, else `None`.
pub(crate) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    raw.get()
        .starts_with('[')
        .then(|| serde_json::from_str::<List<'_>>(raw.get()).ok())
        .flatten()
        .map(|list| list.0)
}

/// The strings of a list, without its other items.
pub(crate) fn texts(raw: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    Some(list(raw)?.into_iter().filter_map(text).collect())
}

/// A boolean, else `None`.
pub(crate) fn flag(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A finite number, else `None`.
pub(crate) fn number(raw: &RawValue) -> Option<f64> {
    let text = raw.get();
    // Rust also parses "inf" and "nan"; a JSON number starts with a digit or a minus.
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        .then(|| text.parse::<f64>().ok())
        .flatten()
        .filter(|n| n.is_finite())
}

/// A number as an integer, clamped to `min` and `max`; fractions are truncated.
pub(crate) fn whole(raw: &RawValue, min: i64, max: i64) -> Option<i64> {
    let text = raw.get();
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    let value = match text.parse::<i64>() {
        Ok(value) => value,
        // A float-to-integer cast truncates and saturates.
        #[expect(clippy::cast_possible_truncation, reason = "saturation is what is wanted")]
        Err(_) => text.parse::<f64>().ok()? as i64,
    };
    Some(value.clamp(min, max))
}

/// The line with every escaped lone surrogate (`\ud800`) replaced by U+FFFD. Lone surrogates are valid JSON, and
/// transcripts contain them if a tool truncated text within a pair, but a Rust string cannot represent them.
pub(crate) fn without_lone_surrogates(line: &str) -> Cow<'_, str> {
    if !line.contains("\\ud") && !line.contains("\\uD") {
        return Cow::Borrowed(line);
    }
    let bytes = line.as_bytes();
    let mut clean = String::with_capacity(line.len());
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'\\' {
            at += 1;
            continue;
        }
        match code_unit(bytes, at) {
            Some(0xD800..=0xDBFF) if matches!(code_unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                clean.push_str(line.get(copied..at).unwrap_or_default());
                clean.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // For any other escape, skipping two bytes is enough to find the next one.
            _ => at += 2,
        }
    }
    clean.push_str(line.get(copied..).unwrap_or_default());
    Cow::Owned(clean)
}

/// The UTF-16 code unit of the `\uXXXX` escape at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    if !escape.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{MAX_MEMBERS, Object, number, text, whole, without_lone_surrogates};

    #[test]
    fn only_lone_surrogates_are_replaced() {
        for (given, clean) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud800 \uD8""#, r#""\\ud800 \uD8""#),
            (r#""é\uDFFFé""#, r#""é\ufffdé""#),
            (r"\ud8", r"\ud8"),
            ("\\ud83é", "\\ud83é"),
            (r"\", r"\"),
        ] {
            assert_eq!(without_lone_surrogates(given), clean);
        }
    }

    #[test]
    fn the_last_of_duplicate_fields_is_used() {
        let object = Object::parse(r#"{"a":1,"a":"two","b":null}"#).unwrap();
        assert_eq!(object.text("a").as_deref(), Some("two"));
        assert!(object.raw("b").is_none());
    }

    #[test]
    fn numbers_of_any_size_are_clamped() {
        let object =
            Object::parse(r#"{"a":1e999,"b":-5,"c":2.9,"d":"7","e":99999999999999999999,"f":{}}"#).unwrap();
        let read = |name| object.raw(name).and_then(|raw| whole(raw, 0, 1000));
        assert_eq!(
            ["a", "b", "c", "d", "e", "f"].map(read),
            [Some(1000), Some(0), Some(2), None, Some(1000), None]
        );
        assert_eq!(object.raw("a").and_then(number), None);
        assert_eq!(object.raw("f").and_then(text), None);
    }

    #[test]
    fn members_beyond_the_limit_are_skipped() {
        let wide =
            format!(r#"{{"first":[{}1],{}"last":1}}"#, "{},".repeat(20_000), r#""x":0,"#.repeat(20_000));
        let object = Object::parse(&wide).unwrap();
        assert_eq!(object.list("first").map(|items| items.len()), Some(MAX_MEMBERS));
        assert!(object.raw("x").is_some() && object.raw("last").is_none());
        assert!(Object::parse(&wide.replace("\"last\":1", "\"last\":")).is_none());
    }

    #[test]
    fn both_spellings_of_a_name_are_found() {
        let object = Object::parse(r#"{"hookRunId":"a","exit_code":1}"#).unwrap();
        assert!(object.either("hook_run_id").is_some() && object.either("exit_code").is_some());
        assert!(object.either("hook_run").is_none());
    }
}
