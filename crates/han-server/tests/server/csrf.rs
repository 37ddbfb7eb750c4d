//! Protection against cross-site requests as a table: each combination of method, credential, body type, `Origin` and
//! `Sec-Fetch-Site`, with the status over real HTTP. docs/SECURITY.md quotes it.

use han_testkit::both_databases;
use serde_json::json;

use crate::support::TestServer;

const PATH: &str = "/graphql";
const EVIL: &str = "https://evil.example";

both_databases!(
    async fn csrf_headers_by_method_and_credential(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        let own = server.url.clone();
        let mut table = vec![format!(
            "{:<7}{:<11}{:<36}{:<12}{:<13}{}",
            "method", "credential", "content type", "origin", "fetch site", "answer"
        )];
        let types = ["application/json", "text/plain", "application/x-www-form-urlencoded", ""];
        for (method, credential) in [
            ("POST", "cookie"),
            ("POST", "bearer"),
            ("GET", "cookie"),
            ("GET", "bearer"),
            ("POST", "both"),
            ("POST", "nothing"),
        ] {
            let types = if method == "GET" || credential == "both" || credential == "nothing" {
                &types[..1]
            } else {
                &types[..]
            };
            for content_type in types {
                for origin in ["own", "evil", "null", "-"] {
                    for site in ["same-origin", "same-site", "cross-site", "none", "-"] {
                        if credential == "bearer"
                            && *content_type != "application/json"
                            && (origin, site) != ("-", "-")
                        {
                            continue;
                        }
                        let mut request = match method {
                            "GET" => server.get(&format!("{PATH}?query=%7B__typename%7D")),
                            _ => server.post(PATH).body(json!({"query": "{__typename}"}).to_string()),
                        };
                        if method == "POST" && !content_type.is_empty() {
                            request = request.header("content-type", *content_type);
                        }
                        match origin {
                            "own" => request = request.header("origin", &own),
                            "evil" => request = request.header("origin", EVIL),
                            "null" => request = request.header("origin", "null"),
                            _ => {}
                        }
                        if site != "-" {
                            request = request.header("sec-fetch-site", site);
                        }
                        if matches!(credential, "cookie" | "both") {
                            request = request.header("cookie", &cookie);
                        }
                        if matches!(credential, "bearer" | "both") {
                            request = request.bearer_auth(&ada.key);
                        }
                        let status = request.send().await.unwrap().status();
                        let content_type = if method == "GET" { "-" } else { content_type };
                        table.push(format!(
                            "{method:<7}{credential:<11}{content_type:<36}{origin:<12}{site:<13}{}",
                            status.as_u16()
                        ));
                    }
                }
            }
        }
        insta::assert_snapshot!("csrf", table.join("\n"));
        server.stop().await;
    }
);
