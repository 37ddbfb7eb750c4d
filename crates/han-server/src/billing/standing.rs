//! What the subscriptions of a customer mean for its team: a function of Stripe's state and of the time, and of nothing
//! else as long as all prices are configured. So it does not matter which events arrived, or in which order.

use han_db::queries::billing::{Deciding, Decision, Payment, Standing};
use han_types::{PaymentState, PlanTier, Timestamp};

use super::api::{Item, Status, Subscribed, Subscription, seconds};
use super::team_of_metadata;
use crate::config::Prices;

/// What one subscription gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grant {
    /// It was never paid, or has a state that this version does not know: it decides nothing.
    Nothing,
    /// It gives no plan any more.
    Ended,
    /// It gives its plan.
    Plan(PlanTier),
}

/// One subscription, as far as it matters. The best one is the greatest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    grant: Grant,
    payment: PaymentState,
    created: i64,
    id: &'a str,
    /// The plan of its price.
    plan: PlanTier,
    cancels_at: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    seats: Option<u32>,
}

/// How subscriptions are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// Which price belongs to which plan.
    pub(super) prices: &'a Prices,
    /// How long a plan stays after a payment failed.
    pub(super) grace_days: u32,
    /// The subscription that has decided last. If its price is no longer configured, it is still for the plan that it
    /// was for: the operator has removed a price that a customer pays.
    pub(super) earlier: Option<&'a Deciding>,
}

impl Rules<'_> {
    /// The plan that a subscription is for, and the item that is paid for it; `None` if it is for another product.
    fn plan<'s>(&self, subscription: &'s Subscription) -> Option<(PlanTier, Option<&'s Item>)> {
        let items = &subscription.items.data;
        let priced = |item: &Item| self.prices.plan(&item.price.id, item.price.lookup_key.as_deref());
        let priced = items.iter().filter_map(|item| Some((priced(item)?, item)));
        let configured = priced.max_by_key(|(plan, _)| *plan).map(|(plan, item)| (plan, Some(item)));
        let remembered = self.earlier.filter(|earlier| earlier.id == subscription.id);
        configured.or_else(|| remembered.map(|earlier| (earlier.plan, items.first())))
    }

    /// Whether a customer pays, or still has to pay, for one of the plans: it must not get a second subscription. One that
    /// a checkout of this server has begun counts even if its price is not configured any more.
    pub(super) fn is_live_and_ours(&self, subscription: &Subscription) -> bool {
        is_live(subscription.status)
            && (self.plan(subscription).is_some() || team_of_metadata(&subscription.metadata).is_some())
    }

    /// Whether the price of a subscription that is paid belongs to no plan, and is that of the one which decides.
    pub(super) fn unknown_price(&self, subscription: &Subscription) -> Option<bool> {
        let is_paid = matches!(subscription.status, Status::Trialing | Status::Active | Status::PastDue);
        let without = Rules { earlier: None, ..*self };
        let is_unknown = is_paid && without.plan(subscription).is_none();
        is_unknown.then(|| self.plan(subscription).is_some())
    }
}

/// The state of a customer with these subscriptions. Of several, the best one counts: one that gives a plan, the higher
/// plan, the better state of payment, the later one. Those of other products count for nothing.
pub(super) fn standing(subscriptions: &[Subscribed], rules: Rules<'_>, now: Timestamp) -> Standing {
    let candidates = subscriptions.iter().filter_map(|subscribed| candidate(subscribed, rules, now));
    let Some(best) = candidates.max() else {
        let payment = Payment { state: PaymentState::None, cancels_at: None, grace_until: None, seats: None };
        return Standing { decision: Decision::Nothing, payment };
    };
    let decides = |plan| Decision::Plan { plan, by: Deciding { id: best.id.to_owned(), plan: best.plan } };
    let decision = match best.grant {
        Grant::Nothing => Decision::Nothing,
        Grant::Ended => decides(PlanTier::Free),
        Grant::Plan(plan) => decides(plan),
    };
    let Candidate { payment: state, cancels_at, grace_until, seats, .. } = best;
    Standing { decision, payment: Payment { state, cancels_at, grace_until, seats } }
}

fn candidate<'a>(subscribed: &'a Subscribed, rules: Rules<'_>, now: Timestamp) -> Option<Candidate<'a>> {
    let Subscribed { subscription, unpaid_since } = subscribed;
    let (plan, item) = rules.plan(subscription)?;
    let paid = Grant::Plan(plan);
    let mut grace_until = None;
    let (grant, payment) = match subscription.status {
        Status::Trialing => (paid, PaymentState::Trialing),
        Status::Active => (paid, PaymentState::Active),
        Status::PastDue => {
            let period = || item.map_or(subscription.created, |item| item.current_period_start);
            let since = unpaid_since.unwrap_or_else(|| seconds(period()));
            let until = since.plus_seconds(i64::from(rules.grace_days) * 86_400);
            grace_until = Some(until);
            (if now < until { paid } else { Grant::Ended }, PaymentState::PaymentFailed)
        }
        Status::Unpaid => (Grant::Ended, PaymentState::Unpaid),
        Status::Paused => (Grant::Ended, PaymentState::Paused),
        Status::Canceled => (Grant::Ended, PaymentState::Canceled),
        Status::Incomplete => (Grant::Nothing, PaymentState::Incomplete),
        Status::IncompleteExpired => (Grant::Nothing, PaymentState::None),
        // What it means is not known: it neither gives a plan nor takes one away.
        Status::Other if rules.earlier.is_some_and(|earlier| earlier.id == subscription.id) => {
            (paid, PaymentState::Active)
        }
        Status::Other => (Grant::Nothing, PaymentState::Active),
    };
    let goes_on = matches!(
        subscription.status,
        Status::Trialing | Status::Active | Status::PastDue | Status::Unpaid | Status::Paused | Status::Other
    );
    let period_end = subscription.items.data.iter().map(|item| item.current_period_end).max();
    let ends = subscription.cancel_at.or_else(|| period_end.filter(|_| subscription.cancel_at_period_end));
    Some(Candidate {
        grant,
        payment,
        created: subscription.created,
        id: &subscription.id,
        plan,
        cancels_at: ends.filter(|_| goes_on).map(seconds),
        grace_until,
        seats: item.filter(|_| goes_on).and_then(|item| item.quantity),
    })
}

/// Whether a subscription is paid, or still has to be.
fn is_live(status: Status) -> bool {
    !is_over(status) && status != Status::Incomplete
}

/// Whether a subscription has ended for good.
pub(super) fn is_over(status: Status) -> bool {
    matches!(status, Status::Canceled | Status::IncompleteExpired)
}

#[cfg(test)]
mod tests {
    use han_db::queries::billing::{Deciding, Decision, Standing, StoredState};
    use han_types::{PaymentState, PlanTier, Timestamp};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::api::{Status, Subscribed, Subscription, seconds};
    use super::{Rules, standing};
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

    fn at(now: Timestamp, earlier: Option<&Deciding>, subscriptions: &[Subscribed]) -> Standing {
        let prices = Prices::default();
        standing(subscriptions, Rules { prices: &prices, grace_days: GRACE, earlier }, now)
    }

    fn of(subscriptions: &[Subscribed]) -> Standing {
        at(seconds(NOW), None, subscriptions)
    }

    /// What is stored after these subscriptions were read.
    fn next(state: &StoredState, subscriptions: &[Subscribed]) -> StoredState {
        state.after(&at(seconds(NOW), state.subscription.as_ref(), subscriptions))
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
            subscription: None,
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
        }
        assert_eq!(of(&[]).decision, Decision::Nothing);
        // A state that is not known takes no plan away.
        let had = next(&stored(Free), &[subscription("sub_1", "active", "han_pro_monthly")]);
        let now = [subscription("sub_1", "a_state_of_the_future", "han_pro_monthly")];
        assert_eq!(next(&had, &now).plan, Pro);
    }

    #[test]
    fn a_plan_stays_until_the_grace_period_of_the_oldest_unpaid_invoice_has_ended() {
        let due = subscription("sub_1", "past_due", "han_pro_monthly");
        let end = seconds(NOW - 10 * DAY).plus_seconds(i64::from(GRACE) * DAY);
        for (now, plan) in [(end.0 - 1, PlanTier::Pro), (end.0, PlanTier::Free), (end.0 + 1, PlanTier::Free)]
        {
            let found = at(Timestamp(now), None, std::slice::from_ref(&due));
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
            Decision::Plan { plan, by } => Some((plan, by.id)),
            Decision::Nothing => None,
        };
        assert_eq!(deciding(of(&all)), Some((PlanTier::Pro, "sub_4".to_owned())));
        assert_eq!(deciding(of(&all[..3])), Some((PlanTier::Free, "sub_2".to_owned())));
        // One that was just begun does not undo that an earlier one has ended.
        let begun = subscription("sub_5", "incomplete", "han_pro_monthly");
        assert_eq!(deciding(of(&[begun, old])), Some((PlanTier::Free, "sub_1".to_owned())));
    }

    #[test]
    fn another_product_counts_for_nothing() {
        let given = stored(PlanTier::Enterprise);
        for status in STATUSES {
            let foreign = [subscription("sub_1", status, "of_another_product")];
            assert_eq!(next(&given, &foreign), given, "{status}");
        }
        // It does not stand in for a plan that has ended.
        let had = next(&stored(PlanTier::Free), &[subscription("sub_1", "active", "han_pro_monthly")]);
        let ended = [
            subscription("sub_1", "canceled", "han_pro_monthly"),
            subscription("sub_2", "active", "of_another_product"),
        ];
        let after = next(&had, &ended);
        assert_eq!((after.plan, after.payment), (PlanTier::Free, PaymentState::Canceled));
        assert_eq!(next(&had, &ended[1..]).plan, PlanTier::Free, "the subscription is gone");
    }

    #[test]
    fn a_price_that_was_removed_is_still_for_its_plan() {
        let had = next(&stored(PlanTier::Free), &[subscription("sub_1", "active", "han_pro_monthly")]);
        let removed = |status| [subscription("sub_1", status, "of_another_product")];
        for (status, plan) in [
            ("active", PlanTier::Pro),
            ("past_due", PlanTier::Pro),
            ("unpaid", PlanTier::Free),
            ("canceled", PlanTier::Free),
        ] {
            let after = next(&had, &removed(status));
            assert_eq!(after.plan, plan, "{status}");
            // Who pays again has the plan again, and an operator's own choice does not last longer than with any other
            // subscription.
            let set = StoredState { plan: PlanTier::Enterprise, ..after };
            assert_eq!(next(&set, &removed("active")).plan, PlanTier::Pro, "{status}");
            assert_eq!(next(&set, &removed("canceled")).plan, PlanTier::Free, "{status}");
        }
        // A better one takes its place.
        let two = [removed("active")[0].clone(), subscription("sub_2", "active", "han_enterprise_yearly")];
        assert_eq!(next(&had, &two).plan, PlanTier::Enterprise);
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
            let before = next(&stored(PlanTier::Free), &all);
            let mut with = all;
            with.push(more);
            prop_assert!(next(&before, &with).plan >= before.plan);
            prop_assert!(decided(&of(&with)) >= before.subscription.map(|_| before.plan));
        }

        /// Where all prices are configured, what was stored before does not matter.
        #[test]
        fn the_same_subscriptions_give_the_same_state(
            earlier in prop::collection::vec(any_subscription(), 0..4), all in prop::collection::vec(any_subscription(), 0..4)
        ) {
            let is_configured = |one: &Subscribed| {
                one.subscription.items.data[0].price.lookup_key.as_deref() != Some("of_another_product")
            };
            let all: Vec<Subscribed> = all.into_iter().filter(is_configured).collect();
            let later = next(&stored(PlanTier::Free), &earlier);
            prop_assert_eq!(next(&stored(PlanTier::Free), &all), next(&later, &all));
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
            let plan = |now| decided(&at(seconds(now), None, &all));
            if let (Some(now), Some(then)) = (plan(NOW), plan(NOW + later)) {
                prop_assert!(then <= now);
            }
        }
    }
}
