//! Gives the objects of a response the form that the GraphQL specification demands: fields in the order of the query
//! (https://spec.graphql.org/October2021/#sec-Serialized-Map-Ordering), and an object for a selection of which nothing
//! applies.
//!
//! async-graphql adds fields to an object in the order in which they resolve, and makes an object without fields null.
//! If two fields have one response key, it merges their values, but drops the second if the first is null: an object all
//! of whose fields failed. [`mark`] therefore adds `__typename` under a key of our own to selections for which that
//! matters: it never fails, and names the object's type, on which the order depends. [`arrange`] removes it again.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Response, Value};

use crate::executor::named;
use crate::field_types::{FieldTypes, base};

/// The response key of the added `__typename`.
const MARK: &str = "__hanTypename";

/// The most selections of one document that are looked at: fragments can repeat them without limit. The rest are not
/// marked.
const MAX_SELECTIONS: usize = 10_000;

/// Adds marks to the operation's selections. Returns whether [`arrange`] has to remove any.
pub(crate) fn mark(
    document: &mut ExecutableDocument,
    text: &str,
    types: &FieldTypes,
    operation: Option<&str>,
) -> bool {
    // The key may be one of the client's.
    if text.contains(MARK) {
        return false;
    }
    let Some(found) = named(document, operation) else { return false };
    let mut marking = Marking { document, types, marks: HashSet::new(), seen: HashSet::new() };
    let root = &found.selection_set;
    if found.ty != OperationType::Subscription && !marking.has_field(&root.node, types.root(found)) {
        marking.marks.insert(root.pos);
    }
    marking.visit(&[root], types.root(found));
    let marks = marking.marks;
    if marks.is_empty() {
        return false;
    }
    match &mut document.operations {
        DocumentOperations::Single(operation) => add(&mut operation.node.selection_set, &marks),
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                add(&mut operation.node.selection_set, &marks);
            }
        }
    }
    for fragment in document.fragments.values_mut() {
        add(&mut fragment.node.selection_set, &marks);
    }
    true
}

/// Adds the mark to the selection sets at these positions.
fn add(set: &mut Positioned<SelectionSet>, marks: &HashSet<Pos>) {
    for selection in &mut set.node.items {
        match &mut selection.node {
            Selection::Field(field) => add(&mut field.node.selection_set, marks),
            Selection::InlineFragment(fragment) => add(&mut fragment.node.selection_set, marks),
            Selection::FragmentSpread(_) => {}
        }
    }
    if !set.node.items.is_empty() && marks.contains(&set.pos) {
        let name = |name: &str| Positioned::new(Name::new(name), set.pos);
        let field = Field {
            alias: Some(name(MARK)),
            name: name("__typename"),
            arguments: Vec::new(),
            directives: Vec::new(),
            selection_set: Positioned::new(SelectionSet::default(), set.pos),
        };
        set.node.items.push(Positioned::new(Selection::Field(Positioned::new(field, set.pos)), set.pos));
    }
}

/// The fields of an object, by response key: their selection sets, and the name of their type.
type Collected<'d> = IndexMap<&'d Name, (Vec<&'d Positioned<SelectionSet>>, Option<&'d Name>)>;

/// Collects the fields that apply to an object of type `object`; all fields if that is not known. `parent` is the type
/// of the selection.
fn collect<'d>(
    document: &'d ExecutableDocument,
    types: &'d FieldTypes,
    sets: &[&'d Positioned<SelectionSet>],
    parent: Option<&'d Name>,
    object: Option<&Name>,
) -> Collected<'d> {
    struct Collecting<'d, 'o> {
        document: &'d ExecutableDocument,
        types: &'d FieldTypes,
        object: Option<&'o Name>,
        fields: Collected<'d>,
        seen: HashSet<&'d Name>,
    }
    impl<'d> Collecting<'d, '_> {
        fn applies(&self, condition: Option<&Name>) -> bool {
            let (Some(condition), Some(object)) = (condition, self.object) else { return true };
            self.types.applies(condition, object)
        }

        fn take(&mut self, set: &'d SelectionSet, parent: Option<&'d Name>) {
            for selection in &set.items {
                match &selection.node {
                    Selection::Field(field) => {
                        let ty = parent.and_then(|parent| self.types.of_field(parent, &field.node.name.node));
                        let found = self.fields.entry(&field.node.response_key().node).or_default();
                        found.1 = found.1.or_else(|| ty.map(base));
                        if !field.node.selection_set.node.items.is_empty() {
                            found.0.push(&field.node.selection_set);
                        }
                    }
                    Selection::InlineFragment(fragment) => {
                        let on =
                            fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                        if self.applies(on) {
                            self.take(&fragment.node.selection_set.node, on.or(parent));
                        }
                    }
                    Selection::FragmentSpread(spread) => {
                        let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node)
                        else {
                            continue;
                        };
                        let on = &fragment.node.type_condition.node.on.node;
                        if self.applies(Some(on)) && self.seen.insert(&spread.node.fragment_name.node) {
                            self.take(&fragment.node.selection_set.node, Some(on));
                        }
                    }
                }
            }
        }
    }
    let mut collecting =
        Collecting { document, types, object, fields: IndexMap::new(), seen: HashSet::new() };
    for set in sets {
        collecting.take(&set.node, parent);
    }
    collecting.fields
}

/// Finds the selection sets that need a mark.
struct Marking<'d> {
    document: &'d ExecutableDocument,
    types: &'d FieldTypes,
    /// The positions of the sets, which tell them apart.
    marks: HashSet<Pos>,
    /// The sets that were looked at, together with those that they are merged with.
    seen: HashSet<Vec<Pos>>,
}

impl<'d> Marking<'d> {
    fn visit(&mut self, sets: &[&'d Positioned<SelectionSet>], parent: Option<&'d Name>) {
        let positions = sets.iter().map(|set| set.pos).collect();
        if self.seen.len() >= MAX_SELECTIONS || !self.seen.insert(positions) {
            return;
        }
        for (sets, ty) in collect(self.document, self.types, sets, parent, None).into_values() {
            for set in &sets {
                let is_merged = sets.len() > 1;
                let depends_on_type =
                    ty.is_some_and(|ty| self.types.is_abstract(ty)) && has_condition(&set.node);
                let can_be_empty = || !self.has_field(&set.node, ty);
                if !names_type(&set.node) && (is_merged || depends_on_type || can_be_empty()) {
                    self.marks.insert(set.pos);
                }
            }
            if !sets.is_empty() {
                self.visit(&sets, ty);
            }
        }
    }

    /// Whether a selection on objects of type `ty` contains a field in any case.
    fn has_field(&self, set: &SelectionSet, ty: Option<&Name>) -> bool {
        self.has_field_without(set, ty, &mut HashSet::new())
    }

    fn has_field_without<'s>(
        &'s self,
        set: &'s SelectionSet,
        ty: Option<&Name>,
        seen: &mut HashSet<&'s Name>,
    ) -> bool {
        let applies = |condition: Option<&Name>| {
            condition.is_none_or(|condition| ty.is_some_and(|ty| self.types.applies(condition, ty)))
        };
        set.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => !is_conditional(&field.node.directives),
            Selection::InlineFragment(fragment) => {
                let on = fragment.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                !is_conditional(&fragment.node.directives)
                    && applies(on)
                    && self.has_field_without(&fragment.node.selection_set.node, ty, seen)
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                let Some(fragment) = self.document.fragments.get(name) else { return false };
                !is_conditional(&spread.node.directives)
                    && applies(Some(&fragment.node.type_condition.node.on.node))
                    && seen.insert(name)
                    && self.has_field_without(&fragment.node.selection_set.node, ty, seen)
            }
        })
    }
}

fn is_conditional(directives: &[Positioned<Directive>]) -> bool {
    directives.iter().any(|directive| matches!(directive.node.name.node.as_str(), "skip" | "include"))
}

/// Whether a selection contains a fragment, whose condition may exclude some types.
fn has_condition(set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(_) => false,
        Selection::FragmentSpread(_) => true,
        Selection::InlineFragment(fragment) => {
            fragment.node.type_condition.is_some() || has_condition(&fragment.node.selection_set.node)
        }
    })
}

/// Whether a selection contains `__typename` as it is, which does what a mark does.
fn names_type(set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => {
            field.node.name.node == "__typename"
                && field.node.alias.is_none()
                && !is_conditional(&field.node.directives)
        }
        _ => false,
    })
}

/// Puts the fields of every object into the order of the query, and removes the marks if there are any.
pub(crate) fn arrange(
    response: &mut Response,
    types: &FieldTypes,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    is_marked: bool,
) {
    let root =
        Place { sets: vec![&operation.selection_set], ty: types.root(operation), fields: HashMap::new() };
    let mut arranging = Arranging { document, types, is_marked, places: vec![root] };
    arranging.arrange(&mut response.data, 0);
}

/// A place in a query, where objects of several types may be.
struct Place<'d> {
    /// The selection sets of all fields with its path.
    sets: Vec<&'d Positioned<SelectionSet>>,
    ty: Option<&'d Name>,
    /// The fields of an object here, in order, by the object's type.
    fields: HashMap<Option<Name>, Fields<'d>>,
}

/// Response keys, with the place of the field's value, if that may hold objects.
type Fields<'d> = Rc<[(&'d Name, Option<usize>)]>;

struct Arranging<'d> {
    document: &'d ExecutableDocument,
    types: &'d FieldTypes,
    is_marked: bool,
    /// The places that the response has reached so far.
    places: Vec<Place<'d>>,
}

impl<'d> Arranging<'d> {
    fn arrange(&mut self, value: &mut Value, place: usize) {
        match value {
            Value::List(items) => {
                for item in items {
                    self.arrange(item, place);
                }
            }
            Value::Object(object) => {
                let fields = self.fields(object, place);
                if self.is_marked {
                    object.shift_remove(MARK);
                }
                let present = fields.iter().map(|(key, _)| *key).filter(|key| object.contains_key(*key));
                if !present.eq(object.keys()) {
                    let mut rest = std::mem::take(object);
                    for (key, _) in &*fields {
                        object.extend(rest.swap_remove_entry(*key));
                    }
                    object.extend(rest);
                }
                for (key, place) in &*fields {
                    if let (Some(value), Some(place)) = (object.get_mut(*key), place) {
                        self.arrange(value, *place);
                    }
                }
            }
            _ => {}
        }
    }

    /// The fields of an object at a place.
    fn fields(&mut self, object: &IndexMap<Name, Value>, place: usize) -> Fields<'d> {
        let Some(here) = self.places.get(place) else { return Rc::default() };
        let named = |key: &str| match object.get(key) {
            Some(Value::String(name)) => Some(Name::new(name)).filter(|name| self.types.is_object(name)),
            _ => None,
        };
        let ty = here
            .ty
            .filter(|ty| self.types.is_object(ty))
            .cloned()
            .or_else(|| if self.is_marked { named(MARK) } else { None })
            .or_else(|| named("__typename"));
        if let Some(fields) = here.fields.get(&ty) {
            return Rc::clone(fields);
        }
        let found = collect(self.document, self.types, &here.sets, here.ty, ty.as_ref());
        let fields: Fields<'d> = found
            .into_iter()
            .filter(|(key, _)| !(self.is_marked && key.as_str() == MARK))
            .map(|(key, (sets, ty))| {
                let holds_objects = !sets.is_empty();
                if holds_objects {
                    self.places.push(Place { sets, ty, fields: HashMap::new() });
                }
                (key, holds_objects.then(|| self.places.len() - 1))
            })
            .collect();
        if let Some(here) = self.places.get_mut(place) {
            here.fields.insert(ty, Rc::clone(&fields));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::{Response, Value};
    use serde_json::{Value as Json, json};

    use super::{MARK, arrange, mark};
    use crate::executor::named;
    use crate::field_types::FieldTypes;

    const SDL: &str = "
        interface Node { id: ID! }
        type Item implements Node { id: ID! name: String parts: [Part!]! }
        type Part implements Node { id: ID! size: Int name: String }
        type Query { item: Item node: Node number: Int nodes: [Node!]! }
        schema { query: Query }";

    /// The text of the data, arranged for a query.
    fn arranged(query: &str, data: &str) -> String {
        let types = FieldTypes::read(SDL);
        let mut document = parse_query(query).unwrap();
        let is_marked = mark(&mut document, query, &types, None);
        let data: Value = serde_json::from_str(data).unwrap();
        let mut response = Response::new(data);
        arrange(&mut response, &types, &document, named(&document, None).unwrap(), is_marked);
        serde_json::to_string(&response.data).unwrap()
    }

    #[test]
    fn fields_have_the_order_of_the_query() {
        let query = "{ number item { ...F id } } fragment F on Item { name parts { size id } }";
        let data =
            r#"{"item":{"parts":[{"id":"2","size":1},{"size":2,"id":"3"}],"id":"1","name":null},"number":1}"#;
        assert_eq!(
            arranged(query, data),
            r#"{"number":1,"item":{"name":null,"parts":[{"size":1,"id":"2"},{"size":2,"id":"3"}],"id":"1"}}"#
        );
        // What is skipped is not there, and the first of two fields with one key determines the place.
        assert_eq!(arranged("{ a: number b: number a: number }", r#"{"b":1,"a":1}"#), r#"{"a":1,"b":1}"#);
        assert_eq!(arranged("{ a: number b: number c: number }", r#"{"c":1,"a":1}"#), r#"{"a":1,"c":1}"#);
    }

    #[test]
    fn the_order_depends_on_the_type_of_an_object() {
        let query = "{ nodes { ... on Item { id name } ... on Part { name id } } }";
        let (item, part) =
            (r#"{"name":"x","id":"1","MARK":"Item"}"#, r#"{"id":"2","MARK":"Part","name":"y"}"#);
        let data = format!(r#"{{"nodes":[{item},{part}]}}"#).replace("MARK", MARK);
        assert_eq!(arranged(query, &data), r#"{"nodes":[{"id":"1","name":"x"},{"name":"y","id":"2"}]}"#);
        let query = query.replace("nodes {", "nodes { __typename");
        let data = data.replace(MARK, "__typename");
        assert_eq!(
            arranged(&query, &data),
            r#"{"nodes":[{"__typename":"Item","id":"1","name":"x"},{"__typename":"Part","name":"y","id":"2"}]}"#
        );
    }

    /// Whether a query's text contains marks, by the keys of the fields that have one.
    fn marked(query: &str) -> Json {
        fn walk(set: &async_graphql::parser::types::SelectionSet, found: &mut Vec<String>, at: &str) {
            use async_graphql::parser::types::Selection;
            for selection in &set.items {
                match &selection.node {
                    Selection::Field(field) if field.node.response_key().node == MARK => {
                        found.push(at.to_owned());
                    }
                    Selection::Field(field) => {
                        walk(&field.node.selection_set.node, found, &field.node.response_key().node);
                    }
                    Selection::InlineFragment(fragment) => {
                        walk(&fragment.node.selection_set.node, found, at);
                    }
                    Selection::FragmentSpread(_) => {}
                }
            }
        }
        let mut document = parse_query(query).unwrap();
        mark(&mut document, query, &FieldTypes::read(SDL), None);
        let mut found = Vec::new();
        walk(&named(&document, None).unwrap().selection_set.node, &mut found, "");
        json!(found)
    }

    #[test]
    fn selections_are_marked_only_where_it_matters() {
        for (query, expected) in [
            ("{ number item { id } }", json!([])),
            ("{ nodes { id } }", json!([])),
            // A type that the order depends on.
            ("{ node { id ... on Item { name } } }", json!(["node"])),
            ("{ node { __typename ... on Item { name } } }", json!([])),
            ("{ item { ... on Node { id } } }", json!([])),
            // Selections that may be empty.
            ("query($x: Boolean!) { item { name @skip(if: $x) } }", json!(["item"])),
            ("query($x: Boolean!) { number @skip(if: $x) }", json!([""])),
            ("{ item { ... @include(if: true) { id } } }", json!(["item"])),
            ("{ item { ...F } } fragment F on Item { ...F }", json!(["item"])),
            // Selections that are merged.
            ("{ item { id } item { name } }", json!(["item", "item"])),
            ("{ item { id } ...F } fragment F on Query { item { name } }", json!(["item"])),
            ("{ item { id } other: item { id } }", json!([])),
            // The client's own key.
            ("{ item { id } item { __hanTypename: name } }", json!(["item"])),
        ] {
            assert_eq!(marked(query), expected, "{query}");
        }
    }
}
