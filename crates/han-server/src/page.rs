//! The HTML pages that the server itself renders (sign-in, invites, errors): plain HTML that loads and runs nothing. Their
//! style is in the page, and the policy names its hash. The dashboard's files are in `client`.

use std::sync::LazyLock;

use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use han_http::Problem;
use sha2::{Digest as _, Sha256};

/// The look of the dashboard (`browse-client/src/styles/tokens.css`), for pages with a heading, some text and a form.
const STYLE: &str = include_str!("page.css");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
});

/// Whether a response is for a program (`Accept: application/json`) or for a person at a browser.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut json = false;
    for range in accepted.flat_map(|value| value.split(',')) {
        match range.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "text/html" => return false,
            "application/json" | "application/problem+json" => json = true,
            _ => {}
        }
    }
    json
}

/// A page with a heading. `body` is HTML: text from outside must pass through [`escape`] first.
pub(crate) fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · Han Teams</title>\
         <style>{STYLE}</style><main><p class=\"brand\">Han Teams</p><h1>{title}</h1>{body}</main></html>"
    );
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // The form's Origin would be `null` under `no-referrer`.
        (REFERRER_POLICY, "same-origin"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
    ];
    (status, headers, page).into_response()
}

/// A problem as a page, followed by `more` HTML: what to do next.
pub(crate) fn of_problem(problem: Problem, more: &str) -> Response {
    let detail = escape(&capitalised(problem.detail()));
    let mut page = html(problem.status(), "This did not work", &format!("<p>{detail}.</p>{more}"));
    if let Some(seconds) = problem.into_response().headers_mut().remove(RETRY_AFTER) {
        page.headers_mut().insert(RETRY_AFTER, seconds);
    }
    page
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Escapes text for an HTML element or a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::{escape, wants_json};

    #[test]
    fn only_an_accept_header_that_prefers_json_gets_json() {
        for (accept, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("application/json, text/html", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_str(accept).unwrap());
            assert_eq!(wants_json(&headers), json, "{accept}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn escaped_text_cannot_close_an_element_or_attribute(text in ".*") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        }
    }
}
