//! Where a person is signed in: a browser, or a program that was let in.

use std::str::FromStr;

use async_graphql::{Enum, ID, SimpleObject};
use han_db::queries::sign_ins::{Means, SignInRow};
use han_types::Credential;

/// By what somebody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SignInKind {
    /// A browser's cookie.
    Browser,
    /// A program's tokens, such as a command line's.
    Program,
}

/// A place where a person is signed in.
#[derive(Clone, Debug, SimpleObject)]
pub struct SignIn {
    /// What `revokeSession` takes.
    id: ID,
    /// By what.
    kind: SignInKind,
    /// What the browser or program calls itself.
    name: Option<String>,
    /// Since when (RFC 3339).
    created_at: String,
    /// When it was last seen, to within five minutes (RFC 3339).
    last_seen_at: String,
    /// When it ends unless it is seen again (RFC 3339).
    expires_at: String,
    /// Whether it is what this request came from.
    current: bool,
}

impl SignIn {
    /// A row, as its owner sees it who came with `credential`.
    pub(crate) fn new(row: SignInRow, credential: &Credential) -> Self {
        let current = han_db::queries::sign_ins::place_of(credential) == Some((row.means, row.id.as_str()));
        let kind = match row.means {
            Means::Browser => SignInKind::Browser,
            Means::Tokens => SignInKind::Program,
        };
        Self {
            id: ID(Place { means: row.means, id: row.id }.to_string()),
            kind,
            name: row.label,
            created_at: row.created_at.to_rfc3339(),
            last_seen_at: row.last_seen_at.to_rfc3339(),
            expires_at: row.expires_at.to_rfc3339(),
            current,
        }
    }
}

/// The global id: `SignIn:browser-<id>` or `SignIn:program-<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) means: Means,
    pub(crate) id: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.means {
            Means::Browser => "browser",
            Means::Tokens => "program",
        };
        write!(f, "SignIn:{kind}-{}", self.id)
    }
}

impl FromStr for Place {
    type Err = ();

    /// The raw id is taken as well.
    fn from_str(text: &str) -> Result<Self, ()> {
        let raw = text.strip_prefix("SignIn:").unwrap_or(text);
        let (kind, id) = raw.split_once('-').ok_or(())?;
        let means = match kind {
            "browser" => Means::Browser,
            "program" => Means::Tokens,
            _ => return Err(()),
        };
        Ok(Self { means, id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use han_db::queries::sign_ins::Means;

    use super::Place;

    #[test]
    fn an_id_reads_back_global_or_raw() {
        for means in [Means::Browser, Means::Tokens] {
            let place = Place { means, id: "0190-a-b".to_owned() };
            let shown = place.to_string();
            assert_eq!(shown.parse(), Ok(place.clone()));
            assert_eq!(shown.trim_start_matches("SignIn:").parse(), Ok(place));
        }
        for junk in ["", "SignIn:", "browser", "SignIn:key-1", "User:browser-1"] {
            assert_eq!(junk.parse::<Place>(), Err(()), "{junk}");
        }
    }
}
