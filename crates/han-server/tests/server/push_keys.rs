//! Pushes that follow each other are authenticated without the database, and end with the right to push.

use std::collections::BTreeMap;

use han_db::queries::{api_keys, teams};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::{Clock as _, Role};
use reqwest::StatusCode;

use crate::support::{TestServer, batch, problem};

/// The transactions so far, by name, without those of the change feed and of jobs.
fn transactions(server: &TestServer) -> BTreeMap<&'static str, u64> {
    let stats = server.db.transaction_stats().into_iter();
    let of_requests =
        |name: &str| ["api_keys.", "memberships.", "ingest."].iter().any(|own| name.starts_with(own));
    stats.filter(|(name, _)| of_requests(name)).map(|(name, stats)| (name, stats.committed)).collect()
}

/// Pushes until a push asks the database for nothing but to store it. Returns the number of lines pushed.
async fn until_remembered(server: &TestServer, key: &str, session: &str, lines: &[String]) -> usize {
    for (n, line) in lines.iter().enumerate() {
        let before = transactions(server);
        server.push_lines(key, session, n as u64, std::slice::from_ref(line)).await;
        let mut after = transactions(server);
        for (name, count) in before {
            after.entry(name).and_modify(|now| *now -= count);
        }
        after.retain(|_, count| *count > 0);
        if after == [("ingest.store", 1)].into() {
            return n + 1;
        }
    }
    panic!("every push asks the database");
}

async fn status_of_push(server: &TestServer, key: &str) -> StatusCode {
    server.push(key, &batch("s", 0, &[])).send().await.unwrap().status()
}

both_databases!(
    async fn pushes_in_quick_succession_take_one_transaction_each(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let lines = SyntheticSession::new(1).lines(400);
        let stats = transactions(&server);
        server.push_lines(&ada.key, "first", 0, &lines[..1]).await;
        let first = transactions(&server);
        assert_eq!(first["api_keys.for_push"], 1);
        assert!(!first.contains_key("api_keys.find"), "the key and the membership are read together");
        assert_eq!(first.get("memberships.find"), stats.get("memberships.find"));
        let pushed = until_remembered(&server, &ada.key, "s", &lines[..350]).await;
        let before = transactions(&server);
        for n in pushed..pushed + 50 {
            server.push_lines(&ada.key, "s", n as u64, &lines[n..=n]).await;
        }
        let after = transactions(&server);
        assert_eq!(after["ingest.store"] - before["ingest.store"], 50);
        // Only a key that was read long ago is read again.
        assert!(after["api_keys.for_push"] - before["api_keys.for_push"] <= 5);
        server.stop().await;
    }
);

both_databases!(
    async fn a_push_is_refused_as_soon_as_its_right_has_ended(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let lines = SyntheticSession::new(1).lines(200);
        let remembered = async |key: &str, session: &str| {
            until_remembered(&server, key, session, &lines).await;
        };

        remembered(&ada.key, "revoked").await;
        server.revoke_key(&ada.user_id, &ada.key_id).await;
        let refused = server.push(&ada.key, &batch("s", 0, &[])).send().await.unwrap();
        assert_eq!(problem(refused).await.0, 401);

        let bob = server.colleague(&ada, "bob").await;
        remembered(&bob.key, "removed").await;
        let scope = server.scope_of(&ada.user_id).await.scope;
        teams::remove(&scope, &server.db, &bob.user_id).await.unwrap();
        assert_eq!(status_of_push(&server, &bob.key).await, StatusCode::UNAUTHORIZED);

        let (_, key) = server.key(&ada.user_id, &ada.team_id, "sync:write", Some(1)).await;
        remembered(&key, "expired").await;
        server.clock.advance_seconds(86_400);
        assert_eq!(status_of_push(&server, &key).await, StatusCode::UNAUTHORIZED);

        let (_, key) = server.key(&ada.user_id, &ada.team_id, "read", None).await;
        for _ in 0..3 {
            assert_eq!(
                status_of_push(&server, &key).await,
                StatusCode::FORBIDDEN,
                "a key that may only read"
            );
        }
        server.stop().await;
    }
);

both_databases!(
    async fn a_new_role_and_the_use_of_a_key_are_noticed(db: TestDatabase) {
        let server = TestServer::start(&db).await;
        let ada = server.person("ada").await;
        let bob = server.colleague(&ada, "bob").await;
        let lines = SyntheticSession::new(1).lines(200);
        until_remembered(&server, &bob.key, "s", &lines).await;
        let scope = server.scope_of(&ada.user_id).await.scope;
        teams::set_role(&scope, &server.db, &bob.user_id, Role::Admin).await.unwrap();
        let before = transactions(&server)["api_keys.for_push"];
        assert_eq!(status_of_push(&server, &bob.key).await, StatusCode::OK);
        assert_eq!(transactions(&server)["api_keys.for_push"], before + 1);

        server.clock.advance_seconds(3600);
        assert_eq!(status_of_push(&server, &bob.key).await, StatusCode::OK);
        let used = async || {
            let keys = api_keys::list(&scope, &server.db).await.unwrap();
            keys.into_iter().find(|key| key.id == bob.key_id).unwrap().last_used_at
        };
        while used().await != Some(server.clock.now()) {
            tokio::task::yield_now().await;
        }
        server.stop().await;
    }
);

/// A key that one replica revokes is refused by the other before its answer would be too old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_on_one_replica_is_refused_by_the_other() {
    let db = TestDatabase::postgres().await;
    let (one, two) = (TestServer::start(&db).await, TestServer::start(&db).await);
    let ada = one.person("ada").await;
    until_remembered(&two, &ada.key, "s", &SyntheticSession::new(1).lines(200)).await;
    let begun = std::time::Instant::now();
    one.revoke_key(&ada.user_id, &ada.key_id).await;
    while status_of_push(&two, &ada.key).await != StatusCode::UNAUTHORIZED {
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
    one.stop().await;
    two.stop().await;
}
