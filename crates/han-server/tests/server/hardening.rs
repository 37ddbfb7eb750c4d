//! Small rules about what responses say and reveal: headers, pages, names and slugs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use han_crypto::ApiKeyToken;
use han_db::queries::login_links;
use han_testkit::{Program, TestDatabase, both_databases};
use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use crate::support::{JWT_SECRET, TestServer, answer, batch};

both_databases!(
    async fn pages_with_a_button_name_what_it_does(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada <b>").await;
        let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
        let page = async |path: &str| server.get(path).send().await.unwrap().text().await.unwrap();
        let shown = page(&format!("/auth/login-link?token={}", link.expose())).await;
        assert!(shown.contains("You will be signed in as <strong>ada &lt;b&gt;</strong>"), "{shown}");

        let cookie = server.cookie(&ada.user_id).await;
        let invite = format!(
            "mutation {{ inviteToTeam(teamId: \"Team:{}\", email: \"bob@example.com\") {{ code }} }}",
            ada.team_id
        );
        let request = server.post("/graphql").header(header::COOKIE, &cookie).header("origin", &server.url);
        let (_, body) = answer(request.json(&json!({ "query": invite })).send().await.unwrap()).await;
        let code =
            body["data"]["inviteToTeam"]["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        let shown = page(&format!("/invite?code={code}")).await;
        let invites = "<strong>ada &lt;b&gt;</strong> invites you to the team <strong>ada &lt;b&gt;</strong>";
        assert!(shown.contains(invites), "{shown}");
        // A code that is not open has the page, but no names.
        let unknown = han_crypto::OpaqueToken::mint("han_invite_", server.db.entropy());
        let shown = page(&format!("/invite?code={}", unknown.expose())).await;
        assert!(
            shown.contains("Join the team") && !shown.contains("invites you to the team <strong>"),
            "{shown}"
        );
        let used = server.post("/auth/login-link").header("origin", &server.url);
        let used = used.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let used = used.body(format!("token={}", link.expose())).send().await.unwrap();
        assert_eq!(used.status(), StatusCode::SEE_OTHER);
        let shown = page(&format!("/auth/login-link?token={}", link.expose())).await;
        assert!(!shown.contains("signed in as"), "{shown}");
        server.stop().await;
    }
);

both_databases!(
    async fn names_have_no_characters_that_reorder_text(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        let create = async |name: &str| {
            let body = json!({
                "query": "mutation($name: String!) { createTeam(name: $name) { slug } }",
                "variables": { "name": name },
            });
            let request =
                server.post("/graphql").header(header::COOKIE, &cookie).header("origin", &server.url);
            answer(request.json(&body).send().await.unwrap()).await.1
        };
        for name in ["a\u{202e}b", "a\u{2066}b", "a\u{200f}b", "a\nb", "a\u{85}b", "a\u{2028}b"] {
            let body = create(name).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{name:?}: {body}");
        }
        // The slug of a new team says nothing about other teams with its name.
        let mut slugs = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let body = create("Orchard, Inc.").await;
            let slug =
                body["data"]["createTeam"]["slug"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
            let random = slug.strip_prefix("orchard-inc-").unwrap_or_else(|| panic!("{slug}"));
            assert!(random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric()), "{slug}");
            slugs.insert(slug);
        }
        assert_eq!(slugs.len(), 3);
        server.stop().await;
    }
);

both_databases!(
    async fn responses_of_the_api_are_not_stored(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let stored = |response: &reqwest::Response| {
            response.headers().get(header::CACHE_CONTROL).map(|value| value.to_str().unwrap().to_owned())
        };
        let lines = [json!({"type": "user", "uuid": "1"}).to_string()];
        for response in [
            server.get("/api/sync/status").bearer_auth(&ada.key).send().await.unwrap(),
            server.get("/api/sync/status").send().await.unwrap(),
            server.push(&ada.key, &batch("s1", 0, &lines)).send().await.unwrap(),
            server.get("/api/nothing").send().await.unwrap(),
            server.graphql(&ada.key, "{ me { name } }").send().await.unwrap(),
        ] {
            assert_eq!(stored(&response).as_deref(), Some("no-store"), "{response:?}");
            assert!(!response.headers().contains_key(header::STRICT_TRANSPORT_SECURITY), "it is plain http");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn operation_names_work_in_query_strings(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let get = async |query: &[(&str, &str)]| {
            let request = server.get("/graphql").query(query).bearer_auth(&ada.key);
            answer(request.send().await.unwrap()).await.1
        };
        let document = "query A { __typename } query B($n: Boolean!) { me { name @include(if: $n) id } }";
        let body = get(&[
            ("query", document),
            ("operationName", "B"),
            ("variables", "{\"n\":true}"),
            ("extensions", "{}"),
        ])
        .await;
        assert_eq!(body["data"]["me"]["name"], "ada", "{body}");
        assert_eq!(
            get(&[("query", document), ("operationName", "A")]).await,
            json!({"data": {"__typename": "Query"}})
        );
        for wrong in [
            &[("query", document)][..],
            &[("query", document), ("operationName", "C")],
            &[("query", document), ("operationName", "B"), ("variables", "{")],
            &[("query", "{ __typename }"), ("variables", "[]")],
            &[("query", "{ __typename }"), ("extensions", "[]")],
            &[],
        ] {
            let body = get(wrong).await;
            assert!(body["errors"].is_array(), "{wrong:?}: {body}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn tokens_with_critical_extensions_are_refused(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        let signed = |header: &Value| {
            let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
            let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            format!("{message}.{signature}")
        };
        for (header, status) in [
            (json!({"alg": "HS256", "typ": "JWT"}), 200),
            (json!({"alg": "HS256", "typ": "JWT", "crit": ["b64"], "b64": false}), 401),
            (json!({"alg": "HS256", "typ": "JWT", "crit": ["exp"]}), 401),
            (json!({"alg": "HS256", "typ": "JWT", "crit": []}), 401),
        ] {
            let response = server.graphql(&signed(&header), "{ __typename }").send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{header}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn invalid_keys_do_not_lock_out_new_tokens_of_their_address(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.http.rate_factor = Some(1)).await;
        let ada = server.person("ada").await;
        let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
        let ask = async |token: &str| {
            server.graphql(token, "{ __typename }").send().await.unwrap().status().as_u16()
        };
        let mut refused = 0;
        while refused == 0 {
            let guess = ApiKeyToken::mint(server.db.entropy());
            refused = u32::from(ask(guess.expose()).await == 429);
        }
        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        assert_eq!(ask(&token).await, 200, "an access token that was not used before");
        let signed_in = server.post_form("/auth/login-link", format!("token={}", link.expose()));
        let signed_in = signed_in.header("origin", &server.url).send().await.unwrap();
        assert_eq!(signed_in.status(), StatusCode::SEE_OTHER);
        let cookies = signed_in.headers().get_all(header::SET_COOKIE).iter();
        let cookie = cookies
            .map(|value| value.to_str().unwrap())
            .find(|text| text.starts_with("han_session="))
            .unwrap();
        let request = server.post("/graphql").header(header::COOKIE, cookie.split(';').next().unwrap());
        let request = request.header("origin", &server.url).json(&json!({ "query": "{ __typename }" }));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "a new cookie");
        server.stop().await;
    }
);

both_databases!(
    async fn security_txt_names_the_configured_contact(db: TestDatabase) {
        let path = "/.well-known/security.txt";
        let server = TestServer::start(&db).await;
        assert_eq!(server.get(path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
        server.stop().await;
        let contact = "mailto:security@example.com";
        let server =
            TestServer::start_with(&db, |config| config.http.security_contact = Some(contact.to_owned()))
                .await;
        let response = server.get(path).send().await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        let text = response.text().await.unwrap();
        let canonical = format!("Canonical: {}{path}", server.url);
        for line in ["Contact: mailto:security@example.com", "Expires: 2027-01-31T09:00:00.000Z", &canonical]
        {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        server.stop().await;
    }
);

#[tokio::test]
async fn a_server_behind_https_asks_browsers_to_stay_there() {
    let database = TestDatabase::sqlite().await;
    let dir = database.directory().unwrap().to_str().unwrap().to_owned();
    let env = [
        ("HAN_DATA_DIR", dir.as_str()),
        ("HAN_LISTEN", "127.0.0.1:0"),
        ("PUBLIC_URL", "https://han.example"),
    ];
    let mut server = Program::start(env!("CARGO_BIN_EXE_han-server"), ["serve"], env);
    let line = server.wait_for_line("listening on http://").await;
    let url = line.split("listening on ").nth(1).unwrap();
    for path in ["/health", "/auth/sign-in", "/api/sync/status", "/nothing"] {
        let response = reqwest::get(format!("{url}{path}")).await.unwrap();
        assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000", "{path}");
    }
}
