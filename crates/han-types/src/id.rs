//! Typed ids. All are text: client-made ids (sessions, transcripts) are checked on the way in, row ids are
//! made here from a clock and entropy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Clock, Entropy};

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{kind} is empty; give 1 to {max} characters")]
    Empty {
        /// What the text should have been.
        kind: &'static str,
        /// The longest such id, in bytes.
        max: usize,
    },
    /// More than the limit was given.
    #[error("{kind} has {len} bytes; the limit is {max}")]
    TooLong {
        /// What the text should have been.
        kind: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest such id, in bytes.
        max: usize,
    },
    /// A character outside the id alphabet was given.
    #[error("{kind} contains {found:?}; allowed are letters, digits, '.', '_' and '-'")]
    Character {
        /// What the text should have been.
        kind: &'static str,
        /// The first character that is not allowed.
        found: char,
    },
}

/// Ids stand in global ids, URLs and AADs, so their alphabet leaves out every separator used there (`:`, `/`).
fn check(kind: &'static str, max: usize, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind, max });
    }
    if text.len() > max {
        return Err(IdError::TooLong { kind, len: text.len(), max });
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(found) => Err(IdError::Character { kind, found }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(s: &str) -> Result<Self, IdError> {
                check($kind, $max, s)?;
                Ok(Self(s.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(s: String) -> Result<Self, IdError> {
                check($kind, $max, &s)?;
                Ok(Self(s))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// A team: the tenant.
    TeamId, "team_id", 64
);
text_id!(
    /// A person.
    UserId, "user_id", 64
);
text_id!(
    /// An API key's row (not the key itself).
    ApiKeyId, "api key id", 64
);
text_id!(
    /// A browser session's row (not its cookie).
    WebSessionId, "web session id", 64
);
text_id!(
    /// An invite's row (not its code).
    InviteId, "invite id", 64
);
text_id!(
    /// Everything that came of one sign-in of a program: a family of refresh tokens, and the access tokens made of them.
    TokenFamilyId, "token family id", 64
);
text_id!(
    /// A coding agent's session, as its developer's machine named it. Unique within a team.
    SessionId, "session_id", 128
);
text_id!(
    /// One transcript file of a session: `main`, `han`, or a subagent file's stem (`agent-a881341`).
    TranscriptName, "transcript", 128
);
text_id!(
    /// A project of a team: a keyed hash of its path, so that the path itself can be sealed.
    ProjectId, "project id", 64
);
text_id!(
    /// A repository of a team: a keyed hash of its remote.
    RepoId, "repo id", 64
);

impl TranscriptName {
    /// The name of the main file.
    pub const MAIN: &'static str = "main";
    /// The name of the file of Han's own events.
    pub const HAN: &'static str = "han";

    /// The main file.
    #[must_use]
    pub fn main() -> Self {
        Self(Self::MAIN.to_owned())
    }

    /// The file of Han's own events.
    #[must_use]
    pub fn han() -> Self {
        Self(Self::HAN.to_owned())
    }

    /// Whether this file's lines stand in a session's message list (`main` and `han` do; a subagent's hang
    /// under the tool use that started it).
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.0 == Self::MAIN || self.0 == Self::HAN
    }
}

impl Default for TranscriptName {
    fn default() -> Self {
        Self::main()
    }
}

/// A message's place within a team: its session, its file, its uuid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The session.
    pub session_id: SessionId,
    /// The file.
    pub transcript: TranscriptName,
    /// The line's own uuid, or the one derived from its content. Free text: a hostile line may carry anything.
    pub uuid: String,
}

impl MessageKey {
    /// The row id that seals a message's fields: `session/transcript/uuid`.
    #[must_use]
    pub fn row_id(&self) -> String {
        format!("{}/{}/{}", self.session_id, self.transcript, self.uuid)
    }
}

/// A new row id: UUIDv7 (RFC 9562, section 5.7), so that rows made together lie together in an index.
#[must_use]
pub fn new_row_id(clock: &dyn Clock, entropy: &dyn Entropy) -> String {
    let mut random = [0u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(clock.now().0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::{IdError, SessionId};

    #[test]
    fn an_id_says_what_is_wrong_with_it() {
        assert_eq!("".parse::<SessionId>(), Err(IdError::Empty { kind: "session_id", max: 128 }));
        assert_eq!(
            "a".repeat(129).parse::<SessionId>(),
            Err(IdError::TooLong { kind: "session_id", len: 129, max: 128 })
        );
        assert_eq!(
            "../../etc".parse::<SessionId>(),
            Err(IdError::Character { kind: "session_id", found: '/' })
        );
        assert_eq!("é".parse::<SessionId>(), Err(IdError::Character { kind: "session_id", found: 'é' }));
        assert!("258c7280-ae70-4798-800f-63464d01a85d".parse::<SessionId>().is_ok());
    }

    #[test]
    fn wire_ids_are_checked_too() {
        assert!(serde_json::from_str::<SessionId>("\"a:b\"").is_err());
    }
}
