//! Billing through Stripe: what a team's plan is, Stripe decides. `stripe` receives Stripe's events, `reconcile` compares
//! all teams with Stripe, and here are the pages that an admin opens: checkout and the billing portal. `plans` has what the
//! server says about plans, `middleware` the points at which requests pass them. What each plan allows is
//! `han_types::Policy`; the limits on members and sessions are checked in the transactions of han-db that add them.
//!
//! Every path ends in [`Billing::refresh`]: it reads the subscriptions of a customer from Stripe, `standing` computes what
//! they mean, and han-db stores that. No event and no order of events is trusted (docs/adr/0036).

mod api;
pub(crate) mod middleware;
pub(crate) mod plans;
mod reconcile;
mod signature;
mod standing;
pub(crate) mod stripe;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use han_api::{BillingError, BillingPages};
use han_db::queries::billing::{
    self, Applied, BilledTeam, Bound, Customer, Standing, StoredState, StripeEvent,
};
use han_db::{Db, DbError};
use han_types::{BillingInterval, PlanTier, Scope, TeamId};
use thiserror::Error;
use tokio::sync::Mutex;

pub use api::{API_VERSION, StripeError, TEAM_METADATA};
pub(crate) use reconcile::{Change, Report};

use crate::config::StripeConfig;
use standing::Rules;

/// How often the state of a customer is read again because another one was applied meanwhile, before Stripe is asked to
/// send the event again.
const READS: u32 = 8;

/// How often what is due is done.
pub(crate) const DUE_EVERY: Duration = Duration::from_secs(5 * 60);

/// How often all teams are compared with Stripe.
pub(crate) const RECONCILE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Why a state of Stripe could not be read or applied.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    /// A call to Stripe failed.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Other states were applied again and again.
    #[error("the customer {0} changes too often to be read: try again")]
    Contended(String),
    /// Some customers could not be compared.
    #[error("{0} customer(s) could not be compared with Stripe")]
    Incomplete(usize),
}

impl Failed {
    /// Whether only one customer is concerned: the work for others may succeed.
    fn is_of_customer(&self) -> bool {
        match self {
            Self::Stripe(error) => error.is_of_customer(),
            Self::Contended(_) => true,
            Self::Database(_) | Self::Incomplete(_) => false,
        }
    }
}

impl From<Failed> for DbError {
    /// The error of a job.
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Database(error) => error,
            other => Self::Job(other.to_string()),
        }
    }
}

/// What became of a customer whose state was to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// It is applied.
    Done {
        /// The team.
        team: Box<BilledTeam>,
        /// What was stored before.
        before: StoredState,
        /// What is stored now.
        after: StoredState,
    },
    /// The event was applied before.
    EventApplied,
    /// It is the customer of a team that was deleted.
    OfDeletedTeam,
    /// It is no team's customer.
    Unknown,
}

/// Billing of one server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Billing(Arc<Inner>);

struct Inner {
    client: api::Client,
    config: StripeConfig,
    db: Db,
    /// The public origin of the server.
    origin: String,
    reading: Reading,
}

/// The customers whose state is being read and applied. This process does that once at a time for each, instead of
/// refusing all states but one. Other replicas are kept apart by `billing_version`.
#[derive(Default)]
struct Reading(std::sync::Mutex<HashMap<String, Weak<Mutex<()>>>>);

impl Reading {
    /// The lock of a customer, which others have or wait for, or a new one.
    fn of(&self, customer: &str) -> Arc<Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = all.get(customer).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(Mutex::new(()));
        all.insert(customer.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

impl fmt::Debug for Billing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Billing").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Billing {
    pub(crate) fn new(
        config: StripeConfig,
        origin: &str,
        db: Db,
        entropy: Arc<dyn han_types::Entropy>,
    ) -> Result<Self, StripeError> {
        let client = api::Client::new(&config, entropy)?;
        let reading = Reading::default();
        Ok(Self(Arc::new(Inner { client, config, db, origin: origin.to_owned(), reading })))
    }

    /// What the subscriptions of a customer mean now for its team.
    async fn read(&self, team: &BilledTeam, customer: &str) -> Result<Standing, StripeError> {
        let subscriptions = self.0.client.subscriptions_of(customer).await?;
        Ok(self.standing_of(team, customer, &subscriptions))
    }

    fn rules<'a>(&'a self, team: &'a BilledTeam) -> Rules<'a> {
        let StripeConfig { prices, grace_days, .. } = &self.0.config;
        Rules { prices, grace_days: *grace_days, earlier: team.state.subscription.as_ref() }
    }

    /// What these subscriptions of a customer mean now for its team. What an operator must look after is logged: prices that
    /// are not configured, and customers who pay twice.
    fn standing_of(&self, team: &BilledTeam, customer: &str, subscriptions: &[api::Subscribed]) -> Standing {
        let rules = self.rules(team);
        for api::Subscribed { subscription, .. } in subscriptions {
            let price = || {
                subscription
                    .items
                    .data
                    .iter()
                    .map(|item| item.price.id.as_str())
                    .collect::<Vec<_>>()
                    .join(",")
            };
            match rules.unknown_price(subscription) {
                Some(true) => tracing::error!(
                    team = %team.id, customer, subscription = subscription.id, price = price(),
                    "the subscription of a team has a price that belongs to no plan any more: name it in STRIPE_PRICE_*; \
                     until then the subscription counts for the plan that it gave before"
                ),
                Some(false) => tracing::warn!(
                    team = %team.id, customer, subscription = subscription.id, price = price(),
                    "a customer pays for a price that belongs to no plan, which changes nothing: if it is one of a plan, name \
                     it in STRIPE_PRICE_*"
                ),
                None => {}
            }
        }
        let live = subscriptions.iter().filter(|one| rules.is_live_and_ours(&one.subscription)).count();
        if live > 1 {
            tracing::error!(
                team = %team.id, customer, live,
                "a customer pays for several subscriptions to plans: cancel all but one at Stripe, the best one counts until \
                 then"
            );
        }
        standing::standing(subscriptions, rules, self.0.db.clock().now())
    }

    /// Reads the state of a customer from Stripe and applies it to its team. With an `event`, this is done once.
    pub(crate) async fn refresh(
        &self,
        customer: &str,
        event: Option<&StripeEvent<'_>>,
    ) -> Result<Refreshed, Failed> {
        let Inner { db, reading, .. } = &*self.0;
        let lock = reading.of(customer);
        let _reading = lock.lock().await;
        for _ in 0..READS {
            let team = match billing::find_customer(db, customer, event).await? {
                Customer::Of(team) => team,
                Customer::EventApplied => return Ok(Refreshed::EventApplied),
                Customer::OfDeletedTeam => return Ok(Refreshed::OfDeletedTeam),
                Customer::Unknown => return Ok(Refreshed::Unknown),
            };
            // After the team was read, and before it is locked: see `han_db::queries::billing`.
            let standing = self.read(&team, customer).await?;
            match billing::apply(db, &team, &standing, event).await? {
                Applied::Done { before, after } => {
                    note(&team, &before, &after);
                    return Ok(Refreshed::Done { team, before, after });
                }
                Applied::EventApplied => return Ok(Refreshed::EventApplied),
                Applied::Stale | Applied::Gone => {}
            }
        }
        Err(Failed::Contended(customer.to_owned()))
    }

    /// The customer of a team; a team that has none, or whose customer `missing` no longer exists at Stripe, gets one.
    async fn customer(
        &self,
        scope: &Scope,
        team: &BilledTeam,
        missing: Option<&str>,
    ) -> Result<String, BillingError> {
        match &team.customer_id {
            Some(customer) if Some(customer.as_str()) != missing => return Ok(customer.clone()),
            _ => {}
        }
        let Inner { client, db, .. } = &*self.0;
        let now = db.clock().now();
        let made =
            client.create_customer(team.id.as_str(), &team.slug, missing, now).await.map_err(failed)?;
        match billing::bind_for(scope, db, &made, missing).await? {
            Bound::Done => Ok(made),
            // Another request was first.
            Bound::Other(customer) => Ok(customer),
            Bound::NotAllowed => Err(BillingError::NotAllowed),
            Bound::Gone | Bound::Taken => Err(BillingError::Gone),
        }
    }

    /// The id of the price that is sold for a plan.
    async fn price(&self, plan: PlanTier, interval: BillingInterval) -> Result<String, BillingError> {
        let Inner { client, config, .. } = &*self.0;
        let Some(name) = config.prices.sold(plan, interval) else {
            return Err(BillingError::Conflict(format!("the plan {plan} is not sold")));
        };
        if name.starts_with("price_") {
            return Ok(name.to_owned());
        }
        let found = client.price(name).await.map_err(failed)?;
        found.ok_or_else(|| {
            tracing::error!(
                lookup_key = name,
                "Stripe has no active price with this lookup key: create it, or name another in STRIPE_PRICE_*"
            );
            BillingError::Failed(format!(
                "the {interval} price of the plan {plan} does not exist at Stripe: the server's operator must create it \
                 (docs/BILLING.md)"
            ))
        })
    }

    async fn team(&self, scope: &Scope) -> Result<BilledTeam, BillingError> {
        billing::of_team(&self.0.db, scope.team_id()).await?.ok_or(BillingError::Gone)
    }
}

/// Logs what has changed.
fn note(team: &BilledTeam, before: &StoredState, after: &StoredState) {
    if before != after {
        let change = Change { before, after };
        tracing::info!(team = %team.id, slug = team.slug, %change, "Stripe changed a team");
    }
}

/// The error that an admin sees when Stripe fails; the log has the cause.
fn failed(error: StripeError) -> BillingError {
    tracing::error!(%error, "a request to Stripe failed");
    BillingError::Failed(
        "Stripe cannot be asked at the moment: try again in a minute, and ask the server's operator if that does not help"
            .to_owned(),
    )
}

fn already_subscribed() -> BillingError {
    BillingError::Conflict(
        "the team has a subscription already: change its plan, payment or end in the billing portal"
            .to_owned(),
    )
}

#[async_trait]
impl BillingPages for Billing {
    async fn checkout(
        &self,
        scope: &Scope,
        plan: PlanTier,
        interval: BillingInterval,
    ) -> Result<String, BillingError> {
        let Inner { client, origin, .. } = &*self.0;
        let price = self.price(plan, interval).await?;
        let (success_url, cancel_url) =
            (format!("{origin}/?checkout=done"), format!("{origin}/?checkout=cancelled"));
        let mut missing: Option<String> = None;
        loop {
            let team = self.team(scope).await?;
            let customer = self.customer(scope, &team, missing.as_deref()).await?;
            // What is stored may be older than a payment on another page.
            let subscriptions = client.subscriptions_of(&customer).await.map_err(failed)?;
            if subscriptions.iter().any(|one| self.rules(&team).is_live_and_ours(&one.subscription)) {
                return Err(already_subscribed());
            }
            let checkout = api::Checkout {
                customer: &customer,
                team_id: team.id.as_str(),
                price: &price,
                success_url: &success_url,
                cancel_url: &cancel_url,
            };
            match client.create_checkout(&checkout).await {
                // It was deleted at Stripe.
                Err(error) if missing.is_none() && error.missing() == Some("customer") => {
                    missing = Some(customer);
                }
                Err(error) => return Err(failed(error)),
                Ok(url) => {
                    tracing::info!(team = %team.id, by = %scope.user_id(), %plan, %interval, "checkout begun");
                    return Ok(url);
                }
            }
        }
    }

    async fn portal(&self, scope: &Scope) -> Result<String, BillingError> {
        let Inner { client, origin, .. } = &*self.0;
        let none = || {
            BillingError::Conflict(
                "the team has no subscription yet: choose a plan first (createCheckoutSession)".to_owned(),
            )
        };
        let Some(customer) = self.team(scope).await?.customer_id else { return Err(none()) };
        match client.create_portal(&customer, &format!("{origin}/")).await {
            Err(error) if error.missing() == Some("customer") => {
                // It was deleted, or the key is that of another account.
                client.is_deleted(&customer).await.map_err(failed)?;
                Err(none())
            }
            made => made.map_err(failed),
        }
    }
}

/// The team that a text of Stripe's metadata names.
fn team_of_metadata(metadata: &HashMap<String, String>) -> Option<TeamId> {
    metadata.get(TEAM_METADATA)?.parse().ok()
}
