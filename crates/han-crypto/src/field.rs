//! Sealing and opening fields, with one random key (DEK) per field, wrapped by the team's key. `docs/SECURITY.md`
//! specifies the format. Not here: the two forms of a sealed field (`binary`), compression (`pack`), and which columns
//! are sealed (han-db).

use std::fmt;
use std::sync::Arc;

use han_types::{Entropy, TeamId};
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::aad::aad;
use crate::aes_gcm::{AesKey, KEY_LEN, NONCE_LEN};
use crate::binary::{BinaryField, SEALED_FIELD, TextParts, sealed_key_id};
use crate::kek::{KekRing, TeamKey};
use crate::pack::{Packed, check_size};
use crate::wrap::{WRAPPED_LEN, WrappedKey};

/// The default limit on the content of a field: 64 MiB.
pub const DEFAULT_MAX_CONTENT: usize = 64 << 20;

/// The context of a field: table, row and column. It is authenticated, so that a field that was moved does not open.
#[derive(Clone, Copy, Debug)]
pub struct FieldContext<'a> {
    /// The table.
    pub table: &'a str,
    /// The row id, in the table's format in docs/SECURITY.md. ASCII case is ignored.
    pub row_id: &'a str,
    /// The column.
    pub column: &'a str,
}

/// A team's content keys. Fields are opened with any version and sealed with the active one. Cloning is cheap.
#[derive(Clone)]
pub struct TeamKeyRing {
    team_id: TeamId,
    keys: Arc<[(u32, AesKey)]>,
    active: usize,
    max_content: usize,
}

impl TeamKeyRing {
    /// A ring of `keys`, each with its version, that seals with version `active`.
    ///
    /// # Errors
    /// [`CryptoError::UnknownKey`] if `keys` lacks `active`, [`CryptoError::DuplicateKey`].
    pub fn new(
        team_id: TeamId,
        active: u32,
        keys: impl IntoIterator<Item = (u32, TeamKey)>,
    ) -> Result<Self, CryptoError> {
        let mut ring = Vec::<(u32, AesKey)>::new();
        for (version, key) in keys {
            if ring.iter().any(|(held, _)| *held == version) {
                return Err(CryptoError::DuplicateKey { version });
            }
            ring.push((version, AesKey::new(key.expose())?));
        }
        let position = ring.iter().position(|(version, _)| *version == active);
        let active = position.ok_or(CryptoError::UnknownKey { version: active })?;
        Ok(Self { team_id, keys: ring.into(), active, max_content: DEFAULT_MAX_CONTENT })
    }

    /// The same ring with another limit on the content of a field, in bytes. Never lower it below content that is
    /// stored: larger fields are rejected as decompression bombs.
    #[must_use]
    pub fn with_max_content(mut self, bytes: usize) -> Self {
        self.max_content = bytes;
        self
    }

    /// The team that the keys belong to.
    #[must_use]
    pub fn team_id(&self) -> &TeamId {
        &self.team_id
    }

    /// The version that seals new fields.
    #[must_use]
    pub fn active_version(&self) -> u32 {
        self.keys[self.active].0
    }

    /// An encryptor for one field of this team.
    #[must_use]
    pub fn field<'a>(&'a self, context: FieldContext<'a>) -> FieldEncryptor<'a> {
        FieldEncryptor { keys: Keys::Team(self), context }
    }

    fn cipher(&self, version: u32) -> Result<&AesKey, CryptoError> {
        let key = self.keys.iter().find(|(held, _)| *held == version);
        key.map(|(_, cipher)| cipher).ok_or(CryptoError::UnknownKey { version })
    }
}

impl fmt::Debug for TeamKeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TeamKeyRing")
            .field("team_id", &self.team_id)
            .field("versions", &self.keys.iter().map(|(version, _)| version).collect::<Vec<_>>())
            .field("active", &self.active_version())
            .finish_non_exhaustive()
    }
}

/// The keys that wrap a field's DEK.
#[derive(Clone, Copy)]
enum Keys<'a> {
    Team(&'a TeamKeyRing),
    NoTeam(&'a KekRing),
}

impl<'a> Keys<'a> {
    fn team_id(self) -> &'a str {
        match self {
            Self::Team(ring) => ring.team_id.as_str(),
            Self::NoTeam(_) => "",
        }
    }

    fn active(self) -> (u32, &'a AesKey) {
        match self {
            Self::Team(ring) => {
                let (version, cipher) = &ring.keys[ring.active];
                (*version, cipher)
            }
            Self::NoTeam(ring) => ring.active_cipher(),
        }
    }

    fn get(self, id: u32) -> Result<&'a AesKey, CryptoError> {
        match self {
            Self::Team(ring) => ring.cipher(id),
            Self::NoTeam(ring) => ring.cipher(id),
        }
    }

    fn max_content(self) -> usize {
        match self {
            Self::Team(ring) => ring.max_content,
            Self::NoTeam(_) => DEFAULT_MAX_CONTENT,
        }
    }
}

/// Seals and opens one field.
#[derive(Clone, Copy)]
pub struct FieldEncryptor<'a> {
    keys: Keys<'a>,
    context: FieldContext<'a>,
}

impl<'a> FieldEncryptor<'a> {
    pub(crate) fn of_no_team(ring: &'a KekRing, context: FieldContext<'a>) -> Self {
        Self { keys: Keys::NoTeam(ring), context }
    }

    /// Seals `content` under a new DEK, in the text form. Compresses it if that makes it smaller.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`] if `content` exceeds the ring's limit.
    pub fn encrypt(&self, content: &[u8], entropy: &dyn Entropy) -> Result<String, CryptoError> {
        // Before compression, which costs more than the check.
        check_size(content.len() as u64, self.keys.max_content())?;
        Ok(self.encrypt_binary(Packed::field(content), entropy)?.to_text())
    }

    /// Seals packed content under a new DEK, in the binary form. Encrypts in place, without a copy.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`] if the content exceeds the ring's limit.
    pub fn encrypt_binary(&self, content: Packed, entropy: &dyn Entropy) -> Result<BinaryField, CryptoError> {
        check_size(content.content_len() as u64, self.keys.max_content())?;
        // One call for all random bytes, because a call costs more than the bytes.
        let mut random = Zeroizing::new([0; KEY_LEN + 2 * NONCE_LEN]);
        entropy.fill(random.as_mut_slice());
        let (mut dek, mut dek_nonce, mut nonce) =
            (Zeroizing::new([0; KEY_LEN]), [0; NONCE_LEN], [0; NONCE_LEN]);
        dek.copy_from_slice(&random[..KEY_LEN]);
        dek_nonce.copy_from_slice(&random[KEY_LEN..KEY_LEN + NONCE_LEN]);
        nonce.copy_from_slice(&random[KEY_LEN + NONCE_LEN..]);

        let aad = self.aad()?;
        let (id, key) = self.keys.active();
        let wrapped = WrappedKey::seal(id, key, &dek_nonce, &aad, &dek)?;
        let mut ciphertext = content.into_bytes();
        let tag = AesKey::new(&dek)?.seal(&nonce, &aad, &mut ciphertext)?;
        ciphertext.extend_from_slice(&tag);
        Ok(BinaryField { nonce, wrapped, ciphertext })
    }

    /// Opens a sealed field in the text form.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if the text violates the format, [`CryptoError::UnknownKey`] or
    /// [`CryptoError::UnknownKek`] with the missing key, [`CryptoError::NotAuthentic`] if the text was changed or
    /// moved, [`CryptoError::TooLarge`] if its decompressed content exceeds the ring's limit.
    pub fn decrypt(&self, sealed: &str) -> Result<Vec<u8>, CryptoError> {
        self.decrypt_binary(sealed.parse()?, usize::MAX)
    }

    /// Opens a sealed field in the binary form. Its content has at most `max` bytes (the length that the row declares),
    /// and at most the ring's limit.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt).
    pub fn decrypt_binary(&self, sealed: BinaryField, max: usize) -> Result<Vec<u8>, CryptoError> {
        let BinaryField { nonce, wrapped, ciphertext: mut text } = sealed;
        let aad = self.aad()?;
        let mut dek = Zeroizing::new([0; KEY_LEN]);
        wrapped.open(SEALED_FIELD, self.keys.get(wrapped.id())?, &aad, &mut dek)?;
        let opened = AesKey::new(&dek)?.open(&nonce, &aad, &mut text);
        let len = opened.ok_or(CryptoError::NotAuthentic { what: SEALED_FIELD })?.len();
        text.truncate(len);
        Packed::open(text, max.min(self.keys.max_content()))
    }

    /// Re-wraps a field's DEK from key `old` to key `new` (team key versions, or KEK ids for a field without a team).
    /// `wrapped` is the third part of the sealed field; replace it by the result. Nonce and ciphertext do not change.
    ///
    /// # Errors
    /// [`CryptoError::OtherKey`] if the DEK is not wrapped by `old`; else as [`decrypt`](Self::decrypt).
    pub fn rotate_kek(
        &self,
        old: u32,
        new: u32,
        wrapped: &str,
        entropy: &dyn Entropy,
    ) -> Result<String, CryptoError> {
        let wrapped = WrappedKey::parse(SEALED_FIELD, wrapped)?;
        Ok(self.rotate(old, new, &wrapped, entropy)?.to_text())
    }

    /// [`rotate_kek`](Self::rotate_kek) for the wrapped DEK (64 bytes) of a binary field.
    ///
    /// # Errors
    /// As [`rotate_kek`](Self::rotate_kek).
    pub fn rotate_kek_binary(
        &self,
        old: u32,
        new: u32,
        wrapped_dek: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<[u8; WRAPPED_LEN], CryptoError> {
        let wrapped = WrappedKey::from_slice(SEALED_FIELD, wrapped_dek)?;
        Ok(*self.rotate(old, new, &wrapped, entropy)?.bytes())
    }

    /// The sealed field with its DEK re-wrapped by the active key; `None` if the active key wraps it already.
    ///
    /// # Errors
    /// As [`rotate_kek`](Self::rotate_kek).
    pub fn rewrap(&self, sealed: &str, entropy: &dyn Entropy) -> Result<Option<String>, CryptoError> {
        let parts = TextParts::of(sealed)?;
        let (old, (new, _)) = (sealed_key_id(sealed)?, self.keys.active());
        if old == new {
            return Ok(None);
        }
        let wrapped = self.rotate_kek(old, new, parts.wrapped, entropy)?;
        Ok(Some(parts.with_wrapped(&wrapped)))
    }

    /// The wrapped DEK (64 bytes) of a binary field, re-wrapped by the active key; `None` if the active key wraps it
    /// already.
    ///
    /// # Errors
    /// As [`rotate_kek`](Self::rotate_kek).
    pub fn rewrap_binary(
        &self,
        wrapped_dek: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Option<[u8; WRAPPED_LEN]>, CryptoError> {
        let wrapped = WrappedKey::from_slice(SEALED_FIELD, wrapped_dek)?;
        let (old, (new, _)) = (wrapped.id(), self.keys.active());
        if old == new {
            return Ok(None);
        }
        Ok(Some(*self.rotate(old, new, &wrapped, entropy)?.bytes()))
    }

    fn rotate(
        &self,
        old: u32,
        new: u32,
        wrapped: &WrappedKey,
        entropy: &dyn Entropy,
    ) -> Result<WrappedKey, CryptoError> {
        if wrapped.id() != old {
            return Err(CryptoError::OtherKey { expected: old, found: wrapped.id() });
        }
        let aad = self.aad()?;
        let mut dek = Zeroizing::new([0; KEY_LEN]);
        wrapped.open(SEALED_FIELD, self.keys.get(old)?, &aad, &mut dek)?;
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        WrappedKey::seal(new, self.keys.get(new)?, &nonce, &aad, &dek)
    }

    fn aad(&self) -> Result<Vec<u8>, CryptoError> {
        let FieldContext { table, row_id, column } = self.context;
        aad(self.keys.team_id(), table, row_id, column)
    }
}

impl fmt::Debug for FieldEncryptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldEncryptor").field("context", &self.context).finish_non_exhaustive()
    }
}
