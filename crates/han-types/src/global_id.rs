//! Relay global ids: `Type:id` as plain text (not base64), unique across types.

use std::fmt;

use thiserror::Error;

use crate::{IdError, MessageKey, ProjectId, RepoId, SessionId, TeamId, UserId};

/// The id of an object that the GraphQL field `node(id:)` can return.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GlobalId {
    /// `Session:<session id>`
    Session(SessionId),
    /// `Message:<session>:<transcript>:<uuid>`
    Message(MessageKey),
    /// `Project:<project id>`
    Project(ProjectId),
    /// `Repo:<repo id>`
    Repo(RepoId),
    /// `User:<user id>`
    User(UserId),
    /// `Team:<team id>`
    Team(TeamId),
}

/// Why a text is no global id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GlobalIdError {
    /// The text has no `Type:` prefix, or an unknown one.
    #[error("not a global id: expected Type:id, such as Session:258c7280-ae70-4798-800f-63464d01a85d")]
    Form,
    /// The part after the type is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl GlobalId {
    /// Parses `Type:id`.
    ///
    /// # Errors
    /// If the type is unknown or the id is malformed.
    pub fn parse(text: &str) -> Result<Self, GlobalIdError> {
        let (kind, id) = text.split_once(':').ok_or(GlobalIdError::Form)?;
        Ok(match kind {
            "Session" => Self::Session(id.parse()?),
            "Project" => Self::Project(id.parse()?),
            "Repo" => Self::Repo(id.parse()?),
            "User" => Self::User(id.parse()?),
            "Team" => Self::Team(id.parse()?),
            "Message" => {
                let mut parts = id.splitn(3, ':');
                let (Some(session), Some(transcript), Some(uuid)) =
                    (parts.next(), parts.next(), parts.next())
                else {
                    return Err(GlobalIdError::Form);
                };
                Self::Message(MessageKey {
                    session_id: session.parse()?,
                    transcript: transcript.parse()?,
                    uuid: uuid.to_owned(),
                })
            }
            _ => return Err(GlobalIdError::Form),
        })
    }

    /// The raw id in `text`, which may be global (`Session:x`) or raw (`x`): id arguments accept both.
    #[must_use]
    pub fn raw<'a>(kind: &str, text: &'a str) -> &'a str {
        text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text)
    }
}

impl fmt::Display for GlobalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "Session:{id}"),
            Self::Message(key) => write!(f, "Message:{}:{}:{}", key.session_id, key.transcript, key.uuid),
            Self::Project(id) => write!(f, "Project:{id}"),
            Self::Repo(id) => write!(f, "Repo:{id}"),
            Self::User(id) => write!(f, "User:{id}"),
            Self::Team(id) => write!(f, "Team:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::GlobalId;

    proptest! {
        #[test]
        fn display_and_parse_round_trip(session in "[a-zA-Z0-9._-]{1,128}", transcript in "[a-z0-9-]{1,40}", uuid in ".*") {
            for text in [format!("Session:{session}"), format!("Message:{session}:{transcript}:{uuid}")] {
                let id = GlobalId::parse(&text);
                prop_assert!(id.is_ok());
                prop_assert_eq!(id.map(|id| id.to_string()), Ok(text));
            }
        }

        #[test]
        fn parsing_any_text_gives_an_id_or_an_error(text in ".*") {
            if let Ok(id) = GlobalId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn raw_accepts_global_and_raw_ids() {
        assert_eq!(GlobalId::raw("Session", "Session:abc"), "abc");
        assert_eq!(GlobalId::raw("Session", "abc"), "abc");
        assert_eq!(GlobalId::raw("Session", "Sessions"), "Sessions");
    }
}
