//! Downloads as NDJSON: one JSON object for each line.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::Stream;
use serde::Serialize;

/// Adds a record, with its line feed.
pub(crate) fn append(out: &mut Vec<u8>, record: &impl Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, record)?;
    out.push(b'\n');
    Ok(())
}

/// The response that a browser stores as the file `NAME.ndjson`. An error of `chunks` cuts it off.
pub(crate) fn download<E: Into<axum::BoxError> + 'static>(
    name: &str,
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Response {
    let disposition = format!("attachment; filename=\"{name}.ndjson\"");
    let headers = [(CONTENT_TYPE, "application/x-ndjson".to_owned()), (CONTENT_DISPOSITION, disposition)];
    (headers, Body::from_stream(chunks)).into_response()
}
