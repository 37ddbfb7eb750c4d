//! Tokens: generation, parsing and hashing. Not here: owners and validity (han-db, which stores only hashes).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_types::Entropy;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::wrap::decode_exactly;
use crate::{CryptoError, hex};

/// The stored form of a token: the SHA-256 of its text. A fast hash without salt is sufficient, because tokens have at
/// least 178 random bits and cannot be guessed. Compares in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

// Equal hashes have equal bytes, so this agrees with the comparison above.
impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

impl FromStr for TokenHash {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        hex::decode(text).map(Self).ok_or(CryptoError::Malformed {
            what: "token hash",
            reason: "it is not 64 lowercase hexadecimal digits",
        })
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const API_KEY_BODY: usize = 30;
const API_KEY_CHECKSUM: usize = 6;

/// An API key in plaintext: `han_key_`, 30 random base62 characters (178 bits), and a checksum of six characters. With
/// the checksum, secret scanners recognise keys reliably, and the server rejects a typo without a database query. It is
/// the CRC-32 of the 30 characters (ISO-HDLC, as in zip and PNG), as a base62 number with leading zeros.
pub struct ApiKeyToken(SecretString);

impl ApiKeyToken {
    /// The prefix of every API key.
    pub const PREFIX: &'static str = "han_key_";

    /// A new key.
    #[must_use]
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut body = Zeroizing::new(String::with_capacity(API_KEY_BODY));
        let mut random = Zeroizing::new([0; 40]);
        while body.len() < API_KEY_BODY {
            entropy.fill(random.as_mut_slice());
            // 248 is the largest multiple of 62 in a byte; larger bytes would make the first digits more likely.
            let fair = random.iter().filter(|byte| **byte < 248);
            let wanted = API_KEY_BODY - body.len();
            body.extend(fair.take(wanted).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
        }
        Self(format!("{}{}{}", Self::PREFIX, body.as_str(), checksum(&body)).into())
    }

    /// Parses a key and verifies its checksum. Does not check that the key was issued.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], whose message does not contain the key.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let wrong = |reason| CryptoError::Malformed { what: "API key", reason };
        let rest = text.strip_prefix(Self::PREFIX).ok_or(wrong("it does not start with han_key_"))?;
        if rest.len() != API_KEY_BODY + API_KEY_CHECKSUM || !rest.bytes().all(|c| c.is_ascii_alphanumeric()) {
            return Err(wrong("han_key_ is not followed by 36 letters and digits"));
        }
        let (body, sum) = rest.split_at(API_KEY_BODY);
        if checksum(body) != sum {
            return Err(wrong("its checksum does not match; copy the whole key"));
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The hash for storage and lookup.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }

    /// The key itself, to be displayed once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for ApiKeyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyToken(..)")
    }
}

/// The checksum of a key's random part. Six base62 digits have 35 bits, so any CRC-32 fits.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [b'0'; API_KEY_CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

/// Any other token in plaintext (web sessions, refresh tokens, login links, invites): a prefix for its kind, and 32
/// random bytes as unpadded base64url.
pub struct OpaqueToken(SecretString);

impl OpaqueToken {
    /// 32 bytes in unpadded base64url.
    const BODY_CHARS: usize = 43;

    /// A new token.
    #[must_use]
    pub fn mint(prefix: &str, entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0; 32]);
        entropy.fill(random.as_mut_slice());
        let mut token = String::with_capacity(prefix.len() + Self::BODY_CHARS);
        token.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut token);
        Self(token.into())
    }

    /// Parses a token of the kind with this `prefix`. Does not check that the token was issued.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], whose message does not contain the token.
    pub fn parse(prefix: &str, text: &str) -> Result<Self, CryptoError> {
        let wrong = |reason| CryptoError::Malformed { what: "token", reason };
        let body = text.strip_prefix(prefix).ok_or(wrong("it is of another kind"))?;
        let _: [u8; 32] =
            decode_exactly(body, Self::BODY_CHARS).ok_or(wrong("it is incomplete; copy the whole token"))?;
        Ok(Self(SecretString::from(text)))
    }

    /// The hash for storage and lookup.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }

    /// The token itself, to be given to its owner once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken(..)")
    }
}
