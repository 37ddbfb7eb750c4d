//! The few pages that the server itself shows: plain HTML that loads nothing and runs nothing.

use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use han_http::Problem;
use reqwest::Url;

use crate::auth::oauth;
use crate::state::AppState;

/// Whether an answer is for a program (`Accept: application/json`) or for somebody who looks at a browser.
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

/// A small page. `body` is HTML; whatever comes from outside is put into it through [`escape`].
pub(crate) fn html(status: StatusCode, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Han Teams</title>\
         <style>body{{font:1.1rem/1.5 system-ui;max-width:30rem;margin:20vh auto;padding:0 1rem}}\
         button,input{{font:inherit;padding:.5rem 1.5rem}}dt{{font-weight:600}}</style>\
         <h1>Han Teams</h1>{body}</html>"
    );
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // The form's Origin would be `null` under `no-referrer`.
        (REFERRER_POLICY, "same-origin"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (status, headers, page).into_response()
}

/// What to do to be signed in, and led back to `back` (a path of this site with its query).
pub(crate) fn sign_in(state: &AppState, back: &str) -> String {
    if state.github.is_none() {
        return "<p>Open a sign-in link first (<code>han-server login-link</code> makes one), then come back here.</p>"
            .to_owned();
    }
    // The URL standard writes the value; only its query is needed.
    let url = Url::parse_with_params(state.public_url.origin(), [("return_to", back)]).ok();
    let query = url.as_ref().and_then(Url::query).unwrap_or_default();
    format!("<p><a href=\"{}?{}\">Sign in with GitHub</a></p>", oauth::PATH, escape(query))
}

/// A problem as a page, followed by more HTML: what to do next.
pub(crate) fn of_problem(problem: Problem, more: &str) -> Response {
    let mut page =
        html(problem.status(), &format!("<p>{}.</p>{more}", escape(&capitalised(problem.detail()))));
    if let Some(seconds) = problem.into_response().headers_mut().remove(RETRY_AFTER) {
        page.headers_mut().insert(RETRY_AFTER, seconds);
    }
    page
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Text as HTML, in an element or a quoted attribute.
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
    fn a_browser_gets_pages_and_a_program_json() {
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
        fn nothing_that_is_escaped_ends_its_element_or_attribute(text in ".*") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        }
    }
}
