//! The files of a built dashboard, served from the program's own origin: static files with cache headers, and the index
//! page, under a Content-Security-Policy, for every path that the dashboard's router understands.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::problem::Problem;

/// Vite puts these files here, with a hash of the content in their names.
const ASSETS: &str = "/assets";

/// A dashboard to serve.
#[derive(Clone, Debug)]
pub struct Client {
    dir: PathBuf,
    index: String,
    /// The Content-Security-Policy of the index page.
    policy: String,
    api: &'static [&'static str],
}

impl Client {
    /// Reads the index page in `dir`. `origin` is that of the program, as an `Origin` header spells it. `api` lists the
    /// path prefixes of the program's own routes, such as `/api`: the dashboard has no pages there.
    ///
    /// # Errors
    /// If the index page cannot be read.
    pub fn load(dir: &Path, origin: &str, api: &'static [&'static str]) -> io::Result<Self> {
        let index = std::fs::read_to_string(dir.join("index.html"))?;
        let policy = policy(&index, origin);
        Ok(Self { dir: dir.to_path_buf(), index, policy, api })
    }

    async fn respond(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        if self.api.contains(&path.as_str()) {
            return not_found();
        }
        if path == "/" || path == "/index.html" {
            return self.index();
        }
        let wants_page = request
            .headers()
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
        let mut response =
            match ServeDir::new(&self.dir).append_index_html_on_directories(false).oneshot(request).await {
                Ok(response) => response.map(Body::new),
                Err(never) => match never {},
            };
        if response.status() == StatusCode::NOT_FOUND {
            let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
            let is_page = !self.has_no_pages(&path) && (wants_page || !is_file);
            return if is_page { self.index() } else { not_found() };
        }
        let caching =
            if is_below(&path, ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        response
    }

    /// Whether a path that names no file is an error rather than a page of the dashboard.
    fn has_no_pages(&self, path: &str) -> bool {
        self.api.iter().chain([&ASSETS]).any(|prefix| is_below(path, prefix))
    }

    fn index(&self) -> Response {
        let headers = [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, self.policy.as_str())];
        (headers, Html(self.index.clone())).into_response()
    }
}

/// Answers a request that no route matches: with a file of the dashboard, its index page, or 404. A program without a
/// dashboard shows `without_client` at `/`.
pub async fn fallback(
    client: Option<&Client>,
    without_client: fn() -> Response,
    request: Request,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match client {
        Some(client) if reads => client.respond(request).await,
        None if reads && request.uri().path() == "/" => without_client(),
        _ => not_found(),
    }
}

fn not_found() -> Response {
    Problem::not_found("no route has this path").into_response()
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

/// Scripts come from this origin only; inline scripts of the index page are allowed by their hash (CSP level 3, section
/// 2.3.1).
fn policy(index: &str, origin: &str) -> String {
    let mut scripts = String::from("'self'");
    for script in inline_scripts(index) {
        scripts.push_str(&format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script.as_bytes()))));
    }
    // `'self'` does not cover WebSockets in every browser.
    let sockets = origin.replacen("http", "ws", 1);
    format!(
        "default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; \
         font-src 'self' data:; connect-src 'self' {sockets}; worker-src 'self' blob:; object-src 'none'; \
         base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The text between `<script …>` and `</script>` of each tag without `src`.
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

#[cfg(test)]
mod tests {
    use super::inline_scripts;

    #[test]
    fn inline_scripts_are_hashed_and_external_ones_are_not() {
        let page = "<head><script type=\"module\" src=\"/a.js\"></script><script>let x = 1 > 0;</script>\
                    <script id=\"t\">two</script ></head>";
        assert_eq!(inline_scripts(page), ["let x = 1 > 0;", "two"]);
        assert!(inline_scripts("<script>never closed").is_empty());
    }
}
