//! The audit log: what is recorded, that nothing in it can be changed or removed unnoticed, who reads it, and what remains
//! of a person or a team that was deleted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use han_db::page::PageRequest;
use han_db::queries::api_keys::{self, Minted, Which};
use han_db::queries::audit::{self, AuditEntry, AuditFilter, Event, Fault, FaultKind, LogOf};
use han_db::queries::conversion::{self, Form};
use han_db::queries::deletion_requests::{self, Requested, Target};
use han_db::queries::invites::{self, Accepted, Invited};
use han_db::queries::teams::TeamChange;
use han_db::queries::{
    credentials, device_logins, keks, keys, login_links, memberships, operators, sign_ins, team_deletion,
    team_work, teams, token_families, users,
};
use han_db::{Db, DbConfig};
use han_testkit::{SyntheticSession, TestDatabase, both_databases};
use han_types::{Actor, Clock as _, Origin, RequestId, Role, Scope, UserId};
use sqlx::Connection as _;
use support::corpus::number;
use support::{World, actor, connect, connect_as, connect_with, dump, kek_ring, member, push, world};

fn request_id() -> RequestId {
    RequestId::given("request-0001").unwrap()
}

/// Every entry of the team.
async fn entries(db: &Db, scope: &Scope) -> Vec<AuditEntry> {
    audit::after(db, LogOf::Team(scope.team_id()), 0, 10_000).await.unwrap()
}

async fn events(db: &Db, scope: &Scope) -> Vec<String> {
    entries(db, scope).await.into_iter().map(|entry| entry.event).collect()
}

async fn fault(db: &Db, log: LogOf<'_>) -> Option<Fault> {
    audit::verify(db, log, None).await.unwrap().fault
}

/// The same user, at an address.
async fn at(db: &Db, user_id: &UserId, address: &str) -> (Actor, Scope) {
    let actor = Actor { client: Some(address.parse().unwrap()), ..actor(user_id.clone()) };
    let resolved = memberships::scope_for(db, &actor).await.unwrap().unwrap();
    (actor, resolved.scope)
}

/// Runs statements with all permissions, or with those of a role; the error, if there is one.
async fn try_execute(database: &TestDatabase, role: Option<&str>, sql: &str) -> Result<(), String> {
    let sql = sqlx::AssertSqlSafe(match role {
        Some(role) => format!("SET ROLE {role}; SET han.team = '1'; {sql}"),
        None => sql.to_owned(),
    });
    let done = if database.is_postgres() {
        let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
    } else {
        let mut connection = sqlx::SqliteConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
    };
    done.map_err(|error| error.to_string())
}

/// A log with some entries: (team.created), member.joined, team.renamed, key.created, member.role_changed.
async fn some_entries(database: &TestDatabase) -> World {
    let world = world(database).await;
    let bob = member(&world, "bob", Role::Member).await;
    assert_eq!(teams::rename(&world.scope, &world.db, "Orchard").await.unwrap(), TeamChange::Done);
    let minted = api_keys::create(&world.scope, &world.db, "ci", "read", None).await.unwrap();
    assert!(matches!(minted, Minted::Done(..)));
    let changed = teams::set_role(&world.scope, &world.db, bob.user_id(), Role::Admin).await.unwrap();
    assert_eq!(changed, TeamChange::Done);
    world
}

both_databases!(
    async fn an_entry_has_who_when_where_and_what(database: TestDatabase) {
        let world = world(&database).await;
        let bob = member(&world, "bob", Role::Member).await;
        let (_, ada) = at(&world.db, world.scope.user_id(), "192.0.2.7").await;
        world.clock.advance_seconds(5);
        teams::set_role(&ada, &world.db, bob.user_id(), Role::Admin).await.unwrap();
        let entry = entries(&world.db, &ada).await.pop().unwrap();
        assert_eq!(
            (entry.seq, entry.at, entry.event.as_str()),
            (3, world.clock.now(), "member.role_changed")
        );
        assert_eq!(entry.user.as_ref().map(|user| &user.id), Some(ada.user_id()));
        assert_eq!((entry.credential.as_str(), entry.address.as_deref()), ("local", Some("192.0.2.7")));
        assert_eq!(entry.request_id, han_testkit::request_id().as_str());
        assert_eq!(
            (entry.subject_kind.as_str(), entry.subject_id.as_deref()),
            ("user", Some(bob.user_id().as_str()))
        );
        assert_eq!(entry.subject_user.map(|user| user.username).as_deref(), Some("bob"));
        assert_eq!(entry.details, r#"{"role":"admin"}"#);
        // The entry itself has pseudonyms, which stay the same.
        let stored =
            dump(&database, "SELECT actor, client, subject, details FROM audit_log WHERE seq = 3").await;
        for secret in [ada.user_id().as_str(), bob.user_id().as_str(), "192.0.2.7", "ada", "bob"] {
            assert!(!stored[0].contains(secret), "{stored:?}");
        }
        teams::rename(&ada, &world.db, "Orchard").await.unwrap();
        let next = entries(&world.db, &ada).await.pop().unwrap();
        assert_eq!((&next.actor, &next.client), (&entry.actor, &entry.client));
        assert_eq!(fault(&world.db, LogOf::Team(ada.team_id())).await, None);
    }
);

both_databases!(
    /// What the server's own tests do not cause over HTTP, too.
    async fn each_change_writes_its_entry(database: TestDatabase) {
        let world = world(&database).await;
        let (db, ada) = (&world.db, &world.scope);
        let bob = member(&world, "bob", Role::Member).await;
        let team_id = ada.team_id();
        let mut seen = events(db, ada).await.len();
        let mut expect = async |wanted: &[&str]| {
            let all = events(db, ada).await;
            assert_eq!(&all[seen..], wanted);
            seen = all.len();
        };
        // Members and roles.
        memberships::put(db, team_id, bob.user_id(), Role::Member).await.unwrap();
        teams::set_role(ada, db, bob.user_id(), Role::Member).await.unwrap();
        expect(&[]).await;
        operators::set_role(db, team_id, bob.user_id(), Role::Admin).await.unwrap();
        expect(&["member.role_changed"]).await;
        assert_eq!(teams::set_role(&bob, db, ada.user_id(), Role::Member).await.unwrap(), TeamChange::Done);
        expect(&["member.role_changed"]).await;
        assert_eq!(teams::rename(ada, db, "mine").await.unwrap(), TeamChange::NotAllowed);
        expect(&[]).await;
        teams::set_role(&bob, db, ada.user_id(), Role::Admin).await.unwrap();
        teams::leave(&bob, db).await.unwrap();
        expect(&["member.role_changed", "member.left"]).await;
        memberships::put(db, team_id, bob.user_id(), Role::Member).await.unwrap();
        teams::remove(ada, db, bob.user_id()).await.unwrap();
        memberships::put(db, team_id, bob.user_id(), Role::Member).await.unwrap();
        operators::remove_member(db, team_id, bob.user_id()).await.unwrap();
        expect(&["member.joined", "member.removed", "member.joined", "member.removed"]).await;
        // Invites.
        let invite = async |email: &str| match invites::create(ada, db, email).await.unwrap() {
            Invited::Done(invite, code) => (invite, code),
            other => panic!("{other:?}"),
        };
        invite("bob@example.com").await;
        let (_, code) = invite("bob@example.com").await;
        expect(&["invite.created", "invite.revoked", "invite.created"]).await;
        let accepted = invites::accept(db, &actor(bob.user_id().clone()), code.expose()).await.unwrap();
        assert!(matches!(accepted, Accepted::Done(_)));
        expect(&["invite.accepted", "member.joined"]).await;
        let (invited, _) = invite("cy@example.com").await;
        invites::revoke(ada, db, &invited.id).await.unwrap();
        assert_eq!(invites::revoke(ada, db, &invited.id).await.unwrap(), TeamChange::NotFound);
        expect(&["invite.created", "invite.revoked"]).await;
        // Keys.
        let Minted::Done(key, _) = api_keys::create(ada, db, "ci", "read", None).await.unwrap() else {
            panic!()
        };
        api_keys::rotate(ada, db, Which::Named(&key.id), 60).await.unwrap();
        api_keys::revoke(ada, db, &key.id).await.unwrap();
        let new = api_keys::NewApiKey {
            team_id,
            user_id: bob.user_id(),
            name: "ci",
            scopes: "read",
            expires_at: None,
        };
        let (key, _) = api_keys::create_for(db, &new).await.unwrap();
        assert!(operators::revoke_key(db, &key).await.unwrap());
        assert!(!operators::revoke_key(db, &key).await.unwrap());
        expect(&["key.created", "key.rotated", "key.revoked", "key.created", "key.revoked"]).await;
        // Signing in and out.
        let link = login_links::create(db, bob.user_id()).await.unwrap();
        assert!(login_links::redeem(db, &link.hash()).await.unwrap().is_some());
        assert!(login_links::redeem(db, &link.hash()).await.unwrap().is_none());
        sign_ins::open_web_session(db, bob.user_id(), "Firefox").await.unwrap();
        expect(&["sign_in.link_created", "sign_in", "sign_in"]).await;
        let first = token_families::begin(db, bob.user_id(), "han").await.unwrap();
        token_families::refresh(db, &first.token.hash()).await.unwrap();
        expect(&["sign_in"]).await;
        world.clock.advance_seconds(3600);
        token_families::refresh(db, &first.token.hash()).await.unwrap();
        expect(&["sign_in.ended"]).await;
        let second = token_families::begin(db, bob.user_id(), "han").await.unwrap();
        token_families::revoke_by_token(db, &second.token.hash()).await.unwrap();
        token_families::revoke_by_token(db, &second.token.hash()).await.unwrap();
        expect(&["sign_in", "sign_out"]).await;
        let login = device_logins::begin(db, "han", [192, 0, 2, 7].into()).await.unwrap().unwrap();
        assert!(device_logins::decide(db, &login.user_code, Some(bob.user_id())).await.unwrap());
        device_logins::poll(db, &login.device_code.hash()).await.unwrap();
        expect(&["sign_in.program_approved", "sign_in"]).await;
        for row in sign_ins::live(db, bob.user_id()).await.unwrap() {
            assert!(sign_ins::revoke(db, bob.user_id(), row.means, &row.id).await.unwrap());
            assert!(!sign_ins::revoke(db, bob.user_id(), row.means, &row.id).await.unwrap());
        }
        expect(&["sign_out", "sign_out", "sign_out"]).await;
        credentials::end_all(db, bob.user_id()).await.unwrap();
        expect(&["access.ended"]).await;
        // Keys of the team, and its content.
        keys::rotate_team(db, team_id).await.unwrap();
        conversion::request(db, team_id, Form::Sealed).await.unwrap();
        expect(&["team_key.rotated", "content.conversion_requested"]).await;
        teams::set_audit_reads(ada, db, true).await.unwrap();
        teams::set_audit_reads(ada, db, true).await.unwrap();
        expect(&["setting.changed"]).await;
        assert_eq!(teams::set_audit_reads(&bob, db, false).await.unwrap(), TeamChange::NotAllowed);
        // Deletions.
        push(&world, "s1", "main", Some(0), &SyntheticSession::new(1).lines(5)).await;
        let due = world.clock.now();
        let request =
            async |target: Target| match deletion_requests::request(ada, db, &target, due).await.unwrap() {
                Requested::Stored(request) => request,
                other => panic!("{other:?}"),
            };
        let session = || Target::Session("s1".parse().unwrap());
        let first = request(session()).await;
        assert_eq!(request(session()).await, first);
        deletion_requests::cancel(ada, db, &first.id).await.unwrap();
        deletion_requests::cancel(ada, db, &first.id).await.unwrap();
        expect(&["deletion.requested", "deletion.cancelled"]).await;
        request(session()).await;
        finish(db).await;
        expect(&["deletion.requested", "deletion.completed"]).await;
        deletion_requests::request_account(db, bob.user_id(), due.plus_seconds(60)).await.unwrap();
        deletion_requests::cancel_account(db, bob.user_id()).await.unwrap();
        expect(&["deletion.requested", "deletion.cancelled"]).await;
        // A KEK belongs to no team.
        let turned = connect_with(database.url(), &world.clock, kek_ring([8; 32], &[[7; 32]])).await;
        let turned = turned.on_behalf_of(Origin::of_operator(request_id()));
        keks::rotate(&turned, |_| ()).await.unwrap();
        expect(&[]).await;
        let server = audit::after(db, LogOf::Server, 0, 10).await.unwrap();
        assert_eq!((server[0].event.as_str(), server[0].credential.as_str()), ("kek.rotated", "operator"));
        assert_eq!(server[0].request_id, "request-0001");
        for log in [LogOf::Team(team_id), LogOf::Server] {
            assert_eq!(fault(db, log).await, None);
        }
    }
);

/// Everything that is due is done.
async fn finish(db: &Db) {
    loop {
        let mut goes_on = false;
        for request in deletion_requests::due(db).await.unwrap() {
            goes_on |= deletion_requests::advance(db, &request).await.unwrap() != team_work::Advance::Waiting;
        }
        for work in team_work::unfinished(db).await.unwrap() {
            goes_on |= team_work::advance(db, &work).await.unwrap() != team_work::Advance::Waiting;
        }
        if !goes_on {
            return;
        }
    }
}

both_databases!(
    async fn the_sign_in_of_a_user_without_a_team_is_in_the_log_of_the_server(database: TestDatabase) {
        let world = world(&database).await;
        let eve = users::create(&world.db, "eve").await.unwrap();
        let db = world.db.on_behalf_of(Origin::of_request(request_id(), "192.0.2.9".parse().ok()));
        sign_ins::open_web_session(&db, &eve.id, "Firefox").await.unwrap();
        let log = audit::after(&db, LogOf::Server, 0, 10).await.unwrap();
        assert_eq!((log.len(), log[0].event.as_str(), log[0].credential.as_str()), (1, "sign_in", "none"));
        assert_eq!(log[0].user.as_ref().map(|user| &user.id), Some(&eve.id));
        assert_eq!(log[0].address.as_deref(), Some("192.0.2.9"));
        // With two teams, it is in both.
        for name in ["one", "two"] {
            teams::create(&world.db, name, &eve.id).await.unwrap();
        }
        sign_ins::open_web_session(&db, &eve.id, "Firefox").await.unwrap();
        for team in memberships::list(&db, &eve.id).await.unwrap() {
            let log = audit::after(&db, LogOf::Team(&team.team.id), 0, 10).await.unwrap();
            assert_eq!(log.last().unwrap().event, "sign_in");
        }
        assert_eq!(audit::after(&db, LogOf::Server, 0, 10).await.unwrap().len(), 1);
        assert_eq!(fault(&db, LogOf::Server).await, None);
    }
);

both_databases!(
    async fn whatever_is_changed_in_the_database_is_found(database: TestDatabase) {
        let world = some_entries(&database).await;
        let log = LogOf::Team(world.scope.team_id());
        let whole = audit::verify(&world.db, log, None).await.unwrap();
        assert_eq!((whole.entries, whole.fault), (5, None));
        let noted = Some((3, entries(&world.db, &world.scope).await[2].hash.clone().try_into().unwrap()));
        assert_eq!(audit::verify(&world.db, log, noted).await.unwrap().fault, None);
        let drop_triggers = if database.is_postgres() {
            "ALTER TABLE audit_log DISABLE TRIGGER ALL"
        } else {
            "DROP TRIGGER audit_log_kept_update; DROP TRIGGER audit_log_kept_delete"
        };
        database.execute(drop_triggers).await;
        database
            .execute(
                "CREATE TABLE log_copy AS SELECT * FROM audit_log; CREATE TABLE head_copy AS SELECT * FROM audit_heads",
            )
            .await;
        use FaultKind::{Added, Altered, Missing, NoEnd, Replaced, Truncated};
        for (sql, seq, kind) in [
            (r#"UPDATE audit_log SET details = '{"role":"member"}' WHERE seq = 5"#, 5, Altered),
            ("UPDATE audit_log SET at = at + 1 WHERE seq = 1", 1, Altered),
            ("UPDATE audit_log SET actor = '' WHERE seq = 3", 3, Altered),
            ("UPDATE audit_log SET event = 'key.revoked' WHERE seq = 4", 4, Altered),
            (
                "UPDATE audit_log SET request_id = 'other', credential_id = request_id WHERE seq = 3",
                3,
                Altered,
            ),
            (
                "UPDATE audit_log SET hash = (SELECT hash FROM log_copy WHERE seq = 1) WHERE seq = 2",
                2,
                Altered,
            ),
            ("DELETE FROM audit_log WHERE seq = 1", 1, Missing),
            ("DELETE FROM audit_log WHERE seq IN (2, 4)", 2, Missing),
            (
                "DELETE FROM audit_log WHERE seq = 2; UPDATE audit_log SET seq = seq - 1 WHERE seq = 3; \
              UPDATE audit_log SET seq = seq - 1 WHERE seq = 4; UPDATE audit_log SET seq = seq - 1 WHERE seq = 5",
                2,
                Altered,
            ),
            (
                "UPDATE audit_log SET seq = 9 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3; \
              UPDATE audit_log SET seq = 3 WHERE seq = 9",
                2,
                Altered,
            ),
            ("DELETE FROM audit_log WHERE seq = 5", 5, Truncated(5)),
            ("DELETE FROM audit_log WHERE seq >= 3", 3, Truncated(5)),
            ("DELETE FROM audit_log", 1, Truncated(5)),
            ("UPDATE audit_heads SET seq = 4, hash = (SELECT hash FROM log_copy WHERE seq = 4)", 5, Added),
            ("UPDATE audit_heads SET hash = (SELECT hash FROM log_copy WHERE seq = 4)", 5, Replaced),
            ("DELETE FROM audit_heads", 5, NoEnd),
        ] {
            database.execute(sql).await;
            assert_eq!(fault(&world.db, log).await, Some(Fault { seq, kind }), "{sql}");
            database
                .execute(
                    "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM log_copy; \
                     DELETE FROM audit_heads; INSERT INTO audit_heads SELECT * FROM head_copy",
                )
                .await;
            assert_eq!(fault(&world.db, log).await, None, "{sql}");
        }
        // Who can compute hashes can remove the end of the chain; a hash that was noted elsewhere shows it.
        database
            .execute(
                "DELETE FROM audit_log WHERE seq > 2; \
                 UPDATE audit_heads SET seq = 2, hash = (SELECT hash FROM log_copy WHERE seq = 2)",
            )
            .await;
        assert_eq!(fault(&world.db, log).await, None);
        let found = audit::verify(&world.db, log, noted).await.unwrap().fault;
        assert_eq!(found, Some(Fault { seq: 3, kind: Truncated(3) }));
    }
);

both_databases!(
    async fn entries_are_never_changed_or_deleted(database: TestDatabase) {
        let world = some_entries(&database).await;
        let changes = [
            "UPDATE audit_log SET details = '{}'",
            "UPDATE audit_log SET actor = actor WHERE seq = 1",
            "DELETE FROM audit_log WHERE seq = 5",
            "DELETE FROM audit_log",
        ];
        for sql in changes {
            let refused = try_execute(&database, None, sql).await.unwrap_err();
            assert!(refused.contains("never changed"), "{sql}: {refused}");
        }
        if database.is_postgres() {
            let truncate = "TRUNCATE audit_log";
            let refused = try_execute(&database, None, truncate).await.unwrap_err();
            assert!(refused.contains("never changed"), "{refused}");
            for sql in changes.into_iter().chain([truncate]) {
                for role in ["han_app", "han_system"] {
                    let refused = try_execute(&database, Some(role), sql).await.unwrap_err();
                    let is_deletion = role == "han_system" && sql.starts_with("DELETE");
                    let reason = if is_deletion { "never changed" } else { "permission denied" };
                    assert!(refused.contains(reason), "{role}: {sql}: {refused}");
                }
            }
            // The app role adds entries to the log of its own team only.
            let foreign = "INSERT INTO audit_log SELECT 2, seq + 100, at, event, actor, credential, credential_id, client, \
                           request_id, subject_kind, subject, details, hash FROM audit_log";
            assert!(try_execute(&database, Some("han_app"), foreign).await.is_err());
            // What a pseudonym means is erased, and never changed.
            for role in ["han_app", "han_system"] {
                let sql = "UPDATE audit_names SET value = 'eve'";
                let refused = try_execute(&database, Some(role), sql).await.unwrap_err();
                assert!(refused.contains("permission denied"), "{role}: {refused}");
            }
            // A server does not serve if the roles may change entries.
            world.db.check_ready().await.unwrap();
            for role in ["han_app", "han_system"] {
                database.execute(&format!("GRANT UPDATE ON audit_log TO {role}")).await;
                let error = world.db.check_ready().await.unwrap_err().to_string();
                assert!(error.contains(&format!("REVOKE UPDATE ON audit_log FROM {role};")), "{error}");
                world.db.repair_access().await.unwrap();
                world.db.check_ready().await.unwrap();
            }
        }
        assert_eq!(fault(&world.db, LogOf::Team(world.scope.team_id())).await, None);
    }
);

both_databases!(
    /// Its entries and their end: nothing else says that it had any.
    async fn the_removal_of_the_servers_own_log_is_found(database: TestDatabase) {
        let world = world(&database).await;
        assert_eq!(fault(&world.db, LogOf::Server).await, None);
        audit::record_in(&world.db, LogOf::Server, audit::Entry::new(Event::BackedUp)).await.unwrap();
        let noted = audit::verify(&world.db, LogOf::Server, None).await.unwrap();
        assert_eq!((noted.entries, noted.fault), (1, None));
        if database.is_postgres() {
            database.execute("ALTER TABLE audit_log DISABLE TRIGGER ALL").await;
        } else {
            database.execute("DROP TRIGGER audit_log_kept_delete").await;
        }
        database
            .execute("DELETE FROM audit_log WHERE team = -1; DELETE FROM audit_heads WHERE team = -1")
            .await;
        let found = fault(&world.db, LogOf::Server).await;
        assert_eq!(found, Some(Fault { seq: 0, kind: FaultKind::NoEnd }));
        // Who begins a new chain is found by what was noted.
        audit::record_in(&world.db, LogOf::Server, audit::Entry::new(Event::KekRotated)).await.unwrap();
        let found = audit::verify(&world.db, LogOf::Server, Some((1, noted.hash))).await.unwrap().fault;
        assert_eq!(found, Some(Fault { seq: 1, kind: FaultKind::Unexpected }));
    }
);

both_databases!(
    async fn replicas_that_write_at_once_keep_the_chain(database: TestDatabase) {
        let world = world(&database).await;
        let other = connect(database.url(), &world.clock).await;
        let bob = member(&world, "bob", Role::Admin).await;
        let before = entries(&world.db, &world.scope).await.len();
        let write = async |db: &Db, scope: &Scope, n: usize| {
            let name = format!("orchard {n}");
            assert_eq!(teams::rename(scope, db, &name).await.unwrap(), TeamChange::Done);
            sign_ins::open_web_session(db, scope.user_id(), "Firefox").await.unwrap();
            let invited = invites::create(scope, db, &format!("{n}@example.com")).await.unwrap();
            assert!(matches!(invited, Invited::Done(..)));
        };
        let writes = (0..12).map(|n| {
            let (db, scope) = if n % 2 == 0 { (&world.db, &world.scope) } else { (&other, &bob) };
            write(db, scope, n)
        });
        join_all(writes).await;
        let found = audit::verify(&other, LogOf::Team(bob.team_id()), None).await.unwrap();
        assert_eq!((found.entries, found.fault), (before as u64 + 36, None));
    }
);

both_databases!(
    async fn a_change_that_fails_writes_no_entry(database: TestDatabase) {
        let world = world(&database).await;
        let before = entries(&world.db, &world.scope).await;
        assert_eq!(teams::leave(&world.scope, &world.db).await.unwrap(), TeamChange::LastAdmin);
        let dying = connect(database.url(), &world.clock).await;
        for polls in 1..60 {
            let rename = teams::rename(&world.scope, &dying, "Orchard");
            let done = support::Killed { future: Box::pin(rename), polls }.await;
            let (name, now) = (
                teams::by_slug(&world.db, "ada").await.unwrap().unwrap().name,
                entries(&world.db, &world.scope).await,
            );
            // Either both are there, or neither.
            assert_eq!(name == "Orchard", now.len() > before.len(), "{polls} {done:?}");
            if done.is_some() {
                break;
            }
            if name == "Orchard" {
                // It was killed after its commit.
                break;
            }
        }
        assert_eq!(fault(&world.db, LogOf::Team(world.scope.team_id())).await, None);
    }
);

both_databases!(
    async fn an_erased_person_leaves_an_intact_chain_and_no_trace(database: TestDatabase) {
        let world = world(&database).await;
        let bob = users::create(&world.db, "bob-the-doomed").await.unwrap();
        memberships::put(&world.db, world.scope.team_id(), &bob.id, Role::Admin).await.unwrap();
        let (actor, bobs) = at(&world.db, &bob.id, "192.0.2.77").await;
        teams::rename(&bobs, &world.db, "Orchard").await.unwrap();
        api_keys::create(&bobs, &world.db, "ci", "read", None).await.unwrap();
        teams::set_role(&world.scope, &world.db, &bob.id, Role::Member).await.unwrap();
        let db = world.db.on_behalf_of(Origin::of_actor(&actor));
        sign_ins::open_web_session(&db, &bob.id, "Firefox").await.unwrap();
        deletion_requests::request_account(&db, &bob.id, world.clock.now()).await.unwrap();
        let before = entries(&world.db, &world.scope).await;
        finish(&world.db).await;
        world.clock.advance_seconds(600);
        finish(&world.db).await;
        assert!(users::by_id(&world.db, &bob.id).await.unwrap().is_none());
        let after = entries(&world.db, &world.scope).await;
        let new: Vec<&str> = after[before.len()..].iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(new, ["member.left", "deletion.completed"]);
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((&old.hash, &old.actor, &old.client), (&new.hash, &new.actor, &new.client));
        }
        let of_bob = before.iter().filter(|entry| entry.user.as_ref().is_some_and(|user| user.id == bob.id));
        let of_bob: Vec<i64> = of_bob.map(|entry| entry.seq).collect();
        assert!(of_bob.len() >= 4, "{before:?}");
        for entry in after.iter().filter(|entry| of_bob.contains(&entry.seq)) {
            assert!(entry.user.is_none() && entry.address.is_none() && !entry.actor.is_empty(), "{entry:?}");
        }
        for table in ["audit_log", "audit_heads", "audit_names"] {
            for row in dump(&database, &format!("SELECT * FROM {table}")).await {
                for trace in ["doomed", bob.id.as_str(), "192.0.2.77"] {
                    assert!(!row.contains(trace), "{table}: {row}");
                }
            }
        }
        assert_eq!(fault(&world.db, LogOf::Team(world.scope.team_id())).await, None);
    }
);

both_databases!(
    async fn a_deleted_team_leaves_no_entry(database: TestDatabase) {
        let world = some_entries(&database).await;
        let kept = support::team(&world.db, "eve").await;
        let team =
            number(&database, &format!("SELECT number FROM teams WHERE id = '{}'", world.scope.team_id()))
                .await;
        let operator = world.db.on_behalf_of(Origin::of_operator(request_id()));
        team_deletion::begin(&operator, world.scope.team_id()).await.unwrap();
        // Its log is not verified while it is being deleted.
        let logs = audit::teams(&world.db).await.unwrap();
        let verified: Vec<_> =
            logs.iter().filter(|team| !team.is_being_deleted).map(|team| &team.id).collect();
        assert_eq!(verified, [kept.team_id()]);
        finish(&world.db).await;
        for table in ["audit_log", "audit_heads", "audit_names"] {
            let left = format!("SELECT count(*) FROM {table} WHERE team = {team}");
            assert_eq!(number(&database, &left).await, 0, "{table}");
        }
        assert_eq!(entries(&world.db, &kept).await.len(), 1);
        let server = audit::after(&world.db, LogOf::Server, 0, 10).await.unwrap();
        let last = server.last().unwrap();
        assert_eq!(
            (last.event.as_str(), last.subject.as_str()),
            ("team.deleted", world.scope.team_id().as_str())
        );
        assert_eq!(fault(&world.db, LogOf::Server).await, None);
    }
);

both_databases!(
    async fn admins_read_all_entries_and_members_their_own(database: TestDatabase) {
        let world = some_entries(&database).await;
        let cy = member(&world, "cy", Role::Member).await;
        let eve = support::team(&world.db, "eve").await;
        api_keys::create(&cy, &world.db, "ci", "read", None).await.unwrap();
        let read = async |scope: &Scope, filter: AuditFilter, after, first| {
            let request = PageRequest { after, first };
            let page = audit::page(scope, &world.db, &filter, &request).await.unwrap();
            let events: Vec<String> = page.rows.iter().map(|entry| entry.event.clone()).collect();
            (events, page.rows.last().map(|entry| audit::AuditCursor(entry.seq)), page.has_next)
        };
        let all = || AuditFilter::default();
        let (everything, _, _) = read(&world.scope, all(), None, 100).await;
        let mut expected = events(&world.db, &world.scope).await;
        expected.reverse();
        assert_eq!(everything, expected);
        assert_eq!(read(&cy, all(), None, 100).await.0, ["key.created"]);
        assert_eq!(read(&eve, all(), None, 100).await.0, ["team.created"]);
        // Pages.
        let (one, cursor, more) = read(&world.scope, all(), None, 3).await;
        let (two, _, rest) = read(&world.scope, all(), cursor, 100).await;
        assert!(more && !rest);
        assert_eq!([one, two].concat(), expected);
        // Filters.
        let of = |events: &[&str]| AuditFilter {
            events: Some(events.iter().map(|event| (*event).to_owned()).collect()),
            ..AuditFilter::default()
        };
        assert_eq!(read(&world.scope, of(&["team.renamed", "sign_in"]), None, 9).await.0, ["team.renamed"]);
        assert!(read(&world.scope, of(&[]), None, 9).await.0.is_empty());
        let of_cy = AuditFilter { user_id: Some(cy.user_id().clone()), ..AuditFilter::default() };
        assert_eq!(read(&world.scope, of_cy.clone(), None, 9).await.0, ["key.created"]);
        let of_ada = AuditFilter { user_id: Some(world.scope.user_id().clone()), ..AuditFilter::default() };
        assert!(read(&cy, of_ada, None, 9).await.0.is_empty(), "only what cy did");
        let now = world.clock.now();
        let since = AuditFilter { since: Some(now.plus_seconds(1)), ..of_cy.clone() };
        assert!(read(&world.scope, since, None, 9).await.0.is_empty());
        let until = AuditFilter { until: Some(now.plus_seconds(1)), ..of_cy };
        assert_eq!(read(&world.scope, until, None, 9).await.0.len(), 1);
    }
);

both_databases!(
    async fn openings_are_recorded_where_the_team_wants_it(database: TestDatabase) {
        let world = world(&database).await;
        let bob = member(&world, "bob", Role::Member).await;
        push(&world, "s-one", "main", Some(0), &SyntheticSession::new(1).lines(5)).await;
        push(&world, "s-two", "main", Some(0), &SyntheticSession::new(2).lines(5)).await;
        let ada = world.scope.user_id().as_str();
        let open = async |db: &Db, scope: &Scope, session: &str, owner| {
            audit::session_opened(scope, db, &session.parse().unwrap(), owner).await.unwrap();
            let all = entries(&world.db, scope).await;
            all.iter().filter(|entry| entry.event == "session.opened").count()
        };
        assert_eq!(open(&world.db, &bob, "s-one", Some(ada)).await, 0, "the team does not want it");
        teams::set_audit_reads(&world.scope, &world.db, true).await.unwrap();
        assert_eq!(open(&world.db, &world.scope, "s-one", Some(ada)).await, 0, "it is her own");
        assert_eq!(open(&world.db, &world.scope, "s-one", None).await, 0, "it is her own");
        assert_eq!(open(&world.db, &bob, "s-one", Some(ada)).await, 1);
        assert_eq!(open(&world.db, &bob, "s-one", None).await, 1, "once");
        let other = connect(database.url(), &world.clock).await;
        assert_eq!(open(&other, &bob, "s-one", None).await, 1, "once in all replicas");
        assert_eq!(open(&other, &bob, "s-two", None).await, 2);
        world.clock.advance_seconds(audit::RECORDED_EVERY_SECONDS);
        assert_eq!(open(&world.db, &bob, "s-one", Some(ada)).await, 3, "an hour later");
        assert_eq!(open(&world.db, &bob, "s-none", None).await, 3, "there is no such session");
        let filter = AuditFilter { session_id: "s-one".parse().ok(), ..AuditFilter::default() };
        let request = PageRequest { after: None, first: 10 };
        let page = audit::page(&world.scope, &world.db, &filter, &request).await.unwrap();
        assert_eq!(page.rows.len(), 2);
        assert_eq!(page.rows[0].subject_id.as_deref(), Some("s-one"));

        // Another replica knows a change after some seconds.
        teams::set_audit_reads(&world.scope, &world.db, false).await.unwrap();
        world.clock.advance_seconds(audit::RECORDED_EVERY_SECONDS);
        assert_eq!(open(&world.db, &bob, "s-one", Some(ada)).await, 3);
        assert_eq!(open(&other, &bob, "s-one", Some(ada)).await, 3);

        // The entries stay when the session is deleted, without its id.
        han_db::queries::deletion::session(&world.scope, &world.db, &"s-one".parse().unwrap()).await.unwrap();
        let page = audit::page(&world.scope, &world.db, &AuditFilter::default(), &request).await.unwrap();
        let opened: Vec<_> = page.rows.iter().filter(|entry| entry.event == "session.opened").collect();
        assert_eq!(
            opened.iter().filter_map(|entry| entry.subject_id.as_deref()).collect::<Vec<_>>(),
            ["s-two"]
        );
        assert_eq!(fault(&world.db, LogOf::Team(bob.team_id())).await, None);
    }
);

both_databases!(
    async fn a_push_and_a_read_write_nothing_to_the_log(database: TestDatabase) {
        let world = world(&database).await;
        let statements: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut config = DbConfig::new(database.url());
        let seen = Arc::clone(&statements);
        config.observer = Some(Arc::new(move |sql: &str| seen.lock().unwrap().push(sql.to_owned())));
        let db = connect_as(&config, &world.clock).await;
        let pushing = World { db, clock: world.clock.clone(), scope: world.scope.clone() };
        let mut session = SyntheticSession::new(1);
        for n in 0..3 {
            push(&pushing, "s1", "main", Some(n * 5), &session.lines(5)).await;
        }
        assert!(statements.lock().unwrap().len() > 10);
        let of_log: Vec<String> =
            statements.lock().unwrap().iter().filter(|sql| sql.contains("audit")).cloned().collect();
        assert!(of_log.is_empty(), "{of_log:?}");
        assert_eq!(events(&world.db, &world.scope).await, ["team.created"]);
    }
);

/// Each event has its own name, of which the documentation says what it means.
#[test]
fn each_event_is_documented() {
    let docs = include_str!("../../../docs/TEAMS.md");
    let mut names: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
    for name in &names {
        assert!(docs.contains(&format!("`{name}`")), "docs/TEAMS.md does not list {name}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Event::ALL.len());
}
