//! Credentials and their scopes: memberships, API keys, web sessions, login links.
#![allow(clippy::unwrap_used, reason = "a test's helper fails its test by panicking")]

mod support;

use han_crypto::{ApiKeyToken, OpaqueToken, OsEntropy};
use han_db::Db;
use han_db::queries::api_keys::NewApiKey;
use han_db::queries::memberships::Resolved;
use han_db::queries::sign_ins::{self, Means};
use han_db::queries::teams::TeamChange;
use han_db::queries::{api_keys, credentials, login_links, memberships, teams, users, web_sessions};
use han_testkit::both_databases;
use han_types::{
    Actor, Capabilities, Capability, Clock as _, Credential, RequestId, Role, TeamId, UserId, WebSessionId,
};

use support::{connect, dump, scope as scope_of, world};

fn actor(user_id: &UserId, credential: Credential) -> Actor {
    Actor {
        user_id: user_id.clone(),
        credential,
        capabilities: Capabilities::PERSON,
        expires_at: None,
        request_id: han_testkit::request_id(),
        client: None,
    }
}

fn jwt(team_id: Option<&TeamId>) -> Credential {
    Credential::Jwt { id: "1".to_owned(), family: None, team_id: team_id.cloned() }
}

fn cookie(team_id: Option<&TeamId>) -> Credential {
    Credential::WebSession { id: WebSessionId::try_from("w".to_owned()).unwrap(), team_id: team_id.cloned() }
}

async fn team_of(db: &Db, actor: &Actor) -> Option<TeamId> {
    let found = memberships::scope_for(db, actor).await.unwrap();
    found.map(|Resolved { scope, team }| {
        assert_eq!(*scope.team_id(), team.id);
        assert_eq!(*scope.user_id(), actor.user_id);
        team.id
    })
}

both_databases!(
    async fn a_scope_follows_the_credential_then_the_oldest_membership(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        let (ada, first) = teams::create_with_user(db, "ada", "first").await.unwrap();
        world.clock.advance_seconds(1);
        let second = teams::create(db, "second", &ada.id).await.unwrap();
        let (_, foreign) = teams::create_with_user(db, "eve", "foreign").await.unwrap();
        let key = |team: &TeamId| Credential::ApiKey { id: "k".parse().unwrap(), team_id: team.clone() };
        for (credential, expected) in [
            (jwt(None), Some(&first.id)),
            (jwt(Some(&second.id)), Some(&second.id)),
            (jwt(Some(&foreign.id)), None),
            (key(&second.id), Some(&second.id)),
            (key(&foreign.id), None),
            (cookie(None), Some(&first.id)),
            (cookie(Some(&second.id)), Some(&second.id)),
            // A web session whose active team removed the user falls back to another membership.
            (cookie(Some(&foreign.id)), Some(&first.id)),
        ] {
            let asked = format!("{credential:?}");
            assert_eq!(team_of(db, &actor(&ada.id, credential)).await.as_ref(), expected, "{asked}");
        }
        let loner = users::create(db, "loner").await.unwrap();
        assert_eq!(team_of(db, &actor(&loner.id, jwt(None))).await, None);
        let unknown = "0190-unknown".parse().unwrap();
        assert_eq!(team_of(db, &actor(&unknown, jwt(None))).await, None);

        let in_team = async |credential: Credential, team: &TeamId| {
            memberships::scope_in(db, &actor(&ada.id, credential), team)
                .await
                .unwrap()
                .map(|found| found.team.id)
        };
        assert_eq!(in_team(jwt(None), &second.id).await.as_ref(), Some(&second.id));
        assert_eq!(in_team(cookie(Some(&first.id)), &second.id).await.as_ref(), Some(&second.id));
        assert_eq!(in_team(jwt(Some(&first.id)), &second.id).await, None, "a token names one team");
        assert_eq!(in_team(key(&first.id), &second.id).await, None, "a key is bound to one team");
        assert_eq!(in_team(jwt(None), &foreign.id).await, None);
    }
);

both_databases!(
    async fn a_scope_names_user_credential_and_request(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        let (ada, team) = teams::create_with_user(db, "ada", "orchard").await.unwrap();
        let new =
            NewApiKey { team_id: &team.id, user_id: &ada.id, name: "", scopes: "read", expires_at: None };
        let (id, token) = api_keys::create_for(db, &new).await.unwrap();
        let holder = actor(&ada.id, Credential::ApiKey { id, team_id: team.id.clone() });
        for found in
            [memberships::scope_for(db, &holder).await, memberships::scope_in(db, &holder, &team.id).await]
        {
            let scope = found.unwrap().unwrap().scope;
            assert_eq!(scope.user_id(), &ada.id);
            assert_eq!(scope.credential(), &holder.credential);
            assert_eq!(scope.request_id(), &holder.request_id);
            let shown = format!("{scope:?} {holder:?}");
            assert!(!shown.contains(token.expose()) && !shown.contains(&token.hash().to_hex()), "{shown}");
        }
        let command = RequestId::generate(&world.clock, &OsEntropy::new());
        let teams = memberships::teams_for_operator(db, &command, Some("orchard")).await.unwrap();
        assert_eq!(teams[0].scope.credential(), &Credential::Operator);
        assert_eq!(teams[0].scope.request_id(), &command);
    }
);

both_databases!(
    async fn a_malformed_value_is_reported_with_its_table_column_and_row(database: TestDatabase) {
        let world = world(&database).await;
        let (_, team) = teams::create_with_user(&world.db, "bob", "orchard").await.unwrap();
        database.execute("UPDATE teams SET plan_tier = 'odd' WHERE slug = 'orchard'").await;
        let error = teams::by_slug(&world.db, "orchard").await.unwrap_err().to_string();
        assert!(error.contains("teams.plan_tier") && error.contains(team.id.as_str()), "{error}");
    }
);

both_databases!(
    async fn roles_and_capabilities_reach_the_scope(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        let (ada, team) = teams::create_with_user(db, "ada", "orchard").await.unwrap();
        let bob = users::create(db, "bob").await.unwrap();
        memberships::put(db, &team.id, &bob.id, Role::Member).await.unwrap();
        let scope_of = async |actor: &Actor| memberships::scope_for(db, actor).await.unwrap().unwrap().scope;
        assert_eq!(scope_of(&actor(&ada.id, jwt(None))).await.role(), Role::Admin);
        let bob = actor(&bob.id, jwt(None));
        assert_eq!(scope_of(&bob).await.role(), Role::Member);
        memberships::put(db, &team.id, &bob.user_id, Role::Admin).await.unwrap();
        assert_eq!(scope_of(&bob).await.role(), Role::Admin);
        assert_eq!(memberships::list(db, &bob.user_id).await.unwrap().len(), 1, "a member once");
        let reader = Actor { capabilities: Capabilities::from_key_scopes("read"), ..bob };
        let scope = scope_of(&reader).await;
        assert!(scope.allows(Capability::Read) && !scope.allows(Capability::SyncWrite));
    }
);

both_databases!(
    async fn teams_with_equal_names_get_different_slugs_and_usable_keys(db: TestDatabase) {
        let world = world(&db).await;
        let ada = users::create(&world.db, "ada").await.unwrap();
        let mut slugs = Vec::new();
        for _ in 0..12 {
            let team = teams::create(&world.db, "Acme, Inc.", &ada.id).await.unwrap();
            let found = teams::by_slug(&world.db, &team.slug).await.unwrap().unwrap();
            assert_eq!(found, team);
            slugs.push(team.slug);
        }
        assert_eq!(slugs[..3], ["acme-inc", "acme-inc-2", "acme-inc-3"]);
        assert_eq!(slugs.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 12);
        // Another process can open the keys with only the database and the KEK.
        let elsewhere = connect(db.url(), &world.clock).await;
        let last = memberships::list(&elsewhere, &ada.id).await.unwrap().pop().unwrap();
        assert!(elsewhere.keys().team(&elsewhere, &last.team.id).await.is_ok());
    }
);

both_databases!(
    async fn a_key_is_stored_as_its_hash_and_can_be_revoked(db: TestDatabase) {
        let world = world(&db).await;
        let (ada, team) = teams::create_with_user(&world.db, "ada", "orchard").await.unwrap();
        let expires_at = Some(world.clock.now().plus_seconds(60));
        let new =
            NewApiKey { team_id: &team.id, user_id: &ada.id, name: "ci", scopes: "sync:write", expires_at };
        let (id, key) = api_keys::create_for(&world.db, &new).await.unwrap();
        let rows = dump(&db, "SELECT * FROM api_keys").await;
        assert!(rows.len() == 1 && !rows[0].contains(key.expose()));

        let found = api_keys::by_hash(&world.db, &key.hash()).await.unwrap().unwrap();
        assert_eq!((&found.id, &found.team_id, &found.user_id), (&id, &team.id, &ada.id));
        assert!(
            found.capabilities.allow(Capability::SyncWrite) && !found.capabilities.allow(Capability::Read)
        );
        assert!(found.is_live(world.clock.now()));
        assert!(!found.is_live(world.clock.now().plus_seconds(60)));
        let holder = Actor {
            expires_at,
            ..actor(&ada.id, Credential::ApiKey { id: id.clone(), team_id: team.id.clone() })
        };
        assert!(credentials::is_live(&world.db, &holder).await.unwrap());
        let (owner, other) =
            (scope_of(&world.db, ada.id.clone()).await, support::team(&world.db, "eve").await);
        let revoke = async |scope| api_keys::revoke(scope, &world.db, &id).await.unwrap();
        assert_eq!(revoke(&other).await, TeamChange::NotFound, "another team's key");
        assert_eq!(revoke(&owner).await, TeamChange::Done);
        assert_eq!(revoke(&owner).await, TeamChange::NotFound, "only once");
        assert!(!credentials::is_live(&world.db, &holder).await.unwrap());
        let unknown = ApiKeyToken::mint(world.db.entropy()).hash();
        assert!(api_keys::by_hash(&world.db, &unknown).await.unwrap().is_none());
    }
);

both_databases!(
    async fn a_login_link_opens_one_session_and_tokens_are_stored_as_hashes(db: TestDatabase) {
        let world = world(&db).await;
        let ada = users::create(&world.db, "ada").await.unwrap();
        let link = login_links::create(&world.db, &ada.id).await.unwrap();
        let opened = login_links::redeem(&world.db, &link.hash()).await.unwrap().unwrap();
        assert_eq!(opened.user_id, ada.id);
        assert!(login_links::redeem(&world.db, &link.hash()).await.unwrap().is_none());
        for (table, token) in [("web_sessions", opened.token.expose()), ("login_links", link.expose())] {
            let rows = dump(&db, &format!("SELECT * FROM {table}")).await;
            assert!(rows.len() == 1 && !rows[0].contains(token), "{table}");
        }
        let session = web_sessions::by_hash(&world.db, &opened.token.hash()).await.unwrap().unwrap();
        assert!(session.is_live(world.clock.now()));
        let holder = actor(
            &ada.id,
            Credential::WebSession { id: session.id.clone(), team_id: session.active_team_id },
        );
        assert!(credentials::is_live(&world.db, &holder).await.unwrap());
        let id = session.id.as_str();
        assert!(sign_ins::revoke(&world.db, &ada.id, Means::Browser, id).await.unwrap());
        assert!(!credentials::is_live(&world.db, &holder).await.unwrap());
        let unknown = OpaqueToken::mint(login_links::LOGIN_LINK_PREFIX, world.db.entropy()).hash();
        assert!(login_links::redeem(&world.db, &unknown).await.unwrap().is_none());

        let stale = login_links::create(&world.db, &ada.id).await.unwrap();
        world.clock.advance_seconds(login_links::LOGIN_LINK_SECONDS);
        assert!(login_links::redeem(&world.db, &stale.hash()).await.unwrap().is_none());
        world.clock.advance_seconds(2 * 86_400);
        login_links::create(&world.db, &ada.id).await.unwrap();
        assert_eq!(dump(&db, "SELECT * FROM login_links").await.len(), 1, "what ended long ago is forgotten");
    }
);
