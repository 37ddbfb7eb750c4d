//! Images: their size is read from the beginning of their data, so that a page can reserve their space.

/// An image with embedded data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `image/png`
    pub media_type: String,
    /// `data:image/png;base64,…`
    pub data_url: String,
    /// The size of its data in bytes.
    pub bytes: usize,
    /// Width and height in pixels, if its format is PNG, GIF, JPEG or WebP.
    pub pixels: Option<(u32, u32)>,
}

/// How much of the data is searched for the size, in characters of base64. The size is at the beginning, except in a JPEG
/// with large metadata.
const SEARCHED: usize = 256 << 10;

impl Image {
    /// From a media type and base64 data, which the caller has checked.
    pub(super) fn new(media_type: &str, data: &str) -> Self {
        let padding = data.bytes().rev().take_while(|c| *c == b'=').count();
        Self {
            media_type: media_type.to_owned(),
            data_url: format!("data:{media_type};base64,{data}"),
            bytes: (data.len() - padding) * 3 / 4,
            pixels: pixels(&decode(data.get(..SEARCHED).unwrap_or(data))),
        }
    }
}

/// Decodes base64 up to the first character that is none.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut n) = (0u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = (bits << 6) | u32::from(value);
        n += 6;
        if n >= 8 {
            n -= 8;
            bytes.push(((bits >> n) & 0xff) as u8);
        }
    }
    bytes
}

/// The size of an image in a known format. Formats: PNG (RFC 2083, section 4.1.1), GIF89a (section 18), JPEG (ITU T.81,
/// B.2.2), WebP (RFC 9649, section 2.7).
fn pixels(data: &[u8]) -> Option<(u32, u32)> {
    if data.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some((big(data, 16, 4)?, big(data, 20, 4)?));
    }
    if data.starts_with(b"GIF8") {
        return Some((little(data, 6, 2)?, little(data, 8, 2)?));
    }
    if data.starts_with(b"RIFF") && data.get(8..12)? == b"WEBP" {
        return match data.get(12..16)? {
            b"VP8X" => Some((little(data, 24, 3)? + 1, little(data, 27, 3)? + 1)),
            b"VP8 " => Some((little(data, 26, 2)? & 0x3fff, little(data, 28, 2)? & 0x3fff)),
            b"VP8L" => {
                let bits = little(data, 21, 4)?;
                Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
            }
            _ => None,
        };
    }
    if data.starts_with(&[0xff, 0xd8]) {
        return jpeg(data);
    }
    None
}

/// Walks the segments of a JPEG to its frame header.
fn jpeg(data: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let marker = *data.get(at + 1)?;
        let is_frame = (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame {
            return Some((big(data, at + 7, 2)?, big(data, at + 5, 2)?));
        }
        at += 2 + usize::try_from(big(data, at + 2, 2)?).ok()?;
    }
}

fn big(data: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = data.get(at..at + length)?;
    Some(bytes.iter().fold(0, |value, byte| (value << 8) | u32::from(*byte)))
}

fn little(data: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = data.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |value, byte| (value << 8) | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Image, decode, pixels};

    #[test]
    fn the_size_is_read_from_the_header() {
        let png = "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAYAAACddGYaAAAAEUlEQVR4nGP4DwYMYAAA";
        assert_eq!(Image::new("image/png", png).pixels, Some((3, 2)));
        assert_eq!(pixels(b"GIF89a\x05\x00\x02\x01rest"), Some((5, 258)));
        let jpeg = [
            &[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2][..],
            &[0xff, 0xc0, 0, 17, 8, 0x01, 0x00, 0x02, 0x00, 3][..],
        ];
        assert_eq!(pixels(&jpeg.concat()), Some((512, 256)));
        assert_eq!(pixels(b"RIFF....WEBPVP8X\x0a\0\0\0\0\0\0\0\x09\0\0\x04\0\0"), Some((10, 5)));
        assert_eq!(pixels(b"<svg/>"), None);
    }

    #[test]
    fn the_number_of_bytes_does_not_count_padding() {
        assert_eq!(Image::new("image/png", "AAAA").bytes, 3);
        assert_eq!(Image::new("image/png", "AAA=").bytes, 2);
        assert_eq!(decode("SGVsbG8="), b"Hello");
    }

    proptest! {
        #[test]
        fn any_data_has_a_size_or_none(data in prop::collection::vec(any::<u8>(), 0..64), start in 0usize..5) {
            let starts: [&[u8]; 5] = [b"", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF\0\0\0\0WEBP", b"\xff\xd8"];
            let _ = pixels(&[starts[start], &data].concat());
        }
    }
}
