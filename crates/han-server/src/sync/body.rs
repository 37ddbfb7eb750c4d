//! A push's body: read as it arrives, decompressed, and shown to be text, counting at each step. Whatever is too
//! large is refused at the byte that goes too far, a decompression bomb long before it is whole.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use flate2::read::MultiGzDecoder;
use han_http::Problem;
use http_body_util::BodyExt as _;

use crate::config::Limits;
use crate::sync::memory::Reservation;

/// The largest window that a zstd frame may ask for: 8 MiB, as RFC 9659 has it for HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How much is read or decompressed between two looks at the count.
pub(crate) const STEP: usize = 256 << 10;

/// How long the rest of a refused body may take to arrive.
const DISCARD_PATIENCE: Duration = Duration::from_secs(5);

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let text = value.to_str().unwrap_or("");
        if values.next().is_some() {
            return Err(Problem::unsupported_encoding("more than one"));
        }
        match text.trim().to_ascii_lowercase().as_str() {
            "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Problem::unsupported_encoding(text)),
        }
    }
}

/// Reads a body as it was sent, up to the limit.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limits: &Limits,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Problem> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(body_too_large(limits));
    }
    // What is announced and does not come takes nothing: a slow upload must not hold up others' room.
    let mut bytes = Vec::new();
    while let Some(data) = next_data(body, limits.read_timeout).await? {
        if bytes.len() + data.len() > limits.body_bytes {
            return Err(body_too_large(limits));
        }
        let whole = bytes.len() + data.len();
        if whole > bytes.capacity() {
            // Twice as much each time, as little is copied as in any vector; never more than will come.
            let room = whole
                .max(bytes.capacity() * 2)
                .max(STEP)
                .min(announced.unwrap_or(limits.body_bytes).max(whole));
            memory.grow_to(room).await?;
            bytes.reserve_exact(room - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn next_data(body: &mut Body, patience: Duration) -> Result<Option<axum::body::Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(patience, body.frame()).await.map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "The request took too long to arrive",
                format!("nothing came for {} seconds: send smaller batches", patience.as_secs()),
            )
        })?;
        match frame {
            None => return Ok(None),
            // Trailers say nothing here.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => {
                return Err(Problem::bad_request("the body was cut off before its end: send it again"));
            }
        }
    }
}

/// Reads what is left of a refused body and throws it away: at most `bytes`, and not for long.
pub(crate) async fn discard(mut body: Body, bytes: usize) {
    let discard = async {
        let mut left = bytes;
        while let Ok(Some(data)) = next_data(&mut body, DISCARD_PATIENCE).await {
            left = left.saturating_sub(data.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_PATIENCE, discard).await;
}

fn body_too_large(limits: &Limits) -> Problem {
    Problem::too_large(
        "the body's bytes as sent",
        limits.body_bytes,
        "HAN_MAX_BODY_BYTES",
        "send fewer lines at once",
    )
}

/// The text of a body. Blocks: decompression is work.
pub(crate) fn text(
    encoding: Encoding,
    bytes: Vec<u8>,
    limits: &Limits,
    memory: &mut Reservation,
) -> Result<Arc<String>, Problem> {
    let plain = match encoding {
        Encoding::Identity => bytes,
        Encoding::Gzip => {
            decompress(MultiGzDecoder::new(bytes.as_slice()), "gzip", bytes.len(), limits, memory)?
        }
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes.as_slice())
                .map_err(|err| not_decompressible("zstd", &err))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|err| not_decompressible("zstd", &err))?;
            decompress(decoder, "zstd", bytes.len(), limits, memory)?
        }
    };
    if plain.len() > limits.decompressed_bytes {
        return Err(decompressed_too_large(limits));
    }
    match String::from_utf8(plain) {
        // As it lies there: a body is held once.
        Ok(text) => Ok(Arc::new(text)),
        Err(err) => Err(Problem::bad_request(format!(
            "the body is not UTF-8: byte {} belongs to no character. Send a line that is not UTF-8 as a JSON string \
             in which such bytes are replaced",
            err.utf8_error().valid_up_to()
        ))),
    }
}

fn decompress(
    mut reader: impl Read,
    name: &str,
    compressed: usize,
    limits: &Limits,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    loop {
        // What came and what it becomes lie in memory together.
        memory.grow_to_blocking(compressed + plain.len() + STEP)?;
        let read = (&mut reader)
            .take(STEP as u64)
            .read_to_end(&mut plain)
            .map_err(|err| not_decompressible(name, &err))?;
        if plain.len() > limits.decompressed_bytes {
            return Err(decompressed_too_large(limits));
        }
        if read == 0 {
            return Ok(plain);
        }
    }
}

fn decompressed_too_large(limits: &Limits) -> Problem {
    Problem::too_large(
        "the body's bytes after decompression",
        limits.decompressed_bytes,
        "HAN_MAX_DECOMPRESSED_BYTES",
        "send fewer lines at once",
    )
}

fn not_decompressible(name: &str, err: &io::Error) -> Problem {
    let why = if err.kind() == io::ErrorKind::UnexpectedEof {
        "it was cut off before its end: send it again".to_owned()
    } else if name == "zstd" {
        format!("{err} (frames may use a window of at most {} MiB)", (1 << ZSTD_WINDOW_LOG) >> 20)
    } else {
        err.to_string()
    };
    Problem::bad_request(format!("the body cannot be decompressed as {name}: {why}"))
}
