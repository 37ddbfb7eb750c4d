//! A fake Stripe at the HTTP level that behaves as Stripe's documentation states (docs.stripe.com/api): customers, prices,
//! checkout, the billing portal, subscriptions and invoices; forms, pages of lists, error objects, idempotency keys, and
//! events with signatures. Its objects have every field that the types of the npm package `stripe` require
//! (`script/lib/check-stripe`). Tests do what a person would do at Stripe, and inject faults.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use han_types::Clock as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::TestClock;

/// The version of the API whose objects the fake has.
pub const STRIPE_VERSION: &str = "2026-10-28.endive";

const MONTH: i64 = 30 * 86_400;

/// The prices that exist at first: lookup key, interval, cents.
const PRICES: [(&str, &str, i64); 5] = [
    ("han_pro_monthly", "month", 2_000),
    ("han_pro_yearly", "year", 20_000),
    ("han_enterprise_monthly", "month", 10_000),
    ("han_enterprise_yearly", "year", 100_000),
    ("another_product", "month", 500),
];

/// A fault of Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripeFault {
    /// Nothing is done, and the response is 429, with `Retry-After` in seconds.
    RateLimited(u64),
    /// Nothing is done, and the response is 503.
    Down,
    /// Nothing is done, and the response is 500, which is repeated for the same idempotency key.
    Failed,
    /// Nothing is done, and the response is 402, which is repeated for the same idempotency key.
    Declined,
    /// Nothing is done: another request with the same idempotency key is in progress.
    InProgress,
    /// The request is done, and the connection ends without a complete response.
    LostResponse,
    /// The request is not answered.
    Silent,
    /// The response is 200 with an HTML page.
    Page,
    /// The response is 200 and longer than any that Stripe sends.
    Endless,
    /// The request is done, and its response is held back: see [`FakeStripe::until_held`].
    Held,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct StripeRequest {
    /// `POST /v1/customers`, for example.
    pub call: String,
    /// The parameters, of the query or the form, in their order.
    pub parameters: Vec<(String, String)>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `Stripe-Version`.
    pub version: Option<String>,
}

/// The fake server. Dropping it stops it.
#[derive(Debug)]
pub struct FakeStripe {
    address: SocketAddr,
    shared: Shared,
    hold: Arc<Hold>,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<Stripe>>;

/// A response that is held back.
#[derive(Debug, Default)]
struct Hold {
    arrived: Notify,
    released: Notify,
}

#[derive(Debug)]
struct Stripe {
    secret_key: String,
    clock: TestClock,
    made: u64,
    customers: Vec<Value>,
    /// The ids of those that were deleted.
    deleted_customers: Vec<String>,
    prices: Vec<Value>,
    sessions: Vec<Value>,
    portals: Vec<Value>,
    subscriptions: Vec<Value>,
    invoices: Vec<Value>,
    events: Vec<Value>,
    /// By idempotency key: the request, and the response that is repeated.
    done: HashMap<String, (String, StatusCode, Value)>,
    /// What becomes of the next requests.
    faults: VecDeque<Option<StripeFault>>,
    requests: Vec<StripeRequest>,
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Stripe> {
    shared.lock().unwrap()
}

/// The header `Stripe-Signature` of a body under several secrets, at a time in seconds.
#[must_use]
pub fn stripe_signature(secrets: &[&str], time: i64, body: &str) -> String {
    let signed = secrets.iter().map(|secret| {
        let mac = hmac_sha256(secret.as_bytes(), format!("{time}.{body}").as_bytes());
        format!(",v1={}", mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    });
    format!("t={time}{}", signed.collect::<String>())
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|of_key| of_key ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

impl FakeStripe {
    /// Starts a server with an account that has the secret key, and the prices that Han Teams expects.
    pub async fn start(secret_key: &str, clock: TestClock) -> Self {
        let mut stripe = Stripe {
            secret_key: secret_key.to_owned(),
            clock,
            made: 0,
            customers: Vec::new(),
            deleted_customers: Vec::new(),
            prices: Vec::new(),
            sessions: Vec::new(),
            portals: Vec::new(),
            subscriptions: Vec::new(),
            invoices: Vec::new(),
            events: Vec::new(),
            done: HashMap::new(),
            faults: VecDeque::new(),
            requests: Vec::new(),
        };
        for (lookup_key, interval, cents) in PRICES {
            stripe.add_price(lookup_key, interval, cents);
        }
        let shared: Shared = Arc::new(Mutex::new(stripe));
        let hold = Arc::new(Hold::default());
        let state = (Arc::clone(&shared), Arc::clone(&hold));
        let router = Router::new().fallback(answer).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, hold, task }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    // ---- what an operator does ------------------------------------------------------------------------------

    /// Archives a price, so that it cannot be sold any more.
    pub fn archive_price(&self, lookup_key: &str) {
        let mut stripe = lock(&self.shared);
        let price = stripe.prices.iter_mut().find(|price| price["lookup_key"] == lookup_key).unwrap();
        price["active"] = json!(false);
    }

    /// Deletes a customer, which ends its subscriptions.
    pub fn delete_customer(&self, customer: &str) {
        let mut stripe = lock(&self.shared);
        let ids: Vec<String> = stripe.of_customer(customer).iter().map(|one| text(one, "id")).collect();
        for id in ids {
            stripe.end(&id);
        }
        stripe.customers.retain(|one| one["id"] != customer);
        stripe.deleted_customers.push(customer.to_owned());
    }

    /// Removes a field of a subscription, as a later version of the API may.
    pub fn remove_field(&self, subscription: &str, field: &str) {
        let mut stripe = lock(&self.shared);
        let found = stripe.subscriptions.iter_mut().find(|one| one["id"] == subscription).unwrap();
        found.as_object_mut().unwrap().remove(field);
    }

    // ---- what a customer does -------------------------------------------------------------------------------

    /// Pays on the checkout page with this URL. The result is the id of the subscription.
    pub fn pay(&self, url: &str) -> String {
        lock(&self.shared).pay(url)
    }

    /// Subscribes a customer to a price, in a state. The result is the id of the subscription.
    pub fn subscribe(&self, customer: &str, lookup_key: &str, status: &str) -> String {
        lock(&self.shared).subscribe(customer, lookup_key, status, json!({}))
    }

    /// A new customer of another product.
    #[must_use]
    pub fn add_customer(&self) -> String {
        let mut stripe = lock(&self.shared);
        let made = stripe.make_customer(None, json!({}));
        text(&made, "id")
    }

    /// Changes the price of a subscription, as in the billing portal.
    pub fn set_price(&self, subscription: &str, lookup_key: &str) {
        let mut stripe = lock(&self.shared);
        let price = stripe.price_of(lookup_key).clone();
        stripe.update(subscription, |one| {
            one["items"]["data"][0]["plan"] = plan_of(&price);
            one["items"]["data"][0]["price"] = price.clone();
        });
    }

    /// Changes the quantity of a subscription.
    pub fn set_quantity(&self, subscription: &str, quantity: u32) {
        lock(&self.shared).update(subscription, |one| one["items"]["data"][0]["quantity"] = json!(quantity));
    }

    /// Cancels a subscription at the end of its period, or takes that back.
    pub fn set_cancel_at_period_end(&self, subscription: &str, cancels: bool) {
        lock(&self.shared).update(subscription, |one| one["cancel_at_period_end"] = json!(cancels));
    }

    /// Ends a subscription.
    pub fn end(&self, subscription: &str) {
        lock(&self.shared).end(subscription);
    }

    // ---- what happens ---------------------------------------------------------------------------------------

    /// A new period begins, and its payment fails.
    pub fn fail_renewal(&self, subscription: &str) {
        let mut stripe = lock(&self.shared);
        let invoice = stripe.renew(subscription, "open");
        stripe.update(subscription, |one| {
            one["status"] = json!("past_due");
            one["latest_invoice"] = invoice["id"].clone();
        });
        stripe.emit("invoice.payment_failed", &invoice);
    }

    /// The open invoices of a subscription are paid.
    pub fn recover(&self, subscription: &str) {
        let mut stripe = lock(&self.shared);
        let now = stripe.now();
        let mut paid = Vec::new();
        for invoice in &mut stripe.invoices {
            let of = &invoice["parent"]["subscription_details"]["subscription"];
            if of == subscription && invoice["status"] == "open" {
                invoice["status"] = json!("paid");
                invoice["status_transitions"]["paid_at"] = json!(now);
                paid.push(invoice.clone());
            }
        }
        for invoice in paid {
            stripe.emit("invoice.paid", &invoice);
        }
        stripe.update(subscription, |one| one["status"] = json!("active"));
    }

    /// A subscription gets another state.
    pub fn set_status(&self, subscription: &str, status: &str) {
        lock(&self.shared).update(subscription, |one| one["status"] = json!(status));
    }

    // ---- events, faults, and what a test sees ---------------------------------------------------------------

    /// Takes the events since the last call, in their order.
    #[must_use]
    pub fn take_events(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.shared).events)
    }

    /// Sends an event to an endpoint, signed with its secret. The result is the status, or `None` if there was no response.
    #[cfg(feature = "faults")]
    pub async fn deliver(&self, endpoint: &str, secret: &str, event: &Value) -> Option<u16> {
        let body = event.to_string();
        let time = lock(&self.shared).now();
        let request = reqwest::Client::new()
            .post(endpoint)
            .header("stripe-signature", stripe_signature(&[secret], time, &body))
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(body);
        request.send().await.ok().map(|response| response.status().as_u16())
    }

    /// Sends events to an endpoint, each until it is accepted, but at most eight times: the last ones of Stripe's retries
    /// come days later.
    #[cfg(feature = "faults")]
    pub async fn deliver_all(&self, endpoint: &str, secret: &str, events: &[Value]) {
        for event in events {
            let mut statuses = Vec::new();
            while !statuses.last().is_some_and(|status| matches!(status, Some(200..300))) {
                assert!(statuses.len() < 8, "{event} was refused: {statuses:?}");
                statuses.push(self.deliver(endpoint, secret, event).await);
            }
        }
    }

    /// The next `times` requests fail.
    pub fn fail_next(&self, fault: StripeFault, times: usize) {
        lock(&self.shared).faults.extend(std::iter::repeat_n(Some(fault), times));
    }

    /// The next `times` requests are answered, before those that fail.
    pub fn pass_next(&self, times: usize) {
        lock(&self.shared).faults.extend(std::iter::repeat_n(None, times));
    }

    /// No further request fails.
    pub fn clear_faults(&self) {
        lock(&self.shared).faults.clear();
    }

    /// When the oldest open invoice of a subscription was made, in seconds.
    #[must_use]
    pub fn unpaid_since(&self, subscription: &str) -> Option<i64> {
        let stripe = lock(&self.shared);
        let of = |one: &&Value| one["parent"]["subscription_details"]["subscription"] == subscription;
        let open = stripe.invoices.iter().filter(of).filter(|one| one["status"] == "open");
        open.filter_map(|one| one["created"].as_i64()).min()
    }

    /// Waits until a request was done whose response is held back ([`StripeFault::Held`]).
    pub async fn until_held(&self) {
        self.hold.arrived.notified().await;
    }

    /// Sends the response that is held back.
    pub fn release(&self) {
        self.hold.released.notify_one();
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<StripeRequest> {
        lock(&self.shared).requests.clone()
    }

    /// Every customer that exists.
    #[must_use]
    pub fn customers(&self) -> Vec<Value> {
        lock(&self.shared).customers.clone()
    }

    /// The subscriptions of a customer.
    #[must_use]
    pub fn subscriptions(&self, customer: &str) -> Vec<Value> {
        lock(&self.shared).of_customer(customer).into_iter().cloned().collect()
    }

    /// One object of each kind, by the name of its type in the npm package `stripe`.
    #[must_use]
    pub fn samples(&self) -> Vec<(&'static str, Value)> {
        let stripe = lock(&self.shared);
        let last = |all: &Vec<Value>| all.last().cloned();
        [
            ("Stripe.Customer", last(&stripe.customers)),
            ("Stripe.Price", last(&stripe.prices)),
            ("Stripe.Checkout.Session", stripe.sessions.last().map(shown)),
            ("Stripe.BillingPortal.Session", last(&stripe.portals)),
            ("Stripe.Subscription", last(&stripe.subscriptions)),
            ("Stripe.Invoice", last(&stripe.invoices)),
        ]
        .into_iter()
        .filter_map(|(name, sample)| Some((name, sample?)))
        .collect()
    }
}

// ---- the account --------------------------------------------------------------------------------------------

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

fn plan_of(price: &Value) -> Value {
    json!({
        "id": price["id"], "object": "plan", "active": true, "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"], "billing_scheme": "per_unit", "created": price["created"],
        "currency": "usd", "interval": price["recurring"]["interval"], "interval_count": 1, "livemode": false,
        "metadata": {}, "meter": null, "nickname": null, "product": price["product"], "tiers_mode": null,
        "transform_usage": null, "trial_period_days": null, "usage_type": "licensed",
    })
}

impl Stripe {
    fn now(&self) -> i64 {
        self.clock.now().seconds()
    }

    fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_{:014}", self.made)
    }

    fn price_of(&self, lookup_key: &str) -> &Value {
        self.prices.iter().find(|price| price["lookup_key"] == lookup_key).unwrap()
    }

    fn of_customer(&self, customer: &str) -> Vec<&Value> {
        self.subscriptions.iter().filter(|one| one["customer"] == customer).collect()
    }

    fn add_price(&mut self, lookup_key: &str, interval: &str, cents: i64) {
        let (id, product) = (self.id("price"), self.id("prod"));
        self.prices.push(json!({
            "id": id, "object": "price", "active": true, "billing_scheme": "per_unit", "created": self.now(),
            "currency": "usd", "custom_unit_amount": null, "livemode": false, "lookup_key": lookup_key, "metadata": {},
            "nickname": null, "product": product,
            "recurring": {
                "interval": interval, "interval_count": 1, "meter": null, "trial_period_days": null,
                "usage_type": "licensed",
            },
            "tax_behavior": "unspecified", "tiers_mode": null, "transform_quantity": null, "type": "recurring",
            "unit_amount": cents, "unit_amount_decimal": cents.to_string(),
        }));
    }

    fn make_customer(&mut self, description: Option<&str>, metadata: Value) -> Value {
        let made = json!({
            "id": self.id("cus"), "object": "customer", "address": null, "balance": 0, "created": self.now(),
            "currency": null, "customer_account": null, "default_source": null, "delinquent": false,
            "description": description, "discount": null, "email": null, "invoice_prefix": "HAN00001",
            "invoice_settings": {
                "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null,
            },
            "livemode": false, "metadata": metadata, "name": null, "next_invoice_sequence": 1, "phone": null,
            "preferred_locales": [], "shipping": null, "tax_exempt": "none", "test_clock": null,
        });
        self.customers.push(made.clone());
        made
    }

    fn subscribe(&mut self, customer: &str, lookup_key: &str, status: &str, metadata: Value) -> String {
        let price = self.price_of(lookup_key).clone();
        let (id, item, now) = (self.id("sub"), self.id("si"), self.now());
        let made = json!({
            "id": id, "object": "subscription", "application": null, "application_fee_percent": null,
            "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
            "billing_cycle_anchor": now, "billing_cycle_anchor_config": null,
            "billing_mode": { "flexible": { "proration_discounts": "included" }, "type": "flexible" },
            "billing_schedules": [], "billing_thresholds": null, "cancel_at": null, "cancel_at_period_end": false,
            "canceled_at": null,
            "cancellation_details": { "comment": null, "feedback": null, "feedback_option": null, "reason": null },
            "collection_method": "charge_automatically", "created": now, "currency": "usd", "customer": customer,
            "customer_account": null, "days_until_due": null, "default_payment_method": null, "default_source": null,
            "default_tax_rates": [], "description": null, "discounts": [], "ended_at": null,
            "invoice_settings": {
                "account_tax_ids": null, "custom_fields": null, "description": null, "footer": null,
                "issuer": { "type": "self" },
            },
            "items": {
                "object": "list", "has_more": false, "url": format!("/v1/subscription_items?subscription={id}"),
                "data": [{
                    "id": item, "object": "subscription_item", "billing_thresholds": null, "created": now,
                    "current_period_end": now + MONTH, "current_period_start": now, "current_trial": null,
                    "discounts": [], "metadata": {}, "plan": plan_of(&price), "price": price, "quantity": 1,
                    "subscription": id, "tax_rates": [],
                }],
            },
            "latest_invoice": null, "livemode": false, "managed_payments": { "enabled": false }, "metadata": metadata,
            "next_pending_invoice_item_invoice": null, "on_behalf_of": null, "pause_collection": null,
            "payment_settings": {
                "payment_method_options": null, "payment_method_types": null, "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": null, "pending_setup_intent": null, "pending_update": null,
            "schedule": null, "start_date": now, "status": status, "test_clock": null, "transfer_data": null,
            "trial_end": null,
            "trial_settings": {
                "end_behavior": { "billing_cycle_anchor": null, "missing_payment_method": "create_invoice" },
            },
            "trial_start": null,
        });
        self.subscriptions.push(made.clone());
        self.emit("customer.subscription.created", &made);
        let is_paid = matches!(status, "active" | "trialing");
        let invoice = self.invoice(&id, if is_paid { "paid" } else { "open" });
        self.subscription(&id)["latest_invoice"] = invoice["id"].clone();
        if is_paid {
            self.emit("invoice.paid", &invoice);
        }
        id
    }

    fn subscription(&mut self, id: &str) -> &mut Value {
        self.subscriptions.iter_mut().find(|one| one["id"] == id).unwrap()
    }

    fn update(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        let one = self.subscription(id);
        change(one);
        let now = one.clone();
        self.emit("customer.subscription.updated", &now);
    }

    fn end(&mut self, id: &str) {
        let now = self.now();
        let one = self.subscription(id);
        if one["status"] == "canceled" {
            return;
        }
        one["status"] = json!("canceled");
        one["canceled_at"] = json!(now);
        one["ended_at"] = json!(now);
        let ended = one.clone();
        self.emit("customer.subscription.deleted", &ended);
    }

    /// A new period with its invoice.
    fn renew(&mut self, id: &str, status: &str) -> Value {
        let now = self.now();
        let item = &mut self.subscription(id)["items"]["data"][0];
        item["current_period_start"] = json!(now);
        item["current_period_end"] = json!(now + MONTH);
        self.invoice(id, status)
    }

    fn invoice(&mut self, subscription: &str, status: &str) -> Value {
        let (id, now) = (self.id("in"), self.now());
        let of = self.subscription(subscription).clone();
        let cents = of["items"]["data"][0]["price"]["unit_amount"].clone();
        let is_paid = status == "paid";
        let (paid, left) = if is_paid { (cents.clone(), json!(0)) } else { (json!(0), cents.clone()) };
        let made = json!({
            "id": id, "object": "invoice", "account_country": "US", "account_name": "Orchard", "account_tax_ids": null,
            "amount_due": cents, "amount_overpaid": 0, "amount_paid": paid, "amount_remaining": left,
            "amount_shipping": 0, "application": null, "attempt_count": 1, "attempted": true, "auto_advance": !is_paid,
            "automatic_tax": {
                "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null,
            },
            "automatically_finalizes_at": null, "billing_reason": "subscription_cycle",
            "collection_method": "charge_automatically", "created": now, "currency": "usd", "custom_fields": null,
            "customer": of["customer"], "customer_account": null, "customer_address": null, "customer_email": null,
            "customer_name": null, "customer_phone": null, "customer_shipping": null, "customer_tax_exempt": "none",
            "default_payment_method": null, "default_source": null, "default_tax_rates": [], "description": null,
            "discounts": [], "due_date": null, "effective_at": now, "ending_balance": 0, "footer": null,
            "from_invoice": null, "issuer": { "type": "self" }, "last_finalization_error": null,
            "latest_revision": null,
            "lines": { "object": "list", "data": [], "has_more": false, "url": format!("/v1/invoices/{id}/lines") },
            "livemode": false, "metadata": {}, "next_payment_attempt": null, "number": null, "on_behalf_of": null,
            "parent": {
                "quote_details": null, "type": "subscription_details",
                "subscription_details": { "metadata": of["metadata"], "subscription": subscription },
            },
            "payment_settings": {
                "default_mandate": null, "payment_method_options": null, "payment_method_types": null,
            },
            "period_end": now, "period_start": now, "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0, "receipt_number": null, "rendering": null, "shipping_cost": null,
            "shipping_details": null, "starting_balance": 0, "statement_descriptor": null, "status": status,
            "status_transitions": {
                "finalized_at": now, "marked_uncollectible_at": null, "paid_at": is_paid.then_some(now),
                "voided_at": null,
            },
            "subtotal": cents, "subtotal_excluding_tax": cents, "test_clock": null, "total": cents,
            "total_discount_amounts": [], "total_excluding_tax": cents, "total_pretax_credit_amounts": [],
            "total_taxes": [], "webhooks_delivered_at": null,
        });
        self.invoices.push(made.clone());
        made
    }

    fn pay(&mut self, url: &str) -> String {
        let session = self.sessions.iter().find(|session| session["url"] == url).unwrap().clone();
        assert_eq!(session["status"], "open", "a checkout session is paid once");
        let sold = session["line_items_of_test"].as_str().unwrap().to_owned();
        let lookup_key =
            self.prices.iter().find(|price| price["id"] == *sold).map(|price| text(price, "lookup_key"));
        let metadata = session["metadata_of_subscription"].clone();
        let id = self.subscribe(&text(&session, "customer"), &lookup_key.unwrap(), "active", metadata);
        let paid = self.sessions.iter_mut().find(|session| session["url"] == url).unwrap();
        paid["status"] = json!("complete");
        paid["payment_status"] = json!("paid");
        paid["subscription"] = json!(id);
        paid["url"] = Value::Null;
        let paid = paid.clone();
        self.emit("checkout.session.completed", &shown(&paid));
        id
    }

    fn emit(&mut self, kind: &str, object: &Value) {
        let event = json!({
            "id": self.id("evt"), "object": "event", "api_version": STRIPE_VERSION, "created": self.now(),
            "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": null }, "type": kind,
        });
        self.events.push(event);
    }
}

/// A checkout session without what only the fake keeps in it.
fn shown(session: &Value) -> Value {
    let mut shown = session.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("line_items_of_test");
        fields.remove("metadata_of_subscription");
    }
    shown
}

// ---- requests -----------------------------------------------------------------------------------------------

/// A response: the status and the object.
type Answer = (StatusCode, Value);

type Parameters = Vec<(String, String)>;

/// Parses form fields, which have the syntax of a query.
fn fields(text: &str) -> Parameters {
    let uri: Uri = format!("/?{text}").parse().unwrap();
    Query::<Parameters>::try_from_uri(&uri).unwrap().0
}

async fn answer(State((shared, hold)): State<(Shared, Arc<Hold>)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let (path, method) = (parts.uri.path().to_owned(), parts.method.clone());
    let form = if method == Method::POST {
        String::from_utf8(body.to_vec()).unwrap()
    } else {
        parts.uri.query().unwrap_or_default().to_owned()
    };
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let key = header("idempotency-key");
    let fault = {
        let mut stripe = lock(&shared);
        stripe.requests.push(StripeRequest {
            call: format!("{method} {path}"),
            parameters: fields(&form),
            idempotency_key: key.clone(),
            version: header("stripe-version"),
        });
        stripe.faults.pop_front().flatten()
    };
    let answered = match fault {
        Some(StripeFault::RateLimited(seconds)) => {
            let limited = error("rate_limit_error", "rate_limit", "", "Too many requests");
            let mut response = respond(&parts.headers, (StatusCode::TOO_MANY_REQUESTS, limited), false);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            return response;
        }
        Some(StripeFault::Down) => (StatusCode::SERVICE_UNAVAILABLE, error("api_error", "", "", "Down")),
        Some(StripeFault::InProgress) => {
            (StatusCode::CONFLICT, error("idempotency_error", "idempotency_key_in_use", "", "In use"))
        }
        Some(StripeFault::Silent) => std::future::pending().await,
        Some(StripeFault::Page) => {
            return (StatusCode::OK, [(CONTENT_TYPE, "text/html")], "<html>Unicorn!</html>").into_response();
        }
        Some(StripeFault::Endless) => {
            let chunk = Bytes::from(vec![b' '; 1 << 20]);
            let chunks = futures_of(chunk, 9);
            return Response::new(Body::from_stream(chunks));
        }
        _ => {
            let done = run(&shared, &method, &path, &form, &parts.headers, key.as_deref(), fault);
            if fault == Some(StripeFault::LostResponse) {
                let broken = futures_util::stream::iter([
                    Ok(Bytes::from_static(b"{\"id\":")),
                    Err(std::io::Error::other("the connection is cut")),
                ]);
                return Response::new(Body::from_stream(broken));
            }
            if fault == Some(StripeFault::Held) {
                hold.arrived.notify_one();
                hold.released.notified().await;
            }
            let (answered, replayed) = done;
            return respond(&parts.headers, answered, replayed);
        }
    };
    respond(&parts.headers, answered, false)
}

fn futures_of(chunk: Bytes, times: usize) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::iter(std::iter::repeat_n(chunk, times).map(Ok))
}

fn respond(headers: &HeaderMap, (status, body): Answer, replayed: bool) -> Response {
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    let out = response.headers_mut();
    out.insert("request-id", HeaderValue::from_static("req_of_the_test"));
    if let Some(version) = headers.get("stripe-version") {
        out.insert("stripe-version", version.clone());
    }
    if replayed {
        out.insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    }
    response
}

fn error(kind: &str, code: &str, param: &str, message: &str) -> Value {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(kind));
    fields.insert("message".to_owned(), json!(message));
    for (name, value) in [("code", code), ("param", param)] {
        if !value.is_empty() {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    json!({ "error": fields })
}

fn invalid(code: &str, param: &str) -> Answer {
    (StatusCode::BAD_REQUEST, error("invalid_request_error", code, param, "The request is not valid"))
}

/// Does a request, once for each idempotency key; and whether the response is repeated.
fn run(
    shared: &Shared,
    method: &Method,
    path: &str,
    form: &str,
    headers: &HeaderMap,
    key: Option<&str>,
    fault: Option<StripeFault>,
) -> (Answer, bool) {
    let mut stripe = lock(shared);
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if bearer != Some(stripe.secret_key.as_str()) {
        // Stripe quotes a part of the key.
        let message = format!("Invalid API Key provided: {}", bearer.unwrap_or_default());
        return ((StatusCode::UNAUTHORIZED, error("invalid_request_error", "", "", &message)), false);
    }
    if method == Method::POST
        && headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/x-www-form-urlencoded")
    {
        return (invalid("", ""), false);
    }
    let request = format!("{method} {path} {form}");
    let key = key.filter(|_| method == Method::POST);
    if let Some((first, status, body)) = key.and_then(|key| stripe.done.get(key)) {
        if *first != request {
            let message = "Keys for idempotent requests can only be used with the same parameters";
            return ((StatusCode::BAD_REQUEST, error("idempotency_error", "", "", message)), false);
        }
        return ((*status, body.clone()), true);
    }
    let answered = if fault == Some(StripeFault::Failed) {
        (StatusCode::INTERNAL_SERVER_ERROR, error("api_error", "", "", "Failed"))
    } else if fault == Some(StripeFault::Declined) {
        (StatusCode::PAYMENT_REQUIRED, error("card_error", "card_declined", "", "Declined"))
    } else {
        stripe.call(method, path, &fields(form))
    };
    // A request that is not valid is not saved.
    if let Some(key) =
        key.filter(|_| answered.0 != StatusCode::BAD_REQUEST && answered.0 != StatusCode::NOT_FOUND)
    {
        stripe.done.insert(key.to_owned(), (request, answered.0, answered.1.clone()));
    }
    (answered, false)
}

/// The value of a parameter.
fn given<'p>(parameters: &'p Parameters, name: &str) -> Option<&'p str> {
    parameters.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
}

/// The values of `prefix[…]` as an object.
fn nested(parameters: &Parameters, prefix: &str) -> Value {
    let pairs = parameters.iter().filter_map(|(name, value)| {
        let inner = name.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?;
        Some((inner.to_owned(), json!(value)))
    });
    Value::Object(pairs.collect())
}

/// Refuses a parameter that is not one of `known`; `x[]` allows `x[…]` with anything inside.
fn check(parameters: &Parameters, known: &[&str]) -> Result<(), Answer> {
    for (name, _) in parameters {
        let root = name.split('[').next().unwrap_or_default();
        if !known.contains(&name.as_str()) && !known.contains(&format!("{root}[]").as_str()) {
            return Err(invalid("parameter_unknown", name));
        }
    }
    Ok(())
}

fn required<'p>(parameters: &'p Parameters, name: &str) -> Result<&'p str, Answer> {
    given(parameters, name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| invalid("parameter_missing", name))
}

fn missing(param: &str) -> Answer {
    (StatusCode::NOT_FOUND, error("invalid_request_error", "resource_missing", param, "No such object"))
}

/// A page of a list: the newest object first.
fn page(url: &str, all: Vec<&Value>, parameters: &Parameters) -> Result<Answer, Answer> {
    let limit = given(parameters, "limit").map_or(Some(10), |limit| limit.parse::<usize>().ok());
    let limit = limit.filter(|limit| (1..=100).contains(limit)).ok_or_else(|| invalid("", "limit"))?;
    let newest: Vec<&Value> = all.into_iter().rev().collect();
    let start = match given(parameters, "starting_after") {
        None => 0,
        Some(id) => newest
            .iter()
            .position(|one| one["id"] == id)
            .map(|at| at + 1)
            .ok_or_else(|| missing("starting_after"))?,
    };
    let data: Vec<&Value> = newest.iter().skip(start).take(limit).copied().collect();
    let has_more = start + data.len() < newest.len();
    Ok((StatusCode::OK, json!({ "object": "list", "url": url, "has_more": has_more, "data": data })))
}

impl Stripe {
    fn call(&mut self, method: &Method, path: &str, parameters: &Parameters) -> Answer {
        let segments: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let done = match (method.as_str(), segments.as_slice()) {
            ("POST", ["customers"]) => self.create_customer(parameters),
            ("GET", ["customers", id]) => self.find_customer(id),
            ("GET", ["prices"]) => self.list_prices(parameters),
            ("POST", ["checkout", "sessions"]) => self.create_session(parameters),
            ("POST", ["billing_portal", "sessions"]) => self.create_portal(parameters),
            ("GET", ["subscriptions"]) => self.list_subscriptions(parameters),
            ("GET", ["subscriptions", id]) => {
                let found = self.subscriptions.iter().find(|one| one["id"] == *id);
                found.map(|one| (StatusCode::OK, one.clone())).ok_or_else(|| missing("id"))
            }
            ("DELETE", ["subscriptions", id]) => self.cancel(id),
            ("GET", ["invoices"]) => self.list_invoices(parameters),
            _ => Err((
                StatusCode::NOT_FOUND,
                error(
                    "invalid_request_error",
                    "",
                    "",
                    &format!("Unrecognized request URL ({method}: {path})"),
                ),
            )),
        };
        done.unwrap_or_else(|refused| refused)
    }

    fn customer(&self, id: &str) -> Result<(), Answer> {
        if self.customers.iter().any(|one| one["id"] == id) {
            return Ok(());
        }
        // Of a parameter, this is 400.
        let gone = error("invalid_request_error", "resource_missing", "customer", "No such customer");
        Err((StatusCode::BAD_REQUEST, gone))
    }

    /// A customer, or the stub of one that was deleted (docs.stripe.com/api/customers/retrieve).
    fn find_customer(&self, id: &str) -> Result<Answer, Answer> {
        if self.deleted_customers.iter().any(|deleted| deleted == id) {
            return Ok((StatusCode::OK, json!({ "id": id, "object": "customer", "deleted": true })));
        }
        let found = self.customers.iter().find(|one| one["id"] == id);
        found.map(|one| (StatusCode::OK, one.clone())).ok_or_else(|| missing("id"))
    }

    fn create_customer(&mut self, parameters: &Parameters) -> Result<Answer, Answer> {
        check(parameters, &["description", "email", "name", "metadata[]"])?;
        let metadata = nested(parameters, "metadata");
        Ok((StatusCode::OK, self.make_customer(given(parameters, "description"), metadata)))
    }

    fn list_prices(&self, parameters: &Parameters) -> Result<Answer, Answer> {
        check(parameters, &["lookup_keys[]", "active", "limit", "starting_after"])?;
        let keys: Vec<&str> = parameters
            .iter()
            .filter(|(name, _)| name.starts_with("lookup_keys["))
            .map(|(_, value)| value.as_str())
            .collect();
        let active = given(parameters, "active").map(|active| active == "true");
        let found = self.prices.iter().filter(|price| {
            (keys.is_empty() || price["lookup_key"].as_str().is_some_and(|key| keys.contains(&key)))
                && active.is_none_or(|active| price["active"] == active)
        });
        page("/v1/prices", found.collect(), parameters)
    }

    fn create_session(&mut self, parameters: &Parameters) -> Result<Answer, Answer> {
        check(
            parameters,
            &[
                "mode",
                "customer",
                "client_reference_id",
                "success_url",
                "cancel_url",
                "line_items[]",
                "metadata[]",
                "subscription_data[]",
            ],
        )?;
        let (mode, customer) = (required(parameters, "mode")?, required(parameters, "customer")?);
        let (success, price) =
            (required(parameters, "success_url")?, required(parameters, "line_items[0][price]")?);
        if mode != "subscription" {
            return Err(invalid("", "mode"));
        }
        self.customer(customer)?;
        let Some(found) = self.prices.iter().find(|one| one["id"] == price) else {
            let gone =
                error("invalid_request_error", "resource_missing", "line_items[0][price]", "No such price");
            return Err((StatusCode::BAD_REQUEST, gone));
        };
        if found["active"] == false {
            return Err(invalid("price_inactive", "line_items[0][price]"));
        }
        let cents = found["unit_amount"].clone();
        let (id, now) = (self.id("cs_test"), self.now());
        let mut made = json!({
            "id": id, "object": "checkout.session", "adaptive_pricing": null, "after_expiration": null,
            "allow_promotion_codes": null, "allowed_payment_method_types": null, "amount_subtotal": cents,
            "amount_total": cents,
            "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
            "billing_address_collection": null, "cancel_url": given(parameters, "cancel_url"),
            "client_reference_id": given(parameters, "client_reference_id"), "client_secret": null,
            "collected_information": null, "consent": null, "consent_collection": null, "created": now,
            "currency": "usd", "currency_conversion": null, "custom_fields": [],
            "custom_text": {
                "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null,
            },
            "customer": customer, "customer_account": null, "customer_creation": null, "customer_details": null,
            "customer_email": null, "discounts": [], "expires_at": now + 86_400, "integration_identifier": null,
            "invoice": null, "invoice_creation": null, "livemode": false, "locale": null, "managed_payments": null,
            "metadata": nested(parameters, "metadata"), "mode": "subscription", "origin_context": null,
            "payment_intent": null, "payment_link": null, "payment_method_collection": "always",
            "payment_method_configuration_details": null, "payment_method_options": {},
            "payment_method_types": ["card"], "payment_status": "unpaid", "permissions": null, "recovered_from": null,
            "saved_payment_method_options": null, "setup_intent": null, "shipping_address_collection": null,
            "shipping_cost": null, "shipping_options": [], "status": "open", "submit_type": null, "subscription": null,
            "success_url": success, "total_details": null, "ui_mode": "hosted_page",
            "url": format!("https://checkout.stripe.com/c/pay/{id}"), "wallet_options": null,
        });
        let answer = made.clone();
        made["line_items_of_test"] = json!(price);
        made["metadata_of_subscription"] = nested(parameters, "subscription_data[metadata]");
        self.sessions.push(made);
        Ok((StatusCode::OK, answer))
    }

    fn create_portal(&mut self, parameters: &Parameters) -> Result<Answer, Answer> {
        check(parameters, &["customer", "return_url"])?;
        let customer = required(parameters, "customer")?;
        self.customer(customer)?;
        let (id, configuration) = (self.id("bps"), self.id("bpc"));
        let made = json!({
            "id": id, "object": "billing_portal.session", "configuration": configuration, "created": self.now(),
            "customer": customer, "customer_account": null, "flow": null, "livemode": false, "locale": null,
            "on_behalf_of": null, "return_url": given(parameters, "return_url"),
            "url": format!("https://billing.stripe.com/p/session/{id}"),
        });
        self.portals.push(made.clone());
        Ok((StatusCode::OK, made))
    }

    fn list_subscriptions(&self, parameters: &Parameters) -> Result<Answer, Answer> {
        check(parameters, &["customer", "status", "limit", "starting_after", "price"])?;
        if let Some(customer) = given(parameters, "customer") {
            self.customer(customer)?;
        }
        let found = self.subscriptions.iter().filter(|one| {
            given(parameters, "customer").is_none_or(|customer| one["customer"] == customer)
                && match given(parameters, "status") {
                    Some("all") => true,
                    Some(status) => one["status"] == status,
                    None => one["status"] != "canceled",
                }
        });
        page("/v1/subscriptions", found.collect(), parameters)
    }

    fn cancel(&mut self, id: &str) -> Result<Answer, Answer> {
        let found = self.subscriptions.iter().find(|one| one["id"] == id && one["status"] != "canceled");
        if found.is_none() {
            return Err(missing("id"));
        }
        self.end(id);
        Ok((StatusCode::OK, self.subscription(id).clone()))
    }

    fn list_invoices(&self, parameters: &Parameters) -> Result<Answer, Answer> {
        check(parameters, &["customer", "subscription", "status", "limit", "starting_after"])?;
        let found = self.invoices.iter().filter(|one| {
            let of = &one["parent"]["subscription_details"]["subscription"];
            given(parameters, "subscription").is_none_or(|subscription| of == subscription)
                && given(parameters, "customer").is_none_or(|customer| one["customer"] == customer)
                && given(parameters, "status").is_none_or(|status| one["status"] == status)
        });
        page("/v1/invoices", found.collect(), parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::stripe_signature;

    /// A header that the npm package `stripe` has made.
    #[test]
    fn a_signature_is_that_of_the_official_package() {
        let header = stripe_signature(&["whsec_test"], 1_793_610_000, "{\"id\":\"evt_1\"}");
        assert_eq!(header, include_str!("../stripe/signature.txt").trim_end());
    }
}
