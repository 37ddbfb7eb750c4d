//! Sign-in: attempts, GitHub users, concurrent and replayed refresh tokens, device logins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails its test by panicking")]

mod support;

use std::collections::BTreeSet;

use han_crypto::OpaqueToken;
use han_db::queries::device_logins::{self, DEVICE_SECONDS, POLL_SECONDS, Polled};
use han_db::queries::sign_ins::{self, GithubPerson, Means, SIGN_IN_SECONDS};
use han_db::queries::token_families::{self, FAMILY_SECONDS, IssuedToken, RETRY_SECONDS, Refreshed};
use han_db::queries::{credentials, memberships, users};
use han_testkit::both_databases;
use han_types::{Actor, Capabilities, Clock as _, Credential, Role, UserId};
use proptest::prelude::*;
use support::{World, dump, world};

fn person(github_id: i64, login: &str) -> GithubPerson {
    GithubPerson { github_id, login: login.to_owned(), avatar_url: None, email: None }
}

async fn some_user(world: &World) -> UserId {
    users::create(&world.db, "grace").await.unwrap().id
}

both_databases!(
    async fn a_sign_in_attempt_is_valid_once_within_ten_minutes(db: TestDatabase) {
        let world = world(&db).await;
        let token = sign_ins::begin(&world.db, "/sessions?x=1").await.unwrap();
        let rows = dump(&db, "SELECT * FROM sign_ins").await;
        assert!(rows.len() == 1 && !rows[0].contains(token.expose()));
        let hash = token.hash();
        let finish = || sign_ins::finish(&world.db, &hash);
        let (one, two) = tokio::join!(finish(), finish());
        let ends: BTreeSet<_> = [one.unwrap(), two.unwrap()].into();
        assert_eq!(ends, BTreeSet::from([None, Some("/sessions?x=1".to_owned())]));
        let stale = sign_ins::begin(&world.db, "/").await.unwrap();
        world.clock.advance_seconds(SIGN_IN_SECONDS);
        assert_eq!(sign_ins::finish(&world.db, &stale.hash()).await.unwrap(), None);
        world.clock.advance_seconds(3601);
        sign_ins::begin(&world.db, "/").await.unwrap();
        assert_eq!(dump(&db, "SELECT * FROM sign_ins").await.len(), 1, "what ended is forgotten");
    }
);

both_databases!(
    async fn a_github_user_is_identified_by_id_only(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        let mut octo = person(583_231, "octo");
        octo.email = Some("octo@example.com".to_owned());
        octo.avatar_url = Some("https://avatars.example/583231".to_owned());
        let first = sign_ins::upsert_github_person(db, &octo).await.unwrap();
        assert!(first.is_new);
        assert_eq!((&first.user.avatar_url, first.user.created_at), (&octo.avatar_url, world.clock.now()));
        assert_eq!(users::by_id(db, &first.user.id).await.unwrap().unwrap(), first.user);
        let teams = memberships::list(db, &first.user.id).await.unwrap();
        assert_eq!((teams.len(), teams[0].membership.role), (1, Role::Admin));
        assert!(teams[0].team.slug.starts_with("octo-"), "{}", teams[0].team.slug);

        // Renamed at GitHub, and without an address this time: the same user, and the address stays.
        let renamed = sign_ins::upsert_github_person(db, &person(583_231, "octocat")).await.unwrap();
        assert!(!renamed.is_new);
        assert_eq!((&renamed.user.id, renamed.user.username.as_str()), (&first.user.id, "octocat"));
        assert_eq!(renamed.user.email.as_deref(), Some("octo@example.com"));
        assert_eq!(memberships::list(db, &first.user.id).await.unwrap().len(), 1);

        // Another GitHub user takes the abandoned name and claims the address: a different user.
        let mut heir = person(999, "octocat");
        heir.email = Some("octo@example.com".to_owned());
        let heir = sign_ins::upsert_github_person(db, &heir).await.unwrap();
        assert!(heir.is_new && heir.user.id != first.user.id);
        let slug = &memberships::list(db, &heir.user.id).await.unwrap()[0].team.slug;
        assert!(slug.starts_with("octocat-"), "{slug}");
        // A user who signed in by link is not taken over by name either.
        let local = users::create(db, "linus").await.unwrap();
        let linus = sign_ins::upsert_github_person(db, &person(1, "linus")).await.unwrap();
        assert_ne!(linus.user.id, local.id);
    }
);

both_databases!(
    async fn concurrent_first_sign_ins_create_one_user(db: TestDatabase) {
        let world = world(&db).await;
        for number in 1..=5 {
            let octo = person(number, "octo");
            let (one, two) = tokio::join!(
                sign_ins::upsert_github_person(&world.db, &octo),
                sign_ins::upsert_github_person(&world.db, &octo)
            );
            let (one, two) = (one.unwrap(), two.unwrap());
            assert_eq!(one.user.id, two.user.id);
            assert!(one.is_new != two.is_new);
            assert_eq!(memberships::list(&world.db, &one.user.id).await.unwrap().len(), 1);
        }
    }
);

fn issued(refreshed: Refreshed) -> IssuedToken {
    match refreshed {
        Refreshed::Issued(token) => token,
        other => panic!("{other:?}"),
    }
}

async fn refresh(world: &World, token: &OpaqueToken) -> Refreshed {
    token_families::refresh(&world.db, &token.hash()).await.unwrap()
}

both_databases!(
    async fn a_reused_refresh_token_revokes_its_family(db: TestDatabase) {
        let world = world(&db).await;
        let user = some_user(&world).await;
        let first = token_families::begin(&world.db, &user, "han-coordinator\non ada").await.unwrap();
        let other_family = token_families::begin(&world.db, &user, "elsewhere").await.unwrap();
        let second = issued(refresh(&world, &first.token).await);
        assert_eq!((&second.family, &second.user_id), (&first.family, &user));
        world.clock.advance_seconds(3600);
        let third = issued(refresh(&world, &second.token).await);
        for token in [&first.token, &second.token, &third.token] {
            for row in dump(&db, "SELECT * FROM refresh_tokens").await {
                assert!(!row.contains(token.expose()));
            }
        }
        let holder = Actor {
            user_id: user.clone(),
            credential: Credential::Jwt {
                id: "1".to_owned(),
                family: Some(first.family.clone()),
                team_id: None,
            },
            capabilities: Capabilities::PERSON,
            expires_at: None,
            request_id: han_testkit::request_id(),
            client: None,
        };
        assert!(credentials::is_live(&world.db, &holder).await.unwrap());
        // A thief uses a copy of the second token.
        world.clock.advance_seconds(RETRY_SECONDS + 1);
        assert!(
            matches!(refresh(&world, &second.token).await, Refreshed::Reused(family) if family == first.family)
        );
        assert!(matches!(refresh(&world, &third.token).await, Refreshed::Refused), "the owner is out, too");
        assert!(!credentials::is_live(&world.db, &holder).await.unwrap());
        issued(refresh(&world, &other_family.token).await);
        let places = sign_ins::live(&world.db, &user).await.unwrap();
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].label.as_deref(), Some("elsewhere"));
    }
);

both_databases!(
    async fn a_retry_after_a_lost_response_gets_a_sibling_token(db: TestDatabase) {
        let world = world(&db).await;
        let user = some_user(&world).await;
        let first = token_families::begin(&world.db, &user, "cli").await.unwrap();
        let lost = issued(refresh(&world, &first.token).await);
        world.clock.advance_seconds(RETRY_SECONDS);
        let sibling = issued(refresh(&world, &first.token).await);
        assert_eq!(sibling.family, first.family);
        let next = issued(refresh(&world, &sibling.token).await);
        // The lost token can only be presented by someone who intercepted it.
        assert!(matches!(refresh(&world, &lost.token).await, Refreshed::Reused(_)));
        assert!(matches!(refresh(&world, &next.token).await, Refreshed::Refused));

        // Too late, or after a token of the response was used, it is not a retry.
        let first = token_families::begin(&world.db, &user, "cli").await.unwrap();
        issued(refresh(&world, &first.token).await);
        world.clock.advance_seconds(RETRY_SECONDS + 1);
        assert!(matches!(refresh(&world, &first.token).await, Refreshed::Reused(_)));
        let first = token_families::begin(&world.db, &user, "cli").await.unwrap();
        let second = issued(refresh(&world, &first.token).await);
        issued(refresh(&world, &second.token).await);
        assert!(matches!(refresh(&world, &first.token).await, Refreshed::Reused(_)));
    }
);

both_databases!(
    async fn concurrent_refreshes_leave_one_live_chain(db: TestDatabase) {
        let world = world(&db).await;
        let user = some_user(&world).await;
        for _ in 0..10 {
            let first = token_families::begin(&world.db, &user, "cli").await.unwrap();
            let (one, two) = tokio::join!(refresh(&world, &first.token), refresh(&world, &first.token));
            let (one, two) = (issued(one), issued(two));
            assert_ne!(one.token.expose(), two.token.expose());
            // Both holders refresh concurrently: two chains of one family, of which only one may stay alive.
            let (one, two) = tokio::join!(refresh(&world, &one.token), refresh(&world, &two.token));
            let reused = [&one, &two].into_iter().filter(|r| matches!(r, Refreshed::Reused(_))).count();
            assert_eq!(reused, 1, "{one:?} {two:?}");
        }
    }
);

both_databases!(
    async fn a_family_expires_and_unknown_tokens_write_nothing(db: TestDatabase) {
        let world = world(&db).await;
        let user = some_user(&world).await;
        let first = token_families::begin(&world.db, &user, "cli").await.unwrap();
        let before = dump(&db, "SELECT * FROM token_families").await;
        world.clock.advance_seconds(60);
        let unknown = OpaqueToken::mint(token_families::REFRESH_PREFIX, world.db.entropy());
        assert!(matches!(refresh(&world, &unknown).await, Refreshed::Refused));
        assert_eq!(dump(&db, "SELECT * FROM token_families").await, before);
        world.clock.advance_seconds(FAMILY_SECONDS - 120);
        let second = issued(refresh(&world, &first.token).await);
        world.clock.advance_seconds(FAMILY_SECONDS);
        assert!(matches!(refresh(&world, &second.token).await, Refreshed::Refused));
        world.clock.advance_seconds(FAMILY_SECONDS + 1);
        token_families::begin(&world.db, &user, "cli").await.unwrap();
        assert_eq!(dump(&db, "SELECT * FROM refresh_tokens").await.len(), 1, "what ended is forgotten");
    }
);

both_databases!(
    async fn a_user_lists_and_ends_only_their_own_sign_ins(db: TestDatabase) {
        let world = world(&db).await;
        let (ada, eve) = (some_user(&world).await, some_user(&world).await);
        sign_ins::open_web_session(&world.db, &ada, "Mozilla/5.0").await.unwrap();
        world.clock.advance_seconds(1);
        let family = token_families::begin(&world.db, &ada, "han-coordinator").await.unwrap();
        let places = sign_ins::live(&world.db, &ada).await.unwrap();
        let shown: Vec<_> = places.iter().map(|place| (place.means, place.label.as_deref())).collect();
        assert_eq!(shown, [(Means::Tokens, Some("han-coordinator")), (Means::Browser, Some("Mozilla/5.0"))]);
        assert!(sign_ins::live(&world.db, &eve).await.unwrap().is_empty());
        for place in &places {
            let end =
                async |who: &UserId, means| sign_ins::revoke(&world.db, who, means, &place.id).await.unwrap();
            assert!(!end(&eve, place.means).await, "somebody else's");
            let other = if place.means == Means::Browser { Means::Tokens } else { Means::Browser };
            assert!(!end(&ada, other).await, "of another kind");
            assert!(end(&ada, place.means).await);
            assert!(!end(&ada, place.means).await, "only once");
        }
        assert!(sign_ins::live(&world.db, &ada).await.unwrap().is_empty());
        assert!(matches!(refresh(&world, &family.token).await, Refreshed::Refused));
    }
);

async fn poll(world: &World, device: &OpaqueToken) -> Polled {
    device_logins::poll(&world.db, &device.hash()).await.unwrap()
}

both_databases!(
    async fn a_device_login_is_approved_once_and_fetched_once(db: TestDatabase) {
        let world = world(&db).await;
        let user = some_user(&world).await;
        let login =
            device_logins::begin(&world.db, "han-coordinator", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        assert!(!dump(&db, "SELECT * FROM device_logins").await[0].contains(login.device_code.expose()));
        assert!(matches!(poll(&world, &login.device_code).await, Polled::Pending));
        let typed = device_logins::show_user_code(&login.user_code).to_lowercase();
        let code = device_logins::read_user_code(&typed).unwrap();
        let waiting = device_logins::waiting(&world.db, &code).await.unwrap().unwrap();
        assert_eq!((waiting.client.as_str(), waiting.asked_from.as_str()), ("han-coordinator", "192.0.2.7"));
        assert!(device_logins::decide(&world.db, &code, Some(&user)).await.unwrap());
        assert!(!device_logins::decide(&world.db, &code, None).await.unwrap(), "decided once");
        assert_eq!(device_logins::waiting(&world.db, &code).await.unwrap(), None);
        // Of two concurrent fetches, one gets the tokens.
        let (one, two) = tokio::join!(poll(&world, &login.device_code), poll(&world, &login.device_code));
        let approved = match (one, two) {
            (Polled::Approved(token), Polled::Unknown) | (Polled::Unknown, Polled::Approved(token)) => token,
            other => panic!("{other:?}"),
        };
        assert_eq!(approved.user_id, user);
        issued(refresh(&world, &approved.token).await);
        assert!(matches!(poll(&world, &login.device_code).await, Polled::Unknown));
    }
);

both_databases!(
    async fn a_flood_of_device_logins_evicts_its_own_network(db: TestDatabase) {
        let world = world(&db).await;
        let begin = async |address: [u8; 4]| {
            device_logins::begin(&world.db, "cli", address.into()).await.unwrap().unwrap()
        };
        let early = begin([192, 0, 2, 7]).await;
        let end = world.clock.now().plus_seconds(DEVICE_SECONDS).0;
        db.execute(&format!(
            "INSERT INTO device_logins \
             (device_hash, user_code, client, asked_from, created_at, expires_at, interval_seconds) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
             SELECT 'h' || CAST(i AS TEXT), CAST(10000000 + i AS TEXT), 'flood', \
             '203.0.113.' || CAST(i % 256 AS TEXT), i, {end}, 5 FROM n"
        ))
        .await;
        let late = begin([198, 51, 100, 7]).await;
        for login in [&early, &late] {
            assert!(device_logins::waiting(&world.db, &login.user_code).await.unwrap().is_some());
        }
        let waiting = dump(&db, "SELECT device_hash FROM device_logins").await;
        assert!(waiting.len() > 9000 && waiting.len() < 10_000, "{}", waiting.len());
        assert!(!waiting.iter().any(|row| row.contains("\"h1\"") || row == "h1"), "the oldest were evicted");
    }
);

both_databases!(
    async fn frequent_polling_must_slow_down(db: TestDatabase) {
        let world = world(&db).await;
        let login = device_logins::begin(&world.db, "cli", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        let ask = async || poll(&world, &login.device_code).await;
        assert!(matches!(ask().await, Polled::Pending));
        assert!(matches!(ask().await, Polled::SlowDown));
        // Each early poll increased the interval permanently.
        world.clock.advance_seconds(POLL_SECONDS);
        assert!(matches!(ask().await, Polled::SlowDown));
        world.clock.advance_seconds(3 * POLL_SECONDS);
        assert!(matches!(ask().await, Polled::Pending));
        assert!(device_logins::decide(&world.db, &login.user_code, None).await.unwrap());
        assert!(matches!(ask().await, Polled::Denied), "a decision is returned at once");

        let stale = device_logins::begin(&world.db, "cli", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        world.clock.advance_seconds(DEVICE_SECONDS);
        assert!(matches!(poll(&world, &stale.device_code).await, Polled::Expired));
        let user = some_user(&world).await;
        assert!(!device_logins::decide(&world.db, &stale.user_code, Some(&user)).await.unwrap());
        let unknown = OpaqueToken::mint(device_logins::DEVICE_PREFIX, world.db.entropy());
        assert!(matches!(poll(&world, &unknown).await, Polled::Unknown));
    }
);

proptest! {
    /// Any input parses to a code of the alphabet or to none, and a displayed code parses back.
    #[test]
    fn a_user_code_reads_back(text in ".{0,40}", code in "[BCDFGHJKLMNPQRSTVWXZ]{8}") {
        if let Some(read) = device_logins::read_user_code(&text) {
            prop_assert_eq!(read.len(), device_logins::USER_CODE_LENGTH);
            prop_assert!(read.bytes().all(|c| device_logins::USER_CODE_LETTERS.contains(&c)));
        }
        let shown = device_logins::show_user_code(&code);
        prop_assert_eq!(device_logins::read_user_code(&shown), Some(code));
    }
}
