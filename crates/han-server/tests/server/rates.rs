//! How often somebody may ask, whose address counts, and that guessing costs the database nothing; which other
//! origins may ask at all.

use han_crypto::ApiKeyToken;
use han_server::config::Config;
use han_testkit::{TestDatabase, both_databases};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::json;
use sqlx::{Connection as _, Row as _};

use crate::support::{TestServer, answer, batch, problem};

async fn start(db: &TestDatabase, change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(db, |config| {
        config.rate_factor = Some(1);
        change(config);
    })
    .await
}

fn told(response: &Response) -> (String, String) {
    let header = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    (header("ratelimit-policy"), header("ratelimit"))
}

both_databases!(
    async fn limits_are_told_and_kept_by_kind_of_route(db: TestDatabase) {
        let server = start(&db, |_| {}).await;
        let ada = server.person("ada").await;
        let ask = || server.graphql(&ada.key, "{__typename}").send();
        let first = told(&ask().await.unwrap());
        assert_eq!(first.0, r#""address";q=3000;w=60, "person";q=1200;w=60"#);
        assert_eq!(first.1, r#""address";r=2999;t=1, "person";r=1199;t=1"#);
        let probe = server.get("/health").send().await.unwrap();
        assert_eq!(told(&probe), (String::new(), String::new()), "platforms may probe as they like");

        let page = || server.get("/auth/login-link?token=x").header(header::ACCEPT, "application/json");
        for _ in 0..30 {
            assert_eq!(page().send().await.unwrap().status(), StatusCode::BAD_REQUEST);
        }
        let refused = page().send().await.unwrap();
        assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
        assert_eq!(told(&refused).1, r#""address";r=0;t=2"#);
        let (status, code, detail) = problem(refused).await;
        assert_eq!((status, code.as_str()), (429, "rate_limited"));
        assert!(detail.contains("2 s"), "{detail}");
        let shown = server.get("/auth/login-link?token=x").send().await.unwrap();
        assert_eq!(
            (shown.status().as_u16(), shown.headers()[header::CONTENT_TYPE].to_str().unwrap()),
            (429, "text/html; charset=utf-8")
        );
        assert_eq!(ask().await.unwrap().status(), StatusCode::OK, "another kind of route");
        server.clock.advance_seconds(2);
        assert_eq!(page().send().await.unwrap().status(), StatusCode::BAD_REQUEST);
        assert_eq!(page().send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
        server.stop().await;
    }
);

both_databases!(
    async fn a_person_is_counted_whatever_they_come_with(db: TestDatabase) {
        let server = start(&db, |config| config.trusted_proxies = 1).await;
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
        // The push is read to its end, so that its client sees the answer.
        let refused = push(7, &second).await.unwrap();
        assert_eq!(problem(refused).await.1, "rate_limited");
        let eve = server.person("eve").await;
        assert_eq!(push(7, &eve.key).await.unwrap().status(), StatusCode::OK);
        server.stop().await;
    }
);

both_databases!(
    async fn nobody_writes_themselves_another_address(db: TestDatabase) {
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
        let server = start(&db, |config| config.trusted_proxies = 1).await;
        for n in 0..30 {
            assert_eq!(status(&server, &format!("6.6.6.{n}, 192.0.2.1")).await, 400);
        }
        assert_eq!(status(&server, "6.6.6.99, 192.0.2.1").await, 429, "the proxy's word counts");
        assert_eq!(status(&server, "192.0.2.2").await, 400, "somebody else");
        assert_eq!(status(&server, "2001:db8::1").await, 400);
        server.stop().await;
    }
);

/// How often `api_keys` was read, and how many rows of any table were written: by PostgreSQL's own count, which is
/// complete once the connections that did it are closed.
async fn work_done(database: &TestDatabase) -> (i64, i64) {
    let mut conn = sqlx::PgConnection::connect(database.url()).await.unwrap();
    loop {
        // Statistics are handed in as a connection ends: wait for the last of them.
        let others = "SELECT count(*) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let others: i64 = sqlx::query(others).fetch_one(&mut conn).await.unwrap().get(0);
        if others == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let sql = "SELECT COALESCE(sum(CASE WHEN relname = 'api_keys' THEN seq_scan + COALESCE(idx_scan, 0) END), 0)::bigint, \
               COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables";
    let row = sqlx::query(sql).fetch_one(&mut conn).await.unwrap();
    (row.get(0), row.get(1))
}

/// Every row of the tables that have to do with credentials.
async fn stored(database: &TestDatabase) -> Vec<String> {
    let mut conn = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
    let sql = "SELECT json_array(id, key_hash, last_used_at, revoked_at) FROM api_keys \
               UNION ALL SELECT json_array(id, username) FROM users UNION ALL SELECT json_array(seq) FROM changes \
               UNION ALL SELECT json_array(id, last_seen_at) FROM web_sessions";
    let rows = sqlx::query(sql).fetch_all(&mut conn).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

both_databases!(
    async fn ten_thousand_wrong_keys_cost_no_write_and_few_reads(db: TestDatabase) {
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
            // Well-formed keys with good checksums, so that nothing short of a look-up tells them.
            let key = ApiKeyToken::mint(server.db.entropy());
            *counts.entry(ask(key.expose()).await).or_insert(0) += 1;
            // Before the address has used up what all its requests may be.
            if n == 1000 {
                assert_eq!(ask(key_of_ada).await, 200, "whoever was good before is served all the same");
            }
        }
        assert_eq!(counts[&401], 30, "{counts:?}");
        assert_eq!(counts[&429], WRONG - 30);
        let stranger = server.person("eve").await;
        server.clock.advance_seconds(1);
        assert_eq!(ask(key_of_ada).await, 200);
        assert_eq!(ask(&stranger.key).await, 429, "who was not seen before waits");
        server.clock.advance_seconds(60);
        assert_eq!(ask(&stranger.key).await, 200);
        server.stop().await;
        if db.is_postgres() {
            let (reads, writes) = work_done(&db).await;
            // 30 wrong keys and a few good ones, looked up and noted; a new person with a team and a key.
            assert!(reads - before.0 <= 50, "{} reads", reads - before.0);
            assert!(writes - before.1 <= 20, "{} writes", writes - before.1);
        } else {
            let new: Vec<String> = stored(&db).await.into_iter().filter(|row| !rows.contains(row)).collect();
            assert!(
                new.iter().all(|row| row.contains("eve") || row.contains(stranger.key_id.as_str())),
                "{new:?}"
            );
        }
    }
);

both_databases!(
    async fn only_origins_on_the_list_may_read_answers(db: TestDatabase) {
        let listed = "https://dashboard.example";
        let server =
            TestServer::start_with(&db, |config| config.cors_origins = vec![listed.to_owned()]).await;
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
            "cookies are for this origin alone"
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
        // The cookie of whoever looks at that page counts for nothing there.
        let cookie = server.cookie(&ada.user_id).await;
        let request = server.post("/graphql").header("cookie", cookie).header("origin", listed);
        let request = request.header("sec-fetch-site", "cross-site").json(&json!({"query": "{__typename}"}));
        assert_eq!(problem(request.send().await.unwrap()).await.1, "cross_site");
        server.stop().await;
        plain.stop().await;
    }
);
