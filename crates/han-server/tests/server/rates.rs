//! Rate limits, the address that requests count for, the cost of guessed credentials, and CORS.

use han_crypto::ApiKeyToken;
use han_server::config::Config;
use han_testkit::{TestDatabase, both_databases};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::json;
use sqlx::{Connection as _, Row as _};

use crate::support::{TestServer, answer, batch, problem};

async fn start(db: &TestDatabase, change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(db, |config| {
        config.http.rate_factor = Some(1);
        change(config);
    })
    .await
}

/// The `RateLimit-Policy` and `RateLimit` headers.
fn rate_headers(response: &Response) -> (String, String) {
    let header = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    (header("ratelimit-policy"), header("ratelimit"))
}

both_databases!(
    async fn rate_limits_are_reported_and_enforced_per_class(db: TestDatabase) {
        let server = start(&db, |_| {}).await;
        let ada = server.person("ada").await;
        let ask = || server.graphql(&ada.key, "{__typename}").send();
        let first = rate_headers(&ask().await.unwrap());
        assert_eq!(first.0, r#""address";q=3000;w=60, "person";q=1200;w=60"#);
        assert_eq!(first.1, r#""address";r=2999;t=1, "person";r=1199;t=1"#);
        let probe = server.get("/health").send().await.unwrap();
        assert_eq!(rate_headers(&probe), (String::new(), String::new()), "health checks are not limited");

        let page = || server.get("/auth/login-link?token=x").header(header::ACCEPT, "application/json");
        for _ in 0..30 {
            assert_eq!(page().send().await.unwrap().status(), StatusCode::BAD_REQUEST);
        }
        let refused = page().send().await.unwrap();
        assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
        assert_eq!(rate_headers(&refused).1, r#""address";r=0;t=2"#);
        let (status, code, detail) = problem(refused).await;
        assert_eq!((status, code.as_str()), (429, "rate_limited"));
        assert!(detail.contains("2 s"), "{detail}");
        let shown = server.get("/auth/login-link?token=x").send().await.unwrap();
        assert_eq!(
            (shown.status().as_u16(), shown.headers()[header::CONTENT_TYPE].to_str().unwrap()),
            (429, "text/html; charset=utf-8")
        );
        assert_eq!(ask().await.unwrap().status(), StatusCode::OK, "a route of another class");
        server.clock.advance_seconds(2);
        assert_eq!(page().send().await.unwrap().status(), StatusCode::BAD_REQUEST);
        assert_eq!(page().send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
        server.stop().await;
    }
);

both_databases!(
    async fn requests_of_a_user_count_across_credentials_and_addresses(db: TestDatabase) {
        let server = start(&db, |config| config.http.trusted_proxies = 1).await;
        let ada = server.person("ada").await;
        let (_, second) = server.key(&ada.user_id, &ada.team_id, "read sync:write", None).await;
        let push = |n: usize, key: &str| {
            let address = format!("192.0.2.{}", n % 250);
            server.push(key, &batch("s", 0, &[])).header("x-forwarded-for", address).send()
        };
        for n in 0..1200 {
            let key = if n % 2 == 0 { &ada.key } else { &second };
            assert_eq!(push(n, key).await.unwrap().status(), StatusCode::OK);
        }
        // The push is read to its end, so that its client sees the response.
        let refused = push(7, &second).await.unwrap();
        assert_eq!(problem(refused).await.1, "rate_limited");
        let eve = server.person("eve").await;
        assert_eq!(push(7, &eve.key).await.unwrap().status(), StatusCode::OK);
        server.stop().await;
    }
);

both_databases!(
    async fn forged_forwarded_addresses_are_ignored(db: TestDatabase) {
        let status = async |server: &TestServer, forwarded: &str| {
            let request = server.get("/auth/login-link").header("x-forwarded-for", forwarded);
            request.send().await.unwrap().status().as_u16()
        };
        let server = start(&db, |_| {}).await;
        for n in 0..30 {
            assert_eq!(status(&server, &format!("192.0.2.{n}")).await, 400);
        }
        assert_eq!(status(&server, "192.0.2.99").await, 429, "no proxy is trusted");
        server.stop().await;
        let server = start(&db, |config| config.http.trusted_proxies = 1).await;
        for n in 0..30 {
            assert_eq!(status(&server, &format!("6.6.6.{n}, 192.0.2.1")).await, 400);
        }
        assert_eq!(status(&server, "6.6.6.99, 192.0.2.1").await, 429, "the entry of the proxy counts");
        assert_eq!(status(&server, "192.0.2.2").await, 400, "another client");
        assert_eq!(status(&server, "2001:db8::1").await, 400);
        server.stop().await;
    }
);

/// How often `api_keys` was read, and how many rows were written in total, by PostgreSQL's statistics. They are complete
/// once the connections that did the work are closed. The leases of jobs do not count: they are written by time, however
/// many requests there are.
async fn work_done(database: &TestDatabase) -> (i64, i64) {
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    loop {
        // A connection reports its statistics when it ends: wait for the last one.
        let others = "SELECT count(*) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let others: i64 = sqlx::query(others).fetch_one(&mut conn).await.unwrap().get(0);
        if others == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let sql = "SELECT COALESCE(sum(CASE WHEN relname = 'api_keys' THEN seq_scan + COALESCE(idx_scan, 0) END), 0)::bigint, \
               COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del) FILTER (WHERE relname <> 'jobs'), 0)::bigint \
               FROM pg_stat_user_tables";
    let row = sqlx::query(sql).fetch_one(&mut conn).await.unwrap();
    (row.get(0), row.get(1))
}

/// Every row of the tables that store credentials.
async fn stored(database: &TestDatabase) -> Vec<String> {
    let mut conn = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
    let sql = "SELECT json_array(id, key_hash, last_used_at, revoked_at) FROM api_keys \
               UNION ALL SELECT json_array(id, username) FROM users UNION ALL SELECT json_array(seq, action) FROM changes \
               UNION ALL SELECT json_array(id, last_seen_at) FROM web_sessions";
    let rows = sqlx::query(sql).fetch_all(&mut conn).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

both_databases!(
    async fn invalid_keys_cost_few_reads_and_no_writes(db: TestDatabase) {
        const WRONG: usize = 10_000;
        let server = start(&db, |_| {}).await;
        let ada = server.person("ada").await;
        assert_eq!(server.graphql(&ada.key, "{__typename}").send().await.unwrap().status(), StatusCode::OK);
        server.stop().await;
        let before = if db.is_postgres() { work_done(&db).await } else { (0, 0) };
        let rows = if db.is_postgres() { Vec::new() } else { stored(&db).await };

        let server = start(&db, |_| {}).await;
        let key_of_ada = ada.key.as_str();
        let ask =
            async |key: &str| server.graphql(key, "{__typename}").send().await.unwrap().status().as_u16();
        assert_eq!(ask(key_of_ada).await, 200);
        let mut counts = std::collections::BTreeMap::new();
        for n in 0..WRONG {
            // Well-formed keys with valid checksums: only a query can refuse them.
            let key = ApiKeyToken::mint(server.db.entropy());
            *counts.entry(ask(key.expose()).await).or_insert(0) += 1;
            // Before the address has used the quota of its class.
            if n == 1000 {
                assert_eq!(
                    ask(key_of_ada).await,
                    200,
                    "a credential that was valid before is still accepted"
                );
            }
        }
        assert_eq!(counts[&401], 30, "{counts:?}");
        assert_eq!(counts[&429], WRONG - 30);
        let stranger = server.person("eve").await;
        server.clock.advance_seconds(1);
        assert_eq!(ask(key_of_ada).await, 200);
        assert_eq!(ask(&stranger.key).await, 429, "an unknown credential is refused");
        server.clock.advance_seconds(60);
        assert_eq!(ask(&stranger.key).await, 200);
        server.stop().await;
        if db.is_postgres() {
            let (reads, writes) = work_done(&db).await;
            // Queries for 30 invalid keys and a few valid ones; writes for last uses, and a new user with a team and a key, which
            // are published, and two entries of the audit log.
            assert!(reads - before.0 <= 50, "{} reads", reads - before.0);
            assert!(writes - before.1 <= 24, "{} writes", writes - before.1);
        } else {
            let new = stored(&db).await.into_iter().filter(|row| !rows.contains(row));
            // The new member and the new key are published.
            let (published, new): (Vec<String>, Vec<String>) = new.partition(|row| row.contains("insert"));
            assert_eq!(published.len(), 2, "{published:?}");
            assert!(
                new.iter().all(|row| row.contains("eve") || row.contains(stranger.key_id.as_str())),
                "{new:?}"
            );
        }
    }
);

both_databases!(
    async fn cors_allows_configured_origins_only(db: TestDatabase) {
        let listed = "https://dashboard.example";
        let server =
            TestServer::start_with(&db, |config| config.http.cors_origins = vec![listed.to_owned()]).await;
        let plain = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let preflight = |server: &TestServer, origin: &str| -> RequestBuilder {
            let request = server.request(Method::OPTIONS, "/graphql").header("origin", origin);
            request
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,content-type")
        };
        let allowed = preflight(&server, listed).send().await.unwrap();
        let header = |response: &Response, name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_ascii_lowercase())
        };
        assert_eq!(header(&allowed, "access-control-allow-origin").as_deref(), Some(listed));
        assert_eq!(
            header(&allowed, "access-control-allow-headers").as_deref(),
            Some("authorization,content-type,content-encoding")
        );
        assert_eq!(
            header(&allowed, "access-control-allow-credentials"),
            None,
            "cookies are for the server's own origin"
        );
        for (server, origin) in [
            (&server, "https://evil.example"),
            (&server, "https://dashboard.example.evil.example"),
            (&server, "http://dashboard.example"),
            (&server, "null"),
            (&plain, listed),
        ] {
            let refused = preflight(server, origin).send().await.unwrap();
            assert_eq!(header(&refused, "access-control-allow-origin"), None, "{origin}");
        }
        let read = server.graphql(&ada.key, "{__typename}").header("origin", listed).send().await.unwrap();
        assert_eq!(header(&read, "access-control-allow-origin").as_deref(), Some(listed));
        assert!(header(&read, "access-control-expose-headers").unwrap().contains("retry-after"));
        assert_eq!(answer(read).await.1["data"], json!({"__typename": "Query"}));
        // A cookie is not accepted from a page of that origin.
        let cookie = server.cookie(&ada.user_id).await;
        let request = server.post("/graphql").header("cookie", cookie).header("origin", listed);
        let request = request.header("sec-fetch-site", "cross-site").json(&json!({"query": "{__typename}"}));
        assert_eq!(problem(request.send().await.unwrap()).await.1, "cross_site");
        server.stop().await;
        plain.stop().await;
    }
);
