//! Billing: the real server against a Stripe at the HTTP level. What Stripe does comes from the fake, and reaches the server
//! only as events and as answers to its requests.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use han_db::queries::{memberships, users};
use han_server::billing::{API_VERSION, TEAM_METADATA};
use han_server::config::StripeConfig;
use han_testkit::{
    FakeStripe, STRIPE_VERSION, StripeFault, TestClock, TestDatabase, both_databases, stripe_signature,
};
use han_types::{Clock as _, Role, TeamId, UserId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Person, TestServer, answer, command, command_with, problem};

const KEY: &str = "sk_test_of_the_fake";
const SECRET: &str = "whsec_of_the_tests";
const PREVIOUS: &str = "whsec_of_before";
const DAY: i64 = 86_400;

/// A server with billing, and its Stripe.
struct Case {
    server: TestServer,
    stripe: FakeStripe,
    endpoint: String,
}

impl Case {
    async fn start(db: &TestDatabase) -> Self {
        let clock = TestClock::default();
        let stripe = FakeStripe::start(KEY, clock.clone()).await;
        Self::start_on(db, clock, stripe).await
    }

    async fn start_on(db: &TestDatabase, clock: TestClock, stripe: FakeStripe) -> Self {
        let account = account(&stripe);
        let server = TestServer::start_at(db, clock, |config| {
            config.plans.billing_configured = true;
            config.stripe = Some(account);
        })
        .await;
        let endpoint = format!("{}/webhooks/stripe", server.url);
        Self { server, stripe, endpoint }
    }

    /// Another server on the same database, which runs the jobs at once.
    async fn restart(self, db: &TestDatabase) -> Self {
        let (clock, stripe) = (self.server.clock.clone(), self.stripe);
        self.server.stop().await;
        db.execute("UPDATE jobs SET due_at = 0").await;
        Self::start_on(db, clock, stripe).await
    }

    /// The data of an operation of a user, or the code and the text of its error.
    async fn ask(&self, user: &UserId, query: &str) -> Result<Value, (String, String)> {
        let token = self.server.jwt.mint(user, None, self.server.db.entropy()).unwrap();
        let response = self.server.graphql(&token, query).send().await.unwrap();
        let (status, mut body) = answer(response).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        match body["errors"].get(0) {
            Some(error) => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                Err((text(&error["extensions"]["code"]), text(&error["message"])))
            }
            None => Ok(body["data"].take()),
        }
    }

    async fn checkout(&self, person: &Person, plan: &str) -> Result<String, (String, String)> {
        let query = format!(
            "mutation {{ createCheckoutSession(teamId: \"{}\", plan: {plan}, interval: MONTHLY) }}",
            person.team_id
        );
        let data = self.ask(&person.user_id, &query).await?;
        Ok(data["createCheckoutSession"].as_str().unwrap().to_owned())
    }

    async fn portal(&self, person: &Person) -> Result<String, (String, String)> {
        let query = format!("mutation {{ createBillingPortalSession(teamId: \"{}\") }}", person.team_id);
        let data = self.ask(&person.user_id, &query).await?;
        Ok(data["createBillingPortalSession"].as_str().unwrap().to_owned())
    }

    /// The team of a person: plan and state of payment.
    async fn plan(&self, person: &Person) -> (String, String) {
        let team = self.team(person).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&team["plan"]), text(&team["paymentState"]))
    }

    async fn team(&self, person: &Person) -> Value {
        let query = "{ myTeams { plan paymentState cancelsAt graceUntil billingPortal } }";
        let mut data = self.ask(&person.user_id, query).await.unwrap();
        data["myTeams"][0].take()
    }

    /// Sends the events that Stripe has now, until each is accepted.
    async fn deliver(&self) {
        self.stripe.deliver_all(&self.endpoint, SECRET, &self.stripe.take_events()).await;
    }

    /// A person whose team has paid for Pro, its customer, and its subscription.
    async fn subscribed(&self, name: &str) -> (Person, String, String) {
        let person = self.server.person(name).await;
        let url = self.checkout(&person, "PRO").await.unwrap();
        let subscription = self.stripe.pay(&url);
        self.deliver().await;
        assert_eq!(self.plan(&person).await, plan("PRO", "ACTIVE"));
        let customer = self.customer_of(&person.team_id);
        (person, customer, subscription)
    }

    /// The id of the customer that Stripe has for a team.
    fn customer_of(&self, team: &TeamId) -> String {
        let customers = self.stripe.customers();
        let found = customers.iter().find(|one| one["metadata"][TEAM_METADATA] == team.as_str());
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Runs `billing reconcile`: what it printed, and its messages.
    async fn reconcile(&self, db: &TestDatabase, options: &[&str]) -> Result<(String, String), String> {
        let url = self.stripe.url();
        let variables =
            [("STRIPE_SECRET_KEY", KEY), ("STRIPE_WEBHOOK_SECRET", SECRET), ("STRIPE_API_BASE", &url)];
        let args: Vec<&str> = ["billing", "reconcile"].into_iter().chain(options.iter().copied()).collect();
        command_with(db.url(), &self.server, &variables, &args).await
    }

    /// As [`Case::reconcile`], whether or not it asks for a decision; everything that it wrote.
    async fn report(&self, db: &TestDatabase, options: &[&str]) -> String {
        match self.reconcile(db, options).await {
            Ok((printed, messages)) => printed + &messages,
            Err(report) => report,
        }
    }

    /// Waits until a team has this plan and state.
    async fn until(&self, person: &Person, expected: (&str, &str)) {
        while self.plan(person).await != plan(expected.0, expected.1) {
            tokio::task::yield_now().await;
        }
    }
}

fn account(stripe: &FakeStripe) -> StripeConfig {
    StripeConfig {
        api_base: stripe.url(),
        retry_delay: Duration::from_millis(1),
        timeout: Duration::from_millis(1500),
        ..StripeConfig::new(KEY.into(), vec![SECRET.into(), PREVIOUS.into()])
    }
}

fn plan(plan: &str, payment: &str) -> (String, String) {
    (plan.to_owned(), payment.to_owned())
}

fn code<T: std::fmt::Debug>(refused: Result<T, (String, String)>) -> String {
    refused.unwrap_err().0
}

both_databases!(
    async fn a_team_pays_changes_and_cancels_its_plan(db: TestDatabase) {
        let case = Case::start(&db).await;
        let ada = case.server.person("ada").await;
        assert_eq!(case.plan(&ada).await, plan("FREE", "NONE"));
        assert_eq!(case.team(&ada).await["billingPortal"], false);
        let url = case.checkout(&ada, "PRO").await.unwrap();
        assert!(url.starts_with("https://checkout.stripe.com/"), "{url}");
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("FREE", "NONE"), "a page that was opened is not paid");

        let subscription = case.stripe.pay(&url);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        assert_eq!(case.team(&ada).await["billingPortal"], true);
        let portal = case.portal(&ada).await.unwrap();
        assert!(portal.starts_with("https://billing.stripe.com/"), "{portal}");

        case.stripe.set_price(&subscription, "han_enterprise_yearly");
        case.stripe.set_quantity(&subscription, 7);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "ACTIVE"));
        assert_eq!(db.text("SELECT CAST(paid_seats AS text) FROM teams").await, "7");

        case.stripe.set_cancel_at_period_end(&subscription, true);
        case.deliver().await;
        let team = case.team(&ada).await;
        let end = case.server.clock.now().plus_seconds(30 * DAY).to_rfc3339();
        assert_eq!((&team["plan"], &team["cancelsAt"]), (&json!("ENTERPRISE"), &json!(end)));
        case.stripe.set_cancel_at_period_end(&subscription, false);
        case.deliver().await;
        assert_eq!(case.team(&ada).await["cancelsAt"], Value::Null);

        case.stripe.end(&subscription);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"));
        // The same customer subscribes again.
        let again = case.checkout(&ada, "PRO").await.unwrap();
        case.stripe.pay(&again);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        assert_eq!(case.stripe.customers().len(), 1);
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_plan_stays_for_the_grace_period_after_a_payment_failed(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        let failed_at = case.server.clock.now();
        case.stripe.fail_renewal(&subscription);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "PAYMENT_FAILED"));
        let until = failed_at.plus_seconds(14 * DAY).to_rfc3339();
        assert_eq!(case.team(&ada).await["graceUntil"], until);
        // Another unpaid invoice does not begin it again.
        case.server.clock.advance_seconds(5 * DAY);
        case.stripe.fail_renewal(&subscription);
        case.deliver().await;
        assert_eq!(case.team(&ada).await["graceUntil"], until);
        case.stripe.recover(&subscription);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        assert_eq!(case.team(&ada).await["graceUntil"], Value::Null);

        case.stripe.fail_renewal(&subscription);
        case.deliver().await;
        case.server.clock.advance_seconds(14 * DAY);
        // No event says that it has ended: the job does.
        let case = case.restart(&db).await;
        case.until(&ada, ("FREE", "PAYMENT_FAILED")).await;
        case.stripe.recover(&subscription);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        for (status, expected) in [
            ("unpaid", ("FREE", "UNPAID")),
            ("paused", ("FREE", "PAUSED")),
            ("trialing", ("PRO", "TRIALING")),
            ("active", ("PRO", "ACTIVE")),
        ] {
            case.stripe.set_status(&subscription, status);
            case.deliver().await;
            assert_eq!(case.plan(&ada).await, plan(expected.0, expected.1), "{status}");
        }
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_subscription_that_was_never_paid_decides_nothing(db: TestDatabase) {
        let case = Case::start(&db).await;
        let ada = case.server.person("ada").await;
        db.execute("UPDATE teams SET plan_tier = 'enterprise'").await;
        case.checkout(&ada, "PRO").await.unwrap();
        let customer = case.customer_of(&ada.team_id);
        let subscription = case.stripe.subscribe(&customer, "han_pro_monthly", "incomplete");
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "INCOMPLETE"));
        case.stripe.set_status(&subscription, "incomplete_expired");
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "NONE"));
        // A price that is not configured changes no plan, whatever its state.
        let foreign = case.stripe.subscribe(&customer, "another_product", "active");
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "NONE"));
        case.stripe.end(&foreign);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "NONE"));
        case.server.stop().await;
    }
);

both_databases!(
    async fn another_product_counts_for_nothing(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, customer, subscription) = case.subscribed("ada").await;
        let foreign = case.stripe.subscribe(&customer, "another_product", "past_due");
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        let (printed, _) = case.reconcile(&db, &[]).await.unwrap();
        assert_eq!(printed, "", "none of them has to be cancelled");
        case.stripe.end(&subscription);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"));
        assert_eq!(case.team(&ada).await["graceUntil"], Value::Null);
        // The team can subscribe beside it.
        let url = case.checkout(&ada, "PRO").await.unwrap();
        case.stripe.pay(&url);
        case.stripe.end(&foreign);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_price_that_was_removed_from_the_configuration_is_still_for_its_plan(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        // For the server, this is the same as another configuration.
        case.stripe.set_price(&subscription, "another_product");
        for (status, expected) in
            [("active", ("PRO", "ACTIVE")), ("unpaid", ("FREE", "UNPAID")), ("active", ("PRO", "ACTIVE"))]
        {
            case.stripe.set_status(&subscription, status);
            case.deliver().await;
            assert_eq!(case.plan(&ada).await, plan(expected.0, expected.1));
            let (printed, _) = case.reconcile(&db, &[]).await.unwrap();
            assert_eq!(printed, "", "{status}");
        }
        assert_eq!(code(case.checkout(&ada, "PRO").await), "CONFLICT");
        // What an operator sets is set back, as the command has said.
        db.execute("UPDATE teams SET plan_tier = 'enterprise'").await;
        case.stripe.set_quantity(&subscription, 4);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        case.stripe.end(&subscription);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"));
        case.server.stop().await;
    }
);

both_databases!(
    async fn only_admins_open_pages_and_only_where_billing_is_configured(db: TestDatabase) {
        let case = Case::start(&db).await;
        let ada = case.server.person("ada").await;
        let ben = case.server.colleague(&ada, "ben").await;
        let eve = case.server.person("eve").await;
        let as_user = |person: &Person| Person {
            user_id: person.user_id.clone(),
            team_id: ada.team_id.clone(),
            key_id: person.key_id.clone(),
            key: person.key.clone(),
        };
        assert_eq!(code(case.checkout(&as_user(&ben), "PRO").await), "FORBIDDEN");
        assert_eq!(code(case.portal(&as_user(&ben)).await), "FORBIDDEN");
        assert_eq!(code(case.checkout(&as_user(&eve), "PRO").await), "NOT_FOUND");
        assert_eq!(code(case.portal(&as_user(&eve)).await), "NOT_FOUND");
        let by_key = format!("mutation {{ createBillingPortalSession(teamId: \"{}\") }}", ada.team_id);
        let (_, body) = answer(case.server.graphql(&ada.key, &by_key).send().await.unwrap()).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN");

        assert_eq!(code(case.checkout(&ada, "FREE").await), "BAD_USER_INPUT");
        assert_eq!(code(case.portal(&ada).await), "CONFLICT", "there is no customer yet");
        assert!(case.stripe.requests().is_empty(), "nothing was asked of Stripe");
        let url = case.checkout(&ada, "PRO").await.unwrap();
        case.stripe.pay(&url);
        // Stripe knows of the payment before its event arrives.
        assert_eq!(code(case.checkout(&ada, "PRO").await), "CONFLICT");
        case.stripe.archive_price("han_enterprise_monthly");
        let (refused, text) = case.checkout(&ada, "ENTERPRISE").await.unwrap_err();
        assert_eq!(refused, "UNAVAILABLE");
        assert!(text.contains("operator must create it"), "{text}");
        case.server.stop().await;

        let without = TestServer::start(&db).await;
        let token = without.jwt.mint(&ada.user_id, None, without.db.entropy()).unwrap();
        for field in [
            format!("createCheckoutSession(teamId: \"{}\", plan: PRO, interval: YEARLY)", ada.team_id),
            format!("createBillingPortalSession(teamId: \"{}\")", ada.team_id),
        ] {
            let query = format!("mutation {{ {field} }}");
            let (_, body) = answer(without.graphql(&token, &query).send().await.unwrap()).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "UNSUPPORTED", "{body}");
            assert!(body["errors"][0]["message"].as_str().unwrap().contains("no billing"));
        }
        let refused = without.post("/webhooks/stripe").body("{}").send().await.unwrap();
        assert_eq!(problem(refused).await.0, 404);
        let refused = command(&db, &without, &["billing", "reconcile"]).await.unwrap_err();
        assert!(refused.contains("STRIPE_SECRET_KEY"), "{refused}");
        without.stop().await;
    }
);

both_databases!(
    async fn concurrent_checkouts_of_a_team_have_one_customer(db: TestDatabase) {
        let case = Case::start(&db).await;
        let ada = case.server.person("ada").await;
        // Another admin, at the same moment.
        let ben = users::create(&case.server.db, "ben").await.unwrap();
        memberships::put(&case.server.db, &ada.team_id, &ben.id, Role::Admin).await.unwrap();
        let query = format!(
            "mutation {{ createCheckoutSession(teamId: \"{}\", plan: PRO, interval: YEARLY) }}",
            ada.team_id
        );
        let asked = (0..10).map(|n| case.ask(if n % 2 == 0 { &ada.user_id } else { &ben.id }, &query));
        let urls: BTreeSet<String> = join_all(asked)
            .await
            .into_iter()
            .map(|data| data.unwrap()["createCheckoutSession"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(urls.len(), 10, "each has its page");
        let customers = case.stripe.customers();
        assert_eq!(customers.len(), 1, "{customers:?}");
        let bound = db.text("SELECT stripe_customer_id FROM teams").await;
        assert_eq!(customers[0]["id"], bound);
        for request in case.stripe.requests() {
            if request.call == "POST /v1/checkout/sessions" {
                let of = request.parameters.iter().find(|(name, _)| name == "customer");
                assert_eq!(of.unwrap().1, bound);
            }
        }
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_customer_that_was_deleted_at_stripe_is_replaced(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, customer, _) = case.subscribed("ada").await;
        case.stripe.delete_customer(&customer);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await.0, "FREE");
        assert_eq!(case.team(&ada).await["billingPortal"], false);
        assert_eq!(code(case.portal(&ada).await), "CONFLICT");
        let url = case.checkout(&ada, "PRO").await.unwrap();
        case.stripe.pay(&url);
        case.deliver().await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        assert_ne!(case.customer_of(&ada.team_id), customer);
        case.server.stop().await;
    }
);

both_databases!(
    async fn calls_to_stripe_are_repeated_with_the_same_key(db: TestDatabase) {
        let case = Case::start(&db).await;
        let posts = |call: &str| {
            let all = case.stripe.requests().into_iter().filter(|request| request.call == call);
            all.map(|request| request.idempotency_key.unwrap()).collect::<Vec<_>>()
        };
        for (n, fault) in [
            StripeFault::LostResponse,
            StripeFault::InProgress,
            StripeFault::Down,
            StripeFault::RateLimited(0),
        ]
        .into_iter()
        .enumerate()
        {
            let person = case.server.person(&format!("team{n}")).await;
            // The price is answered. The customer fails twice.
            case.stripe.pass_next(1);
            case.stripe.fail_next(fault, 2);
            let (customers, made) = (posts("POST /v1/customers").len(), case.stripe.customers().len());
            case.checkout(&person, "PRO").await.unwrap();
            let keys = posts("POST /v1/customers");
            assert_eq!(keys.len(), customers + 3, "{fault:?}");
            assert!(keys[customers..].iter().all(|key| *key == keys[customers]), "{keys:?}");
            assert_eq!(case.stripe.customers().len(), made + 1, "{fault:?}");

            let portals = posts("POST /v1/billing_portal/sessions").len();
            case.stripe.fail_next(fault, 2);
            case.portal(&person).await.unwrap();
            case.portal(&person).await.unwrap();
            let keys = posts("POST /v1/billing_portal/sessions");
            let [first, second, third, other] = &keys[portals..] else { panic!("{keys:?}") };
            assert!(first == second && second == third, "{keys:?}");
            assert_ne!(third, other, "another call has another key");
        }
        let requests = case.stripe.requests();
        assert!(requests.iter().all(|request| request.version.as_deref() == Some(API_VERSION)));
        assert!(
            requests
                .iter()
                .all(|request| request.call.starts_with("POST") == request.idempotency_key.is_some())
        );
        assert_eq!(API_VERSION, STRIPE_VERSION);
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_failure_of_stripe_does_not_block_a_team_for_a_day(db: TestDatabase) {
        let case = Case::start(&db).await;
        // The only call for which the key is the same each time. Stripe repeats its failure for it.
        let ada = case.server.person("ada").await;
        // The price is answered, the customer fails.
        case.stripe.pass_next(1);
        case.stripe.fail_next(StripeFault::Failed, 1);
        case.checkout(&ada, "PRO").await.unwrap();
        assert_eq!(case.stripe.customers().len(), 1);
        let keys: BTreeSet<String> = case
            .stripe
            .requests()
            .into_iter()
            .filter(|request| request.call == "POST /v1/customers")
            .map(|request| request.idempotency_key.unwrap())
            .collect();
        assert_eq!(keys.len(), 2, "{keys:?}");

        // It fails for every key, and repeats that, as long as it likes: a minute later, the key is another.
        let ben = case.server.person("ben").await;
        case.stripe.pass_next(1);
        for _ in 0..3 {
            // Once more with the same key, which is answered with the same failure.
            case.stripe.fail_next(StripeFault::Failed, 1);
            case.stripe.pass_next(1);
        }
        assert_eq!(code(case.checkout(&ben, "PRO").await), "UNAVAILABLE");
        assert_eq!(code(case.checkout(&ben, "PRO").await), "UNAVAILABLE");
        case.server.clock.advance_seconds(60);
        let asked = case.stripe.requests().len();
        case.checkout(&ben, "PRO").await.unwrap();
        assert_eq!(case.stripe.customers().len(), 2);
        let posts = case.stripe.requests().split_off(asked);
        let posts = posts.iter().filter(|request| request.call == "POST /v1/customers");
        assert_eq!(posts.count(), 3, "a repeated failure is not asked for again");

        // A refusal that Stripe repeats is left behind in the same way.
        let cy = case.server.person("cy").await;
        case.stripe.pass_next(1);
        case.stripe.fail_next(StripeFault::Declined, 1);
        assert_eq!(code(case.checkout(&cy, "PRO").await), "UNAVAILABLE");
        case.checkout(&cy, "PRO").await.unwrap();
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_key_of_another_account_takes_no_plan_away(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, customer, _) = case.subscribed("ada").await;
        let (ben, of_ben, _) = case.subscribed("ben").await;
        // The account of test mode, for example, whose ids are others.
        let clock = case.server.clock.clone();
        let (real, other) = (case.stripe, FakeStripe::start(KEY, clock.clone()).await);
        case.server.stop().await;
        db.execute("UPDATE jobs SET due_at = 0").await;
        let case = Case::start_on(&db, clock.clone(), other).await;
        let failed = "SELECT COALESCE(last_error, '') FROM jobs WHERE name = 'billing-reconcile'";
        while !db.text(failed).await.contains("could not be compared") {
            tokio::task::yield_now().await;
        }
        let report = case.report(&db, &[]).await;
        for customer in [&customer, &of_ben] {
            assert!(report.contains(&format!("Stripe has no customer {customer}")), "{report}");
        }
        assert!(report.contains("another account") && report.contains("2 customer(s) could not"), "{report}");
        let event = json!({
            "id": "evt_9", "type": "customer.subscription.updated", "created": clock.now().seconds(),
            "data": { "object": { "customer": customer } },
        });
        assert_eq!(case.stripe.deliver(&case.endpoint, SECRET, &event).await, Some(503));
        for person in [&ada, &ben] {
            assert_eq!(case.plan(person).await, plan("PRO", "ACTIVE"));
            assert_eq!(code(case.checkout(person, "PRO").await), "UNAVAILABLE");
            assert_eq!(code(case.portal(person).await), "UNAVAILABLE");
        }
        assert!(case.stripe.customers().is_empty(), "no customer is replaced");
        // The subscriptions of a deleted team are not forgotten.
        command(&db, &case.server, &["team", "delete", "--team", "ben", "--confirm", "ben"]).await.unwrap();
        let asked = case.stripe.requests().len();
        let case = case.restart(&db).await;
        while case.stripe.requests().len() == asked {
            tokio::task::yield_now().await;
        }
        case.server.stop().await;
        let open = "SELECT CAST(count(*) AS text) FROM stripe_cancellations WHERE finished_at IS NULL";
        assert_eq!(db.text(open).await, "1");
        db.execute("UPDATE jobs SET due_at = 0").await;
        let case = Case::start_on(&db, clock, real).await;
        while case.stripe.subscriptions(&of_ben)[0]["status"] != "canceled" {
            tokio::task::yield_now().await;
        }
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_stripe_that_fails_gets_an_error_without_secrets(db: TestDatabase) {
        let case = Case::start(&db).await;
        let ada = case.server.person("ada").await;
        case.checkout(&ada, "PRO").await.unwrap();
        for (fault, times) in [
            (StripeFault::Down, 3),
            (StripeFault::RateLimited(3600), 1),
            (StripeFault::Page, 1),
            (StripeFault::Endless, 1),
            (StripeFault::LostResponse, 3),
            (StripeFault::Silent, 3),
        ] {
            case.stripe.fail_next(fault, times);
            let (refused, text) = case.portal(&ada).await.unwrap_err();
            assert_eq!(refused, "UNAVAILABLE", "{fault:?}");
            assert!(!text.contains("sk_test") && text.contains("try again"), "{text}");
        }
        case.portal(&ada).await.unwrap();
        // A wrong key: Stripe quotes it, the server does not.
        let account = account(&case.stripe);
        let (clock, stripe) = (case.server.clock.clone(), case.stripe);
        case.server.stop().await;
        let server = TestServer::start_at(&db, clock, |config| {
            config.plans.billing_configured = true;
            config.stripe = Some(StripeConfig { secret_key: "sk_test_wrong_hunter2".into(), ..account });
        })
        .await;
        let endpoint = format!("{}/webhooks/stripe", server.url);
        let case = Case { server, stripe, endpoint };
        let (refused, text) = case.portal(&ada).await.unwrap_err();
        assert_eq!(refused, "UNAVAILABLE");
        assert!(!text.contains("hunter2"), "{text}");
        let url = case.stripe.url();
        let variables = [("STRIPE_SECRET_KEY", "sk_test_wrong_hunter2"), ("STRIPE_API_BASE", url.as_str())];
        let refused =
            command_with(db.url(), &case.server, &variables, &["billing", "reconcile"]).await.unwrap_err();
        assert!(refused.contains("401") && refused.contains("STRIPE_SECRET_KEY"), "{refused}");
        assert!(refused.contains("GET /v1/subscriptions: "), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
        case.server.stop().await;
    }
);

// ---- events -------------------------------------------------------------------------------------------------

both_databases!(
    async fn an_event_needs_a_valid_signature(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        case.stripe.end(&subscription);
        let events = case.stripe.take_events();
        let body = events[0].to_string();
        let now = case.server.clock.now().seconds();
        let send = async |body: &str, header: Option<String>| {
            let mut request = case.server.post("/webhooks/stripe").body(body.to_owned());
            if let Some(header) = header {
                request = request.header("stripe-signature", header);
            }
            request.send().await.unwrap()
        };
        for (sent, header, kind) in [
            (body.as_str(), None, "bad_request"),
            (body.as_str(), Some("nonsense".to_owned()), "invalid_signature"),
            (body.as_str(), Some(stripe_signature(&["whsec_other"], now, &body)), "invalid_signature"),
            (&format!("{body} "), Some(stripe_signature(&[SECRET], now, &body)), "invalid_signature"),
            (body.as_str(), Some(stripe_signature(&[SECRET], now - 301, &body)), "invalid_signature"),
            (body.as_str(), Some(stripe_signature(&[SECRET], now + 301, &body)), "invalid_signature"),
            (body.as_str(), Some(stripe_signature(&[SECRET], 0, &body)), "invalid_signature"),
            ("{}", Some(stripe_signature(&[SECRET], now, "{}")), "bad_request"),
        ] {
            let refused = problem(send(sent, header.clone()).await).await;
            assert_eq!((refused.0, refused.1.as_str()), (400, kind), "{header:?}");
        }
        let two = case.server.post("/webhooks/stripe").body(body.clone());
        let header = stripe_signature(&[SECRET], now, &body);
        let two = two.header("stripe-signature", &header).header("stripe-signature", &header);
        assert_eq!(two.send().await.unwrap().status(), 400);
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"), "nothing was applied");
        // While the secret is replaced, the previous one counts, and Stripe sends one signature for each.
        for secrets in [&[PREVIOUS][..], &["whsec_of_the_future", SECRET]] {
            let header = stripe_signature(secrets, now + 300, &body);
            assert_eq!(send(&body, Some(header)).await.status(), 200);
        }
        assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"));
        case.server.stop().await;
    }
);

/// The transactions of requests so far. Background work has others.
fn transactions(server: &TestServer) -> Vec<(&'static str, u64)> {
    let background =
        ["changes.", "jobs.", "replicas.", "search", "consolidation.", "prices.", "team_work.", "keks."];
    let due = [
        "deletion_requests.due",
        "conversion.due",
        "billing.past_grace",
        "billing.cancellations",
        "billing.trim_events",
        "billing.customers",
        "team_keys.uses",
    ];
    let stats = server.db.transaction_stats().into_iter();
    let of_requests =
        |name: &str| !background.iter().any(|prefix| name.starts_with(prefix)) && !due.contains(&name);
    let count = |stats: han_db::TransactionStats| {
        stats.committed + stats.refused + stats.retried + stats.failed + stats.cancelled
    };
    stats.filter(|(name, _)| of_requests(name)).map(|(name, stats)| (name, count(stats))).collect()
}

both_databases!(
    async fn an_event_that_is_too_large_or_not_signed_costs_no_statement(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (_, customer, _) = case.subscribed("ada").await;
        let now = case.server.clock.now().seconds();
        let asked = case.stripe.requests().len();
        let before = transactions(&case.server);
        let large = format!("{{\"id\":\"evt_1\",\"x\":\"{}\"}}", "x".repeat(1 << 20));
        let signed = stripe_signature(&[SECRET], now, &large);
        // By the length in its head, before any of the body.
        let mut stream = TcpStream::connect(case.server.url.trim_start_matches("http://")).await.unwrap();
        let head = format!(
            "POST /webhooks/stripe HTTP/1.1\r\nhost: localhost\r\nstripe-signature: {signed}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            large.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answered = String::new();
        stream.read_to_string(&mut answered).await.unwrap();
        assert!(answered.starts_with("HTTP/1.1 413 "), "{answered}");
        // Without a length in its head.
        let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
            large.into_bytes().chunks(1 << 16).map(|chunk| Ok(chunk.to_vec())).collect();
        let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let sent = case.server.post("/webhooks/stripe").header("stripe-signature", signed).body(stream);
        assert_eq!(problem(sent.send().await.unwrap()).await.0, 413);
        let event = json!({ "id": "evt_x", "type": "invoice.paid", "created": now, "data": { "object": { "customer": customer } } });
        let sent = case.server.post("/webhooks/stripe").body(event.to_string());
        assert_eq!(problem(sent.send().await.unwrap()).await.0, 400);
        let forged = stripe_signature(&["whsec_other"], now, &event.to_string());
        let sent =
            case.server.post("/webhooks/stripe").header("stripe-signature", forged).body(event.to_string());
        assert_eq!(problem(sent.send().await.unwrap()).await.0, 400);
        // Signed, but about nothing that matters.
        let other = json!({ "id": "evt_y", "type": "charge.succeeded", "created": now, "data": { "object": { "customer": customer } } });
        assert_eq!(case.stripe.deliver(&case.endpoint, SECRET, &other).await, Some(200));
        assert_eq!(transactions(&case.server), before);
        assert_eq!(case.stripe.requests().len(), asked);
        // The same with a valid signature does cost some, so the counters count.
        assert_eq!(case.stripe.deliver(&case.endpoint, SECRET, &event).await, Some(200));
        assert_ne!(transactions(&case.server), before);
        case.server.stop().await;
    }
);

both_databases!(
    async fn an_event_is_applied_once_and_a_customer_of_no_team_is_acknowledged(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        case.stripe.set_price(&subscription, "han_enterprise_monthly");
        let events = case.stripe.take_events();
        case.stripe.deliver_all(&case.endpoint, SECRET, &events).await;
        let asked = case.stripe.requests().len();
        let version = db.text("SELECT CAST(billing_version AS text) FROM teams").await;
        let again = (0..5).map(|_| case.stripe.deliver(&case.endpoint, SECRET, &events[0]));
        assert!(join_all(again).await.into_iter().all(|status| status == Some(200)));
        assert_eq!(case.stripe.requests().len(), asked, "a repeated event asks nothing");
        assert_eq!(db.text("SELECT CAST(billing_version AS text) FROM teams").await, version);
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "ACTIVE"));

        let rows = db.text("SELECT CAST(count(*) AS text) FROM stripe_events").await;
        let stranger = case.stripe.add_customer();
        case.stripe.subscribe(&stranger, "han_pro_monthly", "active");
        case.deliver().await;
        assert_eq!(db.text("SELECT CAST(count(*) AS text) FROM stripe_events").await, rows);
        // An event without a customer, and one of a checkout that has sold no subscription.
        let now = case.server.clock.now().seconds();
        for kind in ["invoice.paid", "checkout.session.completed"] {
            let event = json!({ "id": "evt_z", "type": kind, "created": now, "data": { "object": { "customer": null } } });
            assert_eq!(case.stripe.deliver(&case.endpoint, SECRET, &event).await, Some(200));
        }
        case.server.stop().await;
    }
);

/// Makes each transaction that applies an event fail.
async fn break_commits(db: &TestDatabase) {
    if db.is_postgres() {
        // When it commits.
        db.execute(
            "CREATE FUNCTION test_fail() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END $$",
        )
        .await;
        db.execute(
            "CREATE CONSTRAINT TRIGGER test_fail AFTER INSERT ON stripe_events \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_fail()",
        )
        .await;
    } else {
        db.execute(
            "CREATE TRIGGER test_fail AFTER INSERT ON stripe_events BEGIN SELECT RAISE(ABORT, 'failed'); END",
        )
        .await;
    }
}

async fn repair_commits(db: &TestDatabase) {
    if db.is_postgres() {
        db.execute("DROP TRIGGER test_fail ON stripe_events").await;
        db.execute("DROP FUNCTION test_fail").await;
    } else {
        db.execute("DROP TRIGGER test_fail").await;
    }
}

both_databases!(
    async fn an_event_that_fails_is_refused_until_it_is_applied(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        case.stripe.end(&subscription);
        let events = case.stripe.take_events();
        let deliver = async || case.stripe.deliver(&case.endpoint, SECRET, &events[0]).await;
        for (fault, times) in [
            (StripeFault::Down, 3),
            (StripeFault::RateLimited(3600), 1),
            (StripeFault::Page, 1),
            (StripeFault::Endless, 1),
            (StripeFault::Silent, 3),
        ] {
            case.stripe.fail_next(fault, times);
            assert_eq!(deliver().await, Some(503), "{fault:?}");
        }
        break_commits(&db).await;
        let status = deliver().await.unwrap();
        assert!((500..600).contains(&status), "{status}");
        repair_commits(&db).await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        assert_eq!(deliver().await, Some(200));
        assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"));
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_state_that_was_read_earlier_never_replaces_a_later_one(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        case.stripe.set_quantity(&subscription, 2);
        let early = case.stripe.take_events().remove(0);
        // Its answer is made before the end, and arrives after it. Another process applies the end meanwhile.
        case.stripe.fail_next(StripeFault::Held, 1);
        let late = async {
            case.stripe.until_held().await;
            case.stripe.end(&subscription);
            case.reconcile(&db, &[]).await.unwrap();
            assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"));
            case.stripe.release();
        };
        let (status, ()) = tokio::join!(case.stripe.deliver(&case.endpoint, SECRET, &early), late);
        assert_eq!(status, Some(200));
        assert_eq!(case.plan(&ada).await, plan("FREE", "CANCELED"), "an old event reactivates nothing");
        case.server.stop().await;
    }
);

/// What happens at Stripe.
#[derive(Clone, Copy, Debug)]
enum Action {
    Price(&'static str),
    Quantity(u32),
    Cancel(bool),
    FailRenewal,
    Recover,
    Status(&'static str),
    End,
    Subscribe(&'static str),
    Days(i64),
}

/// What happens to the delivery of an event.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    /// It is applied, and the response is lost: Stripe sends it again.
    ResponseLost,
    /// Stripe cannot be asked, so the event is refused.
    StripeDown,
    /// The transaction fails.
    CommitFails,
    /// Two deliveries at the same time.
    Twice,
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => prop::sample::select(vec!["han_pro_monthly", "han_enterprise_yearly"]).prop_map(Action::Price),
        1 => (1..20u32).prop_map(Action::Quantity),
        2 => any::<bool>().prop_map(Action::Cancel),
        3 => Just(Action::FailRenewal),
        3 => Just(Action::Recover),
        2 => prop::sample::select(vec!["active", "unpaid", "paused", "trialing"]).prop_map(Action::Status),
        1 => Just(Action::End),
        1 => prop::sample::select(vec!["han_pro_yearly", "han_enterprise_monthly"]).prop_map(Action::Subscribe),
        1 => (1..20i64).prop_map(Action::Days),
    ]
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives), 2 => Just(Fate::ResponseLost), 1 => Just(Fate::StripeDown),
        1 => Just(Fate::CommitFails), 2 => Just(Fate::Twice),
    ]
}

/// Actions, each with how many of the events that wait are delivered after it; the fates of deliveries, which repeat; and
/// random numbers that choose which event is next.
type Story = (Vec<(Action, usize)>, Vec<Fate>, Vec<prop::sample::Index>);

fn any_story() -> impl Strategy<Value = Story> {
    (
        prop::collection::vec((any_action(), 0..3usize), 1..9),
        prop::collection::vec(any_fate(), 1..8),
        prop::collection::vec(any::<prop::sample::Index>(), 40),
    )
}

/// Does something at Stripe, if it is possible.
fn act(case: &Case, customer: &str, action: Action) {
    let live = case.stripe.subscriptions(customer).into_iter().rfind(|one| one["status"] != "canceled");
    let id = live.as_ref().map(|one| one["id"].as_str().unwrap().to_owned());
    match (action, id) {
        (Action::Days(days), _) => case.server.clock.advance_seconds(days * DAY),
        (Action::Subscribe(key), _) => drop(case.stripe.subscribe(customer, key, "active")),
        (_, None) => {}
        (Action::Price(key), Some(id)) => case.stripe.set_price(&id, key),
        (Action::Quantity(quantity), Some(id)) => case.stripe.set_quantity(&id, quantity),
        (Action::Cancel(cancels), Some(id)) => case.stripe.set_cancel_at_period_end(&id, cancels),
        (Action::FailRenewal, Some(id)) => case.stripe.fail_renewal(&id),
        (Action::Recover, Some(id)) => case.stripe.recover(&id),
        (Action::Status(status), Some(id)) => case.stripe.set_status(&id, status),
        (Action::End, Some(id)) => case.stripe.end(&id),
    }
}

/// Delivers an event with a fate. `true` if Stripe considers it delivered.
async fn deliver(case: &Case, db: &TestDatabase, event: &Value, fate: Fate) -> bool {
    let once = || case.stripe.deliver(&case.endpoint, SECRET, event);
    match fate {
        Fate::Arrives => once().await == Some(200),
        Fate::ResponseLost => {
            once().await;
            false
        }
        Fate::StripeDown => {
            case.stripe.fail_next(StripeFault::Down, 3);
            let delivered = once().await == Some(200);
            // An event that was applied before asks nothing of Stripe.
            case.stripe.clear_faults();
            delivered
        }
        Fate::CommitFails => {
            break_commits(db).await;
            let delivered = once().await == Some(200);
            repair_commits(db).await;
            delivered
        }
        Fate::Twice => {
            let (one, other) = tokio::join!(once(), once());
            one == Some(200) || other == Some(200)
        }
    }
}

/// The plan that the subscriptions at Stripe give, written down once more, from Stripe's documentation.
fn expected_plan(case: &Case, customer: &str) -> &'static str {
    let now = case.server.clock.now().seconds();
    let mut best = 0;
    for one in case.stripe.subscriptions(customer) {
        let item = &one["items"]["data"][0];
        let level = if item["price"]["lookup_key"].as_str().unwrap().contains("enterprise") { 2 } else { 1 };
        let gives = match one["status"].as_str().unwrap() {
            "active" | "trialing" => true,
            "past_due" => case.stripe.unpaid_since(one["id"].as_str().unwrap()).unwrap() + 14 * DAY > now,
            _ => false,
        };
        best = best.max(if gives { level } else { 0 });
    }
    ["FREE", "PRO", "ENTERPRISE"][best]
}

both_databases!(
    async fn any_order_of_events_ends_in_the_state_that_stripe_reports(db: TestDatabase) {
        const STORIES: usize = 24;
        let case = Case::start(&db).await;
        let mut runner = TestRunner::deterministic();
        for n in 0..STORIES {
            let (steps, fates, picks) = any_story().new_tree(&mut runner).unwrap().current();
            let (person, customer, _) = case.subscribed(&format!("team{n}")).await;
            let mut fates = fates.iter().cycle();
            let mut picks = picks.iter().cycle();
            let (mut waiting, mut delivered): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
            let mut next = async |waiting: &mut Vec<Value>, delivered: &mut Vec<Value>| {
                let (fate, pick) = (*fates.next().unwrap(), picks.next().unwrap());
                let at = pick.index(waiting.len());
                if deliver(&case, &db, &waiting[at], fate).await {
                    delivered.push(waiting.remove(at));
                }
            };
            for (action, deliveries) in &steps {
                act(&case, &customer, *action);
                waiting.extend(case.stripe.take_events());
                for _ in 0..*deliveries {
                    if !waiting.is_empty() {
                        next(&mut waiting, &mut delivered).await;
                    }
                }
            }
            for _ in 0..200 {
                if waiting.is_empty() {
                    break;
                }
                next(&mut waiting, &mut delivered).await;
            }
            // Whatever its fates were, Stripe sends an event until it is accepted; and events that were delivered once more.
            waiting.extend(delivered.iter().rev().cloned());
            case.stripe.deliver_all(&case.endpoint, SECRET, &waiting).await;
            let story = format!("story {n}: {steps:?}");
            // What only time changes, no event reports: the job does.
            let report = case.report(&db, &[]).await;
            let (plan, _) = case.plan(&person).await;
            assert_eq!(plan, expected_plan(&case, &customer), "{story}");
            let days = steps.iter().any(|(action, _)| matches!(action, Action::Days(_)));
            assert!(days || report.contains(" 0 difference(s) repaired"), "{story}: {report}");
            let report = case.report(&db, &["--dry-run"]).await;
            assert!(
                report.contains(" 0 difference(s)") && !report.contains("could not"),
                "{story}: {report}"
            );
        }
        case.server.stop().await;
    }
);

both_databases!(
    async fn concurrent_events_of_one_customer_end_in_the_last_state(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        for n in 0..6 {
            case.stripe.set_quantity(&subscription, n + 2);
        }
        case.stripe.set_price(&subscription, "han_enterprise_monthly");
        let events = case.stripe.take_events();
        let all = events
            .iter()
            .map(|event| case.stripe.deliver_all(&case.endpoint, SECRET, std::slice::from_ref(event)));
        join_all(all).await;
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "ACTIVE"));
        assert_eq!(db.text("SELECT CAST(paid_seats AS text) FROM teams").await, "7");
        // A process reads the state of a customer once at a time, so that none of many is refused.
        for n in 0..40 {
            case.stripe.set_quantity(&subscription, n + 1);
        }
        let (events, asked) = (case.stripe.take_events(), case.stripe.requests().len());
        let all = events.iter().map(|event| case.stripe.deliver(&case.endpoint, SECRET, event));
        let statuses = join_all(all).await;
        assert!(statuses.iter().all(|status| *status == Some(200)), "{statuses:?}");
        assert_eq!(case.stripe.requests().len() - asked, 40, "each is read once");
        assert_eq!(db.text("SELECT CAST(paid_seats AS text) FROM teams").await, "40");
        // A customer whose answer takes long holds up no other one.
        let (ben, _, of_ben) = case.subscribed("ben").await;
        case.stripe.set_quantity(&subscription, 2);
        let slow = case.stripe.take_events().remove(0);
        case.stripe.fail_next(StripeFault::Held, 1);
        let other = async {
            case.stripe.until_held().await;
            case.stripe.set_price(&of_ben, "han_enterprise_monthly");
            case.deliver().await;
            assert_eq!(case.plan(&ben).await, plan("ENTERPRISE", "ACTIVE"));
            case.stripe.release();
        };
        let (status, ()) = tokio::join!(case.stripe.deliver(&case.endpoint, SECRET, &slow), other);
        assert_eq!(status, Some(200));
        case.server.stop().await;
    }
);

// ---- reconciliation -----------------------------------------------------------------------------------------

both_databases!(
    async fn a_comparison_repairs_what_lost_events_have_left(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, _, subscription) = case.subscribed("ada").await;
        let (ben, _, _) = case.subscribed("ben").await;
        // More than a page of subscriptions of another product.
        let stranger = case.stripe.add_customer();
        for _ in 0..130 {
            case.stripe.subscribe(&stranger, "another_product", "active");
        }
        case.stripe.set_price(&subscription, "han_enterprise_monthly");
        let _lost = case.stripe.take_events();
        let (printed, messages) = case.reconcile(&db, &["--dry-run"]).await.unwrap();
        assert!(printed.contains("team ada (") && printed.contains("plan pro -> enterprise"), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        assert!(
            messages.contains("2 team(s) compared") && messages.contains("nothing was changed"),
            "{messages}"
        );
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));

        let (printed, _) = case.reconcile(&db, &[]).await.unwrap();
        assert!(printed.contains("plan pro -> enterprise"), "{printed}");
        assert_eq!(case.plan(&ada).await, plan("ENTERPRISE", "ACTIVE"));
        assert_eq!(case.plan(&ben).await, plan("PRO", "ACTIVE"));
        let (printed, _) = case.reconcile(&db, &[]).await.unwrap();
        assert_eq!(printed, "");

        // The job does the same.
        case.stripe.end(&subscription);
        let _lost = case.stripe.take_events();
        let case = case.restart(&db).await;
        case.until(&ada, ("FREE", "CANCELED")).await;
        // Where Stripe fails, nothing changes, and the command says so.
        case.stripe.fail_next(StripeFault::Down, 3);
        let refused = case.reconcile(&db, &[]).await.unwrap_err();
        assert!(refused.contains("503"), "{refused}");
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_comparison_finds_the_customer_of_a_restored_team_and_reports_what_is_open(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (ada, customer, _) = case.subscribed("ada").await;
        // A backup from before the checkout.
        db.execute(
            "UPDATE teams SET stripe_customer_id = NULL, stripe_subscription_id = NULL, plan_tier = 'free', \
             payment_state = 'none'",
        )
        .await;
        let (printed, _) = case.reconcile(&db, &["--dry-run"]).await.unwrap();
        assert!(printed.contains(&format!("customer - -> {customer}")), "{printed}");
        assert_eq!(case.plan(&ada).await, plan("FREE", "NONE"));
        let (printed, _) = case.reconcile(&db, &[]).await.unwrap();
        assert!(printed.contains("plan free -> pro"), "{printed}");
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        // Two subscriptions: an operator must decide.
        case.stripe.subscribe(&customer, "han_pro_monthly", "active");
        let messages = case.reconcile(&db, &[]).await.unwrap_err();
        assert!(
            messages.contains("2 subscriptions") && messages.contains("need your decision"),
            "{messages}"
        );
        // Another customer that names the same team, and one that names a team which does not exist.
        db.execute("UPDATE teams SET stripe_customer_id = 'cus_of_another'").await;
        let messages = case.report(&db, &[]).await;
        assert!(messages.contains("cancel one of them"), "{messages}");
        db.execute("UPDATE teams SET id = 'another', stripe_customer_id = NULL").await;
        let messages = case.report(&db, &[]).await;
        assert!(messages.contains("which does not exist"), "{messages}");
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_checkout_binds_its_customer_to_its_team(db: TestDatabase) {
        let case = Case::start(&db).await;
        let ada = case.server.person("ada").await;
        let ben = case.server.person("ben").await;
        let url = case.checkout(&ada, "PRO").await.unwrap();
        // As if the customer had not been stored.
        db.execute("UPDATE teams SET stripe_customer_id = NULL").await;
        case.stripe.pay(&url);
        let events = case.stripe.take_events();
        let (of_checkout, before): (Vec<Value>, Vec<Value>) =
            events.into_iter().partition(|event| event["type"] == "checkout.session.completed");
        case.stripe.deliver_all(&case.endpoint, SECRET, &before).await;
        assert_eq!(case.plan(&ada).await, plan("FREE", "NONE"), "the customer is no team's yet");
        case.stripe.deliver_all(&case.endpoint, SECRET, &of_checkout).await;
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        // It is not taken from its team by an event that names another one.
        let mut other = of_checkout[0].clone();
        other["id"] = json!("evt_other");
        other["data"]["object"]["metadata"][TEAM_METADATA] = json!(ben.team_id.as_str());
        case.stripe.deliver_all(&case.endpoint, SECRET, &[other]).await;
        assert_eq!(case.plan(&ben).await, plan("FREE", "NONE"));
        assert_eq!(case.plan(&ada).await, plan("PRO", "ACTIVE"));
        case.server.stop().await;
    }
);

both_databases!(
    async fn a_customer_that_fails_does_not_hold_up_the_others(db: TestDatabase) {
        let case = Case::start(&db).await;
        let mut teams = Vec::new();
        for name in ["ada", "ben", "cy", "dan", "eve", "fay", "gil"] {
            teams.push(case.subscribed(name).await);
        }
        let [(ada, _, first), (ben, ..), (cy, gone, _), (dan, _, last), ..] = &teams[..] else { panic!() };
        case.stripe.remove_field(first, "status");
        db.execute(&format!(
            "UPDATE teams SET stripe_customer_id = 'cus_of_before' WHERE stripe_customer_id = '{gone}'"
        ))
        .await;
        case.stripe.set_price(last, "han_enterprise_monthly");
        let _lost = case.stripe.take_events();
        let report = case.reconcile(&db, &[]).await.unwrap_err();
        for expected in [
            "team ada (",
            "format that Stripe documents",
            "no customer cus_of_before",
            "plan pro -> enterprise",
            "1 difference(s) repaired",
            "2 customer(s) could not be compared",
        ] {
            assert!(report.contains(expected), "{expected}: {report}");
        }
        for (person, expected) in [(ada, "PRO"), (ben, "PRO"), (cy, "PRO"), (dan, "ENTERPRISE")] {
            assert_eq!(case.plan(person).await, plan(expected, "ACTIVE"));
        }
        // That of another product does not matter.
        let stranger = case.stripe.add_customer();
        let odd = case.stripe.subscribe(&stranger, "another_product", "active");
        case.stripe.remove_field(&odd, "items");
        let report = case.report(&db, &[]).await;
        assert!(
            report.contains("2 customer(s) could not be compared") && !report.contains(&stranger),
            "{report}"
        );
        // Where nothing works, it is not tried for each.
        case.stripe.set_price(last, "han_pro_monthly");
        case.stripe.pass_next(1);
        case.stripe.fail_next(StripeFault::Down, 500);
        for (_, _, subscription) in &teams {
            case.stripe.set_quantity(subscription, 9);
        }
        let asked = case.stripe.requests().len();
        let report = case.reconcile(&db, &[]).await.unwrap_err();
        assert!(
            report.contains("Stripe answered 503") && report.contains("comparison was stopped"),
            "{report}"
        );
        assert_eq!(case.stripe.requests().len() - asked, 1 + 5 * 3, "five customers, three times each");
        case.server.stop().await;
    }
);

both_databases!(
    async fn an_operator_who_sets_the_plan_of_a_subscriber_gets_a_notice(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (_, _, subscription) = case.subscribed("ada").await;
        let set = async |plan: &str| {
            let url = case.stripe.url();
            let variables =
                [("STRIPE_SECRET_KEY", KEY), ("STRIPE_WEBHOOK_SECRET", SECRET), ("STRIPE_API_BASE", &url)];
            command_with(db.url(), &case.server, &variables, &["team", "plan", "ada", plan]).await.unwrap().1
        };
        let messages = set("enterprise").await;
        assert!(messages.contains(&subscription) && messages.contains("sets it back"), "{messages}");
        db.execute("UPDATE teams SET stripe_subscription_id = NULL").await;
        let messages = set("pro").await;
        assert!(!messages.contains("sets it back"), "{messages}");
        case.server.stop().await;
    }
);

both_databases!(
    async fn an_event_that_does_not_matter_is_acknowledged_whatever_it_contains(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (_, customer, _) = case.subscribed("ada").await;
        let event = |kind: &str, object: Value| {
            let created = case.server.clock.now().seconds();
            json!({ "id": "evt_odd", "type": kind, "created": created, "data": { "object": object } })
        };
        for object in [
            json!({ "customer": 7, "metadata": { "n": 1, "nested": {} } }),
            json!([]),
            json!({ "customer": null, "metadata": null }),
        ] {
            let sent = event("customer.tax_id.created", object);
            assert_eq!(case.stripe.deliver(&case.endpoint, SECRET, &sent).await, Some(200), "{sent}");
        }
        for object in [
            json!({ "customer": customer, "metadata": { "n": 1 } }),
            json!({ "customer": "cus_\0" }),
            json!({ "customer": "c".repeat(300) }),
        ] {
            let odd = event("invoice.paid", object);
            assert_eq!(case.stripe.deliver(&case.endpoint, SECRET, &odd).await, Some(400), "{odd}");
        }
        case.server.stop().await;
    }
);

// ---- deleted teams ------------------------------------------------------------------------------------------

both_databases!(
    async fn a_deleted_team_is_not_billed_on(db: TestDatabase) {
        let case = Case::start(&db).await;
        let (_, customer, subscription) = case.subscribed("ada").await;
        let ben = case.server.person("ben").await;
        let open = case.checkout(&ben, "PRO").await.unwrap();
        let of_ben = case.customer_of(&ben.team_id);
        let state = |customer: &str| -> Vec<String> {
            let all = case.stripe.subscriptions(customer).into_iter();
            all.map(|one| one["status"].as_str().unwrap().to_owned()).collect()
        };
        for slug in ["ada", "ben"] {
            let done =
                command(&db, &case.server, &["team", "delete", "--team", slug, "--confirm", slug]).await;
            done.unwrap();
        }
        assert_eq!(state(&customer), ["active"], "the keys are destroyed without waiting for Stripe");
        // Stripe is down at first.
        case.stripe.fail_next(StripeFault::Down, 50);
        let asked = case.stripe.requests().len();
        let case = case.restart(&db).await;
        while case.stripe.requests().len() == asked {
            tokio::task::yield_now().await;
        }
        case.stripe.clear_faults();
        let case = case.restart(&db).await;
        let state = |customer: &str| -> Vec<String> {
            let all = case.stripe.subscriptions(customer).into_iter();
            all.map(|one| one["status"].as_str().unwrap().to_owned()).collect()
        };
        let open_rows = "SELECT CAST(count(*) AS text) FROM stripe_cancellations WHERE finished_at IS NULL";
        while db.text(open_rows).await != "0" {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(&customer), ["canceled"]);
        let calls = case.stripe.requests();
        assert!(
            calls.iter().any(|request| request.call == format!("DELETE /v1/subscriptions/{subscription}"))
        );
        case.deliver().await;
        // Ben's page was still open.
        case.stripe.pay(&open);
        assert_eq!(state(&of_ben), ["active"]);
        case.deliver().await;
        assert_eq!(db.text(open_rows).await, "1");
        case.reconcile(&db, &["--dry-run"]).await.unwrap();
        assert_eq!(state(&of_ben), ["active"]);
        let (printed, _) = case.reconcile(&db, &[]).await.unwrap();
        assert!(printed.contains("of a deleted team"), "{printed}");
        assert_eq!(state(&of_ben), ["canceled"]);
        assert_eq!(db.text(open_rows).await, "0");
        case.server.stop().await;
    }
);

// ---- the samples of script/lib/check-stripe -----------------------------------------------------------------

/// Form parameters as the object that they stand for: `a[b][0]` is a list in an object in an object.
fn object_of(parameters: &[(String, String)]) -> Value {
    let mut object = Value::Null;
    for (name, value) in parameters {
        let names: Vec<&str> = name.split('[').map(|part| part.trim_end_matches(']')).collect();
        put(&mut object, &names, value);
    }
    object
}

fn put(at: &mut Value, names: &[&str], value: &str) {
    let Some((first, rest)) = names.split_first() else {
        *at = json!(value);
        return;
    };
    // Lists have one element here.
    if first.is_empty() || *first == "0" {
        if at.is_null() {
            *at = json!([null]);
        }
        put(&mut at[0], rest, value);
    } else {
        put(&mut at[*first], rest, value);
    }
}

#[tokio::test]
async fn the_samples_of_requests_and_objects_are_current() {
    let db = TestDatabase::sqlite().await;
    let case = Case::start(&db).await;
    let (ada, _, subscription) = case.subscribed("ada").await;
    case.portal(&ada).await.unwrap();
    case.stripe.fail_renewal(&subscription);
    case.deliver().await;
    case.reconcile(&db, &[]).await.unwrap();
    let requests = case.stripe.requests();
    let types = [
        ("GET /v1/prices", "Stripe.PriceListParams"),
        ("POST /v1/customers", "Stripe.CustomerCreateParams"),
        ("POST /v1/checkout/sessions", "Stripe.Checkout.SessionCreateParams"),
        ("POST /v1/billing_portal/sessions", "Stripe.BillingPortal.SessionCreateParams"),
        ("GET /v1/subscriptions", "Stripe.SubscriptionListParams"),
        ("GET /v1/invoices", "Stripe.InvoiceListParams"),
    ];
    let sample = |(call, kind): (&str, &str)| {
        // The one that says most: jobs ask for less, and may be first.
        let of_call = requests.iter().filter(|request| request.call == call);
        let found = of_call.max_by_key(|request| request.parameters.len()).unwrap();
        json!({ "call": call, "type": kind, "parameters": object_of(&found.parameters) })
    };
    let objects: Vec<Value> = case
        .stripe
        .samples()
        .into_iter()
        .map(|(kind, object)| json!({ "type": kind, "object": object }))
        .collect();
    assert_eq!(objects.len(), 6);
    let samples = json!({
        "version": API_VERSION, "requests": types.map(sample), "objects": objects,
    });
    // Without what is different in each run.
    let text = serde_json::to_string_pretty(&samples).unwrap() + "\n";
    let text =
        text.replace(ada.team_id.as_str(), "team").replace(&case.server.url, "https://han.example.com");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../han-testkit/stripe/samples.json");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(file, &text).unwrap();
    }
    let stored = std::fs::read_to_string(file).unwrap();
    assert!(stored == text, "{file} is not current: run this test with INSTA_UPDATE=always");
    case.server.stop().await;
}
