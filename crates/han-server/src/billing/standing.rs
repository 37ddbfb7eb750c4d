//! What the subscriptions of a customer mean for its team: a function of Stripe's state and of the time, and of nothing
//! else. So it does not matter which events arrived, or in which order.

use han_db::queries::billing::{Decision, Payment, Standing};
use han_types::{PaymentState, PlanTier, Timestamp};

use super::api::{Item, Status, Subscribed, seconds};
use crate::config::Prices;

/// What one subscription gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grant {
    /// It was never paid, or was for a price that is not configured and has ended: it decides nothing.
    Nothing,
    /// It is paid, for a price that is not configured, or has a state that this version does not know.
    Unknown,
    /// It gives no plan any more.
    Ended,
    /// It gives this plan.
    Plan(PlanTier),
}

/// One subscription, as far as it matters. The best one is the greatest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    grant: Grant,
    payment: PaymentState,
    created: i64,
    id: &'a str,
    cancels_at: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    seats: Option<u32>,
}

impl Candidate<'_> {
    fn payment(&self) -> Payment {
        let Self { payment: state, cancels_at, grace_until, seats, .. } = *self;
        Payment { state, cancels_at, grace_until, seats }
    }
}

/// The state of a customer with these subscriptions. Of several, the best one counts: one that gives a plan, the higher
/// plan, the better state of payment, the later one. `grace_days` is how long a plan stays after a payment failed.
pub(super) fn standing(
    subscriptions: &[Subscribed],
    prices: &Prices,
    grace_days: u32,
    now: Timestamp,
) -> Standing {
    let candidates = subscriptions.iter().map(|subscribed| candidate(subscribed, prices, grace_days, now));
    let mut candidates: Vec<Candidate<'_>> = candidates.collect();
    candidates.sort();
    let undecided = candidates.iter().filter(|one| one.grant == Grant::Unknown);
    let undecided = undecided.map(|one| (one.id.to_owned(), one.payment())).collect();
    let Some(best) = candidates.last() else {
        let payment = Payment { state: PaymentState::None, cancels_at: None, grace_until: None, seats: None };
        return Standing { decision: Decision::Nothing, payment, undecided };
    };
    let decides = |plan| Decision::Plan { plan, subscription_id: best.id.to_owned() };
    let decision = match best.grant {
        Grant::Nothing | Grant::Unknown => Decision::Nothing,
        Grant::Ended => decides(PlanTier::Free),
        Grant::Plan(plan) => decides(plan),
    };
    Standing { decision, payment: best.payment(), undecided }
}

fn candidate<'a>(
    subscribed: &'a Subscribed,
    prices: &Prices,
    grace_days: u32,
    now: Timestamp,
) -> Candidate<'a> {
    let Subscribed { subscription, unpaid_since } = subscribed;
    let items = &subscription.items.data;
    let priced = |item: &Item| prices.plan(&item.price.id, item.price.lookup_key.as_deref());
    let (plan, item) =
        match items.iter().filter_map(|item| Some((priced(item)?, item))).max_by_key(|(plan, _)| *plan) {
            Some((plan, item)) => (Some(plan), Some(item)),
            None => (None, items.first()),
        };
    let (paid, over) = match plan {
        Some(plan) => (Grant::Plan(plan), Grant::Ended),
        None => (Grant::Unknown, Grant::Nothing),
    };
    let mut grace_until = None;
    let (grant, payment) = match subscription.status {
        Status::Trialing => (paid, PaymentState::Trialing),
        Status::Active => (paid, PaymentState::Active),
        Status::PastDue => {
            let period = || item.map_or(subscription.created, |item| item.current_period_start);
            let since = unpaid_since.unwrap_or_else(|| seconds(period()));
            let until = since.plus_seconds(i64::from(grace_days) * 86_400);
            grace_until = Some(until);
            (if now < until { paid } else { over }, PaymentState::PaymentFailed)
        }
        Status::Unpaid => (over, PaymentState::Unpaid),
        Status::Paused => (over, PaymentState::Paused),
        Status::Canceled => (over, PaymentState::Canceled),
        Status::Incomplete => (Grant::Nothing, PaymentState::Incomplete),
        Status::IncompleteExpired => (Grant::Nothing, PaymentState::None),
        Status::Other => (Grant::Unknown, PaymentState::Active),
    };
    let goes_on = matches!(
        subscription.status,
        Status::Trialing | Status::Active | Status::PastDue | Status::Unpaid | Status::Paused | Status::Other
    );
    let period_end = items.iter().map(|item| item.current_period_end).max();
    let ends = subscription.cancel_at.or_else(|| period_end.filter(|_| subscription.cancel_at_period_end));
    Candidate {
        grant,
        payment,
        created: subscription.created,
        id: &subscription.id,
        cancels_at: ends.filter(|_| goes_on).map(seconds),
        grace_until,
        seats: item.filter(|_| goes_on).and_then(|item| item.quantity),
    }
}

/// The ids of the prices of paid subscriptions that belong to no plan. The operator must configure them.
pub(super) fn unknown_prices<'a>(subscriptions: &'a [Subscribed], prices: &Prices) -> Vec<&'a str> {
    let is_paid = |status: Status| matches!(status, Status::Trialing | Status::Active | Status::PastDue);
    let paid = subscriptions.iter().map(|one| &one.subscription).filter(|one| is_paid(one.status));
    paid.filter(|one| {
        one.items
            .data
            .iter()
            .all(|item| prices.plan(&item.price.id, item.price.lookup_key.as_deref()).is_none())
    })
    .flat_map(|one| one.items.data.iter().map(|item| item.price.id.as_str()))
    .collect()
}

/// Whether a customer pays, or still has to pay, for a subscription: it must not get a second one.
pub(super) fn is_live(status: Status) -> bool {
    !is_over(status) && status != Status::Incomplete
}

/// Whether a subscription has ended for good.
pub(super) fn is_over(status: Status) -> bool {
    matches!(status, Status::Canceled | Status::IncompleteExpired)
}

#[cfg(test)]
mod tests {
    use han_db::queries::billing::{Decision, Standing, StoredState};
    use han_types::{PaymentState, PlanTier, Timestamp};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::api::{Status, Subscribed, Subscription, seconds};
    use super::standing;
    use crate::config::Prices;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_793_610_000;
    const GRACE: u32 = 14;

    const STATUSES: [&str; 8] = [
        "trialing",
        "active",
        "past_due",
        "unpaid",
        "paused",
        "incomplete",
        "incomplete_expired",
        "canceled",
    ];
    const KEYS: [&str; 3] = ["han_pro_monthly", "han_enterprise_yearly", "of_another_product"];

    fn subscription(id: &str, status: &str, lookup_key: &str) -> Subscribed {
        let subscription: Subscription = serde_json::from_value(json!({
            "id": id, "customer": "cus_1", "status": status, "created": NOW - 40 * DAY, "cancel_at": null,
            "cancel_at_period_end": false, "metadata": {},
            "items": { "data": [{
                "price": { "id": format!("price_of_{lookup_key}"), "lookup_key": lookup_key }, "quantity": 3,
                "current_period_start": NOW - 10 * DAY, "current_period_end": NOW + 20 * DAY,
            }] },
        }))
        .unwrap();
        let unpaid_since = (status == "past_due").then(|| seconds(NOW - 10 * DAY));
        Subscribed { subscription, unpaid_since }
    }

    fn of(subscriptions: &[Subscribed]) -> Standing {
        standing(subscriptions, &Prices::default(), GRACE, seconds(NOW))
    }

    /// The plan that is decided.
    fn decided(standing: &Standing) -> Option<PlanTier> {
        match standing.decision {
            Decision::Plan { plan, .. } => Some(plan),
            Decision::Nothing => None,
        }
    }

    /// What is stored of a team with a plan, about which Stripe has said nothing.
    fn stored(plan: PlanTier) -> StoredState {
        StoredState {
            plan,
            payment: PaymentState::None,
            subscription_id: None,
            cancels_at: None,
            grace_until: None,
            seats: None,
        }
    }

    #[test]
    fn each_state_of_stripe_has_its_meaning() {
        use PlanTier::{Free, Pro};
        for (status, plan, payment) in [
            ("trialing", Some(Pro), PaymentState::Trialing),
            ("active", Some(Pro), PaymentState::Active),
            ("past_due", Some(Pro), PaymentState::PaymentFailed),
            ("unpaid", Some(Free), PaymentState::Unpaid),
            ("paused", Some(Free), PaymentState::Paused),
            ("canceled", Some(Free), PaymentState::Canceled),
            ("incomplete", None, PaymentState::Incomplete),
            ("incomplete_expired", None, PaymentState::None),
            ("a_state_of_the_future", None, PaymentState::Active),
        ] {
            let found = of(&[subscription("sub_1", status, "han_pro_monthly")]);
            assert_eq!((decided(&found), found.payment.state), (plan, payment), "{status}");
            assert_eq!(found.undecided.len(), usize::from(status == "a_state_of_the_future"), "{status}");
        }
        assert_eq!(of(&[]).decision, Decision::Nothing);
    }

    #[test]
    fn a_plan_stays_until_the_grace_period_of_the_oldest_unpaid_invoice_has_ended() {
        let due = subscription("sub_1", "past_due", "han_pro_monthly");
        let end = seconds(NOW - 10 * DAY).plus_seconds(i64::from(GRACE) * DAY);
        for (now, plan) in [(end.0 - 1, PlanTier::Pro), (end.0, PlanTier::Free), (end.0 + 1, PlanTier::Free)]
        {
            let found = standing(std::slice::from_ref(&due), &Prices::default(), GRACE, Timestamp(now));
            assert_eq!((decided(&found), found.payment.grace_until), (Some(plan), Some(end)));
            assert_eq!(found.payment.state, PaymentState::PaymentFailed);
        }
        // Without an open invoice, it begins with the unpaid period.
        let without = Subscribed { unpaid_since: None, ..due };
        assert_eq!(of(&[without]).payment.grace_until, Some(end));
    }

    #[test]
    fn a_cancelled_subscription_names_its_end() {
        let mut one = subscription("sub_1", "active", "han_pro_monthly");
        one.subscription.cancel_at_period_end = true;
        assert_eq!(of(std::slice::from_ref(&one)).payment.cancels_at, Some(seconds(NOW + 20 * DAY)));
        // The billing portal names a time for subscriptions in flexible billing mode.
        one.subscription.cancel_at_period_end = false;
        one.subscription.cancel_at = Some(NOW + 5 * DAY);
        assert_eq!(of(std::slice::from_ref(&one)).payment.cancels_at, Some(seconds(NOW + 5 * DAY)));
        one.subscription.status = Status::Canceled;
        assert_eq!(of(&[one]).payment.cancels_at, None);
    }

    #[test]
    fn the_best_of_several_subscriptions_counts() {
        let old = subscription("sub_1", "canceled", "han_enterprise_yearly");
        let unpaid = subscription("sub_2", "unpaid", "han_enterprise_yearly");
        let foreign = subscription("sub_3", "active", "of_another_product");
        let pro = subscription("sub_4", "past_due", "han_pro_monthly");
        let all = [old.clone(), unpaid, foreign, pro];
        let deciding = |standing: Standing| match standing.decision {
            Decision::Plan { plan, subscription_id } => Some((plan, subscription_id)),
            Decision::Nothing => None,
        };
        assert_eq!(deciding(of(&all)), Some((PlanTier::Pro, "sub_4".to_owned())));
        assert_eq!(deciding(of(&all[..3])), Some((PlanTier::Free, "sub_2".to_owned())));
        // One that was just begun does not undo that an earlier one has ended.
        let begun = subscription("sub_5", "incomplete", "han_pro_monthly");
        assert_eq!(deciding(of(&[begun, old])), Some((PlanTier::Free, "sub_1".to_owned())));
    }

    #[test]
    fn a_price_that_is_not_configured_decides_nothing_and_takes_no_plan_away() {
        let foreign = |status| subscription("sub_1", status, "of_another_product");
        let given = stored(PlanTier::Enterprise);
        for status in STATUSES {
            let after = given.after(&of(&[foreign(status)]));
            assert_eq!((after.plan, &after.subscription_id), (PlanTier::Enterprise, &None), "{status}");
        }
        // The operator removes a price that a customer pays: the plan stays, until the subscription has ended.
        let had = stored(PlanTier::Free).after(&of(&[subscription("sub_1", "active", "han_pro_monthly")]));
        let other = subscription("sub_2", "canceled", "han_enterprise_yearly");
        for (status, plan) in [
            ("active", PlanTier::Pro),
            ("past_due", PlanTier::Pro),
            ("unpaid", PlanTier::Free),
            ("canceled", PlanTier::Free),
        ] {
            let now = [foreign(status), other.clone()];
            assert_eq!(had.after(&of(&now[..1])).plan, plan, "{status}");
            assert_eq!(had.after(&of(&now)).plan, plan, "{status}");
        }
        // That of another product does not stand in for it.
        let ended = [
            subscription("sub_1", "canceled", "han_pro_monthly"),
            subscription("sub_2", "active", "of_another_product"),
        ];
        let after = had.after(&of(&ended));
        assert_eq!((after.plan, after.payment), (PlanTier::Free, PaymentState::Canceled));
        assert_eq!(had.after(&of(&ended[1..])).plan, PlanTier::Free, "the subscription is gone");
    }

    fn any_subscription() -> impl Strategy<Value = Subscribed> {
        let parts = (0..50u32, 0..STATUSES.len(), 0..KEYS.len(), -60 * DAY..0, any::<bool>());
        parts.prop_map(|(id, status, key, unpaid, cancels)| {
            let mut one = subscription(&format!("sub_{id}"), STATUSES[status], KEYS[key]);
            one.subscription.cancel_at_period_end = cancels;
            one.unpaid_since = one.unpaid_since.map(|_| seconds(NOW + unpaid));
            one
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// The order in which Stripe lists subscriptions does not matter.
        #[test]
        fn the_order_does_not_matter(
            (all, shuffled) in prop::collection::vec(any_subscription(), 0..6)
                .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
        ) {
            prop_assert_eq!(of(&all), of(&shuffled));
        }

        /// Another subscription never takes a plan away.
        #[test]
        fn another_subscription_never_takes_a_plan_away(
            all in prop::collection::vec(any_subscription(), 0..6), more in any_subscription()
        ) {
            let before = stored(PlanTier::Free).after(&of(&all));
            let mut with = all;
            with.push(more);
            prop_assert!(before.after(&of(&with)).plan >= before.plan);
            prop_assert!(decided(&of(&with)) >= before.subscription_id.map(|_| before.plan));
        }

        /// What is stored before does not matter as soon as a subscription decides.
        #[test]
        fn the_same_subscriptions_give_the_same_plan(
            earlier in prop::collection::vec(any_subscription(), 0..4), all in prop::collection::vec(any_subscription(), 0..4)
        ) {
            let all = of(&all);
            let (fresh, later) = (stored(PlanTier::Free), stored(PlanTier::Free).after(&of(&earlier)));
            if decided(&all).is_some_and(|plan| plan > PlanTier::Free) || all.undecided.is_empty() {
                prop_assert_eq!(fresh.after(&all), later.after(&all));
            }
        }

        /// No team has a plan without a subscription that is paid, in its trial or in its grace period; and none of these is
        /// without its plan.
        #[test]
        fn a_plan_is_given_if_and_only_if_it_is_paid(all in prop::collection::vec(any_subscription(), 0..6)) {
            let grace = i64::from(GRACE) * DAY;
            let gives = |one: &Subscribed| {
                let key = one.subscription.items.data[0].price.lookup_key.clone().unwrap();
                let plan = match key.as_str() {
                    "han_pro_monthly" => PlanTier::Pro,
                    "han_enterprise_yearly" => PlanTier::Enterprise,
                    _ => return None,
                };
                let is_paid = match one.subscription.status {
                    Status::Active | Status::Trialing => true,
                    Status::PastDue => one.unpaid_since.unwrap().seconds() + grace > NOW,
                    _ => false,
                };
                is_paid.then_some(plan)
            };
            let best = all.iter().filter_map(gives).max();
            prop_assert_eq!(decided(&of(&all)).filter(|plan| *plan != PlanTier::Free), best);
        }

        /// Only time ends a grace period: once it has ended, it stays so.
        #[test]
        fn time_never_gives_a_plan(all in prop::collection::vec(any_subscription(), 0..6), later in 0..90 * DAY) {
            let at = |now| standing(&all, &Prices::default(), GRACE, seconds(now));
            if let (Some(now), Some(then)) = (decided(&at(NOW)), decided(&at(NOW + later))) {
                prop_assert!(then <= now);
            }
        }
    }
}
