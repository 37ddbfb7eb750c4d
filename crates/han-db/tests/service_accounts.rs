//! Service accounts: they push, are no members, and cannot sign in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails its test by panicking")]

mod support;

use han_crypto::ApiKeyToken;
use han_db::Db;
use han_db::queries::api_keys::{self, MAX_KEYS, Rotated, Which};
use han_db::queries::deletion_requests::{self, Requested, Target};
use han_db::queries::ingest::{self, Outcome};
use han_db::queries::invites::{self, Accepted, Invited};
use han_db::queries::service_accounts::{self, AccountChange, AccountKey, MAX_ACCOUNTS, ServiceAccount};
use han_db::queries::teams::{self, TeamChange};
use han_db::queries::{
    device_logins, login_links, memberships, operators, sessions, team_deletion, team_work, token_families,
    users,
};
use han_testkit::{SyntheticSession, both_databases};
use han_types::{Actor, Capability, Clock as _, Credential, Role, Scope, UserId};
use support::corpus::number;
use support::{World, batch, member, world};

const DAY: i64 = 86_400;

async fn account(world: &World, name: &str) -> ServiceAccount {
    match service_accounts::create(&world.scope, &world.db, name).await.unwrap() {
        AccountChange::Done(account) => account,
        other => panic!("{other:?}"),
    }
}

async fn key(world: &World, account: &UserId, days: i64) -> ApiKeyToken {
    let end = world.clock.now().plus_seconds(days * DAY);
    match service_accounts::create_key(&world.scope, &world.db, account, "ci", end).await.unwrap() {
        AccountKey::Done(_, key) => key,
        other => panic!("{other:?}"),
    }
}

/// What a key may touch, as a push and as any other request finds it.
async fn scope_of(db: &Db, key: &ApiKeyToken) -> Option<Scope> {
    let found = api_keys::for_push(db, &key.hash()).await.unwrap().unwrap();
    let actor = Actor {
        user_id: found.key.user_id.clone(),
        credential: Credential::ApiKey { id: found.key.id.clone(), team_id: found.key.team_id.clone() },
        capabilities: found.key.capabilities,
        expires_at: found.key.expires_at,
        request_id: han_testkit::request_id(),
        client: None,
    };
    let of_push = memberships::scope_of_key(&found, &actor).map(|resolved| resolved.scope);
    let read = memberships::scope_for(db, &actor).await.unwrap().map(|resolved| resolved.scope);
    assert_eq!(of_push.is_some(), read.is_some());
    of_push.filter(|_| found.key.is_live(db.clock().now()))
}

async fn push(db: &Db, scope: &Scope, session: &str) {
    let batch = batch(true, session, "main", Some(0), &SyntheticSession::new(3).lines(10));
    let outcome = ingest::store(scope, db, batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Stored { stored: 10, .. }), "{outcome:?}");
}

both_databases!(
    async fn a_service_account_pushes_and_is_no_member(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let ci = account(&world, "ci").await;
        let token = key(&world, &ci.id, 30).await;
        let scope = scope_of(db, &token).await.unwrap();
        assert_eq!(
            (scope.role(), scope.user_id(), scope.team_id()),
            (Role::Member, &ci.id, world.scope.team_id())
        );
        assert!(scope.allows(Capability::SyncWrite));
        assert!(!scope.allows(Capability::Read) && !scope.allows(Capability::Manage));
        push(db, &scope, "built").await;

        // It is the author.
        let tx = db.read(&world.scope, "test").await.unwrap();
        let session = sessions::by_ids(&tx, &["built".parse().unwrap()]).await.unwrap().remove(0);
        assert_eq!(session.user_id, ci.id.as_str());
        let named = users::by_ids(&tx, std::slice::from_ref(&ci.id)).await.unwrap();
        assert_eq!(named[0].username, "ci");
        drop(tx);

        // It is listed apart, and counts nowhere as a person.
        assert_eq!(
            service_accounts::list(db, world.scope.team_id()).await.unwrap(),
            std::slice::from_ref(&ci)
        );
        assert_eq!(teams::members(&world.scope, db, None, 10).await.unwrap().len(), 1);
        assert_eq!(operators::users(db, None, 10).await.unwrap().len(), 1);
        assert_eq!(users::oldest(db, 10).await.unwrap().len(), 1);
        assert_eq!(users::by_name(db, "ci").await.unwrap(), []);
        let set = teams::set_role(&world.scope, db, &ci.id, Role::Admin).await.unwrap();
        assert_eq!(set, TeamChange::NotFound);
        assert_eq!(teams::remove(&world.scope, db, &ci.id).await.unwrap(), TeamChange::NotFound);

        // A key of it cannot outlive its end, not even by rotation.
        let rotated = api_keys::rotate(&scope, db, Which::Only, 0).await.unwrap();
        let Rotated::Done(row, _) = rotated else { panic!("{rotated:?}") };
        assert_eq!(row.scopes, "sync:write");
        assert_eq!(row.expires_at, Some(world.clock.now().plus_seconds(30 * DAY)));
        let token = key(&world, &ci.id, 30).await;
        world.clock.advance_seconds(30 * DAY);
        assert!(scope_of(db, &token).await.is_none());
    }
);

both_databases!(
    async fn a_service_account_cannot_sign_in_or_join(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let ci = account(&world, "ci").await;
        assert!(login_links::create(db, &ci.id).await.is_err());
        assert!(token_families::begin(db, &ci.id, "a program").await.is_err());
        let login = device_logins::begin(db, "a program", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        assert!(device_logins::decide(db, &login.user_code, Some(&ci.id)).await.is_err());
        assert!(memberships::put(db, world.scope.team_id(), &ci.id, Role::Member).await.is_err());
        for table in ["login_links", "token_families", "web_sessions"] {
            assert_eq!(number(&database, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        assert_eq!(number(&database, "SELECT count(*) FROM team_members").await, 1);
        // A person still can.
        login_links::create(db, world.scope.user_id()).await.unwrap();
    }
);

both_databases!(
    async fn only_admins_look_after_the_accounts_of_their_team(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let (bob, eve) = (member(&world, "bob", Role::Member).await, support::team(db, "eve").await);
        let ci = account(&world, "ci").await;
        let end = world.clock.now().plus_seconds(DAY);
        let created =
            async |scope: &Scope, name: &str| service_accounts::create(scope, db, name).await.unwrap();
        let renamed = async |scope: &Scope, name: &str| {
            service_accounts::rename(scope, db, &ci.id, name).await.unwrap()
        };
        assert_eq!(created(&bob, "mine").await, AccountChange::NotAllowed);
        assert_eq!(created(&world.scope, "ci").await, AccountChange::NameTaken);
        assert!(matches!(created(&eve, "ci").await, AccountChange::Done(_)), "another team");
        assert_eq!(renamed(&bob, "mine").await, AccountChange::NotAllowed);
        assert_eq!(renamed(&eve, "mine").await, AccountChange::NotFound);
        let made = service_accounts::create_key(&bob, db, &ci.id, "x", end).await.unwrap();
        assert!(matches!(made, AccountKey::NotAllowed), "{made:?}");
        let made = service_accounts::create_key(&eve, db, &ci.id, "x", end).await.unwrap();
        assert!(matches!(made, AccountKey::NotFound), "{made:?}");
        let of_person =
            service_accounts::create_key(&world.scope, db, bob.user_id(), "x", end).await.unwrap();
        assert!(matches!(of_person, AccountKey::NotFound), "{of_person:?}");
        assert_eq!(service_accounts::remove(&bob, db, &ci.id).await.unwrap(), TeamChange::NotAllowed);
        assert_eq!(service_accounts::remove(&eve, db, &ci.id).await.unwrap(), TeamChange::NotFound);
        account(&world, "nightly").await;
        assert_eq!(renamed(&world.scope, "nightly").await, AccountChange::NameTaken);
        assert!(matches!(renamed(&world.scope, "ci").await, AccountChange::Done(_)), "its own name");
        let AccountChange::Done(found) = renamed(&world.scope, "builds").await else { panic!() };
        assert_eq!((found.id.clone(), found.name.as_str()), (ci.id.clone(), "builds"));

        for _ in 0..MAX_KEYS {
            key(&world, &ci.id, 1).await;
        }
        let more = service_accounts::create_key(&world.scope, db, &ci.id, "x", end).await.unwrap();
        assert!(matches!(more, AccountKey::TooMany), "{more:?}");
        for n in 2..MAX_ACCOUNTS {
            account(&world, &format!("n{n}")).await;
        }
        assert_eq!(created(&world.scope, "one more").await, AccountChange::TooMany);
    }
);

both_databases!(
    async fn a_removed_account_pushes_no_more_and_stays_the_author(database: TestDatabase) {
        let world = world(&database).await;
        let db = &world.db;
        let ci = account(&world, "ci").await;
        let token = key(&world, &ci.id, 30).await;
        let scope = scope_of(db, &token).await.unwrap();
        push(db, &scope, "built").await;
        assert_eq!(service_accounts::remove(&world.scope, db, &ci.id).await.unwrap(), TeamChange::Done);
        assert_eq!(service_accounts::remove(&world.scope, db, &ci.id).await.unwrap(), TeamChange::NotFound);
        assert!(scope_of(db, &token).await.is_none());
        assert_eq!(service_accounts::list(db, world.scope.team_id()).await.unwrap(), []);
        let tx = db.read(&world.scope, "test").await.unwrap();
        assert_eq!(users::by_ids(&tx, std::slice::from_ref(&ci.id)).await.unwrap()[0].username, "ci");
        drop(tx);
        account(&world, "ci").await;

        // Its sessions are deleted like those of a member.
        let target = Target::Member(ci.id.clone());
        let bob = member(&world, "bob", Role::Member).await;
        let request = async |scope: &Scope| {
            deletion_requests::request(scope, db, &target, world.clock.now()).await.unwrap()
        };
        assert_eq!(request(&bob).await, Requested::NotAllowed);
        assert!(matches!(request(&world.scope).await, Requested::Stored(_)));
        while let [due, ..] = &deletion_requests::due(db).await.unwrap()[..] {
            deletion_requests::advance(db, due).await.unwrap();
        }
        assert_eq!(number(&database, "SELECT count(*) FROM sessions").await, 0);
        assert_eq!(number(&database, "SELECT sum(messages) FROM rollups").await, 0);
    }
);

both_databases!(
    async fn accounts_go_with_their_team_and_take_no_seat(database: TestDatabase) {
        let world = world(&database).await;
        let ci = account(&world, "ci").await;
        let token = key(&world, &ci.id, 30).await;
        database.execute("UPDATE teams SET plan_tier = 'pro', before_billing = FALSE").await;
        let db = &support::connect_as(&support::billed(&database), &world.clock).await;
        for n in 1..9 {
            member(&world, &format!("m{n}"), Role::Member).await;
        }
        // The tenth seat of ten is free.
        let invited = invites::create(&world.scope, db, "bob@example.com").await.unwrap();
        let Invited::Done(_, code) = invited else { panic!("{invited:?}") };
        let bob = users::create(db, "bob").await.unwrap().id;
        let joined = invites::accept(db, &support::actor(bob), code.expose()).await.unwrap();
        assert!(matches!(joined, Accepted::Done(_)), "{joined:?}");
        assert!(scope_of(db, &token).await.is_some());
        team_deletion::begin(db, world.scope.team_id()).await.unwrap();
        assert!(api_keys::for_push(db, &token.hash()).await.unwrap().is_none());
        while let [work, ..] = &team_work::unfinished(db).await.unwrap()[..] {
            team_work::advance(db, work).await.unwrap();
        }
        assert_eq!(number(&database, "SELECT count(*) FROM teams").await, 0);
        assert_eq!(number(&database, "SELECT count(*) FROM users WHERE kind = 'service'").await, 0);
        assert_eq!(number(&database, "SELECT count(*) FROM users").await, 10, "persons stay");
    }
);
