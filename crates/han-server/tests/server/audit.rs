//! The audit log over HTTP: what requests leave in it, who reads it, exports, and the commands of operators.

use han_db::queries::audit::{self, AuditEntry, LogOf};
use han_db::queries::{login_links, users};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::{Clock as _, TeamId};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Person, TestServer, answer, command, command_with, problem};

async fn entries(server: &TestServer, team_id: &TeamId) -> Vec<AuditEntry> {
    audit::after(&server.db, LogOf::Team(team_id), 0, 1_000).await.unwrap()
}

async fn count(server: &TestServer, team_id: &TeamId, event: &str) -> usize {
    entries(server, team_id).await.iter().filter(|entry| entry.event == event).count()
}

fn path(person: &Person) -> String {
    format!("/api/sync/teams/{}/audit", person.team_id)
}

/// The records of an export, each as (kind, value).
async fn export(server: &TestServer, key: &str, path: &str) -> Vec<(String, Value)> {
    let response = server.get(path).bearer_auth(key).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    records(&response.text().await.unwrap())
}

fn records(text: &str) -> Vec<(String, Value)> {
    let record = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        (kind.clone(), value.clone())
    };
    text.lines().map(record).collect()
}

/// The hash of an exported entry, computed as docs/SECURITY.md says.
fn hash_of(team_id: &str, entry: &Value, previous: &[u8]) -> Vec<u8> {
    let text = |name: &str| match &entry[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let names = [
        "seq",
        "at_ms",
        "event",
        "actor",
        "credential",
        "credential_id",
        "client",
        "request_id",
        "subject_kind",
        "subject",
        "details",
    ];
    let mut parts = vec![b"han-audit-1".to_vec(), previous.to_vec(), team_id.as_bytes().to_vec()];
    parts.extend(names.map(|name| text(name).into_bytes()));
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u32::try_from(part.len()).unwrap().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// Runs a command of the server; what it wrote to standard output.
async fn output(database: &TestDatabase, server: &TestServer, args: &[&str]) -> String {
    command_with(database.url(), server, &[], args).await.unwrap().0
}

both_databases!(
    async fn a_request_leaves_its_address_and_its_id(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.http.trusted_proxies = 1).await;
        let ada = server.person("ada").await;
        let link = login_links::create(&server.db, &ada.user_id).await.unwrap();
        let redeem = server
            .post_form("/auth/login-link", format!("token={}", link.expose()))
            .header(header::ORIGIN, &server.url)
            .header("x-forwarded-for", "192.0.2.7")
            .header("x-request-id", "sign-in-0001");
        assert_eq!(redeem.send().await.unwrap().status(), StatusCode::SEE_OTHER);
        let entry = entries(&server, &ada.team_id).await.pop().unwrap();
        assert_eq!((entry.event.as_str(), entry.credential.as_str()), ("sign_in", "none"));
        assert_eq!(
            (entry.address.as_deref(), entry.request_id.as_str()),
            (Some("192.0.2.7"), "sign-in-0001")
        );
        assert_eq!(entry.user.map(|user| user.id), Some(ada.user_id.clone()));

        let rename =
            format!("mutation {{ renameTeam(teamId: \"{}\", name: \"Orchard\") {{ id }} }}", ada.team_id);
        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        let request = server
            .graphql(&token, &rename)
            .header("x-forwarded-for", "2001:db8::1")
            .header("x-request-id", "rename-0001");
        let (_, body) = answer(request.send().await.unwrap()).await;
        assert!(body["errors"].is_null(), "{body}");
        let entry = entries(&server, &ada.team_id).await.pop().unwrap();
        assert_eq!((entry.event.as_str(), entry.credential.as_str()), ("team.renamed", "access_token"));
        assert_eq!(
            (entry.address.as_deref(), entry.request_id.as_str()),
            (Some("2001:db8::1"), "rename-0001")
        );
        // A credential in a message of a socket has the address of the handshake.
        let mut socket = server
            .socket(&[("x-forwarded-for", "192.0.2.8"), ("x-request-id", "socket-0001")])
            .await
            .unwrap();
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        socket.receive().await.unwrap();
        socket.subscribe("1", &rename).await;
        assert_eq!(socket.receive().await.unwrap()["type"], "next");
        let entry = entries(&server, &ada.team_id).await.pop().unwrap();
        assert_eq!((entry.address.as_deref(), entry.request_id.as_str()), (Some("192.0.2.8"), "socket-0001"));
        server.stop().await;
    }
);

both_databases!(
    async fn the_use_of_an_ended_key_is_recorded_once_an_hour(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let (id, key) = server.key(&ada.user_id, &ada.team_id, "read sync:write", Some(1)).await;
        server.clock.advance_seconds(86_400);
        let push = json!({ "sessions": [] });
        for _ in 0..3 {
            let refused = server.graphql(&key, "{ __typename }").send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(server.push(&key, &push).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        let refused: Vec<AuditEntry> = entries(&server, &ada.team_id)
            .await
            .into_iter()
            .filter(|entry| entry.event == "key.refused")
            .collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(
            (refused[0].subject.as_str(), refused[0].details.as_str()),
            (id.as_str(), r#"{"reason":"expired"}"#)
        );
        assert_eq!(refused[0].address.as_deref(), Some("127.0.0.1"));
        server.clock.advance_seconds(audit::RECORDED_EVERY_SECONDS);
        server.graphql(&key, "{ __typename }").send().await.unwrap();
        assert_eq!(count(&server, &ada.team_id, "key.refused").await, 2);
        server.revoke_key(&ada.user_id, &ada.key_id).await;
        server.graphql(&ada.key, "{ __typename }").send().await.unwrap();
        let last = entries(&server, &ada.team_id).await.pop().unwrap();
        assert_eq!(last.details, r#"{"reason":"revoked"}"#);
        server.stop().await;
    }
);

both_databases!(
    async fn an_export_can_be_verified_by_others(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        // More than a page of entries.
        let scope = server.scope_of(&ada.user_id).await.scope;
        for n in 0..510 {
            let name = format!("orchard {n}");
            han_db::queries::teams::rename(&scope, &server.db, &name).await.unwrap();
        }
        let all = export(&server, &ada.key, &path(&ada)).await;
        let (kinds, values): (Vec<String>, Vec<Value>) = all.into_iter().unzip();
        assert_eq!((kinds[0].as_str(), kinds.last().map(String::as_str)), ("audit", Some("end")));
        let (head, rest) = values.split_first().unwrap();
        let (end, entries) = rest.split_last().unwrap();
        assert_eq!(head["team"], "ada");
        let mut previous = vec![0; 32];
        for (n, entry) in entries.iter().enumerate() {
            assert_eq!(entry["seq"], n + 1);
            previous = hash_of(ada.team_id.as_str(), entry, &previous);
            let hex: String = previous.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(entry["hash"], hex, "{entry}");
        }
        assert_eq!(
            (&end["entries"], &end["hash"]),
            (&json!(entries.len()), &entries.last().unwrap()["hash"])
        );
        let last = entries.last().unwrap();
        assert_eq!((&last["event"], &last["actor_name"]), (&json!("export.audit"), &json!("ada")));
        assert_eq!(last["credential_id"], ada.key_id.as_str());
        // What has come since.
        let since = export(&server, &ada.key, &format!("{}?after={}", path(&ada), entries.len())).await;
        assert_eq!(since.len(), 3);
        assert_eq!(since[1].1["details"], json!({ "after": entries.len() }));

        let refused = async |key: &str, path: &str| {
            let (status, code, _) = problem(server.get(path).bearer_auth(key).send().await.unwrap()).await;
            (status, code)
        };
        assert_eq!(refused(&bob.key, &path(&ada)).await, (403, "admins_only".to_owned()));
        let eve = server.person("eve").await;
        assert_eq!(refused(&eve.key, &path(&ada)).await, (404, "not_found".to_owned()));
        assert_eq!(refused(&ada.key, &format!("{}?after=x", path(&ada))).await.0, 400);
        server.stop().await;
    }
);

both_databases!(
    async fn exports_and_imports_are_recorded(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(5)).await;
        let get = async |key: &str, path: String| {
            let response = server.get(&path).bearer_auth(key).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.text().await.unwrap()
        };
        let team = format!("/api/sync/teams/{}", ada.team_id);
        let all = get(&ada.key, format!("{team}/export")).await;
        get(&bob.key, format!("{team}/export?own=true")).await;
        get(&bob.key, format!("{team}/sessions/s1/export")).await;
        let log = entries(&server, &ada.team_id).await;
        let exported: Vec<(&str, Option<&str>)> = log
            .iter()
            .filter(|entry| entry.event.starts_with("export."))
            .map(|entry| (entry.event.as_str(), entry.subject_id.as_deref()))
            .collect();
        assert_eq!(exported, [("export.team", None), ("export.own", None), ("export.session", Some("s1"))]);

        let eve = server.person("eve").await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("export.ndjson");
        std::fs::write(&file, all).unwrap();
        command(&db, &server, &["import", "--team", "eve", "--create-members", file.to_str().unwrap()])
            .await
            .unwrap();
        let log = entries(&server, &eve.team_id).await;
        let last = log.last().unwrap();
        assert_eq!((last.event.as_str(), last.credential.as_str()), ("import", "operator"));
        assert_eq!((last.details.as_str(), &last.user), (r#"{"lines":5,"sessions":1}"#, &None));
        server.stop().await;
    }
);

/// The events of an answer of `auditLog`.
fn events(body: &Value) -> Vec<&str> {
    let edges = body["data"]["auditLog"]["edges"].as_array().unwrap_or_else(|| panic!("{body}"));
    edges.iter().map(|edge| edge["node"]["event"].as_str().unwrap()).collect()
}

both_databases!(
    async fn admins_and_members_read_the_log_over_graphql(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let ask = async |key: &str, arguments: &str| {
            let query = format!(
                "{{ auditLog(teamId: \"{}\"{arguments}) {{ pageInfo {{ hasNextPage endCursor }} edges {{ cursor node {{ \
                 id sequence at event actor {{ name }} actorPseudonym credential credentialId address requestId \
                 subjectKind subjectId subjectUser {{ name }} details hash }} }} }} }}",
                ada.team_id
            );
            answer(server.graphql(key, &query).send().await.unwrap()).await.1
        };
        let all = ask(&ada.key, "").await;
        assert_eq!(events(&all), ["key.created", "member.joined", "key.created", "team.created"]);
        let joined = &all["data"]["auditLog"]["edges"][1]["node"];
        assert_eq!((&joined["sequence"], &joined["subjectUser"]["name"]), (&json!(3), &json!("bob")));
        assert_eq!(
            (&joined["subjectKind"], &joined["subjectId"]),
            (&json!("user"), &json!(bob.user_id.as_str()))
        );
        assert_eq!((&joined["credential"], &joined["actor"]), (&json!("server"), &Value::Null));
        assert_eq!(joined["id"], format!("AuditEntry:{}~3", ada.team_id));
        // Pages and filters.
        let first = ask(&ada.key, ", first: 3").await;
        let page = &first["data"]["auditLog"]["pageInfo"];
        assert_eq!(page["hasNextPage"], true);
        let rest = ask(&ada.key, &format!(", after: {}", page["endCursor"])).await;
        assert_eq!(events(&rest), ["team.created"]);
        let some =
            ask(&ada.key, ", filter: { events: [\"member.joined\"], since: \"2026-01-01T00:00:00Z\" }").await;
        assert_eq!(events(&some), ["member.joined"]);
        for wrong in ["{ events: [\"x\"] }", "{ since: \"yesterday\" }", "{ userId: \"a b\" }"] {
            let refused = ask(&ada.key, &format!(", filter: {wrong}")).await;
            assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{wrong}: {refused}");
        }
        // Members see what they did.
        assert!(events(&ask(&bob.key, "").await).is_empty());
        let token = server.jwt.mint(&bob.user_id, None, server.db.entropy()).unwrap();
        let make =
            format!("mutation {{ createApiKey(teamId: \"{}\", name: \"ci\") {{ secret }} }}", ada.team_id);
        server.graphql(&token, &make).send().await.unwrap();
        let own = ask(&bob.key, "").await;
        assert_eq!(events(&own), ["key.created"]);
        let node = &own["data"]["auditLog"]["edges"][0]["node"];
        assert_eq!((&node["actor"]["name"], &node["address"]), (&json!("bob"), &json!("127.0.0.1")));
        server.stop().await;
    }
);

both_databases!(
    async fn reading_the_log_needs_the_plan_where_plans_are_enforced(db: TestDatabase) {
        let server = TestServer::start_with(&db, |config| config.plans.billing_configured = true).await;
        let ada = server.person("ada").await;
        let query = format!("{{ auditLog(teamId: \"{}\") {{ edges {{ node {{ event }} }} }} }}", ada.team_id);
        let (_, body) = answer(server.graphql(&ada.key, &query).send().await.unwrap()).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "PLAN_LIMIT", "{body}");
        let (status, code, _) =
            problem(server.get(&path(&ada)).bearer_auth(&ada.key).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (403, "plan_limit"));
        db.execute("UPDATE teams SET plan_tier = 'enterprise'").await;
        // It was written all the time.
        let (_, body) = answer(server.graphql(&ada.key, &query).send().await.unwrap()).await;
        assert_eq!(events(&body), ["key.created", "team.created"]);
        server.stop().await;
    }
);

both_databases!(
    async fn opening_a_session_is_recorded_if_the_team_wants_it(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let members = [
            server.colleague(&ada, "bob").await,
            server.colleague(&ada, "cy").await,
            server.colleague(&ada, "dee").await,
            server.colleague(&ada, "eli").await,
            server.colleague(&ada, "fay").await,
        ];
        server.push_lines(&ada.key, "s1", 0, &SyntheticSession::new(1).lines(5)).await;
        server.until_indexed(&ada.key).await;
        let ask = async |key: &str, query: &str| {
            let (_, body) = answer(server.graphql(key, query).send().await.unwrap()).await;
            assert!(body["errors"].is_null(), "{query}: {body}");
            body["data"].clone()
        };
        let opened = async || count(&server, &ada.team_id, "session.opened").await;
        let session = "{ session(id: \"s1\") { name messages(first: 1) { edges { node { id } } } } }";
        let message =
            ask(&members[0].key, session).await["session"]["messages"]["edges"][0]["node"]["id"].clone();
        assert_eq!(opened().await, 0);

        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        let set = format!(
            "mutation {{ setAuditReads(teamId: \"{}\", enabled: true) {{ auditReads }} }}",
            ada.team_id
        );
        assert_eq!(ask(&token, &set).await["setAuditReads"]["auditReads"], true);
        let refused = answer(server.graphql(&members[0].key, &set).send().await.unwrap()).await.1;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        // Not the author, nor a list, nor a second page.
        ask(&ada.key, session).await;
        ask(&members[0].key, "{ sessions { edges { node { sessionId name } } } }").await;
        assert_eq!(opened().await, 0);
        let node = format!("{{ node(id: {message}) {{ id }} }}");
        for (n, query) in [
            session.to_owned(),
            format!("{{ message(id: {message}) {{ id }} }}"),
            node,
            "{ sessions { edges { node { messages(first: 1) { edges { cursor } } } } } }".to_owned(),
        ]
        .iter()
        .enumerate()
        {
            ask(&members[n].key, query).await;
            assert_eq!(opened().await, n + 1, "{query}");
            ask(&members[n].key, query).await;
            ask(&members[n].key, session).await;
            assert_eq!(opened().await, n + 1, "once: {query}");
        }
        // Each listener of a shared subscription, before it gets anything.
        let subscription = "subscription { sessionMessageAdded(sessionId: \"s1\") { messageIndex } }";
        let (mut one, mut two) = (server.socket_as(&ada.key).await, server.socket_as(&members[4].key).await);
        for socket in [&mut one, &mut two] {
            socket.subscribe("s", subscription).await;
            socket.subscribe("ready", "{ __typename }").await;
            while socket.receive().await.unwrap()["type"] != "complete" {}
        }
        server.push_lines(&ada.key, "s1", 5, &SyntheticSession::new(2).lines(6)).await;
        assert_eq!(two.receive().await.unwrap()["id"], "s");
        assert_eq!(opened().await, 5);
        let last = entries(&server, &ada.team_id).await.pop().unwrap();
        assert_eq!(
            (last.subject_id.as_deref(), last.user.map(|user| user.username)),
            (Some("s1"), Some("fay".to_owned()))
        );
        server.stop().await;
    }
);

both_databases!(
    async fn an_operator_verifies_and_exports_logs(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        server.person("eve").await;
        command(&db, &server, &["member", "list", "--team", "ada"]).await.unwrap();
        let printed = command(&db, &server, &["audit", "verify"]).await.unwrap();
        for log in ["team ada: 2 entries", "team eve: 2 entries", "the server's own log: 0 entries"] {
            assert!(printed.contains(log), "{printed}");
        }
        // What is printed of an empty log can be given back.
        let empty = format!("0:{}", "0".repeat(64));
        assert!(printed.contains(&empty), "{printed}");
        command(&db, &server, &["audit", "verify", "--server", "--noted", &empty]).await.unwrap();
        let noted = command(&db, &server, &["audit", "verify", "--team", "ada"]).await.unwrap();
        let noted = noted.trim().rsplit(' ').next().unwrap().to_owned();
        // An operator's command.
        let key = ada.key_id.to_string();
        command(&db, &server, &["key", "revoke", "--key", &key]).await.unwrap();
        let entry = entries(&server, &ada.team_id).await.pop().unwrap();
        assert_eq!((entry.event.as_str(), entry.credential.as_str()), ("key.revoked", "operator"));
        assert!(entry.user.is_none() && entry.address.is_none() && !entry.request_id.is_empty());
        let printed =
            command(&db, &server, &["audit", "verify", "--team", "ada", "--noted", &noted]).await.unwrap();
        assert!(printed.contains("team ada: 3 entries"), "{printed}");
        let wrong = format!("2:{}", "0".repeat(64));
        command(&db, &server, &["audit", "verify", "--team", "ada", "--noted", &wrong]).await.unwrap_err();
        let refused =
            command(&db, &server, &["audit", "verify", "--team", "ada", "--noted", "2:x"]).await.unwrap_err();
        assert!(refused.contains("--noted"), "{refused}");

        // The server's own log alone.
        let printed = command(&db, &server, &["audit", "verify", "--server"]).await.unwrap();
        assert!(printed.contains("the server's own log") && !printed.contains("team ada"), "{printed}");
        let noted = format!("7:{}", "0".repeat(64));
        let args = ["audit", "verify", "--server", "--noted", &noted];
        let refused = command(&db, &server, &args).await.unwrap_err();
        assert!(refused.contains("1 audit log(s)"), "{refused}");

        let exported =
            records(&output(&db, &server, &["audit", "export", "--team", "ada", "--after", "2"]).await);
        let kinds: Vec<&str> = exported.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["audit", "entry", "entry", "end"]);
        assert_eq!(exported[2].1["event"], "export.audit");

        let off = if db.is_postgres() {
            "ALTER TABLE audit_log DISABLE TRIGGER ALL"
        } else {
            "DROP TRIGGER audit_log_kept_update"
        };
        db.execute(off).await;
        db.execute("UPDATE audit_log SET event = 'key.created' WHERE event = 'key.revoked'").await;
        let refused = command(&db, &server, &["audit", "verify"]).await.unwrap_err();
        assert!(refused.contains("1 audit log(s)"), "{refused}");
        let refused = command(&db, &server, &["audit", "verify", "--team", "none"]).await.unwrap_err();
        assert!(refused.contains("does not exist"), "{refused}");
        server.stop().await;
    }
);

both_databases!(
    async fn a_backup_and_a_new_user_are_in_the_log_of_the_server(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        server.person("ada").await;
        let zoe = users::create(&server.db, "zoe").await.unwrap();
        let cookie = server.cookie(&zoe.id).await;
        let logout =
            server.post("/auth/logout").header(header::COOKIE, cookie).header(header::ORIGIN, &server.url);
        let logout = logout.header(header::CONTENT_TYPE, "application/json").send().await.unwrap();
        assert_eq!(logout.status(), StatusCode::NO_CONTENT);
        let directory = tempfile::tempdir().unwrap();
        let (to, keys) = (directory.path().join("backup"), directory.path().join("keys"));
        let args = ["backup", "--to", to.to_str().unwrap(), "--keys", keys.to_str().unwrap()];
        command(&db, &server, &args).await.unwrap();
        let log = audit::after(&server.db, LogOf::Server, 0, 10).await.unwrap();
        let events: Vec<&str> = log.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(events, ["sign_in.link_created", "sign_in", "sign_out", "backup"]);
        assert_eq!((log[2].credential.as_str(), log[3].credential.as_str()), ("browser", "operator"));
        assert!(server.clock.now() >= log[3].at);
        server.stop().await;
    }
);
