//! Deleting what users request: who may, the grace period, and what clients notice.

use han_db::queries::deletion_requests;
use han_db::queries::memberships;
use han_testkit::{SyntheticSession, TestDatabase, both_databases, fixtures};
use han_types::UserId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Person, TestServer, answer, command, exported, lines_of, problem, push_directory};

const DAY: i64 = 86_400;

/// A person's access token.
fn token(server: &TestServer, user: &UserId) -> String {
    server.jwt.mint(user, None, server.db.entropy()).unwrap()
}

/// Sends a request as a person who has signed in.
async fn ask(server: &TestServer, who: &Person, method: Method, path: &str) -> (StatusCode, Value) {
    let path = path.replace("{team}", who.team_id.as_str());
    let request = server.request(method, &path).bearer_auth(token(server, &who.user_id));
    answer(request.send().await.unwrap()).await
}

async fn delete(server: &TestServer, who: &Person, path: &str) -> (StatusCode, Value) {
    ask(server, who, Method::DELETE, path).await
}

/// What the job does: all that is due.
async fn work(server: &TestServer) {
    loop {
        let due = deletion_requests::due(&server.db).await.unwrap();
        let Some(first) = due.first() else { return };
        deletion_requests::advance(&server.db, first).await.unwrap();
    }
}

both_databases!(
    async fn a_session_is_deleted_after_its_grace_period(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let lines = SyntheticSession::new(1).lines(30);
        server.push_lines(&bob.key, "s1", 0, &lines[..20]).await;
        let path = "/api/sync/teams/{team}/sessions/s1";
        let (status, receipt) = delete(&server, &bob, path).await;
        assert_eq!(
            (status, &receipt["state"], &receipt["subject"]),
            (StatusCode::ACCEPTED, &json!("scheduled"), &json!("s1"))
        );
        assert_eq!(receipt["due_at"], json!("2026-12-02T09:00:00.000Z"), "30 days later");
        let one = format!("/api/sync/teams/{{team}}/deletions/{}", receipt["id"].as_str().unwrap());

        // Until then it goes on, and the deletion can be cancelled.
        work(&server).await;
        assert_eq!(server.push_lines(&bob.key, "s1", 20, &lines[20..25]).await["stored"], 5);
        let (status, cancelled) = delete(&server, &bob, &one).await;
        assert_eq!((status, &cancelled["state"]), (StatusCode::OK, &json!("cancelled")));
        server.clock.advance_seconds(30 * DAY);
        work(&server).await;
        assert_eq!(server.push_lines(&bob.key, "s1", 25, &lines[25..]).await["stored"], 5);

        let (_, receipt) = delete(&server, &bob, path).await;
        let one = format!("/api/sync/teams/{{team}}/deletions/{}", receipt["id"].as_str().unwrap());
        server.clock.advance_seconds(30 * DAY - 1);
        work(&server).await;
        assert_eq!(ask(&server, &bob, Method::GET, &one).await.1["state"], "scheduled");
        let mut socket = server.socket_as(&token(&server, &ada.user_id)).await;
        let updated = "subscription { nodeUpdated(id: \"Session:s1\") { node { id } } }";
        socket.subscribe("s", updated).await;
        socket.subscribe("q", "{ session(id: \"s1\") { id } }").await;
        while socket.receive().await.unwrap()["type"] != "complete" {}
        server.clock.advance_seconds(1);
        work(&server).await;
        // A subscriber is notified.
        let notice = socket.receive().await.unwrap();
        assert_eq!(notice["id"], "s", "{notice}");
        assert_eq!(notice["payload"]["data"]["nodeUpdated"]["node"], Value::Null, "{notice}");

        let (_, receipt) = ask(&server, &bob, Method::GET, &one).await;
        assert_eq!(
            (&receipt["state"], &receipt["sessions"], &receipt["lines"]),
            (&json!("finished"), &json!(1), &json!(30)),
            "{receipt}"
        );
        assert_eq!(delete(&server, &bob, &one).await.0, StatusCode::CONFLICT);
        let again = server.push_lines(&bob.key, "s1", 0, &lines).await;
        assert_eq!(again["error"]["code"], "gone");
        assert_eq!(delete(&server, &bob, path).await.0, StatusCode::GONE);
        let export = format!("{path}/export");
        assert_eq!(ask(&server, &bob, Method::GET, &export).await.0, StatusCode::GONE);
        server.stop().await;
    }
);

both_databases!(
    async fn a_deletion_needs_a_person_a_right_and_a_confirmation(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.deletion.grace_days = 0).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let carl = server.colleague(&ada, "carl").await;
        for (person, session) in [(&ada, "a1"), (&ada, "a2"), (&bob, "b1"), (&bob, "b2"), (&carl, "c1")] {
            server.push_lines(&person.key, session, 0, &SyntheticSession::new(1).lines(5)).await;
        }
        let code = async |who: &Person, path: &str| {
            let (status, body) = delete(&server, who, path).await;
            (status.as_u16(), body["type"].as_str().unwrap_or_default().replace("urn:han:problem:", ""))
        };
        let refused = |status: u16, code: &str| (status, code.to_owned());
        let accepted = (202, String::new());
        let of_bob = format!("/api/sync/teams/{{team}}/members/{}/sessions", bob.user_id);
        let confirmed = format!("{of_bob}?confirm={}", bob.user_id);
        assert_eq!(code(&carl, "/api/sync/teams/{team}/sessions/b1").await, refused(403, "admins_only"));
        assert_eq!(code(&carl, &confirmed).await, refused(403, "admins_only"));
        assert_eq!(code(&carl, "/api/sync/teams/{team}/data?confirm=ada").await, refused(403, "admins_only"));
        assert_eq!(code(&carl, "/api/sync/teams/{team}?confirm=ada").await, refused(403, "admins_only"));
        assert_eq!(code(&ada, &of_bob).await, refused(400, "confirmation_needed"));
        assert_eq!(
            code(&ada, "/api/sync/teams/{team}/data?confirm=bob").await,
            refused(400, "confirmation_needed")
        );
        assert_eq!(code(&ada, "/api/sync/teams/{team}?confirm=").await, refused(400, "confirmation_needed"));
        assert_eq!(code(&ada, "/api/account").await, refused(400, "confirmation_needed"));
        assert_eq!(code(&ada, "/api/account?confirm=delete-my-account").await, refused(409, "last_admin"));
        assert_eq!(code(&ada, "/api/sync/teams/{team}/sessions/none").await, refused(404, "not_found"));
        // A key may not, not even that of an admin.
        let path = format!("/api/sync/teams/{}/sessions/a1", ada.team_id);
        let by_key = server.request(Method::DELETE, &path).bearer_auth(&ada.key).send().await.unwrap();
        assert_eq!(problem(by_key).await.1, "people_only");

        // An admin deletes one session of another member, and the member deletes the rest.
        assert_eq!(code(&ada, "/api/sync/teams/{team}/sessions/b1").await, accepted);
        work(&server).await;
        assert_eq!(code(&bob, &confirmed).await, accepted);
        // What a member requests for what is theirs, an admin may not cancel, but sees; and the other way round. Others see
        // nothing of it.
        let list =
            async |who: &Person| ask(&server, who, Method::GET, "/api/sync/teams/{team}/deletions").await.1;
        let (seen, own) = (list(&ada).await, list(&bob).await);
        assert_eq!(
            (seen.as_array().unwrap().len(), own.as_array().unwrap().len(), list(&carl).await),
            (2, 2, json!([]))
        );
        let of_member = own.as_array().unwrap().iter().find(|request| request["kind"] == "member").unwrap();
        let one = format!("/api/sync/teams/{{team}}/deletions/{}", of_member["id"].as_str().unwrap());
        assert_eq!(code(&ada, &one).await, refused(403, "not_yours"));
        assert_eq!(code(&carl, &one).await, refused(404, "not_found"));
        work(&server).await;
        let (_, receipt) = ask(&server, &bob, Method::GET, &one).await;
        assert_eq!((&receipt["sessions"], &receipt["lines"]), (&json!(1), &json!(5)));
        assert_eq!(
            server.push_lines(&bob.key, "b2", 0, &SyntheticSession::new(1).lines(5)).await["error"]["code"],
            "gone"
        );
        assert_eq!(
            server.push_lines(&carl.key, "c1", 5, &SyntheticSession::new(2).lines(5)).await["stored"],
            5
        );

        let listed = command(&db, &server, &["deletions"]).await;
        assert!(listed.is_ok(), "{listed:?}");
        assert_eq!(code(&ada, "/api/sync/teams/{team}/data?confirm=ada").await, accepted);
        work(&server).await;
        let list = "{ sessions { edges { node { id } } } }";
        let (_, body) = answer(server.graphql(&ada.key, list).send().await.unwrap()).await;
        assert_eq!(body["data"]["sessions"]["edges"], json!([]));
        server.stop().await;
    }
);

both_databases!(
    async fn an_owner_and_an_admin_request_and_cancel_for_themselves(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let carl = server.colleague(&ada, "carl").await;
        server.push_lines(&bob.key, "b1", 0, &SyntheticSession::new(1).lines(5)).await;
        let session = "/api/sync/teams/{team}/sessions/b1";
        let one = |receipt: &Value| {
            format!("/api/sync/teams/{{team}}/deletions/{}", receipt["id"].as_str().unwrap())
        };
        let seen = async |who: &Person| {
            let list = ask(&server, who, Method::GET, "/api/sync/teams/{team}/deletions").await.1;
            list.as_array().unwrap().len()
        };
        let (_, by_admin) = delete(&server, &ada, session).await;
        assert_eq!((seen(&ada).await, seen(&bob).await, seen(&carl).await), (1, 1, 0), "the owner sees it");
        assert_eq!(delete(&server, &bob, &one(&by_admin)).await.0, StatusCode::FORBIDDEN);
        assert_eq!(delete(&server, &carl, &one(&by_admin)).await.0, StatusCode::NOT_FOUND);
        // The owner wants it as well: that is another request, which the admin cannot cancel.
        let (_, by_owner) = delete(&server, &bob, session).await;
        assert_ne!(by_owner["id"], by_admin["id"]);
        assert_eq!(by_owner["requested_by"], bob.user_id.as_str());
        assert_eq!(delete(&server, &bob, session).await.1["id"], by_owner["id"], "once");
        assert_eq!(delete(&server, &ada, session).await.1["id"], by_admin["id"], "once");
        assert_eq!(delete(&server, &ada, &one(&by_owner)).await.0, StatusCode::FORBIDDEN);
        assert_eq!(delete(&server, &ada, &one(&by_admin)).await.1["state"], "cancelled");
        server.clock.advance_seconds(30 * DAY);
        work(&server).await;
        let (_, receipt) = ask(&server, &bob, Method::GET, &one(&by_owner)).await;
        assert_eq!((&receipt["state"], &receipt["lines"]), (&json!("finished"), &json!(5)));

        // The other way round: what the owner takes back, the admin still wants.
        server.push_lines(&bob.key, "b2", 0, &SyntheticSession::new(2).lines(5)).await;
        let session = "/api/sync/teams/{team}/sessions/b2";
        let (_, by_owner) = delete(&server, &bob, session).await;
        let (_, by_admin) = delete(&server, &ada, session).await;
        assert_eq!(delete(&server, &bob, &one(&by_owner)).await.1["state"], "cancelled");
        server.clock.advance_seconds(30 * DAY);
        work(&server).await;
        let (_, receipt) = ask(&server, &bob, Method::GET, &one(&by_admin)).await;
        assert_eq!(
            (&receipt["state"], &receipt["lines"]),
            (&json!("finished"), &json!(5)),
            "the owner sees that, too"
        );
        server.stop().await;
    }
);

both_databases!(
    async fn an_account_is_deleted_and_its_access_ends(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        server.push_lines(&bob.key, "b1", 0, &SyntheticSession::new(1).lines(5)).await;
        let (status, receipt) = delete(&server, &bob, "/api/account?confirm=delete-my-account").await;
        assert_eq!((status, &receipt["kind"]), (StatusCode::ACCEPTED, &json!("account")));
        assert_eq!(ask(&server, &bob, Method::GET, "/api/account/deletion").await.1["state"], "scheduled");
        assert_eq!(delete(&server, &bob, "/api/account/deletion").await.1["state"], "cancelled");
        assert_eq!(ask(&server, &bob, Method::GET, "/api/account/deletion").await.0, StatusCode::NOT_FOUND);
        assert_eq!(delete(&server, &bob, "/api/account/deletion").await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&server, &ada, Method::GET, "/api/account/deletion").await.0, StatusCode::NOT_FOUND);

        delete(&server, &bob, "/api/account?confirm=delete-my-account").await;
        server.clock.advance_seconds(30 * DAY);
        let due = deletion_requests::due(&server.db).await.unwrap();
        deletion_requests::advance(&server.db, &due[0]).await.unwrap();
        let refused = server.push(&bob.key, &json!({ "sessions": [] })).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(memberships::list(&server.db, &bob.user_id).await.unwrap().is_empty());
        server.clock.advance_seconds(600);
        work(&server).await;
        let members = format!("{{ teamMembers(teamId: \"{}\") {{ role user {{ name }} }} }}", ada.team_id);
        let admin = token(&server, &ada.user_id);
        let (_, body) = answer(server.graphql(&admin, &members).send().await.unwrap()).await;
        assert_eq!(body["data"]["teamMembers"].as_array().unwrap().len(), 1, "{body}");
        server.stop().await;
    }
);

both_databases!(
    /// The coordinator reports a deleted session, and sends the others.
    async fn the_coordinator_reports_what_was_deleted(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.deletion.grace_days = 0).await;
        server.clock.advance_seconds(40 * DAY);
        let ada = server.person("ada").await;
        let first = push_directory(&server, &ada.key, &fixtures::sample_sessions()).await;
        assert!(first.failed.is_empty() && first.stored > 0, "{first:?}");
        let list = "{ sessions(first: 1) { edges { node { sessionId } } } }";
        let (_, body) = answer(server.graphql(&ada.key, list).send().await.unwrap()).await;
        let session = body["data"]["sessions"]["edges"][0]["node"]["sessionId"].as_str().unwrap().to_owned();
        delete(&server, &ada, &format!("/api/sync/teams/{{team}}/sessions/{session}")).await;
        work(&server).await;
        let again = push_directory(&server, &ada.key, &fixtures::sample_sessions()).await;
        assert!(again.stopped.is_none(), "{again:?}");
        let failed: Vec<(&str, &str)> =
            again.failed.iter().map(|failed| (failed.session_id.as_str(), failed.code.as_str())).collect();
        assert_eq!(failed, [(session.as_str(), "gone")]);
        assert_eq!(again.stored, 0);
        server.stop().await;
    }
);

/// Two replicas on one PostgreSQL: what one deletes while the other one exports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_on_one_replica_ends_what_the_other_one_serves() {
    let db = TestDatabase::postgres().await;
    let start = || TestServer::start_with(&db, |config| config.deletion.grace_days = 0);
    let (one, two) = (start().await, start().await);
    let ada = one.person("ada").await;
    let lines = SyntheticSession::new(1).lines(150);
    for n in 0..6 {
        one.push_lines(&ada.key, &format!("s{n}"), 0, &lines).await;
    }
    let mut socket = two.socket_as(&token(&two, &ada.user_id)).await;
    socket.subscribe("s", "subscription { nodeUpdated(id: \"Session:s4\") { node { id } } }").await;
    socket.subscribe("q", "{ session(id: \"s4\") { id } }").await;
    while socket.receive().await.unwrap()["type"] != "complete" {}

    // The export has begun when the session is deleted.
    let path = format!("/api/sync/teams/{}/export", ada.team_id);
    let mut export = two.get(&path).bearer_auth(&ada.key).send().await.unwrap();
    let mut text = export.chunk().await.unwrap().unwrap().to_vec();
    let (status, _) = delete(&one, &ada, "/api/sync/teams/{team}/sessions/s4").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    work(&one).await;
    while let Some(chunk) = export.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).unwrap();
    let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let files = lines_of(&text);
    let all: usize = files.iter().map(|file| file.2.len()).sum();
    assert_eq!(end["end"]["lines"], json!(all), "the end counts what is in it: {end}");
    for (session, _, exported) in &files {
        match session.as_str() {
            "s4" => assert_eq!(exported[..], lines[..exported.len()], "as far as it was there"),
            _ => assert_eq!(*exported, lines, "{session}"),
        }
    }
    assert!(files.len() >= 5);

    // The other replica notifies its subscribers, refuses pushes, and exports the session no more.
    let notice = socket.receive().await.unwrap();
    assert_eq!(notice["payload"]["data"]["nodeUpdated"]["node"], Value::Null, "{notice}");
    assert_eq!(two.push_lines(&ada.key, "s4", 150, &lines[..1]).await["error"]["code"], "gone");
    let after = exported(&two, &ada.key, &path).await;
    let sessions: Vec<String> = lines_of(&after).into_iter().map(|file| file.0).collect();
    assert_eq!(sessions, ["s0", "s1", "s2", "s3", "s5"]);
    let one_session = format!("/api/sync/teams/{}/sessions/s4/export", ada.team_id);
    assert_eq!(two.get(&one_session).bearer_auth(&ada.key).send().await.unwrap().status(), StatusCode::GONE);
    one.stop().await;
    two.stop().await;
}
