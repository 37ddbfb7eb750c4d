//! A built dashboard, served from the server's own origin: its files as they lie, and its index page for whatever
//! path its router understands.

use std::io;
use std::path::Path;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::config::PublicUrl;
use crate::page;
use crate::problem::Problem;
use crate::state::{AppState, Client};

/// Paths that are never the dashboard's: what is not found there is not found.
const NOT_PAGES: [&str; 4] = ["/api/", "/graphql/", "/auth/", "/assets/"];

/// What stands at `/` where no dashboard is served.
const NO_DASHBOARD: &str = "<p>The server is running. It serves no dashboard yet: set <code>HAN_CLIENT_DIR</code> to a \
     built one. What has been pushed can be asked for at <code>/graphql</code>.</p>";

/// Reads the index page, and makes the policy under which the dashboard's pages run.
pub(crate) fn load(dir: &Path, public_url: &PublicUrl) -> io::Result<Client> {
    let index = std::fs::read_to_string(dir.join("index.html"))?;
    let policy = policy(&index, public_url);
    Ok(Client { dir: dir.to_path_buf(), index, policy })
}

/// Scripts come from this server only; those that stand in the index page itself are named by their hash (CSP
/// level 3, section 2.3.1).
fn policy(index: &str, public_url: &PublicUrl) -> String {
    let mut scripts = String::from("'self'");
    for script in inline_scripts(index) {
        scripts.push_str(&format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script.as_bytes()))));
    }
    // `'self'` does not cover WebSockets in every browser.
    let sockets = public_url.origin().replacen("http", "ws", 1);
    format!(
        "default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; \
         font-src 'self' data:; connect-src 'self' {sockets}; worker-src 'self' blob:; object-src 'none'; \
         base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// What stands between `<script …>` and `</script>` where the tag has no `src`.
fn inline_scripts(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("<script") {
        let Some(after) = rest.get(start..) else { break };
        let Some((tag, after)) = after.split_once('>') else { break };
        let Some((content, after)) = after.split_once("</script") else { break };
        if !tag.contains("src=") && !content.trim().is_empty() {
            found.push(content);
        }
        rest = after;
    }
    found
}

/// Whatever no route answers: a file of the dashboard, its index page, or nothing.
pub(crate) async fn fallback(State(state): State<AppState>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let nothing = || Problem::not_found("no route has this path").into_response();
    let Some(client) = &state.client else {
        // Where a sign-in ends, somebody is looking.
        let looking = path == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
        return if looking { page::html(StatusCode::OK, NO_DASHBOARD) } else { nothing() };
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) || path == "/api" || path == "/auth" {
        return nothing();
    }
    if path == "/" || path == "/index.html" {
        return index(client);
    }
    let wants_page = request
        .headers()
        .get(ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    let mut response =
        match ServeDir::new(&client.dir).append_index_html_on_directories(false).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        };
    if response.status() == StatusCode::NOT_FOUND {
        let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        let is_page = !NOT_PAGES.iter().any(|prefix| path.starts_with(prefix)) && (wants_page || !is_file);
        return if is_page { index(client) } else { nothing() };
    }
    // Vite puts a hash of the content into the name of whatever lies in `assets`.
    let caching =
        if path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

fn index(client: &Client) -> Response {
    let headers = [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, client.policy.as_str())];
    (headers, Html(client.index.clone())).into_response()
}

#[cfg(test)]
mod tests {
    use super::inline_scripts;

    #[test]
    fn only_scripts_that_stand_in_the_page_are_hashed() {
        let page = "<head><script type=\"module\" src=\"/a.js\"></script><script>let x = 1 > 0;</script>\
                    <script id=\"t\">two</script ></head>";
        assert_eq!(inline_scripts(page), ["let x = 1 > 0;", "two"]);
        assert!(inline_scripts("<script>never closed").is_empty());
    }
}
