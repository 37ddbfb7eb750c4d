//! The files of a built dashboard, served from the program's own origin: static files with cache headers, and the index
//! page, under a Content-Security-Policy, for every path that the dashboard's router understands.

use std::io;
use std::path::{Path, PathBuf};

use axum::Extension;
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

/// Vite puts files with a hash of the content in their names here, unless it is configured otherwise.
const ASSETS: &str = "/assets";

/// The length of a content hash in a file's name.
const HASH_LENGTH: usize = 8;

/// Marks, among a response's extensions, that it is the index page.
#[derive(Clone, Copy, Debug)]
pub struct IndexPage;

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
    /// Reads the index page in `dir`. Its scripts may connect to `origins`, as an `Origin` header spells them: that of the
    /// program, and others. `api` lists the path prefixes of the program's own routes, such as `/api`: the dashboard has
    /// no pages there.
    ///
    /// # Errors
    /// If the index page cannot be read.
    pub fn load<'o>(
        dir: &Path,
        origins: impl IntoIterator<Item = &'o str>,
        api: &'static [&'static str],
    ) -> io::Result<Self> {
        let index = std::fs::read_to_string(dir.join("index.html"))?;
        let policy = policy(&index, origins);
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
        let is_immutable = is_below(&path, ASSETS) || has_content_hash(&path);
        let caching = if is_immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        response
    }

    /// Whether a path that names no file is an error rather than a page of the dashboard.
    fn has_no_pages(&self, path: &str) -> bool {
        self.api.iter().chain([&ASSETS]).any(|prefix| is_below(path, prefix))
    }

    fn index(&self) -> Response {
        let headers = [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, self.policy.as_str())];
        (headers, Extension(IndexPage), Html(self.index.clone())).into_response()
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

/// Whether a file is named `<name>-<hash>.<extension>` with the eight characters (base64url) of a bundler's hash. A word or
/// a date of that length is no hash; a hash that looks like one (1 in 600) is revalidated, which is only slower.
fn has_content_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let hash = name.split_once('.').and_then(|(stem, extension)| {
        let (rest, hash) = stem.split_at_checked(stem.len().checked_sub(HASH_LENGTH)?)?;
        let named = rest.len() > 1 && rest.ends_with('-') && !extension.is_empty();
        named.then_some(hash)
    });
    hash.is_some_and(|hash| {
        let all = |is: fn(&u8) -> bool| hash.as_bytes().iter().all(is);
        let is_word = hash.as_bytes().iter().skip(1).all(u8::is_ascii_lowercase)
            && hash.starts_with(|first: char| first.is_ascii_alphabetic());
        all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !is_word
            && !all(u8::is_ascii_uppercase)
            && !all(u8::is_ascii_digit)
    })
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

/// Scripts come from this origin only; inline scripts of the index page are allowed by their hash (CSP level 3, section
/// 2.3.1).
fn policy<'o>(index: &str, origins: impl IntoIterator<Item = &'o str>) -> String {
    let mut scripts = String::from("'self'");
    for script in inline_scripts(index) {
        scripts.push_str(&format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script.as_bytes()))));
    }
    let mut connect = String::from("'self'");
    for (n, origin) in origins.into_iter().enumerate() {
        if n > 0 {
            connect.push_str(&format!(" {origin}"));
        }
        // An http origin, `'self'` included, does not cover WebSockets in every browser.
        connect.push_str(&format!(" {}", origin.replacen("http", "ws", 1)));
    }
    format!(
        "default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; \
         font-src 'self' data:; connect-src {connect}; worker-src 'self' blob:; object-src 'none'; \
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
    use super::{has_content_hash, inline_scripts, policy};

    #[test]
    fn files_with_a_content_hash_are_recognized_by_their_names() {
        for (path, expected) in [
            ("/app-Bx3_k-9Z.js", true),
            ("/static/media/logo-D4e5F6g7.svg", true),
            ("/app-Bx3_k-9Z.js.map", true),
            ("/app--x3_k-9Z.css", true),
            ("/app.js", false),
            ("/release-document.txt", false),
            ("/release-Document.txt", false),
            ("/the-LICENSES.txt", false),
            ("/photo-20260101.png", false),
            ("/app-1a2b.js", false),
            ("/app-Bx3_k-9Z", false),
            ("/-Bx3_k9Zq.js", false),
            ("/Bx3_k9Zq.js", false),
            ("/app-Bx3_k-9Z.js/other.js", false),
            ("/ü-ä3456789.js", false),
        ] {
            assert_eq!(has_content_hash(path), expected, "{path}");
        }
    }

    #[test]
    fn the_policy_lets_the_page_connect_to_the_given_origins() {
        let policy = policy("", ["https://han.example", "https://other.example:1"]);
        let connect = "connect-src 'self' wss://han.example https://other.example:1 wss://other.example:1;";
        assert!(policy.contains(connect), "{policy}");
    }

    #[test]
    fn inline_scripts_are_hashed_and_external_ones_are_not() {
        let page = "<head><script type=\"module\" src=\"/a.js\"></script><script>let x = 1 > 0;</script>\
                    <script id=\"t\">two</script ></head>";
        assert_eq!(inline_scripts(page), ["let x = 1 > 0;", "two"]);
        assert!(inline_scripts("<script>never closed").is_empty());
    }
}
