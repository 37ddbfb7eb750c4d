//! Sealed fields: `version:nonce:wrapped_dek:ciphertext`, with one random key (DEK) per field, wrapped by the team's
//! key. `docs/SECURITY.md` specifies the format. Not here: which columns are sealed (han-db).

use std::cell::RefCell;
use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_types::{Entropy, TeamId};
use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use crate::CryptoError;
use crate::aad::aad;
use crate::aes_gcm::{AesKey, KEY_LEN, NONCE_LEN, TAG_LEN};
use crate::kek::{KekRing, TeamKey};
use crate::wrap::{WRAPPED_CHARS, WrappedKey, decode_exactly};

/// The default limit on the content of a field: 64 MiB.
pub const DEFAULT_MAX_CONTENT: usize = 64 << 20;

const SEALED_FIELD: &str = "sealed field";
const VERSION: &str = "v1";
/// 12 bytes in base64.
const NONCE_CHARS: usize = 16;
/// The length of the ciphertext of empty content: the flag byte and a tag, in unpadded base64.
const MIN_CIPHERTEXT_CHARS: usize = 23;
const FLAG_RAW: u8 = 0;
const FLAG_ZSTD: u8 = 1;
/// The minimum length for compression. Below it, zstd rarely saves more than the size of its header.
const COMPRESS_FROM: usize = 128;
/// Level 1 is the fastest; higher levels save little on single messages.
const ZSTD_LEVEL: i32 = 1;

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
    /// stored: larger compressed fields are rejected as decompression bombs.
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

    /// Seals `content` under a new DEK. Compresses it if that makes it smaller.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`] if `content` exceeds the ring's limit.
    pub fn encrypt(&self, content: &[u8], entropy: &dyn Entropy) -> Result<String, CryptoError> {
        check_size(content.len() as u64, self.keys.max_content())?;
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
        let mut text = flagged(content);
        let tag = AesKey::new(&dek)?.seal(&nonce, &aad, &mut text)?;
        text.extend_from_slice(&tag);
        join(&nonce, &wrapped, &text)
    }

    /// Opens a sealed field.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if the text violates the format, [`CryptoError::UnknownKey`] or
    /// [`CryptoError::UnknownKek`] with the missing key, [`CryptoError::NotAuthentic`] if the text was changed or
    /// moved, [`CryptoError::TooLarge`] if its decompressed content exceeds the ring's limit.
    pub fn decrypt(&self, sealed: &str) -> Result<Vec<u8>, CryptoError> {
        let parts = Parts::of(sealed)?;
        let nonce = parts.nonce()?;
        let wrapped = WrappedKey::parse(SEALED_FIELD, parts.wrapped)?;
        let mut text = URL_SAFE_NO_PAD
            .decode(parts.ciphertext)
            .map_err(|_| malformed("its ciphertext is not unpadded base64url"))?;

        let aad = self.aad()?;
        let mut dek = Zeroizing::new([0; KEY_LEN]);
        wrapped.open(SEALED_FIELD, self.keys.get(wrapped.id())?, &aad, &mut dek)?;
        let opened = AesKey::new(&dek)?.open(&nonce, &aad, &mut text);
        let len = opened.ok_or(CryptoError::NotAuthentic { what: SEALED_FIELD })?.len();
        text.truncate(len);
        unflagged(text, self.keys.max_content())
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
        if wrapped.id() != old {
            return Err(CryptoError::OtherKey { expected: old, found: wrapped.id() });
        }
        let aad = self.aad()?;
        let mut dek = Zeroizing::new([0; KEY_LEN]);
        wrapped.open(SEALED_FIELD, self.keys.get(old)?, &aad, &mut dek)?;
        let mut nonce = [0; NONCE_LEN];
        entropy.fill(&mut nonce);
        Ok(WrappedKey::seal(new, self.keys.get(new)?, &nonce, &aad, &dek)?.to_text())
    }

    /// The sealed field with its DEK re-wrapped by the active key; `None` if the active key wraps it already.
    ///
    /// # Errors
    /// As [`rotate_kek`](Self::rotate_kek).
    pub fn rewrap(&self, sealed: &str, entropy: &dyn Entropy) -> Result<Option<String>, CryptoError> {
        let parts = Parts::of(sealed)?;
        let (old, (new, _)) = (sealed_key_id(sealed)?, self.keys.active());
        if old == new {
            return Ok(None);
        }
        let wrapped = self.rotate_kek(old, new, parts.wrapped, entropy)?;
        Ok(Some(format!("{VERSION}:{}:{wrapped}:{}", parts.nonce, parts.ciphertext)))
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

/// The id of the key that wraps a field's DEK: the team key's version, or the KEK's id for a field without a team. Does
/// not decrypt anything.
///
/// # Errors
/// [`CryptoError::Malformed`].
pub fn sealed_key_id(sealed: &str) -> Result<u32, CryptoError> {
    WrappedKey::parse(SEALED_FIELD, Parts::of(sealed)?.wrapped).map(|wrapped| wrapped.id())
}

struct Parts<'a> {
    nonce: &'a str,
    wrapped: &'a str,
    ciphertext: &'a str,
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a str) -> Result<Self, CryptoError> {
        let mut parts = sealed.split(':');
        if parts.next() != Some(VERSION) {
            return Err(malformed("its version is not v1"));
        }
        let (Some(nonce), Some(wrapped), Some(ciphertext), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it does not have four parts"));
        };
        if ciphertext.len() < MIN_CIPHERTEXT_CHARS {
            return Err(malformed("its ciphertext is shorter than an authentication tag"));
        }
        Ok(Self { nonce, wrapped, ciphertext })
    }

    fn nonce(&self) -> Result<[u8; NONCE_LEN], CryptoError> {
        decode_exactly(self.nonce, NONCE_CHARS)
            .ok_or_else(|| malformed("its nonce is not 16 characters of base64url"))
    }
}

fn malformed(reason: &'static str) -> CryptoError {
    CryptoError::Malformed { what: SEALED_FIELD, reason }
}

/// Joins the four parts, with one allocation of the exact size.
fn join(nonce: &[u8; NONCE_LEN], wrapped: &WrappedKey, text: &[u8]) -> Result<String, CryptoError> {
    let chars = (text.len() * 4).div_ceil(3);
    let mut sealed = vec![b':'; VERSION.len() + NONCE_CHARS + WRAPPED_CHARS + chars + 3];
    sealed[..VERSION.len()].copy_from_slice(VERSION.as_bytes());
    let mut at = VERSION.len() + 1;
    for part in [nonce.as_slice(), wrapped.bytes().as_slice(), text] {
        let written = URL_SAFE_NO_PAD.encode_slice(part, &mut sealed[at..]);
        at += written.map_err(|_| CryptoError::Library("writing base64"))? + 1;
    }
    String::from_utf8(sealed).map_err(|_| CryptoError::Library("writing base64"))
}

thread_local! {
    // A context has a few hundred kilobytes; creating one per message would cost more than compressing.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `flag ‖ content`, compressed if that makes it smaller, with capacity for the tag.
fn flagged(content: &[u8]) -> Vec<u8> {
    if content.len() >= COMPRESS_FROM
        && let Some(text) = compressed(content)
    {
        return text;
    }
    let mut text = Vec::with_capacity(1 + content.len() + TAG_LEN);
    text.push(FLAG_RAW);
    text.extend_from_slice(content);
    text
}

/// Returns `None` if the content does not shrink (the buffer is then too small) or zstd runs out of memory, because
/// compression is optional.
fn compressed(content: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(content.len() + TAG_LEN);
    text.push(FLAG_ZSTD);
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(ZSTD_LEVEL).ok();
        }
        let mut rest = Cursor::new(text);
        rest.set_position(1);
        let written = slot.as_mut()?.compress_to_buffer(content, &mut rest).ok()?;
        (written < content.len()).then(|| rest.into_inner())
    })
}

/// Undoes [`flagged`].
fn unflagged(mut text: Vec<u8>, max: usize) -> Result<Vec<u8>, CryptoError> {
    match text.first() {
        Some(&FLAG_RAW) => {
            text.remove(0);
            Ok(text)
        }
        Some(&FLAG_ZSTD) => inflated(&text[1..], max),
        _ => Err(malformed("its flag byte is neither 0 nor 1")),
    }
}

/// Decompresses a frame. Allocates the size that the frame declares, if that does not exceed `max`.
fn inflated(frame: &[u8], max: usize) -> Result<Vec<u8>, CryptoError> {
    const BROKEN: &str = "its content is not one zstd frame of the size it declares";
    let size = get_frame_content_size(frame).ok().flatten().ok_or_else(|| malformed(BROKEN))?;
    let size = check_size(size, max)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let decompressor = slot.as_mut().ok_or(CryptoError::Library("preparing zstd"))?;
        let mut content = Vec::with_capacity(size);
        let written = decompressor.decompress_to_buffer(frame, &mut content);
        if written.is_ok_and(|written| written == size) { Ok(content) } else { Err(malformed(BROKEN)) }
    })
}

/// The length as a `usize`; an error if it exceeds `max` or the format's limit of 4 GiB.
fn check_size(len: u64, max: usize) -> Result<usize, CryptoError> {
    let max = (max as u64).min(u64::from(u32::MAX));
    let size = usize::try_from(len).ok().filter(|_| len <= max);
    size.ok_or(CryptoError::TooLarge { len, max })
}

#[cfg(test)]
mod tests {
    use super::{FLAG_ZSTD, flagged, unflagged};
    use crate::CryptoError;

    /// A faulty writer with the key could seal such fields: the tag is valid, the content is not.
    #[test]
    fn authentic_but_malformed_content_is_an_error() {
        let content = vec![b'a'; 1000];
        let good = flagged(&content);
        assert_eq!(good[0], FLAG_ZSTD);
        assert_eq!(unflagged(good.clone(), 1000), Ok(content));
        let mut trailing = good.clone();
        trailing.push(0);
        let twice = [good.as_slice(), &good[1..]].concat();
        // The frame header is magic (4), descriptor (1), then the content size, here in two bytes less 256.
        let mut lying = good.clone();
        lying[6] ^= 1;
        for broken in
            [vec![], vec![2, b'a'], vec![FLAG_ZSTD], good[..good.len() - 1].to_vec(), trailing, twice, lying]
        {
            let result = unflagged(broken.clone(), 10_000);
            assert!(matches!(result, Err(CryptoError::Malformed { .. })), "{broken:?}: {result:?}");
        }
    }
}
