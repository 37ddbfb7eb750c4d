//! Key-encryption keys (KEKs), the ring of a process's KEKs, and the team keys that they wrap. Not here: the storage of
//! wrapped keys and the choice of the active KEK (`team_keys` and `kek_state` in han-db).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use han_types::{Entropy, TeamId};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::aad::aad;
use crate::aes_gcm::{AesKey, KEY_LEN, NONCE_LEN};
use crate::field::{FieldContext, FieldEncryptor};
use crate::hex;
use crate::wrap::WrappedKey;

const WRAPPED_TEAM_KEY: &str = "wrapped team key";

/// The id of a KEK: the first four bytes of the SHA-256 of its 32 bytes. Displayed as eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekId([u8; 4]);

impl KekId {
    /// The id as a sealed field's key id.
    #[must_use]
    pub fn to_u32(self) -> u32 {
        u32::from_be_bytes(self.0)
    }

    pub(crate) fn from_u32(id: u32) -> Self {
        Self(id.to_be_bytes())
    }
}

impl From<u32> for KekId {
    /// The KEK that the key id of a field without a team names.
    fn from(id: u32) -> Self {
        Self::from_u32(id)
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KekId({self})")
    }
}

impl FromStr for KekId {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        hex::decode(text).map(Self).ok_or(CryptoError::Malformed {
            what: "KEK id",
            reason: "it is not eight lowercase hexadecimal digits",
        })
    }
}

/// A key-encryption key. Only its hash and AWS-LC's expanded form are kept, not its 32 bytes.
pub struct Kek {
    sha256: [u8; 32],
    cipher: AesKey,
}

impl Kek {
    /// Parses a KEK in the format of `KEK_SECRET`: base64 of exactly 32 bytes in either alphabet (RFC 4648, sections 4
    /// and 5), with or without padding. White space around it is ignored, because files end with a line feed.
    ///
    /// # Errors
    /// [`CryptoError::KekSecret`], whose message says how to generate a valid one.
    pub fn from_base64(secret: &SecretString) -> Result<Self, CryptoError> {
        Self::parse("the KEK", secret.expose_secret())
    }

    fn parse(name: &str, text: &str) -> Result<Self, CryptoError> {
        let wrong = |reason| CryptoError::KekSecret { name: name.to_owned(), reason };
        let text = text.trim();
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        let bare = text.strip_suffix('=').unwrap_or(text);
        // 32 bytes are 43 characters of base64.
        if bare.len() != 43 {
            return Err(wrong("it has a wrong length"));
        }
        let engine = if bare.contains(['-', '_']) { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
        // The decoder needs space for complete groups of four characters.
        let mut bytes = Zeroizing::new([0; KEY_LEN + 1]);
        match engine.decode_slice(bare, &mut *bytes) {
            Ok(KEY_LEN) => Self::from_bytes(&bytes),
            _ => Err(wrong("it has characters or trailing bits that base64 does not allow")),
        }
    }

    fn from_bytes(bytes: &[u8; KEY_LEN + 1]) -> Result<Self, CryptoError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.copy_from_slice(&bytes[..KEY_LEN]);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, key.as_slice()).as_ref());
        Ok(Self { sha256, cipher: AesKey::new(&key)? })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KekId {
        let [a, b, c, d, ..] = self.sha256;
        KekId([a, b, c, d])
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({})", self.id())
    }
}

/// The KEKs of a process. Keys are unwrapped with any of them and wrapped with the active one. Cloning is cheap.
#[derive(Clone)]
pub struct KekRing {
    keks: Arc<[Kek]>,
    active: usize,
}

impl KekRing {
    /// A ring that wraps with `active` and also unwraps with `more`. Duplicates of a KEK are ignored.
    ///
    /// # Errors
    /// [`CryptoError::KekIdTaken`] if two different KEKs have the same id.
    pub fn new(active: Kek, more: Vec<Kek>) -> Result<Self, CryptoError> {
        let mut keks = vec![active];
        for kek in more {
            match keks.iter().find(|held| held.id() == kek.id()) {
                None => keks.push(kek),
                Some(held) if held.sha256 == kek.sha256 => {}
                Some(_) => return Err(CryptoError::KekIdTaken { id: kek.id() }),
            }
        }
        Ok(Self { keks: keks.into(), active: 0 })
    }

    /// The ring of `KEK_SECRET` and `KEK_SECRET_PREVIOUS` (one or several, separated by commas). The active KEK is
    /// `current`; use [`with_active`](Self::with_active) to set the one in `kek_state`.
    ///
    /// # Errors
    /// [`CryptoError::KekSecret`] with the variable and the entry, [`CryptoError::KekIdTaken`].
    pub fn from_secrets(
        current: &SecretString,
        previous: Option<&SecretString>,
    ) -> Result<Self, CryptoError> {
        let active = Kek::parse("KEK_SECRET", current.expose_secret())?;
        let mut more = Vec::new();
        let entries = previous.map_or("", |secret| secret.expose_secret());
        for (index, entry) in entries.split(',').enumerate() {
            // Configuration templates produce "a,b," and empty variables.
            if !entry.trim().is_empty() {
                more.push(Kek::parse(&format!("entry {} of KEK_SECRET_PREVIOUS", index + 1), entry)?);
            }
        }
        Self::new(active, more)
    }

    /// The same KEKs, with `id` as the active one.
    ///
    /// # Errors
    /// [`CryptoError::UnknownKek`] if the ring does not have it.
    pub fn with_active(&self, id: KekId) -> Result<Self, CryptoError> {
        let active = self.position(id)?;
        Ok(Self { keks: Arc::clone(&self.keks), active })
    }

    /// The id of the KEK that wraps new keys.
    #[must_use]
    pub fn active_id(&self) -> KekId {
        self.active().id()
    }

    /// The ids of all KEKs; that of `KEK_SECRET` is the first.
    pub fn ids(&self) -> impl Iterator<Item = KekId> + '_ {
        self.keks.iter().map(Kek::id)
    }

    /// Wraps a team key under the active KEK, for `team_keys`.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    pub fn wrap_team_key(
        &self,
        name: &TeamKeyName<'_>,
        key: &TeamKey,
        entropy: &dyn Entropy,
    ) -> Result<String, CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        let kek = self.active();
        let wrapped = WrappedKey::seal(kek.id().to_u32(), &kek.cipher, &nonce, &name.aad()?, key.expose())?;
        Ok(wrapped.to_text())
    }

    /// Unwraps a team key from `team_keys`.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], [`CryptoError::UnknownKek`], or [`CryptoError::NotAuthentic`] if the text was
    /// changed or belongs to another team, version or purpose.
    pub fn unwrap_team_key(&self, name: &TeamKeyName<'_>, wrapped: &str) -> Result<TeamKey, CryptoError> {
        let wrapped = WrappedKey::parse(WRAPPED_TEAM_KEY, wrapped)?;
        let kek = &self.keks[self.position(KekId::from_u32(wrapped.id()))?];
        let mut key = TeamKey(SecretBox::default());
        wrapped.open(WRAPPED_TEAM_KEY, &kek.cipher, &name.aad()?, key.0.expose_secret_mut())?;
        Ok(key)
    }

    /// Re-wraps a team key under the active KEK; `None` if the active KEK wraps it already. The key itself does not
    /// change, so fields that are sealed under it stay valid.
    ///
    /// # Errors
    /// As [`unwrap_team_key`](Self::unwrap_team_key).
    pub fn rewrap_team_key(
        &self,
        name: &TeamKeyName<'_>,
        wrapped: &str,
        entropy: &dyn Entropy,
    ) -> Result<Option<String>, CryptoError> {
        if wrapped_kek_id(wrapped)? == self.active_id() {
            return Ok(None);
        }
        let key = self.unwrap_team_key(name, wrapped)?;
        self.wrap_team_key(name, &key, entropy).map(Some)
    }

    /// An encryptor for one field without a team. The KEK replaces the team key, the KEK's id is the key id, and the
    /// team id is empty.
    #[must_use]
    pub fn field<'a>(&'a self, context: FieldContext<'a>) -> FieldEncryptor<'a> {
        FieldEncryptor::of_no_team(self, context)
    }

    fn active(&self) -> &Kek {
        &self.keks[self.active]
    }

    pub(crate) fn active_cipher(&self) -> (u32, &AesKey) {
        (self.active_id().to_u32(), &self.active().cipher)
    }

    pub(crate) fn cipher(&self, id: u32) -> Result<&AesKey, CryptoError> {
        Ok(&self.keks[self.position(KekId::from_u32(id))?].cipher)
    }

    fn position(&self, id: KekId) -> Result<usize, CryptoError> {
        self.keks.iter().position(|kek| kek.id() == id).ok_or(CryptoError::UnknownKek { id })
    }
}

impl fmt::Debug for KekRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KekRing").field("active", &self.active_id()).field("keks", &self.keks).finish()
    }
}

/// The purpose of a team key. A key that was wrapped for one purpose cannot be unwrapped for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Wraps the DEKs of the team's sealed fields.
    Content,
    /// Hashes the words of the search index.
    Search,
    /// Hashes paths and remotes into ids.
    Blind,
}

impl KeyPurpose {
    /// The value in `team_keys.purpose`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Search => "search",
            Self::Blind => "blind",
        }
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyPurpose {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        [Self::Content, Self::Search, Self::Blind].into_iter().find(|purpose| purpose.as_str() == text).ok_or(
            CryptoError::Malformed {
                what: "team key purpose",
                reason: "it is none of content, search and blind",
            },
        )
    }
}

/// The name of a team key, which identifies a row of `team_keys`.
#[derive(Clone, Copy, Debug)]
pub struct TeamKeyName<'a> {
    /// The team.
    pub team_id: &'a TeamId,
    /// The key's version, which is the key id in sealed fields.
    pub version: u32,
    /// The key's purpose.
    pub purpose: KeyPurpose,
}

impl TeamKeyName<'_> {
    fn aad(&self) -> Result<Vec<u8>, CryptoError> {
        // The row id of a content key is its version; for other purposes, it is `purpose/version`.
        let row_id = match self.purpose {
            KeyPurpose::Content => self.version.to_string(),
            purpose => format!("{purpose}/{}", self.version),
        };
        aad(self.team_id.as_str(), "team_keys", &row_id, "key")
    }
}

/// A team key: 32 random bytes on the heap, wiped when dropped.
pub struct TeamKey(SecretBox<[u8; KEY_LEN]>);

impl TeamKey {
    /// A new random key.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; KEY_LEN]| entropy.fill(key)))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for TeamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TeamKey(..)")
    }
}

/// The id of the KEK that wraps a team key. A rotation uses it to find the remaining rows.
///
/// # Errors
/// [`CryptoError::Malformed`].
pub fn wrapped_kek_id(wrapped: &str) -> Result<KekId, CryptoError> {
    WrappedKey::parse(WRAPPED_TEAM_KEY, wrapped).map(|key| KekId::from_u32(key.id()))
}
