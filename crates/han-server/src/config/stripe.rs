//! Stripe, through which teams pay for their plans.

use std::fmt;
use std::time::Duration;

use han_types::{BillingInterval, PlanTier};
use secrecy::{ExposeSecret as _, SecretString};

use super::plans::STRIPE_SECRET_KEY;
use super::variable::{Describe, Number, Required, Secret, Variable, VariableReader};
use super::{PublicUrl, address};

/// The longest time of one request to Stripe.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The shortest wait before a request is sent again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

const WEBHOOK_SECRET: Variable<Secret> = Variable {
    name: "STRIPE_WEBHOOK_SECRET",
    about: "the signing secret of the webhook endpoint at Stripe (whsec_...); without it no events are accepted",
    kind: Secret { unset: "" },
};

const WEBHOOK_SECRET_PREVIOUS: Variable<Secret> = Variable {
    name: "STRIPE_WEBHOOK_SECRET_PREVIOUS",
    about: "an earlier STRIPE_WEBHOOK_SECRET whose events are still accepted",
    kind: Secret { unset: "" },
};

const API_BASE: Variable<Required<String>> = Variable {
    name: "STRIPE_API_BASE",
    about: "the address of Stripe's API",
    kind: Required {
        default: || "https://api.stripe.com".to_owned(),
        accepted: "an address such as https://api.stripe.com",
        parse: address,
    },
};

macro_rules! price {
    ($name:literal, $about:literal, $key:literal) => {
        Variable {
            name: $name,
            about: concat!(
                "lookup keys or ids of the ",
                $about,
                " prices at Stripe, separated by commas: the first one is sold, the others still count"
            ),
            kind: Required {
                default: || PriceNames(vec![$key.to_owned()]),
                accepted: "lookup keys, or ids such as price_1abc, separated by commas",
                parse: PriceNames::parse,
            },
        }
    };
}

const PRO_MONTHLY: Variable<Required<PriceNames>> =
    price!("STRIPE_PRICE_PRO_MONTHLY", "monthly Pro", "han_pro_monthly");
const PRO_YEARLY: Variable<Required<PriceNames>> =
    price!("STRIPE_PRICE_PRO_YEARLY", "yearly Pro", "han_pro_yearly");
const ENTERPRISE_MONTHLY: Variable<Required<PriceNames>> =
    price!("STRIPE_PRICE_ENTERPRISE_MONTHLY", "monthly Enterprise", "han_enterprise_monthly");
const ENTERPRISE_YEARLY: Variable<Required<PriceNames>> =
    price!("STRIPE_PRICE_ENTERPRISE_YEARLY", "yearly Enterprise", "han_enterprise_yearly");

const GRACE_DAYS: Variable<Number<u32>> = Variable {
    name: "HAN_PAYMENT_GRACE_DAYS",
    about: "how many days a team keeps its plan after a payment failed",
    kind: Number { default: 14, min: 0, max: 90 },
};

pub(super) const VARIABLES: &[&dyn Describe] = &[
    &WEBHOOK_SECRET,
    &WEBHOOK_SECRET_PREVIOUS,
    &API_BASE,
    &PRO_MONTHLY,
    &PRO_YEARLY,
    &ENTERPRISE_MONTHLY,
    &ENTERPRISE_YEARLY,
    &GRACE_DAYS,
];

/// The names of the prices of one plan and interval: lookup keys, or ids, which begin with `price_`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PriceNames(Vec<String>);

impl PriceNames {
    fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        // Stripe allows 200 characters in a lookup key.
        let is_name = |name: &String| {
            !name.is_empty() && name.len() <= 200 && name.chars().all(|c| c.is_ascii_graphic())
        };
        names.iter().all(is_name).then_some(Self(names))
    }
}

impl fmt::Display for PriceNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Which price at Stripe belongs to which plan.
#[derive(Clone, Debug)]
pub struct Prices(Vec<(PlanTier, BillingInterval, PriceNames)>);

impl Prices {
    /// The plan that a price belongs to, by its id or its lookup key.
    #[must_use]
    pub fn plan(&self, id: &str, lookup_key: Option<&str>) -> Option<PlanTier> {
        let is_named =
            |names: &PriceNames| names.0.iter().any(|name| name == id || Some(name.as_str()) == lookup_key);
        self.0.iter().filter(|(_, _, names)| is_named(names)).map(|(plan, _, _)| *plan).max()
    }

    /// A name that is one of two plans.
    fn ambiguous(&self) -> Option<&str> {
        let names =
            || self.0.iter().flat_map(|(plan, _, names)| names.0.iter().map(move |name| (*plan, name)));
        let of_another =
            |(plan, name): &(PlanTier, &String)| names().any(|(of, other)| of != *plan && other == *name);
        names().find(of_another).map(|(_, name)| name.as_str())
    }

    /// The name of the price that is sold; `None` for a plan that is not sold.
    #[must_use]
    pub fn sold(&self, plan: PlanTier, interval: BillingInterval) -> Option<&str> {
        let found = self.0.iter().find(|(of, every, _)| *of == plan && *every == interval);
        found.and_then(|(_, _, names)| names.0.first()).map(String::as_str)
    }
}

impl Default for Prices {
    /// The lookup keys that apply if none are configured.
    fn default() -> Self {
        let names = |variable: &Variable<Required<PriceNames>>| (variable.kind.default)();
        Self::of(names)
    }
}

impl Prices {
    fn of(mut names: impl FnMut(&Variable<Required<PriceNames>>) -> PriceNames) -> Self {
        let all = [
            (PlanTier::Pro, BillingInterval::Monthly, &PRO_MONTHLY),
            (PlanTier::Pro, BillingInterval::Yearly, &PRO_YEARLY),
            (PlanTier::Enterprise, BillingInterval::Monthly, &ENTERPRISE_MONTHLY),
            (PlanTier::Enterprise, BillingInterval::Yearly, &ENTERPRISE_YEARLY),
        ];
        Self(all.into_iter().map(|(plan, interval, variable)| (plan, interval, names(variable))).collect())
    }
}

/// The account at Stripe.
#[derive(Clone)]
pub struct StripeConfig {
    /// `STRIPE_SECRET_KEY`.
    pub secret_key: SecretString,
    /// `STRIPE_WEBHOOK_SECRET` and the previous one. If there is none, no events are accepted.
    pub webhook_secrets: Vec<SecretString>,
    /// The address of the API.
    pub api_base: String,
    /// Which price belongs to which plan.
    pub prices: Prices,
    /// For how many days a team keeps its plan after a payment failed.
    pub grace_days: u32,
    /// The longest time of one request.
    pub timeout: Duration,
    /// The shortest wait before a request is sent again.
    pub retry_delay: Duration,
}

impl fmt::Debug for StripeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeConfig")
            .field("webhook_secrets", &self.webhook_secrets.len())
            .field("api_base", &self.api_base)
            .field("prices", &self.prices)
            .field("grace_days", &self.grace_days)
            .finish_non_exhaustive()
    }
}

impl StripeConfig {
    /// An account, with the values that apply if nothing else is configured.
    #[must_use]
    pub fn new(secret_key: SecretString, webhook_secrets: Vec<SecretString>) -> Self {
        Self {
            secret_key,
            webhook_secrets,
            api_base: (API_BASE.kind.default)(),
            prices: Prices::default(),
            grace_days: GRACE_DAYS.kind.default,
            timeout: TIMEOUT,
            retry_delay: RETRY_DELAY,
        }
    }

    /// The account; `None` if billing is not configured.
    pub(super) fn read(reader: &mut VariableReader<'_>) -> Option<Self> {
        let secret_key = reader.secret(&STRIPE_SECRET_KEY);
        let current = reader.secret(&WEBHOOK_SECRET);
        let previous = reader.secret(&WEBHOOK_SECRET_PREVIOUS);
        let api_base = reader.value(&API_BASE);
        let prices = Prices::of(|variable| reader.value(variable));
        let grace_days = reader.value(&GRACE_DAYS);
        let Some(secret_key) = secret_key else {
            if current.is_some() || previous.is_some() {
                reader.notice(format!(
                    "{} is set without {}: events of Stripe are not accepted, and every team has the plan Enterprise",
                    WEBHOOK_SECRET.name, STRIPE_SECRET_KEY.name
                ));
            }
            return None;
        };
        if secret_key.expose_secret().starts_with("pk_") {
            reader.problem(format!(
                "{} is a publishable key: set it to the secret key (sk_...) or a restricted key (rk_...)",
                STRIPE_SECRET_KEY.name
            ));
        }
        if !secret_key.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
            reader.problem(format!(
                "{} has a line break, a space or another character that no key has: copy it again",
                STRIPE_SECRET_KEY.name
            ));
        }
        if let Some(name) = prices.ambiguous() {
            reader.problem(format!(
                "the price {name:?} is named in {}… and in {}…: a price belongs to one plan",
                "STRIPE_PRICE_PRO", "STRIPE_PRICE_ENTERPRISE"
            ));
        }
        let is_private =
            api_base.starts_with("https://") || PublicUrl::parse(&api_base).is_some_and(|url| url.is_local());
        if !is_private {
            reader.problem(format!(
                "{} must be an https address, since the secret key is sent there",
                API_BASE.name
            ));
        }
        if current.is_none() {
            reader.notice(format!(
                "{} is not set: no events of Stripe are accepted, so a team's plan changes only when it is compared \
                 with Stripe (every six hours, or with `han-server billing reconcile`)",
                WEBHOOK_SECRET.name
            ));
        }
        let webhook_secrets = current.into_iter().chain(previous).collect();
        Some(Self { api_base, prices, grace_days, ..Self::new(secret_key, webhook_secrets) })
    }
}

#[cfg(test)]
mod tests {
    use han_types::{BillingInterval, PlanTier};

    use super::{PriceNames, Prices};

    #[test]
    fn a_price_is_found_by_its_id_or_lookup_key() {
        let prices = Prices(vec![
            (PlanTier::Pro, BillingInterval::Monthly, PriceNames::parse("price_2, han_pro_monthly").unwrap()),
            (PlanTier::Enterprise, BillingInterval::Yearly, PriceNames::parse("big").unwrap()),
        ]);
        assert_eq!(prices.plan("price_1", Some("han_pro_monthly")), Some(PlanTier::Pro));
        assert_eq!(prices.plan("price_2", None), Some(PlanTier::Pro));
        assert_eq!(prices.plan("price_3", Some("big")), Some(PlanTier::Enterprise));
        assert_eq!(prices.plan("price_3", Some("other")), None);
        assert_eq!(prices.sold(PlanTier::Pro, BillingInterval::Monthly), Some("price_2"));
        assert_eq!(prices.sold(PlanTier::Pro, BillingInterval::Yearly), None);
    }

    #[test]
    fn a_price_belongs_to_one_plan() {
        let prices = |pro: &str, enterprise: &str| {
            let names = |text| PriceNames::parse(text).unwrap();
            Prices(vec![
                (PlanTier::Pro, BillingInterval::Monthly, names(pro)),
                (PlanTier::Pro, BillingInterval::Yearly, names(pro)),
                (PlanTier::Enterprise, BillingInterval::Yearly, names(enterprise)),
            ])
        };
        assert_eq!(prices("a,b", "c").ambiguous(), None);
        assert_eq!(prices("a,b", "c,b").ambiguous(), Some("b"));
        assert_eq!(Prices::default().ambiguous(), None);
    }

    #[test]
    fn a_malformed_list_of_prices_is_refused() {
        for text in ["", ",", "a,,b", "two words", "ü"] {
            assert_eq!(PriceNames::parse(text), None, "{text:?}");
        }
    }
}
