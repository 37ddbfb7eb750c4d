//! A subscription selects one field (https://spec.graphql.org/October2021/#sec-Single-root-field). async-graphql runs
//! any number of them, each as a stream of its own.

use std::collections::HashSet;

use async_graphql::Positioned;
use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};

use crate::error::{ApiError, Result};
use crate::executor::named;

/// Checks that the operation, if it is a subscription, selects one field, and makes its selection that one field:
/// fields with one response key, also in fragments, are one field with the selections of all. Returns whether that
/// changed the document.
///
/// # Errors
/// If it selects no field or several, an introspection field, or selects by a condition.
pub(crate) fn check(document: &mut ExecutableDocument, operation: Option<&str>) -> Result<bool> {
    let Some(found) = named(document, operation).filter(|found| found.ty == OperationType::Subscription)
    else {
        return Ok(false);
    };
    let field = root_field(document, found)?;
    let operation = match &mut document.operations {
        DocumentOperations::Single(operation) => Some(operation),
        DocumentOperations::Multiple(operations) => operations
            .iter_mut()
            .find(|(name, _)| operation.is_none_or(|operation| **name == *operation))
            .map(|(_, operation)| operation),
    };
    // A fragment that is used nowhere else would be reported as unused; the fields that it had are here now.
    if let Some(operation) = operation {
        let set = &mut operation.node.selection_set;
        if !matches!(set.node.items.as_slice(), [only] if matches!(only.node, Selection::Field(_))) {
            let pos = field.pos;
            set.node.items = vec![Positioned::new(Selection::Field(field), pos)];
            retain_used_fragments(document);
            return Ok(true);
        }
    }
    Ok(false)
}

fn refuse(problem: impl std::fmt::Display) -> ApiError {
    ApiError::bad("query", problem)
}

fn root_field(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<Positioned<Field>> {
    let mut found = Vec::new();
    collect(document, &operation.selection_set.node, &mut HashSet::new(), &mut found)?;
    let keys: HashSet<_> = found.iter().map(|field| &field.node.response_key().node).collect();
    let Some((first, rest)) = found.split_first().filter(|_| keys.len() == 1) else {
        return Err(refuse(format_args!(
            "a subscription selects exactly one field, and this one selects {}: subscribe to each by itself",
            keys.len()
        )));
    };
    if first.node.name.node.starts_with("__") {
        return Err(refuse("a subscription selects a field of the schema, not an introspection field"));
    }
    let mut field = Positioned::<Field>::clone(first);
    for other in rest {
        if other.node.name.node != field.node.name.node || other.node.arguments != field.node.arguments {
            return Err(refuse("the subscription selects different fields, or arguments, under one name"));
        }
        field.node.selection_set.node.items.extend(other.node.selection_set.node.items.iter().cloned());
    }
    Ok(field)
}

fn collect<'d>(
    document: &'d ExecutableDocument,
    set: &'d SelectionSet,
    seen: &mut HashSet<&'d str>,
    found: &mut Vec<&'d Positioned<Field>>,
) -> Result<()> {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                unconditional(&field.node.directives)?;
                found.push(field);
            }
            Selection::InlineFragment(fragment) => {
                unconditional(&fragment.node.directives)?;
                collect(document, &fragment.node.selection_set.node, seen, found)?;
            }
            Selection::FragmentSpread(spread) => {
                unconditional(&spread.node.directives)?;
                let name = &spread.node.fragment_name.node;
                if let Some(fragment) = document.fragments.get(name)
                    && seen.insert(name)
                {
                    collect(document, &fragment.node.selection_set.node, seen, found)?;
                }
            }
        }
    }
    Ok(())
}

/// The number of fields must not depend on variables.
fn unconditional(directives: &[Positioned<Directive>]) -> Result<()> {
    let is_conditional =
        |directive: &Positioned<Directive>| matches!(directive.node.name.node.as_str(), "skip" | "include");
    if directives.iter().any(is_conditional) {
        return Err(refuse(
            "the field of a subscription may not have @skip or @include: leave it out instead",
        ));
    }
    Ok(())
}

/// Removes the fragments that no operation spreads any longer.
fn retain_used_fragments(document: &mut ExecutableDocument) {
    fn spreads(set: &SelectionSet, names: &mut Vec<String>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => spreads(&field.node.selection_set.node, names),
                Selection::InlineFragment(fragment) => spreads(&fragment.node.selection_set.node, names),
                Selection::FragmentSpread(spread) => names.push(spread.node.fragment_name.node.to_string()),
            }
        }
    }
    let mut waiting = Vec::new();
    for (_, operation) in document.operations.iter() {
        spreads(&operation.node.selection_set.node, &mut waiting);
    }
    let mut used = HashSet::new();
    while let Some(name) = waiting.pop() {
        if let Some(fragment) = document.fragments.get(name.as_str())
            && used.insert(name)
        {
            spreads(&fragment.node.selection_set.node, &mut waiting);
        }
    }
    document.fragments.retain(|name, _| used.contains(name.as_str()));
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::check;
    use crate::executor::named;

    fn fields(document: &str) -> Result<usize, String> {
        let mut document = parse_query(document).unwrap();
        check(&mut document, None).map_err(|error| error.to_string())?;
        Ok(named(&document, None).unwrap().selection_set.node.items.len())
    }

    #[test]
    fn fields_with_one_response_key_are_one() {
        for document in [
            "subscription { a { b } }",
            "subscription { x: a { b } ...F } fragment F on S { x: a { c } }",
            "subscription { ... { a { b } ... on S { a { c } } } }",
            "subscription($id: ID!) { a(id: $id) { b } a(id: $id) { b } }",
            "query { a b c }",
        ] {
            let expected = if document.starts_with("query") { 3 } else { 1 };
            assert_eq!(fields(document), Ok(expected), "{document}");
        }
    }

    #[test]
    fn other_selections_are_refused() {
        for document in [
            "subscription { a { c } b { c } }",
            "subscription { a { c } x: a { c } }",
            "subscription { a { c } ...F } fragment F on S { b { c } }",
            "subscription { a(id: 1) { c } a(id: 2) { c } }",
            "subscription { __typename }",
            "subscription($on: Boolean!) { a @include(if: $on) { c } b @skip(if: $on) { c } }",
            "subscription($on: Boolean!) { ... @skip(if: $on) { a { c } } }",
        ] {
            let refused = fields(document).unwrap_err();
            assert!(refused.contains("subscription"), "{document}: {refused}");
        }
    }
}
