//! What Stripe says about teams: older states never replace newer ones, an event is applied once, a team has one customer,
//! and the customer of a deleted team is not forgotten.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper fails its test by panicking")]

mod support;

use futures_util::future::join_all;
use han_db::Db;
use han_db::queries::billing::{
    self, Applied, BilledTeam, Bound, Customer, Deciding, Decision, Payment, Standing, StripeEvent,
};
use han_db::queries::{plans, team_deletion};
use han_testkit::both_databases;
use han_types::{PaymentState, PlanTier, Role, Timestamp};

use support::{World, member, world};

const ACTIVE: Payment = Payment {
    state: PaymentState::Active,
    cancels_at: None,
    grace_until: Some(Timestamp(5)),
    seats: Some(3),
};

/// A subscription to Pro gives this plan: Pro, or Free after its end.
fn gives(plan: PlanTier) -> Standing {
    let by = Deciding { id: "sub_1".to_owned(), plan: PlanTier::Pro };
    Standing { decision: Decision::Plan { plan, by }, payment: ACTIVE }
}

/// No subscription decides.
const NOTHING: Standing = Standing { decision: Decision::Nothing, payment: ACTIVE };

const EVENT: StripeEvent<'_> =
    StripeEvent { id: "evt_1", kind: "customer.subscription.updated", created_at: Timestamp(1) };

async fn read(db: &Db, customer: &str) -> BilledTeam {
    match billing::find_customer(db, customer, None).await.unwrap() {
        Customer::Of(team) => *team,
        other => panic!("{other:?}"),
    }
}

async fn bind(world: &World, customer: &str) -> Bound {
    billing::bind_for(&world.scope, &world.db, customer, None).await.unwrap()
}

both_databases!(
    async fn a_state_is_refused_if_another_was_applied_since_its_team_was_read(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        assert_eq!(bind(&world, "cus_1").await, Bound::Done);
        let (first, second) = (read(db, "cus_1").await, read(db, "cus_1").await);
        let pro = gives(PlanTier::Pro);
        assert!(matches!(billing::apply(db, &first, &pro, None).await.unwrap(), Applied::Done { .. }));
        let free = gives(PlanTier::Free);
        assert_eq!(billing::apply(db, &second, &free, Some(&EVENT)).await.unwrap(), Applied::Stale);
        // The same state counts, too: it was read later than the one that is refused now.
        let third = read(db, "cus_1").await;
        assert!(matches!(billing::apply(db, &third, &pro, None).await.unwrap(), Applied::Done { .. }));
        assert_eq!(billing::apply(db, &third, &free, None).await.unwrap(), Applied::Stale);
        // The event of a refused state is not recorded.
        let now = read(db, "cus_1").await;
        let applied = billing::apply(db, &now, &free, Some(&EVENT)).await.unwrap();
        let Applied::Done { before, after } = applied else { panic!("{applied:?}") };
        assert_eq!((before.plan, after.plan), (PlanTier::Pro, PlanTier::Free));
        assert_eq!((after.seats, after.grace_until), (Some(3), Some(Timestamp(5))));
        assert_eq!(read(db, "cus_1").await.state, after);
        let again = billing::find_customer(db, "cus_1", Some(&EVENT)).await.unwrap();
        assert_eq!(again, Customer::EventApplied);
        let now = read(db, "cus_1").await;
        assert_eq!(billing::apply(db, &now, &pro, Some(&EVENT)).await.unwrap(), Applied::EventApplied);
        assert_eq!(read(db, "cus_1").await.state.plan, PlanTier::Free);
        // Old records are forgotten by their age.
        let applied_at = db.clock().now();
        assert_eq!(billing::trim_events(db, applied_at).await.unwrap(), 0);
        assert_eq!(billing::trim_events(db, applied_at.plus_seconds(1)).await.unwrap(), 1);
    }
);

both_databases!(
    async fn only_a_team_that_had_a_subscription_loses_its_plan_without_one(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        bind(&world, "cus_1").await;
        let apply = async |standing: &Standing| {
            let team = read(db, "cus_1").await;
            billing::apply(db, &team, standing, None).await.unwrap();
            read(db, "cus_1").await.state.plan
        };
        plans::set(db, world.scope.team_id(), PlanTier::Enterprise).await.unwrap();
        assert_eq!(apply(&NOTHING).await, PlanTier::Enterprise, "Stripe has not decided the plan");
        assert_eq!(apply(&gives(PlanTier::Pro)).await, PlanTier::Pro);
        // The plan that it gives is remembered after its end.
        assert_eq!(apply(&gives(PlanTier::Free)).await, PlanTier::Free);
        let by = read(db, "cus_1").await.state.subscription;
        assert_eq!(by, Some(Deciding { id: "sub_1".to_owned(), plan: PlanTier::Pro }));
        assert_eq!(apply(&NOTHING).await, PlanTier::Free);
        assert_eq!(read(db, "cus_1").await.state.subscription, None);
    }
);

both_databases!(
    async fn a_team_from_before_billing_is_decided_by_a_configured_price_only(db: TestDatabase) {
        let world = world(&db).await;
        bind(&world, "cus_1").await;
        db.execute("UPDATE teams SET before_billing = TRUE").await;
        let undecided = async || plans::undecided(&world.db).await.unwrap().len();
        for (standing, left) in [(NOTHING, 1), (gives(PlanTier::Free), 0)] {
            let team = read(&world.db, "cus_1").await;
            billing::apply(&world.db, &team, &standing, None).await.unwrap();
            assert_eq!(undecided().await, left, "{standing:?}");
        }
    }
);

both_databases!(
    async fn a_team_has_one_customer_and_a_customer_one_team(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        let bob = member(&world, "bob", Role::Member).await;
        assert_eq!(billing::bind_for(&bob, db, "cus_0", None).await.unwrap(), Bound::NotAllowed);
        let names: Vec<String> = (1..=10).map(|n| format!("cus_{n}")).collect();
        let bound = join_all(names.iter().map(|name| bind(&world, name))).await;
        let winners: Vec<&String> = names
            .iter()
            .zip(&bound)
            .filter(|(_, bound)| **bound == Bound::Done)
            .map(|(name, _)| name)
            .collect();
        let [winner] = winners.as_slice() else { panic!("{bound:?}") };
        let others = bound.iter().filter(|bound| **bound == Bound::Other((*winner).clone()));
        assert_eq!(others.count(), 9, "the others learn the winner: {bound:?}");
        assert_eq!(bind(&world, winner).await, Bound::Done);
        // Only the customer that is replaced makes room for another one.
        let scope = &world.scope;
        let replace =
            async |missing: &str| billing::bind_for(scope, db, "cus_new", Some(missing)).await.unwrap();
        assert_eq!(replace("cus_unknown").await, Bound::Other((*winner).clone()));
        assert_eq!(replace(winner).await, Bound::Done);
        let other = support::team(db, "eve").await;
        assert_eq!(billing::bind(db, other.team_id(), "cus_new").await.unwrap(), Bound::Taken);
        assert_eq!(billing::bind(db, &"nowhere".parse().unwrap(), "cus_x").await.unwrap(), Bound::Gone);
        let teams = billing::customers(db, None, 10).await.unwrap();
        assert_eq!(teams.iter().map(|team| &team.id).collect::<Vec<_>>(), [scope.team_id()]);
        assert!(billing::customers(db, Some("cus_new"), 10).await.unwrap().is_empty());
        assert_eq!(billing::of_team(db, other.team_id()).await.unwrap().unwrap().customer_id, None);
    }
);

both_databases!(
    async fn the_customer_of_a_deleted_team_stays_known_until_nothing_is_left_to_cancel(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        bind(&world, "cus_1").await;
        let team = read(db, "cus_1").await;
        team_deletion::begin(db, world.scope.team_id()).await.unwrap();
        let [due] = &billing::cancellations(db).await.unwrap()[..] else { panic!("one is due") };
        assert_eq!((due.customer_id.as_str(), &due.team_id), ("cus_1", world.scope.team_id()));
        assert_eq!(billing::find_customer(db, "cus_1", None).await.unwrap(), Customer::OfDeletedTeam);
        let pro = gives(PlanTier::Pro);
        assert_eq!(billing::apply(db, &team, &pro, None).await.unwrap(), Applied::Gone);
        // A checkout that was open must not give it a customer again.
        assert_eq!(bind(&world, "cus_2").await, Bound::NotAllowed);
        assert_eq!(billing::bind(db, world.scope.team_id(), "cus_2").await.unwrap(), Bound::Gone);
        let other = support::team(db, "eve").await;
        assert_eq!(billing::bind(db, other.team_id(), "cus_1").await.unwrap(), Bound::Taken);
        // Another subscription is begun while the first one is cancelled.
        billing::cancel_again(db, "cus_1").await.unwrap();
        billing::cancelled(db, due).await.unwrap();
        let [again] = &billing::cancellations(db).await.unwrap()[..] else { panic!("it is still due") };
        billing::cancelled(db, again).await.unwrap();
        assert!(billing::cancellations(db).await.unwrap().is_empty());
        assert_eq!(billing::find_customer(db, "cus_1", None).await.unwrap(), Customer::OfDeletedTeam);
        assert_eq!(billing::find_customer(db, "cus_9", None).await.unwrap(), Customer::Unknown);
    }
);

both_databases!(
    async fn teams_whose_grace_period_has_ended_are_listed_while_they_have_a_plan(db: TestDatabase) {
        let world = world(&db).await;
        let db = &world.db;
        bind(&world, "cus_1").await;
        let end = db.clock().now().plus_seconds(60);
        let payment = Payment { state: PaymentState::PaymentFailed, grace_until: Some(end), ..ACTIVE };
        let failed = Standing { payment, ..gives(PlanTier::Pro) };
        billing::apply(db, &read(db, "cus_1").await, &failed, None).await.unwrap();
        assert!(billing::past_grace(db, 10).await.unwrap().is_empty());
        world.clock.advance_seconds(60);
        let [due] = &billing::past_grace(db, 10).await.unwrap()[..] else { panic!("one is due") };
        let ended = Standing { payment, ..gives(PlanTier::Free) };
        billing::apply(db, due, &ended, None).await.unwrap();
        assert!(billing::past_grace(db, 10).await.unwrap().is_empty());
    }
);
