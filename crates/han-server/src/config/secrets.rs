//! The secrets that content is encrypted and tokens are signed with.

use std::fmt;
use std::path::Path;

use han_crypto::KekRing;
use han_http::secrets_file::SecretsFile;
use han_types::Entropy;
use secrecy::{ExposeSecret as _, SecretString};

use super::variable::{Describe, Secret, Variable, VariableReader};

/// The secrets that are generated for a server on SQLite.
const SECRETS_FILE: SecretsFile =
    SecretsFile { program: "han-server", names: &["KEK_SECRET", "JWT_SECRET"], kek: "KEK_SECRET" };

/// The shortest `JWT_SECRET`: HS256 needs a key as long as its hash (RFC 7518, section 3.2).
pub const MIN_JWT_SECRET_BYTES: usize = 32;

const KEK: Variable<Secret> = Variable {
    name: "KEK_SECRET",
    about: "the key-encryption key: 32 random bytes in base64",
    kind: Secret { unset: "generated on SQLite" },
};

const KEK_PREVIOUS: Variable<Secret> = Variable {
    name: "KEK_SECRET_PREVIOUS",
    about: "earlier key-encryption keys, which decrypt only, separated by commas",
    kind: Secret { unset: "" },
};

const JWT: Variable<Secret> = Variable {
    name: "JWT_SECRET",
    about: "signs access tokens; at least 32 bytes",
    kind: Secret { unset: "generated on SQLite" },
};

const JWT_PREVIOUS: Variable<Secret> = Variable {
    name: "JWT_SECRET_PREVIOUS",
    about: "an earlier JWT_SECRET whose tokens are still accepted",
    kind: Secret { unset: "" },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[&KEK, &KEK_PREVIOUS, &JWT, &JWT_PREVIOUS];

/// The secrets, as types that print nothing.
#[derive(Clone)]
pub struct Secrets {
    /// `KEK_SECRET`: wraps the keys of teams.
    pub kek: SecretString,
    /// `KEK_SECRET_PREVIOUS`: more KEKs to unwrap with, separated by commas.
    pub kek_previous: Option<SecretString>,
    /// `JWT_SECRET`: signs access tokens.
    pub jwt: SecretString,
    /// `JWT_SECRET_PREVIOUS`: also verifies access tokens.
    pub jwt_previous: Option<SecretString>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets([REDACTED])")
    }
}

impl Secrets {
    /// The KEKs; [`super::Config::load`] has checked them.
    ///
    /// # Errors
    /// If a secret is not a KEK.
    pub fn kek_ring(&self) -> Result<KekRing, han_crypto::CryptoError> {
        KekRing::from_secrets(&self.kek, self.kek_previous.as_ref())
    }

    /// Reads the secrets. On SQLite, missing ones are generated and stored beside the database, but only if the rest of
    /// the configuration is valid: a typo leaves no trace. A notice for the operator goes to `notices`.
    pub(super) fn read(
        reader: &mut VariableReader<'_>,
        sqlite_file: Option<&Path>,
        entropy: &dyn Entropy,
        notices: &mut Vec<String>,
    ) -> Option<Self> {
        let mut kek = reader.secret(&KEK);
        let kek_previous = reader.secret(&KEK_PREVIOUS);
        let mut jwt = reader.secret(&JWT);
        let jwt_previous = reader.secret(&JWT_PREVIOUS);
        if let Some(file) = sqlite_file
            && (kek.is_none() || jwt.is_none())
        {
            if reader.has_problems() {
                return None;
            }
            let missing: Vec<&str> = [(KEK.name, &kek), (JWT.name, &jwt)]
                .iter()
                .filter(|(_, secret)| secret.is_none())
                .map(|(name, _)| *name)
                .collect();
            match SECRETS_FILE.read_or_make(file, &missing, entropy) {
                Ok(mut found) => {
                    notices.extend(found.notice);
                    kek = kek.or_else(|| found.secrets.remove(KEK.name));
                    jwt = jwt.or_else(|| found.secrets.remove(JWT.name));
                }
                Err(problem) => {
                    reader.problem(problem);
                    return None;
                }
            }
        }
        if kek.is_none() {
            reader.problem(
                "KEK_SECRET is missing: set it (or KEK_SECRET_FILE) to 32 random bytes in base64, generated with \
                 `openssl rand -base64 32`, and keep a copy: without it the content cannot be read"
                    .to_owned(),
            );
        }
        if jwt.is_none() {
            reader.problem(format!(
                "JWT_SECRET is missing: set it (or JWT_SECRET_FILE) to at least {MIN_JWT_SECRET_BYTES} random \
                 bytes, generated with `openssl rand -base64 48`"
            ));
        }
        for (variable, secret) in [(&JWT, &jwt), (&JWT_PREVIOUS, &jwt_previous)] {
            if let Some(secret) = secret
                && secret.expose_secret().len() < MIN_JWT_SECRET_BYTES
            {
                reader.problem(format!(
                    "{} is too short: it must have at least {MIN_JWT_SECRET_BYTES} bytes, generated with \
                     `openssl rand -base64 48`",
                    variable.name
                ));
            }
        }
        if let Some(kek) = &kek
            && let Err(error) = KekRing::from_secrets(kek, kek_previous.as_ref())
        {
            reader.problem(error.to_string());
        }
        Some(Self { kek: kek?, kek_previous, jwt: jwt?, jwt_previous })
    }
}
