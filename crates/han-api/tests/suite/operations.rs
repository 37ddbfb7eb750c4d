//! Operations generated from the schema: every field of every type, as far as the limits allow, so that tests select new
//! fields at once.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition};
use serde_json::Value;

/// The schema that is checked in.
pub const SDL: &str = include_str!("../../../../browse-client/schema.graphql");

/// How deep objects nest in one operation.
const DEPTH: usize = 10;

/// The values of arguments, by `Type.field.argument`, `field.argument` or `argument`: GraphQL text.
pub type Arguments = BTreeMap<String, String>;

/// The types of a schema.
pub struct Shapes {
    types: BTreeMap<String, TypeKind>,
    /// The object types of an interface or a union.
    possible: BTreeMap<String, Vec<String>>,
}

impl Shapes {
    /// Reads a schema's text.
    pub fn read(sdl: &str) -> Self {
        let mut types = BTreeMap::new();
        let mut possible: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for definition in parse_schema(sdl).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match &definition.node.kind {
                TypeKind::Object(object) => {
                    for interface in &object.implements {
                        possible.entry(interface.node.to_string()).or_default().push(name.clone());
                    }
                }
                TypeKind::Union(union) => {
                    let members = union.members.iter().map(|member| member.node.to_string());
                    possible.insert(name.clone(), members.collect());
                }
                _ => {}
            }
            types.insert(name, definition.node.kind.clone());
        }
        Self { types, possible }
    }

    /// The fields of an object type, in the order of the schema; none for other types.
    pub fn fields(&self, object: &str) -> Vec<&FieldDefinition> {
        match self.types.get(object) {
            Some(TypeKind::Object(object)) => object.fields.iter().map(|field| &field.node).collect(),
            _ => Vec::new(),
        }
    }

    /// Every field, as `Type.field`, that can be reached from these types.
    pub fn reachable(&self, roots: &[&str]) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        while let Some(ty) = open.pop() {
            if !seen.insert(ty.clone()) {
                continue;
            }
            open.extend(self.possible.get(&ty).into_iter().flatten().cloned());
            for field in self.fields(&ty) {
                fields.insert(format!("{ty}.{}", field.name.node));
                open.push(named(&field.ty.node).to_owned());
            }
        }
        fields
    }

    /// Every optional argument that is a text, by `Type.field.argument`, with the value of a client that sets none: `""`.
    /// An argument that is an input object has such values for each of its fields that is one: a text, a filter on ids, or
    /// a filter on times. Filters are nested in each other.
    pub fn empty_arguments(&self) -> Arguments {
        let mut found = Arguments::new();
        for ty in self.types.keys() {
            for field in self.fields(ty) {
                for argument in &field.arguments {
                    let (name, of) = (argument.node.name.node.as_str(), &argument.node.ty.node);
                    let key = format!("{ty}.{}.{name}", field.name.node);
                    if self.is_input(named(of)) {
                        for (path, empty) in self.empty_inputs(named(of), &mut Vec::new()) {
                            found.insert(format!("{key} {path}"), empty);
                        }
                    } else if of.nullable && matches!(named(of), "String" | "ID") {
                        found.insert(key, "\"\"".to_owned());
                    }
                }
            }
        }
        found
    }

    fn is_input(&self, ty: &str) -> bool {
        matches!(self.types.get(ty), Some(TypeKind::InputObject(_)))
    }

    /// The values of an input object that compare nothing, by the path of what is empty in them.
    fn empty_inputs(&self, ty: &str, above: &mut Vec<String>) -> Vec<(String, String)> {
        let Some(TypeKind::InputObject(input)) = self.types.get(ty) else { return Vec::new() };
        if above.iter().any(|name| name == ty) {
            return Vec::new();
        }
        // A filter on other texts compares with the empty text like with any other.
        if ty == "StringFilter" {
            return Vec::new();
        }
        let mut found = vec![("{}".to_owned(), "{}".to_owned())];
        above.push(ty.to_owned());
        for field in &input.fields {
            let (name, of) = (field.node.name.node.as_str(), named(&field.node.ty.node));
            let mut add = |path: &str, value: &str| {
                found.push((format!("{name} {path}"), format!("{{{name}: {value}}}")));
            };
            match of {
                "String" | "ID" => add("", "\"\""),
                "StringFilter" if name.ends_with("Id") => {
                    for empty in [
                        "{_eq: \"\", _in: [\"\"]}",
                        "{_ne: \"\"}",
                        "{_notIn: [\"\"]}",
                        "{_contains: \"\"}",
                        "{}",
                    ] {
                        add(empty, empty);
                    }
                }
                "DateTimeFilter" => add("", "{_gt: \"\", _lte: \"\"}"),
                _ => {
                    for (path, value) in self.empty_inputs(of, above) {
                        add(&path, &value);
                    }
                }
            }
        }
        above.pop();
        if input.fields.iter().any(|field| field.node.name.node == "_not") {
            for (path, value) in found.clone() {
                for (operator, outer) in [
                    ("_not", format!("{{_not: {value}}}")),
                    ("_and", format!("{{_and: [{value}]}}")),
                    ("_or", format!("{{_or: [{value}]}}")),
                ] {
                    // All of them in the filter itself, and only the empty object in nested ones.
                    if above.is_empty() || path == "{}" {
                        found.push((format!("{operator} {path}"), outer));
                    }
                }
            }
        }
        found
    }

    /// A field with its arguments and selection; `None` if a required argument has no value.
    pub fn field(&self, of: &str, field: &FieldDefinition, arguments: &Arguments) -> Option<String> {
        self.write_field(of, field, arguments, &mut vec![of.to_owned()])
    }

    fn write_field(
        &self,
        of: &str,
        field: &FieldDefinition,
        arguments: &Arguments,
        path: &mut Vec<String>,
    ) -> Option<String> {
        let name = field.name.node.as_str();
        let mut given = Vec::new();
        for argument in &field.arguments {
            let key = argument.node.name.node.as_str();
            let value = [format!("{of}.{name}.{key}"), format!("{name}.{key}"), key.to_owned()];
            match value.iter().find_map(|at| arguments.get(at)) {
                Some(value) => given.push(format!("{key}: {value}")),
                None if argument.node.ty.node.nullable || argument.node.default_value.is_some() => {}
                None => return None,
            }
        }
        let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
        Some(format!("{name}{given}{}", self.selection(named(&field.ty.node), arguments, path)?))
    }

    /// The selection set of a type: empty for a leaf, `None` if it would nest too deep.
    fn selection(&self, ty: &str, arguments: &Arguments, path: &mut Vec<String>) -> Option<String> {
        let body = match self.types.get(ty) {
            Some(TypeKind::Object(_)) => self.body(ty, arguments, path)?,
            Some(TypeKind::Interface(_) | TypeKind::Union(_)) => {
                let objects = self.possible.get(ty).into_iter().flatten();
                let parts = objects.filter_map(|object| {
                    Some(format!("... on {object} {{ {} }}", self.body(object, arguments, path)?))
                });
                parts.collect::<Vec<_>>().join(" ")
            }
            _ => return Some(String::new()),
        };
        Some(format!(" {{ __typename {body} }}"))
    }

    fn body(&self, object: &str, arguments: &Arguments, path: &mut Vec<String>) -> Option<String> {
        if path.len() > DEPTH {
            return None;
        }
        // An object nested in one of its own type selects leaves only.
        let again = path.iter().any(|above| above == object);
        path.push(object.to_owned());
        let fields = self.fields(object).into_iter().filter(|field| {
            !again || !self.types.contains_key(named(&field.ty.node)) || self.is_leaf(named(&field.ty.node))
        });
        let fields: Vec<String> =
            fields.filter_map(|field| self.write_field(object, field, arguments, path)).collect();
        path.pop();
        (!fields.is_empty()).then(|| fields.join(" "))
    }

    fn is_leaf(&self, ty: &str) -> bool {
        matches!(self.types.get(ty), None | Some(TypeKind::Scalar | TypeKind::Enum(_)))
    }
}

/// The name of a type without its list and non-null wrappers.
pub fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(of) => named(of),
    }
}

/// The fields that had a value in some response.
#[derive(Default)]
pub struct Coverage {
    filled: BTreeSet<String>,
}

impl Coverage {
    /// Adds a response whose objects have a `__typename`.
    pub fn add(&mut self, answer: &Value) {
        match answer {
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => {
                let ty = fields.get("__typename").and_then(Value::as_str);
                for (name, value) in fields {
                    if let Some(ty) = ty
                        && is_filled(value)
                    {
                        self.filled.insert(format!("{ty}.{name}"));
                    }
                    self.add(value);
                }
            }
            _ => {}
        }
    }

    /// The fields that never had a value.
    pub fn empty<'a>(&self, all: &'a BTreeSet<String>) -> Vec<&'a String> {
        all.iter().filter(|field| !self.filled.contains(*field)).collect()
    }
}

/// Whether a value is not null, empty or zero. `false` counts as a value.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}
