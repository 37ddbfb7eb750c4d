//! `POST /webhooks/stripe`: the events of Stripe. An event says that something about a customer has changed; what, is read
//! from Stripe. A response with 2xx means that the event needs no other delivery; Stripe repeats every other one for three
//! days (docs.stripe.com/webhooks#retries).

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Request, StatusCode};
use han_db::DbError;
use han_db::queries::billing::{self, Bound, StripeEvent};
use han_http::Problem;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

use super::api::{Reference, seconds};
use super::{Billing, Failed, Refreshed, signature, team_of_metadata};
use crate::state::AppState;

/// The path of the route, to be named at Stripe as the URL of the endpoint.
pub(crate) const PATH: &str = "/webhooks/stripe";

/// The largest body. Stripe's events have some kilobytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The header with the signature.
const SIGNATURE: &str = "stripe-signature";

const CHECKOUT_COMPLETED: &str = "checkout.session.completed";
const SUBSCRIPTION_CREATED: &str = "customer.subscription.created";

/// The events that matter. All end in the state that is read: created, updated and deleted subscriptions, failed and paid
/// invoices; a checkout binds its customer before.
const KINDS: [&str; 8] = [
    CHECKOUT_COMPLETED,
    SUBSCRIPTION_CREATED,
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "invoice.payment_failed",
    "invoice.paid",
];

/// An event, as far as it matters. The rest depends on the version of the API that the endpoint has.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Value,
}

/// What an event is about, if it matters: a subscription, an invoice, or a checkout session.
#[derive(Debug, Deserialize)]
struct Object {
    #[serde(default)]
    customer: Option<Reference>,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

/// Receives an event.
pub(crate) async fn receive(
    State(state): State<AppState>,
    request: Request<Body>,
) -> Result<StatusCode, Problem> {
    let Some(billing) = &state.billing else {
        return Err(Problem::not_found("this server has no billing: set STRIPE_SECRET_KEY to turn it on"));
    };
    let secrets = &billing.0.config.webhook_secrets;
    if secrets.is_empty() {
        tracing::error!("an event of Stripe was refused: set STRIPE_WEBHOOK_SECRET");
        return Err(Problem::unavailable("this server accepts no events: set STRIPE_WEBHOOK_SECRET"));
    }
    let (parts, body) = request.into_parts();
    let header = signature_of(&parts.headers)?;
    let body = read(&parts.headers, body).await?;
    signature::verify(header, &body, secrets, state.clock.now()).map_err(|error| {
        tracing::warn!(%error, "an event of Stripe was refused");
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_signature",
            "The signature is not valid",
            error.to_string(),
        )
    })?;
    let unreadable = |error: serde_json::Error| {
        tracing::error!(line = error.line(), column = error.column(), "an event of Stripe cannot be read");
        Problem::bad_request("the body is no event of Stripe: it must be a snapshot event, not a thin one")
    };
    let event: Event = serde_json::from_slice(&body).map_err(unreadable)?;
    // Objects of other events have fields of the same names with other meanings.
    if !KINDS.contains(&event.kind.as_str()) {
        return Ok(StatusCode::OK);
    }
    let object = Object::deserialize(&event.data.object).map_err(unreadable)?;
    let customer = object.customer.as_ref().map(Reference::id);
    if ![Some(event.id.as_str()), customer].into_iter().flatten().all(is_id) {
        return Err(Problem::bad_request("the event, or its customer, has an id that is none of Stripe"));
    }
    match billing.handle(&event, &object).await {
        Ok(()) => Ok(StatusCode::OK),
        Err(Failed::Database(error)) => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, event = event.id, kind = event.kind, "an event of Stripe could not be applied");
            Err(Problem::unavailable("the state of the customer could not be read: send the event again"))
        }
    }
}

/// Whether a text may be an id of Stripe (docs.stripe.com/upgrades: at most 255 characters).
fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn signature_of(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut found = headers.get_all(SIGNATURE).iter();
    match (found.next().map(|header| header.to_str()), found.next()) {
        (Some(Ok(header)), None) => Ok(header),
        _ => Err(Problem::bad_request("the request must have one header Stripe-Signature")),
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Problem> {
    let too_large = || {
        Problem::too_large("the event", MAX_BODY_BYTES, "a fixed limit, in bytes", "send an event of Stripe")
    };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::bad_request("the body did not arrive completely")),
    }
}

impl Billing {
    async fn handle(&self, event: &Event, object: &Object) -> Result<(), Failed> {
        let Some(customer) = object.customer.as_ref().map(Reference::id) else { return Ok(()) };
        if event.kind == CHECKOUT_COMPLETED {
            self.bind(event, object, customer).await?;
        }
        let about = StripeEvent { id: &event.id, kind: &event.kind, created_at: seconds(event.created) };
        self.apply(&about, customer).await
    }

    /// Makes the customer of a completed checkout that of the team which the checkout was begun for, if the team has none.
    /// Only who holds the secret key can write this metadata: it is not in the URL of a page.
    async fn bind(&self, event: &Event, object: &Object, customer: &str) -> Result<(), DbError> {
        let Some(team_id) = object.metadata.as_ref().and_then(team_of_metadata) else { return Ok(()) };
        match billing::bind(&self.0.db, &team_id, customer).await? {
            Bound::Done => {}
            other => {
                tracing::error!(
                    team = %team_id, customer, event = event.id, ?other,
                    "a checkout was paid by a customer that cannot be the team's: cancel one of the subscriptions at \
                     Stripe"
                );
            }
        }
        Ok(())
    }

    async fn apply(&self, event: &StripeEvent<'_>, customer: &str) -> Result<(), Failed> {
        match self.refresh(customer, Some(event)).await? {
            Refreshed::Done { .. } | Refreshed::EventApplied => {}
            Refreshed::OfDeletedTeam => {
                tracing::info!(
                    event = event.id,
                    kind = event.kind,
                    customer,
                    "an event is about a deleted team"
                );
                if event.kind == SUBSCRIPTION_CREATED || event.kind == CHECKOUT_COMPLETED {
                    billing::cancel_again(&self.0.db, customer).await?;
                }
            }
            Refreshed::Unknown => {
                tracing::warn!(
                    event = event.id,
                    kind = event.kind,
                    customer,
                    "an event is about a customer of no team: it has no effect"
                );
            }
        }
        Ok(())
    }
}
