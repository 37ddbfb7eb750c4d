//! Exports: what they contain, who may have them, and that an import of one gives the same answers.

use std::collections::BTreeMap;

use han_db::queries::{deletion, memberships, users};
use han_testkit::{SyntheticSession, TestDatabase, both_databases, fixtures};
use han_types::{Clock as _, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    Person, TestServer, another, answer, command, exported, lines_of, problem, push_directory,
};

/// 40 days: after the times of all lines.
const LATER: i64 = 40 * 86_400;

async fn push_file(server: &TestServer, key: &str, session: &str, transcript: &str, messages: Vec<Value>) {
    let metadata = json!({ "agent": "claude-code", "project_path": "/home/dev/pear", "git_branch": "graft",
        "ended_at": "2026-11-02T10:00:00.000Z", "fork_depth": 2 });
    let body = json!({ "sessions": [{ "session_id": session, "transcript": transcript, "offset": 0,
        "metadata": metadata, "messages": messages }] });
    let (status, body) = answer(server.push(key, &body).send().await.unwrap()).await;
    assert_eq!((status, &body["sessions"][0]["error"]), (StatusCode::OK, &Value::Null), "{body}");
}

/// The data of an operation of a person who has signed in; `$team` is their team.
async fn as_person(server: &TestServer, who: &Person, query: &str) -> Value {
    let token = server.jwt.mint(&who.user_id, None, server.db.entropy()).unwrap();
    let query = query.replace("$team", &format!("\"{}\"", who.team_id));
    let (_, mut body) = answer(server.graphql(&token, &query).send().await.unwrap()).await;
    assert!(body.get("errors").is_none(), "{body}");
    body["data"].take()
}

both_databases!(
    async fn an_export_has_every_line_byte_for_byte(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.limits.line_bytes = 64 << 10).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let lines = SyntheticSession::new(1).lines(700);
        for (n, part) in lines.chunks(300).enumerate() {
            server.push_lines(&ada.key, "s1", n as u64 * 300, part).await;
        }
        // A compaction appends history again.
        server.push_lines(&ada.key, "s1", 700, &lines[..20]).await;
        let odd = r#"{ "uuid" : "u1", "n":1.0,"text":"\u00e4\ud800", "type":"user" }"#;
        let raw = format!(
            r#"{{"sessions":[{{"session_id":"s2","transcript":"agent-a1","offset":0,"messages":[{odd},"no object",
            {{"type":"user","long":"{}"}},{{"type":"user","uuid":"u4"}}]}}]}}"#,
            "x".repeat(70_000)
        );
        let (_, body) =
            answer(server.post("/api/sync/sessions").bearer_auth(&bob.key).body(raw).send().await.unwrap())
                .await;
        assert_eq!(body["sessions"][0]["rejected"][0]["line"], 2, "{body}");
        // A line that the agent completed later.
        let completed = r#"{"completed":true,"type":"user","uuid":"u4"}"#;
        let message: Value = serde_json::from_str(completed).unwrap();
        let body = json!({"sessions": [{"session_id": "s2", "transcript": "agent-a1", "offset": 3, "messages": [message]}]});
        server.push(&bob.key, &body).send().await.unwrap();

        let path = format!("/api/sync/teams/{}/export", ada.team_id);
        let all = exported(&server, &ada.key, &path).await;
        let first: Value = serde_json::from_str(all.lines().next().unwrap()).unwrap();
        // They are in the order of their ids, which are random within a millisecond.
        let users = first["export"]["users"].as_array().unwrap();
        let mut names: Vec<&str> = users.iter().map(|user| user["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["ada", "bob"]);
        let files = lines_of(&all);
        let repeated: Vec<String> = lines.iter().chain(&lines[..20]).cloned().collect();
        assert_eq!(files[0], ("s1".to_owned(), "main".to_owned(), repeated));
        assert_eq!(
            files[1],
            (
                "s2".to_owned(),
                "agent-a1".to_owned(),
                vec![odd.to_owned(), "\"no object\"".to_owned(), completed.to_owned()]
            )
        );
        assert_eq!(files.len(), 2);
        // The number of a line after a rejected one.
        assert!(all.contains(&format!("{{\"line\":{{\"line\":3,\"message\":{completed}}}}}")));

        // One's own, as any member, and one session.
        let own = lines_of(&exported(&server, &bob.key, &format!("{path}?own=true")).await);
        assert_eq!(own, files[1..]);
        let one = format!("/api/sync/teams/{}/sessions/s1/export", ada.team_id);
        assert_eq!(lines_of(&exported(&server, &bob.key, &one).await), files[..1]);
        let (status, code, _) = problem(server.get(&path).bearer_auth(&bob.key).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (403, "admins_only"));
        server.stop().await;
    }
);

both_databases!(
    async fn a_session_that_is_not_there_is_not_exported(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let (ada, eve) = (server.person("ada").await, server.person("eve").await);
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(3)).await;
        let asked = async |key: &str, team: &Person, session: &str| {
            let path = format!("/api/sync/teams/{}/sessions/{session}/export", team.team_id);
            let (status, code, _) = problem(server.get(&path).bearer_auth(key).send().await.unwrap()).await;
            (status, code)
        };
        let not_found = (404, "not_found".to_owned());
        assert_eq!(asked(&ada.key, &ada, "s2").await, not_found);
        assert_eq!(asked(&ada.key, &ada, "a%20b").await, not_found);
        assert_eq!(asked(&eve.key, &ada, "s1").await, not_found);
        assert_eq!(asked(&eve.key, &eve, "s1").await, not_found);
        let scope = server.scope_of(&ada.user_id).await.scope;
        assert!(deletion::session(&scope, &server.db, &"s1".parse().unwrap()).await.unwrap());
        assert_eq!(asked(&ada.key, &ada, "s1").await, (410, "gone".to_owned()));
        let empty = exported(&server, &ada.key, &format!("/api/sync/teams/{}/export", ada.team_id)).await;
        assert_eq!(empty.lines().count(), 2);
        server.stop().await;
    }
);

/// What clients read of a session.
const SESSION: &str = "id date startedAt updatedAt title name summary projectName projectPath projectSlug gitBranch \
    version harness status duration messageCount lineCount damagedLineCount turnCount compactionCount inputTokens \
    outputTokens cacheReadTokens cacheCreationTokens prNumber prUrl worktreeName teamName fileChangeCount linesAdded \
    linesRemoved models forkOf estimatedCostUsd unpricedTokens unpricedAnswers owner { id name } \
    todoCounts { __typename total } frustrationSummary { totalAnalyzed } \
    messages(first: 100, includeProgress: true) { totalCount edges { node { id uuid parentId timestamp searchText \
      rawJson rawBytes agentId clockAheadSeconds __typename } } } \
    fileChanges(first: 100) { edges { node { id filePath action } } }";

const TEAM: &[&str] = &[
    "{ activity(days: 400) { totalSessions totalMessages streakDays totalActiveDays firstSessionDate } }",
    "{ dashboardAnalytics(days: 400) { toolUsage { toolName count } compactionStats { totalCompactions } \
       costAnalysis { estimatedCostUsd } } }",
    "{ teamMetrics { totalSessions totalTasks totalTokens } }",
    "{ searchMessages(query: \"orchard\", first: 100) { edges { node { message { id } } } } }",
];

/// The answers to clients of a team.
async fn answers(server: &TestServer, key: &str) -> Vec<String> {
    server.until_indexed(key).await;
    let ask = async |query: &str| {
        let (_, body) = answer(server.graphql(key, query).send().await.unwrap()).await;
        assert_eq!(body["errors"], Value::Null, "{query}: {body}");
        body["data"].clone()
    };
    let list = ask("{ sessions(first: 500) { edges { node { sessionId } } } }").await;
    let mut all = vec![list.to_string()];
    for edge in list["sessions"]["edges"].as_array().unwrap() {
        let id = edge["node"]["sessionId"].as_str().unwrap();
        all.push(ask(&format!("{{ session(id: \"{id}\") {{ {SESSION} }} }}")).await.to_string());
    }
    for query in TEAM {
        all.push(ask(query).await.to_string());
    }
    all
}

both_databases!(
    async fn an_imported_export_gives_equal_answers(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        server.clock.advance_seconds(LATER);
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let directories = std::iter::once(fixtures::sample_sessions())
            .chain(fixtures::real_transcripts().map(|real| real.join("projects")));
        for directory in directories {
            let report = push_directory(&server, &ada.key, &directory).await;
            assert!(report.stopped.is_none() && report.failed.is_empty(), "{report:?}");
        }
        let mut made = SyntheticSession::new(3);
        let json =
            |lines: Vec<String>| lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        push_file(&server, &bob.key, "b1", "agent-zed", json(made.subagent("zed").lines(20))).await;
        push_file(&server, &bob.key, "b1", "main", json(made.lines(1200))).await;
        push_file(&server, &bob.key, "b1", "han", json(made.han_events(40))).await;
        // Without any time, and a fork whose answers another session owns.
        push_file(
            &server,
            &bob.key,
            "b2",
            "main",
            vec![json!({"type": "summary", "summary": "Pears"}), json!("odd")],
        )
        .await;
        push_file(&server, &ada.key, "b3", "main", json(SyntheticSession::new(3).lines(50))).await;

        let export = exported(&server, &ada.key, &format!("/api/sync/teams/{}/export", ada.team_id)).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ada.ndjson");
        std::fs::write(&file, &export).unwrap();
        let file = file.to_str().unwrap();

        let other = another(&db).await;
        let copy = TestServer::start(&other).await;
        copy.clock.advance_seconds(LATER + 7200);
        let operator = copy.person("copy").await;
        let import = ["import", "--team", "copy", file];
        let refused = command(&other, &copy, &import).await.unwrap_err();
        assert!(refused.contains("--create-members") && refused.contains("bob"), "{refused}");
        let with_members = ["import", "--team", "copy", "--create-members", file];
        let imported = command(&other, &copy, &with_members).await.unwrap();
        assert!(
            imported.contains("added bob to the team copy") && imported.contains("imported"),
            "{imported}"
        );

        let (_, key) = copy.key(&ada.user_id, &operator.team_id, "read", None).await;
        copy.clock.advance_seconds(-7200);
        let (original, copied) = (answers(&server, &ada.key).await, answers(&copy, &key).await);
        for (copied, original) in copied.iter().zip(&original) {
            assert_eq!(copied, original);
        }
        assert_eq!(copied.len(), original.len());
        // All records but the first and the last are equal.
        let (_, admin) = copy.key(&operator.user_id, &operator.team_id, "read", None).await;
        let again = exported(&copy, &admin, &format!("/api/sync/teams/{}/export", operator.team_id)).await;
        let records = |text: &str| -> Vec<String> {
            let all: Vec<&str> = text.lines().collect();
            all[1..all.len() - 1].iter().map(|line| (*line).to_owned()).collect()
        };
        assert!(records(&again) == records(&export), "the export of the copy differs");

        // An import that is repeated stores nothing twice.
        let repeated = command(&other, &copy, &import).await.unwrap();
        assert!(repeated.contains("imported 0 line(s)"), "{repeated}");
        assert_eq!(answers(&copy, &key).await, copied);
        copy.stop().await;
        server.stop().await;
    }
);

both_databases!(
    async fn a_service_account_stays_one(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        server.clock.advance_seconds(LATER);
        let (ada, copy) = (server.person("ada").await, server.person("copy").await);
        let bob = server.colleague(&ada, "bob").await;
        server.push_lines(&bob.key, "b1", 0, &SyntheticSession::new(1).lines(10)).await;
        let create = "mutation { createServiceAccount(teamId: $team, name: \"ci\") { id } }";
        let ci =
            as_person(&server, &ada, create).await["createServiceAccount"]["id"].as_str().unwrap().to_owned();
        let create = format!(
            "mutation {{ createServiceAccountKey(teamId: $team, serviceAccountId: \"{ci}\", name: \"main\", \
             expiresInDays: 300) {{ secret }} }}"
        );
        let made = as_person(&server, &ada, &create).await;
        let key = made["createServiceAccountKey"]["secret"].as_str().unwrap();
        let pushed = server.push_lines(key, "built", 0, &SyntheticSession::new(2).lines(10)).await;
        assert_eq!(pushed["stored"], 10);

        let export = exported(&server, &ada.key, &format!("/api/sync/teams/{}/export", ada.team_id)).await;
        let head: Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
        let users = head["export"]["users"].as_array().unwrap();
        let kinds: BTreeMap<&str, &Value> =
            users.iter().map(|user| (user["name"].as_str().unwrap(), &user["kind"])).collect();
        assert_eq!(kinds, BTreeMap::from([("bob", &Value::Null), ("ci", &json!("service"))]));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ada.ndjson");
        let import = async |db: &TestDatabase, server: &TestServer, content: &str, create: bool| {
            std::fs::write(&file, content).unwrap();
            let create = if create { &["--create-members"][..] } else { &[] };
            let args = [&["import", "--team", "copy", file.to_str().unwrap()][..], create].concat();
            command(db, server, &args).await
        };
        let members = async |server: &TestServer, of: &Person| {
            let data = as_person(server, of, "{ teamMembers(teamId: $team) { user { name } } }").await;
            data["teamMembers"].as_array().unwrap().len()
        };
        let accounts = async |server: &TestServer, of: &Person| {
            let mut data = as_person(server, of, "{ activeTeam { serviceAccounts { id name } } }").await;
            data["activeTeam"]["serviceAccounts"].take()
        };

        // Into another team of the same server: bob joins it, and the account, which belongs to the other team, gets another id.
        // Nothing is changed until all owners are known.
        let refused = import(&db, &server, &export, false).await.unwrap_err();
        assert!(refused.contains("bob") && refused.contains("ci"), "{refused}");
        db.execute("UPDATE users SET username = 'double' WHERE username = 'copy'").await;
        let doubled = users::create(&server.db, "double").await.unwrap();
        memberships::put(&server.db, &copy.team_id, &doubled.id, Role::Member).await.unwrap();
        let ambiguous = format!(
            "{},{}",
            r#"{"export":{"version":1,"team_id":"t","team":"t","exported_at":"-","users":[{"id":"new-1","name":"nan"}"#,
            r#"{"id":"new-2","name":"double"}]}}"#
        );
        let ambiguous = ambiguous + "\n";
        let hash: String = Sha256::digest(&ambiguous).iter().map(|byte| format!("{byte:02x}")).collect();
        let end = json!({ "end": { "sessions": 0, "transcripts": 0, "lines": 0, "bytes": ambiguous.len(), "sha256": hash } });
        let refused = import(&db, &server, &format!("{ambiguous}{end}\n"), true).await.unwrap_err();
        assert!(refused.contains("several members"), "{refused}");
        assert_eq!(members(&server, &copy).await, 2, "nan was not added");
        let imported = import(&db, &server, &export, true).await.unwrap();
        assert!(imported.contains("added bob") && imported.contains("added ci"), "{imported}");
        assert_eq!(members(&server, &copy).await, 3);
        let made = accounts(&server, &copy).await;
        assert_eq!((made.as_array().unwrap().len(), &made[0]["name"]), (1, &json!("ci")));
        assert_ne!(made[0]["id"], ci.as_str());
        let imported = import(&db, &server, &export, false).await.unwrap();
        assert!(imported.contains("imported 0 line(s)"), "{imported}");

        // Into another server, it keeps its id.
        let other = another(&db).await;
        let elsewhere = TestServer::start(&other).await;
        elsewhere.clock.advance_seconds(LATER);
        let operator = elsewhere.person("copy").await;
        import(&other, &elsewhere, &export, true).await.unwrap();
        assert_eq!(accounts(&elsewhere, &operator).await, json!([{ "id": ci, "name": "ci" }]));
        assert_eq!(members(&elsewhere, &operator).await, 2);
        elsewhere.stop().await;
        server.stop().await;
    }
);

both_databases!(
    async fn an_import_refuses_a_file_that_is_not_whole(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        server.clock.advance_seconds(LATER);
        let (ada, target) = (server.person("ada").await, server.person("target").await);
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(10)).await;
        let export = exported(&server, &ada.key, &format!("/api/sync/teams/{}/export", ada.team_id)).await;
        let records: Vec<&str> = export.split_inclusive('\n').collect();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("export.ndjson");
        let import = async |content: &str, team: &str| {
            std::fs::write(&file, content).unwrap();
            let args = ["import", "--create-members", "--team", team, file.to_str().unwrap()];
            command(&db, &server, &args).await
        };
        let last = records.len() - 1;
        let mut swapped = records.clone();
        swapped.swap(5, 6);
        for (content, why) in [
            (records[..last].concat(), "has no end"),
            (records[1..].concat(), "does not begin like an export"),
            (records[..5].concat() + &records[6..].concat(), "the file was changed"),
            (export.replacen("user", "User", 1), "record 1 of the file: it is none of an export"),
            (swapped.concat(), "out of order"),
            (export.clone() + records[5], "there is something after the end"),
            (String::new(), "has no end"),
        ] {
            let refused = import(&content, "target").await.unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
        }
        // Files that are whole, and impossible.
        let made = |records: &[Value]| {
            let text: String = records.iter().map(|record| format!("{record}\n")).collect();
            let hash: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
            let count = |kind: &str| records.iter().filter(|record| record.get(kind).is_some()).count();
            let end = json!({ "end": { "sessions": count("session"), "transcripts": count("transcript"),
                "lines": count("line"), "bytes": text.len(), "sha256": hash } });
            format!("{text}{end}\n")
        };
        let head = |users: Value| json!({ "export": { "version": 1, "team_id": "t", "team": "t", "exported_at": "-", "users": users } });
        let owner = |id: &str, name: &str| json!({ "id": id, "name": name });
        let session = |id: &str, user: &str, at: &str| json!({ "session": { "session_id": id, "user_id": user, "created_at": at, "metadata": {} } });
        let file = |lines: u64| json!({ "transcript": { "transcript": "main", "next_offset": lines } });
        let line = |n: u64| json!({ "line": { "line": n, "message": { "type": "user", "n": n } } });
        let today = "2026-11-02T08:00:00.000Z";
        let nan = head(json!([owner("new-1", "nan")]));
        let twice = made(&[head(json!([owner("new-1", "nan"), owner("new-1", "nan")]))]);
        let endless = made(&[nan.clone(), session("e", "new-1", today), file(u64::MAX), line(0)]);
        for (content, why) in [(twice, "a user occurs twice"), (endless, "may have at most 2147483647 lines")]
        {
            let refused = import(&content, "target").await.unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
        }
        // Two persons of one name are not the member who has it.
        let two = head(json!([owner("new-1", "target"), owner("new-2", "target")]));
        let both = [
            two,
            session("one", "new-1", today),
            file(1),
            line(0),
            session("two", "new-2", today),
            file(1),
            line(0),
        ];
        let refused = import(&made(&both), "target").await.unwrap_err();
        assert!(refused.contains("\"target\""), "{refused}");
        // Nor is one a member whom another one is by id.
        let taken = head(json!([owner(target.user_id.as_str(), "renamed"), owner("new-3", "target")]));
        let both = [
            taken,
            session("one", target.user_id.as_str(), today),
            file(1),
            line(0),
            session("two", "new-3", today),
            file(1),
            line(0),
        ];
        let imported = import(&made(&both), "target").await.unwrap();
        assert!(imported.contains("added target"), "{imported}");
        let owners =
            "SELECT CAST(count(DISTINCT user_id) AS text) FROM sessions WHERE session_id IN ('one', 'two')";
        assert_eq!(db.text(owners).await, "2");
        for session in ["one", "two"] {
            let scope = server.scope_of(&target.user_id).await.scope;
            deletion::session(&scope, &server.db, &session.parse().unwrap()).await.unwrap();
        }
        let main_twice = [nan.clone(), session("m", "new-1", today), file(1), line(0), file(1), line(0)];
        let refused = import(&made(&main_twice), "target").await.unwrap_err();
        assert!(refused.contains("a transcript occurs twice"), "{refused}");
        // Service accounts of one name are one that was removed and made again.
        let account = |id: &str| json!({ "id": id, "name": "ci", "kind": "service" });
        let ci = head(json!([account("ci-1"), account("ci-2")]));
        let other = server.person("accounts").await;
        let sessions = [
            ci,
            session("one", "ci-1", today),
            file(1),
            line(0),
            session("two", "ci-2", today),
            file(1),
            line(0),
        ];
        import(&made(&sessions), "accounts").await.unwrap();
        let made_accounts = as_person(&server, &other, "{ activeTeam { serviceAccounts { name } } }").await;
        assert_eq!(made_accounts["activeTeam"]["serviceAccounts"], json!([{ "name": "ci" }]));
        import(&made(&sessions), "accounts").await.unwrap();
        // What begins in the future has begun now; what was deleted stays so.
        let future = [nan, session("late", "new-1", "2999-01-01T00:00:00.000Z"), file(1), line(0)];
        let late = server.person("late").await;
        import(&made(&future), "late").await.unwrap();
        let now = server.clock.now();
        let later = format!("SELECT CAST(count(*) AS text) FROM sessions WHERE created_at > {}", now.0);
        assert_eq!(db.text(&later).await, "0");
        let scope = server.scope_of(&late.user_id).await.scope;
        deletion::session(&scope, &server.db, &"late".parse().unwrap()).await.unwrap();
        let refused = import(&made(&future), "late").await.unwrap_err();
        assert!(refused.contains("the session late was deleted"), "{refused}");

        let missing = import(&export, "nowhere").await.unwrap_err();
        assert!(missing.contains("check --team"), "{missing}");
        server.push_lines(&target.key, "s2", 0, &SyntheticSession::new(2).lines(1)).await;
        let refused = import(&export, "target").await.unwrap_err();
        assert!(refused.contains("s2") && refused.contains("empty team"), "{refused}");
        server.stop().await;
    }
);
