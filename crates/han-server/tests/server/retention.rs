//! Retention over GraphQL, the sync protocol, exports and the command line. What is purged is tested in han-db.

use han_db::queries::retention;
use han_testkit::{SyntheticSession, both_databases};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Person, TestServer, another, answer, command, exported, lines_of};

const DAY: i64 = 86_400;

fn token(server: &TestServer, who: &Person) -> String {
    server.jwt.mint(&who.user_id, None, server.db.entropy()).unwrap()
}

async fn ask(server: &TestServer, who: &Person, query: &str) -> Value {
    let query = query.replace("$team", &format!("\"{}\"", who.team_id));
    let (status, body) = answer(server.graphql(&token(server, who), &query).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn code(server: &TestServer, who: &Person, query: &str) -> Value {
    let body = ask(server, who, query).await;
    body["errors"][0]["extensions"]["code"].clone()
}

/// What the job does for a team. On SQLite, the job of the server may do it at the same time.
async fn purge(server: &TestServer, who: &Person, days: i64) {
    for session in &retention::due(&server.db, &who.team_id, days, None, 100).await.unwrap() {
        retention::purge(&server.db, &who.team_id, days, session).await.unwrap();
    }
}

both_databases!(
    async fn a_purged_session_is_shown_as_purged(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let set = |days: &str| {
            format!("mutation {{ setRetention(teamId: $team, days: {days}) {{ retentionDays }} }}")
        };
        assert_eq!(code(&server, &bob, &set("30")).await, "FORBIDDEN");
        for days in ["0", "-1", "3651"] {
            assert_eq!(code(&server, &ada, &set(days)).await, "BAD_USER_INPUT", "{days}");
        }
        let days = ask(&server, &ada, &set("3650")).await;
        assert_eq!(days["data"]["setRetention"]["retentionDays"], 3650, "{days}");
        let seen = ask(&server, &bob, "{ activeTeam { retentionDays } }").await;
        assert_eq!(seen["data"]["activeTeam"]["retentionDays"], 3650);

        server.clock.advance_seconds(DAY);
        let lines = SyntheticSession::new(1).lines(45);
        server.push_lines(&bob.key, "s1", 0, &lines[..40]).await;
        server.until_indexed(&ada.key).await;
        let session = "{ session(id: \"s1\") { purgedAt summary messageCount lineCount outputTokens fileChangeCount \
                       estimatedCostUsd owner { name } project { name } messages(first: 5) { totalCount edges { node { id } } } \
                       fileChanges { edges { node { id } } } } \
                       activity(days: 400) { totalSessions totalMessages } }";
        let before = ask(&server, &ada, session).await;
        let row = &before["data"]["session"];
        assert_eq!((&row["purgedAt"], &row["lineCount"]), (&Value::Null, &json!(40)), "{before}");
        assert!(row["messages"]["totalCount"].as_i64().unwrap() > 0);
        assert_eq!(row["messages"]["totalCount"], row["messageCount"]);

        server.clock.advance_seconds(30 * DAY + 1);
        let mut socket = server.socket_as(&token(&server, &ada)).await;
        let updated =
            "subscription { nodeUpdated(id: \"Session:s1\") { node { ... on Session { purgedAt } } } }";
        socket.subscribe("s", updated).await;
        socket.subscribe("q", "{ session(id: \"s1\") { id } }").await;
        while socket.receive().await.unwrap()["type"] != "complete" {}
        ask(&server, &ada, &set("30")).await;
        purge(&server, &ada, 30).await;
        let notice = socket.receive().await.unwrap();
        let purged_at = &notice["payload"]["data"]["nodeUpdated"]["node"]["purgedAt"];
        assert_eq!(*purged_at, "2026-12-03T09:00:01.000Z", "{notice}");

        let after = ask(&server, &ada, session).await;
        assert!(after.get("errors").is_none(), "{after}");
        let now = &after["data"]["session"];
        assert_eq!((&now["purgedAt"], &now["summary"]), (purged_at, &Value::Null));
        assert_eq!((&now["messages"]["totalCount"], &now["messages"]["edges"]), (&json!(0), &json!([])));
        assert_eq!(now["fileChanges"]["edges"], json!([]));
        for kept in [
            "messageCount",
            "lineCount",
            "outputTokens",
            "fileChangeCount",
            "estimatedCostUsd",
            "owner",
            "project",
        ] {
            assert_eq!(now[kept], row[kept], "{kept}");
        }
        assert_eq!(after["data"]["activity"], before["data"]["activity"]);

        // The client goes on where it was; nothing says that the session is gone.
        let status = server.get("/api/sync/status").bearer_auth(&bob.key).send().await.unwrap();
        let (_, status) = answer(status).await;
        assert_eq!(status["transcripts"][0]["offset"], 40);
        assert_eq!(status["transcripts"][0]["last_line_hash"].as_str().unwrap().len(), 64);
        let pushed = server.push_lines(&bob.key, "s1", 40, &lines[40..]).await;
        assert_eq!((&pushed["stored"], &pushed["error"]), (&json!(5), &Value::Null), "{pushed}");
        let grown = ask(&server, &ada, session).await;
        let grown = &grown["data"]["session"];
        assert_eq!((&grown["purgedAt"], &grown["lineCount"]), (purged_at, &json!(45)));
        let listed = grown["messages"]["totalCount"].as_i64().unwrap();
        assert_eq!(
            grown["messages"]["edges"].as_array().unwrap().len(),
            usize::try_from(listed.min(5)).unwrap()
        );
        assert!(listed > 0 && grown["messageCount"].as_i64().unwrap() > listed, "{grown}");

        let path = format!("/api/sync/teams/{}/sessions/s1/export", ada.team_id);
        let export = exported(&server, &bob.key, &path).await;
        let begun: Value = serde_json::from_str(export.lines().nth(1).unwrap()).unwrap();
        assert_eq!(begun["session"]["purged_at"], *purged_at);
        assert_eq!(lines_of(&export), [("s1".to_owned(), "main".to_owned(), lines[40..].to_vec())]);

        // An import says so, and goes on at the same offset.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("team.ndjson");
        let all = exported(&server, &ada.key, &format!("/api/sync/teams/{}/export", ada.team_id)).await;
        std::fs::write(&file, all).unwrap();
        let other_db = another(&db).await;
        let other = TestServer::start(&other_db).await;
        other.clock.advance_seconds(60 * DAY);
        other.person("ada").await;
        let args = ["import", "--team", "ada", "--create-members", file.to_str().unwrap()];
        let said = command(&other_db, &other, &args).await.unwrap();
        assert!(said.contains("the content of 1 session(s) was purged"), "{said}");

        let none = ask(&server, &ada, &set("null")).await;
        assert_eq!(none["data"]["setRetention"]["retentionDays"], Value::Null);
        server.stop().await;
        other.stop().await;
    }
);

both_databases!(
    async fn retention_is_part_of_the_enterprise_plan(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.plans.billing_configured = true).await;
        let ada = server.person("ada").await;
        let set = "mutation { setRetention(teamId: $team, days: 30) { retentionDays } }";
        for (tier, expected) in
            [("free", json!("PLAN_LIMIT")), ("pro", json!("PLAN_LIMIT")), ("enterprise", Value::Null)]
        {
            db.execute(&format!("UPDATE teams SET plan_tier = '{tier}'")).await;
            assert_eq!(code(&server, &ada, set).await, expected, "{tier}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn an_operator_sets_the_retention(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let run = async |args: &[&str]| {
            let args: Vec<&str> = ["retention"].iter().chain(args).copied().collect();
            command(&db, &server, &args).await
        };
        let days = async || {
            let team = ask(&server, &ada, "{ activeTeam { retentionDays } }").await;
            team["data"]["activeTeam"]["retentionDays"].clone()
        };
        assert!(run(&["set", "--team", "ada", "--days", "7"]).await.unwrap().contains("7 day(s)"));
        assert_eq!(days().await, 7);
        run(&["list"]).await.unwrap();
        assert!(run(&["set", "--team", "ada", "--keep"]).await.unwrap().contains("without end"));
        assert_eq!(days().await, Value::Null);
        assert!(run(&["set", "--team", "none", "--keep"]).await.unwrap_err().contains("--team"));
        server.stop().await;
    }
);
