//! Authentication of requests: one credential, verified, becomes an [`Actor`]. Every handler that touches data takes
//! a [`Caller`], so that a route without authentication is one that visibly lacks it.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use han_db::queries::identity::{self, Resolved};
use han_types::{Actor, Capability, RequestId};

use secrecy::{ExposeSecret as _, SecretString};

use super::{api_key, cookie, csrf, tokens};
use crate::observe::request_id;
use crate::problem::Problem;
use crate::rates;
use crate::state::AppState;

/// The credential as it came, not yet verified.
#[derive(Debug)]
pub(crate) enum Presented {
    /// `Authorization: Bearer …`, or a WebSocket's `connection_init` payload.
    Bearer(SecretString),
    /// The browser's cookie.
    Cookie(SecretString),
}

impl Presented {
    /// The one credential of a request, or none.
    ///
    /// # Errors
    /// Where there are two, or one that is no bearer token.
    pub(crate) fn read(state: &AppState, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let cookie = cookie::read(headers, &state.public_url)?;
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = given.next() else { return Ok(cookie.map(Self::cookie)) };
        if cookie.is_some() || given.next().is_some() {
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

    /// Verifies it, for the request or the socket of that id. Of a cookie, [`csrf`] must have approved before.
    pub(crate) async fn verify(&self, state: &AppState, request_id: &RequestId) -> Result<Actor, Problem> {
        let (Self::Bearer(text) | Self::Cookie(text)) = self;
        rates::checked(state, text.expose_secret(), self.look_up(state, request_id)).await
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

pub(crate) fn two_credentials() -> Problem {
    Problem::bad_request(
        "two credentials came with the request: send one, an Authorization header or the cookie",
    )
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, section 11.1).
pub(crate) fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The verified actor behind a request.
pub(crate) struct Caller(pub(crate) Actor);

impl Caller {
    pub(crate) async fn of(state: &AppState, method: &Method, headers: &HeaderMap) -> Result<Self, Problem> {
        let presented = Presented::read(state, headers)?.ok_or_else(Problem::no_credential)?;
        if matches!(presented, Presented::Cookie(_)) {
            csrf::check(method, headers, state.public_url.origin())?;
        }
        Ok(Self(presented.verify(state, &request_id(state, headers)).await?))
    }

    /// Refuses a credential that may be used for none of `wanted`.
    pub(crate) fn may(&self, wanted: &[(Capability, &'static str)]) -> Result<(), Problem> {
        if wanted.iter().any(|(capability, _)| self.0.capabilities.allow(*capability)) {
            return Ok(());
        }
        Err(Problem::insufficient_scope(wanted.first().map_or("", |(_, name)| name)))
    }

    /// The right to the team's data. A team that is named and not the caller's is not found, just as one that does
    /// not exist.
    pub(crate) async fn scope(&self, state: &AppState, team_id: Option<&str>) -> Result<Resolved, Problem> {
        let resolved = match team_id {
            Some(named) => match named.parse() {
                Ok(team_id) => identity::scope_in(&state.db, &self.0, &team_id).await?,
                Err(_) => None,
            },
            None => identity::scope_for(&state.db, &self.0).await?,
        };
        resolved.ok_or_else(|| {
            Problem::not_found("there is no such team, or the credential is not for it: check team_id")
        })
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
    fn a_credential_does_not_show_in_debug_output() {
        let shown =
            format!("{:?} {:?}", Presented::bearer("hunter2"), Presented::cookie("hunter3".to_owned()));
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
