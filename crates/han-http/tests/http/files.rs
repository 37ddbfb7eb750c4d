//! The dashboard's files: which paths are pages is the program's to say.

use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use han_http::client::{Client, fallback};

fn without_client() -> Response {
    Html("no dashboard").into_response()
}

async fn ask(client: Option<&Client>, method: Method, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (parts, body) = fallback(client, without_client, request).await.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn write(dir: &Path, name: &str, text: &str) {
    let file = dir.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn only_the_root_shows_that_there_is_no_dashboard() {
    assert_eq!(ask(None, Method::GET, "/").await.2, "no dashboard");
    for (method, path) in [(Method::GET, "/sessions"), (Method::POST, "/"), (Method::GET, "/index.html")] {
        assert_eq!(ask(None, method, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn paths_of_the_program_are_never_pages() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", "<script>boot()</script>the dashboard");
    write(dir.path(), "assets/app-1a2b.js", "run()");
    let client = Client::load(dir.path(), ["http://localhost:1"], &["/local"]).unwrap();
    for page in ["/", "/sessions/1", "/api", "/api/x", "/localised", "/assets"] {
        let (status, headers, text) = ask(Some(&client), Method::GET, page).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(text.ends_with("the dashboard"), "{page}");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("'sha256-") && policy.contains("ws://localhost:1"), "{policy}");
    }
    for nothing in ["/local", "/local/x", "/assets/gone.js", "/gone.js", "/..%2f..%2fetc%2fpasswd"] {
        assert_eq!(ask(Some(&client), Method::GET, nothing).await.0, StatusCode::NOT_FOUND, "{nothing}");
    }
    let (_, headers, text) = ask(Some(&client), Method::GET, "/assets/app-1a2b.js").await;
    assert_eq!(text, "run()");
    assert!(headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
}
