//! Authentication of requests: the one credential of a request is verified and becomes an [`Actor`]. Every handler that
//! accesses data takes a [`Caller`], so that a route without authentication is visible in its signature.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use han_db::queries::memberships;
use han_db::queries::memberships::Resolved;
use han_http::Problem;
use han_http::authenticate::{Authenticate as _, authenticate, presented, two_credentials};
use han_types::{Actor, Capability, GlobalId, RequestId};
use secrecy::{ExposeSecret as _, SecretString};

use super::{api_key, cookie, tokens};
use crate::billing::middleware::enter;
use crate::rates;
use crate::state::AppState;

/// The credential of a request, not yet verified.
#[derive(Debug)]
pub(crate) enum Presented {
    /// `Authorization: Bearer …`, or a WebSocket's `connection_init` payload.
    Bearer(SecretString),
    /// The session cookie of a browser.
    Cookie(SecretString),
}

impl Presented {
    /// The credential of a request, if it has one.
    ///
    /// # Errors
    /// 400 if there are two, 401 if `Authorization` is not a bearer token.
    pub(crate) fn read(state: &AppState, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let cookie = cookie::read(headers, &state.public_url)?;
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = values.next() else { return Ok(cookie.map(Self::cookie)) };
        if cookie.is_some() || values.next().is_some() {
            return Err(two_credentials());
        }
        let token = first.to_str().ok().and_then(bearer_token);
        token.map(|token| Some(Self::bearer(token))).ok_or_else(|| {
            Problem::bad_credential("Authorization must be `Bearer` followed by an API key or access token")
        })
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self::Bearer(SecretString::from(token))
    }

    fn cookie(token: String) -> Self {
        Self::Cookie(SecretString::from(token))
    }

    /// Verifies the credential, for the request or the socket of that id. For a cookie, the caller must have checked
    /// [`csrf`](super::csrf) before.
    pub(crate) async fn verify(&self, state: &AppState, request_id: &RequestId) -> Result<Actor, Problem> {
        let (Self::Bearer(text) | Self::Cookie(text)) = self;
        if matches!(self, Self::Bearer(_)) && state.jwt.verify(text.expose_secret(), request_id).is_some() {
            rates::note_valid(state, text.expose_secret());
        }
        let actor = rates::checked(state, text.expose_secret(), self.look_up(state, request_id)).await?;
        Ok(Actor { client: rates::client(), ..actor })
    }

    /// As [`Presented::verify`], for a push. An API key also brings what it may touch, read together with it.
    async fn verify_for_push(&self, state: &AppState, request_id: &RequestId) -> Result<Pushing, Problem> {
        match self {
            Self::Bearer(token) if api_key::looks_like_one(token.expose_secret()) => {
                let text = token.expose_secret();
                let mut resolved = None;
                let verify = async {
                    let (actor, found) = api_key::verify_for_push(state, text, request_id).await?;
                    resolved = found;
                    Ok(actor)
                };
                let actor = rates::checked(state, text, verify).await?;
                Ok(Pushing { caller: Caller(actor), resolved: Some(resolved) })
            }
            _ => Ok(Pushing { caller: Caller(self.verify(state, request_id).await?), resolved: None }),
        }
    }

    async fn look_up(&self, state: &AppState, request_id: &RequestId) -> Result<Actor, Problem> {
        match self {
            Self::Bearer(token) if api_key::looks_like_one(token.expose_secret()) => {
                api_key::verify(state, token.expose_secret(), request_id).await
            }
            Self::Bearer(token) => tokens::verify(state, token.expose_secret(), request_id).await,
            Self::Cookie(token) => cookie::verify(state, token.expose_secret(), request_id).await,
        }
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, section 11.1).
pub(crate) fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The verified actor of a request.
pub(crate) struct Caller(pub(crate) Actor);

impl Caller {
    pub(crate) async fn of(state: &AppState, method: &Method, headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self(authenticate(state, method, headers).await?))
    }

    /// Checks that the credential has one of the capabilities `wanted`.
    ///
    /// # Errors
    /// 403 if it has none of them.
    pub(crate) fn may(&self, wanted: &[(Capability, &'static str)]) -> Result<(), Problem> {
        if wanted.iter().any(|(capability, _)| self.0.capabilities.allow(*capability)) {
            return Ok(());
        }
        Err(Problem::insufficient_scope(wanted.first().map_or("", |(_, name)| name)))
    }

    /// The scope of a team, named by its id, global id or slug, or of the caller's default team. A team that the caller does
    /// not belong to is not found, like one that does not exist.
    pub(crate) async fn scope(&self, state: &AppState, team: Option<&str>) -> Result<Resolved, Problem> {
        let Some(team) = team else {
            return enter(state, memberships::scope_for(&state.db, &self.0).await?.ok_or_else(no_team)?);
        };
        if let Ok(team_id) = GlobalId::raw("Team", team).parse()
            && let Some(resolved) = memberships::scope_in(&state.db, &self.0, &team_id).await?
        {
            return enter(state, resolved);
        }
        let teams = memberships::of_actor(&state.db, &self.0).await?;
        let named = teams.into_iter().find(|found| found.team.slug == team).ok_or_else(no_team)?;
        enter(state, memberships::scope_in(&state.db, &self.0, &named.team.id).await?.ok_or_else(no_team)?)
    }
}

fn no_team() -> Problem {
    Problem::not_found(
        "the team does not exist, or the credential gives no access to it: check team_id, which is the team's id or slug",
    )
}

/// The caller of a push.
pub(crate) struct Pushing {
    pub(crate) caller: Caller,
    /// What the credential may touch, if that was read with it.
    resolved: Option<Option<Resolved>>,
}

impl Pushing {
    pub(crate) async fn of(state: &AppState, method: &Method, headers: &HeaderMap) -> Result<Self, Problem> {
        let presented = presented(state, method, headers)?;
        presented.verify_for_push(state, &state.request_id(headers)).await
    }

    /// The scope of the caller's default team.
    pub(crate) async fn scope(&mut self, state: &AppState) -> Result<Resolved, Problem> {
        match self.resolved.take() {
            Some(resolved) => enter(state, resolved.ok_or_else(no_team)?),
            None => self.caller.scope(state, None).await,
        }
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Self::of(state, &parts.method, &parts.headers).await
    }
}

#[cfg(test)]
mod tests {
    use super::Presented;

    #[test]
    fn debug_output_hides_credentials() {
        let shown =
            format!("{:?} {:?}", Presented::bearer("hunter2"), Presented::cookie("hunter3".to_owned()));
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
