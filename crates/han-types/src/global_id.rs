//! Relay global ids: `Type:id` as plain text (not base64), unique across types.

use std::fmt;

use thiserror::Error;

use crate::{IdError, MessageKey, ProjectId, RepoId, SessionId, TeamId, UserId, id_parts};

/// The id of an object that the GraphQL field `node(id:)` can return.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GlobalId {
    /// `Session:<session id>`
    Session(SessionId),
    /// `Message:<session>~<transcript>~<uuid>`, each part encoded by [`id_parts`].
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
            "Message" => Self::Message(message_key(id)?),
            _ => return Err(GlobalIdError::Form),
        })
    }

    /// The raw id in `text`, which may be global (`Session:x`) or raw (`x`): id arguments accept both.
    #[must_use]
    pub fn raw<'a>(kind: &str, text: &'a str) -> &'a str {
        text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')).unwrap_or(text)
    }
}

/// A message's id without `Message:`. Ids of the form `<session>:<transcript>:<uuid>`, unencoded, are in links from before
/// this form; the present form contains no colon.
fn message_key(id: &str) -> Result<MessageKey, GlobalIdError> {
    let parts = if id.contains(':') {
        id.splitn(3, ':').map(str::to_owned).collect()
    } else {
        id_parts::split(id).ok_or(GlobalIdError::Form)?
    };
    let [session, transcript, uuid] = <[String; 3]>::try_from(parts).map_err(|_| GlobalIdError::Form)?;
    Ok(MessageKey { session_id: session.parse()?, transcript: transcript.parse()?, uuid })
}

impl fmt::Display for GlobalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "Session:{id}"),
            Self::Message(key) => {
                let parts = [key.session_id.as_str(), key.transcript.as_str(), key.uuid.as_str()];
                write!(f, "Message:{}", id_parts::join(&parts))
            }
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
    use crate::MessageKey;

    fn message(session: &str, transcript: &str, uuid: &str) -> GlobalId {
        GlobalId::Message(MessageKey {
            session_id: session.parse().unwrap(),
            transcript: transcript.parse().unwrap(),
            uuid: uuid.to_owned(),
        })
    }

    proptest! {
        #[test]
        fn display_and_parse_round_trip(session in "[a-zA-Z0-9._-]{1,128}", transcript in "[a-z0-9-]{1,40}", uuid in any::<String>()) {
            let id = message(&session, &transcript, &uuid);
            let text = id.to_string();
            prop_assert_eq!(text.matches(':').count(), 1, "clients cut at the second colon");
            prop_assert_eq!(GlobalId::parse(&text), Ok(id.clone()));
            let old = format!("Message:{session}:{transcript}:{uuid}");
            prop_assert_eq!(GlobalId::parse(&old), Ok(id));
            let text = format!("Session:{session}");
            prop_assert_eq!(GlobalId::parse(&text).map(|id| id.to_string()), Ok(text));
        }

        #[test]
        fn parsing_any_text_gives_an_id_or_an_error(text in ".*|Message:[a-z~%0-9A-F:]{0,30}") {
            if let Ok(id) = GlobalId::parse(&text) {
                prop_assert_eq!(GlobalId::parse(&id.to_string()), Ok(id));
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
