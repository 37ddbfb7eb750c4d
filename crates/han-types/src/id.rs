//! Typed ids. All are text. Ids that clients choose (sessions, transcripts) are validated when they are parsed; row
//! ids are generated here from a clock and entropy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Clock, Entropy};

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text is empty.
    #[error("{kind} is empty; give 1 to {max} characters")]
    Empty {
        /// What the text should have been.
        kind: &'static str,
        /// The longest such id, in bytes.
        max: usize,
    },
    /// The text exceeds the length limit.
    #[error("{kind} has {len} bytes; the limit is {max}")]
    TooLong {
        /// What the text should have been.
        kind: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest such id, in bytes.
        max: usize,
    },
    /// The text contains a character outside the id alphabet.
    #[error("{kind} contains {found:?}; allowed are letters, digits, '.', '_' and '-'")]
    Character {
        /// What the text should have been.
        kind: &'static str,
        /// The first character that is not allowed.
        found: char,
    },
}

/// Global ids, URLs and AADs contain ids, so the alphabet excludes every separator used there (`:`, `/`).
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
    /// The refresh tokens that descend from one sign-in of a program, and the access tokens made from them.
    TokenFamilyId, "token family id", 64
);
text_id!(
    /// A session of a coding agent, as the developer's machine names it. Unique within a team.
    SessionId, "session_id", 128
);
text_id!(
    /// One transcript file of a session: `main`, `han`, or a subagent file's stem (`agent-a881341`).
    TranscriptName, "transcript", 128
);
text_id!(
    /// A project of a team: a keyed hash of its path, because the path itself is sealed.
    ProjectId, "project id", 64
);
text_id!(
    /// A repository of a team: a keyed hash of its remote.
    RepoId, "repo id", 64
);

impl TranscriptName {
    /// The name of the main file.
    pub const MAIN: &'static str = "main";
    /// The name of the file with Han's own events.
    pub const HAN: &'static str = "han";

    /// The main file.
    #[must_use]
    pub fn main() -> Self {
        Self(Self::MAIN.to_owned())
    }

    /// The file with Han's own events.
    #[must_use]
    pub fn han() -> Self {
        Self(Self::HAN.to_owned())
    }

    /// The id of the subagent whose file it is, if it is one's.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        self.0.strip_prefix("agent-")
    }

    /// Whether a session's message list contains this file's lines. It contains those of `main` and `han`; a
    /// subagent's lines belong to the tool call that started it.
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

/// A message's key within a team: session, file and uuid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// The session.
    pub session_id: SessionId,
    /// The file.
    pub transcript: TranscriptName,
    /// The line's uuid, or one derived from its content. Any text: a hostile line may contain anything.
    pub uuid: String,
}

impl MessageKey {
    /// The row id that is bound into a message's sealed fields: `session/transcript/uuid`.
    #[must_use]
    pub fn row_id(&self) -> String {
        format!("{}/{}/{}", self.session_id, self.transcript, self.uuid)
    }
}

/// A new row id: UUIDv7 (RFC 9562, section 5.7), so that rows created together are adjacent in an index.
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
    fn parse_errors_name_the_kind_and_the_cause() {
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
    fn deserialization_validates_ids() {
        assert!(serde_json::from_str::<SessionId>("\"a:b\"").is_err());
    }
}
