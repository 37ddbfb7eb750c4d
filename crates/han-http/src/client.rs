//! The files of a built dashboard, served from the program's own origin: static files with cache headers, and the index
//! page, under a Content-Security-Policy, for every path that the dashboard's router understands. The files are those that
//! are embedded in the program, or those of a directory.

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
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use tower_http::services::ServeDir;

use crate::embedded;
use crate::problem::Problem;

/// Vite puts files with a hash of the content in their names here, unless it is configured otherwise.
const ASSETS: &str = "/assets";

/// The length of a content hash in a file's name, and the fewest parts that it falls into (see [`parts`]).
const HASH_LENGTH: usize = 8;
const HASH_PARTS: usize = 5;

/// The path of the index page.
const INDEX: &str = "/index.html";

/// Marks, among a response's extensions, that it is the index page.
#[derive(Clone, Copy, Debug)]
pub struct IndexPage;

/// What the pages of the embedded dashboard may load: its own files, and images that a transcript contains. It has no
/// inline style, and shows no image of another site, which would learn who reads what.
const OWN_CONTENT: &str = "style-src 'self'; img-src 'self' data: blob:; font-src 'self'; worker-src 'none'";

/// What pages of other builds may load. Bundlers and component libraries often write inline styles.
const OTHER_CONTENT: &str = "style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; font-src 'self' data:; \
     worker-src 'self' blob:";

/// Where the files are.
#[derive(Clone, Debug)]
enum Files {
    Embedded,
    In(PathBuf),
}

/// A dashboard to serve.
#[derive(Clone, Debug)]
pub struct Client {
    files: Files,
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
        let policy = policy(&index, OTHER_CONTENT, origins);
        Ok(Self { files: Files::In(dir.to_path_buf()), index, policy, api })
    }

    /// The dashboard that is embedded in the program. Its scripts may connect to `origins`, as in [`Client::load`].
    ///
    /// # Errors
    /// If the program was built without the dashboard's index page.
    pub fn embedded<'o>(
        origins: impl IntoIterator<Item = &'o str>,
        api: &'static [&'static str],
    ) -> io::Result<Self> {
        let index = embedded::text("index.html")?;
        let policy = policy(&index, OWN_CONTENT, origins);
        Ok(Self { files: Files::Embedded, index, policy, api })
    }

    async fn respond(&self, request: Request) -> Response {
        // One spelling of each path, so that none of them leads around the rules for it.
        let Some(path) = plain(request.uri().path()) else { return not_found() };
        if self.api.contains(&path.as_str()) {
            return not_found();
        }
        if path == "/" || path == INDEX {
            return self.index();
        }
        let wants_page = request
            .headers()
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
        let mut response = match &self.files {
            Files::Embedded => embedded::respond(&path, request.headers()),
            Files::In(dir) => read(dir, &path, request).await,
        };
        if response.status() == StatusCode::NOT_FOUND {
            let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
            let is_page = !self.has_no_pages(&path) && (wants_page || !is_file);
            return if is_page { self.index() } else { not_found() };
        }
        let is_there = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
        let caching = match is_there {
            false => "no-store",
            true if is_below(&path, ASSETS) || has_content_hash(&path) => {
                "public, max-age=31536000, immutable"
            }
            true => "no-cache",
        };
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

/// Answers a request that no route matches: with a file of the dashboard, its index page, or 404.
pub async fn fallback(client: &Client, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => client.respond(request).await,
        _ => not_found(),
    }
}

/// The file of a directory that the request names, or 404.
async fn read(dir: &Path, path: &str, request: Request) -> Response {
    match is_within(dir, path).await {
        Ok(true) => {}
        Ok(false) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) if is_missing(&error) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, path, "a file of the dashboard cannot be read");
            return Problem::internal().into_response();
        }
    }
    let mut files = ServeDir::new(dir).append_index_html_on_directories(false);
    match files.try_call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) if is_missing(&error) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, path, "a file of the dashboard cannot be read");
            Problem::internal().into_response()
        }
    }
}

/// Whether a path leads to a file inside of `dir`, through whatever symbolic links, and names no hidden file or directory:
/// these hold settings and histories that were never meant to be served. `.well-known` is not hidden (RFC 8615).
async fn is_within(dir: &Path, path: &str) -> io::Result<bool> {
    let is_hidden = |segment: &str| segment.starts_with('.') && segment != ".well-known";
    if path.split('/').any(is_hidden) {
        return Ok(false);
    }
    let dir = tokio::fs::canonicalize(dir).await?;
    Ok(tokio::fs::canonicalize(dir.join(path.trim_start_matches('/'))).await?.starts_with(dir))
}

fn not_found() -> Response {
    Problem::not_found("no route has this path").header(CACHE_CONTROL, "no-store").into_response()
}

/// Whether an error says that there is no such file for us, or that no file can have this name: one that is too long, for
/// instance.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}

/// The path that a file is looked up by: decoded, and without `.` and empty segments. `None` for one that leads upwards or
/// is no text.
fn plain(path: &str) -> Option<String> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let segments = decoded.split('/').filter(|segment| !matches!(*segment, "" | "."));
    let mut plain = String::with_capacity(decoded.len());
    for segment in segments {
        if segment == ".." {
            return None;
        }
        plain.push('/');
        plain.push_str(segment);
    }
    Some(if plain.is_empty() { "/".to_owned() } else { plain })
}

/// Whether a file is named `<name>-<hash>.<extension>` with the hash of a bundler: eight characters (base64url), among
/// them small and capital letters, that read like nothing: they fall into at least five words and numbers. `Version2`,
/// `Bold700i` and `Win11x64` have two to four, `1280x720` has no capital letter. More than half of all hashes pass; files
/// with the others are revalidated, which is only slower.
fn has_content_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".map").unwrap_or(name);
    let hash = name.rsplit_once('.').and_then(|(stem, extension)| {
        let (rest, hash) = stem.split_at_checked(stem.len().checked_sub(HASH_LENGTH)?)?;
        let named = rest.len() > 1 && rest.ends_with('-') && !extension.is_empty();
        named.then_some(hash.as_bytes())
    });
    hash.is_some_and(|hash| {
        hash.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && hash.iter().any(u8::is_ascii_lowercase)
            && hash.iter().any(u8::is_ascii_uppercase)
            && parts(hash) >= HASH_PARTS
    })
}

/// The number of words (`word`, `Word`), abbreviations (`ABC`), numbers and separators in a row that make up a text.
fn parts(text: &[u8]) -> usize {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 'a',
        b'A'..=b'Z' => 'A',
        b'0'..=b'9' => '0',
        _ => '-',
    };
    let kinds: Vec<char> = text.iter().copied().map(kind).collect();
    let mut count = usize::from(!kinds.is_empty());
    for (at, pair) in kinds.windows(2).enumerate() {
        let begins = match pair {
            // A capital begins a word, and ends an abbreviation only if that has several letters: `ABCdef`.
            ['A', 'a'] => at > 0 && kinds.get(at - 1) == Some(&'A'),
            [one, other] => one != other,
            _ => false,
        };
        count += usize::from(begins);
    }
    count
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

/// Scripts come from this origin only; inline scripts of the index page are allowed by their hash (CSP level 3, section
/// 2.3.1). `content` has the directives for everything else that a page shows.
fn policy<'o>(index: &str, content: &str, origins: impl IntoIterator<Item = &'o str>) -> String {
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
        "default-src 'self'; script-src {scripts}; {content}; connect-src {connect}; object-src 'none'; base-uri 'self'; \
         form-action 'self'; frame-ancestors 'none'"
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
    use super::{has_content_hash, inline_scripts, plain, policy};

    #[test]
    fn files_with_a_content_hash_are_recognized_by_their_names() {
        for (path, expected) in [
            ("/app-Bx3_k-9Z.js", true),
            ("/static/media/logo-D4e5F6g7.svg", true),
            ("/index.es-D4e5F6g7.js", true),
            ("/app-Bx3_k-9Z.js.map", true),
            ("/app--x3_K-9Z.css", true),
            ("/app-kQzBfTRa.css", true),
            ("/app.js", false),
            ("/release-document.txt", false),
            ("/release-Document.txt", false),
            ("/the-LICENSES.txt", false),
            ("/photo-20260101.png", false),
            ("/og-1200x630.png", false),
            ("/screenshot-1280x720.png", false),
            ("/schema-v1alpha1.json", false),
            ("/config-Version2.json", false),
            ("/font-Bold700i.woff2", false),
            ("/setup-Win11x64.exe", false),
            ("/chart-BarLine2.svg", false),
            ("/voice-Mp3ToWav.js", false),
            ("/report-Q3FY2026.pdf", false),
            ("/photo-0e4b9f2a-8f3a2b1c.png", false),
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
    fn a_path_has_one_spelling() {
        for (path, expected) in [
            ("/", Some("/")),
            ("//", Some("/")),
            ("/./", Some("/")),
            ("/%69ndex.html", Some("/index.html")),
            ("//index.html", Some("/index.html")),
            ("/./index.html", Some("/index.html")),
            ("/%2e/index%2ehtml/", Some("/index.html")),
            ("/%2Findex.html", Some("/index.html")),
            ("/a/../index.html", None),
            ("/..%2f..%2fetc%2fpasswd", None),
            ("/a%ff", None),
            ("/a%2", Some("/a%2")),
            ("/sessions/%C3%A4", Some("/sessions/ä")),
        ] {
            assert_eq!(plain(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_policy_lets_the_page_connect_to_the_given_origins() {
        let policy = policy("", "style-src 'self'", ["https://han.example", "https://other.example:1"]);
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
