//! The files of the dashboard that are embedded in the program: those of `browse-client/dist`, each compressed with gzip.
//! Programs that are built without optimisation read them from that directory when they are requested.

use std::borrow::Cow;
use std::io::{self, Read as _};

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::GzDecoder;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "../../browse-client/dist"]
struct Dist;

fn find(name: &str) -> Option<EmbeddedFile> {
    Dist::get(&format!("{name}.gz"))
}

fn decompressed(file: &EmbeddedFile) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    GzDecoder::new(file.data.as_ref()).read_to_end(&mut content)?;
    Ok(content)
}

/// The text of an embedded file.
pub(crate) fn text(name: &str) -> io::Result<String> {
    let file = find(name).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("the program contains no {name} of the dashboard"))
    })?;
    String::from_utf8(decompressed(&file)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The embedded file at `path`, or 404. Clients that do not accept gzip get it decompressed.
pub(crate) fn respond(path: &str, headers: &HeaderMap) -> Response {
    let name = path.trim_start_matches('/');
    let Some(file) = find(name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash()));
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known =
        known.flat_map(|tags| tags.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if accepts_gzip(headers) {
        let body = match file.data {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
        ([(CONTENT_TYPE, media_type(name)), (CONTENT_ENCODING, "gzip")], body).into_response()
    } else {
        match decompressed(&file) {
            Ok(content) => ([(CONTENT_TYPE, media_type(name))], content).into_response(),
            Err(error) => {
                tracing::error!(%error, path, "an embedded file of the dashboard cannot be decompressed");
                return Problem::internal().into_response();
            }
        }
    };
    let common: [(HeaderName, Option<HeaderValue>); 2] =
        [(ETAG, HeaderValue::try_from(tag).ok()), (VARY, Some(HeaderValue::from_static("accept-encoding")))];
    for (name, value) in common {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Whether the client accepts gzip (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "*") && !refused
    })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
