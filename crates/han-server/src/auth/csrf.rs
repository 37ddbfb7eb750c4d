//! Protection against cross-site request forgery: browsers send cookies with requests that other sites cause, so a
//! request that is authenticated by its cookie must also prove its origin. Requests with a bearer token need not.
//!
//! `Sec-Fetch-Site` is Fetch Metadata (w3.org/TR/fetch-metadata), `Origin` RFC 6454; scripts can set neither.

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Method};
use han_http::Problem;
use han_http::headers::{is_json, single as text};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request that another site may have caused. `own` is this server's origin.
pub(crate) fn check(method: &Method, headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        check_read(headers, own)
    } else {
        check_write(method, headers, own)
    }
}

/// The browser lets only pages of this origin read the response, so a read must only prove that it is not a navigation
/// from another site.
fn check_read(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    match (text(headers, SEC_FETCH_SITE), text(headers, ORIGIN.as_str())) {
        (Some("same-origin" | "same-site" | "none"), _) => Ok(()),
        (Some(_), _) => Err(Problem::cross_site("another site caused this request")),
        (None, Some(origin)) if origin == own => Ok(()),
        (None, Some(_)) => Err(wrong_origin(own)),
        (None, None) => Err(neither()),
    }
}

fn check_write(method: &Method, headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    same_origin(headers, own, true)?;
    // A form cannot send this type, and a script of another origin needs a CORS preflight for it.
    if *method == Method::POST && !is_json(headers) {
        return Err(Problem::cross_site(
            "a request authenticated by its cookie must have Content-Type: application/json",
        ));
    }
    Ok(())
}

/// Refuses a request that another origin caused. Without either header, `cookie` decides: a cookie needs proof of
/// origin, a secret in the request itself does not.
pub(crate) fn same_origin(headers: &HeaderMap, own: &str, cookie: bool) -> Result<(), Problem> {
    let (site, origin) = (text(headers, SEC_FETCH_SITE), text(headers, ORIGIN.as_str()));
    if site.is_some_and(|site| site != "same-origin") {
        return Err(Problem::cross_site("another site caused this request"));
    }
    if origin.is_some_and(|origin| origin != own) {
        return Err(wrong_origin(own));
    }
    if cookie && site.is_none() && origin.is_none() { Err(neither()) } else { Ok(()) }
}

/// Checks a WebSocket handshake that is authenticated by the cookie: browsers always send its `Origin`.
pub(crate) fn check_socket(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    if text(headers, ORIGIN.as_str()) == Some(own) { Ok(()) } else { Err(wrong_origin(own)) }
}

fn wrong_origin(own: &str) -> Problem {
    Problem::cross_site(format!(
        "Origin must be {own}: open this server there, or set PUBLIC_URL to where it is opened"
    ))
}

fn neither() -> Problem {
    Problem::cross_site(
        "a request authenticated by its cookie must have an Origin or Sec-Fetch-Site header: use a current browser, or send a token in Authorization",
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

    use super::check;

    const OWN: &str = "https://han.example.com";
    const EVIL: &str = "https://evil.example";

    /// The table of docs/SECURITY.md: method, Content-Type, Origin, Sec-Fetch-Site, and whether the request passes.
    #[test]
    fn cookie_requests_must_prove_their_origin() {
        const JSON: Option<&str> = Some("application/json");
        const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
        let same = Some("same-origin");
        let table = [
            (Method::POST, JSON, Some(OWN), same, true),
            (Method::POST, JSON, Some(OWN), None, true),
            (Method::POST, JSON, None, same, true),
            (Method::POST, Some("Application/JSON; charset=utf-8"), Some(OWN), same, true),
            (Method::POST, JSON, None, None, false),
            (Method::POST, FORM, Some(OWN), same, false),
            (Method::POST, None, Some(OWN), same, false),
            (Method::POST, Some("text/plain; application/json"), Some(OWN), same, false),
            (Method::POST, JSON, Some(EVIL), None, false),
            (Method::POST, JSON, Some(EVIL), same, false),
            (Method::POST, JSON, Some("null"), same, false),
            (Method::POST, JSON, Some(OWN), Some("same-site"), false),
            (Method::POST, JSON, Some(OWN), Some("cross-site"), false),
            (Method::POST, JSON, None, Some("none"), false),
            (Method::POST, JSON, Some("https://han.example.com.evil.example"), None, false),
            (Method::POST, JSON, Some("http://han.example.com"), None, false),
            (Method::DELETE, None, Some(OWN), same, true),
            (Method::DELETE, None, None, None, false),
            (Method::DELETE, None, None, Some("cross-site"), false),
            (Method::GET, None, None, same, true),
            (Method::GET, None, None, Some("same-site"), true),
            (Method::GET, None, None, Some("none"), true),
            (Method::GET, None, Some(OWN), None, true),
            (Method::GET, None, None, Some("cross-site"), false),
            (Method::GET, None, Some(EVIL), None, false),
            (Method::GET, None, None, None, false),
            (Method::HEAD, None, None, Some("cross-site"), false),
        ];
        for (method, content_type, origin, site, passes) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in
                [("content-type", content_type), ("origin", origin), ("sec-fetch-site", site)]
            {
                if let Some(value) = value {
                    headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
                }
            }
            let passed = check(&method, &headers, OWN).is_ok();
            assert_eq!(passed, passes, "{method} {content_type:?} {origin:?} {site:?}");
        }
    }

    #[test]
    fn a_repeated_header_matches_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.append("origin", HeaderValue::from_static(OWN));
        headers.append("origin", HeaderValue::from_static(EVIL));
        assert!(check(&Method::POST, &headers, OWN).is_err());
    }
}
