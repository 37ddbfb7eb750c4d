//! Health, static files, request ids, load and shutdown.

use std::path::Path;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use han_db::queries::login_links;
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use reqwest::header;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{TestServer, answer, batch, problem};

both_databases!(
    async fn health_ignores_and_readiness_follows_the_database(db: TestDatabase) {
        let server =
            TestServer::start_with(&db, |config| config.limits.readiness_holds = Duration::ZERO).await;
        assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
        assert_eq!(server.get("/ready").send().await.unwrap().status(), 200);
        server.db.close().await;
        let away = server.get("/ready").send().await.unwrap();
        assert!(away.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(problem(away).await.0, 503);
        assert_eq!(server.get("/health").send().await.unwrap().status(), 200);
        server.stop().await;
    }
);

both_databases!(
    async fn health_shows_the_process_to_signed_in_callers_only(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        for (name, value) in [("cookie", cookie.clone()), ("authorization", format!("Bearer {}", ada.key))] {
            let request = server.get("/health").header(name, value).header("sec-fetch-site", "same-origin");
            let (status, found) = answer(request.send().await.unwrap()).await;
            assert_eq!((status.as_u16(), &found["status"]), (200, &serde_json::json!("ok")), "{name}");
            assert_eq!(found["pid"], std::process::id(), "{name}");
            assert!(found["uptime"].is_u64() && found["version"].is_string(), "{found}");
        }
        for (name, value) in [
            ("x-none", String::new()),
            ("cookie", cookie + "x"),
            ("authorization", "Bearer han_key_none".to_owned()),
            ("x-forwarded-for", "127.0.0.1".to_owned()),
        ] {
            let (status, found) =
                answer(server.get("/health").header(name, value).send().await.unwrap()).await;
            assert_eq!((status.as_u16(), found.as_object().unwrap().len()), (200, 3), "{name}: {found}");
            assert_eq!(found["mode"], "team");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_page_without_a_session_leads_to_the_sign_in_page(db: TestDatabase) {
        let client = tempfile::tempdir().unwrap();
        std::fs::write(client.path().join("index.html"), "the dashboard").unwrap();
        std::fs::write(client.path().join("icon.svg"), "<svg/>").unwrap();
        let server = TestServer::start_with(&db, |config| {
            config.http.client_dir = Some(client.path().to_owned());
        })
        .await;
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        let html = "text/html,application/xhtml+xml";
        let location = |response: &reqwest::Response| {
            response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned())
        };
        let expected = |wanted: &str| Some(format!("/auth/sign-in?return_to={wanted}"));
        for (path, wanted) in [
            ("/", "%2F"),
            ("/index.html", "%2Findex.html"),
            ("/sessions/a?x=1&y=%2F", "%2Fsessions%2Fa%3Fx%3D1%26y%3D%252F"),
            ("//evil.example/x", "%2F"),
            ("/%69ndex.html", "%2F%2569ndex.html"),
            ("//index.html", "%2F"),
            ("/index%2ehtml", "%2Findex%252ehtml"),
        ] {
            let response = server.get(path).header("accept", html).send().await.unwrap();
            assert_eq!((response.status().as_u16(), location(&response)), (303, expected(wanted)), "{path}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let ended = server.get(path).header("accept", html).header("cookie", format!("{cookie}x"));
            assert_eq!(location(&ended.send().await.unwrap()), expected(wanted), "{path}");
            let signed_in = server.get(path).header("accept", html).header("cookie", &cookie);
            assert_eq!(signed_in.send().await.unwrap().status(), 200, "{path}");
        }
        // Scripts and programs get what they ask for; files are no secret.
        for (path, accept) in [("/", "*/*"), ("/icon.svg", html), ("/sessions/a", "application/json")] {
            let response = server.get(path).header("accept", accept).send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
        }
        let query = server.post("/graphql").header("accept", html).body("{\"query\":\"{ __typename }\"}");
        assert_eq!(query.header("content-type", "application/json").send().await.unwrap().status(), 401);

        // A browser that is signed in by now goes where it was going.
        for (wanted, target) in
            [("/sessions/a?x=1", "/sessions/a?x=1"), ("//evil.example", "/"), ("/auth/sign-in", "/")]
        {
            let page = server.get("/auth/sign-in").query(&[("return_to", wanted)]).header("cookie", &cookie);
            let response = page.send().await.unwrap();
            assert_eq!((response.status().as_u16(), location(&response)), (303, Some(target.to_owned())));
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let ended = server.get("/auth/sign-in").header("cookie", format!("{cookie}x"));
            assert_eq!(ended.send().await.unwrap().status(), 200);
        }

        // The page keeps where the browser was going, for a sign-in link.
        for (wanted, target) in [("/sessions/a?x=1", "/sessions/a?x=1"), ("//evil.example", "/")] {
            let page = server.get("/auth/sign-in").query(&[("return_to", wanted)]).send().await.unwrap();
            assert_eq!(page.status(), 200);
            let set = page.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
            let kept = set.split(';').next().unwrap().to_owned();
            let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
            let origin = server.url.clone();
            let redeem = server
                .post_form("/auth/login-link", format!("token={}", link.expose()))
                .header("origin", origin)
                .header("cookie", kept);
            let response = redeem.send().await.unwrap();
            assert_eq!((response.status().as_u16(), location(&response)), (303, Some(target.to_owned())));
            let cookies = response.headers().get_all(header::SET_COOKIE).iter();
            let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap().to_owned()).collect();
            assert!(
                cookies[0].starts_with("han_session=") && cookies[1].starts_with("han_return_to=;"),
                "{cookies:?}"
            );
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_push_without_the_database_gets_503_with_retry_after(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        server.db.close().await;
        let response = server.push(&ada.key, &batch("s", 0, &[])).send().await.unwrap();
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        let refused = problem(response).await;
        assert_eq!((refused.0, refused.1.as_str()), (503, "unavailable"));
        server.stop().await;
    }
);

both_databases!(
    async fn shutdown_finishes_a_push_in_progress(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let body = batch("s", 0, &SyntheticSession::new(1).lines(20)).to_string();
        let mut wire = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!(
            "POST /api/sync/sessions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\nconnection: close\r\n\r\n",
            ada.key,
            body.len()
        );
        wire.write_all(head.as_bytes()).await.unwrap();
        let mut interim = [0u8; 25];
        wire.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n", "the server is reading the body");
        server.shutdown.cancel();
        wire.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        wire.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""stored":20"#), "{answer}");
        let url = server.url.clone();
        server.stop().await;
        assert!(
            TcpStream::connect(url.strip_prefix("http://").unwrap()).await.is_err(),
            "the port is closed"
        );
        let again = TestServer::start(&db).await;
        let pushed = again.push_lines(&ada.key, "s", 0, &SyntheticSession::new(1).lines(20)).await;
        assert_eq!(pushed["duplicates"], 20);
        again.stop().await;
    }
);

fn write(dir: &Path, name: &str, text: &str) {
    let file = dir.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn a_server_without_a_directory_serves_its_own_dashboard() {
    let database = TestDatabase::sqlite().await;
    let server = TestServer::start(&database).await;
    let page = server.http.get(format!("{}/sessions", server.url)).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("style-src 'self';"), "{policy}");
    assert!(page.text().await.unwrap().contains("<div id=\"root\">"));
    let nothing = server.http.get(format!("{}/gone.js", server.url)).send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn the_index_page_is_served_for_client_routes_only() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "index.html", "<script>boot()</script><p>the dashboard");
    write(dir.path(), "assets/app-1a2b.js", "run()");
    write(dir.path(), "favicon.svg", "<svg/>");
    write(dir.path().parent().unwrap(), "outside.txt", "outside the dashboard");
    let database = TestDatabase::sqlite().await;
    let client_dir = dir.path().to_path_buf();
    let server = TestServer::start_with(&database, |config| config.http.client_dir = Some(client_dir)).await;
    let get = async |path: &str| {
        let response = server.get(path).send().await.unwrap();
        let caching =
            response.headers().get(header::CACHE_CONTROL).map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), caching.unwrap_or_default(), response.text().await.unwrap())
    };
    for path in ["/", "/index.html", "/sessions/abc", "/sessions/abc?tab=1"] {
        let (status, caching, text) = get(path).await;
        assert_eq!((status, caching.as_str()), (200, "no-cache"), "{path}");
        assert!(text.contains("the dashboard"), "{path}");
    }
    let (status, caching, text) = get("/assets/app-1a2b.js").await;
    assert_eq!((status, text.as_str()), (200, "run()"));
    assert!(caching.contains("immutable"));
    assert_eq!(get("/favicon.svg").await.1, "no-cache");
    for path in [
        "/api",
        "/api/nothing",
        "/auth/nothing",
        "/graphql/nothing",
        "/assets/gone.js",
        "/gone.js",
        "/..%2foutside.txt",
    ] {
        let (status, _, text) = get(path).await;
        assert_eq!(status, 404, "{path}");
        assert!(!text.contains("the dashboard") && !text.contains("outside the dashboard"), "{path}");
    }
    assert_eq!(server.post("/sessions/abc").send().await.unwrap().status(), 404);
    let page = server.get("/").send().await.unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("'sha256-"), "{policy}");
    assert_eq!(page.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    server.stop().await;
}

#[tokio::test]
async fn every_response_has_a_request_id_and_security_headers() {
    let server = TestServer::start(&TestDatabase::sqlite().await).await;
    let given = server.get("/health").header("x-request-id", "from-the-proxy-1").send().await.unwrap();
    assert_eq!(given.headers()["x-request-id"], "from-the-proxy-1");
    let forged = server.get("/api/nothing").header("x-request-id", "two words").send().await.unwrap();
    assert_ne!(forged.headers()["x-request-id"], "two words");
    assert_eq!(forged.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(problem(forged).await.0, 404);
    let wrong = server.request(reqwest::Method::DELETE, "/graphql").send().await.unwrap();
    assert!(wrong.headers()[header::ALLOW].to_str().unwrap().contains("POST"));
    assert_eq!(problem(wrong).await.0, 405);
    assert_eq!(server.get("/graphiql").send().await.unwrap().status(), 404, "only in development");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_with_an_incomplete_request_is_closed() {
    let server = TestServer::start_with(&TestDatabase::sqlite().await, |config| {
        config.limits.read_timeout = Duration::from_millis(200);
    })
    .await;
    let mut wire = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    wire.write_all(b"GET /health HTTP/1.1\r\nx-slow: ").await.unwrap();
    let mut nothing = Vec::new();
    let closed = wire.read_to_end(&mut nothing).await;
    assert!(closed.is_err() || nothing.is_empty() || nothing.starts_with(b"HTTP/1.1 408"));
    server.stop().await;
}

both_databases!(
    async fn a_push_over_capacity_gets_retry_after_and_succeeds_later(db: TestDatabase) {
        // No batch waits to be stored: one at a time on PostgreSQL, two on SQLite.
        let server = TestServer::start_with(&db, |config| config.limits.stores_waiting = 0).await;
        let concurrent = if db.is_postgres() { 1 } else { 2 };
        let ada = server.person("ada").await;
        let line = SyntheticSession::new(1).lines(1);
        let push = |n: usize| {
            let sent = server.push(&ada.key, &batch(&format!("s{n}"), 0, &line)).send();
            async move { (n, sent.await.unwrap()) }
        };
        let held = db.block_writes().await;
        let mut pushes: FuturesUnordered<_> = (0..6).map(push).collect();
        let mut refused = Vec::new();
        while refused.len() < 6 - concurrent {
            let (n, response) = pushes.next().await.unwrap();
            let wait = response
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
            assert!(wait.is_some_and(|seconds| (1..=60).contains(&seconds)), "{wait:?}");
            let problem = problem(response).await;
            assert_eq!((problem.0, problem.1.as_str()), (503, "unavailable"));
            refused.push(n);
        }
        held.release().await;
        while let Some((_, response)) = pushes.next().await {
            assert_eq!(response.status(), 200);
        }
        for n in refused {
            let (_, response) = push(n).await;
            assert_eq!(response.status(), 200, "capacity is free again");
        }
        let all = "{ sessions(first: 10) { edges { node { id } } } }";
        let (_, body) = answer(server.graphql(&ada.key, all).send().await.unwrap()).await;
        assert_eq!(body["data"]["sessions"]["edges"].as_array().unwrap().len(), 6);
        server.stop().await;
    }
);

both_databases!(
    async fn a_higher_plan_displaces_a_waiting_push_of_a_lower_plan(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.limits.stores_waiting = 1;
            config.limits.store_patience = Duration::from_secs(3600);
            config.plans.billing_configured = true;
        })
        .await;
        let concurrent = if db.is_postgres() { 1 } else { 2 };
        let (free, pro) = (server.person("ada").await, server.person("bob").await);
        db.execute(&format!("UPDATE teams SET plan_tier = 'pro' WHERE id = '{}'", pro.team_id)).await;
        let line = SyntheticSession::new(1).lines(1);
        let held = db.block_writes().await;
        // `concurrent` are being stored, one waits, one is refused: after the refusal all places are taken.
        let mut lower: FuturesUnordered<_> = (0..concurrent + 2)
            .map(|n| server.push(&free.key, &batch(&format!("s{n}"), 0, &line)).send())
            .collect();
        assert_eq!(lower.next().await.unwrap().unwrap().status(), 503);
        let higher = server.push(&pro.key, &batch("first", 0, &line)).send();
        let higher = AbortOnDropHandle::new(tokio::spawn(higher));
        let displaced = lower.next().await.unwrap().unwrap();
        assert!(displaced.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(displaced.status(), 503);
        held.release().await;
        assert_eq!(higher.await.unwrap().unwrap().status(), 200);
        while let Some(response) = lower.next().await {
            assert_eq!(response.unwrap().status(), 200);
        }
        server.stop().await;
    }
);
