//! Makes failed fields null, as the GraphQL specification demands (https://spec.graphql.org/October2021/
//! #sec-Handling-Field-Errors): a nullable field whose resolver fails is null in `data`, and a failed non-null field makes
//! the nearest nullable field around it null. async-graphql leaves failed fields out instead, and makes an object null if
//! all of its fields failed. What it left out is found by the paths of the errors; a response without errors costs
//! nothing.

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationDefinition, Selection, SelectionSet, Type,
};
use async_graphql::{Name, PathSegment, Response, Value};

use crate::field_types::FieldTypes;

/// Puts `null` where the specification demands it. `operation` is the one that ran.
pub(crate) fn fill(
    response: &mut Response,
    types: &FieldTypes,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
) {
    let missing: Vec<Vec<PathSegment>> = response
        .errors
        .iter()
        .filter(|error| !error.path.is_empty() && !holds(&response.data, &error.path))
        .map(|error| error.path.clone())
        .collect();
    if missing.is_empty() {
        return;
    }
    let (mut own, mut around) = (Vec::new(), Vec::new());
    for path in &missing {
        let nullable = nullability(document, operation, types, path);
        // The part of the path that is left out, which is longer for an error in a list's item.
        let left_out = depth(&response.data, path);
        match nullable.iter().take(left_out).rposition(|nullable| *nullable) {
            Some(at) if at + 1 == left_out => own.push(&path[..left_out]),
            Some(at) => around.push(Some(&path[..=at])),
            None => around.push(None),
        }
    }
    // First the fields that are null themselves, then those that are null because of a field inside them.
    for path in own {
        put(&mut response.data, path, true);
    }
    for path in around {
        match path {
            Some(path) => put(&mut response.data, path, false),
            None => response.data = Value::Null,
        }
    }
}

/// Whether there is a value, of whatever sort, at a path.
fn holds(data: &Value, path: &[PathSegment]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    match (step, data) {
        (PathSegment::Field(name), Value::Object(fields)) => {
            fields.get(name.as_str()).is_some_and(|value| holds(value, rest))
        }
        (PathSegment::Index(at), Value::List(items)) => items.get(*at).is_some_and(|item| holds(item, rest)),
        // A list that is null, because of this error.
        (PathSegment::Index(_), Value::Null) => true,
        _ => false,
    }
}

/// How many segments of a path lead to the first value that is left out. An object that is null because all of its
/// fields failed counts as one without fields.
fn depth(data: &Value, path: &[PathSegment]) -> usize {
    let mut at = Some(data);
    for (n, step) in path.iter().enumerate() {
        at = match (step, at) {
            (PathSegment::Field(name), Some(Value::Object(fields))) => fields.get(name.as_str()),
            (PathSegment::Index(index), Some(Value::List(items))) => items.get(*index),
            _ => None,
        };
        if at.is_none() {
            return n + 1;
        }
    }
    path.len()
}

/// Puts `null` at a path. `creates`: whether an object that is null gets the field.
fn put(data: &mut Value, path: &[PathSegment], creates: bool) {
    let Some((step, rest)) = path.split_first() else {
        *data = Value::Null;
        return;
    };
    match step {
        PathSegment::Field(name) => {
            if creates && matches!(data, Value::Null) {
                *data = Value::Object(Default::default());
            }
            if let Value::Object(fields) = data {
                put(fields.entry(Name::new(name)).or_insert(Value::Null), rest, creates);
            }
        }
        PathSegment::Index(at) => {
            if let Value::List(items) = data
                && let Some(item) = items.get_mut(*at)
            {
                put(item, rest, creates);
            }
        }
    }
}

/// For each segment of a path, whether the value there may be null. A field that is not in the schema's text (those of
/// introspection) may.
fn nullability(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    types: &FieldTypes,
    path: &[PathSegment],
) -> Vec<bool> {
    let mut parent = types.root(operation);
    let mut selections: Vec<&SelectionSet> = vec![&operation.selection_set.node];
    let mut list: Option<&Type> = None;
    let mut found = Vec::with_capacity(path.len());
    for step in path {
        let ty = match step {
            PathSegment::Index(_) => match list.map(|ty| &ty.base) {
                Some(BaseType::List(item)) => Some(&**item),
                _ => None,
            },
            PathSegment::Field(key) => {
                let mut fields = Vec::new();
                for set in &selections {
                    collect(document, types, parent, set, key, &mut fields);
                }
                selections = fields.iter().map(|(_, set)| *set).collect();
                fields.iter().find_map(|(ty, _)| *ty)
            }
        };
        found.push(ty.is_none_or(|ty| ty.nullable));
        list = ty;
        if let Some(BaseType::Named(name)) = ty.map(|ty| &ty.base) {
            parent = Some(name);
        }
    }
    found
}

/// The fields of a selection set that have a response key, with their types and selection sets.
fn collect<'d>(
    document: &'d ExecutableDocument,
    types: &'d FieldTypes,
    parent: Option<&'d Name>,
    set: &'d SelectionSet,
    key: &str,
    found: &mut Vec<(Option<&'d Type>, &'d SelectionSet)>,
) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) if field.node.response_key().node == key => {
                let ty = parent.and_then(|parent| types.of_field(parent, &field.node.name.node));
                found.push((ty, &field.node.selection_set.node));
            }
            Selection::Field(_) => {}
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                collect(document, types, on.or(parent), &fragment.node.selection_set.node, key, found);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let on = &fragment.node.type_condition.node.on.node;
                    collect(document, types, Some(on), &fragment.node.selection_set.node, key, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::{PathSegment, Response, ServerError, Value};
    use serde_json::{Value as Json, json};

    use super::{FieldTypes, fill};
    use crate::executor::named;

    const SDL: &str = "
        interface Node { id: ID! }
        type Item implements Node { id: ID! name: String size: Int! parts: [Item!]! loose: [Item]! maybe: [Item!] }
        type Query { item: Item must: Item! node: Node number: Int }
        schema { query: Query }";

    /// The data after [`fill`], for errors at these paths.
    fn filled(query: &str, data: Json, paths: &[Json]) -> Json {
        let mut response = Response::new(Value::from_json(data).unwrap());
        for path in paths {
            let segments = path.as_array().unwrap().iter().map(|segment| match segment.as_u64() {
                Some(index) => PathSegment::Index(usize::try_from(index).unwrap()),
                None => PathSegment::Field(segment.as_str().unwrap().to_owned()),
            });
            let mut error = ServerError::new("failed", None);
            error.path = segments.collect();
            response.errors.push(error);
        }
        let document = parse_query(query).unwrap();
        fill(&mut response, &FieldTypes::read(SDL), &document, named(&document, None).unwrap());
        response.data.into_json().unwrap()
    }

    #[test]
    fn a_failed_nullable_field_is_null() {
        let all = "{ a: item { id name } number }";
        assert_eq!(filled("{ number }", Json::Null, &[json!(["number"])]), json!({ "number": null }));
        assert_eq!(
            filled(all, json!({ "a": { "id": "1" }, "number": 1 }), &[json!(["a", "name"])]),
            json!({ "a": { "id": "1", "name": null }, "number": 1 })
        );
        assert_eq!(
            filled(all, json!({ "a": { "id": "1", "name": "x" } }), &[json!(["number"])]),
            json!({ "a": { "id": "1", "name": "x" }, "number": null })
        );
        // All fields of an object failed.
        assert_eq!(
            filled(
                "{ item { name x: name } }",
                json!({ "item": null }),
                &[json!(["item", "name"]), json!(["item", "x"])]
            ),
            json!({ "item": { "name": null, "x": null } })
        );
    }

    #[test]
    fn a_failed_non_null_field_makes_the_nearest_nullable_one_null() {
        let size = "query { item { ...F } node { id ... on Item { size } } must { size } } fragment F on Item { id size }";
        let data = json!({ "item": { "id": "1" }, "node": { "id": "2", "size": 1 }, "must": { "size": 1 } });
        assert_eq!(
            filled(size, data.clone(), &[json!(["item", "size"])]),
            json!({ "item": null, "node": { "id": "2", "size": 1 }, "must": { "size": 1 } })
        );
        let data = json!({ "item": { "id": "1", "size": 2 }, "node": { "id": "2" }, "must": null });
        assert_eq!(filled(size, data, &[json!(["must", "size"]), json!(["node", "size"])]), Json::Null);
        // The order of the errors makes no difference.
        let two = "{ item { name size } }";
        for paths in [
            [json!(["item", "name"]), json!(["item", "size"])],
            [json!(["item", "size"]), json!(["item", "name"])],
        ] {
            assert_eq!(filled(two, json!({ "item": null }), &paths), json!({ "item": null }));
        }
    }

    #[test]
    fn items_of_lists_follow_their_types() {
        let query = "{ item { id parts { id size } loose { id size } maybe { id size } } }";
        let item = || json!({ "id": "1" });
        let data = json!({ "item": { "id": "1", "parts": [], "loose": [item()], "maybe": [item()] } });
        assert_eq!(
            filled(query, data, &[json!(["item", "loose", 0, "size"]), json!(["item", "maybe", 0, "size"])]),
            json!({ "item": { "id": "1", "parts": [], "loose": [null], "maybe": null } })
        );
        // async-graphql leaves out a whole list if an item fails.
        let data = json!({ "item": { "id": "1", "loose": [], "maybe": [] } });
        assert_eq!(filled(query, data, &[json!(["item", "parts", 3])]), json!({ "item": null }));
    }

    #[test]
    fn a_value_that_is_there_stays() {
        let data = json!({ "item": { "id": "1", "name": "x" }, "number": null });
        for path in [json!(["item"]), json!(["item", "name"]), json!(["number"]), json!([])] {
            assert_eq!(filled("{ item { id name } number }", data.clone(), &[path]), data);
        }
    }
}
