//! Authentication on every route, and how a browser gets and loses its session.

use han_crypto::ApiKeyToken;
use han_db::queries::{api_keys, credentials, login_links, web_sessions};
use han_server::all_routes;
use han_server::auth::jwt::{AUDIENCE, Claims, LIFETIME_SECONDS};
use han_server::config::Environment;
use han_testkit::both_databases;
use han_types::Clock as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::json;

use crate::support::{JWT_SECRET, Person, TestServer, answer, batch, problem};

/// Routes without authentication; every other route needs a credential. Sign-in routes have their secret in the request
/// itself, and pages say how to sign in.
const PUBLIC: [&str; 14] = [
    "/.well-known/security.txt",
    "/health",
    "/ready",
    "/auth/login-link",
    "/invite",
    "/auth/github",
    "/auth/github/callback",
    "/auth/refresh",
    "/auth/sign-in",
    "/auth/device",
    "/auth/device/code",
    "/auth/device/token",
    "/graphiql",
    // Stripe signs its requests.
    "/webhooks/stripe",
];

/// A request that succeeds with a valid credential.
fn good_request(server: &TestServer, ada: &Person, method: &Method, path: &str) -> RequestBuilder {
    let path = &path
        .replace("{team_id}", ada.team_id.as_str())
        .replace("{user_id}", ada.user_id.as_str())
        .replace("{session_id}", "s")
        .replace("{deletion_id}", "none");
    let request = match (method.as_str(), path.as_str()) {
        ("GET", "/graphql") => server.get("/graphql?query=%7B__typename%7D"),
        ("POST", "/graphql") => server.post(path).json(&json!({"query": "{__typename}"})),
        ("POST", "/api/sync/sessions") => server.post(path).json(&batch("s", 0, &[])),
        _ => server.request(method.clone(), path),
    };
    // A request that is authenticated by its cookie must be JSON.
    if path == "/auth/logout" { request.header(header::CONTENT_TYPE, "application/json") } else { request }
}

both_databases!(
    async fn every_data_route_refuses_invalid_credentials(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let (_, expired) = server.key(&ada.user_id, &ada.team_id, "read sync:write", Some(1)).await;
        let expired_jwt = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        server.clock.advance_seconds(86_400);
        let (revoked_id, revoked) = server.key(&ada.user_id, &ada.team_id, "read", None).await;
        server.revoke_key(&ada.user_id, &revoked_id).await;
        let unknown = ApiKeyToken::mint(server.db.entropy()).expose().to_owned();
        let mut walked = 0;
        for (method, path) in all_routes(Environment::Development) {
            if PUBLIC.contains(&path) {
                continue;
            }
            walked += 1;
            let anonymous = good_request(&server, &ada, &method, path).send().await.unwrap();
            assert!(anonymous.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
            assert_eq!(problem(anonymous).await.1, "unauthenticated", "{method} {path}");
            for credential in
                [&expired, &expired_jwt, &revoked, &unknown, "han_key_junk", "junk", "a.b.c", "Bearer x"]
            {
                let response =
                    good_request(&server, &ada, &method, path).bearer_auth(credential).send().await.unwrap();
                let refused = problem(response).await;
                assert_eq!(
                    (refused.0, refused.1.as_str()),
                    (401, "invalid_credential"),
                    "{method} {path} {credential}"
                );
            }
            let basic =
                good_request(&server, &ada, &method, path).basic_auth("ada", Some("x")).send().await.unwrap();
            assert_eq!(problem(basic).await.0, 401, "{method} {path}");
            let good = good_request(&server, &ada, &method, path).bearer_auth(&ada.key).send().await.unwrap();
            let expected = match path {
                "/auth/logout" => 400,
                // Has a token of its own.
                "/metrics" => 401,
                // Not for keys.
                _ if method == Method::DELETE || path.contains("deletion") => 403,
                _ => 200,
            };
            assert_eq!(good.status(), expected, "{method} {path}");
        }
        assert!(walked >= 5);
        server.stop().await;
    }
);

both_databases!(
    async fn a_credential_is_limited_to_its_team_and_scopes(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let eve = server.person("eve").await;
        let push_to = |key: &str, team: &str| {
            let mut body = batch("s", 0, &[]);
            body["team_id"] = team.into();
            server.push(key, &body)
        };
        let of_ada = problem(push_to(&eve.key, ada.team_id.as_str()).send().await.unwrap()).await;
        let of_no_team = problem(push_to(&eve.key, "0190-no-such-team").send().await.unwrap()).await;
        assert_eq!(of_ada, of_no_team);
        assert_eq!((of_ada.0, of_ada.1.as_str()), (404, "not_found"));
        for junk in ["", "a/b", &"x".repeat(1000)] {
            assert_eq!(problem(push_to(&eve.key, junk).send().await.unwrap()).await, of_no_team);
        }
        let status = server.get("/api/sync/status").query(&[("team_id", ada.team_id.as_str())]);
        assert_eq!(problem(status.bearer_auth(&eve.key).send().await.unwrap()).await, of_no_team);
        assert_eq!(push_to(&ada.key, ada.team_id.as_str()).send().await.unwrap().status(), 200);

        let (_, reader) = server.key(&ada.user_id, &ada.team_id, "read", None).await;
        let refused = problem(push_to(&reader, ada.team_id.as_str()).send().await.unwrap()).await;
        assert_eq!((refused.0, refused.1.as_str()), (403, "insufficient_scope"));
        let (_, writer) = server.key(&ada.user_id, &ada.team_id, "sync:write", None).await;
        let body = answer(
            server.graphql(&writer, "{ sessions(first: 1) { edges { node { id } } } }").send().await.unwrap(),
        );
        assert_eq!(body.await.1["errors"][0]["extensions"]["code"], "FORBIDDEN");
        server.stop().await;
    }
);

both_databases!(
    async fn last_used_at_of_a_key_is_updated_at_intervals(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let hash = ApiKeyToken::parse(&ada.key).unwrap().hash();
        let row = api_keys::by_hash(&server.db, &hash).await.unwrap().unwrap();
        assert_eq!(row.last_used_at, None);
        let first = server.clock.now();
        api_keys::touch(&server.db, &row).await.unwrap();
        server.clock.advance_seconds(credentials::USE_RECORDED_EVERY_SECONDS - 1);
        let row = api_keys::by_hash(&server.db, &hash).await.unwrap().unwrap();
        api_keys::touch(&server.db, &row).await.unwrap();
        let row = api_keys::by_hash(&server.db, &hash).await.unwrap().unwrap();
        assert_eq!(row.last_used_at, Some(first));
        server.clock.advance_seconds(1);
        api_keys::touch(&server.db, &row).await.unwrap();
        let row = api_keys::by_hash(&server.db, &hash).await.unwrap().unwrap();
        assert_eq!(row.last_used_at, Some(server.clock.now()));
        server.stop().await;
    }
);

fn claims(server: &TestServer, person: &Person) -> Claims {
    let now = server.clock.now().seconds();
    Claims {
        sub: person.user_id.clone(),
        team_id: None,
        iat: now,
        exp: now + LIFETIME_SECONDS,
        nbf: None,
        iss: server.url.clone(),
        aud: AUDIENCE.to_owned(),
        jti: "1".to_owned(),
        sid: None,
    }
}

fn signed(algorithm: Algorithm, claims: &impl serde::Serialize, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .unwrap()
}

both_databases!(
    async fn only_current_tokens_of_this_server_are_accepted(db: TestDatabase) {
        use base64::Engine as _;
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let eve = server.person("eve").await;
        let good = claims(&server, &ada);
        let status_of =
            async |token: &str| server.graphql(token, "{__typename}").send().await.unwrap().status();
        assert_eq!(status_of(&signed(Algorithm::HS256, &good, JWT_SECRET)).await, 200);

        let now = good.iat;
        let none = {
            let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let header = base64.encode(r#"{"alg":"none","typ":"JWT"}"#);
            format!("{header}.{}.", base64.encode(serde_json::to_vec(&good).unwrap()))
        };
        let tampered = {
            let token = signed(Algorithm::HS256, &good, JWT_SECRET);
            let other =
                signed(Algorithm::HS256, &claims(&server, &eve), "another secret that is long enough too");
            let body = other.split('.').nth(1).unwrap().to_owned();
            let mut parts: Vec<&str> = token.split('.').collect();
            parts[1] = &body;
            parts.join(".")
        };
        let mut without_aud = serde_json::to_value(&good).unwrap();
        without_aud.as_object_mut().unwrap().remove("aud");
        let mut without_exp = serde_json::to_value(&good).unwrap();
        without_exp.as_object_mut().unwrap().remove("exp");
        for (why, token) in [
            ("alg none", none),
            ("another person's claims", tampered),
            ("HS512", signed(Algorithm::HS512, &good, JWT_SECRET)),
            ("another secret", signed(Algorithm::HS256, &good, "another secret that is long enough too")),
            ("ended", signed(Algorithm::HS256, &Claims { exp: now, ..good.clone() }, JWT_SECRET)),
            (
                "not begun",
                signed(Algorithm::HS256, &Claims { nbf: Some(now + 61), ..good.clone() }, JWT_SECRET),
            ),
            (
                "from the future",
                signed(Algorithm::HS256, &Claims { iat: now + 61, ..good.clone() }, JWT_SECRET),
            ),
            (
                "audience",
                signed(Algorithm::HS256, &Claims { aud: "other".to_owned(), ..good.clone() }, JWT_SECRET),
            ),
            (
                "issuer",
                signed(Algorithm::HS256, &Claims { iss: "http://x".to_owned(), ..good.clone() }, JWT_SECRET),
            ),
            ("no audience", signed(Algorithm::HS256, &without_aud, JWT_SECRET)),
            ("no end", signed(Algorithm::HS256, &without_exp, JWT_SECRET)),
        ] {
            assert_eq!(status_of(&token).await, 401, "{why}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_token_without_membership_in_its_team_sees_nothing(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let eve = server.person("eve").await;
        server.push_lines(&ada.key, "s1", 0, &han_testkit::SyntheticSession::new(1).lines(3)).await;
        let token = server.jwt.mint(&eve.user_id, Some(&ada.team_id), server.db.entropy()).unwrap();
        let pushed = server.push(&token, &batch("s", 0, &[])).send().await.unwrap();
        assert_eq!(problem(pushed).await.0, 404);
        let query = "{ sessions(first: 5) { edges { node { id } } } }";
        let (status, body) = answer(server.graphql(&token, query).send().await.unwrap()).await;
        assert_eq!((status, &body["data"]["sessions"]["edges"]), (StatusCode::OK, &json!([])));
        let own = server.jwt.mint(&ada.user_id, Some(&ada.team_id), server.db.entropy()).unwrap();
        let (_, body) = answer(server.graphql(&own, query).send().await.unwrap()).await;
        assert_eq!(body["data"]["sessions"]["edges"].as_array().unwrap().len(), 1);
        server.stop().await;
    }
);

both_databases!(
    async fn a_login_link_opens_one_session_with_a_cookie(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
        let page = server.get("/auth/login-link").query(&[("token", link.expose())]).send().await.unwrap();
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
        assert!(page.headers().get(header::SET_COOKIE).is_none(), "a preview must not use the link");
        assert!(page.text().await.unwrap().contains("<form method=\"post\""));

        let redeem = || server.post_form("/auth/login-link", format!("token={}", link.expose()));
        let elsewhere = redeem().header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(problem(elsewhere).await.1, "cross_site");
        let opened = redeem().header("origin", &server.url).send().await.unwrap();
        assert_eq!(
            (opened.status(), &opened.headers()[header::LOCATION]),
            (StatusCode::SEE_OTHER, &"/".parse().unwrap())
        );
        let cookie = opened.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert_eq!(redeem().send().await.unwrap().status(), StatusCode::GONE);

        let pair = cookie.split(';').next().unwrap().to_owned();
        let ask = || server.get("/graphql?query=%7B__typename%7D").header("cookie", &pair);
        let same = |request: RequestBuilder| request.header("sec-fetch-site", "same-origin");
        assert_eq!(same(ask()).send().await.unwrap().status(), 200);
        assert_eq!(same(ask()).bearer_auth(&ada.key).send().await.unwrap().status(), 400, "two credentials");
        assert_eq!(ask().send().await.unwrap().status(), 403, "no proof of origin");
        let write =
            || server.post("/graphql").header("cookie", &pair).json(&json!({"query": "{__typename}"}));
        assert_eq!(write().header("origin", &server.url).send().await.unwrap().status(), 200);
        assert_eq!(write().header("origin", "https://evil.example").send().await.unwrap().status(), 403);

        let logout =
            server.post("/auth/logout").header("cookie", &pair).header("content-type", "application/json");
        let left = logout.header("origin", &server.url).send().await.unwrap();
        assert_eq!(left.status(), StatusCode::NO_CONTENT);
        assert!(left.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
        assert_eq!(same(ask()).send().await.unwrap().status(), 401);
        server.stop().await;
    }
);

both_databases!(
    async fn login_links_and_web_sessions_expire(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
        server.clock.advance_seconds(login_links::LOGIN_LINK_SECONDS);
        let redeemed =
            server.post_form("/auth/login-link", format!("token={}", link.expose())).send().await.unwrap();
        assert_eq!(redeemed.status(), StatusCode::GONE);
        for junk in ["", "token=", "token=han_login_x", "\u{0}", "token=%ff"] {
            let response = server.post_form("/auth/login-link", junk).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::GONE, "{junk:?}");
        }

        let cookie = server.cookie(&ada.user_id).await;
        let ask = async || {
            let request = server.get("/graphql?query=%7B__typename%7D").header("cookie", &cookie);
            request.header("sec-fetch-site", "same-origin").send().await.unwrap().status()
        };
        // Used a day before its expiry, a session is extended; without further use it expires.
        server.clock.advance_seconds(web_sessions::WEB_SESSION_SECONDS - 86_400);
        assert_eq!(ask().await, 200);
        server.clock.advance_seconds(web_sessions::WEB_SESSION_SECONDS - 1);
        assert_eq!(ask().await, 200);
        server.clock.advance_seconds(web_sessions::WEB_SESSION_SECONDS);
        assert_eq!(ask().await, 401);
        server.stop().await;
    }
);

both_databases!(
    async fn only_a_small_form_redeems_a_login_link(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
        let form = format!("token={}", link.expose());
        let without_type = server.post("/auth/login-link").body(form.clone());
        let as_json = server.post("/auth/login-link").json(&json!({ "token": link.expose() }));
        let too_large = server.post_form("/auth/login-link", format!("{form}&x={}", "x".repeat(1024)));
        let repeated = server.post_form("/auth/login-link", format!("{form}&{form}"));
        for request in [without_type, as_json, too_large, repeated] {
            assert_eq!(request.send().await.unwrap().status(), StatusCode::GONE);
        }
        let redeemed = server.post_form("/auth/login-link", form).send().await.unwrap();
        assert_eq!(redeemed.status(), StatusCode::SEE_OTHER);
        server.stop().await;
    }
);

both_databases!(
    async fn a_login_link_used_concurrently_works_once(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        for _ in 0..5 {
            let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
            let redeem = || server.post_form("/auth/login-link", format!("token={}", link.expose())).send();
            let (one, two) = tokio::join!(redeem(), redeem());
            let mut statuses = [one.unwrap().status().as_u16(), two.unwrap().status().as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [303, 410]);
        }
        server.stop().await;
    }
);
