//! Access tokens: JWTs (RFC 7519), signed with HS256 only. Time comes from the server's `Clock`, so that tokens expire by
//! the same clock as everything else.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_types::{
    Actor, Capabilities, Clock, Credential, Entropy, RequestId, TeamId, Timestamp, TokenFamilyId, UserId,
};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// The lifetime of an access token: 15 minutes.
pub const LIFETIME_SECONDS: i64 = 15 * 60;

/// The audience of tokens. A token of another service that shares the secret is refused.
pub const AUDIENCE: &str = "han-teams";

/// How far the clock of another replica may be ahead, in seconds, before its new tokens are refused here.
const SKEW_SECONDS: i64 = 60;

/// The longest token that is parsed, in bytes; ours have about 400.
const MAX_BYTES: usize = 4096;

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: UserId,
    /// The team; without it, the team of the user's oldest membership.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<TeamId>,
    /// When the token was issued, in seconds since the epoch.
    pub iat: i64,
    /// When the token expires, in seconds since the epoch.
    pub exp: i64,
    /// From when the token is valid, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The issuer: this server's public address.
    pub iss: String,
    /// The audience: [`AUDIENCE`].
    pub aud: String,
    /// The id of the token.
    pub jti: String,
    /// The sign-in that the token belongs to; the token ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<TokenFamilyId>,
}

/// Signs and verifies access tokens.
pub struct JwtKeys {
    sign: EncodingKey,
    verify: Vec<DecodingKey>,
    validation: Validation,
    issuer: String,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKeys").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl JwtKeys {
    /// Keys that sign with `current`, and verify with `current` and `previous`.
    #[must_use]
    pub fn new(
        current: &SecretString,
        previous: Option<&SecretString>,
        issuer: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        // The library would use the wall clock; `verify` uses the server's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let verify = std::iter::once(current).chain(previous);
        Self {
            sign: EncodingKey::from_secret(current.expose_secret().as_bytes()),
            verify: verify.map(|s| DecodingKey::from_secret(s.expose_secret().as_bytes())).collect(),
            validation,
            issuer: issuer.to_owned(),
            clock,
        }
    }

    /// A new token for a user, and for a team if one is given.
    ///
    /// # Errors
    /// Only failures of the cryptographic library.
    pub fn mint(
        &self,
        user_id: &UserId,
        team_id: Option<&TeamId>,
        entropy: &dyn Entropy,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        self.mint_in(None, user_id, team_id, entropy)
    }

    /// A new token that ends with the sign-in `family`, if not before.
    ///
    /// # Errors
    /// Only failures of the cryptographic library.
    pub(crate) fn mint_in(
        &self,
        family: Option<&TokenFamilyId>,
        user_id: &UserId,
        team_id: Option<&TeamId>,
        entropy: &dyn Entropy,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = self.clock.now().seconds();
        let claims = Claims {
            sub: user_id.clone(),
            team_id: team_id.cloned(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
            nbf: None,
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            jti: han_types::new_row_id(&*self.clock, entropy),
            sid: family.cloned(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
    }

    /// The actor of a token; `None` if the token is not valid, without the reason. Whether its sign-in still exists must
    /// be checked in the database.
    #[must_use]
    pub fn verify(&self, token: &str, request_id: &RequestId) -> Option<Actor> {
        if token.len() > MAX_BYTES {
            return None;
        }
        if has_critical_extension(token) {
            return None;
        }
        let claims = self.claims(token)?;
        let now = self.clock.now().seconds();
        let valid_from = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if now >= claims.exp || valid_from > now.saturating_add(SKEW_SECONDS) {
            return None;
        }
        Some(Actor {
            user_id: claims.sub,
            credential: Credential::Jwt { id: claims.jti, family: claims.sid, team_id: claims.team_id },
            capabilities: Capabilities::PERSON,
            expires_at: Some(Timestamp(claims.exp.saturating_mul(1000))),
            request_id: request_id.clone(),
            client: None,
        })
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        for key in &self.verify {
            match jsonwebtoken::decode::<Claims>(token, key, &self.validation) {
                Ok(data) => return Some(data.claims),
                Err(err) if matches!(err.kind(), ErrorKind::InvalidSignature) => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// Whether the header of a token names extensions that must be understood (`crit`). We understand none, and such a token
/// must be refused (RFC 7515, section 4.1.11).
fn has_critical_extension(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    let header = header.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    header.is_some_and(|header| header.get("crit").is_some())
}
