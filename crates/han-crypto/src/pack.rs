//! Packed content: `flag ‖ content`, compressed if that makes it smaller. It is what a sealed value encrypts, and what
//! a segment of a team without encryption stores. `docs/SECURITY.md` specifies the bytes.
//!
//! Packing is separate from sealing, because segments are compressed before a lock is taken and sealed under it.

use std::cell::RefCell;
use std::fmt;
use std::io::Cursor;
use std::thread::LocalKey;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use crate::CryptoError;
use crate::aes_gcm::TAG_LEN;

const PACKED: &str = "packed content";
const FLAG_RAW: u8 = 0;
const FLAG_ZSTD: u8 = 1;
/// The minimum length for compression. Below it, zstd rarely saves more than the size of its header.
const COMPRESS_FROM: usize = 128;
/// Level 1 is the fastest; higher levels save little on single values.
const FIELD_LEVEL: i32 = 1;
/// Segments hold many similar lines, and are written once and read often. docs/adr/0013 has the measurements.
const SEGMENT_LEVEL: i32 = 3;

type CompressorSlot = LocalKey<RefCell<Option<Compressor<'static>>>>;

thread_local! {
    // A context has a few hundred kilobytes; creating one per value would cost more than compressing. Each level has
    // its own, because a change of level sets up the tables again.
    static FIELD_COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static SEGMENT_COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Content with its flag byte, compressed if that makes it smaller. `Debug` prints lengths only.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    /// `flag ‖ content`, with capacity for a tag, so that sealing does not copy it.
    bytes: Vec<u8>,
    content_len: usize,
}

impl Packed {
    /// Packs the content of a segment. CPU-bound: about half a millisecond for 256 KiB.
    #[must_use]
    pub fn new(content: &[u8]) -> Self {
        Self::with(content, SEGMENT_LEVEL, &SEGMENT_COMPRESSOR)
    }

    /// Packs the content of a single field.
    pub(crate) fn field(content: &[u8]) -> Self {
        Self::with(content, FIELD_LEVEL, &FIELD_COMPRESSOR)
    }

    fn with(content: &[u8], level: i32, slot: &'static CompressorSlot) -> Self {
        let compressed = if content.len() < COMPRESS_FROM { None } else { compressed(content, level, slot) };
        let bytes = compressed.unwrap_or_else(|| {
            let mut bytes = Vec::with_capacity(1 + content.len() + TAG_LEN);
            bytes.push(FLAG_RAW);
            bytes.extend_from_slice(content);
            bytes
        });
        Self { bytes, content_len: content.len() }
    }

    /// The length of the content before compression, in bytes. Store it beside the value: it bounds
    /// [`open`](Self::open).
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.content_len
    }

    /// `flag ‖ content`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `flag ‖ content`, which an unsealed segment stores.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Unpacks the content of `flag ‖ content`. Allocates the size that the content declares, if that does not exceed
    /// `max` bytes.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] if the bytes violate the format, [`CryptoError::TooLarge`] if the content exceeds
    /// `max` or 4 GiB.
    pub fn open(mut bytes: Vec<u8>, max: usize) -> Result<Vec<u8>, CryptoError> {
        match bytes.first() {
            Some(&FLAG_RAW) => {
                check_size(bytes.len() as u64 - 1, max)?;
                bytes.remove(0);
                Ok(bytes)
            }
            Some(&FLAG_ZSTD) => inflated(&bytes[1..], max),
            _ => Err(malformed("its flag byte is neither 0 nor 1")),
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed")
            .field("len", &self.bytes.len())
            .field("content_len", &self.content_len)
            .finish_non_exhaustive()
    }
}

/// The length as a `usize`; an error if it exceeds `max` or the format's limit of 4 GiB.
pub(crate) fn check_size(len: u64, max: usize) -> Result<usize, CryptoError> {
    let max = (max as u64).min(u64::from(u32::MAX));
    let size = usize::try_from(len).ok().filter(|_| len <= max);
    size.ok_or(CryptoError::TooLarge { len, max })
}

fn malformed(reason: &'static str) -> CryptoError {
    CryptoError::Malformed { what: PACKED, reason }
}

/// Returns `None` if the content does not shrink (the buffer is then too small) or zstd runs out of memory, because
/// compression is optional.
fn compressed(content: &[u8], level: i32, slot: &'static CompressorSlot) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(content.len() + TAG_LEN);
    bytes.push(FLAG_ZSTD);
    let mut bytes = slot.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(level).ok();
        }
        let mut rest = Cursor::new(bytes);
        rest.set_position(1);
        let written = slot.as_mut()?.compress_to_buffer(content, &mut rest).ok()?;
        (written < content.len()).then(|| rest.into_inner())
    })?;
    // Packed content waits for a lock, many segments at a time: it does not keep the memory of its content.
    bytes.shrink_to(bytes.len() + TAG_LEN);
    Some(bytes)
}

/// Decompresses a frame. Allocates the size that the frame declares, if that does not exceed `max`.
fn inflated(frame: &[u8], max: usize) -> Result<Vec<u8>, CryptoError> {
    const BROKEN: &str = "its content is not one zstd frame of the size it declares";
    let size = get_frame_content_size(frame).ok().flatten().ok_or_else(|| malformed(BROKEN))?;
    let size = check_size(size, max)?;
    // zstd also reads frames that follow the first one, and skips those without content.
    if find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(malformed(BROKEN));
    }
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

#[cfg(test)]
mod tests {
    use super::{FLAG_ZSTD, Packed, TAG_LEN};
    use crate::CryptoError;

    /// A faulty writer with the key could seal such content: the tag is valid, the content is not.
    #[test]
    fn malformed_content_is_an_error() {
        let content = vec![b'a'; 1000];
        let good = Packed::field(&content).into_bytes();
        assert_eq!(good[0], FLAG_ZSTD);
        assert_eq!(Packed::open(good.clone(), 1000), Ok(content));
        let mut trailing = good.clone();
        trailing.push(0);
        let twice = [good.as_slice(), &good[1..]].concat();
        // A skippable frame (RFC 8878, section 3.1.2) of no bytes.
        let skippable = [good.as_slice(), &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]].concat();
        // The frame header is magic (4), descriptor (1), then the content size, here in two bytes less 256.
        let mut lying = good.clone();
        lying[6] ^= 1;
        for broken in [
            vec![],
            vec![2, b'a'],
            vec![FLAG_ZSTD],
            good[..good.len() - 1].to_vec(),
            trailing,
            twice,
            skippable,
            lying,
        ] {
            let result = Packed::open(broken.clone(), 10_000);
            assert!(matches!(result, Err(CryptoError::Malformed { .. })), "{broken:?}: {result:?}");
        }
    }

    #[test]
    fn packed_content_has_room_for_a_tag_and_little_more() {
        let text = b"{\"type\":\"user\"}\n".repeat(5000);
        let noise: Vec<u8> = (0..5000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        for content in [b"".as_slice(), b"short", &text, &noise] {
            for packed in [Packed::new(content), Packed::field(content)] {
                let (len, capacity) = (packed.bytes.len(), packed.bytes.capacity());
                assert!((len + TAG_LEN..len + TAG_LEN + 64).contains(&capacity), "{len} of {capacity}");
            }
        }
    }
}
