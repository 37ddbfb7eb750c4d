//! Service accounts and the expiry of API keys, over GraphQL, over the sync protocol and on the command line.

use han_testkit::{SyntheticSession, both_databases};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Person, TestServer, answer, command, push_directory};

const DAY: i64 = 86_400;

/// The answer to an operation of a person who has signed in.
async fn ask(server: &TestServer, who: &Person, query: &str) -> Value {
    let token = server.jwt.mint(&who.user_id, None, server.db.entropy()).unwrap();
    let query = query.replace("$team", &format!("\"{}\"", who.team_id));
    let (status, body) = answer(server.graphql(&token, &query).send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The value of one field of an answer without errors.
async fn get(server: &TestServer, who: &Person, field: &str, query: &str) -> Value {
    let mut body = ask(server, who, query).await;
    assert!(body.get("errors").is_none(), "{body}");
    body["data"][field].take()
}

async fn refused(server: &TestServer, who: &Person, query: &str) -> String {
    let body = ask(server, who, query).await;
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

both_databases!(
    async fn a_service_account_pushes_with_its_own_key(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let create = "mutation { createServiceAccount(teamId: $team, name: \" ci \") { id name createdAt } }";
        assert_eq!(refused(&server, &bob, create).await, "FORBIDDEN");
        let account = get(&server, &ada, "createServiceAccount", create).await;
        assert_eq!(account["name"], "ci");
        assert_eq!(refused(&server, &ada, create).await, "CONFLICT", "the name is taken");
        let bad = "mutation { createServiceAccount(teamId: $team, name: \"\") { id } }";
        assert_eq!(refused(&server, &ada, bad).await, "BAD_USER_INPUT");
        let id = text(&account["id"]);
        let key = |days: i64| {
            format!(
                "mutation {{ createServiceAccountKey(teamId: $team, serviceAccountId: \"{id}\", name: \"main\", \
                 expiresInDays: {days}) {{ secret apiKey {{ id scopes expiresInDays expiresSoon owner {{ id name }} }} }} }}"
            )
        };
        assert_eq!(refused(&server, &bob, &key(30)).await, "FORBIDDEN");
        for days in [0, 367] {
            assert_eq!(refused(&server, &ada, &key(days)).await, "BAD_USER_INPUT", "{days}");
        }
        let made = get(&server, &ada, "createServiceAccountKey", &key(366)).await;
        let row = &made["apiKey"];
        assert_eq!((&row["scopes"], &row["expiresInDays"]), (&json!(["sync:write"]), &json!(366)));
        assert_eq!((&row["owner"]["id"], &row["expiresSoon"]), (&json!(id), &json!(false)));
        let (secret, key_id) = (text(&made["secret"]), text(&row["id"]));

        // It pushes, is the author, and can do nothing else.
        let pushed = server.push_lines(&secret, "built", 0, &SyntheticSession::new(1).lines(20)).await;
        assert_eq!(pushed["stored"], 20);
        let owner = get(&server, &bob, "session", "{ session(id: \"built\") { owner { id name } } }").await;
        assert_eq!(owner["owner"], json!({ "id": id, "name": "ci" }));
        let status = server.get("/api/sync/status").bearer_auth(&secret).send().await.unwrap();
        let (_, status) = answer(status).await;
        assert_eq!(status["transcripts"][0]["session_id"], "built");
        assert_eq!(status["key"]["expires_in_days"], 366);
        for query in [
            "{ sessions { totalCount } }".to_owned(),
            "{ me { id } }".to_owned(),
            format!("mutation {{ createApiKey(teamId: \"{}\", name: \"x\") {{ secret }} }}", ada.team_id),
            key(1).replace("$team", &format!("\"{}\"", ada.team_id)),
        ] {
            let (_, body) = answer(server.graphql(&secret, &query).send().await.unwrap()).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN", "{query}: {body}");
        }

        // It is listed apart from members.
        let listed = get(&server, &bob, "activeTeam", "{ activeTeam { serviceAccounts { id name } } }").await;
        assert_eq!(listed["serviceAccounts"], json!([{ "id": id, "name": "ci" }]));
        let members =
            get(&server, &ada, "teamMembers", "{ teamMembers(teamId: $team) { user { name } } }").await;
        assert_eq!(members.as_array().unwrap().len(), 2);
        let keys = "{ apiKeys(teamId: $team) { id owner { name } } }";
        let found = get(&server, &ada, "apiKeys", keys).await;
        assert!(found.as_array().unwrap().contains(&json!({ "id": key_id, "owner": { "name": "ci" } })));
        let own = get(&server, &bob, "apiKeys", keys).await;
        assert_eq!(own.as_array().unwrap().len(), 1, "a member sees their own keys");
        let member = format!("mutation {{ removeMember(teamId: $team, userId: \"{id}\") }}");
        assert_eq!(refused(&server, &ada, &member).await, "NOT_FOUND");

        let rename = format!(
            "mutation {{ renameServiceAccount(teamId: $team, serviceAccountId: \"{id}\", name: \"builds\") {{ name }} }}"
        );
        assert_eq!(refused(&server, &bob, &rename).await, "FORBIDDEN");
        assert_eq!(get(&server, &ada, "renameServiceAccount", &rename).await["name"], "builds");
        let remove =
            format!("mutation {{ removeServiceAccount(teamId: $team, serviceAccountId: \"{id}\") }}");
        assert_eq!(refused(&server, &bob, &remove).await, "FORBIDDEN");
        assert_eq!(get(&server, &ada, "removeServiceAccount", &remove).await, json!(true));
        assert_eq!(refused(&server, &ada, &remove).await, "NOT_FOUND");
        let body = crate::support::batch("built", 20, &SyntheticSession::new(2).lines(1));
        assert_eq!(server.push(&secret, &body).send().await.unwrap().status(), 401);
        let owner = get(&server, &bob, "session", "{ session(id: \"built\") { owner { name } } }").await;
        assert_eq!(owner["owner"]["name"], "builds", "it stays the author");
        let eve = server.person("eve").await;
        let foreign = rename.replace("$team", &format!("\"{}\"", ada.team_id));
        assert_eq!(refused(&server, &eve, &foreign).await, "NOT_FOUND");
        server.stop().await;
    }
);

both_databases!(
    async fn keys_expire_by_default_and_warn_before(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let keys = "{ apiKeys(teamId: $team) { id name expiresAt expiresInDays expiresSoon } }";
        // A key from before keys expired by default stays as it is.
        let old = get(&server, &ada, "apiKeys", keys).await;
        assert_eq!((&old[0]["expiresAt"], &old[0]["expiresInDays"]), (&Value::Null, &Value::Null));
        assert_eq!(old[0]["expiresSoon"], false);
        let create =
            "mutation { createApiKey(teamId: $team, name: \"laptop\") { secret apiKey { expiresInDays } } }";
        let made = get(&server, &ada, "createApiKey", create).await;
        assert_eq!(made["apiKey"]["expiresInDays"], 90);
        let secret = text(&made["secret"]);
        for (days, code) in [("0", "BAD_USER_INPUT"), ("3651", "BAD_USER_INPUT")] {
            let query = create.replace("\"laptop\"", &format!("\"x\", expiresInDays: {days}"));
            assert_eq!(refused(&server, &ada, &query).await, code);
        }
        let rotate = format!(
            "mutation {{ rotateApiKey(teamId: $team, keyId: \"{}\") {{ apiKey {{ expiresInDays }} }} }}",
            text(&old[0]["id"])
        );
        assert_eq!(get(&server, &ada, "rotateApiKey", &rotate).await["apiKey"]["expiresInDays"], 90);

        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("p")).unwrap();
        let lines = SyntheticSession::new(1).lines(3).join("\n") + "\n";
        std::fs::write(home.path().join("p/s-1.jsonl"), lines).unwrap();
        let warnings = async || {
            let report = push_directory(&server, &secret, home.path()).await;
            assert!(report.succeeded(), "{report:?}");
            report.warnings.into_iter().filter(|warning| warning.starts_with("key ")).collect::<Vec<_>>()
        };
        server.clock.advance_seconds(76 * DAY - 1);
        assert_eq!(warnings().await, Vec::<String>::new());
        server.clock.advance_seconds(1);
        let warned = warnings().await;
        assert!(warned[0].starts_with("key \"laptop\" expires in 14 days: "), "{warned:?}");
        let listed = get(&server, &ada, "apiKeys", keys).await;
        let laptop = listed.as_array().unwrap().iter().find(|key| key["name"] == "laptop").unwrap();
        assert_eq!((&laptop["expiresInDays"], &laptop["expiresSoon"]), (&json!(14), &json!(true)));
        server.clock.advance_seconds(14 * DAY - 1);
        assert!(warnings().await[0].starts_with("key \"laptop\" expires in 1 day: "));
        server.clock.advance_seconds(1);
        let ended = server.get("/api/sync/status").bearer_auth(&secret).send().await.unwrap();
        assert_eq!(ended.status(), 401);
        server.stop().await;
    }
);

both_databases!(
    async fn an_operator_looks_after_service_accounts(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let run = async |args: &[&str]| {
            let args: Vec<&str> = ["service-account"].iter().chain(args).copied().collect();
            command(&db, &server, &args).await
        };
        assert!(run(&["create", "--team", "ada", "--name", "ci"]).await.unwrap().contains("ci ("));
        assert!(
            run(&["create", "--team", "ada", "--name", "ci"]).await.unwrap_err().contains("choose another")
        );
        assert!(run(&["create", "--team", "none", "--name", "ci"]).await.unwrap_err().contains("--team"));
        run(&["list", "--team", "ada"]).await.unwrap();
        let key = ["create-key", "--team", "ada", "--account", "ci", "--expires-days", "30"];
        // The newest key is listed first.
        server.clock.advance_seconds(1);
        assert!(run(&key).await.unwrap().contains("shown only once"));
        let listed =
            get(&server, &ada, "apiKeys", "{ apiKeys(teamId: $team) { owner { name } expiresInDays } }")
                .await;
        assert_eq!(listed[0], json!({ "owner": { "name": "ci" }, "expiresInDays": 30 }));
        run(&["rename", "--team", "ada", "--account", "ci", "--name", "builds"]).await.unwrap();
        // No command takes it for a person.
        for args in [["login-link", "--user", "builds"], ["user", "revoke", "--user=builds"]] {
            assert!(command(&db, &server, &args).await.unwrap_err().contains("does not exist"), "{args:?}");
        }
        let accounts = "{ activeTeam { serviceAccounts { id } } }";
        let id = text(&get(&server, &ada, "activeTeam", accounts).await["serviceAccounts"][0]["id"]);
        for command_of in ["login-link", "key create"] {
            let args: Vec<&str> = command_of.split(' ').chain(["--user", &id, "--team", "ada"]).collect();
            let args = if command_of == "login-link" { [&args[..], &["--create"]].concat() } else { args };
            let refused = command(&db, &server, &args).await.unwrap_err();
            assert!(refused.contains("is a service account"), "{args:?}: {refused}");
        }
        assert!(
            run(&["remove", "--team", "ada", "--account", "ci"])
                .await
                .unwrap_err()
                .contains("no service account")
        );
        assert!(
            run(&["remove", "--team", "ada", "--account", "builds"]).await.unwrap().contains("is removed")
        );
        assert!(run(&key).await.unwrap_err().contains("no service account"));

        // Keys of persons expire by default here, too.
        let said = command(&db, &server, &["key", "create", "--user", "ada"]).await.unwrap();
        assert!(said.contains("until 2027-01-31T"), "{said}");
        server.stop().await;
    }
);
