//! Sign-ins of a user: browsers, and programs such as the command line.

use std::str::FromStr;

use async_graphql::{Enum, ID, SimpleObject};
use han_db::queries::sign_ins::{Means, SignInRow};
use han_types::Credential;

/// The kind of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SignInKind {
    /// A browser's cookie.
    Browser,
    /// The tokens of a program, such as the command line.
    Program,
}

/// A sign-in of a user.
#[derive(Clone, Debug, SimpleObject)]
pub struct SignIn {
    /// The id that `revokeSession` takes.
    id: ID,
    /// Its kind.
    kind: SignInKind,
    /// The name that the browser or program sent.
    name: Option<String>,
    /// When it began, RFC 3339 in UTC.
    created_at: String,
    /// When it was last used, to within five minutes, RFC 3339 in UTC.
    last_seen_at: String,
    /// When it expires unless it is used again, RFC 3339 in UTC.
    expires_at: String,
    /// Whether this request uses it.
    current: bool,
}

impl SignIn {
    /// A sign-in, as its owner sees it in a request with `credential`.
    pub(crate) fn new(row: SignInRow, credential: &Credential) -> Self {
        let current = han_db::queries::sign_ins::place_of(credential) == Some((row.means, row.id.as_str()));
        let kind = match row.means {
            Means::Browser => SignInKind::Browser,
            Means::Tokens => SignInKind::Program,
        };
        Self {
            id: ID(SignInOrigin { means: row.means, id: row.id }.to_string()),
            kind,
            name: row.label,
            created_at: row.created_at.to_rfc3339(),
            last_seen_at: row.last_seen_at.to_rfc3339(),
            expires_at: row.expires_at.to_rfc3339(),
            current,
        }
    }
}

/// The sign-in that an id names: `SignIn:browser-<id>` or `SignIn:program-<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignInOrigin {
    pub(crate) means: Means,
    pub(crate) id: String,
}

impl std::fmt::Display for SignInOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.means {
            Means::Browser => "browser",
            Means::Tokens => "program",
        };
        write!(f, "SignIn:{kind}-{}", self.id)
    }
}

impl FromStr for SignInOrigin {
    type Err = ();

    /// Accepts the global id and the raw one.
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

    use super::SignInOrigin;

    #[test]
    fn an_id_reads_back_global_or_raw() {
        for means in [Means::Browser, Means::Tokens] {
            let origin = SignInOrigin { means, id: "0190-a-b".to_owned() };
            let shown = origin.to_string();
            assert_eq!(shown.parse(), Ok(origin.clone()));
            assert_eq!(shown.trim_start_matches("SignIn:").parse(), Ok(origin));
        }
        for junk in ["", "SignIn:", "browser", "SignIn:key-1", "User:browser-1"] {
            assert_eq!(junk.parse::<SignInOrigin>(), Err(()), "{junk}");
        }
    }
}
