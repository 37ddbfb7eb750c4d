//! Requests to delete: interrupted anywhere and continued by another process, they leave nothing of what was deleted, and
//! everything else as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use han_db::Db;
use han_db::queries::deletion_requests::{self, Cancelled, DeletionRequest, Requested, Target};
use han_db::queries::ingest::{self, Outcome};
use han_db::queries::team_work::{self, Advance};
use han_db::queries::teams::{self, TeamChange};
use han_db::queries::{invites, memberships, rebuild, search, users};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::sync::BatchErrorCode;
use han_types::{Clock as _, Role, Scope, Timestamp};
use support::corpus::{File, assert_same, contents, eventful, number, push_in_pieces};
use support::{Killed, World, batch, columns, connect, dump, member, push, team, world};

const DAY: i64 = 86_400;

/// As `world`, for another user.
fn as_user(world: &World, scope: Scope) -> World {
    World { db: world.db.clone(), clock: world.clock.clone(), scope }
}

/// Sessions that are known by `mark`, with a value in each table.
fn files(mark: &str) -> Vec<File> {
    let named = |(_, transcript, lines): File| (format!("{mark}-eventful"), transcript, lines);
    let mut files: Vec<File> = eventful().into_iter().map(named).collect();
    let mut session = SyntheticSession::new(5);
    files.push((format!("{mark}-forked"), "main".to_owned(), session.lines(30)));
    files.push((format!("{mark}-forked"), "han".to_owned(), session.han_events(20)));
    files
}

async fn index(db: &Db) {
    for due in search::due(db, None, 1_000).await.unwrap() {
        while !search::index(db, &due).await.unwrap() {}
    }
}

async fn requested(world: &World, target: Target) -> DeletionRequest {
    let now = world.clock.now();
    match deletion_requests::request(&world.scope, &world.db, &target, now).await.unwrap() {
        Requested::Stored(request) => request,
        other => panic!("{other:?}"),
    }
}

/// The next piece of what is due; `false` if nothing is left that does not wait.
async fn step(db: &Db) -> bool {
    for request in deletion_requests::due(db).await.unwrap() {
        if deletion_requests::advance(db, &request).await.unwrap() != Advance::Waiting {
            return true;
        }
    }
    for work in team_work::unfinished(db).await.unwrap() {
        if team_work::advance(db, &work).await.unwrap() != Advance::Waiting {
            return true;
        }
    }
    false
}

async fn finish(db: &Db) {
    while step(db).await {}
}

/// The tables whose rows contain a text, without the outbox rows that are trimmed by age; and rows of sessions that do not
/// exist.
async fn left_of(database: &TestDatabase, world: &World, texts: &[&str]) -> BTreeMap<String, String> {
    world.clock.advance_seconds(3600);
    world.db.trim_changes(world.clock.now().0).await.unwrap();
    let mut left = BTreeMap::new();
    for name in columns(database).await {
        let (table, column) = name.split_once('.').unwrap();
        // That a session was deleted, and by which request, is kept.
        if !["deleted_sessions", "deletion_requests"].contains(&table) {
            for found in dump(database, &format!("SELECT * FROM {table}")).await {
                if texts.iter().any(|text| found.contains(text)) {
                    left.insert(table.to_owned(), found);
                }
            }
        }
        if column == "session" {
            let orphans = format!(
                "SELECT count(*) FROM {table} x WHERE NOT EXISTS \
                 (SELECT 1 FROM sessions s WHERE s.team = x.team AND s.number = x.session)"
            );
            let n = number(database, &orphans).await;
            if n > 0 {
                left.insert(name.to_owned(), n.to_string());
            }
        }
    }
    if !database.is_postgres() {
        let unindexed =
            "SELECT (SELECT count(*) FROM search_fts_docsize) - (SELECT count(*) FROM search_terms)";
        assert_eq!(number(database, unindexed).await, 0, "the full-text index has what the terms have");
    }
    left
}

both_databases!(
    async fn a_deletion_that_is_killed_anywhere_leaves_nothing(database: TestDatabase) {
        let world = world(&database).await;
        let bobs = as_user(&world, member(&world, "bob", Role::Member).await);
        push_in_pieces(&bobs, &files("kept"), 9, 4).await;
        index(&world.db).await;
        let kept = contents(&database, &world).await;
        let labels = number(&database, "SELECT count(*) FROM labels").await;
        let mut receipts = Vec::new();
        let kills = [(0, 3), (1, 1), (1, 60), (1, 1_000), (2, 40), (9, 1)];
        for (n, (steps, polls)) in kills.into_iter().enumerate() {
            let mark = format!("doomed{n}");
            // Bob's sessions repeat the answers of a part of them, which therefore pass to him.
            push_in_pieces(&world, &files(&mark), 9, 4).await;
            push(
                &world,
                &format!("{mark}-own"),
                "main",
                Some(0),
                &SyntheticSession::new(100 + n as u64).lines(20),
            )
            .await;
            index(&world.db).await;
            let target = match n % 3 {
                0 => Target::Member(world.scope.user_id().clone()),
                _ => Target::Session(format!("{mark}-forked").parse().unwrap()),
            };
            let request = requested(&world, target).await;
            if n % 3 != 0 {
                requested(&world, Target::Session(format!("{mark}-eventful").parse().unwrap())).await;
                requested(&world, Target::Session(format!("{mark}-own").parse().unwrap())).await;
            }
            let dying = connect(database.url(), &world.clock).await;
            for _ in 0..steps {
                step(&dying).await;
            }
            let _ = Killed { future: Box::pin(step(&dying)), polls }.await;
            dying.close().await;
            let heir = connect(database.url(), &world.clock).await;
            finish(&heir).await;
            heir.close().await;
            assert_eq!(left_of(&database, &world, &[&mark]).await, BTreeMap::new(), "{steps}, {polls}");
            assert_same(&contents(&database, &world).await, &kept);
            assert_eq!(number(&database, "SELECT count(*) FROM labels").await, labels);
            let receipt =
                deletion_requests::find(&world.scope, &world.db, &request.id).await.unwrap().unwrap();
            assert!(receipt.finished_at.is_some());
            receipts.push((receipt.sessions, receipt.lines));

            // A push of them is refused.
            let pushed =
                batch(true, &format!("{mark}-forked"), "main", Some(0), &SyntheticSession::new(5).lines(3));
            let refused = ingest::store(&world.scope, &world.db, pushed).await.unwrap();
            assert!(
                matches!(&refused, Outcome::Refused(error) if error.code == BatchErrorCode::Gone),
                "{refused:?}"
            );
        }
        let lines = |session: &str| {
            let of = files("x").into_iter().filter(|file| file.0 == format!("x-{session}"));
            of.map(|file| file.2.len() as u64).sum::<u64>()
        };
        let (all, one) = ((3, lines("eventful") + lines("forked") + 20), (1, lines("forked")));
        let expected: Vec<_> = (0..receipts.len()).map(|n| if n % 3 == 0 { all } else { one }).collect();
        assert_eq!(receipts, expected);
        // Nothing else depends on what was deleted.
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_same(&contents(&database, &world).await, &kept);
    }
);

both_databases!(
    async fn the_data_of_a_team_is_deleted_and_the_team_goes_on(database: TestDatabase) {
        let world = world(&database).await;
        let others = as_user(&world, team(&world.db, "eve").await);
        push(&others, "kept", "main", Some(0), &SyntheticSession::new(8).lines(12)).await;
        let bobs = as_user(&world, member(&world, "bob", Role::Member).await);
        let before = contents(&database, &others).await;
        push_in_pieces(&world, &files("doomed"), 9, 4).await;
        push_in_pieces(&bobs, &files("doomed-too"), 9, 4).await;
        let now = world.clock.now();
        let request = async |scope: &Scope, target: &Target| {
            deletion_requests::request(scope, &world.db, target, now).await.unwrap()
        };
        assert_eq!(request(&bobs.scope, &Target::Data).await, Requested::NotAllowed);
        assert_eq!(
            request(&bobs.scope, &Target::Member(world.scope.user_id().clone())).await,
            Requested::NotAllowed
        );
        assert_eq!(
            request(&others.scope, &Target::Session("doomed-forked".parse().unwrap())).await,
            Requested::NotFound
        );
        let Requested::Stored(first) = request(&world.scope, &Target::Data).await else { panic!() };
        // A second request is the same one.
        assert_eq!(request(&world.scope, &Target::Data).await, Requested::Stored(first));
        step(&world.db).await;
        // What is first pushed after the beginning stays.
        world.clock.advance_seconds(1);
        let later = SyntheticSession::new(9).lines(5);
        push(&bobs, "later", "main", Some(0), &later).await;
        finish(&world.db).await;
        assert_eq!(left_of(&database, &world, &["doomed"]).await, BTreeMap::new());
        let sessions = dump(&database, "SELECT session_id FROM sessions ORDER BY session_id").await;
        assert_eq!(sessions.len(), 2);
        requested(&bobs, Target::Session("later".parse().unwrap())).await;
        finish(&world.db).await;
        assert_same(&contents(&database, &others).await, &before);
        assert_eq!(number(&database, "SELECT count(*) FROM projects").await, 1, "that of the other team");
        assert_eq!(number(&database, "SELECT count(*) FROM rollups WHERE messages < 0").await, 0);
    }
);

both_databases!(
    async fn a_team_that_users_delete_loses_its_keys_first(database: TestDatabase) {
        let world = world(&database).await;
        let other = team(&world.db, "eve").await;
        push_in_pieces(&world, &files("doomed"), 9, 4).await;
        // A receipt of a session that was deleted before.
        push(&world, "doomed-first", "main", Some(0), &SyntheticSession::new(12).lines(5)).await;
        requested(&world, Target::Session("doomed-first".parse().unwrap())).await;
        finish(&world.db).await;
        world.clock.advance_seconds(1);
        let request = requested(&world, Target::Team).await;
        assert!(step(&world.db).await && step(&world.db).await);
        let keys = format!("SELECT count(*) FROM team_keys WHERE team_id = '{}'", world.scope.team_id());
        assert_eq!(number(&database, &keys).await, 0);
        assert!(number(&database, "SELECT count(*) FROM segments").await > 0);
        finish(&world.db).await;
        assert!(teams::by_slug(&world.db, "ada").await.unwrap().is_none());
        assert_eq!(number(&database, "SELECT count(*) FROM segments").await, 0);
        let receipts = deletion_requests::list(&world.db, 10).await.unwrap();
        assert_eq!((receipts[0].id.as_str(), receipts[0].sessions), (request.id.as_str(), 2));
        assert!(receipts[0].finished_at.is_some() && receipts[0].lines > 50);
        assert!(deletion_requests::find(&other, &world.db, &request.id).await.unwrap().is_none());
        // The receipts are those of a team that has had sessions; they do not say which.
        let rows = dump(&database, "SELECT subject, owner FROM deletion_requests").await;
        assert_eq!(rows.len(), 2);
        assert!(
            !rows.iter().any(|row| row.contains("doomed") || row.contains(world.scope.user_id().as_str()))
        );
    }
);

both_databases!(
    /// Its time is what the agent's machine, or an export, has said.
    async fn a_deletion_finds_sessions_from_the_future(database: TestDatabase) {
        let world = world(&database).await;
        let bobs = as_user(&world, member(&world, "bob", Role::Member).await);
        for (n, session) in ["now", "future"].into_iter().enumerate() {
            push(&world, session, "main", Some(0), &SyntheticSession::new(n as u64).lines(5)).await;
            let of_bob = format!("bobs-{session}");
            push(&bobs, &of_bob, "main", Some(0), &SyntheticSession::new(9 + n as u64).lines(5)).await;
        }
        let future =
            "UPDATE sessions SET created_at = created_at + 864000000 WHERE session_id LIKE '%future'";
        database.execute(future).await;
        let left = "SELECT count(*) FROM sessions";
        requested(&world, Target::Member(bobs.scope.user_id().clone())).await;
        finish(&world.db).await;
        assert_eq!(number(&database, left).await, 2);
        let data = requested(&world, Target::Data).await;
        assert!(step(&world.db).await, "it begins");
        // What is pushed from then on stays.
        world.clock.advance_seconds(1);
        push(&world, "later", "main", Some(0), &SyntheticSession::new(20).lines(5)).await;
        finish(&world.db).await;
        assert_eq!(number(&database, left).await, 1);
        let receipt = deletion_requests::find(&world.scope, &world.db, &data.id).await.unwrap().unwrap();
        assert_eq!((receipt.sessions, receipt.finished_at.is_some()), (2, true));
    }
);

both_databases!(
    async fn what_an_admin_has_requested_is_deleted_after_their_account(database: TestDatabase) {
        let world = world(&database).await;
        let bob = as_user(&world, member(&world, "bob", Role::Admin).await);
        push(&world, "adas", "main", Some(0), &SyntheticSession::new(1).lines(5)).await;
        let due = world.clock.now().plus_seconds(30 * DAY);
        let target = Target::Session("adas".parse().unwrap());
        let Requested::Stored(request) =
            deletion_requests::request(&bob.scope, &world.db, &target, due).await.unwrap()
        else {
            panic!("it is stored")
        };
        let user_id = bob.scope.user_id();
        deletion_requests::request_account(&world.db, user_id, world.clock.now()).await.unwrap();
        finish(&world.db).await;
        world.clock.advance_seconds(3600);
        finish(&world.db).await;
        assert_eq!(users::by_id(&world.db, user_id).await.unwrap(), None);
        assert_eq!(number(&database, "SELECT count(*) FROM sessions").await, 1);
        world.clock.set(due);
        finish(&world.db).await;
        assert_eq!(number(&database, "SELECT count(*) FROM sessions").await, 0);
        let receipt = deletion_requests::find(&world.scope, &world.db, &request.id).await.unwrap().unwrap();
        assert!(receipt.finished_at.is_some());
        assert_eq!(receipt.requested_by, "");
    }
);

both_databases!(
    /// A user who joins the team before or after is in a team with an admin, or in none.
    async fn a_deletion_of_an_account_that_is_killed_has_begun_as_a_whole(database: TestDatabase) {
        let world = world(&database).await;
        let user = world.scope.user_id();
        deletion_requests::request_account(&world.db, user, Timestamp(0)).await.unwrap();
        let of = |sql: &str| format!("SELECT count(*) FROM {sql}");
        let mut begun = 0;
        for polls in 0..400 {
            let dying = connect(database.url(), &world.clock).await;
            let due = deletion_requests::due(&dying).await.unwrap().remove(0);
            if due.started_at.is_some() {
                break;
            }
            let _ = Killed { future: Box::pin(deletion_requests::advance(&dying, &due)), polls }.await;
            dying.close().await;
            let started = number(&database, &of("deletion_requests WHERE started_at IS NOT NULL")).await;
            let kept = number(&database, &of("team_members WHERE role = 'admin'")).await;
            let keys = number(&database, &of("team_keys")).await;
            assert!(
                matches!((started, kept, keys), (0, 1, 2) | (1, 0, 0)),
                "{polls}: {started} {kept} {keys}"
            );
            begun += started;
        }
        assert!(begun > 0);
    }
);

both_databases!(
    async fn an_account_is_deleted_with_everything_that_names_it(database: TestDatabase) {
        let world = world(&database).await;
        let bob = users::create(&world.db, "bob-the-doomed").await.unwrap();
        memberships::put(&world.db, world.scope.team_id(), &bob.id, Role::Member).await.unwrap();
        let bobs = as_user(&world, support::scope(&world.db, bob.id.clone()).await);
        push(&world, "kept", "main", Some(0), &SyntheticSession::new(8).lines(12)).await;
        let kept = contents(&database, &world).await;
        push_in_pieces(&bobs, &files("doomed"), 9, 4).await;
        database
            .execute("UPDATE users SET email = 'Bob@doomed.test' WHERE username = 'bob-the-doomed'")
            .await;
        invites::create(&world.scope, &world.db, "bob@doomed.test").await.unwrap();
        let own = teams::create(&world.db, "of bob", &bob.id).await.unwrap();
        let own = memberships::scope_in(&world.db, &support::actor(bob.id.clone()), &own.id)
            .await
            .unwrap()
            .unwrap();
        push(
            &as_user(&world, own.scope),
            "doomed-alone",
            "main",
            Some(0),
            &SyntheticSession::new(9).lines(5),
        )
        .await;

        let due = world.clock.now().plus_seconds(30 * DAY);
        let request = async || deletion_requests::request_account(&world.db, &bob.id, due).await.unwrap();
        assert!(matches!(request().await, Requested::Stored(_)));
        finish(&world.db).await;
        assert!(users::by_id(&world.db, &bob.id).await.unwrap().is_some(), "the grace period has not ended");
        assert!(matches!(
            deletion_requests::cancel_account(&world.db, &bob.id).await.unwrap(),
            Cancelled::Done(_)
        ));
        world.clock.set(due);
        finish(&world.db).await;
        assert!(users::by_id(&world.db, &bob.id).await.unwrap().is_some(), "it was cancelled");
        assert_eq!(deletion_requests::of_account(&world.db, &bob.id).await.unwrap(), None);

        assert!(matches!(request().await, Requested::Stored(_)));
        step(&world.db).await;
        // All access has ended. A push that was admitted before may still arrive.
        assert!(memberships::list(&world.db, &bob.id).await.unwrap().is_empty());
        assert_eq!(deletion_requests::cancel_account(&world.db, &bob.id).await.unwrap(), Cancelled::Begun);
        finish(&world.db).await;
        push(&bobs, "doomed-late", "main", Some(0), &SyntheticSession::new(11).lines(5)).await;
        world.clock.advance_seconds(600);
        let dying = connect(database.url(), &world.clock).await;
        let _ = Killed { future: Box::pin(step(&dying)), polls: 30 }.await;
        dying.close().await;
        finish(&world.db).await;
        assert_eq!(users::by_id(&world.db, &bob.id).await.unwrap(), None);
        assert!(teams::by_slug(&world.db, "of-bob").await.unwrap().is_none());
        let texts = ["doomed", bob.id.as_str()];
        assert_eq!(left_of(&database, &world, &texts).await, BTreeMap::new());
        let receipts = dump(&database, "SELECT subject, requested_by FROM deletion_requests").await;
        assert!(!receipts.iter().any(|row| row.contains(bob.id.as_str())), "{receipts:?}");
        assert_same(&contents(&database, &world).await, &kept);
    }
);

both_databases!(
    async fn the_only_admin_of_others_cannot_leave_them_without_one(database: TestDatabase) {
        let world = world(&database).await;
        let bob = member(&world, "bob", Role::Member).await;
        let request = async || {
            deletion_requests::request_account(&world.db, world.scope.user_id(), Timestamp(0)).await.unwrap()
        };
        assert_eq!(request().await, Requested::LastAdmin(vec!["ada".to_owned()]));
        memberships::put(&world.db, world.scope.team_id(), bob.user_id(), Role::Admin).await.unwrap();
        assert!(matches!(request().await, Requested::Stored(_)));
        // From now on, the team has one admin who stays.
        let of_bob =
            deletion_requests::request_account(&world.db, bob.user_id(), Timestamp(0)).await.unwrap();
        assert_eq!(of_bob, Requested::LastAdmin(vec!["ada".to_owned()]));
        let bob = support::scope(&world.db, bob.user_id().clone()).await;
        assert_eq!(teams::leave(&bob, &world.db).await.unwrap(), TeamChange::LastAdmin);
        let demote = teams::set_role(&world.scope, &world.db, bob.user_id(), Role::Member).await.unwrap();
        assert_eq!(demote, TeamChange::LastAdmin);
        // Who goes may go earlier.
        assert_eq!(teams::remove(&bob, &world.db, world.scope.user_id()).await.unwrap(), TeamChange::Done);
    }
);

both_databases!(
    async fn an_account_stays_while_a_team_that_was_joined_since_needs_it(database: TestDatabase) {
        let world = world(&database).await;
        let user = world.scope.user_id();
        deletion_requests::request_account(&world.db, user, Timestamp(0)).await.unwrap();
        let bob = member(&world, "bob", Role::Member).await;
        let [due] = &deletion_requests::due(&world.db).await.unwrap()[..] else { panic!("one is due") };
        assert_eq!(deletion_requests::advance(&world.db, due).await.unwrap(), Advance::Waiting);
        assert!(users::by_id(&world.db, user).await.unwrap().is_some());
        memberships::put(&world.db, world.scope.team_id(), bob.user_id(), Role::Admin).await.unwrap();
        assert_eq!(deletion_requests::advance(&world.db, due).await.unwrap(), Advance::More);
        assert!(memberships::list(&world.db, user).await.unwrap().is_empty());
    }
);

both_databases!(
    async fn a_session_that_cannot_be_opened_is_deleted(database: TestDatabase) {
        let world = world(&database).await;
        let lines = SyntheticSession::new(8).lines(40);
        push(&world, "kept", "main", Some(0), &SyntheticSession::new(9).lines(12)).await;
        push(&world, "doomed", "main", Some(0), &lines).await;
        push(&world, "unreadable", "main", Some(0), &SyntheticSession::new(10).lines(4)).await;
        database
            .execute(
                "UPDATE segments SET last_ordinal = last_ordinal + 1 WHERE session = \
                 (SELECT number FROM sessions WHERE session_id = 'doomed')",
            )
            .await;
        database.execute("UPDATE sessions SET metadata = 'v1:x' WHERE session_id = 'unreadable'").await;
        requested(&world, Target::Data).await;
        finish(&world.db).await;
        assert_eq!(left_of(&database, &world, &["doomed", "unreadable"]).await, BTreeMap::new());
        assert_eq!(number(&database, "SELECT count(*) FROM sessions").await, 0);
        assert_eq!(number(&database, "SELECT sum(output_tokens) FROM rollups").await, 0);
        rebuild::rebuild(&world.scope, &world.db).await.unwrap();
        assert_eq!(number(&database, "SELECT count(*) FROM rollups").await, 0);
    }
);
