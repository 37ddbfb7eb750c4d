//! Teams: creating, inviting, joining, leaving, API keys, and which members see which sessions.

use han_db::queries::{login_links, users};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::UserId;
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Socket, TestServer, answer};

/// A browser, signed in by a link.
struct Browser<'a> {
    server: &'a TestServer,
    user_id: UserId,
    cookie: String,
}

impl<'a> Browser<'a> {
    /// Creates a user, who signs in by a link.
    async fn of(server: &'a TestServer, name: &str) -> Self {
        let user_id = users::create(&server.db, name).await.unwrap().id;
        let link = login_links::create(&server.db, &user_id).await.unwrap();
        let redeem = server.post_form("/auth/login-link", format!("token={}", link.expose()));
        let response = redeem.header(header::ORIGIN, &server.url).send().await.unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        Self { server, user_id, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    /// The response to an operation.
    async fn answer(&self, query: &str, variables: Value) -> Value {
        let request = self.server.post("/graphql").json(&json!({ "query": query, "variables": variables }));
        let request = request.header(header::COOKIE, &self.cookie).header(header::ORIGIN, &self.server.url);
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// The value of one field of a response without errors.
    async fn ask(&self, field: &str, query: &str, variables: Value) -> Value {
        let mut body = self.answer(query, variables).await;
        assert!(body.get("errors").is_none(), "{body}");
        body["data"][field].take()
    }

    /// The code of the error.
    async fn refused(&self, query: &str, variables: Value) -> String {
        let body = self.answer(query, variables).await;
        body["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    async fn socket(&self) -> Socket {
        let headers = [("cookie", self.cookie.as_str()), ("origin", self.server.url.as_str())];
        let mut socket = self.server.socket(&headers).await.unwrap();
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.receive().await, Ok(json!({ "type": "connection_ack" })));
        socket
    }

    async fn found(&self, name: &str) -> Value {
        let query =
            "mutation($name: String!) { createTeam(name: $name) { id teamId slug name role plan seats } }";
        self.ask("createTeam", query, json!({ "name": name })).await
    }

    async fn invite(&self, team: &Value, email: &str) -> Value {
        self.ask("inviteToTeam", INVITE, json!({ "team": team["id"], "email": email })).await
    }

    async fn key(&self, team: &Value, scopes: &[&str]) -> (String, String) {
        let query = "mutation($team: ID!, $scopes: [String!]) { createApiKey(teamId: $team, name: \"ci\", scopes: $scopes) \
                     { secret apiKey { id scopes } } }";
        let made = self.ask("createApiKey", query, json!({ "team": team["id"], "scopes": scopes })).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["apiKey"]["id"]), text(&made["secret"]))
    }
}

/// Subscribes to new sessions, and waits until the subscription is active.
async fn watch(socket: &mut Socket) {
    socket.subscribe("live", "subscription { sessionAdded { sessionId } }").await;
    socket.subscribe("ready", "{ __typename }").await;
    assert_eq!(socket.receive().await.unwrap()["id"], "ready");
    assert_eq!(socket.receive().await.unwrap()["type"], "complete");
}

const INVITE: &str = "mutation($team: ID!, $email: String!) { inviteToTeam(teamId: $team, email: $email) \
                      { code url invite { id email expiresAt invitedBy { name } } } }";
const ACCEPT: &str = "mutation($code: String!) { acceptInvite(code: $code) { id slug role } }";
const SEEN: &str = "query($node: ID!, $raw: String!) { sessions(first: 10) { totalCount edges { node { sessionId } } } \
                    node(id: $node) { id } session(id: $raw) { id messageCount } }";

both_databases!(
    async fn members_see_pushed_sessions_and_others_do_not(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, bob) = (Browser::of(&server, "ada").await, Browser::of(&server, "bob").await);
        let eve = Browser::of(&server, "eve").await;
        let empty = ada.ask("sessions", "{ sessions { totalCount edges { cursor } } }", json!({})).await;
        assert_eq!(empty, json!({ "totalCount": 0, "edges": [] }), "a user without a team");

        let team = ada.found("Orchard & Co").await;
        assert!(team["slug"].as_str().unwrap().starts_with("orchard-co-"), "{team}");
        assert_eq!(team["role"], "ADMIN");
        assert_eq!(
            (&team["plan"], &team["seats"]),
            (&json!("ENTERPRISE"), &Value::Null),
            "plans are not enforced"
        );
        let other = eve.found("Elsewhere").await;
        let invitation = ada.invite(&team, "bob@example.com").await;
        let code = invitation["code"].as_str().unwrap();
        let url = invitation["url"].as_str().unwrap();
        assert_eq!(url, format!("{}/invite?code={code}", server.url));
        assert_eq!(invitation["invite"]["invitedBy"]["name"], "ada");

        // The link shows a button; the button uses the invite for the signed-in user.
        server.clock.advance_seconds(1);
        let page = server.http.get(url).send().await.unwrap();
        assert!(page.text().await.unwrap().contains("<form method=\"post\""));
        let press =
            || server.post_form("/invite", format!("code={code}")).header(header::ORIGIN, &server.url);
        let first = press().send().await.unwrap();
        assert_eq!(first.status(), StatusCode::UNAUTHORIZED);
        assert!(first.text().await.unwrap().contains("login-link"), "how to sign in without a GitHub app");
        let elsewhere =
            server.post_form("/invite", format!("code={code}")).header(header::COOKIE, &bob.cookie);
        let elsewhere = elsewhere.header(header::ORIGIN, "https://evil.example").send().await.unwrap();
        assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN);
        let joined = press().header(header::COOKIE, &bob.cookie).send().await.unwrap();
        assert_eq!(
            (joined.status(), &joined.headers()[header::LOCATION]),
            (StatusCode::SEE_OTHER, &"/".parse().unwrap())
        );
        let again = press().header(header::COOKIE, &eve.cookie).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::GONE, "once");
        assert_eq!(eve.refused(ACCEPT, json!({ "code": code })).await, "NOT_FOUND");
        let members = "query($team: ID!) { teamMembers(teamId: $team) { role user { name } } }";
        let listed = ada.ask("teamMembers", members, json!({ "team": team["id"] })).await;
        let names: Vec<_> =
            listed.as_array().unwrap().iter().map(|m| (&m["user"]["name"], &m["role"])).collect();
        assert_eq!(names, [(&json!("ada"), &json!("ADMIN")), (&json!("bob"), &json!("MEMBER"))]);

        // A session that is pushed with a sync-only key is announced to members of the team only.
        let mut sockets = [ada.socket().await, bob.socket().await, eve.socket().await];
        for socket in &mut sockets {
            watch(socket).await;
        }
        let (_, key) = ada.key(&team, &["sync:write"]).await;
        let (_, foreign) = eve.key(&other, &["sync:write"]).await;
        server.push_lines(&key, "apples", 0, &SyntheticSession::new(1).lines(6)).await;
        server.push_lines(&foreign, "pears", 0, &SyntheticSession::new(2).lines(6)).await;
        for (socket, expected) in sockets.iter_mut().zip(["apples", "apples", "pears"]) {
            assert_eq!(
                socket.receive().await.unwrap()["payload"]["data"]["sessionAdded"]["sessionId"],
                expected
            );
        }
        let apples = json!({ "node": "Session:apples", "raw": "apples" });
        for browser in [&ada, &bob] {
            let body = browser.answer(SEEN, apples.clone()).await;
            assert_eq!(body["data"]["sessions"]["totalCount"], 1);
            assert_eq!(body["data"]["node"]["id"], "Session:apples");
            assert!(body["data"]["session"]["messageCount"].as_i64().unwrap() > 0);
        }
        let body = eve.answer(SEEN, apples).await;
        assert_eq!(body["data"]["sessions"]["totalCount"], 1, "her own");
        assert_eq!(body["data"]["sessions"]["edges"][0]["node"]["sessionId"], "pears");
        assert_eq!((&body["data"]["node"], &body["data"]["session"]), (&Value::Null, &Value::Null));
        server.stop().await;
    }
);

both_databases!(
    async fn cursors_and_ids_of_another_team_find_nothing(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, eve) = (Browser::of(&server, "ada").await, Browser::of(&server, "eve").await);
        let (team, _) = (ada.found("orchard").await, eve.found("elsewhere").await);
        let (key_id, key) = ada.key(&team, &["read", "sync:write"]).await;
        for n in 0..3 {
            server.push_lines(&key, &format!("s{n}"), 0, &SyntheticSession::new(n).lines(6)).await;
        }
        let pages = "query($after: String) { sessions(first: 1, after: $after) { edges { node { sessionId } } pageInfo { endCursor } } }";
        let first = ada.ask("sessions", pages, json!({})).await;
        let after = json!({ "after": first["pageInfo"]["endCursor"] });
        assert_eq!(ada.ask("sessions", pages, after.clone()).await["edges"].as_array().unwrap().len(), 1);
        assert_eq!(eve.ask("sessions", pages, after).await["edges"], json!([]));

        let invitation = ada.invite(&team, "bob@example.com").await;
        let ids = json!({ "team": team["id"], "user": format!("User:{}", ada.user_id), "key": key_id,
            "invite": invitation["invite"]["id"] });
        let absent = json!({ "team": "Team:0190-no-such-team", "user": "User:0190-no-user", "key": "0190-none", "invite": "0190-none" });
        for operation in [
            "query($team: ID!) { teamMembers(teamId: $team) { role } }",
            "query($team: ID!) { teamInvites(teamId: $team) { id } }",
            "query($team: ID!) { apiKeys(teamId: $team) { id } }",
            "mutation($team: ID!) { renameTeam(teamId: $team, name: \"mine\") { id } }",
            "mutation($team: ID!) { switchTeam(teamId: $team) { id } }",
            "mutation($team: ID!) { leaveTeam(teamId: $team) }",
            "mutation($team: ID!) { inviteToTeam(teamId: $team, email: \"a@b.c\") { code } }",
            "mutation($team: ID!) { createApiKey(teamId: $team, name: \"mine\") { secret } }",
            "mutation($team: ID!) { rotateApiKey(teamId: $team) { secret } }",
            "mutation($team: ID!, $key: ID!) { revokeApiKey(teamId: $team, keyId: $key) }",
            "mutation($team: ID!, $invite: ID!) { revokeInvite(teamId: $team, inviteId: $invite) }",
            "mutation($team: ID!, $user: ID!) { removeMember(teamId: $team, userId: $user) }",
            "mutation($team: ID!, $user: ID!) { setMemberRole(teamId: $team, userId: $user, role: MEMBER) { role } }",
        ] {
            let wanted = |ids: &Value| {
                let named = ["team", "user", "key", "invite"]
                    .iter()
                    .filter(|name| operation.contains(&format!("${name}:")));
                named.map(|name| ((*name).to_owned(), ids[name].clone())).collect::<serde_json::Map<_, _>>()
            };
            let (foreign, none) = (
                eve.answer(operation, wanted(&ids).into()).await,
                eve.answer(operation, wanted(&absent).into()).await,
            );
            assert_eq!(foreign["errors"][0]["extensions"]["code"], "NOT_FOUND", "{operation}: {foreign}");
            assert_eq!(foreign, none, "{operation}");
        }
        let slug = "query($slug: String!) { team(slug: $slug) { id } }";
        let named = json!({ "slug": team["slug"] });
        assert_eq!(eve.ask("team", slug, named.clone()).await, Value::Null);
        assert_eq!(ada.ask("team", slug, named).await["id"], team["id"]);
        server.stop().await;
    }
);

both_databases!(
    async fn a_removed_member_loses_access_at_once(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, bob) = (Browser::of(&server, "ada").await, Browser::of(&server, "bob").await);
        let team = ada.found("orchard").await;
        let code = ada.invite(&team, "bob@example.com").await["code"].take();
        bob.ask("acceptInvite", ACCEPT, json!({ "code": code })).await;
        let (_, key) = bob.key(&team, &["read", "sync:write"]).await;
        let (mut by_cookie, mut by_key) = (bob.socket().await, server.socket_as(&key).await);
        let mut stays = ada.socket().await;
        for socket in [&mut by_cookie, &mut by_key, &mut stays] {
            watch(socket).await;
        }
        let remove = "mutation($team: ID!, $user: ID!) { removeMember(teamId: $team, userId: $user) }";
        let member = json!({ "team": team["id"], "user": format!("User:{}", bob.user_id) });
        assert_eq!(ada.ask("removeMember", remove, member.clone()).await, json!(true));
        let (_, own) = ada.key(&team, &["sync:write"]).await;
        server.push_lines(&own, "later", 0, &SyntheticSession::new(1).lines(3)).await;
        for socket in [&mut by_cookie, &mut by_key] {
            loop {
                match socket.receive().await {
                    Err(code) => break assert_eq!(code, 4403),
                    // The subscription may report its own end first, but no later session.
                    Ok(received) => assert!(received["payload"]["data"].is_null(), "{received}"),
                }
            }
        }
        assert_eq!(stays.receive().await.unwrap()["payload"]["data"]["sessionAdded"]["sessionId"], "later");
        assert_eq!(ada.refused(remove, member).await, "NOT_FOUND");
        assert_eq!(server.graphql(&key, "{ __typename }").send().await.unwrap().status(), 401);
        let left = bob.answer("{ activeTeam { id } sessions { totalCount } }", json!({})).await;
        assert_eq!(left["data"], json!({ "activeTeam": null, "sessions": { "totalCount": 0 } }));
        let leave = "mutation($team: ID!) { leaveTeam(teamId: $team) }";
        assert_eq!(ada.refused(leave, json!({ "team": team["id"] })).await, "CONFLICT", "the last admin");
        server.stop().await;
    }
);

both_databases!(
    async fn switching_teams_changes_what_a_browser_sees(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = Browser::of(&server, "ada").await;
        let first = ada.found("first").await;
        server.clock.advance_seconds(1);
        let second = ada.found("second").await;
        let (_, key) = ada.key(&second, &["read", "sync:write"]).await;
        server.push_lines(&key, "s1", 0, &SyntheticSession::new(1).lines(3)).await;
        let teams = ada.ask("myTeams", "{ myTeams { id } }", json!({})).await;
        assert_eq!(teams, json!([{ "id": first["id"] }, { "id": second["id"] }]));
        let seen = "{ activeTeam { id } sessions { totalCount } }";
        let before = ada.answer(seen, json!({})).await;
        assert_eq!(
            before["data"],
            json!({ "activeTeam": { "id": first["id"] }, "sessions": { "totalCount": 0 } })
        );
        let mut socket = ada.socket().await;
        let switch = "mutation($team: ID!) { switchTeam(teamId: $team) { id } }";
        ada.ask("switchTeam", switch, json!({ "team": second["id"] })).await;
        assert_eq!(socket.receive().await, Err(4403), "the socket belonged to the other team");
        let after = ada.answer(seen, json!({})).await;
        assert_eq!(
            after["data"],
            json!({ "activeTeam": { "id": second["id"] }, "sessions": { "totalCount": 1 } })
        );
        // An API key belongs to one team and shows no other.
        let (_, of_key) = answer(server.graphql(&key, "{ myTeams { id } }").send().await.unwrap()).await;
        assert_eq!(of_key["data"]["myTeams"], json!([{ "id": second["id"] }]));
        let switch = format!("mutation {{ switchTeam(teamId: {}) {{ id }} }}", first["id"]);
        let (_, refused) = answer(server.graphql(&key, &switch).send().await.unwrap()).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        server.stop().await;
    }
);

both_databases!(
    async fn an_api_key_can_rotate_itself_only(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = Browser::of(&server, "ada").await;
        let team = ada.found("orchard").await;
        let (id, key) = ada.key(&team, &["sync:write"]).await;
        let id_of_team = team["teamId"].as_str().unwrap();
        let (status, _) =
            answer(server.get("/api/sync/status").bearer_auth(&key).send().await.unwrap()).await;
        assert_eq!(status, 200);
        let refused = async |key: &str, query: &str| {
            let (_, body) = answer(server.graphql(key, query).send().await.unwrap()).await;
            body["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
        };
        for query in [
            format!("mutation {{ createApiKey(teamId: \"{id_of_team}\", name: \"x\") {{ secret }} }}"),
            format!("mutation {{ inviteToTeam(teamId: \"{id_of_team}\", email: \"a@b.c\") {{ code }} }}"),
            format!("mutation {{ revokeApiKey(teamId: \"{id_of_team}\", keyId: \"{id}\") }}"),
            format!(
                "mutation {{ rotateApiKey(teamId: \"{id_of_team}\", keyId: \"0190-another\") {{ secret }} }}"
            ),
            "mutation { createTeam(name: \"x\") { id } }".to_owned(),
            format!("{{ apiKeys(teamId: \"{id_of_team}\") {{ id }} }}"),
            "{ me { id } }".to_owned(),
        ] {
            assert_eq!(refused(&key, &query).await, "FORBIDDEN", "{query}");
        }
        let rotate = format!(
            "mutation {{ rotateApiKey(teamId: \"{id_of_team}\", graceSeconds: 60) {{ secret apiKey {{ id }} }} }}"
        );
        let (_, body) = answer(server.graphql(&key, &rotate).send().await.unwrap()).await;
        let new =
            body["data"]["rotateApiKey"]["secret"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        assert_eq!(refused(&key, &rotate).await, "CONFLICT", "a key can be rotated once");
        server.push_lines(&new, "s1", 0, &SyntheticSession::new(1).lines(3)).await;
        server.push_lines(&key, "s1", 0, &SyntheticSession::new(1).lines(3)).await;
        server.clock.advance_seconds(60);
        assert_eq!(
            server.graphql(&key, "{ __typename }").send().await.unwrap().status(),
            401,
            "the grace period has ended"
        );

        // A user with several keys must name one.
        let (other, _) = ada.key(&team, &["read"]).await;
        let rotate = "mutation($team: ID!, $key: ID) { rotateApiKey(teamId: $team, keyId: $key) { secret apiKey { id scopes } } }";
        assert_eq!(ada.refused(rotate, json!({ "team": team["id"] })).await, "BAD_USER_INPUT");
        let made = ada.ask("rotateApiKey", rotate, json!({ "team": team["id"], "key": other })).await;
        assert_eq!(made["apiKey"]["scopes"], json!(["read"]));
        assert_eq!(server.graphql(&new, "{ __typename }").send().await.unwrap().status(), 200);
        server.stop().await;
    }
);

both_databases!(
    async fn plans_are_enforced_when_billing_is_configured(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.plans.billing_configured = true).await;
        let ada = Browser::of(&server, "ada").await;
        let team = ada.found("orchard").await;
        assert_eq!((&team["plan"], &team["seats"]), (&json!("FREE"), &json!(1)));
        let refused = ada.refused(INVITE, json!({ "team": team["id"], "email": "bob@example.com" })).await;
        assert_eq!(refused, "PLAN_LIMIT");
        server.stop().await;
    }
);

both_databases!(
    async fn invalid_names_emails_and_codes_are_refused(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = Browser::of(&server, "ada").await;
        let team = ada.found("orchard").await;
        for name in ["", "  ", "a\u{7}b", &"x".repeat(101)] {
            let query = "mutation($name: String!) { createTeam(name: $name) { id } }";
            assert_eq!(ada.refused(query, json!({ "name": name })).await, "BAD_USER_INPUT", "{name:?}");
        }
        for email in
            ["", "ada", "@example.com", "a b@example.com", &format!("{}@example.com", "x".repeat(250))]
        {
            let refused = ada.refused(INVITE, json!({ "team": team["id"], "email": email })).await;
            assert_eq!(refused, "BAD_USER_INPUT", "{email:?}");
        }
        assert_eq!(ada.refused(ACCEPT, json!({ "code": "han_invite_short" })).await, "BAD_USER_INPUT");
        let wrong = format!("han_invite_{}", "A".repeat(43));
        for _ in 0..5 {
            assert_eq!(ada.refused(ACCEPT, json!({ "code": wrong })).await, "NOT_FOUND");
        }
        let locked = ada.answer(ACCEPT, json!({ "code": wrong })).await;
        let extensions = &locked["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "RATE_LIMITED");
        assert_eq!(extensions["retryAfter"], 15 * 60);
        server.stop().await;
    }
);

/// Two replicas on one PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_revoked_on_one_replica_ends_on_the_other() {
    let db = TestDatabase::postgres().await;
    let (one, two) = (TestServer::start(&db).await, TestServer::start(&db).await);
    let ada = one.person("ada").await;
    let bob = one.colleague(&ada, "bob").await;
    let (mut by_key, mut by_member) = (two.socket_as(&ada.key).await, two.socket_as(&bob.key).await);
    let token = one.jwt.mint(&ada.user_id, None, one.db.entropy()).unwrap();
    let ids = format!("teamId: \"{}\"", ada.team_id);
    for (operation, socket) in [
        (format!("mutation {{ revokeApiKey({ids}, keyId: \"{}\") }}", ada.key_id), &mut by_key),
        (format!("mutation {{ removeMember({ids}, userId: \"{}\") }}", bob.user_id), &mut by_member),
    ] {
        let (_, body) = answer(one.graphql(&token, &operation).send().await.unwrap()).await;
        assert!(body.get("errors").is_none(), "{body}");
        assert_eq!(socket.receive().await, Err(4403), "{operation}");
    }
    one.stop().await;
    two.stop().await;
}
