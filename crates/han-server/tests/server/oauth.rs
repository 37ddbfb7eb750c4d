//! Signing in through a fake GitHub, the device flow, and the tokens that programs get.

use std::collections::BTreeMap;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use han_coordinator::{Client, LoginStore, PushOptions, Sleeper, push};
use han_db::queries::audit::{self, LogOf};
use han_db::queries::{memberships, sign_ins, token_families, users};
use han_server::config::GithubConfig;
use han_testkit::{FakeGithub, GithubAccount, GithubFault, TestClock, TestDatabase, both_databases};
use han_types::Clock as _;
use reqwest::{Method, Response, StatusCode, Url, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{JWT_SECRET, TestServer, answer, problem};

const CLIENT: &str = "Iv1.0123456789abcdef";
const SECRET: &str = "the client secret";

/// A server with an app at its own fake GitHub.
struct World {
    server: TestServer,
    github: FakeGithub,
}

impl World {
    async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| {}).await
    }

    async fn start_with(database: &TestDatabase, change: impl FnOnce(&mut GithubConfig)) -> Self {
        let github = FakeGithub::start(CLIENT, SECRET).await;
        let mut app = GithubConfig {
            client_id: CLIENT.to_owned(),
            client_secret: SecretString::from(SECRET),
            url: github.url(),
            api_url: format!("{}/api/v3", github.url()),
            allowed_logins: Vec::new(),
            allowed_orgs: Vec::new(),
            check_every: Duration::from_secs(3600),
            timeout: Duration::from_secs(10),
        };
        change(&mut app);
        let server = TestServer::start_with(database, |config| config.github = Some(app)).await;
        github.set_callback(&format!("{}/auth/github/callback", server.url));
        github.sign_in(GithubAccount::new(583_231, "octocat"));
        Self { server, github }
    }
}

/// A browser that stores cookies and does not follow redirects.
#[derive(Clone, Default)]
struct Browser {
    cookies: BTreeMap<String, String>,
}

impl Browser {
    async fn go(&mut self, server: &TestServer, url: &str, accept: &str) -> Response {
        let url = if url.starts_with('/') { format!("{}{url}", server.url) } else { url.to_owned() };
        let mut request = server.http.request(Method::GET, &url).header(header::ACCEPT, accept);
        // GitHub is another site: it gets no cookies.
        if url.starts_with(&server.url) && !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.header());
        }
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        response
    }

    fn header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Visits GitHub; returns the callback URL, which is not opened yet.
    async fn consent(&mut self, server: &TestServer, begin: &str) -> String {
        let begun = self.go(server, begin, "text/html").await;
        assert_eq!(begun.status(), StatusCode::FOUND);
        let back = self.go(server, &location(&begun), "text/html").await;
        location(&back)
    }

    async fn sign_in(&mut self, server: &TestServer, accept: &str) -> Response {
        let back = self.consent(server, "/auth/github").await;
        self.go(server, &back, accept).await
    }

    fn is_signed_in(&self) -> bool {
        self.cookies.contains_key("han_session")
    }
}

fn location(response: &Response) -> String {
    response.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

fn query(url: &str) -> BTreeMap<String, String> {
    Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

async fn who(server: &TestServer, token: &str) -> (StatusCode, Value) {
    let (status, body) = answer(server.graphql(token, "{ me { name } }").send().await.unwrap()).await;
    (status, body["data"]["me"]["name"].clone())
}

/// The names of the claims of an access token, sorted.
fn claims_of(access: &str) -> Vec<String> {
    use base64::Engine as _;
    let payload = access.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: BTreeMap<String, Value> = serde_json::from_slice(&payload).unwrap();
    claims.into_keys().collect()
}

async fn pair_of(world: &World) -> (String, String) {
    let response = Browser::default().sign_in(&world.server, "application/json").await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let (status, pair) = answer(response).await;
    assert_eq!(status, StatusCode::OK, "{pair}");
    assert_eq!((&pair["token_type"], &pair["expires_in"]), (&json!("Bearer"), &json!(900)));
    let text = |name: &str| pair[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

both_databases!(
    async fn signing_in_through_github_redirects_to_the_target(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let mut browser = Browser::default();
        let begun = browser.go(server, "/auth/github?return_to=/sessions%3Fdays=7", "text/html").await;
        assert_eq!(
            (begun.status(), &begun.headers()[header::CACHE_CONTROL]),
            (StatusCode::FOUND, &"no-store".parse().unwrap())
        );
        let cookie = begun.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let asked = query(&location(&begun));
        let asked_for = |name: &str| asked[name].as_str();
        assert_eq!(asked_for("client_id"), CLIENT);
        assert_eq!(asked_for("redirect_uri"), format!("{}/auth/github/callback", server.url));
        assert_eq!((asked_for("response_type"), asked_for("scope")), ("code", "user:email"));
        assert_eq!((asked_for("code_challenge_method"), asked_for("code_challenge").len()), ("S256", 43));
        assert!(
            !location(&begun).contains(browser.cookies["han_signin"].as_str()),
            "the secret is not sent to GitHub"
        );

        let back = browser.go(server, &location(&begun), "text/html").await;
        let done = browser.go(server, &location(&back), "text/html").await;
        assert_eq!((done.status(), location(&done).as_str()), (StatusCode::SEE_OTHER, "/sessions?days=7"));
        assert!(browser.is_signed_in() && !browser.cookies.contains_key("han_signin"));
        let user = users::by_name(&server.db, "octocat").await.unwrap().remove(0);
        let team = memberships::list(&server.db, &user.id).await.unwrap().remove(0).team;
        let log = audit::after(&server.db, LogOf::Team(&team.id), 0, 10).await.unwrap();
        let recorded: Vec<&str> = log.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(recorded, ["team.created", "sign_in"]);
        assert!(
            log.iter().all(|entry| entry.user.as_ref() == Some(&user) && entry.address.is_some()),
            "{log:?}"
        );
        let request = server.post("/graphql").header(header::COOKIE, browser.header());
        let body = json!({"query": "{ me { name email } }"});
        let me = answer(request.header("origin", &server.url).json(&body).send().await.unwrap()).await.1;
        assert_eq!(me["data"]["me"], json!({"name": "octocat", "email": "octocat@example.com"}));
        // Exactly these requests were sent: the token is fetched once.
        assert_eq!(
            world.github.requests(),
            [
                "GET /login/oauth/authorize",
                "POST /login/oauth/access_token",
                "GET /api/v3/user",
                "GET /api/v3/user/emails"
            ]
        );
        // Signing in again finds the same user, with the same team.
        assert!(Browser::default().sign_in(server, "text/html").await.status() == StatusCode::SEE_OTHER);
        let people = users::by_name(&server.db, "octocat").await.unwrap();
        assert_eq!(people.len(), 1);
        assert_eq!(memberships::list(&server.db, &people[0].id).await.unwrap().len(), 1);
        assert_eq!(sign_ins::live(&server.db, &people[0].id).await.unwrap().len(), 2);
        world.server.stop().await;
    }
);

/// Signs a user in for a program; returns the tokens.
async fn tokens_of(world: &World, id: i64, login: &str) -> (String, String) {
    world.github.sign_in(GithubAccount::new(id, login));
    pair_of(world).await
}

/// An access token for a team of the user.
async fn token_in(server: &TestServer, refresh: &str, team_id: &str) -> String {
    let asked = json!({ "refresh_token": refresh, "team_id": team_id });
    let (status, body) = answer(server.post("/auth/refresh").json(&asked).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// The data of a response without errors.
async fn asked(server: &TestServer, token: &str, query: &str, variables: Value) -> Value {
    let request = server.post("/graphql").bearer_auth(token);
    let request = request.json(&json!({ "query": query, "variables": variables })).send().await.unwrap();
    let (status, mut body) = answer(request).await;
    assert!(status == StatusCode::OK && body.get("errors").is_none(), "{status} {body}");
    body["data"].take()
}

both_databases!(
    /// From signing in through GitHub to a session that only members of the team see, in all queries and subscriptions.
    async fn sessions_of_github_users_are_visible_to_their_team_only(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let (ada, of_ada) = tokens_of(&world, 1, "ada").await;
        let (bob, of_bob) = tokens_of(&world, 2, "bob").await;
        let (eve, of_eve) = tokens_of(&world, 3, "eve").await;
        assert_eq!(who(server, &ada).await, (StatusCode::OK, json!("ada")));

        let found = "mutation { createTeam(name: \"Orchard\") { id teamId slug } }";
        let team = asked(server, &ada, found, json!({})).await["createTeam"].take();
        let invite =
            "mutation($team: ID!) { inviteToTeam(teamId: $team, email: \"bob@example.com\") { code } }";
        let invited = asked(server, &ada, invite, json!({ "team": team["id"] })).await;
        let accept = "mutation($code: String!) { acceptInvite(code: $code) { slug } }";
        let joined = asked(server, &bob, accept, json!({ "code": invited["inviteToTeam"]["code"] })).await;
        assert_eq!(joined["acceptInvite"]["slug"], team["slug"]);

        let team_id = team["teamId"].as_str().unwrap();
        // Each user also has their own team; a token names the one to use.
        let (ada, bob) = (token_in(server, &of_ada, team_id).await, token_in(server, &of_bob, team_id).await);
        let mut sockets = Vec::new();
        for token in [&ada, &bob, &eve] {
            let mut socket = server.socket_as(token).await;
            socket.subscribe("live", "subscription { sessionAdded { sessionId } }").await;
            socket.subscribe("ready", "{ __typename }").await;
            assert_eq!(socket.receive().await.unwrap()["id"], "ready");
            assert_eq!(socket.receive().await.unwrap()["type"], "complete");
            sockets.push(socket);
        }
        let line = |text: &str| {
            json!({"type": "user", "uuid": "u1", "timestamp": "2026-01-01T00:00:00Z",
            "message": {"role": "user", "content": text}})
        };
        for (token, session, text) in [(&ada, "apples", "pick the apples"), (&eve, "pears", "pick the pears")]
        {
            let body =
                json!({ "sessions": [{ "session_id": session, "offset": 0, "messages": [line(text)] }] });
            let (status, body) = answer(server.push(token, &body).send().await.unwrap()).await;
            assert_eq!((status, &body["sessions"][0]["stored"]), (StatusCode::OK, &json!(1)), "{body}");
        }
        for (socket, expected) in sockets.iter_mut().zip(["apples", "apples", "pears"]) {
            let received = socket.receive().await.unwrap();
            assert_eq!(received["payload"]["data"]["sessionAdded"]["sessionId"], expected);
        }

        let everything = "query { sessions(first: 9) { totalCount edges { node { sessionId } } } \
            node(id: \"Session:apples\") { id } session(id: \"apples\") { messageCount } \
            message(id: \"Message:apples:main:u1\") { rawJson } teamMetrics(startDate: \"2025-12-01\", endDate: \"2026-02-01\") { totalSessions } \
            searchMessages(query: \"pick\") { linesToIndex edges { node { matchContext } } } }";
        for (token, session, text) in [
            (&ada, "apples", "pick the apples"),
            (&bob, "apples", "pick the apples"),
            (&eve, "pears", "pick the pears"),
        ] {
            let seen = loop {
                let seen = asked(server, token, everything, json!({})).await;
                // Lines are indexed in the background.
                if seen["searchMessages"]["linesToIndex"] == 0 {
                    break seen;
                }
                tokio::task::yield_now().await;
            };
            let sees = session == "apples";
            assert_eq!(seen["sessions"]["totalCount"], 1);
            assert_eq!(seen["sessions"]["edges"][0]["node"]["sessionId"], session);
            assert_eq!(seen["searchMessages"]["edges"], json!([{ "node": { "matchContext": text } }]));
            assert_eq!(seen["teamMetrics"]["totalSessions"], 1);
            for field in ["node", "session", "message"] {
                assert_eq!(seen[field].is_object(), sees, "{field}: {seen}");
            }
        }
        // Naming a team gives no access to it.
        let named = json!({ "refresh_token": of_eve, "team_id": team_id });
        let (_, body) = answer(server.post("/auth/refresh").json(&named).send().await.unwrap()).await;
        if let Some(token) = body["access_token"].as_str() {
            let (_, body) = answer(server.graphql(token, everything).send().await.unwrap()).await;
            assert!(!body.to_string().contains("apples"), "{body}");
        }
        world.server.stop().await;
    }
);

both_databases!(
    async fn an_invite_survives_signing_in(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let code = format!("han_invite_{}", "A".repeat(43));
        let press = |code: &str| server.post_form("/invite", format!("code={code}")).send();
        let page = press(&code).await.unwrap().text().await.unwrap();
        let begin = page.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let mut browser = Browser::default();
        let back = browser.consent(server, &begin).await;
        let done = browser.go(server, &back, "text/html").await;
        assert_eq!(location(&done), format!("/invite?code={code}"));
        // Text without the format of a code is not written into the page.
        let page = press("\"><script>").await.unwrap();
        assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
        assert!(!page.text().await.unwrap().contains("script"));
        world.server.stop().await;
    }
);

both_databases!(
    async fn a_callback_is_valid_only_in_the_browser_that_started(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let refused = async |mut browser: Browser, url: &str, why: &str| {
            let asked = world.github.requests().len();
            let response = browser.go(server, url, "text/html").await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{why}");
            assert!(response.text().await.unwrap().contains("start again"), "{why}");
            assert!(!browser.is_signed_in(), "{why}");
            assert_eq!(world.github.requests().len(), asked, "{why}: no request goes to GitHub");
        };
        let mut victim = Browser::default();
        let mut attacker = Browser::default();
        let back = attacker.consent(server, "/auth/github").await;
        refused(Browser::default(), &back, "no cookie").await;
        victim.consent(server, "/auth/github").await;
        refused(victim.clone(), &back, "login CSRF").await;
        let state = query(&back)["state"].clone();
        let code = query(&back)["code"].clone();
        let callback = "/auth/github/callback";
        for url in [
            callback.to_owned(),
            format!("{callback}?code={code}"),
            format!("{callback}?code={code}&state="),
            format!("{callback}?code={code}&state={}x", &state[..state.len() - 1]),
            format!("{callback}?code={code}&state={state}&state={state}"),
            format!("{callback}?code={code}&state=%00"),
        ] {
            refused(attacker.clone(), &url, &url).await;
        }
        let mut two = attacker.clone();
        two.cookies.insert(" han_signin".to_owned(), victim.cookies["han_signin"].clone());
        refused(two, &back, "two cookies").await;

        // None of that has used the attempt. Once used, it cannot be used again, with the cookie or without.
        let mut again = attacker.clone();
        assert_eq!(attacker.go(server, &back, "text/html").await.status(), StatusCode::SEE_OTHER);
        refused(again.clone(), &back, "used already").await;
        let late = again.consent(server, "/auth/github").await;
        server.clock.advance_seconds(sign_ins::SIGN_IN_SECONDS);
        refused(again, &late, "too late").await;
        world.server.stop().await;
    }
);

both_databases!(
    async fn a_callback_used_concurrently_works_once(db: TestDatabase) {
        let world = World::start(&db).await;
        let mut one = Browser::default();
        let back = one.consent(&world.server, "/auth/github").await;
        let mut two = one.clone();
        let (one, two) =
            tokio::join!(one.go(&world.server, &back, "*/*"), two.go(&world.server, &back, "*/*"));
        let mut statuses = [one.status().as_u16(), two.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 400]);
        world.server.stop().await;
    }
);

both_databases!(
    async fn return_to_never_redirects_to_another_site(db: TestDatabase) {
        let world = World::start(&db).await;
        for return_to in [
            "//evil.example",
            "/%5Cevil.example",
            "https://evil.example",
            "%2F%2Fevil.example",
            "/%09/evil.example",
        ] {
            let mut browser = Browser::default();
            let back = browser.consent(&world.server, &format!("/auth/github?return_to={return_to}")).await;
            let done = browser.go(&world.server, &back, "text/html").await;
            assert_eq!(location(&done), "/", "{return_to}");
        }
        world.server.stop().await;
    }
);

both_databases!(
    async fn github_failures_get_a_problem_with_the_remedy(db: TestDatabase) {
        let world = World::start_with(&db, |app| app.timeout = Duration::from_millis(500)).await;
        let server = &world.server;
        let now = server.clock.now().seconds();
        let mut results = Vec::new();
        for trouble in [
            GithubFault::Down,
            GithubFault::Silent,
            GithubFault::Pages,
            GithubFault::Redirects,
            GithubFault::RateLimited(now + 90),
            GithubFault::SecondaryLimit(30),
        ] {
            let mut browser = Browser::default();
            world.github.set_fault(Some(trouble));
            let response = browser.sign_in(server, "application/json").await;
            let wait =
                response.headers().get(header::RETRY_AFTER).map(|wait| wait.to_str().unwrap().to_owned());
            let (status, code, detail) = problem(response).await;
            results.push(format!("{trouble:?}: {status} {code}, Retry-After {wait:?}: {detail}"));
            let page = browser.sign_in(server, "text/html").await;
            assert_eq!(page.status(), status);
            assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert!(page.text().await.unwrap().contains("<a class=\"button\" href=\"/auth/github\">"));
            assert!(!browser.is_signed_in());
        }
        world.github.set_fault(None);
        let mut browser = Browser::default();
        let back = browser.consent(server, "/auth/github").await;
        world.github.expire_codes();
        let expired = problem(browser.go(server, &back, "application/json").await).await;
        results.push(format!("an expired code: {expired:?}"));
        world.github.set_denies(true);
        let refused = problem(Browser::default().sign_in(server, "application/json").await).await;
        results.push(format!("refused: {refused:?}"));
        world.github.set_denies(false);
        let mut unverified = GithubAccount::new(7, "unverified");
        unverified.emails[0].2 = false;
        world.github.sign_in(unverified);
        let unverified = problem(Browser::default().sign_in(server, "application/json").await).await;
        results.push(format!("unverified: {unverified:?}"));
        world.github.set_secret("another");
        let misconfigured = problem(Browser::default().sign_in(server, "application/json").await).await;
        results.push(format!("a wrong secret: {misconfigured:?}"));
        world.github.set_secret(SECRET);
        world.github.set_callback("https://elsewhere.example/callback");
        let begun = Browser::default().go(server, "/auth/github", "*/*").await;
        let back = Browser::default().go(server, &location(&begun), "*/*").await;
        assert!(
            location(&back).starts_with("https://elsewhere.example/callback?error=redirect_uri_mismatch")
        );
        let text = results.join("\n").replace(&server.url, "PUBLIC_URL");
        insta::assert_snapshot!("github_trouble", text);
        assert_eq!(users::by_name(&server.db, "octocat").await.unwrap().len(), 0, "no user was created");
        world.server.stop().await;
    }
);

both_databases!(
    async fn signing_in_works_without_access_to_email_addresses(db: TestDatabase) {
        let world = World::start(&db).await;
        world.github.set_fault(Some(GithubFault::NoEmails));
        assert_eq!(Browser::default().sign_in(&world.server, "*/*").await.status(), StatusCode::SEE_OTHER);
        let person = users::by_name(&world.server.db, "octocat").await.unwrap().remove(0);
        assert_eq!(person.email, None);
        // Of several addresses, the primary one is stored if it is verified.
        world.github.set_fault(None);
        let mut account = GithubAccount::new(583_231, "octocat");
        account.emails.insert(0, ("other@example.com".to_owned(), false, true));
        world.github.sign_in(account);
        Browser::default().sign_in(&world.server, "*/*").await;
        let person = users::by_id(&world.server.db, &person.id).await.unwrap().unwrap();
        assert_eq!(person.email.as_deref(), Some("octocat@example.com"));
        world.server.stop().await;
    }
);

both_databases!(
    async fn only_allowed_accounts_and_organizations_sign_in(db: TestDatabase) {
        let world = World::start_with(&db, |app| {
            app.allowed_logins = vec!["Grace".to_owned()];
            app.allowed_orgs = vec!["navy".to_owned(), "orchard".to_owned()];
        })
        .await;
        let mut member = GithubAccount::new(3, "member");
        member.orgs.push("Orchard".to_owned());
        for (account, status) in [
            (GithubAccount::new(1, "grace"), 303),
            (member, 303),
            (GithubAccount::new(2, "stranger"), 403),
            (GithubAccount::new(4, "orchard"), 403),
        ] {
            let login = account.login.clone();
            world.github.sign_in(account);
            let mut browser = Browser::default();
            let response = browser.sign_in(&world.server, "text/html").await;
            assert_eq!(response.status(), status, "{login}");
            assert_eq!(browser.is_signed_in(), status == 303);
        }
        assert!(users::by_name(&world.server.db, "stranger").await.unwrap().is_empty());
        world.server.stop().await;
    }
);

both_databases!(
    async fn signing_in_without_a_github_app_gets_a_problem(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        for path in ["/auth/github", "/auth/github/callback"] {
            let response = server.get(path).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert!(response.text().await.unwrap().contains("han-server login-link"));
            let response = server.get(path).header(header::ACCEPT, "application/json").send().await.unwrap();
            assert_eq!(problem(response).await.1, "not_configured");
        }
        server.stop().await;
    }
);

async fn refresh(server: &TestServer, token: &str) -> Response {
    server.post("/auth/refresh").json(&json!({ "refresh_token": token })).send().await.unwrap()
}

both_databases!(
    async fn tokens_are_issued_refreshed_and_revoked(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let (access, first) = pair_of(&world).await;
        assert_eq!(claims_of(&access), ["aud", "exp", "iat", "iss", "jti", "sid", "sub"]);
        assert_eq!(who(server, &access).await, (StatusCode::OK, json!("octocat")));
        server.clock.advance_seconds(900);
        assert_eq!(who(server, &access).await.0, StatusCode::UNAUTHORIZED, "15 minutes are over");
        let pair = answer(refresh(server, &first).await).await.1;
        let (access, second) =
            (pair["access_token"].as_str().unwrap(), pair["refresh_token"].as_str().unwrap());
        assert_eq!(who(server, access).await, (StatusCode::OK, json!("octocat")));

        // The team is a claim, which every request checks again.
        let eve = server.person("eve").await;
        let body = json!({"refresh_token": second, "team_id": eve.team_id.as_str()});
        let pair = answer(server.post("/auth/refresh").json(&body).send().await.unwrap()).await.1;
        let (named, third) =
            (pair["access_token"].as_str().unwrap(), pair["refresh_token"].as_str().unwrap());
        assert_eq!(claims_of(named), ["aud", "exp", "iat", "iss", "jti", "sid", "sub", "team_id"]);
        let push = server.push(named, &crate::support::batch("s", 0, &[])).send().await.unwrap();
        assert_eq!(push.status(), StatusCode::NOT_FOUND);

        // The first refresh token is used again: all tokens of the sign-in end at once.
        let reused = problem(refresh(server, &first).await).await;
        assert_eq!((reused.0, reused.1.as_str()), (401, "invalid_credential"));
        assert!(reused.2.contains("used before"), "{}", reused.2);
        assert_eq!(refresh(server, third).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            who(server, access).await.0,
            StatusCode::UNAUTHORIZED,
            "access tokens end with their sign-in"
        );

        for by_body in [false, true] {
            let (access, token) = pair_of(&world).await;
            let logout = server.post("/auth/logout");
            let logout = if by_body {
                logout.json(&json!({ "refresh_token": token }))
            } else {
                logout.bearer_auth(&access)
            };
            assert_eq!(logout.send().await.unwrap().status(), StatusCode::NO_CONTENT);
            assert_eq!(who(server, &access).await.0, StatusCode::UNAUTHORIZED);
            assert_eq!(refresh(server, &token).await.status(), StatusCode::UNAUTHORIZED);
        }
        let unknown = json!({"refresh_token": "han_refresh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
        let guess = server.post("/auth/logout").json(&unknown).send().await.unwrap();
        assert_eq!(guess.status(), StatusCode::NO_CONTENT, "a guess reveals nothing");
        for (body, status) in
            [(unknown, 401), (json!({"refresh_token": "x"}), 401), (json!({}), 400), (json!([]), 400)]
        {
            let response = server.post("/auth/refresh").json(&body).send().await.unwrap();
            assert_eq!(problem(response).await.0, status, "{body}");
        }
        let form =
            server.post("/auth/refresh").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        assert_eq!(form.body("refresh_token=x").send().await.unwrap().status(), 400);
        world.server.stop().await;
    }
);

both_databases!(
    async fn a_user_lists_and_revokes_sign_ins(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let mut browser = Browser::default();
        browser.sign_in(server, "text/html").await;
        server.clock.advance_seconds(1);
        let (access, refresh_token) = pair_of(&world).await;
        let list = async |token: &str| {
            let query = "{ mySessions { id kind current } }";
            answer(server.graphql(token, query).send().await.unwrap()).await.1
        };
        let listed = list(&access).await["data"]["mySessions"].clone();
        let shown: Vec<_> =
            listed.as_array().unwrap().iter().map(|s| (s["kind"].clone(), s["current"].clone())).collect();
        assert_eq!(shown, [(json!("PROGRAM"), json!(true)), (json!("BROWSER"), json!(false))]);

        // The browser revokes the program's sign-in: its socket closes, and its tokens are refused.
        let mut socket = server.socket_as(&access).await;
        let id = listed[0]["id"].as_str().unwrap();
        let revoke = |id: &str| {
            let body =
                json!({"query": "mutation($id: ID!) { revokeSession(id: $id) }", "variables": {"id": id}});
            let request = server.post("/graphql").header("cookie", browser.header());
            request.header("origin", &server.url).json(&body).send()
        };
        // Other users may neither see nor revoke it.
        let eve = server.person("eve").await;
        let eves = server.jwt.mint(&eve.user_id, None, server.db.entropy()).unwrap();
        assert_eq!(list(&eves).await["data"]["mySessions"], json!([]));
        let query = format!("mutation {{ revokeSession(id: {id:?}) }}");
        let body = answer(server.graphql(&eves, &query).send().await.unwrap()).await.1;
        assert_eq!(body["errors"][0]["extensions"]["code"], "NOT_FOUND");
        for query in ["{ mySessions { id } }", query.as_str()] {
            let body = answer(server.graphql(&eve.key, query).send().await.unwrap()).await.1;
            assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN", "an API key");
        }
        let done = answer(revoke(id).await.unwrap()).await.1;
        assert_eq!(done["data"]["revokeSession"], true, "{done}");
        assert_eq!(socket.receive().await, Err(4403));
        assert_eq!(who(server, &access).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(refresh(server, &refresh_token).await.status(), StatusCode::UNAUTHORIZED);
        let again = answer(revoke(id).await.unwrap()).await.1;
        assert_eq!(again["errors"][0]["extensions"]["code"], "NOT_FOUND");
        world.server.stop().await;
    }
);

both_databases!(
    async fn concurrent_refreshes_both_succeed(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let (_, token) = pair_of(&world).await;
        let (one, two) = tokio::join!(refresh(server, &token), refresh(server, &token));
        let (one, two) = (answer(one).await, answer(two).await);
        assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK));
        assert_ne!(one.1["refresh_token"], two.1["refresh_token"]);
        let next = |pair: &(StatusCode, Value)| pair.1["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(refresh(server, &next(&two)).await.status(), StatusCode::OK);
        server.clock.advance_seconds(token_families::RETRY_SECONDS + 1);
        assert_eq!(refresh(server, &next(&one)).await.status(), StatusCode::UNAUTHORIZED);
        world.server.stop().await;
    }
);

both_databases!(
    async fn tokens_of_the_previous_jwt_secret_are_accepted(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| {
            config.secrets.jwt_previous = Some(std::mem::replace(
                &mut config.secrets.jwt,
                "the next secret, long enough for HS256".into(),
            ));
        })
        .await;
        let ada = server.person("ada").await;
        // The keys of the test sign with the secret that is now the previous one.
        let before = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        assert_eq!(who(&server, &before).await, (StatusCode::OK, json!("ada")));
        server.stop().await;
        let server = TestServer::start_with(&db, |config| {
            assert!(config.secrets.jwt_previous.is_none() && !JWT_SECRET.is_empty());
            config.secrets.jwt = "the next secret, long enough for HS256".into();
        })
        .await;
        assert_eq!(who(&server, &before).await.0, StatusCode::UNAUTHORIZED, "rotated out");
        server.stop().await;
    }
);

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn poll(server: &TestServer, device_code: &str) -> (u16, String) {
    let form = format!("grant_type={}&device_code={device_code}&client_id=cli", GRANT.replace(':', "%3A"));
    let (status, body) = answer(server.post_form("/auth/device/token", form).send().await.unwrap()).await;
    let result = body["error"].as_str().or(body["access_token"].as_str()).unwrap_or_default().to_owned();
    (status.as_u16(), result)
}

both_databases!(
    async fn the_device_flow_needs_approval_in_a_browser(db: TestDatabase) {
        let world = World::start(&db).await;
        let server = &world.server;
        let begin = async || {
            let request = server.post_form("/auth/device/code", "client_id=han-coordinator");
            let (status, body) = answer(request.send().await.unwrap()).await;
            assert_eq!((status, &body["interval"]), (StatusCode::OK, &json!(5)));
            body
        };
        let begun = begin().await;
        let text = |name: &str| begun[name].as_str().unwrap().to_owned();
        let (device, user_code) = (text("device_code"), text("user_code"));
        assert_eq!(text("verification_uri"), format!("{}/auth/device", server.url));
        assert_eq!(
            text("verification_uri_complete"),
            format!("{}/auth/device?user_code={user_code}", server.url)
        );
        assert_eq!(poll(server, &device).await, (400, "authorization_pending".to_owned()));
        assert_eq!(poll(server, &device).await, (400, "slow_down".to_owned()));

        // Not signed in: the page links to GitHub, which redirects back to the page.
        let path = format!("/auth/device?user_code={}", user_code.to_lowercase());
        let mut browser = Browser::default();
        let page = browser.go(server, &path, "text/html").await;
        assert_eq!(page.status(), StatusCode::UNAUTHORIZED);
        let page = page.text().await.unwrap();
        let begin_at = page.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let back = browser.consent(server, &begin_at).await;
        let done = browser.go(server, &back, "text/html").await;
        assert_eq!(location(&done), format!("/auth/device?user_code={user_code}"));
        let shown = browser.go(server, &location(&done), "text/html").await;
        let policy = shown.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"));
        let shown = shown.text().await.unwrap();
        for word in ["octocat", "han-coordinator", "127.0.0.1", user_code.as_str()] {
            assert!(shown.contains(word), "{word}: {shown}");
        }

        let form = |decision: &str| format!("user_code={user_code}&decision={decision}");
        let decide = |decision: &str, origin: &str, cookie: &str| {
            let request = server.post_form("/auth/device", form(decision));
            let request =
                if origin.is_empty() { request } else { request.header("origin", origin.to_owned()) };
            if cookie.is_empty() { request } else { request.header("cookie", cookie.to_owned()) }
        };
        let cookie = browser.header();
        for (origin, cookie, status) in [
            ("https://evil.example", cookie.as_str(), 403),
            ("null", cookie.as_str(), 403),
            ("", cookie.as_str(), 403),
            (server.url.as_str(), "", 401),
            (server.url.as_str(), "han_session=junk", 401),
        ] {
            let refused = decide("approve", origin, cookie).send().await.unwrap();
            assert_eq!(refused.status(), status, "{origin:?} {cookie:?}");
        }
        let bad = decide("perhaps", &server.url, &cookie).send().await.unwrap();
        assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
        let bearer =
            server.post_form("/auth/device", form("approve")).bearer_auth(&server.person("eve").await.key);
        let bearer = bearer.header("origin", &server.url).send().await.unwrap();
        assert_eq!(bearer.status(), StatusCode::UNAUTHORIZED, "an API key cannot approve");
        server.clock.advance_seconds(60);
        assert_eq!(poll(server, &device).await.1, "authorization_pending");

        let approved = decide("approve", &server.url, &cookie).send().await.unwrap();
        assert_eq!(approved.status(), StatusCode::OK);
        assert_eq!(decide("deny", &server.url, &cookie).send().await.unwrap().status(), StatusCode::GONE);
        let (status, access) = poll(server, &device).await;
        assert_eq!(status, 200);
        assert_eq!(who(server, &access).await, (StatusCode::OK, json!("octocat")));
        assert_eq!(poll(server, &device).await, (400, "invalid_grant".to_owned()));

        let begun = begin().await;
        let (device, user_code) =
            (begun["device_code"].as_str().unwrap(), begun["user_code"].as_str().unwrap());
        let refuse = server.post_form("/auth/device", format!("user_code={user_code}&decision=deny"));
        let refused = refuse.header("origin", &server.url).header("cookie", &cookie).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::OK);
        assert_eq!(poll(server, device).await, (400, "access_denied".to_owned()));
        let begun = begin().await;
        server.clock.advance_seconds(600);
        assert_eq!(
            poll(server, begun["device_code"].as_str().unwrap()).await,
            (400, "expired_token".to_owned())
        );
        world.server.stop().await;
    }
);

/// Pauses end when the test adds a permit, and advance the server's clock.
struct StepSleeper(TestClock, Semaphore);

impl Sleeper for StepSleeper {
    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.1.acquire().await.unwrap().forget();
            self.0.advance_seconds(pause.as_secs().try_into().unwrap());
        })
    }
}

/// The output of a program, readable while it runs.
#[derive(Clone, Default)]
struct SharedOutput(Arc<Mutex<Vec<u8>>>);

impl Write for SharedOutput {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

both_databases!(
    async fn the_coordinator_signs_in_and_pushes(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        let home = tempfile::tempdir().unwrap();
        let store = LoginStore::new(home.path().join("config"));
        assert!(matches!(
            Client::with_login(&server.url, store.clone(), None),
            Err(han_coordinator::Error::MissingKey)
        ));
        let turns = Arc::new(StepSleeper(server.clock.clone(), Semaphore::new(0)));
        let printed = SharedOutput::default();
        let mut out = printed.clone();
        let signing_in = han_coordinator::login(&server.url, &store, &*turns, &mut out);
        let approving = async {
            let code = loop {
                let text = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
                if let Some((_, rest)) = text.split_once("user_code=") {
                    break rest.split_whitespace().next().unwrap().to_owned();
                }
                tokio::task::yield_now().await;
            };
            // It polls once before the approval.
            turns.1.add_permits(1);
            let form = server.post_form("/auth/device", format!("user_code={code}&decision=approve"));
            let approved = form.header("origin", &server.url).header("cookie", &cookie).send().await.unwrap();
            assert_eq!(approved.status(), StatusCode::OK);
            turns.1.add_permits(5);
        };
        tokio::join!(signing_in, approving).0.unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }

        let project = home.path().join("projects/p");
        std::fs::create_dir_all(&project).unwrap();
        let lines = han_testkit::SyntheticSession::new(1).lines(30);
        let file = project.join("0190aaaa-0000-7000-8000-000000000001.jsonl");
        std::fs::write(&file, lines[..10].join("\n") + "\n").unwrap();
        let client =
            Client::with_login(&server.url, store.clone(), None).unwrap().with_sleeper(turns.clone());
        let first = push(&project, &client, &PushOptions::default()).await;
        assert!(first.succeeded(), "{first:?}");
        assert_eq!(first.stored, 10);
        // Its access token has expired by now; the same client refreshes it.
        server.clock.advance_seconds(900);
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let second = push(&project, &client, &PushOptions::default()).await;
        assert_eq!((second.succeeded(), second.stored), (true, 20), "{second:?}");
        // Another process continues with the stored login.
        let other = Client::with_login(&server.url, store.clone(), None).unwrap();
        assert!(push(&project, &other, &PushOptions::default()).await.succeeded());

        let sign_in = sign_ins::live(&server.db, &ada.user_id).await.unwrap();
        let sign_in = sign_in.iter().find(|found| found.label.as_deref() == Some("han-coordinator")).unwrap();
        assert!(sign_ins::revoke(&server.db, &ada.user_id, sign_in.means, &sign_in.id).await.unwrap());
        let ended = push(&project, &other, &PushOptions::default()).await;
        assert!(matches!(ended.stopped, Some(han_coordinator::Error::LoginEnded { .. })), "{ended:?}");
        server.stop().await;
    }
);

both_databases!(
    async fn malformed_device_flow_requests_get_rfc_6749_errors(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        for (path, form, code) in [
            ("/auth/device/code", "", "invalid_request"),
            ("/auth/device/code", "client_id=", "invalid_request"),
            ("/auth/device/code", "client_id=Your+bank+asks", "invalid_request"),
            ("/auth/device/token", "", "unsupported_grant_type"),
            ("/auth/device/token", "grant_type=password", "unsupported_grant_type"),
            (
                "/auth/device/token",
                "grant_type=urn:ietf:params:oauth:grant-type:device_code",
                "invalid_grant",
            ),
            (
                "/auth/device/token",
                "grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=junk",
                "invalid_grant",
            ),
        ] {
            let (status, body) = answer(server.post_form(path, form).send().await.unwrap()).await;
            assert_eq!(
                (status, body["error"].as_str()),
                (StatusCode::BAD_REQUEST, Some(code)),
                "{path} {form}"
            );
        }
        let ada = server.person("ada").await;
        let cookie = server.cookie(&ada.user_id).await;
        for (code, status) in [("", 200), ("junk", 200), ("BCDF-GHJK", 410), ("%3Cscript%3E", 200)] {
            let page = server.get(&format!("/auth/device?user_code={code}")).header("cookie", &cookie);
            let page = page.send().await.unwrap();
            assert_eq!(page.status(), status, "{code}");
            assert!(!page.text().await.unwrap().contains("<script"));
        }
        server.stop().await;
    }
);

/// The state of the job that asks GitHub again.
async fn github_job(server: &TestServer) -> han_db::entities::JobStatus {
    let jobs = han_db::queries::jobs::list(&server.db).await.unwrap();
    jobs.into_iter().find(|job| job.name == "github-access").unwrap()
}

/// Lets the job ask again, and waits until GitHub was asked about the memberships of `users` users.
async fn asked_about(world: &World, users: usize) {
    let asked = || world.github.requests().iter().filter(|request| request.ends_with("/orgs/acme")).count();
    let before = asked();
    world.server.clock.advance_seconds(3);
    while asked() < before + users {
        tokio::task::yield_now().await;
    }
}

/// Lets the job ask again, and waits until a run of it has failed.
async fn fails(world: &World) {
    let before = github_job(&world.server).await.failures;
    world.server.clock.advance_seconds(3);
    while github_job(&world.server).await.failures == before {}
}

/// Everything that gives a user access: a cookie, a pair of tokens, a key, an open socket.
struct Access {
    cookie: String,
    access: String,
    refresh: String,
    key: String,
    socket: crate::support::Socket,
}

impl Access {
    async fn of(world: &World, login: &str) -> Self {
        let server = &world.server;
        let mut browser = Browser::default();
        assert_eq!(browser.sign_in(server, "text/html").await.status(), StatusCode::SEE_OTHER);
        let (access, refresh) = pair_of(world).await;
        let user = users::by_name(&server.db, login).await.unwrap().remove(0);
        let team = memberships::list(&server.db, &user.id).await.unwrap().remove(0).team;
        let (_, key) = server.key(&user.id, &team.id, "read sync:write", None).await;
        let mut socket = server.socket_as(&key).await;
        socket.subscribe("s", "subscription { memoryUpdated { action } }").await;
        Self { cookie: browser.header(), access, refresh, key, socket }
    }

    /// The statuses of requests with the cookie, the access token and the key.
    async fn statuses(&self, server: &TestServer) -> [u16; 3] {
        let body = json!({ "query": "{ __typename }" });
        let with_cookie =
            server.post("/graphql").header(header::COOKIE, &self.cookie).header("origin", &server.url);
        let mut statuses = [with_cookie.json(&body).send().await.unwrap().status().as_u16(), 0, 0];
        for (at, token) in [(1, &self.access), (2, &self.key)] {
            statuses[at] = server.graphql(token, "{ __typename }").send().await.unwrap().status().as_u16();
        }
        statuses
    }

    async fn refreshes(&self, server: &TestServer) -> u16 {
        let asked = json!({ "refresh_token": self.refresh });
        server.post("/auth/refresh").json(&asked).send().await.unwrap().status().as_u16()
    }
}

fn acme(app: &mut GithubConfig) {
    app.allowed_orgs = vec!["acme".to_owned()];
    app.allowed_logins = vec!["listed".to_owned()];
    app.check_every = Duration::from_secs(1);
}

both_databases!(
    async fn a_user_who_leaves_the_organization_loses_all_access(db: TestDatabase) {
        let world = World::start_with(&db, acme).await;
        let server = &world.server;
        let member = |id, login: &str| GithubAccount {
            orgs: vec!["acme".to_owned()],
            ..GithubAccount::new(id, login)
        };
        world.github.sign_in(GithubAccount::new(3, "listed"));
        let listed = Access::of(&world, "listed").await;
        world.github.sign_in(member(1, "stays"));
        let stays = Access::of(&world, "stays").await;
        world.github.sign_in(member(2, "leaves"));
        let mut leaves = Access::of(&world, "leaves").await;
        asked_about(&world, 2).await;
        for access in [&listed, &stays, &leaves] {
            assert_eq!(access.statuses(server).await, [200, 200, 200], "nothing has changed");
        }

        world.github.set_orgs(2, &[]);
        server.clock.advance_seconds(3);
        loop {
            match leaves.socket.receive().await {
                Ok(_) => {}
                Err(code) => break assert_eq!(code, 4403),
            }
        }
        assert_eq!(leaves.statuses(server).await, [401, 401, 401]);
        assert_eq!(leaves.refreshes(server).await, 401);
        for access in [&listed, &stays] {
            assert_eq!(access.statuses(server).await, [200, 200, 200]);
        }
        assert_eq!(stays.refreshes(server).await, 200);
        // Signing in again is refused, and works again once the user is back.
        let refused = Browser::default().sign_in(server, "text/html").await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        world.github.set_orgs(2, &["acme"]);
        assert_eq!(Browser::default().sign_in(server, "text/html").await.status(), StatusCode::SEE_OTHER);
        assert_eq!(leaves.statuses(server).await, [401, 401, 401], "what was ended stays ended");

        // A user who revokes the app's token has to sign in again.
        world.github.revoke_tokens(1);
        server.clock.advance_seconds(3);
        while stays.statuses(server).await != [401, 401, 401] {}
        world.server.stop().await;
    }
);

both_databases!(
    async fn a_github_that_does_not_answer_ends_no_access(db: TestDatabase) {
        for fault in [
            GithubFault::Down,
            GithubFault::Pages,
            GithubFault::Redirects,
            GithubFault::SecondaryLimit(60),
            GithubFault::BlockedApp,
        ] {
            let database =
                if db.is_postgres() { TestDatabase::postgres().await } else { TestDatabase::sqlite().await };
            let world = World::start_with(&database, acme).await;
            let account = GithubAccount { orgs: vec!["acme".to_owned()], ..GithubAccount::new(1, "ada") };
            world.github.sign_in(account);
            let access = Access::of(&world, "ada").await;
            world.github.set_fault(Some(fault));
            fails(&world).await;
            let error = github_job(&world.server).await.last_error.unwrap();
            assert!(error.contains("GitHub gave no answer about 1 user"), "{error}");
            assert_eq!(access.statuses(&world.server).await, [200, 200, 200], "{fault:?}");
            world.server.stop().await;
        }
    }
);

both_databases!(
    async fn tokens_of_github_are_stored_sealed_and_only_if_needed(db: TestDatabase) {
        let world = World::start_with(&db, acme).await;
        let account = GithubAccount { orgs: vec!["acme".to_owned()], ..GithubAccount::new(1, "ada") };
        world.github.sign_in(account);
        pair_of(&world).await;
        let due =
            han_db::queries::github_accounts::due(&world.server.db, Duration::ZERO, None, 10).await.unwrap();
        assert_eq!(due.len(), 1);
        let token = due[0].token.as_ref().unwrap().expose();
        assert!(token.starts_with("gho_") && !format!("{due:?}").contains("gho_"));
        let stored: String = db.text("SELECT token FROM github_accounts").await;
        assert!(stored.starts_with("v1:") && !stored.contains("gho_"), "{stored}");
        world.server.stop().await;
        // Where everyone may sign in, there is nothing to ask later.
        let database =
            if db.is_postgres() { TestDatabase::postgres().await } else { TestDatabase::sqlite().await };
        let open = World::start(&database).await;
        pair_of(&open).await;
        assert_eq!(database.text("SELECT COALESCE(token, 'none') FROM github_accounts").await, "none");
        open.server.stop().await;
    }
);

#[tokio::test]
async fn github_accounts_without_a_positive_number_are_refused() {
    let database = TestDatabase::sqlite().await;
    let world = World::start(&database).await;
    for id in [0, -1] {
        world.github.sign_in(GithubAccount::new(id, "octocat"));
        let response = Browser::default().sign_in(&world.server, "application/json").await;
        assert_eq!(problem(response).await.0, 503, "{id}");
    }
    assert!(users::by_name(&world.server.db, "octocat").await.unwrap().is_empty());
    world.server.stop().await;
}
