//! Who asks, and for which team. An [`Actor`] is a verified credential; a [`Scope`] is an actor whose
//! membership in exactly one team has been read from the database. Transactions on tenant data are opened with a
//! `Scope` and carry it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ApiKeyId, Clock, Entropy, Policy, TeamId, Timestamp, TokenFamilyId, UserId, WebSessionId, new_row_id,
};

/// What a member may do in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the team's sessions and pushes their own.
    Member,
    /// Looks after members, keys and billing, too.
    Admin,
}

impl Role {
    /// The name that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            other => Err(format!("unknown role {other:?}: expected member or admin")),
        }
    }
}

/// One thing a credential may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Read sessions over GraphQL and sync status: `read`.
    Read,
    /// Push sessions: `sync:write`.
    SyncWrite,
    /// Look after the team itself (members, keys, invites): only a person's own sign-in carries it, so that a
    /// key can neither mint keys nor change members.
    Manage,
}

/// The things a credential may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities {
    read: bool,
    sync_write: bool,
    manage: bool,
}

impl Capabilities {
    /// What a person who signed in may do.
    pub const PERSON: Self = Self { read: true, sync_write: true, manage: true };

    /// Reads an API key's stored scopes, separated by spaces: `read`, `sync:write`. An unknown word grants
    /// nothing.
    #[must_use]
    pub fn from_key_scopes(scopes: &str) -> Self {
        let has = |word| scopes.split_ascii_whitespace().any(|s| s == word);
        Self { read: has("read"), sync_write: has("sync:write"), manage: false }
    }

    /// Whether `capability` is among them.
    #[must_use]
    pub fn allow(self, capability: Capability) -> bool {
        match capability {
            Capability::Read => self.read,
            Capability::SyncWrite => self.sync_write,
            Capability::Manage => self.manage,
        }
    }
}

/// The verified credential an actor came with: the ids of what was verified, never a secret, so that it can be logged
/// and written to an audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer han_key_…`; bound to one team.
    ApiKey {
        /// The key's row.
        id: ApiKeyId,
        /// The key's team.
        team_id: TeamId,
    },
    /// `Authorization: Bearer <JWT>`; may name a team.
    Jwt {
        /// The token's `jti`.
        id: String,
        /// The sign-in it came of (`sid`); where that was revoked, the token has ended.
        family: Option<TokenFamilyId>,
        /// The token's `team_id`, if it names one.
        team_id: Option<TeamId>,
    },
    /// The browser's cookie; its team is the one last switched to.
    WebSession {
        /// The session's row.
        id: WebSessionId,
        /// The active team, if one was chosen.
        team_id: Option<TeamId>,
    },
    /// The local coordinator's only user.
    Local,
    /// An operator's command, run where the database is.
    Operator,
}

impl Credential {
    /// The kind, as the audit log and logs name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api_key",
            Self::Jwt { .. } => "access_token",
            Self::WebSession { .. } => "browser",
            Self::Local => "local",
            Self::Operator => "operator",
        }
    }

    /// The id of what can be revoked: the key, the browser's session, or the sign-in that an access token came of. Empty
    /// for a credential without an id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::ApiKey { id, .. } => id.as_str(),
            Self::Jwt { family: Some(family), .. } => family.as_str(),
            Self::Jwt { id, .. } => id,
            Self::WebSession { id, .. } => id.as_str(),
            Self::Local | Self::Operator => "",
        }
    }
}

/// Names the request, the socket or the command on whose behalf something is done: in its answer, in the log, and in
/// what is recorded of it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The longest id that a client may give, in bytes.
    pub const MAX_BYTES: usize = 64;
    /// The shortest id that a client may give, in bytes: a shorter one names too many requests.
    pub const MIN_BYTES: usize = 8;

    /// The id of a request that gave none, or of a command.
    #[must_use]
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        Self(new_row_id(clock, entropy).into())
    }

    /// An id that a client or a proxy gave: [`Self::MIN_BYTES`] to [`Self::MAX_BYTES`] letters, digits, `-`, `_` and
    /// `.`; `None` for any other text, which must not get into a log.
    #[must_use]
    pub fn given(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        ((Self::MIN_BYTES..=Self::MAX_BYTES).contains(&text.len()) && plain).then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A verified credential: who, by what, for what, until when, in which request.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The person.
    pub user_id: UserId,
    /// What they came with.
    pub credential: Credential,
    /// What it may be used for.
    pub capabilities: Capabilities,
    /// When the credential ends by itself.
    pub expires_at: Option<Timestamp>,
    /// The request, the socket's handshake or the command that it came with.
    pub request_id: RequestId,
    /// The address of the client, if there is one.
    pub client: Option<IpAddr>,
}

impl Actor {
    /// The team that the credential names, if any. Without one, the oldest membership counts.
    #[must_use]
    pub fn named_team(&self) -> Option<&TeamId> {
        match &self.credential {
            Credential::ApiKey { team_id, .. } => Some(team_id),
            Credential::Jwt { team_id, .. } | Credential::WebSession { team_id, .. } => team_id.as_ref(),
            Credential::Local | Credential::Operator => None,
        }
    }
}

/// A membership as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The team.
    pub team_id: TeamId,
    /// The person.
    pub user_id: UserId,
    /// The person's role in it.
    pub role: Role,
}

/// The right to one team's data: an actor together with a membership that was read from the database.
///
/// It names exactly one team, and who acts there, with which credential and in which request. Every transaction on
/// tenant data is opened with one.
#[derive(Clone, Debug)]
pub struct Scope {
    membership: Membership,
    policy: Policy,
    capabilities: Capabilities,
    credential: Credential,
    request_id: RequestId,
    client: Option<IpAddr>,
}

impl Scope {
    /// Makes a scope. The caller vouches that `membership` was read from the database just now for the person
    /// behind `actor`, and `policy` with it; clippy.toml bans the call outside the one module that reads memberships.
    #[must_use]
    pub fn assume_verified(membership: Membership, policy: Policy, actor: &Actor) -> Self {
        Self {
            membership,
            policy,
            capabilities: actor.capabilities,
            credential: actor.credential.clone(),
            request_id: actor.request_id.clone(),
            client: actor.client,
        }
    }

    /// The team whose data may be touched.
    #[must_use]
    pub fn team_id(&self) -> &TeamId {
        &self.membership.team_id
    }

    /// The person who asks.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.membership.user_id
    }

    /// The person's role in the team.
    #[must_use]
    pub fn role(&self) -> Role {
        self.membership.role
    }

    /// What the team's plan allowed the person when the membership was read.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether the credential may be used for `capability`.
    #[must_use]
    pub fn allows(&self, capability: Capability) -> bool {
        self.capabilities.allow(capability)
    }

    /// The credential that the person acts with.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The request, the socket's handshake or the command that they act in.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }
}

/// On whose behalf something is done, as the audit log records it: who, with which credential, from where, in which
/// request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The person; `None` for an operator, for the server's own work, and before a sign-in.
    pub user_id: Option<UserId>,
    /// What they came with; `None` for the server's own work, and before a sign-in.
    pub credential: Option<Credential>,
    /// The address of the client, if there is one.
    pub client: Option<IpAddr>,
    /// The request or the command; `None` for the server's own work.
    pub request_id: Option<RequestId>,
}

impl Origin {
    /// A request of someone who has not signed in, or is just doing so.
    #[must_use]
    pub fn of_request(request_id: RequestId, client: Option<IpAddr>) -> Self {
        Self { client, request_id: Some(request_id), ..Self::default() }
    }

    /// A request of someone who has signed in.
    #[must_use]
    pub fn of_actor(actor: &Actor) -> Self {
        Self::of(&actor.user_id, &actor.credential, actor.client, &actor.request_id)
    }

    /// The same, for one team.
    #[must_use]
    pub fn of_scope(scope: &Scope) -> Self {
        Self::of(scope.user_id(), &scope.credential, scope.client, &scope.request_id)
    }

    /// A command of an operator.
    #[must_use]
    pub fn of_operator(request_id: RequestId) -> Self {
        Self { credential: Some(Credential::Operator), request_id: Some(request_id), ..Self::default() }
    }

    fn of(user_id: &UserId, credential: &Credential, client: Option<IpAddr>, request_id: &RequestId) -> Self {
        Self {
            // A command acts with the rights of an admin who knows nothing of it.
            user_id: (*credential != Credential::Operator).then(|| user_id.clone()),
            credential: Some(credential.clone()),
            client,
            request_id: Some(request_id.clone()),
        }
    }

    /// The same, of this person, unless an operator or the server itself acts: who signs in is known only afterwards.
    #[must_use]
    pub fn signing_in(self, user_id: &UserId) -> Self {
        let is_request = self.credential.is_none() && self.request_id.is_some();
        let user_id = self.user_id.or_else(|| is_request.then(|| user_id.clone()));
        Self { user_id, ..self }
    }

    /// The kind of the credential: that of [`Credential::kind`], `none` before a sign-in, or `server`.
    #[must_use]
    pub fn credential_kind(&self) -> &'static str {
        match (&self.credential, &self.request_id) {
            (Some(credential), _) => credential.kind(),
            (None, Some(_)) => "none",
            (None, None) => "server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, Capability, RequestId};

    #[test]
    fn a_given_request_id_is_taken_only_if_it_can_stand_in_a_log() {
        let longest = "x".repeat(RequestId::MAX_BYTES);
        for good in ["01980b5c-7d3a", "a.b_c-d9", &longest] {
            assert_eq!(RequestId::given(good).expect(good).as_str(), good);
        }
        let too_long = "x".repeat(RequestId::MAX_BYTES + 1);
        for bad in ["", "short", "with space", "line\nbreak", "quote\"quote", "größer als", &too_long] {
            assert_eq!(RequestId::given(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_can_never_manage() {
        for scopes in ["", "read", "sync:write", "read sync:write", "manage", "admin read", "read,sync:write"]
        {
            assert!(!Capabilities::from_key_scopes(scopes).allow(Capability::Manage), "{scopes}");
        }
        assert!(Capabilities::from_key_scopes("sync:write read").allow(Capability::Read));
        assert!(!Capabilities::from_key_scopes("readwrite").allow(Capability::Read));
    }
}
