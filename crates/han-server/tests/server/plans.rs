//! Plans as clients meet them: limits of sessions, members and requests, what a refusal says, and how plans change.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use han_db::queries::{plans, users};
use han_server::config::Config;
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::{Clock as _, Month, PlanTier, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Person, Socket, TestServer, answer, batch, command, exported, problem, push_directory};

/// A server that enforces plans.
async fn billed(db: &TestDatabase) -> TestServer {
    billed_with(db, |_| {}).await
}

async fn billed_with(db: &TestDatabase, change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(db, |config| {
        config.plans.billing_configured = true;
        change(config);
    })
    .await
}

/// Says that the person's team has pushed so many sessions in this month.
async fn used(db: &TestDatabase, server: &TestServer, person: &Person, sessions: u32) {
    let month = Month::of(server.clock.now()).begins_at.0;
    db.execute(&format!(
        "DELETE FROM team_usage; INSERT INTO team_usage (team, month, shard, sessions) \
         SELECT number, {month}, 0, {sessions} FROM teams WHERE id = '{}'",
        person.team_id
    ))
    .await;
}

fn lines(n: u64) -> Vec<String> {
    SyntheticSession::new(n).lines(1)
}

async fn plan_of(server: &TestServer, key: &str) -> Value {
    let query = "{ activeTeam { plan seats planFeatures planUsage { members sessionsThisMonth resetsAt \
                 limits { members sessionsPerMonth } } } }";
    let (_, body) = answer(server.graphql(key, query).send().await.unwrap()).await;
    assert!(body.get("errors").is_none(), "{body}");
    body["data"]["activeTeam"].clone()
}

both_databases!(
    async fn without_billing_nothing_is_limited(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        for n in 0..12 {
            let colleague = server.colleague(&ada, &format!("m{n}")).await;
            server.push_lines(&colleague.key, &format!("of-m{n}"), 0, &lines(n)).await;
        }
        let sessions: Vec<Value> =
            (0..110).map(|n| batch(&format!("s{n}"), 0, &lines(1000 + n))["sessions"][0].clone()).collect();
        let (_, body) =
            answer(server.push(&ada.key, &json!({ "sessions": sessions })).send().await.unwrap()).await;
        let results = body["sessions"].as_array().unwrap();
        assert!(results.iter().all(|result| result["error"].is_null()) && results.len() == 110, "{body}");
        let plan = plan_of(&server, &ada.key).await;
        assert_eq!(plan["plan"], "ENTERPRISE");
        assert_eq!(plan["planFeatures"], json!(["AUDIT_LOG", "CUSTOM_RETENTION"]));
        assert_eq!(
            plan["planUsage"],
            json!({ "members": 13, "sessionsThisMonth": 122, "resetsAt": "2026-12-01T00:00:00.000Z",
                    "limits": { "members": null, "sessionsPerMonth": null } })
        );
        server.stop().await;
    }
);

both_databases!(
    async fn a_session_over_the_limit_is_refused_alone_and_pushed_next_month(db: TestDatabase) {
        let server = billed(&db).await;
        let ada = server.person("ada").await;
        let home = tempfile::tempdir().unwrap();
        let project = home.path().join("-home-dev-orchard");
        std::fs::create_dir(&project).unwrap();
        let write = |name: &str, lines: &[String]| {
            std::fs::write(project.join(format!("{name}.jsonl")), lines.join("\n") + "\n").unwrap();
        };
        let mut known = SyntheticSession::new(1).lines(6);
        let later = known.split_off(3);
        write("known", &known);
        assert!(push_directory(&server, &ada.key, home.path()).await.succeeded());
        used(&db, &server, &ada, 99).await;

        known.extend(later);
        write("known", &known);
        for n in 0..5 {
            write(&format!("new-{n}"), &lines(10 + n));
        }
        let report = push_directory(&server, &ada.key, home.path()).await;
        assert!(!report.succeeded() && report.stopped.is_none(), "{report:?}");
        let refused: BTreeSet<&str> = report.failed.iter().map(|failed| failed.session_id.as_str()).collect();
        assert_eq!(refused.len(), 4, "{report:?}");
        assert!(!refused.contains("known"), "the session that the server knows has grown");
        assert!(report.failed.iter().all(|failed| failed.code == "plan_limit"));
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for part in
            ["4 sessions not pushed", "100 new sessions a month", "2026-12-01T00:00:00.000Z", "upgrade"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("upgrade").count(), 1, "the reason is given once: {text}");
        let plan = plan_of(&server, &ada.key).await;
        assert_eq!(plan["planUsage"]["sessionsThisMonth"], 100);
        assert_eq!(plan["planUsage"]["limits"], json!({ "members": 1, "sessionsPerMonth": 100 }));
        assert_eq!((&plan["plan"], &plan["planFeatures"]), (&json!("FREE"), &json!([])));

        server.clock.set(Timestamp::parse_rfc3339("2026-12-01T00:00:00.000Z").unwrap());
        let report = push_directory(&server, &ada.key, home.path()).await;
        assert!(report.succeeded(), "{report:?}");
        let plan = plan_of(&server, &ada.key).await;
        assert_eq!(plan["planUsage"]["sessionsThisMonth"], 4);
        server.stop().await;
    }
);

/// Two replicas on one PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_pushes_to_two_replicas_at_99_of_100_one_new_session_is_stored() {
    let db = TestDatabase::postgres().await;
    let (one, two) = (billed(&db).await, billed(&db).await);
    let ada = one.person("ada").await;
    one.push_lines(&ada.key, "known", 0, &lines(1)).await;
    used(&db, &one, &ada, 99).await;
    let pushes = (0..50).map(|n| {
        let server = if n % 2 == 0 { &one } else { &two };
        let (key, own) = (&ada.key, lines(100 + n));
        async move { server.push_lines(key, &format!("s{n}"), 0, &own).await }
    });
    let results = join_all(pushes).await;
    let (stored, refused): (Vec<_>, Vec<_>) = results.iter().partition(|result| result["error"].is_null());
    assert_eq!((stored.len(), refused.len()), (1, 49));
    assert!(refused.iter().all(|result| result["error"]["code"] == "plan_limit"), "{refused:?}");
    assert_eq!(plan_of(&two, &ada.key).await["planUsage"]["sessionsThisMonth"], 100);
    let grown = two.push_lines(&ada.key, "known", 1, &lines(2)).await;
    assert_eq!(grown["error"], Value::Null);
    one.stop().await;
    two.stop().await;
}

both_databases!(
    async fn members_above_the_limit_read_and_do_not_push(db: TestDatabase) {
        let server = billed(&db).await;
        let ada = server.person("ada").await;
        let team = &ada.team_id;
        plans::set(&server.db, team, PlanTier::Pro).await.unwrap();
        server.clock.advance_seconds(1);
        let bob = server.colleague(&ada, "bob").await;
        server.push_lines(&bob.key, "of-bob", 0, &lines(1)).await;
        plans::set(&server.db, team, PlanTier::Free).await.unwrap();

        let token = server.jwt.mint(&bob.user_id, None, server.db.entropy()).unwrap();
        for credential in [&bob.key, &token] {
            let pushed = server.push(credential, &batch("of-bob", 1, &lines(2))).send().await.unwrap();
            let (status, code, detail) = problem(pushed).await;
            assert_eq!((status, code.as_str()), (402, "plan_limit"));
            assert!(
                detail.contains("1 member joined the team before you") && detail.contains("upgrade"),
                "{detail}"
            );
            // Also if the team is named.
            let mut named = batch("of-bob", 1, &lines(2));
            named["team_id"] = json!(team.as_str());
            assert_eq!(
                server.push(credential, &named).send().await.unwrap().status(),
                StatusCode::PAYMENT_REQUIRED
            );
            let query = "{ sessions { totalCount } session(id: \"of-bob\") { messageCount } }";
            let (_, body) = answer(server.graphql(credential, query).send().await.unwrap()).await;
            assert_eq!(
                body["data"],
                json!({ "sessions": { "totalCount": 1 }, "session": { "messageCount": 1 } })
            );
            let status = server.get("/api/sync/status").bearer_auth(credential).send().await.unwrap();
            assert_eq!(status.status(), StatusCode::OK);
        }
        server.push_lines(&ada.key, "of-ada", 0, &lines(3)).await;
        let usage = plan_of(&server, &ada.key).await["planUsage"].clone();
        assert_eq!((&usage["members"], &usage["limits"]["members"]), (&json!(2), &json!(1)));
        plans::set(&server.db, team, PlanTier::Enterprise).await.unwrap();
        server.push_lines(&bob.key, "of-bob", 1, &lines(2)).await;
        server.stop().await;
    }
);

both_databases!(
    async fn a_free_team_may_make_fewer_requests(db: TestDatabase) {
        let server = billed_with(&db, |config| config.http.rate_factor = Some(1)).await;
        let (free, pro) = (server.person("ada").await, server.person("bob").await);
        plans::set(&server.db, &pro.team_id, PlanTier::Pro).await.unwrap();
        let ask = |key: &str| server.graphql(key, "{ __typename }").send();
        let first = ask(&free.key).await.unwrap();
        assert_eq!(
            first.headers()["ratelimit-policy"],
            r#""address";q=3000;w=60, "person";q=1200;w=60, "team";q=300;w=60"#
        );
        for _ in 1..300 {
            assert_eq!(ask(&free.key).await.unwrap().status(), StatusCode::OK);
        }
        let refused = ask(&free.key).await.unwrap();
        let (status, code, _) = problem(refused).await;
        assert_eq!((status, code.as_str()), (429, "rate_limited"));
        // Pushes count by themselves, and other teams, too.
        server.push_lines(&free.key, "s", 0, &lines(1)).await;
        let other = ask(&pro.key).await.unwrap();
        assert_eq!(other.headers()["ratelimit-policy"], r#""address";q=3000;w=60, "person";q=1200;w=60"#);
        server.clock.advance_seconds(60);
        assert_eq!(ask(&free.key).await.unwrap().status(), StatusCode::OK);
        server.stop().await;
    }
);

both_databases!(
    async fn an_import_is_not_limited_and_does_not_count(db: TestDatabase) {
        let server = billed(&db).await;
        let (ada, copy) = (server.person("ada").await, server.person("copy").await);
        for n in 0..3 {
            server.push_lines(&ada.key, &format!("s{n}"), 0, &lines(n)).await;
        }
        let export = exported(&server, &ada.key, &format!("/api/sync/teams/{}/export", ada.team_id)).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ada.ndjson");
        std::fs::write(&file, &export).unwrap();
        used(&db, &server, &copy, 100).await;
        // The one seat of the plan is that of the first member.
        server.clock.advance_seconds(1);
        let import = ["import", "--team", "copy", "--create-members", file.to_str().unwrap()];
        command(&db, &server, &import).await.unwrap();
        let usage = plan_of(&server, &copy.key).await["planUsage"].clone();
        assert_eq!(usage["sessionsThisMonth"], 100);
        let (_, body) =
            answer(server.graphql(&copy.key, "{ sessions { totalCount } }").send().await.unwrap()).await;
        assert_eq!(body["data"]["sessions"]["totalCount"], 3, "{body}");
        let refused = server.push_lines(&copy.key, "another", 0, &lines(9)).await;
        assert_eq!(refused["error"]["code"], "plan_limit");
        server.stop().await;
    }
);

both_databases!(
    async fn several_teams_show_their_usage_and_so_does_one_that_is_just_created(db: TestDatabase) {
        let server = billed(&db).await;
        let user = users::create(&server.db, "ada").await.unwrap();
        let token = server.jwt.mint(&user.id, None, server.db.entropy()).unwrap();
        let usage = "plan planUsage { members sessionsThisMonth limits { members } }";
        for name in ["orchard", "grove"] {
            server.clock.advance_seconds(1);
            let create = format!("mutation {{ createTeam(name: \"{name}\") {{ {usage} }} }}");
            let (_, body) = answer(server.graphql(&token, &create).send().await.unwrap()).await;
            let expected = json!({ "members": 1, "sessionsThisMonth": 0, "limits": { "members": 1 } });
            assert_eq!(body["data"]["createTeam"]["planUsage"], expected, "{body}");
        }
        server.push_lines(&token, "s", 0, &lines(1)).await;
        let list = format!("{{ myTeams {{ name {usage} }} }}");
        let (_, body) = answer(server.graphql(&token, &list).send().await.unwrap()).await;
        let teams = body["data"]["myTeams"].as_array().unwrap();
        let used: Vec<_> =
            teams.iter().map(|team| (&team["name"], &team["planUsage"]["sessionsThisMonth"])).collect();
        assert_eq!(used, [(&json!("orchard"), &json!(1)), (&json!("grove"), &json!(0))], "{body}");
        server.stop().await;
    }
);

/// The next event of a subscription.
async fn event(socket: &mut Socket) -> Value {
    let received = tokio::time::timeout(Duration::from_secs(30), socket.receive()).await.unwrap();
    let received = received.unwrap();
    assert_eq!((&received["id"], &received["type"]), (&json!("live"), &json!("next")), "{received}");
    received["payload"]["data"]["teamUpdated"].clone()
}

/// A socket that is subscribed to the changes of a team.
async fn watch(server: &TestServer, credential: &str, team: &str) -> Socket {
    let mut socket = server.socket_as(credential).await;
    socket
        .subscribe(
            "live",
            &format!("subscription {{ teamUpdated(teamId: \"{team}\") {{ teamId part action }} }}"),
        )
        .await;
    socket.subscribe("ready", "{ __typename }").await;
    loop {
        // Events from before may still arrive.
        let received = socket.receive().await.unwrap();
        if received["id"] == "ready" && received["type"] == "complete" {
            return socket;
        }
    }
}

both_databases!(
    async fn members_receive_the_changes_of_their_team(db: TestDatabase) {
        let server = billed(&db).await;
        let ada = server.person("ada").await;
        plans::set(&server.db, &ada.team_id, PlanTier::Pro).await.unwrap();
        let (bob, eve) = (server.colleague(&ada, "bob").await, server.person("eve").await);
        let team = ada.team_id.as_str();
        let token = server.jwt.mint(&ada.user_id, None, server.db.entropy()).unwrap();
        // What came before has arrived, too, once an event of another team has: there is one feed.
        let mut settled = watch(&server, &eve.key, eve.team_id.as_str()).await;
        plans::set(&server.db, &eve.team_id, PlanTier::Pro).await.unwrap();
        while event(&mut settled).await["part"] != "TEAM" {}

        let mut admin = watch(&server, &token, &format!("Team:{team}")).await;
        let mut member = watch(&server, &bob.key, team).await;
        let invite =
            format!("mutation {{ inviteToTeam(teamId: \"{team}\", email: \"cy@example.com\") {{ code }} }}");
        let (_, body) = answer(server.graphql(&token, &invite).send().await.unwrap()).await;
        assert!(body.get("errors").is_none(), "{body}");
        plans::set(&server.db, &ada.team_id, PlanTier::Enterprise).await.unwrap();
        let expected = |part: &str, action: &str| json!({ "teamId": team, "part": part, "action": action });
        for socket in [&mut admin, &mut member] {
            assert_eq!(event(socket).await, expected("INVITES", "created"));
            assert_eq!(event(socket).await, expected("TEAM", "updated"));
        }
        // What Stripe says of payments, column by column; not how often it was read.
        for change in [
            "payment_state = 'active'",
            "cancels_at = 5",
            "cancels_at = NULL",
            "grace_until = 5",
            "paid_seats = 3",
            "stripe_customer_id = 'cus_1'",
        ] {
            db.execute("UPDATE teams SET billing_version = billing_version + 1").await;
            db.execute(&format!("UPDATE teams SET {change} WHERE id = '{team}'")).await;
            for socket in [&mut admin, &mut member] {
                assert_eq!(event(socket).await, expected("TEAM", "updated"), "{change}");
            }
        }
        // Its settings and service accounts.
        for change in [
            format!("UPDATE teams SET audit_reads = TRUE, retention_days = 5 WHERE id = '{team}'"),
            format!(
                "INSERT INTO users (id, username, created_at, kind, service_team) \
                 SELECT 'ci', 'ci', 0, 'service', number FROM teams WHERE id = '{team}'"
            ),
            "UPDATE users SET username = 'cd' WHERE id = 'ci'".to_owned(),
        ] {
            db.execute(&change).await;
            for socket in [&mut admin, &mut member] {
                assert_eq!(event(socket).await, expected("TEAM", "updated"), "{change}");
            }
        }
        // Who is put out receives nothing more.
        let remove = format!("mutation {{ removeMember(teamId: \"{team}\", userId: \"{}\") }}", bob.user_id);
        let (_, body) = answer(server.graphql(&token, &remove).send().await.unwrap()).await;
        assert!(body.get("errors").is_none(), "{body}");
        assert_eq!(event(&mut admin).await, expected("MEMBERS", "deleted"));
        let closed = async {
            loop {
                match member.receive().await {
                    Ok(received) => {
                        assert_eq!(received["payload"]["data"]["teamUpdated"], Value::Null, "{received}")
                    }
                    Err(code) => return code,
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap(), 4403);

        // A stranger learns nothing, not even that there is such a team.
        for other in [team, "Team:none"] {
            let mut socket = server.socket_as(&eve.key).await;
            let query = format!("subscription {{ teamUpdated(teamId: \"{other}\") {{ part }} }}");
            socket.subscribe("live", &query).await;
            let received = socket.receive().await.unwrap();
            assert_eq!(received["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND", "{received}");
        }
        server.stop().await;
    }
);

both_databases!(
    async fn an_operator_decides_on_plans(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        server.person("old").await;
        server.person("older").await;
        // The commands of this test run without billing: plans are stored, and apply later.
        let run = async |args: &[&str]| command(&db, &server, args).await;
        let shown = run(&["team", "plan", "old"]).await.unwrap();
        assert_eq!(shown, "", "it is on standard output");
        let adopted = run(&["billing", "adopt", "--plan", "pro", "--team", "old"]).await.unwrap();
        assert!(
            adopted.contains("team old: the plan is pro") && adopted.contains("STRIPE_SECRET_KEY"),
            "{adopted}"
        );
        let again = run(&["billing", "adopt", "--plan", "free", "--team", "old"]).await.unwrap_err();
        assert!(
            again.contains("decided already") && again.contains("han-server team plan old free"),
            "{again}"
        );
        let all = run(&["billing", "adopt", "--plan", "free", "--all"]).await.unwrap();
        assert!(all.contains("team older: the plan is free") && !all.contains("team old:"), "{all}");
        assert!(run(&["billing", "adopt", "--plan", "free", "--all"]).await.unwrap().contains("no team"));
        let set = run(&["team", "plan", "old", "enterprise"]).await.unwrap();
        assert!(set.contains("the plan is enterprise"), "{set}");
        let missing = run(&["team", "plan", "nowhere"]).await.unwrap_err();
        assert!(missing.contains("nowhere"), "{missing}");
        server.stop().await;

        let server = billed(&db).await;
        let ada = server.person("ada").await;
        assert_eq!(plan_of(&server, &ada.key).await["plan"], "FREE");
        for (slug, tier) in [("ada", "free"), ("old", "enterprise"), ("older", "free")] {
            let sql = format!("SELECT plan_tier FROM teams WHERE slug = '{slug}'");
            assert_eq!(db.text(&sql).await, tier, "{slug}");
        }
        assert!(plans::undecided(&server.db).await.unwrap().is_empty());
        server.stop().await;
    }
);
