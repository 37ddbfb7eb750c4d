//! The dashboard's files: which paths are pages is the program's to say.

use std::io::Read as _;
use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use flate2::read::GzDecoder;
use han_http::client::{Client, fallback};

async fn ask(client: &Client, method: Method, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (parts, body) = fallback(client, request).await.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn write(dir: &Path, name: &str, text: &str) {
    let file = dir.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn paths_of_the_program_are_never_pages() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", "<script>boot()</script>the dashboard");
    write(dir.path(), "assets/app-1a2b.js", "run()");
    let client = Client::load(dir.path(), ["http://localhost:1"], &["/local"]).unwrap();
    for page in ["/", "/sessions/1", "/api", "/api/x", "/localised", "/assets"] {
        let (status, headers, text) = ask(&client, Method::GET, page).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(text.ends_with("the dashboard"), "{page}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("'sha256-") && policy.contains("ws://localhost:1"), "{policy}");
    }
    for nothing in ["/local", "/local/x", "/assets/gone.js", "/gone.js", "/..%2f..%2fetc%2fpasswd"] {
        assert_eq!(ask(&client, Method::GET, nothing).await.0, StatusCode::NOT_FOUND, "{nothing}");
    }
    let (_, headers, text) = ask(&client, Method::GET, "/assets/app-1a2b.js").await;
    assert_eq!(text, "run()");
    assert!(headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
}

fn caching(headers: &HeaderMap) -> &str {
    headers.get(header::CACHE_CONTROL).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn only_what_is_there_may_be_cached() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", "the dashboard");
    write(dir.path(), "assets/app.js", "run()");
    write(dir.path(), "robots.txt", "none");
    #[cfg(unix)]
    std::os::unix::fs::symlink("loop.js", dir.path().join("assets/loop.js")).unwrap();
    let client = Client::load(dir.path(), [], &["/local"]).unwrap();
    let immutable = "public, max-age=31536000, immutable";
    let long = "x".repeat(300);
    for (path, status, cached) in [
        ("/assets/app.js", StatusCode::OK, immutable),
        ("/assets//app%2ejs", StatusCode::OK, immutable),
        ("/robots.txt", StatusCode::OK, "no-cache"),
        ("/assets/gone.js", StatusCode::NOT_FOUND, "no-store"),
        ("/assets/a%00.js", StatusCode::NOT_FOUND, "no-store"),
        #[cfg(unix)]
        ("/assets/loop.js", StatusCode::INTERNAL_SERVER_ERROR, "no-store"),
        (&format!("/assets/{long}.js"), StatusCode::NOT_FOUND, "no-store"),
        (&format!("/{long}.js"), StatusCode::NOT_FOUND, "no-store"),
        (&format!("/{long}"), StatusCode::OK, "no-cache"),
        (&format!("/assets{}.js", "/longer".repeat(700)), StatusCode::NOT_FOUND, "no-store"),
        (&"/longer".repeat(700), StatusCode::OK, "no-cache"),
    ] {
        let (found, headers, _) = ask(&client, Method::GET, path).await;
        let start = path.get(..20).unwrap_or(path);
        assert_eq!((found, caching(&headers)), (status, cached), "{start}");
    }
    for (name, value, status, cached) in [
        ("range", "bytes=1-2", StatusCode::PARTIAL_CONTENT, immutable),
        ("range", "bytes=100-200", StatusCode::RANGE_NOT_SATISFIABLE, "no-store"),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT", StatusCode::NOT_MODIFIED, immutable),
    ] {
        let request =
            Request::builder().uri("/assets/app.js").header(name, value).body(Body::empty()).unwrap();
        let response = fallback(&client, request).await;
        assert_eq!((response.status(), caching(response.headers())), (status, cached), "{name}: {value}");
    }
}

#[tokio::test]
async fn every_spelling_of_the_index_page_has_its_policy() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", "the dashboard");
    let client = Client::load(dir.path(), [], &["/local"]).unwrap();
    for path in [
        "//",
        "/./",
        "/%69ndex.html",
        "//index.html",
        "/./index.html",
        "/%2e/index.html",
        "/index%2ehtml",
        "/index.html/",
        "/%2Findex.html",
    ] {
        let (status, headers, text) = ask(&client, Method::GET, path).await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "the dashboard"), "{path}");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
    }
    for path in ["/x/../index.html", "/%2e%2e/index.html", "/%6cocal", "//local/x", "/index.html%ff"] {
        let (status, _, text) = ask(&client, Method::GET, path).await;
        assert!(status == StatusCode::NOT_FOUND && !text.contains("the dashboard"), "{path}: {status}");
    }
}

/// What the embedded dashboard answers to a request with one header.
async fn ask_embedded(path: &str, name: &str, value: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
    let client = Client::embedded(["http://localhost:1"], &["/local"]).unwrap();
    let request = Request::builder().uri(path).header(name, value).body(Body::empty()).unwrap();
    let (parts, body) = fallback(&client, request).await.into_parts();
    (parts.status, parts.headers, axum::body::to_bytes(body, 1 << 24).await.unwrap().to_vec())
}

#[tokio::test]
async fn the_embedded_dashboard_has_a_strict_policy() {
    for path in ["/", "/sessions/1", "/index.html"] {
        let (status, headers, body) = ask_embedded(path, "accept", "text/html").await;
        assert_eq!((status, caching(&headers)), (StatusCode::OK, "no-cache"), "{path}");
        let page = String::from_utf8(body).unwrap();
        assert!(page.contains("<div id=\"root\">") && !page.contains("style="), "{page}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("connect-src 'self' ws://localhost:1;"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("https:"), "{policy}");
    }
    for nothing in ["/local/x", "/assets/gone.js", "/gone.js", "/index.html.gz", "/assets"] {
        let (status, _, body) = ask_embedded(nothing, "accept", "*/*").await;
        let is_page = String::from_utf8_lossy(&body).contains("<div id=\"root\">");
        assert!(status == StatusCode::NOT_FOUND || (nothing == "/assets" && is_page), "{nothing}: {status}");
    }
}

#[tokio::test]
async fn embedded_files_are_sent_as_the_client_accepts_them() {
    let (_, _, page) = ask_embedded("/", "accept", "text/html").await;
    let page = String::from_utf8(page).unwrap();
    let script = page.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")).unwrap();
    let mut plain = Vec::new();
    for (accepted, compressed) in [
        ("gzip, deflate, br", true),
        ("br;q=1.0, GZIP;q=0.8", true),
        ("*", true),
        ("gzip;q=0, br", false),
        ("br", false),
    ] {
        let (status, headers, body) = ask_embedded(script, "accept-encoding", accepted).await;
        assert_eq!(status, StatusCode::OK);
        assert!(caching(&headers).contains("immutable") && headers[header::VARY] == "accept-encoding");
        assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(headers.contains_key(header::CONTENT_ENCODING), compressed, "{accepted}");
        let content = if compressed {
            let mut content = Vec::new();
            GzDecoder::new(body.as_slice()).read_to_end(&mut content).unwrap();
            content
        } else {
            body
        };
        assert!(plain.is_empty() || plain == content, "{accepted}");
        plain = content;
    }
    assert!(plain.len() > 100_000);
}

#[tokio::test]
async fn an_embedded_file_that_the_client_has_is_not_sent_again() {
    let (_, headers, _) = ask_embedded("/icon.svg", "accept", "*/*").await;
    assert_eq!(
        (caching(&headers), &headers[header::CONTENT_TYPE]),
        ("no-cache", &"image/svg+xml".parse().unwrap())
    );
    let tag = headers[header::ETAG].to_str().unwrap();
    for (known, status) in [
        (tag.to_owned(), StatusCode::NOT_MODIFIED),
        (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
    ] {
        let (found, headers, body) = ask_embedded("/icon.svg", "if-none-match", &known).await;
        assert_eq!((found, body.is_empty()), (status, status == StatusCode::NOT_MODIFIED), "{known}");
        assert_eq!(headers[header::ETAG], tag);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn hidden_files_and_links_out_of_the_directory_are_not_served() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.txt", "secret");
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", "the dashboard");
    write(dir.path(), "app.js", "run()");
    write(dir.path(), ".env", "secret");
    write(dir.path(), ".git/config.txt", "secret");
    write(dir.path(), "assets/.map.js", "secret");
    write(dir.path(), ".well-known/change-password.txt", "public");
    std::os::unix::fs::symlink(outside.path().join("secret.txt"), dir.path().join("linked.txt")).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("assets/linked")).unwrap();
    std::os::unix::fs::symlink("app.js", dir.path().join("own.js")).unwrap();
    let client = Client::load(dir.path(), [], &["/local"]).unwrap();
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config.txt",
        "/assets/.map.js",
        "/linked.txt",
        "/assets/linked/secret.txt",
    ] {
        let (status, _, text) = ask(&client, Method::GET, path).await;
        assert!(status == StatusCode::NOT_FOUND && !text.contains("secret"), "{path}: {status} {text}");
    }
    for (path, content) in
        [("/app.js", "run()"), ("/own.js", "run()"), ("/.well-known/change-password.txt", "public")]
    {
        assert_eq!(ask(&client, Method::GET, path).await.2, content, "{path}");
    }
}
