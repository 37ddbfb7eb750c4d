//! The change feed delivers each change once, in any order of commits and after lost connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use han_db::changes::{Action, DbChangeEvent, TeamPart};
use han_db::queries::api_keys::{NewApiKey, Which};
use han_db::queries::invites::{self, Invited};
use han_db::queries::sign_ins::{self, Means};
use han_db::queries::{
    api_keys, conversion, credentials, login_links, memberships, plans, teams, users, web_sessions,
};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::{PlanTier, Role, UserId};
use sqlx::Connection as _;
use support::{push, world};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

/// The next event of another kind than changes of teams, which have a test of their own.
async fn event(feed: &mut Receiver<DbChangeEvent>) -> DbChangeEvent {
    loop {
        let event =
            tokio::time::timeout(Duration::from_secs(30), feed.recv()).await.expect("a change arrives");
        match event.unwrap() {
            DbChangeEvent::Team(_) => {}
            other => return other,
        }
    }
}

/// The next change, as (session, action, number of lines).
async fn next(feed: &mut Receiver<DbChangeEvent>) -> (String, Action, i64) {
    match event(feed).await {
        DbChangeEvent::Change(change) => (
            change.session_id.as_ref().unwrap().to_string(),
            change.action,
            change.ordinal_to - change.ordinal_from,
        ),
        DbChangeEvent::Access(user_id) => panic!("no right of {user_id} has changed"),
        other => panic!("{other:?}, although no change was missed"),
    }
}

/// The next change of a team.
async fn next_of_team(feed: &mut Receiver<DbChangeEvent>) -> (TeamPart, Action) {
    loop {
        let event =
            tokio::time::timeout(Duration::from_secs(30), feed.recv()).await.expect("a change arrives");
        if let DbChangeEvent::Team(change) = event.unwrap() {
            return (change.part, change.action);
        }
    }
}

/// The user of the next change of rights.
async fn next_access(feed: &mut Receiver<DbChangeEvent>) -> UserId {
    match event(feed).await {
        DbChangeEvent::Access(user_id) => UserId::clone(&user_id),
        other => panic!("{other:?}"),
    }
}

both_databases!(
    async fn the_end_of_a_right_is_published_and_its_use_is_not(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let team = world.scope.team_id();
        let changes = db.start_changes(CancellationToken::new()).await.unwrap();
        let (mut feed, mut access) = (changes.sender.subscribe(), changes.access.subscribe());

        let mut people = Vec::new();
        for name in ["bob", "cy", "dee"] {
            let user = users::create(db, name).await.unwrap();
            memberships::put(db, team, &user.id, Role::Member).await.unwrap();
            people.push(user.id);
        }
        let [bob, cy, dee] = [&people[0], &people[1], &people[2]];
        let new = NewApiKey { team_id: team, user_id: bob, name: "ci", scopes: "read", expires_at: None };
        let (key, token) = api_keys::create_for(db, &new).await.unwrap();
        let link = login_links::create(db, cy).await.unwrap();
        let opened = login_links::redeem(db, &link.hash()).await.unwrap().unwrap();
        let session = web_sessions::by_hash(db, &opened.token.hash()).await.unwrap().unwrap();
        // The use of a credential does not end it.
        api_keys::touch(db, &api_keys::by_hash(db, &token.hash()).await.unwrap().unwrap()).await.unwrap();
        world.clock.advance_seconds(credentials::USE_RECORDED_EVERY_SECONDS + 1);
        web_sessions::touch(db, &session).await.unwrap();

        api_keys::revoke(&world.scope, db, &key).await.unwrap();
        sign_ins::revoke(db, cy, Means::Browser, session.id.as_str()).await.unwrap();
        memberships::put(db, team, dee, Role::Member).await.unwrap();
        memberships::put(db, team, dee, Role::Admin).await.unwrap();
        for expected in [bob, cy, dee] {
            assert_eq!(next_access(&mut feed).await, *expected);
            assert_eq!(next_access(&mut access).await, *expected);
        }
        // A change of a session is sent to subscribers of sessions only.
        push(&world, "s1", "main", Some(0), &SyntheticSession::new(3).lines(2)).await;
        assert_eq!(next(&mut feed).await.0, "s1");
        assert!(access.try_recv().is_err());
    }
);

both_databases!(
    async fn changes_of_a_team_are_published_and_connections_receive_those_of_rights(database: TestDatabase) {
        use {Action::*, TeamPart::*};
        let world = world(&database).await;
        let (db, ada) = (&world.db, &world.scope);
        let changes = db.start_changes(CancellationToken::new()).await.unwrap();
        let (mut feed, mut access) = (changes.sender.subscribe(), changes.access.subscribe());

        teams::rename(ada, db, "Orchard").await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Team, Update));
        plans::set(db, ada.team_id(), PlanTier::Pro).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Team, Update));
        let bob = users::create(db, "bob").await.unwrap().id;
        memberships::put(db, ada.team_id(), &bob, Role::Member).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Members, Insert));
        teams::set_role(ada, db, &bob, Role::Admin).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Members, Update));
        teams::remove(ada, db, &bob).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Members, Delete));
        let invited = invites::create(ada, db, "cy@example.com").await.unwrap();
        let Invited::Done(invite, _) = invited else { panic!("{invited:?}") };
        assert_eq!(next_of_team(&mut feed).await, (Invites, Insert));
        invites::revoke(ada, db, &invite.id).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Invites, Update));
        api_keys::create(ada, db, "ci", "read", None).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Keys, Insert));
        api_keys::rotate(ada, db, Which::Only, 0).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Keys, Update));
        assert_eq!(next_of_team(&mut feed).await, (Keys, Insert));
        conversion::request(db, ada.team_id(), conversion::Form::Sealed).await.unwrap();
        assert_eq!(next_of_team(&mut feed).await, (Work, Insert));
        // What is read again and again changes nothing.
        push(&world, "s1", "main", Some(0), &SyntheticSession::new(3).lines(2)).await;
        assert_eq!(next(&mut feed).await.0, "s1");
        for _ in 0..3 {
            assert!(
                matches!(access.recv().await, Ok(DbChangeEvent::Access(_))),
                "of Bob, Bob, and the owner of the key"
            );
        }
        assert!(access.try_recv().is_err(), "connections receive changes of rights only");
    }
);

/// Even if another program wrote it in a transaction that sets `han.coalesce`.
#[tokio::test]
async fn another_replica_receives_the_end_of_a_right() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let replica = support::connect(database.url(), &world.clock).await;
    let changes = replica.start_changes(CancellationToken::new()).await.unwrap();
    let mut access = changes.access.subscribe();
    let mut admin = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let sql = "SELECT set_config('han.coalesce', 'on', false); DELETE FROM team_members";
    sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    assert_eq!(next_access(&mut access).await, *world.scope.user_id());
}

both_databases!(
    async fn a_push_is_published_once(database: TestDatabase) {
        let world = world(&database).await;
        let shutdown = CancellationToken::new();
        let changes = world.db.start_changes(shutdown.clone()).await.unwrap();
        let mut feed = changes.sender.subscribe();
        let lines = SyntheticSession::new(3).lines(10);
        push(&world, "s1", "main", Some(0), &lines).await;
        assert_eq!(next(&mut feed).await, ("s1".to_owned(), Action::Insert, 0));
        assert_eq!(next(&mut feed).await, ("s1".to_owned(), Action::Update, 10));
        push(&world, "s1", "main", Some(0), &lines).await;
        push(&world, "s2", "main", Some(0), &lines[..1]).await;
        assert_eq!(next(&mut feed).await.0, "s2", "a repeated push is not published");
        shutdown.cancel();
        changes.stopped().await;
    }
);

/// The reader polls, too, so that a change is delivered without a notification. This test listens itself.
#[tokio::test]
async fn a_push_notifies_the_channel_with_its_number() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let mut listener = sqlx::postgres::PgListener::connect(database.url()).await.unwrap();
    listener.listen("db_changes").await.unwrap();
    let _changes = world.db.start_changes(CancellationToken::new()).await.unwrap();
    let mut admin = sqlx::PgConnection::connect(database.url()).await.unwrap();
    // A notification of an earlier commit may come late and count for one push, but not for each.
    for n in 0..3 {
        push(&world, &format!("s{n}"), "main", Some(0), &SyntheticSession::new(n).lines(2)).await;
        let last: i64 =
            sqlx::query_scalar("SELECT max(seq) FROM changes").fetch_one(&mut admin).await.unwrap();
        let notified = async {
            loop {
                let notice = listener.recv().await.unwrap();
                let payload: serde_json::Value = serde_json::from_str(notice.payload()).unwrap();
                let fields: Vec<_> = payload.as_object().unwrap().keys().collect();
                assert_eq!(fields, ["seq"], "{payload}");
                if payload["seq"].as_i64().unwrap() >= last {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), notified).await.expect("a notification arrives");
    }
}

both_databases!(
    async fn a_change_can_only_be_opened_by_its_team(database: TestDatabase) {
        let world = world(&database).await;
        let stranger = support::team(&world.db, "bob").await;
        let changes = world.db.start_changes(CancellationToken::new()).await.unwrap();
        let mut feed = changes.sender.subscribe();
        push(&world, "s1", "main", Some(0), &SyntheticSession::new(3).lines(10)).await;
        let mut messages = 0;
        while messages == 0 {
            let DbChangeEvent::Change(change) = feed.recv().await.unwrap() else { panic!("resync") };
            assert!(change.session(&stranger, &world.db).await.unwrap().is_none());
            assert!(change.messages(&stranger, &world.db).await.unwrap().unwrap().is_empty());
            assert!(change.session(&world.scope, &world.db).await.unwrap().is_some());
            let published = change.messages(&world.scope, &world.db).await.unwrap().unwrap();
            for (at, message) in published.iter().enumerate() {
                assert_eq!(message.index, at as i64);
            }
            messages = published.len();
        }
    }
);

/// One replica publishes what another one stores, even after its LISTEN connection was terminated.
#[tokio::test]
async fn another_replica_receives_changes_after_its_listener_was_killed() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let replica = support::connect(database.url(), &world.clock).await;
    let changes = replica.start_changes(CancellationToken::new()).await.unwrap();
    let mut feed = changes.sender.subscribe();
    let _own = world.db.start_changes(CancellationToken::new()).await.unwrap();
    // Each session has its own answers: one that repeats another's would change that session, too.
    let lines = |n| SyntheticSession::new(n).lines(4);

    push(&world, "before", "main", Some(0), &lines(100)).await;
    assert_eq!(next(&mut feed).await.0, "before");
    assert_eq!(next(&mut feed).await.0, "before");
    let mut admin = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
         AND query LIKE 'LISTEN%'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(killed >= 1, "a connection listens");
    for n in 0..20 {
        let name = format!("after-{n}");
        push(&world, &name, "main", Some(0), &lines(n)).await;
        assert_eq!(next(&mut feed).await.0, name);
        assert_eq!(next(&mut feed).await.0, name);
    }
}

/// Transactions get their sequence numbers in one order and commit in another, while one transaction stays open.
#[tokio::test]
async fn changes_that_commit_late_are_delivered() {
    let database = TestDatabase::postgres().await;
    let world = world(&database).await;
    let changes = world.db.start_changes(CancellationToken::new()).await.unwrap();
    let mut feed = changes.sender.subscribe();
    let team = world.scope.team_id().as_str();
    let insert = |name: &str| {
        sqlx::AssertSqlSafe(format!(
            "INSERT INTO sessions (team, session_id, id, user_id, metadata, sealed, created_at, synced_at) \
             SELECT number, '{name}', '{name}', 'u', '{{}}', false, 0, 0 FROM teams WHERE id = '{team}'"
        ))
    };
    // Holds back the horizon. No delivery may wait for it.
    let mut idle = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let mut idle = idle.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *idle).await.unwrap();

    let mut early = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let mut early = early.begin().await.unwrap();
    sqlx::query(insert("early")).execute(&mut *early).await.unwrap();
    let mut gone = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let mut gone = gone.begin().await.unwrap();
    sqlx::query(insert("gone")).execute(&mut *gone).await.unwrap();
    let mut late = sqlx::PgConnection::connect(database.url()).await.unwrap();
    for name in ["late-1", "late-2"] {
        sqlx::query(insert(name)).execute(&mut late).await.unwrap();
        assert_eq!(next(&mut feed).await.0, name);
    }
    gone.rollback().await.unwrap();
    early.commit().await.unwrap();
    assert_eq!(next(&mut feed).await.0, "early");
    idle.rollback().await.unwrap();
    for n in 0..5 {
        sqlx::query(insert(&format!("then-{n}"))).execute(&mut late).await.unwrap();
        assert_eq!(next(&mut feed).await.0, format!("then-{n}"));
    }
}

both_databases!(
    async fn trimming_keeps_recent_changes(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(3).lines(2);
        // The rows of the new team have the time of the database.
        database.execute("DELETE FROM changes").await;
        push(&world, "old", "main", Some(0), &lines).await;
        world.clock.advance_seconds(3600);
        push(&world, "young", "main", Some(0), &lines).await;
        let now = han_types::Clock::now(&world.clock).0;
        assert_eq!(world.db.trim_changes(now - 60_000).await.unwrap(), 2);
        let left = support::dump(&database, "SELECT session_id FROM changes WHERE action = 'insert'").await;
        assert_eq!(left.len(), 1);
        assert!(left[0].contains("young"));
    }
);

both_databases!(
    async fn a_message_is_published_with_its_index_in_the_list(database: TestDatabase) {
        let world = world(&database).await;
        let changes = world.db.start_changes(CancellationToken::new()).await.unwrap();
        let mut feed = changes.sender.subscribe();
        // The times of Han's events are interleaved with those of the main file.
        let mut session = SyntheticSession::new(8);
        let (main, han) = (session.lines(40), session.han_events(10));
        let line = |n: usize| {
            let second = n % 60;
            format!(
                r#"{{"type":"user","uuid":"u{n}","timestamp":"2026-11-02T10:00:{second:02}.000Z","message":{{"content":"x"}}}}"#
            )
        };
        push(&world, "s1", "main", Some(0), &main).await;
        push(&world, "s1", "han", Some(0), &han).await;
        push(&world, "s2", "main", Some(0), &(20..40).map(line).collect::<Vec<_>>()).await;
        push(&world, "s2", "han", Some(0), &(0..30).map(line).collect::<Vec<_>>()).await;
        let mut received = 0;
        while received < 4 {
            let DbChangeEvent::Change(change) = feed.recv().await.unwrap() else { panic!("resync") };
            if change.ordinal_to == change.ordinal_from {
                continue;
            }
            received += 1;
            let id = change.session_id.clone().unwrap();
            let tx = world.db.read(&world.scope, "test.read").await.unwrap();
            let request = han_db::page::PageRequest { after: None, first: 500 };
            let list = han_db::queries::messages::MessageList::default();
            let page = han_db::queries::messages::page(&tx, &id, &list, &request).await.unwrap();
            let oldest_first: Vec<_> = page.rows.iter().rev().map(|message| message.key.clone()).collect();
            for message in change.messages(&world.scope, &world.db).await.unwrap().unwrap().iter() {
                let at = oldest_first.iter().position(|key| *key == message.message.key).unwrap();
                assert_eq!(message.index, at as i64);
            }
        }
    }
);
