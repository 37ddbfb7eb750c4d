//! Members, invites and API keys: permissions, invariants under concurrency, and what is stored.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails its test by panicking")]

mod support;

use han_crypto::{ApiKeyToken, OpaqueToken};
use han_db::Db;
use han_db::queries::api_keys::{self, Minted, Rotated, Which};
use han_db::queries::invites::{
    self, ATTEMPT_WINDOW_SECONDS, Accepted, INVITE_PREFIX, INVITE_SECONDS, Invited, LOCKOUT_SECONDS,
    MAX_WRONG_CODES,
};
use han_db::queries::teams::{self, TeamChange};
use han_db::queries::{memberships, users};
use han_testkit::both_databases;
use han_types::{ApiKeyId, Clock as _, Role, Scope, UserId};

use support::{World, dump, member, scope, world};

async fn roles(world: &World) -> Vec<(String, Role)> {
    let members = teams::members(&world.scope, &world.db, None, 500).await.unwrap();
    members.into_iter().map(|member| (member.user.username, member.role)).collect()
}

async fn person(world: &World, name: &str) -> UserId {
    users::create(&world.db, name).await.unwrap().id
}

async fn invite(world: &World, email: &str) -> OpaqueToken {
    match invites::create(&world.scope, &world.db, email).await.unwrap() {
        Invited::Done(_, code) => code,
        other => panic!("{other:?}"),
    }
}

async fn accept(world: &World, user: &UserId, code: &str) -> Accepted {
    invites::accept(&world.db, &support::actor(user.clone()), code).await.unwrap()
}

both_databases!(
    async fn only_admins_change_members_and_only_of_their_team(db: TestDatabase) {
        let world = world(&db).await;
        let (bob, cy) = (member(&world, "bob", Role::Member).await, member(&world, "cy", Role::Member).await);
        let stranger = support::team(&world.db, "eve").await;
        let db = &world.db;
        use TeamChange::{Done, LastAdmin, NotAllowed, NotFound};
        assert_eq!(teams::set_role(&bob, db, bob.user_id(), Role::Admin).await.unwrap(), NotAllowed);
        assert_eq!(teams::remove(&bob, db, cy.user_id()).await.unwrap(), NotAllowed);
        assert_eq!(teams::rename(&bob, db, "mine").await.unwrap(), NotAllowed);
        assert_eq!(teams::remove(&stranger, db, cy.user_id()).await.unwrap(), NotFound);
        assert_eq!(teams::set_role(&stranger, db, cy.user_id(), Role::Admin).await.unwrap(), NotFound);

        let ada = &world.scope;
        assert_eq!(teams::set_role(ada, db, ada.user_id(), Role::Member).await.unwrap(), LastAdmin);
        assert_eq!(teams::leave(ada, db).await.unwrap(), LastAdmin);
        assert_eq!(teams::remove(ada, db, ada.user_id()).await.unwrap(), LastAdmin);
        assert_eq!(teams::set_role(ada, db, bob.user_id(), Role::Admin).await.unwrap(), Done);
        assert_eq!(teams::leave(ada, db).await.unwrap(), Done);
        assert_eq!(teams::rename(ada, db, "still mine").await.unwrap(), NotAllowed, "a scope from before");
        assert_eq!(teams::remove(&bob, db, cy.user_id()).await.unwrap(), Done, "an admin since then");
        assert_eq!(teams::remove(&bob, db, cy.user_id()).await.unwrap(), NotFound);
        assert_eq!(roles(&world).await, [("bob".to_owned(), Role::Admin)]);
    }
);

both_databases!(
    async fn members_are_paginated_and_limited_to_the_team(db: TestDatabase) {
        let world = world(&db).await;
        for name in ["b", "c", "d", "e"] {
            world.clock.advance_seconds(i64::from(name == "d"));
            member(&world, name, Role::Member).await;
        }
        let stranger = support::team(&world.db, "eve").await;
        let whole = teams::members(&world.scope, &world.db, None, 500).await.unwrap();
        let mut paged = Vec::new();
        let mut after: Option<UserId> = None;
        loop {
            let page = teams::members(&world.scope, &world.db, after.as_ref(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.user.id.clone());
            paged.extend(page.into_iter().map(|member| member.user.id));
        }
        assert_eq!(paged, whole.iter().map(|member| member.user.id.clone()).collect::<Vec<_>>());
        assert_eq!(whole.len(), 5);
        let seen = teams::members(&stranger, &world.db, after.as_ref(), 500).await.unwrap();
        assert!(seen.is_empty(), "a cursor of another team leads nowhere");
    }
);

both_databases!(
    async fn one_of_two_admins_who_leave_concurrently_stays(db: TestDatabase) {
        let world = world(&db).await;
        for round in 0..5 {
            let admins = [
                member(&world, &format!("one-{round}"), Role::Admin).await,
                member(&world, &format!("two-{round}"), Role::Admin).await,
            ];
            let ada = world.scope.user_id();
            let change = teams::set_role(&admins[0], &world.db, ada, Role::Member).await.unwrap();
            assert_eq!(change, TeamChange::Done);
            let (one, two) = tokio::join!(
                teams::leave(&admins[0], &world.db),
                teams::set_role(&admins[1], &world.db, admins[1].user_id(), Role::Member)
            );
            let outcomes = [one.unwrap(), two.unwrap()];
            assert_eq!(outcomes.iter().filter(|o| **o == TeamChange::Done).count(), 1, "{outcomes:?}");
            assert_eq!(outcomes.iter().filter(|o| **o == TeamChange::LastAdmin).count(), 1, "{outcomes:?}");
            let left: Vec<_> =
                roles(&world).await.into_iter().filter(|(_, role)| *role == Role::Admin).collect();
            assert_eq!(left.len(), 1, "{left:?}");
            // The remaining admin restores the other one for the next round.
            let stayed = if outcomes[0] == TeamChange::Done { &admins[1] } else { &admins[0] };
            teams::set_role(stayed, &world.db, ada, Role::Admin).await.unwrap();
            assert_eq!(teams::leave(stayed, &world.db).await.unwrap(), TeamChange::Done);
        }
    }
);

both_databases!(
    async fn keys_are_revoked_with_the_membership_and_stay_revoked(db: TestDatabase) {
        let world = world(&db).await;
        let bob = member(&world, "bob", Role::Member).await;
        let Minted::Done(_, token) = api_keys::create(&bob, &world.db, "ci", "read", None).await.unwrap()
        else {
            panic!("no key");
        };
        teams::remove(&world.scope, &world.db, bob.user_id()).await.unwrap();
        let refused = api_keys::create(&bob, &world.db, "late", "read", None).await.unwrap();
        assert!(matches!(refused, Minted::NotAllowed), "{refused:?}");
        memberships::put(&world.db, bob.team_id(), bob.user_id(), Role::Member).await.unwrap();
        let row = api_keys::by_hash(&world.db, &token.hash()).await.unwrap().unwrap();
        assert!(!row.is_live(world.clock.now()));
    }
);

both_databases!(
    async fn an_invite_admits_one_user_within_a_day(db: TestDatabase) {
        let world = world(&db).await;
        let code = invite(&world, "bob@example.com").await;
        let rows = dump(&db, "SELECT * FROM team_invites").await;
        assert!(rows.len() == 1 && !rows[0].contains(code.expose()));

        let (bob, cy) = (person(&world, "bob").await, person(&world, "cy").await);
        let ada = accept(&world, world.scope.user_id(), code.expose()).await;
        assert!(matches!(ada, Accepted::AlreadyMember(_)), "{ada:?}");
        let joined = accept(&world, &bob, code.expose()).await;
        assert!(matches!(&joined, Accepted::Done(team) if team.id == *world.scope.team_id()), "{joined:?}");
        let used = dump(&db, "SELECT used_by FROM team_invites").await;
        assert!(used.len() == 1 && used[0].contains(bob.as_str()), "{used:?}");
        assert!(matches!(accept(&world, &cy, code.expose()).await, Accepted::Ended), "once");

        let late = invite(&world, "cy@example.com").await;
        world.clock.advance_seconds(INVITE_SECONDS);
        assert!(matches!(accept(&world, &cy, late.expose()).await, Accepted::Ended));
        let open = async || invites::open(&world.scope, &world.db).await.unwrap();
        assert!(open().await.is_empty());

        let first = invite(&world, "cy@example.com").await;
        let second = invite(&world, "CY@example.com").await;
        assert!(
            matches!(accept(&world, &cy, first.expose()).await, Accepted::Ended),
            "another took its place"
        );
        let id = open().await[0].id.clone();
        let stranger = support::team(&world.db, "eve").await;
        assert!(invites::open(&stranger, &world.db).await.unwrap().is_empty());
        assert_eq!(invites::revoke(&stranger, &world.db, &id).await.unwrap(), TeamChange::NotFound);
        let bob = scope(&world.db, bob).await;
        assert_eq!(invites::revoke(&bob, &world.db, &id).await.unwrap(), TeamChange::NotAllowed);
        let refused = invites::create(&bob, &world.db, "x@example.com").await.unwrap();
        assert!(matches!(refused, Invited::NotAllowed));
        assert_eq!(invites::revoke(&world.scope, &world.db, &id).await.unwrap(), TeamChange::Done);
        assert_eq!(invites::revoke(&world.scope, &world.db, &id).await.unwrap(), TeamChange::NotFound);
        assert!(matches!(accept(&world, &cy, second.expose()).await, Accepted::Ended));
        assert_eq!(roles(&world).await.len(), 2);
    }
);

both_databases!(
    async fn concurrent_uses_of_one_invite_admit_one_user(db: TestDatabase) {
        let world = world(&db).await;
        let code = invite(&world, "bob@example.com").await;
        let mut people = Vec::new();
        for n in 0..6 {
            people.push(person(&world, &format!("p{n}")).await);
        }
        let tried = people.iter().map(|user| accept(&world, user, code.expose()));
        let outcomes = futures_util::future::join_all(tried).await;
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Accepted::Done(_))).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Accepted::Ended)).count(), 5, "{outcomes:?}");
        assert_eq!(roles(&world).await.len(), 2);
    }
);

both_databases!(
    async fn guessing_invite_codes_locks_out_only_the_guesser(db: TestDatabase) {
        let world = world(&db).await;
        let (eve, bob) = (person(&world, "eve").await, person(&world, "bob").await);
        let good = invite(&world, "eve@example.com").await;
        let guess = || OpaqueToken::mint(INVITE_PREFIX, world.db.entropy());
        for junk in ["", "han_invite_short", "junk", "han_login_x"] {
            assert!(matches!(accept(&world, &eve, junk).await, Accepted::Malformed), "{junk}");
        }
        // Ten concurrent attempts: no more than the limit are looked up.
        let guesses: Vec<OpaqueToken> = (0..10).map(|_| guess()).collect();
        let tried = guesses.iter().map(|code| accept(&world, &eve, code.expose()));
        let outcomes = futures_util::future::join_all(tried).await;
        let looked_at = outcomes.iter().filter(|o| matches!(o, Accepted::Unknown)).count();
        assert_eq!(looked_at as i64, MAX_WRONG_CODES, "{outcomes:?}");
        let until = world.clock.now().plus_seconds(LOCKOUT_SECONDS);
        let locked = accept(&world, &eve, good.expose()).await;
        assert!(matches!(locked, Accepted::Locked(at) if at == until), "{locked:?}");
        assert!(matches!(accept(&world, &bob, guess().expose()).await, Accepted::Unknown));

        world.clock.advance_seconds(LOCKOUT_SECONDS);
        // Four now, and four after the first ones have expired.
        for round in 0..2 {
            for _ in 1..MAX_WRONG_CODES {
                let tried = accept(&world, &eve, guess().expose()).await;
                assert!(matches!(tried, Accepted::Unknown), "{round}: {tried:?}");
            }
            world.clock.advance_seconds(ATTEMPT_WINDOW_SECONDS);
        }
        assert!(matches!(accept(&world, &eve, good.expose()).await, Accepted::Done(_)));
    }
);

/// The id and the token of the key that a rotation created.
async fn rotated(db: &Db, outcome: Rotated) -> (ApiKeyId, ApiKeyToken) {
    let Rotated::Done(row, token) = outcome else { panic!("{outcome:?}") };
    let found = api_keys::by_hash(db, &token.hash()).await.unwrap().unwrap();
    assert_eq!(found.id, row.id);
    assert!(found.is_live(db.clock().now()));
    (row.id, token)
}

async fn is_live(db: &Db, token: &ApiKeyToken) -> bool {
    api_keys::by_hash(db, &token.hash()).await.unwrap().unwrap().is_live(db.clock().now())
}

async fn make(scope: &Scope, db: &Db, name: &str, expires_in: Option<i64>) -> (ApiKeyId, ApiKeyToken) {
    let expires_at = expires_in.map(|seconds| db.clock().now().plus_seconds(seconds));
    match api_keys::create(scope, db, name, "sync:write", expires_at).await.unwrap() {
        Minted::Done(row, token) => (row.id, token),
        other => panic!("{other:?}"),
    }
}

both_databases!(
    async fn a_rotated_key_ends_at_once_or_after_its_grace_period(db: TestDatabase) {
        let world = world(&db).await;
        let (db, ada) = (&world.db, &world.scope);
        let (first, first_token) = make(ada, db, "laptop", Some(1000)).await;
        let (second, second_token) =
            rotated(db, api_keys::rotate(ada, db, Which::Only, 0).await.unwrap()).await;
        assert!(!is_live(db, &first_token).await);
        let gone = api_keys::rotate(ada, db, Which::Named(&first), 0).await.unwrap();
        assert!(matches!(gone, Rotated::NotFound), "{gone:?}");

        world.clock.advance_seconds(500);
        let (third, _) = rotated(db, api_keys::rotate(ada, db, Which::Only, 60).await.unwrap()).await;
        assert!(is_live(db, &second_token).await);
        let again = api_keys::rotate(ada, db, Which::Calling(&second), 60).await.unwrap();
        assert!(matches!(again, Rotated::AlreadyRotated), "one key makes one: {again:?}");
        let listed = api_keys::list(ada, db).await.unwrap();
        let shown: Vec<_> = listed.iter().map(|key| (&key.id, key.is_replaced, key.name.as_str())).collect();
        assert_eq!(shown, [(&third, false, "laptop"), (&second, true, "laptop")]);
        assert!(listed.iter().all(|key| key.scopes == "sync:write"));
        // A rotation by a user restarts the key's lifetime; a key cannot extend its own.
        let end = world.clock.now().plus_seconds(1000);
        assert_eq!(listed[0].expires_at, Some(end));
        world.clock.advance_seconds(60);
        assert!(!is_live(db, &second_token).await);
        let (fourth, _) =
            rotated(db, api_keys::rotate(ada, db, Which::Calling(&third), 0).await.unwrap()).await;
        let listed = api_keys::list(ada, db).await.unwrap();
        assert_eq!((&listed[0].id, listed[0].expires_at), (&fourth, Some(end)));

        let (_, other) = make(ada, db, "ci", None).await;
        let several = api_keys::rotate(ada, db, Which::Only, 0).await.unwrap();
        assert!(matches!(several, Rotated::Several), "{several:?}");
        assert!(is_live(db, &other).await);
    }
);

both_databases!(
    async fn keys_belong_to_their_owners_and_admins_can_revoke_them(db: TestDatabase) {
        let world = world(&db).await;
        let (db, ada) = (&world.db, &world.scope);
        let bob = member(&world, "bob", Role::Member).await;
        let stranger = support::team(db, "eve").await;
        let (of_ada, _) = make(ada, db, "ada's", None).await;
        let (of_bob, token) = make(&bob, db, "bob's", None).await;
        let names = async |scope: &Scope| {
            let listed = api_keys::list(scope, db).await.unwrap();
            listed.into_iter().map(|key| key.name).collect::<Vec<_>>()
        };
        let mut all = names(ada).await;
        all.sort();
        assert_eq!(all, ["ada's", "bob's"]);
        assert_eq!(names(&bob).await, ["bob's"]);
        assert!(names(&stranger).await.is_empty());
        for scope in [ada, &stranger] {
            let refused = api_keys::rotate(scope, db, Which::Named(&of_bob), 0).await.unwrap();
            assert!(
                matches!(refused, Rotated::NotFound),
                "a key of another user is not rotated: {refused:?}"
            );
        }
        for (scope, id) in [(&stranger, &of_bob), (&bob, &of_ada)] {
            assert_eq!(api_keys::revoke(scope, db, id).await.unwrap(), TeamChange::NotFound);
        }
        assert_eq!(api_keys::revoke(ada, db, &of_bob).await.unwrap(), TeamChange::Done);
        assert!(!is_live(db, &token).await);
        let (one, two) = tokio::join!(
            api_keys::rotate(ada, db, Which::Calling(&of_ada), 60),
            api_keys::rotate(ada, db, Which::Calling(&of_ada), 60)
        );
        let outcomes = [one.unwrap(), two.unwrap()];
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Rotated::Done(..))).count(), 1, "{outcomes:?}");
    }
);
