//! Reading request headers that decide about access or meaning.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

/// The text of a header that may be sent only once. One that is repeated or is not text becomes a value that matches
/// nothing, so that two parsers cannot disagree about which of them counts.
#[must_use]
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { "" } else { first.to_str().unwrap_or("") })
}

/// Whether the body is `application/json`, with or without parameters.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    single(headers, CONTENT_TYPE.as_str())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
