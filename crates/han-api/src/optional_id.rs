//! Optional arguments that name the part of the data that a field is about: a project, a repository, a session, a user.
//! Existing clients send `""` for a scope that they do not set, so an empty text means that the argument is absent. An
//! argument or input field with such an id has the type [`OptionalId`], and an id in a filter is read by [`is_absent`].

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{ID, InputType, InputValueError, InputValueResult, Value};
use han_types::GlobalId;

/// An id of the GraphQL type `T`, or none. Null and `""` both mean none.
#[derive(Clone, Debug)]
pub(crate) struct OptionalId<T = String>(Option<T>);

/// The GraphQL types that ids have in arguments: `String`, and `ID`.
pub(crate) trait IdText: InputType {
    fn text(&self) -> &str;
}

impl IdText for String {
    fn text(&self) -> &str {
        self
    }
}

impl IdText for ID {
    fn text(&self) -> &str {
        self
    }
}

impl<T> Default for OptionalId<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: IdText> OptionalId<T> {
    /// The id as it was sent: global or raw.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_ref().map(IdText::text)
    }

    /// The raw id of an object of type `kind`.
    pub(crate) fn raw(&self, kind: &str) -> Option<String> {
        self.get().map(|id| GlobalId::raw(kind, id).to_owned())
    }
}

/// Whether an id is no id, in an argument or in a filter.
pub(crate) fn is_absent(id: &str) -> bool {
    id.is_empty()
}

impl<T: IdText> InputType for OptionalId<T> {
    type RawValueType = T::RawValueType;

    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        Option::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Option::<T>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        let id = Option::<T>::parse(value).map_err(InputValueError::propagate)?;
        Ok(Self(id.filter(|id| !is_absent(id.text()))))
    }

    fn to_value(&self) -> Value {
        self.0.to_value()
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_ref().and_then(InputType::as_raw_value)
    }
}

/// The project or repository of an argument `projectId`. Where a client has only a repository's id, it sends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProjectScope {
    /// A project's id.
    Project(String),
    /// A repository's id.
    Repo(String),
    /// A raw id, which may be either's.
    Either(String),
}

impl ProjectScope {
    /// Reads an argument.
    pub(crate) fn of<T: IdText>(id: &OptionalId<T>) -> Option<Self> {
        let id = id.get()?;
        let raw = |kind| (GlobalId::raw(kind, id) != id).then(|| GlobalId::raw(kind, id).to_owned());
        Some(match (raw("Project"), raw("Repo")) {
            (Some(project), _) => Self::Project(project),
            (None, Some(repo)) => Self::Repo(repo),
            (None, None) => Self::Either(id.to_owned()),
        })
    }

    /// The raw id.
    pub(crate) fn id(&self) -> &str {
        let (Self::Project(id) | Self::Repo(id) | Self::Either(id)) = self;
        id
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{ID, InputType as _, Value};

    use super::{OptionalId, ProjectScope};

    #[test]
    fn null_and_empty_mean_absent() {
        for value in [None, Some(Value::Null), Some(Value::from(""))] {
            assert_eq!(OptionalId::<String>::parse(value.clone()).unwrap().get(), None);
            assert_eq!(OptionalId::<ID>::parse(value).unwrap().get(), None);
        }
        let given = OptionalId::<ID>::parse(Some(Value::from("Project:p1"))).unwrap();
        assert_eq!(given.raw("Project"), Some("p1".to_owned()));
        assert!(OptionalId::<String>::parse(Some(Value::from(true))).is_err());
        assert_eq!(OptionalId::<String>::qualified_type_name(), "String");
        assert_eq!(OptionalId::<ID>::qualified_type_name(), "ID");
    }

    #[test]
    fn a_repository_may_be_named_in_a_projects_place() {
        let of = |id: &str| ProjectScope::of(&OptionalId::<String>::parse(Some(Value::from(id))).unwrap());
        assert_eq!(of(""), None);
        assert_eq!(of("Repo:r"), Some(ProjectScope::Repo("r".to_owned())));
        assert_eq!(of("Project:p"), Some(ProjectScope::Project("p".to_owned())));
        assert_eq!(of("x"), Some(ProjectScope::Either("x".to_owned())));
    }
}
