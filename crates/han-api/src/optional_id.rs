//! Optional arguments that clients may send without naming anything: the part of the data that a field is about (a
//! project, a repository, a session, a user), a time, a position in a list. Existing clients send `""` for what they do
//! not set, so an empty text means that the argument is absent. An argument or input field with an id has the type
//! [`OptionalId`]; other texts are read by [`given`], and ids and times in a filter by [`is_absent`].

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

    fn of_text(text: String) -> Self;
}

impl IdText for String {
    fn text(&self) -> &str {
        self
    }

    fn of_text(text: String) -> Self {
        text
    }
}

impl IdText for ID {
    fn text(&self) -> &str {
        self
    }

    fn of_text(text: String) -> Self {
        Self(text)
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

/// Whether the text of an optional argument, or an id in a filter, means that it is absent.
pub(crate) fn is_absent(text: &str) -> bool {
    text.is_empty()
}

/// The text of an optional argument; none if it is absent.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !is_absent(text))
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
        let id = id.filter(|id| !is_absent(id.text()));
        // No id contains NUL, and PostgreSQL's text cannot: as in filters, such an id is one of nothing.
        let has_nul = id.as_ref().is_some_and(|id| id.text().contains('\0'));
        Ok(Self(if has_nul { id.map(|id| T::of_text(id.text().replace('\0', "\u{fffd}"))) } else { id }))
    }

    fn to_value(&self) -> Value {
        self.0.to_value()
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_ref().and_then(InputType::as_raw_value)
    }
}

/// What the ids that Han gives to projects and repositories begin with.
const PROJECT: &str = "prj_";
const REPO: &str = "rep_";

/// The project or repository of an argument `projectId`. Where a client has only a repository's id, it sends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProjectScope {
    /// A project's id.
    Project(String),
    /// A repository's id.
    Repo(String),
    /// A raw id that is not of Han's own form, which may be either's.
    Either(String),
}

impl ProjectScope {
    /// Reads an argument.
    pub(crate) fn of<T: IdText>(id: &OptionalId<T>) -> Option<Self> {
        id.get().map(Self::of_id)
    }

    /// Reads an id, which is not empty.
    pub(crate) fn of_id(id: &str) -> Self {
        let raw = |kind| (GlobalId::raw(kind, id) != id).then(|| GlobalId::raw(kind, id).to_owned());
        match (raw("Project"), raw("Repo")) {
            (Some(project), _) => Self::Project(project),
            (None, Some(repo)) => Self::Repo(repo),
            (None, None) if id.starts_with(PROJECT) => Self::Project(id.to_owned()),
            (None, None) if id.starts_with(REPO) => Self::Repo(id.to_owned()),
            (None, None) => Self::Either(id.to_owned()),
        }
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
        let nul = OptionalId::<ID>::parse(Some(Value::from("Project:\0"))).unwrap();
        assert_eq!(nul.raw("Project"), Some("\u{fffd}".to_owned()), "PostgreSQL's text cannot contain it");
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
        assert_eq!(of("rep_1"), Some(ProjectScope::Repo("rep_1".to_owned())));
        assert_eq!(of("prj_1"), Some(ProjectScope::Project("prj_1".to_owned())));
        assert_eq!(of("x"), Some(ProjectScope::Either("x".to_owned())));
    }
}
