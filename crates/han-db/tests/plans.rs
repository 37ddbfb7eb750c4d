//! Plans: seats, the sessions of a month, and what a change of a plan does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use han_db::queries::ingest::{self, Outcome};
use han_db::queries::invites::{self, Accepted, Invited};
use han_db::queries::{api_keys, deletion, memberships, plans, teams, users};
use han_db::{Db, DbConfig};
use han_testkit::{TestClock, TestDatabase, both_databases};
use han_types::sync::{BatchError, BatchErrorCode};
use han_types::{Clock as _, Month, PlanRefusal, PlanTier, Role, Scope, TeamId, Timestamp, UserId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use support::corpus::number;
use support::{World, actor, batch, billed, billed_world, connect_as, member, scope};

/// A line that is the only one of its session.
fn line(session: &str) -> Vec<String> {
    vec![format!(
        r#"{{"type":"user","uuid":"{session}-0","timestamp":"2026-11-02T08:00:00.000Z","message":{{"content":"x"}}}}"#
    )]
}

async fn store(db: &Db, scope: &Scope, session: &str) -> Outcome {
    ingest::store(scope, db, batch(false, session, "main", Some(0), &line(session))).await.unwrap()
}

fn is_stored(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stored { .. } => true,
        Outcome::Refused(BatchError { code: BatchErrorCode::PlanLimit, .. }) => false,
        other @ Outcome::Refused(_) => panic!("{other:?}"),
    }
}

async fn sessions_this_month(db: &Db, team: &TeamId) -> u32 {
    let (found, usage) = plans::usage(db, std::slice::from_ref(team)).await.unwrap().remove(0);
    assert_eq!(found, *team);
    usage.sessions
}

/// Says that the team has pushed so many sessions in this month.
async fn used(database: &TestDatabase, world: &World, sessions: u32) {
    let month = Month::of(world.clock.now()).begins_at.0;
    let team =
        number(database, &format!("SELECT number FROM teams WHERE id = '{}'", world.scope.team_id())).await;
    database
        .execute(&format!(
            "INSERT INTO team_usage (team, month, shard, sessions) VALUES ({team}, {month}, 0, {sessions})"
        ))
        .await;
}

/// Another replica.
async fn replica(database: &TestDatabase, clock: &TestClock) -> Db {
    connect_as(&billed(database), clock).await
}

both_databases!(
    async fn of_fifty_new_sessions_at_99_of_100_one_is_stored(database: TestDatabase) {
        let world = billed_world(&database).await;
        assert!(is_stored(&store(&world.db, &world.scope, "known").await));
        database.execute("DELETE FROM team_usage").await;
        used(&database, &world, 99).await;
        let two = replica(&database, &world.clock).await;
        let pushes = (0..50).map(|n| {
            let db = if n % 2 == 0 { world.db.clone() } else { two.clone() };
            let scope = world.scope.clone();
            tokio::spawn(async move { store(&db, &scope, &format!("s{n}")).await })
        });
        let outcomes: Vec<Outcome> = join_all(pushes).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|outcome| is_stored(outcome)).count(), 1);
        assert_eq!(
            number(&database, "SELECT count(*) FROM sessions").await,
            2,
            "a refused one leaves nothing"
        );
        assert_eq!(sessions_this_month(&world.db, world.scope.team_id()).await, 100);
        let Outcome::Refused(error) = store(&two, &world.scope, "another").await else {
            panic!("it is stored")
        };
        for part in ["100 new sessions", "pushed 100", "2026-12-01T00:00:00.000Z", "upgrade"] {
            assert!(error.message.contains(part), "{part}: {error:?}");
        }

        // Sessions that are known grow on, also in other files, and do not count again.
        let grown = batch(false, "known", "main", Some(1), &line("later"));
        assert!(is_stored(&ingest::store(&world.scope, &world.db, grown).await.unwrap()));
        let agent = batch(false, "known", "agent-a", Some(0), &line("agent"));
        assert!(is_stored(&ingest::store(&world.scope, &two, agent).await.unwrap()));
        assert_eq!(sessions_this_month(&world.db, world.scope.team_id()).await, 100);
        // A team of its own has a count of its own.
        let bob = support::team(&world.db, "bob").await;
        assert!(is_stored(&store(&world.db, &bob, "s0").await));
    }
);

both_databases!(
    async fn one_new_session_that_is_pushed_by_many_counts_once(database: TestDatabase) {
        let world = billed_world(&database).await;
        used(&database, &world, 99).await;
        let two = replica(&database, &world.clock).await;
        let pushes = (0..20).map(|n| store(if n % 2 == 0 { &world.db } else { &two }, &world.scope, "same"));
        assert!(join_all(pushes).await.iter().all(is_stored));
        assert_eq!(sessions_this_month(&world.db, world.scope.team_id()).await, 100);
    }
);

both_databases!(
    async fn the_count_begins_again_with_the_month_in_utc(database: TestDatabase) {
        let world = billed_world(&database).await;
        let at = |text: &str| world.clock.set(Timestamp::parse_rfc3339(text).unwrap());
        at("2026-12-31T23:59:59.999Z");
        used(&database, &world, 99).await;
        assert!(is_stored(&store(&world.db, &world.scope, "last").await));
        assert!(!is_stored(&store(&world.db, &world.scope, "one-too-many").await));
        at("2027-01-01T00:00:00.000Z");
        assert_eq!(sessions_this_month(&world.db, world.scope.team_id()).await, 0);
        assert!(is_stored(&store(&world.db, &world.scope, "one-too-many").await));
        assert!(is_stored(&store(&world.db, &world.scope, "last").await));
        assert_eq!(
            sessions_this_month(&world.db, world.scope.team_id()).await,
            1,
            "a known one does not count again"
        );
        at("2026-12-31T23:59:59.999Z");
        assert!(!is_stored(&store(&world.db, &world.scope, "another").await), "a clock that is set back");
    }
);

both_databases!(
    async fn a_deleted_session_still_counts(database: TestDatabase) {
        let world = billed_world(&database).await;
        used(&database, &world, 98).await;
        for session in ["a", "b"] {
            assert!(is_stored(&store(&world.db, &world.scope, session).await));
            assert!(deletion::session(&world.scope, &world.db, &session.parse().unwrap()).await.unwrap());
        }
        assert_eq!(sessions_this_month(&world.db, world.scope.team_id()).await, 100);
        assert!(!is_stored(&store(&world.db, &world.scope, "c").await));
        // The deletion is the reason that the user is given.
        let Outcome::Refused(error) = store(&world.db, &world.scope, "a").await else {
            panic!("it is stored")
        };
        assert_eq!(error.code, BatchErrorCode::Gone);
        assert_eq!(sessions_this_month(&world.db, world.scope.team_id()).await, 100);
    }
);

both_databases!(
    async fn an_unlimited_plan_is_counted_and_a_smaller_one_goes_on_from_there(database: TestDatabase) {
        let world = billed_world(&database).await;
        let team = world.scope.team_id();
        plans::set(&world.db, team, PlanTier::Pro).await.unwrap();
        let pro = scope(&world.db, world.scope.user_id().clone()).await;
        let pushes = (0..103).map(|n| format!("s{n}")).map(|session| {
            let (db, pro) = (world.db.clone(), pro.clone());
            tokio::spawn(async move { store(&db, &pro, &session).await })
        });
        assert!(join_all(pushes).await.into_iter().all(|outcome| is_stored(&outcome.unwrap())));
        assert_eq!(sessions_this_month(&world.db, team).await, 103);
        plans::set(&world.db, team, PlanTier::Free).await.unwrap();
        let free = scope(&world.db, world.scope.user_id().clone()).await;
        assert!(!is_stored(&store(&world.db, &free, "new").await));
        assert!(is_stored(&store(&world.db, &free, "s5").await));
        // With fewer, what is left is left for all rows of the count together.
        database.execute("UPDATE team_usage SET sessions = 0").await;
        database
            .execute("UPDATE team_usage SET sessions = 98 WHERE shard = (SELECT max(shard) FROM team_usage)")
            .await;
        let pushes = (0..10).map(|n| format!("t{n}")).map(|session| {
            let (db, free) = (world.db.clone(), free.clone());
            tokio::spawn(async move { store(&db, &free, &session).await })
        });
        let stored =
            join_all(pushes).await.into_iter().filter(|outcome| is_stored(outcome.as_ref().unwrap())).count();
        assert_eq!((stored, sessions_this_month(&world.db, team).await), (2, 100));
    }
);

/// What happens to one session in the property test.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u8),
    /// Several pushes of one session at once.
    Race(u8),
    Delete(u8),
    NextMonth,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12u8).prop_map(Step::Push),
        2 => (0..12u8).prop_map(Step::Race),
        1 => (0..12u8).prop_map(Step::Delete),
        1 => Just(Step::NextMonth),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The count of each month is the number of sessions that were new in it, whatever the order of pushes, repetitions and
/// deletions.
async fn counts_are_those_of_new_sessions(world: &World, name: &str, steps: &[Step]) {
    world.clock.set(Timestamp::parse_rfc3339("2026-11-15T00:00:00.000Z").unwrap());
    let scope = support::team(&world.db, name).await;
    let mut known = BTreeSet::new();
    let mut new: BTreeMap<i64, u32> = BTreeMap::new();
    for step in steps {
        let month = Month::of(world.clock.now());
        match *step {
            Step::Push(n) | Step::Race(n) => {
                let session = format!("s{n}");
                let times = if matches!(step, Step::Race(_)) { 3 } else { 1 };
                let pushes = (0..times).map(|_| async {
                    let pushed = batch(false, &session, "main", Some(0), &line(&session));
                    ingest::store(&scope, &world.db, pushed).await.unwrap()
                });
                join_all(pushes).await;
                if known.insert(n) {
                    *new.entry(month.begins_at.0).or_default() += 1;
                }
            }
            Step::Delete(n) => {
                // A deleted session stays known: it is not stored again.
                deletion::session(&scope, &world.db, &format!("s{n}").parse().unwrap()).await.unwrap();
            }
            Step::NextMonth => world.clock.set(month.ends_at),
        }
        let expected = new.get(&Month::of(world.clock.now()).begins_at.0).copied().unwrap_or_default();
        assert_eq!(sessions_this_month(&world.db, scope.team_id()).await, expected, "{step:?} of {steps:?}");
    }
}

both_databases!(
    async fn the_count_of_a_month_is_the_number_of_its_new_sessions(database: TestDatabase) {
        let world = billed_world(&database).await;
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        for case in 0..12 {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            counts_are_those_of_new_sessions(&world, &format!("case{case}"), &steps).await;
        }
    }
);

async fn code(world: &World, email: &str) -> String {
    match invites::create(&world.scope, &world.db, email).await.unwrap() {
        Invited::Done(_, code) => code.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

both_databases!(
    async fn of_ten_users_for_the_last_seat_one_joins(database: TestDatabase) {
        let world = billed_world(&database).await;
        plans::set(&world.db, world.scope.team_id(), PlanTier::Pro).await.unwrap();
        for n in 0..8 {
            member(&world, &format!("m{n}"), Role::Member).await;
        }
        let two = replica(&database, &world.clock).await;
        let mut users_and_codes = Vec::new();
        for n in 0..10 {
            let user = users::create(&world.db, &format!("p{n}")).await.unwrap().id;
            users_and_codes.push((actor(user), code(&world, &format!("p{n}@example.com")).await));
        }
        let accepts = users_and_codes
            .iter()
            .enumerate()
            .map(|(n, (user, code))| invites::accept(if n % 2 == 0 { &world.db } else { &two }, user, code));
        let outcomes: Vec<Accepted> = join_all(accepts).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Accepted::Done(_))).count(), 1, "{outcomes:?}");
        let full = PlanRefusal::Members { plan: PlanTier::Pro, limit: 10, members: 10 };
        let refused = outcomes.iter().filter(|o| matches!(o, Accepted::Full(refusal) if *refusal == full));
        assert_eq!(refused.count(), 9, "{outcomes:?}");
        let usage =
            plans::usage(&world.db, std::slice::from_ref(world.scope.team_id())).await.unwrap().remove(0).1;
        assert_eq!(usage.members, 10);
        let invited = invites::create(&world.scope, &world.db, "x@example.com").await.unwrap();
        assert!(matches!(invited, Invited::Full(refusal) if refusal == full), "{invited:?}");
        // The invites stay valid: with a larger plan, the same code admits its user.
        plans::set(&world.db, world.scope.team_id(), PlanTier::Enterprise).await.unwrap();
        let (user, code) =
            users_and_codes.iter().zip(&outcomes).find(|(_, o)| matches!(o, Accepted::Full(_))).unwrap().0;
        assert!(matches!(invites::accept(&two, user, code).await.unwrap(), Accepted::Done(_)));
    }
);

/// Whether a member has a seat, by each of the ways in which a scope is made.
async fn has_seat(db: &Db, team: &TeamId, user: &UserId) -> bool {
    let caller = actor(user.clone());
    let of_default = memberships::scope_for(db, &caller).await.unwrap().unwrap().scope.policy();
    let of_named = memberships::scope_in(db, &caller, team).await.unwrap().unwrap().scope.policy();
    assert_eq!(of_default, of_named);
    let new = api_keys::NewApiKey {
        team_id: team,
        user_id: user,
        name: "ci",
        scopes: "sync:write",
        expires_at: None,
    };
    let (_, token) = api_keys::create_for(db, &new).await.unwrap();
    let found = api_keys::for_push(db, &token.hash()).await.unwrap().unwrap();
    assert_eq!(found.membership.as_ref().unwrap().policy, of_named);
    of_named.require_seat().is_ok()
}

both_databases!(
    async fn members_above_the_limit_have_no_seat_until_others_leave(database: TestDatabase) {
        let world = billed_world(&database).await;
        let (db, team) = (&world.db, world.scope.team_id());
        plans::set(db, team, PlanTier::Pro).await.unwrap();
        let mut people = vec![world.scope.user_id().clone()];
        for name in ["bob", "cy"] {
            world.clock.advance_seconds(1);
            people.push(member(&world, name, Role::Member).await.user_id().clone());
        }
        for user in &people {
            assert!(has_seat(db, team, user).await);
        }
        plans::set(db, team, PlanTier::Free).await.unwrap();
        assert!(has_seat(db, team, &people[0]).await);
        for user in &people[1..] {
            assert!(!has_seat(db, team, user).await, "they joined later");
            // They read on.
            let reads = scope(db, user.clone()).await;
            assert_eq!(teams::members(&reads, db, None, 10).await.unwrap().len(), 3);
        }
        let full = invites::create(&world.scope, db, "x@example.com").await.unwrap();
        let expected = PlanRefusal::Members { plan: PlanTier::Free, limit: 1, members: 3 };
        assert!(matches!(full, Invited::Full(refusal) if refusal == expected), "{full:?}");
        // Who came first leaves: the next one gets the seat.
        teams::set_role(&world.scope, db, &people[1], Role::Admin).await.unwrap();
        teams::leave(&world.scope, db).await.unwrap();
        assert!(has_seat(db, team, &people[1]).await);
        assert!(!has_seat(db, team, &people[2]).await);
        plans::set(db, team, PlanTier::Enterprise).await.unwrap();
        assert!(has_seat(db, team, &people[2]).await);
    }
);

both_databases!(
    async fn teams_from_before_billing_have_everything_until_their_plan_is_decided(database: TestDatabase) {
        let clock = TestClock::default();
        let before = connect_as(&DbConfig::new(database.url()), &clock).await;
        before.migrate().await.unwrap();
        let old = support::team(&before, "old").await;
        assert_eq!(old.policy().plan(), PlanTier::Enterprise, "without billing, nothing is limited");
        let after = replica(&database, &clock).await;
        let new = support::team(&after, "new").await;
        assert_eq!(new.policy().plan(), PlanTier::Free);
        // As a server of an earlier version, which does not know the column.
        let sql = "INSERT INTO teams (id, slug, name, plan_tier, created_at) VALUES ('e', 'earlier', 'e', 'free', 0)";
        database.execute(sql).await;
        let slugs = async || {
            let teams = plans::undecided(&after).await.unwrap();
            teams.into_iter().map(|team| team.slug).collect::<Vec<_>>()
        };
        assert_eq!(slugs().await, ["earlier", "old"]);
        let plan = async |user: &UserId| scope(&after, user.clone()).await.policy().plan();
        assert_eq!(plan(old.user_id()).await, PlanTier::Enterprise);
        assert_eq!(plan(new.user_id()).await, PlanTier::Free);
        assert!(is_stored(&store(&after, &scope(&after, old.user_id().clone()).await, "s").await));

        plans::set(&after, old.team_id(), PlanTier::Free).await.unwrap();
        assert_eq!(plan(old.user_id()).await, PlanTier::Free);
        assert_eq!(slugs().await, ["earlier"]);
        plans::set(&after, &"e".parse().unwrap(), PlanTier::Pro).await.unwrap();
        assert_eq!(slugs().await, Vec::<String>::new());
        let missing = plans::set(&after, &"none".parse().unwrap(), PlanTier::Pro).await.unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
        // Where billing is not configured any more, nothing is limited again.
        assert_eq!(scope(&before, old.user_id().clone()).await.policy().plan(), PlanTier::Enterprise);
    }
);
