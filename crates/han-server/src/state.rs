//! The state that all handlers share: the database, the token keys, the schema, the clock.

use std::ops::Deref;
use std::sync::Arc;

use axum::http::HeaderMap;
use han_db::Db;
use han_db::changes::DbChangeEvent;
use han_http::Lifecycle;
use han_http::client::Client;
use han_http::graphql::Endpoint;
use han_http::observe::RequestIds;
use han_types::{Actor, Clock, Entropy, Origin};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::admission::PrioritySemaphore;
use crate::auth::github::Github;
use crate::auth::jwt::JwtKeys;
use crate::billing::Billing;
use crate::config::{Config, PublicUrl};
use crate::health::Readiness;
use crate::rates::{self, Rates};
use crate::sync::memory_budget::MemoryBudget;

/// The state of one server; cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) public_url: PublicUrl,
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) request_ids: RequestIds,
    pub(crate) jwt: JwtKeys,
    /// Rate limits; `None` if rates are not limited.
    pub(crate) rates: Option<Rates>,
    /// The GitHub app that users sign in through, if one is configured.
    pub(crate) github: Option<Github>,
    /// Billing through Stripe, if it is configured.
    pub(crate) billing: Option<Billing>,
    pub(crate) graphql: Endpoint,
    /// Sends changes of access rights.
    pub(crate) access: broadcast::Sender<DbChangeEvent>,
    /// The memory that pushes share.
    pub(crate) memory: MemoryBudget,
    /// Limits how many batches are stored at once.
    pub(crate) stores: PrioritySemaphore,
    /// The turn of a program that asks for the codes of a sign-in.
    pub(crate) device_codes: PrioritySemaphore,
    /// The cached result of `/ready`.
    pub(crate) readiness: Readiness,
    /// When the process started to serve.
    pub(crate) started: Instant,
    /// How work learns that the server stops, and which work a shutdown waits for.
    pub(crate) lifecycle: Lifecycle,
    /// The dashboard to serve.
    pub(crate) client: Client,
}

impl AppState {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl AppState {
    /// The database, for a request of someone who has not signed in, or is just doing so.
    pub(crate) fn db_of_request(&self, headers: &HeaderMap) -> Db {
        self.db.on_behalf_of(Origin::of_request(self.request_ids.of(headers), rates::client()))
    }

    /// The database, for what a signed-in user does for themselves, and for no team.
    pub(crate) fn db_of_actor(&self, actor: &Actor) -> Db {
        self.db.on_behalf_of(Origin::of_actor(actor))
    }
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
