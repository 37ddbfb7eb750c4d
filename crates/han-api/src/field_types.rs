//! What the text of a schema says about its types: the types of fields, and which object types belong to an interface or
//! a union.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, OperationDefinition, OperationType, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Positioned};

/// The types of a schema's fields.
#[derive(Debug, Default)]
pub(crate) struct FieldTypes {
    /// For each object type and interface, the types of its fields.
    types: HashMap<Name, HashMap<Name, Type>>,
    /// The object types of each interface and union.
    objects: HashMap<Name, HashSet<Name>>,
    query: Option<Name>,
    mutation: Option<Name>,
    subscription: Option<Name>,
}

impl FieldTypes {
    /// Reads a schema's text.
    pub(crate) fn read(sdl: &str) -> Self {
        let mut found = Self::default();
        let Ok(schema) = parse_schema(sdl) else {
            tracing::error!("the schema's own text cannot be parsed");
            return found;
        };
        for definition in schema.definitions {
            match definition {
                TypeSystemDefinition::Schema(roots) => {
                    let root = |name: Option<Positioned<Name>>| name.map(|name| name.node);
                    found.query = root(roots.node.query);
                    found.mutation = root(roots.node.mutation);
                    found.subscription = root(roots.node.subscription);
                }
                TypeSystemDefinition::Type(ty) => found.add(ty.node.name.node, ty.node.kind),
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        found
    }

    fn add(&mut self, name: Name, kind: TypeKind) {
        let fields = match kind {
            TypeKind::Object(object) => {
                for interface in object.implements {
                    self.objects.entry(interface.node).or_default().insert(name.clone());
                }
                object.fields
            }
            TypeKind::Interface(interface) => {
                self.objects.entry(name.clone()).or_default();
                interface.fields
            }
            TypeKind::Union(union) => {
                let members = union.members.into_iter().map(|member| member.node);
                self.objects.entry(name).or_default().extend(members);
                return;
            }
            _ => return,
        };
        let field = |field: Positioned<FieldDefinition>| (field.node.name.node, field.node.ty.node);
        self.types.insert(name, fields.into_iter().map(field).collect());
    }

    /// The type that an operation begins at.
    pub(crate) fn root(&self, operation: &OperationDefinition) -> Option<&Name> {
        match operation.ty {
            OperationType::Query => self.query.as_ref(),
            OperationType::Mutation => self.mutation.as_ref(),
            OperationType::Subscription => self.subscription.as_ref(),
        }
    }

    /// The type of a field of an object type or interface; `None` for those of introspection.
    pub(crate) fn of_field(&self, parent: &Name, field: &Name) -> Option<&Type> {
        self.types.get(parent)?.get(field)
    }

    /// Whether values of this type may be of several object types.
    pub(crate) fn is_abstract(&self, ty: &Name) -> bool {
        self.objects.contains_key(ty)
    }

    /// Whether this is an object type.
    pub(crate) fn is_object(&self, ty: &Name) -> bool {
        self.types.contains_key(ty) && !self.is_abstract(ty)
    }

    /// Whether a fragment on `condition` applies to every object of type `ty`.
    pub(crate) fn applies(&self, condition: &Name, ty: &Name) -> bool {
        condition == ty || self.objects.get(condition).is_some_and(|objects| objects.contains(ty))
    }
}

/// The name of a type without its list and non-null wrappers.
pub(crate) fn base(ty: &Type) -> &Name {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(item) => base(item),
    }
}
