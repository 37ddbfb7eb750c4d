//! The body of a push: read as it arrives, decompressed and checked to be UTF-8, with limits at each step. A body is
//! refused at the first byte beyond a limit, so a decompression bomb is never decompressed as a whole.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;

use crate::blocking::FEW_BYTES;
use crate::config::ServerLimits;
use crate::config::push_memory::READ_STEP;
use crate::sync::memory_budget::Reservation;
use han_http::Problem;

/// The largest window that a zstd frame may use: 8 MiB, the limit of RFC 9659 for HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How long the rest of a refused body is read and discarded.
const DISCARD_PATIENCE: Duration = Duration::from_secs(5);

/// The compression of a body.
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

/// Reads a body as sent, up to the limit.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    limits: &ServerLimits,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Problem> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(body_too_large(limits));
    }
    // Memory is reserved as bytes arrive, not for the announced length: a slow upload must not take it from others.
    let mut bytes = Vec::new();
    while let Some(data) = next_data(body, limits.read_timeout).await? {
        if bytes.len() + data.len() > limits.body_bytes {
            return Err(body_too_large(limits));
        }
        let whole = bytes.len() + data.len();
        if whole > bytes.capacity() {
            // Capacity doubles, as in any vector, but never beyond the announced length.
            let capacity = whole
                .max(bytes.capacity() * 2)
                .max(READ_STEP)
                .min(announced.unwrap_or(limits.body_bytes).max(whole));
            memory.grow_to(capacity).await?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn next_data(body: &mut Body, patience: Duration) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(patience, body.frame()).await.map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "The request took too long to arrive",
                format!("no data arrived for {} seconds: send smaller batches", patience.as_secs()),
            )
        })?;
        match frame {
            None => return Ok(None),
            // Trailers are ignored.
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

/// Reads and discards the rest of a refused body: at most `bytes`, and only for a short time.
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

fn body_too_large(limits: &ServerLimits) -> Problem {
    Problem::too_large(
        "the body's bytes as sent",
        limits.body_bytes,
        "HAN_MAX_BODY_BYTES",
        "send fewer lines at once",
    )
}

/// The decompressed body, if it has few bytes and is UTF-8. `None` for every other one, of which [`text`] says what is wrong
/// with it, if anything is.
pub(crate) async fn small_text(
    encoding: Encoding,
    bytes: &[u8],
    limits: &ServerLimits,
    memory: &mut Reservation,
) -> Result<Option<Bytes>, Problem> {
    let most = FEW_BYTES.min(limits.decompressed_bytes);
    if bytes.len() > most {
        return Ok(None);
    }
    memory.grow_to(bytes.len() + most).await?;
    let mut plain = Vec::new();
    let Ok(reader) = reader(encoding, bytes) else { return Ok(None) };
    let read = reader.take(most as u64 + 1).read_to_end(&mut plain);
    let whole = read.is_ok() && plain.len() <= most && std::str::from_utf8(&plain).is_ok();
    Ok(whole.then(|| Bytes::from(plain)))
}

/// Reads the decompressed body.
fn reader(encoding: Encoding, bytes: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(bytes),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// The decompressed body, which is UTF-8. Blocks: decompression is CPU-bound.
pub(crate) fn text(
    encoding: Encoding,
    bytes: Vec<u8>,
    limits: &ServerLimits,
    memory: &mut Reservation,
) -> Result<Bytes, Problem> {
    let plain = match encoding {
        Encoding::Identity => bytes,
        Encoding::Gzip | Encoding::Zstd => {
            let name = if encoding == Encoding::Gzip { "gzip" } else { "zstd" };
            let reader = reader(encoding, &bytes).map_err(|err| not_decompressible(name, &err))?;
            decompress(reader, name, bytes.len(), limits, memory)?
        }
    };
    if plain.len() > limits.decompressed_bytes {
        return Err(decompressed_too_large(limits));
    }
    match std::str::from_utf8(&plain) {
        // Without a copy: a body is in memory once.
        Ok(_) => Ok(Bytes::from(plain)),
        Err(err) => Err(Problem::bad_request(format!(
            "the body is not UTF-8: byte {} is not part of a character. Send a line that is not UTF-8 as a JSON string \
             in which such bytes are replaced",
            err.valid_up_to()
        ))),
    }
}

fn decompress(
    mut reader: impl Read,
    name: &str,
    compressed: usize,
    limits: &ServerLimits,
    memory: &mut Reservation,
) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    loop {
        // The compressed and the decompressed body are in memory together.
        memory.grow_to_blocking(compressed + plain.len() + READ_STEP)?;
        let read = (&mut reader)
            .take(READ_STEP as u64)
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

fn decompressed_too_large(limits: &ServerLimits) -> Problem {
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
